"""What a request needs to be allowed: the actions, on which resources, with which condition keys. Pure.

Sources: the Service Authorization Reference (docs.aws.amazon.com/service-authorization/latest/reference/), pages of S3,
IAM, STS, SageMaker, CloudWatch Logs, CloudWatch, KMS, Glue, Athena and EventBridge; a service that is not named here
is asked for `<service>:<Operation>` on all resources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from kit.local_aws.kinds import KINDS, kind_of

__all__ = ["Ask", "Place", "asks"]

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """One thing that must be allowed for the request to go through."""

    action: str
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a request is made: the account and region that it is about."""

    account: str
    region: str
    partition: str = "aws"

    def arn(self, service: str, resource: str, *, regional: bool = True) -> str:
        """The ARN of a resource of this account; an ARN stays as it is."""
        if resource.startswith("arn:"):
            return resource
        return f"arn:{self.partition}:{service}:{self.region if regional else ''}:{self.account}:{resource}"


# botocore's name of a service, where IAM has another prefix.
PREFIXES = {
    "s3control": "s3",
    "sagemaker-runtime": "sagemaker",
    "sagemaker-featurestore-runtime": "sagemaker",
    "sagemaker-metrics": "sagemaker",
    "sso-admin": "sso",
    "stepfunctions": "states",
    "resourcegroupstaggingapi": "tag",
}
FREE = {"sts:GetCallerIdentity", "sts:GetSessionToken"}  # need no permission at all


def asks(service: str, operation: str, params: Params, place: Place) -> tuple[Ask, ...]:
    """All that must be allowed for an operation of a service (botocore's names, the operation's parameters)."""
    prefix = PREFIXES.get(service, service)
    if f"{prefix}:{operation}" in FREE:
        return ()
    tags = _tags(params)
    found = _SERVICES.get(prefix, _any)(prefix, operation, params, place)
    return tuple(Ask(ask.action, ask.resource, {**tags, **ask.context}) for ask in found)


def _tags(params: Params) -> dict[str, Any]:
    given = params.get("Tags") or params.get("tags") or []
    pairs = (
        dict(given)
        if isinstance(given, Mapping)
        else {
            str(tag.get("Key", tag.get("TagKey"))): tag.get("Value", tag.get("TagValue", ""))
            for tag in given
            if isinstance(tag, Mapping)
        }
    )
    keys: dict[str, Any] = {f"aws:RequestTag/{key}": value for key, value in pairs.items()}
    return keys | ({"aws:TagKeys": sorted(pairs)} if pairs else {})


def _any(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    yield Ask(f"{prefix}:{operation}")


# --- S3 ---------------------------------------------------------------------------------------------------

_S3 = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "SelectObjectContent": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "UploadPartCopy": "PutObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
}
_S3_ACCOUNT = {"GetPublicAccessBlock": "GetAccountPublicAccessBlock"} | dict.fromkeys(
    ("PutPublicAccessBlock", "DeletePublicAccessBlock"), "PutAccountPublicAccessBlock"
)
_VERSIONED = (
    "GetObject",
    "DeleteObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "GetObjectAcl",
    "PutObjectAcl",
)
_S3_KEYS = {
    "Prefix": "s3:prefix",
    "Delimiter": "s3:delimiter",
    "MaxKeys": "s3:max-keys",
    "ACL": "s3:x-amz-acl",
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "s3:x-amz-storage-class",
    "VersionId": "s3:VersionId",
}


