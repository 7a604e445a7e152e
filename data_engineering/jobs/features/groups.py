"""The groups of features of D3: what is made of prepared rows, and what of it is learned from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import transformer
from scipy import stats
from sklearn.preprocessing import PowerTransformer

Spec = dict[str, Any]

SKEWED = 0.75
SMOOTH = 20.0
"""A category's mean counts as if it had this many more rows of the overall mean."""
COMPONENTS = 5
"""The most components."""


@dataclass(frozen=True)
class Column:
    """A column that the prepare job wrote. Its own units are `value * scale + center`; `low` is its least value in them."""

    name: str
    categories: tuple[str, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    marks: bool = False


@dataclass(frozen=True)
class Given:
    """What a group is fitted on: prepared rows, answers, the columns in play, in their order and (`best`) by what they say, and the first
    of these."""

    table: pd.DataFrame
    y: np.ndarray
    columns: tuple[Column, ...]
    best: tuple[Column, ...]
    numbers: tuple[Column, ...]
    categories: tuple[Column, ...]
    id: str
    time: str
    order: str
    row: str


def powers(given: Given) -> list[Spec]:
    """Skewed columns made more even (Yeo-Johnson); each takes its column's place."""
    specs = []
    for column in given.columns:
        x = given.table[column.name]
        if column.categories or column.marks or x.nunique() <= 2 or abs(float(stats.skew(x))) < SKEWED:
            continue
        with np.errstate(all="ignore"):
            lam = float(PowerTransformer(standardize=False).fit(x.to_numpy(dtype=float)[:, None]).lambdas_[0])
        if np.isfinite(lam) and abs(lam) <= 10:
            words = f"{column.name} made more even (Yeo-Johnson, power {lam:.3g})"
            specs.append(described(f"{column.name}__power", "power", [column.name], words, power=lam))
    return specs


def bends(given: Given) -> list[Spec]:
    """What the strongest columns have above each of their quartiles: a straight line may then bend there."""
    specs = []
    for column in given.numbers:
        x = given.table[column.name].to_numpy(dtype=float)
        quartiles = np.quantile(x, [0.25, 0.5, 0.75], method="closest_observation")
        for n, at in enumerate(sorted({float(q) for q in quartiles if x.min() < q < x.max()}), 1):
            words = f"{column.name} above {at * column.scale + column.center:.4g}, else 0"
            specs.append(described(f"{column.name}__above_{n}", "bend", [column.name], words, at=at))
    return specs


def encodings(given: Given) -> list[Spec]:
    """Each category as the mean target of its rows."""
    return [
        described(
            f"{c.name}__mean",
            "encode",
            [c.name],
            f"mean target of the rows of a {c.name} in train",
            **means(given, c),
        )
        for c in given.columns
        if c.categories
    ]


def means(given: Given, column: Column) -> dict[str, Any]:
    overall = float(given.y.mean())
    rows = pd.Series(given.y).groupby(given.table[column.name].to_numpy()).agg(["sum", "count"])
    means = (rows["sum"] + SMOOTH * overall) / (rows["count"] + SMOOTH)
    return {"of": [str(v) for v in means.index], "means": means.tolist(), "otherwise": overall}


def products(given: Given) -> list[Spec]:
    """The strongest columns times each other, and times the mean of the strongest categories."""
    specs = [
        described(
            f"{a.name}__x__{b.name}", "product", [a.name, b.name], f"{a.name} times {b.name}, both scaled"
        )
        for a, b in itertools.combinations(given.numbers, 2)
    ]
    for number, category in itertools.product(given.numbers, given.categories):
        words = f"{number.name}, scaled, times how far the mean target of its {category.name} is from the overall mean"
        sources = [number.name, category.name]
        specs.append(
            described(
                f"{number.name}__by__{category.name}", "slope", sources, words, **means(given, category)
            )
        )
    return specs


def ratios(given: Given) -> list[Spec]:
    """The strongest columns divided by each other, where the lower one is never 0 or less in train."""
    return [
        described(
            f"{a.name}__per__{b.name}",
            "ratio",
            [a.name, b.name],
            f"{a.name} divided by {b.name}",
            units=[[a.center, a.scale], [b.center, b.scale]],
        )
        for a, b in itertools.permutations(given.numbers, 2)
        if b.low > 0
    ]


def history(given: Given) -> list[Spec]:
    """How many rows the id had before; the rows of the same time and later ones do not count."""
    words = "logarithm of one more than the number of rows of the same id with an earlier time"
    if transformer.BEFORE not in given.table:
        return []
    return [described("rows_before", "before", [given.id, given.order], words)]


def calendar(given: Given) -> list[Spec]:
    """Parts of the date that vary in train, as points on a circle."""
    if not given.time or not pd.api.types.is_datetime64_any_dtype(given.table[given.time]):
        return []
    specs, time = [], given.table[given.time]
    monthly = time.dt.day.nunique() == 1  # a weekday of the first of the month says nothing
    parts = ["month"] if monthly else ["month", "weekday", "hour"]
    for part in parts:
        if transformer.PARTS[part][0](time).nunique() < 2:
            continue
        for circle in ("sine", "cosine"):
            words = f"{circle} of the {part} of {given.time} on a circle"
            name = f"{given.time}__{part}_{circle}"
            specs.append(described(name, "calendar", [given.time], words, part=part, circle=circle))
    return specs


def components(given: Given) -> list[Spec]:
    """The directions in which the columns of numbers vary most together (principal components)."""
    names = [c.name for c in given.columns if not c.categories and not c.marks]
    if len(names) < 3:
        return []
    x = given.table[names].to_numpy(dtype=float)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    specs = []
    for n in range(min(COMPONENTS, len(names))):
        vector = vectors[:, -1 - n]
        vector = vector * np.sign(vector[np.argmax(np.abs(vector))])  # a component has no sign of its own
        words = f"direction {n + 1} in which {len(names)} columns vary together (principal component)"
        specs.append(described(f"component_{n + 1}", "component", names, words, weights=vector.tolist()))
    return specs


def described(name: str, formula: str, sources: Sequence[str], words: str, **more: Any) -> Spec:
    return {"name": name, "formula": formula, "sources": list(sources), "words": words, **more}


GROUPS: Mapping[str, tuple[str, Callable[[Given], list[Spec]], str]] = {
    "powers": ("transformation", powers, "no column of numbers is skewed"),
    "bends": ("transformation", bends, "there are no columns of numbers"),
    "encodings": ("transformation", encodings, "there are no categories"),
    "products": ("creation", products, "fewer than two columns of numbers"),
    "ratios": ("creation", ratios, "no two columns of numbers of which one is above 0 everywhere"),
    "history": ("creation", history, "the plan names no id, or no order in time"),
    "calendar": ("creation", calendar, "the plan names no column of dates that vary"),
    "components": ("extraction", components, "fewer than three columns of numbers"),
}
"""The groups in the order in which they are tried: kind, what makes them, and why there may be none."""
