"""`kit board ...`: look at the board, export it, and tell it what only people know."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import click

from kit import aws, board_formats, cards, journal, paths, plan
from kit import board as boards
from kit.aws import TARGETS
from kit.errors import UsageError, did_you_mean

__all__ = ["FORMATS", "commands"]

FORMATS = {
    "text": boards.text,
    "json": boards.to_json,
    "csv": boards.to_csv,
    "transitions": boards.to_transitions_csv,
    "flow": boards.to_flow_csv,
    "jira": boards.to_jira_csv,
    "markdown": boards.to_markdown,
}

target_option = click.option("--target", type=click.Choice(TARGETS), default="local", show_default=True)


class Wall:
    """The event as a command sees it: the plan, the journal, the cards, and one way to write."""

    def __init__(self, target: str) -> None:
        self.plan = plan.load()
        self.target = target
        self.home = paths.home(target)
        if target == "local" and os.environ.get("KIT_BOARD", "").startswith("s3://"):
            aws.connect(self.plan, target, self.home)  # a rehearsal's bucket is in the local AWS
        self.journal = journal.here(target)

    def events(self) -> list[journal.Event]:
        """Everything that happened on this target."""
        return [event for event in self.journal.snapshot() if event.target == self.target]

    def board(self) -> boards.Board:
        """The board as it is now."""
        return boards.fold(self.plan, self.journal.snapshot(), target=self.target)

    def card(self, id: str) -> cards.Card:
        """The card with this id; raises UsageError with the closest one."""
        known = {card.id: card for card in self.board().cards}
        if id not in known:
            raise UsageError(f'The board has no card "{id}".', did_you_mean(id, known))
        return known[id]

    def tell(self, type: str, about: str, **data: Any) -> None:
        """Journal one event, rewrite the board files, and say how the card stands now."""
        self.journal.append(type, about, target=self.target, **data)
        board = boards.refresh(self.plan, self.journal, self.home / "board", target=self.target)
        for card in board.cards:
            if card.id == about:
                owner = f", {card.owner}" if card.owner else ""
                click.echo(f"{card.id} · {card.title}: {card.state}{owner}")


@click.command("show")
@click.option("--watch", is_flag=True, help="Show it again whenever it changes; Ctrl-C ends.")
@target_option
def show(target: str = "local", watch: bool = False) -> None:
    """The board in the terminal."""
    wall = Wall(target)
    click.echo(board_formats.text(wall.board()))
    if watch:
        import time

        _, cursor = wall.journal.changed_since(None)
        while True:
            time.sleep(1)
            events, cursor = wall.journal.changed_since(cursor)
            if events:
                click.clear()
                click.echo(board_formats.text(wall.board()))


@click.command("start")
@click.argument("id")
@target_option
def start(id: str, target: str) -> None:
    """Move a card to Doing."""
    wall = Wall(target)
    card = wall.card(id)
    if card.state == "Blocked":
        raise UsageError(f"{id} is blocked: {card.reason}", f"kit board unblock {id} takes it out.")
    wall.tell("started", id, run="", notebook=card.notebook)


@click.command("claim")
@click.argument("id")
@click.option("--owner", help="Who does it; without it, you.")
@target_option
def claim(id: str, owner: str | None, target: str) -> None:
    """Say who does a card. The first claim owns it, later ones help."""
    wall = Wall(target)
    wall.card(id)
    wall.tell("claimed", id, owner=owner or paths.person())


@click.command("block")
@click.argument("id")
@click.argument("reason")
@click.option("--unblocker", default="", help="Who can help.")
@target_option
def block(id: str, reason: str, unblocker: str, target: str) -> None:
    """Say that a card cannot go on, and why."""
    wall = Wall(target)
    wall.card(id)
    if not reason.strip():
        raise UsageError("A block needs a reason.", f'kit board block {id} "no quota for ml.m5.xlarge"')
    wall.tell("blocked", id, reason=reason.strip(), unblocker=unblocker.strip())


@click.command("unblock")
@click.argument("id")
@click.argument("note", required=False, default="")
@target_option
def unblock(id: str, note: str, target: str) -> None:
    """Say that a card can go on."""
    wall = Wall(target)
    if wall.card(id).state != "Blocked":
        raise UsageError(f"{id} is not blocked.", "kit board shows how it stands.")
    wall.tell("unblocked", id, note=note)


@click.command("note")
@click.argument("id")
@click.argument("text")
@target_option
def note(id: str, text: str, target: str) -> None:
    """Add a note to a card."""
    wall = Wall(target)
    wall.card(id)
    wall.tell("noted", id, text=text)


@click.command("attach")
@click.argument("id")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--title", help="How the board names it; without it, the file's name.")
@target_option
def attach(id: str, file: Path, title: str | None, target: str) -> None:
    """Add a file to a card; a copy goes into the event's folder."""
    wall = Wall(target)
    wall.card(id)
    copy = wall.home / "attachments" / id / file.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    with copy.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    path = copy.relative_to(wall.home).as_posix()
    wall.tell("attached", id, title=title or file.name, path=path, sha256=digest)


