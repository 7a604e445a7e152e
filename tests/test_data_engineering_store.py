"""What D6 keeps in a feature store, its joins and their scores, on made-up tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import DataError

(store,) = load("data_engineering", "feature_store")
ROOT = Path(__file__).parents[1]
LOADED = 1_800_000_000.0
SCHEMA = {
    "row_number": "row_number",
    "id": "who",
    "time": "when",
    "target": "y",
    "features": [{"name": "Spend (EUR)", "indicator": "spend missing"}, {"name": "kind", "kind": "category"}],
}


def table(**columns: Any) -> pd.DataFrame:
    """Rows of two ids over three months, and one id with a single row; `columns` replace what is there."""
    rows = pd.DataFrame(
        {
            "row_number": range(1, 7),
            "who": ["a", "b", "a", "b", "a", "c"],
            "when": pd.to_datetime(["2025-01-01", "2025-01-01", "2025-02-01", "2025-02-01", "2025-03-01", "2025-03-01"]),
            "y": [0, 0, 0, 1, 1, 0],
            "Spend (EUR)": [1.0, 2.0, 3.0, np.nan, 5.0, 6.0],
            "spend missing": [0, 0, 0, 1, 0, 0],
            "kind": ["new", "old", "new", "old", "NA", "new"],
        }
    )  # fmt: skip
    return rows.assign(**columns)


def made(rows: pd.DataFrame | None = None, *, in_order: bool = False, limit: int = 100, **schema: Any) -> Any:
    rows = table() if rows is None else rows
    return store.records(rows, SCHEMA | schema, in_time_order=in_order, loaded=LOADED, limit=limit)


# Records and labels


def test_each_row_is_a_record_and_each_later_row_of_an_id_asks() -> None:
    found = made()
    assert list(found.frame) == ["record_id", "event_time", "spend_eur", "spend_missing", "kind"]
    assert found.features == {"Spend (EUR)": "spend_eur", "spend missing": "spend_missing", "kind": "kind"}
    assert len(found.frame) == 6
    march = pd.Timestamp("2025-03-01", tz="UTC").timestamp()
    asked = found.events.set_index(["record_id", "asked_at"])["target"].to_dict()
    february = pd.Timestamp("2025-02-01", tz="UTC").timestamp()
    assert asked == {("a", february - 1): 0, ("a", march - 1): 1, ("b", february - 1): 1}
    assert found.said == ("record id: who", "event time: when")
    assert "y" not in found.frame.columns


def test_without_an_id_each_row_is_put_in_twice_and_that_is_said() -> None:
    found = made(id="", time="")
    assert any(line.startswith("NO ID COLUMN") for line in found.said)
    assert any(line.startswith("NO TIME COLUMN") for line in found.said)
    assert any(line.startswith("NO ID HAS A SECOND RECORD") for line in found.said)
    assert sorted(found.frame["event_time"].unique()) == [LOADED - 86_400, LOADED]
    assert len(found.frame) == 12
    assert found.events["asked_at"].between(LOADED - 86_400, LOADED, inclusive="neither").all()
    assert found.events["target"].to_list() == table()["y"].to_list()


def test_rows_in_order_without_a_time_are_a_second_apart() -> None:
    found = made(time="", in_order=True)
    of_a = found.frame.loc[found.frame["record_id"] == "a", "event_time"]
    assert of_a.to_list() == [LOADED - 5, LOADED - 3, LOADED - 1]
    of_two = found.events.loc[found.events["record_id"] == "a", "asked_at"]
    assert of_two.to_list() == [LOADED - 4, LOADED - 2]


@pytest.mark.parametrize(
    ("times", "expected", "word"),
    [
        ([1, 1, 2, 2, 3, 3], 86_400.0, "days"),
        ([20250101, 20250101, 20250201, 20250201, 20250301, 20250301], 100.0, "seconds"),
        ([-2, -2, 0, 0, 1, 1], 2 * 86_400.0, "days"),
    ],
)
def test_numbers_for_times_keep_their_order(times: list[int], expected: float, word: str) -> None:
    found = made(table(when=times))
    of_a = found.frame.loc[found.frame["record_id"] == "a", "event_time"].to_list()
    assert of_a[1] - of_a[0] == expected
    assert min(of_a) >= 0
    assert any(word in line for line in found.said)


def test_rows_that_cannot_be_kept_are_counted() -> None:
    rows = table(synthetic=[False] * 5 + [True])
    rows.loc[0, "when"] = pd.NaT
    rows.loc[3, "when"] = rows.loc[1, "when"]
    found = made(rows, synthetic="synthetic")
    assert [line for line in found.said if line.startswith("LEFT OUT")] == [
        "LEFT OUT: 1 rows that are synthetic",
        "LEFT OUT: 1 rows without a time",
        "LEFT OUT: 1 rows whose id and time another one has",
    ]
    (of_b,) = found.frame.loc[found.frame["record_id"] == "b", "spend_missing"]
    assert of_b == 1, "the last of two rows stays"
    with pytest.raises(DataError, match="No row has a time in when"):
        made(table(when="sometime"))


def test_a_large_table_is_thinned_by_whole_ids() -> None:
    rows = pd.concat(
        [table(who=[f"{one}{n}" for one in table()["who"]]) for n in range(200)], ignore_index=True
    )
    found = made(rows, limit=300)
    assert 150 < len(found.frame) < 500
    sizes = found.frame.groupby("record_id").size()
    assert set(sizes) == {1, 2, 3}
    assert found.frame["record_id"].equals(made(rows, limit=300).frame["record_id"])


@given(st.lists(st.text(max_size=80), unique=True, max_size=30))
def test_names_are_such_that_a_group_and_a_catalogue_take_them(columns: list[str]) -> None:
    found = store.names(columns)
    assert list(found) == columns
    assert len(set(found.values())) == len(columns)
    import re

    for name in found.values():
        assert re.fullmatch(r"[a-z0-9](_?[a-z0-9]){0,63}", name), name
        assert name not in store.RESERVED


# The joins


def test_the_join_takes_the_latest_record_that_was_there() -> None:
    found = made()
    point = store.joined(found)
    assert point["spend_eur"].to_list() == [1.0, 3.0, 2.0]
    assert (point["event_time"] <= point["asked_at"]).all()


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), min_size=1, max_size=30, unique=True),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=10),
)
def test_the_join_is_that_of_a_loop(held: list[tuple[str, int]], asked: list[tuple[str, int]]) -> None:
    frame = pd.DataFrame(
        {
            "record_id": [i for i, _ in held],
            "event_time": [float(t) for _, t in held],
            "x": [t * 10.0 for _, t in held],
        }
    )
    events = pd.DataFrame({"event_id": range(len(asked)), "record_id": [i for i, _ in asked]})
    events = events.assign(asked_at=[float(t) for _, t in asked], target=0.0)
    point = store.joined(store.Records(frame, events, {"x": "x"}, ()))
    expected = {}
    for number, (one, moment) in enumerate(asked):
        before = [t for i, t in held if i == one and t <= moment]
        if before:
            expected[number] = max(before) * 10.0
    assert point.set_index("event_id")["x"].to_dict() == expected


def test_joins_that_differ_are_counted() -> None:
    one = store.joined(made())
    assert store.differing(one, one) == 0
    assert store.differing(one.assign(spend_eur=one["spend_eur"] * (1 + 1e-15)), one) == 0
    assert store.differing(one.assign(kind=["new", "other", "old"]), one) == 1
    assert store.differing(one.assign(spend_eur=[1.0, np.nan, 2.0]), one) == 1
    assert store.differing(one.assign(event_time=one["event_time"] + 1), one) == 3
    assert store.differing(one.iloc[1:], one) == 3


def test_an_id_whose_online_record_is_not_its_latest_is_counted() -> None:
    frame = pd.DataFrame(
        {
            "record_id": ["a", "a", "b"],
            "event_time": [2.0, 1.0, 1.0],
            "x": [5.0, 6.0, np.nan],
            "kind": ["n", "o", "o"],
        }
    )
    right = {
        "a": {"record_id": "a", "event_time": "2.0", "x": "5.0", "kind": "n"},
        "b": {"record_id": "b", "event_time": "1.0", "kind": "o"},
    }
    assert store.stale(frame, right) == 0
    assert store.stale(frame, right | {"a": right["a"] | {"x": "6.0"}}) == 1
    assert store.stale(frame, {}) == 2


def leaky(count: int, problem: str) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Records whose later value gives the answer away, and the two joins."""
    rng = np.random.default_rng(0)
    weak, chance = rng.normal(size=count), rng.normal(size=count)
    y = weak + chance if problem == "regression" else (weak + chance > 0).astype(int)
    rows = pd.DataFrame({"who": [f"i{n}" for n in range(count)] * 2, "when": [1] * count + [2] * count})
    rows = rows.assign(row_number=range(2 * count), y=[*y, *y], kind="a", **{"spend missing": 0})
    rows["Spend (EUR)"] = [*weak, *(weak + chance)]
    found = made(rows, limit=10 * count)
    latest = found.frame.sort_values("event_time").drop_duplicates("record_id", keep="last")
    return found, store.joined(found), found.events.merge(latest, on="record_id").sort_values("event_id")


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_a_model_of_values_from_the_future_is_flattered(problem: str) -> None:
    found, point, naive = leaky(400, problem)
    scores = store.flattery(found, point, naive, classify=problem == "classification", folds=4, seed=0)
    assert len(scores) == 4
    mean = scores.mean()
    assert mean["promised"] > 0.98 > mean["point_in_time"] + 0.1
    assert mean["kept"] <= mean["point_in_time"] + 0.02


