from __future__ import annotations

import dataclasses
import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_event import SmallEvent

import kit
from kit import board, journal, paths, plan, recording
from kit.errors import CheckFailed, MissingInput, NotRecorded, RunbookError, UsageError
from kit.journal import Event


@pytest.fixture
def rb(small_event: SmallEvent) -> recording.Runbook:
    small_event.add("A")
    small_event.add("B", needs=("A",))
    opened: recording.Runbook = kit.runbook("A")
    return opened


def last(type: str) -> Event:
    return [e for e in journal.here().snapshot() if e.type == type][-1]


def state(id: str) -> str:
    return str(board.fold(plan.load(), journal.here().snapshot())[id].state)


def test_opening_a_runbook_moves_its_card_to_doing(rb: recording.Runbook) -> None:
    assert state("A") == "Doing"
    assert last("started").account == rb.account


def test_an_unknown_card_or_target_is_refused(small_event: SmallEvent) -> None:
    small_event.add("A1")
    with pytest.raises(UsageError, match='no card "A2"'):
        kit.runbook("A2")
    with pytest.raises(UsageError, match='no target "loca"'):
        kit.runbook("A1", "loca")


def test_checks_and_completion_are_the_evidence(
    rb: recording.Runbook, capsys: pytest.CaptureFixture[str]
) -> None:
    rb.check("It holds", 1, 1)
    assert capsys.readouterr().out == "✓ It holds · got 1, expected 1\n"
    rb.complete(outputs={"value": "s3://b/k"}, metrics={"auc": 0.8})
    done = last("completed")
    assert done.data["outputs"] == {"value": "s3://b/k"}
    assert done.data["metrics"] == {"auc": 0.8}
    assert done.data["checks"][0]["check"] == "It holds"
    assert done.data["sha256"] == rb.frame.sha256
    assert state("A") == "Done"
    assert "Done" in (paths.home() / "board" / "board.md").read_text()


def test_completion_is_refused_before_every_check_ran(rb: recording.Runbook) -> None:
    with pytest.raises(NotRecorded, match="It holds"):
        rb.complete()
    assert state("A") == "Doing"


def test_a_failed_check_is_journalled_raised_and_keeps_completion_out(rb: recording.Runbook) -> None:
    with pytest.raises(CheckFailed, match="got 1, expected 2"):
        rb.check("It holds", 1, 2)
    assert last("checked").data["ok"] is False
    with pytest.raises(NotRecorded, match="did not hold"):
        rb.complete()
    rb.check("It holds", 2, 2)
    rb.complete()
    assert state("A") == "Done"


def test_a_check_must_be_a_done_when_bullet(rb: recording.Runbook) -> None:
    with pytest.raises(RunbookError, match="not under") as caught:
        rb.check("It hold", 1, 1)
    assert caught.value.hint == 'Did you mean "It holds"?'


def test_outputs_the_journal_cannot_hold_are_refused(rb: recording.Runbook) -> None:
    rb.check("It holds", 1, 1)
    with pytest.raises(RunbookError, match="frame is object"):
        rb.complete(outputs={"frame": object()})


def test_taking_what_is_not_there_names_the_runbook_that_makes_it(rb: recording.Runbook) -> None:
    with pytest.raises(MissingInput, match="A · Card A is not done yet") as caught:
        rb.take("A.value")
    assert "kit run --only A" in caught.value.hint
    rb.check("It holds", 1, 1)
    rb.complete(outputs={"value": 1})
    assert rb.take("A.value") == 1
    with pytest.raises(MissingInput) as caught:
        rb.take("A.valeu")
    assert caught.value.hint == 'Did you mean "value"?'


def test_a_block_needs_a_reason(rb: recording.Runbook) -> None:
    with pytest.raises(RunbookError, match="reason"):
        rb.blocked(" ")
    rb.blocked("no quota", unblocker="the account team")
    assert state("A") == "Blocked"


def test_work_that_a_runbook_finds_becomes_one_card_and_is_closed_by_evidence(rb: recording.Runbook) -> None:
    for _ in range(2):
        id = rb.open_card(
            "Retention", "Set a retention rule", criteria=["a rule is there"], role="data engineer"
        )
    assert id == "A-retention"
    found = board.fold(plan.load(), journal.here().snapshot())[id]
    assert (found.state, found.source, found.criteria, found.role) == (
        "To do",
        "A",
        ("a rule is there",),
        "data engineer",
    )
    with pytest.raises(RunbookError, match="needs evidence"):
        rb.close_card("retention", " ")
    rb.close_card("retention", "GetBucketLifecycle shows the rule")
    assert state(id) == "Done"


def test_work_that_another_runbook_found_is_closed_by_its_whole_id(rb: recording.Runbook) -> None:
    id = rb.open_card("gate", "Set a gate", criteria=["it stops a bad model"], role="ML engineer")
    recording.Runbook("B").close_card(id, "the execution ended at the gate")
    assert state("A-gate") == "Done"


