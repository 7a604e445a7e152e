"""The day-end report: one HTML file a day that needs no network, folded from the journal, with the evidence beside it.

What belongs to a day
    A card belongs to the day it is planned for. What happens has a time: it belongs to the day of the event on whose
    date it happened; if that is none of the event's dates (a rehearsal), to its card's day, and with no card to day 1.
    The report of a day folds everything that belongs to this day and to those before. It shows the day's cards, those
    of earlier days that are not done, and any other that something happened to on the day.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kit import board, charts, evidence, files, hours
from kit import plan as plans
from kit.board_formats import counted
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card, Note
from kit.errors import KitError, UsageError
from kit.journal import Event

__all__ = ["Blocker", "Day", "Lane", "content", "day"]

CONTENT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Blocker:
    """One block of a card, open while `closed` is None; `time` is what it cost in the event's working hours."""

    card: Card
    who: str
    reason: str
    unblocker: str
    opened: dt.datetime
    closed: dt.datetime | None
    time: dt.timedelta


@dataclass(frozen=True)
class Lane:
    """A workstream on the day: the cards to show; `planned` are those of the plan's day, `done` how many of them are."""

    title: str
    lead: str
    cards: tuple[Card, ...]
    planned: int
    done: int


@dataclass(frozen=True)
class Day:
    """What the report of a day tells. `rehearsed` is when, if not on the day's own date; `places` where it ran."""

    number: int
    date: dt.date
    board: Board
    at: dt.datetime
    rehearsed: str
    places: str
    headline: str
    lanes: tuple[Lane, ...]
    blockers: tuple[Blocker, ...]
    failed: tuple[Card, ...]
    notes: tuple[Note, ...]
    burn_up: charts.BurnUp | None

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards shown, by workstream."""
        return tuple(card for lane in self.lanes for card in lane.cards)

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


def day(
    plan: plans.Plan, events: Iterable[Event], day: int, *, home: Path, now: dt.datetime | None = None
) -> Path:
    """Write `home/reports/day-<n>.html`, `day-<n>.json` and the executed runbooks as HTML; return the HTML file.

    Args:
        plan: the event.
        events: the journal's, of every day.
        day: the day's number, from 1.
        home: the event's folder; paths in events are relative to it.
        now: the time of writing (aware); default the machine's.

    Raises:
        UsageError: the event has no such day.
        KitError: the folder cannot be written.
    """
    told = content(plan, list(events), day, now or dt.datetime.now(dt.UTC))
    folder = home / "reports"
    try:
        pages = _pages(home, told)
        files.replace(folder / f"day-{day}.json", _json(told, pages))
        return files.replace(folder / f"day-{day}.html", _html(told, pages, home))
    except OSError as error:
        raise KitError(
            f"The report in {folder} cannot be written: {error.strerror or error}.",
            "Mend the folder, then write it again: kit report. The journal holds everything it needs.",
        ) from None


def content(plan: plans.Plan, events: Sequence[Event], day: int, now: dt.datetime) -> Day:
    """What the report of a day tells. Pure. Raises UsageError if the event has no such day."""
    if not 1 <= day <= len(plan.event.dates):
        raise UsageError(f"The event has no day {day}.", f"Its days are 1 to {len(plan.event.dates)}.")
    days = {card.id: card.day for card in board.fold(plan, events).cards}

    def day_of(ts: dt.datetime, card: str) -> int:
        return hours.day_of(plan.event, ts) or days.get(card, 1)

    counted = [e for e in events if day_of(e.ts, e.card) <= day]
    today = [e for e in counted if day_of(e.ts, e.card) == day]
    at = _closing(plan.event, day, now, counted)
    wall = board.fold(plan, counted, now=at)
    busy = {e.card for e in today}
    shown = [c for c in wall.cards if c.day == day or c.id in busy or (c.day < day and c.state != DONE)]
    blockers = [
        b
        for card in wall.cards
        for b in _blockers(wall, card, at)
        if b.closed is None or day in (day_of(b.opened, card.id), day_of(b.closed, card.id))
    ]
    return Day(
        number=day,
        date=plan.event.dates[day - 1],
        board=wall,
        at=at,
        rehearsed=_rehearsed(plan.event, day, today),
        places=_places(counted),
        headline=_headline(wall, day),
        lanes=tuple(_lane(wall, lane, shown, day) for lane in wall.lanes),
        blockers=tuple(sorted(blockers, key=lambda b: (b.closed is not None, b.opened))),
        failed=tuple(c for c in shown if c.failed),
        notes=tuple(n for n in wall.notes if day_of(n.at, "") == day),
        burn_up=charts.burn_up(wall, plan.cards),
    )


def _closing(event: plans.Event, day: int, now: dt.datetime, counted: Sequence[Event]) -> dt.datetime:
    """Up to when things count: now; once the day has passed, its closing time or the last event, if that was later."""
    closes = dt.datetime.combine(event.dates[day - 1], dt.time.fromisoformat(event.hours[1]), event.zone)
    last = max((e.ts for e in counted), default=now)
    passed = now.astimezone(event.zone).date() > event.dates[day - 1]
    return max(last, closes if passed else now)


def _blockers(wall: Board, card: Card, at: dt.datetime) -> Iterable[Blocker]:
    """Every block of a card, oldest first. An open one shows every reason that was given since."""
    moves = card.moves
    for n, move in enumerate(moves):
        if move.after == BLOCKED:
            closed = moves[n + 1].at if n + 1 < len(moves) else None
            told = card if closed is None else move
            time = hours.spent(wall.event, move.at, closed or at)
            yield Blocker(card, move.who, told.reason, told.unblocker, move.at, closed, time)


def _lane(wall: Board, lane: plans.Workstream, shown: Sequence[Card], day: int) -> Lane:
    cards = [c for c in shown if c.workstream == lane.id]
    planned = [c for c in cards if c.day == day]
    order = {state: n for n, state in enumerate((BLOCKED, DOING, REVIEW, DONE, TODO))}
    cards.sort(key=lambda c: order[c.state])
    return Lane(lane.title, lane.lead, tuple(cards), len(planned), sum(c.state == DONE for c in planned))


def _headline(wall: Board, day: int) -> str:
    """`5 of 7 cards of day 1 are done. 1 is blocked, 1 failed its last run. 2 of earlier days are still open.`"""
    cards = [c for c in wall.cards if c.day == day]
    done, blocked = (sum(c.state == state for c in cards) for state in (DONE, BLOCKED))
    failed = sum(c.failed is not None for c in cards)
    late = sum(c.day < day and c.state != DONE for c in wall.cards)
    if not cards:
        told = f"No card is planned for day {day}."
    elif done == len(cards) > 1:
        told = f"All {done} cards of day {day} are done."
    else:
        told = f"{done} of {counted(len(cards), 'card', 'cards')} of day {day} {'is' if done == 1 else 'are'} done."
    rest = [f"{blocked} {'is' if blocked == 1 else 'are'} blocked"] if blocked else []
    rest += [f"{failed} failed {'its' if failed == 1 else 'their'} last run"] if failed else []
    told += f" {', '.join(rest)}." if rest else ""
    return told + (f" {late} of earlier days {'is' if late == 1 else 'are'} still open." if late else "")


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


def _pages(home: Path, told: Day) -> dict[str, evidence.Page]:
    """The executed copies as HTML: of each card's proof under its id, of its failed run under "<id>-failed"."""
    copies, titles = {}, {}
    for card in told.cards:
        if card.run and card.run.copy:
            copies[card.id], titles[card.id] = card.run.copy, f"{card.label}, executed"
        if card.failed and card.failed.copy:
            name = f"{card.id}-failed"
            copies[name], titles[name] = card.failed.copy, f"{card.label}, failed run"
    return evidence.pages(home, copies, titles)


