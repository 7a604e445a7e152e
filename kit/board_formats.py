"""The board as text: for a terminal, as JSON and as Markdown; `kit.board_csv` has the tables. Pure; `kit.board` names them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Container, Iterable, Sequence
from typing import Any
from urllib.parse import quote

from kit import flow, hours
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card
from kit.plan import Workstream

__all__ = ["counted", "facts", "one_line", "text", "to_json", "to_markdown"]

SIGNS = {TODO: " ", DOING: ">", BLOCKED: "!", REVIEW: "?", DONE: "x"}
SHAPES = {TODO: "○", DOING: "◐", BLOCKED: "■", REVIEW: "◇", DONE: "●"}


def text(board: Board) -> str:
    """The board for a terminal, plain: a line per card, by workstream."""
    width = max((len(one_line(card.title)) for card in board.cards), default=0)
    ids = max((len(one_line(card.key)) for card in board.cards), default=0)
    lines, old = [_headline(board)], _ageing(board)
    for lane, cards in _lanes(board):
        lines += ["", lane.title, *(f"  {told}" for told in limits(board, lane.id))]
        for card in cards:
            parts = [
                f"[{SIGNS[card.state]}]",
                one_line(card.key).ljust(ids),
                one_line(card.title).ljust(width),
                card.state.ljust(7),
            ]
            lines.append(("  " + "  ".join([*parts, " · ".join(facts(board, card, old))])).rstrip())
    if board.unknown:
        lines += [
            "",
            one_line(f"Events name cards that are neither in the plan nor added: {', '.join(board.unknown)}"),
        ]
    return "\n".join(lines)


def to_json(board: Board) -> str:
    """The board as JSON. Times are UTC in ISO 8601; each card has its moves; the journal keeps the full history."""
    cards, old = [], _ageing(board)
    for card in board.cards:
        age = board.age(card)
        fields = {f.name: getattr(card, f.name) for f in dataclasses.fields(card) if f.name != "history"}
        whole_hours = None if age is None else round(age.total_seconds() / 3600, 2)
        cards.append({"key": card.key} | fields | {"hours": whole_hours, "ageing": card.key in old})
    event = dataclasses.asdict(board.event)
    lanes = [{"id": lane.id, "title": lane.title, "wip": lane.wip} for lane in board.lanes]
    whole = {"version": 1, "event": event, "target": board.target, "at": board.at, "counts": board.counts()}
    whole |= {"lanes": lanes, "cards": cards, "notes": board.notes, "unknown": board.unknown}
    whole |= {"teams": board.teams}
    return json.dumps(whole, default=_jsonable, ensure_ascii=False, indent=1) + "\n"


def to_markdown(board: Board) -> str:
    """The board to read in JupyterLab or on a git host: a table per workstream. Links count from the board's folder."""
    event = board.event
    days = " to ".join(dict.fromkeys(f"{date:%-d %B %Y}" for date in (event.dates[0], event.dates[-1])))
    lines = [
        f"# {_md(event.name)}: the board",
        "",
        f"{_md(_headline(board))}  ",
        f"{days}, {event.time_zone}.",
    ]
    lines += [
        f"As of {_local(board, board.at)}." if board.at else "Nothing has happened yet.",
        "",
    ]
    lines += ["| Workstream | " + " | ".join(STATES) + " |", "|---|" + "---:|" * len(STATES)]
    for lane, cards in _lanes(board):
        counts = [str(sum(card.state == state for card in cards)) for state in STATES]
        lines.append(f"| {_md(lane.title)} | {' | '.join(counts)} |")
    old = _ageing(board)
    for lane, cards in _lanes(board):
        lines += [
            "",
            f"## {_md(lane.title)}",
            *(f"\n▲ {_md(told)}" for told in limits(board, lane.id)),
            "",
            "| Card | State | Day | Owner | Needs | More |",
            "|---|---|---|---|---|---|",
        ]
        for card in cards:
            more = " · ".join(_md(fact) for fact in facts(board, card, old, owner=False))
            if card.run and card.run.copy:
                more += f" · [executed copy](../{quote(card.run.copy)})"
            owner = ", ".join(
                [card.owner, *(f"{helper} helps" for helper in card.helpers)] if card.owner else []
            )
            cells = [
                f"**{_md(card.key)}** {_md(card.title)}",
                f"{SHAPES[card.state]} {card.state}",
                str(card.day),
            ]
            lines.append(f"| {' | '.join([*cells, _md(owner), _md(', '.join(card.needs)), more])} |")
        for card in cards:
            lines += [f"\n> **{_md(card.key)}** {_md(note.who)}: {_md(note.text)}" for note in card.notes]
    if board.unknown:
        lines += [
            "",
            f"Events name cards that are neither in the plan nor added: {_md(', '.join(board.unknown))}.",
        ]
    return "\n".join(lines) + "\n"


