"""A standup: for each workstream what was done, what stands in the way and what is next, from the journal; and what people add."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import documents
import forms
from decisions import Open

from kit import flow, hours, said
from kit import plan as plans
from kit.board_formats import counted
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card
from kit.errors import UsageError, did_you_mean
from kit.journal import Event

__all__ = ["Failed", "Lane", "as_data", "before", "coded", "document", "earlier", "filled"]
__all__ += ["form", "helpless", "lanes", "left_out", "length", "page", "words"]

SHOWN = 5  # entries of a kind that are told whole; of the others only the card
WIDE = 110  # characters on a line of a screen
PART = {"am": "morning", "pm": "afternoon"}


@dataclass(frozen=True)
class Failed:
    """A card whose runbook failed since the last standup: how often, and where and why the last time."""

    card: Card
    times: int
    cell: str
    line: str

    @property
    def over(self) -> bool:
        """Whether the card is done now."""
        return self.card.state == DONE


@dataclass(frozen=True)
class Lane:
    """A workstream at a standup. `goal` is what it said last time; `said` is what it says now."""

    id: str
    title: str
    lead: str
    goal: str
    today: tuple[Card, ...]
    done: tuple[Card, ...]
    blocked: tuple[flow.Block, ...]
    ageing: tuple[Card, ...]
    failed: tuple[Failed, ...]
    next: tuple[Card, ...]
    waits: Card | None
    over: tuple[flow.Over, ...]
    said: said.Word


def words(
    plan: plans.Plan,
    focus: Mapping[str, Any],
    decision: Mapping[str, Any],
    confidence: Mapping[str, Any],
    earlier: Mapping[str, said.Word] | None = None,
) -> dict[str, said.Word]:
    """What people say, by workstream; where they say nothing, what they said `earlier` at the same standup.

    Raises:
        UsageError: there is no such workstream, or a confidence is not 1 to 5 (0: not said).
    """
    known = [lane.id for lane in plan.workstreams] + [plans.EVENT]
    for name in (*focus, *decision, *confidence):
        if name not in known:
            raise UsageError(f'The plan has no workstream "{name}".', did_you_mean(name, known))
    for name, value in confidence.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 5:
            raise UsageError(
                f"The confidence of {name} is {value!r}.", "Say 1 (we will not make it) to 5 (we will), or 0."
            )
    old = {name: (earlier or {}).get(name, said.Word(name)) for name in known}
    return {
        name: said.Word(
            name,
            str(focus.get(name, "")).strip() or old[name].focus,
            str(decision.get(name, "")).strip() or old[name].decision,
            int(confidence.get(name, 0)) or old[name].confidence,
        )
        for name in known
    }


def before(held: Iterable[said.Standup], day: int, part: str) -> dict[str, said.Word]:
    """What each workstream said last at the standups before this one."""
    return {
        word.lane: word
        for standup in held
        if (standup.day, standup.part) < (day, part)
        for word in standup.words
        if word.focus or word.decision or word.confidence
    }


def earlier(held: Iterable[said.Standup], day: int, part: str) -> dict[str, said.Word]:
    """What each workstream has said at this standup already."""
    return {word.lane: word for s in held if (s.day, s.part) == (day, part) for word in s.words}


def lanes(
    board: Board,
    day: int,
    since: dt.datetime,
    before: Mapping[str, said.Word],
    now: Mapping[str, said.Word],
) -> tuple[Lane, ...]:
    """Each workstream; and the event itself, once it has work of its own (the actions of retros).

    Args:
        board: the board.
        day: the day of the standup.
        since: when the standup before was held.
        before: what each said there.
        now: what each says now.
    """
    became, old, over = flow.since(board, since), flow.ageing(board), flow.over_limit(board)
    stuck = [block for block in flow.blocks(board) if block.closed is None]
    found = []
    for lane in sorted(board.lanes, key=lambda lane: lane.id == plans.EVENT):  # the event's own work last
        cards = work(board, lane.id)
        if not cards:
            continue

        def mine(chosen: Iterable[Card], lane: plans.Workstream = lane) -> tuple[Card, ...]:
            return tuple(c for c in chosen if c.workstream == lane.id and not ceremony(c))

        waiting = [c for c in cards if c.state == TODO and not c.ready]
        again = (c for c in cards if c.state == DONE and c not in became["done"] and _again(c, since))
        found.append(
            Lane(
                id=lane.id,
                title=lane.title,
                lead=lane.lead,
                goal=before[lane.id].focus if lane.id in before else "",
                today=tuple(c for c in cards if c.day == day),
                done=(*mine(became["done"]), *again),
                blocked=tuple(b for b in stuck if b.card.workstream == lane.id),
                ageing=mine(c for c in old if c.state != BLOCKED),
                failed=tuple(
                    sorted((_failed(c, since) for c in mine(became["failed"])), key=lambda f: f.over)
                ),
                next=tuple(filter(None, (_next_of(cards, team) for team in board.teams or ("",)))),
                waits=waiting[0] if waiting else None,
                over=tuple(o for o in over if o.lane.id == lane.id),
                said=now.get(lane.id, said.Word(lane.id)),
            )
        )
    return tuple(found)


def work(board: Board, lane: str) -> tuple[Card, ...]:
    """The cards of a workstream without the ceremonies."""
    return tuple(card for card in board.lane(lane) if not ceremony(card))


def ceremony(card: Card) -> bool:
    """Whether the card is one of the event's own ceremonies."""
    return card.workstream == plans.EVENT and card.source == "plan"


