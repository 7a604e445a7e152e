"""Models that were trained on rows prepared in another way: the evaluate job scores them on the raw rows, as an endpoint would."""

from __future__ import annotations

import tarfile
from pathlib import Path

import jobs
import pandas as pd
import pytest
from jobs import CHURN
from test_jobs_evaluate import model, prepared, run, scores, told

from kit import churn


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("splits") / "data", churn.generate(4000), CHURN)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with `line`, which was trained on an earlier table: on rows that were prepared in another way."""
    folder = tmp_path_factory.mktemp("others")
    model(
        prepared(folder / "earlier", churn.generate(2000, seed=1), CHURN),
        folder / "models",
        "line",
        "--algorithm=baseline",
    )
    return folder / "models"


def test_a_model_of_rows_prepared_in_another_way_gets_the_raw_rows_as_at_an_endpoint(
    splits: Path, others: Path, tmp_path: Path
) -> None:
    whole = churn.generate(4000)
    (tmp_path / "raw").mkdir()
    for part, rows in (("a", whole[:1500]), ("b", whole[1500:])):
        rows.to_parquet(tmp_path / "raw" / f"{part}.parquet", index=False)
    assert run(others, splits / "validation", splits / "report", tmp_path, f"--raw={tmp_path / 'raw'}") == 0
    found = scores(tmp_path)
    (inference,) = jobs.load("model_engineering/jobs/train", "inference")
    with tarfile.open(others / "line" / "model.tar.gz") as packed:
        packed.extractall(tmp_path / "model", filter="data")
    serving = inference.model_fn(str(tmp_path / "model"))
    sent = whole.iloc[found["row_number"] - 1].to_json(orient="records", lines=True)
    answer = inference.predict_fn(inference.input_fn(sent, "application/jsonlines"), serving)
    assert found["score line"].to_numpy() == pytest.approx([one["probability"] for one in answer], abs=1e-9)
    assert told(tmp_path)["models"]["line"]["metrics"]["auc"]["value"] > 0.7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "No rows fit it"),
        ("csv", "raw has no Parquet file"),
        ("short", "There are 300 raw rows, and no row"),
    ],
)
def test_without_its_raw_rows_such_a_model_is_refused(
    splits: Path, others: Path, tmp_path: Path, given: str, said: str
) -> None:
    if given:
        (tmp_path / "raw").mkdir()
    if given == "short":
        churn.generate(4000)[:300].to_parquet(tmp_path / "raw" / "part.parquet", index=False)
    assert run(others, splits / "validation", splits / "report", tmp_path, f"--raw={tmp_path / 'raw'}") == 1
    assert said in (tmp_path / "message").read_text("utf-8")


def test_raw_rows_come_with_how_many_earlier_ones_their_id_has(tmp_path: Path) -> None:
    (score,) = jobs.load("model_engineering/jobs/evaluate", "score")
    table = {"who": ["a", "b", "a", None, "a"], "when": ["2", "1", "1", "1", "2"], "x": [1, 2, None, 4, 5]}
    pd.DataFrame(table).astype({"x": "Int64"}).to_parquet(tmp_path / "part.parquet", index=False)
    schema = {"id": "who", "time": "when", "request": [{"column": "x"}, {"column": "rows before"}]}
    found = score.requests(tmp_path, schema, [5, 3, 4], "rows before")
    assert found == [{"x": 5, "rows before": 1}, {"x": None, "rows before": 0}, {"x": 4, "rows before": 0}]
