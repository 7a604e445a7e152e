from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import PlanError, UsageError

FOLDER = Path(__file__).parent.parent / "mlops"
(frameworks,) = load("mlops", "frameworks")
KNOWN = frameworks.read(FOLDER / "frameworks.yml")
RULES = yaml.safe_load((FOLDER / "orchestrator.yml").read_text())


def changed(**capabilities: str) -> dict[str, Any]:
    """The shipped frameworks with other words for the option "orchestrator", or another priority as `id__priority`."""
    other = copy.deepcopy(KNOWN)
    for name, word in capabilities.items():
        id, _, field = name.partition("__")
        if field:
            other["capabilities"][id][field] = word
        else:
            other["capabilities"][id]["orchestrator"][0] = word
    return other


def written(tmp_path: Path, content: dict[str, Any]) -> Path:
    (tmp_path / "frameworks.yml").write_text(yaml.safe_dump(content))
    return tmp_path / "frameworks.yml"


def test_evidence_names_only_calls_that_aws_has() -> None:
    assert frameworks.unknown_calls(KNOWN) == []


@pytest.mark.parametrize("call", ["sagemaker:CreatePipelin", "sagemakr:CreatePipeline", "sagemaker"])
def test_a_call_that_aws_does_not_have_is_found(call: str) -> None:
    other = copy.deepcopy(KNOWN)
    other["capabilities"]["graph"]["own"][2] = call
    assert frameworks.unknown_calls(other) == [f"graph, own: {call}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["graph"].update(priority="mst"), "unknown word"),
        (lambda c: c["graph"].pop("role"), '"role" is missing'),
        (lambda c: c["graph"].pop("projects"), '"projects" is missing'),
        (lambda c: c["graph"].update(airflow=["has", "it does"]), "unknown key"),
        (lambda c: c["graph"].update(own=["hass", "it does"]), "unknown word"),
        (lambda c: c["graph"].update(own="has"), "expected"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path, change: Any, said: str) -> None:
    other = copy.deepcopy(KNOWN)
    change(other["capabilities"])
    with pytest.raises(PlanError, match=said) as caught:
        frameworks.read(written(tmp_path, other))
    assert "graph" in caught.value.message


def test_shares_are_weighted_and_a_partial_must_counts_as_lacking() -> None:
    small = {
        "weights": {"must": 3, "could": 1, "wont": 0},
        "worth": {"has": 1, "partial": 0.5, "missing": 0},
        "options": {"it": {"maintained": True}},
        "capabilities": {
            "a": {"priority": "must", "it": ["has", "e"]},
            "b": {"priority": "must", "it": ["partial", "e"]},
            "c": {"priority": "could", "it": ["missing", "e"]},
            "d": {"priority": "wont", "it": ["missing", "e"]},
        },
    }
    found = frameworks.scores(small)["it"]
    assert found.share == pytest.approx(4.5 / 7)
    assert found.lacks == ("b",)
    assert frameworks.gaps(small, "it") == ["b", "c"]


def test_what_is_not_maintained_is_replaced_by_what_has_most() -> None:
    found = frameworks.decision(KNOWN, "orchestrator", 0.7)
    totals = frameworks.scores(KNOWN)
    assert (found.what, found.by) == ("replace", max(totals, key=lambda id: totals[id].share))
    assert "2025-06-10" in found.reasons[0]


def test_what_is_maintained_and_has_every_must_is_adopted() -> None:
    assert frameworks.decision(KNOWN, "own", 0.7).what == "adopt"
    all_there = changed(**dict.fromkeys(KNOWN["capabilities"], "has"))
    assert frameworks.decision(all_there, "orchestrator", 1.01).what == "replace"  # nobody mends it
    all_there["options"]["orchestrator"]["maintained"] = True
    assert frameworks.decision(all_there, "orchestrator", 1.01).what == "adopt"


def test_only_what_may_be_changed_can_be_forked() -> None:
    assert frameworks.decision(KNOWN, "orchestrator", 0.3).what == "fork"
    assert frameworks.decision(KNOWN, "pipelines", 0.3).what == "replace"
    assert "cannot be forked" in frameworks.decision(KNOWN, "pipelines", 0.3).reasons[-1]


def test_a_need_that_is_dropped_is_no_gap() -> None:
    assert "own_training" in frameworks.gaps(KNOWN, "orchestrator")
    assert "own_training" not in frameworks.gaps(changed(own_training__priority="wont"), "orchestrator")


def test_an_unknown_option_names_the_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        frameworks.decision(KNOWN, "orchestrater", 0.7)
    assert "orchestrator" in caught.value.hint


def whole_request(kind: str, problem: str, registry: bool) -> dict[str, Any]:
    keys = frameworks.required_keys(RULES, kind, problem, registry)
    return {"pipeline_type": kind, **dict.fromkeys(keys, "x")} | (
        {"problem_type": problem} if "problem_type" in keys else {}
    )


@given(st.sampled_from(list(RULES["types"])), st.sampled_from(RULES["problems"]), st.booleans(), st.data())
def test_a_whole_request_passes_and_one_without_a_key_is_refused_for_that_key(
    kind: str, problem: str, registry: bool, data: st.DataObject
) -> None:
    request = whole_request(kind, problem, registry)
    assert frameworks.request_problems(RULES, request, registry) == []
    key = data.draw(st.sampled_from([k for k in request if k not in ("pipeline_type", "problem_type")]))
    empty = data.draw(st.sampled_from([None, "", {}, "left out"]))
    broken = {k: v for k, v in request.items() if k != key} | ({} if empty == "left out" else {key: empty})
    assert frameworks.request_problems(RULES, broken, registry) == [f"{key} is missing"]


def test_a_value_for_some_stages_only_is_refused() -> None:
    request = whole_request("byom_realtime_custom", "", True) | {
        "inference_instance": {"dev": "a", "prod": "b"}
    }
    assert frameworks.request_problems(RULES, request, True) == [
        "inference_instance has no value for staging"
    ]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ([], "a request is an object, not list"),
        ({}, 'pipeline_type "None" is unknown'),
        ({"pipeline_type": ["a"]}, "is unknown"),
        ({"pipeline_type": "model_training_buildin"}, "model_training_builtin"),
    ],
)
def test_what_is_no_request_is_refused_in_words(request_: Any, said: str) -> None:
    (found,) = frameworks.request_problems(RULES, request_)
    assert said in found


def test_a_problem_type_of_another_name_is_refused() -> None:
    request = whole_request("byom_model_bias_monitor", "Regression", False) | {"problem_type": "Regresion"}
    assert 'problem_type "Regresion" is unknown' in frameworks.request_problems(RULES, request)[-1]


def test_the_shipped_requests_are_whole_with_the_registry() -> None:
    for request in json.loads((FOLDER / "requests.json").read_text()):
        assert frameworks.request_problems(RULES, request, registry=True) == []
