"""What the account notices and puts right: its trail, its rules, its findings, and events that close what was opened.

Clients are boto3's.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

__all__ = [
    "alarm",
    "bucket",
    "closed",
    "collecting",
    "finding",
    "noticed",
    "recorded",
    "recording",
    "roles",
    "taken_off",
    "verdicts",
    "watching",
]

Row = dict[str, Any]


def bucket(s3: Any, name: str, tags: Sequence[Row], policy: str = "") -> None:
    """A bucket of that name exists; with a policy (JSON) it has that, and keeps old versions, as logs need it."""
    region = s3.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    if name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=name, **place)
        s3.get_waiter("bucket_exists").wait(Bucket=name)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": list(tags)})
    if policy:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_policy(Bucket=name, Policy=policy)


def recorded(cloudtrail: Any, name: str, bucket: str, tags: Sequence[Row], **more: Any) -> str:
    """The ARN of the trail of that name, which logs every region to the bucket and shows when a log was changed."""
    settings = {
        "S3BucketName": bucket,
        "IsMultiRegionTrail": True,
        "IncludeGlobalServiceEvents": True,
        "EnableLogFileValidation": True,
        **more,
    }
    there = {trail["Name"] for trail in cloudtrail.describe_trails(trailNameList=[name])["trailList"]}
    if name in there:
        trail = cloudtrail.update_trail(Name=name, **settings)
    else:
        trail = cloudtrail.create_trail(Name=name, TagsList=list(tags), **settings)
    cloudtrail.start_logging(Name=name)
    arn: str = trail["TrailARN"]
    return arn


def noticed(cloudtrail: Any, user: str) -> set[str]:
    """What that user (of a session: its name) was refused, as `service:Action`, by the trail's history of this region."""
    found = set()
    asked = [{"AttributeKey": "Username", "AttributeValue": user}]
    for page in cloudtrail.get_paginator("lookup_events").paginate(LookupAttributes=asked):
        for event in page["Events"]:
            if "errorCode" in json.loads(event["CloudTrailEvent"]):
                found.add(f"{event['EventSource'].partition('.')[0]}:{event['EventName']}")
    return found


def recording(config: Any, iam: Any, name: str, bucket: str, kinds: Sequence[str]) -> str:
    """The name of the recorder that notes how resources are set up. A region has one: an existing one stays as it is."""
    there = config.describe_configuration_recorders()["ConfigurationRecorders"]
    if there:
        held: str = there[0]["name"]
        return held
    linked = "AWSServiceRoleForConfig"
    try:
        role = iam.get_role(RoleName=linked)["Role"]
    except iam.exceptions.NoSuchEntityException:
        role = iam.create_service_linked_role(AWSServiceName="config.amazonaws.com")["Role"]
    group = {"allSupported": False, "resourceTypes": list(kinds)}
    recorder = {"name": name, "roleARN": role["Arn"], "recordingGroup": group}
    config.put_configuration_recorder(ConfigurationRecorder=recorder)
    config.put_delivery_channel(DeliveryChannel={"name": name, "s3BucketName": bucket})
    config.start_configuration_recorder(ConfigurationRecorderName=name)
    return name


def watching(guardduty: Any, tags: Mapping[str, str]) -> str:
    """The id of the region's detector, which is on; an existing one keeps its settings."""
    there = guardduty.list_detectors()["DetectorIds"]
    detector: str = there[0] if there else guardduty.create_detector(Enable=True, Tags=tags)["DetectorId"]
    return detector


def collecting(hub: Any, tags: Mapping[str, str]) -> str:
    """The ARN of Security Hub, which is on now; no standard is turned on by it."""
    with contextlib.suppress(hub.exceptions.ResourceConflictException):  # it is on already
        hub.enable_security_hub(EnableDefaultStandards=False, Tags=tags)
    arn: str = hub.describe_hub()["HubArn"]
    return arn


def verdicts(config: Any, rule: str) -> dict[str, str]:
    """What a rule says of each resource (by its id): COMPLIANT, NON_COMPLIANT and so on."""
    pages = config.get_paginator("get_compliance_details_by_config_rule").paginate(ConfigRuleName=rule)
    return {
        one["EvaluationResultIdentifier"]["EvaluationResultQualifier"]["ResourceId"]: one["ComplianceType"]
        for page in pages
        for one in page["EvaluationResults"]
    }


def finding(id: str, title: str, resource: str, product: str, account: str, now: str) -> Row:
    """A finding of high severity about a bucket (ARN), in Security Hub's format; `now` is ISO 8601 in UTC."""
    return {
        "SchemaVersion": "2018-10-08",
        "Id": id,
        "ProductArn": product,
        "GeneratorId": "eba-guardrails",
        "AwsAccountId": account,
        "Types": ["Software and Configuration Checks"],
        "CreatedAt": now,
        "UpdatedAt": now,
        "Severity": {"Label": "HIGH"},
        "Title": title,
        "Description": title,
        "Resources": [{"Type": "AwsS3Bucket", "Id": resource}],
    }


# What corrects


def closed(event: Mapping[str, Any], s3: Any) -> str:
    """Closes the bucket that an event of the rule `eba-guard-opened` tells of; its name, or "" where it is closed.

    Closing makes an event of its own, so what is closed already is left alone.
    """
    bucket: str = event["detail"]["requestParameters"]["bucketName"]
    ways = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    try:
        held = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchBucket":
            return ""
        if code != "NoSuchPublicAccessBlockConfiguration":
            raise
        held = {}
    if all(held.get(way) for way in ways):
        return ""
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(ways, True))
    return bucket


def taken_off(sqs: Any, queue: str, work: Callable[[Mapping[str, Any]], str]) -> list[str]:
    """What `work` did with each event that waits in the queue (URL), where it did something; an event is taken off after."""
    done = []
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
    for message in answer.get("Messages", []):
        if did := work(json.loads(message["Body"])):
            done.append(did)
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return done


def roles(iam: Any) -> set[str]:
    """The names of the account's roles."""
    return {role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]}


def rings(cloudwatch: Any, name: str) -> str:
    """Why the alarm of that name rings, in CloudWatch's words; empty where it does not."""
    alarms = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return next((one["StateReason"] for one in alarms if one["StateValue"] == "ALARM"), "")


def alarm(cloudwatch: Any, name: str, metric: str, space: str, topic: str, tags: Sequence[Row]) -> None:
    """An alarm of that name tells the topic (ARN) as soon as the metric counts anything within five minutes."""
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        AlarmActions=[topic],
        MetricName=metric,
        Namespace=space,
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
        Tags=list(tags),
    )
