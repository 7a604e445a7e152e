"""Which segments fail, and how surely: every bin of a column and every pair of bins, each held against the rest of the rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

BINS = 5
"""Numbers are cut at the quintiles of train."""
LEAST = 50
SHARE = 0.01
"""A segment has at least `LEAST` rows and this share of the rows: below it no fix would be worth its trouble."""
PAIRED = 15
"""Pairs are made of the columns that tell most about the error alone; with more columns there would be too many looks."""
CANDIDATES = 200
Z = 1.96
"""95 % intervals."""


@dataclass(frozen=True)
class Cut:
    """A column as bins: how it is cut, and the name of each bin."""

    column: str
    title: str
    names: tuple[str, ...]
    edges: tuple[float, ...] = ()
    indicator: str = ""

    def codes(self, table: pd.DataFrame) -> np.ndarray:
        """The number of each row's bin; -1 where it has none."""
        if not self.edges:
            return np.asarray(pd.Categorical(table[self.column].astype(str), categories=self.names).codes)
        codes = np.searchsorted(self.edges, table[self.column].to_numpy(), side="left")
        if self.indicator:
            codes[table[self.indicator].to_numpy() > 0] = len(self.names) - 1
        return codes


@dataclass(frozen=True)
class Slice:
    """A segment: one or two bins, and how far its error is from that of the other rows."""

    terms: tuple[tuple[int, int], ...]
    name: str
    rows: int
    error: float
    rest: float
    low: float
    high: float
    p: float
    q: float = 1.0

    @property
    def difference(self) -> float:
        return self.error - self.rest


