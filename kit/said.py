"""What people said at the event's ceremonies: standups, retros, decisions, actions; folded from the journal. Pure."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit import raw
from kit.cards import Board, Card
from kit.journal import Event, merged

__all__ = ["ASKED", "Decision", "Retro", "Standup", "Word", "actions", "decisions", "retros", "standups"]

ASKED = ("liked", "lacked", "learned", "longed_for")
"""What a retro asks everybody."""

PARTS = ("am", "pm")


@dataclass(frozen=True)
class Word:
    """What a workstream (by its id) said at a standup; `confidence` is 1 to 5, 0 if it was not said."""

    lane: str
    focus: str = ""
    decision: str = ""
    confidence: int = 0


@dataclass(frozen=True)
class Standup:
    """A standup: the day, "am" or "pm", its card, when it was held (last recorded), and what each workstream said."""

    day: int
    part: str
    card: str
    at: dt.datetime
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Retro:
    """A day's retro; `said` has the texts under each of `ASKED`."""

    day: int
    card: str
    at: dt.datetime
    said: Mapping[str, tuple[str, ...]] = field(hash=False)


@dataclass(frozen=True)
class Decision:
    """A decision: who asked for it when (ids of workstreams; None: nobody asked first), and who took it when (None: open).

    `answer` is what was decided, if it was said; `day` until when the charter wants it, 0 for what it does not name.
    """

    text: str
    lanes: tuple[str, ...]
    asked: dt.datetime | None
    by: str
    decided: dt.datetime | None
    answer: str = ""
    day: int = 0


def standups(events: Iterable[Event], day_of: Callable[[Event], int]) -> tuple[Standup, ...]:
    """Every standup, in the order of the event.

    A standup that is recorded again takes the place of what it said before, except where it says nothing.
    """
    found: dict[tuple[int, str], Standup] = {}
    for event in merged([e for e in events if e.type == "standup"]):
        day, part = _day(event, day_of), _text(event.data.get("part")) or "am"
        before = found.get((day, part))
        words = {word.lane: word for word in before.words} if before else {}
        for lane, told in raw.mapping(event.data.get("lanes")).items():
            old, new = words.get(lane, Word(lane)), raw.mapping(told)
            words[lane] = Word(
                lane,
                _text(new.get("focus")) or old.focus,
                _text(new.get("decision")) or old.decision,
                _confidence(new.get("confidence")) or old.confidence,
            )
        found[day, part] = Standup(day, part, event.card, event.ts, tuple(words.values()))
    order = {part: n for n, part in enumerate(PARTS)}
    return tuple(sorted(found.values(), key=lambda s: (s.day, order.get(s.part, len(order)), s.part)))


def retros(events: Iterable[Event], day_of: Callable[[Event], int]) -> tuple[Retro, ...]:
    """Every day's retro; one that is recorded in parts has what was said in all of them."""
    found: dict[int, Retro] = {}
    for event in merged([e for e in events if e.type == "retro"]):
        day = _day(event, day_of)
        before = found[day].said if day in found else {}
        said = {
            asked: tuple(dict.fromkeys([*before.get(asked, ()), *_texts(event.data.get(asked))]))
            for asked in ASKED
        }
        found[day] = Retro(day, event.card, event.ts, said)
    return tuple(found[day] for day in sorted(found))


def decisions(events: Iterable[Event], *, charter: bool = False) -> tuple[Decision, ...]:
    """Every decision that a standup asked for or that was taken: the open ones first, the longest open before the others.

    A `decided` event answers the question with the same text; with another text it states a decision that nobody asked
    for. What is asked for again stays open since it was asked for first.

    Args:
        events: the journal's.
        charter: also those that the last charter names.
    """
    told = merged([e for e in events if e.type in ("charter", "standup", "decided")])
    charters = [e for e in told if e.type == "charter"]
    found: dict[str, Decision] = {}
    for row in raw.listed(charters[-1].data.get("asked")) if charter and charters else []:
        text, by = _text(raw.mapping(row).get("decision")), _text(raw.mapping(row).get("by"))
        day = int(raw.number(raw.mapping(row).get("day")) or 0)
        found[_key(text)] = Decision(text, (), charters[0].ts, by, None, "", day)
    for event in told:
        if event.type == "decided":
            text = _text(event.data.get("decision"))
            old = found.get(_key(text), Decision(text, (), None, "", None))
            by, answer = _text(event.data.get("by")) or old.by or event.who, _text(event.data.get("answer"))
            found[_key(text)] = dataclasses.replace(old, by=by, decided=event.ts, answer=answer or old.answer)
            continue
        for lane, words in raw.mapping(event.data.get("lanes")).items() if event.type == "standup" else ():
            text = _text(raw.mapping(words).get("decision"))
            old = found.get(_key(text), Decision(text, (), event.ts, "", None))
            found[_key(text)] = dataclasses.replace(old, lanes=tuple(dict.fromkeys([*old.lanes, lane])))
    found.pop("", None)
    never = dt.datetime.max.replace(tzinfo=dt.UTC)
    return tuple(sorted(found.values(), key=lambda d: (d.decided is not None, d.decided or d.asked or never)))


def actions(board: Board) -> tuple[Card, ...]:
    """The cards that retros made: `A-<day>-<n>`."""
    return tuple(card for card in board.cards if card.added and re.fullmatch(r"A-\d+-\d+", card.id))


def _key(text: str) -> str:
    """Two texts that differ in case or spacing mean the same decision."""
    return " ".join(text.casefold().split()).rstrip(" .?!")


def _day(event: Event, day_of: Callable[[Event], int]) -> int:
    day = event.data.get("day")
    return day if isinstance(day, int) and not isinstance(day, bool) and day > 0 else day_of(event)


def _text(value: Any) -> str:
    return raw.text(value).strip()


def _texts(value: Any) -> list[str]:
    listed = raw.listed(value) or [value]
    return [text for item in listed if (text := _text(item))]


def _confidence(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5 else 0
