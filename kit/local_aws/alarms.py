"""CloudWatch alarms: evaluated when a metric arrives and when a period ends, with what they do when their state changes.

moto keeps the alarms and the metrics; `alarm_state` says what follows from them, `alarm_actions` does it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kit.local_aws.alarm_actions import Query, note, queries_of, transition
from kit.local_aws.alarm_state import (
    STATISTICS,
    Point,
    Rule,
    buckets,
    explain,
    judge,
    last_period,
    math_of,
    names_in,
    reason_data,
)
from kit.local_aws.front import action, after, before
from kit.local_aws.gateway import not_implemented
from kit.local_aws.metric_data import PERCENTILE, backend, data_of
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Context

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["evaluate", "evaluate_all", "take_over"]

INITIAL = "Unchecked: Initial alarm creation"
HISTORY = 100  # items of DescribeAlarmHistory at most
_lock = threading.RLock()  # one evaluation at a time: two that come at once must not both fire


def take_over() -> None:
    """Has moto begin an alarm without data, and keep the state and the history of one that is put again."""
    from moto.cloudwatch.models import CloudWatchBackend

    put = CloudWatchBackend.put_metric_alarm
    if getattr(put, "keeps_state", False):
        return

    def put_metric_alarm(self: Any, name: str, *args: Any, **named: Any) -> Any:
        held = self.alarms.get(name)
        made = put(self, name, *args, **named)
        if held is None:
            made.state_value, made.state_reason, made.state_reason_data = "INSUFFICIENT_DATA", INITIAL, ""
        else:
            for member in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp"):
                setattr(made, member, getattr(held, member))
        return made

    put_metric_alarm.keeps_state = True  # type: ignore[attr-defined]
    setattr(CloudWatchBackend, "put_metric_alarm", put_metric_alarm)  # noqa: B010


take_over()


# What CloudWatch is asked


@before("cloudwatch", "PutMetricAlarm")
def check_alarm(ctx: Context, params: Mapping[str, Any]) -> None:
    """Refuses what no alarm of AWS's is, and what the local AWS could not evaluate."""
    metrics = params.get("Metrics", [])
    single = bool(params.get("MetricName"))
    if single == bool(metrics):
        raise _invalid("Exactly one of MetricName and Metrics must be specified.")
    if params.get("ThresholdMetricId") or params["ComparisonOperator"] not in _OPERATORS:
        raise not_implemented("cloudwatch", "PutMetricAlarm with an anomaly detection band")
    if "Threshold" not in params:
        raise _invalid("The parameter Threshold is required.")
    if params.get("DatapointsToAlarm", 1) > params["EvaluationPeriods"]:
        raise _invalid("The parameter DatapointsToAlarm must be less than or equal to EvaluationPeriods.")
    if params.get("TreatMissingData", "missing") not in ("missing", "ignore", "breaching", "notBreaching"):
        raise _invalid(
            f"Option {params['TreatMissingData']} is not supported for parameter TreatMissingData."
        )
    if single:
        if not params.get("Namespace") or "Period" not in params:
            raise _invalid("The parameters Namespace and Period are required with MetricName.")
        if bool(params.get("Statistic")) == bool(params.get("ExtendedStatistic")):
            raise _invalid("Exactly one of Statistic and ExtendedStatistic must be specified.")
        stats = [(params.get("Statistic") or params["ExtendedStatistic"], params["Period"])]
    else:
        stats = [(m["MetricStat"]["Stat"], m["MetricStat"]["Period"]) for m in metrics if "MetricStat" in m]
        _check_math(metrics)
    for stat, period in stats:
        if stat not in STATISTICS and not PERCENTILE.fullmatch(stat):
            raise not_implemented("cloudwatch", f"PutMetricAlarm with the statistic {stat}")
        if period not in (10, 20, 30) and period % 60:
            raise _invalid("The parameter Period must be 10, 20, 30, or a multiple of 60.")
    if len({period for _, period in stats}) > 1:
        raise not_implemented("cloudwatch", "PutMetricAlarm with metrics of several periods")


_OPERATORS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def _check_math(metrics: list[Mapping[str, Any]]) -> None:
    returned = [m for m in metrics if m.get("ReturnData", True)]
    if len(returned) != 1:
        raise _invalid("Exactly one element of the metrics list should return data.")
    stats = {m["Id"] for m in metrics if "MetricStat" in m}
    for metric in metrics:
        if "Expression" not in metric:
            continue
        try:
            named = names_in(metric["Expression"])
        except ValueError:
            what = f"PutMetricAlarm with the expression {metric['Expression']}; it does arithmetic only"
            raise not_implemented("cloudwatch", what) from None
        if metric is not returned[0] or named - stats:
            raise not_implemented("cloudwatch", "PutMetricAlarm with expressions that build on each other")


@before("cloudwatch", "PutCompositeAlarm")
def check_composite_alarm(ctx: Context, params: Mapping[str, Any]) -> None:
    """Refused: nothing would evaluate it."""
    raise not_implemented("cloudwatch", "PutCompositeAlarm")


