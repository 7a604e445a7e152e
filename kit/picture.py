"""What the room's screen shows of a board, as plain values for its template. Pure.

Ceremonies are on the screen by their time, not as cards; retro actions and other cards of the event are cards. Where
several teams do the same subtask, those of its cards that are in the same column are one tile with a mark per team.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from kit import charts, flow, hours
from kit import plan as plans
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card

__all__ = ["Lane", "Moment", "Picture", "Team", "Tile", "of"]

FRESH = dt.timedelta(minutes=2)  # for so long, a card that moved is marked
LATEST = 4
NEWEST = 6
# The columns' widths: shares of what EMPTY columns and the LANE's names (in percent) leave over.
WIDTHS = {TODO: 15, DOING: 24, BLOCKED: 31, REVIEW: 14, DONE: 14}
CROWD, CROWDED = 0.3, 2.0  # so much wider for each card under another, and so many times at most
EMPTY, LANE = 8, 12


@dataclass(frozen=True)
class Team:
    """One team's mark on a tile: its name ("" where there is one team), how long, and whether that is unusual."""

    name: str
    who: str
    time: str
    old: bool
    failed: bool


@dataclass(frozen=True)
class Tile:
    """A subtask in a column. `teams` has one entry for each card behind it, `all` says that it is everybody's;
    `late` means that its day has passed.
    """

    id: str
    title: str
    state: str
    day: int
    late: bool
    fresh: bool
    old: bool
    failed: bool
    reason: str
    unblocker: str
    teams: tuple[Team, ...]
    all: bool


@dataclass(frozen=True)
class Lane:
    """A swimlane. `cells` are its tiles by column, of Done the newest, `more` are not shown; `ready` can be started now, `next` before others; `over` says that a
    limit is passed.
    """

    id: str
    title: str
    done: int
    total: int
    over: str
    next: str
    ready: frozenset[str]
    cells: dict[str, tuple[Tile, ...]]
    more: int


@dataclass(frozen=True)
class Moment:
    """A ceremony to come or under way: when in words, its title, and how long until then ("" if that says nothing)."""

    when: str
    title: str
    until: str


@dataclass(frozen=True)
class Picture:
    """The whole screen. `widths` are the columns' in percent, `box` is the part of the burn-up's viewBox that its lines
    lie in, `trouble` why it may be old.
    """

    event: str
    day: int
    date: str
    clock: str
    counts: dict[str, int]
    widths: dict[str, float]
    total: int
    lanes: tuple[Lane, ...]
    moment: Moment | None
    pace: str
    burn_up: charts.BurnUp | None
    box: str
    latest: tuple[tuple[str, str, str, str], ...]
    trouble: str = ""


def of(plan: plans.Plan, board: Board, now: dt.datetime) -> Picture:
    """The screen for this board at this moment."""
    ceremonies = {s.id for s in plan.ceremonies}
    whole, board = (
        board,
        dataclasses.replace(board, cards=tuple(c for c in board.cards if c.id not in ceremonies)),
    )
    local = now.astimezone(board.event.zone)
    today = hours.day_of(board.event, now)
    day = today or min((c.day for c in board.cards if c.state != DONE), default=len(board.event.dates))
    old = {card.key for card in flow.ageing(board)}
    lanes = tuple(_lane(board, lane, day, old) for lane in board.lanes if _has_work(board, lane))
    return Picture(
        event=board.event.name,
        day=day,
        date=f"{local:%a %-d %B}" if today else f"rehearsal, {local:%-d %B}",
        clock=f"{local:%H:%M}",
        counts=board.counts(),
        widths=_widths(lanes),
        total=len(board.cards),
        lanes=lanes,
        moment=_moment(whole, plan, now),
        pace=_pace(board, day) if today else "",
        burn_up=charts.burn_up(board),
        box=f"{charts.LEFT} {charts.TOP - 4} {charts.RIGHT - charts.LEFT} {charts.BOTTOM - charts.TOP + 6}",
        latest=_latest(board),
    )


def _has_work(board: Board, lane: plans.Workstream) -> bool:
    """Whether the lane is shown: a workstream that has cards, the event only while some of its cards are open."""
    return any(lane.id != plans.EVENT or card.state != DONE for card in board.lane(lane.id))


def _widths(lanes: Sequence[Lane]) -> dict[str, float]:
    """The columns' widths in percent: what is empty is narrow and what is crowded is wide, so that type can be large."""
    shares = {}
    for state in STATES:
        crowd = max((len(lane.cells[state]) for lane in lanes), default=0)
        more = min(CROWDED, 1 + CROWD * (crowd - 1)) if state in (DOING, BLOCKED, REVIEW) else 1
        shares[state] = WIDTHS[state] * more if crowd else 0
    left = 100 - LANE - EMPTY * sum(not share for share in shares.values())
    whole = sum(shares.values())
    return {state: round(left * share / whole, 1) if share else EMPTY for state, share in shares.items()}


