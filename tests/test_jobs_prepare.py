from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import jobs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import churn, data, plan

script, table, split, fit, bias, leakage = jobs.load(
    "data_engineering/jobs/prepare", "script", "table", "split", "fit", "bias", "leakage"
)
DEFAULT = plan.Data(
    target="churned",
    id="customer_id",
    time="month",
    sensitive=("age_band",),
    leave_out=("next_month_spend",),
    missing={"*": ("unknown",)},
)


class Made(NamedTuple):
    report: dict[str, Any]
    schema: dict[str, Any]
    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame

    @property
    def parts(self) -> dict[str, pd.DataFrame]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def run(folder: Path, frame: pd.DataFrame | str, block: plan.Data, *more: str) -> int:
    (folder / "input").mkdir(exist_ok=True, parents=True)
    text = frame if isinstance(frame, str) else frame.to_csv(index=False)
    (folder / "input" / "table.csv").write_text(text, encoding="utf-8")
    places = [f"--{n}={folder / n}" for n in ("input", "train", "validation", "test", "report", "message")]
    return int(script.main(["--plan", *data.arguments(block), *places, *more]))


def read(folder: Path) -> Made:
    told = [json.loads((folder / "report" / f"{n}.json").read_text("utf-8")) for n in ("report", "schema")]
    return Made(*told, *(pd.read_parquet(folder / n) for n in ("train", "validation", "test")))


def made(folder: Path, frame: pd.DataFrame | str, block: plan.Data, *more: str) -> Made:
    assert run(folder, frame, block, *more) == 0
    return read(folder)


def forty(**columns: Any) -> pd.DataFrame:
    """Forty rows with a target y of both classes everywhere, a number and a text."""
    rows = np.arange(40)
    base = {"number": (rows * 7) % 40 / 3, "word": np.array(["a", "b", "c"])[rows % 3], "y": rows % 2}
    return pd.DataFrame({**base, **columns})


PLAIN = plan.Data(target="y")


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("default"), churn.generate(4000), DEFAULT)


# --- the whole job on the generated table


def test_copies_are_dropped(default: Made) -> None:
    assert default.report["cleaning"]["copies_dropped"] == churn.truths(4000).duplicates


def test_no_customer_and_no_month_is_in_two_splits(default: Made) -> None:
    people = [set(part.customer_id) for part in default.parts.values()]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]
    assert default.train.month.max() < default.validation.month.min()
    assert default.validation.month.max() < default.test.month.min()
    assert default.report["split"]["ids_in_two_splits"] == 0
    assert default.report["split"]["times_in_two_splits"] == 0


def test_the_report_tells_the_times_of_each_split_as_dates(default: Made) -> None:
    told = default.report["split"]
    assert told["cuts"] == ["2025-08-01T00:00:00", "2025-10-01T00:00:00"]
    assert told["splits"]["validation"]["first"] == "2025-09-01T00:00:00"
    assert told["splits"]["test"]["last"] == f"{churn.truths(4000).drift_month}T00:00:00"


def test_every_distinct_row_is_in_a_split_or_counted_as_left_out(default: Made) -> None:
    numbers = [n for part in default.parts.values() for n in part.row_number]
    assert len(set(numbers)) == len(numbers)
    assert (
        len(numbers) + default.report["split"]["left_out"] + default.report["cleaning"]["copies_dropped"]
        == 4000
    )


def test_the_leak_is_found_and_what_matters_is_kept(default: Made) -> None:
    planted = churn.truths(4000)
    for leak in planted.leaks:
        assert "gives the target away" in default.report["left_out"][leak]
    assert set(planted.matter) <= set(default.report["features"])
    assert default.report["leakage"]["suspects"] == []


def test_personal_text_and_sensitive_columns_are_left_out_with_reasons(default: Made) -> None:
    left_out = default.report["left_out"]
    assert left_out["email"].startswith("personal")
    assert left_out["comment"].startswith("text or identifiers")
    assert left_out["age_band"].startswith("sensitive")
    assert left_out["next_month_spend"] == "the plan says so"
    assert not set(left_out) & set(default.train.columns)


def test_train_is_scaled_to_mean_0_and_deviation_1_and_only_train(default: Made) -> None:
    numeric = [s["name"] for s in default.schema["features"] if s["kind"] == "numeric"]
    assert numeric
    assert np.allclose(default.train[numeric].mean(), 0, atol=1e-9)
    assert np.allclose(default.train[numeric].std(ddof=0), 1, atol=1e-9)
    assert not np.allclose(default.test[numeric].mean(), 0, atol=1e-3)


