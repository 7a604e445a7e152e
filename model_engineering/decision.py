"""From scores to decisions: calibration, the threshold of least cost, and how sure both are. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression

KINDS = {"classification": ("platt", "isotonic"), "regression": ("line", "isotonic")}
"""The calibrations that are tried, the simplest first."""
STEPS = np.round(np.arange(0.005, 1.0, 0.005), 3)
"""The thresholds that are tried."""


@dataclass(frozen=True)
class Line:
    """A calibration: scores on the straight lines through points. `x` increases."""

    kind: str
    x: np.ndarray
    y: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """The calibrated scores; beyond the first and the last point, their values."""
        return np.interp(scores, self.x, self.y)

    def as_data(self) -> dict[str, object]:
        """For model.json, where the serving code reads it."""
        return {"kind": self.kind, "x": self.x.tolist(), "y": self.y.tolist()}


def units(ids: np.ndarray) -> np.ndarray:
    """The ids as whole numbers from 0."""
    return np.unique(ids, return_inverse=True)[1].reshape(-1)


def first_half(ids: np.ndarray, seed: int) -> np.ndarray:
    """Marks the rows of a random half of the ids: what is fitted on them is judged on the others."""
    place = units(ids)
    count = int(place.max()) + 1
    return np.asarray(np.random.default_rng(seed).permutation(count)[place] < count / 2)


def fitted(kind: str, scores: np.ndarray, target: np.ndarray) -> Line:
    """A calibration of the scores, fitted to the target.

    "platt": logistic regression on the log odds (Platt, 1999); "isotonic": the best line that never falls (Zadrozny and Elkan, 2002);
    "line": a straight line, for numbers.
    """
    if kind == "platt":
        odds = _odds(scores)
        model = LogisticRegression(C=1e6).fit(odds[:, None], target)
        x = 1 / (1 + np.exp(-np.linspace(-12, 12, 481)))
        return Line(kind, x, model.predict_proba(_odds(x)[:, None])[:, 1])
    if kind == "isotonic":
        model = IsotonicRegression(out_of_bounds="clip").fit(scores, target)
        return Line(kind, model.X_thresholds_, model.y_thresholds_)
    slope = LinearRegression().fit(scores[:, None], target)
    wide = 10 * (float(np.ptp(scores)) or 1.0)
    x = np.array([scores.min() - wide, scores.max() + wide])
    return Line(kind, x, slope.predict(x[:, None]))


def _odds(scores: np.ndarray) -> np.ndarray:
    kept = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept / (1 - kept)))


def draws(ids: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts in each draw of a bootstrap of whole ids; the same draws for the same seed."""
    place = units(ids)
    many = int(place.max()) + 1
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield np.bincount(rng.integers(0, many, many), minlength=many)[place].astype(float)


def gain(before: np.ndarray, after: np.ndarray, ids: np.ndarray, count: int, seed: int) -> dict[str, float]:
    """How much less a row's loss is on average, `low` and `high` with 95 % confidence, in pairs."""
    less = before - after
    drawn = [float(times @ less / times.sum()) for times in draws(ids, count, seed)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"gain": float(less.mean()), "low": float(low), "high": float(high)}


def squares(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Each row's squared error; of a chance, its part of the Brier score."""
    return np.asarray((scores - target) ** 2)


def costs(
    scores: np.ndarray,
    target: np.ndarray,
    times: np.ndarray,
    false_positive: float,
    false_negative: float,
) -> np.ndarray:
    """What a row costs on average at each threshold of `STEPS`: a score of at least the threshold is a yes.

    `times` is how often each row counts; right answers cost nothing.
    """
    place = np.searchsorted(STEPS, scores, side="right")  # how many thresholds say yes
    yes = np.bincount(place, times * (target == 1), len(STEPS) + 1)
    no = np.bincount(place, times * (target == 0), len(STEPS) + 1)
    missed = np.cumsum(yes)[:-1]
    alarms = no.sum() - np.cumsum(no)[:-1]
    return np.asarray((false_positive * alarms + false_negative * missed) / times.sum())


def cheapest(cost: np.ndarray) -> float:
    """The threshold of least cost; of several, the middle one."""
    least = np.flatnonzero(cost <= cost.min() + 1e-12)
    return float(STEPS[least[(len(least) - 1) // 2]])


def threshold(
    scores: np.ndarray,
    target: np.ndarray,
    ids: np.ndarray,
    false_positive: float,
    false_negative: float,
    *,
    count: int,
    seed: int,
) -> tuple[float, float, float]:
    """The threshold of least cost, and where 95 of 100 draws have theirs."""

    def best(times: np.ndarray) -> float:
        return cheapest(costs(scores, target, times, false_positive, false_negative))

    drawn = [best(times) for times in draws(ids, count, seed)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return best(np.ones(len(scores))), float(low), float(high)


def spent(
    scores: np.ndarray, target: np.ndarray, at: float, false_positive: float, false_negative: float
) -> np.ndarray:
    """What each row costs with the threshold `at`."""
    yes = scores >= at
    return np.where(target == 1, false_negative * ~yes, false_positive * yes)


def bins(scores: np.ndarray, target: np.ndarray, count: int = 10) -> np.ndarray:
    """What a reliability plot draws: bins of equally many rows, each mean score, mean target and its standard error."""
    parts = np.array_split(np.argsort(scores, kind="stable"), min(count, len(scores)))
    error: Callable[[np.ndarray], float] = lambda part: float(target[part].std() / np.sqrt(len(part)))  # noqa: E731
    return np.array([[scores[part].mean(), target[part].mean(), error(part)] for part in parts])


def miscalibration(scores: np.ndarray, target: np.ndarray) -> float:
    """How far mean score and mean target are apart in ten bins of equally many rows: expected calibration error, for numbers too."""
    parts = np.array_split(np.argsort(scores, kind="stable"), min(10, len(scores)))
    apart = [abs(scores[part].mean() - target[part].mean()) * len(part) for part in parts]
    return float(sum(apart) / len(scores))
