"""Clocks that disagree: what was done later counts later on a card, and whose clock is wrong is said."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit import board as boards
from kit import cli, clocks, journal, paths
from kit import plan as plans

NOW = dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
PLAN = plans.load()


class Clock:
    """A clock that is `off` by some time, and goes on by a minute at each look."""

    time = NOW

    def __init__(self, off: dt.timedelta = dt.timedelta()) -> None:
        self.off = off

    def __call__(self) -> dt.datetime:
        Clock.time += dt.timedelta(minutes=1)
        return Clock.time + self.off


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "time", NOW)


def book(folder: Path, who: str, off: dt.timedelta = dt.timedelta()) -> journal.Journal:
    return journal.open(folder, who, clock=Clock(off))


def state(folder: Path, card: str) -> boards.Card:
    return boards.fold(PLAN, journal.open(folder, "reader").snapshot())[card]


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_whoever_unblocks_a_card_unblocks_it_whatever_their_clock_says(
    tmp_path: Path, off: dt.timedelta
) -> None:
    ann, bo = book(tmp_path, "ann"), book(tmp_path, "bo", off)
    ann.append("started", "D2")
    ann.append("blocked", "D2", reason="no quota")
    bo.catch_up()
    bo.append("unblocked", "D2")
    assert state(tmp_path, "D2").state == "Doing"
    ann.catch_up()
    ann.append("blocked", "D2", reason="again")
    assert state(tmp_path, "D2").reason == "again"
    bo.catch_up()
    bo.append("unblocked", "D2")
    assert [move.after for move in state(tmp_path, "D2").moves] == ["Doing", "Blocked"] * 2 + ["Doing"]


def test_a_slow_clock_takes_no_card_from_its_owner(tmp_path: Path) -> None:
    ann, bo = book(tmp_path, "ann"), book(tmp_path, "bo", -HOUR)
    ann.append("claimed", "D2", owner="ann")
    bo.catch_up()
    bo.append("claimed", "D2", owner="bo")
    card = state(tmp_path, "D2")
    assert (card.owner, card.helpers) == ("ann", ("bo",))


def test_two_who_claim_before_they_read_of_each_other_are_settled_alike_for_all(tmp_path: Path) -> None:
    ann, bo = book(tmp_path, "ann"), book(tmp_path, "bo", -HOUR)
    ann.append("claimed", "D2", owner="ann")
    bo.append("claimed", "D2", owner="bo")  # bo never saw ann's: the earlier time owns it, everywhere
    events = journal.open(tmp_path, "reader").snapshot()
    for told in (events, events[::-1]):
        card = boards.fold(PLAN, told)["D2"]
        assert (card.owner, card.helpers) == ("bo", ("ann",))


def test_moves_that_are_out_of_order_leave_a_board_that_holds_together(tmp_path: Path) -> None:
    """Evidence from a slow clock comes, by its time, before the start that others recorded."""
    ann, bo = book(tmp_path, "ann"), book(tmp_path, "bo", -HOUR)
    ann.append("started", "D2")
    checks = [{"check": "It holds", "ok": True, "got": "1", "expected": "1"}]
    bo.append("completed", "D2", sha256="f" * 64, checks=checks)
    board = boards.fold(PLAN, ann.snapshot(), now=NOW + HOUR)
    assert board["D2"].state == "Done"
    assert all((age := board.age(card)) is None or age >= dt.timedelta() for card in board.cards)
    assert boards.to_json(board)
    assert boards.to_transitions_csv(board)


def test_a_wrong_clock_moves_no_times_of_other_cards(tmp_path: Path) -> None:
    ann, fast = book(tmp_path, "ann"), book(tmp_path, "fast", HOUR)
    fast.append("noted", "D2", text="an hour ahead")
    ann.catch_up()
    pulled, own = ann.append("noted", "D2", text="after it"), ann.append("noted", "D3", text="right")
    assert pulled.ts > NOW + HOUR
    assert 3000 < pulled.late < 3600
    assert own.ts < NOW + HOUR
    assert own.late == 0
    assert json.loads(next(tmp_path.glob("ann.*")).read_text().splitlines()[1]).get("late") is None


def test_a_time_that_is_no_clocks_pulls_nobody_along(tmp_path: Path) -> None:
    ann = book(tmp_path, "ann")
    foreign = {"v": 1, "id": "x", "ts": "9999-12-31T23:59:59.999999Z", "seq": 1, "who": "x", "host": "x"}
    (tmp_path / "x.jsonl").write_text(
        json.dumps(foreign | {"type": "noted", "card": "D2", "late": 1e300}) + "\n"
    )
    ann.catch_up()
    assert ann.append("noted", "D2").ts < NOW + HOUR
    assert clocks.skews(ann.snapshot(), NOW)


def test_clocks_that_agree_are_not_mentioned(tmp_path: Path) -> None:
    ann, bo = book(tmp_path, "ann"), book(tmp_path, "bo", -dt.timedelta(seconds=70))
    for _ in range(3):
        for one in (ann, bo):
            one.catch_up()
            one.append("noted", "D2", text="hello")
    assert clocks.skews(ann.snapshot(), Clock.time) == []


def test_whose_clock_is_behind_whose_is_said(tmp_path: Path) -> None:
    ann, bo = book(tmp_path, "ann"), book(tmp_path, "bo", -HOUR)
    ann.append("noted", "D2", text="1")
    bo.catch_up()
    bo.append("noted", "D2", text="2")
    host = paths.host()
    assert clocks.skews(ann.snapshot(), Clock.time) == [
        f"The clock of bo on {host} is 59 min behind that of ann on {host}."
    ]


def test_a_clock_ahead_of_this_machines_is_said(tmp_path: Path) -> None:
    ann, fast = book(tmp_path, "ann"), book(tmp_path, "fast", 3 * HOUR)
    ann.append("noted", "D2", text="1")
    fast.append("noted", "D3", text="2")
    assert clocks.skews(ann.snapshot(), Clock.time) == [
        f"The clock of fast on {paths.host()} is 3 h ahead of this machine's."
    ]


def test_one_line_says_that_everybody_is_ahead(tmp_path: Path) -> None:
    for who in ("ann", "bo", "cy"):
        book(tmp_path, who, HOUR * 48).append("noted", text="1")
    assert clocks.skews(journal.open(tmp_path, "reader").snapshot(), Clock.time) == [
        "All 3 writers' clocks are ahead of this machine's, by up to 48 h."
    ]


def test_the_command_shows_lines_that_do_not_read_and_clocks_that_disagree(event_folder: Path) -> None:
    def told() -> str:
        return CliRunner().invoke(cli.cli, ["board", "problems"], catch_exceptions=False).output

    assert told() == "Every line of the journal reads well, and the clocks agree.\n"
    folder = event_folder / "board" / "journal"
    now = dt.datetime.now(dt.UTC)
    journal.open(folder, "fast", clock=lambda: now + HOUR).append("noted", "D2", text="ahead")
    CliRunner().invoke(cli.cli, ["board", "note", "D2", "on time"], catch_exceptions=False)
    (folder / "torn.jsonl").write_text('{"v":1,')
    lines = told().splitlines()
    assert lines[0].startswith("torn.jsonl line 1: unfinished")
    assert "behind that of fast" in lines[1]
    assert "The clock of fast" in lines[2]
    assert len(lines) == 3
