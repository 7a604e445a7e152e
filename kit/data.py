"""The table of the use case: where it is, whether it can be used as the plan describes it, and what is in it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import churn, plan
from kit.churn import Truths, generate, truths
from kit.errors import DataError, did_you_mean
from kit.table import Table, database, identifier, literal, table, unreadable

__all__ = ["Column", "Profile", "Truths", "arguments", "generate", "profile", "source", "truths"]

EXACT = 200_000_000
"""Bytes up to which distinct values are counted exactly; above, HyperLogLog estimates them within a few per cent."""
READABLE = 0.99
"""The share of a column's values that must read as a number (or a date) for the column to be one."""
DATES = ("%Y-%m", "%Y%m%d", "%d.%m.%Y", "%d-%b-%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")
"""How dates are written that are not ISO 8601 and can be read in one way only."""
SLASHED = {
    "day/month": ("%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S"),
    "month/day": ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S"),
}
"""Dates with slashes: a whole column is read in one of these ways, the one that reads more of it (see `Column.read_as`)."""
BOTH = "month/day; day/month fits too"


@dataclass(frozen=True)
class Column:
    """What is in a column. `kind` is "number", "date" or "text"; `missing` counts rows, empty or a word of the plan's.

    `read_as` says which comes first in dates with slashes: a key of `SLASHED`, or `BOTH` where all can be read either way.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    low: str
    high: str
    read_as: str = ""


@dataclass(frozen=True)
class Profile:
    """What is in a table. `target` has its most frequent values and their rows; `positive` counts rows, None for regression."""

    table: Table
    rows: int
    columns: tuple[Column, ...]
    target: Mapping[str, int]
    positive: int | None

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise DataError(f'{self.table.path.name} has no column "{name}".', did_you_mean(name, self.names))

    @property
    def names(self) -> list[str]:
        """The columns' names, in the table's order."""
        return [c.name for c in self.columns]

    @property
    def positive_share(self) -> float | None:
        """The share of rows with the positive label; None for regression."""
        return None if self.positive is None else self.positive / self.rows


def arguments(data: plan.Data) -> list[str]:
    """The plan's data block as JSON for a job's `--plan`, in pieces of up to 250 characters: SageMaker takes 256 a piece.

    No piece holds a "-": at its beginning, a job would take it for an option.
    """
    block = {f.name: getattr(data, f.name) for f in dataclasses.fields(data)}
    text = json.dumps(block, default=dict, separators=(",", ":")).replace("-", "\\u002d")
    return [text[at : at + 250] for at in range(0, len(text), 250)]


def source(plan: plan.Plan, home: Path) -> Path:
    """The file or folder that the event works on: the plan's own, or the generated table, written once to `home`/data.

    Raises:
        DataError: there is nothing where the plan says, or the table cannot be written.
    """
    if plan.data.source:
        path = Path(plan.data.source).expanduser()
        path = path if path.is_absolute() else plan.file.resolve().parent / path
        if not path.exists():
            near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = did_you_mean(path.name, [n for n in near if not n.startswith(".")])
            raise DataError(
                f"plan.yml › data › source: {path} does not exist.",
                hint
                if "Did you mean" in hint
                else "Give the path from the plan's folder, or leave it empty.",
            )
        return path
    path = home / "data" / f"churn-{plan.data.rows}.csv"
    if not path.is_file():
        try:
            _write(plan.data.rows, path)
        except ValueError as error:
            raise DataError(f"plan.yml › data › rows: {error}", "Ask for more rows.") from None
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}.", "Point KIT_HOME at a folder with room.") from None
    return path


def _write(rows: int, path: Path) -> None:
    """The generated table as CSV: under its name only once it is whole; two writers at once do no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        whole, part = Path(folder, "whole.csv"), Path(folder, "part.csv")
        with whole.open("wb") as out, database() as db:
            for number, chunk in enumerate(churn.chunks(rows)):
                db.register("chunk", chunk)
                db.execute(
                    f"copy (select * from chunk) to {literal(str(part))} (format csv, header {number == 0})"
                )
                out.write(part.read_bytes())
        whole.replace(path)


