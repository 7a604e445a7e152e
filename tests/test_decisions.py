"""Decisions: open until they are answered, answered once."""

from __future__ import annotations

import datetime as dt

import pytest
from ceremony import Told, busy, decisions

from kit.errors import UsageError

ASKED = [
    {"decision": "Who approves?", "by": "Sponsor", "day": 2},
    {"decision": "What does an error cost?", "by": "Product owner", "day": 1},
]


def told() -> Told:
    event = busy()
    event.say("1 08:50", "charter", "E2", asked=ASKED)
    return event


def open_at(event: Told, now: str, day: int) -> list[str]:
    return [one.text for one in decisions.waiting(event.events, event.wall(now), day)]


def test_open_are_those_of_standups_and_those_of_the_charter_that_are_due() -> None:
    event = told()
    assert open_at(event, "1 16:30", 1) == ["What does an error cost?", "May we use the age?"]
    assert open_at(event, "2 09:30", 2) == [
        "Who approves?",
        "What does an error cost?",
        "May we use the age?",
    ]
    found = {one.text: one for one in decisions.waiting(event.events, event.wall("2 09:30"), 2)}
    assert found["May we use the age?"].lanes == "Data engineering"
    assert found["May we use the age?"].time // dt.timedelta(minutes=1) == 90, "nights do not count"
    assert found["Who approves?"].lanes == "the charter, for today"
    assert found["What does an error cost?"].lanes == "the charter, late"


def test_an_answer_closes_it_however_it_is_spelt() -> None:
    event = told()
    event.say("1 17:00", "decided", "S1p", decision="may we use the AGE", by="owner", answer="to measure")
    assert open_at(event, "2 09:30", 1) == ["What does an error cost?"]
    wall = event.wall("2 09:30")
    assert decisions.waiting(event.events, wall, 1, {"What does an error cost": "ten"}) == []
    assert decisions.answers(event.events) == {"May we use the age?": "to measure"}


def test_an_answer_is_recorded_once() -> None:
    event = told()
    (data,) = decisions.new({"who approves": "the lead"}, event.events, {})
    assert data == {"decision": "Who approves?", "by": "Sponsor", "answer": "the lead"}
    event.say("1 17:00", "decided", "S1p", **data)
    assert decisions.new({"Who approves?": "the lead"}, event.events, {}) == []
    assert decisions.new({"Who approves?": "the owner"}, event.events, {})[0]["answer"] == "the owner"


def test_a_decision_that_nobody_asks_for_or_without_an_answer_is_refused() -> None:
    event = told()
    with pytest.raises(UsageError, match='Nobody asks for the decision "Who aproves') as error:
        decisions.new({"Who aproves?": "x"}, event.events, {})
    assert error.value.hint == 'Did you mean "Who approves?"?'
    with pytest.raises(UsageError, match="has no answer"):
        decisions.new({"Who approves?": " "}, event.events, {})
    assert decisions.new({"New?": "x"}, event.events, {"New?": "Sponsor"})[0]["by"] == "Sponsor"


@pytest.mark.parametrize("asked", [None, "x", [1, {"decision": 3}], [{"by": "x", "day": "one"}]])
def test_a_charter_from_anybodys_hand_does_no_harm(asked: object) -> None:
    event = Told()
    event.say("1 08:50", "charter", "E2", asked=asked)
    decisions.waiting(event.events, event.wall("1 09:00"), 1)
