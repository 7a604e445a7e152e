"""What state an alarm has by its data: statistics, missing data, the reason in CloudWatch's words. Pure functions on plain data.

Sources, Amazon CloudWatch User Guide: "Alarm evaluation" (M out of N, the evaluation range), "Configuring how CloudWatch alarms treat
missing data" (its two tables are the tests), "CloudWatch statistics definitions" (percentiles), "Using math expressions".
"""

from __future__ import annotations

import ast
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "Datum",
    "Point",
    "Rule",
    "buckets",
    "explain",
    "judge",
    "last_period",
    "math_of",
    "names_in",
    "statistic",
]

MORE = 2  # periods that are looked at beside those that are evaluated; in AWS's examples five for three
COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_ARITHMETIC: Mapping[type, Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


@dataclass(frozen=True)
class Datum:
    """What was put for a metric at a time (seconds since 1970): one value, or the statistics of `count` values."""

    at: float
    low: float
    high: float
    total: float
    count: float = 1.0

    @classmethod
    def of(cls, at: float, value: float) -> Datum:
        """A single value."""
        return cls(at, value, value, value)


@dataclass(frozen=True)
class Point:
    """A period's value: when it begins (seconds since 1970), how many samples, the statistic; None where there were none."""

    at: float
    value: float | None
    count: float = 0.0


@dataclass(frozen=True)
class Rule:
    """What an alarm asks of its points. missing: missing, ignore, breaching or notBreaching."""

    comparison: str
    threshold: float
    periods: int = 1
    to_alarm: int = 1
    missing: str = "missing"

    def breaches(self, value: float) -> bool:
        """Whether a value crosses the threshold."""
        return COMPARISONS[self.comparison][0](value, self.threshold)


def statistic(name: str, data: Sequence[Datum]) -> float | None:
    """A statistic of a period's data; None for none, and for a percentile of data that came as statistics.

    `p90` is interpolated between the two nearest ranks.
    """
    if not data:
        return None
    count, total = sum(one.count for one in data), sum(one.total for one in data)
    if name == "SampleCount":
        return count
    if name == "Sum":
        return total
    if name == "Average":
        return total / count if count else None
    if name == "Minimum":
        return min(one.low for one in data)
    if name == "Maximum":
        return max(one.high for one in data)
    if any(one.low != one.high for one in data):
        return None
    values = sorted(one.low for one in data for _ in range(max(1, round(one.count))))
    rank = float(name[1:]) / 100 * (len(values) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (rank - below)


def last_period(series: Iterable[Sequence[Datum]], period: int, now: float) -> int:
    """The number of the period (from 1970) that an evaluation ends with: the present one once anything has data in it."""
    present = int(now // period)
    return (
        present
        if any(int(datum.at // period) == present for data in series for datum in data)
        else present - 1
    )


def buckets(data: Iterable[Datum], name: str, period: int, periods: int, last: int) -> list[Point]:
    """The points of the evaluation range, the oldest first: whole periods of the clock up to number `last`."""
    held: dict[int, list[Datum]] = {}
    for datum in data:
        held.setdefault(int(datum.at // period), []).append(datum)
    return [
        Point(
            number * period,
            statistic(name, held.get(number, [])),
            sum(datum.count for datum in held.get(number, [])),
        )
        for number in range(last - periods - MORE + 1, last + 1)
    ]


def judge(rule: Rule, points: Sequence[Point], state: str) -> str:
    """OK, ALARM or INSUFFICIENT_DATA by the points of the evaluation range (the oldest first); `state`: the one now."""
    real = [point.value for point in points if point.value is not None]
    breaching = sum(map(rule.breaches, real[-rule.periods :]))
    if breaching >= rule.to_alarm:
        return "ALARM"
    lacking = rule.periods - len(real)
    if lacking <= 0 or rule.missing == "notBreaching":
        return "OK"
    if rule.missing == "breaching":
        return "ALARM" if breaching + lacking >= rule.to_alarm else "OK"
    if breaching < len(real):
        return "OK"
    if rule.missing == "ignore":
        return state
    if not real:
        return "INSUFFICIENT_DATA"
    # Only breaching points, fewer than it takes: the oldest must be old enough, lest the alarm rings too early.
    oldest = next(number for number, point in enumerate(points) if point.value is not None)
    return "ALARM" if len(points) - oldest >= rule.to_alarm else "OK"


def explain(rule: Rule, points: Sequence[Point], before: str, after: str) -> str:
    """StateReason of a transition."""
    real = [point for point in points if point.value is not None][-rule.periods :]
    lacking = rule.periods - len(real)
    if after == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {lacking} datapoint{'s were' if lacking > 1 else ' was'} unknown."
    words = COMPARISONS[rule.comparison][1]
    if not real:
        treated = "Breaching" if rule.missing == "breaching" else "NonBreaching"
        many = f"{lacking} period{'s' if lacking > 1 else ''} and {lacking} missing datapoint{'s were' if lacking > 1 else ' was'}"
        return f"Threshold Crossed: no datapoints were received for {many} treated as [{treated}]."
    counted = [point for point in real if rule.breaches(point.value or 0.0) == (after == "ALARM")] or real
    shown = ", ".join(
        f"{point.value} ({datetime.fromtimestamp(point.at, UTC):%d/%m/%y %H:%M:%S})"
        for point in reversed(counted)
    )
    needed = rule.to_alarm if after == "ALARM" else rule.periods - rule.to_alarm + 1
    return (
        f"Threshold Crossed: {len(counted)} out of the last {rule.periods} datapoints [{shown}]"
        f" {'was' if len(counted) == 1 else 'were'} {'' if after == 'ALARM' else 'not '}{words} the threshold"
        f" ({rule.threshold}) (minimum {needed} datapoint{'s' if needed > 1 else ''} for {before} -> {after} transition)."
    )


def reason_data(rule: Rule, points: Sequence[Point], name: str, period: int, now: datetime) -> str:
    """StateReasonData of a transition."""

    def text(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    real = [point for point in points if point.value is not None][-rule.periods :]
    made: dict[str, Any] = {
        "version": "1.0",
        "queryDate": text(now.timestamp()),
        **({"startDate": text(real[0].at)} if real else {}),
        "statistic": name,
        "period": period,
        "recentDatapoints": [point.value for point in real],
        "threshold": rule.threshold,
        "evaluatedDatapoints": [
            {"timestamp": text(point.at), "sampleCount": point.count, "value": point.value}
            for point in reversed(real)
        ],
    }
    return json.dumps(made)


def _tree(expression: str) -> ast.expr:
    tree = ast.parse(expression.replace("^", "**"), mode="eval").body
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        plain = isinstance(node, ast.BinOp | ast.UnaryOp | ast.Name | ast.Load)
        if not (number or plain or type(node) in _ARITHMETIC):
            raise SyntaxError(expression)
    return tree


def names_in(expression: str) -> set[str]:
    """The metrics that an arithmetic expression is about. Raises ValueError for one that is more than arithmetic."""
    try:
        return {node.id for node in ast.walk(_tree(expression)) if isinstance(node, ast.Name)}
    except SyntaxError:
        raise ValueError(expression) from None


def math_of(expression: str, values: Mapping[str, float | None]) -> float | None:
    """The value of an arithmetic expression; None where one of its metrics has none, or it divides by zero."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.Constant):
            return float(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            held = values[node.id]
            if held is None:
                raise ZeroDivisionError
            return held
        if isinstance(node, ast.UnaryOp):
            return _ARITHMETIC[type(node.op)](value(node.operand))
        assert isinstance(node, ast.BinOp)
        return float(_ARITHMETIC[type(node.op)](value(node.left), value(node.right)))

    try:
        return value(_tree(expression))
    except (ZeroDivisionError, OverflowError):
        return None
