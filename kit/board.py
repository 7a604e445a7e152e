"""The board: a pure fold of the plan and the journal's events, and the two files that show it.

A card moves to Done only by evidence: a runbook's completion with its hash and checks that all hold, or, for a card
without a runbook, a review that somebody accepted. People start, claim, block, note, attach and add.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import files, raw, share
from kit import plan as plans
from kit.board_csv import to_csv, to_flow_csv, to_jira_csv, to_transitions_csv
from kit.board_formats import text, to_json, to_markdown
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
    "to_flow_csv",
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
    drafts = {
        (s.id, team): _Draft(_planned(s, team), s.review) for s in plan.cards for team in plan.teams_of(s)
    }
    planned = {s.id for s in plan.cards}
    for event in merge:  # first, whatever the clocks say: what exists
        if event.type == "added" and event.card and event.card not in planned:
            card = _added(event, plan.teams, lanes)
            drafts.setdefault((card.id, card.team), _Draft(card, since=event.ts))
    lost = set()
    for event in merge:
        draft = drafts.get((event.card, event.team)) or drafts.get((event.card, ""))
        if draft:
            draft.tell(event)
        elif event.card:
            lost.add(f"{event.card}@{event.team}" if event.team else event.card)
    cards = [draft.card() for draft in drafts.values()]
    return Board(
        event=plan.event,
        target=target or "",
        at=now or (merge[-1].ts if merge else None),
        lanes=lanes,
        cards=tuple(_waiting(cards)),
        notes=tuple(_note(e) for e in merge if e.type == "noted" and not e.card),
        unknown=tuple(sorted(lost)),
        teams=plan.teams,
    )


def refresh(plan: plans.Plan, journal: Journal, folder: Path, *, target: str | None = None) -> Board:
    """Fold the journal and rewrite the board's files in `folder`; again, if somebody recorded more meanwhile.

    So whoever writes last has seen every event that was recorded before, and the files are never left stale.
    """
    events, cursor = journal.changed_since()
    board = write(folder, fold(plan, events, target=target), journal)
    for _ in range(ROUNDS):  # those who keep recording also refresh
        more, cursor = journal.changed_since(cursor)
        if not more:
            break
        events += more
        board = write(folder, fold(plan, events, target=target), journal)
    share.send(journal, folder.parent)
    return board


def write(folder: Path, board: Board, journal: Journal | None = None) -> Board:
    """Replace `board.json` and `board.md` in `folder`, each at once, and return the board.

    Where the journal is on S3, the files are put beside it too, for those who see no other folder.

    Raises:
        JournalError: the folder cannot be written; what the journal holds is not touched.
    """
    try:
        for name, text in (("board.json", to_json(board)), ("board.md", to_markdown(board))):
            file = files.replace(folder / name, text)
            if journal:
                journal.publish(file)
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

    def card(self) -> Card:
        """The card as it stands after all events; `ready` and `waits` are still to be told."""
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
        if check := raw.check(event.data):
            self.tried[check.name] = check

    def completed(self, event: Event) -> None:
        checks = raw.checks(event.data.get("checks"))
        sha256 = raw.text(event.data.get("sha256"))
        if not sha256 or not checks or not all(check.ok for check in checks):
            return  # no evidence, so no move
        run, seconds = raw.text(event.data.get("run")), raw.number(event.data.get("seconds")) or 0.0
        self.run = Run(run, seconds, sha256, "", event.ts, event.account, event.who)
        self.proven, self.failed, self.skipped = checks, None, ""
        self.outputs = {k: raw.value(v) for k, v in raw.mapping(event.data.get("outputs")).items()}
        metrics = {k: raw.number(v) for k, v in raw.mapping(event.data.get("metrics")).items()}
        self.metrics = {k: v for k, v in metrics.items() if v is not None}
        for attachment in raw.listed(event.data.get("attachments")):
            self.attach(raw.mapping(attachment))
        self.move(event, REVIEW if self.review else DONE, even_blocked=True)

    def executed(self, event: Event) -> None:
        if run := raw.text(event.data.get("run")):
            self.copies[run] = raw.text(event.data.get("copy"))

    def failure(self, event: Event) -> None:
        run, copy, cell, error, message = (
            raw.text(event.data.get(key)) for key in ("run", "copy", "cell", "error", "message")
        )
        self.failed = Failure(run, copy, cell, error, message, event.ts)
        self.move(event, DOING)

    def blocked(self, event: Event) -> None:
        reason = raw.text(event.data.get("reason")).strip() or "no reason was given"
        unblocker = raw.text(event.data.get("unblocker")).strip()
        self.reasons += [reason] if reason not in self.reasons else []
        self.unblockers += [unblocker] if unblocker and unblocker not in self.unblockers else []
        self.move(event, BLOCKED)

    def unblocked(self, event: Event) -> None:
        if self.state == BLOCKED:
            self.move(event, self.before, even_blocked=True)

    def claimed(self, event: Event) -> None:
        owner = raw.text(event.data.get("owner")).strip() or event.who
        if not self.owner:
            self.owner = owner
        elif owner != self.owner and owner not in self.helpers:
            self.helpers.append(owner)

    def noted(self, event: Event) -> None:
        self.notes.append(_note(event))

    def attached(self, event: Event) -> None:
        self.attach(event.data)

    def attach(self, data: Mapping[str, Any]) -> None:
        if path := raw.text(data.get("path")):
            title = raw.text(data.get("title")) or path
            self.attachments[path] = Attachment(title, path, raw.text(data.get("sha256")))

    def asked(self, event: Event) -> None:
        evidence = raw.text(event.data.get("evidence")).strip()
        if evidence and not self.start.notebook and self.reached in (TODO, DOING):
            self.evidence = evidence
            self.move(event, REVIEW)

    def accepted(self, event: Event) -> None:
        if self.state == REVIEW:
            self.evidence = raw.text(event.data.get("evidence")).strip() or self.evidence
            self.move(event, DONE)

    def passed_over(self, event: Event) -> None:
        self.skipped = raw.text(event.data.get("reason")) or "no reason was given"


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


def _planned(s: plans.Subtask, team: str) -> Card:
    card = Card(s.id, s.title, s.workstream, s.day, s.minutes, s.needs, s.notebook, source="plan")
    return dataclasses.replace(card, at=s.at, team=team)


def _waiting(cards: Sequence[Card]) -> Iterator[Card]:
    """The cards, each with the keys of those that it waits for; a need that is no card is waited for."""
    named: dict[str, list[Card]] = {}
    for card in cards:
        named.setdefault(card.id, []).append(card)
        if card.team:
            named[card.key] = [card]

    for card in cards:
        waits: list[str] = []
        for need in card.needs:
            meant = named.get(f"{need}@{card.team}") or named.get(need, [])
            waits += [other.key for other in meant if other.state != DONE] if meant else [need]
        yield dataclasses.replace(card, waits=tuple(waits), ready=not waits)


def _added(event: Event, teams: Sequence[str], lanes: Sequence[plans.Workstream]) -> Card:
    """The card that an event adds; what makes no sense in it gets the plainest value."""
    data = event.data
    wanted = raw.text(data.get("workstream"))
    lane = next((lane for lane in lanes if lane.id == wanted), lanes[0])
    own = event.team in teams and lane.id != plans.EVENT and not lane.shared
    minutes = raw.number(data.get("minutes")) or 0
    return Card(
        id=event.card,
        title=raw.text(data.get("title")) or event.card,
        workstream=lane.id,
        day=max(1, int(raw.number(data.get("day")) or 1)),
        minutes=int(minutes) if 0 < minutes <= plans.LONGEST else 0,
        needs=tuple(raw.text(need) for need in raw.listed(data.get("needs")) if raw.text(need)),
        criteria=tuple(raw.text(line) for line in raw.listed(data.get("criteria")) if raw.text(line)),
        size=raw.text(data.get("size")),
        role=raw.text(data.get("role")),
        source=raw.text(data.get("source")),
        owner=raw.text(data.get("owner")).strip(),
        due=raw.date(data.get("due")),
        added=event.ts,
        team=event.team if own else "",
    )


def _note(event: Event) -> Note:
    return Note(event.ts, event.who, raw.text(event.data.get("text")))
