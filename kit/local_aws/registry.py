"""The model registry: groups, the versions in them, their approval, and what is deployed from a version.

Versioned model packages only; those without a group are for AWS Marketplace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.local_aws import jobs
from kit.local_aws.events import state_changed
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["deployable"]

KIND, GROUP = "ModelPackage", "ModelPackageGroup"
PENDING, APPROVED = "PendingManualApproval", "Approved"


def _group(name: str) -> str:
    """A group's name, from its name or its ARN."""
    return name.rpartition("model-package-group/")[2]


@action("sagemaker", "DeleteModelPackageGroup")
def delete_group(ctx: Context, params: dict[str, Any]) -> None:
    """Forget a group; its versions have to be deleted first."""
    group = ctx.app.store.get(ctx, GROUP, params["ModelPackageGroupName"])
    if any(_in_group(row, group["ModelPackageGroupName"]) for row in ctx.app.store.rows(ctx, KIND)):
        raise AwsError(
            "ConflictException",
            f"Model Package Group cannot be deleted because it still contains Model Packages: {group['_arn']}",
        )
    ctx.app.store.delete(ctx, GROUP, params["ModelPackageGroupName"])


def _in_group(row: Record, group: str) -> bool:
    return bool(row["ModelPackageGroupName"].lower() == group.lower())


@action("sagemaker", "CreateModelPackage")
def create_model_package(ctx: Context, params: dict[str, Any]) -> Record:
    """The next version of a group; numbers are never given twice."""
    if not params.get("ModelPackageGroupName"):
        raise jobs.refuse("keeps versioned model packages only: give a ModelPackageGroupName.")
    if params.get("ModelPackageName"):
        raise AwsError(
            "ValidationException",
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one to use.",
        )
    for member in ("ValidationSpecification", "SourceAlgorithmSpecification"):
        if params.get(member):
            raise jobs.refuse(f"does not implement {member}.")
    group = ctx.app.store.update(
        ctx,
        GROUP,
        _group(params["ModelPackageGroupName"]),
        lambda found: {"_versions": found.get("_versions", 0) + 1},
    )
    name = group["ModelPackageGroupName"]
    record = ctx.app.store.create(
        ctx,
        KIND,
        {**params, "ModelPackageGroupName": name},
        ModelPackageVersion=group["_versions"],
        ModelPackageStatus="Completed",
        ModelPackageStatusDetails={"ValidationStatuses": []},
        ModelApprovalStatus=params.get("ModelApprovalStatus", PENDING),
        CreatedBy={},
    )
    state_changed(ctx, "Model Package", record["_arn"], record)
    return record


@action("sagemaker", "DescribeModelPackage")
def describe_model_package(ctx: Context, params: dict[str, Any]) -> Record:
    """A version by its ARN, or by "group/version"."""
    return ctx.app.store.get(ctx, KIND, params["ModelPackageName"])


@action("sagemaker", "ListModelPackages")
def list_model_packages(ctx: Context, params: dict[str, Any]) -> Record:
    """The versions of a group, or with ModelPackageType Versioned or Both, of all; without either AWS lists unversioned ones."""
    params = dict(params)
    kind = params.pop(
        "ModelPackageType", "Versioned" if params.get("ModelPackageGroupName") else "Unversioned"
    )
    if params.get("ModelPackageGroupName"):
        params["ModelPackageGroupName"] = _group(params["ModelPackageGroupName"])
        ctx.app.store.get(ctx, GROUP, params["ModelPackageGroupName"])
    if params.get("NameContains"):
        params["ModelPackageGroupNameContains"] = params.pop("NameContains")
    if kind == "Unversioned":
        return {"ModelPackageSummaryList": []}
    return ctx.app.store.listing(ctx, KIND, params, "ListModelPackages")


@action("sagemaker", "UpdateModelPackage")
def update_model_package(ctx: Context, params: dict[str, Any]) -> Record:
    """Change a version: its approval, its description, its metadata. A change of approval is told to EventBridge."""
    changes = {
        name: value for name, value in params.items() if name not in ("ModelPackageArn", "ClientToken")
    }
    added = changes.pop("AdditionalInferenceSpecificationsToAdd", [])
    metadata = changes.pop("CustomerMetadataProperties", {})
    removed = changes.pop("CustomerMetadataPropertiesToRemove", [])

    def change(record: Record) -> Record:
        held = {**record.get("CustomerMetadataProperties", {}), **metadata}
        specifications = [*record.get("AdditionalInferenceSpecifications", []), *added]
        return {
            **changes,
            "LastModifiedBy": {},
            "CustomerMetadataProperties": {
                name: value for name, value in held.items() if name not in removed
            },
            **({"AdditionalInferenceSpecifications": specifications} if specifications else {}),
        }

    record = ctx.app.store.update(ctx, KIND, params["ModelPackageArn"], change)
    state_changed(ctx, "Model Package", record["_arn"], record)
    return record


@action("sagemaker", "DeleteModelPackage")
def delete_model_package(ctx: Context, params: dict[str, Any]) -> None:
    """Forget a version."""
    ctx.app.store.delete(ctx, KIND, params["ModelPackageName"])


def deployable(ctx: Context, name: str) -> dict[str, Any]:
    """The container that a version describes. Raises ValidationException unless the version is approved.

    `ModelApprovalStatus` "must be set to Approved to deploy the model" (API reference, CreateModelPackage).
    """
    record = ctx.app.store.get(ctx, KIND, name)
    if record["ModelApprovalStatus"] != APPROVED:
        raise AwsError(
            "ValidationException",
            f"Model package {record['_arn']} cannot be deployed: its ModelApprovalStatus is {record['ModelApprovalStatus']},"
            f" not {APPROVED}.",
        )
    containers = record.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise jobs.refuse(f"deploys model packages of one container; {record['_arn']} has {len(containers)}.")
    return dict(containers[0])
