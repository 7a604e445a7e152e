"""The raw zone: the table cut into objects of one period each, what S3 gives back of them, and how it looks over time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import data, plan
from kit.table import database, identifier, literal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["FEW", "Layout", "cut", "digest", "draw", "fetched", "moment", "over_time", "positive"]

FEW = 400
"""A time column of numbers with so many distinct ones or fewer cuts the table by its numbers."""
FOLDER = "part of the raw zone"


@dataclass(frozen=True)
class Layout:
    """Which object a row lies in: an SQL expression over the source's columns, and what it goes by."""

    part: str
    by_time: bool

    @classmethod
    def of(cls, found: data.Profile, block: plan.Data, period: str, rows_per_object: int) -> Layout:
        """By period of the time column, or, where there is none that tells periods, by so many rows in the file's order."""
        time = identifier(block.time)
        if block.time and found[block.time].kind == "date":
            return cls(f"coalesce(strftime({moment(found[block.time])}, {literal(period)}), 'undated')", True)
        if block.time and found[block.time].distinct <= FEW:
            return cls(f"coalesce(nullif(trim(cast({time} as varchar)), ''), 'undated')", True)
        return cls(f"format('{{:05d}}', (row_number() over () - 1) // {rows_per_object})", False)


def moment(column: data.Column) -> str:
    """SQL for the time in a column of dates; NULL where it holds none (see `kit.data.moment`)."""
    return data.moment(f"cast({identifier(column.name)} as varchar)", column.read_as)


def positive(block: plan.Data) -> str:
    """SQL that is true where a row has the plan's positive label; numbers are compared as numbers."""
    label, yes = identifier(block.target), literal(block.positive)
    return f"coalesce({label} = {yes} or try_cast({label} as double) = try_cast({yes} as double), false)"


def cut(found: data.Profile, layout: Layout, folder: Path) -> dict[Path, dict[str, Any]]:
    """The table as Parquet files in `folder`, streamed from disk to disk: rows, bytes and sha256 of each.

    One thread writes them, so that the same table gives the same files, byte for byte.
    """
    options = f"format parquet, compression zstd, partition_by ({identifier(FOLDER)}), filename_pattern 'rows-{{i}}', return_stats"
    rows = f"select *, {layout.part} as {identifier(FOLDER)} from {found.table.sql}"
    with database() as db:
        db.execute("set threads = 1")
        written = db.execute(f"copy ({rows}) to {literal(str(folder))} ({options})").fetchall()
    return {
        Path(file): {"rows": count, "bytes": size, "sha256": digest(Path(file))}
        for file, count, size, *_ in sorted(written)
    }


def digest(file: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetched(
    s3: Any, bucket: str, prefix: str, folder: Path, config: Any
) -> tuple[set[tuple[str, int, str]], list[Mapping[str, Any]]]:
    """Everything below the prefix, downloaded to `folder`: (key, bytes, sha256) of each object, and what HeadObject says."""
    received, heads = set(), []
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
        file = folder / key.removeprefix(prefix)
        file.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(file), Config=config)
        heads.append(s3.head_object(Bucket=bucket, Key=key))
        received.add((key, file.stat().st_size, digest(file)))
    return received, heads


def over_time(files: list[Path], block: plan.Data, layout: Layout, rows: int) -> pd.DataFrame:
    """Rows and mean answer of each part of the raw zone; without a time column, of each twentieth of the file.

    Columns: part, rows, answer (the share of positive labels, or the mean of the target).
    """
    value = f"cast({positive(block)} as int)"
    if block.problem == "regression":
        value = f"try_cast({identifier(block.target)} as double)"
    part = 'parse_path("name of the object")[-2]'
    if not layout.by_time:
        part = f"format('{{:02d}}', 20 * (row_number() over () - 1) // {rows} + 1)"
    listed = ", ".join(literal(str(file)) for file in files)
    with database() as db:
        frame: pd.DataFrame = db.execute(
            f"""select part, count(*) as rows, avg(value) as answer from (
                select {part} as part, {value} as value
                from read_parquet([{listed}], filename = 'name of the object'))
            group by part order by part"""
        ).df()
    return frame


def draw(left: Axes, right: Axes, frame: pd.DataFrame, missing: pd.Series[float], answer: str) -> None:
    """`over_time` as bars and a line (`answer` says what it is); right: the missing values, %, of the worst ten columns."""
    left.bar(frame["part"], frame["rows"], color="lightsteelblue")
    left.set_xticks(range(0, len(frame), 1 + len(frame) // 25))
    left.tick_params(axis="x", rotation=60)
    line = left.twinx()
    line.plot(frame["part"], frame["answer"], color="darkred", marker="o")
    line.set_ylabel(answer, color="darkred")
    line.set_ylim(min(0, 1.1 * frame["answer"].min()), 1.1 * frame["answer"].max())
    worst = missing.sort_values().tail(10)
    right.barh(worst.index, worst, color="grey")
    right.set_xlim(0, max(5, worst.max()))
