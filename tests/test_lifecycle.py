from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jobs import load

from kit import paths, plan
from kit.errors import PlanError, RunbookError

ROOT = Path(__file__).parent.parent
FILE = ROOT / "mlops" / "lifecycle.yml"
PLAN = plan.load(ROOT / "runbooks" / "plan.yml")


(lifecycle,) = load("mlops", "lifecycle")

SMALL: dict[str, Any] = {
    "roles": [
        {"id": "maker", "title": "Maker", "workstream": "mlops"},
        {"id": "judge", "title": "Judge", "workstream": "event"},
    ],
    "gates": {
        "agreed": {"text": "It is agreed", "manual": "the judge writes it down"},
        "good": {"text": "It is good", "metric": {"card": "M1", "name": "auc", "at_least": 0.7}},
        "held": {"text": "It holds", "check": {"card": "M1", "name": "It holds"}},
        "over": {"text": "It is over", "done": "O1"},
    },
    "cycles": [
        {
            "id": "ml",
            "title": "Learning",
            "source": "a book",
            "stages": [
                {
                    "id": id,
                    "title": id.title(),
                    "purpose": "p",
                    "owner": "maker",
                    "approver": "judge",
                    "entry": entry,
                    "exit": out,
                    "artefacts": ["a"],
                    "cards": ["O1"],
                    "next": onward,
                    "back": back,
                }
                for id, entry, out, onward, back in (
                    ("plan", ["agreed"], ["good"], ["run"], {}),
                    ("run", ["good"], ["held"], ["end"], {"plan": "drift"}),
                    ("end", ["held"], ["over"], [], {}),
                )
            ],
        }
    ],
    "retirement": {"reasons": ["too old"], "steps": [{"do": "delete it", "by": "maker"}]},
}
RECORDED = {"M1": {"auc", "It holds"}, "O1": set()}


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    made = copy.deepcopy(SMALL)
    change(made)
    return made


def stage(made: dict[str, Any], number: int) -> dict[str, Any]:
    found: dict[str, Any] = made["cycles"][0]["stages"][number]
    return found


def gaps(made: dict[str, Any]) -> list[str]:
    return [
        *lifecycle.unmeasured(made, RECORDED),
        *lifecycle.unreached(made),
        *lifecycle.unowned(made, ["event", "mlops"], RECORDED),
    ]


def test_a_plan_that_holds_together_has_no_gaps() -> None:
    assert gaps(SMALL) == []


