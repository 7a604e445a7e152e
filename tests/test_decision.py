from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import load
from sklearn.isotonic import IsotonicRegression

(decision,) = load("model_engineering", "decision")


def rows(count: int = 4000, bend: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that are off by a factor `bend` in their log odds, labels drawn by the true chance, and ids of four rows each."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1, 1.5, count)
    target = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(float)
    return 1 / (1 + np.exp(-odds * bend - (bend - 1))), target, np.arange(count) // 4


def test_platt_puts_bent_scores_right_and_leaves_good_ones() -> None:
    for bend, worse in ((2.5, 0.05), (1.0, 0.0)):
        scores, target, _ = rows(bend=bend)
        fresh, truth, _ = rows(bend=bend, seed=1)
        line = decision.fitted("platt", scores, target)
        before, after = (decision.miscalibration(s, truth) for s in (fresh, line(fresh)))
        assert after < 0.025
        assert before >= after + worse - 0.01
    assert (np.diff(line.y) > 0).all()


def test_isotonic_never_falls_and_is_scikit_learns() -> None:
    scores, target, _ = rows(bend=3)
    line = decision.fitted("isotonic", scores, target)
    assert (np.diff(line.y) >= 0).all()
    expected = IsotonicRegression(out_of_bounds="clip").fit(scores, target).predict(scores)
    np.testing.assert_allclose(line(scores), expected, atol=1e-12)


def test_a_line_puts_numbers_right_even_beyond_those_it_was_fitted_on() -> None:
    x = np.linspace(10, 20, 50)
    line = decision.fitted("line", x, 3 * x - 7)
    assert line(np.array([0.0, 15.0, 40.0])) == pytest.approx([-7, 38, 113])


def test_halves_are_of_whole_ids_and_the_same_again() -> None:
    ids = np.array(["a", "b", "c", "d", "e"])[np.arange(1000) % 5]
    half = decision.first_half(ids, 0)
    assert {len(set(half[ids == one])) for one in "abcde"} == {1}
    assert 2 <= len(set(ids[half])) <= 3
    assert (half == decision.first_half(ids, 0)).all()
    assert any((half != decision.first_half(ids, seed)).any() for seed in range(1, 5))


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40
    ).filter(lambda found: any(times for *_, times in found)),
    st.floats(0.1, 10),
    st.floats(0.1, 10),
)
@settings(deadline=None)
def test_costs_are_those_of_counting(
    found: list[tuple[float, int, int]], wrong: float, missed: float
) -> None:
    scores, target, times = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    got = decision.costs(scores, target, times, wrong, missed)
    for at, cost in list(zip(decision.STEPS, got, strict=True))[::20]:
        each = decision.spent(scores, target, at, wrong, missed)
        assert cost == pytest.approx(float(times @ each / times.sum()))


def test_the_threshold_of_calibrated_scores_is_the_share_of_costs() -> None:
    scores, target, ids = rows(40_000)
    for wrong, missed in ((1.0, 1.0), (1.0, 4.0), (3.0, 1.0)):
        best, low, high = decision.threshold(scores, target, ids, wrong, missed, count=200, seed=0)
        assert low <= best <= high
        assert low - 0.03 <= wrong / (wrong + missed) <= high + 0.03
    wide = [
        np.subtract(
            *decision.threshold(*(v[:n] for v in (scores, target, ids)), 1, 4, count=200, seed=0)[:0:-1]
        )
        for n in (1000, 40_000)
    ]
    assert wide[0] > wide[1]


def test_a_gain_is_sure_where_it_is_and_ids_that_repeat_make_it_less_sure() -> None:
    rng = np.random.default_rng(0)
    less = np.repeat(rng.normal(0.05, 1, 250), 4)
    before, after = np.zeros(1000) + less, np.zeros(1000)
    alone = decision.gain(before, after, np.arange(1000), 500, 0)
    together = decision.gain(before, after, np.arange(1000) // 4, 500, 0)
    assert alone["gain"] == together["gain"] == pytest.approx(less.mean())
    assert together["high"] - together["low"] > 1.5 * (alone["high"] - alone["low"])
    sure = decision.gain(before + 1, after, np.arange(1000) // 4, 500, 0)
    assert 0 < sure["low"] < sure["gain"] < sure["high"]


def test_bins_have_all_rows_in_order() -> None:
    scores, target, _ = rows(1003)
    found = decision.bins(scores, target)
    assert found.shape == (10, 3)
    assert (np.diff(found[:, 0]) > 0).all()
    assert found[:, 1].mean() == pytest.approx(target.mean(), abs=0.01)
