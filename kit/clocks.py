"""Clocks that disagree: whose, and by how much, as far as the journal shows it. Pure.

No clock is trusted to order what happens to a card (`kit.journal`), so nothing is lost by a wrong one; but the times on
the board and in the reports are those that the writers' machines had.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from kit import hours
from kit.journal import CLOCKS_APART, Event, merged

__all__ = ["TOLERATED", "skews"]

TOLERATED = dt.timedelta(minutes=2)


def skews(events: Iterable[Event], now: dt.datetime) -> list[str]:
    """A line for each machine whose clock was more than two minutes behind another's, or is ahead of `now` (aware).

    A machine counts as behind where somebody on it went on with a card after reading what, by the times, was still to
    come. That one is slow and the other is fast look the same: the line names both.
    """
    behind: dict[tuple[str, str], tuple[dt.timedelta, Event]] = {}
    ahead: dict[tuple[str, str], dt.timedelta] = {}
    before: dict[str, Event] = {}
    writers = set()
    for event in merged(events):
        writer, late = (event.who, event.host), _length(event.late)
        writers.add(writer)
        if event.card in before and late > max(TOLERATED, behind.get(writer, (TOLERATED, event))[0]):
            behind[writer] = late, before[event.card]
        if (early := event.ts - late - now) > max(TOLERATED, ahead.get(writer, TOLERATED)):
            ahead[writer] = early
        before[event.card] = event
    lines = [
        f"The clock of {who} on {host} is {hours.spoken(late)} behind that of {other.who} on {other.host}."
        for (who, host), (late, other) in sorted(behind.items())
    ]
    if len(ahead) == len(writers) > 1:
        most = hours.spoken(max(ahead.values()))
        lines.append(f"All {len(ahead)} writers' clocks are ahead of this machine's, by up to {most}.")
    else:
        lines += [
            f"The clock of {who} on {host} is {hours.spoken(early)} ahead of this machine's."
            for (who, host), early in sorted(ahead.items())
        ]
    return lines


def _length(seconds: float) -> dt.timedelta:
    """The seconds as a length of time; at most what counts as a clock that is wrong."""
    return dt.timedelta(seconds=min(max(0.0, seconds), CLOCKS_APART.total_seconds()))
