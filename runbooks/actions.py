"""The actions of retros: at most three, each with an owner and a date, answered at the next one. They are cards A-<day>-<n>."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import forms

from kit import plan as plans
from kit import said
from kit.cards import BLOCKED, DONE, REVIEW, Board, Card
from kit.errors import UsageError, did_you_mean
from kit.journal import Event

__all__ = [
    "MOST",
    "Action",
    "agreed",
    "cards",
    "closing",
    "form",
    "kept_before",
    "lacking",
    "new",
    "read",
    "together",
    "unanswered",
]

MOST = 3
"""How many actions a retro makes: more are not done."""


@dataclass(frozen=True)
class Action:
    """What somebody does until a date (ISO)."""

    title: str
    owner: str = ""
    due: str = ""


def cards(board: Board, days: Iterable[int]) -> list[Card]:
    """The cards that the retros of these days made."""
    wanted = {str(day) for day in days}
    return [card for card in said.actions(board) if card.id.split("-")[1] in wanted]


def kept_before(events: Iterable[Event], day: int) -> dict[str, str]:
    """The actions of earlier days that today's retro has said to keep, and why."""
    found: dict[str, str] = {}
    for event in events:
        if event.type == "retro" and event.data.get("day") == day:
            kept = event.data.get("kept")
            found |= {str(k): str(v) for k, v in kept.items()} if isinstance(kept, Mapping) else {}
    return found


def unanswered(board: Board, day: int, closed: Mapping[str, Any], kept: Mapping[str, Any]) -> list[str]:
    """Actions of earlier days that are neither done nor closed nor kept with a reason.

    Raises:
        UsageError: an answer is for no action of an earlier day.
    """
    earlier = cards(board, range(1, day))
    known = [card.id for card in earlier]
    for id in (*closed, *kept):
        if id not in known:
            raise UsageError(
                f'There is no action "{id}" of an earlier day.',
                did_you_mean(str(id), known) or "There is none.",
            )
    said_of = {id for answers in (closed, kept) for id, why in answers.items() if str(why).strip()}
    return [card.label for card in earlier if card.state != DONE and card.id not in said_of]


def closing(card: Card) -> list[str]:
    """The types of events that bring an action to Done, in their order."""
    steps = ["unblocked"] if card.state == BLOCKED else []
    return [*steps, "accepted"] if card.state == REVIEW else [*steps, "review", "accepted"]


def read(given: Sequence[Mapping[str, Any]]) -> list[Action]:
    """The actions that people give.

    Raises:
        UsageError: one is no title with owner and date.
    """
    found = []
    for one in given:
        if not isinstance(one, Mapping):
            raise UsageError(
                f"{one!r} is no action.", '{"title": "...", "owner": "...", "due": "2026-12-02"}'
            )
        for key in one:
            if key not in ("title", "owner", "due"):
                raise UsageError(
                    f'An action has no "{key}".', did_you_mean(str(key), ("title", "owner", "due"))
                )
        told = {key: " ".join(str(value).split()) for key, value in one.items()}
        if any(told.values()):
            found.append(Action(told.get("title", ""), told.get("owner", ""), told.get("due", "")))
    return found


def together(given: Sequence[Action], board: Board, day: int) -> list[Action]:
    """The actions that this day's retro has made already, and those that are given and are not among them."""
    made = [Action(card.title, card.owner, card.due) for card in cards(board, [day])]
    titles = {action.title for action in made}
    return made + [action for action in given if action.title not in titles]


def lacking(found: Iterable[Action], date: dt.date) -> list[str]:
    """Actions without a title, an owner, or a date that is not before `date`; each with what it lacks."""
    wrong = []
    for action in found:
        lacks = [name for name in ("title", "owner") if not getattr(action, name)]
        try:
            past = dt.date.fromisoformat(action.due) < date
            lacks += [f"a date from {date} on"] if past else []
        except ValueError:
            lacks.append(f"a date such as {date}")
        if lacks:
            wrong.append(f"{action.title or 'an action'}: {', '.join(lacks)}")
    return wrong


def new(found: Sequence[Action], board: Board, day: int, source: str) -> list[dict[str, Any]]:
    """The data of `added` events, with the card's `id`; an action that is on the board already is not added again."""
    before = {card.id: card for card in cards(board, [day])}
    titles = {card.title for card in before.values()}
    free = (f"A-{day}-{n}" for n in range(1, 1000) if f"A-{day}-{n}" not in before)
    dates = [date.isoformat() for date in board.event.dates]
    return [
        {
            "id": next(free),
            "title": action.title,
            "workstream": plans.EVENT,
            "day": dates.index(action.due) + 1 if action.due in dates else min(day + 1, len(dates)),
            "minutes": 30,
            "owner": action.owner,
            "due": action.due,
            "criteria": [f"{action.owner} shows that it is done"],
            "source": source,
        }
        for action in found
        if action.title not in titles
    ]


def form(given: Sequence[Action], date: str) -> forms.Form:
    """The form for at most three actions; `date` stands in it as a suggestion once there is a title."""
    rows = {str(n): f"Action {n}" for n in range(1, max(MOST, len(given)) + 1)}
    fields = (
        forms.Field("title", width="28em"),
        forms.Field("owner", width="12em"),
        forms.Field("due", width="9em"),
    )
    filled = {str(n): {"title": a.title, "owner": a.owner, "due": a.due} for n, a in enumerate(given, 1)}
    for row in rows:
        filled.setdefault(row, {"due": date})
    return forms.Form(rows, fields, filled, lambda values: f"actions = {agreed(values)!r}")


def agreed(values: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """What the form holds: a row counts once it has a title or an owner."""
    return [dict(told) for told in values.values() if told["title"] or told["owner"]]
