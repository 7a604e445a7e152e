"""Retros: a day as it was, in hours and pictures, and what people say of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from ceremony import EVIL, PLAN, Told, actions, at, busy, documents, moments, retros

from kit.cards import Board

MINUTE = dt.timedelta(minutes=1)


def evening(told: Told, day: int, now: str = "3 16:30") -> Board:
    wall, events = moments.seen(PLAN, told.events, "local", at(now))
    found: Board = moments.until(PLAN, events, wall, day)
    return found


def test_the_story_of_a_day() -> None:
    told = retros.story(evening(busy(), 1), 1)
    assert (told.first[0].strftime("%H:%M"), told.first[1].id) == ("08:20", "D1"), "ceremonies do not count"
    assert [card.id for card in told.done] == ["D1", "D2"]
    assert told.repeated is None
    assert told.slowest[0].id in ("D1", "D2")
    assert told.hours_lost // MINUTE == 240


def test_a_block_over_night_costs_each_day_its_own_hours() -> None:
    told = Told()
    told.say("1 15:00", "blocked", "D1", reason="x", unblocker="y")
    told.say("2 10:30", "unblocked", "D1")
    costs = {day: round(retros.story(evening(told, day), day).hours_lost / MINUTE) for day in (1, 2, 3)}
    assert costs == {1: 120, 2: 90, 3: 0}
    told.say("3 11:00", "blocked", "D1", reason="again", unblocker="y")
    assert retros.story(evening(told, 3, "3 12:00"), 3).hours_lost // MINUTE == 59


def test_what_was_begun_most_often() -> None:
    told = Told()
    for minute in (10, 20, 30):
        told.say(f"1 09:{minute}", "started", "D1")
    told.say("1 09:40", "started", "M1")
    card, times = retros.story(evening(told, 1), 1).repeated
    assert (card.id, times) == ("D1", 3)


def test_cycle_times_stand_beside_those_of_the_day_before() -> None:
    told = Told()
    told.work("D1", "1 09:00", "1 10:00")
    told.work("D2", "2 09:00", "2 11:00")
    told.work("M1", "2 09:00", "2 09:30")
    found = {
        c.title: (
            c.count,
            *(round(times[0] / MINUTE) if times else None for times in (c.today, c.before)),
        )
        for c in retros.cycles(evening(told, 2), 2)
    }
    assert found == {"Data engineering": (1, 120, 60), "Model engineering": (1, 30, None)}


def test_a_rehearsal_off_the_dates_belongs_to_the_days_of_its_cards() -> None:
    told = Told()
    start = dt.datetime(2026, 11, 3, 10, tzinfo=dt.UTC)
    told.tell(start, "started", "D1")
    told.complete(start + MINUTE, "D1")
    told.tell(start + 2 * MINUTE, "started", "D5")
    wall, events = moments.seen(PLAN, told.events, "local", start + 5 * MINUTE)
    first = moments.until(PLAN, events, wall, 1)
    assert [card.id for card in retros.moved(first, 1)] == ["D1"]
    low, high = retros.window(first, 1)
    assert low < start < start + MINUTE < high < start + 10 * MINUTE
    assert first["D5"].state == "To do"
    text = "\n".join(retros.document(first, 1, retros.story(first, 1), {}, [], [], []))
    assert "Tuesday, 1 December 2026 (rehearsed on 3 November 2026)" in text


def test_with_too_many_cards_those_that_hurt_stay() -> None:
    told = Told()
    for n, card in enumerate(["D1", "D2", "M1", "M2", "O1"]):
        told.work(card, "1 09:00", f"1 1{n}:00")
    told.say("1 15:00", "blocked", "F1", reason="x", unblocker="y")
    assert [card.id for card in retros.moved(evening(told, 1), 1, most=2)] == ["O1", "F1"]
    assert len(retros.moved(evening(told, 1), 1)) == 6


def test_notes_of_the_day_are_quoted() -> None:
    told = Told()
    told.say("1 09:00", "noted", "D1", text="first")
    told.say("2 09:00", "noted", "", text="of the room")
    told.say("2 08:50", "noted", "D1", text="second")
    assert [(key, note.text) for key, note in retros.notes(evening(told, 2), 2)] == [("D1", "second"), ("", "of the room")]  # fmt: skip


def test_what_people_say_is_kept_once() -> None:
    given = {"liked": ["the room", " the  room", "", EVIL], "lacked": [3]}
    found = retros.sayings(given, {"liked": ("the board", "the room")})
    assert found["liked"] == ["the board", "the room", EVIL]
    assert (found["lacked"], found["longed_for"]) == (["3"], [])


def test_the_form_takes_a_line_for_each_and_its_code_says_the_same() -> None:
    form = retros.said_form({"liked": ["a", "b"]})
    form.put("learned", "one on each line", "c\n\n d ")
    assert retros.spoken(form.values) == {"liked": ["a", "b"], "lacked": [], "learned": ["c", "d"], "longed_for": []}  # fmt: skip
    assert form.code == "liked = ['a', 'b']; lacked = []; learned = ['c', 'd']; longed_for = []"


def test_the_document_tells_the_day_and_what_people_wrote_stays_text() -> None:
    told = busy()
    told.say("2 15:00", "noted", "D3", text=EVIL)
    wall = evening(told, 2, "2 16:30")
    told_day = retros.story(wall, 2)
    before = [(wall["A-1-1"], EVIL)]
    agreed = [actions.Action(EVIL, "Ben", "2026-12-03")]
    lines = retros.document(wall, 2, told_day, {"liked": [EVIL]}, before, agreed, ["![Day](day.png)"])
    text = "\n".join(lines)
    assert lines[0] == "# Retro of day 2"
    assert "1 block cost 7 h 09 min; 1 of them is still there." in text
    assert "| ■ still blocked |" in text
    assert "3 Dec" in text
    assert text.count("Nothing was said.") == 3
    assert "<script" not in documents.page(text.replace("![Day](day.png)", ""), Path())
