from __future__ import annotations

import csv
import io
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.athena_values import csv_line, csv_rows, double, hive_type, real, type_of, writer_of

FIELDS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1)


@given(st.lists(FIELDS, max_size=20))
def test_rows_come_back_as_they_were_written(rows: list[list[str | None]]) -> None:
    text = "".join(csv_line(row) for row in rows)
    found = list(csv_rows(text))
    assert [row for row, _ in found] == rows
    if found:
        assert found[-1][1] == len(text)


@given(st.lists(FIELDS, min_size=1, max_size=5), st.data())
def test_of_a_text_that_is_cut_off_only_whole_rows_are_read(
    rows: list[list[str | None]], data: st.DataObject
) -> None:
    text = "".join(csv_line(row) for row in rows)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    found = [row for row, _ in csv_rows(cut)]
    assert found == rows[: len(found)]
    assert len(found) < len(rows)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"])), min_size=1, max_size=5
    )
)
def test_pythons_reader_reads_the_same(row: list[str]) -> None:
    assert next(csv.reader(io.StringIO(csv_line(list(row)), newline=""))) == row


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (-2.5, "-2.5"),
        (0.001, "0.001"),
        (0.00099, "9.9E-4"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (-1e300, "-1.0E300"),
        (1.5e-10, "1.5E-10"),
        (1e16, "1.0E16"),
        (123456789012345680.0, "1.2345678901234568E17"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
    ],
)
def test_doubles_are_written_as_java_writes_them(value: float, said: str) -> None:
    assert double(value) == said


def test_not_a_number_is_written() -> None:
    assert double(math.nan) == real(math.nan) == "NaN"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_is_the_same_number_when_it_is_read_again(value: float) -> None:
    assert float(double(value)) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_real_has_no_more_digits_than_tell_it(value: float) -> None:
    said = real(value)
    assert len(said.partition("E")[0].strip("-").replace(".", "").strip("0")) <= 9
    (again,) = duckdb.execute("SELECT CAST(? AS FLOAT)", [said]).fetchone() or (None,)
    assert again == value


@pytest.mark.parametrize(
    ("kind", "value", "said", "hive"),
    [
        ("TINYINT", 1, "1", "tinyint"),
        ("HUGEINT", 1, "1", "bigint"),
        ("DECIMAL(5, 2)", Decimal("1.50"), "1.50", "decimal(5,2)"),
        ("BOOLEAN", True, "true", "boolean"),
        ("DATE", date(2026, 1, 2), "2026-01-02", "date"),
        ("TIME", time(1, 2, 3), "01:02:03.000", "time"),
        ("TIMESTAMP", datetime(2026, 1, 2, 3, 4, 5, 678_900), "2026-01-02 03:04:05.678", "timestamp"),  # noqa: DTZ001
        ("TIMESTAMPTZ", datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00.000 UTC", "timestamp"),
        ("BLOB", b"\x00\xff", "00 ff", "binary"),
        ("DOUBLE[]", [1.0, None], "[1.0, null]", "array<double>"),
        ("STRUCT(a INTEGER, b VARCHAR[])", {"a": 1, "b": ["x"]}, "{a=1, b=[x]}", "struct<a:int,b:array<string>>"),
        ("MAP(VARCHAR, BOOLEAN)", {"k": False}, "{k=false}", "map<string,boolean>"),
        ("VARCHAR", None, None, "string"),
    ],
)  # fmt: skip
def test_each_type_is_written_and_named(kind: str, value: Any, said: str | None, hive: str) -> None:
    of = duckdb.execute(f"SELECT CAST(NULL AS {kind})").description[0][1]
    assert writer_of(of)(value) == said
    assert hive_type(of) == hive
    assert type_of(of)[0] not in ("", "unknown")
