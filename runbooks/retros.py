"""A day's retro: how the day went, from the journal; what people say of it; and at most three actions, which become cards."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import actions
import documents
import forms
import standups

from kit import flow, hours, said
from kit.board_formats import counted
from kit.cards import BLOCKED, DONE, Board, Card, Note

__all__ = [
    "Cycle",
    "Lost",
    "Story",
    "cycles",
    "document",
    "moved",
    "notes",
    "said_form",
    "sayings",
    "spoken",
    "story",
    "window",
]

TITLES = {"liked": "Liked", "lacked": "Lacked", "learned": "Learned", "longed_for": "Longed for"}


@dataclass(frozen=True)
class Lost:
    """A block that lasted into the day or began on it, and the event's working time that it cost on the day."""

    block: flow.Block
    time: dt.timedelta


@dataclass(frozen=True)
class Cycle:
    """How long the cards took that a workstream finished: how many, median and 85th percentile; today, and the day before."""

    title: str
    count: int
    today: tuple[dt.timedelta, dt.timedelta] | None
    before: tuple[dt.timedelta, dt.timedelta] | None


@dataclass(frozen=True)
class Story:
    """What is worth telling of a day."""

    first: tuple[dt.datetime, Card] | None
    done: tuple[Card, ...]
    slowest: tuple[Card, float] | None
    repeated: tuple[Card, int] | None
    lost: tuple[Lost, ...]

    @property
    def hours_lost(self) -> dt.timedelta:
        """What all blocks cost together on the day."""
        return sum((one.time for one in self.lost), dt.timedelta())


# How the day went


def day_of(board: Board, card: Card, at: dt.datetime) -> int:
    """The day of a moment in a card's life: that of its date, or where it has none (a rehearsal), the card's."""
    return hours.day_of(board.event, at) or card.day


def moved(board: Board, day: int, most: int = 0) -> list[Card]:
    """The cards, other than ceremonies, that moved on the day, in the order in which they did; at most so many.

    Where there are too many, those that were blocked or in work longest stay.
    """
    found = []
    for card in board.cards:
        times = [move.at for move in card.moves if day_of(board, card, move.at) == day]
        if times and not standups.ceremony(card):
            found.append((min(times), card))
    if most:
        worth = sorted(found, key=lambda pair: _weight(board, pair[1]), reverse=True)[:most]
        found = [pair for pair in found if pair in worth]
    return [card for _, card in sorted(found, key=lambda pair: pair[0])]


def _weight(board: Board, card: Card) -> tuple[bool, dt.timedelta]:
    time = flow.cycle_time(board, card) or flow.age(board, card) or dt.timedelta()
    return any(move.after == BLOCKED for move in card.moves), time


def window(board: Board, day: int) -> tuple[dt.datetime, dt.datetime]:
    """From when to when the day is drawn: its working hours, wider where work was done outside; a rehearsal's own times."""
    moves = [
        move.at
        for card in board.cards
        for move in card.moves
        if day_of(board, card, move.at) == day and not standups.ceremony(card)
    ]
    opens, closes = hours.bounds(board.event, day)
    if moves and not any(hours.day_of(board.event, at) for at in moves):
        room = (max(moves) - min(moves)) / 20 + dt.timedelta(seconds=1)
        return min(moves) - room, max(moves) + room
    return min([opens, *moves]), max([closes, *moves])


def story(board: Board, day: int) -> Story:
    """What is worth telling of the day: its first start, what was done, the slowest and the most repeated runbook, blocks."""
    starts = [
        (event.ts, card)
        for card in moved(board, day)
        for event in card.history
        if event.type == "started" and day_of(board, card, event.ts) == day
    ]
    runs: dict[str, tuple[Card, int]] = {}
    for _, card in starts:
        runs[card.key] = (card, runs.get(card.key, (card, 0))[1] + 1)
    done = [c for c in moved(board, day) if c.state == DONE and day_of(board, c, c.moves[-1].at) == day]
    timed = [(card, card.run.seconds) for card in done if card.run]
    often = max(runs.values(), key=lambda pair: pair[1], default=None)
    return Story(
        first=min(starts, key=lambda pair: pair[0], default=None),
        done=tuple(done),
        slowest=max(timed, key=lambda pair: pair[1], default=None),
        repeated=often if often and often[1] > 1 else None,
        lost=tuple(_lost(board, day)),
    )


def _lost(board: Board, day: int) -> Iterable[Lost]:
    opens, closes = hours.bounds(board.event, day)
    for block in flow.blocks(board):
        first = day_of(board, block.card, block.opened)
        last = day_of(board, block.card, block.closed) if block.closed else day
        if first <= day <= last:
            on_dates = hours.day_of(board.event, block.opened) is not None
            end = min(block.closed or board.at or closes, closes)
            time = hours.spent(board.event, max(block.opened, opens), end) if on_dates else block.time
            yield Lost(block, time)


def cycles(board: Board, day: int) -> list[Cycle]:
    """The cycle times of cards that each workstream finished on the day, beside those of the day before."""
    found = []
    for lane in board.lanes:
        times: dict[int, list[dt.timedelta]] = {}
        for card in standups.work(board, lane.id):
            time = flow.cycle_time(board, card)
            if time is not None:
                times.setdefault(day_of(board, card, card.moves[-1].at), []).append(time)
        today, before = times.get(day, []), times.get(day - 1, [])
        if today or before:
            found.append(Cycle(lane.title, len(today), flow.typical(today), flow.typical(before)))
    return found


def notes(board: Board, day: int) -> list[tuple[str, Note]]:
    """What people wrote on the day, with the card ("" for the board), oldest first."""
    told = [
        (card.key, note) for card in board.cards for note in card.notes if day_of(board, card, note.at) == day
    ]
    told += [("", n) for n in board.notes if (hours.day_of(board.event, n.at) or day) == day]
    return sorted(told, key=lambda pair: pair[1].at)


