"""How recorded figures went over the days: those that a workstream measured more than once. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from kit import raw
from kit.cards import Board
from kit.journal import Event

__all__ = ["Series", "Value", "over_days"]


@dataclass(frozen=True)
class Value:
    """A figure as a card's runbook recorded it, and the day of the event that this belongs to."""

    at: dt.datetime
    day: int
    card: str
    value: float


@dataclass(frozen=True)
class Series:
    """A figure by its name, of a workstream (its id) and a team ("" if there is one), oldest value first."""

    lane: str
    team: str
    name: str
    values: tuple[Value, ...]

    def on(self, day: int) -> tuple[Value, ...]:
        """The values of a day."""
        return tuple(value for value in self.values if value.day == day)


def over_days(board: Board, day_of: Callable[[Event], int]) -> tuple[Series, ...]:
    """The figures of which there are at least two values, by workstream, then by name, then by team.

    A figure is told apart by its name within the workstream: `auc` of M1 and of M2 make one line, `rows` of data
    engineering and of MLOps do not. Only runs count whose checks all held.
    """
    found: dict[tuple[str, str, str], list[Value]] = {}
    for card in board.cards:
        for event in card.history:
            if event.type != "completed" or not _holds(event):
                continue
            for name, measured in raw.mapping(event.data.get("metrics")).items():
                if (value := raw.number(measured)) is not None:
                    told = Value(event.ts, day_of(event), card.id, float(value))
                    found.setdefault((card.workstream, name, card.team), []).append(told)
    order = {lane.id: n for n, lane in enumerate(board.lanes)}
    teams = {team: n for n, team in enumerate(board.teams)}
    first: dict[tuple[str, str], int] = {}
    for lane, name, _ in found:
        first.setdefault((lane, name), len(first))
    several = [
        Series(lane, team, name, tuple(sorted(values, key=lambda v: v.at)))
        for (lane, name, team), values in found.items()
        if len(values) > 1
    ]
    return tuple(
        sorted(several, key=lambda s: (order.get(s.lane, 0), first[s.lane, s.name], teams.get(s.team, -1)))
    )


def _holds(event: Event) -> bool:
    checks = raw.checks(event.data.get("checks"))
    return bool(event.data.get("sha256") and checks) and all(check.ok for check in checks)