def _again(card: Card, since: dt.datetime) -> bool:
    """Whether a card that was done before was done again since."""
    return any(event.type == "completed" and event.ts > since for event in card.history)


def _next_of(cards: Iterable[Card], team: str) -> Card | None:
    """The first card in To do that waits for no other, of a team or shared."""
    ready = (card for card in cards if card.state == TODO and card.ready and card.team in ("", team))
    return min(ready, key=lambda card: card.day, default=None)


def _failed(card: Card, since: dt.datetime) -> Failed:
    runs = [event for event in card.history if event.type == "failed" and event.ts > since]
    data = runs[-1].data
    error, message = str(data.get("error", "")), str(data.get("message", "")).strip()
    line = message.splitlines()[0] if message else "no message"
    return Failed(card, len(runs), str(data.get("cell", "")), f"{error}: {line}" if error else line)


# What must hold


def helpless(board: Board) -> list[str]:
    """The blocked cards for which no reason is given, or nobody who can help."""
    return [
        card.label
        for card in board.cards
        if card.state == BLOCKED
        and (not card.unblocker.strip() or card.reason.strip() in ("", "no reason was given"))
    ]


def left_out(events: Iterable[Event], board: Board, since: dt.datetime, pages: Iterable[str]) -> list[str]:
    """Cards that were done, blocked or failed since the last standup, by the journal, and are on no page."""
    text = "\n".join(pages)
    kinds = ("completed", "accepted", "failed", "blocked")
    told = {(e.card, team) for e in events if e.type in kinds and e.ts > since for team in ("", e.team)}
    cards = [card for card in board.cards if (card.id, card.team) in told and not ceremony(card)]
    cards = [card for card in cards if card.state in (DONE, BLOCKED) or card.failed]
    return [card.key for card in cards if f"**{documents.plain(card.key)}**" not in text]


def length(page: Iterable[str]) -> int:
    """How many lines the page takes on a screen."""
    lines = [re.sub(r"\]\([^)]*\)", "]", part) for line in page for part in line.split("<br>")]
    return sum(math.ceil(len(line) / WIDE) for line in lines if line.strip() and not line.startswith("|-"))


# As a document


def page(board: Board, lane: Lane, day: int, link: documents.Link = documents.label) -> list[str]:
    """A workstream as Markdown: what one screen shows while it speaks.

    Args:
        board: the board.
        lane: as `lanes` gives it.
        day: the day of the standup.
        link: how a card with a runbook is shown.
    """
    plain = documents.plain
    planned = ", ".join(plain(card.key) for card in lane.today)
    rows = [
        ["Micro-goal", plain(lane.goal, 200) or (f"today's cards: {planned}" if planned else "none is said yet")],
        ["Done since", _some(lane.done, link) or "nothing"],
        ["Blocked", "<br>".join(_block(b) for b in lane.blocked)],
        ["Ageing", "<br>".join(f"{documents.label(c)}, {_for(flow.age(board, c))}" for c in lane.ageing[:SHOWN])
         + _rest(lane.ageing)],
        ["Failed runs", "<br>".join(_failure(f, link) for f in lane.failed[:SHOWN])
         + _rest([f.card for f in lane.failed])],
        ["Over the limit", "<br>".join(
            f"{o.doing} cards in Doing{f' of team {plain(o.team)}' if o.team else ''}, the limit is {o.limit}"
            for o in lane.over)],
        ["Next", _next(lane, link)],
        ["**Focus**", plain(lane.said.focus, 240)],
        ["**Decision needed**", plain(lane.said.decision, 240)],
        ["**Confidence**", _confidence(lane.said.confidence)],
    ]  # fmt: skip
    said_now = lane.said.focus or lane.said.decision or lane.said.confidence
    rows = [row for row in rows if row[1]] + ([] if said_now else [["**Focus**", "nobody has said it yet"]])
    lead = f", {plain(lane.lead)}" if lane.lead else ""
    return [f"## {plain(lane.title)}{lead}: {_headline(lane, day)}", *documents.table(["", ""], rows)]


