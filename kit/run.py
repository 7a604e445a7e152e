"""Runs runbooks through papermill in the order of the plan's `needs`; each outcome is journalled before it is shown.

A failed runbook is kept and marked, those that need it are not run, the rest goes on; the next run resumes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit import board, frame, journal, kernels, paths
from kit.errors import UsageError, did_you_mean
from kit.plan import Plan, Subtask
from kit.recording import RUN

__all__ = ["Failure", "Outcome", "ends", "parameters", "run", "run_id", "selection"]


@dataclass(frozen=True)
class Failure:
    """Why a runbook failed: the id of the cell, the error's name and its message."""

    cell: str
    error: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """What became of one runbook. `state` is done, failed, skipped or kept (done before); `copy` is relative to home."""

    card: Subtask
    state: str
    seconds: float = 0.0
    copy: str = ""
    failure: Failure | None = None
    reason: str = ""


def selection(
    plan: Plan,
    done: Collection[str] = (),
    *,
    day: int | None = None,
    workstream: str | None = None,
    only: Sequence[str] = (),
    start: str | None = None,
) -> tuple[Subtask, ...]:
    """The cards to run, in order. Pure. No filter selects the whole plan; several filters must all hold.

    Args:
        done: ids that count as done already.
        day: cards of this day.
        workstream: cards of this workstream.
        only: these cards.
        start: this card and all that come after it in the plan's order.

    Raises:
        UsageError: an unknown id or workstream, no card left, or a card needs one that is neither done nor selected.
    """
    order = plan.in_order()
    if start is not None:
        order = order[order.index(plan[start]) :]
    if only:
        wanted = {plan[id].id for id in only}
        order = tuple(c for c in order if c.id in wanted)
    if workstream is not None and workstream != "event":
        plan.lane(workstream)
    chosen = tuple(c for c in order if day in (None, c.day) and workstream in (None, c.workstream))
    if not chosen:
        raise UsageError("No runbook fits all of these filters.", "See the plan's cards with `kit board`.")
    ids = {c.id for c in chosen}
    for card in chosen:
        if missing := sorted(set(card.needs) - ids - set(done)):
            first = " ".join(c.id for c in plan.in_order() if c.id in plan.needed_by(ids) - ids - set(done))
            raise UsageError(
                f"{card.id} needs {', '.join(missing)}, which is not done.",
                f"Run first: kit run --only {first}",
            )
    return chosen


def ends(cards: Sequence[Subtask]) -> dict[str, int]:
    """The last card of each day, by its id: after it the day's report is due. Pure."""
    last = {card.day: card.id for card in cards}
    return {id: day for day, id in last.items()}


def parameters(
    plan: Plan, cards: Sequence[Subtask], given: Mapping[str, str], target: str
) -> dict[str, dict[str, Any]]:
    """The typed parameters of each card: the plan's, then those given (`name`, or `D2.name` for one card), then `target`.

    Raises:
        UsageError: a name that no selected runbook has, or a value of another type.
        RunbookError: a notebook's frame is broken.
    """
    frames = {c.id: frame.read(paths.root() / c.notebook) for c in cards}
    known = {id: {p.name for p in f.parameters} for id, f in frames.items()}
    names = set().union(*known.values()) - {"target"}
    for name in given:
        id, _, rest = name.strip().rpartition(".")
        if id and id not in known:
            raise UsageError(f'-p {name}: "{id}" is not among the runbooks to run.', did_you_mean(id, known))
        if rest == "target":
            raise UsageError("-p target: the target is an option of its own.", "Use --target local|aws.")
        if rest not in (known[id] if id else names):
            raise UsageError(
                f'No runbook to run has a parameter "{rest}".', did_you_mean(rest, known[id] if id else names)
            )
    result = {}
    for card in cards:
        mine = dict(card.parameters)
        for name, value in given.items():
            id, _, rest = name.strip().rpartition(".")
            if id == card.id or (not id and rest in known[card.id]):
                mine[rest] = value
        result[card.id] = frame.values(frames[card.id], {**mine, "target": target}, card.id)
    return result


