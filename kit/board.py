"""The board: a pure fold of the plan and the journal's events, and the two files that show it.

A card moves to Done only by evidence: a runbook's completion with its hash and checks that all hold, or, for a card
without a runbook, a review that somebody accepted. People start, claim, block, note, attach and add.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kit import files
from kit import plan as plans
from kit.board_formats import text, to_csv, to_jira_csv, to_json, to_markdown, to_transitions_csv
from kit.cards import (
    BLOCKED,
    DOING,
    DONE,
    REVIEW,
    STATES,
    TODO,
    Attachment,
    Board,
    Card,
    Failure,
    Move,
    Note,
    Run,
)
from kit.checks import Check
from kit.errors import JournalError
from kit.journal import Event, Journal, merged

__all__ = [
    "STATES",
    "Board",
    "Card",
    "fold",
    "refresh",
    "text",
    "to_csv",
    "to_jira_csv",
    "to_json",
    "to_markdown",
    "to_transitions_csv",
    "write",
]

ROUNDS = 20


def fold(
    plan: plans.Plan, events: Iterable[Event], *, target: str | None = None, now: dt.datetime | None = None
) -> Board:
    """The board that these events make of this plan. Pure: the order in which events arrive does not matter.

    Events of unknown types, or with data that makes no sense, are kept in the cards' history and change nothing.

    Args:
        plan: its cards come first, in its order; then those that were added.
        events: any iterable; merged by (ts, id), each id counts once.
        target: only events of this target; None for all.
        now: what ages count up to; default the time of the last event.
    """
    merge = merged([e for e in events if target in (None, e.target)])
    lanes = (plan.lane(plans.EVENT), *plan.workstreams)
    drafts = {s.id: _Draft(_planned(s), s.review) for s in plan.cards}
    for event in merge:  # first, whatever the clocks say: what exists
        if event.type == "added" and event.card and event.card not in drafts:
            drafts[event.card] = _Draft(_added(event, [lane.id for lane in lanes]), since=event.ts)
    for event in merge:
        if event.card in drafts:
            drafts[event.card].tell(event)
    done = {id for id, draft in drafts.items() if draft.state == DONE}
    return Board(
        event=plan.event,
        target=target or "",
        at=now or (merge[-1].ts if merge else None),
        lanes=lanes,
        cards=tuple(draft.card(done) for draft in drafts.values()),
        notes=tuple(_note(e) for e in merge if e.type == "noted" and not e.card),
        unknown=tuple(sorted({e.card for e in merge if e.card} - drafts.keys())),
    )


def refresh(plan: plans.Plan, journal: Journal, folder: Path, *, target: str | None = None) -> Board:
    """Fold the journal and rewrite the board's files in `folder`; again, if somebody recorded more meanwhile.

    So whoever writes last has seen every event that was recorded before, and the files are never left stale.
    """
    events, cursor = journal.changed_since()
    board = write(folder, fold(plan, events, target=target))
    for _ in range(ROUNDS):  # those who keep recording also refresh
        more, cursor = journal.changed_since(cursor)
        if not more:
            break
        events += more
        board = write(folder, fold(plan, events, target=target))
    return board


def write(folder: Path, board: Board) -> Board:
    """Replace `board.json` and `board.md` in `folder`, each at once, and return the board.

    Raises:
        JournalError: the folder cannot be written; what the journal holds is not touched.
    """
    try:
        files.replace(folder / "board.json", to_json(board))
        files.replace(folder / "board.md", to_markdown(board))
    except OSError as error:
        raise JournalError(
            f"The board's files in {folder} cannot be written: {error.strerror or error}.",
            "The journal holds everything: mend the folder, then `kit board show` and the next event rewrite them.",
        ) from None
    return board


class _Draft:
    """A card while its events are told, oldest first."""

    def __init__(self, card: Card, review: bool = False, since: dt.datetime | None = None) -> None:
        self.start = card
        self.review = review
        self.state = TODO
        self.before = TODO  # what a blocked card was, and will be again
        self.since = since
        self.owner = card.owner
        self.evidence = self.skipped = ""
        self.helpers: list[str] = []
        self.reasons: list[str] = []
        self.unblockers: list[str] = []
        self.tried: dict[str, Check] = {}
        self.proven: tuple[Check, ...] = ()
        self.run: Run | None = None
        self.failed: Failure | None = None
        self.copies: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.notes: list[Note] = []
        self.attachments: dict[str, Attachment] = {}
        self.moves: list[Move] = []
        self.history: list[Event] = []

    def tell(self, event: Event) -> None:
        """Take in one event."""
        self.history.append(event)
        if rule := _RULES.get(event.type):
            rule(self, event)

    def card(self, done: set[str]) -> Card:
        """The card as it stands after all events."""
        proven = self.state in (REVIEW, DONE) and self.proven
        run = self.run and dataclasses.replace(self.run, copy=self.copies.get(self.run.run, ""))
        return dataclasses.replace(
            self.start,
            state=self.state,
            owner=self.owner,
            helpers=tuple(self.helpers),
            since=self.since,
            reason="; ".join(self.reasons),
            unblocker=", ".join(self.unblockers),
            ready=done.issuperset(self.start.needs),
            evidence=self.evidence,
            skipped=self.skipped,
            failed=self.failed,
            run=run,
            checks=self.proven if proven else tuple(self.tried.values()) or self.proven,
            outputs=self.outputs,
            metrics=self.metrics,
            notes=tuple(self.notes),
            attachments=tuple(self.attachments.values()),
            moves=tuple(self.moves),
            history=tuple(self.history),
        )

    def move(self, event: Event, state: str, *, even_blocked: bool = False) -> None:
        """Change the column. A blocked card stays where it is and remembers the column for when it goes on."""
        if self.state == BLOCKED and state != BLOCKED and not even_blocked:
            self.before = state
        elif state != self.state:
            if state == BLOCKED:
                self.before = self.state
            self.moves.append(Move(event.ts, event.who, self.state, state))
            self.state, self.since = state, event.ts
        if self.state != BLOCKED:
            self.reasons, self.unblockers = [], []
        elif state == BLOCKED:  # what is said while it lasts belongs to the same block
            reason, unblocker = "; ".join(self.reasons), ", ".join(self.unblockers)
            self.moves[-1] = dataclasses.replace(self.moves[-1], reason=reason, unblocker=unblocker)

    @property
    def reached(self) -> str:
        """The column, behind a block."""
        return self.before if self.state == BLOCKED else self.state

    # One rule per type of event

    def started(self, event: Event) -> None:
        self.tried = {}
        self.skipped = ""
        if self.reached == TODO:
            self.move(event, DOING)

    def checked(self, event: Event) -> None:
        if check := _check(event.data):
            self.tried[check.name] = check

    def completed(self, event: Event) -> None:
        checks = _checks(event.data.get("checks"))
        sha256 = _text(event.data.get("sha256"))
        if not sha256 or not checks or not all(check.ok for check in checks):
            return  # no evidence, so no move
        run, seconds = _text(event.data.get("run")), _number(event.data.get("seconds")) or 0.0
        self.run = Run(run, seconds, sha256, "", event.ts, event.account, event.who)
        self.proven, self.failed, self.skipped = checks, None, ""
        self.outputs = {k: _value(v) for k, v in _mapping(event.data.get("outputs")).items()}
        metrics = {k: _number(v) for k, v in _mapping(event.data.get("metrics")).items()}
        self.metrics = {k: v for k, v in metrics.items() if v is not None}
        for attachment in _listed(event.data.get("attachments")):
            self.attach(_mapping(attachment))
        self.move(event, REVIEW if self.review else DONE, even_blocked=True)

    def executed(self, event: Event) -> None:
        if run := _text(event.data.get("run")):
            self.copies[run] = _text(event.data.get("copy"))

    def failure(self, event: Event) -> None:
        run, copy, cell, error, message = (
            _text(event.data.get(key)) for key in ("run", "copy", "cell", "error", "message")
        )
        self.failed = Failure(run, copy, cell, error, message, event.ts)
        self.move(event, DOING)

    def blocked(self, event: Event) -> None:
        reason = _text(event.data.get("reason")).strip() or "no reason was given"
        unblocker = _text(event.data.get("unblocker")).strip()
        self.reasons += [reason] if reason not in self.reasons else []
        self.unblockers += [unblocker] if unblocker and unblocker not in self.unblockers else []
        self.move(event, BLOCKED)

    def unblocked(self, event: Event) -> None:
        if self.state == BLOCKED:
            self.move(event, self.before, even_blocked=True)

    def claimed(self, event: Event) -> None:
        owner = _text(event.data.get("owner")).strip() or event.who
        if not self.owner:
            self.owner = owner
        elif owner != self.owner and owner not in self.helpers:
            self.helpers.append(owner)

    def noted(self, event: Event) -> None:
        self.notes.append(_note(event))

    def attached(self, event: Event) -> None:
        self.attach(event.data)

    def attach(self, data: Mapping[str, Any]) -> None:
        if path := _text(data.get("path")):
            title = _text(data.get("title")) or path
            self.attachments[path] = Attachment(title, path, _text(data.get("sha256")))

    def asked(self, event: Event) -> None:
        evidence = _text(event.data.get("evidence")).strip()
        if evidence and not self.start.notebook and self.reached in (TODO, DOING):
            self.evidence = evidence
            self.move(event, REVIEW)

    def accepted(self, event: Event) -> None:
        if self.state == REVIEW:
            self.evidence = _text(event.data.get("evidence")).strip() or self.evidence
            self.move(event, DONE)

    def passed_over(self, event: Event) -> None:
        self.skipped = _text(event.data.get("reason")) or "no reason was given"


_RULES: dict[str, Callable[[_Draft, Event], None]] = {
    "started": _Draft.started,
    "checked": _Draft.checked,
    "completed": _Draft.completed,
    "executed": _Draft.executed,
    "failed": _Draft.failure,
    "blocked": _Draft.blocked,
    "unblocked": _Draft.unblocked,
    "claimed": _Draft.claimed,
    "noted": _Draft.noted,
    "attached": _Draft.attached,
    "review": _Draft.asked,
    "accepted": _Draft.accepted,
    "skipped": _Draft.passed_over,
}


def _planned(s: plans.Subtask) -> Card:
    return Card(s.id, s.title, s.workstream, s.day, s.minutes, s.needs, s.notebook, source="plan", at=s.at)


def _added(event: Event, lanes: list[str]) -> Card:
    """The card that an event adds; what makes no sense in it gets the plainest value."""
    data, workstream = event.data, _text(event.data.get("workstream"))
    return Card(
        id=event.card,
        title=_text(data.get("title")) or event.card,
        workstream=workstream if workstream in lanes else plans.EVENT,
        day=max(1, int(_number(data.get("day")) or 1)),
        minutes=max(0, int(_number(data.get("minutes")) or 0)),
        needs=tuple(_text(need) for need in _listed(data.get("needs")) if _text(need)),
        criteria=tuple(_text(line) for line in _listed(data.get("criteria")) if _text(line)),
        size=_text(data.get("size")),
        role=_text(data.get("role")),
        source=_text(data.get("source")),
        owner=_text(data.get("owner")).strip(),
        due=_date(data.get("due")),
        added=event.ts,
    )


# Data is JSON from anybody's hand: each reader below gives the plainest value where it makes no sense.


def _text(raw: Any) -> str:
    return raw if isinstance(raw, str) else str(raw) if isinstance(raw, (int, float)) else ""


def _number(raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    return raw if abs(raw) < 1e300 and math.isfinite(raw) else None


def _date(raw: Any) -> str:
    """An ISO date as it is; anything else is none."""
    try:
        return dt.date.fromisoformat(_text(raw).strip()).isoformat()
    except ValueError:
        return ""


def _mapping(raw: Any) -> dict[str, Any]:
    return {str(k): v for k, v in raw.items()} if isinstance(raw, Mapping) else {}


def _listed(raw: Any) -> list[Any]:
    return list(raw) if isinstance(raw, (list, tuple)) else []


def _value(raw: Any) -> Any:
    """JSON as it is, but nan and inf as text, which JSON cannot hold."""
    if isinstance(raw, Mapping):
        return {str(k): _value(v) for k, v in raw.items()}
    if isinstance(raw, (list, tuple)):
        return [_value(v) for v in raw]
    return str(raw) if isinstance(raw, float) and not math.isfinite(raw) else raw


def _note(event: Event) -> Note:
    return Note(event.ts, event.who, _text(event.data.get("text")))


def _check(raw: Any) -> Check | None:
    data = _mapping(raw)
    name = _text(data.get("check"))
    got, expected = _text(data.get("got")), _text(data.get("expected"))
    return Check(name, data.get("ok") is True, got, expected, _number(data.get("value"))) if name else None


def _checks(raw: Any) -> tuple[Check, ...]:
    found = [_check(item) for item in _listed(raw)]
    return tuple(check for check in found if check) if all(found) else ()
