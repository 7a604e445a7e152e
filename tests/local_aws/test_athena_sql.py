"""Statements as they are understood, refused and translated; nothing runs here."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.local_aws.athena_sql import QueryError, duckdb_type, reason, statement, translated
from kit.local_aws.protocol import AwsError


def reads(sql: str) -> list[tuple[str, str]]:
    asked = statement(sql)
    return sorted((read.database, read.name) for read in translated(asked.tree, asked.text, "here")[1])


@pytest.mark.parametrize(
    ("sql", "verb", "kind"),
    [
        ("-- why\nSELECT 1;", "SELECT", "DML"),
        ("(SELECT 1) UNION (SELECT 2)", "SELECT", "DML"),
        ("/* a */ values (1)", "SELECT", "DML"),
        ("with a as (select 1) select * from a", "SELECT", "DML"),
        ("CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE AS SELECT", "DDL"),
        ("create external table t (a int) location 's3://b/c'", "CREATE EXTERNAL TABLE", "DDL"),
        ("show  tables", "SHOW TABLES", "UTILITY"),
        ("DESC t", "DESCRIBE", "UTILITY"),
        ("msck repair table t", "MSCK REPAIR TABLE", "DDL"),
        ("DELETE FROM t", "DELETE", "DML"),
    ],
)
def test_a_statement_is_known_by_its_first_words(sql: str, verb: str, kind: str) -> None:
    found = statement(sql)
    assert (found.verb, found.type) == (verb, kind)


def test_the_tables_of_a_query_are_found_wherever_they_stand() -> None:
    assert reads("SELECT * FROM a, other.B x WHERE EXISTS (SELECT 1 FROM c WHERE c.i = x.i)") == [
        ("here", "a"),
        ("here", "c"),
        ("other", "b"),
    ]
    assert reads("WITH a AS (SELECT * FROM a), b AS (SELECT * FROM a) SELECT * FROM b JOIN d ON true") == [
        ("here", "a"),
        ("here", "d"),
    ]
    assert reads("SELECT x FROM unnest(ARRAY[1]) AS t(x)") == []
    assert reads('SELECT 1 UNION ALL SELECT i FROM (SELECT i FROM "Q")') == [("here", "q")]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH names(a, b) AS (SELECT 1, 2) SELECT a FROM names",
        "SELECT a FROM (VALUES (1, 2)) AS v (a, b)",
        "SELECT a FROM (VALUES (1, 2)) v(a, b)",
        "SELECT 'ifnull(x)' AS \"ifnull(y)\" -- ifnull(z)\n",
        "SELECT max(x) OVER (PARTITION BY y) FROM (SELECT 1 x, 2 y) AS foo WHERE x IN (1)",
        "SELECT CASE WHEN (1 = 1) THEN (2) ELSE (3) END",
        "SELECT e FROM t CROSS JOIN UNNEST(l) WITH ORDINALITY AS u (e, n)",
    ],
)
def test_what_only_looks_like_a_function_is_none(sql: str) -> None:
    asked = statement(sql)
    translated(asked.tree, asked.text, "here")


@pytest.mark.parametrize("name", ["ifnull", "nvl", "to_json", "list_sum", "isnull", "getdate", "strftime"])
def test_a_function_that_trino_does_not_have_is_refused_even_where_duckdb_has_it(name: str) -> None:
    asked = statement(f"SELECT 1,\n  {name}(x) FROM t")
    with pytest.raises(QueryError) as caught:
        translated(asked.tree, asked.text, "here")
    assert caught.value.message == f"FUNCTION_NOT_FOUND: line 2:3: Function '{name}' not registered"


@pytest.mark.parametrize(
    ("hive", "duckdb"),
    [
        ("string", "VARCHAR"),
        ("varchar(20)", "VARCHAR"),
        ("int", "INTEGER"),
        ("float", "FLOAT"),
        ("decimal(10,2)", "DECIMAL(10, 2)"),
        ("map<string,array<int>>", "MAP(VARCHAR, INTEGER[])"),
        ("array<struct<a:bigint,b:string>>", "STRUCT(a BIGINT, b VARCHAR)[]"),
    ],
)
def test_column_types_of_glue_are_read(hive: str, duckdb: str) -> None:
    assert duckdb_type(hive) == duckdb


@pytest.mark.parametrize("hive", ["strng", "array<", "array<strng>", ""])
def test_a_type_that_there_is_not_is_told(hive: str) -> None:
    with pytest.raises(QueryError, match="HIVE_METASTORE_ERROR: Error: type expected"):
        duckdb_type(hive)


def test_what_the_engine_says_that_is_not_known_is_passed_on() -> None:
    assert (
        reason("IOException", "IO Error: the disk is full\nmore", "").message
        == "GENERIC_USER_ERROR: the disk is full"
    )
    assert reason("ParserException", "Parser Error: no", "").message == "SYNTAX_ERROR: no"
    found = reason("OutOfMemoryException", "Out of Memory Error: failed to pin", "")
    assert (found.category, found.message) == (
        1,
        "EXCEEDED_LOCAL_MEMORY_LIMIT: Query exhausted resources at this scale factor",
    )


WORDS = ["select", "from", "a", "(", ")", ",", "'x'", '"', "1", "*", "where", ";", "with", "as", "--", "/*"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_any_text_is_a_statement_or_is_refused(text: str) -> None:
    with contextlib.suppress(AwsError, QueryError):
        asked = statement(text)
        if asked.verb == "SELECT":
            sql, _ = translated(asked.tree, asked.text, "here")
            assert sql
