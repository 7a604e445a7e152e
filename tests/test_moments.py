"""The board and the journal as a ceremony looks at them."""

from __future__ import annotations

import datetime as dt

import pytest
from ceremony import PLAN, Told, at, busy, moments

from kit import said
from kit.errors import UsageError


def test_a_time_is_the_events() -> None:
    assert moments.moment(PLAN.event, "2026-12-02 09:30") == at("2 09:30")
    assert moments.moment(PLAN.event, "2026-12-02T09:30+00:00") == at("2 10:30")
    assert moments.moment(PLAN.event, " ") is None
    with pytest.raises(UsageError, match='"half past nine" is no time'):
        moments.moment(PLAN.event, "half past nine")


def test_the_board_of_a_moment_knows_nothing_of_what_came_after() -> None:
    told = busy()
    wall, events = moments.seen(PLAN, told.events, "local", at("1 12:00"))
    assert wall["D2"].state == "Blocked"
    assert max(event.ts for event in events) <= at("1 12:00")
    assert wall.at == at("1 12:00")


def test_now_is_never_before_the_last_event() -> None:
    told = Told()
    told.tell(dt.datetime(2126, 1, 1, tzinfo=dt.UTC), "started", "D1")
    wall, _ = moments.seen(PLAN, told.events, "local")
    assert wall.at == told.events[-1].ts
    assert moments.seen(PLAN, told.events, "aws")[1] == [], "another target's events are not these"


def test_an_event_belongs_to_the_day_of_its_date_or_of_its_card() -> None:
    told = Told()
    told.say("2 10:00", "started", "D1")
    told.tell(dt.datetime(2025, 1, 1, tzinfo=dt.UTC), "started", "D5")
    day_of = moments.by_day(PLAN, told.wall("3 09:00"))
    assert [day_of(event) for event in told.events] == [2, 3]


def test_a_standup_counts_from_the_one_before_also_when_it_is_held_again() -> None:
    told = Told()
    for moment, day, part in (("1 09:30", 1, "am"), ("1 16:00", 1, "pm"), ("2 09:30", 2, "am")):
        told.say(moment, "standup", f"S{day}{part[0]}", day=day, part=part, lanes={})
    held = said.standups(told.events, lambda event: 1)
    assert moments.since(held, 2, "am") == held[1].at
    assert moments.since(held, 1, "pm") == held[0].at
    assert moments.since(held, 1, "am") == moments.BEGINNING


def test_the_evening_of_a_day_that_has_passed_is_as_its_hours_closed() -> None:
    told = busy()
    wall, events = moments.seen(PLAN, told.events, "local", at("2 12:00"))
    evening = moments.until(PLAN, events, wall, 1)
    assert evening["D3"].state == "To do"
    assert evening.at == at("1 17:00")
    today = moments.until(PLAN, events, wall, 2)
    assert (today["D3"].state, today.at) == ("Blocked", at("2 12:00"))
