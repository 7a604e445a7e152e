"""A model that was trained on features serves raw rows with the very same transformer."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import jobs
import numpy as np
import pandas as pd
import pytest
from jobs import CHURN, SPEND

from kit import churn, data, plan

(prepare,) = jobs.load("data_engineering/jobs/prepare", "script")
features, groups, deep = jobs.load("data_engineering/jobs/features", "script", "groups", "deep")
script, inference, inputs, transformer = jobs.load(
    "model_engineering/jobs/train", "script", "inference", "inputs", "transformer"
)

PARTS = ("train", "validation", "test")


class Made(NamedTuple):
    """A table, the rows of features that were made of it, and a model of them."""

    table: pd.DataFrame
    folder: Path
    model: Any

    def part(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / name)

    def raw(self, rows: pd.DataFrame) -> list[dict[str, str]]:
        """The rows of the source, as text."""
        text = pd.read_csv(io.StringIO(self.table.to_csv(index=False)), dtype=str, keep_default_na=False)
        return text.iloc[rows["row_number"] - 1].to_dict("records")

    def answers(self, rows: list[dict[str, Any]]) -> np.ndarray:
        """What the serving container answers to the rows as JSON."""
        got = inference.predict_fn(inference.input_fn(json.dumps(rows), "application/json"), self.model)
        assert not isinstance(got, inference.BadPayload), str(got)
        return np.array([one.get("probability", one["prediction"]) for one in got])

    def refusal(self, *rows: dict[str, Any]) -> str:
        """Why the serving container refuses the rows."""
        read = inference.input_fn(json.dumps(rows), "application/json")
        answer = inference.output_fn(inference.predict_fn(read, self.model), "application/json")
        assert answer.status_code == 400
        return str(json.loads(answer.get_data())["error"])


def train(folder: Path, out: Path, *more: str) -> int:
    places = {"train": folder / "train", "validation": folder / "validation", "schema": folder / "report"}
    places |= {"transformer": folder / "transformer", "model_dir": out / "model"}
    places |= {"output_data_dir": out / "data", "output_dir": out}
    out.mkdir(exist_ok=True)
    return int(script.main([*(f"--{k}={v}" for k, v in places.items()), "--iterations=40", *more]))


def made(
    folder: Path, table: pd.DataFrame, block: plan.Data, algorithm: str, kept: Collection[str] = ()
) -> Made:
    """A model of features; of the groups `kept`, whatever they gain, where there are any."""
    (folder / "input").mkdir(parents=True)
    table.to_csv(folder / "input" / "table.csv", index=False)
    places = [f"--{n}={folder / n}" for n in ("input", *PARTS, "report", "message")]
    assert prepare.main(["--plan", *data.arguments(block), *places]) == 0
    new = folder / "new"
    places = [f"--{n}={folder / n}" for n in PARTS] + [f"--features-{n}={new / n}" for n in PARTS]
    places += [f"--schema={folder / 'report'}", f"--report={new / 'report'}"]
    with pytest.MonkeyPatch.context() as patch:
        if kept:
            told = {"measure": "", "model": "", "folds": {"rule": ""}, "steps": []}
            judged = features.trial.Judged(tuple(kept), False, told)
            patch.setattr(features.trial, "judged", lambda *_: judged)
        places += [f"--in-time-order={'yes' if block.in_time_order else 'no'}"]
        assert features.main([*places, f"--transformer={new / 'transformer'}"]) == 0
    assert train(new, folder / algorithm, f"--algorithm={algorithm}") == 0
    return Made(table, new, inference.model_fn(str(folder / algorithm / "model")))


def bank(rows: int = 3000) -> pd.DataFrame:
    """A table without id and time, with words that mean missing, in order of time."""
    rng = np.random.default_rng(1)
    age, balance = rng.integers(18, 90, rows), rng.exponential(1000, rows).round()
    job = rng.choice(["admin.", "technician", "unknown", "retired"], rows)
    chance = 1 / (1 + np.exp(2 - balance / 1000 - (job == "retired")))
    table = {"age": age, "balance": balance, "job": job, "pdays": rng.choice([-1, 5, 90], rows)}
    return pd.DataFrame({**table, "subscribe": np.where(rng.random(rows) < chance, "yes", "no")})


BANK = plan.Data(
    target="subscribe", positive="yes", in_time_order=True, missing={"*": ("unknown",), "pdays": ("-1",)}
)


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """With features of an id's earlier rows and of dates among them."""
    table = churn.generate(4000)
    found = made(tmp_path_factory.mktemp("every") / "data", table, CHURN, "boosting", groups.GROUPS)
    assert {"before", "calendar"} <= {spec["formula"] for spec in found.model.recipe["features"]}
    return found


