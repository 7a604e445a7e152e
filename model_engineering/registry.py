"""The model registry: a version with what it takes to judge it and to deploy it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
