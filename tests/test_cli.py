from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_event import SmallEvent

from kit import journal, paths
from kit.errors import LocalAwsError


def kit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def said(ran: subprocess.CompletedProcess[str], code: int, message: str, hint: str) -> None:
    """The command failed with this code and two lines that hold these words."""
    lines = ran.stderr.splitlines()
    assert (ran.returncode, len(lines)) == (code, 2), ran.stderr
    assert message in lines[0]
    assert hint in lines[1]


@pytest.fixture
def event(small_event: SmallEvent) -> SmallEvent:
    small_event.add("A")
    small_event.add("B", needs=("A",))
    return small_event


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["borad"], 2, 'no command "borad"', 'Did you mean "board"?'),
        (["board", "blok", "A"], 2, 'no command "blok"', 'Did you mean "block"?'),
        (["board", "claim", "AA"], 2, 'no card "AA"', "A"),
        (["board", "block", "A", "  "], 2, "needs a reason", "kit board block A"),
        (["board", "unblock", "A"], 2, "not blocked", "kit board"),
        (["board", "accept", "A"], 2, "not in Review", "kit board review A"),
        (["board", "review", "A", "seen"], 2, "has a runbook", "kit run --only A"),
        (["board", "add", "X", "--workstream", "mlop"], 2, 'no workstream "mlop"', '"mlops"'),
        (["run", "--only", "Z"], 2, 'no card "Z"', "Known"),
        (["run", "--only", "B"], 2, "B needs A", "kit run --only A"),
        (["run", "-p", "row", "1"], 2, '"row"', 'Did you mean "rows"?'),
        (["run", "-p", "rows", "x"], 2, "rows is int", "default"),
        (["run", "--target", "azure"], 2, "azure", "kit --help"),
        (["report", "--day", "9"], 2, "no day 9", "1 to 2"),
        (["new", "A", "Again", "--workstream", "mlops"], 2, "has a card A already", "another id"),
        (["new", "9", "Nine", "--workstream", "mlops"], 2, "no card id", "D7"),
    ],
)
def test_bad_input_gets_two_lines_and_an_exit_code(
    event: SmallEvent, arguments: list[str], code: int, message: str, hint: str
) -> None:
    said(kit(*arguments), code, message, hint)
    assert [e for e in journal.here().snapshot() if e.type != "started"] == []


def test_a_run_prints_a_line_per_runbook_and_ends_with_where_things_are(event: SmallEvent) -> None:
    ran = kit("run")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("✓ 1/2  A · Card A  (mlops/a_test.ipynb)")
    assert lines[1].startswith("✓ 2/2  B · Card B")
    report = next(line for line in lines if line.startswith("Report: ")).removeprefix("Report: ")
    assert "Card B" in Path(report).read_text(encoding="utf-8")
    again = kit("run")
    assert again.stdout.count("done before") == 2


def test_a_failed_run_says_what_where_and_exits_6(event: SmallEvent) -> None:
    event.add("C", "1 / 0")
    event.add("D", needs=("C",))
    ran = kit("run")
    assert "ZeroDivisionError in cell step-1: division by zero" in ran.stdout
    assert "evidence: runs/" in ran.stdout
    assert "skipped: needs C" in ran.stdout
    said(ran, 6, "2 of 4 runbooks not done: C, D.", "Mend the first")


def test_force_runs_again_what_is_done(event: SmallEvent) -> None:
    kit("run", "--only", "A")
    assert "done before" not in kit("run", "--force", "A").stdout


def test_the_board_follows_what_people_say(event: SmallEvent) -> None:
    assert "A · Card A: Doing" in kit("board", "start", "A").stdout
    assert "Blocked" in kit("board", "block", "A", "no quota", "--unblocker", "account team").stdout
    shown = kit("board").stdout
    assert "no quota" in shown
    said(kit("board", "start", "A"), 2, "is blocked: no quota", "unblock")
    assert "Doing" in kit("board", "unblock", "A", "granted").stdout
    kit("board", "claim", "A", "--owner", "pair 1")
    kit("board", "note", "A", "halfway")
    card = next(
        c for c in json.loads(kit("board", "export", "--format", "json").stdout)["cards"] if c["id"] == "A"
    )
    assert card["owner"] == "pair 1"
    assert card["notes"][0]["text"] == "halfway"


def test_a_card_of_people_s_own_is_done_by_accepted_evidence(event: SmallEvent) -> None:
    assert "X1 · Ask for quota: To do" in kit("board", "add", "Ask for quota", "--workstream", "mlops").stdout
    assert "Review" in kit("board", "review", "X1", "ticket 7 answered").stdout
    assert "Done" in kit("board", "accept", "X1").stdout


