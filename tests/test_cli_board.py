"""What the board's commands say and record: limits, claims, teams, history, import and the flow's export."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from small_event import SmallEvent

from kit import board, journal, paths, plan
from kit.cards import Board
from kit.cli import cli
from kit.errors import KitError, UsageError


def said(*arguments: str, who: str = "ann", team: str = "") -> tuple[str, str]:
    """What `kit board ...` says on stdout and on stderr; raises the KitError that it ends with."""
    ran = CliRunner().invoke(cli, ["board", *arguments], env={"KIT_USER": who, "KIT_TEAM": team or None})
    if isinstance(ran.exception, KitError):
        raise ran.exception
    assert ran.exit_code == 0, ran.output
    return ran.stdout, ran.stderr


def wall() -> Board:
    return board.fold(plan.load(), journal.here().snapshot())


@pytest.fixture
def event(small_event: SmallEvent) -> SmallEvent:
    small_event.add("A")
    small_event.add("B", needs=("A",))
    small_event.add("C")
    small_event.raw["workstreams"][0]["wip"] = 1
    small_event.save()
    return small_event


@pytest.fixture
def teams(event: SmallEvent) -> SmallEvent:
    event.add("F", workstream="foundations")
    event.raw["teams"] = ["blue", "green"]
    event.raw["workstreams"][1]["shared"] = True
    event.save()
    return event


# Limits and dependencies


def test_a_card_more_than_the_limit_is_started_with_a_warning_and_shown(event: SmallEvent) -> None:
    assert said("start", "A")[1] == ""
    out, warned = said("start", "C")
    assert out == "C · Card C: Doing\n"
    assert warned == (
        "Note: MLOps has 2 in Doing, the limit is 1: A, C. Finishing one comes before starting one.\n"
    )
    assert "\nMLOps\n  2 in Doing, the limit is 1\n" in said("show")[0]
    assert "\n▲ 2 in Doing, the limit is 1\n" in (paths.home() / "board" / "board.md").read_text()


def test_to_claim_what_would_be_too_many_is_warned_of(event: SmallEvent) -> None:
    assert said("claim", "A")[1] == ""
    said("start", "A")
    assert "Note: MLOps has 1 in Doing, the limit is 1: A." in said("claim", "C")[1]
    assert said("claim", "A", who="bo")[1] == ""


def test_to_start_what_waits_is_possible_and_told(event: SmallEvent) -> None:
    assert said("start", "B") == ("B · Card B: Doing\n", "Note: B waits for A.\n")


# Claims


def test_who_claims_late_is_told_at_once_who_owns_it(event: SmallEvent) -> None:
    assert said("claim", "A")[0] == "A · Card A: To do, ann\n"
    first = wall()["A"].history[0].ts
    out, _ = said("claim", "A", who="bo")
    assert out.splitlines() == [
        "A · Card A: To do, ann",
        f"ann owns A, since {first:%H:%M on %-d %B}; bo is shown as helping.",
    ]
    assert "ann (bo helps)" in said("show")[0]
    assert said("claim", "A")[0] == "A · Card A: To do, ann\n"


def test_of_two_who_claim_at_once_the_earlier_owns_whoever_writes_first(event: SmallEvent) -> None:
    """Bo's clock is an hour behind: his event sorts first although ann's is written first."""
    now = dt.datetime.now(dt.UTC)
    said("claim", "A")
    late = journal.open(paths.home() / "board" / "journal", "bo", clock=lambda: now - dt.timedelta(hours=1))
    late.append("claimed", "A", owner="bo")
    assert (wall()["A"].owner, wall()["A"].helpers) == ("bo", ("ann",))
    assert "bo owns A" in said("claim", "A", who="cy")[0]


# History


def test_history_tells_everything_in_order(event: SmallEvent) -> None:
    said("claim", "A")
    said("start", "A")
    said("block", "A", "no quota \x1b[31m", "--unblocker", "account team", who="bo")
    said("unblock", "A", "granted", who="bo")
    said("note", "A", "halfway\nthere")
    out, _ = said("history", "A")
    lines = out.splitlines()
    assert lines[:3] == ["A · Card A", "Doing · ann · for under 1 min", "Needed by B"]
    told = [re.split(r" {2,}", line, maxsplit=2)[2] for line in lines[4:]]
    assert told == [
        "claimed it",
        "started  → Doing",
        "blocked: no quota [31m · account team can help  → Blocked after under 1 min",
        "unblocked: granted  → Doing after under 1 min",
        "noted: halfway there",
    ]
    assert "Nothing has happened to it yet." in said("history", "C")[0]
    with pytest.raises(UsageError, match='no card "AA"'):
        said("history", "AA")


def test_history_reads_whatever_the_journal_holds(event: SmallEvent) -> None:
    book = journal.here()
    for type in ("checked", "completed", "executed", "failed", "made", "added", "claimed", "unheard-of"):
        book.append(type, "A")
    book.append("checked", "A", check="It holds", ok=True, got="1", expected="1")
    out, _ = said("history", "A")
    assert "✓ It holds · got 1, expected 1" in out
    assert "completed: without evidence · 0.0 s" in out
    assert len(out.splitlines()) == 4 + 9


# Add and import


def test_a_card_is_added_with_owner_and_date(event: SmallEvent) -> None:
    said("add", "Ask", "--workstream", "mlops", "--owner", "Ann", "--due", "2126-12-02")
    card = wall()["X1"]
    assert (card.owner, card.due) == ("Ann", "2126-12-02")
    assert "Ann · due 2 December" in said("show")[0]
    for wrong in (["--due", "tomorrow"], ["--id", "X 1"]):
        with pytest.raises(UsageError):
            said("add", "Ask", "--workstream", "mlops", *wrong)


def test_import_adds_all_or_nothing_and_again_nothing(event: SmallEvent, tmp_path: Path) -> None:
    file = tmp_path / "cards.csv"
    file.write_text("id,title,workstream,needs\nX1,One,mlops,A\nX2,Two,mlop,\n,Three,mlops,\n")
    with pytest.raises(UsageError, match="does not fit in 2 places; nothing was imported"):
        said("import", str(file))
    assert [c.id for c in wall().cards] == ["A", "B", "C"]
    file.write_text("id,title,workstream,needs\nX1,One,mlops,A\nX2,Two,mlops,X1\n")
    assert said("import", str(file), "--check")[0] == "Would add 2 cards; 0 there already.\n"
    assert said("import", str(file))[0] == "Added 2 cards; 0 there already.\n"
    assert said("import", str(file))[0] == "Added 0 cards; 2 there already.\n"
    assert [c.id for c in wall().cards] == ["A", "B", "C", "X1", "X2"]
    assert len(journal.here().snapshot()) == 2
    assert "X2" in (paths.home() / "board" / "board.md").read_text()


def test_the_reasons_stand_before_the_two_lines_of_the_error(event: SmallEvent, tmp_path: Path) -> None:
    (tmp_path / "cards.csv").write_text("id,title,workstream\nX1,,mlops\n")
    ran = CliRunner().invoke(cli, ["board", "import", str(tmp_path / "cards.csv")])
    assert ran.stderr == "line 2: no title.\n"
    assert isinstance(ran.exception, UsageError)


def test_an_exported_board_can_be_imported_into_another_event(event: SmallEvent, tmp_path: Path) -> None:
    said("add", "=1+1", "--workstream", "mlops", "--criterion", "it is two", "--needs", "A")
    file = tmp_path / "cards.csv"
    said("export", "--format", "csv", "-o", str(file))
    for part in (paths.home() / "board" / "journal").iterdir():
        part.unlink()
    assert said("import", str(file))[0] == "Added 1 card; 3 there already.\n"
    card = wall()["X1"]
    assert (card.title, card.criteria, card.needs) == ("=1+1", ("it is two",), ("A",))


# Exports


def test_the_flow_is_exported_as_samples(event: SmallEvent) -> None:
    event.raw["event"]["dates"] = [
        "2019-12-02"
    ]  # never today: on a day of the event, samples begin when it opens
    event.save()
    said("start", "A")
    said("block", "A", "no quota")
    rows = list(csv.DictReader(io.StringIO(said("export", "--format", "flow")[0])))
    assert list(rows[0]) == ["at", "to_do", "doing", "blocked", "review", "done", "cards"]
    assert (rows[0]["doing"], rows[-1]["blocked"], rows[-1]["cards"]) == ("1", "1", "3")
    assert dt.datetime.fromisoformat(rows[0]["at"]).tzinfo


# Teams


def test_a_card_of_a_team_is_named_with_it_or_by_who_works_for_it(teams: SmallEvent) -> None:
    assert said("start", "A@green")[0] == "A@green · Card A: Doing\n"
    assert said("block", "A", "no quota", team="blue")[0] == "A@blue · Card A: Blocked\n"
    said("start", "F", team="green")
    assert {c.key: c.state for c in wall().cards if c.id in "AF"} == {
        "A@blue": "Blocked",
        "A@green": "Doing",
        "F": "Doing",
    }
    with pytest.raises(UsageError, match="2 cards A: A@blue, A@green"):
        said("note", "A", "whose?")
    with pytest.raises(UsageError, match='no team "blu"'):
        said("note", "A", "whose?", team="blu")
    with pytest.raises(UsageError, match="A@blue is blocked: no quota") as refused:
        said("start", "A", team="blue")
    assert "unblock A@blue" in refused.value.hint


def test_show_and_exports_name_the_team(teams: SmallEvent) -> None:
    said("note", "A@blue", "seen")
    shown, _ = said("show", "--team", "blue")
    assert "A@blue" in shown
    assert "@green" not in shown
    rows = list(csv.DictReader(io.StringIO(said("export", "--format", "csv")[0])))
    assert [(r["id"], r["team"]) for r in rows[:2]] == [("A", "blue"), ("A", "green")]
    cards = json.loads(said("export", "--format", "json")[0])["cards"]
    assert {c["key"] for c in cards} >= {"A@blue", "A@green", "F"}
    assert "A@blue" in said("export", "--format", "markdown")[0]
    assert "A@blue · Card A" in said("export", "--format", "jira")[0]
    with pytest.raises(UsageError, match='no team "red"'):
        said("show", "--team", "red")


def test_each_team_has_the_limit_for_itself(teams: SmallEvent) -> None:
    said("start", "A", team="blue")
    assert said("start", "A", team="green")[1] == ""
    assert "Note: MLOps of green has 2 in Doing" in said("start", "C", team="green")[1]
    assert "  green: 2 in Doing, the limit is 1\n" in said("show")[0]


def test_what_a_team_adds_attaches_and_imports_is_its_own(teams: SmallEvent, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("seen")
    said("attach", "A", str(tmp_path / "notes.txt"), team="blue")
    assert (paths.home() / "attachments" / "blue" / "A" / "notes.txt").is_file()
    assert said("add", "Ask", "--workstream", "mlops", team="blue")[0] == "X1@blue · Ask: To do\n"
    assert said("add", "Ask all", "--workstream", "foundations", team="blue")[0] == "X2 · Ask all: To do\n"
    (tmp_path / "cards.csv").write_text("id,title,workstream\nY1,One,mlops\n")
    said("import", str(tmp_path / "cards.csv"), team="green")
    assert wall()["Y1@green"].title == "One"


def test_every_command_of_the_board_says_what_it_does() -> None:
    group = cli.commands["board"]
    assert isinstance(group, click.Group)
    assert all(command.help for command in group.commands.values())
