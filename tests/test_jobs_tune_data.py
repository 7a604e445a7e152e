from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import CHURN, SPEND
from sklearn.metrics import roc_auc_score

from kit import churn, data, plan

(prepare,) = jobs.load("data_engineering/jobs/prepare", "script")
(engineering,) = jobs.load("data_engineering/jobs/features", "script")
(training,) = jobs.load("model_engineering/jobs/train", "script")
script, part, slices, labels, fixes = jobs.load(
    "data_engineering/jobs/tune_data", "script", "part", "slices", "labels", "fixes"
)

ROWS = 20_000
BOOSTING = ["--algorithm=boosting", "--iterations=60", "--num_leaves=15", "--min_child_samples=60"]


def divided(folder: Path, block: plan.Data, rows: int, *more: str) -> None:
    """Splits and schema, as D2 leaves them."""
    (folder / "input").mkdir(parents=True)
    churn.generate(rows).to_csv(folder / "input" / "table.csv", index=False)
    places = [f"--{n}={folder / n}" for n in ("input", "train", "validation", "test", "report", "message")]
    assert prepare.main(["--plan", *data.arguments(block), *places, *more]) == 0


def prepared(folder: Path, block: plan.Data, *algorithm: str, rows: int = ROWS) -> Path:
    """Splits, schema and a model's archive, as D2 and M1 leave them."""
    divided(folder, block, rows)
    archived(folder, *algorithm)
    return folder


def archived(folder: Path, *options: str) -> None:
    """A model of the folder's splits in its archive."""
    out = folder / "job"
    out.mkdir()
    channels = {"train": folder / "train", "validation": folder / "validation", "schema": folder / "report"}
    channels |= {"model_dir": out / "model", "output_data_dir": out / "data", "output_dir": out}
    assert training.main([*(f"--{k}={v}" for k, v in channels.items()), *options]) == 0
    (folder / "archive").mkdir()
    with tarfile.open(folder / "archive" / "model.tar.gz", "w:gz") as archive:
        archive.add(out / "model", arcname=".")


def run(folder: Path, out: Path, *more: str) -> int:
    places = {"train": folder / "train", "validation": folder / "validation", "schema": folder / "report"}
    places |= {
        "model": folder / "archive",
        "audit": folder / "audit",
        "fixed": out / "fixed",
        "report": out / "report",
    }
    out.mkdir(exist_ok=True)
    places["message"] = out / "message"
    return int(script.main([*(f"--{k}={v}" for k, v in places.items()), *more]))


def planted(table: pd.DataFrame) -> pd.DataFrame:
    wrong = churn.truths(ROWS).wrong_labels
    return table.merge(wrong.assign(month=pd.to_datetime(wrong["month"])), on=["customer_id", "month"])


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepared(tmp_path_factory.mktemp("churn"), CHURN, *BOOSTING)
    answers = planted(pd.read_parquet(folder / "validation"))[["row_number", "true"]]
    (folder / "audit").mkdir()
    answers.rename(columns={"true": "label"}).to_csv(folder / "audit" / "answers.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def out(splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    assert run(splits, folder) == 0
    return folder


@pytest.fixture(scope="module")
def spend(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = prepared(tmp_path_factory.mktemp("spend"), SPEND, "--algorithm=baseline")
    assert run(folder, folder / "out") == 0
    return folder, folder / "out"


def told(out: Path) -> Any:
    return json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))


# --- the job on the generated table


def test_the_planted_segment_fails_and_its_labels_are_said_to_be_wrong(out: Path) -> None:
    name = ": ".join(churn.truths(ROWS).error_slice)
    found = pd.read_csv(out / "report" / "slices.csv").set_index("name").loc[name]
    assert found["q"] < 1e-6
    assert found["low"] > 0
    assert list(told(out)["wrong"]) == [name]
    assert 0.1 < found["wrong_share"] < churn.WRONG + 0.15


def test_suspects_are_mostly_planted_and_most_planted_are_suspects(splits: Path, out: Path) -> None:
    suspects = pd.read_csv(out / "report" / "suspects.csv")
    wrong = set(planted(pd.read_parquet(splits / "train"))["row_number"])
    hits = suspects["row_number"].isin(wrong)
    assert hits.mean() > 0.45
    assert hits.sum() / len(wrong) > 0.6
    assert hits[:50].mean() > 0.75
    assert list(suspects["chance"]) == sorted(suspects["chance"], reverse=True)


