"""The board as CSV: its cards, their moves, the flow of work, and a file that Jira imports. Pure; `kit.board` names them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from kit import flow, hours
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board

__all__ = ["CARD", "to_csv", "to_flow_csv", "to_jira_csv", "to_transitions_csv"]

JIRA_STATES = {TODO: "To Do", DOING: "In Progress", BLOCKED: "Blocked", REVIEW: "In Review", DONE: "Done"}

CARD = ["id", "team", "title", "workstream", "day", "minutes", "needs", "state", "owner", "helpers", "due"]
CARD += ["since", "hours_in_state", "hours_under_way", "ageing", "reason", "unblocker", "ready", "checks"]
CARD += ["checks_ok", "run", "run_seconds", "run_at", "failed", "notebook", "criteria", "evidence"]
"""The columns of `to_csv`."""


def to_csv(board: Board) -> str:
    """One row per card, as it stands."""
    old = {card.key for card in flow.ageing(board)}
    rows = []
    for card in board.cards:
        age, under_way, run = board.age(card), flow.age(board, card), card.run
        row: list[Any] = [card.id, card.team, card.title, card.workstream, card.day, card.minutes]
        row += [" ".join(card.needs), card.state, card.owner, ", ".join(card.helpers), card.due, card.since]
        row += ["" if time is None else _hours(time) for time in (age, under_way)]
        row += [
            "yes" if card.key in old else "no",
            card.reason,
            card.unblocker,
            "yes" if card.ready else "no",
        ]
        row += [len(card.checks), sum(check.ok for check in card.checks)]
        row += [run.run, run.seconds, run.at] if run else ["", "", ""]
        row += [
            card.failed.error if card.failed else "",
            card.notebook,
            "; ".join(card.criteria),
            card.evidence,
        ]
        rows.append(row)
    return _csv(CARD, rows)


def to_transitions_csv(board: Board) -> str:
    """One row per change of column, oldest first, with the event hours spent in the column that was left."""
    head = [
        "id",
        "team",
        "title",
        "workstream",
        "from",
        "to",
        "at",
        "who",
        "hours_in_from",
        "reason",
        "unblocker",
    ]
    rows: list[list[Any]] = []
    for card in board.cards:
        left: dt.datetime | None = None
        for move in card.moves:
            time = "" if left is None else _hours(hours.spent(board.event, left, move.at))
            row: list[Any] = [card.id, card.team, card.title, card.workstream, move.before, move.after]
            rows.append([*row, move.at, move.who, time, move.reason, move.unblocker])
            left = move.at
    return _csv(head, sorted(rows, key=lambda row: (row[6], row[0], row[1])))


def to_flow_csv(board: Board) -> str:
    """The cumulative flow and the burn-up: one row per step of 15 minutes, in the event's own time.

    How many cards were in each column, and how many there were in all (`cards`).
    """
    head = ["at", *(re.sub(r"\W", "_", state.lower()) for state in STATES), "cards"]
    rows = []
    for sample in flow.samples(board):
        counts = [sample.counts[state] for state in STATES]
        rows.append([sample.at.astimezone(board.event.zone), *counts, sum(counts)])
    return _csv(head, rows)


def to_jira_csv(board: Board) -> str:
    """One row per card for Jira's CSV import: map the columns by their names. Estimates are seconds; assignees as written.

    Jira matches people by e-mail address: where owners are not, correct the column before the import.
    """
    head = ["Summary", "Issue Type", "Status", "Assignee", "Due Date", "Description", "Original Estimate"]
    head += ["Labels"] * 4
    rows = []
    for card in board.cards:
        about = [f"Blocked: {card.reason}"] if card.state == BLOCKED else []
        about += [f"Who can help: {card.unblocker}"] if card.unblocker else []
        about += [f"Done when: {line}" for line in card.criteria]
        about += [f"Needs: {', '.join(card.needs)}"] if card.needs else []
        about += [f"Runbook: {card.notebook}"] if card.notebook else []
        about += [f"Note by {note.who}: {note.text}" for note in card.notes]
        words = (card.id, card.workstream, f"day-{card.day}", card.team)
        row: list[Any] = [card.label, "Task", JIRA_STATES[card.state], card.owner, card.due]
        row += ["\n".join(about), card.minutes * 60]
        rows.append([*row, *(re.sub(r"\s+", "-", word) for word in words)])
    return _csv(head, rows)


def _hours(time: dt.timedelta) -> float:
    return round(time.total_seconds() / 3600, 2)


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
