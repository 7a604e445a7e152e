"""What a set of features is worth: a fixed small model, the same folds every time, and an interval for each difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score

LEAST = 3
"""The fewest folds that an interval is made of."""
FIRST = 3 / 8
"""The share of rows that the first fold by time is fitted on."""


TREES, SEEDS = 150, (0, 1)
BOOSTING: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""The strong model: the settings of M1's boosting, with a number of trees that is fixed."""


@dataclass(frozen=True)
class Fold:
    """Places of the rows that a fold fits on, and of those that it holds back."""

    fitted: np.ndarray
    held: np.ndarray


def folds(
    ids: np.ndarray, times: np.ndarray | None, y: np.ndarray, count: int, *, classify: bool, seed: int
) -> tuple[str, list[Fold]]:
    """The rule in words, and the folds; no id is on both sides of a fold.

    By time where there are enough times: each fold is fitted on all rows up to a time and holds back the next stretch, without
    the rows of ids that it has seen. Otherwise whole ids at random. Fewer than `LEAST` folds are returned if the rows make no
    more of which both sides have an answer to tell apart.
    """
    if times is not None:
        made = [f for f in _by_time(ids, times, count) if _tells(f, y)]
        if len(made) >= LEAST:
            return "by time: fitted on the rows up to a time, judged on the next ones, of ids not seen", made
    why = "too few times, so " if times is not None else ""
    made = [f for f in _at_random(ids, y, count, classify=classify, seed=seed) if _tells(f, y)]
    return f"{why}whole ids (or rows) at random", made


def _at_random(ids: np.ndarray, y: np.ndarray, count: int, *, classify: bool, seed: int) -> list[Fold]:
    """Whole ids dealt out in a random order; for classification first those that have a positive row, then the others."""
    distinct, place = np.unique(ids, return_inverse=True)
    positive = np.zeros(len(distinct))
    if classify:
        np.maximum.at(positive, place, y)
    order = np.lexsort((np.random.default_rng(seed).random(len(distinct)), -positive))
    dealt = np.empty(len(distinct), dtype=int)
    dealt[order] = np.arange(len(distinct)) % count
    fold = dealt[place]
    return [Fold(np.flatnonzero(fold != at), np.flatnonzero(fold == at)) for at in range(count)]


def _by_time(ids: np.ndarray, times: np.ndarray, count: int) -> list[Fold]:
    distinct, place, rows = np.unique(times, return_inverse=True, return_counts=True)
    count = min(count, len(distinct) - 1)
    if count < LEAST:
        return []
    middle = (np.cumsum(rows) - rows / 2) / len(times)
    later = 1 + (middle - FIRST) / (1 - FIRST) * count
    block = np.where(middle < FIRST, 0, np.minimum(later.astype(int), count))[place]
    made = []
    for at in range(1, count + 1):
        fitted = np.flatnonzero(block < at)
        held = np.flatnonzero((block == at) & ~np.isin(ids, np.unique(ids[fitted])))
        made.append(Fold(fitted, held))
    return made


def _tells(fold: Fold, y: np.ndarray) -> bool:
    """Whether both sides have two different answers at least, and the side held back ten rows."""
    return len(fold.held) >= 10 and all(len(np.unique(y[side])) > 1 for side in (fold.fitted, fold.held))


def matrix(features: pd.DataFrame, specs: Sequence[dict[str, Any]], *, onehot: bool) -> Any:
    """Features as numbers: categories as one column each, or as their place in the list."""
    columns = []
    for spec in specs:
        column = features[spec["name"]]
        if "categories" not in spec:
            columns.append(sparse.csr_matrix(column.to_numpy(dtype=float)[:, None]))
            continue
        codes = pd.Categorical(column, categories=spec["categories"]).codes
        if not onehot:
            columns.append(sparse.csr_matrix(codes.astype(float)[:, None]))
            continue
        there = np.flatnonzero(codes >= 0)
        shape = len(codes), len(spec["categories"])
        columns.append(sparse.csr_matrix((np.ones(len(there)), (there, codes[there])), shape=shape))
    made = sparse.hstack(columns, format="csr")
    return made if onehot else made.toarray()


def score(
    fitted: Any,
    held: Any,
    y: np.ndarray,
    weight: np.ndarray,
    truth: np.ndarray,
    kind: str,
    categories: Sequence[int] = (),
) -> float:
    """The fixed model, fitted with weights: AUC for `classification …`, R² for `regression …`, on rows as they are.

    `kind` is the problem and the model: "linear" (logistic or ridge regression), "trees" (60 boosted trees of 8 leaves) or "boosting"
    (`BOOSTING`, a strong model, to which `categories` says which columns are codes of categories).
    """
    problem, model = kind.split()
    classify = problem == "classification"
    if model == "boosting":
        guesses = _boosted(fitted, held, y, weight, classify, list(categories))
    else:
        chosen = _small(model, classify).fit(fitted, y, sample_weight=weight)
        guesses = chosen.predict_proba(held)[:, 1] if classify else chosen.predict(held)
    return float((roc_auc_score if classify else r2_score)(truth, guesses))


def _small(model: str, classify: bool) -> Any:
    if model == "linear":
        return LogisticRegression(max_iter=1000) if classify else Ridge(solver="lsqr")
    trees = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    return trees(max_iter=60, max_leaf_nodes=8, early_stopping=False, random_state=0)


def _boosted(
    fitted: Any, held: Any, y: np.ndarray, weight: np.ndarray, classify: bool, categories: list[int]
) -> np.ndarray:
    """The mean over `SEEDS`: what a model draws at random must not look like what a feature brings."""
    guesses = np.zeros(len(held))
    for seed in SEEDS:
        settings = BOOSTING | {"objective": "binary" if classify else "regression", "seed": seed}
        data = lgb.Dataset(
            fitted,
            y,
            weight=weight,
            categorical_feature=categories,
            params={"verbosity": -1, "num_threads": 1},
        )
        guesses += np.asarray(lgb.train(settings, data, TREES).predict(held, num_threads=1)) / len(SEEDS)
    return guesses


def interval(differences: Sequence[float], made: Sequence[Fold]) -> tuple[float, float, float]:
    """The mean of paired differences over folds and its 95 % interval.

    Folds share rows, so their differences are more alike than independent ones would be. The variance is therefore taken
    times 1/k + held/fitted instead of 1/k: Nadeau and Bengio, "Inference for the generalization error" (2003).
    """
    values = np.asarray(differences)
    shared = float(np.mean([len(f.held) / len(f.fitted) for f in made]))
    spread = float(np.sqrt((1 / len(values) + shared) * values.var(ddof=1)))
    wide = float(stats.t.ppf(0.975, len(values) - 1)) * spread
    return float(values.mean()), float(values.mean() - wide), float(values.mean() + wide)