def test_labels_turned_on_purpose_are_found_again(out: Path) -> None:
    tests = told(out)["self_tests"]
    assert tests["scattered"]["lift"] > 3
    assert tests["segment"]["lift"] > 3
    assert tests["segment"]["found"]
    known = pd.read_parquet(out / "report" / "known.parquet")
    scattered = known[known["test"] == "scattered"]
    first = scattered[scattered["rank"] < scattered["turned"].sum()]
    assert first["turned"].mean() == pytest.approx(tests["scattered"]["hit"])
    assert scattered["turned"].mean() == pytest.approx(0.02, abs=0.001)


def test_a_fix_changes_only_suspects_and_keeps_the_schema(splits: Path, out: Path) -> None:
    before, after = (pd.read_parquet(p) for p in (splits / "train", out / "fixed"))
    suspects = set(pd.read_csv(out / "report" / "suspects.csv")["row_number"])
    assert told(out)["applied"] in ("relabel", "drop")
    assert list(before.dtypes.items()) == list(after.dtypes.items())
    both = before.merge(after, on="row_number", how="left", suffixes=("", "_now"))
    changed = both[(both["churned"] != both["churned_now"])]
    assert 0 < len(changed) <= 0.05 * len(before)
    assert set(changed["row_number"]) <= suspects


def test_the_fix_that_is_applied_gains_for_sure_held_against_audited_labels(out: Path) -> None:
    report = told(out)
    gain = report["fixes"][report["applied"]]
    assert gain["segments"]["low"] > 0
    assert gain["overall"]["gain"] >= 0
    assert gain["as_recorded"]["overall"]["gain"] < gain["overall"]["gain"]
    rows = pd.read_parquet(out / "report" / "validation.parquet")
    assert not np.allclose(rows["before"], rows["after"])


def test_without_an_audit_labels_as_recorded_judge_and_the_report_says_so(
    splits: Path, tmp_path: Path
) -> None:
    assert run(splits, tmp_path, f"--audit={tmp_path / 'none'}") == 0
    report = told(tmp_path)
    assert report["judged_by"] == "labels as recorded"
    assert report["applied"] not in ("relabel", "drop")
    if not report["applied"]:
        same = pd.read_parquet(splits / "train").equals(pd.read_parquet(tmp_path / "fixed"))
        assert same


def test_the_same_run_gives_the_same_files(splits: Path, out: Path, tmp_path: Path) -> None:
    assert run(splits, tmp_path) == 0
    for name in ("report.json", "slices.csv", "suspects.csv"):
        assert (tmp_path / "report" / name).read_bytes() == (out / "report" / name).read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepared(tmp_path_factory.mktemp("small"), CHURN, "--algorithm=baseline", rows=4000)
    assert run(folder, folder / "out") == 0
    return folder


def test_with_few_rows_the_self_test_is_made_several_times_so_that_luck_does_not_decide(small: Path) -> None:
    test = told(small / "out")["self_tests"]["scattered"]
    known = pd.read_parquet(small / "out" / "report" / "known.parquet").query("test == 'scattered'")
    rounds = known["round"].nunique()
    assert rounds == len(test["each"]) > 1
    assert test["wrong"] == known["turned"].sum() >= 200
    assert (
        len({frozenset(part.loc[part["turned"], "row_number"]) for _, part in known.groupby("round")})
        == rounds
    )
    first = known[known["rank"] < known["turned"].sum() / rounds]
    assert first["turned"].mean() == pytest.approx(test["hit"])
    assert test["lift"] == pytest.approx(test["hit"] / known["turned"].mean())