def test_nothing_is_missing_and_categories_are_known(default: Made) -> None:
    for part in default.parts.values():
        assert not part.isna().any().any()
        for spec in default.schema["features"]:
            if spec["kind"] == "category":
                assert set(part[spec["name"]]) <= set(spec["categories"])
    assert "(missing)" in set(default.train.payment_method)
    assert "unknown" not in set(default.train.payment_method)


def test_holes_are_filled_and_marked(default: Made) -> None:
    spec = next(s for s in default.schema["features"] if s["name"] == "data_gb")
    share = default.train[spec["indicator"]].mean()
    assert share * len(default.train) == spec["missing_in_train"]
    assert 0.03 < share < 0.07


def test_outliers_are_cut_at_the_quantiles_of_train(default: Made) -> None:
    spec = next(s for s in default.schema["features"] if s["name"] == "monthly_charge")
    assert spec["high"] < 200
    for part in default.parts.values():
        raw = part.monthly_charge * spec["scale"] + spec["center"]
        assert raw.between(spec["low"] - 1e-9, spec["high"] + 1e-9).all()


def test_bias_is_measured_and_weighed_away(default: Made) -> None:
    worse = default.report["bias"]["age_band"][churn.truths(4000).worse_group]
    assert worse["DPL"] < -0.04
    assert worse["KS"] == pytest.approx(-worse["DPL"])
    for group in default.report["bias"]["age_band"].values():
        assert group["weighted"]["DPL"] == pytest.approx(0, abs=1e-12)


def test_weights_make_groups_alike_and_classes_equal_and_sum_to_the_rows(default: Made) -> None:
    weights = default.train.row_weight
    assert weights.sum() == pytest.approx(len(default.train))
    assert weights.sum() == pytest.approx(default.report["weights"]["sum"])
    shares = default.train.assign(w=weights).groupby(["age_band__group", "churned"]).w.sum().unstack()
    assert np.allclose(shares[1] / shares.sum(axis=1), 0.5)
    assert (default.validation.row_weight == 1).all()
    assert (default.test.row_weight == 1).all()


def test_the_same_input_gives_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    frame = churn.generate(1000)
    for name, threads in (("one", "1"), ("two", "3")):
        made(tmp_path / name, frame, DEFAULT, "--threads", threads)
    for file in (
        "report/report.json",
        "report/schema.json",
        *(f"{s}/part-00000.parquet" for s in split.SPLITS),
    ):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "part-00001.parquet").write_text("from an earlier run")
    assert sum(map(len, made(tmp_path, forty(), PLAIN).parts.values())) == 40


def test_what_is_learned_comes_from_train_alone(tmp_path: Path) -> None:
    frame = forty()
    later = frame.copy()
    later.loc[35:, "number"] = 1e9 + later.index[35:]
    later.loc[35:, "word"] = "never seen"
    block = plan.Data(target="y", in_time_order=True)
    one, two = made(tmp_path / "a", frame, block), made(tmp_path / "b", later, block)
    assert one.schema == two.schema
    pd.testing.assert_frame_equal(one.train, two.train)
    assert "(other)" in set(two.test.word) - set(one.test.word)
    assert two.test.number.max() == one.train.number.max()


# --- splits


@given(
    counts=st.lists(st.integers(1, 50), min_size=3, max_size=40),
    shares=st.tuples(st.floats(0.1, 0.8), st.floats(0.05, 0.15)),
)
def test_cuts_leave_every_split_a_time(counts: list[int], shares: tuple[float, float]) -> None:
    times = np.arange(len(counts), dtype=float)
    first, second = split.cuts(times, np.array(counts), (*shares, 1 - sum(shares)))
    assert 0 <= first < second < len(counts) - 1


def test_cuts_are_nearest_to_the_shares() -> None:
    months = np.arange(1.0, 13.0)
    assert split.cuts(months, np.full(12, 100), (0.7, 0.15, 0.15)) == (8.0, 10.0)
    assert split.cuts(months[:2], np.array([5, 5]), (0.7, 0.15, 0.15)) is None


rows = st.tuples(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 12)), st.integers(0, 1))


