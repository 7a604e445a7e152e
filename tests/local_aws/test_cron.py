from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.cron import check, due

MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# 2026-03-01 is a Sunday.
@pytest.mark.parametrize(
    ("expression", "yes", "no"),
    [
        ("cron(0 10 * * ? *)", "2026-03-01T10:00", "2026-03-01T10:01"),
        ("cron(15 12 * * ? *)", "2026-03-02T12:15", "2026-03-02T12:00"),
        ("cron(0 18 ? * MON-FRI *)", "2026-03-02T18:00", "2026-03-01T18:00"),
        ("cron(0 8 1 * ? *)", "2026-03-01T08:00", "2026-03-02T08:00"),
        ("cron(0/15 * * * ? *)", "2026-03-01T10:45", "2026-03-01T10:50"),
        ("cron(0/10 * ? * MON-FRI *)", "2026-03-02T10:20", "2026-03-01T10:20"),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-03-02T17:55", "2026-03-02T18:00"),
        ("cron(0 9 ? * 2#1 *)", "2026-03-02T09:00", "2026-03-09T09:00"),
        ("cron(0 9 ? * FRIL *)", "2026-03-27T09:00", "2026-03-20T09:00"),
        ("cron(0 9 L * ? *)", "2026-02-28T09:00", "2026-02-27T09:00"),
        ("cron(0 9 1W * ? *)", "2026-03-02T09:00", "2026-03-01T09:00"),
        ("cron(0 9 28W 2 ? *)", "2026-02-27T09:00", "2026-02-28T09:00"),
        ("cron(0 0 1 JAN,JUL ? 2026-2027)", "2027-07-01T00:00", "2028-07-01T00:00"),
        ("cron(0 22-2 * * ? *)", "2026-03-01T01:00", "2026-03-01T03:00"),
    ],
)
def test_cron_comes_due_at_its_minute_only(expression: str, yes: str, no: str) -> None:
    assert due(expression, at(yes) - MINUTE, at(yes))
    assert not due(expression, at(yes), at(yes) + timedelta(seconds=30))
    assert not due(expression, at(no) - MINUTE, at(no))


@given(
    st.integers(1, 500),
    st.sampled_from(["minute", "hour", "day"]),
    st.integers(1_500_000_000, 1_900_000_000),
)
def test_a_rate_comes_due_once_in_each_of_its_periods(number: int, unit: str, seconds: int) -> None:
    expression = f"rate({number} {unit}{'s' if number > 1 else ''})"
    period = number * timedelta(**{f"{unit}s": 1})
    begin = datetime.fromtimestamp(seconds, UTC)
    assert not due(expression, begin, begin + period - timedelta(seconds=1), begin)
    assert due(expression, begin + period - timedelta(seconds=1), begin + period, begin)
    assert not due(expression, begin + period, begin + period + timedelta(seconds=1), begin)


def test_a_schedule_has_a_time_zone_and_may_be_for_once() -> None:
    assert due(
        "at(2026-03-01T10:00:00)", at("2026-03-01T08:59"), at("2026-03-01T09:00"), zone="Europe/Berlin"
    )
    assert not due(
        "at(2026-03-01T10:00:00)", at("2026-03-01T09:59"), at("2026-03-01T10:00"), zone="Europe/Berlin"
    )
    assert due("cron(0 10 * * ? *)", at("2026-07-01T07:59"), at("2026-07-01T08:00"), zone="Europe/Berlin")


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)", "rate(5 minute)", "rate(0 days)", "rate(2 weeks)", "every day", "cron(0 10 * * *)", "cron(0 10 * * * *)",
        "cron(0 10 ? * ? *)", "cron(60 10 * * ? *)", "cron(0 10 * * ? 1900)", "cron(0/0 * * * ? *)", "at(tomorrow)", "cron(0 0 * FOO ? *)",
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=re.compile(".+")):
        check(expression)
