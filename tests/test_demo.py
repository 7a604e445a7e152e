"""The demonstration: an event that holds everything a board can show, the same for the same seed, and never the real one."""

from __future__ import annotations

import collections
import datetime as dt
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit import board as boards
from kit import cli, cli_demo, demo, flow, hours, journal
from kit import plan as plans
from kit.demo.files import LIST, Folder, cast
from kit.errors import UsageError

PLAN = cast(plans.load(), 40)
TOLD = {
    *("started", "checked", "completed", "executed", "failed", "skipped", "blocked", "unblocked", "claimed"),
    *("noted", "attached", "added", "review", "accepted", "made", "removed"),
    *("standup", "retro", "decided", "charter"),
}


def ran(*arguments: str) -> str:
    result = CliRunner().invoke(cli.cli, ["demo", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "board" / "journal").iterdir()}


# What happens


def test_every_type_of_event_happens() -> None:
    assert {event.type for event in demo.events(PLAN)} == TOLD


def test_forty_people_take_part() -> None:
    crew = demo.people(PLAN)
    assert len({person.name for person in crew}) == 40
    assert {event.who for event in demo.events(PLAN)} <= {person.name for person in crew}
    assert sum(len(lane.people) for lane in PLAN.workstreams) == 40
    assert len({person.name for person in demo.people(PLAN, 400)}) == 400


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_at_half_past_two_of_day_two_every_column_has_cards(seed: int) -> None:
    now = cli_demo.moment(PLAN, "2 14:30")
    board = boards.fold(PLAN, [e for e in demo.events(PLAN, seed) if e.ts <= now], now=now)
    assert all(board.counts().values()), board.counts()
    assert any(card.failed for card in board.cards)
    assert all(card.reason and card.unblocker for card in board.cards if card.state == "Blocked")
    assert board.unknown == ()


def test_the_event_ends_with_nearly_everything_done_and_claims_are_settled() -> None:
    board = boards.fold(PLAN, demo.events(PLAN))
    assert board.counts()["Done"] >= 0.8 * len(board.cards)
    assert any(card.helpers for card in board.cards)
    assert len(flow.blocks(board)) >= 6
    assert {card.source for card in board.cards} >= {"plan", "person", "D5", "O2"}
    assert [card.id for card in board.cards if card.id.startswith("A-1-")]


def test_work_is_done_within_the_working_hours() -> None:
    for event in demo.events(PLAN):
        day = hours.day_of(PLAN.event, event.ts)
        assert day
        if event.type in ("claimed", "blocked", "unblocked", "made", "executed", "review"):
            opens, closes = hours.bounds(PLAN.event, day)
            assert opens <= event.ts <= closes + dt.timedelta(minutes=5), event


def test_metrics_rise_over_the_days() -> None:
    told = [e for e in demo.events(PLAN) if e.type == "completed" and e.card == "M1"]
    values = [e.data["metrics"]["auc"] for e in told]
    assert len(values) >= 2
    assert values[-1] > values[0] + 0.005
    assert all(0.7 < value < 0.95 for value in values)


def test_standups_retros_and_the_charter_say_what_was_agreed() -> None:
    told = collections.defaultdict(list)
    for event in demo.events(PLAN):
        told[event.type].append(event.data)
    assert [(d["day"], d["part"]) for d in told["standup"]] == [
        (n, p) for n in (1, 2, 3) for p in ("am", "pm")
    ]
    for standup in told["standup"]:
        assert set(standup["lanes"]) == {lane.id for lane in PLAN.workstreams}
        assert all(set(said) == {"focus", "decision", "confidence"} for said in standup["lanes"].values())
    assert [d["day"] for d in told["retro"]] == [1, 2, 3]
    assert all(d["liked"] and d["lacked"] and d["learned"] and d["longed_for"] for d in told["retro"])
    asked = {said["decision"] for d in told["standup"] for said in d["lanes"].values()}
    assert {d["decision"] for d in told["decided"]} <= asked
    [charter] = told["charter"]
    assert {"goal", "problem", "criteria", "scope_in", "scope_out", "people", "pending", "asked"} <= set(
        charter
    )


def test_everything_made_is_removed_in_the_end() -> None:
    told = demo.events(PLAN)
    made, removed = ({e.data["arn"] for e in told if e.type == type} for type in ("made", "removed"))
    assert made == removed != set()


def test_teams_do_cards_of_their_own() -> None:
    plan = cast(plans.load(), 40, teams=3)
    board = boards.fold(plan, demo.events(plan))
    assert {card.team for card in board.cards if card.id == "D2"} == {"blue", "green", "amber"}
    assert board.counts()["Done"] > 0.6 * len(board.cards)
    with pytest.raises(UsageError, match="no 99 teams"):
        cast(plans.load(), 40, teams=99)


def test_ten_thousand_events_are_told_when_asked_for() -> None:
    told = demo.events(PLAN, at_least=10_000)
    assert 10_000 <= len(told) < 10_010
    assert told == sorted(told, key=lambda e: (e.ts, e.id))
    assert len({e.id for e in told}) == len(told)
    few, many = (boards.fold(PLAN, events).counts() for events in (demo.events(PLAN), told))
    assert few == many


