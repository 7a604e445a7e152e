"""What a day of the event came to: everything that its report tells, folded from the plan and the journal. Pure.

What belongs to a day
    A card belongs to the day it is planned for. What happens has a time: it belongs to the day of the event on whose
    date it happened; if that is none of the event's dates (a rehearsal), to its card's day, and with no card to day 1.
    The report of a day folds everything that belongs to this day and to those before. It shows the day's cards, those
    of earlier days that are not done, and any other that something happened to on the day. What changed is the
    difference between that board and the one folded from the events of earlier days alone.

What does not belong to any
    The AWS team's own retro: its card is left out before anything is folded, and files below `team/` are not named.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kit import board, charts, flow, hours, said, series
from kit import plan as plans
from kit.cards import BLOCKED, DOING, DONE, REVIEW, TODO, Board, Card, Note
from kit.errors import UsageError
from kit.journal import Event

__all__ = ["Change", "Day", "Lane", "content", "so_far"]

TEAM_RETRO = "team_retro"  # the notebook of the AWS team's own retro
TEAM_FOLDER = "team"  # where it keeps what it wrote, below the event's folder


@dataclass(frozen=True)
class Lane:
    """A workstream on the day: the cards to show; `planned` are those of the plan's day, `done` how many of them are.

    `lost` is what blocks cost it on this day; `typical` the median and 85th percentile of the cycle times that ended on it.
    """

    id: str
    title: str
    lead: str
    cards: tuple[Card, ...]
    planned: int
    done: int
    lost: dt.timedelta
    typical: tuple[dt.timedelta, dt.timedelta] | None


@dataclass(frozen=True)
class Change:
    """What became of these cards since the day before."""

    what: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Day:
    """What the report of a day tells. `rehearsed` is when, if not on the day's own date; `places` where it ran."""

    number: int
    date: dt.date
    board: Board
    before: Board
    at: dt.datetime
    rehearsed: str
    places: str
    lanes: tuple[Lane, ...]
    changes: tuple[Change, ...]
    mended: tuple[Card, ...]
    blocks: tuple[flow.Block, ...]
    lost: tuple[dt.timedelta, dt.timedelta]
    typical: tuple[dt.timedelta, dt.timedelta] | None
    typical_before: tuple[dt.timedelta, dt.timedelta] | None
    ageing: tuple[Card, ...]
    over: tuple[flow.Over, ...]
    pace: flow.Pace | None
    decisions: tuple[said.Decision, ...]
    standups: tuple[said.Standup, ...]
    retro: said.Retro | None
    actions: tuple[Card, ...]
    series: tuple[series.Series, ...]
    ahead: Mapping[str, tuple[Card, ...]]
    notes: tuple[Note, ...]
    burn_up: charts.BurnUp | None
    flow: charts.CumulativeFlow | None

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards shown, by workstream."""
        return tuple(card for lane in self.lanes for card in lane.cards)

    @property
    def planned(self) -> tuple[Card, ...]:
        """The cards that were to be done on this day or before."""
        event = self.board.event
        return tuple(c for c in self.board.cards if c.day <= self.number and _due(c, event, self.number))

    @property
    def teams(self) -> tuple[str, ...]:
        """The teams that do the same subtasks; none if there is one."""
        return self.board.teams

    @property
    def is_last(self) -> bool:
        """Whether no day follows."""
        return self.number == len(self.board.event.dates)

    @property
    def finished(self) -> tuple[int, int]:
        """How many cards are done that were not the day before, and how many were done then."""
        before = {c.key for c in self.before.cards if c.state == DONE}
        return sum(c.state == DONE and c.key not in before for c in self.board.cards), len(before)

    @property
    def as_of(self) -> str:
        """`17:00 Europe/Berlin`, with the date before it where it is not the day's own."""
        local = self.at.astimezone(self.board.event.zone)
        date = "" if local.date() == self.date else f"{local:%-d %B %Y}, "
        return f"{date}{local:%H:%M} {self.board.event.time_zone}"

    def clock(self, at: dt.datetime) -> str:
        """`10:42`, with the date before it where it is not the date that the report is of."""
        local, of = (t.astimezone(self.board.event.zone) for t in (at, self.at))
        return f"{local:%H:%M}" if local.date() == of.date() else f"{local:%-d %b, %H:%M}"


def so_far(plan: plans.Plan, events: Iterable[Event], now: dt.datetime) -> int:
    """The last day that there is something to tell of: begun by its date, or by what was recorded; at least 1."""
    plan, events = _public(plan, events)
    day_of = _days(plan, events)
    begun = sum(date <= now.astimezone(plan.event.zone).date() for date in plan.event.dates)
    return max([1, begun, *(day_of(event.ts, event.card) for event in events)])


