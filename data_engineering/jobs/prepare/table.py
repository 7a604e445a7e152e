"""Reading and cleaning in DuckDB, so that the table may be larger than memory. Columns are c0, c1, … inside; names stay outside."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

BLANK = " \t\n\r"
DELIMITERS = ",;\t|:^~"
READABLE = 0.99
"""The share of a column's values that must read as a number, a date or an e-mail address for the column to be one."""
# Read as in kit/data.py: the raw zone's objects and the job's parts must agree on what a date is.
DATES = ("%Y-%m", "%Y%m%d", "%d.%m.%Y", "%d-%b-%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")
SLASHED = (
    ("%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S"),
    ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S"),
)
BINNED = 10
"""A sensitive column of numbers with more values than this is cut at the quartiles of train."""


class BadInput(Exception):
    """The job cannot do its work: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


@dataclass(frozen=True)
class Plan:
    """What the table's columns are; the same keys as the plan's data block."""

    target: str
    positive: str = "1"
    problem: str = "classification"
    id: str = ""
    time: str = ""
    in_time_order: bool = False
    sensitive: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def classifies(self) -> bool:
        return self.problem == "classification"

    def words(self, column: str) -> list[str]:
        """The values that mean "missing" in the column."""
        return [*self.missing.get("*", ()), *self.missing.get(column, ())]


def plan(pieces: Sequence[str]) -> Plan:
    """The plan from `--plan`: the path of a JSON file, or JSON, which may come in pieces."""
    text = "".join(pieces)
    try:
        raw = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--plan cannot be read: {error}.", "Give the plan's data block as JSON, or a file with it."
        ) from None
    known = {f.name for f in fields(Plan)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items() if k in known}
    if not values.get("target"):
        raise BadInput("--plan names no target.", "Give the column to predict as target.")
    values["missing"] = {k: tuple(v) for k, v in raw.get("missing", {}).items()}
    return Plan(**values)


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def number(value: str) -> str:
    """SQL that reads text as a number; NULL if it is none, or not finite."""
    read = f"try_cast({value} as double)"
    return f"case when isfinite({read}) and not contains({value}, '_') then {read} end"


def load(db: Any, folder: Path, plan: Plan) -> list[str]:
    """Makes the table `raw` (n, c0, c1, …): all text, trimmed, NULL where missing. Returns the columns' names."""
    found = (
        sorted(p for p in folder.rglob("*") if p.is_file() and p.name[0] not in "._")
        if folder.is_dir()
        else []
    )
    parquet = [p for p in found if p.name.lower().endswith((".parquet", ".pq"))]
    text = [p for p in found if p.name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt", ".psv"))]
    if not parquet and not text:
        raise BadInput(f"{folder} has no CSV or Parquet file.", "Check the S3 prefix that the input names.")
    if parquet and text:
        raise BadInput(f"{folder} has both CSV and Parquet files.", "Give each its own prefix.")
    listed = f"[{', '.join(literal(str(p)) for p in parquet or text)}]"
    sql = f"read_parquet({listed}, union_by_name = true)" if parquet else csv_sql(text, listed)
    names = [row[0] for row in db.execute(f"describe select * from {sql}").fetchall()]
    check(names, plan)
    values = ", ".join(_value(name, plan.words(name)) + f" as c{at}" for at, name in enumerate(names))
    db.execute(f"create table raw as select row_number() over () as n, {values} from {sql}")
    if not db.execute("select count(*) from raw").fetchone()[0]:
        raise BadInput(f"{folder} has a header and no rows.", "Check what was put there.")
    return names


def csv_sql(files: Sequence[Path], listed: str) -> str:
    """The CSV files as SQL. Nothing is left to guessing: a guess is made from a sample, and a bad line then changes it."""
    heads = []
    for file in files:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            start = stream.read(1 << 16).decode("utf-8-sig", errors="replace")
        rows = {
            d: [r for r in csv.reader(io.StringIO(start, newline=""), delimiter=d) if r][:101]
            for d in DELIMITERS
        }
        alike = {
            d: sum(len(r) == len(rs[0]) for r in rs) / len(rs)
            for d, rs in rows.items()
            if rs and len(rs[0]) > 1
        }
        if not alike:
            raise BadInput(
                f"{file.name} has one column, or is empty.",
                "Separate columns by a comma, semicolon, tab or |.",
            )
        delimiter = max(alike, key=lambda d: (alike[d], len(rows[d][0])))
        heads.append((delimiter, [n.strip() or f"column{at}" for at, n in enumerate(rows[delimiter][0])]))
    if any(head != heads[0] for head in heads):
        raise BadInput(
            "The CSV files have different headers.", "Give all files the same columns in the same order."
        )
    delimiter, names = heads[0]
    columns = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in names)
    how = "auto_detect = false, header = true, quote = '\"', escape = '\"'"
    return f"read_csv({listed}, {how}, delim = {literal(delimiter)}, columns = {{{columns}}})"