def cuts(table: pd.DataFrame, schema: dict[str, Any]) -> list[Cut]:
    """How each feature, and each sensitive column, is cut into bins. Numbers are named in their own units."""
    found = []
    for spec in schema["features"]:
        column = spec["name"]
        if spec["kind"] == "category":
            found.append(_categories(table, column, column))
            continue
        there = table[column]
        if spec.get("indicator"):
            there = there[table[spec["indicator"]] == 0]
        inner = (
            np.quantile(there, np.arange(1, BINS) / BINS, method="closest_observation") if len(there) else []
        )
        edges = [float(e) for e in sorted(set(inner)) if e < there.max()]
        if not edges:
            continue
        shown = [f"{round(e * spec['scale'] + spec['center'], 9) + 0.0:.4g}" for e in edges]
        names = [f"≤ {shown[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(shown)), f"> {shown[-1]}"]
        missing = ["missing"] * bool(spec.get("indicator"))
        found.append(Cut(column, column, (*names, *missing), tuple(edges), spec.get("indicator") or ""))
    found += [_categories(table, told["column"], name) for name, told in schema["groups"].items()]
    return found


def _categories(table: pd.DataFrame, column: str, title: str) -> Cut:
    counts = table[column].astype(str).value_counts()
    return Cut(column, title, tuple(sorted(counts.index[counts >= LEAST])))


def coded(found: list[Cut], table: pd.DataFrame) -> list[np.ndarray]:
    """The bin of each row, for each cut."""
    return [cut.codes(table) for cut in found]


def mask(one: Slice, codes: list[np.ndarray]) -> np.ndarray:
    """The rows of a segment."""
    inside = np.ones(len(codes[0]), dtype=bool)
    for at, number in one.terms:
        inside &= codes[at] == number
    return inside


def contrast(
    n: Any, total: Any, squares: Any, rows: int, whole: float, whole_squares: float
) -> tuple[Any, ...]:
    """Mean error inside and outside, the standard error of their difference (Welch), from counts, sums and squares."""
    m = rows - n
    inside, outside = total / n, (whole - total) / m
    spread = np.maximum(squares / n - inside**2, 0) / (n - 1) + np.maximum(
        (whole_squares - squares) / m - outside**2, 0
    ) / (m - 1)
    return inside, outside, np.sqrt(np.maximum(spread, 1e-18))


def adjusted(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg (1995), "Controlling the false discovery rate", J. R. Stat. Soc. B 57(1): of the segments with an
    adjusted p of at most 0.05, on average at most one in twenty is no segment that fails. It holds for looks that are
    independent or depend positively, as overlapping segments do."""
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    result = np.empty(len(p))
    result[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1)
    return result


def looks(found: list[Cut], codes: list[np.ndarray], error: np.ndarray, least: int = LEAST) -> list[Slice]:
    """Every segment with enough rows, with its interval and its p adjusted for all the looks (one-sided: it fails more)."""
    rows = len(error)
    least = max(least, round(SHARE * rows))
    whole, whole_squares = error.sum(), (error**2).sum()

    def tested(ats: tuple[int, ...]) -> list[Slice]:
        sizes = [len(found[at].names) for at in ats]
        if 0 in sizes:
            return []
        inside = np.all([codes[at] >= 0 for at in ats], axis=0)
        cell = np.ravel_multi_index([codes[at][inside] for at in ats], sizes)
        e = error[inside]
        n, total, squares = (
            np.bincount(cell, w, minlength=int(np.prod(sizes))) for w in (np.ones(len(e)), e, e**2)
        )
        kept = np.flatnonzero((n >= least) & (rows - n >= least))
        mean, rest, wide = contrast(n[kept], total[kept], squares[kept], rows, whole, whole_squares)
        off, reach = mean - rest, Z * wide
        bins = np.column_stack(np.unravel_index(kept, sizes))
        terms = [tuple((at, int(b)) for at, b in zip(ats, row, strict=True)) for row in bins]
        return [
            Slice(
                terms[i],
                " and ".join(f"{found[at].title}: {found[at].names[b]}" for at, b in terms[i]),
                rows=int(n[kept[i]]),
                error=float(mean[i]),
                rest=float(rest[i]),
                low=float(off[i] - reach[i]),
                high=float(off[i] + reach[i]),
                p=float(norm.sf(off[i] / wide[i])),
            )
            for i in range(len(kept))
        ]

    alone = [tested((at,)) for at in range(len(found))]
    telling = sorted(range(len(found)), key=lambda at: min((s.p for s in alone[at]), default=1.0))[:PAIRED]
    every = [s for some in alone for s in some]
    for pair in itertools.combinations(sorted(telling), 2):
        every += tested(pair)
    q = adjusted(np.array([s.p for s in every])) if every else np.zeros(0)
    return [replace(s, q=float(v)) for s, v in zip(every, q, strict=True)]


def worst(every: list[Slice], codes: list[np.ndarray], error: np.ndarray, most: int = 8) -> list[Slice]:
    """The segments that fail for sure (adjusted p at most 0.05), surest first, each one news.

    A segment is news if its rows that no worse segment holds still fail more than the other rows that none holds (z over 3),
    and are at least half of it. A pair of bins whose one bin alone fails as much is therefore not told again.
    """
    chosen: list[Slice] = []
    open_ = np.ones(len(error), dtype=bool)
    sure = sorted((s for s in every if s.q <= 0.05), key=lambda s: -s.difference / (s.high - s.low))[
        :CANDIDATES
    ]
    rows = {one: mask(one, codes) for one in sure}
    while len(chosen) < most and rows:
        told = {one: news(error, inside, open_) for one, inside in rows.items()}
        one = max(rows, key=lambda s: (told[s], -len(s.terms), s.name))
        if told[one] < 3:
            break
        chosen.append(one)
        open_ &= ~rows.pop(one)
    return chosen


def news(error: np.ndarray, inside: np.ndarray, open_: np.ndarray) -> float:
    """How many standard errors the segment's open rows fail more than the other open rows; 0 if most of it is taken."""
    n, whole = int((inside & open_).sum()), int(open_.sum())
    if 2 * n < inside.sum() or min(n, whole - n) < 30:
        return 0.0
    e, new = error[open_], error[inside & open_]
    a, b, wide = contrast(n, new.sum(), (new**2).sum(), whole, e.sum(), (e**2).sum())
    return float((a - b) / wide)


def parents(chosen: list[Slice], every: list[Slice]) -> list[Slice]:
    """The single bins of pairs: what a pair shows may be true of one of its bins as a whole."""
    wanted = {(term,) for one in chosen if len(one.terms) > 1 for term in one.terms} - {
        s.terms for s in chosen
    }
    return [s for s in every if s.terms in wanted]