def test_synthetic_rows_are_neither_searched_nor_learned_from_and_stay_as_they_are(
    small: Path, tmp_path: Path
) -> None:
    plain, smote = small, tmp_path / "smote"
    divided(smote, CHURN, 4000, "--balance", "smote")
    shutil.copytree(plain / "archive", smote / "archive")
    assert run(smote, smote / "out") == 0
    one, other = told(plain / "out"), told(smote / "out")
    before, after = pd.read_parquet(smote / "train"), pd.read_parquet(smote / "out" / "fixed")
    made = int(before["synthetic"].sum())
    rows = other["rows"]
    assert rows["synthetic"] == made == rows["train"] - one["rows"]["train"] > 0
    assert (
        rows["searched"]
        == one["rows"]["searched"]
        == len(pd.read_parquet(smote / "out/report/ranking.parquet"))
    )
    same = ("looks", "segments", "wrong", "self_tests", "suspects", "fixes", "collect", "applied")
    assert {name: one[name] for name in same} == {name: other[name] for name in same}
    kept = after[after["row_number"].isin(before.loc[before["synthetic"], "row_number"])]
    pd.testing.assert_frame_equal(
        kept.reset_index(drop=True), before[before["synthetic"]].reset_index(drop=True)
    )
    assert after["row_number"].is_unique


def test_regression_falls_back_to_outliers_and_never_relabels(spend: tuple[Path, Path]) -> None:
    _, out = spend
    report = told(out)
    assert report["measure"].startswith("absolute error")
    assert "relabel" not in report["fixes"]
    assert report["wrong"] == {}
    assert report["self_tests"]["scattered"]["lift"] > 3
    suspects = pd.read_csv(out / "report" / "suspects.csv")
    assert suspects["chance"].isna().all()
    assert (suspects["confidence"] <= 1 / (1 + labels.OUTLIER)).all()


# --- what goes wrong is said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("row,label\n1,1\n", "lacks row_number or label"),
        ("row_number,label\n{row},maybe\n", "labels that are none"),
        ("row_number,label\n{row},2\n", "labels that are none"),
        ("row_number,label\n{row},1\n{row},0\n", "a row twice"),
        ("row_number,label\n-5,1\n", "not in validation"),
    ],
)
def test_an_audit_that_cannot_be_used_is_refused(splits: Path, tmp_path: Path, text: str, why: str) -> None:
    row = pd.read_parquet(splits / "validation")["row_number"].iloc[0]
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "a.csv").write_text(text.format(row=row), encoding="utf-8")
    assert run(splits, tmp_path, f"--audit={tmp_path / 'audit'}") == 1
    assert why in (tmp_path / "message").read_text(encoding="utf-8")
    assert not (tmp_path / "fixed").exists()


@pytest.mark.parametrize(
    ("option", "why"), [("train", "no Parquet file"), ("schema", "schema.json"), ("model", "no model.tar.gz")]
)
def test_a_missing_input_is_named(splits: Path, tmp_path: Path, option: str, why: str) -> None:
    assert run(splits, tmp_path, f"--{option}={tmp_path / 'nothing'}") == 1
    assert why in (tmp_path / "message").read_text(encoding="utf-8")


def test_a_model_of_other_columns_is_refused(splits: Path, spend: tuple[Path, Path], tmp_path: Path) -> None:
    assert run(splits, tmp_path, f"--model={spend[0] / 'archive'}") == 1
    assert "Run D3 and M1 again" in (tmp_path / "message").read_text(encoding="utf-8")


def test_a_model_of_engineered_features_sees_them_made_of_the_rows(splits: Path, tmp_path: Path) -> None:
    places = {n: splits / n for n in ("train", "validation", "test")} | {"schema": splits / "report"}
    places |= {f"features-{n}": tmp_path / n for n in ("train", "validation", "test")}
    places |= {"report": tmp_path / "report", "transformer": tmp_path / "transformer"}
    assert (
        engineering.main([*(f"--{k}={v}" for k, v in places.items()), "--groups", "bends", "products"]) == 0
    )
    archived(tmp_path, *BOOSTING, f"--transformer={tmp_path / 'transformer'}")
    schema = json.loads((splits / "report" / "schema.json").read_text(encoding="utf-8"))
    model = part.model(tmp_path / "archive", schema)
    rows, made = (pd.read_parquet(folder / "validation") for folder in (splits, tmp_path))
    inputs = model.inputs(rows)
    names = [spec["name"] for spec in model.made["features"]]
    numbers = [n for n in names if n not in schema["columns"] or made[n].dtype == float]
    assert set(names) - set(rows)
    np.testing.assert_allclose(inputs[:, [names.index(n) for n in numbers]], made[numbers], rtol=1e-12)
    target = rows["churned"].to_numpy(dtype=float)
    scores = model.fitted(inputs, target)(inputs)
    assert roc_auc_score(target, scores) > 0.8


