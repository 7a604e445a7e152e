"""Pictures of the ceremonies: of an empty event, of a lively one, and what they say."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from ceremony import PLAN, Told, at, moments, pictures, retros
from fixtures import story

from kit.cards import Board


def evening(told: Told, day: int, now: str) -> Board:
    wall, events = moments.seen(PLAN, told.events, "local", at(now))
    found: Board = moments.until(PLAN, events, wall, day)
    return found


def test_a_block_is_drawn_beside_the_work_around_it() -> None:
    told = Told()
    told.say("1 10:00", "started", "D1")
    told.say("1 11:00", "blocked", "D1", reason="x", unblocker="y")
    told.say("1 13:00", "unblocked", "D1")
    told.say("1 14:00", "completed", "D1")
    wall = evening(told, 1, "1 16:30")
    fig, ax = plt.subplots()
    pictures.timeline(ax, wall, [wall["D1"]], *retros.window(wall, 1))
    bars = [(round(bar.get_width() * 24, 2), bar.get_hatch()) for bar in ax.patches if bar.get_width() < 1]
    plt.close(fig)
    assert bars[:3] == [(1.0, "//"), (2.0, "xx"), (1.0, "//")]


def test_a_card_under_way_is_drawn_up_to_now() -> None:
    told = Told()
    told.say("1 10:00", "started", "D1")
    wall = evening(told, 1, "1 12:30")
    fig, ax = plt.subplots()
    pictures.timeline(ax, wall, [wall["D1"]], *retros.window(wall, 1))
    widths = [round(bar.get_width() * 24, 2) for bar in ax.patches]
    plt.close(fig)
    assert widths[0] == 2.5


def test_a_card_that_takes_longer_than_usual_is_marked() -> None:
    told = Told()
    told.say("1 09:00", "started", "D1")
    told.say("1 11:50", "started", "M1")
    fig, ax = plt.subplots()
    pictures.ages(ax, told.wall("1 12:00"))
    words = [text.get_text().strip() for text in ax.texts]
    plt.close(fig)
    assert words == ["Doing, longer than usual", "Doing"]


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
