"""How work flows over the board: cumulative flow, blocks, cycle times, ageing, limits, what is next. Pure.

Times are aware; lengths of time are the event's working hours (`kit.hours`), so that nights age no card. For the board
of a past moment, fold the events before it.
"""

from __future__ import annotations

import bisect
import datetime as dt
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kit import hours, plan
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card

__all__ = ["STEP", "Block", "Over", "Pace", "Sample", "age", "ageing", "blocks", "cycle_time", "next_up"]
__all__ += ["over_limit", "required", "samples", "since", "typical"]

STEP = dt.timedelta(minutes=15)
ENOUGH = 5  # finished cards from which on their cycle times say what is usual
SHOWN = (24, 480)  # the fewest and the most steps of a rehearsal


@dataclass(frozen=True)
class Sample:
    """How many cards were in each column at a moment; `counts` has every column."""

    at: dt.datetime
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Block:
    """One block of a card, open while `closed` is None; `time` is what it cost in the event's working hours."""

    card: Card
    who: str
    reason: str
    unblocker: str
    opened: dt.datetime
    closed: dt.datetime | None
    time: dt.timedelta


@dataclass(frozen=True)
class Over:
    """A workstream (with `team`, where there are several) with more cards in Doing than its limit."""

    lane: plan.Workstream
    doing: int
    limit: int
    team: str = ""


@dataclass(frozen=True)
class Pace:
    """How a day goes: of `cards` planned up to its end `done` are done and `planned` should be by now.

    `left` is the working time until the day closes; `per_hour` what must be done an hour to finish (None: no time left).
    """

    cards: int
    done: int
    planned: int
    left: dt.timedelta
    per_hour: float | None


def samples(
    board: Board, step: dt.timedelta = STEP, cards: Iterable[Card] | None = None
) -> tuple[Sample, ...]:
    """The cumulative flow: counts at every step of the event's working hours up to now, and now.

    A rehearsal off the event's dates is sampled over the plain time between what happened first and last, in 24 to 480
    steps. Nothing happened: no samples.

    Args:
        board: the board.
        step: the time between two samples.
        cards: those to count; None for all.
    """
    chosen = board.cards if cards is None else tuple(cards)
    happened = sorted(at for card in board.cards for at in _happened(card))
    if not happened or board.at is None:
        return ()
    if any(hours.day_of(board.event, at) for at in happened):
        times = _working_steps(board, step)
    else:
        times = _plain_steps(happened[0], happened[-1], step)
    at = [(card, [move.at for move in card.moves]) for card in chosen]
    return tuple(_sample(moment, at) for moment in times)


def _happened(card: Card) -> list[dt.datetime]:
    return ([card.added] if card.added else []) + [move.at for move in card.moves]


def _working_steps(board: Board, step: dt.timedelta) -> list[dt.datetime]:
    assert board.at is not None
    now, times = board.at.astimezone(dt.UTC), []
    for day in range(1, len(board.event.dates) + 1):
        opens, closes = hours.bounds(board.event, day)
        at = opens
        while at < closes and at <= now:
            times.append(at)
            at += step
        times += [closes] if closes <= now else []
    return times if times and times[-1] == now else [*times, now]


def _plain_steps(first: dt.datetime, last: dt.datetime, step: dt.timedelta) -> list[dt.datetime]:
    fewest, most = SHOWN
    whole = last - first
    step = max(min(step, whole / fewest), whole / most, dt.timedelta(microseconds=1))
    times, at = [], first
    while at < last:
        times.append(at)
        at += step
    return [*times, last]


def _sample(moment: dt.datetime, cards: Iterable[tuple[Card, Sequence[dt.datetime]]]) -> Sample:
    counts = dict.fromkeys(STATES, 0)
    for card, moved in cards:
        if card.added is None or card.added <= moment:
            n = bisect.bisect_right(moved, moment)
            counts[card.moves[n - 1].after if n else TODO] += 1
    return Sample(moment, counts)


def blocks(board: Board) -> tuple[Block, ...]:
    """Every block that there was, oldest first; each with all reasons given while it lasted."""
    found = []
    for card in board.cards:
        for n, move in enumerate(card.moves):
            if move.after == BLOCKED:
                closed = card.moves[n + 1].at if n + 1 < len(card.moves) else None
                time = hours.spent(board.event, move.at, closed or board.at or move.at)
                found.append(Block(card, move.who, move.reason, move.unblocker, move.at, closed, time))
    return tuple(sorted(found, key=lambda b: b.opened))


def cycle_time(board: Board, card: Card) -> dt.timedelta | None:
    """From the card's first Doing to its Done; None unless it is done and was in Doing.

    Where it was done, and reopened, the time that it counted as done does not count.
    """
    worked = _worked(board, card, card.moves[-1].at) if card.state == DONE and card.moves else None
    return worked if any(move.after == DOING for move in card.moves) else None


