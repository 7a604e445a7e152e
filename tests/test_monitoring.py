from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import pytest
from jobs import CHURN, ROOT, SPEND

from kit import churn, plan
from kit.errors import RunbookError

sys.path.insert(0, str(ROOT / "model_engineering"))
import monitoring

sys.path.remove(str(ROOT / "model_engineering"))
SCHEMA: dict[str, Any] = {
    "id": "customer_id", "time": "month",
    "request": [
        {"column": "contract", "kind": "category"}, {"column": "data_gb", "kind": "number"}, {"column": "tenure_months", "kind": "number"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("raw")
    churn.generate(3000).to_csv(made / "part.csv", index=False)
    return made


def test_raw_rows_are_text_with_their_number_period_and_label(folder: Path) -> None:
    rows = monitoring.rows(folder, SCHEMA, CHURN)
    assert list(rows.columns) == ["contract", "data_gb", "tenure_months", "number", "period", "label"]
    assert rows["number"].tolist() == list(range(1, 3001))
    assert (rows["data_gb"].isna().mean(), set(rows["label"])) == (pytest.approx(0.05, abs=0.02), {"0", "1"})
    assert all(isinstance(value, str) for value in rows["tenure_months"])
    counted = {**SCHEMA, "request": [*SCHEMA["request"], {"column": monitoring.BEFORE, "kind": "number"}]}
    before = monitoring.rows(folder, counted, SPEND)[monitoring.BEFORE]
    assert (before.min(), before.max() < churn.STAY) == (0, True)


def test_periods_are_the_last_ones_that_were_not_trained_on(folder: Path) -> None:
    rows = monitoring.rows(folder, SCHEMA, CHURN)
    trained = set(rows.loc[rows["period"] < "2025-10", "number"])
    found = monitoring.periods(rows, trained, 2, 120, 0)
    assert list(found) == ["2025-10", "2025-11", "2025-12"]
    assert [len(part) for part in found.values()] == [120] * 3
    assert not any(trained & set(part["number"]) for part in found.values())


def test_without_times_rows_are_dealt_into_parts_and_too_few_are_told(folder: Path) -> None:
    rows = monitoring.rows(folder, {**SCHEMA, "time": ""}, plan.Data(target="churned", id="customer_id"))
    found = monitoring.periods(rows, set(range(1, 1001)), 3, 200, 0)
    assert list(found) == ["part 1", "part 2", "part 3", "part 4"]
    numbers = [number for part in found.values() for number in part["number"]]
    assert (len(numbers), len(set(numbers)), min(numbers) > 1000) == (800, 800, True)
    with pytest.raises(RunbookError, match="Only 50 rows were not trained on"):
        monitoring.periods(rows, set(range(51, 3001)), 3, 200, 0)


def test_a_planted_change_is_one_of_the_columns_that_were_named() -> None:
    part = pd.DataFrame(
        {"contract": ["a", "a", "b"], "data_gb": ["1", None, "x"], "tenure_months": ["1", "2", "3"]}
    )
    made = monitoring.planted(part, SCHEMA, ["contract", "data_gb"])
    assert made["contract"].tolist() == ["a", "a", "a"]
    assert made["data_gb"].tolist() == ["2.0", None, "x"]
    assert made["tenure_months"].tolist() == ["1", "2", "3"]


def test_a_window_of_whole_seconds_holds_what_was_sent() -> None:
    part = pd.DataFrame({"a": ["1"] * 250, "label": ["0"] * 250})
    sent: list[tuple[str, str, datetime]] = []
    begin, end, labels = monitoring.send(
        part, ["a"], lambda body, name: sent.append((body, name, datetime.now(UTC))), "stem"
    )
    assert [len(body.splitlines()) for body, _, _ in sent] == [100, 100, 50]
    assert all(begin <= at < end for _, _, at in sent)
    assert (begin.microsecond, end.microsecond) == (0, 0)
    assert (len(labels), labels[-1]) == (250, {"inference_id": "stem-2", "row": 49, "label": "0"})


def test_waiting_ends_with_what_comes_or_says_that_nothing_came() -> None:
    answers = iter([None, [], ["here"]])
    assert monitoring.wait_for(lambda: next(answers), "it", 0.01) == ["here"]
    with pytest.raises(RunbookError, match="it: nothing came within 0"):
        monitoring.wait_for(lambda: None, "it", 0.01, 0.05)


def test_a_picture_has_a_line_for_each_feature_and_says_the_measure() -> None:
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    quality = {"metric": "auc", "value": 0.8, "low": 0.7, "high": 0.9, "promised": 0.8}
    reports = {name: {"features": [{"name": "a", "psi": 0.1}], "quality": quality} for name in ("one", "two")}
    fig, axes = plt.subplots(1, 2)
    assert monitoring.draw(axes, reports, ["a"], 0.1) == "AUC"
    assert [line.get_label() for line in axes[0].lines] == ["a", "limit 0.1"]
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["one", "two"]
    unknown = {"one": {"features": [], "quality": {"metric": "auc", "value": None, "promised": None}}}
    assert monitoring.draw(axes, unknown, [], 0.1) == "quality"
    plt.close(fig)
