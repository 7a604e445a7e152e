"""The words of the day-end report: its headline, its figures, and how recorded values read. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kit import daily, hours
from kit.board_formats import counted
from kit.cards import BLOCKED, DOING, DONE, REVIEW, Card

__all__ = ["Ahead", "Figure", "ahead", "figures", "grouped", "headline", "listed", "plain", "shown"]


@dataclass(frozen=True)
class Figure:
    """A number at the top of the report: what it is, the number as text, and a line that explains it."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Ahead:
    """A line of the plan: a card, or the `teams` whose cards of a subtask are in one column and wait for the same."""

    card: Card
    teams: tuple[str, ...]
    owner: str
    waits: tuple[str, ...]


def headline(day: daily.Day) -> str:
    """`5 of 7 cards of day 1 are done. 1 is blocked, 1 failed its last run. 2 of earlier days are still open.`"""
    cards = [c for c in day.planned if c.day == day.number]
    done, blocked = (sum(c.state == state for c in cards) for state in (DONE, BLOCKED))
    failed = sum(c.failed is not None for c in cards)
    late = sum(c.day < day.number and c.state != DONE for c in day.planned)
    if not cards:
        told = f"No card is planned for day {day.number}."
    elif done == len(cards) > 1:
        told = f"All {done} cards of day {day.number} are done."
    else:
        of = counted(len(cards), "card", "cards")
        told = f"{done} of {of} of day {day.number} {'is' if 1 in (done, len(cards)) else 'are'} done."
    rest = [f"{blocked} {'is' if blocked == 1 else 'are'} blocked"] if blocked else []
    rest += [f"{failed} failed {'its' if failed == 1 else 'their'} last run"] if failed else []
    told += f" {', '.join(rest)}." if rest else ""
    return told + (f" {late} of earlier days {'is' if late == 1 else 'are'} still open." if late else "")


def figures(day: daily.Day) -> tuple[Figure, ...]:
    """The day in six numbers, each beside yesterday's or what it should be."""
    return (_finished(day), _pace(day), _under_way(day), _cycle(day), _lost(day), _ageing(day))


def _finished(day: daily.Day) -> Figure:
    today, before = day.finished
    return Figure(
        "Done today",
        str(today),
        f"{before + today} of {counted(len(day.board.cards), 'card', 'cards')} in all",
    )


def _pace(day: daily.Day) -> Figure:
    if day.pace is None or not day.pace.cards:
        late = sum(c.state != DONE for c in day.planned)
        return Figure(
            "Against the plan", f"{late} open" if late else "on plan", f"planned up to day {day.number}"
        )
    ahead = day.pace.done - day.pace.planned
    value = "on plan" if not ahead else f"{abs(ahead)} {'ahead' if ahead > 0 else 'behind'}"
    note = f"{day.pace.done} done, {day.pace.planned} planned by now"
    if day.pace.per_hour:
        note += f"; {day.pace.per_hour:.1f} an hour to finish the day"
    return Figure("Against the plan", value, note)


def _under_way(day: daily.Day) -> Figure:
    counts = day.board.counts()
    several = [f"{counts[state]} {state}" for state in (DOING, BLOCKED, REVIEW) if counts[state]]
    over = [
        f"{o.lane.title}{f' ({o.team})' if o.team else ''} has {o.doing} in Doing, its limit is {o.limit}"
        for o in day.over
    ]
    note = "; ".join([listed(several), *over]) if several else "nothing is in work"
    return Figure("Under way", str(sum(counts[state] for state in (DOING, BLOCKED, REVIEW))), note)


def _cycle(day: daily.Day) -> Figure:
    before = f"yesterday {hours.spoken(day.typical_before[0])}" if day.typical_before else ""
    if not day.typical:
        return Figure("Cycle time, median", "–", before or "no card that was in Doing got done")
    note = f"85 % within {hours.spoken(day.typical[1])}" + (f"; {before}" if before else "")
    return Figure("Cycle time, median", hours.spoken(day.typical[0]), note)


def _lost(day: daily.Day) -> Figure:
    today, before = day.lost
    value = hours.spoken(today) if today else "none"
    still = sum(block.closed is None for block in day.blocks)
    note = f"{counted(still, 'card is', 'cards are')} still blocked" if still else "nothing is blocked now"
    return Figure(
        "Lost to blocks today", value, note + (f"; yesterday {hours.spoken(before)}" if before else "")
    )


def _ageing(day: daily.Day) -> Figure:
    names = [card.key for card in day.ageing]
    note = listed(names[:6] + ([f"{len(names) - 6} more"] if len(names) > 6 else []))
    return Figure("Older than usual", str(len(names)), note or "no card is in work for long")


def grouped(cards: Iterable[Card]) -> list[list[Card]]:
    """Cards by subtask, in their order: one each, or one for each team."""
    found: dict[tuple[str, bool], list[Card]] = {}
    for card in cards:
        found.setdefault((card.id, bool(card.team)), []).append(card)
    return list(found.values())


def ahead(cards: Iterable[Card]) -> list[Ahead]:
    """The lines of the plan for these cards."""
    found: dict[tuple[str, ...], list[Card]] = {}
    for card in cards:
        waits = tuple(need.removesuffix(f"@{card.team}") for need in card.waits)
        found.setdefault((card.id, card.state, card.reason, *waits), []).append(card)
    return [
        Ahead(several[0], tuple(c.team for c in several if c.team), _owners(several), key[3:])
        for key, several in found.items()
    ]


def _owners(cards: Sequence[Card]) -> str:
    """`Ana`; of several teams `Ana (blue) and Luca (red)`."""
    if len(cards) == 1:
        return cards[0].owner
    return listed([f"{card.owner} ({card.team})" for card in cards if card.owner])


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), *words[-1:]])


def shown(value: Any) -> str:
    """A value that a runbook recorded as short text: 20,000, 0.8123, yes, or the text itself."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e15):
        return f"{value:,.0f}"
    if isinstance(value, float):
        if not math.isfinite(value) or (value and not 1e-3 <= abs(value) < 1e9):
            return f"{value:.3g}"
        return f"{value:,.{4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0}f}"
    if isinstance(value, dict):
        return plain("; ".join(f"{name}: {shown(item)}" for name, item in value.items()))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return plain(text) if len(text) <= 300 else plain(text[:299]) + "…"


def plain(text: str) -> str:
    """Text without terminal colours and control characters."""
    text = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
