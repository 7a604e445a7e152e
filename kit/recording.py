"""What a notebook holds: `rb = kit.runbook("D2", target)`, then `rb.take`, `rb.check`, `rb.complete`, `rb.blocked`."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import aws, board, checks, frame, journal, paths, plan, requests
from kit.errors import CheckFailed, MissingInput, NotRecorded, RunbookError, did_you_mean

if TYPE_CHECKING:
    from boto3.session import Session as BotoSession
    from sagemaker.core.helper.session_helper import Session

    from kit.network import Network

__all__ = ["RUN", "Runbook", "handed_over"]

RUN = "KIT_RUN"
"""The environment variable by which `kit run` tells a kernel which run it belongs to."""


class Runbook:
    """One execution of one runbook: what it takes, what it checks, what it records."""

    def __init__(self, id: str, target: str = "local") -> None:
        """Open the runbook of card `id` and journal that it started.

        Raises:
            UsageError: the plan has no such card, there is no such target, or KIT_TEAM is not one of the teams.
            RunbookError: the notebook's frame is broken.
            AwsRefused, LocalAwsError: as `aws.connect`.
        """
        self.plan = plan.load()
        self.card = self.plan[id]
        self.team = self.plan.team_of(self.card, paths.team())  # "" where it is one card for all
        self.frame = frame.read(paths.root() / self.card.notebook)
        self.home = paths.home(target)
        aws.watch(self._register)  # before connecting: a session has only the handlers that it was born with
        self.aws = aws.connect(self.plan, target, self.home)
        requests.keep(self.card.id, self.aws.session)
        self.run = os.environ.get(RUN, "")
        self.checks: dict[str, checks.Check] = {}
        self._journal = journal.here(target)
        self._drawn: set[str] = set()
        self._began = time.monotonic()
        self._record("started", run=self.run, notebook=self.card.notebook)

    # Where the calls go

    @property
    def session(self) -> BotoSession:
        """The boto3 session: `rb.session.client("s3")`."""
        return self.aws.session

    @property
    def sagemaker(self) -> Session:
        """The SageMaker SDK's session: `ModelTrainer(sagemaker_session=rb.sagemaker, ...)`."""
        return self.aws.sagemaker

    @property
    def account(self) -> str:
        """The AWS account number."""
        return self.aws.account

    @property
    def region(self) -> str:
        """The AWS region."""
        return self.aws.region

    @property
    def bucket(self) -> str:
        """The event's bucket; F1 makes it."""
        return self.aws.bucket

    @property
    def role(self) -> str:
        """The ARN of the execution role of jobs and endpoints; F1 makes it."""
        return self.aws.role

    @property
    def network(self) -> Network:
        """The VPC of jobs and models, for each API that takes it; see `kit.network`."""
        return self.plan.aws.network

    @property
    def tags(self) -> list[dict[str, str]]:
        """The tags for a Create call, as `[{"Key": ..., "Value": ...}]`."""
        mine = {"eba:card": self.card.id} | ({"eba:team": self.team} if self.team else {})
        return [*(dict(tag) for tag in self.aws.tags), *({"Key": k, "Value": v} for k, v in mine.items())]

    @property
    def poll(self) -> int:
        """Seconds between two looks at something that is being made."""
        return self.aws.poll

    @property
    def data(self) -> plan.Data:
        """The plan's data block: target column, positive label, sensitive columns and so on."""
        return self.plan.data

    @property
    def folder(self) -> Path:
        """The folder of this runbook's notebook; its job scripts lie in `jobs/` below it."""
        return self.frame.path.parent

    @property
    def documents(self) -> Path:
        """The folder of documents that belong to the event; each team's in a folder of its own below it."""
        return self.home / "documents" / self.team

    def uri(self, *parts: str) -> str:
        """`rb.uri("train")` -> `s3://<bucket>/eba/d2/train`: where this runbook's things lie in S3."""
        return f"s3://{self.bucket}/{self.key(*parts)}"

    def key(self, *parts: str) -> str:
        """`rb.key("train")` -> `eba/d2/train`, with teams `eba/d2/blue/train`: the same place within the bucket."""
        return "/".join(["eba", self.card.id.lower(), *([self.team] if self.team else []), *parts])

    def name(self, stem: str) -> str:
        """`rb.name("train")` -> `eba-d2-train-0c3f9a`: a resource name that no other run uses."""
        while (drawn := secrets.token_hex(3)) in self._drawn:  # by chance, it was drawn before
            pass
        self._drawn.add(drawn)
        end = f"{self.team}-{drawn}" if self.team else drawn
        return f"{_slug(f'eba-{self.card.id}-{stem}')[: 56 - len(end)]}-{end}"

    def own(self, name: str) -> str:
        """`rb.own("eba-models")` -> `eba-models`, with teams `eba-models-blue`: a fixed name, one for each team."""
        end = f"{'_' if '_' in name else '-'}{self.team}" if self.team else ""
        return name.removesuffix(end) + end  # a cell may run again on the name that it made

    # What it takes, checks and records

    def take(self, name: str) -> Any:
        """What another runbook handed over: `rb.take("D1.raw")`.

        Raises:
            MissingInput: it is not there yet; the message names the runbook that makes it.
        """
        team = self.team or paths.team()
        return handed_over(self.plan, self._journal.snapshot(), name, self.aws.target, self.aws.account, team)

    def check(self, name: str, got: Any, expected: Any, digits: int = 2) -> None:
        """Hold `got` against `expected`, print one line, journal it.

        Args:
            name: one of the "Done when" bullets, word for word.
            got: what came out.
            expected: a value it must equal, or an expectation of `kit.checks` such as `at_least(0.7)`.
            digits: decimals shown of a float.

        Raises:
            RunbookError: `name` is not a "Done when" bullet.
            CheckFailed: it does not hold (after it was journalled).
        """
        if name not in self.frame.done_when:
            raise RunbookError(
                f'"{name}" is not under "Done when" in {self.frame.path.name}.',
                did_you_mean(name, self.frame.done_when),
            )
        check = checks.checked(name, got, expected, digits)
        self.checks[name] = check
        self._record("checked", **check.as_data())
        if not check.ok:
            raise CheckFailed(check.line, "Look at the cells above it; after a change, run this cell again.")
        print(check.line)  # noqa: T201 - the line is the cell's output, which nbval compares

    def complete(
        self,
        outputs: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        attachments: Iterable[Path | str] = (),
    ) -> None:
        """Record completion: the evidence that moves the card to Done.

        Args:
            outputs: what is handed over, by name; texts and numbers.
            metrics: numbers for the report, by name.
            attachments: files to show with the card; each is copied into the event's folder.

        Raises:
            NotRecorded: a "Done when" bullet has no check yet, or its check failed.
        """
        if missing := [name for name in self.frame.done_when if name not in self.checks]:
            raise NotRecorded(
                f"{self.card.id} is not done: no check has run for {checks.shown(missing)}.",
                "Run the cells under Check, then this one.",
            )
        if failed := [check.name for check in self.checks.values() if not check.ok]:
            raise NotRecorded(
                f"{self.card.id} is not done: {checks.shown(failed)} did not hold.",
                "Correct it, run its cell again, then this one.",
            )
        self._journal.catch_up()
        self._record(
            "completed",
            run=self.run,
            notebook=self.card.notebook,
            sha256=self.frame.sha256,
            seconds=round(time.monotonic() - self._began, 1),
            checks=[self.checks[name].as_data() for name in self.frame.done_when],
            outputs=_recordable(outputs or {}, "outputs"),
            metrics={name: float(value) for name, value in (metrics or {}).items()},
            attachments=[self._attached(Path(path)) for path in attachments],
        )
        self._refresh()
        print(f"Recorded: {self.card.label} · {len(self.checks)} checks hold.")  # noqa: T201

    def blocked(self, reason: str, unblocker: str = "") -> None:
        """Say that the card cannot go on, why, and who can help."""
        if not reason.strip():
            raise RunbookError(
                "A block needs a reason.", 'Say what is missing: rb.blocked("no quota for ml.m5").'
            )
        self._record("blocked", reason=reason.strip(), unblocker=unblocker.strip())
        self._refresh()

    def note(self, text: str) -> None:
        """Add a note to the card."""
        self._record("noted", text=text)
        self._refresh()

    def open_card(
        self,
        key: str,
        title: str,
        *,
        criteria: Iterable[str],
        role: str,
        minutes: int = 60,
        size: str = "",
        day: int | None = None,
        workstream: str = "",
    ) -> str:
        """Put work that this runbook found on the board: a card of its own, the same one for the same `key`.

        Args:
            key: a word that names the work within this runbook: "retention" makes card D5-retention.
            title: what is to be done.
            criteria: when it counts as done, one line each.
            role: who should own it, such as "data engineer".
            minutes: how long it should take.
            size: a word or story points, as the team counts.
            day: the day of the event it is meant for; without it, this runbook's.
            workstream: whose it is; without it, this runbook's.

        Returns:
            The card's id.
        """
        lane = self.plan.lane(workstream or self.card.workstream).id
        id = self._card_id(key)
        facts = {"title": title, "criteria": list(criteria), "role": role, "size": size, "minutes": minutes}
        self._record(
            "added",
            about=id,
            id=id,
            day=day or self.card.day,
            workstream=lane,
            source=self.card.id,
            **facts,
        )
        self._refresh()
        return id

    def close_card(self, key: str, evidence: str) -> None:
        """Say that work which a runbook put on the board is done; `evidence` tells what shows it.

        Args:
            key: as for `open_card`; or the whole id, such as "O2-gate", of work that another runbook found.
            evidence: what was seen, and where.
        """
        if not evidence.strip():
            raise RunbookError(
                f"Closing {self._card_id(key)} needs evidence.", "Say what was seen, and where."
            )
        for type in ("review", "accepted"):
            self._record(type, about=self._card_id(key), evidence=evidence.strip())
        self._refresh()

    def _card_id(self, key: str) -> str:
        if key.partition("-")[0] in {card.id for card in self.plan.cards}:
            return key
        return f"{self.card.id}-{_slug(key)}"

    # Recording

    def record(self, type: str, *, about: str = "", **data: Any) -> None:
        """Journal what a ceremony came to, such as `rb.record("standup", day=1, part="am", lanes={...})`.

        Args:
            type: one of the types that `kit.journal` lists.
            about: the card that it is about; without it, this runbook's.
            data: the event's data, as JSON has it.
        """
        self._record(type, about=about, **data)
        self._refresh()

    def _record(self, type: str, *, about: str = "", **data: Any) -> None:
        facts = {"target": self.aws.target, "account": self.aws.account, "team": self.team}
        self._journal.append(type, about or self.card.id, **facts, **data)

    def _refresh(self) -> None:
        board.refresh(self.plan, self._journal, self.home / "board", target=self.aws.target)

    def _register(self, made: aws.Made) -> None:
        self._record(
            "removed" if made.gone else "made",
            service=made.service,
            operation=made.operation,
            name=made.name,
            arn=made.arn,
            keys=dict(made.keys),
        )

    def _attached(self, path: Path) -> dict[str, str]:
        """A copy of the file in the event's folder, as the journal names it; a document there is attached as it is."""
        if (document := path.resolve()).is_relative_to(self.home / "documents"):
            return {"title": path.stem.replace("_", " "), "path": document.relative_to(self.home).as_posix()}
        folder = self.home / "attachments" / self.team / self.card.id
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / path.name
        copy.write_bytes(path.read_bytes())
        return {"title": path.stem.replace("_", " "), "path": copy.relative_to(self.home).as_posix()}


