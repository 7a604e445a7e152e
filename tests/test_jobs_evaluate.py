from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import CHURN, SPEND
from sklearn import metrics as known

from kit import churn, data, plan

(prepare,) = jobs.load("data_engineering/jobs/prepare", "script")
(engineering,) = jobs.load("data_engineering/jobs/features", "script")
training, measures = jobs.load("model_engineering/jobs/train", "script", "evaluation")
script, metrics, comparison = jobs.load("model_engineering/jobs/evaluate", "script", "metrics", "comparison")

PARTS = ("train", "validation", "test")


def prepared(folder: Path, table: pd.DataFrame, block: plan.Data) -> Path:
    (folder / "input").mkdir(parents=True)
    table.to_csv(folder / "input" / "table.csv", index=False)
    places = [f"--{n}={folder / n}" for n in ("input", *PARTS, "report", "message")]
    assert prepare.main(["--plan", *data.arguments(block), *places]) == 0
    return folder


def engineered(folder: Path, out: Path, *more: str) -> Path:
    places = [f"--{n}={folder / n}" for n in PARTS] + [f"--features-{n}={out / n}" for n in PARTS]
    places += [f"--schema={folder / 'report'}", f"--report={out / 'report'}"]
    assert engineering.main([*places, f"--transformer={out / 'transformer'}", *more]) == 0
    return out


def model(splits: Path, models: Path, name: str, *options: str) -> None:
    """Trains a model and puts its archive where a processing input puts it."""
    with_features = [f"--transformer={splits / 'transformer'}"] if (splits / "transformer").is_dir() else []
    places = {"train": splits / "train", "validation": splits / "validation", "schema": splits / "report"}
    job = models.parent / f"job-{name}"
    places |= {"model-dir": job / "model", "output-data-dir": job / "data", "output-dir": job}
    assert training.main([*(f"--{k}={v}" for k, v in places.items()), *with_features, *options]) == 0
    (models / name).mkdir(parents=True)
    with tarfile.open(models / name / "model.tar.gz", "w:gz") as archive:
        archive.add(job / "model", arcname=".")


def run(models: Path, rows: Path, schema: Path, out: Path, *more: str) -> int:
    out.mkdir(exist_ok=True)
    places = {
        "models": models,
        "rows": rows,
        "schema": schema,
        "scores": out / "scores",
        "report": out / "report",
    }
    return int(
        script.main([*(f"--{k}={v}" for k, v in places.items()), f"--message={out / 'message'}", *more])
    )


def told(out: Path) -> Any:
    return json.loads((out / "report" / "evaluation.json").read_text("utf-8"))


def scores(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "scores" / "scores.parquet")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("splits") / "data", churn.generate(4000), CHURN)


@pytest.fixture(scope="module")
def made(splits: Path) -> Path:
    return engineered(splits, splits / "new", "--groups", "bends", "products", "encodings")


