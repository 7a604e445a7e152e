"""The kinds of things that an event makes in an account, in the order in which they are deleted.

How each is named, looked at and deleted; what no line below tells is asked of botocore's model (`Describe...`, `Delete...`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

__all__ = ["ENDED", "GONE", "KINDS", "STUCK", "THERE", "Kind", "by_arn", "kind", "missing"]

At = Callable[[str], Any]
"""Service -> boto3 client."""
Keys = Mapping[str, str]
THERE, ENDED, GONE, STUCK = "there", "ended", "gone", "stuck"
OVER = {"Completed", "Failed", "Stopped", "Succeeded", "CompletedWithViolations"}
LEFT = {"PendingDeletion", "DELETE_COMPLETE", "Deleted", "DELETED"}
ABSENT = re.compile(r"Not_?Found|NoSuch|DoesNotExist|NonExistent|ResourceUnknown|^404$", re.IGNORECASE)
NOT_THERE = re.compile(
    r"(?:could|can)(?:'t| ?not) find|does not exist|not found|RecordNotFound|not subscribed|not owned by the current account", re.IGNORECASE
)


def missing(error: ClientError) -> bool:
    """Whether a service says by this error that there is no such thing."""
    told = error.response["Error"]
    return bool(ABSENT.search(told["Code"])) or bool(NOT_THERE.search(told.get("Message", "")))


@dataclass(frozen=True)
class Kind:
    """One kind. `keys`: the members that name it; `arn`: the rest of its ARN after the account, with the keys as groups.

    `look` gives what the service knows of one, and nothing where it is not there; `remove` deletes one; `within` tells
    what is in it or belongs to it, as (kind, keys). `runs`: it is work, which ends by itself and is then only a record.
    """

    service: str
    name: str
    keys: tuple[str, ...] = ()
    arn: str = ""
    look: Callable[[At, Keys], Any] | None = None
    remove: Callable[[At, Keys], object] | None = None
    within: Callable[[At, Keys], Iterator[tuple[str, Keys]]] | None = None
    runs: bool = False

    @property
    def id(self) -> str:
        """`sagemaker.Endpoint`"""
        return f"{self.service}.{self.name}"

    def described(self, at: At, keys: Keys) -> Any:
        """What the service knows of the one with these keys; nothing where it is not there."""
        try:
            if self.look:
                return self.look(at, keys)
            for verb in ("Describe", "Get"):
                if members := _members(at(self.service), verb + self.name):
                    return _call(at(self.service), verb + self.name, members, keys)
        except ClientError as error:
            if missing(error):
                return None
            raise
        raise LookupError(f"no way is known to look at a {self.id}")

    def state(self, at: At, keys: Keys) -> str:
        """`there`, `ended` (work that is over), `gone`, or `stuck` and why (it was to go, and did not)."""
        found = self.described(at, keys)
        status = _status(found, self.name)
        if not found or status in LEFT:
            return GONE
        if re.search(r"DELETE_?FAILED", status, re.IGNORECASE):
            why = next((found[m] for m in ("StackStatusReason", "FailureReason") if found.get(m)), status)
            return f"{STUCK}: {why}"
        return ENDED if self.runs and status in OVER else THERE

    def delete(self, at: At, keys: Keys) -> None:
        """Ask the service to delete (or stop) it. Raises ClientError where it refuses, LookupError where no way is known."""
        if self.remove:
            self.remove(at, keys)
            return
        client = at(self.service)
        verb = "Stop" if self.runs else "Delete"
        members = _members(client, verb + self.name)
        if not members:
            raise LookupError(f"no way is known to delete a {self.id}")
        _call(client, verb + self.name, members, keys)

    def named(self, keys: Keys, arn: str, name: str, client: Any) -> dict[str, str]:
        """The keys of one, from what a register has of it; nothing where that does not tell it."""
        wanted = self.keys or tuple(_members(client, "Delete" + self.name))
        if wanted and all(key in keys for key in wanted):
            return {key: keys[key] for key in wanted}
        if arn and self.arn and (found := re.fullmatch(self.arn, _rest(arn))):
            return found.groupdict() or {wanted[0]: arn}
        return {wanted[0]: arn if wanted[0].endswith("Arn") else name} if len(wanted) == 1 else {}


def _members(client: Any, operation: str) -> list[str]:
    """The members that an operation requires; none where the service has no such operation."""
    model = client.meta.service_model
    if operation not in model.operation_names:
        return []
    shape = model.operation_model(operation).input_shape
    return list(shape.required_members) or list(shape.members)[:1]


def _call(client: Any, operation: str, members: list[str], keys: Keys) -> Any:
    given = {member: keys[member] for member in members if member in keys}
    return getattr(client, xform_name(operation))(**given)


def _status(found: Any, name: str) -> str:
    members = (f"{name}Status", "Status", "KeyState", "StackStatus", f"{name}ExecutionStatus")
    return next((str(found[m]) for m in members if isinstance(found, dict) and m in found), "")


def _rest(arn: str) -> str:
    return arn.split(":", 5)[-1]


# What takes more than one call


def _rule(at: At, keys: Keys) -> None:
    events = at("events")
    targets = [one["Id"] for one in events.list_targets_by_rule(Rule=keys["Name"])["Targets"]]
    if targets:
        events.remove_targets(Rule=keys["Name"], Ids=targets)
    events.delete_rule(Name=keys["Name"])


def _domain_parts(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    for kind, members in (
        ("App", ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")),
        ("Space", ("DomainId", "SpaceName")),
        ("UserProfile", ("DomainId", "UserProfileName")),
    ):
        plural = f"{kind}s"
        pages = at("sagemaker").get_paginator(f"list_{xform_name(plural)}")
        for page in pages.paginate(DomainIdEquals=keys["DomainId"]):
            for row in page[plural]:
                if row.get("Status") not in LEFT:
                    yield f"sagemaker.{kind}", {m: row[m] for m in members if row.get(m)}


def _packages(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    pages = at("sagemaker").get_paginator("list_model_packages")
    for page in pages.paginate(ModelPackageGroupName=keys["ModelPackageGroupName"]):
        for row in page["ModelPackageSummaryList"]:
            yield "sagemaker.ModelPackage", {"ModelPackageArn": row["ModelPackageArn"]}


def _executions(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The executions that run, and what the steps of all made that stays: jobs that run, models, packages."""
    sagemaker = at("sagemaker")
    for page in sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=keys["PipelineName"]
    ):
        for row in page["PipelineExecutionSummaries"]:
            execution = {"PipelineExecutionArn": row["PipelineExecutionArn"]}
            if row["PipelineExecutionStatus"] in ("Executing", "Stopping"):
                yield "sagemaker.PipelineExecution", execution
            steps = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(**execution)
            for step in (step for found in steps for step in found["PipelineExecutionSteps"]):
                for made in step.get("Metadata", {}).values():
                    if isinstance(made, dict) and (found := by_arn(made.get("Arn", ""))):
                        yield found[0].id, found[1]


