"""Rows changed on purpose, to see what a model makes of them. All on rows as the prepare job writes them; pure functions.

The idea of tests of behaviour (invariance, direction) is Ribeiro and others', "Beyond accuracy: behavioral testing of NLP models with
CheckList" (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

Table = pd.DataFrame
Specs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Stack:
    """Copies of rows under each other, each with its own row numbers and ids, so that one pass scores them all."""

    table: Table
    names: tuple[str, ...]
    span: int
    """What is added to the row numbers from one copy to the next."""

    def of(self, scores: pd.Series, name: str, numbers: np.ndarray) -> np.ndarray:
        """The scores of a copy, in the order of the original row numbers."""
        return np.asarray(scores.loc[numbers + self.names.index(name) * self.span], dtype=float)


def stacked(copies: Mapping[str, Table], row_number: str, id: str) -> Stack:
    """The copies under each other; `id` is "" where the schema names none."""
    span = 1 + max(int(one[row_number].max()) for one in copies.values())
    parts = []
    for n, one in enumerate(copies.values()):
        part = one.assign(**{row_number: one[row_number] + n * span})
        if id:
            part[id] = f"{n}|" + part[id].astype("string")
        parts.append(part)
    return Stack(pd.concat(parts, ignore_index=True), tuple(copies), span)


def numeric(specs: Specs) -> list[Mapping[str, Any]]:
    """The specifications of numbers."""
    return [spec for spec in specs if spec["kind"] == "numeric"]


def within(spec: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
    """Scaled values cut as the prepare job cuts them."""
    low, high = ((spec[end] - spec["center"]) / spec["scale"] for end in ("low", "high"))
    return np.clip(values, low, high)


def noisy(table: Table, specs: Specs, rng: np.random.Generator, size: float) -> Table:
    """Normal noise of `size` standard deviations on every number."""
    changed = {
        s["name"]: within(s, table[s["name"]] + rng.normal(0, size, len(table))) for s in numeric(specs)
    }
    return table.assign(**changed)


def shifted(table: Table, specs: Specs, by: float) -> Table:
    """Every number moved by `by` standard deviations."""
    return table.assign(**{s["name"]: within(s, table[s["name"]] + by) for s in numeric(specs)})


def emptied(table: Table, specs: Specs, rng: np.random.Generator, share: float) -> Table:
    """A share of the values of each column taken away, and filled as the prepare job fills."""
    out = table.copy()
    for spec in specs:
        gone = rng.random(len(table)) < share
        if spec["kind"] == "numeric":
            fill = (np.clip(spec["fill"], spec["low"], spec["high"]) - spec["center"]) / spec["scale"]
            out.loc[gone, spec["name"]] = fill
            if "indicator" in spec:
                out.loc[gone, spec["indicator"]] = 1.0
        else:
            out.loc[gone, spec["name"]] = spec["categories"][-2]
    return out


def unseen(table: Table, specs: Specs, rng: np.random.Generator, share: float) -> Table:
    """A share of the values of each category replaced by one that train has not."""
    out = table.copy()
    for spec in specs:
        if spec["kind"] != "numeric":
            out.loc[rng.random(len(table)) < share, spec["name"]] = spec["categories"][-1]
    return out


def swapped(table: Table, spec: Mapping[str, Any], rng: np.random.Generator) -> Table:
    """One column with the values of other rows."""
    return table.assign(**{spec["name"]: rng.permutation(table[spec["name"]].to_numpy())})


def expected(
    table: Table, target: np.ndarray, specs: Specs, given: Mapping[str, str], least: float, most: int
) -> dict[str, int]:
    """Which way the score should go when a number rises: +1 or -1.

    What people gave (`{"column": "up"}`) counts; then the numbers whose rank correlation with the target is at least `least`, the
    strongest first, `most` in all.

    Raises:
        KeyError: a column was given that is no number of the schema.
    """
    names = [spec["name"] for spec in numeric(specs)]
    if unknown := sorted(set(given) - set(names)):
        raise KeyError(unknown[0])
    found = {name: 1 if way == "up" else -1 for name, way in given.items()}
    rho = {n: float(stats.spearmanr(table[n], target)[0]) for n in names if table[n].nunique() > 1}
    strong = sorted((n for n in rho if abs(rho[n]) >= least and n not in found), key=lambda n: -abs(rho[n]))
    return found | {n: 1 if rho[n] > 0 else -1 for n in strong[: max(0, most - len(found))]}


CHANGES: Mapping[str, Callable[[Table, Specs, np.random.Generator], Table]] = {
    "noise": lambda table, specs, rng: noisy(table, specs, rng, 0.1),
    "missing": lambda table, specs, rng: emptied(table, specs, rng, 0.1),
    "unseen": lambda table, specs, rng: unseen(table, specs, rng, 0.1),
    "shift": lambda table, specs, rng: shifted(table, specs, 0.5),
}
"""What happens to rows in the world: noise of a tenth of a standard deviation, every tenth value missing, every tenth category unknown,
all numbers moved by half a standard deviation."""
