"""The model registry: a version with what it takes to judge it and to deploy it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TYPES = ["text/csv", "application/jsonlines", "application/json"]
"""What inference.py reads and writes."""


def grouped(sm: Any, group: str, tags: Sequence[Mapping[str, str]]) -> None:
    """Makes the model package group if it is not there. `sm` is a SageMaker client of boto3."""
    pages = sm.get_paginator("list_model_package_groups").paginate(NameContains=group)
    there = [one["ModelPackageGroupName"] for page in pages for one in page["ModelPackageGroupSummaryList"]]
    if group not in there:
        sm.create_model_package_group(ModelPackageGroupName=group, Tags=list(tags))


def container(image: str, model: str) -> dict[str, Any]:
    """An archive of the training job as the container of a version or of a model."""
    environment = {
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    }
    return {"Image": image, "ModelDataUrl": model, "Environment": environment}


def registered(
    sm: Any,
    group: str,
    *,
    image: str,
    model: str,
    description: str,
    quality: str,
    details: Mapping[str, str],
) -> str:
    """Registers a version that waits for a person's approval; returns its ARN.

    Args:
        sm: a SageMaker client of boto3.
        group: the model package group.
        image: the URI of the image that serves.
        model: S3 URI of the archive.
        description: cut at 1,024 characters.
        quality: S3 URI of its metrics (JSON).
        details: what else is kept with it, as text: up to 50 entries; a value is cut at 256 characters.
    """
    version = sm.create_model_package(
        ModelPackageGroupName=group,
        ModelPackageDescription=description[:1024],
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [container(image, model)],
            "SupportedContentTypes": TYPES,
            "SupportedResponseMIMETypes": TYPES,
        },
        ModelMetrics={"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": quality}}},
        CustomerMetadataProperties={key: value[:256] for key, value in details.items()},
    )
    return str(version["ModelPackageArn"])


def code_digest(folder: Path) -> str:
    """One checksum of a job's code: its Python files and requirements, by name and content."""
    whole = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".py", ".txt")):
        whole.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return whole.hexdigest()


def data_digest(s3: Any, uri: str) -> str:
    """One checksum of what lies under an S3 URI: its objects by key and ETag, so nothing is downloaded. `s3` is a client of boto3."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    there = sorted((one["Key"], one["ETag"]) for page in pages for one in page.get("Contents", ()))
    return hashlib.sha256(json.dumps(there).encode()).hexdigest()


def packed(folder: Path, archive: Path) -> str:
    """Packs a model's folder as an archive; returns its SHA-256."""
    with tarfile.open(archive, "w:gz") as tar:
        for one in sorted(folder.iterdir()):
            tar.add(one, arcname=one.name)
    return digest(archive)


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
