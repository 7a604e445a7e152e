"""`kit demo`: a living event to look at, at once or as it happens."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import click

from kit import demo, hours, journal, paths
from kit import plan as plans
from kit.demo.files import Folder, cast, plan_text
from kit.errors import UsageError

__all__ = ["command", "moment", "play"]

TICK = 0.2  # seconds between two looks at the clock of a live demonstration


@click.command("demo")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another event.")
@click.option(
    "--until", metavar='"DAY HH:MM"', help='Only up to this moment of the event, such as "2 14:30".'
)
@click.option("--people", type=click.IntRange(1, 2000), default=40, show_default=True)
@click.option("--teams", type=click.IntRange(0), default=0, help="Several teams do the same subtasks.")
@click.option("--events", "at_least", type=click.IntRange(0), default=0, help="At least so many events.")
@click.option(
    "--live", type=click.FloatRange(min=1), metavar="SECONDS", help="As it happens: a day in so many seconds."
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder; without it, demo/ beside the board.",
)
def command(
    seed: int,
    until: str | None,
    people: int,
    teams: int,
    at_least: int,
    live: float | None,
    into: Path | None,
) -> None:
    """Simulate a whole event, to see the board, the wall page and the reports full.

    Forty people work for three days, with blockers, failures and ceremonies. Nothing is executed, and the event's own
    board is not touched. The same seed gives the same event.
    """
    plan = cast(plans.load(), people, teams)
    end = moment(plan, until) if until else None
    folder = Folder((into or paths.home() / "demo").expanduser(), paths.home())
    where = folder.put("plan.yml", plan_text(plan))
    happened = demo.events(plan, seed, demo.people(plan, people), at_least)
    happened = [event for event in happened if end is None or event.ts <= end]
    look = f"KIT_HOME={shlex.quote(str(folder.path))} KIT_PLAN={shlex.quote(str(where))}"
    stopped = None
    if live:
        click.echo(f"A day takes {live:g} s; Ctrl-C ends. On the wall: {look} kit page")
        stopped = play(plan, folder, happened, live)
        happened = [event for event in happened if stopped is None or event.ts <= stopped]
    else:
        folder.tell(happened)
    now = stopped or end or max([event.ts for event in happened], default=dt.datetime.now(dt.UTC))
    folder.show(plan, happened, now)
    for page in folder.reports(plan, happened, now):
        click.echo(f"Report: {page}")
    writers = len({(event.who, event.host) for event in happened})
    click.echo(f"Board:  {folder.path / 'board' / 'board.md'}")
    click.echo(f"{len(happened)} events by {writers} people, up to {_spoken(plan, now)}.")
    click.echo(f"Look:   {look} kit board")


def moment(plan: plans.Plan, text: str) -> dt.datetime:
    """The moment of the event that "2 14:30" means, in UTC. Raises UsageError where it means none."""
    found = re.fullmatch(r"\s*(\d+)\s+(\d{1,2}):(\d{2})\s*", text)
    days = len(plan.event.dates)
    try:
        if not found or not 1 <= int(found[1]) <= days:
            raise ValueError
        clock = dt.time(int(found[2]), int(found[3]))
    except ValueError:
        raise UsageError(
            f'"{text}" is no moment of the event.', f'Write a day from 1 to {days} and a time: "2 14:30".'
        ) from None
    return dt.datetime.combine(plan.event.dates[int(found[1]) - 1], clock, plan.event.zone).astimezone(dt.UTC)


def play(
    plan: plans.Plan, folder: Folder, events: Sequence[journal.Event], seconds: float
) -> dt.datetime | None:
    """Tell the events as the event's clock reaches them, one working day in `seconds`; nights take no time.

    Returns:
        Where Ctrl-C stopped it, between two events; None where it came to its end.
    """
    spans = [_span(plan, events, day) for day in range(1, len(plan.event.dates) + 1)]
    stop = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    began, told, now = time.monotonic(), 0, spans[0][0]
    try:
        while told < len(events) and not stop.wait(TICK):
            day, share = divmod((time.monotonic() - began) / seconds, 1)
            start, end = spans[min(int(day), len(spans) - 1)]
            now = start + (end - start) * share if day < len(spans) else events[-1].ts
            if due := [event for event in events[told:] if event.ts <= now]:
                folder.tell(due)
                told += len(due)
                folder.show(plan, events[:told], now)
    finally:
        signal.signal(signal.SIGINT, before)
    return now if told < len(events) else None


def _span(plan: plans.Plan, events: Sequence[journal.Event], day: int) -> tuple[dt.datetime, dt.datetime]:
    """From the first to the last thing of a day, at least its working hours."""
    opens, closes = hours.bounds(plan.event, day)
    times = [event.ts for event in events if hours.day_of(plan.event, event.ts) == day]
    return min([opens, *times]), max([closes, *times])


def _spoken(plan: plans.Plan, now: dt.datetime) -> str:
    local, day = now.astimezone(plan.event.zone), hours.day_of(plan.event, now)
    return f"day {day}, {local:%H:%M}" if day else f"{local:%-d %B %Y, %H:%M}"