# --- the parts


def test_rows_of_one_id_are_in_one_fold(splits: Path) -> None:
    table = pd.read_parquet(splits / "train")
    schema = json.loads((splits / "report" / "schema.json").read_text(encoding="utf-8"))
    folds = part.folds(table, table["churned"].to_numpy(), schema, 4, 0)
    assert sorted(np.concatenate([fold for _, fold in folds])) == list(range(len(table)))
    ids = [set(table["customer_id"].iloc[fold]) for _, fold in folds]
    assert sum(map(len, ids)) == len(set.union(*ids))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
@settings(deadline=None)
def test_adjusted_p_values_are_those_of_the_definition(p: list[float]) -> None:
    found = slices.adjusted(np.array(p))
    ranked = sorted(p)
    for value, q in zip(p, found, strict=True):
        steps = [len(p) * other / (at + 1) for at, other in enumerate(ranked) if other >= value]
        assert q == pytest.approx(min(1.0, *steps))


def test_segments_without_news_are_not_found() -> None:
    """On errors that are noise, few of many searches find a segment: at most one in twenty on average."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.choice(list("abcd"), 2000) for name in "uvwxyz"})
    schema = {"features": [{"name": n, "kind": "category"} for n in table], "groups": {}}
    cuts = slices.cuts(table, schema)
    codes = slices.coded(cuts, table)
    hits = sum(
        min(s.q for s in slices.looks(cuts, codes, rng.exponential(1, 2000))) <= 0.05 for _ in range(60)
    )
    assert hits <= 9


def test_a_pair_that_fails_is_found_and_its_bins_alone_are_not_told_again() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({name: rng.choice(list("abc"), 4000) for name in "uvw"})
    schema = {"features": [{"name": n, "kind": "category"} for n in table], "groups": {}}
    cuts = slices.cuts(table, schema)
    codes = slices.coded(cuts, table)
    error = rng.normal(1, 0.3, 4000) + 0.5 * ((table["u"] == "a") & (table["v"] == "b"))
    found = slices.worst(slices.looks(cuts, codes, error.to_numpy()), codes, error.to_numpy())
    assert [s.name for s in found] == ["u: a and v: b"]
    assert found[0].low < 0.5 < found[0].high + 0.05


def test_numbers_are_cut_at_quintiles_in_their_own_units_with_missing_apart() -> None:
    raw = np.arange(1000.0)
    table = pd.DataFrame({"n": (raw - 500) / 10, "gone": (raw >= 900).astype(float)})
    spec = {"name": "n", "kind": "numeric", "indicator": "gone", "scale": 10.0, "center": 500.0}
    (cut,) = slices.cuts(table, {"features": [spec], "groups": {}})
    assert cut.names == ("≤ 179", "179 to 359", "359 to 539", "539 to 719", "> 719", "missing")
    assert np.bincount(cut.codes(table)).tolist() == [180, 180, 180, 180, 180, 100]


@pytest.mark.parametrize(("share", "says"), [(0.0, False), (0.25, True)])
def test_wrong_labels_are_told_from_another_base_rate(share: float, says: bool) -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(0, 2, 3000)
    chance = 1 / (1 + np.exp(-(z + 1.0)))
    target = (rng.random(3000) < chance).astype(float)
    turned = rng.random(3000) < share
    target[turned] = 1 - target[turned]
    inside = share + (1 - 2 * share) * chance
    doubt = labels.doubt(1 / (1 + np.exp(-z)), inside, target)
    assert (doubt.p <= labels.SURE) == says or (not says and doubt.share < 0.05)
    if says:
        assert doubt.share == pytest.approx(share, abs=0.06)
        assert doubt.scores == pytest.approx(chance, abs=0.15)


def test_a_segment_with_rules_of_its_own_is_not_said_to_have_wrong_labels() -> None:
    rng = np.random.default_rng(3)
    z, own = rng.normal(0, 2, 3000), rng.normal(0, 3, 3000)
    chance = 1 / (1 + np.exp(-(0.3 * z + own)))
    target = (rng.random(3000) < chance).astype(float)
    assert labels.doubt(1 / (1 + np.exp(-z)), chance, target).p == 1.0


def test_confident_learning_is_that_of_the_paper() -> None:
    """Thresholds are the mean score of each label's rows: here 0.6 for 1, and 0.7 for 0."""
    target = np.array([1, 1, 1, 0, 0, 0])
    scores = np.array([0.9, 0.7, 0.2, 0.1, 0.1, 0.7])
    assert labels.confident(scores, target).tolist() == [False, False, True, False, False, True]


