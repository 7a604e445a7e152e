"""The event's own time: which day, and how many working hours."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import hours
from kit.plan import Event

EVENT = Event(
    "e",
    (dt.date(2026, 12, 1), dt.date(2026, 12, 2), dt.date(2026, 12, 3)),
    "Europe/Berlin",
    ("09:00", "17:00"),
)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=EVENT.zone)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-12-01T00:00", 1),
        ("2026-12-01T23:59", 1),
        ("2026-12-03T12:00", 3),
        ("2026-11-30T23:59", None),
        ("2026-12-04T00:00", None),
    ],
)
def test_a_moment_belongs_to_the_day_of_its_date_in_the_events_zone(moment: str, day: int | None) -> None:
    assert hours.day_of(EVENT, at(moment)) == day
    assert hours.day_of(EVENT, at(moment).astimezone(dt.UTC)) == day


@pytest.mark.parametrize(
    ("start", "end", "minutes"),
    [
        ("2026-12-01T10:00", "2026-12-01T11:30", 90),
        ("2026-12-01T16:00", "2026-12-02T10:00", 120),  # the night does not count
        ("2026-12-01T08:00", "2026-12-03T18:00", 3 * 8 * 60),
        ("2026-12-01T18:00", "2026-12-01T19:00", 0),  # after hours
        ("2026-11-20T10:00", "2026-11-20T10:07", 7),  # a rehearsal: plain time
        ("2026-11-30T10:00", "2026-12-01T10:00", 60),
        ("2026-12-02T10:00", "2026-12-01T10:00", 0),
    ],
)
def test_only_working_hours_of_the_event_count(start: str, end: str, minutes: int) -> None:
    assert hours.spent(EVENT, at(start), at(end)) == dt.timedelta(minutes=minutes)


@given(st.integers(-45 * 1440, 30 * 1440), st.integers(0, 40 * 1440))
def test_working_time_is_never_more_than_the_time_between(offset: int, minutes: int) -> None:
    start, length = at("2026-12-01T00:00") + dt.timedelta(minutes=offset), dt.timedelta(minutes=minutes)
    assert dt.timedelta() <= hours.spent(EVENT, start, start + length) <= length


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, "under 1 min"), (59, "59 min"), (60, "1 h"), (185, "3 h 05 min"), (26 * 60 + 9, "26 h")],
)
def test_lengths_are_spoken_in_few_words(minutes: int, words: str) -> None:
    assert hours.spoken(dt.timedelta(minutes=minutes)) == words
