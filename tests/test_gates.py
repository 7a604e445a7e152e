from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import PlanError

FILE = Path(__file__).parent.parent / "model_engineering" / "gates.yml"
(gates,) = load("model_engineering", "gates")
LIMITS = gates.read(FILE)


def value(value: float, wide: float = 0.02) -> dict[str, float]:
    return {"value": value, "low": value - wide, "high": value + wide}


CLASSES: dict[str, Any] = {
    "problem": "classification",
    "metric": "auc",
    "models": {
        "new": {"metrics": {"auc": value(0.8), "ece": value(0.03)}},
        "base": {"metrics": {"auc": value(0.79)}},
    },
    "differences": [
        {"metric": "logloss", "model": "new", "than": "base", "difference": -1, "low": -2, "high": 0},
        {"metric": "auc", "model": "new", "than": "base", "difference": 0.01, "low": -0.005, "high": 0.02},
    ],
    "slices": [
        {
            "column": "c",
            "value": "a",
            "rows": 50,
            "models": {"new": {"interval": {"low": 0.5, "high": 0.75}}},
        },
        {
            "column": "c",
            "value": "b",
            "rows": 30,
            "models": {"new": {"interval": {"low": None, "high": None}}},
        },
    ],
}
NUMBERS: dict[str, Any] = {
    "problem": "regression",
    "metric": "rmse",
    "models": {
        "new": {"metrics": {"rmse": value(10, 1), "r2": value(0.5), "bias": value(-0.1)}},
        "base": {"metrics": {"rmse": value(20, 1)}},
    },
    "differences": [
        {"metric": "rmse", "model": "new", "than": "base", "difference": -10, "low": -11, "high": -9}
    ],
    "slices": [
        {"column": "c", "value": "a", "rows": 50, "models": {"new": {"interval": {"low": 10.5, "high": 13}}}}
    ],
}
TRIED: dict[str, Any] = {
    "models": {
        "new": {
            "robustness": {"noise": {"loss": 0.01}, "shift": {"loss": 0.1}},
            "invariance": {"order": {"share": 0.0}, "ids": {"share": 0.01}},
            "direction": {"x": {"ok": True}, "y": {"ok": True}},
            "fairness": {
                "age": {"odds": 0.1, "parity": 0.15, "error": 0.1},
                "few": {"odds": None, "parity": None, "error": None},
            },
            "time": {"p50_ms": 2.0, "p99_ms": 9.0},
            "bytes": 5_000_000,
        }
    }
}


def found(evaluation: Any = CLASSES, tried: Any = TRIED) -> Any:
    return gates.Found(evaluation, tried, "new", "base", spread=20.0)


@pytest.mark.parametrize("evaluation", [CLASSES, NUMBERS])
def test_a_good_model_passes_every_gate(evaluation: Any) -> None:
    told = gates.verdicts(LIMITS, found(evaluation))
    assert gates.failed(told) == []
    assert [verdict.gate for verdict in told] == list(gates.GATES)
    assert all(verdict.where and verdict.text for verdict in told)


def broken(evaluation: Any, path: str, bad: Any) -> tuple[Any, Any]:
    """Evaluation and validation with one number replaced; the path is of one or the other."""
    both = copy.deepcopy({"evaluation": evaluation, "tried": TRIED["models"]["new"]})
    *way, last = path.split("/")
    place: Any = both
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[last] = bad
    return both["evaluation"], {"models": {"new": both["tried"]}}


