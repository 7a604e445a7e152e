"""The days of a demonstration: its working hours with their breaks, and when its ceremonies are held."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from pathlib import PurePosixPath

from kit import hours, plan

__all__ = ["Calendar", "Rite"]

KINDS = ("preflight", "charter", "standup", "retro", "team_retro", "close_out", "clean_up")


@dataclass(frozen=True)
class Rite:
    """A ceremony: its notebook's name, its card ("" where the plan has none), when, and how long in minutes."""

    kind: str
    card: str
    day: int
    at: dt.datetime
    minutes: int

    part: str = ""


class Calendar:
    """When people work: the plan's hours, without lunch and what interrupts work for everybody."""

    def __init__(self, the_plan: plan.Plan) -> None:
        self.event = the_plan.event
        self.days = {n: hours.bounds(self.event, n) for n in range(1, len(self.event.dates) + 1)}
        self.rites = sorted(self._rites(the_plan), key=lambda rite: rite.at)
        self.opening = self.days[1][0]
        self.periods: list[tuple[dt.datetime, dt.datetime]] = []
        for opens, closes in self.days.values():
            breaks = [(rite.at, rite.at + dt.timedelta(minutes=rite.minutes)) for rite in self.rites]
            if closes - opens > dt.timedelta(hours=5):
                noon = opens + (closes - opens) * 0.4
                breaks.append((noon, noon + dt.timedelta(minutes=45)))
            start = opens
            for begin, end in sorted(breaks):
                if begin < closes and end > opens:
                    self.periods += [(start, begin)] if start < begin else []
                    start = max(start, end)
            self.periods += [(start, closes)] if start < closes else []

    def _rites(self, the_plan: plan.Plan) -> list[Rite]:
        """The plan's ceremonies; standups and a retro each day where the plan has none."""
        found = []
        for card in the_plan.ceremonies:
            stem = PurePosixPath(card.notebook).stem
            at = (
                self.moment(card.day, card.at)
                if card.at
                else self.days[card.day][0] - dt.timedelta(minutes=30)
            )
            noon = self.days[card.day][0] + (self.days[card.day][1] - self.days[card.day][0]) / 2
            found.append(Rite(stem, card.id, card.day, at, card.minutes, "am" if at < noon else "pm"))
        kinds = {rite.kind for rite in found}
        for day, (opens, closes) in self.days.items():
            if "standup" not in kinds:
                found.append(Rite("standup", "", day, opens + dt.timedelta(minutes=30), 15, "am"))
                found.append(Rite("standup", "", day, closes - dt.timedelta(minutes=60), 15, "pm"))
            if "retro" not in kinds:
                found.append(Rite("retro", "", day, closes - dt.timedelta(minutes=30), 30))
        if "charter" not in kinds:
            found.append(Rite("charter", "", 1, self.opening_of_all() - dt.timedelta(minutes=15), 15))
        if "clean_up" not in kinds:
            found.append(Rite("clean_up", "", len(self.days), self.days[len(self.days)][1], 5))
        return found

    def opening_of_all(self) -> dt.datetime:
        """When the first day begins."""
        return self.days[1][0]

    def moment(self, day: int, clock: str) -> dt.datetime:
        """A clock time of a day of the event, in UTC."""
        at = dt.datetime.combine(self.event.dates[day - 1], dt.time.fromisoformat(clock), self.event.zone)
        return at.astimezone(dt.UTC)

    def later(self, moment: dt.datetime, minutes: float) -> dt.datetime | None:
        """The moment so many working minutes on; None where the event is over before."""
        left = dt.timedelta(minutes=minutes)
        for start, end in self.periods:
            begin = max(start, moment)
            if begin < end:
                if begin + left <= end:
                    return begin + left
                left -= end - begin
        return None

    def day(self, moment: dt.datetime) -> int:
        """The day that a moment belongs to, from 1: the last that has begun."""
        return max((n for n, (opens, _) in self.days.items() if opens <= moment), default=1)

    def elapsed(self, moment: dt.datetime) -> float:
        """Days of work since the event began: 1.5 at the middle of day 2."""
        day = self.day(moment)
        opens, closes = self.days[day]
        return day - 1 + min(1.0, max(0.0, (moment - opens) / (closes - opens)))

    def some_moment(self, chance: random.Random, since: dt.datetime) -> dt.datetime:
        """A working moment after another, or that moment itself."""
        left = [(max(start, since), end) for start, end in self.periods if end > since]
        if not left:
            return since
        start, end = chance.choice(left)
        return start + (end - start) * chance.random()
