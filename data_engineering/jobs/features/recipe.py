"""What is learned from rows: which columns say something, and the features made of them. Pure functions on tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import transformer
from scipy import stats
from sklearn.preprocessing import PowerTransformer

Spec = dict[str, Any]

BINS = 5
SURE = 0.01
"""The share of columns taken for informative that may be chance (Benjamini and Hochberg, 1995)."""
SKEWED = 0.75
SMOOTH = 20.0
"""A category's mean counts as if it had this many more rows of the overall mean."""
NUMBERS, CATEGORIES, COMPONENTS = 4, 2, 5
"""How many of the most informative columns features are created from, and the most components."""


@dataclass(frozen=True)
class Column:
    """A column that the prepare job wrote. Its own units are `value * scale + center`; `low` is its least value in them."""

    name: str
    categories: tuple[str, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    marks: bool = False


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


# --- the groups of features


@dataclass(frozen=True)
class Given:
    """What a group is fitted on: prepared rows, answers, the columns in play and those that say most, the best first."""

    table: pd.DataFrame
    y: np.ndarray
    columns: tuple[Column, ...]
    numbers: tuple[Column, ...]
    categories: tuple[Column, ...]
    id: str
    time: str
    order: str


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
            specs.append(_spec(f"{column.name}__power", "power", [column.name], words, power=lam))
    return specs


def bends(given: Given) -> list[Spec]:
    """What the strongest columns have above each of their quartiles: a straight line may then bend there."""
    specs = []
    for column in given.numbers:
        x = given.table[column.name].to_numpy(dtype=float)
        quartiles = np.quantile(x, [0.25, 0.5, 0.75], method="closest_observation")
        for n, at in enumerate(sorted({float(q) for q in quartiles if x.min() < q < x.max()}), 1):
            words = f"{column.name} above {at * column.scale + column.center:.4g}, else 0"
            specs.append(_spec(f"{column.name}__above_{n}", "bend", [column.name], words, at=at))
    return specs


def encodings(given: Given) -> list[Spec]:
    """Each category as the mean target of its rows."""
    return [
        _spec(
            f"{c.name}__mean",
            "encode",
            [c.name],
            f"mean target of the rows of a {c.name} in train",
            **_means(given, c),
        )
        for c in given.columns
        if c.categories
    ]


def _means(given: Given, column: Column) -> dict[str, Any]:
    overall = float(given.y.mean())
    rows = pd.Series(given.y).groupby(given.table[column.name].to_numpy()).agg(["sum", "count"])
    means = (rows["sum"] + SMOOTH * overall) / (rows["count"] + SMOOTH)
    return {"of": [str(v) for v in means.index], "means": means.tolist(), "otherwise": overall}


def products(given: Given) -> list[Spec]:
    """The strongest columns times each other, and times the mean of the strongest categories."""
    specs = [
        _spec(f"{a.name}__x__{b.name}", "product", [a.name, b.name], f"{a.name} times {b.name}, both scaled")
        for a, b in itertools.combinations(given.numbers, 2)
    ]
    for number, category in itertools.product(given.numbers, given.categories):
        words = f"{number.name}, scaled, times how far the mean target of its {category.name} is from the overall mean"
        sources = [number.name, category.name]
        specs.append(
            _spec(f"{number.name}__by__{category.name}", "slope", sources, words, **_means(given, category))
        )
    return specs


def ratios(given: Given) -> list[Spec]:
    """The strongest columns divided by each other, where the lower one is never 0 or less in train."""
    return [
        _spec(
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
    return [_spec("rows_before", "before", [given.id, given.order], words)]


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
            specs.append(_spec(name, "calendar", [given.time], words, part=part, circle=circle))
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
        specs.append(_spec(f"component_{n + 1}", "component", names, words, weights=vector.tolist()))
    return specs


def _spec(name: str, formula: str, sources: Sequence[str], words: str, **more: Any) -> Spec:
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
        tuple(numbers[:NUMBERS]),
        tuple(categories[:CATEGORIES]),
        schema["id"],
        schema["time"],
        schema["time"] or schema["row_number"],
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
    return {**_spec(column.name, "copy", [column.name], words, **more), "group": ""}


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
