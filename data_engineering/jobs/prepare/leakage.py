"""Does one column give the target away? How well each predicts it alone, out of sample. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import roc_auc_score

BINS = 50
SMOOTH = 10.0
SUSPECT = {"auc": 0.75, "r2": 0.5}
STANDS_OUT = 1.5


def predictability(values: np.ndarray, target: np.ndarray, measure: str) -> float:
    """How well a column alone predicts the target: AUC (0.5 to 1) for a 0/1 target, R² (0 to 1) for a number.

    `values` is float with NaN, or text with None; one per row, like `target`. Numbers are cut into up to `BINS` quantile bins,
    so any shape is seen and not only a trend; what is missing is a bin of its own. The score of a row is the mean target of
    its bin in the other half of the rows, so a column of names does not look like an oracle.
    """
    codes = _codes(values)
    half = np.arange(len(target)) % 2
    score = np.empty(len(target))
    for fold in (0, 1):
        fitted, scored = half != fold, half == fold
        prior = target[fitted].mean() if fitted.any() else 0.0
        size = codes.max() + 1
        sums = np.bincount(codes[fitted], target[fitted], size)
        rows = np.bincount(codes[fitted], minlength=size)
        score[scored] = ((sums + SMOOTH * prior) / (rows + SMOOTH))[codes[scored]]
    if measure == "auc":
        if target.min() == target.max():
            return 0.5
        return max(0.5, float(roc_auc_score(target, score)))
    spread = float(((target - target.mean()) ** 2).sum())
    return max(0.0, 1 - float(((target - score) ** 2).sum()) / spread) if spread else 0.0


def _codes(values: np.ndarray) -> np.ndarray:
    """The number of each row's bin, from 0."""
    if values.dtype.kind == "f":
        there = values[~np.isnan(values)]
        if not len(there):
            return np.zeros(len(values), dtype=int)
        edges = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)))
        codes = np.searchsorted(edges, values, side="left")
        return np.where(np.isnan(values), len(edges) + 1, codes)
    text = np.array(["\0" if v is None else v for v in values], dtype=object)
    return np.unique(text, return_inverse=True)[1]


def suspects(values: Mapping[str, float], measure: str) -> list[str]:
    """Columns that stand out although they are under the limit: a person should say when their value is known.

    A column stands out if it predicts well alone (`SUSPECT`) and lifts the score over chance `STANDS_OUT` times as much as the
    next best column.
    """
    chance = 0.5 if measure == "auc" else 0.0
    order = sorted(values, key=lambda c: (-values[c], c))
    found = []
    for at, column in enumerate(order):
        following = values[order[at + 1]] - chance if at + 1 < len(order) else 0.0
        if values[column] < SUSPECT[measure]:
            break
        if values[column] - chance >= STANDS_OUT * following:
            found = order[: at + 1]
    return found