def _lane(board: Board, lane: plans.Workstream, day: int, old: set[str]) -> Lane:
    cards = board.lane(lane.id)
    cells = {state: _tiles(board, cards, state, day, old) for state in STATES}
    over = [o for o in flow.over_limit(board) if o.lane.id == lane.id]
    return Lane(
        id=lane.id,
        title=lane.title,
        done=sum(c.state == DONE for c in cards),
        total=len(cards),
        over="; ".join(f"{o.team + ': ' if o.team else ''}{o.doing} in Doing, limit {o.limit}" for o in over),
        next=up.id if (up := flow.next_up(board)[lane.id]) else "",
        ready=frozenset(c.id for c in cards if c.state == TODO and c.ready),
        cells={**cells, DONE: cells[DONE][:NEWEST]},
        more=len(cells[DONE][NEWEST:]),
    )


def _tiles(board: Board, cards: Sequence[Card], state: str, day: int, old: set[str]) -> tuple[Tile, ...]:
    """The tiles of a column: a blocked card has its own, others share one with the same subtask of other teams."""
    grouped: dict[str, list[Card]] = {}
    for card in cards:
        if card.state == state:
            grouped.setdefault(card.key if state == BLOCKED else card.id, []).append(card)
    if state == DONE:
        grouped = dict(sorted(grouped.items(), key=lambda item: _newest(item[1]), reverse=True))
    tiles = [_tile(board, group, day, old) for group in grouped.values()]
    if state in (DOING, BLOCKED, REVIEW):
        longest = {
            id(tile): max(_time(board, c) for c in group)
            for tile, group in zip(tiles, grouped.values(), strict=True)
        }
        tiles.sort(key=lambda tile: (tile.old, longest[id(tile)]), reverse=True)
    return tuple(tiles)


def _newest(cards: Sequence[Card]) -> dt.datetime:
    return max(card.since for card in cards if card.since)


def _tile(board: Board, cards: Sequence[Card], day: int, old: set[str]) -> Tile:
    first = cards[0]
    return Tile(
        id=first.id,
        title=_short(first.title, 120),
        state=first.state,
        day=first.day,
        late=first.day < day and first.state != DONE,
        fresh=any(c.since and board.at and abs(board.at - c.since) < FRESH and c.moves for c in cards),
        old=any(c.key in old for c in cards),
        failed=any(c.failed for c in cards) and first.state != DONE,
        reason=_short(first.reason, 200),
        unblocker=_short(first.unblocker, 80),
        teams=tuple(
            Team(
                name=c.team,
                who=" +".join([_short(c.owner, 40), *([str(len(c.helpers))] if c.helpers else [])]),
                time=hours.spoken(_time(board, c)) if c.state in (DOING, BLOCKED, REVIEW) else "",
                old=c.key in old,
                failed=c.failed is not None,
            )
            for c in sorted(cards, key=lambda c: c.team)
        ),
        all=len(cards) == len(board.teams),
    )


def _short(text: str, most: int) -> str:
    """The text on one line; the board itself has all of it."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _time(board: Board, card: Card) -> dt.timedelta:
    """How long a card is blocked; of others, how long they are under way."""
    spent = board.age(card) if card.state == BLOCKED else flow.age(board, card)
    return spent or dt.timedelta()


def _moment(board: Board, plan: plans.Plan, now: dt.datetime) -> Moment | None:
    """The ceremony under way, else the next one; None after the last."""
    done = {card.id for card in board.cards if card.state == DONE}
    coming = []
    for s in plan.ceremonies:
        if s.at and s.id not in done:
            start = dt.datetime.combine(
                board.event.dates[s.day - 1], dt.time.fromisoformat(s.at), board.event.zone
            )
            if now < start + dt.timedelta(minutes=s.minutes):
                coming.append((start, s.title))
    if not coming:
        return None
    start, title = min(coming)
    local = now.astimezone(board.event.zone)
    if start <= now:
        return Moment("Now", title, f"since {start:%H:%M}")
    if start.date() == local.date():
        return Moment(f"{start:%H:%M}", title, f"in {hours.spoken(start - now)}")
    return Moment(f"{start:%a %-d %b %H:%M}", title, "")


def _pace(board: Board, day: int) -> str:
    """`5 of 9 cards up to today are done; 7 should be by now; 1.3 an hour to finish.`"""
    pace = flow.required(board, day)
    told = f"{pace.done} of {pace.cards} cards planned up to today are done"
    if pace.done >= pace.cards:
        return f"{told}."
    told += f"; the plan has {pace.planned} by now"
    return told + (f". It takes {pace.per_hour:.1f} an hour to finish today." if pace.per_hour else ".")


def _latest(board: Board) -> tuple[tuple[str, str, str, str], ...]:
    """The last moves: clock time, card, where to, by whom; newest first."""
    moves = sorted(((m, c) for c in board.cards for m in c.moves), key=lambda pair: pair[0].at)[-LATEST:]
    return tuple(
        (f"{m.at.astimezone(board.event.zone):%H:%M}", c.key, m.after, m.who) for m, c in reversed(moves)
    )
