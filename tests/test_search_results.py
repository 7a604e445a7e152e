"""What a search of hyperparameters tells: importance with its limits, and a winner that is measured on rows it was not picked by."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from kit import paths

sys.path.insert(0, str(paths.root() / "model_engineering"))

import search_results

RANGES = {"leaves": (4, 64), "share": (0.3, 1.0), "rate": (0.001, 1.0)}


def trials(count: int, seed: int = 0) -> pd.DataFrame:
    """Trials whose loss is the distance of `rate` from 0.03, in orders of magnitude, and hardly anything else."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "leaves": np.exp(rng.uniform(np.log(4), np.log(64), count)).round(),
            "share": rng.uniform(0.3, 1.0, count),
            "rate": 10 ** rng.uniform(-3, 0, count),
        }
    )
    table["loss"] = np.abs(np.log10(table["rate"] / 0.03)) + 0.01 * table["share"]
    return table


def test_what_decides_the_value_is_most_important_and_more_than_chance() -> None:
    found = search_results.importance(trials(30), "loss", RANGES, shuffles=10)
    assert found.index[0] == "rate"
    assert found["share"].sum() == pytest.approx(1)
    assert (found["share"] > found["chance"]).to_dict() == {"rate": True, "share": False, "leaves": False}
    assert found.equals(search_results.importance(trials(30), "loss", RANGES, shuffles=10))


def test_with_few_trials_nothing_is_more_than_chance() -> None:
    found = search_results.importance(trials(8), "loss", RANGES)
    assert (found["share"] < found["chance"]).all()


@pytest.mark.parametrize("table", [trials(4), trials(8).assign(loss=1.0)], ids=["few", "alike"])
def test_trials_that_tell_nothing_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="tell of no importance"):
        search_results.importance(table, "loss", RANGES)


def test_values_are_placed_on_the_scale_that_was_searched() -> None:
    table = pd.DataFrame({"leaves": [4.0, 16.0, 64.0], "share": [0.3, 0.65, 1.0], "rate": [0.001, 0.1, 1.0]})
    found = search_results.scaled(table, RANGES)
    assert np.allclose(found["leaves"], [0, 0.5, 1])
    assert np.allclose(found["share"], [0, 0.5, 1])
    assert np.allclose(found["rate"], [0, 2 / 3, 1])


def scored(noise: dict[str, float], classify: bool, rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Scores of models that see the truth through so much noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=rows)
    table = pd.DataFrame({"target": (truth > 0).astype(float) if classify else truth})
    for name, amount in noise.items():
        seen = truth + amount * rng.normal(size=rows)
        table[f"score {name}"] = 1 / (1 + np.exp(-seen)) if classify else seen
    return table


@pytest.mark.parametrize("classify", [True, False])
def test_a_better_model_gains_and_a_lucky_one_of_equals_does_not(classify: bool) -> None:
    better = search_results.picked(scored({"a": 0.5, "M1": 1.5}, classify), ["a"], "M1", classify=classify)
    assert better.min() > 0
    alike = {**{f"t{n}": 1.0 for n in range(8)}, "M1": 1.0}
    flattered, honest = [], []
    for seed in range(8):
        table = scored(alike, classify, seed=seed)
        target = table["target"].to_numpy()
        names = [name for name in alike if name != "M1"]
        gains = [
            search_results.gain(
                target, table[f"score {n}"].to_numpy(), table["score M1"].to_numpy(), classify=classify
            )
            for n in names
        ]
        flattered.append(max(gains))
        honest.append(search_results.picked(table, names, "M1", classify=classify, draws=40).mean())
    assert np.mean(flattered) > 0
    assert np.mean(honest) < 0.6 * np.mean(flattered)


def test_rows_of_one_id_are_drawn_together_and_the_draws_come_again() -> None:
    table = scored({"a": 1.0, "M1": 1.2}, classify=False)
    twice = pd.concat([table, table], ignore_index=True)
    together = search_results.picked(
        twice.assign(id=[*table.index, *table.index]), ["a"], "M1", classify=False
    )
    apart = search_results.picked(twice, ["a"], "M1", classify=False)
    once = search_results.picked(table, ["a"], "M1", classify=False)
    assert together.std() == pytest.approx(once.std(), rel=0.2)
    assert apart.std() < 0.85 * together.std()
    assert np.array_equal(once, search_results.picked(table, ["a"], "M1", classify=False))


def test_gain_is_in_auc_or_a_share_of_rmse() -> None:
    target = np.array([0.0, 0, 1, 1])
    assert search_results.gain(target, target, 1 - target, classify=True) == 1
    assert search_results.gain(target, target + 0.1, target + 0.2, classify=False) == pytest.approx(0.5)
