"""What is learned from train, and only from train: fills, limits, scales, categories, groups. The same as SQL."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from table import literal

ROWS = 2_000_000
"""Rows of train that fills, limits and scales are fitted on; a larger train is sampled, the same way in every run."""
MISSING, OTHER = "(missing)", "(other)"
CATEGORIES = 100
"""The most categories a column keeps, the most frequent first; the rest is `OTHER`."""


def sample(db: Any, column: str, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """A column of train and the target, in the order of rows; beyond `limit` rows a sample by the rows' random number."""
    rows = db.execute("select count(*) from final where s = 0").fetchone()[0]
    step = -(-rows // limit)
    query = f"select {column}, y from final where s = 0 and r % {step} = 0 order by n"
    found = db.execute(query).fetchnumpy()
    values = found[column]
    if isinstance(values, np.ma.MaskedArray):
        values = values.filled(np.nan if values.dtype.kind == "f" else None)
    return values, np.asarray(found["y"], dtype=float)


def counts(db: Any, column: str) -> list[tuple[str | None, int]]:
    query = f"select {column}, count(*) from final where s = 0 group by 1 order by 2 desc, 1"
    return db.execute(query).fetchall()


def numeric(values: np.ndarray, winsor: float, scale: bool) -> dict[str, Any] | str:
    """The specification of a column of numbers from its values in train (NaN: missing), or why it cannot be a feature.

    Winsorised at the quantiles `winsor` and 1 - `winsor`, unless that would leave one value; then filled with the median,
    centred by the mean and divided by the standard deviation (of the winsorised and filled values).
    """
    x = np.sort(values[~np.isnan(values)])  # sorted: sums do not depend on the order that threads deliver
    if not len(x):
        return "empty in train"
    low, high = (float(q) for q in np.quantile(x, [winsor, 1 - winsor], method="closest_observation"))
    if low == high:
        low, high = float(x[0]), float(x[-1])
    holes = len(values) - len(x)
    if low == high and not holes:
        return "the same in every row of train"
    fill = float(np.median(x))
    clipped = np.sort(np.concatenate([np.clip(x, low, high), np.full(holes, np.clip(fill, low, high))]))
    center, spread = float(clipped.mean()), float(clipped.std())
    if spread <= 1e-9 * abs(center):  # one value, but for the rounding of its mean
        center, spread = low, 1.0
    return {
        "kind": "numeric",
        "fill": fill,
        "low": low,
        "high": high,
        "center": center if scale else 0.0,
        "scale": spread if scale else 1.0,
        "missing_in_train": holes,
        "winsorised_in_train": int((x < low).sum() + (x > high).sum()),
    }


def category(counts: Sequence[tuple[str | None, int]]) -> dict[str, Any] | str:
    """The specification of a text column from its values in train, the most frequent first, or why it cannot be a feature."""
    holes = sum(rows for value, rows in counts if value is None)
    there = [(value, rows) for value, rows in counts if value is not None]
    rows = sum(r for _, r in there)
    if not there:
        return "empty in train"
    if len(there) == 1 and not holes:
        return "the same in every row of train"
    if len(there) > max(2, rows / 2):
        return f"text or identifiers: {len(there):,} different values in {rows:,} rows of train"
    kept = [value for value, _ in there[:CATEGORIES]]
    covered = sum(r for _, r in there[:CATEGORIES])
    if covered < rows / 2:
        return f"text or identifiers: its {CATEGORIES} most frequent values are {covered / rows:.0%} of train"
    return {
        "kind": "category",
        "categories": [*kept, MISSING, OTHER],
        "missing_in_train": holes,
        "other_in_train": rows - covered,
    }


def edges(values: np.ndarray) -> list[float]:
    """The quartiles of a sensitive column of numbers in train, each once."""
    there = values[~np.isnan(values)]
    if not len(there):
        return []
    return sorted({float(q) for q in np.quantile(there, [0.25, 0.5, 0.75], method="closest_observation")})


def numeric_sql(column: str, spec: Mapping[str, Any]) -> str:
    value = f"coalesce({column}, {spec['fill']!r})"
    clipped = f"least(greatest({value}, {spec['low']!r}), {spec['high']!r})"
    return f"({clipped} - {spec['center']!r}) / {spec['scale']!r}"


def category_sql(column: str, spec: Mapping[str, Any]) -> str:
    known = ", ".join(literal(c) for c in spec["categories"][:-2])
    text = literal(MISSING), literal(OTHER)
    return f"case when {column} is null then {text[0]} when {column} in ({known}) then {column} else {text[1]} end"


def group_sql(column: str, spec: Mapping[str, Any]) -> str:
    """A sensitive column as the name of its group."""
    if "edges" not in spec:
        return category_sql(column, {"categories": [*spec["groups"], MISSING, OTHER]})
    names = edge_names(spec["edges"])
    tests = [
        f"when {column} <= {edge!r} then {literal(name)}"
        for edge, name in zip(spec["edges"], names, strict=False)
    ]
    return (
        f"case when {column} is null then {literal(MISSING)} {' '.join(tests)} else {literal(names[-1])} end"
    )


def edge_names(edges: Sequence[float]) -> list[str]:
    """`["up to 33", "33 to 39", "over 39"]`: lower ends are not in the group, upper ends are."""
    if not edges:
        return ["all"]
    between = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    return [f"up to {edges[0]:g}", *between, f"over {edges[-1]:g}"]
