from __future__ import annotations

import re
import statistics
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.alarm_state import (
    Datum,
    Point,
    Rule,
    buckets,
    explain,
    judge,
    last_period,
    math_of,
    names_in,
    statistic,
)

ABOVE = "GreaterThanThreshold"


def points(text: str) -> list[Point]:
    """`0 - X`: within the threshold, missing, beyond it; the oldest first."""
    return [Point(60.0 * n, {"0": 0.0, "X": 9.0, "-": None}[c]) for n, c in enumerate(text.split())]


# "How alarm state is evaluated when data is missing": the examples of the CloudWatch User Guide. KEEP: as it was.
KEEP = "as it was"
TABLE = [
    ("0 - X - X", 3, ("OK", "OK", "OK", "OK")),
    ("- - - - 0", 3, ("OK", "OK", "OK", "OK")),
    ("- - - - -", 3, ("INSUFFICIENT_DATA", KEEP, "ALARM", "OK")),
    ("0 X X - X", 3, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("- - X - -", 3, ("ALARM", KEEP, "ALARM", "OK")),
    ("0 - X - X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("0 0 X 0 X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("0 - X - -", 2, ("OK", "OK", "ALARM", "OK")),
    ("- - - - 0", 2, ("OK", "OK", "ALARM", "OK")),
    ("- - - X -", 2, ("ALARM", KEEP, "ALARM", "OK")),
]


@pytest.mark.parametrize(("shown", "to_alarm", "expected"), TABLE)
def test_missing_data_is_treated_as_the_guide_shows(
    shown: str, to_alarm: int, expected: tuple[str, ...]
) -> None:
    for treatment, wanted in zip(("missing", "ignore", "breaching", "notBreaching"), expected, strict=True):
        rule = Rule(ABOVE, 5, 3, to_alarm, treatment)
        for state in ("OK", "ALARM", "INSUFFICIENT_DATA"):
            assert judge(rule, points(shown), state) == (state if wanted == KEEP else wanted), treatment


def test_one_young_breach_of_an_alarm_that_wants_three_does_not_ring() -> None:
    assert judge(Rule(ABOVE, 5, 3, 3), points("- - - - X"), "OK") == "OK"


TEXTS = st.lists(st.sampled_from("0X-"), min_size=1, max_size=9).map(" ".join)


@given(TEXTS, st.data())
def test_a_full_range_is_decided_by_the_last_n_real_points_alone(text: str, data: st.DataObject) -> None:
    real = [c for c in text.split() if c != "-"]
    periods = data.draw(st.integers(1, max(1, len(real))))
    to_alarm = data.draw(st.integers(1, periods))
    if len(real) < periods:
        return
    wanted = "ALARM" if real[-periods:].count("X") >= to_alarm else "OK"
    for treatment in ("missing", "ignore", "breaching", "notBreaching"):
        assert (
            judge(Rule(ABOVE, 5, periods, to_alarm, treatment), points(text), "INSUFFICIENT_DATA") == wanted
        )


@given(TEXTS, st.integers(1, 6), st.data())
def test_breaching_is_never_calmer_and_not_breaching_never_louder_than_the_data(
    text: str, periods: int, data: st.DataObject
) -> None:
    to_alarm = data.draw(st.integers(1, periods))
    real = [c for c in text.split() if c != "-"][-periods:]
    rings = real.count("X") >= to_alarm
    padded = [*(["X"] * (periods - len(real))), *real]  # what is missing, put in as the treatment says
    loud = judge(Rule(ABOVE, 5, periods, to_alarm, "breaching"), points(text), "OK")
    calm = judge(Rule(ABOVE, 5, periods, to_alarm, "notBreaching"), points(text), "ALARM")
    assert loud == ("ALARM" if padded.count("X") >= to_alarm else "OK")
    assert calm == ("ALARM" if rings else "OK")


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_statistics_are_those_of_the_values(values: list[float]) -> None:
    data = [Datum.of(1, value) for value in values]
    assert statistic("SampleCount", data) == len(values)
    assert statistic("Sum", data) == pytest.approx(sum(values))
    assert statistic("Average", data) == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert (statistic("Minimum", data), statistic("Maximum", data)) == (min(values), max(values))
    assert statistic("p0", data) == min(values)
    assert statistic("p100", data) == max(values)
    if len(values) > 1:
        nine = statistics.quantiles(values, n=10, method="inclusive")[8]
        assert statistic("p90", data) == pytest.approx(nine, abs=1e-6)


def test_statistics_that_were_put_count_as_many_values_and_have_no_percentile() -> None:
    data = [Datum(1, 2, 8, 30, 5), Datum.of(1, 10)]
    assert [statistic(name, data) for name in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")] == [
        6,
        40,
        40 / 6,
        2,
        10,
    ]
    assert statistic("p50", data) is None
    assert statistic("Sum", []) is None


def test_the_present_period_counts_once_anything_has_data_in_it_and_is_not_missing_before() -> None:
    old = [Datum.of(600, 9)]
    assert last_period([old, []], 60, now=661) == 10
    assert [point.at for point in buckets(old, "Sum", 60, 1, last=10)] == [480, 540, 600]
    more = [*old, Datum.of(660, 1), Datum.of(661, 2)]
    assert last_period([old, more], 60, now=665) == 11
    points_of = [(point.at, point.value, point.count) for point in buckets(more, "Sum", 60, 1, last=11)]
    assert points_of == [(540, None, 0), (600, 9, 1), (660, 3, 2)]


def test_comparisons_hold_at_the_threshold_as_their_names_say() -> None:
    names = ("GreaterThanOrEqualToThreshold", ABOVE, "LessThanThreshold", "LessThanOrEqualToThreshold")
    assert [Rule(name, 5).breaches(5) for name in names] == [True, False, False, True]
    assert [Rule(name, 5).breaches(6) for name in names] == [True, True, False, False]


def test_a_reason_names_the_points_the_threshold_and_the_transition() -> None:
    at = datetime(2026, 3, 1, 8, 25, tzinfo=UTC).timestamp()
    said = explain(Rule(ABOVE, 0.2), [Point(at, 0.31, 1)], "OK", "ALARM")
    assert said == (
        "Threshold Crossed: 1 out of the last 1 datapoints [0.31 (01/03/26 08:25:00)] was greater than the threshold (0.2)"
        " (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert " was not greater than " in explain(Rule(ABOVE, 0.2), [Point(at, 0.1, 1)], "ALARM", "OK")
    assert (
        explain(Rule(ABOVE, 1, 2, 2), points("- - -"), "OK", "INSUFFICIENT_DATA")
        == "Insufficient Data: 2 datapoints were unknown."
    )
    assert "treated as [Breaching]" in explain(
        Rule(ABOVE, 1, missing="breaching"), points("-"), "OK", "ALARM"
    )


def test_arithmetic_on_metrics() -> None:
    values = {"errors": 3.0, "calls": 12.0, "none": None}
    assert math_of("100 * errors / (calls - 2^1)", values) == 30
    assert math_of("-errors", values) == -3
    assert math_of("errors / (calls - 12)", values) is None
    assert math_of("errors + none", values) is None
    assert names_in("100 * errors / calls") == {"errors", "calls"}
    for text in (
        "FILL(errors, 0)",
        "errors if calls else 1",
        "__import__('os')",
        "errors +",
        "'a' * 3",
        "ANOMALY_DETECTION_BAND(m1)",
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            names_in(text)
