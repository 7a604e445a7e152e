from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_event import SmallEvent

from kit import board, journal, paths, plan, run
from kit.cards import Board
from kit.errors import UsageError
from kit.local_aws import process


def folded() -> Board:
    return board.fold(plan.load(), journal.here().snapshot())


def executed(*ids: str, done: tuple[str, ...] = (), **given: str) -> dict[str, run.Outcome]:
    the_plan = plan.load()
    cards = run.selection(the_plan, done, only=ids)
    arguments = run.parameters(the_plan, cards, given, "local")
    account = process.up(paths.home() / "aws").account
    outcomes = run.run(the_plan, cards, arguments, target="local", account=account, done=done)
    return {outcome.card.id: outcome for outcome in outcomes}


# Selection: pure


@pytest.fixture
def chain(small_event: SmallEvent) -> plan.Plan:
    small_event.add("A")
    small_event.add("B", needs=("A",), workstream="foundations")
    small_event.add("C", needs=("B",), day=2)
    return plan.load()


def ids(cards: tuple[plan.Subtask, ...]) -> list[str]:
    return [card.id for card in cards]


def test_without_filters_everything_runs_in_order(chain: plan.Plan) -> None:
    assert ids(run.selection(chain)) == ["A", "B", "C"]


def test_filters_narrow(chain: plan.Plan) -> None:
    assert ids(run.selection(chain, day=1)) == ["A", "B"]
    assert ids(run.selection(chain, ["A"], workstream="foundations")) == ["B"]
    assert ids(run.selection(chain, ["A"], start="B")) == ["B", "C"]
    assert ids(run.selection(chain, only=["B", "A"])) == ["A", "B"]


def test_a_card_whose_need_is_not_done_is_refused_with_what_to_run_first(chain: plan.Plan) -> None:
    with pytest.raises(UsageError, match="C needs B") as caught:
        run.selection(chain, only=["C"])
    assert caught.value.hint == "Run first: kit run --only A B"


