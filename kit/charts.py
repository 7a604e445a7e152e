"""Charts as numbers: where lines and ticks lie, for the templates that draw them as SVG. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kit import hours, plan
from kit.cards import DONE, Board

__all__ = ["BurnUp", "Point", "Tick", "burn_up"]

WIDTH, HEIGHT = 640, 240  # the viewBox
LEFT, RIGHT, TOP, BOTTOM = 36, 548, 14, 208  # the plot within it; line labels stand right of it
LABEL = 15  # the least distance of two labels
ROWS = 24  # of the table beside the chart


@dataclass(frozen=True)
class Point:
    """From `at` on: how many cards there are (`scope`) and how many of them are done."""

    at: dt.datetime
    scope: int
    done: int


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in the viewBox, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class BurnUp:
    """A burn-up chart: paths in a 640 × 240 viewBox, ticks, where the lines' labels stand, and the rows of its table."""

    scope: str
    done: str
    area: str
    planned: str
    now: float
    x_ticks: tuple[Tick, ...]
    edges: tuple[float, ...]
    y_ticks: tuple[Tick, ...]
    scope_label: Tick
    done_label: Tick
    rows: tuple[Point, ...]
    title: str
    text: str


def burn_up(board: Board, planned: Iterable[plan.Subtask]) -> BurnUp | None:
    """Cards done against cards there are, over the event's working hours; None before anything was recorded.

    Where nothing happened on the event's dates (a rehearsal), over the plain time from the first event to the last;
    then there is no line of what was planned.
    """
    points = _points(board, {s.id for s in planned})
    if not points or board.at is None:
        return None
    end = max(board.at, points[-1].at)
    live = any(hours.day_of(board.event, p.at) for p in points)
    x, x_ticks, edges = _working_time(board) if live else _plain_time(board, points[0].at, end)
    top = _round_up(max(p.scope for p in points))

    def y(cards: int) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * cards / top, 1)

    def steps(values: Sequence[tuple[float, float]]) -> str:
        (x0, y0), *rest = values
        return f"M{x0} {y0}" + "".join(f"H{a}V{b}" for a, b in rest) + f"H{x(end)}"

    first, last = points[0], points[-1]
    done = steps([(x(first.at), y(0)), *((x(p.at), y(p.done)) for p in points)])
    high, low = y(last.scope), y(last.done)
    gap = max(LABEL - (low - high), 0) / 2
    return BurnUp(
        scope=steps([(x(p.at), y(p.scope)) for p in points]),
        done=done,
        area=f"{done}V{y(0)}H{x(first.at)}Z",
        planned=_planned(board, planned, y) if live else "",
        now=x(end),
        x_ticks=x_ticks,
        edges=edges,
        y_ticks=tuple(Tick(y(n), str(n)) for n in range(0, top + 1, _step(top))),
        scope_label=Tick(high - gap, f"{last.scope} cards"),
        done_label=Tick(low + gap, f"{last.done} done"),
        rows=_sampled(points),
        title=f"{last.done} of {last.scope} cards done",
        text=f"A line of the number of cards, which ends at {last.scope}, and below it a line of the cards done, "
        f"which rises to {last.done}. The table after the chart has the numbers.",
    )


def _points(board: Board, planned: set[str]) -> list[Point]:
    """The start, and each moment at which a card was added, got done or was reopened."""
    changes: list[tuple[dt.datetime, int, int]] = []
    for card in board.cards:
        if card.id not in planned:
            changes += [(e.ts, 1, 0) for e in card.history if e.type == "added"][:1]
        changes += [(m.at, 0, (m.after == DONE) - (m.before == DONE)) for m in card.moves]
    changes.sort()
    scope, done = len(planned), 0
    points = [Point(changes[0][0], scope, 0)] if changes else []
    for at, more, finished in changes:
        if more or finished:
            scope, done = scope + more, done + finished
            points.append(Point(at, scope, done))
    return points


X = Callable[[dt.datetime], float]


def _working_time(board: Board) -> tuple[X, tuple[Tick, ...], tuple[float, ...]]:
    """The horizontal axis of an event: its working hours, one day after the other, nights left out."""
    event = board.event
    opens, closes = (dt.time.fromisoformat(h) for h in event.hours)
    start = dt.datetime.combine(min(event.dates), opens, event.zone)
    end = dt.datetime.combine(max(event.dates), closes, event.zone)
    whole = hours.spent(event, start, end)
    each = (RIGHT - LEFT) / len(event.dates)

    def x(at: dt.datetime) -> float:
        return round(LEFT + (RIGHT - LEFT) * (hours.spent(event, start, min(at, end)) / whole), 1)

    ticks = tuple(Tick(round(LEFT + each * (n + 0.5), 1), f"Day {n + 1}") for n in range(len(event.dates)))
    return x, ticks, tuple(round(LEFT + each * n, 1) for n in range(1, len(event.dates)))


def _plain_time(
    board: Board, start: dt.datetime, end: dt.datetime
) -> tuple[X, tuple[Tick, ...], tuple[float, ...]]:
    """The horizontal axis of a rehearsal: from the first event to the last."""
    whole = max((end - start).total_seconds(), 1.0)

    def x(at: dt.datetime) -> float:
        return round(LEFT + (RIGHT - LEFT) * (at - start).total_seconds() / whole, 1)

    style = "%H:%M" if start.date() == end.date() else "%-d %b %H:%M"
    middle = start + (end - start) / 2
    times = (start, middle, end) if whole > 180 else (start, end)
    return x, tuple(Tick(x(t), t.astimezone(board.event.zone).strftime(style)) for t in times), ()


def _planned(board: Board, planned: Iterable[plan.Subtask], y: Callable[[int], float]) -> str:
    """The way to finish: at each day's end, the cards planned up to it."""
    days = len(board.event.dates)
    path = f"M{LEFT} {y(0)}"
    for n in range(1, days + 1):
        path += f"L{round(LEFT + (RIGHT - LEFT) * n / days, 1)} {y(sum(s.day <= n for s in planned))}"
    return path


def _step(top: int) -> int:
    """A round distance of about four ticks."""
    return next(size for size in _sizes() if top <= 5 * size)


def _round_up(most: int) -> int:
    step = _step(most)
    return max(step, -(-most // step) * step)


def _sizes() -> Iterable[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _sampled(points: Sequence[Point]) -> tuple[Point, ...]:
    """At most `ROWS` of the points, evenly taken, the last always."""
    every = -(-len(points) // ROWS)
    return tuple(reversed(points[::-1][::every]))