def _value(name: str, words: Sequence[str]) -> str:
    text = f"""nullif(trim(cast("{name.replace('"', '""')}" as varchar), {literal(BLANK)}), '')"""
    tests = [f"{text} in ({', '.join(literal(w) for w in words)})"] if words else []
    numbers = [w for w in words if _is_number(w)]
    tests += [f"try_cast({text} as double) in ({', '.join(numbers)})"] if numbers else []
    return f"case when {' or '.join(tests)} then null else {text} end" if tests else text


def _is_number(word: str) -> bool:
    try:
        return abs(float(word)) < float("inf") and "_" not in word
    except ValueError:
        return False


def check(names: Sequence[str], plan: Plan) -> None:
    """Raises BadInput for the first column that the plan names and the table does not have."""
    named = [plan.target, plan.id, plan.time, *plan.sensitive, *plan.leave_out, *plan.missing]
    for column in named:
        if column not in ("", "*", *names):
            raise BadInput(f'The table has no column "{column}".', f"It has: {', '.join(names[:40])}.")


def copies(db: Any, names: Sequence[str]) -> int:
    """Makes the table `copies` (n) of the rows that are the same as an earlier row in every column; returns how many."""
    row = ", ".join(f"c{at}" for at in range(len(names)))
    db.execute(f"create table hashes as select n, hash({row}) as h from raw")
    db.execute(
        f"""create table copies as select n from (
            select n, row_number() over (partition by {row} order by n) as nth from raw
            where n in (select n from hashes where h in (select h from hashes group by h having count(*) > 1))
        ) where nth > 1"""
    )
    db.execute("drop table hashes")
    return int(db.execute("select count(*) from copies").fetchone()[0])


@dataclass(frozen=True)
class Facts:
    """What the values of a column look like. `kind`: number, date, e-mail, row number, text or empty."""

    kind: str
    there: int
    not_numeric: int
    distinct: int


def facts(db: Any, names: Sequence[str]) -> dict[str, Facts]:
    """What is in each column of `raw`. Dates are told by the first thousand rows, the rest by all."""
    every = range(len(names))
    dated = db.execute(
        "select "
        + ", ".join(
            f"greatest(count({moment(f'c{at}', SLASHED[0])}), count({moment(f'c{at}', SLASHED[1])})) / count(c{at})"
            for at in every
        )
        + " from (select * from raw order by n limit 1000)"
    ).fetchone()
    numbers = ", ".join(f"{number(f'c{at}')} as x{at}" for at in every)
    wanted = ", ".join(
        f"count(c{at}), count(x{at}), count(case when c{at} like '%_@_%._%' then 1 end), "
        f"approx_count_distinct(c{at}), max(x{at}) - min(x{at}) + 1, avg(x{at}) * 2 - max(x{at}) - min(x{at}), "
        f"count(case when x{at} = floor(x{at}) then 1 end)"
        for at in every
    )
    rows, *found = db.execute(f"select count(*), {wanted} from (select *, {numbers} from raw)").fetchone()
    result = {}
    for at, name in enumerate(names):
        there, numeric, mails, distinct, span, skew, whole = found[7 * at : 7 * at + 7]
        kind = "text"
        if not there:
            kind = "empty"
        elif numeric >= READABLE * there:
            consecutive = whole == rows == span and distinct > 0.9 * rows and abs(skew) < 1e-6 * rows
            kind = "row number" if consecutive and rows > BINNED else "number"
        elif mails >= READABLE * there:
            kind = "e-mail"
        elif (dated[at] or 0) >= READABLE:
            kind = "date"
        result[name] = Facts(kind, there, there - numeric, distinct)
    return result


