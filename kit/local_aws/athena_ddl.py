"""Athena's statements about the catalogue: SHOW, DESCRIBE, CREATE, DROP, ALTER, MSCK. Each returns the lines of its result."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Any

from kit.local_aws.athena_sql import QueryError, Statement, duckdb_type
from kit.local_aws.athena_tables import JSON, OPEN_CSV, PLAIN, Catalogue, storage

__all__ = ["COLUMNS", "done"]

NAME = r"(?:[`\"]?([\w-]+)[`\"]?\s*\.\s*)?[`\"]?([\w-]+)[`\"]?"
# The columns of what a statement answers; without one it answers nothing.
COLUMNS = {
    "SHOW DATABASES": ("database_name",),
    "SHOW TABLES": ("tab_name",),
    "SHOW PARTITIONS": ("partition",),
    "SHOW COLUMNS": ("field",),
    "SHOW CREATE TABLE": ("createtab_stmt",),
    "DESCRIBE": ("col_name", "data_type", "comment"),
    "MSCK REPAIR TABLE": ("result",),
}


def done(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    """What the statement answers, after it was done. Raises QueryError."""
    try:
        handler = _DOING[statement.verb]
    except KeyError:
        raise QueryError(f"NOT_SUPPORTED: The local AWS does not run {statement.verb} statements") from None
    return handler(statement, database, catalogue)


def _matched(pattern: str, statement: Statement) -> re.Match[str]:
    found = re.fullmatch(pattern, statement.text, re.IGNORECASE | re.DOTALL)
    if found is None:
        begin = " ".join(statement.text.split()[:8])
        raise QueryError(f"FAILED: ParseException cannot recognize input near '{begin}'", 1003)
    return found


def _named(found: re.Match[str], database: str) -> tuple[str, str]:
    """(database, table) of the first name in the match, in lower case."""
    return (found[1] or database).lower(), found[2].lower()


def _like(names: list[str], pattern: str | None) -> list[str]:
    """Those that Hive's pattern ('a*|b*') finds; all without one."""
    if not pattern:
        return names
    wanted = [part.replace("%", "*") for part in pattern.lower().split("|")]
    return [name for name in names if any(fnmatch.fnmatchcase(name, part) for part in wanted)]