def test_where_the_values_are_the_same_nothing_is_flattered() -> None:
    found, point, _ = leaky(400, "classification")
    scores = store.flattery(found, point, point, classify=True, folds=4, seed=0)
    assert (scores["promised"] == scores["point_in_time"]).all()
    assert (scores["kept"] == scores["point_in_time"]).all()


def test_too_few_labels_are_not_scored() -> None:
    found, point, naive = leaky(40, "classification")
    assert store.flattery(found, point, naive, classify=True, folds=5, seed=0).empty
    same = store.Records(found.frame, found.events.assign(target=1.0), found.features, ())
    assert store.flattery(same, point, naive, classify=True, folds=2, seed=0).empty


# The cost


def test_the_cost_counts_units_and_gigabytes() -> None:
    prices = {"usd_per_million_writes": 1.0, "usd_per_million_reads": 0.5, "usd_per_gb_online": 2.0, "usd_per_gb_offline": 0.1}  # fmt: skip
    cost = store.monthly_cost(prices, writes=3e6, reads=2e6, kilobytes=4.5, ids=1e6, files_gb=20)
    assert cost == {"writes": 15.0, "reads": 2.0, "online store": 9.0, "offline store": 2.0}


def test_this_events_prices_have_what_the_cost_asks_for() -> None:
    import yaml

    prices = yaml.safe_load((ROOT / "runbooks" / "prices.yml").read_text(encoding="utf-8"))
    cost = store.monthly_cost(prices["feature_store"], writes=1e6, reads=1e6, kilobytes=1, ids=1, files_gb=1)
    assert all(value > 0 for value in cost.values())
    assert prices["source"]
    assert prices["as_of"]
