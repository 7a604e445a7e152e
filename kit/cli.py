"""The command line: `kit run`, `kit board`, `kit report` and the rest. Errors become two lines and an exit code here only."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import Any, ClassVar

import click

from kit import board as boards
from kit import cli_board, cli_demo, paths, plan, run
from kit.aws import TARGETS
from kit.errors import KitError, LocalAwsError, RunFailed, UsageError, did_you_mean

__all__ = ["cli", "main"]

target_option = click.option(
    "--target", type=click.Choice(TARGETS), default="local", show_default=True, help="Where the calls go."
)


class Suggesting(click.Group):
    """A group that answers an unknown command with the closest known one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Like click's, with "did you mean"."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageError(
                f'{ctx.command_path} has no command "{args[0]}".',
                did_you_mean(args[0], self.list_commands(ctx)),
            )
        return super().resolve_command(ctx, args)


@click.group(cls=Suggesting, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run the event's runbooks, follow its board, report its days."""


def main() -> None:
    """The entry point: runs a command, turns a KitError into two lines on stderr and its exit code."""
    try:
        cli.main(standalone_mode=False)
    except KitError as error:
        _fail(error.message, error.hint, error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), "kit --help shows the commands.", 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("Stopped.", "What was done is recorded; the same command goes on from there.", 130)
    except BrokenPipeError:  # `kit board | head`
        sys.stderr.close()


def _fail(message: str, hint: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    if hint:
        click.echo(hint, err=True)
    sys.exit(code)


@cli.command("run")
@click.option("--day", type=int, help="Only this day's runbooks.")
@click.option("--workstream", help="Only this workstream's runbooks.")
@click.option("--only", multiple=True, metavar="ID ...", help="Only these runbooks.")
@click.option("--from", "start", metavar="ID", help="This runbook and all after it.")
@click.option("--force", is_flag=True, help="Run again what is done.")
@click.option(
    "-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter: name, or D2.name."
)
@click.argument("ids", nargs=-1, metavar="[ID ...]")
@target_option
def run_command(
    day: int | None,
    workstream: str | None,
    only: tuple[str, ...],
    start: str | None,
    force: bool,
    given: tuple[tuple[str, str], ...],
    ids: tuple[str, ...],
    target: str,
) -> None:
    """Run runbooks in the order of their needs, resuming where the last run ended.

    Without a filter it rehearses the whole event: each day its ceremonies and runbooks, then its report; at the end the
    close-out and the clean-up. What is done, ceremonies included, is run again only with --force.
    """
    from kit import aws

    the_plan = plan.load()
    filters: dict[str, Any] = {"day": day, "workstream": workstream, "only": (*only, *ids), "start": start}
    # Names and parameters first, as if everything were done: nothing starts before they hold.
    cards = run.selection(the_plan, {c.id for c in the_plan.cards}, **filters)
    arguments = run.parameters(the_plan, cards, {name.strip(): value for name, value in given}, target)
    for card in cards:
        the_plan.team_of(card, paths.team())
    account = aws.connect(the_plan, target, paths.home(target)).account
    wall = cli_board.Wall(target)
    done = _done(wall.board().of(paths.team()), account)
    run.selection(the_plan, done, **filters)
    outcomes, last = [], run.ends(cards)
    with _Progress(len(cards)) as progress:
        for outcome in run.run(
            the_plan,
            cards,
            arguments,
            target=target,
            account=account,
            done=() if force else done,
            on_start=progress.start,
        ):
            progress.show(outcome)
            outcomes.append(outcome)
            if outcome.card.id in last and outcome.state != "kept":
                with contextlib.suppress(KitError):  # the run goes on; at its end the same is raised
                    _reported(the_plan, wall, [last[outcome.card.id]])
    for page in _reported(the_plan, wall, sorted(last.values())):
        click.echo(f"Report: {page}")
    click.echo(f"Board:  {wall.home / 'board' / 'board.md'}")
    if bad := [o for o in outcomes if o.state in ("failed", "skipped")]:
        raise RunFailed(
            f"{len(bad)} of {len(cards)} runbooks not done: {', '.join(o.card.id for o in bad)}.",
            "Mend the first that failed, then run the same command: it goes on from there.",
        )


def _reported(the_plan: plan.Plan, wall: cli_board.Wall, days: Sequence[int]) -> list[Path]:
    """Write the reports of these days, as of now."""
    from kit import report

    events = wall.events()
    return [report.day(the_plan, events, day, home=wall.home) for day in days]


def _done(board: boards.Board, account: str) -> set[str]:
    """The ids of cards whose evidence was made in this account."""
    return {
        card.id
        for card in board.cards
        if card.run and card.run.account == account and card.state in ("Done", "Review")
    }


class _Progress:
    """A line per runbook; on a terminal, the one that runs is shown with a clock."""

    SIGNS: ClassVar[dict[str, str]] = {"done": "✓", "failed": "✗", "skipped": "–", "kept": "✓"}

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.console = Console(highlight=False)
        self.total = total
        self.count = 0
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self.live = Progress(*columns, console=self.console, transient=True)
        self.task: Any = None

    def __enter__(self) -> _Progress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def start(self, card: plan.Subtask) -> None:
        """Show that `card` runs now."""
        self.task = self.live.add_task(f"{self.count + 1}/{self.total} {card.label}")

    def show(self, outcome: run.Outcome) -> None:
        """Show what became of a card, for good."""
        from rich.markup import escape

        if self.task is not None:
            self.live.remove_task(self.task)
            self.task = None
        self.count += 1
        sign, card = self.SIGNS[outcome.state], outcome.card
        what = {"kept": "done before", "skipped": f"skipped: {outcome.reason}"}.get(
            outcome.state, f"{outcome.seconds:.1f} s"
        )
        line = f"{sign} {self.count}/{self.total}  {card.label}  ({card.notebook})  {what}"
        self.console.print(escape(line), soft_wrap=True)
        if why := outcome.failure:
            at = f" in cell {why.cell}" if why.cell else ""
            self.console.print(escape(indent(f"{why.error}{at}: {why.message}", "    ")), soft_wrap=True)
            if outcome.copy:
                self.console.print(escape(f"    evidence: {outcome.copy}"), soft_wrap=True)


@cli.command("report")
@click.option("--day", type=int, help="The day of the event; without it, every day so far.")
@click.option("--pdf", "as_pdf", is_flag=True, help="Print it as PDF as well, with a Chromium found here.")
@target_option
def report_command(day: int | None, as_pdf: bool, target: str) -> None:
    """Write the day-end report: one HTML file that needs no network."""
    from kit import daily, pdf, report

    wall = cli_board.Wall(target)
    days = range(1, len(wall.plan.event.dates) + 1)
    if day is not None and day not in days:
        raise UsageError(f"The event has no day {day}.", f"Its days are 1 to {len(days)}.")
    events = wall.events()
    until = daily.so_far(wall.plan, events, dt.datetime.now(dt.UTC))
    for number in days[:until] if day is None else [day]:
        page = report.day(wall.plan, events, number, home=wall.home)
        click.echo(f"Report: {page}")
        if as_pdf:
            click.echo(f"PDF:    {pdf.printed(page)}")


@cli.command("page")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0 shows the board to the network."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one."
)
@target_option
def page_command(host: str, port: int, target: str) -> None:
    """Show the board on the wall: a read-only web page that follows it, until Ctrl-C.

    Behind JupyterLab with jupyter-server-proxy it is at .../proxy/8765/ (in SageMaker Studio: .../jupyterlab/default/proxy/8765/).
    """
    from kit import page

    wall = cli_board.Wall(target)
    with page.bound(host, port) as listening:
        where = f"[{host}]" if ":" in host else host
        click.echo(f"The board is at http://{where}:{listening.getsockname()[1]}/ (Ctrl-C ends)")
        page.serve(page.Reader(wall.plan, wall.journal, target=target), listening)
    click.echo("Stopped.")


@cli.command("plan")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def plan_command(file: Path | None) -> None:
    """Say whether the plan holds together, and show the order of its runbooks."""
    from kit import frame

    the_plan = plan.load(file)
    for card in the_plan.in_order():
        frame.read(paths.root() / card.notebook)
        needs = f"  needs {', '.join(card.needs)}" if card.needs else ""
        click.echo(f"day {card.day}  {card.label}  ({card.notebook}, {card.minutes} min){needs}")


@cli.command("status")
@target_option
def status_command(target: str) -> None:
    """The event in a few lines: how far it is, what is blocked, what can be started, where things are."""
    from kit.local_aws import process

    wall = cli_board.Wall(target)
    board = wall.board()
    cards = [c for c in board.cards if c.state != "Done"]
    click.echo(f"{wall.plan.event.name}: {len(board.cards) - len(cards)} of {len(board.cards)} cards done")
    for card in cards:
        if card.state == "Blocked":
            click.echo(f"Blocked  {card.label}: {card.reason}")
        elif card.failed:
            click.echo(f"Failed   {card.label}: {card.failed.error}")
    if ready := [c.key for c in cards if c.state == "To do" and c.ready]:
        click.echo(f"Ready    {', '.join(ready)}")
    server = process.status(wall.home / "aws") if target == "local" else None
    if target == "local":
        click.echo(f"Local AWS {'at ' + server.url if server else 'does not run'}")
    click.echo(f"Files    {wall.home}")


@cli.command("new")
@click.argument("id")
@click.argument("title")
@click.option("--workstream", required=True, help="Whose runbook it is.")
@click.option("--day", type=int, default=1, show_default=True)
@click.option("--minutes", type=int, default=60, show_default=True)
@click.option("--needs", multiple=True, metavar="ID", help="What must be done before.")
def new_command(id: str, title: str, workstream: str, day: int, minutes: int, needs: tuple[str, ...]) -> None:
    """Add a runbook: a copy of the template, and its entry in the plan."""
    from kit import template

    notebook = template.new(plan.load(), id, title, workstream, day=day, minutes=minutes, needs=needs)
    click.echo(f"Made {notebook} and its entry in {paths.plan_file()}.")
    click.echo(f"Next: jupyter lab {notebook}, then kit run --only {id}")


@cli.group("local", cls=Suggesting)
def local_group() -> None:
    """The local AWS of this event folder."""


@local_group.command("up")
@click.option("--port", type=int, default=0, help="A fixed port; without it, any free one.")
def local_up(port: int) -> None:
    """Start the local AWS where it does not run yet."""
    from kit.local_aws import process

    server = process.up(paths.home() / "aws", port=port)
    click.echo(f"The local AWS answers at {server.url} (account {server.account}, process {server.pid}).")


@local_group.command("down")
def local_down() -> None:
    """Stop the local AWS, its jobs and its endpoints."""
    from kit.local_aws import process

    stopped = process.down(paths.home() / "aws")
    click.echo("Stopped." if stopped else "It was not running.")


@local_group.command("status")
def local_status() -> None:
    """Say what runs in the local AWS."""
    from kit.local_aws import process

    server = process.status(paths.home() / "aws")
    if server is None:
        click.echo("The local AWS does not run. kit local up starts it.")
        return
    click.echo(f"The local AWS answers at {server.url} (account {server.account}, process {server.pid}).")
    click.echo("Jobs and endpoints run on this machine's own Python and libraries, whatever image they name.")


@local_group.command("fire")
@click.argument("rule")
def local_fire(rule: str) -> None:
    """Have a scheduled rule of EventBridge happen now, not when it comes due."""
    from kit.local_aws import client, process

    server = process.status(paths.home() / "aws")
    if server is None:
        raise LocalAwsError("The local AWS does not run.", "kit local up starts it.")
    said = client.ask(server.url, "fire", {"name": rule})
    if "arn" not in said:
        raise LocalAwsError(said["message"], "A runbook makes its rules when it runs.")
    click.echo(f"{said['arn']} tells {', '.join(said['targets']) or 'nobody: it has no targets'}.")


@cli.group("board", cls=Suggesting, invoke_without_command=True)
@click.pass_context
def board_group(ctx: click.Context) -> None:
    """The shared board: look at it, or tell it something."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(cli_board.show)


for command in cli_board.commands:
    board_group.add_command(command)
cli.add_command(cli_demo.command)
