from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import churn


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return churn.generate(20_000)


@pytest.fixture(scope="module")
def planted() -> churn.Truths:
    return churn.truths(20_000)


@given(rows=st.integers(40, 400), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_the_table_has_the_rows_asked_for_and_is_the_same_every_time(rows: int, seed: int) -> None:
    one, two = churn.generate(rows, seed), churn.generate(rows, seed)
    assert len(one) == rows
    pd.testing.assert_frame_equal(one, two)


def test_another_seed_gives_another_table(table: pd.DataFrame) -> None:
    assert not churn.generate(20_000, seed=1).equals(table)


def test_fewer_than_forty_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="At least 40"):
        churn.generate(39)


def test_chunks_make_the_table_and_never_share_a_customer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(churn, "CHUNK", 100)
    parts = list(churn.chunks(210))
    assert sum(map(len, parts)) == 210
    assert min(map(len, parts)) >= 40
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), churn.generate(210))
    people = [set(p.customer_id) for p in parts]
    assert not people[0] & people[1]
    assert len(churn.truths(210).wrong_labels) > 0


def test_a_customer_who_churned_is_not_seen_again(table: pd.DataFrame) -> None:
    last = table.groupby("customer_id").month.transform("max")
    assert (table.month[table.churned == 1] == last[table.churned == 1]).all()


def test_customer_and_month_name_a_row_once_copies_are_out(
    table: pd.DataFrame, planted: churn.Truths
) -> None:
    assert table.duplicated().sum() == planted.duplicates == 100
    assert not table.drop_duplicates().duplicated(["customer_id", "month"]).any()


def test_the_group_treated_worse_is_labelled_churned_more_often(
    table: pd.DataFrame, planted: churn.Truths
) -> None:
    shares = table.groupby(planted.group_column).churned.mean()
    others = shares.drop(planted.worse_group)
    assert shares[planted.worse_group] > others.max() + 0.05
    assert others.max() - others.min() < 0.05


def test_only_the_drifted_columns_of_the_last_month_move(table: pd.DataFrame, planted: churn.Truths) -> None:
    quiet = table[table.month < planted.drift_month]
    drifted = table[table.month == planted.drift_month]
    assert planted.drift_month == max(table.month)
    for column in (*planted.drifted, "dropped_calls", "support_calls", "tenure_months", "billing_day"):
        spread = quiet[column].quantile(0.75) - quiet[column].quantile(0.25)
        moved = abs(drifted[column].median() - quiet[column].median()) / spread
        assert (moved > 0.2) == (column in planted.drifted), column


def test_wrong_labels_name_rows_of_the_table_and_lie_in_one_slice(
    table: pd.DataFrame, planted: churn.Truths
) -> None:
    found = table.drop_duplicates().merge(planted.wrong_labels, on=["customer_id", "month"], validate="1:1")
    assert len(found) == len(planted.wrong_labels)
    assert (found.churned == found.recorded).all()
    assert (found.true != found.recorded).all()
    column, value = planted.error_slice
    assert (found[column] == value).all()
    assert 0.015 < planted.wrong_share < 0.04


def test_the_counts_are_those_of_the_table(table: pd.DataFrame, planted: churn.Truths) -> None:
    assert planted.positive_share == table.churned.mean()
    assert planted.outliers["monthly_charge"] == (table.monthly_charge > 500).sum() > 10
    assert planted.missing["data_gb"] == pytest.approx(table.data_gb.isna().mean())
    assert planted.missing["payment_method"] == pytest.approx((table.payment_method == "unknown").mean())
    named = (*planted.matter, *planted.noise, *planted.after_the_fact, *planted.pii, *planted.text)
    assert set(named) < set(table.columns)


def test_the_leak_gives_the_target_away_and_nothing_else_does(
    table: pd.DataFrame, planted: churn.Truths
) -> None:
    from sklearn.metrics import roc_auc_score

    numbers = table.drop(columns="churned").select_dtypes("number").fillna(0)
    auc = {c: roc_auc_score(table.churned, numbers[c].astype(float)) for c in numbers}
    assert {c for c, value in auc.items() if max(value, 1 - value) > 0.9} == set(planted.leaks)


def test_emoji_and_quotes_are_in_the_comments(table: pd.DataFrame) -> None:
    said = table.comment.dropna()
    assert said.str.contains("👍").any()
    assert said.str.contains('"').any()
    assert 0.1 < len(said) / len(table) < 0.2
