"""`kit board ...`: look at the board, export it, and tell it what only people know."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import click

from kit import (
    aws,
    board_formats,
    board_history,
    board_import,
    cards,
    clocks,
    journal,
    paths,
    plan,
    raw,
    share,
)
from kit import board as boards
from kit.aws import TARGETS
from kit.errors import UsageError

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

team_option = click.option("--team", help="Only this team's cards, and those that all share.")
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
        """Everything that happened on this target; the files that it names are then here, also those of others."""
        events = [event for event in self.journal.snapshot() if event.target == self.target]
        share.fetch(self.journal, self.home, events)
        return events

    def board(self) -> boards.Board:
        """The board as it is now."""
        return boards.fold(self.plan, self.journal.snapshot(), target=self.target)

    def card(self, key: str) -> cards.Card:
        """The card `D2@blue`; for `D2`, that of KIT_TEAM. Raises UsageError with the closest one."""
        self.plan.check_team(team := paths.team())
        board = self.board()
        return (board.of(team) if team and "@" not in key else board)[key]

    def tell(self, type: str, about: str, **data: Any) -> boards.Board:
        """Journal one event of the card with this key, rewrite the board files, and say how it stands now."""
        id, _, team = about.partition("@")
        self.journal.append(type, id, team=team, target=self.target, **data)
        board = boards.refresh(self.plan, self.journal, self.home / "board", target=self.target)
        for card in board.cards:
            if card.key == about:
                owner = f", {card.owner}" if card.owner else ""
                click.echo(f"{card.label}: {card.state}{owner}")
        return board


def _warn(board: boards.Board, card: cards.Card, more: int = 0) -> None:
    """Say it on stderr if the workstream has, with `more` cards, too many in Doing. The limit is soft: nothing is refused."""
    lane = next(lane for lane in board.lanes if lane.id == card.workstream)
    doing = [c.key for c in board.lane(lane.id) if c.state == "Doing" and c.team == card.team]
    if 0 < lane.wip < len(doing) + more:
        team = f" of {card.team}" if card.team else ""
        click.echo(
            f"Note: {lane.title}{team} has {len(doing)} in Doing, the limit is {lane.wip}: {', '.join(doing)}. "
            "Finishing one comes before starting one.",
            err=True,
        )


@click.command("show")
@click.option("--watch", is_flag=True, help="Show it again whenever it changes; Ctrl-C ends.")
@team_option
@target_option
def show(target: str = "local", watch: bool = False, team: str | None = None) -> None:
    """The board in the terminal."""
    wall = Wall(target)
    wall.plan.check_team(team or "")

    def told() -> str:
        return boards.text(wall.board() if team is None else wall.board().of(team))

    # Before it is told: what comes meanwhile is told again.
    cursor = wall.journal.changed_since(None)[1] if watch else None
    click.echo(told())
    if watch:
        import time

        while True:
            time.sleep(1)
            events, cursor = wall.journal.changed_since(cursor)
            if events:
                click.clear()
                click.echo(told())


@click.command("start")
@click.argument("id")
@target_option
def start(id: str, target: str) -> None:
    """Move a card to Doing."""
    wall = Wall(target)
    card = wall.card(id)
    if card.state == "Blocked":
        raise UsageError(
            f"{card.key} is blocked: {card.reason}", f"kit board unblock {card.key} takes it out."
        )
    board = wall.tell("started", card.key, run="", notebook=card.notebook)
    if card.waits:
        click.echo(f"Note: {card.key} waits for {', '.join(card.waits)}.", err=True)
    _warn(board, card)


@click.command("claim")
@click.argument("id")
@click.option("--owner", help="Who does it; without it, you.")
@target_option
def claim(id: str, owner: str | None, target: str) -> None:
    """Say who does a card. The first claim owns it, later ones help."""
    wall = Wall(target)
    card, owner = wall.card(id), (owner or "").strip() or paths.person()
    board = wall.tell("claimed", card.key, owner=owner)
    if (now := board[card.key]).owner != owner:
        first = next((e.ts for e in now.history if e.type in ("claimed", "added")), None)
        when = f", since {first.astimezone(board.event.zone):%H:%M on %-d %B}" if first else ""
        click.echo(f"{now.owner} owns {card.key}{when}; {owner} is shown as helping.")
    _warn(board, card, more=now.state == "To do")


@click.command("block")
@click.argument("id")
@click.argument("reason")
@click.option("--unblocker", default="", help="Who can help.")
@target_option
def block(id: str, reason: str, unblocker: str, target: str) -> None:
    """Say that a card cannot go on, and why."""
    wall = Wall(target)
    card = wall.card(id)
    if not reason.strip():
        raise UsageError("A block needs a reason.", f'kit board block {id} "no quota for ml.m5.xlarge"')
    wall.tell("blocked", card.key, reason=reason.strip(), unblocker=unblocker.strip())


@click.command("unblock")
@click.argument("id")
@click.argument("note", required=False, default="")
@target_option
def unblock(id: str, note: str, target: str) -> None:
    """Say that a card can go on."""
    wall = Wall(target)
    card = wall.card(id)
    if card.state != "Blocked":
        raise UsageError(f"{card.key} is not blocked.", "kit board shows how it stands.")
    wall.tell("unblocked", card.key, note=note)


@click.command("note")
@click.argument("id")
@click.argument("text")
@target_option
def note(id: str, text: str, target: str) -> None:
    """Add a note to a card."""
    wall = Wall(target)
    wall.tell("noted", wall.card(id).key, text=text)


@click.command("attach")
@click.argument("id")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--title", help="How the board names it; without it, the file's name.")
@target_option
def attach(id: str, file: Path, title: str | None, target: str) -> None:
    """Add a file to a card; a copy goes into the event's folder."""
    wall = Wall(target)
    card = wall.card(id)
    copy = wall.home / "attachments" / card.team / card.id / file.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    with copy.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    path = copy.relative_to(wall.home).as_posix()
    wall.tell("attached", card.key, title=title or file.name, path=path, sha256=digest)