@click.command("add")
@click.argument("title")
@click.option("--workstream", required=True)
@click.option("--id", help="Without it, the next free one: X1, X2, ...")
@click.option("--day", type=int, default=1, show_default=True)
@click.option("--minutes", type=int, default=60, show_default=True)
@click.option("--needs", multiple=True, metavar="ID")
@click.option("--criterion", "criteria", multiple=True, help="When it counts as done; may be given again.")
@target_option
def add(
    title: str,
    workstream: str,
    id: str | None,
    day: int,
    minutes: int,
    needs: tuple[str, ...],
    criteria: tuple[str, ...],
    target: str,
) -> None:
    """Add a card that is not in the plan."""
    wall = Wall(target)
    wall.plan.lane(workstream)
    if day not in range(1, len(wall.plan.event.dates) + 1):
        raise UsageError(f"The event has no day {day}.", f"Its days are 1 to {len(wall.plan.event.dates)}.")
    taken = {card.id for card in wall.board().cards}
    if id in taken:
        raise UsageError(f'There is a card "{id}" already.', "Choose another id, or leave --id out.")
    for need in needs:
        wall.card(need)
    id = id or next(f"X{n}" for n in range(1, len(taken) + 2) if f"X{n}" not in taken)
    wall.tell(
        "added",
        id,
        id=id,
        title=title,
        workstream=workstream,
        day=day,
        minutes=minutes,
        needs=list(needs),
        criteria=list(criteria),
        source="person",
    )


@click.command("review")
@click.argument("id")
@click.argument("evidence")
@target_option
def review(id: str, evidence: str, target: str) -> None:
    """Ask for review of a card that has no runbook; say where the evidence is."""
    wall = Wall(target)
    if wall.card(id).notebook:
        raise UsageError(f"{id} has a runbook; running it is the evidence.", f"kit run --only {id}")
    if not evidence.strip():
        raise UsageError(
            "A review needs evidence.", "Give a link, a file attached to the card, or what was seen."
        )
    wall.tell("review", id, evidence=evidence)


@click.command("accept")
@click.argument("id")
@click.argument("evidence", required=False, default="")
@target_option
def accept(id: str, evidence: str, target: str) -> None:
    """Accept a card that is in Review: it is Done."""
    wall = Wall(target)
    state = wall.card(id).state
    if state != "Review":
        raise UsageError(
            f"{id} is in {state}, not in Review.", f'Ask first: kit board review {id} "evidence"'
        )
    wall.tell("accepted", id, evidence=evidence)


@click.command("export")
@click.option("--format", "kind", type=click.Choice(sorted(FORMATS)), default="markdown", show_default=True)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; else the terminal."
)
@target_option
def export(kind: str, output: Path | None, target: str) -> None:
    """Write the board as text, JSON, CSV, Jira CSV or Markdown."""
    text = FORMATS[kind](Wall(target).board())
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {output}.")


@click.command("problems")
@target_option
def problems(target: str) -> None:
    """Lines of the journal that could not be read, with file and line."""
    found = Wall(target).journal.problems()
    click.echo("\n".join(found) if found else "Every line of the journal reads well.")


commands = (show, start, claim, block, unblock, note, attach, add, review, accept, export, problems)