def _show_databases(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    found = _matched(r"show\s+(?:databases|schemas)(?:\s+like)?\s*(?:'([^']*)')?", statement)
    return _like(catalogue.databases(), found[1])


def _show_tables(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    pattern = r"show\s+tables(?:\s+(?:in|from)\s+[`\"]?([\w-]+)[`\"]?)?(?:\s+like)?\s*(?:'([^']*)')?"
    found = _matched(pattern, statement)
    wanted = (found[1] or database).lower()
    if not catalogue.has(wanted):
        raise QueryError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {wanted}", 1003)
    return _like(catalogue.tables(wanted), found[2])


def _show_partitions(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    name = _named(_matched(rf"show\s+partitions\s+{NAME}", statement), database)
    keys = [column["Name"] for column in catalogue.described(*name).get("PartitionKeys", [])]
    if not keys:
        raise QueryError(
            f"FAILED: SemanticException [Error 10241]: Table {name[1]} is not a partitioned table", 1003
        )
    rows = (zip(keys, found["Values"], strict=True) for found in catalogue.partitions(*name))
    return sorted("/".join(f"{key}={value}" for key, value in row) for row in rows)


def _show_columns(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    pattern = rf"show\s+columns\s+(?:in|from)\s+{NAME}(?:\s+(?:in|from)\s+[`\"]?([\w-]+)[`\"]?)?"
    found = _matched(pattern, statement)
    schema, name = _named(found, database)
    return [f"{column['Name']:<20}" for column in _columns(catalogue.described(found[3] or schema, name))]


def _columns(table: dict[str, Any]) -> list[dict[str, str]]:
    return [*table["StorageDescriptor"].get("Columns", []), *table.get("PartitionKeys", [])]


def _describe(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    found = _matched(rf"desc(?:ribe)?(?:\s+(?:extended|formatted))?\s+{NAME}", statement)
    table = catalogue.described(*_named(found, database))

    def line(*words: str) -> str:
        return "\t".join(f"{word:<20}" for word in words)

    def row(column: dict[str, str]) -> str:
        return line(column["Name"], column["Type"], column.get("Comment", ""))

    lines = [row(column) for column in _columns(table)]
    if keys := table.get("PartitionKeys"):
        heading = [
            "",
            line("# Partition Information", "", ""),
            line("# col_name", "data_type", "comment"),
            "",
        ]
        lines += [*heading, *(row(column) for column in keys)]
    return lines


def _show_create(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    name = _named(_matched(rf"show\s+create\s+table\s+{NAME}", statement), database)
    table = catalogue.described(*name)
    held = table["StorageDescriptor"]

    def listed(columns: list[dict[str, str]]) -> list[str]:
        lines = [f"  `{column['Name']}` {column['Type']}, " for column in columns]
        return [*lines[:-1], lines[-1].removesuffix(", ") + ")"] if lines else []

    def properties(given: dict[str, str]) -> list[str]:
        lines = [f"  '{key}'='{value}', " for key, value in sorted(given.items())]
        return [*lines[:-1], lines[-1].removesuffix(", ") + ") "] if lines else []

    serde = held.get("SerdeInfo", {})
    lines = [f"CREATE EXTERNAL TABLE `{name[1]}`(", *listed(held["Columns"])]
    if table.get("PartitionKeys"):
        lines += ["PARTITIONED BY ( ", *listed(table["PartitionKeys"])]
    lines += ["ROW FORMAT SERDE ", f"  '{serde.get('SerializationLibrary', '')}' "]
    if serde.get("Parameters"):
        lines += ["WITH SERDEPROPERTIES ( ", *properties(serde["Parameters"])]
    lines += ["STORED AS INPUTFORMAT ", f"  '{held.get('InputFormat', '')}' ", "OUTPUTFORMAT "]
    lines += [f"  '{held.get('OutputFormat', '')}'", "LOCATION", f"  '{held['Location']}'"]
    if table.get("Parameters"):
        lines += ["TBLPROPERTIES (", *properties(table["Parameters"])]
    return lines


def _create_database(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    pattern = (
        r"create\s+(?:database|schema)\s+(if\s+not\s+exists\s+)?[`\"]?([\w-]+)[`\"]?(?:\s+comment\s+'([^']*)')?"
        r"(?:\s+location\s+'([^']*)')?(?:\s+with\s+dbproperties\s*\(.*\))?"
    )
    found = _matched(pattern, statement)
    given = {"Name": found[2].lower(), "Description": found[3], "LocationUri": found[4]}
    try:
        catalogue.glue.create_database(DatabaseInput={key: value for key, value in given.items() if value})
    except catalogue.glue.exceptions.AlreadyExistsException:
        if not found[1]:
            raise QueryError(
                f"FAILED: Execution Error, return code 1. Database {found[2]} already exists", 1003
            ) from None
    return []


def _drop_database(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    found = _matched(
        r"drop\s+(?:database|schema)\s+(if\s+exists\s+)?[`\"]?([\w-]+)[`\"]?(?:\s+(restrict|cascade))?",
        statement,
    )
    name = found[2].lower()
    if not catalogue.has(name):
        if found[1]:
            return []
        raise QueryError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}", 1003)
    if catalogue.tables(name) and (found[3] or "").lower() != "cascade":
        said = f"Database {name} is not empty. One or more tables exist."
        raise QueryError(f"FAILED: Execution Error, return code 1. {said}", 1003)
    for table in catalogue.tables(name):
        catalogue.glue.delete_table(DatabaseName=name, Name=table)
    catalogue.glue.delete_database(Name=name)
    return []


def _drop_table(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    found = _matched(rf"drop\s+table\s+(if\s+exists\s+)?{NAME}", statement)
    schema, name = (found[2] or database).lower(), found[3].lower()
    if catalogue.definition(schema, name) is None:
        if found[1]:
            return []
        raise QueryError(f"FAILED: SemanticException [Error 10001]: Table not found {name}", 1003)
    catalogue.glue.delete_table(DatabaseName=schema, Name=name)
    return []


def _msck(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    return catalogue.repair(*_named(_matched(rf"msck\s+repair\s+table\s+{NAME}", statement), database))


def _alter(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    one = r"partition\s*\([^)]*\)(?:\s+location\s+'[^']*')?"
    pattern = rf"alter\s+table\s+{NAME}\s+(add|drop)(?:\s+(if\s+(?:not\s+)?exists))?\s+((?:{one}[\s,]*)+)"
    found = _matched(pattern, statement)
    schema, name = _named(found, database)
    table = catalogue.described(schema, name)
    keys = [column["Name"].lower() for column in table.get("PartitionKeys", [])]
    known = {tuple(row["Values"]) for row in catalogue.partitions(schema, name)}
    fresh = []
    for spec, place in re.findall(
        r"partition\s*\(([^)]*)\)(?:\s+location\s+'([^']*)')?", found[5], re.IGNORECASE
    ):
        given = {
            k.lower(): v for k, v in re.findall(r"[`\"]?(\w+)[`\"]?\s*=\s*'?([^',]*?)'?\s*(?:,|$)", spec)
        }
        if list(given) != keys:
            raise QueryError(
                f"FAILED: ValidationException Partition spec {given} does not match {keys}", 1003
            )
        values = tuple(given.values())
        folder = "/".join(f"{key}={value}" for key, value in given.items())
        if (values in known) == (found[3].lower() == "add"):
            if not found[4]:
                what = "already exists" if values in known else "not found"
                raise QueryError(f"FAILED: SemanticException Partition {folder} {what}", 1003)
        elif values in known:
            catalogue.glue.delete_partition(DatabaseName=schema, TableName=name, PartitionValues=list(values))
        else:
            root = table["StorageDescriptor"]["Location"].rstrip("/")
            fresh.append((values, place or f"{root}/{folder}/"))
    catalogue.add(table, fresh)
    return []


def _create_external(statement: Statement, database: str, catalogue: Catalogue) -> list[str]:
    """CREATE EXTERNAL TABLE, from sqlglot's tree of it."""
    from sqlglot import exp

    tree = statement.tree
    target = tree.find(exp.Table)
    schema, name = (target.db or database).lower(), target.name.lower()
    if not catalogue.has(schema):
        raise QueryError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {schema}", 1003)
    if catalogue.definition(schema, name) is not None:
        if tree.args.get("exists"):
            return []
        said = f"AlreadyExistsException(message:Table {name} already exists.)"
        raise QueryError(f"FAILED: Execution Error, return code 1. {said}", 1003)
    location = next((one.this.name for one in tree.find_all(exp.LocationProperty)), "")
    if not location.startswith("s3://"):
        raise QueryError("FAILED: SemanticException table is not partitioned or location is missing", 1003)
    partitioned = tree.find(exp.PartitionedByProperty)
    columns = [_column(one) for one in tree.this.expressions]
    keys = [_column(one) for one in partitioned.this.expressions] if partitioned else []
    kind, serde, options = _format(tree, exp)
    parameters = {"EXTERNAL": "TRUE", **_properties(tree.args.get("properties"), exp)}
    catalogue.glue.create_table(
        DatabaseName=schema,
        TableInput={
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": parameters,
            "PartitionKeys": keys,
            "StorageDescriptor": storage(kind, location, columns, serde, **options),
        },
    )
    return []


def _column(one: Any) -> dict[str, str]:
    kind = one.kind.sql("hive").lower().replace(" ", "") if one.kind else ""
    duckdb_type(kind)
    comment = next((c.kind.this.name for c in one.constraints if type(c.kind).__name__ == "CommentColumnConstraint"), "")  # fmt: skip
    return {"Name": one.name.lower(), "Type": kind, **({"Comment": comment} if comment else {})}


def _properties(properties: Any, exp: Any) -> dict[str, str]:
    """The plain key = value properties (TBLPROPERTIES, SERDEPROPERTIES)."""
    given = properties.expressions if properties else []
    return {one.this.name: one.args["value"].name for one in given if type(one) is exp.Property}


def _format(tree: Any, exp: Any) -> tuple[str, str, dict[str, str]]:
    """(kind of files, serialization library, its properties)."""
    stored = tree.find(exp.FileFormatProperty)
    named = stored.this.sql().strip("'\"").lower() if stored is not None and stored.this is not None else ""
    if row := tree.find(exp.RowFormatSerdeProperty):
        given = row.args.get("serde_properties") or tree.find(exp.SerdeProperties)
        serde = row.this.name
        kind = "parquet" if "parquet" in serde.lower() else "text"
        return kind, serde, _properties(given, exp)
    if row := tree.find(exp.RowFormatDelimitedProperty):
        names = {"fields": "field.delim", "escaped": "escape.delim", "null": "serialization.null.format", "lines": "line.delim"}  # fmt: skip
        options = {name: row.args[key].name for key, name in names.items() if row.args.get(key) is not None}
        return "text", PLAIN, {"serialization.format": options.get("field.delim", "1"), **options}
    if "parquet" in named:
        return "parquet", "", {}
    if named in ("json", "jsonfile"):
        return "text", JSON, {}
    if named in ("orc", "avro", "rcfile", "sequencefile"):
        raise QueryError(f"NOT_SUPPORTED: The local AWS does not read {named.upper()} files")
    return "text", OPEN_CSV if named == "csv" else PLAIN, {}


_DOING: dict[str, Callable[[Statement, str, Catalogue], list[str]]] = {
    "SHOW DATABASES": _show_databases,
    "SHOW TABLES": _show_tables,
    "SHOW PARTITIONS": _show_partitions,
    "SHOW COLUMNS": _show_columns,
    "SHOW CREATE TABLE": _show_create,
    "DESCRIBE": _describe,
    "CREATE DATABASE": _create_database,
    "DROP DATABASE": _drop_database,
    "DROP TABLE": _drop_table,
    "MSCK REPAIR TABLE": _msck,
    "ALTER TABLE": _alter,
    "CREATE EXTERNAL TABLE": _create_external,
}
