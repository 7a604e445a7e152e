from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jobs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import CHURN, SPEND
from scipy import stats

from kit import churn, data, plan

(prepare,) = jobs.load("data_engineering/jobs/prepare", "script")
script, recipe, groups, judge, splits, transformer = jobs.load(
    "data_engineering/jobs/features", "script", "recipe", "groups", "judge", "splits", "transformer"
)
training, inference = jobs.load("model_engineering/jobs/train", "script", "inference")

PARTS = ("train", "validation", "test")
STAYING = list(groups.GROUPS)
ROWS = 14_000


class Made(NamedTuple):
    folder: Path
    report: dict[str, Any]
    schema: dict[str, Any]
    dictionary: list[dict[str, Any]]
    parts: dict[str, pd.DataFrame]

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return {step["step"]: step for step in self.report["steps"]}

    @property
    def out(self) -> dict[str, Any]:
        return {one["column"]: one for one in self.report["columns"] if not one["kept"]}


def prepared(folder: Path, frame: pd.DataFrame, block: plan.Data, *more: str) -> Path:
    (folder / "input").mkdir(parents=True)
    frame.to_csv(folder / "input" / "table.csv", index=False)
    places = [f"--{n}={folder / n}" for n in ("input", *PARTS, "report", "message")]
    assert prepare.main(["--plan", *data.arguments(block), *places, *more]) == 0
    return folder


def run(folder: Path, *more: str) -> int:
    out = folder / "new"
    out.mkdir(exist_ok=True)
    places = [f"--{n}={folder / n}" for n in PARTS] + [f"--features-{n}={out / n}" for n in PARTS]
    places += [f"--schema={folder / 'report'}", f"--message={out / 'message'}"]
    places += [f"--report={out / 'report'}", f"--transformer={out / 'transformer'}"]
    return int(script.main([*places, *more]))


def made(folder: Path, *more: str) -> Made:
    assert run(folder, *more) == 0
    out = folder / "new"
    told = [
        json.loads((out / "report" / f"{n}.json").read_text("utf-8"))
        for n in ("report", "schema", "dictionary")
    ]
    return Made(out, *told, {n: pd.read_parquet(out / n) for n in PARTS})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return churn.generate(ROWS)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Path:
    return prepared(tmp_path_factory.mktemp("churn") / "data", table, CHURN)


@pytest.fixture(scope="module")
def default(ready: Path) -> Made:
    return made(ready)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Made:
    """Every group stays, whatever it gains: what is then written is looked at below."""
    folder = prepared(tmp_path_factory.mktemp("all") / "data", table, CHURN)
    schema = splits.schema(folder / "report")
    fitted, _ = seen(folder).fit(schema, STAYING, select=False, seed=0)
    patch = pytest.MonkeyPatch()
    kept = script.trial.Judged(tuple(STAYING), False, {**TOLD, "steps": []})
    patch.setattr(script.trial, "judged", lambda *_: kept)
    try:
        found = made(folder)
    finally:
        patch.undo()
    assert len(fitted["features"]) == len(found.report["features"])
    return found


TOLD = {"measure": "AUC", "model": "linear", "folds": {"rule": "none"}}


def seen(folder: Path) -> Any:
    """The rows of train as the job reads them."""
    import duckdb

    schema, chosen = splits.schema(folder / "report"), script.options([])
    files = splits.files(folder / "train", "train", schema)
    with duckdb.connect() as db:
        return splits.sample(db, files, splits.count(db, files), schema, schema["time"], chosen)


