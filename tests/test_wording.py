"""The words of the report: headline, figures, values."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from fixtures import story

from kit import daily, wording
from kit.cards import Card

PLAN = story.plan()
DAY_1, DAY_2 = (dt.datetime(2026, 12, day, 9, tzinfo=PLAN.event.zone) for day in (1, 2))
EVENING = DAY_1.replace(hour=17)


@pytest.fixture
def told() -> story.Story:
    return story.Story()


def figures(told: story.Story, day: int = 1, now: dt.datetime = EVENING) -> dict[str, tuple[str, str]]:
    return {f.label: (f.value, f.note) for f in wording.figures(daily.content(PLAN, told.events, day, now))}


def test_a_day_on_which_all_is_done_says_so(told: story.Story) -> None:
    for card in PLAN.cards:
        if card.day == 1:
            told.complete(DAY_1, card.id)
    told.tell(DAY_1, "accepted", "O2")
    assert wording.headline(daily.content(PLAN, told.events, 1, DAY_1)) == "All 9 cards of day 1 are done."
    assert figures(told)["Against the plan"][0] == "on plan"


def test_before_anything_happened_the_figures_say_so(told: story.Story) -> None:
    assert figures(told) == {
        "Done today": ("0", "0 of 23 cards in all"),
        "Against the plan": ("9 open", "planned up to day 1"),
        "Under way": ("0", "nothing is in work"),
        "Cycle time, median": ("–", "no card that was in Doing got done"),
        "Lost to blocks today": ("none", "nothing is blocked now"),
        "Older than usual": ("0", "no card is in work for long"),
    }


def test_the_figures_stand_beside_yesterdays(told: story.Story) -> None:
    told.tell(DAY_1, "started", "D1")
    told.complete(DAY_1.replace(hour=10), "D1")
    told.tell(DAY_1.replace(hour=10), "blocked", "F1", reason="no access")
    told.tell(DAY_1.replace(hour=12), "unblocked", "F1")
    told.tell(DAY_2, "started", "D2")
    told.complete(DAY_2.replace(hour=12), "D2")
    told.tell(DAY_2, "blocked", "F2", reason="no quota")
    told.tell(DAY_2, "started", "M1")
    now = DAY_2.replace(hour=13)
    second = figures(told, 2, now)
    assert second["Done today"] == ("1", "2 of 23 cards in all")
    assert second["Cycle time, median"] == ("3 h", "85 % within 3 h; yesterday 1 h")
    assert second["Lost to blocks today"] == ("3 h 59 min", "1 card is still blocked; yesterday 2 h")
    assert second["Under way"] == ("2", "1 Doing and 1 Blocked")
    assert second["Older than usual"][0] == "2"
    assert second["Against the plan"] == (
        "10 behind",
        "2 done, 12 planned by now; 3.5 an hour to finish the day",
    )


def test_a_limit_that_is_exceeded_is_told(told: story.Story) -> None:
    lanes = tuple(dataclasses.replace(lane, wip=1) for lane in PLAN.workstreams)
    plan = dataclasses.replace(PLAN, workstreams=lanes)
    told.tell(DAY_1, "started", "D1")
    told.tell(DAY_1, "started", "D2")
    day = daily.content(plan, told.events, 1, DAY_1.replace(hour=17))
    note = {f.label: f.note for f in wording.figures(day)}["Under way"]
    assert note == "2 Doing; Data engineering has 2 in Doing, its limit is 1"


def test_teams_that_wait_for_the_same_stand_on_one_line() -> None:
    cards = [
        Card("D2", "Process", "data", 1, 60, team=team, waits=waits, owner=owner)
        for team, waits, owner in (
            ("blue", ("D1@blue",), ""),
            ("red", ("D1@red", "E1"), ""),
            ("green", ("D1@green",), ""),
            ("gold", ("D1@gold",), "Ana"),
        )
    ]
    lines = [(line.teams, line.waits, line.owner) for line in wording.ahead(cards)]
    assert lines == [(("blue", "green", "gold"), ("D1",), "Ana (gold)"), (("red",), ("D1", "E1"), "")]
    one = dataclasses.replace(cards[3], state="Doing", waits=())
    other = dataclasses.replace(one, team="blue", owner="Eve")
    assert [line.owner for line in wording.ahead([one])] == ["Ana"]
    assert [line.owner for line in wording.ahead([one, other])] == ["Ana (gold) and Eve (blue)"]


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_words_are_listed(words: list[str], text: str) -> None:
    assert wording.listed(words) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (20000, "20,000"), (3.0, "3"), (0.81234, "0.8123"), (123.456, "123.46"), (1e-9, "1e-09"), (float("nan"), "nan"),
     ({"a": 1.5, "b": "x"}, "a: 1.5000; b: x"), ([1, 2], "[1, 2]"), ("x" * 400, "x" * 299 + "…"), ("\x1b[31mred\x1b[0m\x07", "red")],
)  # fmt: skip
def test_a_recorded_value_is_short_text(value: Any, text: str) -> None:
    assert wording.shown(value) == text