def age(board: Board, card: Card) -> dt.timedelta | None:
    """How long a card in Doing, Blocked or Review is under way; None for others."""
    under_way = card.state in (DOING, BLOCKED, REVIEW) and board.at
    return _worked(board, card, board.at) if under_way and board.at else None


def _worked(board: Board, card: Card, until: dt.datetime) -> dt.timedelta:
    """The event's hours since the card first left To do for good, less those in which it was done."""
    moves = card.moves
    start = next((n for n, move in enumerate(moves) if move.after == DOING), 0)
    ends = [*(move.at for move in moves[start + 1 :]), until]
    stays = zip(moves[start:], ends, strict=True)
    return sum((hours.spent(board.event, m.at, end) for m, end in stays if m.after != DONE), dt.timedelta())


def typical(times: Iterable[dt.timedelta]) -> tuple[dt.timedelta, dt.timedelta] | None:
    """The median and the 85th percentile (interpolated); None of nothing."""
    ordered = sorted(times)
    if not ordered:
        return None
    below, part = divmod(0.85 * (len(ordered) - 1), 1)
    low, high = ordered[int(below)], ordered[min(int(below) + 1, len(ordered) - 1)]
    return statistics.median(ordered), low + (high - low) * part  # type: ignore[type-var]


def ageing(board: Board) -> tuple[Card, ...]:
    """Cards under way for longer than usual, the oldest first.

    Usual is the 85th percentile of the cycle times of finished cards; while fewer than five are finished, the minutes
    that the card was planned to take.
    """
    finished = [time for card in board.cards if (time := cycle_time(board, card)) is not None]
    usual = typical(finished) if len(finished) >= ENOUGH else None
    old = []
    for card in board.cards:
        time, limit = age(board, card), usual[1] if usual else dt.timedelta(minutes=card.minutes)
        if time is not None and time > limit > dt.timedelta():
            old.append((time, card))
    return tuple(card for _, card in sorted(old, key=lambda pair: pair[0], reverse=True))


def over_limit(board: Board) -> tuple[Over, ...]:
    """The workstreams that have more cards in Doing than their soft limit; each team counts for itself."""
    found = []
    for lane in board.lanes:
        doing = [card.team for card in board.lane(lane.id) if card.state == DOING]
        for team in dict.fromkeys(doing):
            if 0 < lane.wip < doing.count(team):
                found.append(Over(lane, doing.count(team), lane.wip, team))
    return tuple(found)


def next_up(board: Board, team: str | None = None) -> dict[str, Card | None]:
    """Of each workstream, by its id: the first card in To do whose needs are done.

    Args:
        board: the board.
        team: only this team's cards and those that all share; None for everybody's.
    """
    found: dict[str, Card | None] = {}
    for lane in board.lanes:
        ready = [c for c in board.lane(lane.id) if c.state == TODO and c.ready and team in (None, c.team)]
        found[lane.id] = min(ready, key=lambda c: (c.day, c.at or plan.NOON), default=None)
    return found


def since(board: Board, moment: dt.datetime) -> dict[str, tuple[Card, ...]]:
    """What became of cards after `moment`: `done` (and still are), `failed` a run, `blocked`, `unblocked`."""

    def moved(test: Callable[[str, str], bool]) -> tuple[Card, ...]:
        return tuple(
            c for c in board.cards if any(m.at > moment and test(m.before, m.after) for m in c.moves)
        )

    return {
        "done": tuple(c for c in moved(lambda before, after: after == DONE) if c.state == DONE),
        "failed": tuple(
            c for c in board.cards if any(e.type == "failed" and e.ts > moment for e in c.history)
        ),
        "blocked": moved(lambda before, after: after == BLOCKED),
        "unblocked": moved(lambda before, after: before == BLOCKED),
    }


def required(board: Board, day: int) -> Pace:
    """What it takes to finish the cards planned up to the end of `day` (from 1) by then.

    What should be done by now grows evenly over the working hours of each day.
    """
    cards = [card for card in board.cards if card.day <= day]
    done = sum(card.state == DONE for card in cards)
    now = board.at or hours.bounds(board.event, 1)[0]
    planned = 0.0
    for n in range(1, day + 1):
        opens, closes = hours.bounds(board.event, n)
        share = min(max((now - opens) / (closes - opens), 0.0), 1.0)
        planned += share * sum(card.day == n for card in cards)
    left = hours.spent(board.event, now, hours.bounds(board.event, day)[1])
    return Pace(
        cards=len(cards),
        done=done,
        planned=int(planned + 1e-9),
        left=left,
        per_hour=(len(cards) - done) / (left / dt.timedelta(hours=1)) if left else None,
    )
