from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue, soon

from kit.local_aws import client as local_client
from kit.local_aws.process import Server

Boto = Callable[..., Any]
SPACE = "Lab"
PERIOD = 43200  # seconds; the end of a period is an evaluation of its own, and seldom in the middle of a test
MOMENT = datetime.now(UTC)  # of all data that count, so that a period that ends meanwhile does not part them


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, for its alarm, metric, queue and rule."""
    return re.sub("[^A-Za-z0-9]+", "-", request.node.name).strip("-")[-70:].strip("-")


@pytest.fixture
def watch(boto: Boto, name: str) -> Callable[..., Any]:
    """Puts an alarm on the metric of the test; answers it as it is described."""

    def put(**more: Any) -> dict[str, Any]:
        usual: dict[str, Any] = {
            "AlarmName": name,
            "Namespace": SPACE,
            "MetricName": name,
            "Statistic": "Average",
            "Period": PERIOD,
            "EvaluationPeriods": 1,
            "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold",
            **more,
        }
        boto("cloudwatch").put_metric_alarm(
            **{key: value for key, value in usual.items() if value is not None}
        )
        return described(boto, name)

    return put


def described(boto: Boto, name: str) -> dict[str, Any]:
    (alarm,) = boto("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(alarm)


def put(boto: Boto, name: str, *values: float, ago: float = 0, **more: Any) -> None:
    moment = MOMENT - timedelta(seconds=ago)
    data = [{"MetricName": name, "Value": value, "Timestamp": moment, **more} for value in values]
    boto("cloudwatch").put_metric_data(Namespace=SPACE, MetricData=data)


def refused(boto: Boto, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        boto("cloudwatch").put_metric_alarm(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_an_alarm_begins_without_data_and_follows_the_metric(boto: Boto, name: str, watch: Any) -> None:
    assert watch()["StateValue"] == "INSUFFICIENT_DATA"
    put(boto, name, 1.0)
    assert described(boto, name)["StateValue"] == "OK"
    put(boto, name, 20.0)
    alarm = described(boto, name)
    assert alarm["StateValue"] == "ALARM"
    assert alarm["StateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [10.5 (")
    assert json.loads(alarm["StateReasonData"])["recentDatapoints"] == [10.5]
    assert watch(AlarmDescription="put again")["StateValue"] == "ALARM"


def test_a_new_alarm_looks_at_the_data_that_is_there(boto: Boto, name: str, watch: Any) -> None:
    put(boto, name, 9.0)
    assert watch()["StateValue"] == "ALARM"


@pytest.mark.parametrize(
    ("more", "values", "state"),
    [
        ({"Statistic": "Sum"}, (3, 3), "ALARM"),
        ({"Statistic": "SampleCount"}, (9, 9), "OK"),
        ({"Statistic": "Minimum"}, (3, 9), "OK"),
        ({"Statistic": "Maximum", "ComparisonOperator": "LessThanThreshold"}, (1, 3), "ALARM"),
        ({"Statistic": None, "ExtendedStatistic": "p90"}, (0, 0, 0, 0, 0, 0, 0, 0, 0, 90), "ALARM"),
        ({"Statistic": None, "ExtendedStatistic": "p50"}, (0, 0, 0, 0, 0, 0, 0, 0, 0, 90), "OK"),
        ({"EvaluationPeriods": 3, "DatapointsToAlarm": 1, "TreatMissingData": "notBreaching"}, (9,), "ALARM"),
        ({"EvaluationPeriods": 3, "TreatMissingData": "notBreaching"}, (9,), "OK"),
        ({"EvaluationPeriods": 3, "TreatMissingData": "breaching"}, (9,), "ALARM"),
    ],
)
def test_statistics_and_periods_count(
    boto: Boto, name: str, watch: Any, more: dict[str, Any], values: tuple[float, ...], state: str
) -> None:
    watch(**more)
    put(boto, name, *values)
    assert described(boto, name)["StateValue"] == state


def test_other_dimensions_and_units_are_other_metrics(boto: Boto, name: str, watch: Any) -> None:
    watch(Dimensions=[{"Name": "Endpoint", "Value": "a"}], Unit="Count")
    put(boto, name, 9.0)
    put(boto, name, 9.0, Dimensions=[{"Name": "Endpoint", "Value": "b"}], Unit="Count")
    put(boto, name, 9.0, Dimensions=[{"Name": "Endpoint", "Value": "a"}], Unit="Seconds")
    assert described(boto, name)["StateValue"] == "INSUFFICIENT_DATA"
    put(boto, name, 9.0, Dimensions=[{"Name": "Endpoint", "Value": "a"}], Unit="Count")
    assert described(boto, name)["StateValue"] == "ALARM"


def test_data_of_long_ago_does_not_count(boto: Boto, name: str, watch: Any) -> None:
    watch()
    put(boto, name, 9.0, ago=100 * PERIOD)
    assert described(boto, name)["StateValue"] == "INSUFFICIENT_DATA"


def test_an_expression_of_metrics_is_watched(boto: Boto, name: str) -> None:
    metrics: list[dict[str, Any]] = [
        {"Id": one, "ReturnData": False,
         "MetricStat": {"Metric": {"Namespace": SPACE, "MetricName": f"{name}-{one}"}, "Period": PERIOD, "Stat": "Sum"}}
        for one in ("errors", "calls")
    ]  # fmt: skip
    metrics.append({"Id": "rate", "Expression": "100 * errors / calls", "ReturnData": True})
    asked: dict[str, Any] = {
        "AlarmName": name, "Metrics": metrics, "EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    boto("cloudwatch").put_metric_alarm(**asked)
    put(boto, f"{name}-errors", 3.0)
    assert described(boto, name)["StateValue"] == "INSUFFICIENT_DATA"
    put(boto, f"{name}-calls", 100.0)
    assert described(boto, name)["StateValue"] == "OK"
    put(boto, f"{name}-errors", 7.0)
    assert json.loads(described(boto, name)["StateReasonData"])["recentDatapoints"] == [10.0]
    metrics[-1]["Expression"] = "FILL(errors, 0)"
    code, message = refused(boto, **asked)
    assert (code, "FILL(errors, 0)" in message) == ("UnknownOperationException", True)


def test_what_no_alarm_can_be_is_refused(boto: Boto, name: str) -> None:
    usual: dict[str, Any] = {
        "AlarmName": name, "Namespace": SPACE, "MetricName": name, "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 2,
        "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    for change, said in (
        ({"DatapointsToAlarm": 3}, "DatapointsToAlarm"),
        ({"Period": 45}, "Period"),
        ({"ExtendedStatistic": "p90"}, "Exactly one of Statistic"),
        ({"TreatMissingData": "loud"}, "TreatMissingData"),
    ):
        code, message = refused(boto, **{**usual, **change})
        assert (code, said in message) == ("ValidationError", True), message
    assert boto("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"] == []
    with pytest.raises(ClientError, match="does not implement cloudwatch:PutCompositeAlarm"):
        boto("cloudwatch").put_composite_alarm(AlarmName=name, AlarmRule='ALARM("a")')


def test_a_change_of_state_tells_topics_the_event_bus_and_the_history(
    boto: Boto, name: str, watch: Any
) -> None:
    sqs, sns = boto("sqs"), boto("sns")
    mail, mail_arn = hearing_queue(sqs, f"{name[-50:]}-mail", "sns.amazonaws.com")
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=mail_arn)
    bus, bus_arn = hearing_queue(sqs, f"{name[-50:]}-bus")
    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [name]},
    }
    boto("events").put_rule(Name=name[-60:], EventPattern=json.dumps(pattern))
    boto("events").put_targets(Rule=name[-60:], Targets=[{"Id": "1", "Arn": bus_arn}])
    arn = watch(AlarmActions=[topic], OKActions=[topic], AlarmDescription="Too much")["AlarmArn"]
    put(boto, name, 9.0)
    (event,) = heard(sqs, bus)
    assert (event["source"], event["resources"]) == ("aws.cloudwatch", [arn])
    assert event["detail"]["state"]["value"] == "ALARM"
    assert event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert datetime.fromisoformat(event["time"])
    (metric,) = event["detail"]["configuration"]["metrics"]
    assert metric["metricStat"] == {
        "metric": {"namespace": SPACE, "name": name, "dimensions": {}}, "period": PERIOD, "stat": "Average",
    }  # fmt: skip
    (note,) = heard(sqs, mail)
    assert note["Subject"] == f'ALARM: "{name}" in us-east-1'[:100]
    message = json.loads(note["Message"])
    assert (message["NewStateValue"], message["OldStateValue"], message["AlarmDescription"]) == (
        "ALARM",
        "INSUFFICIENT_DATA",
        "Too much",
    )
    assert message["Trigger"]["Threshold"] == 5.0

    boto("cloudwatch").set_alarm_state(AlarmName=name, StateValue="OK", StateReason="by hand")
    assert heard(sqs, bus)[0]["detail"]["state"]["reason"] == "by hand"
    assert json.loads(heard(sqs, mail)[0]["Message"])["NewStateReason"] == "by hand"
    boto("cloudwatch").set_alarm_state(AlarmName=name, StateValue="OK", StateReason="again")
    assert heard(sqs, bus, seconds=1) == []  # it was OK already

    def history() -> list[dict[str, Any]]:
        asked = {"AlarmName": name, "ScanBy": "TimestampAscending"}
        return list(boto("cloudwatch").describe_alarm_history(**asked)["AlarmHistoryItems"])

    def actions() -> int:
        return [item["HistoryItemType"] for item in history()].count("Action")

    assert soon(lambda: actions() == 2), actions()  # an action is noted once its message is sent
    items = history()
    assert [item["HistorySummary"] for item in items if item["HistoryItemType"] == "StateUpdate"] == [
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
        "Alarm updated from ALARM to OK",
    ]
    newest = boto("cloudwatch").describe_alarm_history(AlarmName=name, MaxRecords=1)
    assert (len(newest["AlarmHistoryItems"]), newest["NextToken"]) == (1, "1")


def test_actions_that_are_off_or_cannot_be_done_are_said_and_not_done(
    boto: Boto, name: str, watch: Any
) -> None:
    watch(AlarmActions=["arn:aws:lambda:us-east-1:123456789012:function:f"], ActionsEnabled=False)
    put(boto, name, 9.0)
    history = lambda: [  # noqa: E731
        item["HistorySummary"]
        for item in boto("cloudwatch").describe_alarm_history(AlarmName=name, HistoryItemType="Action")[
            "AlarmHistoryItems"
        ]
    ]
    assert history() == []
    watch(AlarmActions=["arn:aws:lambda:us-east-1:123456789012:function:f"])
    boto("cloudwatch").set_alarm_state(AlarmName=name, StateValue="OK", StateReason="calm")
    boto("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="loud")
    assert ["tell topics only" in said for said in soon(history)] == [True]


def test_many_writers_make_one_transition(boto: Boto, name: str, watch: Any, local_aws: Server) -> None:
    watch(Statistic="Maximum")
    session_client = boto("cloudwatch")

    def write() -> None:
        for value in range(10):
            session_client.put_metric_data(
                Namespace=SPACE,
                MetricData=[{"MetricName": name, "Value": float(value), "Timestamp": MOMENT}],
            )

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    summaries = [
        item["HistorySummary"]
        for item in session_client.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")[
            "AlarmHistoryItems"
        ]
    ]
    assert summaries[0] == "Alarm updated from OK to ALARM"
    assert summaries.count("Alarm updated from OK to ALARM") == 1
    assert local_client.ask(local_aws.url, "status")["account"] == local_aws.account


def test_an_alarm_that_hears_nothing_more_changes_when_its_periods_end(
    boto: Boto, name: str, watch: Any
) -> None:
    # Three periods are looked at: what is 20 seconds old counts for ten more at least, and for twenty at most.
    moment = datetime.now(UTC) - timedelta(seconds=20)
    datum = {"MetricName": name, "Value": 9.0, "Timestamp": moment}
    boto("cloudwatch").put_metric_data(Namespace=SPACE, MetricData=[datum])
    alarm = watch(Period=10, TreatMissingData="notBreaching")
    assert alarm["StateValue"] == "ALARM"
    assert soon(lambda: described(boto, name)["StateValue"] != "ALARM")
    assert "treated as [NonBreaching]" in described(boto, name)["StateReason"]
