"""CloudWatch's statistics, percentiles and arithmetic, asked through boto3 and compared with numpy."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

START = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - dt.timedelta(hours=1)


class Metric:
    """One metric of a new name, and what was put for it."""

    def __init__(self, cloudwatch: Any) -> None:
        self.cloudwatch, self.name = cloudwatch, f"m{uuid.uuid4().hex[:8]}"

    def put(
        self, seconds: float, value: float | dict[str, float], unit: str = "Milliseconds", **dimensions: str
    ) -> None:
        datum: dict[str, Any] = {
            "MetricName": self.name,
            "Timestamp": START + dt.timedelta(seconds=seconds),
            "Unit": unit,
        }
        datum |= {"StatisticValues": value} if isinstance(value, dict) else {"Value": value}
        datum["Dimensions"] = [{"Name": k, "Value": v} for k, v in dimensions.items()]
        self.cloudwatch.put_metric_data(Namespace="test", MetricData=[datum])

    def statistics(self, period: int = 60, minutes: float = 10, **asked: Any) -> list[dict[str, Any]]:
        whole = {"Namespace": "test", "MetricName": self.name, "StartTime": START, "Period": period}
        whole |= {"EndTime": START + dt.timedelta(minutes=minutes), **asked}
        return sorted(
            self.cloudwatch.get_metric_statistics(**whole)["Datapoints"], key=lambda p: p["Timestamp"]
        )

    def query(self, id: str, stat: str, period: int = 60, **more: Any) -> dict[str, Any]:
        metric = {"Namespace": "test", "MetricName": self.name}
        return {"Id": id, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}, **more}


@pytest.fixture
def metric(boto: Callable[..., Any]) -> Metric:
    return Metric(boto("cloudwatch"))


def test_percentiles_are_those_of_the_values_of_their_period(metric: Metric) -> None:
    values = [3.0, 1.0, 7.0, 100.0, 4.0, 9.0]
    for n, value in enumerate(values):
        metric.put(n, value)
    metric.put(61, 5.0)
    first, second = metric.statistics(ExtendedStatistics=["p50", "p99"], Statistics=["Sum"])
    assert first["ExtendedStatistics"]["p50"] == pytest.approx(np.percentile(values, 50))
    assert first["ExtendedStatistics"]["p99"] == pytest.approx(np.percentile(values, 99))
    assert (first["Sum"], first["Unit"], first["Timestamp"]) == (sum(values), "Milliseconds", START)
    assert second["ExtendedStatistics"] == {"p50": 5.0, "p99": 5.0}


def test_a_percentile_of_data_that_came_as_statistics_is_not_made_up(metric: Metric) -> None:
    metric.put(1, {"SampleCount": 3, "Sum": 9, "Minimum": 1, "Maximum": 5})
    (point,) = metric.statistics(Statistics=["Average", "Maximum", "SampleCount"], ExtendedStatistics=["p90"])
    assert (point["Average"], point["Maximum"], point["SampleCount"]) == (3, 5, 3)
    assert "p90" not in point.get("ExtendedStatistics", {})


def test_only_data_within_the_range_with_just_these_dimensions_counts(metric: Metric) -> None:
    metric.put(-1, 1.0)
    metric.put(0, 2.0)
    metric.put(5, 4.0, who="x")
    metric.put(60, 8.0)
    assert [p["Sum"] for p in metric.statistics(minutes=1, Statistics=["Sum"])] == [2.0]
    named = [{"Name": "who", "Value": "x"}]
    assert [p["Sum"] for p in metric.statistics(Statistics=["Sum"], Dimensions=named)] == [4.0]


def test_units_are_told_apart(metric: Metric) -> None:
    metric.put(1, 1.0, unit="Count")
    metric.put(2, 2.0, unit="Seconds")
    assert {p["Unit"]: p["Sum"] for p in metric.statistics(Statistics=["Sum"])} == {
        "Count": 1.0,
        "Seconds": 2.0,
    }
    assert [p["Sum"] for p in metric.statistics(Statistics=["Sum"], Unit="Seconds")] == [2.0]


def test_seconds_are_periods_too(metric: Metric) -> None:
    metric.put(1.2, 1.0)
    metric.put(1.8, 2.0)
    metric.put(2.1, 4.0)
    assert [p["Sum"] for p in metric.statistics(1, Statistics=["Sum"])] == [3.0, 4.0]


def data(metric: Metric, *queries: dict[str, Any], **more: Any) -> dict[str, list[float]]:
    times = {"StartTime": START, "EndTime": START + dt.timedelta(minutes=10)}
    answer = metric.cloudwatch.get_metric_data(MetricDataQueries=list(queries), **times, **more)
    return {one["Id"]: one["Values"] for one in answer["MetricDataResults"]}


def test_metric_data_has_the_newest_first_and_computes_where_all_is_there(metric: Metric) -> None:
    metric.put(1, 2.0)
    metric.put(61, 3.0)
    metric.put(62, 5.0)
    asked = metric.query("total", "Sum"), metric.query("worst", "p100", ReturnData=False)
    share = {"Id": "share", "Expression": "100 * worst / total"}
    assert data(metric, *asked, share) == {"total": [8.0, 2.0], "share": [62.5, 100.0]}
    assert data(metric, asked[0], ScanBy="TimestampAscending") == {"total": [2.0, 8.0]}
    assert data(
        metric, metric.query("none", "Sum", 60) | {"MetricStat": {**asked[0]["MetricStat"], "Unit": "Bytes"}}
    ) == {"none": []}


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({}, "InvalidParameterCombination", "At least one"),
        ({"Statistics": ["Sum"], "period": 45}, "InvalidParameterValue", "Period"),
        ({"Statistics": ["Sum"], "minutes": 0}, "InvalidParameterValue", "StartTime must be less"),
        (
            {"Statistics": ["Sum"], "period": 1, "minutes": 60},
            "InvalidParameterCombination",
            "3,600 datapoints",
        ),
        ({"ExtendedStatistics": ["tm90"]}, "UnknownOperationException", "tm90"),
    ],
)
def test_what_makes_no_sense_is_refused(metric: Metric, asked: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        metric.statistics(**asked)
    assert caught.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("expression", "said"), [("SEARCH('x')", "SEARCH"), ("a + b", "Undefined variable b")]
)
def test_metric_math_that_is_more_than_arithmetic_is_refused(
    metric: Metric, expression: str, said: str
) -> None:
    with pytest.raises(ClientError, match=said):
        data(metric, metric.query("a", "Sum"), {"Id": "e", "Expression": expression})
