"""GuardDuty's and Security Hub's findings through boto3, and their filters against a plain reading of the documentation."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from accounts import ACCOUNT, REGION, Account
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.findings import meets, passes
from kit.local_aws.guardduty import SAMPLES

# GuardDuty


def test_samples_are_listed_by_criteria_read_and_archived(account: Account) -> None:
    guardduty = account.client("guardduty")
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    assert guardduty.list_findings(DetectorId=detector)["FindingIds"] == []
    guardduty.create_sample_findings(DetectorId=detector)
    ids = guardduty.list_findings(DetectorId=detector)["FindingIds"]
    assert len(ids) == len(SAMPLES)
    high = guardduty.list_findings(
        DetectorId=detector,
        FindingCriteria={"Criterion": {"severity": {"GreaterThanOrEqual": 7}}},
        SortCriteria={"AttributeName": "severity", "OrderBy": "DESC"},
    )["FindingIds"]
    found = guardduty.get_findings(DetectorId=detector, FindingIds=high)["Findings"]
    assert {one["Type"] for one in found} == {
        kind for kind, (severity, *_) in SAMPLES.items() if severity >= 7
    }
    assert all(one["Title"].startswith("[SAMPLE]") and one["AccountId"] == ACCOUNT for one in found)
    guardduty.archive_findings(DetectorId=detector, FindingIds=high)
    current = {"Criterion": {"service.archived": {"Eq": ["false"]}}}
    left = guardduty.list_findings(DetectorId=detector, FindingCriteria=current)["FindingIds"]
    assert set(left) == set(ids) - set(high)


def test_a_sample_that_is_there_is_counted_and_an_unknown_type_is_told(account: Account) -> None:
    guardduty = account.client("guardduty")
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    kind = "Policy:S3/BucketPublicAccessGranted"
    for _ in range(2):
        guardduty.create_sample_findings(DetectorId=detector, FindingTypes=[kind])
    ids = guardduty.list_findings(DetectorId=detector)["FindingIds"]
    [finding] = guardduty.get_findings(DetectorId=detector, FindingIds=ids)["Findings"]
    assert finding["Service"]["Count"] == 2
    assert finding["Resource"]["S3BucketDetails"][0]["Name"] == "bucketName"
    with pytest.raises(ClientError, match="BadRequestException"):
        guardduty.create_sample_findings(DetectorId=detector, FindingTypes=["No:Such/Type"])
    with pytest.raises(ClientError, match="BadRequestException"):
        guardduty.list_findings(DetectorId="0" * 32)


def test_a_finding_is_an_event(account: Account) -> None:
    queue, arn = hearing_queue(account.client("sqs"), "threats")
    bus, guardduty = account.client("events"), account.client("guardduty")
    bus.put_rule(
        Name="high", EventPattern=json.dumps({"source": ["aws.guardduty"], "detail": {"severity": [8.0]}})
    )
    bus.put_targets(Rule="high", Targets=[{"Id": "q", "Arn": arn}])
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    guardduty.create_sample_findings(DetectorId=detector)
    told = heard(account.client("sqs"), queue)
    assert {one["detail"]["severity"] for one in told} == {8.0}


# Security Hub

PRODUCT = f"arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default"


def finding(name: str, **more: Any) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat()
    return {
        "SchemaVersion": "2018-10-08",
        "Id": name,
        "ProductArn": PRODUCT,
        "GeneratorId": "eba-guardrails",
        "AwsAccountId": ACCOUNT,
        "Types": ["Software and Configuration Checks"],
        "CreatedAt": moment,
        "UpdatedAt": moment,
        "Severity": {"Label": "HIGH"},
        "Title": f"Finding {name}",
        "Description": "A guardrail was attacked.",
        "Resources": [{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::eba"}],
        **more,
    }


def ids(hub: Any, **filters: Any) -> list[str]:
    return sorted(one["Id"] for one in hub.get_findings(Filters=filters)["Findings"])


def test_findings_are_imported_filtered_and_worked_on(account: Account) -> None:
    hub = account.client("securityhub")
    with pytest.raises(ClientError, match="not subscribed"):
        hub.get_findings()
    hub.enable_security_hub()
    given = [
        finding("a"),
        finding("b", Severity={"Normalized": 20}),
        finding("c", AwsAccountId="999999999999"),
    ]
    told = hub.batch_import_findings(Findings=given)
    assert (told["SuccessCount"], told["FailedCount"], told["FailedFindings"][0]["Id"]) == (2, 1, "c")
    assert ids(hub) == ["a", "b"]
    assert ids(hub, SeverityLabel=[{"Value": "LOW", "Comparison": "EQUALS"}]) == ["b"]
    assert ids(hub, WorkflowStatus=[{"Value": "NEW", "Comparison": "EQUALS"}]) == ["a", "b"]
    told = hub.batch_update_findings(
        FindingIdentifiers=[{"Id": name, "ProductArn": PRODUCT} for name in ("a", "nope")],
        Workflow={"Status": "RESOLVED"},
        Note={"Text": "blocked again", "UpdatedBy": "ann"},
    )
    assert [one["Id"] for one in told["ProcessedFindings"]] == ["a"]
    assert told["UnprocessedFindings"][0]["ErrorCode"] == "FindingNotFound"
    assert ids(hub, WorkflowStatus=[{"Value": "RESOLVED", "Comparison": "EQUALS"}]) == ["a"]
    assert ids(hub, NoteText=[{"Value": "again", "Comparison": "CONTAINS"}]) == ["a"]
    # Imported once more, it keeps what people said of it.
    hub.batch_import_findings(Findings=[finding("a", Title="Seen again")])
    [again] = hub.get_findings(Filters={"Id": [{"Value": "a", "Comparison": "EQUALS"}]})["Findings"]
    assert (again["Title"], again["Workflow"]["Status"]) == ("Seen again", "RESOLVED")


def test_findings_come_sorted_and_in_pages(account: Account) -> None:
    hub = account.client("securityhub")
    hub.enable_security_hub()
    labels = ["LOW", "CRITICAL", "MEDIUM", "HIGH", "INFORMATIONAL"]
    hub.batch_import_findings(Findings=[finding(label, Severity={"Label": label}) for label in labels])
    sort = [{"Field": "SeverityNormalized", "SortOrder": "desc"}]
    pages = hub.get_paginator("get_findings").paginate(SortCriteria=sort, PaginationConfig={"PageSize": 2})
    assert [one["Id"] for page in pages for one in page["Findings"]] == [
        "CRITICAL",
        "HIGH",
        "MEDIUM",
        "LOW",
        "INFORMATIONAL",
    ]


def test_standards_are_enabled_and_disabled(account: Account) -> None:
    hub = account.client("securityhub")
    hub.enable_security_hub()
    standards = {one["Name"]: one["StandardsArn"] for one in hub.describe_standards()["Standards"]}
    [enabled] = hub.get_enabled_standards()["StandardsSubscriptions"]
    assert enabled["StandardsArn"] == standards["AWS Foundational Security Best Practices v1.0.0"]
    cis = standards["CIS AWS Foundations Benchmark v3.0.0"]
    [made] = hub.batch_enable_standards(StandardsSubscriptionRequests=[{"StandardsArn": cis}])[
        "StandardsSubscriptions"
    ]
    assert made["StandardsStatus"] == "READY"
    hub.batch_disable_standards(StandardsSubscriptionArns=[enabled["StandardsSubscriptionArn"]])
    assert [one["StandardsArn"] for one in hub.get_enabled_standards()["StandardsSubscriptions"]] == [cis]
    with pytest.raises(ClientError, match="InvalidInputException"):
        hub.batch_enable_standards(StandardsSubscriptionRequests=[{"StandardsArn": cis + "x"}])


# The filters

words = st.sampled_from(["a", "ab", "b", "bc", "abc"])
comparisons = st.sampled_from(
    ["EQUALS", "NOT_EQUALS", "PREFIX", "PREFIX_NOT_EQUALS", "CONTAINS", "NOT_CONTAINS"]
)


@given(words, st.lists(st.tuples(comparisons, words), min_size=1, max_size=4))
def test_positive_filters_are_joined_by_or_negative_ones_by_and(
    title: str, asked: list[tuple[str, str]]
) -> None:
    def holds(comparison: str, value: str) -> bool:
        test = {"EQUALS": title == value, "PREFIX": title.startswith(value), "CONTAINS": value in title}
        return {
            **test,
            "NOT_EQUALS": title != value,
            "PREFIX_NOT_EQUALS": not title.startswith(value),
            "NOT_CONTAINS": value not in title,
        }[comparison]

    positive = [holds(*one) for one in asked if "NOT" not in one[0]]
    negative = [holds(*one) for one in asked if "NOT" in one[0]]
    expected = (any(positive) or not positive) and all(negative)
    filters = {"Title": [{"Comparison": comparison, "Value": value} for comparison, value in asked]}
    assert passes({"Title": title}, filters) is expected


@given(st.integers(0, 10), st.integers(0, 10))
def test_numbers_are_compared(severity: int, limit: int) -> None:
    row = {"Severity": severity, "Service": {"Archived": severity > limit}}
    assert meets(row, {"severity": {"Gte": limit}}) == (severity >= limit)
    assert meets(row, {"severity": {"LessThan": limit}}) == (severity < limit)
    assert meets(row, {"service.archived": {"Eq": ["true"]}}) == (severity > limit)
    assert meets(row, {"severity": {"Neq": [str(limit)]}}) == (severity != limit)
    assert meets(row, {"severity": {"Gt": limit}, "service.archived": {"Eq": ["false"]}}) is False


def test_dates_maps_and_lists_are_filtered() -> None:
    moment = datetime(2026, 3, 10, tzinfo=UTC)
    row = {
        "UpdatedAt": (moment - timedelta(days=2)).isoformat(),
        "Resources": [{"Type": "AwsS3Bucket", "Tags": {"team": "blue"}}, {"Type": "AwsIamRole"}],
        "Confidence": 80,
    }
    assert passes(row, {"UpdatedAt": [{"DateRange": {"Value": 3, "Unit": "DAYS"}}]}, moment)
    assert not passes(row, {"UpdatedAt": [{"DateRange": {"Value": 1, "Unit": "DAYS"}}]}, moment)
    assert passes(
        row, {"UpdatedAt": [{"Start": "2026-03-01T00:00:00Z", "End": "2026-03-09T00:00:00Z"}]}, moment
    )
    assert passes(row, {"ResourceTags": [{"Key": "team", "Value": "blue", "Comparison": "EQUALS"}]})
    assert not passes(row, {"ResourceTags": [{"Key": "team", "Value": "red", "Comparison": "EQUALS"}]})
    assert passes(row, {"ResourceType": [{"Value": "AwsIamRole", "Comparison": "EQUALS"}]})
    assert not passes(row, {"ResourceType": [{"Value": "AwsIamRole", "Comparison": "NOT_EQUALS"}]})
    assert passes(row, {"Confidence": [{"Gte": 80.0}]})
    assert not passes(row, {"Confidence": [{"Gt": 80.0}]})
    assert passes(row, {"Keyword": [{"Value": "BLUE"}]})