@given(
    rows=st.lists(rows, min_size=12, max_size=80),
    by_time=st.booleans(),
    by_id=st.booleans(),
    stratify=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_splits_never_share_a_row_an_id_or_a_time(
    rows: list[tuple[int, int | None, int]], by_time: bool, by_id: bool, stratify: bool
) -> None:
    typed = pd.DataFrame(rows, columns=["t", "id", "y"]).astype({"id": "Int64"})
    typed["n"] = np.arange(1, len(typed) + 1)
    typed["r"] = np.random.default_rng(0).integers(0, 2**63, len(typed), dtype=np.uint64)
    with duckdb.connect(config={"threads": 1}) as db:
        db.execute("create table typed as select n, r, cast(y as double) as y, cast(t as double) as t, "
                   "cast(id as varchar) as id from typed")  # fmt: skip
        rule, numbers = split.assign(db, (0.6, 0.2, 0.2), by_time=by_time, by_id=by_id, stratify=stratify)
        final = db.execute("select * from final order by n").df()
    assert final.n.is_unique
    assert len(final) + numbers["left_out"] == len(typed)
    assert sum(s["rows"] for s in numbers["splits"].values()) == len(final)
    if by_id:
        assert (final.dropna(subset="id").groupby("id").s.nunique() <= 1).all()
        assert numbers["ids_in_two_splits"] == 0
    if by_time and typed.t.nunique() >= 3:
        bounds = final.groupby("s").t.agg(["min", "max"])
        assert (bounds["max"].shift().dropna() < bounds["min"].iloc[1:]).all()
        assert numbers["times_in_two_splits"] == 0
    if not by_id and not (by_time and typed.t.nunique() >= 3):
        assert numbers["left_out"] == 0
    assert rule


def test_rows_at_random_keep_the_share_of_positives(tmp_path: Path) -> None:
    rows = np.arange(1000)
    frame = pd.DataFrame({"a": rows % 17, "y": (rows % 5 == 0).astype(int)})
    parts = made(tmp_path, frame, PLAIN, "--duplicates", "keep").parts
    assert [len(p) for p in parts.values()] == [700, 150, 150]
    assert {round(p.y.mean(), 3) for p in parts.values()} == {0.2}


def test_whole_ids_go_to_one_split_when_there_is_no_time(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": np.arange(600) // 4, "a": np.arange(600) % 17, "y": np.arange(600) % 3 % 2})
    result = made(tmp_path, frame, plan.Data(target="y", id="id"))
    assert result.report["split"]["rule"].startswith("by id")
    assert result.report["split"]["left_out"] == 0
    assert len(set(result.train.id) | set(result.test.id) | set(result.validation.id)) == 150
    assert set(result.train.id).isdisjoint(result.test.id)


def test_ids_of_many_rows_are_as_likely_in_each_split_as_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = rng.integers(1, 12, 900)
    who = np.repeat(np.arange(900), rows)
    answer = rng.random(len(who)) < 1 / rows[who]
    frame = pd.DataFrame({"who": who, "x": rng.normal(size=len(who)), "y": answer.astype(int)})
    result = made(tmp_path, frame, plan.Data(target="y", id="who"))
    sizes = [part.groupby("who").size().mean() for part in result.parts.values()]
    assert max(sizes) - min(sizes) < 0.7
    answers = [part["y"].mean() for part in result.parts.values()]
    assert max(answers) - min(answers) < 0.02


def test_ids_that_come_at_all_times_are_shared_out_beforehand(tmp_path: Path) -> None:
    rows = np.arange(1200)
    months = [f"2026-{m + 1:02d}-01" for m in rows // 100]
    frame = pd.DataFrame({"id": rows % 100, "when": months, "a": rows * 7 % 31, "y": rows // 7 % 2})
    result = made(tmp_path, frame, plan.Data(target="y", id="id", time="when"))
    assert "most ids come at all times" in result.report["split"]["rule"]
    assert result.report["split"]["ids_in_two_splits"] == result.report["split"]["times_in_two_splits"] == 0
    assert min(map(len, result.parts.values())) > 10


def test_a_time_that_only_counts_the_rows_is_read_as_a_number(tmp_path: Path) -> None:
    result = made(tmp_path, forty(step=np.arange(40)[::-1]), plan.Data(target="y", time="step"))
    assert result.report["cleaning"]["time_read_as"] == "a number"
    assert result.train.step.max() < result.validation.step.min()
    assert result.validation.step.max() < result.test.step.min()


def test_too_few_times_are_said(tmp_path: Path) -> None:
    frame = forty(when=["2026-01-01", "2026-02-01"] * 20)
    rule = made(tmp_path, frame, plan.Data(target="y", time="when")).report["split"]["rule"]
    assert rule.startswith("there are fewer than three times, so rows at random")


@pytest.mark.parametrize(
    ("form", "how"),
    [
        ("%d/%m/%Y", "dates as %d/%m/%Y"),
        ("%m/%d/%Y", "dates as %m/%d/%Y"),
        ("%Y-%m-%dT%H:%M:%S", "dates"),
        ("%d.%m.%Y", "dates"),
        ("%Y%m%d", "a number"),
    ],
)
def test_dates_are_read_in_their_order(tmp_path: Path, form: str, how: str) -> None:
    days = pd.date_range("2026-01-01", periods=40)
    frame = forty(when=days.strftime(form)).sample(frac=1, random_state=0)
    result = made(tmp_path, frame, plan.Data(target="y", time="when"))
    assert result.report["cleaning"]["time_read_as"] == how
    assert result.train.when.max() < result.validation.when.min() < result.test.when.min()
    if how != "a number":
        assert result.train.when.min() == days[0]


DAYS = st.dates(dt.date(2020, 1, 1), dt.date(2026, 12, 31))
FORMS = st.sampled_from(
    ["%d/%m/%Y", "%m/%d/%Y", "%m/%d/%Y %H:%M", "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%y", "soon"]
)


@given(written=st.lists(st.tuples(DAYS, FORMS), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_job_reads_dates_as_the_kit_does(written: list[tuple[dt.date, str]]) -> None:
    texts = [day.strftime(form) for day, form in written]
    with duckdb.connect() as db:
        db.execute("create table raw as select unnest($1::varchar[]) as c0", [texts])
        own, how = table.time_key(db, "c0", "date")
        way = {"dates as %d/%m/%Y": "day/month", "dates as %m/%d/%Y": "month/day", "dates": ""}[how]
        pairs = db.execute(f"select {own}, epoch({data.moment('c0', way)}) from raw").fetchall()
    assert [mine for mine, _ in pairs] == [kits for _, kits in pairs]


# --- columns of all kinds


def test_columns_that_cannot_help_are_left_out_with_reasons(tmp_path: Path) -> None:
    frame = forty(
        row=range(40),
        same=1,
        empty=None,
        day=pd.date_range("2026-01-01", periods=40).strftime("%Y-%m-%d"),
        name=[f"name {n}" for n in range(40)],
    )
    left_out = made(tmp_path, frame, PLAIN).report["left_out"]
    assert left_out["row"] == "a row number"
    assert left_out["same"] == "the same in every row of train"
    assert left_out["empty"] == "empty"
    assert left_out["day"].startswith("dates")
    assert left_out["name"].startswith("text or identifiers")


def test_many_categories_are_cut_to_the_most_frequent(tmp_path: Path) -> None:
    many = np.where(np.arange(2000) % 3, np.arange(2000) % 20, np.arange(2000)).astype(str)
    frame = pd.DataFrame({"a": "x" + pd.Series(many), "y": np.arange(2000) % 2})
    result = made(tmp_path, frame, PLAIN, "--duplicates", "keep")
    spec = result.schema["features"][0]
    assert len(spec["categories"]) == fit.CATEGORIES + 2
    assert spec["other_in_train"] == (result.train.a == "(other)").sum() > 100


def test_ten_thousand_categories_and_long_emoji_text_are_no_feature(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "many": [f"v{n % 10_000}" for n in range(20_000)],
            "b": np.arange(20_000) % 7,
            "y": np.arange(20_000) % 2,
        }
    )
    frame["said"] = None
    frame.loc[:200, "said"] = [f"😀 {n} " + "x" * 50_000 for n in range(201)]
    left_out = made(tmp_path, frame, PLAIN).report["left_out"]
    assert left_out["many"].startswith("text or identifiers")
    assert left_out["said"].startswith("text or identifiers")


def test_awkward_names_stay_as_they_are(tmp_path: Path) -> None:
    frame = forty().rename(columns={"number": 'how "many", 😀', "word": "row_weight"})
    result = made(tmp_path, frame, PLAIN)
    assert result.schema["columns"] == ['how "many", 😀', "row_weight"]
    assert result.schema["weight"] == "row_weight_"
    assert set(result.schema["columns"]) < set(result.train.columns)


def test_words_for_missing_hold_as_text_and_as_number(tmp_path: Path) -> None:
    frame = forty(days=["-1", "-1.0", "5", "6", "?"] * 8, word=["?", "a", "b", " ", "-1"] * 8)
    block = plan.Data(target="y", missing={"*": ("?",), "days": ("-1",)})
    result = made(tmp_path, frame, block)
    everything = pd.concat(result.parts.values())
    assert everything.days__missing.sum() == 24
    assert (everything.word == "(missing)").sum() == 16
    assert "-1" in set(everything.word)


def test_values_that_are_no_number_in_a_column_of_numbers_are_counted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [*map(str, range(2, 400, 2)), "n/a"], "y": np.arange(200) % 2})
    assert made(tmp_path, frame, PLAIN).report["cleaning"]["not_numeric_made_missing"] == {"a": 1}


def test_a_sensitive_column_of_numbers_is_cut_at_quartiles(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"age": np.arange(400) % 60 + 20, "a": np.arange(400) % 7, "y": np.arange(400) // 3 % 2}
    )
    result = made(tmp_path, frame, plan.Data(target="y", sensitive=("age",)), "--duplicates", "keep")
    groups = result.train.age__group.value_counts()
    assert len(groups) == 4
    assert groups.min() > 0.2 * len(result.train)
    assert set(result.report["bias"]["age"]) == set(groups.index)
    assert result.schema["groups"]["age"]["column"] == "age__group"


def test_sensitive_columns_can_be_features(tmp_path: Path) -> None:
    block = plan.Data(target="y", sensitive=("word",))
    assert made(tmp_path / "a", forty(), block).report["features"] == ["number"]
    both = made(tmp_path / "b", forty(), block, "--sensitive-features", "yes")
    assert both.report["features"] == ["number", "word"]


def test_several_sensitive_columns_are_weighed_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({c: rng.choice(["p", "q"], 4000) for c in ("one", "two")}).assign(
        a=rng.normal(size=4000)
    )
    odds = 0.3 + 0.2 * (frame.one == "p") + 0.2 * (frame.two == "q")
    frame["y"] = (rng.random(4000) < odds).astype(int)
    result = made(tmp_path, frame, plan.Data(target="y", sensitive=("one", "two")))
    for column in ("one", "two"):
        group = result.report["bias"][column]["p"]
        assert abs(group["DPL"]) > 0.15
        assert group["weighted"]["DPL"] == pytest.approx(0, abs=1e-9)


def test_many_copies_without_an_id_are_dropped_and_said(tmp_path: Path) -> None:
    twice = pd.concat([forty(), forty()[:10]])
    result = made(tmp_path / "a", twice, PLAIN)
    assert result.report["cleaning"]["copies_dropped"] == 10
    assert "10 rows were the same as an earlier row" in result.report["warnings"][0]
    kept = made(tmp_path / "b", twice, PLAIN, "--duplicates", "keep")
    assert sum(map(len, kept.parts.values())) == 50


def test_no_weights_where_none_are_asked_for(tmp_path: Path) -> None:
    result = made(tmp_path, churn.generate(400), DEFAULT, "--balance", "none", "--unbias", "none")
    assert (result.train.row_weight == 1).all()


def test_no_scaling_where_none_is_asked_for(tmp_path: Path) -> None:
    result = made(tmp_path, churn.generate(400), DEFAULT, "--scale", "none")
    assert result.train.tenure_months.min() >= 1


def test_regression_keeps_the_number_and_measures_bias_over_the_median(tmp_path: Path) -> None:
    block = plan.Data(
        target="next_month_spend",
        problem="regression",
        time="month",
        id="customer_id",
        sensitive=("age_band",),
        leave_out=("churned", "cancellation_fee"),
    )
    frame = churn.generate(2000)
    result = made(tmp_path, frame, block)
    first = result.train.iloc[0]
    assert first.next_month_spend == frame.next_month_spend[first.row_number - 1]
    assert result.report["leakage"]["measure"] == "r2"
    assert result.report["weights"]["label"].startswith("over the median")
    assert result.train.row_weight.sum() == pytest.approx(len(result.train))


def test_one_class_of_several_is_told_from_the_rest(tmp_path: Path) -> None:
    frame = forty(y=["red", "green", "blue", "green"] * 10)
    result = made(tmp_path, frame, plan.Data(target="y", positive="green"))
    assert sum(p.y.sum() for p in result.parts.values()) == 20


def test_parquet_folders_are_read_like_csv(tmp_path: Path) -> None:
    frame = churn.generate(400)
    one = made(tmp_path / "csv", frame, DEFAULT)
    places = [f"--{n}={tmp_path / n}" for n in ("input", "train", "validation", "test", "report", "message")]
    (tmp_path / "input" / "deep").mkdir(parents=True)
    frame[:250].to_parquet(tmp_path / "input" / "deep" / "1.parquet")
    frame[250:].to_parquet(tmp_path / "input" / "deep" / "2.parquet")
    (tmp_path / "input" / "_manifest.json").write_text("{}")
    (tmp_path / "plan.json").write_text("".join(data.arguments(DEFAULT)))
    assert script.main(["--plan", str(tmp_path / "plan.json"), *places]) == 0
    two = read(tmp_path)
    assert one.schema == two.schema
    pd.testing.assert_frame_equal(one.test, two.test)


# --- what is refused: exit code 1, two lines in the message file, nothing written


@pytest.mark.parametrize(
    ("frame", "block", "more", "said"),
    [
        (forty(), plan.Data(target="z"), [], 'The table has no column "z".'),
        (forty(), plan.Data(target="y", leave_out=("numbr",)), [], 'no column "numbr"'),
        (forty(y=[None, *[0, 1] * 19, 1]), PLAIN, [], "1 of 40 rows have no y"),
        (forty(y=1), PLAIN, [], "The target y is the same in every row"),
        (forty(y=["no", "yes"] * 20), PLAIN, [], 'The target y is never "1"'),
        (forty(), plan.Data(target="word", problem="regression"), [], "40 of 40 rows have no word"),
        (forty(when="soon"), plan.Data(target="y", time="when"), [], "no time in when that can be read"),
        (
            forty()[["word", "y"]].assign(word="a"),
            PLAIN,
            ["--duplicates=keep"],
            "No column is left to learn from",
        ),
        (
            forty(y=[0] * 30 + [1] * 10),
            plan.Data(target="y", in_time_order=True),
            ["--shares=.6,.2,.2"],
            "same label",
        ),
        (forty()[:2], PLAIN, [], "too few rows: "),
        (forty()[:0], PLAIN, [], "has a header and no rows"),
        (forty(), PLAIN, ["--shares", "0.7,0.7,0.1"], "--shares 0.7,0.7,0.1 is not three shares"),
        ("a,b,y\n1,2,0\n3,4,1\n5,6\n7,8,1\n", plan.Data(target="y", sensitive=("b",)), [], "4"),
        ('a,b,y\n1,2,0\n3,"4,1\n5,6,0\n', PLAIN, [], "quote"),
    ],
)
def test_bad_input_ends_in_two_lines(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    frame: pd.DataFrame | str,
    block: plan.Data,
    more: list[str],
    said: str,
) -> None:
    assert run(tmp_path, frame, block, *more) == 1
    text = (tmp_path / "message").read_text()
    assert said in text
    assert capsys.readouterr().err.strip() == text.strip()
    assert not (tmp_path / "train").exists()
    assert len(text.splitlines()) == 2
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) in (["input"], ["input", "report"])


def test_an_empty_input_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        script.main(["--plan", '{"target":"y"}', "--input", str(tmp_path), "--report", str(tmp_path / "r")])
        == 1
    )
    assert f"{tmp_path} has no CSV or Parquet file." in capsys.readouterr().err


def test_a_plan_that_is_no_json_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--plan", str(tmp_path / "no.json"), "--report", str(tmp_path)]) == 1
    assert "--plan cannot be read" in capsys.readouterr().err


def test_several_instances_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "resourceconfig.json"
    config.write_text('{"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}')
    assert run(tmp_path, forty(), PLAIN, f"--config={config}") == 1
    assert "several instances" in capsys.readouterr().err


def test_a_split_that_can_measure_nothing_is_a_warning(tmp_path: Path) -> None:
    frame = forty(y=[0, 1] * 15 + [1] * 10)
    warnings = made(tmp_path, frame, plan.Data(target="y", in_time_order=True)).report["warnings"]
    assert "Every row of test has the same label: it can measure nothing." in warnings


# --- bias: the formulas


def test_ks_is_that_of_the_documented_example() -> None:
    found = bias.facets({"a": (40, 40, 20), "d": (20, 10, 70)}, [False, False, True])
    assert found["d"]["KS"] == pytest.approx(0.5)
    assert found["d"]["DPL"] == pytest.approx(-0.5)
    assert found["d"]["CI"] == 0


def test_metrics_are_0_for_groups_that_are_alike_and_bounded_for_opposites() -> None:
    alike = bias.facets({"a": (30, 10), "d": (30, 10)}, [False, True])["d"]
    assert alike == {"CI": 0.0, "DPL": 0.0, "KS": 0.0, "JS": 0.0}
    opposite = bias.facets({"a": (0, 30), "d": (10, 0)}, [False, True])["d"]
    assert opposite == pytest.approx({"CI": 0.5, "DPL": 1.0, "KS": 1.0, "JS": np.log(2)})


def test_a_group_that_has_all_rows_has_no_metrics() -> None:
    assert bias.facets({"all": (3, 4)}, [False, True]) == {}


cells = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 1)), st.integers(1, 500), min_size=2, max_size=8
)


