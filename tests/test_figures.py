"""The figures that runbooks record, read before anything has run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ceremony import Told, figures

from kit import paths, plan


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ('rb.complete(metrics={"rows": 1, "gain": g})', ["rows", "gain"]),
        ("rb.complete(outputs={'a': 1})", []),
        ("rb.complete(metrics={main: 1, f'{main}_low': 2})", ["auc", "average_precision", "logloss", "auc_low", "average_precision_low", "logloss_low"]),
        ('rb.complete(metrics={measured[0]: 1, **({"usd": u} if price else {})})', ["auc", "average_precision", "logloss", "usd"]),
        ('rb.complete(metrics={"a": 1, **{f"{n}_rows": r for n, r in parts.items()}})', ["a", "*_rows"]),
        ('rb.complete(metrics={"a": 1, **reached})', ["a", "*"]),
        ('metrics = {"a": 1}\nmetrics |= {"b": 2}\nrb.complete(metrics=metrics)', ["a", "b"]),
    ],
)  # fmt: skip
def test_names_are_read_from_the_last_cell(tmp_path: Path, cell: str, found: list[str]) -> None:
    notebook = {"cells": [{"id": "other", "source": "rb.complete(metrics={'no': 1})"}, {"id": "record", "source": [cell]}]}  # fmt: skip
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    assert figures.names(tmp_path / "a.ipynb", "classification") == found


def test_a_measure_is_called_by_the_kind_of_problem(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(
        json.dumps({"cells": [{"id": "record", "source": "x(metrics={main: 1})"}]})
    )
    assert figures.names(tmp_path / "a.ipynb", "regression") == ["rmse", "mae", "r2"]


def test_every_runbook_of_the_event_says_what_it_records() -> None:
    the_plan = plan.load(paths.root() / "runbooks" / "plan.yml")
    known = figures.figures(the_plan, paths.root())
    assert {"D1.rows", "M1.gain", "M5.auc", "M5.auc_low", "M5.gates_failed", "M6.p99_ms"} <= set(known)
    assert known == sorted(set(known))


def test_what_was_recorded_is_known_as_well() -> None:
    told = Told()
    told.say("1 10:00", "completed", "D1", metrics={"surprise": 1})
    the_plan = plan.load(paths.root() / "runbooks" / "plan.yml")
    assert "D1.surprise" in figures.figures(the_plan, paths.root(), told.wall("1 11:00"))
