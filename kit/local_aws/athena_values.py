"""How Athena writes values, columns and rows, and how its result files are read again. Pure.

Sources: Athena User Guide, "Working with query results" (CSV: every value in quotes, null without); Trino's and Java's text forms.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, time
from typing import Any

__all__ = ["column_info", "csv_line", "csv_rows", "hive_type", "writer_of"]

TYPES = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "integer",
    "bigint": "bigint",
    "hugeint": "bigint",  # DuckDB's sum of integers; Trino's is bigint
    "float": "float",
    "double": "double",
    "varchar": "varchar",
    "json": "json",
    "uuid": "varchar",
    "blob": "varbinary",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamp_s": "timestamp",
    "timestamp_ms": "timestamp",
    "timestamp_ns": "timestamp",
    "timestamp with time zone": "timestamp with time zone",
    "interval": "interval day to second",
    '"null"': "unknown",
    "null": "unknown",
    "utinyint": "smallint",
    "usmallint": "integer",
    "uinteger": "bigint",
    "ubigint": "bigint",
}
PRECISION = {
    "tinyint": 3,
    "smallint": 5,
    "integer": 10,
    "bigint": 19,
    "float": 17,
    "double": 17,
    "varchar": 2147483647,
    "varbinary": 1073741824,
    "timestamp": 3,
    "timestamp with time zone": 3,
    "time": 3,
}
FIELD = re.compile(r'(?:"((?:[^"]|"")*)")?(,|\n)')

Column = list[Any]
Writer = Callable[[Any], str | None]


def type_of(kind: Any) -> tuple[str, int, int]:
    """Athena's name of a DuckDB type, its precision and scale."""
    said = str(kind)
    if found := re.fullmatch(r"DECIMAL\((\d+), ?(\d+)\)", said):
        return "decimal", int(found[1]), int(found[2])
    if said.endswith("]"):
        return "array", 0, 0
    for begin, name in (("STRUCT", "row"), ("MAP", "map"), ("ENUM", "varchar")):
        if said.startswith(begin):
            return name, PRECISION.get(name, 0), 0
    name = TYPES.get(said.lower(), "varchar")
    return name, PRECISION.get(name, 0), 0


def hive_type(kind: Any) -> str:
    """The type of a DuckDB column as the Glue catalogue names it."""
    if kind.id in ("list", "array"):
        return f"array<{hive_type(kind.children[0][1])}>"
    if kind.id == "struct":
        return f"struct<{','.join(f'{name}:{hive_type(of)}' for name, of in kind.children)}>"
    if kind.id == "map":
        return f"map<{','.join(hive_type(of) for _, of in kind.children)}>"
    name, precision, scale = type_of(kind)
    if name == "decimal":
        return f"decimal({precision},{scale})"
    named = {
        "varchar": "string",
        "integer": "int",
        "varbinary": "binary",
        "timestamp with time zone": "timestamp",
    }
    return named.get(name, name)


def column_info(name: str, kind: Any) -> Column:
    """[name, Athena type, precision, scale] of a result's column."""
    return [name, *type_of(kind)]


def double(value: float) -> str:
    """A number as Java writes a double: 1.0, 1.0E7, NaN, Infinity."""
    return _java(repr(value), value)


def real(value: float) -> str:
    """A number of 32 bits as Java writes it: as few digits as tell it from its neighbours."""
    for digits in range(1, 10):
        said = f"{value:.{digits}g}"
        if struct.pack("f", float(said)) == struct.pack("f", value):
            return _java(repr(float(said)), value)
    return _java(repr(value), value)


def _java(said: str, value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return said
    mantissa, _, exponent = said.lstrip("-").partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0") or "0"
    power = int(exponent or 0) + (
        len(whole) - 1 if whole != "0" else -1 - (len(part) - len(part.lstrip("0")))
    )
    rest = digits[1:].rstrip("0") or "0"
    return f"{'-' if value < 0 else ''}{digits[0]}.{rest}E{power}"


def moment(value: datetime) -> str:
    """A timestamp with milliseconds; one with a zone names it."""
    said = f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03}"
    return f"{said} UTC" if value.tzinfo else said


def writer_of(kind: Any) -> Writer:
    """Writes the values of a DuckDB type as Athena's result file holds them; null stays None."""
    write = _writer(kind)
    return lambda value: None if value is None else write(value)


def _writer(kind: Any) -> Callable[[Any], str]:
    if kind.id == "list" or kind.id == "array":
        item = _item(kind.children[0][1])
        return lambda values: f"[{', '.join(item(value) for value in values)}]"
    if kind.id == "struct":
        members = [(name, _item(of)) for name, of in kind.children]
        return lambda row: "{" + ", ".join(f"{name}={write(row[name])}" for name, write in members) + "}"
    if kind.id == "map":
        key, value = (_item(of) for _, of in kind.children)
        return lambda row: "{" + ", ".join(f"{key(k)}={value(v)}" for k, v in row.items()) + "}"
    plain: dict[str, Callable[[Any], str]] = {
        "boolean": lambda value: "true" if value else "false",
        "double": double,
        "float": real,
        "blob": lambda value: value.hex(" "),
        "time": lambda value: time.isoformat(value, timespec="milliseconds"),
    }
    if kind.id.startswith("timestamp"):
        return moment
    return plain.get(kind.id, str)


def _item(kind: Any) -> Callable[[Any], str]:
    """As `_writer`, for a value within a value: null is written out."""
    write = _writer(kind)
    return lambda value: "null" if value is None else write(value)


def csv_line(values: list[str | None]) -> str:
    """A line of a result file."""
    return ",".join("" if value is None else '"' + value.replace('"', '""') + '"' for value in values) + "\n"


def csv_rows(content: str) -> Iterator[tuple[list[str | None], int]]:
    """The whole rows at the beginning of a result file's text, each with the position after it."""
    at, row = 0, list[str | None]()
    while found := FIELD.match(content, at):
        at = found.end()
        row.append(None if found[1] is None else found[1].replace('""', '"'))
        if found[2] == "\n":
            yield row, at
            row = []