def document(
    board: Board,
    lanes: Sequence[Lane],
    waiting: Sequence[Open],
    day: int,
    part: str,
    since: dt.datetime,
    link: documents.Link,
) -> list[str]:
    """The standup as the lines of a Markdown document: what is asked of the room, then a page for each workstream."""
    plain, at = documents.plain, documents.clock(board, board.at) if board.at else ""
    last = "the beginning" if since.year == 1970 else documents.clock(board, since)
    cards = [card for card in board.cards if not ceremony(card)]
    counts = {state: sum(card.state == state for card in cards) for state in STATES}
    lines = [
        f"# Standup, {PART[part]} of day {day}",
        "",
        f"{plain(board.event.name)} · as of {at} {plain(board.event.time_zone)} · since {last} · "
        + " · ".join(f"{counts[state]} {state.lower()}" for state in STATES),
    ]
    if waiting:
        rows = [[plain(o.text, 200), plain(o.lanes), plain(o.by), _for(o.time)] for o in waiting]
        lines += ["", "## Decisions that somebody waits for"]
        lines += documents.table(["Decision", "Asked by", "Taken by", "Open"], rows)
    for lane in lanes:
        lines += ["", *page(board, lane, day, link)]
    return lines


def _headline(lane: Lane, day: int) -> str:
    done = sum(card.state == DONE for card in lane.today)
    told = (
        [f"{done} of {len(lane.today)} cards of day {day} done"] if lane.today else [f"no card for day {day}"]
    )
    told += [f"■ {len(lane.blocked)} blocked"] if lane.blocked else []
    told += [f"▲ {len(lane.ageing)} ageing"] if lane.ageing else []
    return " · ".join(told)


def _block(block: flow.Block) -> str:
    helper = documents.plain(block.card.unblocker, 60)
    return (
        f"{documents.label(block.card)}, {_for(block.time)}: {documents.plain(block.card.reason, 160)}. "
        + (f"**{helper}** can help" if helper else "**Nobody is named who can help**")
    )


def _failure(failed: Failed, link: documents.Link) -> str:
    where = f" in cell {documents.plain(failed.cell)}" if failed.cell else ""
    times = f", {failed.times} times" if failed.times > 1 else ""
    over = " (done since)" if failed.over else ""
    return f"{link(failed.card, False)}{times}{where}: {documents.plain(failed.line, 120)}{over}"


def _next(lane: Lane, link: documents.Link) -> str:
    if lane.next:
        owned = (
            f"{link(c, False)}, {documents.plain(c.owner, 40)}" if c.owner else link(c, False)
            for c in lane.next
        )
        return "<br>".join(dict.fromkeys(owned))
    if lane.waits is not None:
        return f"{documents.label(lane.waits)} waits for {documents.plain(', '.join(lane.waits.waits))}"
    return "" if any(c.state in (DOING, REVIEW) for c in lane.today) else "all cards are begun or done"


def _some(cards: Sequence[Card], link: documents.Link) -> str:
    """The cards, those of several teams on one line; the first few whole, of the others the keys."""
    groups: dict[str, list[Card]] = {}
    for card in cards:
        groups.setdefault(card.id, []).append(card)
    lines = []
    for group in list(groups.values())[:SHOWN]:
        first, keys = group[0], ", ".join(link(card, True) for card in group)
        one = f"{link(first, False)}{_proof(first)}"
        lines.append(one if len(group) == 1 else f"{documents.plain(first.title, 60)}: {keys}")
    return "<br>".join(lines) + _rest([card for group in list(groups.values())[SHOWN:] for card in group], 0)


def _rest(cards: Sequence[Card], shown: int = SHOWN) -> str:
    """The cards beyond those that are shown, by their keys."""
    ids = ", ".join(documents.label(card, True) for card in cards[shown:])
    return f"<br>and {ids}" if ids else ""


def _proof(card: Card) -> str:
    if card.run and card.checks:
        return f", {counted(len(card.checks), 'check holds', 'checks hold')}"
    return f", {documents.plain(card.evidence, 80)}" if card.evidence else ""


def _confidence(value: int) -> str:
    return f"{'●' * value}{'○' * (5 - value)} {value} of 5" if value else ""


def _for(time: dt.timedelta | None) -> str:
    return hours.spoken(time) if time is not None else ""


def as_data(lanes: Iterable[Lane]) -> dict[str, dict[str, Any]]:
    """What people said, as the journal keeps it."""
    return {
        lane.id: {
            "focus": lane.said.focus,
            "decision": lane.said.decision,
            "confidence": lane.said.confidence,
        }
        for lane in lanes
    }


def form(board: Board, words: Mapping[str, said.Word]) -> forms.Form:
    """The form for what each workstream says: focus, decision needed, confidence."""
    titles = {lane.id: lane.title for lane in board.lanes if work(board, lane.id)}
    confidence = [("confidence: not said", 0), *((f"{n} of 5", n) for n in range(1, 6))]
    fields = (forms.Field("focus"), forms.Field("decision"), forms.Field("confidence", 1, confidence, "13em"))
    values = {
        name: {"focus": word.focus, "decision": word.decision, "confidence": word.confidence}
        for name, word in words.items()
    }
    return forms.Form(titles, fields, values, coded)


def filled(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the form holds, as the parameters that say the same: focus, decision and confidence by workstream."""
    return {
        name: {row: told[name] for row, told in values.items() if told[name]}
        for name in ("focus", "decision", "confidence")
    }


def coded(values: Mapping[str, Mapping[str, Any]]) -> str:
    """What the form holds, as the parameters that say the same."""
    return "; ".join(f"{name} = {told!r}" for name, told in filled(values).items())
