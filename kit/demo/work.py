"""What happens to the cards of a demonstration: people take them, get stuck, fail, go on, and leave evidence."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator

from kit import plan as plans
from kit.demo import words
from kit.demo.world import ACCOUNT, Job, Person, Wait, World, attachment, check, copy, sha256

__all__ = ["Work"]

STEPS = 8  # looks that a card gets while somebody works on it
STRIKES = (  # the share of a day that has passed, what happens, and the working minutes that it takes
    (0.2, "blocked", 70.0),
    (0.55, "failed", 80.0),
    (0.53, "blocked", 100.0),
    (0.56, "blocked", 90.0),
)


class Work:
    """The work of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = world.chance
        self.busy: set[str] = set()
        self.own = itertools.count(11)

    def plan(self) -> None:
        """Let the days' work begin at its times."""
        days = self.world.calendar.days
        self.world.join(self._dealing(), self.world.calendar.opening)
        for day, (opens, closes) in days.items():
            whole = closes - opens
            for share, kind, minutes in STRIKES[: 2 if day == len(days) else None]:
                self.world.join(self._struck(kind, minutes), opens + whole * share)
            self.world.join(self._shown(), opens + whole * 0.58)
            for half, share in enumerate((0.1, 0.5)):
                self.world.join(self._own_work(day, half), opens + whole * share)
            for share in (0.1, 0.3, 0.45, 0.85):
                self.world.join(self._accepted(), opens + whole * share)
            if day > 1:
                for share in (0.3, 0.72)[: 1 if day == len(days) else 2]:
                    self.world.join(self._once_more(), opens + whole * share)

    def _dealing(self) -> Iterator[Wait]:
        """Whoever is free takes the next card that can be started."""
        while True:
            for lane in self.world.plan.workstreams:
                for team in dict.fromkeys(
                    job.team for job in self.world.jobs if job.card.workstream == lane.id
                ):
                    self._deal(lane, team)
            yield self.chance.uniform(3, 6)

    def _deal(self, lane: plans.Workstream, team: str) -> None:
        group = self.world.group(lane, team)
        free = [p for p in group if p.name not in self.busy]
        mine = [job for job in self.world.jobs if job.card.workstream == lane.id and job.team == team]
        doing = [job.card for job in mine if job.state == "doing"]
        limit = (lane.wip or max(2, min(3, len(group) // 2))) + (self.chance.random() < 0.04)
        if not free or sum(bool(card.notebook) for card in doing) >= limit:
            return
        day = self.world.calendar.day(self.world.at)
        late = self.world.at > self.world.calendar.days[day][0] + dt.timedelta(hours=5)
        for job in sorted(mine, key=lambda job: job.card.day):
            room = job.card.notebook or len(doing) < limit  # a runbook comes first
            if room and job.state == "waiting" and job.card.day <= day + late and self._possible(job):
                job.state, job.owner = "doing", self.chance.choice(free)
                self.busy.add(job.owner.name)
                self.world.join(self._work(job, job.owner), self.world.at)
                return

    def _possible(self, job: Job) -> bool:
        done = {other.key for other in self.world.jobs if other.state == "done"}
        known = {card.id for card in self.world.plan.ceremonies}
        return all(need in known or (need, job.team) in done or (need, "") in done for need in job.card.needs)

    def _work(self, job: Job, owner: Person) -> Iterator[Wait]:
        """From the first claim to the evidence."""
        chance, card = self.chance, job.card
        self.world.tell(owner, "claimed", job, owner=owner.name)
        others = [p for p in self.world.group(self.world.plan.lane(card.workstream), job.team) if p != owner]
        if others and chance.random() < 0.6:  # somebody joins; or two reach for one card at the same moment
            yield chance.choice((0.01, 0.05, chance.uniform(1, 15)))
            other = chance.choice(others)
            self.world.tell(other, "claimed", job, owner=other.name)
        yield chance.uniform(0.5, 4)
        run = self._started(job, owner, chance.random() < 0.6)
        if chance.random() < 0.15:
            job.trouble.append(("blocked", chance.uniform(15, 60)))
        if chance.random() < 0.35 and card.notebook:
            job.trouble.append(("failed", chance.uniform(6, 20)))
        for step in range(STEPS):
            yield (
                card.minutes
                * chance.uniform(0.45, 0.8)
                * (1 if card.notebook else 3)
                / STEPS
                * (0.1 if job.hurry else 1)
            )
            while job.trouble:
                (kind, minutes), job.stopped = job.trouble.pop(0), True
                yield from (
                    self._block(job, owner, minutes) if kind == "blocked" else self._fail(job, owner, minutes)
                )
                run = self._started(job, owner, bool(run)) if kind == "failed" else run
                job.stopped = False
            self._along_the_way(job, owner, step)
        job.times += 1
        self.busy.discard(owner.name)
        if card.notebook:
            self._complete(job, owner, run)
            self._found_work(job, owner)
            job.state = "review" if card.review else "done"
        else:
            self.world.tell(
                owner, "review", job, evidence=f"Done and shown to the room: {card.title.lower()}"
            )
            job.state = "review"

    def _started(self, job: Job, who: Person, by_runner: bool) -> str:
        """A run begins, by `kit run` or (then "") by stepping through the notebook."""
        moment, mark = f"{self.world.at:%Y%m%d-%H%M%S}", f"{self.chance.getrandbits(16):04x}"
        run = f"{moment}-{mark}" if by_runner else ""
        self.world.tell(who, "started", job, run=run, notebook=job.card.notebook)
        return run

    def _along_the_way(self, job: Job, who: Person, step: int) -> None:
        """A check that holds, something made in AWS, a note, a file."""
        checks = self.world.criteria.get(job.card.id, ())
        if job.card.notebook and step % 2 and step // 2 < len(checks):
            self.world.tell(who, "checked", job, **check(checks[step // 2]))
        if job.card.notebook and step == 2:
            name = f"eba-{job.card.id.lower()}-{self.chance.getrandbits(24):06x}"
            arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:processing-job/{name}"
            thing = {"service": "sagemaker", "operation": "CreateProcessingJob", "name": name, "arn": arn}
            self.world.tell(who, "made", job, **thing)
            self.world.made.append((job, thing))
        if self.chance.random() < 0.07:
            self.world.tell(who, "noted", job, text=self.chance.choice(words.NOTES))
        if self.chance.random() < 0.03:
            path = f"attachments/{'/'.join(filter(None, (job.team, job.card.id)))}/sketch-{step}.md"
            text = attachment(job.card.id)
            self.world.tell(
                who, "attached", job, title="Sketch from the whiteboard", path=path, sha256=sha256(text)
            )

    def _block(self, job: Job, owner: Person, minutes: float) -> Iterator[Wait]:
        told = words.BLOCKS.get(job.card.workstream if job.card.notebook else "") or words.BLOCKS[""]
        reason, unblocker = self.chance.choice(told)
        self.world.tell(owner, "blocked", job, reason=reason, unblocker=unblocker)
        yield minutes
        self.world.tell(owner, "unblocked", job, note=f"{unblocker} sat down with us; it goes on.")

    def _fail(self, job: Job, owner: Person, minutes: float) -> Iterator[Wait]:
        told = words.FAILURES.get(job.card.id, ()) + words.FAILURES[""]
        cell, error, message, mended = (
            told[0] if len(told) > len(words.FAILURES[""]) else self.chance.choice(told)
        )
        run = f"{self.world.at:%Y%m%d-%H%M%S}-{self.chance.getrandbits(16):04x}"
        seconds = round(self.chance.uniform(20, 400), 1)
        facts = {"run": run, "copy": copy(job, run), "seconds": seconds}
        self.world.tell(owner, "failed", job, **facts, cell=cell, error=error, message=message)
        for other in self.world.jobs:
            if job.card.id in other.card.needs and other.team in ("", job.team) and other.state == "waiting":
                self.world.tell(owner, "skipped", other, run=run, reason=f"{job.card.id} failed")
                break
        yield minutes
        self.world.tell(owner, "noted", job, text=mended)

    def _complete(self, job: Job, who: Person, run: str) -> None:
        """The evidence: every check holds, and what was measured."""
        card, chance = job.card, self.chance
        days = self.world.calendar.elapsed(self.world.at)
        metrics = {}
        for name, (first, a_day) in words.METRICS.get(card.id, {}).items():
            value = first + a_day * (days - card.day + 1) + abs(a_day) * chance.uniform(-0.15, 0.15)
            metrics[name] = round(value, 4) if isinstance(first, float) else float(max(0, round(value)))
        attachments = []
        if job.times == 1 and chance.random() < 0.4:
            path = f"attachments/{'/'.join(filter(None, (job.team, card.id)))}/result.md"
            attachments = [{"title": "Result", "path": path, "sha256": sha256(attachment(card.id))}]
        self.world.tell(
            who,
            "completed",
            job,
            run=run,
            notebook=card.notebook,
            sha256=sha256(f"{card.id} {job.times}"),
            seconds=round(chance.uniform(15, 600), 1),
            checks=[check(name) for name in self.world.criteria.get(card.id, ()) or ("It ran to its end",)],
            outputs={"result": f"s3://eba-{ACCOUNT}-us-east-1/eba/{card.id.lower()}/result"},
            metrics=metrics,
            attachments=attachments,
        )
        if run:
            seconds = round(chance.uniform(20, 640), 1)
            self.world.tell(who, "executed", job, run=run, copy=copy(job, run), seconds=seconds, ok=True)

    def _found_work(self, job: Job, who: Person) -> None:
        """A runbook puts cards on the board."""
        for key, title, role, minutes, criterion in words.WORK.get(job.card.id, ()):
            day = min(
                self.world.calendar.day(self.world.at) + (key == "consent"), len(self.world.plan.event.dates)
            )
            self.world.add(who, f"{job.card.id}-{key}", title, job.card.workstream, day, minutes, job.team,
                     role=role, criteria=[criterion], source=job.card.id)  # fmt: skip

    def _struck(self, kind: str, minutes: float) -> Iterator[Wait]:
        """Something that a day of an event never lacks: a long block, a run that fails."""
        for tries in itertools.count():
            doing = [j for j in self.world.jobs if j.state == "doing" and not j.stopped and not j.trouble]
            doing = [j for j in doing if j.card.notebook or kind == "blocked"]
            if doing:  # most often not what everything else waits for
                doing.sort(key=lambda job: (not job.card.notebook, self._waiting_for(job)))
                job = self.chance.choice(doing[:2])
                job.trouble.append((kind, minutes))
                return
            again = [j for j in self.world.jobs if j.state == "done" and j.card.notebook]
            if kind == "failed" and tries > 1 and again:  # then what was done is run again
                job = self.chance.choice(again)
                who = job.owner or self.world.people[0]
                self._started(job, who, True)
                yield from self._fail(job, who, minutes)
                self._complete(job, who, self._started(job, who, True))
                return
            yield 5

    def _shown(self) -> Iterator[Wait]:
        """Where nothing waits for review, somebody brings work that is nearly done."""
        if not any(job.state == "review" for job in self.world.jobs):
            for job in [j for j in self.world.jobs if j.state == "doing" and not j.card.notebook][:2]:
                job.hurry = True
        yield from ()

    def _waiting_for(self, job: Job) -> int:
        return sum(job.card.id in other.card.needs for other in self.world.jobs)

    def _accepted(self) -> Iterator[Wait]:
        """Those who lead look at what waits for them."""
        for job in [job for job in self.world.jobs if job.state == "review"]:
            yield self.chance.uniform(0.5, 2)
            self.world.tell(
                self.world.lead(job.card.workstream), "accepted", job, evidence="Seen together at the screen."
            )
            job.state = "done"

    def _once_more(self) -> Iterator[Wait]:
        """What is done is run again on better data: most often it becomes better, now and then it fails."""
        for job in [job for job in self.world.jobs if job.state == "done" and job.card.id in words.METRICS]:
            if self.chance.random() < 0.45 or "auc" in words.METRICS[job.card.id]:
                yield self.chance.uniform(1, 4)
                who = job.owner or self.world.people[0]
                run = self._started(job, who, True)
                yield self.chance.uniform(0.5, 6)
                if self.chance.random() < 0.1:
                    yield from self._fail(job, who, self.chance.uniform(8, 30))
                    run = self._started(job, who, True)
                    yield self.chance.uniform(0.5, 6)
                job.times += 1
                self._complete(job, who, run)

    def _own_work(self, day: int, half: int) -> Iterator[Wait]:
        """What a workstream sets itself besides its runbooks, in the morning and after lunch."""
        for lane in self.world.plan.workstreams:
            todo = words.OWN.get(lane.id) or words.OWN[""]
            if (n := 2 * (day - 1) + half) < len(todo):
                title, minutes, criterion = todo[n]
                yield self.chance.uniform(0.5, 3)
                who = self.world.lead(lane.id)
                self.world.add(
                    who,
                    f"X{next(self.own)}",
                    title,
                    lane.id,
                    day,
                    minutes,
                    criteria=[criterion],
                    source="person",
                )