def loaded(folder: Path) -> Any:
    """The transformer as somebody else loads it: from the folder in S3, by its path."""
    spec = importlib.util.spec_from_file_location("saved_transformer", folder / "transformer.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def raw_rows(table: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame:
    """The rows of the source of a split, as text, with the split's index."""
    text = table.iloc[part["row_number"] - 1].astype(object)
    text = text.where(text.notna(), None).map(lambda v: None if v is None else str(v))
    return text.set_axis(part.index)


# --- selection


def test_planted_noise_goes_and_what_matters_stays(default: Made) -> None:
    planted = churn.truths(ROWS)
    assert set(planted.noise) <= set(default.out)
    used = {source for feature in default.dictionary for source in feature["sources"]}
    assert set(planted.matter) <= used
    assert default.steps["noise out"]["kept"]


def test_with_few_rows_nothing_is_taken_for_noise_and_that_is_said(tmp_path: Path) -> None:
    result = made(prepared(tmp_path / "data", churn.generate(1000), CHURN))
    step = result.steps["noise out"]
    assert not step["kept"]
    assert step["low"] < -0.01
    assert step["why"] == "it may cost too much: too few rows to be sure"
    assert step["columns"]
    assert not result.out


def test_no_step_takes_noise_for_information_more_often_than_it_says() -> None:
    rng = np.random.default_rng(1)
    answers = rng.integers(0, 2, 500)
    chances = [recipe.information(pd.Series(rng.normal(size=500)), answers)[1] for _ in range(400)]
    assert 0.02 < np.mean(np.array(chances) < 0.05) < 0.09
    words = [pd.Series(rng.choice(list("abcdefgh"), 500)) for _ in range(400)]
    chances = [recipe.information(one, answers)[1] for one in words]
    assert 0.02 < np.mean(np.array(chances) < 0.05) < 0.09


def test_information_of_a_copy_of_the_answer_is_its_entropy() -> None:
    answers = np.arange(1000) % 2
    bits, chance = recipe.information(pd.Series(answers.astype(float)), answers)
    assert bits == pytest.approx(1.0)
    assert chance < 1e-100


def test_many_rows_of_one_id_do_not_make_an_accident_sure() -> None:
    rng = np.random.default_rng(3)
    people, wrong = 60, 0
    for _ in range(40):
        colour, answer = rng.integers(0, 2, people), rng.integers(0, 2, people)
        table = pd.DataFrame({"colour": colour.repeat(50).astype(float)})
        told = recipe.informed(
            table,
            answer.repeat(50),
            [recipe.Column("colour")],
            np.arange(people).repeat(50),
            classify=True,
            seed=0,
        )
        wrong += told[0]["says"]
    assert wrong <= 3


# --- leakage: everything is fitted inside the fold


def test_answers_that_are_held_back_change_nothing_that_is_learned(ready: Path) -> None:
    schema, rows = splits.schema(ready / "report"), seen(ready)
    _, folds = judge.folds(rows.ids, rows.times, rows.y, 5, classify=True, seed=0)
    for fold in folds:
        before, _ = rows.part(fold.fitted).fit(schema, STAYING, select=True, seed=0)
        rows.y[fold.held] = 1 - rows.y[fold.held]
        after, _ = rows.part(fold.fitted).fit(schema, STAYING, select=True, seed=0)
        rows.y[fold.held] = 1 - rows.y[fold.held]
        assert before == after


def test_no_id_is_on_both_sides_and_time_goes_forward(ready: Path) -> None:
    rows = seen(ready)
    rule, folds = judge.folds(rows.ids, rows.times, rows.y, 5, classify=True, seed=0)
    assert rule.startswith("by time")
    assert len(folds) == 5
    for fold in folds:
        assert not set(rows.ids[fold.fitted]) & set(rows.ids[fold.held])
        assert rows.times[fold.fitted].max() < rows.times[fold.held].min()


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_folds_at_random_hold_each_row_back_once_and_keep_ids_together(seed: int, classify: bool) -> None:
    rng = np.random.default_rng(seed)
    ids, y = rng.integers(0, 60, 300), rng.integers(0, 2, 300).astype(float)
    _, folds = judge.folds(ids, None, y, 4, classify=classify, seed=seed)
    assert sorted(np.concatenate([f.held for f in folds])) == list(range(300))
    for fold in folds:
        assert not set(ids[fold.fitted]) & set(ids[fold.held])
        assert len(fold.fitted) + len(fold.held) == 300


def test_too_few_times_fall_back_to_random_folds_and_say_so() -> None:
    y = np.arange(300) % 2.0
    rule, folds = judge.folds(np.arange(300), np.arange(300) // 150, y, 5, classify=True, seed=0)
    assert rule.startswith("too few times")
    assert len(folds) == 5


def test_categories_as_means_gain_nothing_on_a_target_of_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "word": [f"w{n}" for n in rng.integers(0, 90, 3000)],
            "number": rng.normal(size=3000).round(3),
            "y": rng.integers(0, 2, 3000),
        }
    )
    result = made(prepared(tmp_path / "data", frame, plan.Data(target="y")))
    assert not result.steps["encodings"]["kept"]
    assert abs(result.steps["encodings"]["mean"]) < 0.02
    assert [one["says"] for one in result.report["columns"]] == [False, False]