def profile(path: Path, data: plan.Data) -> Profile:
    """What is in the table at `path` (see `kit.table.table`), in bounded memory, and whether `data` can be made of it.

    Raises:
        DataError: the table cannot be read (missing, empty, one column, not UTF-8, ragged: the line is named), or it is not
            what `data` says: a column that does not exist, a target that is empty in places, has one class, no positive
            label, or is no number; a time column that holds no times.
    """
    import duckdb

    found = table(path)
    with database() as db:
        try:
            names = [row[0] for row in db.execute(f"describe select * from {found.sql}").fetchall()]
            _known(path, names, data)
            rows, columns = _columns(db, found, names, data)
            if not rows:
                raise DataError(
                    f"{path.name} has a header and no rows.", "Export the table again, rows and all."
                )
            return _fits(db, Profile(found, rows, columns, _target(db, found, data), None), data)
        except duckdb.Error as error:
            raise unreadable(path, str(error)) from None


def _value(column: str, missing: Mapping[str, Sequence[str]]) -> str:
    """A column's text as SQL: trimmed; NULL where it is empty or one of the plan's words for missing."""
    words = [literal(w) for w in (*missing.get("*", ()), *missing.get(column, ()))]
    text = f"nullif(trim(cast({identifier(column)} as varchar)), '')"
    return f"case when {text} in ({', '.join(words)}) then null else {text} end" if words else text


def _known(path: Path, names: Sequence[str], data: plan.Data) -> None:
    """Raises DataError for the first column that the plan names and the table does not have."""
    asked = [("target", data.target), ("id", data.id), ("time", data.time)]
    asked += [("sensitive", c) for c in data.sensitive] + [("leave_out", c) for c in data.leave_out]
    asked += [("missing", c) for c in data.missing if c != "*"]
    for key, column in asked:
        if column and column not in names:
            raise DataError(
                f'plan.yml › data › {key}: {path.name} has no column "{column}".', did_you_mean(column, names)
            )


def _columns(db: Any, table: Table, names: Sequence[str], data: plan.Data) -> tuple[int, tuple[Column, ...]]:
    """The rows, and what is in each column."""
    values = ", ".join(f"{_value(n, data.missing)} as v{at}" for at, n in enumerate(names))
    # Reading dates is slow: all rows only of the columns whose first thousand look like dates.
    looks = ", ".join(
        f"2 * greatest(count({moment(f'v{at}', 'day/month')}), count({moment(f'v{at}', 'month/day')})) > count(v{at})"
        for at in range(len(names))
    )
    dated = db.execute(f"select {looks} from (select {values} from {table.sql} limit 1000)").fetchone()
    distinct = "count(distinct" if table.bytes <= EXACT else "approx_count_distinct("
    facts = ", ".join(
        f"count(v{at}), count(case when isfinite(try_cast(v{at} as double)) then 1 end), "
        f"{', '.join(_dates(f'v{at}') if dated[at] else '000')}, {distinct} v{at}), min(v{at}), max(v{at}), "
        f"min(try_cast(v{at} as double)), max(try_cast(v{at} as double))"
        for at in range(len(names))
    )
    rows, *found = db.execute(f"select count(*), {facts} from (select {values} from {table.sql})").fetchone()
    return rows, tuple(_column(n, rows, found[10 * at : 10 * at + 10]) for at, n in enumerate(names))


