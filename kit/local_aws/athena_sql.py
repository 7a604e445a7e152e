"""Athena's SQL: what a statement asks for, the same query in DuckDB's words, and why a query failed in Athena's. Pure.

Queries are Trino's SQL, the rest is Hive's; sqlglot reads both and writes DuckDB's.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from kit.local_aws.athena_functions import KEYWORDS, NAMES
from kit.local_aws.protocol import AwsError

__all__ = ["QueryError", "Read", "Statement", "duckdb_type", "reason", "statement", "translated"]

# Verb -> how a statement begins, and Athena's type of it. The first that matches is it.
VERBS = {
    "SELECT": (r"(?:select|with|values|\()\b|\(", "DML"),
    "CREATE EXTERNAL TABLE": (r"create\s+external\s+table\b", "DDL"),
    "CREATE TABLE AS SELECT": (r"create\s+table\b", "DDL"),
    "CREATE DATABASE": (r"create\s+(?:database|schema)\b", "DDL"),
    "DROP TABLE": (r"drop\s+table\b", "DDL"),
    "DROP DATABASE": (r"drop\s+(?:database|schema)\b", "DDL"),
    "MSCK REPAIR TABLE": (r"msck\s+repair\s+table\b", "DDL"),
    "ALTER TABLE": (r"alter\s+table\b", "DDL"),
    "SHOW DATABASES": (r"show\s+(?:databases|schemas)\b", "UTILITY"),
    "SHOW TABLES": (r"show\s+tables\b", "UTILITY"),
    "SHOW PARTITIONS": (r"show\s+partitions\b", "UTILITY"),
    "SHOW COLUMNS": (r"show\s+columns\b", "UTILITY"),
    "SHOW CREATE TABLE": (r"show\s+create\s+table\b", "UTILITY"),
    "DESCRIBE": (r"desc(?:ribe)?\b", "UTILITY"),
}
KNOWN = r"(?:insert|delete|update|merge|unload|explain|analyze|create|drop|show|prepare|execute|deallocate|vacuum|optimize|grant)\b"
LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
TOKENS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|([A-Za-z_]\w*)\s*\(", re.DOTALL)
# Patterns of Joda (format_datetime, parse_datetime) and of Teradata (to_char, to_timestamp, to_date), as strftime's.
JODA = {"yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "dd": "%d", "HH": "%H", "hh": "%I", "mm": "%M", "ss": "%S", "SSS": "%g", "a": "%p", "EEEE": "%A", "EEE": "%a", "Z": "%z", "ZZ": "%z", "DDD": "%j"}  # fmt: skip
TERADATA = {
    "yyyy": "%Y",
    "yy": "%y",
    "mm": "%m",
    "dd": "%d",
    "hh24": "%H",
    "hh": "%I",
    "mi": "%M",
    "ss": "%S",
}


class QueryError(Exception):
    """Why a query failed: "TABLE_NOT_FOUND: line 1:15: ..."; `kind` is Athena's number of the error's type."""

    def __init__(self, message: str, kind: int = 1000, category: int = 2) -> None:
        super().__init__(message)
        self.message, self.kind, self.category = message, kind, category


@dataclass(frozen=True)
class Statement:
    """A statement: its text without the closing semicolon, its verb ("SHOW TABLES"), its type, and the tree of a query."""

    text: str
    verb: str
    type: str
    tree: Any = None


@dataclass(frozen=True)
class Read:
    """A table that a query reads, as it is written there, and where: (line, column)."""

    database: str
    name: str
    at: tuple[int, int]


def malformed(message: str) -> AwsError:
    """Athena's refusal of a statement that it cannot read."""
    return AwsError("InvalidRequestException", message, AthenaErrorCode="MALFORMED_QUERY")


def _sqlglot() -> Any:
    import sqlglot

    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    return sqlglot


def statement(text: str, parameters: list[str] | None = None) -> Statement:
    """What the text asks for. Raises InvalidRequestException for what is no statement of Athena's, or several."""
    whole = text.strip().rstrip(";").rstrip()
    start = LEADING.match(whole)
    body = whole[start.end() if start else 0 :]
    for verb, (begin, kind) in VERBS.items():
        if re.match(begin, body, re.IGNORECASE):
            if kind == "UTILITY" or verb not in ("SELECT", "CREATE EXTERNAL TABLE", "CREATE TABLE AS SELECT"):
                return Statement(body, verb, kind)
            tree = _tree(whole, parameters or [])
            if verb == "CREATE TABLE AS SELECT" and not tree.expression:
                raise malformed("line 1:8: mismatched input 'TABLE'. Expecting: 'EXTERNAL'")
            return Statement(body, verb, kind, tree)
    if re.match(KNOWN, body, re.IGNORECASE):
        return Statement(body, body.split(None, 1)[0].upper(), "DML")
    word = re.match(r"\w+|\S", body)
    at = _place(whole, len(whole) - len(body))
    shown = f"'{word[0]}'" if word else "'<EOF>'"
    raise malformed(
        f"line {at[0]}:{at[1]}: mismatched input {shown}. Expecting: 'ALTER', 'CREATE', 'DESCRIBE', 'DROP', 'MSCK', 'SHOW', <query>"
    )


