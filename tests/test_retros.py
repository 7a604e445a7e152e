"""Retros: a day as it was, in hours and pictures, and what people say of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from ceremony import EVIL, PLAN, Told, actions, at, busy, documents, moments, pictures, retros
from fixtures import story

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


def test_a_day_on_which_nothing_happened_has_a_document_and_pictures() -> None:
    wall = evening(Told(), 1, "1 16:30")
    told = retros.story(wall, 1)
    assert "Nothing happened on this day." in "\n".join(retros.document(wall, 1, told, {}, [], [], []))
    fig, axes = plt.subplots(1, 4)
    pictures.timeline(axes[0], wall, [], *retros.window(wall, 1))
    pictures.burn_up(axes[1], wall, 1)
    pictures.ages(axes[2], wall)
    pictures.states(axes[3], wall)
    said = [text.get_text() for ax in axes[:3] for text in ax.texts]
    plt.close(fig)
    assert said == ["Nothing moved on this day.", "Nothing has happened yet.", "No card is under way."]


@pytest.mark.parametrize("day", [1, 2, 3])
def test_pictures_of_a_lively_event_can_be_drawn(day: int, tmp_path: Path) -> None:
    told = Told()
    told.events = story.events(PLAN, seed=5)
    wall = evening(told, day, f"{day} 16:30")
    fig, axes = plt.subplots(1, 4, figsize=(20, 6))
    drawn = retros.moved(wall, day, most=26)
    pictures.timeline(axes[0], wall, drawn, *retros.window(wall, day))
    pictures.burn_up(axes[1], wall, day)
    pictures.ages(axes[2], wall)
    pictures.states(axes[3], wall)
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    heights = [
        line.get_ydata()[-1] for line in axes[1].get_lines() if line.get_label() in ("done", "all cards")
    ]
    fig.savefig(tmp_path / "all.png")
    plt.close(fig)
    assert [label.partition(" ")[0] for label in labels] == [card.key for card in drawn]
    work = [card for card in wall.cards if card.id != "E1"]
    assert heights == [len(work), sum(card.state == "Done" for card in work)]