@given(counts=cells)
def test_reweighing_keeps_the_sum_and_makes_group_and_label_independent(
    counts: dict[tuple[str, int], int],
) -> None:
    weights = bias.reweighing(counts)
    assert set(weights) == set(counts)
    labels = {y for _, y in counts}
    groups = {g for g, _ in counts}
    if not all((g, y) in counts for g in groups for y in labels):
        return
    mass = {key: weights[key] * rows for key, rows in counts.items()}
    assert sum(mass.values()) == pytest.approx(sum(counts.values()))
    for g in groups:
        assert sum(mass[g, y] for y in labels) == pytest.approx(sum(counts[g, y] for y in labels))
    share = {g: mass[g, max(labels)] / sum(mass[g, y] for y in labels) for g in groups}
    assert max(share.values()) == pytest.approx(min(share.values()))


@given(counts=cells)
def test_balancing_gives_every_label_the_same_weight_and_keeps_the_sum(
    counts: dict[tuple[str, int], int],
) -> None:
    weights = bias.reweighing(counts)
    factors = bias.balancing(counts, weights)
    mass = dict.fromkeys(factors, 0.0)
    for (g, y), rows in counts.items():
        mass[y] += rows * weights[g, y] * factors[y]
    before = sum(rows * weights[key] for key, rows in counts.items())
    assert sum(mass.values()) == pytest.approx(before)
    assert max(mass.values()) == pytest.approx(min(mass.values()))


