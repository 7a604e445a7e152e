from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import CHURN, SPEND
from test_jobs_evaluate import engineered, model, prepared

from kit import churn

validate, behaviour, fairness = jobs.load(
    "model_engineering/jobs/evaluate", "validate", "behaviour", "fairness"
)

SPECS = [
    {
        "name": "n",
        "kind": "numeric",
        "center": 10.0,
        "scale": 2.0,
        "low": 4.0,
        "high": 16.0,
        "fill": 9.0,
        "indicator": "n?",
    },
    {"name": "c", "kind": "category", "categories": ["a", "b", "(missing)", "(other)"]},
]


def rows(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = np.clip(rng.normal(0, 1, count), -3, 3)
    return pd.DataFrame(
        {"row_number": np.arange(count) * 3, "id": "i", "n": n, "n?": 0.0, "c": rng.choice(["a", "b"], count)}
    )


def run(models: Path, data: Path, out: Path, *more: str, split: str = "test") -> int:
    out.mkdir(exist_ok=True)
    places = {"models": models, "rows": data / split, "schema": data / "report", "report": out}
    few = ["--sample=300", "--timed=10"]
    return int(
        validate.main(
            [*(f"--{k}={v}" for k, v in places.items()), f"--message={out / 'message'}", *few, *more]
        )
    )


def told(out: Path) -> Any:
    return json.loads((out / "validation.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("splits") / "data", churn.generate(4000), CHURN)


@pytest.fixture(scope="module")
def models(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    made = engineered(data, data / "new", "--groups", "bends", "products")
    model(made, folder, "features", "--iterations=40")
    model(data, folder, "plain", "--algorithm=baseline")
    upside = folder.parent / "upside"  # the baseline of turned labels: it goes the wrong way
    for split in ("train", "validation"):
        (upside / split).mkdir(parents=True)
        table = pd.concat([pd.read_parquet(f) for f in (data / split).glob("*.parquet")])
        table.assign(churned=1 - table["churned"]).to_parquet(upside / split / "part.parquet")
    (upside / "report").symlink_to(data / "report")
    model(upside, folder, "upside", "--algorithm=baseline")
    return folder


@pytest.fixture(scope="module")
def found(models: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("out")
    assert run(models, data, out) == 0
    return told(out)


@pytest.fixture(scope="module")
def plain(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model alone."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "plain").symlink_to(models / "plain")
    return folder


def test_a_model_of_features_and_one_of_columns_are_tried_on_the_same_rows(found: Any, models: Path) -> None:
    assert set(found["models"]) == {"features", "plain", "upside"}
    assert (found["metric"], found["sample"]) == ("auc", 300)
    for name, one in found["models"].items():
        assert set(one["robustness"]) == set(behaviour.CHANGES)
        assert one["bytes"] == (models / name / "model.tar.gz").stat().st_size
        assert 0 < one["time"]["p50_ms"] <= one["time"]["p99_ms"]


def test_order_and_names_of_ids_do_not_matter(found: Any) -> None:
    for name in ("features", "plain"):
        for change in ("order", "ids"):
            assert found["models"][name]["invariance"][change]["largest"] < 1e-9


def test_a_good_model_loses_little_and_a_model_of_turned_labels_has_nothing_to_lose(found: Any) -> None:
    good, bad = found["models"]["plain"]["robustness"], found["models"]["upside"]["robustness"]
    assert all(-0.1 < one["loss"] < 0.4 for one in good.values())
    assert all(one["loss"] == 1.0 for one in bad.values())


def test_a_model_of_turned_labels_goes_the_wrong_way(found: Any) -> None:
    ways = {name: one["direction"] for name, one in found["models"].items()}
    assert len(ways["plain"]) > 2
    assert all(one["ok"] for one in ways["plain"].values())
    assert not any(one["ok"] for one in ways["upside"].values())


def test_people_say_which_way_a_number_has_to_go(plain: Path, data: Path, tmp_path: Path) -> None:
    assert run(plain, data, tmp_path, '--directions={"tenure_months": "up", "billing_day": "down"}') == 0
    way = told(tmp_path)["models"]["plain"]["direction"]
    assert (way["tenure_months"]["expected"], way["billing_day"]["expected"]) == (1, -1)
    assert not way["tenure_months"]["ok"]  # those who are here for longer leave less often


def test_groups_are_judged_on_all_rows_with_the_given_threshold(
    plain: Path, data: Path, tmp_path: Path
) -> None:
    assert run(plain, data, tmp_path, "--threshold=0") == 0
    (one,) = told(tmp_path)["models"]["plain"]["fairness"].values()
    assert (one["parity"], one["odds"]) == (0.0, 0.0)  # everybody is said to be positive
    assert sum(group["rows"] for group in one["groups"].values()) == told(tmp_path)["rows"]


def test_the_same_seed_finds_the_same(found: Any, plain: Path, data: Path, tmp_path: Path) -> None:
    assert run(plain, data, tmp_path) == 0
    again = told(tmp_path)["models"]["plain"]
    assert {**again, "time": 0} == {**found["models"]["plain"], "time": 0}


def test_numbers_are_validated_in_units_of_the_target(tmp_path: Path) -> None:
    splits = prepared(tmp_path / "data", churn.generate(3000), SPEND)
    model(splits, tmp_path / "models", "plain", "--algorithm=baseline")
    assert run(tmp_path / "models", splits, tmp_path / "out") == 0
    one = told(tmp_path / "out")["models"]["plain"]
    assert told(tmp_path / "out")["metric"] == "rmse"
    assert all(0 <= abs(about["loss"]) < 1 for about in one["robustness"].values())
    assert one["fairness"] == {}  # this plan names no sensitive column


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--directions={"], "Write JSON"),
        (['--directions={"tenure_months": "sideways"}'], 'expected {"column"'),
        (['--directions={"contract": "up"}'], "no number of the schema"),
        (["--sample=5"], "too small"),
    ],
)
def test_what_makes_no_sense_is_said_in_two_lines_and_nothing_is_written(
    more: list[str], said: str, models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models, data, tmp_path, *more) == 1
    assert said in (tmp_path / "message").read_text()
    assert len((tmp_path / "message").read_text().splitlines()) == 2
    assert not (tmp_path / "validation.json").exists()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from(list(behaviour.CHANGES)))
def test_changed_rows_stay_rows_that_the_prepare_job_could_have_written(seed: int, name: str) -> None:
    before = rows(50)
    after = behaviour.CHANGES[name](before, SPECS, np.random.default_rng(seed))
    assert list(after.columns) == list(before.columns)
    assert after["n"].between(-3, 3).all()
    assert set(after["n?"]) <= {0.0, 1.0}
    assert set(after["c"]) <= set(SPECS[1]["categories"])
    pd.testing.assert_frame_equal(before, rows(50))


def test_what_is_taken_away_is_filled_and_marked() -> None:
    after = behaviour.emptied(rows(2000), SPECS, np.random.default_rng(0), 0.1)
    gone = after["n?"] == 1
    assert 120 < gone.sum() < 280
    assert (after.loc[gone, "n"] == -0.5).all()
    assert 120 < (after["c"] == "(missing)").sum() < 280


def test_copies_are_told_apart_by_number_and_id() -> None:
    first, second = rows(4), rows(4).iloc[::-1]
    stack = behaviour.stacked({"first": first, "second": second}, "row_number", "id")
    scores = pd.Series(range(8), index=stack.table["row_number"])
    assert stack.of(scores, "first", first["row_number"].to_numpy()).tolist() == [0, 1, 2, 3]
    assert stack.of(scores, "second", first["row_number"].to_numpy()).tolist() == [7, 6, 5, 4]
    assert stack.table["id"].nunique() == 2


def test_groups_that_are_too_small_or_of_one_label_are_left_out_and_named() -> None:
    groups = np.array(["a"] * 100 + ["b"] * 100 + ["few"] * 10 + ["one"] * 50)
    target = np.array([0, 1] * 105 + [1] * 50)
    said = np.array([True] * 100 + [False] * 160)
    found = fairness.classification(target, said, groups)
    assert found["left_out"] == ["few", "one"]
    assert (found["parity"], found["odds"]) == (1.0, 1.0)
    assert fairness.classification(target[:100], said[:100], groups[:100])["parity"] is None
    mean = fairness.regression(target.astype(float), target + (groups == "a"), groups)
    assert mean["groups"]["a"]["mean_error"] == pytest.approx(1)
    assert mean["error"] == pytest.approx(1 / target.std())
