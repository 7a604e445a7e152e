from __future__ import annotations

import pytest

from kit.local_aws.athena_sql import QueryError, statement
from kit.local_aws.athena_types import check_comparisons

COLUMNS = {
    ("d", "t"): {"id": "BIGINT", "year": "VARCHAR", "amount": "DOUBLE"},
    ("d", "u"): {"id": "BIGINT", "name": "VARCHAR"},
}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("year = 2026", "line 1:23: Cannot apply operator: varchar = integer"),
        ("2026 <= year", "line 1:31: Cannot apply operator: integer <= varchar"),
        ("T.id <> '5'", "line 1:25: Cannot apply operator: bigint <> varchar(1)"),
        ("year > -1.5", "line 1:23: Cannot apply operator: varchar > decimal(2,1)"),
        ("year IN ('2025', 2026)", "line 1:23: IN value and list items must be the same type: varchar"),
        ("EXISTS (SELECT 1 FROM u WHERE name = 1)", "line 1:53: Cannot apply operator: varchar = integer"),
    ],
)
def test_a_column_beside_a_literal_of_another_kind_is_refused(condition: str, said: str) -> None:
    asked = statement(f"SELECT * FROM t WHERE {condition}")
    with pytest.raises(QueryError) as caught:
        check_comparisons(asked.tree, COLUMNS, "d")
    assert caught.value.message == f"TYPE_MISMATCH: {said}"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE year = '2026' AND id = 5 AND amount > 1 AND id < 1.5",
        "SELECT * FROM t WHERE cast(year AS integer) = 2026 OR year = cast(2026 AS varchar)",
        "SELECT * FROM t, u WHERE id = '5'",  # whose id is not sure
        "SELECT * FROM (SELECT 1 AS year) s WHERE year = 2026",
        "WITH t AS (SELECT 1 AS year) SELECT * FROM t WHERE year = 2026",
        "SELECT * FROM unknown WHERE year = 2026",
        "SELECT * FROM t JOIN u ON t.id = u.id AND u.name = t.year",
    ],
)
def test_what_trino_allows_or_what_is_not_sure_passes(sql: str) -> None:
    check_comparisons(statement(sql).tree, COLUMNS, "d")
