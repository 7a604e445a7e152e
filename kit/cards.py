"""What the board is made of: cards, how they moved, and the evidence they carry. Plain data, folded by `kit.board`."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kit import hours, plan
from kit.checks import Check
from kit.errors import UsageError, did_you_mean
from kit.journal import Event

__all__ = ["BLOCKED", "DOING", "DONE", "REVIEW", "STATES", "TODO", "Attachment", "Board", "Card"]
__all__ += ["Failure", "Move", "Note", "Run"]

TODO, DOING, BLOCKED, REVIEW, DONE = STATES = ("To do", "Doing", "Blocked", "Review", "Done")


@dataclass(frozen=True)
class Run:
    """The execution that proves a card: run id ("" by hand), seconds, the notebook's hash, the executed copy ("" if none)."""

    run: str
    seconds: float
    sha256: str
    copy: str
    at: dt.datetime
    account: str
    who: str


@dataclass(frozen=True)
class Failure:
    """The last run, if it failed: where (cell id), with which error; `copy` is the executed copy, relative to home."""

    run: str
    copy: str
    cell: str
    error: str
    message: str
    at: dt.datetime


@dataclass(frozen=True)
class Note:
    """What somebody wrote on a card, or with no card, on the board."""

    at: dt.datetime
    who: str
    text: str


@dataclass(frozen=True)
class Attachment:
    """A file that belongs to a card; `path` is relative to home."""

    title: str
    path: str
    sha256: str = ""


@dataclass(frozen=True)
class Move:
    """One change of column: when, by whom, from where to where; a block has its reason and who can help."""

    at: dt.datetime
    who: str
    before: str
    after: str
    reason: str = ""
    unblocker: str = ""


@dataclass(frozen=True)
class Card:
    """A card as it stands. What a person or a runbook did to it is in `moves` and `history`, oldest first.

    `at` is a clock time (of ceremonies), `due` an ISO date; `added` is when it was put on the board, None if planned;
    `team` is "" where it is one card for all. It is `ready` when it `waits` for no other card.
    """

    id: str
    title: str
    workstream: str
    day: int
    minutes: int
    needs: tuple[str, ...] = ()
    notebook: str = ""
    criteria: tuple[str, ...] = ()
    size: str = ""
    role: str = ""
    source: str = ""
    at: str = ""
    due: str = ""
    team: str = ""
    added: dt.datetime | None = None
    state: str = TODO
    owner: str = ""
    helpers: tuple[str, ...] = ()
    since: dt.datetime | None = None
    reason: str = ""
    unblocker: str = ""
    ready: bool = False
    waits: tuple[str, ...] = ()
    evidence: str = ""
    skipped: str = ""
    failed: Failure | None = None
    run: Run | None = None
    checks: tuple[Check, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    notes: tuple[Note, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    moves: tuple[Move, ...] = ()
    history: tuple[Event, ...] = ()

    @property
    def key(self) -> str:
        """What names the card on this board: `D2`, or `D2@blue` where each team has one."""
        return f"{self.id}@{self.team}" if self.team else self.id

    @property
    def label(self) -> str:
        """`D2 · Process the data`, `D2@blue · Process the data`"""
        return f"{self.key} · {self.title}"


@dataclass(frozen=True)
class Board:
    """Every card, in the order of the plan, then as added. `at` is what counts as now; `unknown` are ids of no card."""

    event: plan.Event
    target: str
    at: dt.datetime | None
    lanes: tuple[plan.Workstream, ...]
    cards: tuple[Card, ...]
    notes: tuple[Note, ...] = ()
    unknown: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> Card:
        """The card `D2@blue`; or `D2`, where there is one of them only. Raises UsageError with the closest."""
        found = [c for c in self.cards if c.key == key] or [c for c in self.cards if c.id == key]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"There are {len(found)} cards {key}: {', '.join(card.key for card in found)}.",
                f"Name one, or say which team is yours: export KIT_TEAM={found[0].team}",
            )
        raise UsageError(f'The board has no card "{key}".', did_you_mean(key, [c.key for c in self.cards]))

    def of(self, team: str) -> Board:
        """The board of one team: its cards, and those that all share."""
        return dataclasses.replace(self, cards=tuple(c for c in self.cards if c.team in ("", team)))

    def lane(self, id: str) -> tuple[Card, ...]:
        """The cards of a workstream."""
        return tuple(card for card in self.cards if card.workstream == id)

    def counts(self) -> dict[str, int]:
        """How many cards are in each column."""
        return {state: sum(card.state == state for card in self.cards) for state in STATES}

    def age(self, card: Card) -> dt.timedelta | None:
        """The event's working time that the card has been in its column; None if it never moved."""
        return hours.spent(self.event, card.since, self.at) if card.since and self.at else None
