"""The ceremonies of a demonstration: what people say at standups and retros, what is decided, and yesterday's actions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from kit import plan as plans
from kit.demo import words
from kit.demo.days import Rite
from kit.demo.world import Job, Person, Wait, World, check, sha256

__all__ = ["Rites"]


class Rites:
    """The ceremonies of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = world.chance

    def plan(self) -> None:
        """Let each begin at its time."""
        for rite in self.world.calendar.rites:
            self.world.join(self._held(rite), rite.at)

    def _held(self, rite: Rite) -> Iterator[Wait]:
        """A ceremony: it starts, people say what they say, it is recorded."""
        host, kind, id = self.world.people[0], rite.kind, rite.card
        if id:
            self.world.tell(host, "started", id, run="", notebook=self.world.plan[id].notebook)
        yield self.world.at + dt.timedelta(minutes=rite.minutes)
        if kind == "charter":
            leads = [
                f"Lead of {lane.title}: {self.world.lead(lane.id).name}"
                for lane in self.world.plan.workstreams
            ]
            self.world.tell(
                host, "charter", id, **words.CHARTER, people=[f"Facilitator: {host.name}", *leads]
            )
        elif kind == "standup":
            self._standup(host, id, rite.day, rite.part)
        elif kind == "retro":
            self._retro(host, id, rite.day)
        elif kind == "clean_up":
            for job, thing in self.world.made:
                self.world.tell(
                    host, "removed", job, service=thing["service"], name=thing["name"], arn=thing["arn"]
                )
        if id:
            checks = [check(name) for name in self.world.criteria[id] or ("It was held",)]
            self.world.tell(host, "completed", id, run="", notebook=self.world.plan[id].notebook, sha256=sha256(id),
                      seconds=60.0 * rite.minutes, checks=checks, outputs={}, metrics={}, attachments=[])  # fmt: skip

    def _standup(self, host: Person, id: str, day: int, part: str) -> None:
        said: dict[str, dict[str, Any]] = {}
        for lane in self.world.plan.workstreams:
            focus = words.FOCUS.get(lane.id) or words.FOCUS[""]
            asks = words.DECISIONS.get(lane.id, ())
            turn = 2 * (day - 1) + (part == "pm")
            ask = asks[turn // 2] if turn % 2 == 0 and turn // 2 < len(asks) else None
            stuck = any(
                j.card.workstream == lane.id and j.state == "doing" and j.trouble for j in self.world.jobs
            )
            sure = self.chance.choice((0, 2, 3) if stuck else (3, 4, 4, 5))
            said[lane.id] = {
                "focus": focus[(day - 1) % len(focus)],
                "decision": ask[0] if ask else "",
                "confidence": sure,
            }
            if ask:
                self.world.join(
                    self._decision(ask),
                    self.world.calendar.later(self.world.at, self.chance.uniform(10, 150)) or self.world.at,
                )
        self.world.tell(host, "standup", id, day=day, part=part, lanes=said)

    def _decision(self, ask: tuple[str, str, str]) -> Iterator[Wait]:
        if self.chance.random() < 0.85:  # one stays open, as at every event
            self.world.tell(self.world.people[0], "decided", decision=ask[0], answer=ask[1], by=ask[2])
        yield from ()

    def _retro(self, host: Person, id: str, day: int) -> None:
        said = {key: self.chance.sample(told, self.chance.randint(2, 4)) for key, told in words.RETRO.items()}
        self.world.tell(host, "retro", id, day=day, **said, kept={})
        dates, last = self.world.plan.event.dates, day == len(self.world.plan.event.dates)
        due = dates[-1] + dt.timedelta(days=14) if last else dates[day]
        for n in range(3 if day % 2 else 2):
            title, role, minutes, criterion = words.ACTIONS[(3 * (day - 1) + n) % len(words.ACTIONS)]
            owner = self.chance.choice(self.world.people)
            job = self.world.add(host, f"A-{day}-{n + 1}", title, plans.EVENT, day + (not last), minutes, role=role,
                           owner=owner.name, due=due.isoformat(), criteria=[criterion], source=id or f"R{day}")  # fmt: skip
            if not last and self.chance.random() < 0.9:
                opens, closes = self.world.calendar.days[day + 1]
                self.world.join(
                    self._act(job, owner), opens + (closes - opens) * self.chance.uniform(0.2, 0.58)
                )

    def _act(self, job: Job, owner: Person) -> Iterator[Wait]:
        """An action of yesterday's retro is done by hand, and shown."""
        job.state, job.owner = "doing", owner
        self.world.tell(owner, "started", job, run="", notebook="")
        yield job.card.minutes * self.chance.uniform(0.5, 1.2)
        self.world.tell(owner, "review", job, evidence="Shown to the room; the facilitator saw it.")
        job.state = "review"