# --- leakage


def test_a_column_that_knows_scores_1_and_noise_scores_chance() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000).astype(float)
    assert leakage.predictability(y * 3.0, y, "auc") == pytest.approx(1)
    assert leakage.predictability(rng.normal(size=4000), y, "auc") < 0.53
    assert leakage.predictability(np.where(y == 1, np.nan, rng.normal(size=4000)), y, "auc") == pytest.approx(
        1
    )
    assert leakage.predictability(np.abs(rng.normal(size=4000)) * (2 * y - 1), y, "auc") > 0.99


def test_a_shape_that_is_no_trend_is_seen() -> None:
    x = np.random.default_rng(0).normal(size=4000)
    assert leakage.predictability(x, (np.abs(x) > 1).astype(float), "auc") > 0.95
    assert leakage.predictability(x, x**2, "r2") > 0.8


def test_names_do_not_look_like_an_oracle() -> None:
    y = np.arange(1000) % 2.0
    names = np.array([f"name {n}" for n in range(1000)], dtype=object)
    assert leakage.predictability(names, y, "auc") == pytest.approx(0.5, abs=0.05)


def test_a_text_that_knows_is_seen_and_a_missing_one_is_a_value() -> None:
    y = np.random.default_rng(0).integers(0, 2, 1000).astype(float)
    text = np.where(y == 1, None, "open")
    assert leakage.predictability(text.astype(object), y, "auc") == pytest.approx(1)


