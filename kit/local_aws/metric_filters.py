"""Metrics out of logs: metric filters count lines as they are put.

Source: "Creating metrics from log events using filters" of the CloudWatch Logs User Guide. A filter's default value is not put: it stands for minutes without a match.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kit.local_aws import log_patterns
from kit.local_aws.front import after, before
from kit.local_aws.gateway import not_implemented
from kit.local_aws.store import Context

__all__: list[str] = []

_compiled = functools.lru_cache(maxsize=256)(log_patterns.pattern)


@before("logs", "PutMetricFilter")
def check_filter(ctx: Context, params: Mapping[str, Any]) -> None:
    """Refuses a pattern that nothing could be matched with."""
    try:
        _compiled(params["filterPattern"])
    except ValueError:
        raise not_implemented("logs", f"PutMetricFilter with the pattern {params['filterPattern']}") from None


@after("logs", "PutLogEvents")
def count(ctx: Context, params: Mapping[str, Any]) -> None:
    """Put the metrics that the log group's filters make of these lines."""
    from moto.logs.models import logs_backends

    held = logs_backends[ctx.account][ctx.region].filters.metric_filters
    if not held:
        return
    filters = {one["filterName"]: one for one in held if one["logGroupName"] == params["logGroupName"]}
    for one in filters.values():
        matches = _compiled(one["filterPattern"])
        lines = [event for event in params["logEvents"] if matches(event["message"])]
        for metric in one["metricTransformations"]:
            data = [_datum(metric, event) for event in lines]
            if data := [datum for datum in data if datum is not None]:
                cloudwatch = ctx.app.client("cloudwatch", ctx.region)
                cloudwatch.put_metric_data(Namespace=metric["metricNamespace"], MetricData=data)


def _datum(metric: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any] | None:
    value = log_patterns.value_of(str(metric["metricValue"]), event["message"])
    if value is None:
        return None
    moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    unit = {"Unit": metric["unit"]} if metric.get("unit") else {}
    return {"MetricName": metric["metricName"], "Value": value, "Timestamp": moment, **unit}
