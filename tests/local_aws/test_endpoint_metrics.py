"""What CloudWatch knows of an endpoint's invocations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from endpoints import create_config, create_endpoint, create_model, invoke, moody
from hearing import soon
from lab import Lab

NAMES = [
    "Invocation4XXErrors",
    "Invocation5XXErrors",
    "Invocations",
    "InvocationsPerInstance",
    "ModelLatency",
    "OverheadLatency",
]


def serve(lab: Lab, instances: int = 1) -> tuple[str, str]:
    """The names of a new endpoint in service and of its configuration."""
    config = create_config(lab, instances=instances, All=(create_model(lab, moody("m")), 1))
    made = create_endpoint(lab, config)
    assert made["EndpointStatus"] == "InService", made.get("FailureReason")
    return made["EndpointName"], config


def dimensions(**values: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in values.items()]


def statistics(lab: Lab, name: str, **of: str) -> dict[str, float]:
    """The statistics of a metric of the last hour; zeros where there is nothing."""
    moment = datetime.now(UTC)
    wanted = ["Sum", "SampleCount", "Average", "Minimum", "Maximum"]
    answer = lab.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=dimensions(**of),
        StartTime=moment - timedelta(hours=1),
        EndTime=moment + timedelta(minutes=1),
        Period=7200,
        Statistics=wanted,
    )
    return answer["Datapoints"][0] if answer["Datapoints"] else dict.fromkeys(wanted, 0.0)


def counted(lab: Lab, wanted: int, config: str, **of: str) -> None:
    """Wait until so many invocations are counted in every metric: CloudWatch gets one after the other."""
    kinds = [(name, more) for name in NAMES for more in ({}, {"EndpointConfigName": config})]
    assert soon(
        lambda: all(statistics(lab, name, **of, **more)["SampleCount"] >= wanted for name, more in kinds)
    )


def test_each_invocation_is_counted_with_its_outcome_and_its_times(lab: Lab) -> None:
    name, config = serve(lab, instances=2)
    for body in ("1", "1", "slow"):
        invoke(lab, name, body, ContentType="text/csv")
    for body in ("bad", "broken"):
        with pytest.raises(ClientError, match="ModelError"):
            invoke(lab, name, body, ContentType="text/csv")
    of = {"EndpointName": name, "VariantName": "All"}
    counted(lab, 5, config, **of)
    for more in ({}, {"EndpointConfigName": config}):
        found = {each: statistics(lab, each, **of, **more) for each in NAMES}
        assert {each: row["Sum"] for each, row in found.items() if "Latency" not in each} == {
            "Invocations": 5,
            "InvocationsPerInstance": 2.5,
            "Invocation4XXErrors": 1,
            "Invocation5XXErrors": 1,
        }
        assert found["Invocation4XXErrors"]["Average"] == pytest.approx(0.2)
        assert found["ModelLatency"]["SampleCount"] == 5
        assert found["ModelLatency"]["Unit"] == "Microseconds"
        assert 200_000 <= found["ModelLatency"]["Maximum"] < 60_000_000
        assert 100 <= found["ModelLatency"]["Minimum"] < 200_000
        assert 0 < found["OverheadLatency"]["Average"] < 1_000_000


def test_metrics_are_listed_with_their_dimensions_and_answer_a_query(lab: Lab) -> None:
    name, config = serve(lab)
    invoke(lab, name, "1", ContentType="text/csv")
    of = {"EndpointName": name, "VariantName": "All"}
    counted(lab, 1, config, **of)
    cloudwatch = lab.client("cloudwatch")
    listed = cloudwatch.list_metrics(
        Namespace="AWS/SageMaker", Dimensions=[{"Name": "EndpointName", "Value": name}]
    )["Metrics"]
    shapes = {
        (each["MetricName"], tuple(sorted((d["Name"], d["Value"]) for d in each["Dimensions"])))
        for each in listed
    }
    whole = tuple(sorted(of.items()))
    fleet = tuple(sorted({**of, "EndpointConfigName": config}.items()))
    assert shapes == {(each, dims) for each in NAMES for dims in (whole, fleet)}
    moment = datetime.now(UTC)
    query: dict[str, Any] = {
        "Metric": {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions(**of)},
        "Period": 3600,
        "Stat": "Sum",
    }
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "n", "MetricStat": query}],
        StartTime=moment - timedelta(minutes=30),
        EndTime=moment + timedelta(minutes=1),
    )
    assert sum(answer["MetricDataResults"][0]["Values"]) == 1


def test_many_at_once_are_all_counted(lab: Lab) -> None:
    name, config = serve(lab)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: invoke(lab, name, str(n), ContentType="text/csv"), range(400)))
    of = {"EndpointName": name, "VariantName": "All"}
    counted(lab, 400, config, **of)
    assert statistics(lab, "Invocations", **of)["Sum"] == 400
    assert statistics(lab, "ModelLatency", **of)["SampleCount"] == 400


def test_metrics_that_a_client_puts_packed_are_taken(lab: Lab) -> None:
    """botocore packs a request of more than 10 KB of metrics."""
    data = [{"MetricName": f"metric-{n}", "Value": float(n)} for n in range(500)]
    lab.client("cloudwatch").put_metric_data(Namespace="Packed", MetricData=data)
    pages = lab.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace="Packed")
    assert len({each["MetricName"] for page in pages for each in page["Metrics"]}) == 500
