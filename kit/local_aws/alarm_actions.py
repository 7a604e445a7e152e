"""What an alarm watches, and what it does when its state changes: an event, a message on a topic, a line in its history.

Sources: Amazon CloudWatch User Guide, "Alarm events and EventBridge" (the event), "Notifying users on alarm changes" (the message);
API_DescribeAlarmHistory.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import events
from kit.local_aws.alarm_state import STATISTICS
from kit.local_aws.protocol import now
from kit.local_aws.store import Context
from kit.local_aws.targets import Source, Undeliverable, publish

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["Query", "note", "queries_of", "transition"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Query:
    """One metric that an alarm watches."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    statistic: str
    period: int
    unit: str = ""


def queries_of(alarm: Any) -> tuple[dict[str, Query], str]:
    """What an alarm watches by the names that its expression uses, and the expression."""
    if alarm.metric_name:
        stat = alarm.statistic or alarm.extended_statistic
        named = frozenset((d.name, d.value) for d in alarm.dimensions)
        query = Query(alarm.namespace, alarm.metric_name, named, stat, int(alarm.period), alarm.unit or "")
        return {"m": query}, "m"
    found = {
        query.id: Query(
            query.metric_stat.metric.namespace,
            query.metric_stat.metric.metric_name,
            frozenset((d.name, d.value) for d in query.metric_stat.metric.dimensions),
            query.metric_stat.stat,
            int(query.metric_stat.period),
            query.metric_stat.unit or "",
        )
        for query in alarm.metric_data_queries
        if query.metric_stat
    }
    returned = next((q for q in alarm.metric_data_queries if q.return_data in (None, True, "true")), None)
    return found, (returned.expression or returned.id) if returned else next(iter(found))


def transition(app: App, alarm: Any, state: str, reason: str, data: str) -> None:
    """Give an alarm of moto's a state; where it is a new one, tell of it and act."""
    before_ = _state(alarm)
    alarm.state_value, alarm.state_reason, alarm.state_reason_data = state, reason, data
    alarm.state_updated_timestamp = now().replace(tzinfo=None)
    if before_["value"] == state:
        return
    after_ = _state(alarm)
    summary = f"Alarm updated from {before_['value']} to {state}"
    told = {"version": "1.0", "oldState": _historic(before_), "newState": _historic(after_)}
    note(app, alarm, "StateUpdate", summary, told)
    detail = {
        "alarmName": alarm.name,
        "state": after_,
        "previousState": before_,
        "configuration": _configuration(alarm),
    }
    account = alarm.alarm_arn.split(":")[4]
    events.tell(
        account,
        alarm.region_name,
        "aws.cloudwatch",
        "CloudWatch Alarm State Change",
        detail,
        [alarm.alarm_arn],
    )
    app.changed()
    if alarm.actions_enabled:
        actions = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions}.get(
            state, alarm.insufficient_data_actions
        )
        for one in actions or []:
            app.courier.send(_act, app, alarm, one, before_["value"], after_)


def _state(alarm: Any) -> dict[str, Any]:
    moment = alarm.state_updated_timestamp.replace(tzinfo=UTC)
    return {
        "value": alarm.state_value,
        "reason": alarm.state_reason,
        **(
            {"reasonData": alarm.state_reason_data} if alarm.state_reason_data not in ("", "{}", None) else {}
        ),
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
    }


def _historic(state: Mapping[str, Any]) -> dict[str, Any]:
    data = json.loads(state["reasonData"]) if "reasonData" in state else None
    return {
        "stateValue": state["value"],
        "stateReason": state["reason"],
        **({"stateReasonData": data} if data else {}),
    }


def _configuration(alarm: Any) -> dict[str, Any]:
    queries, expression = queries_of(alarm)
    metrics: list[dict[str, Any]] = [
        {
            "id": name if not alarm.metric_name else str(uuid.uuid5(uuid.NAMESPACE_URL, alarm.alarm_arn)),
            "metricStat": {
                "metric": {
                    "namespace": q.namespace,
                    "name": q.name,
                    "dimensions": dict(sorted(q.dimensions)),
                },
                "period": q.period,
                "stat": q.statistic,
                **({"unit": q.unit} if q.unit else {}),
            },
            "returnData": name == expression or bool(alarm.metric_name),
        }
        for name, q in queries.items()
    ]
    if not alarm.metric_name and expression not in queries:
        returned = next(q for q in alarm.metric_data_queries if q.expression)
        metrics.append({"id": returned.id, "expression": expression, "returnData": True})
    return {**({"description": alarm.description} if alarm.description else {}), "metrics": metrics}


def _act(app: App, alarm: Any, arn: str, old: str, state: Mapping[str, Any]) -> None:
    """One action of an alarm: a message on a topic. What cannot be done is in the alarm's history and in server.log."""
    told = {
        "actionState": "Succeeded",
        "notificationResource": arn,
        "stateUpdateTimestamp": state["timestamp"],
    }
    summary = f"Successfully executed action {arn}"
    try:
        if arn.split(":")[2] != "sns":
            raise Undeliverable("NOT_IMPLEMENTED", "The local AWS has alarms tell topics only.")
        source = Source("cloudwatch.amazonaws.com", alarm.alarm_arn, alarm.name, alarm.region_name)
        subject = f'{state["value"]}: "{alarm.name}" in {alarm.region_name}'[:100]
        owner = {"AWS:SourceOwner": source.account}
        publish(app, source, "", arn, json.dumps(_message(alarm, old, state)), subject, **owner)
    except (Undeliverable, ClientError) as problem:
        told |= {"actionState": "Failed", "error": str(problem)}
        summary = f"Failed to execute action {arn}. Received error: {problem}"
        log.warning("alarm %s: %s", alarm.name, summary)
    note(app, alarm, "Action", summary, told)


def _message(alarm: Any, old: str, state: Mapping[str, Any]) -> dict[str, Any]:
    queries, expression = queries_of(alarm)
    q = queries.get(expression) or next(iter(queries.values()))
    trigger = {
        "MetricName": q.name,
        "Namespace": q.namespace,
        "StatisticType": "ExtendedStatistic" if q.statistic.startswith("p") else "Statistic",
        "Statistic": q.statistic.upper() if q.statistic in STATISTICS else q.statistic,
        "Unit": q.unit or None,
        "Dimensions": [{"value": value, "name": name} for name, value in sorted(q.dimensions)],
        "Period": q.period,
        "EvaluationPeriods": int(alarm.evaluation_periods),
        "DatapointsToAlarm": int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": float(alarm.threshold),
        "TreatMissingData": alarm.treat_missing_data or "missing",
    }
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": alarm.alarm_arn.split(":")[4],
        "NewStateValue": state["value"],
        "NewStateReason": state["reason"],
        "StateChangeTime": state["timestamp"],
        "Region": alarm.region_name,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": old,
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
        "Trigger": trigger,
    }


def note(app: App, alarm: Any, kind: str, summary: str, data: Mapping[str, Any]) -> None:
    """One more item in an alarm's history."""
    ctx = Context(app, alarm.alarm_arn.split(":")[4], alarm.region_name)
    with app.store.lock:
        table = app.store.table(ctx, "AlarmHistory")
        number = max((row["_number"] for row in table.values()), default=0) + 1
        table[str(number)] = {
            "_number": number,
            "AlarmName": alarm.name,
            "AlarmType": "MetricAlarm",
            "Timestamp": datetime.now(UTC),
            "HistoryItemType": kind,
            "HistorySummary": summary,
            "HistoryData": json.dumps(data, default=str),
        }
