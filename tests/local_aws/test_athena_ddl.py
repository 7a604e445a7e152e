"""Statements about the catalogue, and tables made of queries."""

from __future__ import annotations

import pytest
from lab import BUCKET
from querying import OUT, Athena, parquet


def test_a_partition_is_read_once_glue_knows_it(athena: Athena) -> None:
    for month, value in (("01", 1), ("02", 2), ("02", 3)):
        athena.put(f"parts/year=2026/month={month}/{value}.parquet", parquet(v=[value]))
    place = f"s3://{BUCKET}/{athena.database}/parts/"
    athena.run(
        f"CREATE EXTERNAL TABLE parts (v bigint) PARTITIONED BY (year string, month string) STORED AS PARQUET LOCATION '{place}'"
    )
    assert athena.rows("SELECT count(*) FROM parts") == [["0"]]
    assert len(athena.lines("MSCK REPAIR TABLE parts")) == 3
    assert athena.lines("MSCK REPAIR TABLE parts") == []
    assert athena.lines("SHOW PARTITIONS parts") == ["year=2026/month=01", "year=2026/month=02"]
    assert athena.rows("SELECT month, sum(v) FROM parts WHERE year = '2026' GROUP BY 1 ORDER BY 1") == [
        ["01", "1"],
        ["02", "5"],
    ]
    said = "TYPE_MISMATCH: line 1:34: Cannot apply operator: varchar = integer"
    assert athena.why("SELECT count(*) FROM parts WHERE year = 2026") == said
    elsewhere = athena.put("elsewhere/x.parquet", parquet(v=[10], other=["y"]))
    added = f"PARTITION (year = '2027', month = '01') LOCATION '{elsewhere}'"
    athena.lines(f"ALTER TABLE parts ADD IF NOT EXISTS {added}")
    assert athena.rows("SELECT * FROM parts WHERE year > '2026'") == [["10", "2027", "01"]]
    assert "already exists" in athena.why(f"ALTER TABLE parts ADD {added}")
    athena.lines("ALTER TABLE parts DROP PARTITION (year = '2027', month = '01')")
    assert athena.rows("SELECT sum(v) FROM parts") == [["6"]]


def test_the_catalogue_is_shown_and_changed(athena: Athena, people: str) -> None:
    assert athena.lines("SHOW TABLES") == ["people"]
    assert athena.lines("SHOW TABLES 'x*'") == []
    assert athena.database in athena.lines("SHOW DATABASES")
    assert [line.split() for line in athena.lines("DESCRIBE people")] == [
        ["id", "bigint"],
        ["name", "string"],
        ["amount", "double"],
    ]
    assert [line.strip() for line in athena.lines("SHOW COLUMNS IN people")] == ["id", "name", "amount"]
    created = "\n".join(athena.lines("SHOW CREATE TABLE people"))
    athena.lines("DROP TABLE people")
    assert athena.lines("DROP TABLE IF EXISTS people") == []
    assert athena.lines("SHOW TABLES") == []
    athena.lines(created)  # what was shown makes the same table
    assert athena.rows("SELECT count(*) FROM people") == [["3"]]
    assert f"'{people}'" in created
    assert "is not empty" in athena.why(f"DROP DATABASE {athena.database}")
    athena.lines(f"DROP DATABASE {athena.database} CASCADE")
    assert athena.database not in athena.lines("SHOW DATABASES")


@pytest.mark.usefixtures("people")
def test_a_query_makes_a_table_with_files_and_partitions(athena: Athena) -> None:
    place = f"s3://{BUCKET}/{athena.database}/made/"
    properties = f"format = 'PARQUET', external_location = '{place}', partitioned_by = ARRAY['part']"
    sql = f"CREATE TABLE made WITH ({properties}) AS SELECT id, sum(id) OVER () AS total, current_timestamp AS at, cast(id % 2 AS varchar) AS part FROM people"
    done = athena.run(sql)
    assert (done["State"], done["StatementType"]) == ("SUCCEEDED", "DDL")
    assert athena.page(done["QueryExecutionId"])["UpdateCount"] == 3
    keys = athena.lab.keys(f"{athena.database}/made/")
    assert sorted({key.split("/")[2] for key in keys}) == ["part=0", "part=1"]
    found = athena.glue.get_table(DatabaseName=athena.database, Name="made")["Table"]
    types = {column["Name"]: column["Type"] for column in found["StorageDescriptor"]["Columns"]}
    assert types == {"id": "bigint", "total": "bigint", "at": "timestamp"}
    assert found["PartitionKeys"] == [{"Name": "part", "Type": "string"}]
    assert athena.rows("SELECT id, total FROM made WHERE part = '1' ORDER BY id") == [["1", "6"], ["3", "6"]]
    said = "COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown at position 2"
    assert athena.why("CREATE TABLE untyped AS SELECT 1 AS a, NULL AS b") == said
    assert "Destination table" in athena.why("CREATE TABLE made AS SELECT 1 AS a")
    assert athena.why(f"CREATE TABLE again WITH (external_location = '{place}') AS SELECT 1 AS a").startswith(
        "HIVE_PATH_ALREADY_EXISTS"
    )
    strict = f"strict-{athena.database}"
    enforced = {"ResultConfiguration": {"OutputLocation": OUT}, "EnforceWorkGroupConfiguration": True}
    athena.client.create_work_group(Name=strict, Configuration=enforced)
    elsewhere = f"CREATE TABLE strict WITH (external_location = 's3://{BUCKET}/{strict}/') AS SELECT 1 AS a"
    assert "enforces a centralized output location" in athena.why(elsewhere, WorkGroup=strict)
    assert athena.run("CREATE TABLE strict AS SELECT 1 AS a", WorkGroup=strict)["State"] == "SUCCEEDED"
    for form in ("TEXTFILE", "JSON"):
        athena.run(f"CREATE TABLE {form} WITH (format = '{form}') AS SELECT 1 AS a, 'x' AS b")
        assert athena.rows(f"SELECT a, b FROM {form}") == [["1", "x"]]
