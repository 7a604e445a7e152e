"""The board under what rooms do to it: everybody at once, kills, full disks, wrong clocks, a newer kit beside an older."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import board as boards
from kit import cli, journal
from kit import plan as plans
from kit.errors import JournalError

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CONTEXT = multiprocessing.get_context("fork")
PLAN = plans.load()
NOON = dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)


def kit(*arguments: str, user: str = "ann") -> subprocess.CompletedProcess[str]:
    """The command as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "kit", *arguments],
        env=os.environ | {"KIT_USER": user},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in that many processes, all beginning together; each must end well."""
    begin = CONTEXT.Barrier(count)

    def run(n: int) -> None:
        begin.wait(240)
        work(n)

    children = [CONTEXT.Process(target=run, args=(n,)) for n in range(count)]
    for child in children:
        child.start()
    for child in children:
        child.join(240)
        assert child.exitcode == 0


# Everybody at once


def claim(n: int) -> None:
    os.environ["KIT_USER"] = f"person-{n}"
    result = CliRunner().invoke(cli.cli, ["board", "claim", "D2"], catch_exceptions=False)
    assert result.exit_code == 0


def test_two_people_who_claim_a_card_at_once_are_settled_alike_for_everybody(event_folder: Path) -> None:
    at_once(2, claim)
    book = journal.open(event_folder / "board" / "journal", "reader")
    claims = [event for event in book.snapshot() if event.type == "claimed"]
    card = boards.fold(PLAN, claims)["D2"]
    assert {card.owner, *card.helpers} == {"person-0", "person-1"}
    assert card.owner == claims[0].who
    assert boards.fold(PLAN, claims[::-1])["D2"] == card
    kept = json.loads((event_folder / "board" / "board.json").read_text())
    [shown] = [c for c in kept["cards"] if c["id"] == "D2"]
    assert (shown["owner"], tuple(shown["helpers"])) == (card.owner, card.helpers)


@pytest.mark.stress
def test_two_hundred_people_claim_one_card_at_once(event_folder: Path) -> None:
    at_once(200, claim)
    board = boards.fold(PLAN, journal.open(event_folder / "board" / "journal", "reader").snapshot())
    assert len({board["D2"].owner, *board["D2"].helpers}) == 200
    [shown] = [
        c for c in json.loads((event_folder / "board" / "board.json").read_text())["cards"] if c["id"] == "D2"
    ]
    assert (shown["owner"], len(shown["helpers"])) == (board["D2"].owner, 199)


def _note_and_refresh(folder: Path, number: int, acknowledged: Any) -> None:
    book = journal.open(folder / "journal", f"w{number}")
    while True:
        book.append("noted", "D2", text=f"{number}:{acknowledged[number]}")
        acknowledged[number] += 1
        boards.refresh(PLAN, book, folder)


@pytest.mark.stress
def test_the_boards_files_are_always_whole_while_writers_are_killed(tmp_path: Path) -> None:
    chance = random.Random(11)
    acknowledged = CONTEXT.Array("q", 10_000, lock=False)
    started = 0

    def start() -> Any:
        nonlocal started
        child = CONTEXT.Process(target=_note_and_refresh, args=(tmp_path, started, acknowledged))
        started += 1
        child.start()
        return child

    alive = [start() for _ in range(40)]
    seen = 0
    for _ in range(80):
        time.sleep(chance.uniform(0, 0.1))
        victim = chance.randrange(len(alive))
        alive[victim].kill()
        alive[victim].join()
        alive[victim] = start()
        if (tmp_path / "board.json").exists():
            seen = len(json.loads((tmp_path / "board.json").read_text())["cards"])
            assert (tmp_path / "board.md").read_text().endswith("\n")
    for child in alive:
        child.kill()
        child.join()
    assert seen == len(PLAN.cards)
    board = boards.refresh(PLAN, journal.open(tmp_path / "journal", "last"), tmp_path)
    told = {note.text for note in board["D2"].notes}
    expected = {f"{n}:{k}" for n in range(started) for k in range(acknowledged[n])}
    assert expected <= told, f"{len(expected - told)} acknowledged notes are lost"
    assert len(expected) > 100


# A full disk


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 256 kB."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
        try:
            done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            done = False
        if not done:
            pytest.skip("a small disk cannot be mounted here")
        yield Path(folder)
        subprocess.run(["umount", "-l", folder], check=True)


def _fill(where: Path, number: int, acknowledged: Any) -> None:
    book = journal.open(where, f"w{number}")
    while True:
        try:
            book.append(
                "noted", "D2", text=f"{number}:{acknowledged[number]}", filler="x" * (200 + 300 * number)
            )
        except JournalError as error:
            if "the disk is full" not in error.message:
                raise
            return
        acknowledged[number] += 1


def test_writers_who_fill_the_disk_lose_nothing_and_go_on_when_there_is_space(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 50_000)
    acknowledged = CONTEXT.Array("q", 6, lock=False)
    at_once(6, lambda n: _fill(small_disk / "journal", n, acknowledged))
    reader = journal.open(small_disk / "journal", "reader")
    expected = {f"{n}:{k}" for n in range(6) for k in range(acknowledged[n])}
    assert {event.data["text"] for event in reader.snapshot()} == expected
    assert len(expected) > 50
    assert reader.problems() == []
    ballast.unlink()
    reader.append("noted", "D2", text="there is space again")
    assert len(reader.snapshot()) == len(expected) + 1


def test_a_command_on_a_full_disk_says_what_became_of_the_event(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_HOME", str(small_disk / "event"))
    assert kit("board", "note", "D2", "before").returncode == 0
    room = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (room.f_bavail * room.f_frsize - 8192))
    recorded = kit("board", "note", "D2", "in the journal, not in board.json")
    assert recorded.returncode == 4
    assert "The journal holds everything" in recorded.stderr
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    lost = kit("board", "note", "D2", "nowhere")
    assert lost.returncode == 4
    assert len(lost.stderr.splitlines()) == 2
    assert "the disk is full" in lost.stderr
    assert [p.name for p in (small_disk / "event" / "board").iterdir() if p.name.startswith(".")] == []
    ballast.unlink()
    assert kit("board", "note", "D2", "after").returncode == 0
    texts = [e.data["text"] for e in journal.open(small_disk / "event" / "board" / "journal").snapshot()]
    assert texts == ["before", "in the journal, not in board.json", "after"]


# Clocks


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    skews=st.lists(st.integers(-3600, 3600), min_size=4, max_size=4),
    steps=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(["D1", "D2"]),
            st.sampled_from(["started", "claimed", "blocked", "unblocked", "failed", "completed"]),
        ),
        max_size=25,
    ),
)
def test_whatever_the_clocks_say_the_board_is_the_one_that_right_clocks_give(
    tmp_path: Path, skews: list[int], steps: list[tuple[int, str, str]]
) -> None:
    """Everybody reads before writing, as every command does; clocks are up to an hour off, either way."""
    checks = [{"check": "It holds", "ok": True, "got": "1", "expected": "1"}]
    states = []
    for off in (skews, [0, 0, 0, 0]):
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            now = [NOON]
            clocks = [lambda now=now, by=dt.timedelta(seconds=n): now[0] + by for n in off]
            books = [journal.open(folder, f"w{n}", clock=clock) for n, clock in enumerate(clocks)]
            for k, (n, card, type) in enumerate(steps):
                now[0] = NOON + dt.timedelta(seconds=20 * k)
                books[n].catch_up()
                books[n].append(type, card, reason=f"r{k}", sha256="f", checks=checks, error="E")
            board = boards.fold(PLAN, books[0].snapshot())
            states.append(
                [(c.state, c.owner, c.helpers, c.reason, bool(c.failed)) for c in (board["D1"], board["D2"])]
            )
    assert states[0] == states[1]


# A newer kit beside an older


def test_a_newer_kits_journal_is_read_as_far_as_it_goes_and_kept(event_folder: Path) -> None:
    folder = event_folder / "board" / "journal"
    journal.open(folder, "old").append("claimed", "D2", owner="old")
    known = {"id": "01ZZ", "ts": "2026-12-01T12:00:00Z", "seq": 1, "who": "new", "host": "h"}
    lines = [
        {
            "v": 1,
            **known,
            "type": "noted",
            "card": "D2",
            "data": {"text": "with more"},
            "mood": {"new": True},
        },
        {"v": 1, **known, "id": "01ZY", "type": "teleported", "card": "D2", "data": {"to": [1, 2]}},
        {"v": 2, "what": "another form altogether"},
    ]
    newer = folder / "new.h.01ZZ.jsonl"
    newer.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = newer.read_bytes()
    assert kit("board", "block", "D2", "no quota").returncode == 0
    shown = kit("board", "show")
    assert shown.returncode == 0
    assert "no quota" in shown.stdout
    told = kit("board", "problems").stdout
    assert "new.h.01ZZ.jsonl line 3: written by a newer kit (version 2, this one reads 1)" in told
    assert kit("report", "--day", "1").returncode == 0
    card = boards.fold(PLAN, journal.open(folder, "reader").snapshot())["D2"]
    assert [note.text for note in card.notes] == ["with more"]
    assert "teleported" in {event.type for event in card.history}
    assert newer.read_bytes() == before