def test_a_plan_without_ceremonies_and_with_one_workstream_has_its_event_too() -> None:
    plan = plans.read(
        {
            "event": {"name": "One day", "dates": [dt.date(2026, 12, 1)], "hours": ["10:00", "14:00"]},
            "workstreams": [{"id": "own", "title": "Own"}],
            "data": {"target": "y"},
            "subtasks": [
                {"id": "Q1", "title": "Ask", "notebook": "own/q1.ipynb", "day": 1, "minutes": 30, "workstream": "own"}
            ],
        }
    )  # fmt: skip
    told = demo.events(plan, 3, demo.people(plan, 2))
    assert {"standup", "retro", "charter", "completed"} <= {event.type for event in told}
    assert boards.fold(plan, told)["Q1"].run


# On disk


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        ran("--seed", seed, "--until", "1 11:00", "--into", str(tmp_path / name))
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")


def test_a_moment_shows_the_beginning_of_the_same_event(tmp_path: Path) -> None:
    ran("--into", str(tmp_path / "whole"))
    ran("--until", "2 09:05", "--into", str(tmp_path / "part"))
    whole, part = content(tmp_path / "whole"), content(tmp_path / "part")
    assert all(whole[name].startswith(text) for name, text in part.items())
    assert sum(map(len, part.values())) < sum(map(len, whole.values()))


def test_the_journal_has_one_file_per_writer_and_reads_well(event_folder: Path) -> None:
    said = ran()
    folder = event_folder / "demo"
    book = journal.open(folder / "board" / "journal", "reader")
    assert book.problems() == []
    events = book.snapshot()
    assert events == demo.events(PLAN)
    assert len(content(folder)) == len({e.who for e in events})
    for name, text in content(folder).items():
        lines = [json.loads(line) for line in text.splitlines()]
        assert len({(line["who"], line["host"]) for line in lines}) == 1, name
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert said.count("Report: ") == 3
    assert sorted(f.name for f in (folder / "reports").glob("day-*.html")) == [
        f"day-{n}.html" for n in (1, 2, 3)
    ]
    assert json.loads((folder / "board" / "board.json").read_text())["counts"]["Done"] > 20


def test_every_file_that_the_journal_names_is_there(event_folder: Path) -> None:
    ran()
    folder = event_folder / "demo"
    for event in demo.events(PLAN):
        attached = [event.data] if event.type == "attached" else event.data.get("attachments", [])
        for item in attached:
            assert hashlib.sha256((folder / item["path"]).read_bytes()).hexdigest() == item["sha256"]
        if copy := event.data.get("copy"):
            assert "nothing was executed" in (folder / copy).read_text()


def test_its_plan_can_be_used_to_look_at_it(event_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran("--teams", "2", "--until", "1 12:00")
    monkeypatch.setenv("KIT_HOME", str(event_folder / "demo"))
    monkeypatch.setenv("KIT_PLAN", str(event_folder / "demo" / "plan.yml"))
    plan = plans.load()
    assert plan.teams == ("blue", "green")
    assert all(lane.lead for lane in plan.workstreams)
    shown = CliRunner().invoke(cli.cli, ["board"], catch_exceptions=False).output
    assert "D1@blue" in shown


def test_the_next_demonstration_replaces_the_one_before(event_folder: Path) -> None:
    ran("--people", "60")
    ran("--people", "8", "--until", "1 12:00")
    folder = event_folder / "demo"
    assert len(content(folder)) <= 8
    assert [f.name for f in (folder / "reports").glob("day-*.html")] == ["day-1.html"]
    kept = set(json.loads((folder / LIST).read_text())["files"])
    there = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    assert there == kept


def test_a_real_journal_is_never_written_to(event_folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    journal.open(real / "board" / "journal", "ann").append("noted", text="real")
    before = content(real)
    with pytest.raises(UsageError, match="holds a journal of real work") as refused:
        ran("--into", str(real))
    assert len(str(refused.value).splitlines()) == 2
    assert content(real) == before
    assert not (real / LIST).exists()
    with pytest.raises(UsageError, match="the event's own folder"):
        ran("--into", str(event_folder))
    assert not event_folder.exists()


def test_what_somebody_tried_on_the_demonstrations_board_is_not_removed(event_folder: Path) -> None:
    ran("--until", "1 10:00")
    journal.open(event_folder / "demo" / "board" / "journal", "ann").append("noted", text="tried")
    with pytest.raises(UsageError, match=r"real work \(board/journal/ann\."):
        ran("--until", "1 10:00")


def test_a_list_that_names_files_elsewhere_removes_none(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / LIST).write_text(json.dumps({"files": ["../mine.txt", str(tmp_path / "mine.txt")]}))
    Folder(tmp_path / "demo", tmp_path / "home")
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["4 10:00", "0 10:00", "2 25:00", "2", "tomorrow", "2 10:0"])
def test_a_moment_that_is_none_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="no moment of the event"):
        cli_demo.moment(PLAN, text)


# Live


def test_a_live_demonstration_comes_to_the_same_end(event_folder: Path) -> None:
    ran("--live", "1")
    live = content(event_folder / "demo")
    ran()
    assert content(event_folder / "demo") == live


def test_ctrl_c_ends_a_live_demonstration_between_two_events(event_folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kit", "demo", "--live", "60"],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert "Ctrl-C ends" in process.stdout.readline()
    book = journal.open(event_folder / "demo" / "board" / "journal", "reader")
    while len(book.snapshot()) < 10:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    told = book.snapshot()
    assert told == demo.events(PLAN)[: len(told)]
    assert f"{len(told)} events by" in said
    assert json.loads((event_folder / "demo" / "board" / "board.json").read_text())["version"] == 1
