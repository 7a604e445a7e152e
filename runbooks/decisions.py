"""Decisions: which are open, of standups and of the charter, and the answers that people give."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit import hours, said
from kit.cards import Board
from kit.errors import UsageError, did_you_mean
from kit.journal import Event

__all__ = ["Open", "answers", "new", "waiting"]


@dataclass(frozen=True)
class Open:
    """A decision that is asked for and not taken: by which workstreams, who should take it, and for how long already."""

    text: str
    lanes: str
    by: str
    time: dt.timedelta | None


def waiting(
    events: Sequence[Event], board: Board, day: int, decided: Mapping[str, Any] | None = None
) -> list[Open]:
    """Decisions that are asked for and open, the longest first; of the charter those that are due by this day.

    Args:
        events: the journal's, oldest first.
        board: the board.
        day: the day of the event.
        decided: answers that are given now.
    """
    titles = {lane.id: lane.title for lane in board.lanes}
    settled = {_key(text) for text in (*answers(events), *(decided or {}))}
    found = []
    for asked in said.decisions(events):
        if asked.decided is None:
            time = hours.spent(board.event, asked.asked, board.at) if asked.asked and board.at else None
            found.append(Open(asked.text, ", ".join(titles.get(id, id) for id in asked.lanes), "", time))
    for text, question in _charter(events).items():
        if question["day"] <= day:
            late = "the charter, late" if question["day"] < day else "the charter, for today"
            found.append(Open(text, late, question["by"], None))
    return [
        one
        for n, one in enumerate(found)
        if _key(one.text) not in settled | {_key(o.text) for o in found[:n]}
    ]


def answers(events: Iterable[Event]) -> dict[str, str]:
    """What was answered to decisions, by their text; the last answer counts."""
    return {
        str(event.data.get("decision", "")): str(
            event.data.get("answer") or f"decided by {event.data.get('by') or event.who}"
        )
        for event in sorted((e for e in events if e.type == "decided"), key=lambda e: (e.ts, e.id))
    }


def new(
    decided: Mapping[str, Any], events: Sequence[Event], asked: Mapping[str, str]
) -> list[dict[str, str]]:
    """The data of `decided` events for answers that are not in the journal yet.

    Args:
        decided: answers, by the decision's text.
        events: the journal's.
        asked: who should take a decision ("" for anybody), by its text, besides those that the journal has.

    Raises:
        UsageError: nobody has asked for this decision, or its answer is empty.
    """
    known = {one.text: "" for one in said.decisions(events)}
    known |= {text: question["by"] for text, question in _charter(events).items()} | dict(asked)
    before = {_key(text): answer for text, answer in answers(events).items()}
    found = []
    for text, answer in decided.items():
        meant = next((one for one in known if _key(one) == _key(text)), None)
        if meant is None:
            raise UsageError(f'Nobody asks for the decision "{text}".', did_you_mean(text, known))
        if not str(answer).strip():
            raise UsageError(f'"{meant}" has no answer.', "Say what was decided, in one sentence.")
        if before.get(_key(text)) != str(answer).strip():
            found.append({"decision": meant, "by": known[meant], "answer": str(answer).strip()})
    return found


def _charter(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """The decisions that the last charter names: by their text, who takes them and until which day."""
    charters = [event for event in events if event.type == "charter"]
    asked = charters[-1].data.get("asked") if charters else []
    rows = [row for row in (asked if isinstance(asked, list) else []) if isinstance(row, Mapping)]
    return {
        str(row.get("decision", "")): {
            "by": str(row.get("by", "")),
            "day": day if isinstance(day := row.get("day"), int) else 1,
        }
        for row in rows
    }


def _key(text: Any) -> str:
    """Two texts that differ in case or spacing mean the same decision."""
    return " ".join(str(text or "").casefold().split()).rstrip(" .?!")
