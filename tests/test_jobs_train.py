from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import CHURN, SPEND

from kit import churn, data, plan

(prepare,) = jobs.load("data_engineering/jobs/prepare", "script")
features, _ = jobs.load("data_engineering/jobs/features", "script", "transformer")
script, inference, inputs, transformer, evaluation = jobs.load(
    "model_engineering/jobs/train", "script", "inference", "inputs", "transformer", "evaluation"
)


def prepared(folder: Path, frame: pd.DataFrame, block: plan.Data, *more: str) -> Path:
    (folder / "input").mkdir(parents=True)
    frame.to_csv(folder / "input" / "table.csv", index=False)
    places = [f"--{n}={folder / n}" for n in ("input", "train", "validation", "test", "report", "message")]
    assert prepare.main(["--plan", *data.arguments(block), *places, *more]) == 0
    return folder


def train(splits: Path, out: Path, *more: str) -> int:
    out.mkdir(exist_ok=True)
    places = {"train": splits / "train", "validation": splits / "validation", "schema": splits / "report"}
    places |= {"model_dir": out / "model", "output_data_dir": out / "data", "output_dir": out}
    return int(script.main([*(f"--{k}={v}" for k, v in places.items()), *more]))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return churn.generate(6000)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Path:
    return prepared(tmp_path_factory.mktemp("splits"), table, CHURN)


