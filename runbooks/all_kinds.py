"""Every kind of thing that the runbooks make, in the order in which they are deleted."""

from __future__ import annotations

import re
from typing import Any

import steps
from kinds import Kind, rest

__all__ = ["KINDS", "by_arn", "kind"]


def _job(name: str, word: str) -> Kind:
    return Kind(
        "sagemaker",
        name,
        (f"{name}Name",),
        rf"{word}/(?P<{name}Name>.+)",
        within=steps.lines(f"{name}s"),
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
        remove=steps.control_policy,
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
        within=steps.stacked,
        look=lambda at, keys: at("cloudformation").describe_stacks(**keys)["Stacks"][0],
    ),
    _plain("events", "Rule", "rule/", "Name", remove=steps.rule),
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
        look=steps.target,
        within=steps.tracking,
        remove=lambda at, keys: at("application-autoscaling").deregister_scalable_target(**keys),
    ),
    _plain(
        "sagemaker",
        "Pipeline",
        "pipeline/",
        within=steps.executions,
        remove=lambda at, keys: at("sagemaker").delete_pipeline(
            **keys, ClientRequestToken=f"clean-up-of-the-event-{keys['PipelineName']}"[:128].ljust(32, "-")
        ),
    ),
    _plain("sagemaker", "Endpoint", "endpoint/", within=steps.endpoint_parts),
    _plain("sagemaker", "EndpointConfig", "endpoint-config/"),
    _plain("sagemaker", "Model", "model/"),
    _plain("sagemaker", "ModelCard", "model-card/"),
    _plain("sagemaker", "ModelPackageGroup", "model-package-group/", within=steps.packages),
    _plain("sagemaker", "FeatureGroup", "feature-group/", within=steps.catalogued),
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
        within=steps.domain_parts,
        remove=lambda at, keys: at("sagemaker").delete_domain(
            **keys, RetentionPolicy={"HomeEfsFileSystem": "Delete"}
        ),
    ),
    _plain("sagemaker", "NotebookInstance", "notebook-instance/", remove=steps.notebook),
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
        remove=steps.recorder,
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
    Kind("sso-admin", "AccountAssignment", _ASSIGNED, look=steps.assignment),
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
        look=steps.queue,
        remove=lambda at, keys: at("sqs").delete_queue(QueueUrl=steps.queue(at, keys)),
    ),
    Kind("logs", "LogStream", ("logGroupName", "logStreamName"), look=steps.log_stream),
    Kind(
        "logs",
        "LogGroup",
        ("logGroupName",),
        r"log-group:(?P<logGroupName>[^:]+)(?::\*)?",
        look=steps.log_group,
    ),
    # What everything else stood on.
    _plain(
        "s3", "Bucket", "", "Bucket", look=lambda at, keys: at("s3").head_bucket(**keys), remove=steps.bucket
    ),
    _plain("iam", "Role", "role/(?:.+/)?", remove=steps.role),
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
        remove=steps.policy,
    ),
    Kind("kms", "Alias", ("AliasName",), look=steps.alias),
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
        if one.service == service and one.arn and (found := re.fullmatch(one.arn, rest(arn))):
            return one, found.groupdict() or dict.fromkeys(one.keys, arn)
    return None
