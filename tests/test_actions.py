"""Actions of retros: at most three, owned, with a date, and answered."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ceremony import PLAN, Told, actions, busy

from kit.errors import UsageError

DATE = PLAN.event.dates[0]


def test_actions_are_read_and_empty_ones_left_out() -> None:
    given = [{"title": " Ask  twice ", "owner": "Ben", "due": "2026-12-02"}, {"title": "", "owner": ""}]
    assert actions.read(given) == [actions.Action("Ask twice", "Ben", "2026-12-02")]


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (["ask"], "'ask' is no action", '{"title": "...", "owner": "...", "due": "2026-12-02"}'),
        ([{"title": "x", "ower": "y"}], 'no "ower"', 'Did you mean "owner"?'),
    ],
)
def test_what_is_no_action_is_refused(given: list[Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        actions.read(given)
    assert error.value.hint == hint


@pytest.mark.parametrize(
    ("owner", "due", "lacks"),
    [
        ("Ben", "2026-12-01", None),
        ("Ben", "2027-01-15", None),
        ("", "2026-12-02", "Do it: owner"),
        ("Ben", "", "Do it: a date such as 2026-12-01"),
        ("Ben", "tomorrow", "Do it: a date such as 2026-12-01"),
        ("Ben", "2026-11-30", "Do it: a date from 2026-12-01 on"),
        ("", "", "Do it: owner, a date such as 2026-12-01"),
    ],
)
def test_each_action_has_an_owner_and_a_date(owner: str, due: str, lacks: str | None) -> None:
    found = actions.lacking([actions.Action("Do it", owner, due)], DATE)
    assert found == ([lacks] if lacks else [])


@pytest.mark.parametrize(
    ("closed", "kept", "open"),
    [
        ({}, {}, ["A-1-1 · Ask for the quota"]),
        ({"A-1-1": "seen"}, {}, []),
        ({}, {"A-1-1": "next week"}, []),
        ({}, {"A-1-1": " "}, ["A-1-1 · Ask for the quota"]),
    ],
)
def test_yesterdays_actions_are_answered(
    closed: dict[str, str], kept: dict[str, str], open: list[str]
) -> None:
    wall = busy().wall("2 16:30")
    assert actions.unanswered(wall, 2, closed, kept) == open
    assert actions.unanswered(wall, 1, {}, {}) == [], "those of the same day are new"


def test_an_action_that_is_done_needs_no_answer_and_an_unknown_one_is_refused() -> None:
    told = busy()
    told.say("2 10:00", "review", "A-1-1", evidence="seen")
    told.say("2 10:01", "accepted", "A-1-1")
    assert actions.unanswered(told.wall("2 16:30"), 2, {}, {}) == []
    with pytest.raises(UsageError, match='no action "A-1-2"') as error:
        actions.unanswered(told.wall("2 16:30"), 2, {"A-1-2": "x"}, {})
    assert error.value.hint == 'Did you mean "A-1-1"?'


@pytest.mark.parametrize("before", [[], ["started"], ["blocked"], ["review"], ["started", "blocked"]])
def test_closing_brings_an_action_to_done_from_anywhere(before: list[str]) -> None:
    told = busy()
    for type in before:
        told.say("2 10:00", type, "A-1-1", reason="x", evidence="x")
    card = told.wall("2 11:00")["A-1-1"]
    for type in actions.closing(card):
        told.say("2 12:00", type, "A-1-1", evidence="seen")
    assert told.wall("2 12:00")["A-1-1"].state == "Done"


def test_new_actions_become_cards_once() -> None:
    told = busy()
    given = [
        actions.Action("Second", "Ann", "2026-12-03"),
        actions.Action("Ask for the quota", "Ben", "2026-12-02"),
    ]
    (data,) = actions.new(given, told.wall("1 17:00"), 1, "R1")
    assert (data["id"], data["day"], data["owner"], data["due"]) == ("A-1-2", 3, "Ann", "2026-12-03")
    told.say("1 17:00", "added", data["id"], **data)
    wall = told.wall("1 17:01")
    assert (wall["A-1-2"].owner, wall["A-1-2"].due, wall["A-1-2"].source) == ("Ann", "2026-12-03", "R1")
    assert wall["A-1-2"].workstream == "event"
    assert actions.new(given, wall, 1, "R1") == []
    assert [a.title for a in actions.together(given, wall, 1)] == ["Ask for the quota", "Second"]


def test_an_action_due_after_the_event_is_for_the_next_day_of_it() -> None:
    given = [actions.Action("Later", "Ann", "2027-01-15")]
    assert actions.new(given, Told().wall("1 17:00"), 1, "R1")[0]["day"] == 2
    assert actions.new(given, Told().wall("1 17:00"), 3, "R3")[0]["day"] == 3


def test_what_was_kept_at_the_same_retro_stays_kept() -> None:
    told = busy()
    told.say("2 16:40", "retro", "R2", day=2, kept={"A-1-1": "next week"})
    told.say("2 16:41", "retro", "R2", day=2, kept="nonsense")
    assert actions.kept_before(told.events, 2) == {"A-1-1": "next week"}
    assert actions.kept_before(told.events, 3) == {}


def test_the_form_takes_rows_that_have_something_in_them() -> None:
    form = actions.form([actions.Action("One", "Ann", "2026-12-02")], "2026-12-03")
    assert list(form.rows) == ["1", "2", "3"]
    form.put("2", "title", "Two")
    assert actions.agreed(form.values) == [
        {"title": "One", "owner": "Ann", "due": "2026-12-02"},
        {"title": "Two", "owner": "", "due": "2026-12-03"},
    ]
    assert form.code == f"actions = {actions.agreed(form.values)!r}"
    assert dt.date.fromisoformat(form.values["3"]["due"])