def test_a_file_is_attached_as_a_copy(event: SmallEvent, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("seen")
    kit("board", "attach", "A", str(tmp_path / "notes.txt"))
    attached = next(e for e in journal.here().snapshot() if e.type == "attached")
    assert (paths.home() / attached.data["path"]).read_text() == "seen"


@pytest.mark.parametrize("kind", ["text", "json", "csv", "transitions", "jira", "markdown"])
def test_every_export_names_every_card(event: SmallEvent, kind: str, tmp_path: Path) -> None:
    kit("board", "start", "A")
    kit("board", "start", "B")
    out = tmp_path / "board.out"
    assert kit("board", "export", "--format", kind, "-o", str(out)).returncode == 0
    text = out.read_text(encoding="utf-8")
    assert "Card A" in text
    assert "Card B" in text


def test_the_report_of_a_day_is_written_before_the_next_day_begins(event: SmallEvent) -> None:
    event.add("C", "assert (rb.home / 'reports' / 'day-1.html').is_file()", day=2)
    event.add("D", "assert not (rb.home / 'reports' / 'day-2.html').exists()", day=2)
    ran = kit("run", "A", "C", "D")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [Path(line.partition(": ")[2]).name for line in ran.stdout.splitlines() if "Report" in line] == [
        "day-1.html",
        "day-2.html",
    ]


def test_new_makes_a_runbook_that_runs(event: SmallEvent) -> None:
    template = Path(__file__).parent.parent / "runbooks" / "template.ipynb"
    (event.root / "runbooks" / "template.ipynb").write_bytes(template.read_bytes())
    event.add(
        "F1",
        "rb.session.client('s3').create_bucket(Bucket=rb.bucket)",
    )
    made = kit("new", "D7", 'Share "the" data', "--workstream", "mlops", "--needs", "F1", "--day", "2")
    assert made.returncode == 0, made.stderr
    notebook = event.root / "mlops" / "d7_share_the_data.ipynb"
    assert '# D7 · Share \\"the\\" data' in notebook.read_text(encoding="utf-8")
    ran = kit("run", "F1", "D7")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "day 2  D7 · Share" in kit("plan").stdout


def test_status_tells_the_state_in_a_few_lines(event: SmallEvent) -> None:
    kit("board", "block", "A", "no quota")
    out = kit("status").stdout
    assert "0 of 2 cards done" in out
    assert "Blocked  A · Card A: no quota" in out
    assert "Local AWS does not run" in out


def test_the_local_aws_can_be_started_asked_and_stopped(event: SmallEvent) -> None:
    assert "answers at http://127.0.0.1:" in kit("local", "up").stdout
    assert "answers at http://127.0.0.1:" in kit("local", "status").stdout
    none = "There is no scheduled rule nightly; there are: none."
    said(kit("local", "fire", "nightly"), LocalAwsError.exit_code, none, "A runbook makes its rules")
    assert kit("local", "down").stdout == "Stopped.\n"
    said(
        kit("local", "fire", "nightly"),
        LocalAwsError.exit_code,
        "The local AWS does not run.",
        "kit local up",
    )
    assert kit("local", "down").stdout == "It was not running.\n"


def test_a_broken_plan_is_told_before_anything_else(event: SmallEvent) -> None:
    event.raw["subtasks"][0]["needs"] = ["B"]
    event.save()
    said(kit("run"), 2, "needs go in a circle", "Remove one")


def test_a_notebook_without_parameters_cell_is_told_before_anything_runs(event: SmallEvent) -> None:
    path = event.root / "mlops" / "b_test.ipynb"
    path.write_text(path.read_text().replace('"parameters"', '"params"'))
    said(kit("run"), 5, "b_test.ipynb has no cells tagged `parameters`", "tag")
    assert journal.here().snapshot() == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
def test_a_read_only_board_folder_is_told(event: SmallEvent, event_folder: Path) -> None:
    (event_folder / "board").parent.mkdir(parents=True, exist_ok=True)
    (event_folder / "board").write_text("in the way")
    ran = kit("board", "start", "A")
    assert ran.returncode == 4
    assert len(ran.stderr.splitlines()) == 2


def test_outside_a_clone_the_plan_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_PLAN", str(tmp_path / "none.yml"))
    said(kit("board"), 2, "none.yml", "KIT_PLAN")
