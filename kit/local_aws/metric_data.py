"""What CloudWatch tells of metrics: statistics by period, percentiles and arithmetic among them. moto keeps the data.

Sources: API_GetMetricStatistics, API_GetMetricData; Amazon CloudWatch User Guide, "CloudWatch statistics definitions".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kit.local_aws.alarm_state import STATISTICS, Datum, math_of, names_in, statistic
from kit.local_aws.front import action
from kit.local_aws.gateway import not_implemented
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context

__all__ = ["PERCENTILE", "backend", "data_of"]

PERCENTILE = re.compile(r"p(\d{1,2}(\.\d{1,10})?|100)")
POINTS = 1440  # that GetMetricStatistics gives at most


def backend(account: str, region: str) -> Any:
    """moto's CloudWatch of an account and region: `metric_data`, `alarms`."""
    from moto.cloudwatch.models import cloudwatch_backends

    return cloudwatch_backends[account][region]


def data_of(
    held: Iterable[Any], namespace: str, name: str, dimensions: frozenset[tuple[str, str]], unit: str = ""
) -> list[Datum]:
    """moto's data of one metric, which is one set of dimensions; of one unit if it is given."""
    found = []
    for one in list(held):
        if one.name != name or one.namespace != namespace or (unit and (one.unit or "None") != unit):
            continue
        if {(d.name, d.value) for d in one.dimensions} != dimensions:
            continue
        moment = one.timestamp
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if hasattr(one, "value"):
            found.append(Datum.of(at, one.value))
        else:
            found.append(Datum(at, one.min, one.max, one.sum, one.sample_count))
    return found


@action("cloudwatch", "GetMetricStatistics")
def get_metric_statistics(ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
    """Data points of one metric; a period without data has none."""
    plain, extended = params.get("Statistics", []), params.get("ExtendedStatistics", [])
    if not plain and not extended:
        raise AwsError(
            "InvalidParameterCombination",
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        )
    for name in extended:
        _known(name)
    start, end = _range(params)
    period = _period(params["Period"])
    if (end - start) / period > POINTS:
        raise AwsError(
            "InvalidParameterCombination",
            f"You have requested up to {math.ceil((end - start) / period):,} datapoints, which exceeds the limit of {POINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
        )
    held = backend(ctx.account, ctx.region).metric_data
    asked = params["Namespace"], params["MetricName"], _dimensions(params)
    units = {one.unit or "None" for one in list(held) if (one.namespace, one.name) == asked[:2]}
    points = []
    for unit in [params["Unit"]] if "Unit" in params else sorted(units):
        for at, inside in _periods(data_of(held, *asked, unit), start, end, period):
            point: dict[str, Any] = {"Timestamp": datetime.fromtimestamp(at, UTC), "Unit": unit}
            point |= {name: statistic(name, inside) for name in plain}
            if extended:
                point["ExtendedStatistics"] = {name: statistic(name, inside) for name in extended}
            points.append(point)
    return {"Label": params["MetricName"], "Datapoints": points}


@action("cloudwatch", "GetMetricData")
def get_metric_data(ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
    """Values of metrics and of arithmetic on them, one list each; SEARCH and metric math functions are refused."""
    start, end = _range(params)
    held = backend(ctx.account, ctx.region).metric_data
    queries = {query["Id"]: query for query in params["MetricDataQueries"]}
    found: dict[str, dict[float, float | None]] = {}
    for id, query in queries.items():
        if stat := query.get("MetricStat"):
            metric = stat["Metric"]
            _known(stat["Stat"])
            asked = metric.get("Namespace", ""), metric.get("MetricName", ""), _dimensions(metric)
            data = data_of(held, *asked, stat.get("Unit", ""))
            periods = _periods(data, start, end, _period(stat["Period"]))
            found[id] = {at: statistic(stat["Stat"], inside) for at, inside in periods}
    for id, query in queries.items():
        if "Expression" in query:
            found[id] = _computed(query["Expression"], found)
    newest = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    results = []
    for id, query in queries.items():
        if query.get("ReturnData", True):
            there = sorted((at, value) for at, value in found[id].items() if value is not None)
            there = there[::-1] if newest else there
            label = query.get("Label") or query.get("MetricStat", {}).get("Metric", {}).get("MetricName", id)
            times = [datetime.fromtimestamp(at, UTC) for at, _ in there]
            values = [value for _, value in there]
            results.append(
                {"Id": id, "Label": label, "Timestamps": times, "Values": values, "StatusCode": "Complete"}
            )
    return {"MetricDataResults": results, "Messages": []}


def _computed(
    expression: str, found: Mapping[str, Mapping[float, float | None]]
) -> dict[float, float | None]:
    try:
        names = names_in(expression)
    except ValueError:
        raise not_implemented("cloudwatch", f"GetMetricData with the expression {expression[:80]}") from None
    if unknown := sorted(names - set(found)):
        raise AwsError("ValidationError", f"Error in expression: Undefined variable {unknown[0]}")
    times = set.intersection(*(set(found[name]) for name in names)) if names else set()
    return {at: math_of(expression, {name: found[name][at] for name in names}) for at in times}


def _known(name: str) -> None:
    if name not in STATISTICS and not PERCENTILE.fullmatch(name):
        raise not_implemented("cloudwatch", f"the statistic {name}")


def _dimensions(params: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((one["Name"], one["Value"]) for one in params.get("Dimensions", []))


def _period(seconds: int) -> int:
    if seconds not in (1, 5, 10, 20, 30) and (seconds < 60 or seconds % 60):
        raise AwsError(
            "InvalidParameterValue", "The parameter Period must be 1, 5, 10, 20, 30, or a multiple of 60."
        )
    return seconds


def _range(params: Mapping[str, Any]) -> tuple[float, float]:
    start, end = (params[name].timestamp() for name in ("StartTime", "EndTime"))
    if start >= end:
        raise AwsError(
            "InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime."
        )
    return start, end


def _periods(data: Sequence[Datum], start: float, end: float, period: int) -> list[tuple[float, list[Datum]]]:
    """The data by period, the oldest first. Periods begin at the start, rounded down to a minute, or to a second below it."""
    first = math.floor(start / min(60, period)) * min(60, period)
    held: dict[int, list[Datum]] = {}
    for datum in data:
        if first <= datum.at < end:
            held.setdefault(int((datum.at - first) // period), []).append(datum)
    return [(first + number * period, held[number]) for number in sorted(held)]
