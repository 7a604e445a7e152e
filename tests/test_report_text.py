"""Whatever people or runbooks write: in the report it stays text, and never stops it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
from fixtures import story
from fixtures.reading import seen

from kit import journal, report, said
from kit import plan as plans

PLAN = story.plan()
DAY_1 = dt.datetime(2026, 12, 1, 9, tzinfo=PLAN.event.zone)

EVIL = "<script>alert({0})</script><img src=x onerror=alert({0})>\"'&{0}"


def evil_plan(teams: tuple[str, ...]) -> plans.Plan:
    """A plan whose own texts are markup: the event, a workstream, its lead, every title."""
    event = dataclasses.replace(PLAN.event, name=EVIL.format("event"))
    lanes = tuple(
        dataclasses.replace(lane, title=EVIL.format(f"lane-{lane.id}"), lead=EVIL.format("lead"), wip=1)
        for lane in PLAN.workstreams
    )
    subtasks = tuple(dataclasses.replace(s, title=EVIL.format("title")) for s in PLAN.subtasks)
    return dataclasses.replace(PLAN, event=event, workstreams=lanes, subtasks=subtasks, teams=teams)


def evil_events(teams: tuple[str, ...]) -> list[journal.Event]:
    told, evil = story.Story(), EVIL.format
    told.tell(DAY_1, "added", "X<1>", who=evil("who"), title=evil("added"), workstream="mlops", day=1)
    told.tell(
        DAY_1, "added", "A-1-1", title=evil("action"), workstream="event", day=2, owner=evil("action-owner")
    )
    lanes = {
        "mlops": {"focus": evil("focus"), "decision": evil("asked"), "confidence": 3},
        evil("no-lane"): {"focus": "x"},
    }
    told.tell(DAY_1, "standup", "E1", day=1, part=evil("part"), lanes=lanes)
    told.tell(DAY_1, "decided", decision=evil("decision"), by=evil("by"), answer=evil("answer"))
    told.tell(DAY_1, "charter", asked=[{"decision": evil("charter"), "by": evil("charter-by"), "day": 2}])
    told.tell(DAY_1, "retro", "E1", day=1, **{asked: [evil(asked)] for asked in said.ASKED})
    told.tell(DAY_1, "noted", text=evil("board-note"))
    told.tell(DAY_1, "noted", evil("unknown-card"), text="x")
    for card in ("X<1>", "D1", "D2"):
        told.tell(DAY_1, "claimed", card, owner=evil("owner"))
        told.tell(DAY_1, "claimed", card, owner=evil("helper"))
        told.tell(DAY_1, "noted", card, evil("noter"), text=evil("note"))
        told.tell(DAY_1, "attached", card, title=evil("file"), path=evil("path"))
        for _ in range(2):
            checks = [{"check": evil("check"), "ok": True, "got": evil("got"), "expected": evil("expected")}]
            told.complete(
                DAY_1,
                card,
                checks=checks,
                outputs={evil("output"): evil("result")},
                metrics={evil("metric"): 1},
            )
        told.tell(
            DAY_1, "checked", card, check=evil("bad-check"), ok=False, got=evil("bad-got"), expected="0"
        )
        told.tell(DAY_1, "failed", card, cell=evil("cell"), error=evil("error"), message=evil("message"))
    checks = [{"check": evil("check"), "ok": True, "got": evil("got"), "expected": evil("expected")}]
    told.complete(DAY_1, "F1", checks=checks)
    told.tell(DAY_1, "started", "D1")
    told.tell(
        DAY_1,
        "checked",
        "D1",
        check=evil("bad-check"),
        ok=False,
        got=evil("bad-got"),
        expected=evil("bad-expected"),
    )
    told.tell(DAY_1, "blocked", "D2", reason=evil("reason"), unblocker=evil("unblocker"))
    told.tell(DAY_1, "skipped", "M1", reason=evil("skipped"))
    return [dataclasses.replace(e, team=teams[0]) if teams and e.card else e for e in told.events]


WORDS = ["event", "lane-mlops", "lead", "title", "added", "action", "action-owner", "focus", "asked", "no-lane", "part", "decision", "by", "answer", "charter", "charter-by", "liked", "lacked", "learned", "longed_for", "board-note", "unknown-card", "owner", "helper", "noter", "note", "file", "path", "bad-check", "bad-got", "cell", "error", "message", "reason", "unblocker", "skipped", "metric"]  # fmt: skip


@pytest.mark.parametrize("teams", [(), ("blue", "red")], ids=["one team", "teams"])
def test_what_people_write_stays_text(tmp_path: Path, teams: tuple[str, ...]) -> None:
    file = report.day(evil_plan(teams), evil_events(teams), 1, home=tmp_path, now=DAY_1.replace(hour=17))
    page = file.read_text(encoding="utf-8")
    assert not re.search(r"<(script|img)", page, re.IGNORECASE)
    text = seen(page).casefold()
    words = WORDS if teams else [*WORDS, "check", "got", "expected", "output", "result"]
    assert [word for word in words if EVIL.format(word).casefold() not in text] == []


JUNK = [
    None,
    True,
    -7,
    1e400,
    "",
    "x",
    "\x1b[31m\x00",
    [],
    [None, 7, {}],
    {},
    {"a": None},
    {"mlops": [1], "x": {"focus": {}}},
]
KEYS = ["day", "part", "lanes", "liked", "lacked", "learned", "longed_for", "decision", "by", "answer", "asked", "reason", "unblocker", "checks", "metrics", "outputs", "attachments", "run", "sha256", "seconds", "copy", "title", "path", "workstream", "due", "owner", "needs", "evidence", "text", "check", "ok", "got", "expected", "cell", "error", "message"]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk)[:30])
def test_data_that_makes_no_sense_does_not_stop_the_report(tmp_path: Path, junk: Any) -> None:
    told = story.Story()
    types = "started checked completed executed failed blocked unblocked claimed noted attached review accepted skipped added standup"
    for card in ("D1", "A-1-1", "E1", "nowhere", ""):
        for type in (*types.split(), "retro", "decided", "charter", "unheard"):
            told.tell(DAY_1, type, card, **dict.fromkeys(KEYS, junk))
            told.complete(
                DAY_1, "D2", **{key: junk for key in KEYS if key not in ("checks", "sha256", "run")}
            )
    assert "Day 1" in seen(report.day(PLAN, told.events, 1, home=tmp_path).read_text(encoding="utf-8"))
