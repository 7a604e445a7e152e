"""Turns rows into features, the same way in the job, in training and in serving: this file and transformer.json are the transformer.

    recipe = transformer.load(folder)
    features = transformer.features(rows, recipe)   # rows as they come: text, a column that lacks is missing
    features = transformer.apply(prepared, recipe)  # rows as the prepare job writes them

Nothing is learned here: every number comes from transformer.json. It is text and not a pickle, so that any version of Python,
numpy (1.26 or newer) and pandas (2.0 or newer) reads it, and opening it runs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MISSING, OTHER = "(missing)", "(other)"
BLANK = " \t\n\r"
BEFORE = "rows before"
"""The column with the number of earlier rows of a row's id; computed from the rows at hand where it is not given."""


FOLD = "fold"
"""The column that says in which fold a row of train was dealt; other rows have none."""


class BadRows(ValueError):
    """The rows lack what a feature is made of."""


def load(folder: str | Path) -> dict[str, Any]:
    """The recipe in a folder."""
    recipe: dict[str, Any] = json.loads(Path(folder, "transformer.json").read_text(encoding="utf-8"))
    return recipe


def differences(recipe: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """The columns that features are made of and that rows of this schema lack, or have prepared in another way."""
    used = {source for spec in recipe["features"] for source in spec["sources"]}
    there = {spec["name"]: _told(spec) for spec in schema["features"]}
    asked = [s for s in recipe["prepared"]["features"] if {s["name"], s.get("indicator")} & used]
    return [spec["name"] for spec in asked if there.get(spec["name"]) != _told(spec)]


def _told(spec: Mapping[str, Any]) -> list[Any]:
    how = ("kind", "fill", "low", "high", "center", "scale", "indicator", "categories")
    return [spec.get(key) for key in how]


def features(rows: pd.DataFrame, recipe: Mapping[str, Any]) -> pd.DataFrame:
    """The features of rows as they come, one column each in the order of the recipe, with the index of `rows`.

    Raises:
        BadRows: the recipe counts an id's earlier rows, or reads a date, and the column is not there or is no ISO date.
    """
    return apply(prepared(rows, recipe), recipe)


def prepared(rows: pd.DataFrame, recipe: Mapping[str, Any]) -> pd.DataFrame:
    """Rows as they come, as the prepare job writes them: numbers filled, cut and scaled, categories among those of train."""
    schema = recipe["prepared"]
    out: dict[str, Any] = {
        n: rows[n] for n in (schema["row_number"], schema["id"], schema["time"], BEFORE) if n and n in rows
    }
    everywhere = schema["missing_words"].get("*", ())
    for spec in schema["features"]:
        name = spec["name"]
        words = {*everywhere, *schema["missing_words"].get(name, ())}
        marks = [mark for w in words if np.isfinite(mark := number(w))]
        given = rows[name] if name in rows else [None] * len(rows)
        text = [_text(v, words) for v in given]
        numbers = np.array([number(t) for t in text], dtype=float)
        numbers[np.isin(numbers, marks)] = np.nan
        if spec["kind"] == "numeric":
            filled = np.where(np.isnan(numbers), spec["fill"], numbers)
            out[name] = (np.clip(filled, spec["low"], spec["high"]) - spec["center"]) / spec["scale"]
            if "indicator" in spec:
                out[spec["indicator"]] = np.isnan(numbers).astype(float)
        else:
            known = set(spec["categories"][:-2])
            marked = {t for t in text if t is not None and number(t) in marks}
            out[name] = [MISSING if t is None or t in marked else t if t in known else OTHER for t in text]
    return pd.DataFrame(out, index=rows.index)


def _text(value: Any, words: set[str]) -> str | None:
    """A value as the text that the table had it as; None if it is missing."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    text = (str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)).strip(BLANK)
    return None if not text or text in words else text


def number(text: str | None) -> float:
    """Text as a finite number; NaN if it is none."""
    try:
        value = float(text) if text is not None and "_" not in text else np.nan
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan


def apply(table: pd.DataFrame, recipe: Mapping[str, Any]) -> pd.DataFrame:
    """The features of prepared rows. A row's features depend on that row alone, but for the number of its id's earlier rows."""
    out = {}
    for spec in recipe["features"]:
        value = FORMULAS[spec["formula"]](table, spec, recipe)
        if "scale" in spec:
            value = (np.clip(value, spec["low"], spec["high"]) - spec["center"]) / spec["scale"]
        out[spec["name"]] = value
    return pd.DataFrame(out, index=table.index)


def values(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column of numbers."""
    return np.asarray(table[name], dtype=float)


def copy(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> Any:
    """The column as it is."""
    (name,) = spec["sources"]
    return table[name].to_numpy() if "categories" in spec else values(table, name)


def power(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """A skewed column made more even. Source: Yeo and Johnson, "A new family of power transformations" (2000)."""
    x, p = values(table, spec["sources"][0]), spec["power"]
    up, down = np.log1p(np.maximum(x, 0)), np.log1p(np.maximum(-x, 0))
    high = up if abs(p) < 1e-12 else np.expm1(p * up) / p
    low = -down if abs(p - 2) < 1e-12 else -np.expm1((2 - p) * down) / (2 - p)
    return np.where(x >= 0, high, low)


def bend(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """What a column has above a point, else 0."""
    return np.maximum(values(table, spec["sources"][0]) - spec["at"], 0)


def encode(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """A category as a number: the mean target of its rows in train."""
    return looked_up(table[spec["sources"][-1]], table, spec)


def looked_up(keys: pd.Series, table: pd.DataFrame, spec: Mapping[str, Any]) -> np.ndarray:
    """The mean of each key; for rows that are in a fold, where the means were taken out of fold, that of the other folds."""

    def of(rows: Any, means: Any, otherwise: float) -> np.ndarray:
        found = keys[rows].map(dict(zip(spec["of"], means, strict=True)))
        return found.fillna(otherwise).to_numpy(dtype=float)

    everything = np.ones(len(keys), dtype=bool)
    if FOLD not in table or "held" not in spec:
        return of(everything, spec["means"], spec["otherwise"])
    out = np.zeros(len(keys))
    for at, (means, otherwise) in enumerate(spec["held"]):
        rows = (table[FOLD] == at).to_numpy()
        out[rows] = of(rows, means, otherwise)
    return out


def cross(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """Two columns together as a number: the mean target of the rows of their pair of values in train."""
    return looked_up(pairs(table, spec), table, spec)


def pairs(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.Series:
    """The pair of values of each row as text; numbers by the interval between the spec's `cuts` that they are in."""
    said = []
    for name in spec["sources"]:
        column = table[name]
        if name in spec["cuts"]:
            places = np.searchsorted(spec["cuts"][name], values(table, name), side="left")
            column = pd.Series(places.astype(str), table.index)
        said.append(column.astype(str))
    return said[0] + " | " + said[1]


def product(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """One column times another, both scaled."""
    first, second = spec["sources"]
    return values(table, first) * values(table, second)


def slope(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """A column times the mean target of a category: what a unit is worth may differ by category."""
    return values(table, spec["sources"][0]) * (
        looked_up(table[spec["sources"][1]], table, spec) - spec["otherwise"]
    )


def ratio(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """One column divided by another, both in their own units."""
    (a, b), (above, below) = spec["sources"], spec["units"]
    return (values(table, a) * above[1] + above[0]) / (values(table, b) * below[1] + below[0])


def before(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """The number of rows of the same id with an earlier time, as its logarithm of one more."""
    if BEFORE in table:
        return np.log1p(values(table, BEFORE))
    who, order = spec["sources"]
    if lacking := [name for name in (who, order) if name not in table]:
        raise BadRows(f"The rows lack {' and '.join(lacking)}: a feature counts the earlier rows of an id.")
    rank = moments(table, order).groupby(table[who].to_numpy(), dropna=True).rank(method="min")
    return np.log1p((rank - 1).fillna(0).to_numpy(dtype=float))


def change(spec: Mapping[str, Any]) -> str:
    """The column with a window's result, where it was computed beforehand."""
    return f"{spec['sources'][0]} since {spec['rows']} rows before"


def window(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """A number minus its mean in the last `rows` earlier rows of the same id; 0 where there is none."""
    if change(spec) in table:
        return values(table, change(spec))
    name, who, order = spec["sources"]
    if lacking := [column for column in (who, order) if column not in table]:
        raise BadRows(
            f"The rows lack {' and '.join(lacking)}: a feature compares a row with earlier rows of its id."
        )
    x = pd.Series(values(table, name))
    place = moments(table, order).sort_values(kind="stable").index
    groups = x.loc[place].groupby(table[who].to_numpy()[place])
    earlier = pd.concat([groups.shift(n) for n in range(1, spec["rows"] + 1)], axis=1).mean(axis=1)
    return (x - earlier.sort_index()).fillna(0).to_numpy(dtype=float)


def random(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """Numbers from 0 to 1 that follow from the row's number and say nothing."""
    x = np.sin(values(table, spec["sources"][0]) * 12.9898 + spec["seed"] * 78.233) * 43758.5453
    return np.asarray(x - np.floor(x))


PARTS: Mapping[str, tuple[Callable[[Any], Any], float]] = {
    "month": (lambda t: t.dt.month - 1, 12),
    "weekday": (lambda t: t.dt.weekday, 7),
    "hour": (lambda t: t.dt.hour, 24),
}
"""Parts of a date that come back, from 0, and after how many they do."""


def calendar(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """A part of the date as a point on a circle, so that December is next to January. No date: the middle, 0."""
    (name,) = spec["sources"]
    if name not in table:
        raise BadRows(f"The rows lack {name}: a feature is made of its {spec['part']}.")
    part, period = PARTS[spec["part"]]
    angle = part(moments(table, name)).to_numpy(dtype=float) * 2 * np.pi / period
    turned = np.cos(angle) if spec["circle"] == "cosine" else np.sin(angle)
    return np.nan_to_num(turned, nan=0.0)


def moments(table: pd.DataFrame, name: str) -> pd.Series:
    """A column of times: numbers, or dates, which as text are ISO dates such as 2026-12-01."""
    time = table[name].reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(time) or pd.api.types.is_datetime64_any_dtype(time):
        return time
    try:
        return pd.to_datetime(time, format="ISO8601")
    except ValueError:
        raise BadRows(f"{name} has text that is no ISO date: write dates as 2026-12-01.") from None


def component(table: pd.DataFrame, spec: Mapping[str, Any], _: Mapping[str, Any]) -> np.ndarray:
    """A direction in which several columns vary together (principal component)."""
    total = np.zeros(len(table))
    for name, weight in zip(spec["sources"], spec["weights"], strict=True):
        total += values(table, name) * weight
    return total


FORMULAS: Mapping[str, Callable[[pd.DataFrame, Mapping[str, Any], Mapping[str, Any]], Any]] = {
    "copy": copy,
    "power": power,
    "bend": bend,
    "encode": encode,
    "product": product,
    "slope": slope,
    "ratio": ratio,
    "before": before,
    "cross": cross,
    "window": window,
    "random": random,
    "calendar": calendar,
    "component": component,
}
