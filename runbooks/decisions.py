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
    now = {_key(text) for text in decided or {}}
    found = []
    for one in said.decisions(events, charter=True):
        if one.decided is None and _key(one.text) not in now and (one.lanes or one.day <= day):
            asked = ", ".join(titles.get(id, id) for id in one.lanes)
            asked = asked or f"the charter, {'late' if one.day < day else 'for today'}"
            time = (
                hours.spent(board.event, one.asked, board.at)
                if one.lanes and one.asked and board.at
                else None
            )
            found.append(Open(one.text, asked, one.by, time))
    return found


def answers(events: Iterable[Event]) -> dict[str, str]:
    """What was answered to decisions, by their text; the last answer counts."""
    told = said.decisions(events, charter=True)
    return {one.text: one.answer or f"decided by {one.by}" for one in told if one.decided}


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
    known = {one.text: one.by for one in said.decisions(events, charter=True)} | dict(asked)
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


def _key(text: Any) -> str:
    """Two texts that differ in case or spacing mean the same decision."""
    return " ".join(str(text or "").casefold().split()).rstrip(" .?!")
