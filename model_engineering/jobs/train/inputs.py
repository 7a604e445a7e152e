"""What goes in: the splits with their schema, the transformer that made their features, and what a request will have to hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inference
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import transformer


class BadInput(Exception):
    """The job cannot do its work: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


@dataclass(frozen=True)
class Part:
    """A split: its features, its target, what each row weighs, and the groups of sensitive columns."""

    features: pd.DataFrame
    target: np.ndarray
    weight: np.ndarray
    groups: dict[str, np.ndarray]


def schema(folders: Sequence[Path]) -> dict[str, Any]:
    """The schema in the first of the folders that has one."""
    for folder in folders:
        if (file := folder / "schema.json").is_file():
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
    raise BadInput(
        f"There is no schema.json in {' or '.join(str(f) for f in folders)}.",
        "Give the channel schema the report folder of the prepare job.",
    )


def recipe(folder: Path, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer that made the features; without one the columns of the schema are the features, as they are."""
    own = copies(schema)
    if not folder.is_dir():
        return own
    try:
        found = transformer.load(folder)
        there = set(inference.names(found))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"The channel transformer cannot be read: {error}.",
            "Give it the folder that the features job wrote as transformer.",
        ) from None
    if differ := sorted(there ^ set(inference.names(own))):
        raise BadInput(
            f"Transformer and schema disagree on {', '.join(differ[:8])}.",
            "Take splits, schema and transformer of the same run of the features job.",
        )
    return found


def copies(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that leaves the columns of the prepare job's schema as they are."""
    features = []
    for spec in schema["features"]:
        for name in (spec["name"], spec.get("indicator")):
            more = {"categories": spec["categories"]} if "categories" in spec else {}
            features.append({"name": name, "formula": "copy", "sources": [name], **more})
    return {"version": 1, "prepared": dict(schema), "features": [f for f in features if f["name"]]}


def split(folder: Path, name: str, schema: Mapping[str, Any], recipe: Mapping[str, Any]) -> Part:
    """A split from the Parquet files of its channel."""
    files = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise BadInput(
            f"The channel {name} has no Parquet file.", "Give it the prepare job's output of that name."
        )
    features, groups = inference.names(recipe), [g["column"] for g in schema["groups"].values()]
    columns = [*features, schema["target"], schema["weight"], *groups]
    try:
        there = set.intersection(*(set(pq.read_schema(f).names) for f in files))
        wanted = [c for c in columns if c in there]
        table = pd.concat([pd.read_parquet(f, columns=wanted) for f in files], ignore_index=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"The channel {name} cannot be read: {error}.", "Run the prepare job again.") from None
    if lacking := [c for c in columns if c not in there]:
        raise BadInput(
            f"The channel {name} lacks {', '.join(lacking[:8])}.",
            "Train on splits and schema of the same run of the prepare job.",
        )
    if table.empty:
        raise BadInput(
            f"The channel {name} has no rows.", "Look at the split in the prepare job's report.json."
        )
    target = table[schema["target"]].to_numpy(dtype=float)
    if np.isnan(target).any():
        raise BadInput(
            f"Rows of {name} have no {schema['target']}.", "Run the prepare job again: it refuses such rows."
        )
    if schema["problem"] == "classification" and len(np.unique(target)) < 2:
        raise BadInput(
            f"Every row of {name} has the same {schema['target']}, {target[0]:g}.",
            "Take a longer period, or other shares for the splits.",
        )
    named = {n: table[g["column"]].to_numpy() for n, g in schema["groups"].items()}
    return Part(table[features], target, table[schema["weight"]].to_numpy(dtype=float), named)


def dated(folder: Path, column: str) -> bool:
    """Whether a split's column holds dates; otherwise it holds numbers, or is not there."""
    first = pq.read_schema(min(folder.rglob("*.parquet")))
    return column in first.names and pa.types.is_timestamp(first.field(column).type)


def request(recipe: Mapping[str, Any], *, dated: bool) -> dict[str, Any]:
    """The schema of requests: the prepare job's, of the columns that features are made of, and what of them a row must have.

    `columns` has their names in the order of a CSV without a header; `request` says of each: `kind` (number, category, date or
    text), whether a row `must` have it (`unless` another column is there), and what is done otherwise: `fill`, or `says`.
    """
    prepared = recipe["prepared"]
    used = {source for spec in recipe["features"] for source in spec["sources"]}
    specs = {s["name"]: s for s in prepared["features"] if {s["name"], s.get("indicator")} & used}
    asked: list[dict[str, Any]] = []
    for name in (c for c in prepared["columns"] if c in specs):
        number = specs[name]["kind"] == "numeric"
        kind, fill = ("number", specs[name]["fill"]) if number else ("category", transformer.MISSING)
        asked.append({"column": name, "kind": kind, "must": False, "fill": fill})
    formulas = {spec["formula"] for spec in recipe["features"]}
    compares, reads = "window" in formulas, "calendar" in formulas
    counts = "before" in formulas and not compares
    if counts or compares:
        says = f"send it and the earlier rows of the same {prepared['id']} along"
        more: dict[str, Any] = {"must": True, "says": says}
        if counts:
            says += f", or their number as {transformer.BEFORE!r}"
            more = {"must": True, "unless": transformer.BEFORE, "says": says}
        asked.append({"column": prepared["id"], "kind": "text", **more})
        if prepared["time"]:
            kind = "date" if dated else "number"
            asked.append({"column": prepared["time"], "kind": kind, **more})
    if reads:
        says = "features are made of its date; send it as 2026-12-01, or null if nobody knows it"
        asked = [one for one in asked if one["column"] != prepared["time"]]
        asked.append({"column": prepared["time"], "kind": "date", "must": True, "says": says})
    columns = [one["column"] for one in asked]
    if counts:
        says = "the number of earlier rows of the row's id; without it they are counted among those of the request"
        asked.append({"column": transformer.BEFORE, "kind": "number", "must": False, "says": says})
    return {**prepared, "columns": columns, "features": list(specs.values()), "request": asked}