def _s3(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    context = {key: str(params[name]) for name, key in _S3_KEYS.items() if params.get(name) not in (None, "")}
    if operation.startswith("List"):
        context.setdefault("s3:prefix", "")
    bucket = params.get("Bucket", "")
    if not bucket:
        name = _S3_ACCOUNT.get(operation, _S3.get(operation, operation))
        yield Ask(f"s3:{name}", "*", context)
        return
    name = _S3.get(operation, operation)
    if name in _VERSIONED and params.get("VersionId"):
        name = name.replace("Object", "ObjectVersion", 1)
    root = f"arn:{place.partition}:s3:::{bucket}"
    keys = [params["Key"]] if params.get("Key") else []
    if operation == "DeleteObjects":
        for entry in params.get("Delete", {}).get("Objects", []):
            version = "Version" if entry.get("VersionId") else ""
            yield Ask(f"s3:DeleteObject{version}", f"{root}/{entry.get('Key', '')}", context)
        return
    if source := params.get("CopySource"):
        path, _, version = unquote(str(source)).lstrip("/").partition("?versionId=")
        read = "s3:GetObjectVersion" if version else "s3:GetObject"
        yield Ask(read, f"arn:{place.partition}:s3:::{path}")
    yield Ask(f"s3:{name}", f"{root}/{keys[0]}" if keys else root, context)
    if operation in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        if params.get("ACL"):
            yield Ask("s3:PutObjectAcl", f"{root}/{keys[0]}", context)
        if params.get("Tagging"):
            yield Ask("s3:PutObjectTagging", f"{root}/{keys[0]}", context)


# --- IAM and STS --------------------------------------------------------------------------------------------


def _iam(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    path = str(params.get("Path", "/"))
    context = {}
    if params.get("PermissionsBoundary"):
        context["iam:PermissionsBoundary"] = params["PermissionsBoundary"]
    named = {
        "PolicySourceArn": "",
        "RoleName": "role",
        "UserName": "user",
        "GroupName": "group",
        "PolicyArn": "",
        "InstanceProfileName": "instance-profile",
    }
    if operation in ("CreatePolicy", "CreateServiceLinkedRole"):
        name = params.get("PolicyName") or f"aws-service-role/{params.get('AWSServiceName')}/*"
        kind = "policy" if operation == "CreatePolicy" else "role"
        yield Ask(f"iam:{operation}", place.arn("iam", f"{kind}{path}{name}", regional=False), context)
        return
    member = next((name for name in named if params.get(name)), "")
    if not member or operation == "SimulateCustomPolicy":
        yield Ask(f"iam:{operation}", "*", context)
        return
    if params.get("PolicyArn") and member != "PolicyArn":
        context["iam:PolicyARN"] = params["PolicyArn"]
    resource = f"{named[member]}{path}{params[member]}" if named[member] else params[member]
    yield Ask(f"iam:{operation}", place.arn("iam", resource, regional=False), context)


def _sts(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    keys = {"ExternalId": "sts:ExternalId", "RoleSessionName": "sts:RoleSessionName"}
    context = {key: params[name] for name, key in keys.items() if params.get(name)}
    role = params.get("RoleArn", "*")
    yield Ask(f"sts:{operation}", role, context)
    if params.get("Tags"):
        yield Ask("sts:TagSession", role, context)


# --- SageMaker ----------------------------------------------------------------------------------------------

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


def _sagemaker(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
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
    if operation == "BatchGetRecord":
        for one in params.get("Identifiers", []):
            yield _sagemaker_arn("FeatureGroup", one["FeatureGroupName"], place)
        return
    if operation in ("CreateEndpoint", "UpdateEndpoint"):
        yield _sagemaker_arn("EndpointConfig", params.get("EndpointConfigName", ""), place)
    if operation == "CreatePresignedDomainUrl":
        key = f"{params.get('DomainId', '')}/{params.get('UserProfileName', '')}"
        yield _sagemaker_arn("UserProfile", key, place)
        return
    if arn := params.get("ResourceArn") or params.get("PipelineExecutionArn"):
        yield arn
        return
    found = _VERB.fullmatch(operation)
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


# --- the others ---------------------------------------------------------------------------------------------


def _logs(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    group = params.get("logGroupName") or params.get("logGroupIdentifier")
    if params.get("resourceArn") or not group:
        yield Ask(f"logs:{operation}", params.get("resourceArn") or "*")
        return
    stream = f":log-stream:{params['logStreamName']}" if params.get("logStreamName") else ""
    yield Ask(f"logs:{operation}", place.arn("logs", f"log-group:{group}{stream}"))


def _cloudwatch(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    context = {"cloudwatch:namespace": params["Namespace"]} if operation == "PutMetricData" else {}
    alarms = [params["AlarmName"]] if params.get("AlarmName") else params.get("AlarmNames", [])
    boards = [params["DashboardName"]] if params.get("DashboardName") else params.get("DashboardNames", [])
    if operation.startswith("Describe") or not (alarms or boards):
        yield Ask(f"cloudwatch:{operation}", params.get("ResourceARN", "*"), context)
    for name in () if operation.startswith("Describe") else alarms:
        yield Ask(f"cloudwatch:{operation}", place.arn("cloudwatch", f"alarm:{name}"), context)
    for name in boards:
        yield Ask(
            f"cloudwatch:{operation}", place.arn("cloudwatch", f"dashboard/{name}", regional=False), context
        )


def _kms(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    key = params.get("KeyId") or params.get("TargetKeyId")
    if alias := params.get("AliasName"):
        yield Ask(f"kms:{operation}", place.arn("kms", alias))
    if key or not alias:
        named = not key or key.startswith(("arn:", "alias/"))
        yield Ask(f"kms:{operation}", place.arn("kms", key if named else f"key/{key}") if key else "*")


def _glue(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    """A table needs its database and the catalogue as well, as Glue does."""
    database = params.get("DatabaseName") or params.get("DatabaseInput", {}).get("Name")
    table = params.get("TableName") or params.get("TableInput", {}).get("Name")
    if "Database" in operation:
        database = database or params.get("Name")
    elif "Table" in operation and database:
        table = table or params.get("Name") or "*"
    if not database and "Database" not in operation and "Table" not in operation:
        yield Ask(f"glue:{operation}")
        return
    yield Ask(f"glue:{operation}", place.arn("glue", "catalog"))
    if database:
        yield Ask(f"glue:{operation}", place.arn("glue", f"database/{database}"))
    if table:
        yield Ask(f"glue:{operation}", place.arn("glue", f"table/{database}/{table}"))


def _athena(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    listed = operation in ("ListWorkGroups", "ListEngineVersions", "ListDataCatalogs")
    group = params.get("WorkGroup") or (params.get("Name") if "WorkGroup" in operation else "") or "primary"
    yield Ask(f"athena:{operation}", "*" if listed else place.arn("athena", f"workgroup/{group}"))


def _events(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    bus = params.get("EventBusName") or "default"
    name = params.get("Rule") or params.get("Name")
    if operation == "PutEvents":
        for one in sorted({entry.get("EventBusName", "default") for entry in params.get("Entries", [])}):
            yield Ask("events:PutEvents", place.arn("events", f"event-bus/{one}"))
    elif "Rule" in operation or "Target" in operation:
        rule = f"rule/{name}" if bus == "default" else f"rule/{bus.rpartition('/')[2]}/{name}"
        yield Ask(f"events:{operation}", place.arn("events", rule) if name else "*")
    else:
        yield Ask(f"events:{operation}")
    for target in params.get("Targets", []):
        if target.get("RoleArn"):
            yield Ask("iam:PassRole", target["RoleArn"], {"iam:PassedToService": "events.amazonaws.com"})


_SERVICES = {
    "s3": _s3,
    "iam": _iam,
    "sts": _sts,
    "sagemaker": _sagemaker,
    "logs": _logs,
    "cloudwatch": _cloudwatch,
    "kms": _kms,
    "glue": _glue,
    "athena": _athena,
    "events": _events,
}