def test_suspects_stand_out_from_the_next_best() -> None:
    assert leakage.suspects({"a": 0.88, "b": 0.62, "c": 0.5}, "auc") == ["a"]
    assert leakage.suspects({"a": 0.88, "b": 0.86, "c": 0.6}, "auc") == ["a", "b"]
    assert leakage.suspects({"a": 0.72, "b": 0.55}, "auc") == []
    assert leakage.suspects({"a": 0.8, "b": 0.78, "c": 0.76, "d": 0.74}, "auc") == []
    assert leakage.suspects({"only": 0.9}, "r2") == ["only"]


# --- fitting


@given(
    values=st.lists(st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)), min_size=2, max_size=60),
    winsor=st.sampled_from([0.0, 0.005, 0.1]),
)
@settings(deadline=None)
def test_a_fitted_column_has_mean_0_and_deviation_1(values: list[float], winsor: float) -> None:
    spec = fit.numeric(np.array(values), winsor, True)
    if isinstance(spec, str):
        there = [v for v in values if not np.isnan(v)]
        assert not there or (len(set(there)) == 1 and len(there) == len(values))
        return
    filled = np.where(np.isnan(values), spec["fill"], values)
    scaled = (np.clip(filled, spec["low"], spec["high"]) - spec["center"]) / spec["scale"]
    assert abs(scaled.mean()) < 1e-6
    assert (
        scaled.std() == pytest.approx(1, abs=1e-6)
        or np.ptp(np.clip(filled, spec["low"], spec["high"])) < 1e-6
    )
    assert np.isfinite(scaled).all()