def test_attachments_are_copied_into_the_event(rb: recording.Runbook, tmp_path: Path) -> None:
    (tmp_path / "a_report.html").write_text("x")
    rb.check("It holds", 1, 1)
    rb.complete(attachments=[tmp_path / "a_report.html"])
    (attached,) = last("completed").data["attachments"]
    assert attached["title"] == "a report"
    assert (paths.home() / attached["path"]).read_text() == "x"


def test_a_document_of_the_event_is_attached_as_it_is(rb: recording.Runbook) -> None:
    document = paths.home() / "documents" / "charter.html"
    document.parent.mkdir(parents=True)
    document.write_text("first")
    rb.check("It holds", 1, 1)
    rb.complete(attachments=[document])
    assert last("completed").data["attachments"] == [{"title": "charter", "path": "documents/charter.html"}]
    assert not (paths.home() / "attachments").exists(), "its final version is the one that counts"


def test_a_ceremony_records_what_it_came_to(rb: recording.Runbook) -> None:
    rb.record("standup", day=1, part="am", lanes={"mlops": {"focus": "one pipeline"}})
    told = last("standup")
    assert (told.card, told.data["lanes"]) == ("A", {"mlops": {"focus": "one pipeline"}})
    rb.record("added", about="A-1-1", title="Ask for the quota")
    assert state("A-1-1") == "To do", "the board is written at once"


def test_what_is_created_is_registered_for_tear_down(rb: recording.Runbook) -> None:
    s3 = rb.session.client("s3")
    s3.create_bucket(Bucket=rb.bucket)
    made = last("made")
    assert (made.card, made.data["service"], made.data["name"]) == ("A", "s3", rb.bucket)
    s3.put_object(Bucket=rb.bucket, Key="k", Body=b"x")
    assert last("made").id == made.id
    s3.delete_object(Bucket=rb.bucket, Key="k")
    s3.delete_bucket(Bucket=rb.bucket)
    assert last("removed").data["name"] == rb.bucket


def test_names_are_unique_and_fit_aws(rb: recording.Runbook) -> None:
    names = {rb.name("Train it, all of it " * 5) for _ in range(50)}
    assert len(names) == 50
    assert all(len(n) <= 63 and n.startswith("eba-a-train") for n in names)
    assert rb.uri("x", "y") == f"s3://{rb.bucket}/eba/a/x/y"


# handed_over: pure


def completed(
    card: str, outputs: dict[str, Any], *, n: int = 0, account: str = "1", target: str = "local"
) -> Event:
    ts = dt.datetime(2026, 12, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n)
    return Event(f"{n:026d}", ts, 1, "a", "h", "completed", card, "", target, account, {"outputs": outputs})


@pytest.fixture
def small_plan(small_event: SmallEvent) -> plan.Plan:
    small_event.add("A")
    return plan.load()


def test_the_latest_completion_counts_whatever_the_order_of_events(small_plan: plan.Plan) -> None:
    events = [completed("A", {"x": 2}, n=2), completed("A", {"x": 1}, n=1)]
    assert recording.handed_over(small_plan, events, "A.x", "local", "1") == 2


def test_nothing_is_handed_over_between_accounts_or_targets(small_plan: plan.Plan) -> None:
    events = [completed("A", {"x": 1}, account="2"), completed("A", {"x": 1}, target="aws")]
    with pytest.raises(MissingInput, match="in another account"):
        recording.handed_over(small_plan, events, "A.x", "local", "1")


def test_what_lay_in_a_deleted_bucket_is_not_handed_over(small_plan: plan.Plan) -> None:
    def deleted(bucket: str, n: int) -> Event:
        data = {"operation": "DeleteBucket", "name": bucket}
        return dataclasses.replace(completed("X1", {}, n=n), type="removed", data=data)

    made = completed("A", {"x": "s3://b/eba/a", "n": "b"}, n=2)
    for others in (deleted("b", 1), deleted("bb", 3)):
        assert recording.handed_over(small_plan, [made, others], "A.x", "local", "1") == "s3://b/eba/a"
    with pytest.raises(MissingInput, match="deleted by the clean-up"):
        recording.handed_over(small_plan, iter([made, deleted("b", 3)]), "A.x", "local", "1")
    assert recording.handed_over(small_plan, [made, deleted("b", 3)], "A.n", "local", "1") == "b"
    again = completed("A", {"x": "s3://b/eba/a"}, n=4)
    assert recording.handed_over(small_plan, [made, deleted("b", 3), again], "A.x", "local", "1")


def test_what_the_first_runbook_of_a_process_makes_is_registered(small_event: SmallEvent) -> None:
    small_event.add("A")
    program = """
import kit
rb = kit.runbook("A")
rb.session.client("s3").create_bucket(Bucket=rb.bucket)
rb.session.client("s3").delete_bucket(Bucket=rb.bucket)
print(rb.bucket)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    bucket = ran.stdout.strip()
    register = [(e.type, e.data["name"]) for e in journal.here().snapshot() if e.type in ("made", "removed")]
    assert register == [("made", bucket), ("removed", bucket)]
