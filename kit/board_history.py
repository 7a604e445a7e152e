"""What happened to one card, line by line, for a terminal. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from kit import flow, hours, raw
from kit.board_formats import counted, facts, one_line
from kit.cards import Board, Card
from kit.journal import Event

__all__ = ["history"]


def history(board: Board, card: Card) -> str:
    """A card as it stands, then every event of it, oldest first, with the column that it moved to."""
    old = {other.key for other in flow.ageing(board)}
    lines = [one_line(card.label), one_line(" · ".join([card.state, *facts(board, card, old)]))]
    if (time := flow.cycle_time(board, card)) is not None:
        lines.append(f"From Doing to Done: {hours.spoken(time)}")
    if needed := [other.key for other in board.cards if card.key in _needs(board, other)]:
        lines.append(f"Needed by {', '.join(needed)}")
    lines += [one_line(f"Done when: {line}") for line in card.criteria]
    moved = {(move.at, move.who): move for move in card.moves}
    before: dt.datetime | None = None
    rows = []
    for event in card.history:
        told = one_line(_WORDS.get(event.type, _other)(event), 600)
        if move := moved.get((event.ts, event.who)):
            stayed = f" after {hours.spoken(hours.spent(board.event, before, move.at))}" if before else ""
            told += f"  → {move.after}{stayed}"
            before = move.at
        rows.append((f"{event.ts.astimezone(board.event.zone):%-d %b %H:%M}", one_line(event.who), told))
    times, names = (max((len(row[n]) for row in rows), default=0) for n in (0, 1))
    lines += [""] if rows else ["Nothing has happened to it yet."]
    return "\n".join([*lines, *(f"{at.rjust(times)}  {who.ljust(names)}  {told}" for at, who, told in rows)])


def _needs(board: Board, card: Card) -> set[str]:
    """The keys of what a card needs, of its own team or shared."""
    keys = {other.key for other in board.cards}
    return {own if (own := f"{need}@{card.team}") in keys else need for need in card.needs}


def _said(event: Event, key: str) -> str:
    return raw.text(event.data.get(key)).strip()


def _with(head: str, *parts: str) -> str:
    return ": ".join([head, " · ".join(part for part in parts if part)]) if any(parts) else head


def _checked(event: Event) -> str:
    check = raw.check(event.data)
    return check.line if check else "checked something"


def _completed(event: Event) -> str:
    checks = raw.checks(event.data.get("checks"))
    told = counted(len(checks), "check holds", "checks hold") if checks else "without evidence"
    return _with("completed", told, f"{raw.number(event.data.get('seconds')) or 0:.1f} s")


def _failed(event: Event) -> str:
    where = f" in cell {cell}" if (cell := _said(event, "cell")) else ""
    return _with(f"run failed{where}", _said(event, "error"), _said(event, "message"))


def _blocked(event: Event) -> str:
    help = f"{unblocker} can help" if (unblocker := _said(event, "unblocker")) else ""
    return _with("blocked", _said(event, "reason"), help)


def _claimed(event: Event) -> str:
    owner = _said(event, "owner") or event.who
    return "claimed it" if owner == event.who else f"claimed it for {owner}"


def _made(event: Event) -> str:
    return _with(event.type, " ".join(_said(event, key) for key in ("service", "operation", "name")))


def _other(event: Event) -> str:
    return event.type


_WORDS: dict[str, Callable[[Event], str]] = {
    "started": lambda e: _with("started", _said(e, "run")),
    "checked": _checked,
    "completed": _completed,
    "executed": lambda e: _with("executed", _said(e, "copy")),
    "failed": _failed,
    "blocked": _blocked,
    "unblocked": lambda e: _with("unblocked", _said(e, "note")),
    "claimed": _claimed,
    "noted": lambda e: _with("noted", _said(e, "text")),
    "attached": lambda e: _with("attached", _said(e, "title"), _said(e, "path")),
    "added": lambda e: _with("added to the board", _said(e, "title"), _said(e, "source")),
    "review": lambda e: _with("asked for review", _said(e, "evidence")),
    "accepted": lambda e: _with("accepted", _said(e, "evidence")),
    "skipped": lambda e: _with("skipped", _said(e, "reason")),
    "made": _made,
    "removed": _made,
}
