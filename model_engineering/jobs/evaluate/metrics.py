"""Metrics of scores in which each row counts a number of times, so that a bootstrap draws numbers and not rows. Only numpy.

The metrics are those of the training job: with every row counted once, these are the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

MAIN = {"classification": "auc", "regression": "rmse"}
"""The metric by which models are ranked."""
LOWER = frozenset({"logloss", "brier", "ece", "rmse", "mae"})
"""Metrics of which less is better."""
NEUTRAL = frozenset({"bias", "predicted_share"})
"""Metrics that are not better by being higher or lower."""
BINS = 10


class Rows:
    """The target and a model's scores of some rows, ordered once so that each draw costs little."""

    def __init__(self, target: np.ndarray, scores: np.ndarray, problem: str, threshold: float = 0.5) -> None:
        self.y, self.s = np.asarray(target, dtype=float), np.asarray(scores, dtype=float)
        self.problem, self.threshold = problem, threshold
        distinct, self.place = np.unique(self.s, return_inverse=True)
        self.distinct = len(distinct)

    def metrics(self, times: np.ndarray | None = None) -> dict[str, float]:
        """All metrics; NaN where the rows cannot tell, such as the AUC of rows of one class."""
        w = np.ones(len(self.y)) if times is None else times
        if self.problem == "regression":
            return self._regression(w)
        y, s = self.y, self.s
        clipped = np.clip(np.where(y == 1, s, 1 - s), 1e-15, 1.0)
        said = s >= self.threshold
        hits, alarms, positives, all_ = (float(w @ v) for v in (said * y, said, y, np.ones(len(y))))
        precision, recall = _share(hits, alarms, 0.0), _share(hits, positives)
        return {
            **self._ranked(w),
            "logloss": _share(-float(w @ np.log(clipped)), all_),
            "brier": _share(float(w @ (s - y) ** 2), all_),
            "ece": ece(y, s, w),
            "accuracy": _share(float(w @ (said == y)), all_),
            "precision": precision,
            "recall": recall,
            "f1": _share(2 * precision * recall, precision + recall, 0.0),
            "predicted_share": _share(alarms, all_),
        }

    def main(self, times: np.ndarray) -> float:
        """The metric by which models are ranked."""
        if self.problem == "classification":
            return self._auc(*self._counts(times))
        return float(np.sqrt(_share(float(times @ (self.s - self.y) ** 2), float(times.sum()))))

    def _counts(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives of each distinct score, from the lowest."""
        positives = np.bincount(self.place, w * self.y, self.distinct)
        return positives, np.bincount(self.place, w, self.distinct) - positives

    def _auc(self, positives: np.ndarray, negatives: np.ndarray) -> float:
        """The share of pairs of a positive and a negative row that are in order; a tie is half a pair (Mann and Whitney)."""
        below = np.cumsum(negatives) - negatives / 2
        return _share(float(positives @ below), float(positives.sum() * negatives.sum()))

    def _ranked(self, w: np.ndarray) -> dict[str, float]:
        positives, negatives = self._counts(w)
        hits, alarms = np.cumsum(positives[::-1]), np.cumsum((positives + negatives)[::-1])
        precision = np.divide(hits, alarms, out=np.zeros(len(hits)), where=alarms > 0)
        average = _share(float(positives[::-1] @ precision), float(hits[-1]))
        return {"auc": self._auc(positives, negatives), "average_precision": average}

    def _regression(self, w: np.ndarray) -> dict[str, float]:
        error, all_ = self.s - self.y, float(w.sum())
        mean = _share(float(w @ self.y), all_)
        squares = float(w @ error**2)
        return {
            "rmse": float(np.sqrt(_share(squares, all_))),
            "mae": _share(float(w @ np.abs(error)), all_),
            "bias": _share(float(w @ error), all_),
            "r2": 1 - _share(squares, float(w @ (self.y - mean) ** 2)),
        }


def _share(part: float, whole: float, otherwise: float = np.nan) -> float:
    return part / whole if whole else otherwise


def ece(y: np.ndarray, s: np.ndarray, w: np.ndarray) -> float:
    """Expected calibration error: how far score and share of positives are apart in ten bins of equal width, by their rows.

    Source: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (2015).
    """
    place = np.minimum((s * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, w * s, BINS) - np.bincount(place, w * y, BINS)
    return _share(float(np.abs(gap).sum()), float(w.sum()))


def bins(y: np.ndarray, s: np.ndarray) -> list[dict[str, float]]:
    """What a reliability plot draws: up to ten bins of equally many rows, from the lowest score. `share` is the mean target.

    `low` and `high` are the 95 % interval of the mean target: Wilson's for labels, the normal one for numbers.
    """
    found = []
    for part in np.array_split(np.argsort(s, kind="stable"), min(BINS, len(s))):
        mean, n = float(y[part].mean()), len(part)
        if np.isin(y, (0, 1)).all():
            middle = (mean + 1.92 / n) / (1 + 3.84 / n)
            wide = 1.96 * float(np.sqrt(mean * (1 - mean) / n + 0.96 / n**2)) / (1 + 3.84 / n)
        else:
            middle, wide = mean, 1.96 * float(y[part].std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
        score = float(s[part].mean())
        found.append(
            {"score": score, "share": mean, "low": middle - wide, "high": middle + wide, "rows": float(n)}
        )
    return found


def better(metric: str, low: float, high: float) -> bool | None:
    """Whether a difference with this interval is a gain for sure, a loss for sure, or neither (None)."""
    if metric in NEUTRAL or not (low > 0 or high < 0):
        return None
    return (high < 0) if metric in LOWER else (low > 0)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with None for what could not be told, as JSON has it."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}
