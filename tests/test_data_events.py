"""The events of a table, their arrival with duplicates and late ones, and that de-duplication brings back the truth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import CHURN, SPEND, load

from kit import churn, data, plan
from kit.errors import DataError, UsageError

(events,) = load("data_engineering", "events")
OWN = plan.Data(source="own.csv", target="bought", positive="yes", id="who", time="when")


def table(folder: Path, text: str) -> Path:
    file = folder / "own.csv"
    file.write_text(text, encoding="utf-8")
    return file


def made(file: Path, block: plan.Data, period: str = "%Y-%m", limit: int = 10_000, counted: Any = ()) -> Any:
    """(source, events, truth, undated) of the table."""
    of = events.source(data.profile(file, block), block, period, counted)
    return (of, *events.happened(of, limit))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "churn.csv"
    churn.generate(2_000).to_csv(file, index=False)
    return file


ROWS = "who,when,bought\nann,2026-01-05,yes\nann,2026-01-20,no\nbo,2026-02-01,yes\nbo,2026-02-01,yes\n"


def recounted(arrivals: pd.DataFrame, period: str) -> pd.DataFrame:
    """What the runbook's SQL does: the first record of each id, then a row for each entity and period."""
    once = arrivals.sort_values("number").drop_duplicates("id")
    keys = [once["entity"], once["time"].dt.strftime(period).rename("period")]
    counted = once.groupby(keys).agg(events=("id", "size"), value=("value", "sum")).reset_index()
    kinds = once.groupby([*keys, "kind"]).size().unstack("kind", fill_value=0).reset_index()
    return counted.merge(kinds.rename(columns=events.column), on=["entity", "period"])


def test_counts_of_the_table_are_what_the_events_add_up_to(generated: Path) -> None:
    of, happened, truth, undated = made(generated, CHURN, limit=10**9)
    frame = pd.read_csv(generated).drop_duplicates()
    assert of.counted == churn.ACTIVITIES
    assert (undated, of.unit) == (0, "month")
    assert len(happened) == int(frame[list(churn.ACTIVITIES)].sum().sum()) == int(truth["events"].sum())
    assert happened["id"].is_unique
    one = truth.iloc[0]
    row = frame[(frame["customer_id"] == one["entity"]) & frame["month"].str.startswith(one["period"])]
    assert int(row["dropped_calls"].iloc[0]) == one["dropped_calls"]


def test_events_lie_in_their_rows_period_and_are_the_same_every_time(generated: Path) -> None:
    _, happened, truth, _ = made(generated, CHURN, limit=3_000)
    _, again, *_ = made(generated, CHURN, limit=3_000)
    pd.testing.assert_frame_equal(happened, again)
    assert 2_000 < len(happened) < 4_000
    periods = set(zip(happened["entity"], happened["time"].dt.strftime("%Y-%m"), strict=True))
    assert periods == set(zip(truth["entity"], truth["period"], strict=True))
    assert happened["time"].is_monotonic_increasing
    assert happened["time"].dt.day.nunique() > 20, "spread over the month"


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**6))
def test_duplicates_and_late_events_change_no_count(duplicates: float, late: float, seed: int) -> None:
    happened = pd.DataFrame(
        {
            "id": [f"{(seed + n) * 2654435761 % 2**128:032x}" for n in range(50)],
            "entity": [f"C{n % 5}" for n in range(50)],
            "kind": ["call" if n % 3 else "log in" for n in range(50)],
            "time": pd.date_range("2026-01-01", periods=50, freq="37h"),
            "value": 1.0,
        }
    )
    arrivals = events.arrivals(happened, "month", duplicates, late)
    assert len(arrivals) >= 50
    assert (arrivals["number"] == range(1, len(arrivals) + 1)).all()
    assert arrivals["sent"].is_monotonic_increasing
    assert (arrivals["sent"] >= arrivals["time"]).all()
    truth = recounted(happened.assign(number=range(50)), "%Y-%m")
    assert events.compared(truth, recounted(arrivals, "%Y-%m")) == {
        "events": 50,
        "rows": len(truth),
        "off": 0,
    }


def test_as_many_come_twice_and_late_as_was_asked_for(generated: Path) -> None:
    of, happened, truth, _ = made(generated, CHURN)
    arrivals = events.arrivals(happened, of.unit, 0.03, 0.05)
    assert len(arrivals) / len(happened) == pytest.approx(1.03, abs=0.01)
    delay = (arrivals.drop_duplicates("id")["sent"] - arrivals.drop_duplicates("id")["time"]).dt.days
    assert (delay >= 15).mean() == pytest.approx(0.05, abs=0.01)
    assert delay.max() <= 45
    naive = arrivals.assign(id=arrivals["number"])
    assert events.compared(truth, recounted(naive, "%Y-%m"))["off"] > 0, "or there is nothing to prove"
    assert events.compared(truth, recounted(arrivals, "%Y-%m"))["off"] == 0


def test_a_row_that_is_lost_doubled_or_made_up_is_off(generated: Path) -> None:
    _, happened, truth, _ = made(generated, CHURN)
    counted = recounted(happened.assign(number=range(len(happened))), "%Y-%m")
    assert events.compared(truth, counted)["off"] == 0
    assert events.compared(truth, counted.iloc[1:])["off"] == 1
    other = counted.copy()
    other.loc[0, "events"] += 1
    other.loc[1, "app_logins"] += 1
    assert events.compared(truth, other)["off"] == 2
    made_up = pd.concat([counted, counted.head(1).assign(entity="nobody")])
    assert events.compared(truth, made_up)["off"] == 1