def _json(told: Day, pages: Mapping[str, evidence.Page]) -> str:
    """The report as data, to attach or to compare with another day's."""
    shown = {card.id for card in told.cards}
    wall = json.loads(board.to_json(told.board))
    blockers = [
        {
            "card": b.card.id,
            "reason": b.reason,
            "unblocker": b.unblocker,
            "opened": b.opened,
            "closed": b.closed,
        }
        | {"hours": round(b.time.total_seconds() / 3600, 2)}
        for b in told.blockers
    ]
    burn_up = [dataclasses.asdict(point) for point in told.burn_up.rows] if told.burn_up else []
    whole = {
        "version": 1,
        "day": told.number,
        "date": told.date,
        "at": told.at,
        "rehearsed": told.rehearsed,
        "headline": told.headline,
        "counts": wall["counts"],
        "cards": [card for card in wall["cards"] if card["id"] in shown],
        "blockers": blockers,
        "notes": [dataclasses.asdict(note) for note in told.notes],
        "burn_up": burn_up,
        "missing": [f"{name}: {page.problem}" for name, page in pages.items() if page.problem],
    }
    return json.dumps(whole, default=lambda value: value.isoformat(), ensure_ascii=False, indent=1) + "\n"


def _html(told: Day, pages: Mapping[str, evidence.Page], home: Path) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(evidence.TEMPLATES),
        autoescape=True,  # whatever people write stays text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": told.clock,
        "spoken": hours.spoken,
        "shown": _shown,
        "plain": _plain,
    }
    return environment.get_template("report.html.j2").render(
        day=told,
        pages=pages,
        files={a.path: _file(home, a.path) for card in told.cards for a in card.attachments},
        policy=CONTENT_POLICY,
        states=STATES,
        counts=told.board.counts(),
        shown={card.id for card in told.cards},
    )


def _file(home: Path, path: str) -> evidence.Page:
    """A link from the reports' folder to an attached file."""
    file = evidence.inside(home, path)
    if file is None:
        return evidence.Page(problem=f"{path} lies outside of the event's folder")
    if not file.exists():
        return evidence.Page(problem=f"{path} is gone")
    return evidence.Page(quote(Path(os.path.relpath(file, (home / "reports").resolve())).as_posix()))


def _shown(value: Any) -> str:
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
        return _plain("; ".join(f"{name}: {_shown(item)}" for name, item in value.items()))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _plain(text) if len(text) <= 300 else _plain(text[:299]) + "…"


def _plain(text: str) -> str:
    """Text without terminal colours and control characters."""
    text = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
