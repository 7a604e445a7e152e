"""Reading what the prepare job wrote: which files, whether they fit, and the rows of train that are looked at."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deep
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import recipe
import transformer


class BadInput(Exception):
    """The job cannot do its work: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


SPLITS = ("train", "validation", "test")


def schema(folder: Path) -> dict[str, Any]:
    file = folder / "schema.json" if folder.is_dir() else folder
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        roles(found)
        if recipe.columns(found) and found["problem"] in ("classification", "regression"):
            return found
        raise KeyError
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            f"{file} is no schema of the prepare job.", "Give --schema what D2 handed over as schema."
        ) from None


def files(folder: Path, name: str, schema: Mapping[str, Any]) -> list[Path]:
    found = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    if not found:
        raise BadInput(f"{name} has no Parquet file.", "Give it the prepare job's output of that name.")
    try:
        there = set.intersection(*(set(pq.read_schema(f).names) for f in found))
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(f"{name} cannot be read: {error}.", "Run the prepare job again.") from None
    wanted = [c.name for c in recipe.columns(schema)] + roles(schema)
    if lacking := [c for c in wanted if c not in there]:
        raise BadInput(
            f"{name} lacks {', '.join(lacking[:8])}.",
            "Take splits and schema of the same run of the prepare job.",
        )
    return found


def roles(schema: Mapping[str, Any]) -> list[str]:
    """The columns that are no features and go along: row number, id, time, groups, target, weight, mark of synthetic rows."""
    named = [schema["row_number"], schema["id"], schema["time"]]
    named += [g["column"] for g in schema["groups"].values()]
    named += [schema["target"], schema["weight"], schema.get("synthetic", "")]
    return [n for n in dict.fromkeys(named) if n]


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(file: Path) -> str:
    return "'" + str(file).replace("'", "''") + "'"


def read(files: Sequence[Path]) -> str:
    return f"read_parquet([{', '.join(literal(f) for f in files)}])"


def count(db: Any, files: Sequence[Path], where: str = "true") -> int:
    return int(db.execute(f"select count(*) from {read(files)} where {where}").fetchone()[0])


def real(schema: Mapping[str, Any]) -> str:
    """Rows that were recorded, as SQL: not those that the prepare job made itself (SMOTE)."""
    return f"not {identifier(schema['synthetic'])}" if schema.get("synthetic") else "true"


def unit(schema: Mapping[str, Any]) -> str:
    """Who a row is about, as SQL; a row without an id is about nobody else."""
    alone = f"'#' || {identifier(schema['row_number'])}"
    return f"coalesce(cast({identifier(schema['id'])} as varchar), {alone})" if schema["id"] else alone


def with_history(
    files: Sequence[Path],
    schema: Mapping[str, Any],
    order: str,
    windows: Sequence[Mapping[str, Any]] = (),
    *,
    folds: bool = True,
) -> str:
    """The rows of Parquet files as SQL, with what a feature may need of other rows.

    That is where there are an id and an order in time the number of earlier rows of the row's id, and for each of the features `windows`
    the mean of the number in these; and for means of the target the row's fold.
    """
    added = []
    if folds:
        added.append(
            f"md5_number_lower({unit(schema)} || '|fold') % {deep.FOLDS} as {identifier(transformer.FOLD)}"
        )
    if schema["id"] and order:
        who, when = identifier(schema["id"]), f"{identifier(order)} nulls last"
        rank = f"rank() over (partition by {who} order by {when}) - 1"
        added.append(f"case when {who} is null then 0 else {rank} end as {identifier(transformer.BEFORE)}")
        inside = f"partition by {who} order by {when}, {identifier(schema['row_number'])}"
        for spec in windows:
            number, there = (
                identifier(spec["sources"][0]),
                f"rows between {spec['rows']} preceding and 1 preceding",
            )
            mean = f"avg({number}) over ({inside} {there})"
            change = f"case when {who} is null then 0 else coalesce({number} - {mean}, 0) end"
            added.append(f"{change} as {identifier(transformer.change(spec))}")
    return f"(select *{''.join(f', {one}' for one in added)} from {read(files)})"


@dataclass(frozen=True)
class Seen:
    """The rows of train that are judged and fitted on, in the order of the input."""

    table: pd.DataFrame
    y: np.ndarray
    weight: np.ndarray
    ids: np.ndarray
    times: np.ndarray | None

    def fit(
        self, schema: Mapping[str, Any], groups: Sequence[str], *, select: bool, seed: int
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return recipe.fit(self.table, self.y, self.ids, schema, groups, select=select, seed=seed)

    def part(self, places: np.ndarray) -> Seen:
        times = None if self.times is None else self.times[places]
        table = self.table.iloc[places].reset_index(drop=True)
        return Seen(table, self.y[places], self.weight[places], self.ids[places], times)


def sample(
    db: Any,
    files: Sequence[Path],
    rows: int,
    schema: Mapping[str, Any],
    order: str,
    chosen: argparse.Namespace,
) -> Seen:
    """All `rows` recorded rows of train, or about --sample of them: those of whole ids, the same in every run.

    Synthetic rows are left out: they are made of others, and would be held back in one fold and known from the next.
    """
    number, who = identifier(schema["row_number"]), unit(schema)
    share = min(1.0, chosen.sample / rows)
    some = f"md5_number_lower({who} || '|{chosen.seed}') % 1000003 < {share * 1_000_003!r}"
    query = f"select *, {who} as {identifier('id or row')} from {with_history(files, schema, order)} where {some} and {real(schema)}"
    table = db.execute(f"{query} order by {number}").df()
    features = [c.name for c in recipe.columns(schema)]
    y = table[schema["target"]].to_numpy(dtype=float)
    holes = [n for n in (*features, schema["target"], schema["weight"]) if table[n].isna().any()]
    if holes:
        raise BadInput(
            f"Rows of train have no {', '.join(holes[:8])}.", "Run the prepare job again: it leaves no holes."
        )
    if len(np.unique(y)) < 2:
        raise BadInput(
            "Every row of train has the same answer.", "Take a longer period, or a larger --sample."
        )
    ids = pd.factorize(table.pop("id or row"))[0]
    times = pd.factorize(table[order], sort=True)[0] if order else None
    return Seen(table, y, table[schema["weight"]].to_numpy(dtype=float), ids, times)