def limits(board: Board, lane: str, team: str | None = None) -> list[str]:
    """A line for each team of a workstream that has more cards in Doing than the limit: `3 in Doing, the limit is 2`."""
    over = [o for o in flow.over_limit(board) if o.lane.id == lane and team in (None, o.team)]
    return [f"{o.team + ': ' if o.team else ''}{o.doing} in Doing, the limit is {o.limit}" for o in over]


def _ageing(board: Board) -> set[str]:
    return {card.key for card in flow.ageing(board)}


def _lanes(board: Board) -> Iterable[tuple[Workstream, Sequence[Card]]]:
    """The workstreams that have cards, with them."""
    return [(lane, cards) for lane in board.lanes if (cards := board.lane(lane.id))]


def _headline(board: Board) -> str:
    counts = board.counts()
    told = [f"{counts[DONE]} of {len(board.cards)} cards done"]
    told += [
        f"{counts[state]} {word}"
        for state, word in ((DOING, "doing"), (BLOCKED, "blocked"), (REVIEW, "in review"))
        if counts[state]
    ]
    failed = sum(card.failed is not None for card in board.cards)
    told += [f"{failed} failed"] if failed else []
    return f"{board.event.name} · {', '.join(told)}"


def facts(board: Board, card: Card, old: Container[str] = (), owner: bool = True) -> list[str]:
    """What is worth saying of a card, most urgent first; `old` are the keys of ageing cards."""
    facts = []
    if owner and card.owner:
        facts.append(
            card.owner
            + (
                f" ({', '.join(card.helpers)} {'helps' if len(card.helpers) == 1 else 'help'})"
                if card.helpers
                else ""
            )
        )
    if card.state == BLOCKED:
        who = f", {card.unblocker} can help" if card.unblocker else ""
        facts.append(f"{card.reason}{who}")
    if card.failed:
        where = f" in cell {card.failed.cell}" if card.failed.cell else ""
        facts.append(f"last run failed{where}: {card.failed.error} {card.failed.message}".strip())
    age = board.age(card)
    if age is not None and card.state in (DOING, BLOCKED, REVIEW):
        facts.append(f"for {hours.spoken(age)}")
    if card.key in old and (under_way := flow.age(board, card)):
        facts.append(f"ageing: {hours.spoken(under_way)} under way")
    if card.due and card.state != DONE:
        late = board.at and board.at.astimezone(board.event.zone).date().isoformat() > card.due
        facts.append(f"{'was due' if late else 'due'} {dt.date.fromisoformat(card.due):%-d %B}")
    if card.skipped and not card.ready:  # what it was skipped for may be done by now
        facts.append(f"skipped: {card.skipped}")
    if card.state == TODO:
        facts += [f"at {card.at}"] if card.at else []
        facts.append(f"waits for {', '.join(card.waits)}" if card.waits else "ready")
    if card.state in (REVIEW, DONE) and card.run:
        facts.append(f"{counted(len(card.checks), 'check holds', 'checks hold')}, {card.run.seconds:.1f} s")
    elif card.evidence:
        facts.append(card.evidence)
    return [one_line(fact) for fact in facts]


def one_line(words: str, most: int = 160) -> str:
    """On one line, without control characters, at most so many characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return words if len(words) <= most else words[: most - 1] + "…"


def _md(words: str) -> str:
    """Text from people, inert in Markdown: no table cell, tag, link or emphasis comes out of it."""
    return (
        re.sub(r"([\\`*_{}\[\]<>|#~$&!])", r"\\\1", " ".join(words.split()))
        .replace(r"\&", "&amp;")
        .replace(r"\<", "&lt;")
    )


def counted(number: int, one: str, many: str) -> str:
    """`1 check holds`, `3 checks hold`."""
    return f"{number} {one if number == 1 else many}"


def _local(board: Board, at: dt.datetime) -> str:
    return f"{at.astimezone(board.event.zone):%-d %B %Y, %H:%M} {board.event.time_zone}"


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return value.isoformat() if isinstance(value, (dt.date, dt.datetime)) else dict(value)