def moment(text: str, slashed: Sequence[str] = ()) -> str:
    """SQL for a text as a timestamp: ISO 8601, one of `DATES` or of `slashed`; NULL if it is none.

    A year of two digits is none: it could be any part of the date.
    """
    # A format that does not fit is slow to find out: only those are tried that could.
    pairs = (("contains", slashed), ("not contains", DATES))
    tried = " ".join(
        f"when {where}({text}, '/') then try_strptime(trim({text}), [{', '.join(map(literal, formats))}])"
        for where, formats in pairs
        if formats
    )
    read = f"coalesce(try_cast({text} as timestamp), case {tried} end)"
    return f"case when year({read}) >= 1000 then {read} end"


def time_key(db: Any, column: str, kind: str) -> tuple[str, str]:
    """SQL that reads a column of times as a number that grows with time, and how it reads it.

    A number is taken as it is. A date with slashes is read day first or month first, by which reads more rows; if both read
    all, as month/day.
    """
    if kind in ("number", "row number"):
        return number(column), "a number"
    counted = ", ".join(f"count({moment(column, s)})" for s in ((), *SLASHED))
    plain, day, month = db.execute(f"select {counted} from raw").fetchone()
    chosen = SLASHED[0] if day > month else SLASHED[1]
    how = f"dates as {chosen[0]}" if max(day, month) > plain else "dates"
    return f"epoch({moment(column, chosen)})", how


def type_columns(
    db: Any, names: Sequence[str], plan: Plan, found: Mapping[str, Facts], features: Sequence[str], seed: int
) -> dict[str, Any]:
    """Makes the table `typed` without copies and without rows whose time cannot be read; returns what was done.

    `typed` has n (row of the input, from 1), r (a random 64-bit number, the same in every run), y, t, id, s0, s1, … (sensitive
    columns as text or number) and f0, f1, … (features).

    Raises:
        BadInput: the target has holes or one class, or times cannot be read.
    """
    at = {name: f"c{n}" for n, name in enumerate(names)}
    target = at[plan.target]
    y = number(target)
    if plan.classifies:
        same = f"{target} = {literal(plan.positive)}"
        if _is_number(plan.positive):
            same += f" or coalesce({number(target)} = {float(plan.positive)!r}, false)"
        y = f"case when {target} is not null then case when {same} then 1.0 else 0.0 end end"
    t, read_as = "cast(n as double)", "the order of the rows" if plan.in_time_order else ""
    if plan.time:
        t, read_as = time_key(db, at[plan.time], found[plan.time].kind)
    parts = [f"cast({y} as double) as y", f"cast({t} as double) as t"]
    parts += [f"md5_number_lower(n || '|{seed}') as r", f"{at[plan.id] if plan.id else 'null'} as id"]
    for prefix, columns in (("s", plan.sensitive), ("f", features)):
        for number_, name in enumerate(columns):
            value = number(at[name]) if found[name].kind == "number" else at[name]
            parts.append(f"{value} as {prefix}{number_}")
    kept = "from raw where n not in (select n from copies)"
    db.execute(f"create table typed as select n, {', '.join(parts)} {kept}")
    rows, answers, labels, times, positives = db.execute(
        "select count(*), count(y), count(distinct y), count(t), sum(y) from typed"
    ).fetchone()
    if answers < rows:
        raise BadInput(
            f"{rows - answers:,} of {rows:,} rows have no {plan.target}.",
            "Take them out, or fill in what is known: a row without an answer teaches nothing.",
        )
    if labels < 2:
        only = f'never "{plan.positive}"' if plan.classifies and not positives else "the same in every row"
        raise BadInput(
            f"The target {plan.target} is {only}.", "Check the target, and its positive label, in the plan."
        )
    if times < READABLE * rows:
        raise BadInput(
            f"{rows - times:,} of {rows:,} rows have no time in {plan.time} that can be read.",
            "Write dates as 2026-12-01, or leave the plan's time empty and set in_time_order.",
        )
    if times < rows:
        db.execute("delete from typed where t is null")
    return {"time_read_as": read_as, "rows_without_time": rows - times, "rows": times}