# --- transformation, creation, extraction


def test_a_group_stays_only_if_it_gains_for_sure(default: Made) -> None:
    groups = [s for s in default.report["steps"] if "mean" in s and s["kind"] != "selection"]
    assert {s["kind"] for s in groups} == {"transformation", "creation", "extraction"}
    for step in groups:
        assert step["kept"] == (step["low"] > 0 and step["mean"] >= 0.001)
        assert step["low"] < step["mean"] < step["high"]
    made_of = {f["name"] for f in default.dictionary if f["kind"] != "selection"}
    assert made_of == {name for s in groups if s["kept"] for name in s["columns"]}


def test_a_planted_bend_and_a_planted_product_earn_their_place_and_noise_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    a, b, c = rng.normal(size=(3, 4000)).round(4)
    score = 3 * np.maximum(a, 0) + b * c + 0.3 * b + 0.3 * c + rng.normal(size=4000)
    frame = pd.DataFrame({"a": a, "b": b, "c": c, "noise": rng.normal(size=4000), "y": score})
    result = made(prepared(tmp_path / "data", frame, plan.Data(target="y", problem="regression")))
    assert result.steps["bends"]["kept"]
    assert result.steps["products"]["kept"]
    assert not result.steps["components"]["kept"]
    assert "b__x__c" in result.report["features"]
    assert list(result.out) == ["noise"]
    assert result.report["total"]["low"] > 0.1


@given(st.lists(st.floats(-30, 30), min_size=5, max_size=40), st.floats(-5, 5))
@settings(deadline=None)
def test_powers_are_those_of_yeo_and_johnson(xs: list[float], power: float) -> None:
    table = pd.DataFrame({"x": xs})
    expected = stats.yeojohnson(np.array(xs), power)
    got = transformer.power(table, {"sources": ["x"], "power": power}, {})
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9)


def test_ratios_are_of_own_units(everything: Made, table: pd.DataFrame) -> None:
    ratios = [f for f in everything.dictionary if " divided by " in f["formula"]]
    assert ratios
    saved = transformer.load(everything.folder / "transformer")
    spec = next(s for s in saved["features"] if s["name"] == ratios[0]["name"])
    part = everything.parts["test"]
    above, below = (table.iloc[part["row_number"] - 1][n].to_numpy(dtype=float) for n in spec["sources"])
    limits = {s["name"]: s for s in saved["prepared"]["features"]}
    a, b = (
        np.clip(np.where(np.isnan(x), limits[n]["fill"], x), limits[n]["low"], limits[n]["high"])
        for x, n in zip((above, below), spec["sources"], strict=True)
    )
    expected = (np.clip(a / b, spec["low"], spec["high"]) - spec["center"]) / spec["scale"]
    np.testing.assert_allclose(part[spec["name"]], expected, atol=1e-9)


def test_history_counts_rows_of_the_id_in_the_past_only(everything: Made) -> None:
    saved = transformer.load(everything.folder / "transformer")
    spec = next(s for s in saved["features"] if s["formula"] == "before")
    for part in everything.parts.values():
        got = np.expm1(part[spec["name"]] * spec["scale"] + spec["center"])
        for at in range(0, len(part), 97):
            row = part.iloc[at]
            earlier = (part["customer_id"] == row["customer_id"]) & (part["month"] < row["month"])
            assert got.iloc[at] == pytest.approx(earlier.sum())


def test_parts_of_the_date_lie_on_a_circle(everything: Made) -> None:
    saved = transformer.load(everything.folder / "transformer")
    circle = {s["circle"]: s for s in saved["features"] if s["formula"] == "calendar"}
    assert {s["part"] for s in circle.values()} == {"month"}
    dates = pd.DataFrame({"month": pd.to_datetime(["2025-12-01", "2026-01-01", "2025-07-01", None])})
    cosine = transformer.calendar(dates, circle["cosine"], saved)
    sine = transformer.calendar(dates, circle["sine"], saved)
    np.testing.assert_allclose(cosine, [np.cos(np.pi / 6), 1, -1, 0], atol=1e-12)
    np.testing.assert_allclose(sine, [-0.5, 0, 0, 0], atol=1e-12)