def test_filters_that_leave_nothing_are_refused(chain: plan.Plan) -> None:
    with pytest.raises(UsageError, match="No runbook fits"):
        run.selection(chain, day=2, workstream="foundations")


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"row": "1"}, '"row"', 'Did you mean "rows"?'),
        ({"A.row": "1"}, '"row"', 'Did you mean "rows"?'),
        ({"Z.rows": "1"}, '"Z"', "Known: A, B, C."),
        ({"rows": "many"}, "rows is int", "default is 3"),
        ({"target": "aws"}, "target", "--target"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(
    chain: plan.Plan, given: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        run.parameters(chain, chain.cards, given, "local")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_parameter_can_be_given_to_one_card(chain: plan.Plan) -> None:
    typed = run.parameters(chain, chain.cards, {"rows": " 5 ", "B.rows": "7"}, "local")
    assert [typed[id]["rows"] for id in "ABC"] == [5, 7, 5]
    assert typed["A"]["target"] == "local"


def test_the_last_card_of_each_day_is_known(chain: plan.Plan) -> None:
    assert run.ends(chain.in_order()) == {"B": 1, "C": 2}
    assert run.ends(()) == {}


def test_the_whole_event_is_rehearsed_in_the_order_of_its_days() -> None:
    """Each day opens with its ceremonies and ends with them; the event ends with close-out and clean-up."""
    whole = plan.load(Path(__file__).parent.parent / "runbooks" / "plan.yml")
    order = [card.id for card in run.selection(whole)]
    assert order[:3] == ["E1", "E2", "S1a"]
    for day in (1, 2, 3):
        mine = [card for card in run.selection(whole) if card.day == day]
        work = [n for n, card in enumerate(mine) if card not in whole.ceremonies]
        ids = [card.id for card in mine]
        assert ids.index(f"S{day}a") < work[0], f"the morning standup of day {day} comes before the work"
        assert work[-1] < ids.index(f"S{day}p") < ids.index(f"R{day}"), f"the evening of day {day}"
    assert order[-3:] == ["T1", "C1", "X1"]
    assert not [c.id for c in whole.ceremonies if c.needs], "a ceremony takes place whatever failed before it"


# Execution: real notebooks, real kernels, a real local AWS


def test_a_run_executes_records_and_keeps_its_copies(small_event: SmallEvent) -> None:
    small_event.add("A", "value = rows * 2", complete='rb.complete(outputs={"value": value})')
    small_event.add("B", "print('took', rb.take('A.value'))", needs=("A",))
    outcomes = executed("A", "B", rows="21")
    assert {o.state for o in outcomes.values()} == {"done"}
    assert "took 42" in (paths.home() / outcomes["B"].copy).read_text(encoding="utf-8")
    cards = folded()
    assert cards["B"].state == "Done"
    assert cards["B"].run
    assert cards["B"].run.copy == outcomes["B"].copy
    assert (paths.home() / "board" / "board.json").exists()


def test_a_run_leaves_no_client_of_a_kernel_open(small_event: SmallEvent) -> None:
    from jupyter_client.channels import HBChannel

    for id in ("B", "C"):
        small_event.add(id)
    assert {outcome.state for outcome in executed("B", "C").values()} == {"done"}
    assert not [thread for thread in threading.enumerate() if isinstance(thread, HBChannel)]


def test_a_failure_keeps_evidence_skips_dependants_and_lets_the_rest_go_on(small_event: SmallEvent) -> None:
    small_event.add("A", "1 / 0")
    small_event.add("B", needs=("A",))
    small_event.add("C", needs=("B",))
    small_event.add("D")
    outcomes = executed("A", "B", "C", "D")
    assert {id: o.state for id, o in outcomes.items()} == {
        "A": "failed",
        "B": "skipped",
        "C": "skipped",
        "D": "done",
    }
    assert outcomes["A"].failure == run.Failure("step-1", "ZeroDivisionError", "division by zero")
    assert "papermill-error-cell" in (paths.home() / outcomes["A"].copy).read_text(encoding="utf-8")
    failed = folded()["A"].failed
    assert failed
    assert failed.cell == "step-1"


def test_the_next_run_resumes(small_event: SmallEvent) -> None:
    small_event.add("A")
    small_event.add("B", "assert rows == 4", needs=("A",))
    assert executed("A", "B")["B"].state == "failed"
    again = executed("A", "B", done=("A",), rows="4")
    assert (again["A"].state, again["B"].state) == ("kept", "done")


def test_a_check_that_does_not_hold_fails_the_run_in_two_lines(small_event: SmallEvent) -> None:
    path = small_event.add("A")
    path.write_text(path.read_text().replace('\\"It holds\\", 1, 1', '\\"It holds\\", 1, 2'))
    failure = executed("A")["A"].failure
    assert failure
    assert (failure.cell, failure.error) == ("check-holds", "CheckFailed")
    assert failure.message.startswith("✗ It holds · got 1, expected 2")


def test_running_to_the_end_without_recording_is_a_failure(small_event: SmallEvent) -> None:
    small_event.add("A", complete="pass")
    failure = executed("A")["A"].failure
    assert failure
    assert failure.error == "NotRecorded"
    assert folded()["A"].state == "Doing"


def test_a_killed_kernel_is_one_failure_and_the_rest_goes_on(small_event: SmallEvent) -> None:
    small_event.add("A", "import os\n\nos.kill(os.getpid(), 9)")
    small_event.add("B")
    outcomes = executed("A", "B")
    assert outcomes["A"].failure
    assert outcomes["A"].failure.error == "DeadKernelError"
    assert outcomes["B"].state == "done"


def test_an_import_that_fails_is_reported_by_the_notebook_itself(small_event: SmallEvent) -> None:
    small_event.add("A")
    small_event.add("B", "import no_such_module_at_all")
    failure = executed("A", "B")["B"].failure
    assert failure
    assert (failure.cell, failure.error) == ("step-1", "ModuleNotFoundError")


def wait_for(condition: Callable[[], object], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_ctrl_c_ends_the_kernel_records_it_and_loses_nothing(small_event: SmallEvent, tmp_path: Path) -> None:
    mark = tmp_path / "kernel.pid"
    small_event.add("A")
    wait = f"import os\nimport time\n\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(rows)"
    small_event.add("B", wait, needs=("A",))
    command = [sys.executable, "-m", "kit", "run", "-p", "rows", "600"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: mark.exists() and mark.read_text())
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=240)
    assert child.returncode == 130
    assert errors.splitlines()[-2:] == [
        "Error: Stopped.",
        "What was done is recorded; the same command goes on from there.",
    ]
    cards = folded()
    assert cards["A"].state == "Done"
    assert cards["B"].failed
    assert cards["B"].failed.error == "KeyboardInterrupt"
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
