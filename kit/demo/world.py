"""What the people of a demonstration share: who is there, the clock, the cards, and what was told so far."""

from __future__ import annotations

import datetime as dt
import hashlib
import heapq
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from kit import frame, journal, paths
from kit import plan as plans
from kit.demo import words
from kit.demo.days import Calendar
from kit.errors import KitError

__all__ = [
    "ACCOUNT",
    "NOTHING_RAN",
    "Job",
    "Person",
    "Wait",
    "World",
    "attachment",
    "check",
    "copy",
    "people",
]
__all__ += ["sha256"]

ACCOUNT = "111122223333"
NOTHING_RAN = "Part of the demonstration (kit demo): nothing was executed."

Wait = float | dt.datetime
"""What somebody waits for: minutes of the event's working time, or a moment."""


@dataclass(frozen=True)
class Person:
    """Who is there: a first name, the machine, the workstream, and the team where the plan has teams."""

    name: str
    host: str
    lane: str
    team: str = ""


@dataclass
class Job:
    """A card, and how far it is. `trouble` is what happens to it next: (kind, working minutes that it takes).

    `stopped` while it is in trouble; in a `hurry` it is soon done.
    """

    card: plans.Subtask
    team: str = ""
    owner: Person | None = None
    state: str = "waiting"
    trouble: list[tuple[str, float]] = field(default_factory=list)
    stopped: bool = False
    hurry: bool = False
    times: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Its card's id and the team."""
        return self.card.id, self.team


def people(plan: plans.Plan, number: int = 40) -> tuple[Person, ...]:
    """That many people, spread over the plan's workstreams and teams; the first of each workstream leads it."""
    lanes, teams = [lane.id for lane in plan.workstreams] or [plans.EVENT], plan.teams or ("",)
    found = []
    for n in range(number):
        again, place = divmod(n, len(words.NAMES))
        name = f"{words.NAMES[place]} {again + 1}" if again else words.NAMES[place]
        lane, team = lanes[n % len(lanes)], teams[n // len(lanes) % len(teams)]
        found.append(Person(name, f"laptop-{n + 1:02}", lane, team))
    return tuple(found)


class World:
    """The event while it happens. Whoever does something is an iterator of waits; `play` lets them all go on in turn."""

    def __init__(self, plan: plans.Plan, seed: int, everybody: Sequence[Person]) -> None:
        self.plan = plan
        self.people = everybody
        self.chance = random.Random(seed)
        self.calendar = Calendar(plan)
        self.at = self.calendar.opening
        self.told: list[tuple[dt.datetime, Person, str, str, str, dict[str, Any]]] = []
        self.made: list[tuple[Job, dict[str, str]]] = []
        order = [card for card in plan.in_order() if card not in plan.ceremonies]
        self.jobs = [Job(card, team) for card in order for team in plan.teams_of(card)]
        self.criteria = {card.id: _criteria(card) for card in plan.cards}
        self._queue: list[tuple[dt.datetime, int, Iterator[Wait]]] = []
        self._count = itertools.count()

    def play(self) -> None:
        """Let everything happen, in the order of the clock."""
        while self._queue:
            self.at, _, doing = heapq.heappop(self._queue)
            wait = next(doing, None)
            if wait is not None:
                after = wait if isinstance(wait, dt.datetime) else self.calendar.later(self.at, wait)
                if after is not None:  # else the event is over, and this stays as it is
                    self.join(doing, after)

    def join(self, doing: Iterator[Wait], at: dt.datetime) -> None:
        """Let it go on at that moment."""
        heapq.heappush(self._queue, (at, next(self._count), doing))

    def tell(self, who: Person, type: str, job: Job | str = "", **data: Any) -> None:
        """Somebody records an event, now."""
        id, team = job.key if isinstance(job, Job) else (job, "")
        last = self.told[-1][0] if self.told else self.at
        self.told.append((max(self.at, last + dt.timedelta(milliseconds=40)), who, type, id, team, data))

    def written(self) -> list[journal.Event]:
        """What was told, numbered by writer."""
        chance, counts = random.Random(self.chance.random()), dict.fromkeys(self.people, 0)
        found, last = [], dt.datetime.min.replace(tzinfo=dt.UTC)
        for ts, who, type, card, team, data in sorted(self.told, key=lambda told: told[0]):
            ts = max(ts, last + dt.timedelta(microseconds=1))
            last = ts
            counts[who] += 1
            facts = (journal.ulid(ts, chance.getrandbits), ts, counts[who], who.name, who.host)
            found.append(journal.Event(*facts, type, card, team, account=ACCOUNT, data=data))
        return found

    def lead(self, lane: str) -> Person:
        """Who leads a workstream."""
        return next((p for p in self.people if p.lane == lane), self.people[0])

    def group(self, lane: plans.Workstream, team: str) -> list[Person]:
        """Who works on the cards that a workstream has in this team; never nobody."""
        found = [p for p in self.people if p.lane == lane.id and (lane.shared or team in ("", p.team))]
        return found or [self.people[0]]

    def add(
        self, who: Person, id: str, title: str, lane: str, day: int, minutes: int, team: str = "", **data: Any
    ) -> Job:
        """Somebody puts a card on the board."""
        job = Job(plans.Subtask(id, title, "", day, minutes, lane), team)
        facts = {"title": title, "workstream": lane, "day": day, "minutes": minutes, "needs": [], "size": ""}
        self.tell(who, "added", job, id=id, **facts, **data)
        self.jobs.append(job)
        return job

    def fill(self, at_least: int) -> None:
        """People step through runbooks that were started before, until there are so many events."""
        first: dict[tuple[str, str], dt.datetime] = {}
        for ts, _, type, card, team, _data in self.told:
            if type == "started" and self.criteria.get(card):
                first.setdefault((card, team), ts)
        begun = list(first.items())
        while begun and len(self.told) < at_least:
            (card, team), since = self.chance.choice(begun)
            at = self.calendar.some_moment(self.chance, since)
            who = self.chance.choice(self.people)
            for n, name in enumerate(self.criteria[card]):
                self.told.append((at + dt.timedelta(seconds=n), who, "checked", card, team, check(name)))


def attachment(id: str) -> str:
    """What an attached file of the demonstration holds."""
    return f"# {id}\n\n{NOTHING_RAN}\n"


def _criteria(card: plans.Subtask) -> tuple[str, ...]:
    """What the card's runbook checks; nothing where there is no such notebook yet."""
    try:
        return frame.read(paths.root() / card.notebook).done_when
    except KitError:
        return ()


def check(name: str) -> dict[str, Any]:
    """A check that holds, as the journal has it."""
    return {"check": name, "ok": True, "got": "yes", "expected": "yes"}


def copy(job: Job, run: str) -> str:
    """Where the executed copy of a run lies."""
    return f"runs/{run}/{PurePosixPath(job.card.notebook).stem}-{job.card.id}.ipynb"


def sha256(text: str) -> str:
    """The text's checksum."""
    return hashlib.sha256(text.encode()).hexdigest()