def content(plan: plans.Plan, events: Iterable[Event], day: int, now: dt.datetime) -> Day:
    """What the report of a day tells. Raises UsageError if the event has no such day."""
    if not 1 <= day <= len(plan.event.dates):
        raise UsageError(f"The event has no day {day}.", f"Its days are 1 to {len(plan.event.dates)}.")
    plan, events = _public(plan, events)
    day_of = _days(plan, events)

    def day_of_event(event: Event) -> int:
        return day_of(event.ts, event.card)

    on = {event.id: day_of_event(event) for event in events}
    counted = [e for e in events if on[e.id] <= day]
    today = [e for e in counted if on[e.id] == day]
    at = _closing(plan.event, day, now, counted)
    wall = _without_team_files(board.fold(plan, counted, now=at))
    before = board.fold(plan, [e for e in counted if on[e.id] < day], now=at)
    shown = [
        card
        for card in wall.cards
        if card.day == day
        or (card.day < day and card.state != DONE)
        or any(on.get(event.id) == day for event in card.history)
    ]
    together = {card.id for card in shown if card.team}
    keys = {card.key for card in shown}
    shown = [c for c in wall.cards if c.key in keys or (c.team and c.id in together)]
    due = tuple(c for c in wall.cards if _due(c, plan.event, day))
    blocks = flow.blocks(wall)
    touched = [
        b
        for b in blocks
        if b.closed is None or day in (day_of(b.opened, b.card.id), day_of(b.closed, b.card.id))
    ]
    ended = _ended(wall, day_of)
    live = any(hours.day_of(plan.event, event.ts) for event in counted)
    retros = {retro.day: retro for retro in said.retros(counted, day_of_event)}
    return Day(
        number=day,
        date=plan.event.dates[day - 1],
        board=wall,
        before=before,
        at=at,
        rehearsed=_rehearsed(plan.event, day, today),
        places=_places(counted),
        lanes=tuple(_lane(wall, lane, shown, day, blocks, ended.get(day, []), day_of) for lane in sorted(wall.lanes, key=lambda lane: lane.id == plans.EVENT)),
        changes=_changes(before, wall),
        mended=tuple(c for c in shown if not c.failed and any(e.type == "failed" and on.get(e.id) == day for e in c.history)),
        blocks=tuple(sorted(touched, key=lambda b: (b.closed is not None, b.opened))),
        lost=(_lost(wall, blocks, day, day_of), _lost(wall, blocks, day - 1, day_of)),
        typical=flow.typical(time for _, time in ended.get(day, [])),
        typical_before=flow.typical(time for _, time in ended.get(day - 1, [])),
        ageing=flow.ageing(wall),
        over=flow.over_limit(wall),
        pace=flow.required(dataclasses.replace(wall, cards=due), day) if live else None,
        decisions=tuple(d for d in said.decisions(counted, charter=True) if d.decided is None or day_of(d.decided, "") == day or not live),
        standups=tuple(s for s in said.standups(counted, day_of_event) if s.day == day),
        retro=retros.get(day),
        actions=tuple(c for c in said.actions(wall) if c.state != DONE or c.id in {s.id for s in shown}),
        series=series.over_days(wall, day_of_event),
        ahead=_ahead(wall, day),
        notes=tuple(n for n in wall.notes if day_of(n.at, "") == day),
        burn_up=charts.burn_up(wall),
        flow=charts.cumulative_flow(wall),
    )  # fmt: skip


DayOf = Callable[[dt.datetime, str], int]


def _public(plan: plans.Plan, events: Iterable[Event]) -> tuple[plans.Plan, list[Event]]:
    """The plan and the events without the AWS team's own retro."""
    own = {s.id for s in plan.cards if PurePosixPath(s.notebook).stem == TEAM_RETRO}
    if not own:
        return plan, list(events)

    def kept(cards: Sequence[plans.Subtask]) -> tuple[plans.Subtask, ...]:
        left = [s for s in cards if s.id not in own]
        return tuple(dataclasses.replace(s, needs=tuple(n for n in s.needs if n not in own)) for s in left)

    public = dataclasses.replace(plan, ceremonies=kept(plan.ceremonies), subtasks=kept(plan.subtasks))
    return public, [e for e in events if e.card not in own and e.data.get("source") not in own]


def _without_team_files(wall: Board) -> Board:
    def public(card: Card) -> Card:
        kept = tuple(a for a in card.attachments if posixpath.normpath(a.path).split("/")[0] != TEAM_FOLDER)
        return card if kept == card.attachments else dataclasses.replace(card, attachments=kept)

    return dataclasses.replace(wall, cards=tuple(public(card) for card in wall.cards))


def _days(plan: plans.Plan, events: Sequence[Event]) -> DayOf:
    """Which day of the event a moment belongs to, given the card that it is about."""
    days = {card.id: card.day for card in board.fold(plan, [e for e in events if e.type == "added"]).cards}
    known: dict[dt.date, int | None] = {}
    zone = plan.event.zone

    def day_of(at: dt.datetime, card: str) -> int:
        date = at.astimezone(zone).date()
        if date not in known:
            known[date] = hours.day_of(plan.event, at)
        return known[date] or days.get(card, 1)

    return day_of