@pytest.fixture(scope="module")
def deeper(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """With means of the target out of fold, crosses and features of an id's earlier rows."""
    kept = [name for name in (*groups.GROUPS, *deep.GROUPS) if name != "control"]
    found = made(tmp_path_factory.mktemp("deeper") / "data", churn.generate(4000), CHURN, "boosting", kept)
    assert {"cross", "window"} <= {spec["formula"] for spec in found.model.recipe["features"]}
    return found


@pytest.fixture(scope="module")
def banked(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("bank") / "data", bank(), BANK, "baseline", groups.GROUPS)


@pytest.fixture(scope="module", params=["all features", "deep features", "bank", "churn", "spend"])
def any_made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    if request.param == "all features":
        return request.getfixturevalue("every")  # type: ignore[no-any-return]
    if request.param == "deep features":
        return request.getfixturevalue("deeper")  # type: ignore[no-any-return]
    if request.param == "bank":
        return request.getfixturevalue("banked")  # type: ignore[no-any-return]
    block, algorithm = (CHURN, "baseline") if request.param == "churn" else (SPEND, "boosting")
    folder = tmp_path_factory.mktemp("some") / "data"
    return made(folder, churn.generate(4000), block, algorithm)


@pytest.mark.parametrize("part", PARTS)
def test_raw_rows_are_scored_as_the_features_that_were_made_of_them(any_made: Made, part: str) -> None:
    rows, model = any_made.part(part), any_made.model
    expected = inference.score(model.predictor, rows[inference.names(model.recipe)], model.recipe)
    got = any_made.answers(any_made.raw(rows))
    assert np.ptp(expected) > 0.1
    if part == "train" and any("held" in spec for spec in model.recipe["features"]):
        assert np.abs(got - expected).max() > 1e-3  # there, rows have means of other folds
        return
    assert np.abs(got - expected).max() <= 1e-9 * max(1.0, np.abs(expected).max())


def test_rows_of_the_prepare_job_are_scored_as_their_features(any_made: Made) -> None:
    before = pd.read_parquet(any_made.folder.parent / "test")
    rows = any_made.part("test")
    model = any_made.model
    expected = inference.score(model.predictor, rows[inference.names(model.recipe)], model.recipe)
    np.testing.assert_allclose(inference.scores(model, before), expected, rtol=1e-12)


def test_the_archive_holds_the_transformer_unchanged(every: Made) -> None:
    archive, given = every.folder.parent / "boosting" / "model", every.folder / "transformer"
    assert (archive / "transformer.json").read_bytes() == (given / "transformer.json").read_bytes()
    assert (archive / "code" / "transformer.py").read_bytes() == (given / "transformer.py").read_bytes()


def test_the_archive_serves_by_itself(every: Made, tmp_path: Path) -> None:
    shutil.copytree(every.folder.parent / "boosting" / "model", tmp_path / "model")
    rows = every.raw(every.part("test").head(3))
    code = "import sys, json, inference as i; m = i.model_fn('..'); "
    code += "print(i.output_fn(i.predict_fn(i.input_fn(sys.stdin.read(), 'application/json'), m), '')[0])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "model" / "code",
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got = [one["probability"] for one in json.loads(done.stdout)["predictions"]]
    np.testing.assert_allclose(got, every.answers(rows), rtol=1e-12)


# --- what a request must and may have


def test_the_schema_says_what_a_request_holds(every: Made, banked: Made) -> None:
    asked = {one["column"]: one for one in every.model.schema["request"]}
    assert {name for name, one in asked.items() if one["must"]} == {"customer_id", "month"}
    assert asked["month"]["kind"] == "date"
    assert asked["customer_id"]["unless"] == "rows before"
    assert asked["tenure_months"]["kind"] == "number"
    assert asked["tenure_months"]["fill"] > 0
    assert asked["contract"]["fill"] == "(missing)"
    assert [*every.model.schema["columns"], "rows before"] == list(asked)
    assert not any(one["must"] for one in banked.model.schema["request"])
    assert banked.model.schema["columns"] == ["age", "balance", "job", "pdays"]


def test_columns_that_no_feature_is_made_of_are_not_asked_for(any_made: Made) -> None:
    used = {source for spec in any_made.model.recipe["features"] for source in spec["sources"]}
    indicators = {f.get("indicator"): f["name"] for f in any_made.model.recipe["prepared"]["features"]}
    wanted = {indicators.get(name, name) for name in used} - {"row_number"}
    assert set(any_made.model.schema["columns"]) == wanted


def test_a_row_without_its_date_or_id_is_refused(every: Made) -> None:
    (row,) = every.raw(every.part("test").head(1))
    lacking = {k: v for k, v in row.items() if k != "month"}
    assert every.refusal(row, lacking).startswith("Row 2 lacks month: features are made of its date; send")
    lacking = {k: v for k, v in row.items() if k != "customer_id"}
    said = every.refusal(lacking)
    assert said.startswith("Row 1 lacks customer_id: send it and the earlier rows of the same customer_id")
    assert "'rows before'" in said
    assert "month has text that is no ISO date" in every.refusal({**row, "month": "31/12/2025"})


def test_null_says_that_nobody_knows(every: Made) -> None:
    (row,) = every.raw(every.part("test").head(1))
    assert 0 < every.answers([{**row, "month": None, "customer_id": None}])[0] < 1
    same = every.answers([{**row, "month": v, "customer_id": "x"} for v in (None, "", " ")])
    assert np.ptp(same) == 0


def test_earlier_rows_may_be_sent_along_or_counted_by_the_caller(every: Made) -> None:
    rows = every.raw(every.part("test"))
    first = max((row["customer_id"] for row in rows), key=[r["customer_id"] for r in rows].count)
    own = sorted((r for r in rows if r["customer_id"] == first), key=lambda r: r["month"])
    assert len(own) > 1
    together = every.answers(own)
    told = [
        {**{k: v for k, v in r.items() if k != "customer_id"}, "rows before": n} for n, r in enumerate(own)
    ]
    np.testing.assert_allclose(every.answers(told), together, rtol=1e-12)
    assert "Row 2 lacks 'rows before'" in every.refusal(told[0], own[1])
    for wrong in ("two", -1, "-0.5"):
        assert "no number of at least 0" in every.refusal({**told[0], "rows before": wrong})
    features = [
        transformer.features(
            inference.frame([{**told[0], "rows before": n}], every.model.schema), every.model.recipe
        )
        for n in (0, None, 3)
    ]
    assert features[0].equals(features[1])
    assert not features[0].equals(features[2])


def test_features_of_earlier_rows_need_these_rows(deeper: Made) -> None:
    asked = {one["column"]: one for one in deeper.model.schema["request"]}
    assert "unless" not in asked["customer_id"]
    assert "rows before" not in asked
    (row,) = deeper.raw(deeper.part("test").head(1))
    lacking = {k: v for k, v in row.items() if k != "customer_id"}
    said = "Row 1 lacks customer_id: send it and the earlier rows of the same customer_id along."
    assert deeper.refusal(lacking) == said


def test_a_table_in_order_of_time_counts_by_the_order_of_the_request(tmp_path: Path) -> None:
    table = bank().assign(who=np.arange(3000) // 4)
    block = plan.Data(target="subscribe", positive="yes", id="who", in_time_order=True)
    result = made(tmp_path / "data", table, block, "baseline", groups.GROUPS)
    asked = {one["column"]: one for one in result.model.schema["request"]}
    assert [name for name, one in asked.items() if one["must"]] == ["who"]
    assert "rows before" in asked
    rows = result.part("test")
    expected = inference.score(result.model.predictor, rows, result.model.recipe)
    np.testing.assert_allclose(result.answers(result.raw(rows)), expected, rtol=1e-9)


def test_times_that_are_numbers_stay_numbers() -> None:
    spec = {
        "name": "a",
        "kind": "numeric",
        "fill": 0.0,
        "low": -9.0,
        "high": 9.0,
        "center": 0.0,
        "scale": 1.0,
    }
    schema = {"columns": ["a"], "features": [spec], "missing_words": {}, "row_number": "n", "id": "who"}
    count = {"name": "c", "formula": "before", "sources": ["who", "t"]}
    recipe = {"prepared": {**schema, "time": "t"}, "features": [count]}
    asked = inputs.request(recipe, dated=False)
    rows = [{"who": "x", "t": t} for t in ("9", 10, "9.5")]
    counted = transformer.features(inference.frame(rows, asked), recipe)["c"]
    np.testing.assert_allclose(counted, np.log1p([0, 2, 1]))
    with pytest.raises(inference.BadPayload, match="Row 1: t is no number"):
        inference.frame([{"who": "x", "t": "soon"}], asked)


# --- what does not fit


def test_a_transformer_of_other_features_is_refused(
    every: Made, banked: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(every.folder, tmp_path / "new")
    shutil.copytree(banked.folder / "transformer", tmp_path / "new" / "transformer", dirs_exist_ok=True)
    assert train(tmp_path / "new", tmp_path / "out") == 1
    assert "Transformer and schema disagree on " in capsys.readouterr().err
    (tmp_path / "new" / "transformer" / "transformer.json").write_text("{")
    assert train(tmp_path / "new", tmp_path / "out") == 1
    assert "The channel transformer cannot be read" in (tmp_path / "out" / "failure").read_text("utf-8")
    assert not (tmp_path / "out" / "model").exists()


def test_both_jobs_have_the_same_transformer() -> None:
    copies = [
        jobs.ROOT / folder / "transformer.py"
        for folder in ("data_engineering/jobs/features", "model_engineering/jobs/train")
    ]
    assert copies[0].read_bytes() == copies[1].read_bytes(), "copy the one that you changed over the other"
