"""What a request needs to be allowed: the actions, on which resources, with which condition keys. Pure.

Sources: the Service Authorization Reference (docs.aws.amazon.com/service-authorization/latest/reference/), pages of S3,
IAM, STS, SageMaker, CloudWatch Logs, CloudWatch, KMS, Glue, Athena and EventBridge; a service that is not named here
is asked for `<service>:<Operation>` on all resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kit.local_aws.asks import Ask, Params, Place
from kit.local_aws.asks_s3 import s3
from kit.local_aws.asks_sagemaker import sagemaker

__all__ = ["Ask", "Place", "asks"]

# botocore's name of a service, where IAM has another prefix.
PREFIXES = {
    "s3control": "s3",
    "sagemaker-runtime": "sagemaker",
    "sagemaker-featurestore-runtime": "sagemaker",
    "sagemaker-metrics": "sagemaker",
    "sso-admin": "sso",
    "stepfunctions": "states",
    "resourcegroupstaggingapi": "tag",
    "accessanalyzer": "access-analyzer",
    "service-quotas": "servicequotas",
}
# The members of a request that name its resource, for services whose ARNs are made of one name.
NAMED = {
    "cloudformation": {"StackName": "stack/{}/*"},
    "cloudtrail": {"Name": "trail/{}", "TrailName": "trail/{}"},
    "dynamodb": {"TableName": "table/{}"},
    "ecr": {"repositoryName": "repository/{}"},
    "firehose": {"DeliveryStreamName": "deliverystream/{}"},
    "guardduty": {"DetectorId": "detector/{}"},
    "kinesis": {"StreamName": "stream/{}"},
    "lambda": {"FunctionName": "function:{}"},
    "secretsmanager": {"SecretId": "secret:{}", "Name": "secret:{}"},
    "sns": {"Name": "{}"},
    "sqs": {"QueueUrl": "{}", "QueueName": "{}"},
    "ssm": {"Name": "parameter/{}"},
    "states": {"name": "stateMachine:{}"},
}
LOOKED_AT = ("cloudformation",)  # services whose resources are asked for to look at one, too
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
    """On the resource that the request names by its ARN or its name, where it names one of the service's own."""
    arns = [value for value in params.values() if isinstance(value, str) and value.startswith("arn:")]
    own = [arn for arn in arns if arn.split(":")[2:3] == [prefix]]
    names = [
        place.arn(prefix, form.format(str(params[member]).rpartition("/")[2]))
        for member, form in NAMED.get(prefix, {}).items()
        if params.get(member) and (prefix in LOOKED_AT or not operation.startswith(("List", "Describe")))
    ]
    context = {}
    if namespace := params.get("ServiceNamespace"):
        context[f"{prefix}:service-namespace"] = namespace
    yield Ask(f"{prefix}:{operation}", (own or names or ["*"])[0], context)


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


# --- the others ---------------------------------------------------------------------------------------------


def _logs(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    group = params.get("logGroupName") or params.get("logGroupIdentifier")
    if params.get("resourceArn") or not group:
        yield Ask(f"logs:{operation}", params.get("resourceArn") or "*")
        return
    stream = f":log-stream:{params['logStreamName']}" if params.get("logStreamName") else ""
    yield Ask(f"logs:{operation}", place.arn("logs", f"log-group:{group}{stream}"))


def _cloudwatch(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    context = {"cloudwatch:namespace": params.get("Namespace", "")} if operation == "PutMetricData" else {}
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
    queries = (
        [params["QueryExecutionId"]] if "QueryExecutionId" in params else params.get("QueryExecutionIds", [])
    )
    for query in queries:  # the guard finds its workgroup
        yield Ask(f"athena:{operation}", place.arn("athena", f"query-execution/{query}"))
    if queries:
        return
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


def _streams(prefix: str, operation: str, params: Params, place: Place) -> Iterator[Ask]:
    """On the stream also to look at it; tagging a new one and handing over a role need rights of their own."""
    ((member, form),) = NAMED[prefix].items()
    given = params.get(member) or params.get("StreamARN")
    arn = place.arn(prefix, form.format(str(given).rpartition("/")[2])) if given else "*"
    yield Ask(f"{prefix}:{operation}", arn)
    if operation.startswith("Create") and params.get("Tags"):
        yield Ask(f"{prefix}:{'TagDeliveryStream' if prefix == 'firehose' else 'TagResource'}", arn)
    parts = [params, *(value for value in params.values() if isinstance(value, Mapping))]
    for role in sorted({part["RoleARN"] for part in parts if part.get("RoleARN")}):
        yield Ask("iam:PassRole", role, {"iam:PassedToService": f"{prefix}.amazonaws.com"})


_SERVICES = {
    "s3": s3,
    "iam": _iam,
    "sts": _sts,
    "sagemaker": sagemaker,
    "logs": _logs,
    "cloudwatch": _cloudwatch,
    "kms": _kms,
    "glue": _glue,
    "athena": _athena,
    "events": _events,
    "kinesis": _streams,
    "firehose": _streams,
}
