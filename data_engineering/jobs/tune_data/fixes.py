"""What can be done about a segment that fails, and what it brings with the model held fixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from part import Model, some, synthetic

SHARES = (0.25, 0.5, 0.75)
"""Of the segment's rows in train, `REPEATS` samples each: the points of its learning curve; and once all of them."""
REPEATS = 3
MOST_TIMES = 8
"""More than this many times the segment's rows is no advice that anybody can follow."""


def error(scores: np.ndarray, target: np.ndarray, classify: bool) -> np.ndarray:
    """What each row costs: the Brier score (Brier 1950; squared distance of probability and label), or the absolute error."""
    off = np.abs(target - scores)
    return off**2 if classify else off


def gain(before: np.ndarray, after: np.ndarray, unit: np.ndarray, looks: int) -> dict[str, float]:
    """The mean fall of the rows' errors with a 95 % interval that allows for `looks` fixes (Bonferroni).

    Rows of one `unit` (an id) go together, so their sums are what varies.
    """
    from scipy.stats import norm

    fall = before - after
    mean = float(fall.mean())
    codes = np.unique(unit, return_inverse=True)[1]
    sums = np.bincount(codes, fall - mean)
    count = len(sums)
    wide = (
        float(norm.ppf(1 - 0.025 / looks))
        * float(np.sqrt((sums**2).sum() * count / max(count - 1, 1)))
        / len(fall)
    )
    return {"before": float(before.mean()), "gain": mean, "low": mean - wide, "high": mean + wide}


def relabelled(train: pd.DataFrame, rows: np.ndarray, schema: dict[str, Any]) -> pd.DataFrame:
    """Train with the other label in these rows (a mask), each with the weight of its group and new label."""
    target, weight = schema["target"], schema["weight"]
    by = [g["column"] for g in schema["groups"].values()] + [target]
    cells = train.groupby(by, dropna=False)[weight].median().rename("__weight").reset_index()
    fixed = train.copy()
    fixed.loc[rows, target] = 1 - fixed.loc[rows, target]
    new = fixed.loc[rows, by].merge(cells, on=by, how="left")["__weight"].to_numpy()
    fixed.loc[rows, weight] = np.where(np.isnan(new), fixed.loc[rows, weight], new)
    return fixed


def augmented(
    train: pd.DataFrame, rows: np.ndarray, schema: dict[str, Any], share: float, seed: int
) -> pd.DataFrame:
    """Train with new rows between rows of the segment (a mask): up to `share` of its rows, and of a tenth of train.

    A new row is a row of the segment whose numbers are moved part of the way to another one of the same label (for regression:
    of the nearest target), as SMOTE does (Chawla et al. 2002). Its row number is negative, so that nobody takes it for real, and
    it is marked as the prepare job marks such rows, of which no others are made.
    """
    rng = np.random.default_rng(seed)
    pool = (
        train[rows & ~synthetic(train, schema)]
        .sort_values(schema["target"], kind="stable")
        .reset_index(drop=True)
    )
    count = int(min(share * len(pool), 0.1 * len(train)))
    if count < 1:
        return train
    at = rng.integers(0, len(pool), count)
    target = pool[schema["target"]].to_numpy()
    if schema["problem"] == "classification":
        places = {y: np.flatnonzero(target == y) for y in np.unique(target)}
        other = np.array([rng.choice(places[target[i]]) for i in at])
    else:
        other = np.clip(at + rng.choice([-1, 1], count), 0, len(pool) - 1)
    made = pool.iloc[at].reset_index(drop=True)
    part = rng.random(count)
    numbers = [s["name"] for s in schema["features"] if s["kind"] == "numeric"]
    numbers += [schema["target"]] * (schema["problem"] != "classification")
    for name in numbers:
        a, b = (pool[name].to_numpy(dtype=float)[i] for i in (at, other))
        made[name] = (a + part * (b - a)).astype(train[name].dtype)
    made[schema["row_number"]] = min(0, int(train[schema["row_number"]].min())) - np.arange(1, count + 1)
    if schema.get("synthetic", "") in made:
        made[schema["synthetic"]] = True
    return pd.concat([train, made], ignore_index=True).astype(train.dtypes)


def learning(
    model: Model, train: pd.DataFrame, rows: np.ndarray, judge: Callable[[Any], float], seed: int
) -> dict[str, Any]:
    """How the segment's error on validation falls with its rows in train: its learning curve, and the fall per doubling.

    `judge` gives the error of a fitted model. The fall is the slope of a straight line over the logarithm of the rows, by least
    squares, with the interval that the scatter of the points gives.
    """
    rng = np.random.default_rng(seed)
    inputs, target = model.inputs(train), train[model.schema["target"]].to_numpy(dtype=float)
    inside = np.flatnonzero(rows)
    points = []
    for share in [share for share in SHARES for _ in range(REPEATS)] + [1.0]:
        gone = rng.permutation(inside)[round(share * len(inside)) :]
        chosen = np.delete(np.arange(len(train)), gone)
        fitted = model.fitted(some(inputs, chosen), target[chosen])
        points.append({"rows": len(inside) - len(gone), "error": judge(fitted)})
    x = np.log2([p["rows"] for p in points])
    y = np.array([p["error"] for p in points])
    slope, level = np.polyfit(x, y, 1)
    spread = np.sqrt(((y - level - slope * x) ** 2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
    return {
        "points": points,
        "fall_per_doubling": float(-slope),
        "low": float(-slope - 2.31 * spread),  # Student's t, 8 degrees of freedom
        "high": float(-slope + 2.31 * spread),
    }


def advice(curve: dict[str, Any], rows: int, gap: float) -> dict[str, Any]:
    """How many more rows of the segment to collect so that half of its gap to the rest is closed, if its curve goes on."""
    if curve["low"] <= 0:
        return {
            "collect": 0,
            "why": "its learning curve does not fall: it lacks something else than rows",
        }
    times = 2 ** (gap / 2 / curve["fall_per_doubling"])
    if times > MOST_TIMES:
        return {
            "collect": 0,
            "why": f"its curve falls, but half of the gap would take over {MOST_TIMES} times the rows",
        }
    return {
        "collect": round((times - 1) * rows),
        "why": "its curve still falls: so many more close half of the gap",
    }


def kept(measured: dict[str, dict[str, dict[str, float]]], order: Sequence[str]) -> str:
    """The fix that is applied: surely better on the segments, not worse overall, and of these the one that gains most overall."""
    good = [
        name
        for name in order
        if name in measured
        and measured[name]["segments"]["low"] > 0
        and measured[name]["overall"]["gain"] >= 0
    ]
    return max(good, key=lambda name: measured[name]["overall"]["gain"]) if good else ""
