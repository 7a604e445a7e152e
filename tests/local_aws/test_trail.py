"""CloudTrail's event history over calls that were really made, and what EventBridge hears of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from accounts import ACCOUNT, Account, allow, deny, refused
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue

from kit.local_aws.trail import is_data, reads


def events(account: Account, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.client("cloudtrail").lookup_events(**asked)["Events"]
    return found


def by(attribute: str, value: str) -> dict[str, Any]:
    return {"LookupAttributes": [{"AttributeKey": attribute, "AttributeValue": value}]}


def test_a_call_is_found_with_who_made_it_on_what_and_how(account: Account) -> None:
    arn = account.role("reader", allow("s3:*"))
    s3 = account.client("s3", account.session(arn))
    s3.put_bucket_versioning(Bucket="eba", VersioningConfiguration={"Status": "Enabled"})
    [event] = events(account, **by("EventName", "PutBucketVersioning"))
    assert event["Username"] == "lab"
    assert event["EventSource"] == "s3.amazonaws.com"
    assert event["ReadOnly"] == "false"
    assert event["Resources"] == [{"ResourceType": "AWS::S3::Bucket", "ResourceName": "eba"}]
    assert datetime.now(UTC) - event["EventTime"] < timedelta(minutes=1)
    told = json.loads(event["CloudTrailEvent"])
    assert told["userIdentity"]["type"] == "AssumedRole"
    assert told["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == arn
    assert told["requestParameters"]["bucketName"] == "eba"
    assert told["eventID"] == event["EventId"]
    assert "errorCode" not in told
    assert "Boto3" in told["userAgent"]


def test_a_refused_call_is_found_with_its_error(account: Account) -> None:
    ann = account.user("ann", allow("s3:GetObject"))
    refused(account.client("iam", ann).create_user, UserName="eve")
    [event] = events(account, **by("Username", "ann"))
    told = json.loads(event["CloudTrailEvent"])
    assert told["errorCode"] == "AccessDenied"
    assert "iam:CreateUser" in told["errorMessage"]
    assert told["userIdentity"]["type"] == "IAMUser"
    with pytest.raises(ClientError):
        account.client("s3").get_bucket_policy(Bucket="eba")
    [event] = events(account, **by("EventName", "GetBucketPolicy"))
    assert json.loads(event["CloudTrailEvent"])["errorCode"] == "NoSuchBucketPolicy"


def test_the_assuming_of_a_role_is_found_by_the_role(account: Account) -> None:
    arn = account.role("BreakGlass", allow())
    ann = account.user("ann", allow("sts:AssumeRole"))
    account.session(arn, ann)
    [event] = events(account, **by("ResourceName", arn))[:1]
    assert (event["EventName"], event["Username"]) == ("AssumeRole", "ann")
    assert json.loads(event["CloudTrailEvent"])["requestParameters"]["roleArn"] == arn
    bob = account.user("bob", deny("sts:AssumeRole"))
    refused(account.client("sts", bob).assume_role, RoleArn=arn, RoleSessionName="lab")
    assert {one["Username"] for one in events(account, **by("ResourceName", arn))} >= {"ann", "bob"}


def test_calls_about_contents_are_no_management_events(account: Account) -> None:
    s3 = account.client("s3")
    s3.put_object(Bucket="eba", Key="k", Body=b"secret")
    s3.get_object(Bucket="eba", Key="k")
    s3.list_objects_v2(Bucket="eba")
    names = {event["EventName"] for event in events(account)}
    assert names.isdisjoint({"PutObject", "GetObject", "ListObjectsV2"})
    assert "CreateBucket" in names


def test_pages_go_on_where_the_last_ended_whatever_happens_between(account: Account) -> None:
    client = account.client("cloudtrail")
    for number in range(7):
        account.client("sqs").create_queue(QueueName=f"q{number}")
    first = client.lookup_events(MaxResults=3, **by("EventName", "CreateQueue"))
    account.client("sqs").create_queue(QueueName="later")
    token, names = first["NextToken"], [one["Resources"][0]["ResourceName"] for one in first["Events"]]
    while token:
        page = client.lookup_events(MaxResults=3, NextToken=token, **by("EventName", "CreateQueue"))
        names += [one["Resources"][0]["ResourceName"] for one in page["Events"]]
        token = page.get("NextToken")
    assert names == [f"q{number}" for number in reversed(range(7))]
    paged = client.get_paginator("lookup_events").paginate(**by("EventName", "CreateQueue"))
    assert len([event for page in paged for event in page["Events"]]) == 8
    with pytest.raises(ClientError, match="InvalidNextTokenException"):
        client.lookup_events(NextToken="nonsense")


def test_events_are_of_one_region_and_one_time(account: Account) -> None:
    moment = datetime.now(UTC)
    account.client("sqs").create_queue(QueueName="here")
    far = account.admin.client("cloudtrail", endpoint_url=account.url, region_name="eu-west-1")
    assert [one for one in far.lookup_events()["Events"] if one["EventName"] == "CreateQueue"] == []
    hour = timedelta(hours=1)
    name = by("EventName", "CreateQueue")
    assert len(events(account, StartTime=moment - hour, EndTime=moment + hour, **name)) == 1
    assert events(account, EndTime=moment - hour, **name) == []
    with pytest.raises(ClientError, match="InvalidTimeRangeException"):
        events(account, StartTime=moment, EndTime=moment - hour)
    with pytest.raises(ClientError, match="InvalidLookupAttributesException"):
        events(account, LookupAttributes=name["LookupAttributes"] * 2)


def test_secrets_are_not_written_down(account: Account) -> None:
    account.client("iam").create_user(UserName="ann")
    account.client("iam").create_login_profile(UserName="ann", Password="hunter2-hunter2")
    assert "hunter2" not in json.dumps(events(account), default=str)


def test_a_rule_hears_of_calls_once_a_trail_logs_and_can_be_answered(account: Account) -> None:
    """The corrective control: public access was unblocked, an event says so, whoever hears it blocks it again."""
    s3, bus, trail = (account.client(name) for name in ("s3", "events", "cloudtrail"))
    sqs = account.client("sqs")
    queue, arn = hearing_queue(sqs, "corrections")
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {"eventName": ["DeletePublicAccessBlock", "PutBucketPolicy"]},
    }
    bus.put_rule(Name="unblocked", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="unblocked", Targets=[{"Id": "queue", "Arn": arn}])
    s3.delete_public_access_block(Bucket="eba")
    assert heard(sqs, queue, seconds=0.5) == [], "no trail logs yet"
    s3.create_bucket(Bucket="trail")
    trail.create_trail(Name="event", S3BucketName="trail")
    trail.start_logging(Name="event")
    s3.delete_public_access_block(Bucket="eba")
    s3.get_bucket_versioning(Bucket="eba")
    [event] = heard(sqs, queue)
    assert (event["source"], event["account"], event["region"]) == ("aws.s3", ACCOUNT, "us-east-1")
    assert datetime.now(UTC) - datetime.fromisoformat(event["time"]) < timedelta(minutes=1)
    assert event["detail"]["eventName"] == "DeletePublicAccessBlock"
    bucket = event["detail"]["requestParameters"]["bucketName"]
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration=dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        ),
    )
    assert set(s3.get_public_access_block(Bucket="eba")["PublicAccessBlockConfiguration"].values()) == {True}
    bus.disable_rule(Name="unblocked")
    s3.delete_public_access_block(Bucket="eba")
    assert heard(sqs, queue, seconds=0.5) == [], "a disabled rule sends nothing"


@pytest.mark.parametrize(
    ("service", "action", "params", "data"),
    [
        ("s3", "GetObject", {"Key": "k"}, True),
        ("s3", "PutBucketPolicy", {"Bucket": "b"}, False),
        ("sagemaker-runtime", "InvokeEndpoint", {}, True),
        ("sagemaker", "CreateEndpoint", {}, False),
        ("kinesis", "PutRecords", {}, True),
        ("kinesis", "CreateStream", {}, False),
        ("kms", "Decrypt", {}, False),
    ],
)
def test_data_events_are_told_from_management_events(
    service: str, action: str, params: dict[str, Any], data: bool
) -> None:
    assert is_data(service, action, params) is data


def test_reading_is_told_from_changing() -> None:
    assert all(
        map(
            reads,
            ("GetRole", "ListBuckets", "DescribeTrails", "AssumeRole", "HeadBucket", "SimulateCustomPolicy"),
        )
    )
    assert not any(
        map(reads, ("CreateRole", "PutBucketPolicy", "DeleteTrail", "StartLogging", "UpdateEndpoint"))
    )
