"""Comparisons that Trino refuses and DuckDB allows: a text column with a number, or a number with a text. Pure.

Only a column of a table beside a literal is looked at: `year = 2026` where year is a string is what people write, and what fails on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.local_aws.athena_sql import QueryError

__all__ = ["check_comparisons"]

Columns = Mapping[tuple[str, str], Mapping[str, str]]  # (database, table) -> column -> DuckDB's type
OPERATORS = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
NAMES = {
    "VARCHAR": "varchar",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "FLOAT": "real",
    "DOUBLE": "double",
}


def check_comparisons(tree: Any, columns: Columns, database: str) -> None:
    """Raises QueryError TYPE_MISMATCH for the first comparison that Trino refuses; `database` is that of tables without one."""
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    comparisons = tuple(getattr(exp, name) for name in OPERATORS)
    for scope in traverse_scope(tree):
        held = {
            alias: columns.get(((source.db or database).lower(), source.name.lower()), {})
            if isinstance(source, exp.Table)
            else None
            for alias, source in scope.sources.items()
        }
        for column in scope.columns:
            kind = _kind(column, held)
            if kind is None or not isinstance(column.parent, (*comparisons, exp.In)):
                continue
            parent: Any = column.parent
            if isinstance(parent, exp.In):
                if any(_clashes(kind, one) for one in parent.expressions):
                    raise _mismatch(column, f"IN value and list items must be the same type: {NAMES[kind]}")
                continue
            other = parent.expression if parent.this is column else parent.this
            if _clashes(kind, other):
                sign = OPERATORS[type(parent).__name__]
                ours, theirs = NAMES[kind], _literal(other)
                left, right = (ours, theirs) if parent.this is column else (theirs, ours)
                raise _mismatch(column, f"Cannot apply operator: {left} {sign} {right}")


def _kind(column: Any, held: Mapping[str, Mapping[str, str] | None]) -> str | None:
    """The type of a column, if it is one of a single table's and one of `NAMES`."""
    name = column.name.lower()
    if column.table:
        found = [held.get(column.table) or held.get(column.table.lower()) or {}]
    elif any(source is None for source in held.values()):
        return None  # it may come from a subquery
    else:
        found = [source for source in held.values() if source and name in source]
    kind = found[0].get(name) if len(found) == 1 else None
    return kind if kind in NAMES else None


def _clashes(kind: str, literal: Any) -> bool:
    said = _literal(literal)
    return bool(said) and (kind == "VARCHAR") != said.startswith("varchar")


def _literal(node: Any) -> str:
    """Trino's type of a literal; empty for anything else."""
    from sqlglot import exp

    node = node.this if isinstance(node, exp.Neg) else node
    if not isinstance(node, exp.Literal):
        return ""
    if node.is_string:
        return f"varchar({len(node.name)})"
    if "e" in node.name.lower():
        return "double"
    whole, point, part = node.name.partition(".")
    return f"decimal({len((whole + part).lstrip('0'))},{len(part)})" if point else "integer"


def _mismatch(column: Any, said: str) -> QueryError:
    meta = column.this.meta
    line, end = meta.get("line", 1), meta.get("col", len(column.name))
    return QueryError(f"TYPE_MISMATCH: line {line}:{end - len(column.name) + 1}: {said}", 1006)
