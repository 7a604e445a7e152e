"""Charts as numbers: where lines, areas and ticks lie, for the templates that draw them as SVG. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kit import flow, hours
from kit.cards import DONE, STATES, Board

__all__ = ["Band", "BurnUp", "CumulativeFlow", "Line", "Point", "Tick", "burn_up", "cumulative_flow", "line"]

WIDTH, HEIGHT = 520, 240  # the viewBox
LEFT, RIGHT, TOP, BOTTOM = 34, 412, 14, 208  # the plot within it; labels stand right of it
LABEL = 17  # the least distance of two labels
ROWS = 24  # of the table beside the burn-up

SPARK_WIDTH, SPARK_HEIGHT, SPARK_EDGE = 160, 36, 5  # the viewBox of a small line, and its margin


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
class Axis:
    """The time of a chart: where a moment lies, its ticks, and `edges` between days."""

    x: Callable[[dt.datetime], float] = field(compare=False)
    ticks: tuple[Tick, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True)
class BurnUp:
    """A burn-up chart: paths in the viewBox, ticks, where the lines' labels stand, and the rows of its table."""

    scope: str
    done: str
    area: str
    planned: str
    now: float
    axis: Axis
    y_ticks: tuple[Tick, ...]
    scope_label: Tick
    done_label: Tick
    rows: tuple[Point, ...]
    title: str
    text: str


@dataclass(frozen=True)
class Band:
    """The cards in one column over time: the area's path, its upper edge's path, and its label; none without a card."""

    state: str
    area: str
    edge: str
    label: Tick | None


@dataclass(frozen=True)
class CumulativeFlow:
    """A cumulative flow chart: a band for each column, done at the bottom; its table has a row for each sample."""

    bands: tuple[Band, ...]
    now: float
    axis: Axis
    y_ticks: tuple[Tick, ...]
    rows: tuple[flow.Sample, ...]
    title: str
    text: str


@dataclass(frozen=True)
class Line:
    """A small line of a figure over time: its path, and a dot for each value."""

    path: str
    dots: tuple[tuple[float, float], ...]
    edges: tuple[float, ...]


def burn_up(board: Board) -> BurnUp | None:
    """Cards done against cards there are, over the event's working hours; None before anything was recorded.

    Where nothing happened on the event's dates (a rehearsal), over the plain time from the first event to the last;
    then there is no line of what was planned.
    """
    points = _points(board)
    if not points or board.at is None:
        return None
    live = any(hours.day_of(board.event, p.at) for p in points)
    end = max([move.at for card in board.cards for move in card.moves] + [points[-1].at])
    end = max(end, board.at) if live else end
    axis = _working_time(board, LEFT, RIGHT) if live else _plain_time(board, points[0].at, end)
    top = _round_up(max(p.scope for p in points))
    x, y = axis.x, _height(top)

    def steps(values: Sequence[tuple[float, float]]) -> str:
        (x0, y0), *rest = values
        return f"M{x0} {y0}" + "".join(f"H{a}V{b}" for a, b in rest) + f"H{x(end)}"

    first, last = points[0], points[-1]
    done = steps([(x(first.at), y(0)), *((x(p.at), y(p.done)) for p in points)])
    high, low = _apart([y(last.scope), y(last.done)])
    return BurnUp(
        scope=steps([(x(p.at), y(p.scope)) for p in points]),
        done=done,
        area=f"{done}V{y(0)}H{x(first.at)}Z",
        planned=_planned(board, y) if live else "",
        now=x(end),
        axis=axis,
        y_ticks=_y_ticks(top),
        scope_label=Tick(high, f"{last.scope} cards" if last.scope != 1 else "1 card"),
        done_label=Tick(low, f"{last.done} done"),
        rows=_sampled(points),
        title=f"{last.done} of {last.scope} cards done",
        text=f"A line of the number of cards, which ends at {last.scope}, and below it a line of the cards done, "
        f"which rises to {last.done}. The table after the chart has the numbers.",
    )


def cumulative_flow(board: Board) -> CumulativeFlow | None:
    """How many cards were in each column, every 15 minutes of the event's working hours; None before any card moved.

    A rehearsal off the event's dates is drawn over the plain time that it took.
    """
    rows = flow.samples(board)
    if not rows or not any(card.moves for card in board.cards):
        return None
    live = any(hours.day_of(board.event, move.at) for card in board.cards for move in card.moves)
    first, last = rows[0], rows[-1]
    axis = _working_time(board, LEFT, RIGHT) if live else _plain_time(board, first.at, last.at)
    top = _round_up(max(sum(row.counts.values()) for row in rows))
    x, y = axis.x, _height(top)
    across = [x(row.at) for row in rows]
    below, bands = [0] * len(rows), []
    for state in reversed(STATES):
        above = [n + row.counts[state] for n, row in zip(below, rows, strict=True)]
        upper = [f"{a} {y(n)}" for a, n in zip(across, above, strict=True)]
        lower = [f"{a} {y(n)}" for a, n in zip(across, below, strict=True)]
        if any(row.counts[state] for row in rows):
            edge = f"M{'L'.join(upper)}"
            middle = y((above[-1] + below[-1]) / 2)
            label = Tick(middle, f"{last.counts[state]} {state}") if last.counts[state] else None
            bands.append(Band(state, f"{edge}L{'L'.join(reversed(lower))}Z", edge, label))
        below = above
    labelled = [band for band in bands if band.label]
    places = iter(_apart([band.label.at for band in labelled if band.label][::-1])[::-1])
    bands = [
        Band(b.state, b.area, b.edge, Tick(next(places), b.label.text) if b.label else None) for b in bands
    ]
    counts = ", ".join(f"{n} {state}" for state, n in last.counts.items() if n)
    return CumulativeFlow(
        bands=tuple(bands),
        now=across[-1],
        axis=axis,
        y_ticks=_y_ticks(top),
        rows=rows,
        title=f"Cards by column: {counts}",
        text=f"Areas one above the other, from Done at the bottom to To do at the top, which end at {counts}. "
        "The table after the chart has the numbers.",
    )