def handed_over(
    plan: plan.Plan, events: Iterable[journal.Event], name: str, target: str, account: str, team: str = ""
) -> Any:
    """The latest value of `name` ("D1.raw") that its runbook recorded in this account. Pure.

    Where each team does the card it is this team's; for no team ("") the latest of any.

    Raises:
        MissingInput: none, or its bucket was deleted since; the message says what to run.
        UsageError: the plan has no such card.
    """
    events = list(events)
    id, _, output = name.partition(".")
    card = plan[id]
    mine = team if team in plan.teams_of(card) else ""
    done = [e for e in events if e.type == "completed" and e.card == id and e.target == target]
    done = [e for e in done if mine in ("", e.team)]
    here = [e for e in done if e.account == account]
    if not here:
        elsewhere = " It was done, but in another account." if done else ""
        raise MissingInput(
            f"{name} is not there: {card.label} is not done yet{f' by {mine}' if mine else ''}.{elsewhere}",
            f"Run {card.notebook} first: kit run --only {id}",
        )
    last = max(here, key=lambda e: (e.ts, e.id))
    outputs = last.data.get("outputs", {})
    if output in outputs and any(_took_away(e, last, outputs[output]) for e in events):
        raise MissingInput(
            f"{name} was deleted by the clean-up, with the bucket that it was in.",
            "Make everything again: kit run --force",
        )
    if output not in outputs:
        raise MissingInput(f'{card.label} is done, but records no "{output}".', did_you_mean(output, outputs))
    return outputs[output]


def _took_away(event: journal.Event, made: journal.Event, value: Any) -> bool:
    """Whether an event tells that the bucket was deleted in which this value had been put before."""
    bucket = event.data.get("name", "") if event.type == "removed" else ""
    return bool(
        bucket
        and event.data.get("operation") == "DeleteBucket"
        and event.ts > made.ts
        and (event.target, event.account) == (made.target, made.account)
        and isinstance(value, str)
        and f"{value}/".startswith(f"s3://{bucket}/")
    )


def _recordable(outputs: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The outputs, if each is a plain value that another process can read back from JSON."""
    for name, value in outputs.items():
        if not isinstance(value, (str, int, float, bool, list, dict)):
            raise RunbookError(
                f"{what}: {name} is {type(value).__name__}, which the journal cannot hold.",
                "Save it to S3 and hand over its URI.",
            )
    return dict(outputs)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
