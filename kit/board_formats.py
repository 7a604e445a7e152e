"""The board as text: for a terminal, JSON, CSV, a CSV that Jira imports, and Markdown. Pure; `kit.board` names them."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from kit import hours
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card

__all__ = ["text", "to_csv", "to_jira_csv", "to_json", "to_markdown", "to_transitions_csv"]

SIGNS = {TODO: " ", DOING: ">", BLOCKED: "!", REVIEW: "?", DONE: "x"}
SHAPES = {TODO: "○", DOING: "◐", BLOCKED: "■", REVIEW: "◇", DONE: "●"}
JIRA_STATES = {TODO: "To Do", DOING: "In Progress", BLOCKED: "Blocked", REVIEW: "In Review", DONE: "Done"}


def text(board: Board) -> str:
    """The board for a terminal, plain: a line per card, by workstream."""
    width = max((len(_line(card.title)) for card in board.cards), default=0)
    ids = max((len(_line(card.id)) for card in board.cards), default=0)
    lines = [_headline(board)]
    for lane, cards in _lanes(board):
        lines += ["", lane]
        for card in cards:
            parts = [
                f"[{SIGNS[card.state]}]",
                _line(card.id).ljust(ids),
                _line(card.title).ljust(width),
                card.state.ljust(7),
            ]
            lines.append(("  " + "  ".join([*parts, " · ".join(_facts(board, card))])).rstrip())
    if board.unknown:
        lines += [
            "",
            _line(f"Events name cards that are neither in the plan nor added: {', '.join(board.unknown)}"),
        ]
    return "\n".join(lines)


def to_json(board: Board) -> str:
    """The board as JSON. Times are UTC in ISO 8601; each card has its moves; the journal keeps the full history."""
    cards = []
    for card in board.cards:
        age = board.age(card)
        fields = {f.name: getattr(card, f.name) for f in dataclasses.fields(card) if f.name != "history"}
        cards.append(fields | {"hours": None if age is None else _hours(age)})
    event = dataclasses.asdict(board.event)
    lanes = [{"id": lane.id, "title": lane.title} for lane in board.lanes]
    whole = {"version": 1, "event": event, "target": board.target, "at": board.at, "counts": board.counts()}
    whole |= {"lanes": lanes, "cards": cards, "notes": board.notes, "unknown": board.unknown}
    return json.dumps(whole, default=_jsonable, ensure_ascii=False, indent=1) + "\n"


def to_csv(board: Board) -> str:
    """One row per card, as it stands."""
    head = [
        "id",
        "title",
        "workstream",
        "day",
        "minutes",
        "needs",
        "state",
        "owner",
        "helpers",
        "since",
        "hours_in_state",
        "reason",
        "unblocker",
        "ready",
    ]
    head += [
        "checks",
        "checks_ok",
        "run",
        "run_seconds",
        "run_at",
        "failed",
        "notebook",
        "criteria",
        "evidence",
    ]
    rows = []
    for card in board.cards:
        age, run = board.age(card), card.run
        row: list[Any] = [card.id, card.title, card.workstream, card.day, card.minutes, " ".join(card.needs)]
        row += [
            card.state,
            card.owner,
            ", ".join(card.helpers),
            card.since,
            "" if age is None else _hours(age),
        ]
        row += [card.reason, card.unblocker, "yes" if card.ready else "no"]
        row += [len(card.checks), sum(check.ok for check in card.checks)]
        row += [run.run, run.seconds, run.at] if run else ["", "", ""]
        row += [
            card.failed.error if card.failed else "",
            card.notebook,
            "; ".join(card.criteria),
            card.evidence,
        ]
        rows.append(row)
    return _csv(head, rows)


def to_transitions_csv(board: Board) -> str:
    """One row per change of column, oldest first, with the event hours spent in the column that was left."""
    head = ["id", "title", "workstream", "from", "to", "at", "who", "hours_in_from", "reason", "unblocker"]
    rows: list[list[Any]] = []
    for card in board.cards:
        left: dt.datetime | None = None
        for move in card.moves:
            time = "" if left is None else _hours(hours.spent(board.event, left, move.at))
            row: list[Any] = [
                card.id,
                card.title,
                card.workstream,
                move.before,
                move.after,
                move.at,
                move.who,
            ]
            rows.append([*row, time, move.reason, move.unblocker])
            left = move.at
    return _csv(head, sorted(rows, key=lambda row: (row[5], row[0])))


def to_jira_csv(board: Board) -> str:
    """One row per card for Jira's CSV import: map the columns by their names. Estimates are seconds; assignees as written.

    Jira matches people by e-mail address: where owners are not, correct the column before the import.
    """
    head = [
        "Summary",
        "Issue Type",
        "Status",
        "Assignee",
        "Description",
        "Original Estimate",
        "Labels",
        "Labels",
        "Labels",
    ]
    rows = []
    for card in board.cards:
        about = [f"Blocked: {card.reason}"] if card.state == BLOCKED else []
        about += [f"Who can help: {card.unblocker}"] if card.unblocker else []
        about += [f"Done when: {line}" for line in card.criteria]
        about += [f"Needs: {', '.join(card.needs)}"] if card.needs else []
        about += [f"Runbook: {card.notebook}"] if card.notebook else []
        about += [f"Note by {note.who}: {note.text}" for note in card.notes]
        labels = [re.sub(r"\s+", "-", label) for label in (card.id, card.workstream, f"day-{card.day}")]
        row: list[Any] = [
            card.label,
            "Task",
            JIRA_STATES[card.state],
            card.owner,
            "\n".join(about),
            card.minutes * 60,
        ]
        rows.append([*row, *labels])
    return _csv(head, rows)


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
        lines.append(f"| {_md(lane)} | {' | '.join(counts)} |")
    for lane, cards in _lanes(board):
        lines += [
            "",
            f"## {_md(lane)}",
            "",
            "| Card | State | Day | Owner | Needs | More |",
            "|---|---|---|---|---|---|",
        ]
        for card in cards:
            more = " · ".join(_md(fact) for fact in _facts(board, card, owner=False))
            if card.run and card.run.copy:
                more += f" · [executed copy](../{quote(card.run.copy)})"
            owner = ", ".join(
                [card.owner, *(f"{helper} helps" for helper in card.helpers)] if card.owner else []
            )
            cells = [
                f"**{_md(card.id)}** {_md(card.title)}",
                f"{SHAPES[card.state]} {card.state}",
                str(card.day),
            ]
            lines.append(f"| {' | '.join([*cells, _md(owner), _md(', '.join(card.needs)), more])} |")
        for card in cards:
            lines += [f"\n> **{_md(card.id)}** {_md(note.who)}: {_md(note.text)}" for note in card.notes]
    if board.unknown:
        lines += [
            "",
            f"Events name cards that are neither in the plan nor added: {_md(', '.join(board.unknown))}.",
        ]
    return "\n".join(lines) + "\n"


def _lanes(board: Board) -> Iterable[tuple[str, Sequence[Card]]]:
    """The titles and cards of workstreams that have cards."""
    return [(lane.title, cards) for lane in board.lanes if (cards := board.lane(lane.id))]


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


def _facts(board: Board, card: Card, owner: bool = True) -> list[str]:
    """What is worth saying of a card, most urgent first."""
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
    if card.skipped:
        facts.append(f"skipped: {card.skipped}")
    if card.state == TODO:
        facts.append(f"waits for {', '.join(card.waits)}" if card.waits else "ready")
    if card.state in (REVIEW, DONE) and card.run:
        facts.append(f"{counted(len(card.checks), 'check holds', 'checks hold')}, {card.run.seconds:.1f} s")
    elif card.evidence:
        facts.append(card.evidence)
    return [_line(fact) for fact in facts]


def _line(words: str) -> str:
    """On one line, without control characters, at most 160 characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return words if len(words) <= 160 else words[:159] + "…"


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


def _hours(time: dt.timedelta) -> float:
    return round(time.total_seconds() / 3600, 2)


def _local(board: Board, at: dt.datetime) -> str:
    return f"{at.astimezone(board.event.zone):%-d %B %Y, %H:%M} {board.event.time_zone}"


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return value.isoformat() if isinstance(value, (dt.date, dt.datetime)) else dict(value)


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A value as a CSV cell; text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP)."""
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, str):
        value = value.replace("\r\n", "\n").replace("\r", "\n")  # a bare CR ends a row for some readers
        return f"'{value}" if value.lstrip()[:1] in tuple("=+-@") or value[:1] in ("\t", "\n") else value
    return "" if value is None else value
