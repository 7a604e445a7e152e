"""Tables over zones of a bucket, and the answers of Athena as a frame, at the local AWS."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jobs import load

from kit.errors import DataError
from kit.local_aws import process

(catalogue,) = load("data_engineering", "catalogue")
TAGS = [{"Key": "eba:card", "Value": "D1"}]
GROUP, TABLES = "eba", "eba_collected"


@dataclass
class Account:
    """Clients of an account that has a bucket, a database and a workgroup."""

    session: Any
    url: str

    def __getitem__(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.url)

    def ask(self, sql: str) -> pd.DataFrame:
        frame: pd.DataFrame = catalogue.ask(self["athena"], sql, TABLES, GROUP, 0.1)
        return frame


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("aws")
    server = process.up(folder)
    made = Account(boto3.Session("AKIATEST", "secret", region_name="us-east-1"), server.url)
    made["s3"].create_bucket(Bucket="zone")
    catalogue.database(made["glue"], TABLES, "What was collected", TAGS)
    catalogue.workgroup(made["athena"], GROUP, "s3://zone/athena/", TAGS)
    yield made
    process.down(folder)


def put(account: Account, key: str, table: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    account["s3"].put_object(Bucket="zone", Key=key, Body=sink.getvalue())


def test_a_parquet_zone_with_folders_is_read_as_one_table(account: Account) -> None:
    rows = pa.table({"Who": ["ann", "😀"], "n": [1, 2], "odd name": ["a", None]})
    put(account, "raw/2026-01/rows.parquet", rows)
    put(account, "raw/2026-02/rows.parquet", rows)
    columns = catalogue.columns_of(rows.schema)
    assert columns == [("who", "string"), ("n", "bigint"), ("odd name", "string")]
    wanted = catalogue.stored("raw", "s3://zone/raw", columns, "parquet", made_by="a test")
    catalogue.table(account["glue"], TABLES, wanted)
    assert (
        account["glue"].get_table(DatabaseName=TABLES, Name="raw")["Table"]["Parameters"]["made_by"]
        == "a test"
    )
    found = account.ask("select who, sum(n) as n, count(*) as rows from raw group by who order by who")
    assert found.to_dict("list") == {"who": ["ann", "😀"], "n": [2, 4], "rows": [2, 2]}


def test_a_table_takes_the_place_of_the_one_before(account: Account) -> None:
    for place, lines in (("one", '{"id": "a"}\n'), ("two", '{"id": "b"}\n{"id": "c"}\n')):
        account["s3"].put_object(Bucket="zone", Key=f"{place}/x", Body=lines.encode())
        wanted = catalogue.stored("arrivals", f"s3://zone/{place}/", [("id", "string")], "json")
        catalogue.table(account["glue"], TABLES, wanted)
    assert account.ask("select id from arrivals order by id")["id"].tolist() == ["b", "c"]


def test_answers_have_the_types_of_the_query(account: Account) -> None:
    found = account.ask(
        """select 1 as a, 1.5e0 as b, true as c, timestamp '2026-01-31 09:00:00.250' as d,
        cast(null as varchar) as e, cast(null as double) as f"""
    )
    (row,) = found.to_dict("records")
    assert (row["a"], row["b"], row["c"]) == (1, 1.5, True)
    assert row["d"] == pd.Timestamp("2026-01-31 09:00:00.250")
    assert row["e"] is None
    assert pd.isna(row["f"])


def test_more_rows_than_a_page_come_all(account: Account) -> None:
    found = account.ask("select n from unnest(sequence(1, 2500)) as t(n) order by n")
    assert found["n"].tolist() == list(range(1, 2501))


def test_a_query_that_makes_a_table_answers_nothing(account: Account) -> None:
    for _ in range(2):  # the second time in the place of the first
        account.ask("drop table if exists small")
        made = account.ask(f"create table small with (format = 'PARQUET', external_location = 's3://zone/small/{_}/') as select 1 as n")  # fmt: skip
        assert made.empty
    assert account.ask("select n from small")["n"].tolist() == [1]


def test_what_athena_cannot_run_is_said_in_its_words(account: Account) -> None:
    with pytest.raises(DataError, match=r"Athena: .*TABLE_NOT_FOUND") as caught:
        account.ask("select *\nfrom nothing")
    assert "select * from nothing" in caught.value.hint


def test_database_and_workgroup_are_made_once(account: Account) -> None:
    catalogue.database(account["glue"], TABLES, "again", TAGS)
    catalogue.workgroup(account["athena"], GROUP, "s3://zone/elsewhere/", TAGS)
    assert account["glue"].get_database(Name=TABLES)["Database"]["Description"] == "What was collected"
    found = account["athena"].get_work_group(WorkGroup=GROUP)["WorkGroup"]["Configuration"]
    assert found["ResultConfiguration"]["OutputLocation"] == "s3://zone/athena/"
    assert found["EnforceWorkGroupConfiguration"] is False, "or no table could be made where it belongs"
