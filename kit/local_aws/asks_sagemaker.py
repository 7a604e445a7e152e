"""What SageMaker's operations need to be allowed. Pure.

Source: "Actions, resources, and condition keys for Amazon SageMaker AI" of the Service Authorization Reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kit.local_aws.asks import Ask, Params, Place
from kit.local_aws.kinds import KINDS, kind_of

__all__ = ["sagemaker"]

_ROLES = ("RoleArn", "ExecutionRoleArn", "ExecutionRole")
_SAGEMAKER_KEYS = {
    "InstanceType": "sagemaker:InstanceTypes",
    "InstanceTypes": "sagemaker:InstanceTypes",
    "Subnets": "sagemaker:VpcSubnets",
    "SubnetIds": "sagemaker:VpcSubnets",
    "SecurityGroupIds": "sagemaker:VpcSecurityGroupIds",
    "VolumeKmsKeyId": "sagemaker:VolumeKmsKey",
    "EnableNetworkIsolation": "sagemaker:NetworkIsolation",
    "EnableInterContainerTrafficEncryption": "sagemaker:InterContainerTrafficEncryption",
    "AppNetworkAccessType": "sagemaker:AppNetworkAccessType",
    "DirectInternetAccess": "sagemaker:DirectInternetAccess",
    "RootAccess": "sagemaker:RootAccess",
    "ModelApprovalStatus": "sagemaker:ModelApprovalStatus",
}
_OUTPUTS = ("OutputDataConfig", "TransformOutput", "ProcessingOutputConfig")
_ISOLATED = ("CreateTrainingJob", "CreateProcessingJob", "CreateModel", "CreateHyperParameterTuningJob")
_VERB = re.compile(r"(?:Create|Describe|Update|Delete|Stop|Start|Retry|BatchDescribe)(\w+)")


def _within(value: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every member of a request at any depth: the member that it is in, its name, its value."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield path, name, item
            yield from _within(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _within(item, path)


def sagemaker(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    """What an operation of SageMaker or its runtimes asks for: itself, its tags, and the passing of its roles."""
    context: dict[str, Any] = {}
    roles = set()
    for parent, name, value in _within(params):
        if name in _SAGEMAKER_KEYS and value is not None:
            held = context.setdefault(_SAGEMAKER_KEYS[name], [])
            held += [one for one in (value if isinstance(value, list) else [value]) if one not in held]
        if name == "KmsKeyId" and parent in _OUTPUTS:
            context["sagemaker:OutputKmsKey"] = value
        if name in _ROLES and isinstance(value, str):
            roles.add(value)
    if operation in _ISOLATED:
        context.setdefault("sagemaker:NetworkIsolation", [False])
    resources = list(_sagemaker_resources(operation, params, place))
    for resource in resources:
        yield Ask(f"sagemaker:{operation}", resource, context)
        if params.get("Tags") and operation.startswith("Create"):
            yield Ask("sagemaker:AddTags", resource, context)
    for role in sorted(roles):
        yield Ask("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _sagemaker_resources(operation: str, params: Params, place: Place) -> Iterator[str]:
    if operation in ("BatchGetRecord", "BatchWriteRecord"):
        for one in params.get("Identifiers", params.get("Entries", [])):
            yield _sagemaker_arn("FeatureGroup", one["FeatureGroupName"], place)
        return
    if operation in ("CreateEndpoint", "UpdateEndpoint"):
        yield _sagemaker_arn("EndpointConfig", params.get("EndpointConfigName", ""), place)
    if operation == "CreatePresignedDomainUrl":
        key = f"{params.get('DomainId', '')}/{params.get('UserProfileName', '')}"
        yield _sagemaker_arn("UserProfile", key, place)
        return
    members = ("ResourceArn", "PipelineExecutionArn", "ArtifactArn")
    if arn := next((params[member] for member in members if params.get(member)), ""):
        yield arn
        return
    found = _VERB.fullmatch(operation.replace("StartPipelineExecution", "StartPipeline"))
    kind = next((name for name in (found.group(1) if found else "",) if name in KINDS), "")
    if not kind:
        named = (name.removesuffix("Name") for name in params if name.endswith("Name"))
        kind = next((name for name in named if name in KINDS), "")
    facts = kind_of(kind) if kind else None
    if facts is None or operation.startswith("List"):
        yield "*"
    elif kind == "ModelPackage":
        name = params.get("ModelPackageArn") or params.get("ModelPackageName")
        yield _sagemaker_arn(kind, name or f"{params.get('ModelPackageGroupName', '')}/1", place)
    else:
        yield params.get(facts.arn_member) or _sagemaker_arn(kind, facts.key_of(params), place)


def _sagemaker_arn(kind: str, name: str, place: Place) -> str:
    if name.startswith("arn:"):
        return name
    return (
        kind_of(kind)
        .arn_of(place.account, place.region, name)
        .replace("arn:aws:", f"arn:{place.partition}:", 1)
    )