def test_an_interval_of_the_gain_grows_when_rows_go_together() -> None:
    rng = np.random.default_rng(4)
    fall = np.repeat(rng.normal(0.1, 1, 200), 5)
    alone = fixes.gain(fall, np.zeros(1000), np.arange(1000), 1)
    together = fixes.gain(fall, np.zeros(1000), np.arange(1000) // 5, 1)
    assert together["gain"] == alone["gain"]
    ratio = (together["high"] - together["low"]) / (alone["high"] - alone["low"])
    assert ratio == pytest.approx(5**0.5, rel=0.01)
    many = fixes.gain(fall, np.zeros(1000), np.arange(1000), 3)
    assert many["high"] > alone["high"]


def test_a_relabelled_row_weighs_what_its_new_label_does_in_its_group() -> None:
    table = pd.DataFrame({"g": list("aabb"), "y": [0, 1, 0, 1], "w": [1.0, 2.0, 3.0, 4.0]})
    schema = {"target": "y", "weight": "w", "groups": {"g": {"column": "g"}}}
    fixed = fixes.relabelled(table, np.array([True, False, False, True]), schema)
    assert fixed["y"].tolist() == [1, 1, 0, 0]
    assert fixed["w"].tolist() == [2.0, 2.0, 3.0, 3.0]
    assert table["y"].tolist() == [0, 1, 0, 1]


def test_new_rows_lie_between_rows_of_the_segment_and_are_bounded() -> None:
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"row_number": np.arange(1, 1001), "n": rng.normal(0, 1, 1000)})
    table["y"] = (table["n"] > 0).astype(int)
    schema = {"target": "y", "problem": "classification", "row_number": "row_number"}
    schema["features"] = [{"name": "n", "kind": "numeric"}]
    rows = (table["n"] > -0.5).to_numpy() & (table["n"] < 0.5).to_numpy()
    more = fixes.augmented(table, rows, schema, 2.0, 0)
    made = more[more["row_number"] < 0]
    assert len(made) == 100
    assert made["n"].between(-0.5, 0.5).all()
    assert ((made["n"] > 0).astype(int) == made["y"]).all()
    assert more.head(1000).equals(table)
    marked = table.assign(synthetic=table["row_number"] > 900)
    marked.loc[marked["synthetic"], "row_number"] = -np.arange(1, 101)
    more = fixes.augmented(marked, rows, {**schema, "synthetic": "synthetic"}, 2.0, 0)
    assert more["row_number"].is_unique
    assert more.tail(100)["synthetic"].all()
    assert set(more.tail(100)["n"].round(9)).isdisjoint(marked.loc[marked["synthetic"], "n"].round(9))


@pytest.mark.parametrize(
    ("fall", "gap", "collect"),
    [((0.01, 0.005), 0.02, 500), ((0.01, -0.001), 0.02, 0), ((0.01, 0.005), 0.2, 0)],
)
def test_more_rows_are_advised_only_where_the_curve_falls_and_they_can_be_had(
    fall: tuple[float, float], gap: float, collect: int
) -> None:
    curve = {"fall_per_doubling": fall[0], "low": fall[1]}
    assert fixes.advice(curve, 500, gap)["collect"] == collect


def test_only_a_fix_that_surely_helps_is_kept() -> None:
    def measured(low: float, overall: float) -> dict[str, dict[str, float]]:
        return {"segments": {"low": low}, "overall": {"gain": overall}}

    every = {"relabel": measured(0.1, 0.2), "drop": measured(-0.1, 0.9), "augment": measured(0.3, -0.1)}
    assert fixes.kept(every, script.FIXES) == "relabel"
    assert fixes.kept({name: every[name] for name in ("drop", "augment")}, script.FIXES) == ""
