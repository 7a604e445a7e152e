"""What tests of the ceremonies share: the modules, an event told by the clock, and its board."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fixtures import story
from jobs import load

from kit import board
from kit.cards import Board
from kit.journal import Event
from kit.plan import Plan

(
    actions,
    charter,
    decisions,
    documents,
    figures,
    forms,
    moments,
    pictures,
    retros,
    standups,
    team_notes,
    team_retros,
) = load(
    "runbooks",
    *("actions", "charter", "decisions", "documents", "figures", "forms", "moments", "pictures"),
    *("retros", "standups", "team_notes", "team_retros"),
)  # together, so that they have each other's classes

PLAN = story.plan()
EVIL = '<script>alert("x")</script> | [a](javascript:b) **c** &lt; `d`'


def at(text: str) -> dt.datetime:
    """`1 09:30` is half past nine on day 1, in the event's zone."""
    day, clock = text.split()
    date = PLAN.event.dates[0] + dt.timedelta(days=int(day) - 1)
    return dt.datetime.combine(date, dt.time.fromisoformat(clock), PLAN.event.zone)


class Told(story.Story):
    """An event, told by the clock."""

    def say(self, moment: str, type: str, card: str = "D1", who: str = "ann", **data: Any) -> Event:
        if type == "completed":
            return self.complete(at(moment), card, who, **data)
        return self.tell(at(moment), type, card, who, **data)

    def work(self, card: str, start: str, end: str) -> None:
        self.say(start, "started", card)
        self.say(end, "completed", card)

    def wall(self, now: str, plan: Plan = PLAN) -> Board:
        return board.fold(plan, self.events, now=at(now) + dt.timedelta(milliseconds=1))


def busy() -> Told:
    """Two days in which something of each kind happens."""
    told = Told()
    told.work("E1", "1 09:00", "1 09:10")
    told.work("D1", "1 09:20", "1 10:20")
    told.say("1 10:30", "started", "D2")
    told.say("1 11:00", "blocked", "D2", reason="No quota for ml.m5.xlarge", unblocker="account team")
    told.say("1 15:00", "unblocked", "D2")
    told.say(
        "1 15:10", "failed", "D2", cell="wait", error="ClientError", message="AccessDenied: no\nmore", copy=""
    )
    told.say("1 15:30", "completed", "D2")
    told.say(
        "1 16:00",
        "standup",
        "S1p",
        day=1,
        part="pm",
        lanes={
            "data_engineering": {
                "focus": "Features by noon",
                "decision": "May we use the age?",
                "confidence": 4,
            }
        },
    )
    told.say("1 16:30", "retro", "R1", day=1, liked=["the room"], lacked=[], learned=[], longed_for=[])
    told.say(
        "1 16:31",
        "added",
        "A-1-1",
        id="A-1-1",
        title="Ask for the quota",
        workstream="event",
        day=2,
        minutes=30,
        owner="Ben",
        due="2026-12-02",
        source="R1",
    )
    told.say("2 09:10", "started", "D3")
    told.say("2 09:20", "blocked", "D3", reason="The role may not read", unblocker="")
    told.say("2 09:05", "started", "M1")
    return told