def line(values: Iterable[tuple[int, float]], days: int, low: float, high: float) -> Line:
    """A small line through values, each with its day (from 1), oldest first: a part for each day, evenly filled.

    `low` and `high` are the ends of its scale.
    """
    told = list(values)
    left, height = SPARK_EDGE, SPARK_HEIGHT - 2 * SPARK_EDGE
    each, whole = (SPARK_WIDTH - 2 * SPARK_EDGE) / days, high - low
    of_day = [[value for on, value in told if on == day] for day in range(1, days + 1)]
    dots = tuple(
        (
            round(left + each * (day + (n + 0.5) / len(values)), 1),
            round(left + height * (1 - ((value - low) / whole if whole else 0.5)), 1),
        )
        for day, values in enumerate(of_day)
        for n, value in enumerate(values)
    )
    edges = tuple(round(left + each * n, 1) for n in range(1, days))
    return Line("M" + "L".join(f"{x} {y}" for x, y in dots), dots, edges)


def _points(board: Board) -> list[Point]:
    """The start, and each moment at which a card was added, got done or was reopened."""
    changes: list[tuple[dt.datetime, int, int]] = []
    for card in board.cards:
        if card.added:
            changes.append((card.added, 1, 0))
        changes += [(m.at, 0, (m.after == DONE) - (m.before == DONE)) for m in card.moves]
    changes.sort()
    scope, done = sum(card.added is None for card in board.cards), 0
    points = [Point(changes[0][0], scope, 0)] if changes else []
    for at, more, finished in changes:
        if more or finished:
            scope, done = scope + more, done + finished
            points.append(Point(at, scope, done))
    return points


def _working_time(board: Board, left: float, right: float) -> Axis:
    """The time of an event: its working hours, one day after the other, nights left out."""
    event = board.event
    days = len(event.dates)
    start, end = hours.bounds(event, 1)[0], hours.bounds(event, days)[1]
    whole = hours.spent(event, start, end)
    each = (right - left) / days

    def x(at: dt.datetime) -> float:
        return round(left + (right - left) * (hours.spent(event, start, min(at, end)) / whole), 1)

    ticks = tuple(Tick(round(left + each * (n + 0.5), 1), f"Day {n + 1}") for n in range(days))
    return Axis(x, ticks, tuple(round(left + each * n, 1) for n in range(1, days)))


def _plain_time(board: Board, start: dt.datetime, end: dt.datetime) -> Axis:
    """The time of a rehearsal: from the first event to the last."""
    whole = max((end - start).total_seconds(), 1.0)

    def x(at: dt.datetime) -> float:
        return round(LEFT + (RIGHT - LEFT) * (at - start).total_seconds() / whole, 1)

    style = "%H:%M" if start.date() == end.date() else "%-d %b %H:%M"
    middle = start + (end - start) / 2
    times = (start, middle, end) if whole > 180 else (start, end)
    return Axis(x, tuple(Tick(x(t), t.astimezone(board.event.zone).strftime(style)) for t in times), ())


def _planned(board: Board, y: Callable[[float], float]) -> str:
    """The way to finish: at each day's end, the cards planned up to it, those added since among them."""
    days = len(board.event.dates)
    path = f"M{LEFT} {y(0)}"
    for n in range(1, days + 1):
        path += f"L{round(LEFT + (RIGHT - LEFT) * n / days, 1)} {y(sum(c.day <= n for c in board.cards))}"
    return path


def _height(top: int) -> Callable[[float], float]:
    return lambda cards: round(BOTTOM - (BOTTOM - TOP) * cards / top, 1)


def _y_ticks(top: int) -> tuple[Tick, ...]:
    y = _height(top)
    return tuple(Tick(y(n), str(n)) for n in range(0, top + 1, _step(top)))


def _apart(places: Sequence[float]) -> list[float]:
    """Places from top to bottom, moved as little as it takes to stand `LABEL` apart and within the plot."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + LABEL) if found else place)
    for n in reversed(range(len(found))):
        most = BOTTOM if n == len(found) - 1 else found[n + 1] - LABEL
        found[n] = min(found[n], most)
    return found


def _step(top: int) -> int:
    """A round distance of about four ticks."""
    return next(size for size in _sizes() if top <= 5 * size)


def _round_up(most: int) -> int:
    step = _step(max(most, 1))
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