def test_a_column_that_is_nearly_constant_keeps_its_rare_values() -> None:
    spec = fit.numeric(np.array([0.0] * 999 + [5.0]), 0.005, True)
    assert not isinstance(spec, str)
    assert (spec["low"], spec["high"]) == (0.0, 5.0)


def test_edges_name_groups_without_gaps() -> None:
    assert fit.edge_names([33.0, 40.0]) == ["up to 33", "33 to 40", "over 40"]
    assert fit.edge_names([]) == ["all"]


# --- the contract


def promised(folder: Path, **columns: dict[str, Any]) -> str:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "contract.json").write_text(
        json.dumps({"columns": {"number": {}, "word": {}, "y": {}} | columns})
    )
    return f"--contract={folder / 'contract.json'}"


@pytest.mark.parametrize(
    ("rules", "value", "rule"),
    [
        ({"missing": 0}, None, "is there"),
        ({"kind": "number"}, "many", "reads as a number"),
        ({"kind": "number", "low": 0}, -3, "is at least 0"),
        ({"kind": "number", "high": 40}, 99, "is at most 40"),
        ({"matches": "[0-9.]+"}, "12x", "is [0-9.]+"),
        ({"longest": 30}, "1" * 31, "has at most 30 characters"),
    ],
)
def test_a_broken_contract_is_refused_with_row_column_rule_and_value(
    tmp_path: Path, rules: dict[str, Any], value: Any, rule: str
) -> None:
    frame = forty().astype({"number": object})
    option = promised(tmp_path, number=rules)
    assert run(tmp_path / "good", frame, PLAIN, option) == 0
    frame.loc[[6, 30], "number"] = value
    assert run(tmp_path / "bad", frame, PLAIN, option) == 1
    (entry,) = json.loads((tmp_path / "bad" / "report" / "broken.json").read_text("utf-8"))
    assert (entry["column"], entry["rule"], entry["rows"]) == ("number", rule, 2)
    assert [e["row"] for e in entry["examples"]] == [7, 31]
    if value is not None:
        assert {float(e["value"]) == value if "st " in rule and "has" not in rule else e["value"] == value
                for e in entry["examples"]} == {True}  # fmt: skip
    text = (tmp_path / "bad" / "message").read_text()
    assert len(text.splitlines()) == 2
    assert "row 7" in text
    assert not (tmp_path / "bad" / "train").exists()


