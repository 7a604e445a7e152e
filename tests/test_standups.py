"""Standups: what each workstream has done, what is stuck and what is next; nothing hidden, and on one screen."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from ceremony import EVIL, PLAN, Told, at, busy, documents, moments, standups
from fixtures import story

from kit import board, said
from kit.errors import UsageError
from kit.plan import Plan


def lanes(told: Told, now: str, day: int, part: str = "am", **said_now: Any) -> dict[str, Any]:
    """The workstreams of a standup by id."""
    wall = told.wall(now)
    held = said.standups(told.events, moments.by_day(PLAN, wall))
    words = standups.words(PLAN, said_now.get("focus", {}), said_now.get("decision", {}), said_now.get("confidence", {}))  # fmt: skip
    before = standups.before(held, day, part)
    found = standups.lanes(wall, day, moments.since(held, day, part), before, words)
    return {lane.id: lane for lane in found}


def page(told: Told, now: str, day: int, lane: str = "data_engineering", **said_now: Any) -> str:
    return "\n".join(standups.page(told.wall(now), lanes(told, now, day, **said_now)[lane], day))


def test_on_the_first_morning_there_is_a_page_for_each_workstream() -> None:
    found = lanes(Told(), "1 09:30", 1)
    assert list(found) == ["foundations", "data_engineering", "model_engineering", "mlops"]
    text = page(Told(), "1 09:30", 1)
    assert "## Data engineering, Data lead: 0 of 2 cards of day 1 done" in text
    assert "| Micro-goal | today's cards: D1, D2 |" in text
    assert "| Next | **D1** Collect the data waits for E1 |" in text
    assert "| **Focus** | nobody has said it yet |" in text


def test_what_happened_since_the_last_standup_and_nothing_before() -> None:
    told = busy()
    found = lanes(told, "2 09:30", 2)["data_engineering"]
    assert found.goal == "Features by noon"
    assert [card.id for card in found.done] == []
    assert [(b.card.id, b.time // dt.timedelta(minutes=1)) for b in found.blocked] == [("D3", 10)]
    earlier = lanes(told, "1 16:00", 1, "pm")["data_engineering"]
    assert [card.id for card in earlier.done] == ["D1", "D2"]
    assert [(f.card.id, f.times, f.cell, f.line, f.over) for f in earlier.failed] == [
        ("D2", 1, "wait", "ClientError: AccessDenied: no", True)
    ]


def test_blocked_are_shown_oldest_first_with_reason_hours_and_who_can_help() -> None:
    told = Told()
    told.say("1 11:00", "blocked", "D2", reason="second", unblocker="Ben")
    told.say("1 10:00", "blocked", "D1", reason=EVIL, unblocker="")
    text = page(told, "1 12:00", 1)
    assert text.index("**D1**") < text.index("second. **Ben** can help")
    assert "2 h" in text
    assert "**Nobody is named who can help**" in text
    assert "<script" not in documents.page(text, Path())


def test_a_card_that_takes_longer_than_usual_is_told_once() -> None:
    told = Told()
    told.say("1 09:00", "started", "D1")
    assert "Ageing | **D1** Collect the data, 3 h" in page(told, "1 12:00", 1)
    told.say("1 12:00", "blocked", "D1", reason="x", unblocker="y")
    assert "Ageing" not in page(told, "1 13:00", 1), "it is among the blocked already"


def test_work_above_the_limit_is_said() -> None:
    wip = tuple(dataclasses.replace(lane, wip=1) for lane in PLAN.workstreams)
    limited: Plan = dataclasses.replace(PLAN, workstreams=wip)
    told = Told()
    for card in ("D1", "D2"):
        told.say("1 09:10", "started", card)
    wall = told.wall("1 09:30", limited)
    (lane,) = (x for x in standups.lanes(wall, 1, moments.BEGINNING, {}, {}) if x.id == "data_engineering")
    assert "Over the limit | 2 cards in Doing, the limit is 1" in "\n".join(standups.page(wall, lane, 1))


def test_a_card_done_again_is_on_the_page() -> None:
    told = busy()
    told.say("2 09:25", "completed", "D1")
    assert [card.id for card in lanes(told, "2 09:30", 2)["data_engineering"].done] == ["D1"]


def test_actions_of_retros_are_the_events_own_work_and_ceremonies_are_not() -> None:
    found = list(lanes(busy(), "2 09:30", 2).values())
    assert found[-1].id == "event"
    assert [card.id for card in found[-1].today] == ["A-1-1"]
    assert "Next | **A-1-1** Ask for the quota, Ben |" in page(busy(), "2 09:30", 2, "event")


def test_what_people_say_is_on_the_page() -> None:
    text = page(Told(), "1 09:30", 1, "mlops", focus={"mlops": "one pipeline"}, decision={"mlops": "Fork?"}, confidence={"mlops": 4})  # fmt: skip
    for line in ("| **Focus** | one pipeline |", "| **Decision needed** | Fork? |", "●●●●○ 4 of 5"):
        assert line in text
    assert "nobody has said it yet" not in text


@pytest.mark.parametrize(
    ("said_now", "message"),
    [
        ({"focus": {"mlopps": "x"}}, 'no workstream "mlopps"'),
        ({"confidence": {"mlops": 6}}, "The confidence of mlops is 6"),
        ({"confidence": {"mlops": True}}, "The confidence of mlops is True"),
        ({"confidence": {"mlops": "high"}}, "The confidence of mlops is 'high'"),
    ],
)
def test_what_cannot_be_meant_is_refused(said_now: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lanes(Told(), "1 09:30", 1, **said_now)


def test_what_was_said_at_the_same_standup_stays_where_nothing_new_is_said() -> None:
    told = busy()
    held = said.standups(told.events, lambda event: 1)
    earlier = standups.earlier(held, 1, "pm")
    words = standups.words(PLAN, {}, {"data_engineering": "Another?"}, {}, earlier)
    assert words["data_engineering"] == said.Word("data_engineering", "Features by noon", "Another?", 4)


@pytest.mark.parametrize(
    ("reason", "unblocker", "lacks"),
    [("no quota", "account team", False), ("no quota", " ", True), ("", "account team", True)],
)
def test_a_blocked_card_without_help_is_named(reason: str, unblocker: str, lacks: bool) -> None:
    told = Told()
    told.say("1 10:00", "blocked", "D1", reason=reason, unblocker=unblocker)
    assert standups.helpless(told.wall("1 11:00")) == (["D1 · Collect the data"] if lacks else [])


def test_a_card_that_is_on_no_page_is_found() -> None:
    told = busy()
    wall, since = told.wall("1 16:00"), moments.BEGINNING
    pages = ["\n".join(standups.page(wall, lane, 1)) for lane in lanes(told, "1 15:59", 1, "pm").values()]
    assert standups.left_out(told.events, wall, since, pages) == []
    hidden = [text.replace("**D2**", "") for text in pages]
    assert standups.left_out(told.events, wall, since, hidden) == ["D2"]


def test_a_lively_event_fits_on_a_screen_and_hides_nothing() -> None:
    events = story.events(PLAN, seed=3)
    for now, day in (("1 16:00", 1), ("2 16:00", 2), ("3 16:00", 3)):
        wall, known = moments.seen(PLAN, events, "local", at(now))
        found = standups.lanes(wall, day, moments.BEGINNING, {}, {})
        pages = [standups.page(wall, lane, day) for lane in found]
        assert max(map(standups.length, pages)) <= 34
        text = ["\n".join(lines) for lines in pages]
        assert standups.left_out(known, wall, moments.BEGINNING, text) == []
        assert "<script" not in documents.page("\n".join(text), Path())


def test_a_page_that_is_too_long_is_measured_as_it_is_shown() -> None:
    assert standups.length(["a<br>b", "", "|---|", "c" * 111]) == 4


def test_with_teams_each_has_a_next_card() -> None:
    teams = dataclasses.replace(PLAN, teams=("blue", "red"))
    told = Told()
    told.work("E1", "1 09:00", "1 09:10")
    wall = board.fold(teams, told.events, now=at("1 09:30"))
    (lane,) = (x for x in standups.lanes(wall, 1, moments.BEGINNING, {}, {}) if x.id == "mlops")
    assert [card.key for card in lane.next] == ["O1@blue", "O1@red"]


def test_teams_that_did_the_same_card_stand_on_one_line_and_none_is_left_out() -> None:
    teams = dataclasses.replace(PLAN, teams=("blue", "red"))
    told = Told()
    for team in ("blue", "red"):
        for type in ("started", "completed"):
            told.say("1 09:10", type, "D1")
            told.events[-1] = dataclasses.replace(told.events[-1], team=team)
    wall = board.fold(teams, told.events, now=at("1 09:30"))
    (lane,) = (x for x in standups.lanes(wall, 1, moments.BEGINNING, {}, {}) if x.id == "data_engineering")
    text = "\n".join(standups.page(wall, lane, 1))
    assert "| Done since | Collect the data: **D1@blue**, **D1@red** |" in text
    assert standups.left_out(told.events, wall, moments.BEGINNING, [text]) == []
    assert standups.left_out(told.events, wall, moments.BEGINNING, [text.replace("**D1@red**", "")]) == [
        "D1@red"
    ]


def test_the_document_says_what_is_asked_of_the_room_first() -> None:
    told = busy()
    wall = told.wall("2 09:30")
    from ceremony import decisions

    waiting = decisions.waiting(told.events, wall, 2)
    found = tuple(lanes(told, "2 09:30", 2).values())
    lines = standups.document(wall, found, waiting, 2, "am", at("1 16:00"), documents.label)
    text = "\n".join(lines)
    assert lines[0] == "# Standup, morning of day 2"
    assert "as of 09:30 Europe/Berlin · since 1 Dec 16:00" in text
    assert text.index("May we use the age?") < text.index("## Foundations")


def test_the_form_and_its_code_say_the_same() -> None:
    words = standups.words(PLAN, {"mlops": "it's one"}, {}, {"mlops": 4})
    form = standups.form(Told().wall("1 09:30"), words)
    form.put("foundations", "decision", " Who? ")
    assert form.code == "focus = {'mlops': \"it's one\"}; decision = {'foundations': 'Who?'}; confidence = {'mlops': 4}"  # fmt: skip
    given: dict[str, Any] = {}
    exec(form.code, given)
    assert {name: given[name] for name in ("focus", "decision", "confidence")} == standups.filled(form.values)
