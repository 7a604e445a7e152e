"""The charter: mistakes are named, a criterion is a figure that is recorded, and it can fail."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import yaml
from ceremony import EVIL, PLAN, Told, at, charter, documents

from kit import board, paths, plan
from kit.errors import PlanError

FILE = Path(__file__).parent.parent / "runbooks" / "charter.yml"
RAW: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    place: Any = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return raw


def small(**criterion: Any) -> Any:
    return charter.parsed(changed("criteria", to=[{"name": "It is good", **criterion}]))


def test_the_charter_of_the_kit_holds_together() -> None:
    found = charter.read(FILE)
    the_plan = plan.load(paths.root() / "runbooks" / "plan.yml")
    assert found.target == the_plan.data.target
    assert charter.undecided(found, len(the_plan.event.dates)) == []
    assert charter.open_ends(found, the_plan.data) == [
        "nobody is named yet as Executive sponsor, Product owner, Event lead, Security owner, Data owner"
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (["a"], "expected keys and values, got list"),
        ({**RAW, "goals": "x"}, 'unknown key "goals"'),
        (changed("goal", to=""), '"goal" is missing or empty'),
        (changed("goal", to={"a": 1}), "goal: expected a text, got dict"),
        (changed("criteria", to="all"), "criteria: expected a list, got str 'all'"),
        (changed("criteria", 0, "figur", to="x"), 'criteria › 1: unknown key "figur"'),
        (changed("criteria", 0, "at_least", to="much"), "at_least: expected a number, got str 'much'"),
        (changed("criteria", 0, "at_least", to=True), "at_least: expected a number, got bool"),
        (changed("criteria", 0, "at_most", to=2), "it takes either at_least or at_most"),
        (changed("criteria", 1, "at_least", to=None), "expected a number, got nothing"),
        (changed("criteria", 0, "problem", to="clasification"), '"clasification" is not known'),
        (changed("people", 0, "role", to=""), 'people › 1: "role" is missing or empty'),
        (changed("pending", 0, "day", to="one"), "pending › 1 › day: expected a number"),
        (changed("scope_in", 0, to=None), "scope_in › 1: expected a text, got nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(raw: Any, message: str) -> None:
    with pytest.raises(PlanError) as error:
        charter.parsed(raw)
    assert message in error.value.message
    assert error.value.hint


def test_a_misspelt_key_has_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({**RAW, "scope-in": []}))
    with pytest.raises(PlanError, match=r'mine.yml: unknown key "scope-in"') as error:
        charter.read(tmp_path / "mine.yml")
    assert error.value.hint == 'Did you mean "scope_in"?'


def test_a_file_that_is_not_there_or_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="No such file"):
        charter.read(tmp_path / "none.yml")
    (tmp_path / "bad.yml").write_text("goal: [a")
    with pytest.raises(PlanError, match=r"bad.yml line 1: not readable as YAML"):
        charter.read(tmp_path / "bad.yml")


@pytest.mark.parametrize(
    ("figure", "missing"),
    [
        ("M5.auc", []),
        ("D2.train_rows", []),
        ("M5.acu", ['M5.acu: no runbook records it. Did you mean "M5.auc"?']),
        ("M9.auc", ['M9.auc: no runbook records it. Did you mean "M5.auc"?']),
        ("D2.rows_", ['D2.rows_: no runbook records it. Did you mean "D1.rows"?']),
    ],
)
def test_a_criterion_names_a_figure_that_exists(figure: str, missing: list[str]) -> None:
    known = ["D1.rows", "D2.*_rows", "M5.auc", "M5.gates"]
    assert charter.misses(small(figure=figure, at_least=1), known, "classification") == missing


def test_a_criterion_for_another_kind_of_problem_does_not_count() -> None:
    found = small(figure="M5.auc", at_least=0.8, problem="classification")
    assert charter.misses(found, [], "regression") == []
    assert charter.evaluated(found, Told().wall("1 09:00"), "regression") == []


@pytest.mark.parametrize(
    ("bound", "value", "holds"),
    [
        ({"at_least": 0.8}, 0.8, True),
        ({"at_least": 0.8}, 0.79, False),
        ({"at_least": 0.8}, float("nan"), False),
        ({"at_most": 0}, 0, True),
        ({"at_most": 0}, 1, False),
        ({"at_most": -1}, 0, False),
    ],
)
def test_a_criterion_holds_or_not_by_what_was_recorded(
    bound: dict[str, float], value: float, holds: bool
) -> None:
    told = Told()
    told.say("1 09:30", "started", "M5")
    wall = told.wall("1 10:00")
    (before,) = charter.evaluated(small(figure="M5.figure", **bound), wall, "classification")
    assert (before.value, before.holds) == (None, None)
    told.say("1 10:00", "completed", "M5", metrics={"figure": value})
    (after,) = charter.evaluated(small(figure="M5.figure", **bound), told.wall("1 10:00"), "classification")
    assert after.holds is (holds if value == value else None), "a figure that is no number is not recorded"
    assert small(figure="M5.figure", **bound).criteria[0].holds(value) is holds


def test_a_figure_counts_only_of_a_card_that_is_done() -> None:
    the_plan = PLAN
    told = Told()
    told.say("1 09:30", "started", "O2")  # a card that somebody has to accept
    told.say("1 10:00", "completed", "O2", metrics={"gaps": 3})
    found = small(figure="O2.gaps", at_most=5)
    assert charter.evaluated(found, told.wall("1 10:00", the_plan), "classification")[0].holds is None
    told.say("1 11:00", "accepted", "O2")
    assert charter.evaluated(found, told.wall("1 12:00", the_plan), "classification")[0].holds is True


@pytest.mark.parametrize(
    ("by", "day", "why"),
    [
        ("Product owner", 1, None),
        ("Product owners", 1, 'no "Product owners" among people. Did you mean "Product owner"?'),
        ("Product owner", 4, "the event has no day 4"),
        ("Product owner", 0, "the event has no day 0"),
    ],
)
def test_a_pending_decision_has_somebody_and_a_day(by: str, day: int, why: str | None) -> None:
    found = charter.parsed(changed("pending", to=[{"decision": "What?", "by": by, "day": day}]))
    assert charter.undecided(found, 3) == ([f"What? ({why})"] if why else [])


def test_a_charter_for_another_table_says_so() -> None:
    found = charter.parsed(changed("target", to="subscribed"))
    assert "the charter is about subscribed, the plan predicts churned" in charter.open_ends(found, PLAN.data)


def test_the_document_has_each_part_and_what_people_wrote_as_text() -> None:
    found = charter.parsed(changed("scope_out", to=[EVIL]))
    told = Told()
    told.work("M1", "1 09:30", "1 10:30")
    wall = told.wall("1 11:00")
    results = charter.evaluated(found, wall, "classification")
    answers = {found.pending[0].decision: "ten to one"}
    text = "\n".join(charter.document(found, results, wall, PLAN.data, answers))
    assert "| ten to one |" in text
    assert text.count("| open |") == len(found.pending) - 1
    assert "<script" not in documents.page(text, Path())
    for part in ("Goal", "The machine learning problem", "It was a success if", "Scope", "Who decides"):
        assert f"## {part}\n" in text


def test_the_journal_keeps_the_charter_as_data() -> None:
    data = charter.as_data(charter.read(FILE))
    told = Told()
    told.say("1 08:50", "charter", "E2", **data)
    assert data["criteria"][0] == {
        "name": "The model ranks leavers before stayers, surely and on data it never saw",
        "figure": "M5.auc_low",
        "at_least": 0.8,
        "problem": "classification",
    }
    assert data["pending"] == [question["decision"] for question in data["asked"]]


def test_the_picture_marks_what_holds_and_what_does_not() -> None:
    told = Told()
    told.say("1 10:00", "completed", "M1", metrics={"gain": 0.5})
    told.say("1 10:00", "completed", "M5", metrics={"gates_failed": 3})
    wall = board.fold(PLAN, told.events, now=at("1 12:00"))
    results = charter.evaluated(charter.read(FILE), wall, "classification")
    fig, ax = plt.subplots()
    charter.draw(ax, results, wall)
    words = [text.get_text() for text in ax.texts]
    plt.close(fig)
    assert {"0.5, at least 0.01", "3, at most 0", "at least 0.8"} <= set(words)
    assert {r.holds for r in results} == {True, False, None}
