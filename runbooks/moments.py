"""The board and the journal as a ceremony looks at them: at a moment, up to a day, since the ceremony before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from kit import board as boards
from kit import hours, said
from kit import plan as plans
from kit.cards import Board
from kit.errors import UsageError
from kit.journal import Event, merged

__all__ = ["BEGINNING", "by_day", "moment", "seen", "since", "until"]

BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Before everything that is in a journal."""


def moment(event: plans.Event, at: str) -> dt.datetime | None:
    """A time that a person gave, such as "2026-12-02 09:30" in the event's time zone; None for none.

    Raises:
        UsageError: it is no time.
    """
    if not at.strip():
        return None
    try:
        given = dt.datetime.fromisoformat(at.strip())
    except ValueError:
        raise UsageError(f'"{at}" is no time.', f'Write it as "{event.dates[0]} 09:30".') from None
    return given if given.tzinfo else given.replace(tzinfo=event.zone)


def seen(
    plan: plans.Plan, events: Iterable[Event], target: str, at: dt.datetime | None = None
) -> tuple[Board, list[Event]]:
    """The board, and the events that it is folded from, oldest first: as of `at`, or as of now.

    Now is never before the last event, so that a journal with other clocks, or of a demonstration, is seen whole.
    """
    told = merged([e for e in events if e.target == target and (at is None or e.ts <= at)])
    now = at or max(dt.datetime.now(dt.UTC), told[-1].ts if told else BEGINNING)
    return boards.fold(plan, told, target=target, now=now), told


def by_day(plan: plans.Plan, board: Board) -> Callable[[Event], int]:
    """Which day an event belongs to: that of its date, or where it has none (a rehearsal), that of its card."""
    days = {card.id: card.day for card in board.cards}
    return lambda event: hours.day_of(plan.event, event.ts) or days.get(event.card, 1)


def since(standups: Sequence[said.Standup], day: int, part: str) -> dt.datetime:
    """When the standup before this one was held; the beginning for the first."""
    before = [s.at for s in standups if (s.day, s.part) < (day, part)]
    return max(before, default=BEGINNING)


def until(plan: plans.Plan, events: Sequence[Event], board: Board, day: int) -> Board:
    """The board at the end of a day: folded from what belongs to it and to the days before."""
    day_of = by_day(plan, board)
    told = [e for e in events if day_of(e) <= day]
    return boards.fold(plan, told, target=board.target, now=_closed(board, told, day))


def _closed(board: Board, told: Sequence[Event], day: int) -> dt.datetime:
    """When a day's counting ends: now, at the latest as its hours close; or with its last event, if that is later.

    A rehearsal off the event's dates has no hours: its days end with their last event.
    """
    last = max((e.ts for e in told), default=BEGINNING)
    if day < 1:
        return last
    on_dates = hours.day_of(board.event, last) is not None
    return max(last, min(board.at, hours.bounds(board.event, day)[1])) if on_dates and board.at else last
