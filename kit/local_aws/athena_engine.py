"""Runs one query in a process of its own: mounts the tables that it reads in DuckDB and writes the result as Athena writes it.

`python -m kit.local_aws.athena_engine`: a line of JSON on stdin says what to do, a line on stdout what came of it. The process is
killed to stop a query, and it ends when its stdin is closed, that is when the server ends.

The job: {sql, tables, output, scratch, memory, threads, folders, copy}. A table: {database, name, format: parquet|csv|open_csv|json,
columns: [[name, DuckDB type]], partitions: the same, files: [[path, [partition values], uri]], options}. copy: {target, options}
writes files instead of a result. The answer: {columns: [[name, Athena type, precision, scale]], rows} or {error}.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

from kit.local_aws.athena_functions import MACROS
from kit.local_aws.athena_values import column_info, csv_line, hive_type, writer_of

__all__ = ["main"]

UNUSED = "\x1f"  # a delimiter that lines of text do not have
NO_NULL = "\x01\x02"  # what no field of a CSV file is
BATCH = 5000  # rows in memory at once
FAMILIES = (  # types of a Parquet file that Athena reads as one of the table
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"),
    ("FLOAT", "DOUBLE"),
    ("VARCHAR", "JSON", "UUID"),
    ("BOOLEAN",),
    ("DATE",),
    ("BLOB",),
    ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"),
)

Column = tuple[str, str]


class BadData(Exception):
    """What the files hold is not what the table says; the message is Athena's."""