@click.command("add")
@click.argument("title")
@click.option("--workstream", required=True)
@click.option("--id", help="Without it, the next free one: X1, X2, ...")
@click.option("--day", type=int, default=1, show_default=True)
@click.option("--minutes", type=click.IntRange(0, plan.LONGEST), default=60, show_default=True)
@click.option("--needs", multiple=True, metavar="ID")
@click.option("--criterion", "criteria", multiple=True, help="When it counts as done; may be given again.")
@click.option("--owner", default="", help="Who does it.")
@click.option("--due", default="", metavar="DATE", help="Until when, as 2026-12-03.")
@target_option
def add(
    title: str,
    workstream: str,
    id: str | None,
    day: int,
    minutes: int,
    needs: tuple[str, ...],
    criteria: tuple[str, ...],
    owner: str,
    due: str,
    target: str,
) -> None:
    """Add a card that is not in the plan."""
    wall = Wall(target)
    lane = wall.plan.lane(workstream)
    wall.plan.check_team(team := paths.team())
    team = "" if lane.shared or lane.id == plan.EVENT else team
    if day not in range(1, len(wall.plan.event.dates) + 1):
        raise UsageError(f"The event has no day {day}.", f"Its days are 1 to {len(wall.plan.event.dates)}.")
    if due and raw.date(due) != due:
        raise UsageError(f'"{due}" is no date.', f"Write it as {wall.plan.event.dates[-1]}.")
    if id and not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", id):
        raise UsageError(f'"{id}" is no id of a card.', "Use letters, digits, dots, dashes and underscores.")
    taken = {card.id for card in wall.board().cards}
    if id in taken:
        raise UsageError(f'There is a card "{id}" already.', "Choose another id, or leave --id out.")
    for need in needs:
        wall.card(need)
    id = id or next(f"X{n}" for n in range(1, len(taken) + 2) if f"X{n}" not in taken)
    wall.tell(
        "added",
        f"{id}@{team}" if team else id,
        id=id,
        title=title,
        workstream=workstream,
        day=day,
        minutes=minutes,
        needs=list(needs),
        criteria=list(criteria),
        owner=owner.strip(),
        due=due,
        source="person",
    )


@click.command("review")
@click.argument("id")
@click.argument("evidence")
@target_option
def review(id: str, evidence: str, target: str) -> None:
    """Ask for review of a card that has no runbook; say where the evidence is."""
    wall = Wall(target)
    card = wall.card(id)
    if card.notebook:
        raise UsageError(
            f"{card.key} has a runbook; running it is the evidence.", f"kit run --only {card.id}"
        )
    if not evidence.strip():
        raise UsageError(
            "A review needs evidence.", "Give a link, a file attached to the card, or what was seen."
        )
    wall.tell("review", card.key, evidence=evidence)


@click.command("accept")
@click.argument("id")
@click.argument("evidence", required=False, default="")
@target_option
def accept(id: str, evidence: str, target: str) -> None:
    """Accept a card that is in Review: it is Done."""
    wall = Wall(target)
    card = wall.card(id)
    if card.state != "Review":
        raise UsageError(
            f"{card.key} is in {card.state}, not in Review.",
            f'Ask first: kit board review {card.key} "evidence"',
        )
    wall.tell("accepted", card.key, evidence=evidence)


@click.command("export")
@click.option("--format", "kind", type=click.Choice(sorted(FORMATS)), default="markdown", show_default=True)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file; else the terminal."
)
@target_option
def export(kind: str, output: Path | None, target: str) -> None:
    """Write the board as text, JSON, CSV, Jira CSV or Markdown; its moves (transitions) and its flow as CSV."""
    text = FORMATS[kind](Wall(target).board())
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {output}.")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Say what it would add, and write nothing.")
@target_option
def import_cards(file: Path, check: bool, target: str) -> None:
    """Add cards from a CSV file: id,title,workstream and, where wanted, day,minutes,needs,owner,due,criteria,team.

    Nothing is written unless every line fits. A card that is there already is left as it is, so the same file can be
    imported again.
    """
    wall = Wall(target)
    wall.plan.check_team(team := paths.team())
    new, there, problems = board_import.read(file.read_bytes(), wall.plan, wall.board(), team)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise UsageError(
            f"{file.name} does not fit in {board_formats.counted(len(problems), 'place', 'places')}; nothing was imported.",
            "Correct them, then import the file again.",
        )
    for row in [] if check else new:
        wall.journal.append("added", row.id, team=row.team, target=target, **row.data)
    if new and not check:
        boards.refresh(wall.plan, wall.journal, wall.home / "board", target=target)
    would = "Would add" if check else "Added"
    click.echo(f"{would} {board_formats.counted(len(new), 'card', 'cards')}; {there} there already.")


@click.command("history")
@click.argument("id")
@target_option
def history(id: str, target: str) -> None:
    """Everything that happened to one card."""
    wall = Wall(target)
    key = wall.card(id).key
    board = wall.board()
    click.echo(board_history.history(board, board[key]))


@click.command("problems")
@target_option
def problems(target: str) -> None:
    """Lines of the journal that could not be read, with file and line; and clocks that disagree."""
    book = Wall(target).journal
    found = book.problems() + clocks.skews(book.snapshot(), dt.datetime.now(dt.UTC))
    click.echo("\n".join(found) if found else "Every line of the journal reads well, and the clocks agree.")


looks = (show, history, export, problems)
commands = (*looks, start, claim, block, unblock, note, attach, add, import_cards, review, accept)
