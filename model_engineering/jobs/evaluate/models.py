"""What goes in: splits with their schemas, models' archives, and the scores that the models give to the rows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import score

SCRIPT = Path(__file__).with_name("score.py")


class BadInput(Exception):
    """The job cannot do its work: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


@dataclass(frozen=True)
class Split:
    """Rows in a folder of Parquet files, and what its columns are."""

    name: str
    folder: Path
    file: Path
    schema: dict[str, Any]

    @cached_property
    def table(self) -> pd.DataFrame:
        """All recorded rows; those that the prepare job made itself (SMOTE) are left out."""
        found: pd.DataFrame = score.table(self.folder)
        made = self.schema.get("synthetic", "")
        return found[~found[made].astype(bool)].reset_index(drop=True) if made in found else found


@dataclass(frozen=True)
class Result:
    """A model's scores by row number, the split that it took, and what its archive says of it."""

    scores: pd.Series
    split: str
    about: dict[str, Any]
    features: int


def splits(rows: Path, schemas: Path) -> list[Split]:
    """The split in `rows`, or one in each of its folders, in the order of their names."""
    folders = {p.name: p for p in sorted(rows.iterdir()) if p.is_dir()} if rows.is_dir() else {}
    if rows.is_dir() and any(rows.glob("*.parquet")):
        folders = {"": rows}
    found = []
    for name, folder in folders.items():
        if not any(folder.rglob("*.parquet")):
            raise BadInput(f"{folder} has no Parquet file.", "Give it a split of the prepare job.")
        file = schemas / name / "schema.json"
        try:
            schema = json.loads(file.read_text(encoding="utf-8"))
            found.append(Split(name, folder, file, schema))
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{file} cannot be read: {error}.", "Give --schema the same folders as --rows."
            ) from None
    if not found:
        raise BadInput(f"{rows} has no rows.", "Give --rows a split of the prepare job.")
    for split in found:
        check(split)
    return found


def check(split: Split) -> None:
    """Raises BadInput if the rows cannot tell models apart."""
    schema, where = split.schema, split.name or "The split"
    groups = [group["column"] for group in schema["groups"].values()]
    named = [schema[k] for k in ("row_number", "target", "weight", "id") if schema[k]]
    if lacking := [c for c in (*named, *groups) if c not in split.table]:
        raise BadInput(
            f"{where} lacks {', '.join(lacking[:8])}.", "Take split and schema of the same run of a job."
        )
    target = split.table[schema["target"]]
    if len(target) < 2 or target.isna().any() or target.nunique() < 2:
        raise BadInput(
            f"{where} has {len(target)} rows with {target.nunique()} different {schema['target']}.",
            "Take a longer period, or other shares for the splits.",
        )
    if split.table[schema["row_number"]].duplicated().any():
        raise BadInput(f"{where} has a row number twice.", "Give one split, not several of them.")


def archives(folder: Path) -> dict[str, Path]:
    """The archive of each model, by its folder's name."""
    folders = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    found = {}
    for one in folders:
        there = sorted(one.rglob("*.tar.gz"))
        if len(there) != 1:
            raise BadInput(
                f"The folder of model {one.name} has {len(there)} archives (.tar.gz).",
                "Give each model a folder of its own, with its model.tar.gz.",
            )
        found[one.name] = there[0]
    if not found:
        raise BadInput(f"{folder} has no models.", "Give it a folder for each model, with its model.tar.gz.")
    return found


def scored(
    archives: Mapping[str, Path], splits: Sequence[Split], raw: Path | None = None
) -> dict[str, Result]:
    """The scores of each model, by its own code in a process of its own; of the rows in `raw` if it fits none of the splits."""
    found = {}
    given = [str(p) for split in splits for p in (split.folder, split.file)]
    with tempfile.TemporaryDirectory(prefix="scores-") as scratch:
        for name, archive in archives.items():
            out = Path(scratch, "scores.parquet")
            command = [sys.executable, str(SCRIPT), str(archive), str(out), str(raw or "-"), *given]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == score.UNFIT:
                what, _, hint = done.stderr.strip().partition("\n")
                raise BadInput(f"Model {name}: {what}", hint)
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
                raise BadInput(
                    f"The code of model {name} failed: {last[0][:300]}",
                    "Try it on an endpoint, or train it again.",
                )
            told = json.loads(done.stdout.splitlines()[-1])
            scores = pd.read_parquet(out).set_index("row_number")["score"]
            if not np.isfinite(scores).all():
                raise BadInput(f"Model {name} gives scores that are no numbers.", "Train it again.")
            found[name] = Result(scores, splits[told["rows"]].name, told["about"], told["features"])
    return found


def joined(scored: Mapping[str, Result], splits: Sequence[Split]) -> pd.DataFrame:
    """The rows that are in all splits, in the order of their numbers, with a column of scores for each model."""
    first = splits[0]
    schema = first.schema
    columns = {"row_number": schema["row_number"], "target": schema["target"], "weight": schema["weight"]}
    columns |= {"id": schema["id"]} if schema["id"] else {}
    table = pd.DataFrame({name: first.table[column] for name, column in columns.items()})
    if schema["id"]:  # nobody's row is a unit of its own
        number = "#" + table["row_number"].astype(str)
        table["id"] = table["id"].astype("string").fillna(number).astype(str)
    for group in schema["groups"].values():
        table[group["column"]] = first.table[group["column"]]
    for split in splits[1:]:
        other = split.table.set_index(split.schema["row_number"])[split.schema["target"]]
        table = table[table["row_number"].isin(other.index)]
        differ = table["target"].to_numpy() != other.loc[table["row_number"]].to_numpy()
        if differ.any():
            raise BadInput(
                f"{split.name} and {first.name} disagree on the target of row {table['row_number'][differ].iloc[0]}.",
                "Take splits that were made of the same table.",
            )
    for name, result in scored.items():
        table[f"score {name}"] = result.scores.reindex(table["row_number"]).to_numpy()
    table = table.sort_values("row_number").reset_index(drop=True)
    if table["target"].nunique() < 2:
        raise BadInput(
            f"{len(table)} rows are in all splits, with {table['target'].nunique()} different targets.",
            "Take splits that were made of the same table: row numbers join them.",
        )
    return table