@after("cloudwatch", "PutMetricAlarm")
def alarm_was_put(ctx: Context, params: Mapping[str, Any]) -> None:
    """A new alarm looks at the data that is there."""
    alarm = backend(ctx.account, ctx.region).alarms[params["AlarmName"]]
    note(
        ctx.app, alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" created or updated', {"version": "1.0"}
    )
    evaluate(ctx.app, alarm)


@after("cloudwatch", "PutMetricData")
def metric_arrived(ctx: Context, params: Mapping[str, Any]) -> None:
    """Alarms that watch one of the metrics are evaluated."""
    held = backend(ctx.account, ctx.region)
    if not held.alarms:
        return
    came = {
        (
            params["Namespace"],
            datum["MetricName"],
            frozenset((d["Name"], d["Value"]) for d in datum.get("Dimensions", [])),
        )
        for datum in params.get("MetricData", [])
    }
    for alarm in list(held.alarms.values()):
        if any(
            (query.namespace, query.name, query.dimensions) in came for query in queries_of(alarm)[0].values()
        ):
            evaluate(ctx.app, alarm)


@action("cloudwatch", "SetAlarmState")
def set_alarm_state(ctx: Context, params: Mapping[str, Any]) -> None:
    """Sets the state until the next evaluation, and does what a change of state does."""
    alarm = backend(ctx.account, ctx.region).alarms.get(params["AlarmName"])
    if alarm is None:
        raise AwsError("ResourceNotFound", "", 404)
    data = params.get("StateReasonData", "")
    try:
        json.loads(data or "{}")
    except ValueError:
        raise AwsError("InvalidFormat", "The StateReasonData is not valid JSON.") from None
    with _lock:
        transition(ctx.app, alarm, params["StateValue"], params["StateReason"], data)


@action("cloudwatch", "DescribeAlarmHistory")
def describe_alarm_history(ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
    """What happened to alarms: the newest first, a page of them."""
    wanted, kinds = params.get("AlarmName"), params.get("HistoryItemType")
    with ctx.app.store.lock:
        rows = list(ctx.app.store.table(ctx, "AlarmHistory").values())
    rows = [
        row for row in rows if wanted in (None, row["AlarmName"]) and kinds in (None, row["HistoryItemType"])
    ]
    rows = [row for row in rows if row["Timestamp"] >= params.get("StartDate", row["Timestamp"])]
    rows = [row for row in rows if row["Timestamp"] <= params.get("EndDate", row["Timestamp"])]
    rows.sort(key=lambda row: row["_number"], reverse=params.get("ScanBy") != "TimestampAscending")
    begin, size = int(params.get("NextToken", 0)), params.get("MaxRecords", HISTORY)
    more = {"NextToken": str(begin + size)} if len(rows) > begin + size else {}
    return {"AlarmHistoryItems": rows[begin : begin + size], **more}


# Evaluation


def evaluate(app: App, alarm: Any) -> None:
    """Give an alarm of moto's the state that follows from the metrics, and do what the change asks for."""
    with _lock:
        queries, expression = queries_of(alarm)
        rule = Rule(
            alarm.comparison_operator,
            float(alarm.threshold),
            int(alarm.evaluation_periods),
            int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
            alarm.treat_missing_data or "missing",
        )
        moment = now()
        first = next(iter(queries.values()))
        points = _points(alarm, queries, expression, rule.periods, moment.timestamp())
        state = judge(rule, points, alarm.state_value)
        if state != alarm.state_value:
            data = reason_data(rule, points, first.statistic, first.period, moment)
            transition(app, alarm, state, explain(rule, points, alarm.state_value, state), data)


def evaluate_all(app: App, since: float, until: float) -> None:
    """Evaluate every alarm of which a period ended between two moments (seconds since 1970)."""
    from moto.cloudwatch.models import cloudwatch_backends

    for regions in list(cloudwatch_backends.values()):
        for held in list(regions.values()):
            for alarm in list(held.alarms.values()):
                queries, _ = queries_of(alarm)
                if any(since // query.period != until // query.period for query in queries.values()):
                    evaluate(app, alarm)


def _points(
    alarm: Any, queries: Mapping[str, Query], expression: str, periods: int, moment: float
) -> list[Point]:
    held = backend(alarm.alarm_arn.split(":")[4], alarm.region_name).metric_data
    series = {
        name: data_of(held, query.namespace, query.name, query.dimensions, query.unit)
        for name, query in queries.items()
    }
    period = next(iter(queries.values())).period
    last = last_period(series.values(), period, moment)
    columns = {
        name: buckets(data, queries[name].statistic, period, periods, last) for name, data in series.items()
    }
    (longest,) = {len(column) for column in columns.values()}
    made = []
    for number in range(longest):
        row = {name: column[number] for name, column in columns.items()}
        one = next(iter(row.values()))
        value = math_of(expression, {name: point.value for name, point in row.items()})
        made.append(Point(one.at, value, sum(point.count for point in row.values())))
    return made