@pytest.mark.parametrize("bad", [1.0, None])
@pytest.mark.parametrize(
    ("evaluation", "path", "worst", "gate"),
    [
        (CLASSES, "evaluation/models/new/metrics/auc/low", 0.55, "skill"),
        (NUMBERS, "evaluation/models/new/metrics/r2/low", 0.05, "skill"),
        (CLASSES, "evaluation/differences/1/low", -0.02, "baseline"),
        (NUMBERS, "evaluation/differences/0/high", 1.0, "baseline"),
        (CLASSES, "evaluation/models/new/metrics/ece/value", 0.2, "calibration"),
        (NUMBERS, "evaluation/models/new/metrics/bias/value", -3.0, "calibration"),
        (CLASSES, "tried/robustness/shift/loss", 0.9, "robustness"),
        (CLASSES, "tried/invariance/ids/share", 0.5, "invariance"),
        (CLASSES, "tried/time/p99_ms", 9000.0, "latency"),
    ],
)
def test_each_gate_stops_a_bad_number_and_one_that_could_not_be_told(
    evaluation: Any, path: str, worst: float, gate: str, bad: float | None
) -> None:
    told = gates.verdicts(LIMITS, found(*broken(evaluation, path, worst if bad else None)))
    assert gates.failed(told) == [gate]


@pytest.mark.parametrize(
    ("evaluation", "path", "worst", "gate", "where"),
    [
        (CLASSES, "evaluation/slices/0/models/new/interval/high", 0.6, "slices", "c a (50 rows)"),
        (NUMBERS, "evaluation/slices/0/models/new/interval/low", 12.0, "slices", "c a (50 rows)"),
        (CLASSES, "tried/fairness/age/odds", 0.3, "fairness", "odds by age"),
        (CLASSES, "tried/fairness/age/parity", 0.3, "fairness", "parity by age"),
        (NUMBERS, "tried/fairness/age/error", 0.3, "fairness", "error by age"),
        (CLASSES, "tried/bytes", 10**9, "size", "in MB"),
        (CLASSES, "tried/direction/x/ok", False, "direction", "against: x"),
    ],
)
def test_a_gate_that_stops_names_where(evaluation: Any, path: str, worst: Any, gate: str, where: str) -> None:
    told = gates.verdicts(LIMITS, found(*broken(evaluation, path, worst)))
    assert gates.failed(told) == [gate]
    assert where in next(verdict.where for verdict in told if verdict.gate == gate)


def test_without_groups_or_directions_there_is_nothing_to_hold_against_a_model() -> None:
    tried = copy.deepcopy(TRIED)
    tried["models"]["new"] |= {"fairness": {}, "direction": {}}
    assert gates.failed(gates.verdicts(LIMITS, found(tried=tried))) == []


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_lower_skill_never_passes_where_a_higher_one_fails(one: float, other: float) -> None:
    low, high = sorted((one, other))
    passed = [
        "skill"
        not in gates.failed(
            gates.verdicts(LIMITS, found(*broken(CLASSES, "evaluation/models/new/metrics/auc/low", got)))
        )
        for got in (low, high)
    ]
    assert passed[1] or not passed[0]


def test_each_further_opening_of_the_test_set_asks_for_more() -> None:
    assert gates.confidence(1) == pytest.approx(0.95)
    assert gates.confidence(5) == pytest.approx(0.99)
    with pytest.raises(ValueError, match="count from 1"):
        gates.confidence(0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g.update(sklll={"text": "x"}), 'unknown gate "sklll"'),
        (lambda g: g.pop("size"), "size is missing"),
        (lambda g: g["size"].pop("megabytes_at_most"), '"megabytes_at_most" is missing'),
        (lambda g: g["size"].update(megabytes_at_least=1), 'unknown key "megabytes_at_least"'),
        (lambda g: g["size"].update(megabytes_at_most="many"), "is no number"),
        (lambda g: g["size"].update(megabytes_at_most=True), "is no number"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path, change: Any, said: str) -> None:
    raw = yaml.safe_load(FILE.read_text())
    change(raw)
    (tmp_path / "gates.yml").write_text(yaml.safe_dump(raw))
    with pytest.raises(PlanError, match=said):
        gates.read(tmp_path / "gates.yml")


def test_every_limit_of_the_file_is_a_finite_number() -> None:
    assert all(math.isfinite(v) for gate in LIMITS.values() for k, v in gate.items() if k != "text")
