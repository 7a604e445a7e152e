"""What a real local AWS notices, and the event that closes what was opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from jobs import load
from test_guardrails import ANYBODY, NAMES, Here, here, role  # noqa: F401 - `here` is a fixture

access, detection, guardrails = load("foundations", "access", "detection", "guardrails")
FOLDER = Path(__file__).parents[1] / "foundations" / "policies" / "guardrails"
TAGS = [{"Key": "eba:event", "Value": "test"}]


@pytest.fixture
def trail(here: Here) -> str:  # noqa: F811
    names = {**NAMES, "account": here.account}
    detection.bucket(here.client("s3"), "eba-logs", TAGS, access.filled(FOLDER / "logs-bucket.json", names))
    arn: str = detection.recorded(here.client("cloudtrail"), "eba", "eba-logs", TAGS)
    return arn


def test_a_trail_is_made_once_and_logs(here: Here, trail: str) -> None:  # noqa: F811
    cloudtrail = here.client("cloudtrail")
    assert detection.recorded(cloudtrail, "eba", "eba-logs", TAGS) == trail
    cloudtrail.stop_logging(Name="eba")
    detection.recorded(cloudtrail, "eba", "eba-logs", TAGS)
    assert cloudtrail.get_trail_status(Name="eba")["IsLogging"]
    (held,) = cloudtrail.describe_trails()["trailList"]
    assert held["IsMultiRegionTrail"]
    assert held["LogFileValidationEnabled"]


def test_only_refused_calls_of_that_user_are_noticed(here: Here) -> None:  # noqa: F811
    arn = role(here, "Clumsy", {"Effect": "Allow", "Action": "kms:ListKeys", "Resource": "*"})
    clumsy = here.as_role(arn, "clumsy-one")
    clumsy.client("kms").list_keys()
    with pytest.raises(ClientError, match="AccessDenied"):
        clumsy.client("kms").disable_key(KeyId="12345678-1234-1234-1234-123456789012")
    assert detection.noticed(here.client("cloudtrail"), "clumsy-one") == {"kms:DisableKey"}
    assert detection.noticed(here.client("cloudtrail"), "somebody-else") == set()


def test_a_bucket_that_takes_plain_connections_breaks_the_rule(here: Here, trail: str) -> None:  # noqa: F811
    import yaml

    s3, config, iam = (here.client(name) for name in ("s3", "config", "iam"))
    detection.bucket(s3, "eba-plain", TAGS)
    name = detection.recording(config, iam, "eba", "eba-logs", ["AWS::S3::Bucket"])
    assert detection.recording(config, iam, "another", "eba-logs", ["AWS::S3::Bucket"]) == name == "eba"
    (rule, *_) = yaml.safe_load((FOLDER / "config-rules.yml").read_text())
    config.put_config_rule(ConfigRule=rule)
    config.start_config_rules_evaluation(ConfigRuleNames=[rule["ConfigRuleName"]])
    found = guardrails.wait_for(
        lambda: detection.verdicts(config, rule["ConfigRuleName"]), "a verdict", 0.1, 120
    )
    assert found["eba-plain"] == "NON_COMPLIANT"
    assert found["eba-logs"] == "COMPLIANT"


def test_what_is_on_already_stays_on(here: Here) -> None:  # noqa: F811
    guardduty, hub = here.client("guardduty"), here.client("securityhub")
    assert detection.watching(guardduty, {"a": "b"}) == detection.watching(guardduty, {"a": "b"})
    assert detection.collecting(hub, {"a": "b"}) == detection.collecting(hub, {"a": "b"})


def test_a_finding_is_taken_by_security_hub(here: Here) -> None:  # noqa: F811
    hub = here.client("securityhub")
    detection.collecting(hub, {})
    product = f"arn:aws:securityhub:us-east-1:{here.account}:product/{here.account}/default"
    told = detection.finding("f1", "Open", "arn:aws:s3:::b", product, here.account, "2026-12-01T10:00:00Z")
    assert hub.batch_import_findings(Findings=[told])["SuccessCount"] == 1


def event(bucket: str) -> dict[str, Any]:
    return {"detail": {"requestParameters": {"bucketName": bucket}}}


def test_an_opened_bucket_is_closed_and_a_closed_one_left_alone(here: Here) -> None:  # noqa: F811
    s3 = here.client("s3")
    detection.bucket(s3, "eba-opened", TAGS)
    s3.delete_public_access_block(Bucket="eba-opened")
    assert detection.closed(event("eba-opened"), s3) == "eba-opened"
    assert all(s3.get_public_access_block(Bucket="eba-opened")["PublicAccessBlockConfiguration"].values())
    assert detection.closed(event("eba-opened"), s3) == ""
    assert detection.closed(event("eba-gone"), s3) == ""


def test_the_event_of_an_opened_bucket_reaches_the_queue_and_is_worked_on_once(
    here: Here,  # noqa: F811
    trail: str,
) -> None:
    s3, sqs, events = (here.client(name) for name in ("s3", "sqs", "events"))
    detection.bucket(s3, "eba-accident", TAGS)
    policy = access.filled(FOLDER / "queue.json", {**NAMES, "account": here.account})
    queue = sqs.create_queue(QueueName="eba-guard-opened", Attributes={"Policy": policy})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="eba-guard-opened", EventPattern=(FOLDER / "opened.json").read_text())
    events.put_targets(Rule="eba-guard-opened", Targets=[{"Id": "queue", "Arn": arn}])

    def work(told: Any) -> str:
        found: str = detection.closed(told, s3)
        return found

    assert detection.taken_off(sqs, queue, work) == []
    s3.delete_public_access_block(Bucket="eba-accident")
    assert guardrails.wait_for(lambda: detection.taken_off(sqs, queue, work), "the event", 0.1, 120) == [
        "eba-accident"
    ]
    left = json.dumps(detection.taken_off(sqs, queue, work))  # the remedy's own event changes nothing
    assert left == "[]"


def test_the_rule_does_not_wait_for_other_buckets_or_calls() -> None:
    pattern = json.loads((FOLDER / "opened.json").read_text())
    assert pattern["detail"]["requestParameters"]["bucketName"] == [{"prefix": "eba-"}]
    assert all("PublicAccessBlock" in name for name in pattern["detail"]["eventName"])


def test_an_alarm_rings_as_soon_as_the_metric_counts_anything(here: Here) -> None:  # noqa: F811
    cloudwatch = here.client("cloudwatch")
    topic = here.client("sns").create_topic(Name="eba-security")["TopicArn"]
    detection.alarm(cloudwatch, "door", "Door", "eba/test", topic, TAGS)
    assert detection.rings(cloudwatch, "door") == detection.rings(cloudwatch, "none") == ""
    cloudwatch.put_metric_data(Namespace="eba/test", MetricData=[{"MetricName": "Door", "Value": 1}])
    assert detection.rings(cloudwatch, "door").startswith("Threshold Crossed: 1 out of the last 1 datapoints")