def _closing(event: plans.Event, day: int, now: dt.datetime, counted: Sequence[Event]) -> dt.datetime:
    """Up to when things count: now; once the day has passed, its closing time or the last event, if that was later."""
    closes = hours.bounds(event, day)[1]
    last = max((e.ts for e in counted), default=now)
    passed = now.astimezone(event.zone).date() > event.dates[day - 1]
    return max(last, closes if passed else now)


def _due(card: Card, event: plans.Event, day: int) -> bool:
    """Whether a card must be done on its day: an action that is due after the day's date need not."""
    return card.state == DONE or not card.due or card.due <= event.dates[day - 1].isoformat()


def _lane(
    wall: Board,
    lane: plans.Workstream,
    shown: Sequence[Card],
    day: int,
    blocks: Sequence[flow.Block],
    ended: Sequence[tuple[Card, dt.timedelta]],
    day_of: DayOf,
) -> Lane:
    cards = [c for c in shown if c.workstream == lane.id]
    planned = [c for c in cards if c.day == day and _due(c, wall.event, day)]
    order = {state: n for n, state in enumerate((BLOCKED, DOING, REVIEW, DONE, TODO))}
    if not any(c.team for c in cards):
        cards.sort(key=lambda c: order[c.state])
    own = [b for b in blocks if b.card.workstream == lane.id]
    return Lane(
        lane.id,
        lane.title,
        lane.lead,
        tuple(cards),
        len(planned),
        sum(c.state == DONE for c in planned),
        _lost(wall, own, day, day_of),
        flow.typical(time for card, time in ended if card.workstream == lane.id),
    )


def _changes(before: Board, wall: Board) -> tuple[Change, ...]:
    """What became of the cards since the day before, by what needs the least attention last."""
    was = {card.key: card.state for card in before.cards}
    tests: dict[str, Callable[[str, str], bool]] = {
        "Reopened": lambda old, new: old == DONE != new,
        "Blocked": lambda old, new: old != BLOCKED == new,
        "Unblocked": lambda old, new: old == BLOCKED and new in (DOING, REVIEW, TODO),
        "Done": lambda old, new: old != DONE == new,
        "Started": lambda old, new: old == TODO and new in (DOING, REVIEW),
    }
    added = Change("Added", tuple(c for c in wall.cards if c.added and c.key not in was))
    found = [
        Change(what, tuple(c for c in wall.cards if test(was.get(c.key, TODO), c.state)))
        for what, test in tests.items()
    ]
    return tuple(change for change in (*found, added) if change.cards)


def _ended(wall: Board, day_of: DayOf) -> dict[int, list[tuple[Card, dt.timedelta]]]:
    """The cycle times of finished cards by the day on which they ended."""
    found: dict[int, list[tuple[Card, dt.timedelta]]] = {}
    for card in wall.cards:
        time = flow.cycle_time(wall, card)
        if time is not None:
            found.setdefault(day_of(card.moves[-1].at, card.id), []).append((card, time))
    return found


def _lost(wall: Board, blocks: Iterable[flow.Block], day: int, day_of: DayOf) -> dt.timedelta:
    """The working time of a day that cards were blocked for; in a rehearsal, of blocks of the day's cards."""
    total = dt.timedelta()
    if day < 1:
        return total
    opens, closes = hours.bounds(wall.event, day)
    for block in blocks:
        end = block.closed or wall.at or block.opened
        if hours.day_of(wall.event, block.opened) or hours.day_of(wall.event, end):
            total += hours.spent(wall.event, max(block.opened, opens), min(end, closes))
        elif day_of(block.opened, block.card.id) == day:
            total += block.time
    return total


def _ahead(wall: Board, day: int) -> dict[str, tuple[Card, ...]]:
    """The next day's cards and those still open, by workstream; ceremonies that were not held are over, but for the last day's."""
    found: dict[str, list[Card]] = {}
    for card in wall.cards:
        held = card.workstream == plans.EVENT and card.at and not (card.day == day == len(wall.event.dates))
        late = card.day <= day and not held
        if card.state != DONE and (card.day == day + 1 or late):
            found.setdefault(card.workstream, []).append(card)
    for cards in found.values():
        cards.sort(key=lambda card: (card.day, card.at or plans.NOON))
    return {lane.id: tuple(found[lane.id]) for lane in wall.lanes if lane.id in found}


def _rehearsed(event: plans.Event, day: int, today: Sequence[Event]) -> str:
    """When the day's work was really done, if none of it was on the event's dates."""
    if not today or any(hours.day_of(event, e.ts) for e in today):
        return ""
    times = [e.ts.astimezone(event.zone) for e in today]
    return " to ".join(dict.fromkeys(f"{t:%-d %B %Y}" for t in (min(times), max(times))))


def _places(events: Iterable[Event]) -> str:
    targets = {(e.target, e.account if e.target == "aws" else "") for e in events}
    named = {"local": "on the local AWS", "aws": "in AWS account"}
    return " and ".join(
        f"{named.get(target, target)} {account}".strip() for target, account in sorted(targets)
    )
