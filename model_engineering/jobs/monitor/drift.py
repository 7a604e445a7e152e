"""Whether two sets of rows differ more than chance lets them: feature by feature, corrected for how many are looked at.

A feature has drifted when both hold: a test says that it is no chance (Kolmogorov-Smirnov for numbers, chi-square for categories; the
p-values corrected by Holm, 1979), and the difference is large enough to matter (population stability index, PSI, of the baseline's
deciles or categories). With enough rows everything differs significantly; with few, a large index is chance: so it takes both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MISSING, OTHER = "(missing)", "(other)"
BINS = 10  # of a number: the deciles of the baseline
MANY = 50  # categories of a feature at most; the rest of the baseline counts as "(other)"
FLOOR = 1e-4  # what an empty bin counts as, lest its logarithm be infinite


@dataclass(frozen=True)
class Feature:
    """How a feature differs from the baseline. p: corrected; shares: of the baseline and of now, by bin."""

    name: str
    kind: str
    psi: float
    p: float
    drifted: bool
    bins: tuple[str, ...]
    then: tuple[float, ...]
    now: tuple[float, ...]
    missing_then: float
    missing_now: float


def edges(values: np.ndarray) -> list[float]:
    """The inner edges of the bins of a number: the deciles of its values, each once."""
    held = values[np.isfinite(values)]
    if not len(held):
        return []
    found = np.unique(np.quantile(held, np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
    return [float(edge) for edge in found]


def shares(values: pd.Series, kind: str, bins: Sequence[Any]) -> np.ndarray:
    """The share of rows in each bin, and last of missing values. bins: edges of a number, or categories (the last one is "(other)")."""
    missing = values.isna().to_numpy()
    counts: np.ndarray
    if kind == "number":
        held = values[~missing].to_numpy(dtype=float)
        counts = np.bincount(np.searchsorted(bins, held, side="left"), minlength=len(bins) + 1)
    else:
        known = values[~missing].where(values[~missing].isin(bins), OTHER)
        counts = known.value_counts().reindex(list(bins), fill_value=0).to_numpy()
    return np.append(counts, missing.sum()) / max(1, len(values))


def psi(then: np.ndarray, now: np.ndarray) -> float:
    """The population stability index of two sets of shares: the sum of (now - then) * log(now / then)."""
    old, new = np.maximum(then, FLOOR), np.maximum(now, FLOOR)
    return float(np.sum((new - old) * np.log(new / old)))


def p_value(then: pd.Series, now: pd.Series, kind: str, bins: Sequence[Any]) -> float:
    """The chance of a difference like this if nothing changed, missing values counted: not corrected."""
    from scipy import stats

    table = np.array([shares(one, kind, bins) * len(one) for one in (then, now)])
    table = table[:, table.sum(axis=0) > 0]
    spread = float(stats.chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
    if kind == "category":
        return spread
    held = [one.dropna().to_numpy(dtype=float) for one in (then, now)]
    if min(map(len, held)) < 2:
        return spread  # too few for a test of how they lie
    empty = np.array([[one.isna().sum(), one.notna().sum()] for one in (then, now)])
    lost = float(stats.chi2_contingency(empty).pvalue) if empty[:, 0].sum() and empty[:, 1].sum() else 1.0
    return min(
        1.0, 2 * min(float(stats.ks_2samp(*held, method="asymp").pvalue), lost)
    )  # two tests: values, and whether there is one


def more_missing(then: pd.Series, now: pd.Series) -> float:
    """The chance of a larger share of missing values like this if nothing changed (Fisher's exact test): not corrected."""
    from scipy import stats

    counts = [[values.isna().sum(), values.notna().sum()] for values in (now, then)]
    return float(stats.fisher_exact(counts, alternative="greater").pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm): the chance that any of them is this small although nothing changed stays below it."""
    order = np.argsort(p, kind="stable")
    corrected, most = [0.0] * len(p), 0.0
    for rank, at in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[at]))
        corrected[at] = most
    return corrected


def bins_of(values: pd.Series, kind: str) -> list[Any]:
    """What the shares of a feature are counted by, from the baseline's values."""
    if kind == "number":
        return list(edges(values.to_numpy(dtype=float)))
    return [*map(str, values.dropna().value_counts().index[:MANY]), OTHER]


def compared(
    then: pd.DataFrame, now: pd.DataFrame, kinds: Mapping[str, str], alpha: float, least: float
) -> list[Feature]:
    """Each column of the baseline and of now, the most drifted first. kinds: number or category by column."""
    bins = {name: bins_of(then[name], kind) for name, kind in kinds.items()}
    corrected = holm([p_value(then[name], now[name], kind, bins[name]) for name, kind in kinds.items()])
    found = []
    for (name, kind), p in zip(kinds.items(), corrected, strict=True):
        old, new = shares(then[name], kind, bins[name]), shares(now[name], kind, bins[name])
        index = psi(old, new)
        found.append(
            Feature(
                name,
                kind,
                index,
                p,
                bool(p < alpha and index >= least),
                labels(kind, bins[name]),
                tuple(map(float, old)),
                tuple(map(float, new)),
                float(old[-1]),
                float(new[-1]),
            )
        )
    return sorted(found, key=lambda one: -one.psi)


def labels(kind: str, bins: Sequence[Any]) -> tuple[str, ...]:
    """What the bins are called, that of missing values last."""
    if kind == "category":
        return (*map(str, bins), MISSING)
    if not bins:
        return ("any", MISSING)
    named = [f"to {edge:.4g}" for edge in bins]
    return (*named, f"above {bins[-1]:.4g}", MISSING)


def attribution_drift(then: Mapping[str, float], now: Mapping[str, float]) -> float:
    """1 - NDCG of the features in the order of now, each worth what it weighs in the baseline: 0 is the same order.

    The measure that SageMaker Clarify uses for feature attribution drift (Järvelin and Kekäläinen, 2002).
    """
    worth = [then[name] for name in sorted(now, key=lambda name: -now[name])]
    ideal = sorted(then.values(), reverse=True)
    discount = 1 / np.log2(np.arange(2, len(ideal) + 2))
    best = float(np.sum(np.array(ideal) * discount))
    return 1 - float(np.sum(np.array(worth) * discount)) / best if best else 0.0
