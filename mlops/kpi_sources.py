"""Collects the facts that `kpis.py` computes from: the board, CloudWatch, CloudTrail, the registry, pipelines, jobs, endpoints.

Each function asks one source and returns JSON: times as ISO text in UTC. `collected` asks them all.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from botocore.exceptions import ClientError

from kit import hours
from kit.cards import Board, Move

if TYPE_CHECKING:
    from boto3.session import Session

__all__ = ["cards", "collected", "prices"]

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnknownOperationException")
"""Codes with which AWS says that it will not answer, whatever is asked; others are mistakes and are raised."""


def prices(file: Path) -> dict[str, float]:
    """USD per hour by instance type."""
    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))["usd_per_hour"])


def collected(
    session: Session, board: Board, usd: Mapping[str, float], now: dt.datetime, window: float
) -> dict[str, Any]:
    """The facts of the last `window` hours before `now`, as JSON; a source that refuses is under "refused" with its reason."""
    since = now - dt.timedelta(hours=window)
    sources: dict[str, Callable[[], Any]] = {
        "cards": lambda: cards(board),
        "versions": lambda: versions(session, since),
        "executions": lambda: executions(session, since),
        "jobs": lambda: jobs(session, since, usd),
        "endpoints": lambda: endpoints(session, usd),
        "deployments": lambda: deployments(session, since),
        "traffic": lambda: traffic(session, since, now),
        "alarms": lambda: alarms(session, since),
    }
    facts: dict[str, Any] = {"at": now.isoformat(), "window_hours": window, "refused": {}}
    for name, ask in sources.items():
        try:
            facts[name] = ask()
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            facts["refused"][name] = str(error)
    return facts


def cards(board: Board) -> dict[str, Any]:
    """By card of the plan: column, checks, numbers, when it was done, failed runs, and hours in Blocked."""
    planned = [card for card in board.cards if card.source == "plan"]
    return {
        card.id: {
            "state": card.state,
            "at": card.run.at.isoformat() if card.run else "",
            "checks": [{"name": check.name, "ok": check.ok} for check in card.checks],
            "metrics": dict(card.metrics),
            "failed_runs": sum(event.type == "failed" for event in card.history),
            "hours_blocked": sum(_blocked(board, card.moves)),
        }
        for card in planned
    }


def _blocked(board: Board, moves: Sequence[Move]) -> Iterator[float]:
    """Working hours of each stay in Blocked; one that goes on counts up to now."""
    for n, move in enumerate(moves):
        if move.after == "Blocked":
            end = moves[n + 1].at if n + 1 < len(moves) else board.at or move.at
            yield hours.spent(board.event, move.at, end).total_seconds() / 3600


def _pages(client: Any, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(**parameters):
        yield from page[key]


def versions(session: Session, since: dt.datetime) -> list[dict[str, Any]]:
    """Every version of every group: state, made, last changed."""
    client = session.client("sagemaker")
    found = []
    for group in _pages(client, "list_model_package_groups", "ModelPackageGroupSummaryList"):
        name = group["ModelPackageGroupName"]
        for version in _pages(
            client, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=name
        ):
            about = client.describe_model_package(ModelPackageName=version["ModelPackageArn"])
            changed = about.get("LastModifiedTime", about["CreationTime"])
            found.append(
                {
                    "version": f"{name}/{version['ModelPackageVersion']}",
                    "status": about["ModelApprovalStatus"],
                    "made": _iso(about["CreationTime"]),
                    "changed": _iso(changed),
                    "in_window": about["CreationTime"] >= since,
                }
            )
    return found


def executions(session: Session, since: dt.datetime) -> list[dict[str, Any]]:
    """Executions of pipelines: state, and whether a fail step (a gate) ended it."""
    client = session.client("sagemaker")
    found = []
    for pipeline in _pages(client, "list_pipelines", "PipelineSummaries"):
        asked = {"PipelineName": pipeline["PipelineName"], "CreatedAfter": since}
        for execution in _pages(client, "list_pipeline_executions", "PipelineExecutionSummaries", **asked):
            status, arn = execution["PipelineExecutionStatus"], execution["PipelineExecutionArn"]
            steps = (
                _pages(
                    client,
                    "list_pipeline_execution_steps",
                    "PipelineExecutionSteps",
                    PipelineExecutionArn=arn,
                )
                if status == "Failed"
                else []
            )
            gate = any(
                step["StepStatus"] == "Failed" and "Fail" in step.get("Metadata", {}) for step in steps
            )
            found.append({"pipeline": pipeline["PipelineName"], "status": status, "by_gate": gate})
    return found


def jobs(session: Session, since: dt.datetime, usd: Mapping[str, float]) -> list[dict[str, Any]]:
    """Training and processing jobs that ended: billable seconds, instances and their price."""
    client = session.client("sagemaker")
    found = []
    for job in _pages(client, "list_training_jobs", "TrainingJobSummaries", CreationTimeAfter=since):
        about = client.describe_training_job(TrainingJobName=job["TrainingJobName"])
        if (seconds := about.get("BillableTimeInSeconds")) is not None:
            found.append(_job(seconds, about["ResourceConfig"], usd))
    for job in _pages(client, "list_processing_jobs", "ProcessingJobSummaries", CreationTimeAfter=since):
        about = client.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
        if "ProcessingStartTime" in about and "ProcessingEndTime" in about:
            seconds = (about["ProcessingEndTime"] - about["ProcessingStartTime"]).total_seconds()
            found.append(_job(seconds, about["ProcessingResources"]["ClusterConfig"], usd))
    return found


def _job(seconds: float, cluster: Mapping[str, Any], usd: Mapping[str, float]) -> dict[str, Any]:
    kind = cluster["InstanceType"]
    return {
        "seconds": seconds,
        "instance": kind,
        "instances": cluster["InstanceCount"],
        "usd_per_hour": usd.get(kind),
    }


def endpoints(session: Session, usd: Mapping[str, float]) -> list[dict[str, Any]]:
    """Each variant behind an endpoint: instances and their price, and whether the endpoint's last deployment failed."""
    client = session.client("sagemaker")
    found = []
    for summary in _pages(client, "list_endpoints", "Endpoints"):
        about = client.describe_endpoint(EndpointName=summary["EndpointName"])
        config = client.describe_endpoint_config(EndpointConfigName=about["EndpointConfigName"])
        for variant in config["ProductionVariants"]:
            kind = variant.get("InstanceType", "serverless")
            found.append(
                {
                    "endpoint": summary["EndpointName"],
                    "variant": variant["VariantName"],
                    "instance": kind,
                    "instances": variant.get("InitialInstanceCount", 1),
                    "usd_per_hour": usd.get(kind),
                    "failed": bool(about.get("FailureReason")),
                }
            )
    return found


