"""Tables of the AWS Glue Data Catalog over zones of the bucket, and the questions that Amazon Athena answers about them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from inventory import glue_type

from kit.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ask", "columns_of", "database", "stored", "table", "workgroup"]

PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
JSON = "org.openx.data.jsonserde.JsonSerDe"
TEXT = (
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
)
NUMBERS = ("tinyint", "smallint", "integer", "bigint", "float", "double", "decimal")


def database(glue: Any, name: str, description: str, tags: Iterable[Mapping[str, str]]) -> None:
    """Make the database, if it is not there yet."""
    try:
        glue.get_database(Name=name)
    except glue.exceptions.EntityNotFoundException:
        kept = {tag["Key"]: tag["Value"] for tag in tags}
        glue.create_database(DatabaseInput={"Name": name, "Description": description}, Tags=kept)


def workgroup(athena: Any, name: str, results: str, tags: Sequence[Mapping[str, str]]) -> None:
    """Make the workgroup, if it is not there yet: its results go to `results` (S3 URI), unless a query asks for another place.

    They are encrypted as the bucket encrypts: naming a way here would be refused where the bucket asks for another. A workgroup
    that enforces its settings refuses CREATE TABLE AS with a place for the table.
    """
    where = {"OutputLocation": results}
    try:
        athena.create_work_group(
            Name=name,
            Configuration={"ResultConfiguration": where, "EnforceWorkGroupConfiguration": False},
            Tags=tags,
        )
    except ClientError as error:
        if "already" not in str(error):
            raise


def columns_of(schema: Any) -> list[tuple[str, str]]:
    """The columns of a Parquet file (its Arrow schema) with their types in the catalogue."""
    return [(field.name.lower(), glue_type(field.type)) for field in schema]


def stored(
    name: str, location: str, columns: Iterable[tuple[str, str]], kind: str, **told: str
) -> dict[str, Any]:
    """A table as Glue takes it: files of the kind "parquet" or "json" (a line each) below `location` (S3 URI).

    `told`: what else the catalogue says of it, such as `made_by`.
    """
    form, out, serde = (*TEXT, JSON)
    if kind == "parquet":
        form, out = f"{PARQUET}.MapredParquetInputFormat", f"{PARQUET}.MapredParquetOutputFormat"
        serde = f"{PARQUET}.serde.ParquetHiveSerDe"
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": kind, "EXTERNAL": "TRUE", **told},
        "StorageDescriptor": {
            "Columns": [{"Name": column, "Type": type} for column, type in columns],
            "Location": location.rstrip("/") + "/",
            "InputFormat": form,
            "OutputFormat": out,
            "SerdeInfo": {"SerializationLibrary": serde},
        },
    }


def table(glue: Any, database: str, wanted: Mapping[str, Any]) -> None:
    """Put the table into the catalogue, in the place of the one that had its name."""
    try:
        glue.update_table(DatabaseName=database, TableInput=wanted)
    except glue.exceptions.EntityNotFoundException:
        glue.create_table(DatabaseName=database, TableInput=wanted)


def ask(
    athena: Any, sql: str, database: str, workgroup: str, poll: float = 1, patience: float = 600
) -> pd.DataFrame:
    """What a query answers, a column of numbers as numbers and of times as times; no row where it answers nothing.

    Raises:
        DataError: Athena could not run it; with its words.
    """
    import pandas as pd

    id = athena.start_query_execution(
        QueryString=sql, QueryExecutionContext={"Database": database}, WorkGroup=workgroup
    )["QueryExecutionId"]
    deadline, wait = time.monotonic() + patience, min(0.2, poll)
    while True:
        status = athena.get_query_execution(QueryExecutionId=id)["QueryExecution"]["Status"]
        if status["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            break
        if time.monotonic() > deadline:
            athena.stop_query_execution(QueryExecutionId=id)
        time.sleep(wait)
        wait = min(poll, 2 * wait)
    if status["State"] != "SUCCEEDED":
        why = status.get("StateChangeReason", status["State"])
        raise DataError(f"Athena: {why}", f"The query begins: {' '.join(sql.split())[:100]}")
    pages = list(athena.get_paginator("get_query_results").paginate(QueryExecutionId=id))
    info = pages[0]["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    if not sql.lstrip().lower().startswith(("select", "with")):
        return pd.DataFrame()
    rows = [
        [value.get("VarCharValue") for value in row["Data"]]
        for page in pages
        for row in page["ResultSet"]["Rows"]
    ]
    frame = pd.DataFrame(rows[1:], columns=[column["Name"] for column in info])
    for column in info:
        name, kind = column["Name"], column["Type"]
        if kind.startswith(NUMBERS):
            frame[name] = pd.to_numeric(frame[name])
        elif kind == "boolean":
            frame[name] = frame[name] == "true"
        elif kind.startswith("timestamp"):
            frame[name] = pd.to_datetime(frame[name], format="ISO8601")
    return frame