@pytest.fixture(scope="module")
def models(splits: Path, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of D2's columns, one of features and one that knows nothing."""
    folder = tmp_path_factory.mktemp("models") / "models"
    model(splits, folder, "line", "--algorithm=baseline")
    model(splits, folder, "trees", "--iterations=60", "--num_leaves=7")
    model(made, folder, "features", "--algorithm=baseline")
    model(splits, folder, "nothing", "--iterations=1", "--min_child_samples=100000")
    return folder


@pytest.fixture(scope="module")
def out(splits: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    assert run(models, splits / "validation", splits / "report", folder, "--draws=200") == 0
    return folder


# --- scores and metrics


def test_scores_are_those_that_the_training_job_measured(out: Path, models: Path, splits: Path) -> None:
    table = scores(out)
    before = pd.read_parquet(splits / "validation")
    assert table["row_number"].tolist() == sorted(before["row_number"])
    assert {"target", "weight", "id", "age_band__group"} <= set(table)
    for name in ("line", "trees", "features"):
        expected = json.loads((models.parent / f"job-{name}" / "model" / "metrics.json").read_text())[
            "validation"
        ]
        got = told(out)["models"][name]["metrics"]
        for metric, value in expected.items():
            assert got[metric]["value"] == pytest.approx(value, abs=1e-9), (name, metric)
            assert got[metric]["low"] <= got[metric]["value"] <= got[metric]["high"]


def test_the_best_is_found_and_a_gain_for_sure_is_told_from_chance(out: Path) -> None:
    found = told(out)
    assert found["metric"] == "auc"
    assert found["best"] != "nothing"
    pairs = {(d["model"], d["than"]): d for d in found["differences"] if d["metric"] == "auc"}
    assert len(pairs) == 6
    knows = pairs["nothing", "line"]
    assert knows["better"] is False
    assert knows["high"] < -0.1
    near = pairs["trees", "line"]
    assert near["low"] < near["difference"] < near["high"]
    assert near["high"] - near["low"] < knows["high"] - knows["low"]  # in pairs chance is shared


def test_models_of_different_features_are_compared_on_rows_of_both_joined_by_number(
    splits: Path, made: Path, models: Path, out: Path, tmp_path: Path
) -> None:
    for name, folder in (("a", made), ("b", splits)):
        table = pd.read_parquet(folder / "validation").sample(frac=1, random_state=1)
        (tmp_path / "rows" / name).mkdir(parents=True)
        table.iloc[: -3 if name == "a" else None].to_parquet(tmp_path / "rows" / name / "part.parquet")
        shutil.copytree(folder / "report", tmp_path / "schema" / name)
    assert run(models, tmp_path / "rows", tmp_path / "schema", tmp_path, "--draws=100") == 0
    took = {name: one["rows"] for name, one in told(tmp_path)["models"].items()}
    assert took == {"features": "a", "line": "b", "trees": "b", "nothing": "b"}
    table, all_ = scores(tmp_path), scores(out)
    assert len(table) == len(all_) - 3
    both = table.merge(all_, on="row_number", suffixes=("", " alone"))
    for name in took:
        np.testing.assert_allclose(both[f"score {name}"], both[f"score {name} alone"], rtol=1e-12)


def test_regression_is_ranked_by_rmse(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "data", churn.generate(2000), SPEND)
    model(folder, tmp_path / "models", "line", "--algorithm=baseline")
    model(folder, tmp_path / "models", "mean", "--iterations=1", "--learning_rate=0.0000001")
    assert run(tmp_path / "models", folder / "test", folder / "report", tmp_path, "--draws=100") == 0
    found = told(tmp_path)
    assert (found["metric"], found["best"]) == ("rmse", "line")
    gain = next(d for d in found["differences"] if d["metric"] == "rmse")
    assert (gain["model"], gain["better"]) == ("mean", False)
    table = scores(tmp_path)
    error = np.sqrt(np.mean((table["score line"] - table["target"]) ** 2))
    assert found["models"]["line"]["metrics"]["rmse"]["value"] == pytest.approx(error)


def test_forty_rows_without_id_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.arange(40)
    table = pd.DataFrame({"a": rows * 7 % 40, "b": np.array(["x", "y"])[rows // 2 % 2], "y": rows % 2})
    folder = prepared(tmp_path / "data", table, plan.Data(target="y"))
    model(folder, tmp_path / "models", "line", "--algorithm=baseline")
    assert run(tmp_path / "models", folder / "train", folder / "report", tmp_path, "--draws=100") == 0
    found = told(tmp_path)
    assert found["units"]["of"] == "rows"
    assert found["units"]["count"] == found["rows"] == len(pd.read_parquet(folder / "train"))
    assert f"line:auc={found['models']['line']['metrics']['auc']['value']:.6f}" in capsys.readouterr().out


def test_the_same_input_gives_the_same_numbers(splits: Path, models: Path, out: Path, tmp_path: Path) -> None:
    assert run(models, splits / "validation", splits / "report", tmp_path, "--draws=200") == 0
    assert told(tmp_path) == told(out)


def test_against_one_model_and_with_one_threshold(splits: Path, models: Path, tmp_path: Path) -> None:
    more = ["--against=line", "--threshold=0.2", "--draws=100", "--slices"]
    assert run(models, splits / "validation", splits / "report", tmp_path, *more) == 0
    found = told(tmp_path)
    assert {d["than"] for d in found["differences"]} == {"line"}
    table = scores(tmp_path)
    said = (table["score trees"] >= 0.2).mean()
    assert found["models"]["trees"]["metrics"]["predicted_share"]["value"] == pytest.approx(said)
    assert found["slices"] == []


def test_slices_have_the_rows_and_metrics_of_their_part(out: Path, splits: Path) -> None:
    table, before = scores(out), pd.read_parquet(splits / "validation").set_index("row_number")
    found = {(s["column"], s["value"]): s for s in told(out)["slices"]}
    assert {"age_band", "contract"} <= {column for column, _ in found}
    label = before.loc[table["row_number"], "contract"].to_numpy()
    for (column, value), one in found.items():
        if column == "contract":
            part = table[label == value]
            assert one["rows"] == len(part)
            expected = known.roc_auc_score(part["target"], part["score trees"])
            assert one["models"]["trees"]["auc"] == pytest.approx(expected)
            assert one["models"]["trees"]["interval"]["low"] < expected
    assert sum(one["rows"] for (column, _), one in found.items() if column == "age_band") == len(table)


def test_numbers_are_sliced_at_their_quartiles_in_their_own_unit(
    splits: Path, models: Path, tmp_path: Path
) -> None:
    more = ["--draws=100", "--slices", "tenure_months"]
    assert run(models, splits / "validation", splits / "report", tmp_path, *more) == 0
    found = told(tmp_path)["slices"]
    assert len(found) == 4
    low, *_, high = (float(one["value"].split()[-1]) for one in found)
    assert sum(one["rows"] for one in found) == told(tmp_path)["rows"]
    assert 0 < min(low, high) < max(low, high) < 200


def test_whole_ids_are_drawn() -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(100), 10)
    y = np.repeat(rng.integers(0, 2, 100), 10).astype(float)
    s = np.clip(np.repeat(rng.normal(size=100), 10) / 5 + y / 3 + 0.3, 0, 1)
    wide = [
        comparison.Bench(y, pd.Series(of), "classification", 300, 0.95, 0).model(s, 0.5).intervals["auc"]
        for of in (units, np.arange(1000))
    ]
    assert wide[0]["high"] - wide[0]["low"] > 2 * (wide[1]["high"] - wide[1]["low"])


def test_the_script_runs_as_sagemaker_runs_it(splits: Path, models: Path, tmp_path: Path) -> None:
    code = shutil.copytree(jobs.ROOT / "model_engineering/jobs/evaluate", tmp_path / "code")
    places = {"models": models, "rows": splits / "test", "schema": splits / "report"}
    places |= {"scores": tmp_path / "scores", "report": tmp_path / "report"}
    command = [sys.executable, "script.py", "--draws=100", *(f"--{k}={v}" for k, v in places.items())]
    done = subprocess.run(command, cwd=code, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trees:auc=" in done.stdout
    assert len(scores(tmp_path)) == told(tmp_path)["rows"] == len(pd.read_parquet(splits / "test"))


# --- the metrics themselves


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 10), st.integers(0, 3)), min_size=4, max_size=60
    ).filter(lambda rows: len({y for y, _, w in rows if w}) == 2)
)
@settings(deadline=None)
def test_counting_a_row_twice_is_having_it_twice(rows: list[tuple[int, int, int]]) -> None:
    y, s, w = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    s /= 10
    got = metrics.Rows(y, s, "classification", 0.45).metrics(w)
    twice = np.repeat(y, w.astype(int)), np.repeat(s, w.astype(int))
    expected = measures.classification(*twice, 0.45)
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-12), name
    assert metrics.Rows(y, s, "classification").main(w) == pytest.approx(got["auc"])
    numbers = metrics.Rows(y, s, "regression")
    for name, value in measures.regression(*twice).items():
        assert numbers.metrics(w)[name] == pytest.approx(value, abs=1e-12), name


