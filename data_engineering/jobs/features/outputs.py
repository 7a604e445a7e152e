"""Writing: the splits with their features, the schema for training, and the feature dictionary."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import recipe
import splits
import transformer

BATCH = 65_536
"""Rows that are transformed at a time."""


def write_all(
    db: Any,
    files: Mapping[str, Sequence[Path]],
    folders: Mapping[str, Path],
    fitted: Mapping[str, Any],
    order: str,
    scratch: Path,
) -> dict[str, int]:
    """The splits with their features, batch by batch; returns their rows. What an earlier run left in a folder goes."""
    prepared, rows = fitted["prepared"], {}
    windows = [s for s in fitted["features"] if s["formula"] == "window"]
    counts = any(s["formula"] == "before" for s in fitted["features"]) or bool(windows)
    means = any("held" in s for s in fitted["features"])
    for name, listed in files.items():
        folds = means and name == "train"
        if counts or folds:
            copy = scratch / f"{name}.parquet"
            told = splits.with_history(listed, prepared, order, windows, folds=folds)
            query = f"select * from {told} order by {splits.identifier(prepared['row_number'])}"
            db.execute(f"copy ({query}) to {splits.literal(copy)} (format parquet)")
            listed = [copy]
        if folders[name].is_dir():
            shutil.rmtree(folders[name])
        folders[name].mkdir(parents=True)
        rows[name] = write(listed, folders[name] / "part-00000.parquet", fitted)
    return rows


def write(files: Sequence[Path], out: Path, fitted: Mapping[str, Any]) -> int:
    """One split: its roles as they are, and its features. Returns its rows."""
    rows, writer, roles = 0, None, splits.roles(fitted["prepared"])
    texts = {spec["name"] for spec in fitted["features"] if "categories" in spec}
    try:
        for file in files:
            with pq.ParquetFile(file) as source:
                for batch in source.iter_batches(BATCH):
                    made = transformer.apply(batch.to_pandas(), fitted)
                    columns = {name: batch.column(name) for name in roles}
                    for name in map(str, made):
                        kind = pa.string() if name in texts else pa.float64()
                        columns[name] = pa.array(made[name], kind)
                    table = pa.table(columns)
                    writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
                    writer.write_table(table)
                    rows += len(table)
    finally:
        if writer:
            writer.close()
    return rows


def schema(fitted: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the features, as training takes it. A model served with it takes rows of features, and leaves them as they are."""
    limit = sys.float_info.max
    features: list[dict[str, Any]] = []
    for spec in fitted["features"]:
        if "categories" in spec:
            features.append({"name": spec["name"], "kind": "category", "categories": spec["categories"]})
            continue
        same = {"fill": 0.0, "low": -limit, "high": limit, "center": 0.0, "scale": 1.0}
        features.append({"name": spec["name"], "kind": "numeric", **same, "missing_in_train": 0})
    names = [f["name"] for f in features]
    words = {"*": [transformer.MISSING]}
    return {**fitted["prepared"], "missing_words": words, "columns": names, "features": features}


def dictionary(fitted: Mapping[str, Any], on: str) -> list[dict[str, Any]]:
    """One row a feature: name, kind, formula in words, sources, what happens to what is missing, fitted on."""
    holes: dict[str, str] = {}
    for spec in fitted["prepared"]["features"]:
        rule = (
            f"missing: {spec['fill']:.6g}" if spec["kind"] == "numeric" else f"missing: {transformer.MISSING}"
        )
        holes[spec["name"]] = rule
        holes[spec.get("indicator", "")] = "1 where the value was missing, else 0"
    told = []
    for spec in fitted["features"]:
        group = spec["group"]
        rules = [
            f"{n}: {holes[n]}" if len(spec["sources"]) > 1 else holes[n]
            for n in spec["sources"]
            if n in holes
        ]
        told.append(
            {
                "name": spec["name"],
                "kind": recipe.GROUPS[group][0] if group else "selection",
                "formula": spec["words"] + (", cut at 0.5 % and 99.5 %, scaled" if "scale" in spec else ""),
                "sources": spec["sources"],
                "missing": "; ".join(rules[:5]) or "no earlier row known, or no date: 0 before scaling",
                "fitted_on": on if group else "train, by the prepare job",
            }
        )
    return told