def test_own_rows_are_events_at_their_own_time(tmp_path: Path) -> None:
    of, happened, truth, _ = made(table(tmp_path, ROWS), OWN)
    assert of.told == ("who: who", "when: when", "what: each row is an event")
    assert happened[["entity", "kind", "value"]].to_numpy().tolist() == [
        ["ann", "observation", 1.0],
        ["ann", "observation", 0.0],
        ["bo", "observation", 1.0],
    ], "an exact copy of a row is the same event"
    assert truth.to_dict("records") == [
        {"entity": "ann", "period": "2026-01", "observation": 2, "events": 2, "value": 1.0},
        {"entity": "bo", "period": "2026-02", "observation": 1, "events": 1, "value": 1.0},
    ]


def test_a_target_of_numbers_is_the_events_value(generated: Path) -> None:
    block = dataclasses.replace(SPEND, source="own.csv")
    _, happened, truth, _ = made(generated, block, limit=10**9)
    frame = pd.read_csv(generated).drop_duplicates()
    assert len(happened) == len(frame)
    assert truth["value"].sum() == pytest.approx(frame["next_month_spend"].sum())


def test_dates_in_three_formats_are_read_and_the_others_are_counted(tmp_path: Path) -> None:
    dates = ["2026-01-05", "20.01.2026", "01/31/2026"] * 40 + ["soon"]
    rows = "".join(f"w{n},{when},{'yes' if n % 2 else 'no'}\n" for n, when in enumerate(dates))
    _, happened, truth, undated = made(table(tmp_path, "who,when,bought\n" + rows), OWN)
    assert undated == 1
    assert len(happened) == 120
    assert set(truth["period"]) == {"2026-01"}


def test_without_id_and_time_something_else_stands_for_them_and_says_so(tmp_path: Path) -> None:
    block = dataclasses.replace(OWN, id="", time="")
    rows = "".join(f"a,{'yes' if n % 2 else 'no'}\n" for n in range(40))
    of, happened, truth, _ = made(table(tmp_path, "what,bought\n" + rows), block)
    assert "no id" in of.told[0]
    assert "no time" in of.told[1]
    assert (of.period, of.unit) == ("%Y-%m-%d", "day")
    assert len(happened) == len(truth) == 40, "rows that look the same are no copies where there is no id"
    assert truth["period"].nunique() == 20
    assert happened["entity"].iloc[0] == "row 1"


def test_a_time_of_numbers_gives_the_order(tmp_path: Path) -> None:
    rows = "".join(f"w{n},{100 - n},{'yes' if n % 2 else 'no'}\n" for n in range(40))
    of, happened, *_ = made(table(tmp_path, "who,when,bought\n" + rows), OWN)
    assert "when holds no dates: the order of its numbers" in of.told[1]
    assert happened["entity"].iloc[0] == "w39"


def test_ids_that_are_missing_long_or_emoji_are_entities(tmp_path: Path) -> None:
    rows = f"😀,2026-01-01,yes\n,2026-01-02,no\n{'x' * 50_000},2026-01-03,no\n"
    of, happened, truth, _ = made(table(tmp_path, "who,when,bought\n" + rows), OWN)
    assert of.told[0] == "who: who; 1 rows without one are entities of their own"
    assert sorted(truth["entity"].str[:6]) == ["row 2", "xxxxxx", "😀"]
    assert len(happened) == 3


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("when", "when counts no events: it is a date"),
        ("calls", "calls counts no events"),
        ("cals", "no column"),
    ],
)
def test_a_column_that_counts_nothing_is_refused(tmp_path: Path, column: str, says: str) -> None:
    rows = "ann,2026-01-05,yes,-3\nbo,2026-01-20,no,2\n"
    file = table(tmp_path, "who,when,bought,calls\n" + rows)
    with pytest.raises(DataError, match=says):
        made(file, OWN, counted=[column])


def test_own_counts_become_events_and_holes_count_none(tmp_path: Path) -> None:
    rows = "ann,2026-01-05,yes,3\nbo,2026-01-20,no,\ncy,2026-01-20,no,0\n"
    file = table(tmp_path, "who,when,bought,Support calls\n" + rows)
    _, happened, truth, _ = made(file, OWN, counted=["Support calls"])
    assert happened["entity"].tolist() == ["ann"] * 3
    assert truth.to_dict("records") == [
        {"entity": "ann", "period": "2026-01", "support_calls": 3, "events": 3, "value": 3.0}
    ]


def test_a_table_without_an_event_and_an_unknown_period_say_what_to_do(tmp_path: Path) -> None:
    rows = "ann,2026-01-05,yes,0\nbo,2026-01-20,no,0\n"
    file = table(tmp_path, "who,when,bought,calls\n" + rows)
    with pytest.raises(DataError, match="There is no event"):
        made(file, OWN, counted=["calls"])
    with pytest.raises(UsageError, match='no period "%Y-%W"'):
        made(file, OWN, period="%Y-%W")


def test_records_hold_times_as_text_that_athena_reads(generated: Path) -> None:
    of, happened, *_ = made(generated, CHURN, limit=500)
    records = events.as_records(events.arrivals(happened, of.unit))
    assert list(records[0]) == ["id", "entity", "kind", "time", "value", "sent", "number"]
    assert pd.to_datetime(records[0]["time"], format="%Y-%m-%d %H:%M:%S.%f") is not None
    assert len(records[0]["time"]) == len("2025-01-31 09:00:00.250")


@pytest.mark.parametrize(("kind", "name"), [("Support calls", "support_calls"), ("€ spent", "spent"), ("3rd", "n_3rd"), ("😀", "n_")])  # fmt: skip
def test_a_kind_has_a_column_that_a_catalogue_takes(kind: str, name: str) -> None:
    assert events.column(kind) == name