def deployments(session: Session, since: dt.datetime) -> list[dict[str, Any]]:
    """Calls that created or updated an endpoint and were not refused, by CloudTrail."""
    client = session.client("cloudtrail")
    found = []
    for call in ("CreateEndpoint", "UpdateEndpoint"):
        asked = {
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": call}],
            "StartTime": since,
        }
        for event in _pages(client, "lookup_events", "Events", **asked):
            told = json.loads(event["CloudTrailEvent"])
            if not told.get("errorCode"):
                name = told["requestParameters"]["endpointName"]
                found.append({"endpoint": name, "call": call, "at": _iso(event["EventTime"])})
    return sorted(found, key=lambda change: change["at"])


def traffic(session: Session, since: dt.datetime, until: dt.datetime) -> list[dict[str, Any]]:
    """By endpoint and variant that CloudWatch knows: invocations, server errors, 99th percentile of model latency in ms."""
    client = session.client("cloudwatch")
    listed = _pages(client, "list_metrics", "Metrics", Namespace="AWS/SageMaker", MetricName="Invocations")
    period = max(60, round((until - since).total_seconds() / 60) * 60)
    found = []
    for metric in listed:
        dimensions = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
        if set(dimensions) != {"EndpointName", "VariantName"}:
            continue
        asked = {
            "Namespace": "AWS/SageMaker",
            "Dimensions": metric["Dimensions"],
            "StartTime": since,
            "EndTime": until,
            "Period": period,
        }
        sums = [
            sum(
                p["Sum"]
                for p in client.get_metric_statistics(MetricName=n, Statistics=["Sum"], **asked)["Datapoints"]
            )
            for n in ("Invocations", "Invocation5XXErrors")
        ]
        slow = client.get_metric_statistics(MetricName="ModelLatency", ExtendedStatistics=["p99"], **asked)[
            "Datapoints"
        ]
        p99 = max((point["ExtendedStatistics"]["p99"] for point in slow), default=None)
        found.append(
            {
                "endpoint": dimensions["EndpointName"],
                "variant": dimensions["VariantName"],
                "invocations": sums[0],
                "errors": sums[1],
                "p99_ms": None if p99 is None else p99 / 1000,  # CloudWatch has microseconds
            }
        )
    return found


def alarms(session: Session, since: dt.datetime) -> list[dict[str, Any]]:
    """Each metric alarm: its state, and how that changed in the window."""
    client = session.client("cloudwatch")
    found = []
    for alarm in _pages(client, "describe_alarms", "MetricAlarms", AlarmTypes=["MetricAlarm"]):
        asked = {"AlarmName": alarm["AlarmName"], "HistoryItemType": "StateUpdate", "StartDate": since}
        changes = [
            {
                "at": _iso(item["Timestamp"]),
                "to": json.loads(item["HistoryData"])["newState"]["stateValue"],
            }
            for item in _pages(client, "describe_alarm_history", "AlarmHistoryItems", **asked)
        ]
        found.append({"name": alarm["AlarmName"], "state": alarm["StateValue"], "changes": changes})
    return found


def _iso(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat()
