"""Models held against each other on the same rows: metrics with intervals, differences drawn in pairs, slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import metrics
import numpy as np
import pandas as pd

LEAST = 30
"""A slice of fewer rows is left out: it tells of nothing but chance."""


@dataclass(frozen=True)
class Scored:
    """A model on all rows: its metrics, their values in each draw, and their intervals."""

    rows: metrics.Rows
    values: dict[str, float]
    drawn: dict[str, np.ndarray]
    intervals: dict[str, dict[str, float]]


class Bench:
    """The rows, and a bootstrap whose draws are the same for all models, so that differences are of pairs.

    What is drawn is whole units: rows of one id are alike, and drawn one by one they would make chance look sure. The intervals are
    quantiles of the draws (percentile bootstrap: Efron and Tibshirani, "An introduction to the bootstrap", 1993).
    """

    def __init__(
        self, target: np.ndarray, units: pd.Series, problem: str, draws: int, confidence: float, seed: int
    ) -> None:
        self.target, self.problem, self.draws, self.seed = target, problem, draws, seed
        self.unit = pd.factorize(units)[0]
        self.units = int(self.unit.max()) + 1
        self.tails = [(1 - confidence) / 2, (1 + confidence) / 2]

    def times(self) -> Any:
        """How often each row counts, draw by draw: the same draws every time."""
        rng = np.random.default_rng(self.seed)
        for _ in range(self.draws):
            drawn = np.bincount(rng.integers(0, self.units, self.units), minlength=self.units)
            yield drawn[self.unit].astype(float)

    def interval(self, drawn: np.ndarray) -> dict[str, float]:
        """`low` and `high` of values drawn; draws that could not tell are left out."""
        there = drawn[np.isfinite(drawn)]
        low, high = np.quantile(there, self.tails) if len(there) else (np.nan, np.nan)
        return {"low": float(low), "high": float(high)}

    def model(self, scores: np.ndarray, threshold: float) -> Scored:
        """A model's metrics on all rows."""
        rows = metrics.Rows(self.target, scores, self.problem, threshold)
        values = rows.metrics()
        each = [rows.metrics(times) for times in self.times()]
        drawn = {name: np.array([one[name] for one in each]) for name in values}
        intervals = {name: {"value": values[name], **self.interval(drawn[name])} for name in values}
        return Scored(rows, values, drawn, intervals)

    def differences(self, found: Mapping[str, Scored], name: str, than: str) -> list[dict[str, Any]]:
        """How much more of each metric a model has than another on the same rows."""
        one, other = found[name], found[than]
        told = []
        for metric, value in one.values.items():
            between = self.interval(one.drawn[metric] - other.drawn[metric])
            entry: dict[str, Any] = {"metric": metric, "model": name, "than": than}
            entry |= {"difference": value - other.values[metric], **between}
            sure = metrics.better(metric, between["low"], between["high"])
            told.append({**metrics.plain(entry), "better": sure})
        return told

    def slices(self, columns: Mapping[str, np.ndarray], found: Mapping[str, Scored]) -> list[dict[str, Any]]:
        """Rows, mean target and metrics of each slice: of the rows with the same label in a column, labels in their order."""
        told: list[dict[str, Any]] = []
        parts: list[tuple[np.ndarray, dict[str, metrics.Rows]]] = []
        for column, labels in columns.items():
            for value in sorted(set(labels)):
                inside = np.flatnonzero(labels == value)
                if len(inside) < LEAST:
                    continue
                y = self.target[inside]
                rows = {
                    name: metrics.Rows(y, one.rows.s[inside], self.problem, one.rows.threshold)
                    for name, one in found.items()
                }
                parts.append((inside, rows))
                about = {"column": column, "value": str(value), "rows": len(inside), "share": float(y.mean())}
                told.append(
                    {**about, "models": {name: metrics.plain(one.metrics()) for name, one in rows.items()}}
                )
        drawn = np.array(
            [[one.main(times[at]) for at, rows in parts for one in rows.values()] for times in self.times()]
        )
        each = iter(drawn.T)
        for entry in told:
            for model in entry["models"].values():
                model["interval"] = metrics.plain(self.interval(next(each)))
        return told
