"""A database at the local Athena, and the statements of tests."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from lab import BUCKET, Lab

__all__ = ["OUT", "PEOPLE", "Athena", "athena", "parquet", "people"]

OUT = f"s3://{BUCKET}/results/"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


def parquet(**columns: list[Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


class Athena:
    """A database of its own, and statements that are waited for."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.client, self.glue = lab, lab.client("athena"), lab.client("glue")
        self.database = f"d{uuid.uuid4().hex[:8]}"
        self.glue.create_database(DatabaseInput={"Name": self.database})

    def start(self, sql: str, **more: Any) -> str:
        asked = {
            "QueryString": sql,
            "QueryExecutionContext": {"Database": self.database},
            "ResultConfiguration": {"OutputLocation": OUT},
        }
        return str(self.client.start_query_execution(**{**asked, **more})["QueryExecutionId"])

    def ended(self, identifier: str) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            found = self.client.get_query_execution(QueryExecutionId=identifier)["QueryExecution"]
            return {**found, "State": found["Status"]["State"]}

        return self.lab.until(ask, "State", *ENDED)

    def run(self, sql: str, **more: Any) -> dict[str, Any]:
        return self.ended(self.start(sql, **more))

    def rows(self, sql: str, **more: Any) -> list[list[str | None]]:
        """The rows of a result without its header."""
        done = self.run(sql, **more)
        assert done["State"] == "SUCCEEDED", done["Status"]
        return self.page(done["QueryExecutionId"])["rows"][1:]

    def page(self, identifier: str, **more: Any) -> dict[str, Any]:
        found = self.client.get_query_results(QueryExecutionId=identifier, **more)
        rows = [[value.get("VarCharValue") for value in row["Data"]] for row in found["ResultSet"]["Rows"]]
        info = found["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        return {**found, "rows": rows, "types": [(one["Name"], one["Type"]) for one in info]}

    def lines(self, sql: str) -> list[str]:
        """What a statement about the catalogue answers."""
        done = self.run(sql)
        assert done["State"] == "SUCCEEDED", done["Status"]
        return [str(row[0]) for row in self.page(done["QueryExecutionId"])["rows"]]

    def why(self, sql: str, **more: Any) -> str:
        """Why a statement failed."""
        done = self.run(sql, **more)
        assert done["State"] == "FAILED", done["Status"]
        assert done["Status"]["AthenaError"]["ErrorMessage"] == done["Status"]["StateChangeReason"]
        return str(done["Status"]["StateChangeReason"])

    def put(self, key: str, body: str | bytes) -> str:
        """The folder of a new object that belongs to this database."""
        return self.lab.put(f"{self.database}/{key}", body).rpartition("/")[0] + "/"

    def table(self, name: str, columns: str, location: str, rest: str = "", serde: str = "") -> None:
        done = self.run(f"CREATE EXTERNAL TABLE {name} ({columns}) {rest} {serde} LOCATION '{location}'")
        assert done["State"] == "SUCCEEDED", done["Status"]


@pytest.fixture
def athena(lab: Lab) -> Athena:
    return Athena(lab)


PEOPLE = parquet(id=[1, 2, 3], name=["ann", None, 'b"o,b'], amount=[1.5, 2e7, -0.25])


@pytest.fixture
def people(athena: Athena) -> str:
    """The location of a table `people` on Parquet."""
    place = athena.put("people/a.parquet", PEOPLE)
    athena.table("people", "id bigint, name string, amount double", place, "STORED AS PARQUET")
    return place