def quoted(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string in SQL."""
    return "'" + value.replace("'", "''") + "'"


def listed(values: list[str]) -> str:
    """A list of strings in SQL."""
    return "[" + ", ".join(text(value) for value in values) + "]"


def strict(value: str, kind: str, number: int) -> str:
    """The value as a type of DuckDB, or Athena's error."""
    said = f"'HIVE_BAD_DATA: Error parsing field value ''' || {value} || ''' for field {number}'"
    return (
        f"CASE WHEN {value} IS NULL THEN NULL ELSE coalesce(try_cast({value} AS {kind}), error({said})) END"
    )


def parquet(con: Any, table: dict[str, Any], paths: list[str]) -> tuple[str, dict[str, str]]:
    """Where rows of Parquet files come from, and each column by its name whatever the case; one that no file has is null."""
    source = f"read_parquet({listed(paths)}, union_by_name=true, filename='_file')"
    described = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    held = {row[0].lower(): (row[0], str(row[1])) for row in described}
    columns = {}
    for name, kind in table["columns"]:
        found, of = held.get(name, ("", ""))
        if not found:
            columns[name] = f"CAST(NULL AS {kind})"
            continue
        families = [family for family in FAMILIES if kind in family]
        if of != kind and families and of not in families[0] and not of.startswith(("DECIMAL", "ENUM")):
            raise BadData(
                f"HIVE_BAD_DATA: Field {name}'s type {of} in parquet file {table['files'][0][2]}"
                f" is incompatible with type {kind.lower()} defined in table schema"
            )
        columns[name] = f"CAST({quoted(found)} AS {kind})"
    return source, columns


def plain_csv(table: dict[str, Any], paths: list[str]) -> tuple[str, dict[str, str]]:
    """LazySimpleSerDe: a line cut at each delimiter, no quotes; what cannot be read as its column's type is null."""
    options = table["options"]
    delimiter, escape, null = options["delimiter"], options["escape"], options["null"]
    unused = UNUSED if delimiter != UNUSED else "\x1e"
    source = (
        f"read_csv({listed(paths)}, skip={options['skip']}, header=false, delim={text(unused)}, quote='', escape='', comment='',"
        f" nullstr={text(NO_NULL)}, columns={{'line': 'VARCHAR'}}, auto_detect=false, strict_mode=false, max_line_size=33554432, filename='_file')"
    )
    line = "line"
    if escape:
        line = f"replace(line, {text(escape + delimiter)}, {text(unused)})"
    cut = f"string_split({line}, {text(delimiter)})"
    columns = {}
    for number, (name, kind) in enumerate(table["columns"], start=1):
        value = f"{cut}[{number}]"
        if escape:
            value = f"replace({value}, {text(unused)}, {text(delimiter)})"
        value = f"nullif({value}, {text(null)})"
        columns[name] = value if kind == "VARCHAR" else f"try_cast({value} AS {kind})"
    return source, columns


def open_csv(table: dict[str, Any], paths: list[str]) -> tuple[str, dict[str, str]]:
    """OpenCSVSerde: quotes and escapes; dates are days and timestamps milliseconds since 1970, and numbers must be numbers."""
    options = table["options"]
    names = [name for name, _ in table["columns"]]
    spare = max((_fields(path, options) for path in paths), default=0) - len(names)
    declared = [*names, *(f"_{i}" for i in range(spare))]
    escape = options["escape"]
    if not any(_holds(path, escape + options["quote"]) for path in paths):
        escape = options[
            "quote"
        ]  # the reader knows one way to write a quote within quotes, OpenCSV knows two
    columns_sql = ", ".join(f"{text(name)}: 'VARCHAR'" for name in declared)
    source = (
        f"read_csv({listed(paths)}, skip={options['skip']}, header=false, delim={text(options['delimiter'])}, comment='',"
        f" quote={text(options['quote'])}, escape={text(escape)}, nullstr={text(NO_NULL)}, columns={{{columns_sql}}},"
        " auto_detect=false, null_padding=true, strict_mode=false, max_line_size=33554432, filename='_file')"
    )
    columns = {}
    for number, (name, kind) in enumerate(table["columns"]):
        value = quoted(name)
        if kind == "DATE":
            columns[name] = f"DATE '1970-01-01' + {strict(value, 'INTEGER', number)}"
        elif kind == "TIMESTAMP":
            columns[name] = f"epoch_ms({strict(value, 'BIGINT', number)})"
        elif kind == "BOOLEAN":
            columns[name] = f"lower({value}) = 'true'"
        else:
            columns[name] = value if kind == "VARCHAR" else strict(value, kind, number)
    return source, columns


def _holds(path: str, sequence: str) -> bool:
    """Whether a file has these characters somewhere."""
    opener: Any = gzip.open if path.endswith(".gz") else open
    wanted = sequence.encode()
    with opener(path, "rb") as file:
        last = b""
        while chunk := file.read(1 << 20):
            if wanted in last + chunk:
                return True
            last = chunk[-len(wanted) :]
    return False


def _fields(path: str, options: dict[str, Any]) -> int:
    """How many fields the first line of a file has."""
    opener: Any = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.reader(
            file,
            delimiter=options["delimiter"],
            quotechar=options["quote"] or None,
            escapechar=options["escape"] if options["escape"] != options["quote"] else None,
        )
        return len(next(reader, []))


def json_lines(con: Any, table: dict[str, Any], paths: list[str]) -> tuple[str, dict[str, str]]:
    """A JSON object per line; names are found whatever their case."""
    ignore = table["options"].get("ignore", False)
    lines = f"read_ndjson_objects({listed(paths)}, ignore_errors={ignore}, maximum_object_size=33554432"
    spelt: dict[str, list[str]] = {}
    for (key,) in con.execute(f"SELECT DISTINCT unnest(json_keys(json)) FROM {lines})").fetchall():
        spelt.setdefault(key.lower(), []).append(key)
    columns = {}
    for number, (name, kind) in enumerate(table["columns"]):
        keys = [text('$."' + key.replace('"', '\\"') + '"') for key in sorted(spelt.get(name, []))]
        plain = [f"json->>{key}" for key in keys]
        value = f"coalesce({', '.join(plain)})" if plain else "CAST(NULL AS VARCHAR)"
        if "STRUCT" in kind:
            form = json.dumps(_structure(con.execute(f"SELECT CAST(NULL AS {kind})").description[0][1]))
            value = f"json_transform(_lower_keys({value}), {text(form)})"
        elif kind.endswith("]") or kind.startswith("MAP"):
            value = f"CAST(CAST({value} AS JSON) AS {kind})"
        elif kind != "VARCHAR":
            value = strict(f"({value})", kind, number)
        columns[name] = value
    return f"{lines}, filename='_file')", columns


def _structure(kind: Any) -> Any:
    """A type as json_transform takes it."""
    if kind.id == "struct":
        return {name: _structure(of) for name, of in kind.children}
    return [_structure(kind.children[0][1])] if kind.id == "list" else str(kind)


def lower_keys(value: str) -> str:
    """A JSON text with every key in lower case, as the JSON SerDe reads it."""

    def lowered(held: Any) -> Any:
        if isinstance(held, dict):
            return {key.lower(): lowered(item) for key, item in held.items()}
        return [lowered(item) for item in held] if isinstance(held, list) else held

    return json.dumps(lowered(json.loads(value)))


def mount(con: Any, table: dict[str, Any], number: int) -> None:
    """A view with the table's name over its files."""
    name = f"{quoted(table['database'])}.{quoted(table['name'])}"
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(table['database'])}")
    files, partitions = table["files"], table["partitions"]
    if not files:
        empty = ", ".join(
            f"CAST(NULL AS {kind}) AS {quoted(column)}" for column, kind in [*table["columns"], *partitions]
        )
        con.execute(f"CREATE VIEW {name} AS SELECT {empty} WHERE false")
        return
    paths = [file[0] for file in files]
    if table["format"] == "parquet":
        source, columns = parquet(con, table, paths)
    elif table["format"] == "json":
        source, columns = json_lines(con, table, paths)
    else:
        source, columns = (plain_csv if table["format"] == "csv" else open_csv)(table, paths)
    if partitions:
        unnested = ", ".join(
            f"unnest({listed([file[1][i] for file in files])}) AS {quoted(column)}"
            for i, (column, _) in enumerate(partitions)
        )
        con.execute(
            f"CREATE TEMP TABLE _files_{number} AS SELECT unnest({listed(paths)}) AS _file, {unnested}"
        )
        source = f"{source} JOIN _files_{number} USING (_file)"
        columns |= {
            column: f"CAST(_files_{number}.{quoted(column)} AS {kind})" for column, kind in partitions
        }
    selected = ", ".join(f"{value} AS {quoted(column)}" for column, value in columns.items())
    con.execute(f"CREATE VIEW {name} AS SELECT {selected} FROM {source}")