def moment(text: str, read_as: str = "") -> str:
    """SQL for a text, given as SQL, as a timestamp: ISO 8601, one of `DATES`, or slashed as `read_as` says; NULL if it is none.

    A year of two digits is none: it could be any part of the date.
    """
    slashed = SLASHED.get("month/day" if read_as == BOTH else read_as, ())
    # A format that does not fit is slow to find out: only those are tried that could.
    pairs = (("contains", slashed), ("not contains", DATES))
    tried = " ".join(
        f"when {where}({text}, '/') then try_strptime(trim({text}), [{', '.join(map(literal, formats))}])"
        for where, formats in pairs
        if formats
    )
    read = f"coalesce(try_cast({text} as timestamp), case {tried} end)"
    return f"case when year({read}) >= 1000 then {read} end"


def _dates(text: str) -> tuple[str, str, str]:
    """How many values read as a date: without those with slashes, with day/month and with month/day, as SQL."""
    plain, day, month = (f"count({moment(text, way)})" for way in ("", *SLASHED))
    return plain, day, month


def _column(name: str, rows: int, facts: Sequence[Any]) -> Column:
    there, numbers, plain, day, month, distinct, low, high, least, most = facts
    kind, read_as = "text", ""
    if there and numbers >= READABLE * there:
        kind, low, high = "number", f"{least:.12g}", f"{most:.12g}"
    elif there and max(day, month) >= READABLE * there:
        kind = "date"
        if max(day, month) > plain:
            read_as = BOTH if day == month else "day/month" if day > month else "month/day"
    return Column(
        name, kind, rows - there, min(distinct, there), str(low or "")[:60], str(high or "")[:60], read_as
    )


def _target(db: Any, table: Table, data: plan.Data) -> dict[str, int]:
    """The target's most frequent values and their rows."""
    value = _value(data.target, data.missing)
    query = (
        f"select {value} as v, count(*) from {table.sql} group by v having v is not null order by 2 desc, 1"
    )
    return dict(db.execute(f"{query} limit 20").fetchall())


def _fits(db: Any, found: Profile, data: plan.Data) -> Profile:
    """The profile with its positive rows, if the table is what `data` says it is."""
    target, name, table = found[data.target], found.table.path.name, found.table.sql
    key = "plan.yml › data ›"
    if target.missing:
        numbered = f"select row_number() over () as n, {_value(data.target, data.missing)} as v from {table}"
        first = db.execute(f"select min(n) from ({numbered}) where v is null").fetchone()[0]
        raise DataError(
            f"{name}: {target.missing:,} of {found.rows:,} rows have no {data.target} (the first is row {first:,}).",
            "Fill in what is known and take the other rows out: a row without an answer teaches nothing.",
        )
    if target.distinct < 2:
        only = next(iter(found.target))
        raise DataError(
            f"{name}: {data.target} is {only} in every row.", "Take a longer period, or another target."
        )
    if data.time and found[data.time].kind == "text":
        values = f"select {_value(data.time, data.missing)} as v0 from {table}"
        found_none = [f"v0 is not null and {moment('v0', way)} is null" for way in SLASHED]
        rows, first = min(
            db.execute(f"select count(*), min(v0) from ({values}) where {unread}").fetchone()
            for unread in found_none
        )
        raise DataError(
            f'{key} time: {rows:,} rows of {data.time} hold no time, such as "{first[:60]}".',
            "Write dates as 2026-12-01, or leave `time` empty and set in_time_order.",
        )
    if data.problem == "regression":
        if target.kind != "number":
            raise DataError(
                f'{key} target: {data.target} is no number, such as "{target.low}".',
                "Set `problem: classification`, or name a column of numbers.",
            )
        return found
    value = _value(data.target, data.missing)
    same = f"v = {literal(data.positive)} or try_cast(v as double) = try_cast({literal(data.positive)} as double)"
    query = f"select count(*) from (select {value} as v from {table}) where {same}"
    positive = db.execute(query).fetchone()[0]
    if not positive:
        seen = ", ".join(list(found.target)[:5]) + (", …" if target.distinct > 5 else "")
        raise DataError(
            f'{key} positive: {data.target} is never "{data.positive}"; it is {seen}.',
            "Name one of these, or set `problem: regression` for a column of numbers.",
        )
    return dataclasses.replace(found, positive=positive)