def test_a_word_that_is_not_promised_a_column_too_many_and_one_too_few_are_named(tmp_path: Path) -> None:
    option = promised(tmp_path, word={"one_of": ["a", "b"]}, gone={})
    assert run(tmp_path, forty(new=1), PLAIN, option) == 1
    text = (tmp_path / "message").read_text()
    assert "word: not so that it is one of a, b (13 rows: row 3" in text
    assert "gone: not so that it is in the table" in text
    assert "new: not so that it is in the contract" in text


def test_what_the_contract_allows_is_counted_and_not_refused(tmp_path: Path) -> None:
    frame = forty()
    frame.loc[3, "number"] = np.nan
    result = made(tmp_path, frame, PLAIN, promised(tmp_path, number={"missing": 0.05}))
    (entry,) = result.report["contract"]["tolerated"]
    assert (entry["rows"], entry["allowed"], entry["broken"]) == (1, 2, False)


def test_rows_are_numbered_across_batches() -> None:
    (contract,) = jobs.load("data_engineering/jobs/prepare", "contract")
    with duckdb.connect() as db:
        db.execute(
            "create table raw as select n, case when n in (4, 9) then 'x' else '1' end as c0 from range(1, 11) r(n)"
        )
        (entry,) = contract.breaks(db, ["a"], {"a": {"one_of": ["1"]}}, batch=4)
    assert [e["row"] for e in entry["examples"]] == [4, 9]


# --- SMOTE and what it is worth


def test_smote_makes_labels_equal_in_train_alone_and_marks_what_it_made(tmp_path: Path) -> None:
    result = made(tmp_path / "a", churn.generate(2000), DEFAULT, "--balance", "smote")
    plain = made(tmp_path / "b", churn.generate(2000), DEFAULT, "--balance", "none")
    assert result.train.churned.value_counts().nunique() == 1
    new = result.train[result.train.synthetic]
    assert len(new) == result.report["weights"]["synthetic_rows"] > 0
    assert (new.churned == 1).all()
    assert new.row_number.is_unique
    assert (new.row_number < 0).all()
    assert new.customer_id.isna().all()
    assert not result.validation.synthetic.any()
    assert not result.test.synthetic.any()
    pd.testing.assert_frame_equal(result.validation, plain.validation)
    real = result.train[~result.train.synthetic].drop(columns="row_weight").reset_index(drop=True)
    pd.testing.assert_frame_equal(real, plain.train.drop(columns="row_weight"))
    for spec in result.schema["features"]:
        assert new[spec["name"]].notna().all()
        if spec["kind"] == "category":
            assert set(new[spec["name"]]) <= set(spec["categories"])
    for group in result.report["bias"]["age_band"].values():
        assert group["weighted"]["DPL"] == pytest.approx(0, abs=1e-12)


def test_smote_of_a_number_is_refused(tmp_path: Path) -> None:
    block = plan.Data(target="number", problem="regression")
    assert run(tmp_path, forty(), block, "--balance", "smote") == 1
    assert "the target is a number" in (tmp_path / "message").read_text()


def test_what_balancing_is_worth_is_measured_against_none_on_validation_as_it_is(tmp_path: Path) -> None:
    found = made(tmp_path, churn.generate(1500), DEFAULT, "--compare", "yes").report["compared"]
    by = {entry["what"]: entry for entry in found}
    assert list(by) == ["none", "weights", "smote", "jitter"]
    assert by["none"]["gain"] == by["none"]["gain_low"] == by["none"]["gain_high"] == 0
    assert by["smote"]["rows"] > by["none"]["rows"] == by["jitter"]["rows"] / 2
    assert len({entry["score"] for entry in found}) == 4
    for entry in found:
        assert 0.5 < entry["low"] < entry["score"] < entry["high"] < 1
        assert entry["gain_low"] <= entry["gain"] <= entry["gain_high"]
