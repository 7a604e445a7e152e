"""The AWS team's retro: facts from the journal, the team's words in its folder, and nothing of them anywhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml
from ceremony import EVIL, PLAN, Told, busy, documents, team_notes, team_retros
from fixtures import story

from kit import board, journal, plan, report, run
from kit.errors import PlanError

ROOT = Path(__file__).parent.parent
SECRET = "the customer's architect has never seen the account"
NOTES = {
    "went_well": [f"It went well although {SECRET}"],
    "immediate": [{"do": f"Sit with them, since {SECRET}", "owner": "Ana", "due": "2026-12-02"}],
    "findings": [
        {
            "happened": f"Nothing ran, because {SECRET}",
            "impact": "forty people waited for an hour",
            "whys": ["nobody asked for it in the week before", EVIL],
            "corrections": [{"do": "Ask ten days before and see it", "owner": "Ben", "due": "2026-12-18"}],
        }
    ],
}


def notes(folder: Path, **changed: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.yml").write_text(yaml.safe_dump({**NOTES, **changed}))
    return folder / "notes.yml"


# What the journal knows


def test_defects_are_told_by_notebook_and_cell_the_most_frequent_first() -> None:
    told = busy()
    for minute in (10, 20):
        told.say(f"1 15:{minute}", "failed", "M1", cell="train", error="KeyError", message="'x'")
    told.say("1 15:40", "failed", "M1", cell="train", error="KeyboardInterrupt", message="Stopped")
    found = team_retros.defects(told.wall("1 17:00"))
    assert [(d.notebook, d.cell, d.error, d.times, d.cards, d.over) for d in found] == [
        ("model_engineering/m1.ipynb", "train", "KeyError", 2, ("M1",), False),
        ("data_engineering/d2.ipynb", "wait", "ClientError", 1, ("D2",), True),
    ]


def test_the_timeline_tells_what_went_wrong_oldest_first_and_of_too_much_the_worst() -> None:
    wall = busy().wall("2 09:30")
    told = [words for _, words in team_retros.timeline(wall)]
    assert told == [
        "**D2** Process the data blocked, for 4 h: No quota for ml.m5.xlarge",
        "**D2** Process the data failed in cell wait: ClientError",
        "**D3** Engineer features blocked, for 10 min so far: The role may not read",
    ]
    assert [words for _, words in team_retros.timeline(wall, most=1)] == told[:1]


def test_planned_stands_against_real_minutes_the_largest_overrun_first() -> None:
    told = Told()
    told.work("D1", "1 09:00", "1 10:30")  # 45 planned
    told.work("M1", "1 09:00", "1 09:15")  # 45 planned
    told.work("E1", "1 09:00", "1 12:00")  # a ceremony
    told.say("1 09:00", "started", "O1")
    found = team_retros.timings(told.wall("1 17:00"))
    assert [(t.card.id, t.planned, round(t.real), round(t.ratio, 2)) for t in found] == [
        ("D1", 45, 90, 2.0),
        ("M1", 45, 15, 0.33),
    ]


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("No quota for ml.m5.2xlarge in this region", "quota"),
        ("ThrottlingException: Rate exceeded", "quota"),
        ("AccessDenied: User is not authorized to perform sagemaker:CreateTrainingJob", "permission"),
        ("The role may not pass to SageMaker: iam:PassRole is denied", "permission"),
        ("The identity provider sends no group claim", "permission"),
        ("InsufficientCapacity: try another instance", "capacity"),
        ("ReadTimeout: timed out", "network"),
        ("The endpoint's subnet has no route to S3", "network"),
        ("KeyError: 'customer_id'", "data"),
        ("MissingInput: D2.train is not there: D2 is not done yet.", "order"),
        ("CheckFailed: ✗ No row is in two splits · got 17, expected 0", "check"),
        ("Legal has to approve", "decision"),
        ("ValueError: x", "code"),
        ("DeadKernelError: The kernel was killed", "code"),
        ("Who knows it is in another meeting", "people"),
        ("Coffee", "not named yet"),
    ],
)
def test_a_cause_is_read_from_what_was_said(words: str, cause: str) -> None:
    assert team_retros.cause(words) == cause


def test_what_stood_in_the_way_is_told_by_cause_and_all_of_it() -> None:
    told = busy()
    wall = told.wall("2 09:30")
    found = team_retros.hindrances(wall)
    assert [(h.cause, h.blocks, h.failures) for h in found] == [("quota", 1, 0), ("permission", 1, 1)]
    assert found[0].words == ("D2: No quota for ml.m5.xlarge",)


def test_what_words_do_not_tell_the_team_names() -> None:
    told = Told()
    told.say("1 10:00", "blocked", "D1", reason="The coffee\n machine", unblocker="x")
    told.say("1 10:00", "blocked", "D2", reason="no quota", unblocker="x")
    wall = told.wall("1 12:00")
    assert team_retros.unnamed(team_retros.hindrances(wall)) == 1
    named = team_retros.hindrances(wall, {"COFFEE machine": "kitchen"})
    assert team_retros.unnamed(named) == 0
    assert {h.cause for h in named} == {"kitchen", "quota"}


def test_every_block_and_failure_of_a_lively_event_is_counted_once() -> None:
    wall = board.fold(PLAN, story.events(PLAN, seed=4))
    found = team_retros.hindrances(wall)
    failures = sum(event.type == "failed" for card in wall.cards for event in card.history)
    blocks = sum(event.type == "blocked" for card in wall.cards for event in card.history)
    assert (sum(h.blocks for h in found), sum(h.failures for h in found)) == (blocks, failures)


# What the team writes


def test_the_empty_notes_are_made_once_and_hold_an_example(tmp_path: Path) -> None:
    file = team_notes.blank(tmp_path)
    assert team_notes.read(file) == team_notes.Notes()
    example = re.sub(r"(\[\]|\{\})\n#", "\n#", file.read_text()).replace("\n#  ", "\n  ")
    file.write_text(example)
    read = team_notes.read(team_notes.blank(tmp_path))
    assert (len(read.immediate), len(read.findings), len(read.findings[0].whys)) == (1, 1, 5)
    assert read.causes == {"legal word": "decision"}
    assert team_notes.lacking(read) == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"imediate": [SECRET]}, "the notes has a key too many"),
        ({"immediate": SECRET}, "immediate is no list"),
        ({"immediate": [SECRET]}, "a correction has no keys and values"),
        ({"findings": [{"happend": SECRET}]}, "a finding has a key too many"),
        ({"causes": [SECRET]}, "causes has no keys and values"),
    ],
)
def test_a_mistake_is_named_without_the_words(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(PlanError, match=message) as error:
        team_notes.read(notes(tmp_path, **changed))
    assert SECRET not in str(error.value)


def test_notes_that_are_no_yaml_are_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "notes.yml").write_text(f"findings: [{SECRET}\nx: [")
    with pytest.raises(PlanError, match="not readable as YAML") as error:
        team_notes.read(tmp_path / "notes.yml")
    assert SECRET not in str(error.value)
    with pytest.raises(PlanError, match="No such file"):
        team_notes.read(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({}, 0),
        ({"immediate": [{"do": "x", "owner": "Ana"}]}, 1),
        ({"immediate": [{"do": "x", "due": "2026-12-02"}]}, 1),
        ({"immediate": [{"do": "x", "owner": "Ana", "due": "soon"}, {"owner": "Ana"}]}, 2),
        ({"findings": [{"happened": "x", "corrections": NOTES["findings"][0]["corrections"]}]}, 1),  # type: ignore[index]
        ({"findings": [{"happened": "x", "whys": ["y"]}]}, 1),
    ],
)
def test_corrections_have_an_owner_and_a_date_and_findings_a_why(
    tmp_path: Path, changed: dict[str, object], lacks: int
) -> None:
    assert team_notes.lacking(team_notes.read(notes(tmp_path, **changed))) == lacks


def test_the_document_has_the_facts_and_the_words_as_text(tmp_path: Path) -> None:
    told = busy()
    told.say("1 15:50", "failed", "M1", cell="train", error="KeyError", message=EVIL)
    wall = told.wall("2 09:30")
    found, times = team_retros.defects(wall), team_retros.timings(wall)
    fig, ax = plt.subplots()
    team_retros.draw(ax, times)
    picture = documents.picture(tmp_path, "minutes", fig, "Minutes")
    plt.close(fig)
    written = team_notes.read(notes(tmp_path))
    lines = team_retros.document(wall, written, found, times, team_retros.hindrances(wall), picture)
    text = "\n".join(lines)
    for part in (SECRET, "2. Why?", "| d2 | wait |", "| permission |", "2 of 2 runbooks took longer"):
        assert part in text
    assert "<script" not in documents.page(text, tmp_path)
    assert text.count("## ") >= 6


def test_the_picture_of_an_empty_event_says_so() -> None:
    fig, ax = plt.subplots()
    team_retros.draw(ax, [])
    said = [text.get_text() for text in ax.texts]
    plt.close(fig)
    assert said == ["No card is finished."]


# Apart


@pytest.mark.parametrize("file", ["board/journal/a.jsonl", "documents/retro.html", "runs/1/T1.ipynb"])
def test_words_of_the_team_outside_of_its_folder_are_found(tmp_path: Path, file: str) -> None:
    written = team_notes.read(notes(tmp_path / "team"))
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "state.json").write_text(SECRET)
    assert team_notes.leaks(written, tmp_path) == 0
    place = tmp_path / file
    place.parent.mkdir(parents=True)
    place.write_text(f"<p>Nothing ran, because\n {SECRET.replace(chr(39), '&#39;')}")
    assert team_notes.leaks(written, tmp_path) == 1


@pytest.fixture
def the_event(event_folder: Path) -> Path:
    """The event's folder with a journal in which something happened, on the machine's dates."""
    book = journal.here()
    book.append("started", "D1")
    book.append("failed", "D1", cell="read", error="KeyError", message="'customer_id'")
    book.append("blocked", "D2", reason="no quota", unblocker="account team")
    return event_folder


def test_an_unattended_run_keeps_the_teams_words_in_its_folder(the_event: Path) -> None:
    """The real runbook, through papermill, with the reports after it: the words are in one folder only."""
    notes(the_event / "team")
    try:
        the_plan = plan.load(ROOT / "runbooks" / "plan.yml")
        card = the_plan["T1"]
        arguments = run.parameters(the_plan, [card], {}, "local")
        for _ in range(2):
            (outcome,) = run.run(the_plan, [card], arguments, target="local", account="")
            assert outcome.state == "done", outcome.failure
        for day in (1, 2, 3):
            report.day(the_plan, journal.here().snapshot(), day, home=the_event)
    finally:
        from kit.local_aws import process

        process.down(the_event / "aws")
    holding = [
        file.relative_to(the_event).parts[0]
        for file in the_event.rglob("*")
        if file.is_file() and b"never seen the account" in file.read_bytes()
    ]
    assert set(holding) == {"team"}
    assert len(holding) == 3, "the notes, the document and its page"
    executed = json.loads((the_event / outcome.copy).read_text())
    outputs = [o for cell in executed["cells"] for o in cell.get("outputs", [])]
    assert not [o for o in outputs if o["output_type"] == "display_data"], "no picture is shown"
    told = json.dumps(executed)
    assert "customer_id" not in told, "not even what the journal knows is told by this runbook"
    (completed,) = [e for e in journal.here().snapshot() if e.type == "completed"][-1:]
    assert (completed.data["outputs"], completed.data["metrics"], completed.data["attachments"]) == (
        {},
        {},
        [],
    )
    assert not list((the_event / "documents").glob("*team*")) if (the_event / "documents").exists() else True
