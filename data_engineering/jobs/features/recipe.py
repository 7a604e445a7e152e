"""What is learned from rows: which columns say something, and the features made of them. Pure functions on tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import deep
import groups as plain
import numpy as np
import pandas as pd
import transformer
from groups import Column, Given, Spec, described
from scipy import stats

GROUPS = {**plain.GROUPS, **deep.GROUPS}
"""All groups of features in the order in which they are tried: kind, what makes them, and why there may be none."""
BINS = 5
SURE = 0.01
"""The share of columns taken for informative that may be chance (Benjamini and Hochberg, 1995)."""
NUMBERS, CATEGORIES = 4, 2
"""How many of the most informative columns features are created from."""


def columns(schema: Mapping[str, Any]) -> list[Column]:
    """The columns of the prepare job's schema; a mark of missing values is a column of its own."""
    found = []
    for spec in schema["features"]:
        if spec["kind"] == "category":
            found.append(Column(spec["name"], tuple(spec["categories"])))
            continue
        found.append(
            Column(
                spec["name"], center=spec["center"], scale=spec["scale"], low=min(spec["low"], spec["fill"])
            )
        )
        if "indicator" in spec:
            found.append(Column(spec["indicator"], marks=True))
    return found


# --- selection


def information(values: pd.Series, answers: np.ndarray) -> tuple[float, float]:
    """Mutual information of a column and an answer (whole numbers from 0) in bits a row, and the chance of as much by accident.

    Numbers are cut at their quintiles. The chance is of the G-test (Sokal and Rohlf, "Biometry"); bins with an expected count
    below 5 are put together. Numbers may show a trend as well (Spearman's rank correlation): then twice the smaller chance.
    """
    codes = values.astype("category").cat.codes.to_numpy()
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > BINS:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        codes = np.searchsorted(edges, values.to_numpy(), side="left")
    table = np.zeros((codes.max() + 1, answers.max() + 1))
    np.add.at(table, (codes, answers), 1)
    table = table[:, table.any(axis=0)]
    rare = table.sum(axis=1) * table.sum(axis=0).min() / len(values) < 5
    table = np.vstack([table[~rare], table[rare].sum(axis=0)])
    table = table[table.any(axis=1)]
    if min(table.shape) < 2:
        return 0.0, 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    there = table > 0
    g = 2 * float((table[there] * np.log(table[there] / expected[there])).sum())
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    chance = float(stats.chi2.sf(g, freedom))
    if pd.api.types.is_numeric_dtype(values):
        chance = min(1.0, 2 * min(chance, float(stats.spearmanr(values, answers).pvalue)))
    return g / (2 * np.log(2) * table.sum()), chance


def informed(
    table: pd.DataFrame, y: np.ndarray, found: Sequence[Column], ids: np.ndarray, *, classify: bool, seed: int
) -> list[dict[str, Any]]:
    """What each column says about the target, the most informative first: `{"column", "bits", "chance", "says"}`.

    Rows of one id are alike, and would make an accident look sure: one row of each id is looked at, chosen at random. All `says`
    are false only if all columns look like noise.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    some = np.sort(order[np.unique(ids[order], return_index=True)[1]])
    answers = y[some].astype(int) if classify else _fifths(y[some])
    told: list[dict[str, Any]] = []
    for column in found:
        bits, chance = information(table[column.name].iloc[some], answers)
        told.append({"column": column.name, "bits": bits, "chance": chance})
    told.sort(key=lambda one: (one["chance"], -one["bits"], one["column"]))
    passed = [n for n, one in enumerate(told, 1) if one["chance"] <= SURE * n / len(told)]
    last = max(passed, default=0)
    told = [{**one, "says": n <= last} for n, one in enumerate(told, 1)]
    return sorted(told, key=lambda one: (-one["bits"], one["column"]))


def _fifths(y: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.unique(np.quantile(y, [0.2, 0.4, 0.6, 0.8])), y, side="left")


def fit(
    table: pd.DataFrame,
    y: np.ndarray,
    ids: np.ndarray,
    schema: Mapping[str, Any],
    groups: Collection[str],
    *,
    select: bool,
    seed: int,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The recipe (see transformer.py), learned from these rows only, and what each column says.

    Without `select` all columns stay. A name that is taken gets a "_" at its end.
    """
    every, classify = columns(schema), schema["problem"] == "classification"
    told = informed(table, y, every, ids, classify=classify, seed=seed)
    rank = {one["column"]: n for n, one in enumerate(told) if one["says"] or not select}
    if not rank:
        rank = {c.name: n for n, c in enumerate(every)}  # nothing says anything: nothing can be told apart
    stay = [c for c in every if c.name in rank]
    best = sorted(stay, key=lambda c: rank[c.name])
    numbers = [c for c in best if not c.categories and not c.marks]
    categories = [c for c in best if c.categories]
    given = Given(
        table,
        y,
        tuple(stay),
        tuple(best),
        tuple(numbers[:NUMBERS]),
        tuple(categories[:CATEGORIES]),
        schema["id"],
        schema["time"],
        schema["time"] or schema["row_number"],
        schema["row_number"],
    )
    made = [{**spec, "group": name} for name in GROUPS if name in groups for spec in GROUPS[name][1](given)]
    replaced = {s["sources"][0] for s in made if s["formula"] == "power"}
    copies = [_copy(c) for c in stay if c.name not in replaced]
    roles = [schema.get(k, "") for k in ("target", "weight", "row_number", "id", "time", "synthetic")]
    taken = {n.lower() for n in (*roles, *(c.name for c in every))}
    taken |= {g["column"].lower() for g in schema["groups"].values()}
    for spec in made:
        while spec["name"].lower() in taken:
            spec["name"] += "_"
        taken.add(spec["name"].lower())
    recipe = {"version": 1, "prepared": dict(schema), "features": copies + made}
    raw = transformer.apply(table, recipe)
    recipe["features"] = copies + [scaled for s in made if (scaled := _scaled(s, raw[s["name"]]))]
    return recipe, told


def _copy(column: Column) -> Spec:
    words = "marks rows where it was missing" if column.marks else f"{column.name} as prepared"
    more = {"categories": list(column.categories)} if column.categories else {}
    return {**described(column.name, "copy", [column.name], words, **more), "group": ""}


def _scaled(spec: Spec, values: pd.Series) -> Spec | None:
    """The spec with its limits, mean 0 and deviation 1 on these rows; None if it is the same in every row."""
    x = values.to_numpy(dtype=float)
    low, high = (float(q) for q in np.quantile(x, [0.005, 0.995], method="closest_observation"))
    if low == high:
        low, high = float(x.min()), float(x.max())
    cut = np.clip(x, low, high)
    center, scale = float(cut.mean()), float(cut.std())
    if not np.isfinite(scale) or scale <= 1e-9 * max(1.0, abs(center)):
        return None
    return {**spec, "low": low, "high": high, "center": center, "scale": scale}