def test_ece_is_the_gap_between_score_and_share() -> None:
    y, s = np.array([0.0, 1, 1, 1]), np.array([0.2, 0.2, 0.9, 0.9])
    assert metrics.ece(y, s, np.ones(4)) == pytest.approx(0.5 * 0.3 + 0.5 * 0.1)
    assert metrics.ece(y, y, np.ones(4)) == 0


def test_rows_of_one_class_have_no_auc() -> None:
    found = metrics.Rows(np.ones(5), np.linspace(0, 1, 5), "classification").metrics()
    assert np.isnan(found["auc"])
    assert metrics.plain(found)["auc"] is None


# --- bad input: exit code 1, two lines, nothing written


def damage(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    file = next((folder / "rows").glob("*.parquet"))
    change(pd.read_parquet(file)).to_parquet(file)


def spoil(folder: Path, **files: str) -> None:
    """A model whose archive holds these files."""
    (folder / "models" / "odd").mkdir()
    with tarfile.open(folder / "models" / "odd" / "model.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            file = folder / name
            file.write_text(text)
            archive.add(file, arcname=f"code/{name}.py")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: shutil.rmtree(f / "rows"), "has no rows."),
        (lambda f: shutil.rmtree(f / "models"), "has no models."),
        (lambda f: (f / "schema" / "schema.json").unlink(), "schema.json cannot be read"),
        (
            lambda f: (f / "models" / "line" / "model.tar.gz").unlink(),
            "The folder of model line has 0 archives",
        ),
        (
            lambda f: (f / "models" / "line" / "model.tar.gz").write_text("no"),
            "Model line: Its archive cannot be read",
        ),
        (spoil, "Model odd: Its archive has no code/inference.py."),
        (lambda f: spoil(f, inference="1/0"), "The code of model odd failed: ZeroDivisionError"),
        (lambda f: damage(f, lambda t: t.drop(columns="row_weight")), "The split lacks row_weight."),
        (lambda f: damage(f, lambda t: t.assign(churned=1)), "rows with 1 different churned."),
        (lambda f: damage(f, lambda t: t.assign(row_number=1)), "has a row number twice."),
        (
            lambda f: rewrite(f, lambda s: s["features"][0].update(categories=["x"], fill=-1)),
            "Model line: No rows fit it: ",
        ),
        (
            lambda f: rewrite(f, lambda s: s.update(positive="2")),
            "Model line: It predicts churned, and the rows",
        ),
    ],
)
def test_bad_input_ends_in_two_lines(
    splits: Path,
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], Any],
    said: str,
) -> None:
    (tmp_path / "models").mkdir()
    shutil.copytree(models / "line", tmp_path / "models" / "line")
    shutil.copytree(splits / "validation", tmp_path / "rows")
    (tmp_path / "schema").mkdir()
    shutil.copy(splits / "report" / "schema.json", tmp_path / "schema")
    change(tmp_path)
    assert run(tmp_path / "models", tmp_path / "rows", tmp_path / "schema", tmp_path / "out") == 1
    text = (tmp_path / "out" / "message").read_text("utf-8")
    assert said in text
    assert len(text.splitlines()) == 2
    assert capsys.readouterr().err.strip() == text
    assert not (tmp_path / "out" / "report").exists()


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = folder / "schema" / "schema.json"
    schema = json.loads(file.read_text("utf-8"))
    change(schema)
    file.write_text(json.dumps(schema))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--against=nobody", "There is no model nobody."),
        ("--slices=nothing", "There is no column nothing to slice by."),
        ("--draws=5", "gives no interval"),
    ],
)
def test_arguments_that_do_not_fit_are_told(
    splits: Path, models: Path, tmp_path: Path, more: str, said: str
) -> None:
    assert run(models, splits / "validation", splits / "report", tmp_path, more) == 1
    assert said in (tmp_path / "message").read_text("utf-8")


def test_splits_of_different_tables_are_refused(splits: Path, models: Path, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "rows" / name).mkdir(parents=True)
        table = pd.read_parquet(splits / "validation")
        table["churned"] = 1 - table["churned"] if name == "b" else table["churned"]
        table.to_parquet(tmp_path / "rows" / name / "part.parquet")
        shutil.copytree(splits / "report", tmp_path / "schema" / name)
    assert run(models, tmp_path / "rows", tmp_path / "schema", tmp_path) == 1
    assert "b and a disagree on the target of row" in (tmp_path / "message").read_text("utf-8")
