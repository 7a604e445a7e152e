"""Weak labels: what rules are found, what they say of other rows, and which rows are labelled first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import CHURN, SPEND, load

from kit import churn, data, plan
from kit.errors import DataError

rules, labelling = load("data_engineering", "rules", "labelling")
OWN = plan.Data(source="own.csv", target="bought", positive="yes")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "churn.csv"
    churn.generate(4_000).to_csv(file, index=False)
    return file


def sampled(file: Path, block: plan.Data, own: Any = (), most: int = 20_000) -> Any:
    """(profile, classes, one sample, the other)."""
    profile = data.profile(file, block)
    no, yes, sql = rules.answers(profile, block)
    return (profile, (no, yes), *rules.sample(profile, sql, own, most))


def own(folder: Path, rows: list[dict[str, Any]]) -> Path:
    file = folder / "own.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def test_rules_that_hold_on_other_rows_are_found(generated: Path) -> None:
    profile, _, learned, held = sampled(generated, CHURN)
    found = rules.found(learned, profile, CHURN)
    answer = held[rules.ANSWER].to_numpy()
    assert [rule.column for rule in found[:2]] == ["cancellation_fee", "contract"]
    assert str(found[1]) == "contract is month-to-month"
    assert rules.kappa(found[0].says(held), answer) > 0.9
    assert rules.kappa(rules.votes(found, held), answer) > 0.9
    assert not {rule.column for rule in found} & {"churned", "customer_id", "month"}


def test_samples_share_no_row_and_come_from_all_over(generated: Path) -> None:
    _, _, learned, held = sampled(generated, CHURN, most=500)
    assert 400 < len(learned) < 600
    assert 400 < len(held) < 600
    assert not set(learned[rules.ROW]) & set(held[rules.ROW])
    assert held[rules.ROW].max() > 3_900
    frame = pd.read_csv(generated)
    row = held.iloc[7]
    assert frame.loc[row[rules.ROW] - 1, "customer_id"] == row["customer_id"], "rows are numbered from 1"


def test_kappa_of_truth_values_is_cohens() -> None:
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 0, 1, 1], bool)
    assert rules.kappa(first, second) == pytest.approx(labelling.cohen(first.tolist(), second.tolist()))
    assert rules.kappa(np.ones(3, bool), np.ones(3, bool)) == 0


def test_the_planted_wrong_labels_are_known_for_the_generated_table_only(generated: Path) -> None:
    _, classes, learned, held = sampled(generated, dataclasses.replace(CHURN, rows=4_000))
    block = dataclasses.replace(CHURN, rows=4_000)
    both = pd.concat([learned, held])
    wrong = rules.planted(block, both) != both[rules.ANSWER].to_numpy()
    copies = pd.read_csv(generated).duplicated(["customer_id", "month"]).sum()
    planted = len(churn.truths(4_000).wrong_labels)
    assert planted <= wrong.sum() <= planted + copies, "both of a pair of copies carry the wrong label"
    assert set(rules.labellers([], held, block, classes)) == {"recorded", "planted truth"}
    assert rules.planted(dataclasses.replace(block, source="own.csv"), held) is None
    assert rules.planted(dataclasses.replace(SPEND, rows=4_000), held) is None


def test_labellers_say_the_recorded_label_and_the_rules(generated: Path) -> None:
    block = dataclasses.replace(CHURN, source="own.csv")
    profile, classes, learned, held = sampled(generated, block)
    chosen = rules.found(learned, profile, block)
    labels = rules.labellers(chosen, held, block, classes)
    assert set(labels) == {"recorded", "rules"}
    frame = pd.read_csv(generated)
    assert all(label == str(frame.loc[row - 1, "churned"]) for row, label in labels["recorded"].items())
    assert 0 < sum(labels["rules"][row] != label for row, label in labels["recorded"].items()) < 100


def test_a_target_of_numbers_is_high_from_the_median_on(generated: Path) -> None:
    profile, (low, high), learned, held = sampled(generated, SPEND)
    assert (low.split()[0], high.split(" ", 1)[1]) == ("below", "or more")
    assert 0.45 < held[rules.ANSWER].mean() < 0.55
    assert rules.found(learned, profile, SPEND)[0].column == "monthly_charge"


@pytest.mark.parametrize(
    ("values", "positive", "classes"),
    [
        (["yes", "no"], "yes", ("no", "yes")),
        (["1.0", "0.0"], "1", ("0.0", "1")),
        (["a", "b", "c"], "b", ("not b", "b")),
    ],
)
def test_classes_are_those_of_the_table(
    tmp_path: Path, values: list[str], positive: str, classes: tuple[str, str]
) -> None:
    file = own(tmp_path, [{"x": n, "bought": value} for n, value in enumerate(values * 20)])
    _, found, learned, held = sampled(file, dataclasses.replace(OWN, positive=positive))
    assert found == classes
    assert pd.concat([learned, held])[rules.ANSWER].sum() == 20


def test_own_rules_are_sql_over_the_sources_columns(tmp_path: Path) -> None:
    file = own(tmp_path, [{"age": n, "bought": "yes" if n > 30 else "no"} for n in range(60)])
    condition = "cast(age as int) > 30"
    _, _, _, held = sampled(file, OWN, [condition])
    rule = rules.Rule(condition, "holds")
    assert str(rule) == condition
    assert (rule.says(held) == held[rules.ANSWER].to_numpy()).all()
    assert (rules.votes([rule], held) == held[rules.ANSWER].to_numpy()).all()
    with pytest.raises(DataError, match="The rules cannot be evaluated") as caught:
        sampled(file, OWN, ["agee > 30"])
    assert "age, bought" in caught.value.hint


def test_a_table_that_says_nothing_has_no_rule(tmp_path: Path) -> None:
    rows = [{"same": "x", "empty": None, "bought": "yes" if n % 4 == 1 else "no"} for n in range(200)]
    profile, classes, learned, held = sampled(own(tmp_path, rows), OWN)
    assert rules.found(learned, profile, OWN) == []
    assert set(rules.labellers([], held, OWN, classes)) == {"recorded"}


def test_ten_thousand_categories_long_texts_and_emoji_are_taken(tmp_path: Path) -> None:
    rows = [
        {
            "many": f"c{n}",
            "long": "😀" * 12_500,
            "of": "hit" if n % 2 else None,
            "bought": "yes" if n % 2 else "no",
        }
        for n in range(300)
    ]
    profile, _, learned, held = sampled(own(tmp_path, rows), OWN)
    assert len(held["long"].iloc[0]) == 100
    (first, *_) = rules.found(learned, profile, OWN)
    assert first.column in ("of", "many")
    many = own(tmp_path, [{"many": f"c{n % 10_000}", "x": n % 7, "bought": "yes" if n % 7 > 3 else "no"} for n in range(20_000)])  # fmt: skip
    profile, _, learned, held = sampled(many, OWN)
    assert str(rules.found(learned, profile, OWN)[0]).startswith("x at least")


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 80))
def test_the_doubtful_come_first_and_no_row_twice(doubtful: list[bool], count: int) -> None:
    frame = pd.DataFrame({rules.ROW: range(1, len(doubtful) + 1)})
    queue = rules.queue(frame, pd.Series(doubtful), count)
    first = [doubtful[row - 1] for row in queue[rules.ROW]][: min(count // 2, sum(doubtful))]
    assert all(first)
    assert queue[rules.ROW].is_unique
    assert len(queue) == min(count, len(doubtful))


def test_a_labeller_sees_what_is_there_but_not_the_answer(generated: Path) -> None:
    _, _, _, held = sampled(generated, CHURN)
    shown = rules.sheets(held.head(3), ["churned", "email"])
    assert list(shown) == held[rules.ROW].head(3).tolist()
    for sheet in shown.values():
        assert "contract" in sheet
        assert not {"churned", "email", rules.ANSWER, rules.ROW} & set(sheet)
        assert all(isinstance(value, str) for value in sheet.values())