def _catalogued(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The table in AWS Glue that a feature group made, which outlives it."""
    group = at("sagemaker").describe_feature_group(**keys)
    if table := group.get("OfflineStoreConfig", {}).get("DataCatalogConfig"):
        yield "glue.Table", {"DatabaseName": table["Database"], "Name": table["TableName"]}


def _endpoint_parts(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    group = f"/aws/sagemaker/Endpoints/{keys['EndpointName']}"
    if _log_group(at, {"logGroupName": group}):
        yield "logs.LogGroup", {"logGroupName": group}
    scaling = at("application-autoscaling")
    for row in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]:
        if row["ResourceId"].startswith(f"endpoint/{keys['EndpointName']}/"):
            members = ("ServiceNamespace", "ResourceId", "ScalableDimension")
            yield "application-autoscaling.ScalableTarget", {m: row[m] for m in members}


def _lines(group: str) -> Callable[[At, Keys], Iterator[tuple[str, Keys]]]:
    """What a job wrote, in the log group of all jobs of its sort."""

    def within(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
        asked = {
            "logGroupName": f"/aws/sagemaker/{group}",
            "logStreamNamePrefix": f"{next(iter(keys.values()))}/",
        }
        with contextlib.suppress(at("logs").exceptions.ResourceNotFoundException):
            for page in at("logs").get_paginator("describe_log_streams").paginate(**asked):
                for row in page["logStreams"]:
                    named = {"logGroupName": asked["logGroupName"], "logStreamName": row["logStreamName"]}
                    yield "logs.LogStream", named

    return within


def _log_stream(at: At, keys: Keys) -> Any:
    asked = {"logGroupName": keys["logGroupName"], "logStreamNamePrefix": keys["logStreamName"]}
    return at("logs").describe_log_streams(**asked)["logStreams"]


IN_STACKS = {
    "AWS::CloudWatch::Alarm": ("cloudwatch.MetricAlarm", "AlarmName"),
    "AWS::Events::Rule": ("events.Rule", "Name"),
    "AWS::IAM::Role": ("iam.Role", "RoleName"),
    "AWS::SNS::Topic": ("sns.Topic", "TopicArn"),
    "AWS::SageMaker::ModelPackageGroup": ("sagemaker.ModelPackageGroup", "ModelPackageGroupName"),
    "AWS::SageMaker::Pipeline": ("sagemaker.Pipeline", "PipelineName"),
}


def _stacked(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    for page in at("cloudformation").get_paginator("list_stack_resources").paginate(**keys):
        for row in page["StackResourceSummaries"]:
            if (known := IN_STACKS.get(row["ResourceType"])) and row.get("PhysicalResourceId"):
                id = row["PhysicalResourceId"]
                arn = by_arn(id) if known[1] != "TopicArn" else None
                yield known[0], arn[1] if arn else {known[1]: id}


def _tracking(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The alarms that target tracking made."""
    pages = at("cloudwatch").get_paginator("describe_alarms")
    for page in pages.paginate(AlarmNamePrefix=f"TargetTracking-{keys['ResourceId']}"):
        for row in page["MetricAlarms"]:
            yield "cloudwatch.MetricAlarm", {"AlarmName": row["AlarmName"]}


def _log_group(at: At, keys: Keys) -> Any:
    found = at("logs").describe_log_groups(logGroupNamePrefix=keys["logGroupName"])["logGroups"]
    return [one for one in found if one["logGroupName"] == keys["logGroupName"]]


def _recorder(at: At, keys: Keys) -> None:
    config = at("config")
    config.stop_configuration_recorder(ConfigurationRecorderName=keys["name"])
    config.delete_configuration_recorder(ConfigurationRecorderName=keys["name"])


def _assignment(at: At, keys: Keys) -> Any:
    named = {m: keys[m] for m in ("InstanceArn", "PermissionSetArn")}
    pages = at("sso-admin").get_paginator("list_account_assignments")
    found = [
        one
        for page in pages.paginate(AccountId=keys["TargetId"], **named)
        for one in page["AccountAssignments"]
    ]
    return [one for one in found if one["PrincipalId"] == keys["PrincipalId"]]


def _control_policy(at: At, keys: Keys) -> None:
    organizations = at("organizations")
    for target in organizations.list_targets_for_policy(**keys)["Targets"]:
        organizations.detach_policy(**keys, TargetId=target["TargetId"])
    organizations.delete_policy(**keys)


def _bucket(at: At, keys: Keys) -> None:
    """Its policy, which may forbid what follows; every version of every object, unfinished uploads; then the bucket."""
    s3, name = at("s3"), {"Bucket": keys["Bucket"]}
    s3.delete_bucket_policy(**name)
    for page in s3.get_paginator("list_object_versions").paginate(**name):
        rows = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in rows]
        if objects:
            refused = s3.delete_objects(**name, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
            if refused:
                told = {"Error": {"Code": refused[0]["Code"], "Message": refused[0].get("Message", "")}}
                raise ClientError(told, "DeleteObjects")
    for page in s3.get_paginator("list_multipart_uploads").paginate(**name):
        for row in page.get("Uploads", []):
            s3.abort_multipart_upload(**name, Key=row["Key"], UploadId=row["UploadId"])
    s3.delete_bucket(**name)


def _role(at: At, keys: Keys) -> None:
    iam = at("iam")
    for page in iam.get_paginator("list_attached_role_policies").paginate(**keys):
        for row in page["AttachedPolicies"]:
            iam.detach_role_policy(**keys, PolicyArn=row["PolicyArn"])
    for page in iam.get_paginator("list_role_policies").paginate(**keys):
        for name in page["PolicyNames"]:
            iam.delete_role_policy(**keys, PolicyName=name)
    for row in iam.list_instance_profiles_for_role(**keys)["InstanceProfiles"]:
        iam.remove_role_from_instance_profile(**keys, InstanceProfileName=row["InstanceProfileName"])
    iam.delete_role(**keys)


def _policy(at: At, keys: Keys) -> None:
    iam = at("iam")
    for page in iam.get_paginator("list_policy_versions").paginate(**keys):
        for row in page["Versions"]:
            if not row["IsDefaultVersion"]:
                iam.delete_policy_version(**keys, VersionId=row["VersionId"])
    iam.delete_policy(**keys)


def _notebook(at: At, keys: Keys) -> None:
    sagemaker = at("sagemaker")
    if sagemaker.describe_notebook_instance(**keys)["NotebookInstanceStatus"] == "InService":
        sagemaker.stop_notebook_instance(**keys)
        sagemaker.get_waiter("notebook_instance_stopped").wait(**keys)
    sagemaker.delete_notebook_instance(**keys)


def _queue(at: At, keys: Keys) -> str:
    url: str = at("sqs").get_queue_url(QueueName=keys["QueueName"])["QueueUrl"]
    return url


def _target(at: At, keys: Keys) -> Any:
    asked = {"ServiceNamespace": keys["ServiceNamespace"], "ResourceIds": [keys["ResourceId"]]}
    return at("application-autoscaling").describe_scalable_targets(**asked)["ScalableTargets"]


def _alias(at: At, keys: Keys) -> Any:
    pages = at("kms").get_paginator("list_aliases").paginate()
    return [one for page in pages for one in page["Aliases"] if one["AliasName"] == keys["AliasName"]]


def _job(name: str, word: str) -> Kind:
    return Kind(
        "sagemaker",
        name,
        (f"{name}Name",),
        rf"{word}/(?P<{name}Name>.+)",
        within=_lines(f"{name}s"),
        runs=True,
    )


def _plain(service: str, name: str, arn: str, *keys: str, **more: Any) -> Kind:
    """A kind whose ARN ends with its one key."""
    key = keys[0] if keys else f"{name}Name"
    return Kind(service, name, (key,), arn + f"(?P<{key}>[^/]+)", **more)


_SET = ("InstanceArn", "PermissionSetArn")
_ASSIGNED = (*_SET, "TargetId", "TargetType", "PrincipalType", "PrincipalId")

KINDS: tuple[Kind, ...] = (
    # What could refuse the rest, or start something new.
    Kind(
        "organizations",
        "Policy",
        ("PolicyId",),
        r"policy/[^/]+/[^/]+/(?P<PolicyId>p-.+)",
        remove=_control_policy,
    ),
    Kind(
        "sagemaker",
        "PipelineExecution",
        ("PipelineExecutionArn",),
        r"pipeline/[^/]+/execution/.+",
        remove=lambda at, keys: at("sagemaker").stop_pipeline_execution(
            **keys, ClientRequestToken="clean-up-of-the-event-" + keys["PipelineExecutionArn"][-12:]
        ),
        runs=True,
    ),
    _job("HyperParameterTuningJob", "hyper-parameter-tuning-job"),
    _job("TrainingJob", "training-job"),
    _job("ProcessingJob", "processing-job"),
    _job("TransformJob", "transform-job"),
    Kind(
        "sagemaker",
        "ModelPackage",
        ("ModelPackageArn",),
        r"model-package/.+",
        look=lambda at, keys: at("sagemaker").describe_model_package(
            ModelPackageName=keys["ModelPackageArn"]
        ),
        remove=lambda at, keys: at("sagemaker").delete_model_package(
            ModelPackageName=keys["ModelPackageArn"]
        ),
    ),
    Kind(
        "cloudformation",
        "Stack",
        ("StackName",),
        r"stack/(?P<StackName>[^/]+)/.+",
        within=_stacked,
        look=lambda at, keys: at("cloudformation").describe_stacks(**keys)["Stacks"][0],
    ),
    _plain("events", "Rule", "rule/", "Name", remove=_rule),
    Kind("scheduler", "Schedule", ("GroupName", "Name"), r"schedule/(?P<GroupName>[^/]+)/(?P<Name>.+)"),
    _plain(
        "cloudwatch",
        "MetricAlarm",
        "alarm:",
        "AlarmName",
        look=lambda at, keys: at("cloudwatch").describe_alarms(AlarmNames=[keys["AlarmName"]])[
            "MetricAlarms"
        ],
        remove=lambda at, keys: at("cloudwatch").delete_alarms(AlarmNames=[keys["AlarmName"]]),
    ),
    _plain(
        "cloudwatch",
        "Dashboard",
        "dashboard/",
        remove=lambda at, keys: at("cloudwatch").delete_dashboards(DashboardNames=[keys["DashboardName"]]),
    ),
    # SageMaker: what serves, then what it serves from.
    Kind(
        "application-autoscaling",
        "ScalableTarget",
        ("ServiceNamespace", "ResourceId", "ScalableDimension"),
        look=_target,
        within=_tracking,
        remove=lambda at, keys: at("application-autoscaling").deregister_scalable_target(**keys),
    ),
    _plain(
        "sagemaker",
        "Pipeline",
        "pipeline/",
        within=_executions,
        remove=lambda at, keys: at("sagemaker").delete_pipeline(
            **keys, ClientRequestToken=f"clean-up-of-the-event-{keys['PipelineName']}"[:128].ljust(32, "-")
        ),
    ),
    _plain("sagemaker", "Endpoint", "endpoint/", within=_endpoint_parts),
    _plain("sagemaker", "EndpointConfig", "endpoint-config/"),
    _plain("sagemaker", "Model", "model/"),
    _plain("sagemaker", "ModelCard", "model-card/"),
    _plain("sagemaker", "ModelPackageGroup", "model-package-group/", within=_packages),
    _plain("sagemaker", "FeatureGroup", "feature-group/", within=_catalogued),
    Kind(
        "sagemaker",
        "App",
        ("DomainId", "AppType", "AppName"),
        look=lambda at, keys: at("sagemaker").describe_app(**keys),
        remove=lambda at, keys: at("sagemaker").delete_app(**keys),
    ),
    Kind("sagemaker", "Space", ("DomainId", "SpaceName"), r"space/(?P<DomainId>[^/]+)/(?P<SpaceName>.+)"),
    Kind(
        "sagemaker",
        "UserProfile",
        ("DomainId", "UserProfileName"),
        r"user-profile/(?P<DomainId>[^/]+)/(?P<UserProfileName>.+)",
    ),
    _plain(
        "sagemaker",
        "Domain",
        "domain/",
        "DomainId",
        within=_domain_parts,
        remove=lambda at, keys: at("sagemaker").delete_domain(
            **keys, RetentionPolicy={"HomeEfsFileSystem": "Delete"}
        ),
    ),
    _plain("sagemaker", "NotebookInstance", "notebook-instance/", remove=_notebook),
    # Data on the move, and what is known of data.
    _plain("firehose", "DeliveryStream", "deliverystream/"),
    _plain(
        "kinesis",
        "Stream",
        "stream/",
        look=lambda at, keys: at("kinesis").describe_stream_summary(**keys)["StreamDescriptionSummary"],
        remove=lambda at, keys: at("kinesis").delete_stream(**keys, EnforceConsumerDeletion=True),
    ),
    _plain(
        "athena",
        "WorkGroup",
        "workgroup/",
        "Name",
        look=lambda at, keys: at("athena").get_work_group(WorkGroup=keys["Name"]).get("WorkGroup"),
        remove=lambda at, keys: at("athena").delete_work_group(
            WorkGroup=keys["Name"], RecursiveDeleteOption=True
        ),
    ),
    Kind(
        "lakeformation",
        "Resource",
        ("ResourceArn",),
        remove=lambda at, keys: at("lakeformation").deregister_resource(**keys),
    ),
    Kind("glue", "Table", ("DatabaseName", "Name"), r"table/(?P<DatabaseName>[^/]+)/(?P<Name>.+)"),
    _plain("glue", "Database", "database/", "Name"),
    # What watches.
    _plain(
        "config",
        "ConfigRule",
        "config-rule-name/",
        look=lambda at, keys: at("config").describe_config_rules(ConfigRuleNames=[keys["ConfigRuleName"]])[
            "ConfigRules"
        ],
    ),
    Kind(
        "config",
        "ConfigurationRecorder",
        ("name",),
        look=lambda at, keys: at("config").describe_configuration_recorders(
            ConfigurationRecorderNames=[keys["name"]]
        )["ConfigurationRecorders"],
        remove=_recorder,
    ),
    Kind(
        "config",
        "DeliveryChannel",
        ("name",),
        look=lambda at, keys: at("config").describe_delivery_channels(DeliveryChannelNames=[keys["name"]])[
            "DeliveryChannels"
        ],
        remove=lambda at, keys: at("config").delete_delivery_channel(DeliveryChannelName=keys["name"]),
    ),
    _plain("guardduty", "Detector", "detector/", "DetectorId"),
    Kind(
        "securityhub",
        "SecurityHub",
        (),
        r"hub/default",
        look=lambda at, keys: at("securityhub").describe_hub(),
        remove=lambda at, keys: at("securityhub").disable_security_hub(),
    ),
    _plain(
        "cloudtrail",
        "Trail",
        "trail/",
        "Name",
        look=lambda at, keys: at("cloudtrail").describe_trails(trailNameList=[keys["Name"]])["trailList"],
    ),
    # Who may come in.
    Kind("sso-admin", "AccountAssignment", _ASSIGNED, look=_assignment),
    Kind("sso-admin", "PermissionSet", _SET),
    Kind("sso-admin", "InstanceAccessControlAttributeConfiguration", ("InstanceArn",)),
    Kind("identitystore", "Group", ("IdentityStoreId", "GroupId")),
    Kind("identitystore", "User", ("IdentityStoreId", "UserId")),
    # What things were told to.
    Kind(
        "sns", "Topic", ("TopicArn",), r"[^:]+", look=lambda at, keys: at("sns").get_topic_attributes(**keys)
    ),
    _plain(
        "sqs",
        "Queue",
        "",
        look=_queue,
        remove=lambda at, keys: at("sqs").delete_queue(QueueUrl=_queue(at, keys)),
    ),
    Kind("logs", "LogStream", ("logGroupName", "logStreamName"), look=_log_stream),
    Kind(
        "logs", "LogGroup", ("logGroupName",), r"log-group:(?P<logGroupName>[^:]+)(?::\*)?", look=_log_group
    ),
    # What everything else stood on.
    _plain("s3", "Bucket", "", "Bucket", look=lambda at, keys: at("s3").head_bucket(**keys), remove=_bucket),
    _plain("iam", "Role", "role/(?:.+/)?", remove=_role),
    Kind(
        "iam",
        "ServiceLinkedRole",
        ("RoleName",),
        look=lambda at, keys: at("iam").get_role(**keys),
        remove=lambda at, keys: at("iam").delete_service_linked_role(**keys),
    ),
    Kind(
        "iam",
        "Policy",
        ("PolicyArn",),
        r"policy/.+",
        remove=_policy,
    ),
    Kind("kms", "Alias", ("AliasName",), look=_alias),
    _plain(
        "kms",
        "Key",
        "key/",
        "KeyId",
        look=lambda at, keys: at("kms").describe_key(**keys)["KeyMetadata"],
        remove=lambda at, keys: at("kms").schedule_key_deletion(**keys, PendingWindowInDays=7),
    ),
)


def kind(service: str, name: str) -> Kind:
    """The kind of this name; one that the table does not have is as botocore's model says."""
    return next((one for one in KINDS if (one.service, one.name) == (service, name)), Kind(service, name))


def by_arn(arn: str) -> tuple[Kind, dict[str, str]] | None:
    """The kind and the keys that an ARN tells; None for a kind that is not in the table."""
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    for one in KINDS:
        if one.service == service and one.arn and (found := re.fullmatch(one.arn, _rest(arn))):
            return one, found.groupdict() or dict.fromkeys(one.keys, arn)
    return None