def test_components_do_not_correlate(everything: Made) -> None:
    names = [f["name"] for f in everything.dictionary if f["kind"] == "extraction"]
    assert len(names) == groups.COMPONENTS
    between = np.corrcoef(everything.parts["train"][names].to_numpy(), rowvar=False)
    assert np.abs(between - np.eye(len(names))).max() < 0.05


def test_new_columns_are_scaled_on_train_alone(everything: Made) -> None:
    new = [f["name"] for f in everything.dictionary if f["kind"] != "selection"]
    assert np.allclose(everything.parts["train"][new].mean(), 0, atol=1e-9)
    assert np.allclose(everything.parts["train"][new].std(ddof=0), 1, atol=1e-9)
    assert not np.allclose(everything.parts["test"][new].mean(), 0, atol=1e-3)


# --- the transformer


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("which", ["default", "everything"])
def test_raw_rows_become_what_the_job_wrote(
    which: str, part: str, table: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    result: Made = request.getfixturevalue(which)
    saved = loaded(result.folder / "transformer")
    known = saved.load(result.folder / "transformer")
    rows = result.parts[part]
    got = saved.features(raw_rows(table, rows), known)
    assert list(got) == result.report["features"]
    texts = [f["name"] for f in result.schema["features"] if f["kind"] == "category"]
    numbers = [n for n in got if n not in texts]
    assert (got[texts].to_numpy() == rows[texts].to_numpy()).all()
    assert np.abs(got[numbers].to_numpy(dtype=float) - rows[numbers].to_numpy()).max() < 1e-9


def test_odd_values_are_missing_or_other_as_the_prepare_job_has_it(default: Made) -> None:
    saved = transformer.load(default.folder / "transformer")
    rows = pd.DataFrame(
        {
            "contract": [None, "one-year", "klingon 🖖", "unknown", "  two-year\n", "x" * 50_000],
            "data_gb": ["", "1e3", "1_000", "nan", "-inf", "7"],
            "dropped_calls": ["3", None, "0x1", "1e999", " 2 ", "two"],
        },
        dtype=object,
    )
    got = transformer.prepared(rows, saved)
    words = ["(missing)", "one-year", "(other)", "(missing)", "two-year", "(other)"]
    assert got["contract"].tolist() == words
    specs = {spec["name"]: spec for spec in saved["prepared"]["features"]}
    hole = np.nan
    for name, read in {
        "data_gb": [hole, 1000, hole, hole, hole, 7],
        "dropped_calls": [3, *[hole] * 3, 2, hole],
    }.items():
        spec = specs[name]
        filled = np.where(np.isnan(read), spec["fill"], read)
        expected = (np.clip(filled, spec["low"], spec["high"]) - spec["center"]) / spec["scale"]
        assert got[name].tolist() == expected.tolist()
        assert got.get(spec.get("indicator"), np.isnan(read)).tolist() == np.isnan(read).tolist()
    assert not transformer.features(rows, saved).isna().any().any()


def test_one_row_gives_the_same_as_among_others(default: Made, table: pd.DataFrame) -> None:
    saved = transformer.load(default.folder / "transformer")
    rows = raw_rows(table, default.parts["test"].head(20))
    together = transformer.features(rows, saved)
    alone = pd.concat([transformer.features(rows.iloc[[n]], saved) for n in range(20)])
    pd.testing.assert_frame_equal(together, alone, rtol=0, atol=1e-12)


def test_rows_without_the_id_that_history_counts_are_refused(everything: Made) -> None:
    saved = transformer.load(everything.folder / "transformer")
    with pytest.raises(transformer.BadRows, match="lack customer_id and month"):
        transformer.features(pd.DataFrame({"contract": ["one-year"]}), saved)
    rows = pd.DataFrame({"customer_id": ["a"], "month": ["31/12/2025"]})
    with pytest.raises(transformer.BadRows, match="month has text that is no ISO date"):
        transformer.features(rows, saved)


def test_the_transformer_needs_nothing_of_the_job(default: Made) -> None:
    code = (
        "import sys, transformer, pandas as pd; r = transformer.load('.'); "
        "print(len(transformer.features(pd.DataFrame({'contract': ['one-year']}), r).columns)); "
        "assert not {'sklearn', 'scipy', 'duckdb', 'pyarrow.parquet', 'kit'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=default.folder / "transformer",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(default.report["features"])


# --- what is handed over


@pytest.mark.parametrize("algorithm", ["baseline", "boosting"])
def test_training_takes_the_features_and_serving_leaves_them_as_they_are(
    default: Made, tmp_path: Path, algorithm: str
) -> None:
    places = {n: default.folder / n for n in ("train", "validation")} | {"schema": default.folder / "report"}
    places |= {"model-dir": tmp_path / "model", "output-data-dir": tmp_path, "output-dir": tmp_path}
    chosen = [f"--{k}={v}" for k, v in places.items()] + ["--iterations=30", "--threads=1"]
    assert training.main([*chosen, f"--algorithm={algorithm}"]) == 0
    model = inference.model_fn(str(tmp_path / "model"))
    rows = default.parts["test"].head(50)
    features = rows[default.report["features"]]
    sent = "".join(json.dumps(row) + "\n" for row in features.to_dict("records"))
    answers = inference.predict_fn(inference.input_fn(sent, "application/jsonlines"), model)
    expected = inference.score(model.predictor, features, model.recipe)
    assert [a["probability"] for a in answers] == pytest.approx(list(expected), abs=1e-9)


def test_every_row_keeps_its_roles(default: Made, ready: Path) -> None:
    roles = splits.roles(splits.schema(ready / "report"))
    named = {"row_number", "customer_id", "month", "churned", "row_weight", "age_band__group", "synthetic"}
    assert named == set(roles)
    for name, part in default.parts.items():
        assert list(part) == [*roles, *default.report["features"]]
        pd.testing.assert_frame_equal(part[roles], pd.read_parquet(ready / name)[roles])


def test_the_dictionary_describes_every_feature(everything: Made) -> None:
    assert [f["name"] for f in everything.dictionary] == everything.report["features"]
    kinds = {f["kind"] for f in everything.dictionary}
    assert kinds == {"selection", "transformation", "creation", "extraction"}
    for feature in everything.dictionary:
        assert all(feature[k] for k in ("name", "kind", "formula", "sources", "missing", "fitted_on"))
    with (everything.folder / "report" / "dictionary.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["name"] for line in lines] == everything.report["features"]
    assert list(lines[0]) == ["name", "kind", "formula", "sources", "missing", "fitted_on"]


def test_the_same_input_gives_the_same_files(default: Made, ready: Path) -> None:
    before = {p: p.read_bytes() for p in default.folder.rglob("*") if p.is_file()}
    made(ready, "--threads=1")
    assert {p: p.read_bytes() for p in default.folder.rglob("*") if p.is_file()} == before


def test_synthetic_rows_go_along_with_their_mark_and_nothing_is_judged_or_fitted_on_them(
    tmp_path: Path,
) -> None:
    frame = churn.generate(3000)
    plain, smote = (
        made(prepared(tmp_path / how, frame, CHURN, "--balance", how, "--unbias", "none"))
        for how in ("none", "smote")
    )
    whole = smote.parts["train"]
    assert len(whole) - len(plain.parts["train"]) == whole["synthetic"].sum() > 0
    for told in ("steps", "base", "columns", "folds"):
        assert smote.report[told] == plain.report[told]
    assert smote.report["fitted_on"].endswith(f", without its {whole['synthetic'].sum():,} synthetic rows")
    real = whole[~whole["synthetic"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(real, plain.parts["train"])


# --- other tables


def test_regression_is_judged_by_r2_and_drops_what_does_not_matter(
    tmp_path: Path, table: pd.DataFrame
) -> None:
    result = made(prepared(tmp_path / "data", table, SPEND))
    assert result.report["measure"] == "R²"
    assert set(churn.truths(ROWS).noise) <= set(result.out)
    assert "monthly_charge" in {s for f in result.dictionary for s in f["sources"]}


def test_trees_can_judge_as_well(ready: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ready)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (*PARTS, "report"):
        (copy / name).symlink_to(ready / name)
    result = made(copy, "--model=trees", "--groups", "bends")
    assert result.report["model"] == "trees"
    assert abs(result.steps["bends"]["mean"]) < 0.005  # a tree bends where it likes


def test_a_sample_has_whole_ids_and_is_told(ready: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (*PARTS, "report"):
        (copy / name).symlink_to(ready / name)
    result = made(copy, "--sample=1500")
    rows = len(result.parts["train"])
    assert result.report["fitted_on"].endswith(f"rows of train, a sample of {rows:,}")
    assert 1200 < int(result.report["fitted_on"].split()[0].replace(",", "")) < 1800
    assert rows == len(pd.read_parquet(ready / "train"))


def awkward(rows: int = 1200) -> pd.DataFrame:
    """No id, no time, nothing sensitive: 10,000 categories or so, emoji, 50 kB strings, a column that is constant in train."""
    rng = np.random.default_rng(2)
    number = rng.normal(size=rows)
    mood = np.array(["🙂" * 3, "x" * 50_000, "quote \" ' and, comma", "línea"])[rng.integers(0, 4, rows)]
    return pd.DataFrame(
        {
            "number": number.round(4),
            "mood": mood,
            "place": [f"place {n}" for n in rng.integers(0, 10_000, rows)],
            "same": 1,
            "y": (number + (mood == "🙂🙂🙂") + rng.normal(size=rows) > 0.3).astype(int),
        }
    )


def test_a_table_without_id_and_time_says_what_was_not_tried(tmp_path: Path) -> None:
    result = made(prepared(tmp_path / "data", awkward(), plan.Data(target="y", in_time_order=True)))
    assert result.steps["history"]["why"] == "not tried: the plan names no id, or no order in time"
    assert result.steps["calendar"]["why"].startswith("not tried")
    assert result.steps["components"]["why"] == "not tried: fewer than three columns of numbers"
    assert set(result.report["features"]) >= {"number", "mood"}
    assert max(len(name) for name in result.report["features"]) < 60


def test_rows_in_time_order_are_judged_forward_in_time(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "data", awkward(), plan.Data(target="y", in_time_order=True))
    assert made(folder).report["folds"]["rule"].startswith("whole ids")
    assert made(folder, "--in-time-order=yes").report["folds"]["rule"].startswith("by time")


def told(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert run(folder, *more) == 1
    text = (folder / "new" / "message").read_text("utf-8")
    assert capsys.readouterr().err.strip() == text
    assert len(text.splitlines()) == 2
    return text


def test_one_answer_in_train_is_told_in_two_lines(
    ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("validation", "test", "report"):
        (tmp_path / name).symlink_to(ready / name)
    (tmp_path / "train").mkdir()
    train = pd.read_parquet(ready / "train")
    train[train.churned == 0].to_parquet(tmp_path / "train" / "part.parquet")
    assert "same answer" in told(tmp_path, capsys)
    train["data_gb"] = np.nan
    train.to_parquet(tmp_path / "train" / "part.parquet")
    assert "no data_gb" in told(tmp_path, capsys)
    train.drop(columns="data_gb").to_parquet(tmp_path / "train" / "part.parquet")
    assert "train lacks data_gb" in told(tmp_path, capsys)
    rare = pd.read_parquet(ready / "train")
    rare["churned"] = (np.arange(len(rare)) == 7).astype(int)
    rare.to_parquet(tmp_path / "train" / "part.parquet")
    assert "only 0 folds" in told(tmp_path, capsys)
    (tmp_path / "train" / "part.parquet").unlink()
    assert "train has no Parquet file" in told(tmp_path, capsys)


def test_what_does_not_fit_is_told_in_two_lines(
    ready: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PARTS:
        (tmp_path / name).symlink_to(ready / name)
    assert "is no schema of the prepare job" in told(tmp_path, capsys)
    (tmp_path / "report").symlink_to(ready / "report")
    assert "too small" in told(tmp_path, capsys, "--folds=2")
    (tmp_path / "config.json").write_text('{"hosts": ["algo-1", "algo-2"]}')
    assert "several instances" in told(tmp_path, capsys, f"--config={tmp_path / 'config.json'}")