@pytest.fixture(scope="module")
def spend(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Path:
    return prepared(tmp_path_factory.mktemp("spend"), table, SPEND)


@pytest.fixture(scope="module", params=["baseline", "boosting"])
def trained(request: pytest.FixtureRequest, splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp(request.param)
    assert train(splits, out, f"--algorithm={request.param}") == 0
    return out


def told(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


# --- training


def test_a_model_is_as_good_as_the_table_allows(trained: Path) -> None:
    metrics = told(trained / "model" / "metrics.json")
    assert 0.74 < metrics["validation"]["auc"] < 0.9


def test_the_model_folder_has_all_that_serving_needs(trained: Path) -> None:
    about = told(trained / "model" / "model.json")
    assert {p.name for p in (trained / "model").iterdir()} == {
        about["file"],
        "schema.json",
        "transformer.json",
        "model.json",
        "metrics.json",
        "code",
    }
    code = {p.name for p in (trained / "model" / "code").iterdir()}
    assert code == {"inference.py", "transformer.py", "requirements.txt"}


def test_the_evaluation_has_what_a_report_draws(trained: Path) -> None:
    found = told(trained / "data" / "evaluation.json")
    assert found["metrics"] == told(trained / "model" / "metrics.json")
    assert found["roc"]["false_positive"][0] == 0
    assert found["roc"]["true_positive"][-1] == 1
    assert sum(b["rows"] for b in found["calibration"]) == found["rows"]["validation"]
    assert sum(found["importance"].values()) == pytest.approx(1)
    assert next(iter(found["importance"])) == "contract"
    assert set(found["groups"]["age_band"]) == set(churn.AGE_BANDS)
    assert len(found["curve"]) >= 4
    assert found["curve"][-1]["validation"] < found["curve"][0]["validation"]


@pytest.mark.parametrize("algorithm", ["baseline", "boosting"])
def test_metrics_are_printed_one_a_line_for_metric_definitions(
    splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    train(splits, tmp_path, f"--algorithm={algorithm}", "--iterations=30")
    out = capsys.readouterr().out
    found = dict(re.findall(r"^((?:train|validation):\w+)=([0-9.eE+-]+)$", out, re.MULTILINE))
    metrics = told(tmp_path / "model" / "metrics.json")
    assert len(found) == len(metrics["train"]) + len(metrics["validation"])
    assert float(found["validation:auc"]) == pytest.approx(metrics["validation"]["auc"], abs=1e-6)
    assert len(re.findall(r"validation:auc=([0-9.]+)", out)) == 1
    curve = re.findall(
        r"^curve step=(\d+) train_logloss=([0-9.]+) validation_logloss=([0-9.]+)$", out, re.MULTILINE
    )
    assert len(curve) == 4
    last = told(tmp_path / "data" / "evaluation.json")["curve"][-1]
    assert float(curve[-1][2]) == pytest.approx(last["validation"], abs=1e-6)


@pytest.mark.parametrize("algorithm", ["baseline", "boosting"])
def test_the_same_training_gives_the_same_model_whatever_the_threads(
    splits: Path, tmp_path: Path, algorithm: str
) -> None:
    options = [
        f"--algorithm={algorithm}",
        "--bagging_fraction=0.8",
        "--feature_fraction=0.8",
        "--iterations=40",
    ]
    train(splits, tmp_path / "one", *options, "--threads=1")
    train(splits, tmp_path / "two", *options, "--threads=3")
    one, two = tmp_path / "one", tmp_path / "two"
    assert told(one / "data" / "evaluation.json") == told(two / "data" / "evaluation.json")


@pytest.mark.parametrize("algorithm", ["baseline", "boosting"])
def test_regression_learns_the_number(spend: Path, tmp_path: Path, algorithm: str) -> None:
    assert train(spend, tmp_path, f"--algorithm={algorithm}") == 0
    metrics = told(tmp_path / "model" / "metrics.json")["validation"]
    assert metrics["r2"] > 0.75
    assert metrics["rmse"] > metrics["mae"] > 0
    model = inference.model_fn(str(tmp_path / "model"))
    (answer,) = inference.predict_fn([{"monthly_charge": 50}], model)
    assert set(answer) == {"prediction"}
    assert 30 < answer["prediction"] < 90


def test_boosting_stops_when_validation_no_longer_gains(splits: Path, tmp_path: Path) -> None:
    train(splits, tmp_path, "--early_stopping=5", "--learning_rate=0.3", "--iterations=500")
    curve = told(tmp_path / "data" / "evaluation.json")["curve"]
    assert 5 < curve[-1]["step"] < 200


def test_weights_count(splits: Path, tmp_path: Path) -> None:
    for split in ("train", "validation", "report"):
        shutil.copytree(splits / split, tmp_path / split)
    file = tmp_path / "train" / "part-00000.parquet"
    pd.read_parquet(file).assign(row_weight=1.0).to_parquet(file)
    train(splits, tmp_path / "weighted", "--algorithm=baseline")
    train(tmp_path, tmp_path / "plain", "--algorithm=baseline")
    recall = [
        told(tmp_path / n / "model" / "metrics.json")["validation"]["recall"] for n in ("weighted", "plain")
    ]
    assert recall[0] > recall[1] + 0.1


def test_dashes_underscores_and_environment_are_taken(
    splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(splits / "train"))
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path / "model"))
    chosen = script.options(["--learning_rate", "0.1", "--num-leaves", "7"])
    assert (chosen.learning_rate, chosen.num_leaves) == (0.1, 7)
    assert (chosen.train, chosen.model_dir) == (splits / "train", tmp_path / "model")
    assert chosen.validation == Path("/opt/ml/input/data/validation")


def test_the_schema_may_lie_in_the_train_channel(splits: Path, tmp_path: Path) -> None:
    shutil.copytree(splits / "train", tmp_path / "train")
    shutil.copytree(splits / "validation", tmp_path / "validation")
    shutil.copy(splits / "report" / "schema.json", tmp_path / "train")
    assert train(tmp_path, tmp_path / "out", "--iterations=5") == 0


def test_forty_rows_are_enough_to_run(tmp_path: Path) -> None:
    rows = np.arange(40)
    frame = pd.DataFrame({"a": rows * 7 % 40, "b": np.array(["x", "y"])[rows // 2 % 2], "y": rows % 2})
    folder = prepared(tmp_path / "splits", frame, plan.Data(target="y"))
    for algorithm in ("baseline", "boosting"):
        assert train(folder, tmp_path / algorithm, f"--algorithm={algorithm}") == 0


def test_the_script_runs_as_sagemaker_runs_it(splits: Path, tmp_path: Path) -> None:
    code = shutil.copytree(jobs.ROOT / "model_engineering/jobs/train", tmp_path / "code")
    places = {"SM_CHANNEL_TRAIN": splits / "train", "SM_CHANNEL_VALIDATION": splits / "validation"}
    places |= {"SM_CHANNEL_SCHEMA": splits / "report", "SM_MODEL_DIR": tmp_path / "model"}
    places |= {"SM_OUTPUT_DATA_DIR": tmp_path / "data", "SM_OUTPUT_DIR": tmp_path}
    command = [sys.executable, "script.py", "--algorithm", "baseline"]
    env = {"PATH": "", **{k: str(v) for k, v in places.items()}}
    done = subprocess.run(command, cwd=code, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "validation:auc=" in done.stdout
    assert (tmp_path / "model" / "code" / "inference.py").is_file()


def interrupted(splits: Path, out: Path, *options: str) -> list[str]:
    """A job that is killed once it has written its third checkpoint; returns what it printed."""
    (out / "checkpoints").mkdir(parents=True)
    command = [sys.executable, str(jobs.ROOT / "model_engineering/jobs/train/script.py"), *options]
    places = {"SM_CHANNEL_TRAIN": splits / "train", "SM_CHANNEL_VALIDATION": splits / "validation"}
    places |= {"SM_CHANNEL_SCHEMA": splits / "report", "SM_MODEL_DIR": out / "model"}
    env = {"PATH": "", **{k: str(v) for k, v in places.items()}}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout
        lines = []
        for line in job.stdout:
            lines.append(line.strip())
            if line.startswith("checkpoint step=150"):
                job.kill()
                break
    return lines


def test_a_job_that_was_interrupted_goes_on_from_its_last_checkpoint(
    splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--iterations=100000", "--early_stopping=0", "--learning_rate=0.03", "--num_leaves=7"]
    assert "continues" not in " ".join(interrupted(splits, tmp_path / "job", *options))
    step = told(tmp_path / "job" / "checkpoints" / "boosting.json")[
        "step"
    ]  # it may have gone on before it was killed
    options[0] = f"--iterations={step + 110}"
    assert train(splits, tmp_path / "job", *options, f"--checkpoints={tmp_path / 'job' / 'checkpoints'}") == 0
    said = capsys.readouterr().out
    at = int(re.findall(r"continues at step=(\d+), from a checkpoint", said)[0])
    assert at == step >= 150
    assert f"curve step={at} " not in said
    assert f"curve step={at + 10} " in said
    assert train(splits, tmp_path / "whole", *options) == 0
    once, whole = (told(tmp_path / n / "data" / "evaluation.json") for n in ("job", "whole"))
    assert once["trees"] == whole["trees"] == step + 110
    assert [p["step"] for p in once["curve"]] == [p["step"] for p in whole["curve"]]
    for metric, value in whole["metrics"]["validation"].items():
        assert once["metrics"]["validation"][metric] == pytest.approx(value, abs=1e-6), metric


def test_where_it_stops_does_not_depend_on_an_interruption(splits: Path, tmp_path: Path) -> None:
    options = ["--iterations=600", "--early_stopping=40", "--num_leaves=7", "--learning_rate=0.05"]
    for name in ("once", "again"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        assert (
            train(splits, tmp_path / name, *options, f"--checkpoints={tmp_path / name / 'checkpoints'}") == 0
        )
    before = told(tmp_path / "again" / "data" / "evaluation.json")
    last = told(tmp_path / "again" / "checkpoints" / "boosting.json")
    assert last["best"][0] <= before["trees"] <= last["step"] + 40
    assert (
        train(splits, tmp_path / "again", *options, f"--checkpoints={tmp_path / 'again' / 'checkpoints'}")
        == 0
    )
    after = told(tmp_path / "again" / "data" / "evaluation.json")
    assert after["trees"] == before["trees"]
    assert after["metrics"]["validation"]["auc"] == pytest.approx(
        before["metrics"]["validation"]["auc"], abs=1e-6
    )


def test_a_checkpoint_of_another_training_is_left_alone(
    splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoints").mkdir()
    kept = f"--checkpoints={tmp_path / 'checkpoints'}"
    assert train(splits, tmp_path, "--iterations=60", kept) == 0
    for other in ("--num_leaves=5", "--seed=3", "--lambda_l2=2"):
        assert train(splits, tmp_path, "--iterations=60", kept, other) == 0
    (tmp_path / "checkpoints" / "boosting.json").write_text('{"identity": ')
    assert train(splits, tmp_path, "--iterations=60", kept) == 0
    assert "continues" not in capsys.readouterr().out
    assert train(splits, tmp_path, "--iterations=60", kept) == 0
    assert "continues at step=50" in capsys.readouterr().out


# --- training on bad input: exit code 1, two lines in the failure file, no model


def damage(folder: Path, split: str, change: Any) -> None:
    file = folder / split / "part-00000.parquet"
    change(pd.read_parquet(file)).to_parquet(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: shutil.rmtree(f / "validation"), "The channel validation has no Parquet file."),
        (lambda f: shutil.rmtree(f / "report"), "There is no schema.json in "),
        (lambda f: (f / "train" / "part-00000.parquet").write_text("no"), "The channel train cannot be read"),
        (lambda f: damage(f, "train", lambda t: t[:0]), "The channel train has no rows."),
        (
            lambda f: damage(f, "train", lambda t: t.drop(columns="churned")),
            "The channel train lacks churned.",
        ),
        (
            lambda f: damage(f, "train", lambda t: t.assign(churned=1)),
            "Every row of train has the same churned, 1.",
        ),
        (
            lambda f: damage(f, "validation", lambda t: t.assign(churned=0)),
            "Every row of validation has the same",
        ),
        (lambda f: damage(f, "train", lambda t: t.assign(churned=None)), "Rows of train have no churned."),
    ],
)
def test_bad_input_ends_in_two_lines(
    splits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, said: str
) -> None:
    for split in ("train", "validation", "report"):
        shutil.copytree(splits / split, tmp_path / split)
    change(tmp_path)
    assert train(tmp_path, tmp_path / "out") == 1
    text = (tmp_path / "out" / "failure").read_text(encoding="utf-8")
    assert said in text
    assert len(text.splitlines()) == 2
    assert capsys.readouterr().err.strip() == text
    assert not (tmp_path / "out" / "model").exists()


# --- serving


def ask(
    model: Path, body: str | bytes, kind: str = "application/json", accept: str = "application/json"
) -> Any:
    """What the serving container does with a request; the response as (status, text)."""
    loaded = inference.model_fn(str(model / "model"))
    answer = inference.output_fn(inference.predict_fn(inference.input_fn(body, kind), loaded), accept)
    return (
        (200, answer[0]) if isinstance(answer, tuple) else (answer.status_code, answer.get_data(as_text=True))
    )


def raw(table: pd.DataFrame, rows: int = 5) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(table[:rows].to_json(orient="records"))
    return records


def test_served_rows_get_exactly_what_training_gave_them(
    trained: Path, splits: Path, table: pd.DataFrame
) -> None:
    model = inference.model_fn(str(trained / "model"))
    text = pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype=str, keep_default_na=False)
    for split in ("train", "validation", "test"):
        prepared_rows = pd.read_parquet(splits / split)
        served = text.iloc[prepared_rows.row_number.to_numpy() - 1].to_dict("records")
        made = transformer.features(inference.frame(served, model.schema), model.recipe)
        wanted = prepared_rows[inference.names(model.recipe)]
        pd.testing.assert_frame_equal(made, wanted, check_exact=True, check_dtype=False)


def test_scores_do_not_depend_on_the_format_nor_on_the_company(trained: Path, table: pd.DataFrame) -> None:
    records = raw(table)
    columns = told(trained / "model" / "schema.json")["columns"]

    def as_csv(header: bool) -> str:
        out = io.StringIO()
        rows = [[r[c] if r[c] is not None else "" for c in columns] for r in records]
        csv.writer(out).writerows([columns, *rows] if header else rows)
        return out.getvalue()

    lines = "".join(json.dumps(r) + "\n" for r in records)
    expected = json.loads(ask(trained, json.dumps(records))[1])["predictions"]
    assert len(expected) == 5
    assert all(0 < p["probability"] < 1 and p["prediction"] == (p["probability"] >= 0.5) for p in expected)
    assert json.loads(ask(trained, json.dumps({"instances": records}))[1])["predictions"] == expected
    assert json.loads(ask(trained, json.dumps(records[0]))[1])["predictions"] == expected[:1]
    status, text = ask(trained, lines.encode(), "application/jsonlines", "application/jsonlines")
    assert (status, [json.loads(line) for line in text.splitlines()]) == (200, expected)
    for header in (True, False):
        status, text = ask(trained, as_csv(header), "text/csv; charset=utf-8", "text/csv")
        got = [[float(v) for v in row] for row in csv.reader(io.StringIO(text))]
        assert got == [[p["probability"], p["prediction"]] for p in expected]


def test_a_column_that_is_missing_counts_as_a_missing_value(trained: Path, table: pd.DataFrame) -> None:
    record = raw(table, 1)[0]
    without = {k: v for k, v in record.items() if k != "data_gb"}
    answers = [
        ask(trained, json.dumps(r))[1]
        for r in (
            without,
            {**record, "data_gb": None},
            {**record, "data_gb": " "},
            {**record, "data_gb": "unknown"},
        )
    ]
    assert len(set(answers)) == 1


def test_a_category_never_seen_is_other_and_columns_never_seen_are_ignored(
    trained: Path, table: pd.DataFrame
) -> None:
    record = raw(table, 1)[0]
    model = inference.model_fn(str(trained / "model"))
    odd = transformer.features(inference.frame([{**record, "region": "moon 🌕"}], model.schema), model.recipe)
    assert odd.region.tolist() == ["(other)"]
    assert ask(trained, json.dumps({**record, "region": "moon 🌕"}))[0] == 200
    assert ask(trained, json.dumps({**record, "shoe_size": 44})) == ask(trained, json.dumps(record))


def test_the_threshold_is_read_from_the_model(trained: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    about = told(tmp_path / "model" / "model.json")
    (tmp_path / "model" / "model.json").write_text(json.dumps({**about, "threshold": 0.0}))
    answers = json.loads(ask(tmp_path, json.dumps(raw(table)))[1])["predictions"]
    assert {a["prediction"] for a in answers} == {1}


def test_scores_are_calibrated_where_the_model_says_how(
    trained: Path, table: pd.DataFrame, splits: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    about = told(tmp_path / "model" / "model.json")
    line = {"x": [0.0, 0.5, 1.0], "y": [0.0, 0.1, 1.0]}
    (tmp_path / "model" / "model.json").write_text(
        json.dumps({**about, "threshold": 0.1, "calibration": line})
    )
    before, after = (
        json.loads(ask(m, json.dumps(raw(table, 50)))[1])["predictions"] for m in (trained, tmp_path)
    )
    for one, other in zip(before, after, strict=True):
        assert other["probability"] == pytest.approx(np.interp(one["probability"], line["x"], line["y"]))
        assert other["prediction"] == one["prediction"]
    rows = pd.read_parquet(splits / "test")
    one, other = (inference.scores(inference.model_fn(str(m / "model")), rows) for m in (trained, tmp_path))
    np.testing.assert_allclose(other, np.interp(one, line["x"], line["y"]))


@pytest.mark.parametrize(
    ("body", "kind", "accept", "said"),
    [
        ("", "application/json", "", "The request is empty"),
        ("[]", "application/json", "", "has no rows"),
        ("{", "application/json", "", "The request is no JSON"),
        ("[1, 2]", "application/json", "", "Row 1 is no object"),
        ('{"contract": "two-year"}\n{oops\n', "application/jsonlines", "", "Line 2 is no JSON"),
        ('{"a": 1}', "application/json", "", "Row 1 has none of the model's columns: region, contract"),
        ('[{"contract": "x"}, {}]', "application/json", "", "Row 2 has none of the model's columns"),
        ('{"contract": ["x"]}', "application/json", "", "Row 1: contract is a list, not a value"),
        ("1,2,3\n", "text/csv", "", "Row 1 of the CSV has 3 values; expected 13: region,"),
        ("contract,region\n", "text/csv", "", "has a header and no rows"),
        ('"oops', "text/csv", "", "The request is no CSV"),
        (b"\xff\xfe", "application/json", "", "not UTF-8"),
        ("x", "image/png", "", "image/png cannot be read"),
        ('{"contract": "two-year"}', "application/json", "image/png", "image/png cannot be sent"),
    ],
)
def test_a_bad_payload_is_refused_with_the_reason(
    trained: Path, body: str | bytes, kind: str, accept: str, said: str
) -> None:
    status, text = ask(trained, body, kind, accept)
    assert status == 400
    assert said in json.loads(text)["error"]


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["unknown", "1_0", "inf"]),
)


@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["contract", "data_gb", "region", "x"]), values), max_size=4
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_sent_gets_a_number_or_a_reason(rows: list[dict[str, Any]]) -> None:
    numeric = {
        "kind": "numeric",
        "name": "data_gb",
        "fill": 1.0,
        "low": 0.0,
        "high": 9.0,
        "center": 1.0,
        "scale": 2.0,
    }
    numeric["indicator"] = "data_gb__missing"
    kinds = ["a", transformer.MISSING, transformer.OTHER]
    features = [numeric, {"kind": "category", "name": "contract", "categories": kinds}]
    schema = {"columns": ["data_gb", "contract"], "features": features, "missing_words": {"*": ["unknown"]}}
    schema |= {"row_number": "row_number", "id": "", "time": ""}
    recipe = inputs.copies(schema)
    schema = inputs.request(recipe, dated=False)
    read = inference.input_fn(json.dumps(rows), "application/json")
    if isinstance(read, inference.BadPayload):
        assert not rows
        return
    try:
        table = inference.frame(read, schema)
    except inference.BadPayload:
        assert not all({"contract", "data_gb"} & set(r) for r in rows)
        return
    codes = inference.codes(transformer.features(table, recipe), recipe)
    assert codes.shape == (len(rows), 3)
    assert np.isfinite(codes).all()
    assert ((codes[:, 0] >= -0.5) & (codes[:, 0] <= 4)).all()


# --- metrics


def test_metrics_of_a_perfect_and_of_a_useless_model() -> None:
    y = np.array([0.0, 1.0, 0.0, 1.0])
    perfect = evaluation.classification(y, y)
    assert perfect["auc"] == perfect["f1"] == perfect["accuracy"] == 1
    assert perfect["logloss"] == pytest.approx(0, abs=1e-12)
    useless = evaluation.classification(y, np.full(4, 0.5))
    assert useless["auc"] == 0.5
    assert useless["logloss"] == pytest.approx(np.log(2))
    assert useless["brier"] == 0.25


def test_metrics_of_numbers_are_in_the_targets_unit() -> None:
    found = evaluation.regression(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
    assert (found["rmse"], found["mae"], found["bias"]) == pytest.approx((1, 1, 1))
    assert found["r2"] == pytest.approx(-0.5)


def test_a_group_of_one_class_has_no_auc() -> None:
    groups = np.array(["a", "a", "b", "b"])
    found = evaluation.by_group(groups, np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.2, 0.8, 0.4, 0.9]), 0.5)
    assert found["a"] == {"rows": 2, "positive_share": 0.5, "predicted_share": 0.5, "auc": 1.0}
    assert found["b"]["auc"] is None