def _tree(text: str, parameters: list[str]) -> Any:
    """The tree of one statement. Raises InvalidRequestException in the words of Trino's parser."""
    sqlglot = _sqlglot()
    try:
        trees = [tree for tree in sqlglot.parse(text, read="athena") if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        (first, *_) = getattr(error, "errors", None) or [{}]
        line, column = first.get("line") or 1, first.get("col") or 1
        token = first.get("highlight") or "<EOF>"
        column = max(1, column - len(token) + 1) if token != "<EOF>" else column
        raise malformed(f"line {line}:{column}: mismatched input '{token}'. Expecting: <query>") from None
    if len(trees) != 1:
        raise malformed(f"Only one sql statement is allowed. Got: {text}")
    tree = trees[0]
    holes = list(tree.find_all(sqlglot.exp.Placeholder))
    if len(holes) != len(parameters):
        raise malformed(f"Incorrect number of parameters: expected {len(holes)} but found {len(parameters)}")
    for hole, value in zip(holes, parameters, strict=True):
        hole.replace(_tree(f"SELECT {value}", []).expressions[0])
    return tree


def _place(text: str, at: int) -> tuple[int, int]:
    """(line, column) of a position, from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def find(text: str, word: str) -> str:
    """Where the word stands first ("line 1:8: "); empty where it does not stand."""
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    return "line {}:{}: ".format(*_place(text, found.start())) if found else ""


def duckdb_type(hive: str) -> str:
    """A column type of the Glue catalogue as DuckDB's. Raises QueryError for one that Athena does not know."""
    sqlglot = _sqlglot()
    wrong = QueryError(
        f"HIVE_METASTORE_ERROR: Error: type expected at the position 0 of '{hive}' but '{hive}' is found."
    )
    plain = re.sub(r"^(var)?char\(\d+\)$", "string", hive.strip().lower())
    try:
        found = sqlglot.exp.DataType.build(plain, dialect="hive")
    except sqlglot.errors.SqlglotError:
        raise wrong from None
    parts = list(found.find_all(sqlglot.exp.DataType))
    kinds = {str(one.this.value) for one in parts}
    hollow = any(one.args.get("nested") and not one.expressions for one in parts)
    if hollow or kinds & {"USER-DEFINED", "UNKNOWN"} or plain.count("<") != plain.count(">"):
        raise wrong
    written: str = found.sql("duckdb")
    names = {"TEXT": "VARCHAR", "INT": "INTEGER", "REAL": "FLOAT"}
    return re.sub(r"\b(TEXT|INT|REAL)\b", lambda found: names[found[1]], written)


def translated(query: Any, text: str, database: str) -> tuple[str, list[Read]]:
    """The query for DuckDB, and the tables that it reads. Raises QueryError for a function that Athena does not have."""
    sqlglot = _sqlglot()
    exp = sqlglot.exp
    _check_functions(text)
    tree = query.copy()
    if isinstance(tree, exp.Values):
        width = len(tree.expressions[0].expressions)
        tree = exp.select("*").from_(
            exp.alias_(tree, "t", table=[f"_col{i}" for i in range(width)], dialect="trino")
        )
    reads = []
    for scope in sqlglot.optimizer.scope.traverse_scope(tree):
        for table in scope.tables:
            if not isinstance(scope.sources.get(table.alias_or_name), exp.Table) or not table.name:
                continue
            schema, name = (table.db or database).lower(), table.name.lower()
            meta = table.find(exp.Identifier).meta
            at = (meta.get("line", 1), meta.get("col", len(table.name)) - len(table.name) + 1)
            reads.append(Read(schema, name, at))
            alias = table.alias or table.name
            if table.args.get("alias") is None:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
            table.set("this", exp.to_identifier(name, quoted=True))
            table.set("db", exp.to_identifier(schema, quoted=True))
            table.set("catalog", None)
    _name_columns(tree, exp)
    tree = tree.transform(lambda node: _function(node, exp))
    try:
        return tree.sql("duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE), reads
    except sqlglot.errors.UnsupportedError as error:
        raise QueryError(f"NOT_SUPPORTED: The local AWS does not translate this: {error}") from None


def _name_columns(tree: Any, exp: Any) -> None:
    """Has each column of a result named as Athena names it: as it is written, or _col0, _col1 where it has no name."""
    for select in tree.find_all(exp.Select):
        for column in [one for one in select.expressions if type(one) is exp.Column and one.name != "*"]:
            column.replace(exp.alias_(column.copy(), column.name, quoted=True))
    outermost = tree
    while isinstance(outermost, exp.SetOperation | exp.Subquery):
        outermost = outermost.this
    for number, column in enumerate(outermost.expressions if isinstance(outermost, exp.Select) else ()):
        if not column.alias and not isinstance(column, exp.Column | exp.Star):
            column.replace(exp.alias_(column.copy(), f"_anonymous{number}", quoted=True))


def _check_functions(text: str) -> None:
    for found in TOKENS.finditer(text):
        name = (found[1] or "").lower()
        if not name or name in NAMES or name in KEYWORDS:
            continue
        before = text[: found.start(1)].rstrip()
        if re.search(r"(?:\bas|\bwith|\brecursive|,|\)|\w\"?)$", before, re.IGNORECASE) and _declares(
            text, found
        ):
            continue  # `WITH name (columns) AS`, `AS alias (columns)`
        line, column = _place(text, found.start(1))
        raise QueryError(
            f"FUNCTION_NOT_FOUND: line {line}:{column}: Function '{name}' not registered", kind=1006
        )


def _declares(text: str, found: re.Match[str]) -> bool:
    """Whether the parenthesis after the name lists column names of a CTE or an alias, not a function's arguments."""
    inside = re.match(r"\s*[\w\"\s,]*\)", text[found.end() :])
    before = text[: found.start(1)].rstrip().lower()
    follows = bool(inside and re.match(r"\s*as\s*\(", text[found.end() + inside.end() :], re.IGNORECASE))
    return bool(inside) and (follows or before.endswith((" as", ")as", ")")))


def _function(node: Any, exp: Any) -> Any:
    """A node whose meaning in DuckDB is not the same, as one that means the same."""

    def call(name: str, *arguments: Any) -> Any:
        return exp.Anonymous(this=name, expressions=list(arguments))

    def unit() -> Any:
        return exp.Literal.string((node.text("unit") or "day").lower())

    def interval(other: Any) -> bool:
        return isinstance(other, exp.Interval) and other.text("unit").upper() in (
            "DAY",
            "WEEK",
            "MONTH",
            "YEAR",
        )

    if isinstance(node, exp.DateDiff | exp.TimestampDiff):  # Trino counts whole units that passed
        return call("date_sub", unit(), node.expression, node.this)
    if isinstance(node, exp.DateAdd):
        return call("_date_add", unit(), node.expression, node.this)
    if isinstance(node, exp.DateTrunc | exp.TimestampTrunc):
        return call("_date_trunc", unit(), node.this)
    if isinstance(node, exp.Add | exp.Sub) and interval(node.expression):
        by = node.expression.copy()
        return call("_plus", node.this, exp.Neg(this=by) if isinstance(node, exp.Sub) else by)
    if isinstance(node, exp.ArraySlice) and node.args.get("end") is not None:  # Trino says how many
        last = exp.Sub(this=exp.Add(this=node.args["start"], expression=node.args["end"]), expression=exp.Literal.number(1))  # fmt: skip
        return call("list_slice", node.this, node.args["start"], last)
    if isinstance(node, exp.Rand) and node.this is not None:
        return exp.cast(
            call("floor", exp.Mul(this=call("random"), expression=exp.paren(node.this))), "BIGINT"
        )
    if isinstance(node, exp.Anonymous):
        name, arguments = node.name.lower(), node.expressions
        if name in ("any_match", "none_match", "all_match") and len(arguments) == 2:
            matched = call("len", call("list_filter", *arguments))
            if name == "all_match":
                return exp.paren(exp.EQ(this=matched, expression=call("len", arguments[0].copy())))
            other = exp.Literal.number(0)
            return exp.paren((exp.GT if name == "any_match" else exp.EQ)(this=matched, expression=other))
    return _formatted(node, exp, call)


def _formatted(node: Any, exp: Any, call: Any) -> Any:
    """A function with a date pattern of Joda's or Teradata's, with strftime's."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else node.sql_name().lower() if isinstance(node, exp.Func) else ""  # fmt: skip
    names = {
        "format_datetime": ("strftime", JODA),
        "parse_datetime": ("strptime", JODA),
        "to_timestamp": ("strptime", TERADATA),
        "to_char": ("strftime", TERADATA),
    }
    if name not in names:
        return node
    arguments = _arguments(node, exp)
    if len(arguments) != 2 or not arguments[1].is_string:
        return node
    to, patterns = names[name]
    pattern = arguments[1].name
    longest = sorted(patterns, key=len, reverse=True)
    flags = re.IGNORECASE if patterns is TERADATA else 0
    written = re.sub(
        "'([^']*)'|" + "|".join(longest),
        lambda found: found[1] if found[1] is not None else patterns[found[0].lower() if flags else found[0]],
        pattern.replace("%", "%%"),
        flags=flags,
    )
    return call(to, arguments[0], exp.Literal.string(written))


def _arguments(node: Any, exp: Any) -> list[Any]:
    if isinstance(node, exp.Anonymous):
        return list(node.expressions)
    return [value for value in (node.this, node.args.get("format") or node.expression) if value is not None]


# DuckDB's words -> Athena's: how its message is read, Athena's text, and the number of the error's type.
SAID = (
    (r"Function with name (\w+) does not exist", "NOT_SUPPORTED: {at}The local AWS does not translate the function {0}", 1000),
    (r"Referenced column \"([^\"]+)\" not found|does not have a column named \"([^\"]+)\"", "COLUMN_NOT_FOUND: {at}Column '{0}' cannot be resolved or requester is not authorized to access requested resources", 1006),
    (r"Column \"([^\"]+)\" referenced that exists in the SELECT clause", "COLUMN_NOT_FOUND: {at}Column '{0}' cannot be resolved or requester is not authorized to access requested resources", 1006),
    (r"Referenced table \"([^\"]+)\" not found", "COLUMN_NOT_FOUND: {at}Column '{0}' cannot be resolved or requester is not authorized to access requested resources", 1006),
    (r"column \"?([^\" ]+)\"? must appear in the GROUP BY", "EXPRESSION_NOT_AGGREGATE: {at}'{0}' must be an aggregate expression or appear in GROUP BY clause", 1006),
    (r"Ambiguous reference to column name \"([^\"]+)\"", "AMBIGUOUS_NAME: {at}Column '{0}' is ambiguous", 1006),
    (r"Could not convert string '(.*)' to (\w+)", "INVALID_CAST_ARGUMENT: Cannot cast '{0}' to {1}", 1000),
    (r"Division by zero", "DIVISION_BY_ZERO: Division by zero", 1000),
    (r"Out of Memory|could not allocate|max_temp_directory_size", "EXCEEDED_LOCAL_MEMORY_LIMIT: Query exhausted resources at this scale factor", 0),
    (r"Overflow|out of range|Out of Range", "NUMERIC_VALUE_OUT_OF_RANGE: {first}", 1000),
    (r"No magic bytes|not a Parquet file|too small to be a Parquet", "HIVE_BAD_DATA: Not valid Parquet file, expected magic number: PAR1", 1001),
    (r"Malformed JSON|Failed to parse|invalid json", "HIVE_CURSOR_ERROR: Row is not a valid JSON Object", 1001),
    (r"^(HIVE_BAD_DATA: .*)", "{0}", 1001),
    (r"No function matches|choose a best candidate|Cannot compare|Cannot mix|could not be cast|Unimplemented type for cast", "TYPE_MISMATCH: {first}", 1006),
)  # fmt: skip


CASTS = {"INT8": "tinyint", "INT16": "smallint", "INT32": "integer", "INT64": "bigint", "FLOAT": "real", "DOUBLE": "double", "BOOL": "boolean"}  # fmt: skip


def reason(kind: str, message: str, text: str) -> QueryError:
    """What DuckDB said (the class of its error, and the message) about a query's text, as Athena says it."""
    first = message.splitlines()[0].partition(": ")[2] or message.splitlines()[0] if message else kind
    for pattern, said, number in SAID:
        if found := re.search(pattern, message):
            words = [CASTS.get(word, word) for word in found.groups() if word is not None]
            at = find(text, words[0]) if words else ""
            category = 1 if number == 0 else 2
            return QueryError(said.format(*words, at=at, first=first), number, category)
    name = "SYNTAX_ERROR" if kind in ("ParserException", "BinderException", "CatalogException") else "GENERIC_USER_ERROR"  # fmt: skip
    return QueryError(f"{name}: {first}", 1006 if name == "SYNTAX_ERROR" else 1000)