def test_the_plan_of_this_event_holds_against_its_runbooks() -> None:
    made = lifecycle.read(FILE)
    records = {card.id: lifecycle.recorded(paths.root() / card.notebook) for card in PLAN.cards}
    assert lifecycle.unmeasured(made, records) == []
    assert lifecycle.unreached(made) == []
    rooms = ["event", *(w.id for w in PLAN.workstreams)]
    assert lifecycle.unowned(made, rooms, records) == []
    assert {cycle["id"] for cycle in made["cycles"]} == {"ml", "genai"}


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        (
            lambda m: m["gates"]["agreed"].pop("manual"),
            "agreed: measured by nothing, it takes exactly one of",
        ),
        (lambda m: m["gates"]["over"].update(manual="x"), "over: measured by done and manual"),
        (lambda m: m["gates"]["over"].update(done="Z9"), "over: the plan has no card Z9"),
        (lambda m: m["gates"]["held"]["check"].update(card="Z9"), "held: the plan has no card Z9"),
        (lambda m: m["gates"]["held"].update(check="M1"), "held: check takes a card and a name"),
        (lambda m: m["gates"]["held"]["check"].update(name="It hold"), "held: M1 does not record 'It hold'"),
        (lambda m: m["gates"]["good"]["metric"].pop("at_least"), "good: a metric takes at_least or at_most"),
        (lambda m: m["gates"]["good"]["metric"].update(name="f1"), "good: M1 does not record 'f1'"),
        (lambda m: stage(m, 0)["exit"].append("x"), "x: plan names it, it is not under gates"),
        (lambda m: m["gates"].update(x={"text": "x", "manual": "y"}), "x: no stage names it"),
        (lambda m: stage(m, 0).update(next=["ran"]), "ml › plan: leads to ran, which is no stage"),
        (lambda m: stage(m, 0).update(next=["end"]), "ml › run: nothing leads to it"),
        (lambda m: stage(m, 1).update(next=[]), "ml › run: does not lead to end"),
        (lambda m: stage(m, 1).update(approver="maker"), "ml › run: maker approves the own work"),
        (lambda m: stage(m, 1).update(owner="boss"), "ml › run: no role boss"),
        (lambda m: stage(m, 1).update(cards=["Z9"]), "ml › run: the plan has no card Z9"),
        (lambda m: m["roles"][0].update(workstream="ops"), "maker: the plan has no workstream ops"),
        (lambda m: m["retirement"]["steps"][0].update(by="boss"), "retirement: no role boss"),
    ],
)
def test_each_gap_is_found(change: Callable[[dict[str, Any]], Any], gap: str) -> None:
    assert any(found.startswith(gap) for found in gaps(changed(change))), gaps(changed(change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(gate={}), 'lifecycle.yml: unknown key "gate".'),
        (lambda m: m["gates"]["good"].update(txt=1), 'gate good: unknown key "txt".'),
        (lambda m: stage(m, 0).pop("owner"), 'ml › stage plan: "owner" is missing or empty.'),
        (lambda m: stage(m, 0).update(entry=[]), 'stage plan: "entry" is missing or empty.'),
        (lambda m: m["roles"].append("boss"), "expected keys and values, got 'boss'"),
        (lambda m: m["retirement"]["steps"][0].update(who="x"), 'steps: unknown key "who".'),
    ],
)
def test_a_misspelt_file_is_refused_with_its_place(
    change: Callable[[dict[str, Any]], Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "lifecycle.yml"
    file.write_text(yaml.safe_dump(changed(change)))
    with pytest.raises(PlanError, match=re.escape(said)):
        lifecycle.read(file)


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lifecycle.yml"
    file.write_text("roles: [")
    with pytest.raises(PlanError, match=r"lifecycle\.yml: not readable as YAML"):
        lifecycle.read(file)


def test_what_a_runbook_records_is_read_from_its_notebook(tmp_path: Path) -> None:
    recorded = lifecycle.recorded(ROOT / "mlops" / "o1_plan_lifecycle.ipynb")
    assert {"S3 and the model card hold what was written", "stages", "manual_gates"} <= recorded
    (tmp_path / "n.ipynb").write_text('{"cells": []}')
    with pytest.raises(RunbookError):
        lifecycle.recorded(tmp_path / "n.ipynb")


def test_measures_are_said_in_words() -> None:
    assert {name: lifecycle.measures(gate) for name, gate in SMALL["gates"].items()} == {
        "agreed": "manual",
        "good": "M1: auc at least 0.7",
        "held": "M1: It holds",
        "over": "O1 is Done",
    }


def test_the_drawing_names_every_stage_owner_and_way_back() -> None:
    from matplotlib.figure import Figure

    made = lifecycle.read(FILE)
    ax = Figure().subplots()
    lifecycle.draw(ax, made, made["cycles"][0])
    words = {" ".join(text.get_text().split()) for text in ax.texts}
    for one in made["cycles"][0]["stages"]:
        assert one["title"] in words
        assert set(one.get("back", {}).values()) <= words
    assert "gate: M1, manual" in words


def test_ways_back_that_overlap_take_lanes_of_their_own() -> None:
    placed = lifecycle._lanes([(1, 0, "a"), (2, 1, "b"), (3, 0, "c"), (3, 1, "d")])
    lanes = {why: lane for lane, _, _, why in placed}
    assert lanes["a"] == lanes["b"] == 0
    assert lanes["d"] == 1
    assert lanes["c"] == 2


def test_the_document_has_every_stage_and_gate_and_escapes_what_people_write() -> None:
    made = changed(lambda m: stage(m, 0).update(purpose="<script>alert(1)</script>"))
    page = lifecycle.page(made, "An <event>", "R&D", "<svg></svg>")
    assert "<svg></svg>" in page
    assert "<script>" not in page
    assert "An &lt;event&gt; · R&amp;D" in page
    for words in ("It is good", "M1: auc at least 0.7", "the judge writes it down", "back to plan: drift"):
        assert words in page
