"""The groups of features of M4: what a strong model may not find by itself. Means of the target are taken out of fold.

A mean that has seen a row's own answer flatters the model in train and fails it later. So a row of train gets the mean of the folds that
it is not in (`held`), and every other row the mean of all (`means`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import transformer
from groups import SMOOTH, Column, Given, Spec, described

FOLDS = 5
"""Whole ids are dealt into as many folds for means of the target."""
LEAST = 10
"""A pair of values that fewer rows have is not told apart from the others."""
STRONGEST = 3
"""How many of the most informative columns of numbers and of categories are crossed."""
WINDOWS = (1, 3)
"""How many earlier rows of an id a row is compared with."""
CONTROLS = 4
"""Columns of random numbers in the control."""


def folded(given: Given) -> list[Spec]:
    """Each category as the mean target of its rows, out of fold."""
    words = "mean target of the rows of a {} in train; for rows of train, of other folds"
    return [
        described(
            f"{c.name}__folded",
            "encode",
            [c.name],
            words.format(c.name),
            **_means(given, given.table[c.name]),
        )
        for c in given.columns
        if c.categories
    ]


def crosses(given: Given) -> list[Spec]:
    """The strongest categories and numbers (cut at their quartiles) in pairs, each pair as its mean target, out of fold."""
    words = [c for c in given.best if c.categories]
    numbers = [c for c in given.best if not c.categories and not c.marks]
    strongest = [*words[:STRONGEST], *numbers[:STRONGEST]]
    cuts = {c.name: _quartiles(given.table[c.name]) for c in strongest if not c.categories}
    specs = []
    for a, b in itertools.combinations(strongest, 2):
        spec: Spec = {
            "sources": [a.name, b.name],
            "cuts": {n: cuts[n] for n in (a.name, b.name) if n in cuts},
        }
        keys = transformer.pairs(given.table, spec)
        counts = keys.value_counts()
        keys = keys.where(keys.map(counts) >= LEAST)
        said = f"mean target of the rows of a pair of {_said(a)} and {_said(b)}; for rows of train, of other folds"
        made = described(f"{a.name}__with__{b.name}", "cross", spec["sources"], said, **_means(given, keys))
        specs.append({**made, "cuts": spec["cuts"]})
    return specs


def _said(column: Column) -> str:
    return column.name if column.categories else f"a quarter of {column.name}"


def _quartiles(values: pd.Series) -> list[float]:
    found = np.quantile(values, [0.25, 0.5, 0.75], method="closest_observation")
    return sorted({float(q) for q in found})


def _means(given: Given, keys: pd.Series) -> Spec:
    """The smoothed mean target of each key, of all rows and of all but a fold's."""
    of = sorted(keys.dropna().unique())
    fold = given.table[transformer.FOLD].to_numpy()

    def smoothed(rows: np.ndarray) -> tuple[list[float], float]:
        overall = float(given.y[rows].mean())
        sums = (
            pd.Series(given.y[rows])
            .groupby(keys.to_numpy()[rows])
            .agg(["sum", "count"])
            .reindex(of, fill_value=0)
        )
        return ((sums["sum"] + SMOOTH * overall) / (sums["count"] + SMOOTH)).tolist(), overall

    means, overall = smoothed(np.arange(len(fold)))
    rests = [np.flatnonzero(fold != at) for at in range(FOLDS)]
    held = [smoothed(rest) if len(rest) else (means, overall) for rest in rests]
    return {
        "of": [str(v) for v in of],
        "means": means,
        "otherwise": overall,
        "held": [list(one) for one in held],
    }


def windows(given: Given) -> list[Spec]:
    """How far the strongest numbers are from what the id's rows before had on average."""
    if transformer.BEFORE not in given.table:
        return []
    specs = []
    for column, rows in itertools.product(given.numbers, WINDOWS):
        earlier = "the row before" if rows == 1 else f"up to {rows} rows before"
        words = f"{column.name}, scaled, minus its mean in {earlier} of the same id; 0 without one"
        sources = [column.name, given.id, given.order]
        specs.append(described(f"{column.name}__since_{rows}", "window", sources, words, rows=rows))
    return specs


def control(given: Given) -> list[Spec]:
    """Random numbers. They are tried like the others and never stay: a judgement that likes them is none."""
    words = "random numbers"
    return [described(f"control_{n}", "random", [given.row], words, seed=n) for n in range(1, CONTROLS + 1)]


GROUPS: Mapping[str, tuple[str, Callable[[Given], list[Spec]], str]] = {
    "folded": ("transformation", folded, "there are no categories"),
    "crosses": ("interaction", crosses, "fewer than two columns say anything"),
    "windows": ("time window", windows, "the plan names no id, or no order in time"),
    "control": ("control", control, ""),
}
"""As `groups.GROUPS`: kind, what makes them, and why there may be none."""
