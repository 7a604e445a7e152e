"""What people said at ceremonies, as the journal has it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from fixtures import story

from kit import board as boards
from kit import said
from kit.journal import Event

PLAN = story.plan()
NINE, TEN, NOON, FOUR = (dt.datetime(2026, 12, 1, hour, tzinfo=PLAN.event.zone) for hour in (9, 10, 12, 16))


@pytest.fixture
def told() -> story.Story:
    return story.Story()


def day_of(event: Event) -> int:
    return 1


def stood(told: story.Story, at: dt.datetime, part: str = "am", day: Any = 1, **lanes: Any) -> None:
    told.tell(at, "standup", "S1a", day=day, part=part, lanes=lanes)


# Standups


def test_standups_come_in_the_order_of_the_event(told: story.Story) -> None:
    stood(told, NINE, "pm", 1, mlops={"focus": "b"})
    stood(told, NINE, "am", 2, mlops={"focus": "c"})
    stood(told, NOON, "am", 1, mlops={"focus": "a", "decision": "which?", "confidence": 4})
    held = said.standups(told.events, day_of)
    assert [(s.day, s.part) for s in held] == [(1, "am"), (1, "pm"), (2, "am")]
    assert held[0].words == (said.Word("mlops", "a", "which?", 4),)
    assert (held[0].card, held[0].at) == ("S1a", told.events[2].ts)


def test_a_standup_recorded_again_replaces_what_it_says_and_keeps_the_rest(told: story.Story) -> None:
    stood(
        told, NINE, mlops={"focus": "old", "decision": "which?", "confidence": 2}, foundations={"focus": "f"}
    )
    stood(told, TEN, mlops={"focus": "new", "decision": "", "confidence": 0})
    stood(told, NOON, mlops={"focus": " "})
    (standup,) = said.standups(told.events, day_of)
    assert standup.words == (said.Word("mlops", "new", "which?", 2), said.Word("foundations", "f"))


@pytest.mark.parametrize("lanes", [None, 7, [], {"mlops": None}, {"mlops": {"focus": [], "confidence": 9}}])
def test_what_makes_no_sense_is_nothing_said(told: story.Story, lanes: Any) -> None:
    told.tell(NINE, "standup", "S1a", day="one", part=None, lanes=lanes)
    (standup,) = said.standups(told.events, day_of)
    assert (standup.day, standup.part) == (1, "am")
    assert all(word == said.Word(word.lane) for word in standup.words)


# Retros


def test_a_retro_in_parts_has_what_was_said_in_all(told: story.Story) -> None:
    told.tell(FOUR, "retro", "R1", day=1, liked=["tea", " "], lacked=["time"], learned="one text")
    told.tell(FOUR, "retro", "R1", day=1, liked=["tea", "pairs"], longed_for=7)
    (retro,) = said.retros(told.events, day_of)
    assert retro.said == {
        "liked": ("tea", "pairs"),
        "lacked": ("time",),
        "learned": ("one text",),
        "longed_for": ("7",),
    }
    assert (retro.day, retro.card) == (1, "R1")


# Decisions


def test_a_decision_is_open_until_it_is_taken(told: story.Story) -> None:
    stood(told, NINE, foundations={"decision": "Who pays?"}, mlops={"decision": "Who pays "})
    stood(told, TEN, "pm", mlops={"decision": "Which region?"})
    told.tell(NOON, "decided", decision="who PAYS", by="Sponsor", answer="We do.")
    told.tell(FOUR, "decided", who="Eve", decision="No work at night")
    region, pays, night = said.decisions(told.events)
    assert (region.text, region.lanes, region.decided) == ("Which region?", ("mlops",), None)
    assert (pays.text, pays.lanes, pays.asked) == ("Who pays?", ("foundations", "mlops"), told.events[0].ts)
    assert (pays.by, pays.answer, pays.decided) == ("Sponsor", "We do.", told.events[2].ts)
    assert (night.lanes, night.asked, night.by) == ((), None, "Eve")


def test_the_charters_decisions_are_told_where_they_are_asked_for(told: story.Story) -> None:
    told.tell(
        NINE, "charter", "E2", asked=[{"decision": "Go live?", "by": "Sponsor", "day": 3}, 7, {"by": "x"}]
    )
    assert said.decisions(told.events) == ()
    (live,) = said.decisions(told.events, charter=True)
    assert (live.text, live.by, live.day, live.decided) == ("Go live?", "Sponsor", 3, None)
    told.tell(TEN, "decided", decision="Go live", answer="Yes.")
    (live,) = said.decisions(told.events, charter=True)
    assert (live.by, live.answer, live.decided) == ("Sponsor", "Yes.", told.events[1].ts)


@pytest.mark.parametrize("data", [{}, {"decision": None}, {"decision": "  "}, {"decision": {"a": 1}}])
def test_a_decision_without_words_is_none(told: story.Story, data: dict[str, Any]) -> None:
    told.tell(NINE, "decided", **data)
    stood(told, TEN, mlops=data)
    assert said.decisions(told.events) == ()


# Actions


def test_actions_are_cards_that_a_retro_added(told: story.Story) -> None:
    for id in ("A-1-1", "A-1", "X-1-1", "A-1-12", "A-1-1-1"):
        told.tell(FOUR, "added", id, title=id, workstream="event")
    assert [card.id for card in said.actions(boards.fold(PLAN, told.events))] == ["A-1-1", "A-1-12"]
