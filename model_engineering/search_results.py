"""What a search of hyperparameters tells once it has ended: which ones mattered, and what its winner is worth on other rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

LEAST = 5
"""Trials below which nothing can be said about importance."""

Ranges = Mapping[str, Sequence[float]]
"""Lowest and highest value of each hyperparameter; whole numbers make whole steps."""


def logarithmic(low: float, high: float) -> bool:
    """Whether a range is searched by orders of magnitude: it is positive, and its ends are ten times apart or more."""
    return low > 0 and high / low >= 10


def importance(
    tried: pd.DataFrame, value: str, ranges: Ranges, seed: int = 0, shuffles: int = 30
) -> pd.DataFrame:
    """How much of the differences in `value` each hyperparameter explains, and how much it would seem to by chance.

    Functional ANOVA (Hutter, Hoos and Leyton-Brown, 2014) as Optuna implements it: a random forest is fitted to the trials, and the
    variance of its predictions is shared out. With few trials the forest fits noise, and shares it out all the same. So the values are
    dealt to the trials anew, again and again, as if no hyperparameter mattered (Altmann and others, 2010): a share that is not above
    `chance` says nothing. Interactions are not shown.

    Args:
        tried: a row a trial, with a column for each hyperparameter and for the value.
        value: the column of what was searched for.
        ranges: that were searched.
        seed: of the forest and of the dealing.
        shuffles: how often the values are dealt anew.

    Returns:
        Columns `share` (they add up to 1) and `chance` (of twenty such shares nineteen are smaller), by hyperparameter, most important first.

    Raises:
        ValueError: fewer than five trials, or all with the same value.
    """
    if len(tried) < LEAST or tried[value].nunique() < 2:
        raise ValueError(
            f"{len(tried)} trials with {tried[value].nunique()} different values tell of no importance."
        )
    rng = np.random.default_rng(seed)
    dealt = [
        _shares(tried.assign(**{value: rng.permutation(tried[value])}), value, ranges, seed)
        for _ in range(shuffles)
    ]
    chance = pd.DataFrame(dealt).quantile(0.95)
    found = pd.DataFrame({"share": _shares(tried, value, ranges, seed), "chance": chance})
    return found.sort_values("share", ascending=False)


def _shares(tried: pd.DataFrame, value: str, ranges: Ranges, seed: int) -> pd.Series[float]:
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spaces: dict[str, BaseDistribution] = {}
    for name, (low, high) in ranges.items():
        whole = isinstance(low, int) and isinstance(high, int)
        kind: Any = IntDistribution if whole else FloatDistribution
        spaces[name] = kind(low, high, log=logarithmic(low, high))
    study = optuna.create_study()
    for _, row in tried.iterrows():
        drawn = {
            name: int(row[name]) if isinstance(space, IntDistribution) else float(row[name])
            for name, space in spaces.items()
        }
        study.add_trial(
            optuna.trial.create_trial(params=drawn, distributions=spaces, value=float(row[value]))
        )
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    shares = pd.Series({name: found.get(name, 0.0) for name in ranges}, dtype=float)
    return shares / shares.sum() if shares.sum() > 0 else shares


def scaled(tried: pd.DataFrame, ranges: Ranges) -> pd.DataFrame:
    """The values tried, each from 0 (lowest of its range) to 1 (highest), on the scale that was searched."""
    found = {}
    for name, (low, high) in ranges.items():
        turn = math.log if logarithmic(low, high) else float
        found[name] = (tried[name].map(turn) - turn(low)) / (turn(high) - turn(low))
    return pd.DataFrame(found)


def quality(
    target: np.ndarray, scores: np.ndarray, weight: np.ndarray | None = None, *, classify: bool
) -> float:
    """AUC, or RMSE with a minus sign: more is better."""
    if classify:
        return float(roc_auc_score(target, scores, sample_weight=weight))
    return -float(np.sqrt(np.average((scores - target) ** 2, weights=weight)))


def gain(target: np.ndarray, scores: np.ndarray, other: np.ndarray, *, classify: bool) -> float:
    """What scores are better than others on the same rows: in AUC, or as a share of the others' RMSE."""
    one, two = (quality(target, given, classify=classify) for given in (scores, other))
    return one - two if classify else 1 - one / two


def picked(
    table: pd.DataFrame, names: Sequence[str], than: str, *, classify: bool, draws: int = 200, seed: int = 0
) -> np.ndarray:
    """The gain over `than` of whichever model is best on rows drawn by chance, measured on the rows that were not drawn.

    The winner of a search is in part the luckiest on the rows that it was picked by. Here picking and measuring go by different rows.

    Args:
        table: `target`, `score <name>` of each model, and `id` where rows belong together; whole ids are drawn.
        names: the models to pick from.
        than: the model to be better than.

    Returns:
        One gain a draw; draws whose rows have one class only are left out.
    """
    target = table["target"].to_numpy(dtype=float)
    scores = {name: table[f"score {name}"].to_numpy(dtype=float) for name in (*names, than)}
    unit = pd.factorize(table.get("id", table.index))[0]
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws):
        times = np.bincount(rng.integers(0, unit.max() + 1, unit.max() + 1), minlength=unit.max() + 1)[unit]
        rest = times == 0
        if classify and not (0 < target[rest].mean() < 1 and 0 < target[~rest].mean() < 1):
            continue
        drawn = times > 0
        reached = {
            name: quality(target[drawn], scores[name][drawn], times[drawn], classify=classify)
            for name in names
        }
        best = max(reached, key=lambda name: reached[name])
        found.append(gain(target[rest], scores[best][rest], scores[than][rest], classify=classify))
    return np.array(found)