def sayings(
    given: Mapping[str, Sequence[Any]], before: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list[str]]:
    """What people said under each heading, each once and without what is empty, after what they said `before`."""
    told = {name: [*(before or {}).get(name, []), *given.get(name, [])] for name in said.ASKED}
    return {
        name: list(dict.fromkeys(line for one in lines if (line := " ".join(str(one).split()))))
        for name, lines in told.items()
    }


# The forms


def said_form(values: Mapping[str, Sequence[str]]) -> forms.Form:
    """The form for what people say of the day: a line for each."""
    filled = {name: {"one on each line": "\n".join(values.get(name, []))} for name in said.ASKED}
    return forms.Form(TITLES, [forms.Field("one on each line", 3, width="44em")], filled, said_code)


def spoken(values: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """What the form holds, by heading."""
    return sayings({name: str(told["one on each line"]).splitlines() for name, told in values.items()})


def said_code(values: Mapping[str, Mapping[str, Any]]) -> str:
    """The same as parameters."""
    return "; ".join(f"{name} = {lines!r}" for name, lines in spoken(values).items())


def document(
    board: Board,
    day: int,
    told: Story,
    said_now: Mapping[str, Sequence[str]],
    answered: Sequence[tuple[Card, str]],
    agreed: Sequence[actions.Action],
    pictures: Sequence[str],
) -> list[str]:
    """The retro as the lines of a Markdown document.

    Args:
        board: the board at the end of the day.
        day: its number.
        told: as `story` gives it.
        said_now: what people said, by heading.
        answered: the actions of earlier days, each with what became of it.
        agreed: the new actions.
        pictures: lines that show the day's pictures.
    """
    plain = documents.plain
    own = tuple(card for card in board.cards if not standups.ceremony(card))
    rehearsed = [
        move.at for c in moved(board, day) for move in c.moves if hours.day_of(board.event, move.at) is None
    ]
    when = f" (rehearsed on {max(rehearsed).astimezone(board.event.zone):%-d %B %Y})" if rehearsed else ""
    pace = flow.required(dataclasses.replace(board, cards=own), day)
    lines = [
        f"# Retro of day {day}",
        "",
        f"{plain(board.event.name)} · {board.event.dates[day - 1]:%A, %-d %B %Y}{when} · "
        f"{pace.done} of {counted(pace.cards, 'card', 'cards')} planned up to today are done.",
        "",
        "## How the day went",
        *documents.bullets(_sentences(board, told), "Nothing happened on this day."),
        *(line for picture in pictures for line in (picture, "")),
    ]
    if told.lost:
        rows = [
            [documents.label(one.block.card), plain(one.block.reason, 160),
             plain(one.block.unblocker) or "nobody named",
             hours.spoken(one.time), f"solved {documents.clock(board, one.block.closed)}" if one.block.closed else "■ still blocked"]
            for one in told.lost
        ]  # fmt: skip
        lines += ["## What was in the way"]
        lines += documents.table(["Card", "Reason", "Who can help", "Lost on the day", "State"], rows)
    if times := cycles(board, day):
        rows = [[plain(c.title), str(c.count), _typical(c.today), _typical(c.before)] for c in times]
        lines += ["## How long cards took, from begun to done"]
        lines += documents.table(
            ["Workstream", "Finished", "Half within (85 of 100 within)", "The day before"], rows
        )
    if answered:
        rows = [
            [documents.label(c), plain(c.owner), documents.date(c.due), c.state, plain(why)]
            for c, why in answered
        ]
        lines += ["## What became of the actions before"]
        lines += documents.table(["Action", "Owner", "Due", "State", "Answer"], rows)
    lines += ["## What people said"]
    for name, title in TITLES.items():
        lines += [f"### {title}", *documents.bullets(map(plain, said_now.get(name, [])), "Nothing was said.")]
    if quotes := notes(board, day):
        lines += ["### Noted during the day"]
        lines += documents.bullets(
            f"{plain(note.who)}{f' on {plain(key)}' if key else ''}: {plain(note.text, 200)}"
            for key, note in quotes[-8:]
        )
    lines += ["## Actions"]
    rows = [[plain(a.title), plain(a.owner), documents.date(a.due)] for a in agreed]
    return lines + (documents.table(["Action", "Owner", "Due"], rows) if rows else ["", "None.", ""])


def _sentences(board: Board, told: Story) -> Iterable[str]:
    """The story in short sentences."""
    plain = documents.plain
    if told.first:
        at, card = told.first
        yield f"The first runbook began at {at.astimezone(board.event.zone):%H:%M}: {documents.label(card)}."
    if told.done:
        ids = ", ".join(plain(card.key) for card in told.done[:12])
        rest = f" and {len(told.done) - 12} more" if len(told.done) > 12 else ""
        yield f"{counted(len(told.done), 'card was', 'cards were')} done: {ids}{rest}."
    if told.lost:
        still = sum(one.block.closed is None for one in told.lost)
        yield (
            f"{counted(len(told.lost), 'block', 'blocks')} cost {hours.spoken(told.hours_lost)}; "
            f"{still or 'none'} of them {'is' if still == 1 else 'are'} still there."
        )
    if told.slowest:
        card, seconds = told.slowest
        yield f"The longest run was {documents.label(card)}, {hours.spoken(dt.timedelta(seconds=seconds))}."
    if told.repeated:
        card, times = told.repeated
        yield f"Most often begun again was {documents.label(card)}, {times} times."


def _typical(times: tuple[dt.timedelta, dt.timedelta] | None) -> str:
    return f"{hours.spoken(times[0])} ({hours.spoken(times[1])})" if times else "none finished"