def run_id() -> str:
    """A new run's name, which sorts by time: `20261201-093000-4f2a`."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.urandom(2).hex()}"


def run(
    plan: Plan,
    cards: Sequence[Subtask],
    arguments: Mapping[str, Mapping[str, Any]],
    *,
    target: str,
    account: str,
    done: Collection[str] = (),
    on_start: Callable[[Subtask], object] = lambda card: None,
) -> Iterator[Outcome]:
    """Execute the cards' runbooks one after another, and yield what became of each.

    Cards in `done` are kept as they are. Everything is journalled before it is yielded. Ctrl-C ends the runbook that
    runs, journals that, and raises KeyboardInterrupt.
    """
    home, book, id = paths.home(target), journal.here(target), run_id()
    facts = {"target": target, "account": account}
    lost: set[str] = set()
    todo = [card for card in cards if card.id not in done]
    _, seen = book.changed_since()  # what was there before is read once, not after each runbook
    with kernels.Ahead({RUN: id, "KIT_HOME": str(home)}) as ahead:
        for card in cards:
            if card.id in done:
                yield Outcome(card, "kept")
                continue
            todo.remove(card)
            if broken := sorted(lost.intersection(card.needs)):
                lost.add(card.id)
                reason = f"needs {', '.join(broken)}"
                team = plan.team_of(card, paths.team())
                book.append("skipped", card.id, **facts, team=team, run=id, reason=reason)
                yield Outcome(card, "skipped", reason=reason)
                continue
            on_start(card)
            kernel = ahead.take(paths.root() / card.notebook)
            if todo:
                ahead.prepare(paths.root() / todo[0].notebook)
            outcome = _executed(card, arguments[card.id], kernel, home, id)
            news, seen = book.changed_since(seen)
            if outcome.state == "done" and not _recorded(news, card.id, id):
                why = "It ran to its end, but recorded nothing: end it with rb.complete()."
                outcome = replace(outcome, state="failed", failure=Failure("", "NotRecorded", why))
            _journal(book, outcome, id, facts | {"team": plan.team_of(card, paths.team())})
            board.refresh(plan, book, home / "board", target=target)
            if outcome.failure:
                lost.add(card.id)
            yield outcome
            if outcome.failure and outcome.failure.error == "KeyboardInterrupt":
                raise KeyboardInterrupt


def _journal(book: journal.Journal, outcome: Outcome, run: str, facts: Mapping[str, str]) -> None:
    common: dict[str, Any] = {**facts, "run": run, "copy": outcome.copy, "seconds": outcome.seconds}
    if outcome.failure:
        why = outcome.failure
        book.append(
            "failed", outcome.card.id, **common, cell=why.cell, error=why.error, message=why.message[:2000]
        )
    else:
        book.append("executed", outcome.card.id, **common, ok=True)


def _recorded(news: Sequence[journal.Event], card: str, run: str) -> bool:
    return any(e.type == "completed" and e.card == card and e.data.get("run") == run for e in news)


def _executed(
    card: Subtask, arguments: Mapping[str, Any], kernel: kernels.Kernel, home: Path, run: str
) -> Outcome:
    """Execute one notebook by papermill into home/runs/<run>/; a failure leaves the marked copy as evidence."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it logs is in the outcome already
    copy = home / "runs" / run / f"{kernel.notebook.stem}-{card.id}.ipynb"
    copy.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    failure = None
    try:
        execute_notebook(
            kernel.notebook,
            copy,
            parameters=dict(arguments),
            kernel_name="python3",
            cwd=kernel.notebook.parent,
            progress_bar=False,
            km=kernel.manager(),
        )
    except PapermillExecutionError as error:
        failure = Failure(_cell(copy, error.exec_count), error.ename, error.evalue)
    except DeadKernelError:
        failure = Failure("", "DeadKernelError", "The kernel was killed, by a person or for want of memory.")
    except KeyboardInterrupt:
        failure = Failure("", "KeyboardInterrupt", "Stopped by Ctrl-C.")
    finally:
        kernel.stop()
    seconds = round(time.monotonic() - began, 1)
    where = copy.relative_to(home).as_posix() if copy.exists() else ""
    return Outcome(card, "failed" if failure else "done", seconds, where, failure)


def _cell(copy: Path, count: int) -> str:
    """The id of the cell with this execution count in an executed copy; empty if it cannot be told."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        for cell in json.loads(copy.read_text(encoding="utf-8"))["cells"]:
            if cell.get("execution_count") == count:
                return str(cell.get("id", ""))
    return ""