def connected(job: dict[str, Any]) -> Any:
    """A DuckDB that reads the job's folders only, with bounded memory."""
    import duckdb

    config = {"memory_limit": job["memory"], "threads": job["threads"], "temp_directory": job["scratch"]}
    con = duckdb.connect(":memory:", config=config)
    for setting in (
        "TimeZone = 'UTC'",
        "integer_division = true",
        "autoinstall_known_extensions = false",
        "max_temp_directory_size = '4GB'",
        f"allowed_directories = {listed(job['folders'])}",
        "enable_external_access = false",
    ):
        con.execute(f"SET {setting}")
    for macro in MACROS:
        con.execute(f"CREATE MACRO {macro}")
    con.create_function("_lower_keys", lower_keys, ["VARCHAR"], "VARCHAR")
    for number, table in enumerate(job["tables"]):
        mount(con, table, number)
    return con


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The job done: its result written, its columns and number of rows returned."""
    con = connected(job)
    if copy := job.get("copy"):
        return copied(con, job["sql"], copy)
    cursor = con.execute(job["sql"])
    names = [
        f"_col{i}" if item[0].startswith("_anonymous") else item[0]
        for i, item in enumerate(cursor.description)
    ]
    kinds = [item[1] for item in cursor.description]
    writers = [writer_of(kind) for kind in kinds]
    rows = 0
    with Path(job["output"]).open("w", encoding="utf-8", newline="") as file:
        file.write(csv_line(names))
        while batch := cursor.fetchmany(BATCH):
            rows += len(batch)
            file.writelines(
                csv_line([write(value) for write, value in zip(writers, row, strict=True)]) for row in batch
            )
    return {"columns": [column_info(*pair) for pair in zip(names, kinds, strict=True)], "rows": rows}


def copied(con: Any, sql: str, copy: dict[str, Any]) -> dict[str, Any]:
    """The query's rows as files in a folder; its columns with the types that a table of them has."""
    described = con.execute(f"SELECT * FROM ({sql}) LIMIT 0").description
    columns = [[name, hive_type(kind)] for name, kind, *_ in described]
    types = {"bigint": "BIGINT", "timestamp": "TIMESTAMP"}
    selected = ", ".join(
        f"CAST({quoted(name)} AS {types[kind]}) AS {quoted(name)}" if kind in types else quoted(name)
        for name, kind in columns
    )
    target = f"({', '.join(copy['options'])})"
    (rows,) = con.execute(
        f"COPY (SELECT {selected} FROM ({sql})) TO {text(copy['target'])} {target}"
    ).fetchone()
    return {"columns": columns, "rows": rows}


def failed(error: Exception) -> dict[str, Any]:
    """What went wrong, for `athena_sql.reason` to say in Athena's words."""
    said = str(error)
    if found := re.search(r"HIVE_BAD_DATA: [^\n]*", said):
        return {"error": {"kind": "BadData", "message": found[0]}}
    return {"error": {"kind": type(error).__name__, "message": said}}


def main() -> None:
    """Does the job that stdin names."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    try:
        answer = run(job)
    except Exception as error:
        answer = failed(error)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # DuckDB's threads need no farewell


if __name__ == "__main__":
    main()
