"""What takes more than one call to look at, to delete, or to find inside of something: a function for each.

`at` gives the boto3 client of a service. What lies in something is told as (kind, keys), or as ("", {"Arn": ...}).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError
from kinds import LEFT, At, Keys

__all__ = [
    "alias",
    "assignment",
    "bucket",
    "catalogued",
    "control_policy",
    "domain_parts",
    "endpoint_parts",
    "executions",
    "lines",
    "log_group",
    "log_stream",
    "notebook",
    "packages",
    "policy",
    "queue",
    "recorder",
    "role",
    "rule",
    "stacked",
    "target",
    "tracking",
]


def rule(at: At, keys: Keys) -> None:
    """Take its targets off, then delete the rule."""
    events = at("events")
    targets = [one["Id"] for one in events.list_targets_by_rule(Rule=keys["Name"])["Targets"]]
    if targets:
        events.remove_targets(Rule=keys["Name"], Ids=targets)
    events.delete_rule(Name=keys["Name"])


def domain_parts(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The applications, spaces and profiles of a Studio domain."""
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


def packages(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The versions in a model package group."""
    pages = at("sagemaker").get_paginator("list_model_packages")
    for page in pages.paginate(ModelPackageGroupName=keys["ModelPackageGroupName"]):
        for row in page["ModelPackageSummaryList"]:
            yield "sagemaker.ModelPackage", {"ModelPackageArn": row["ModelPackageArn"]}


def executions(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
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
                    if isinstance(made, dict) and made.get("Arn"):
                        yield "", {"Arn": made["Arn"]}


def catalogued(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The table in AWS Glue that a feature group made, which outlives it."""
    group = at("sagemaker").describe_feature_group(**keys)
    if table := group.get("OfflineStoreConfig", {}).get("DataCatalogConfig"):
        yield "glue.Table", {"DatabaseName": table["Database"], "Name": table["TableName"]}


def endpoint_parts(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """What an endpoint logged, and how it was to scale."""
    group = f"/aws/sagemaker/Endpoints/{keys['EndpointName']}"
    if log_group(at, {"logGroupName": group}):
        yield "logs.LogGroup", {"logGroupName": group}
    scaling = at("application-autoscaling")
    for row in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]:
        if row["ResourceId"].startswith(f"endpoint/{keys['EndpointName']}/"):
            members = ("ServiceNamespace", "ResourceId", "ScalableDimension")
            yield "application-autoscaling.ScalableTarget", {m: row[m] for m in members}


def lines(group: str) -> Callable[[At, Keys], Iterator[tuple[str, Keys]]]:
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


def log_stream(at: At, keys: Keys) -> Any:
    """A log stream, if it is there."""
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


def stacked(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The resources of a stack that have a kind of their own here."""
    for page in at("cloudformation").get_paginator("list_stack_resources").paginate(**keys):
        for row in page["StackResourceSummaries"]:
            if (known := IN_STACKS.get(row["ResourceType"])) and row.get("PhysicalResourceId"):
                id = row["PhysicalResourceId"]
                yield ("", {"Arn": id}) if id.startswith("arn:") else (known[0], {known[1]: id})


def tracking(at: At, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The alarms that target tracking made."""
    pages = at("cloudwatch").get_paginator("describe_alarms")
    for page in pages.paginate(AlarmNamePrefix=f"TargetTracking-{keys['ResourceId']}"):
        for row in page["MetricAlarms"]:
            yield "cloudwatch.MetricAlarm", {"AlarmName": row["AlarmName"]}


def log_group(at: At, keys: Keys) -> Any:
    """A log group, if it is there."""
    found = at("logs").describe_log_groups(logGroupNamePrefix=keys["logGroupName"])["logGroups"]
    return [one for one in found if one["logGroupName"] == keys["logGroupName"]]


def recorder(at: At, keys: Keys) -> None:
    """Stop a recorder, then delete it."""
    config = at("config")
    config.stop_configuration_recorder(ConfigurationRecorderName=keys["name"])
    config.delete_configuration_recorder(ConfigurationRecorderName=keys["name"])


def assignment(at: At, keys: Keys) -> Any:
    """The assignments of a permission set to one who has it in the account."""
    named = {m: keys[m] for m in ("InstanceArn", "PermissionSetArn")}
    pages = at("sso-admin").get_paginator("list_account_assignments")
    found = [
        one
        for page in pages.paginate(AccountId=keys["TargetId"], **named)
        for one in page["AccountAssignments"]
    ]
    return [one for one in found if one["PrincipalId"] == keys["PrincipalId"]]


def control_policy(at: At, keys: Keys) -> None:
    """Detach a policy of the organization wherever it holds, then delete it."""
    organizations = at("organizations")
    for target in organizations.list_targets_for_policy(**keys)["Targets"]:
        organizations.detach_policy(**keys, TargetId=target["TargetId"])
    organizations.delete_policy(**keys)


def bucket(at: At, keys: Keys) -> None:
    """Its policy, which may forbid what follows; every version of every object, folder by folder; then the bucket."""
    s3, name = at("s3"), {"Bucket": keys["Bucket"]}
    s3.delete_bucket_policy(**name)
    for page in s3.get_paginator("list_object_versions").paginate(**name):
        rows = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        folders: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            folder = "/".join(row["Key"].split("/")[:2])
            folders.setdefault(folder, []).append({"Key": row["Key"], "VersionId": row["VersionId"]})
        for objects in folders.values():
            refused = s3.delete_objects(**name, Delete={"Objects": objects, "Quiet": True}).get("Errors", [])
            if refused:
                told = {"Error": {"Code": refused[0]["Code"], "Message": refused[0].get("Message", "")}}
                raise ClientError(told, "DeleteObjects")
    for page in s3.get_paginator("list_multipart_uploads").paginate(**name):
        for row in page.get("Uploads", []):
            s3.abort_multipart_upload(**name, Key=row["Key"], UploadId=row["UploadId"])
    s3.delete_bucket(**name)


def role(at: At, keys: Keys) -> None:
    """Take off all that a role has, then delete it."""
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


def policy(at: At, keys: Keys) -> None:
    """The older versions of a policy, then the policy."""
    iam = at("iam")
    for page in iam.get_paginator("list_policy_versions").paginate(**keys):
        for row in page["Versions"]:
            if not row["IsDefaultVersion"]:
                iam.delete_policy_version(**keys, VersionId=row["VersionId"])
    iam.delete_policy(**keys)


def notebook(at: At, keys: Keys) -> None:
    """Stop a notebook instance, then delete it."""
    sagemaker = at("sagemaker")
    if sagemaker.describe_notebook_instance(**keys)["NotebookInstanceStatus"] == "InService":
        sagemaker.stop_notebook_instance(**keys)
        sagemaker.get_waiter("notebook_instance_stopped").wait(**keys)
    sagemaker.delete_notebook_instance(**keys)


def queue(at: At, keys: Keys) -> str:
    """The URL of a queue, if it is there."""
    url: str = at("sqs").get_queue_url(QueueName=keys["QueueName"])["QueueUrl"]
    return url


def target(at: At, keys: Keys) -> Any:
    """A scalable target, if it is there."""
    asked = {"ServiceNamespace": keys["ServiceNamespace"], "ResourceIds": [keys["ResourceId"]]}
    return at("application-autoscaling").describe_scalable_targets(**asked)["ScalableTargets"]


def alias(at: At, keys: Keys) -> Any:
    """An alias of a key, if it is there."""
    pages = at("kms").get_paginator("list_aliases").paginate()
    return [one for page in pages for one in page["Aliases"] if one["AliasName"] == keys["AliasName"]]
