"""What lies in a zone: a bounded sample of its Parquet files, the class of each column, its table in the Glue Data Catalog."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from kit.errors import DataError

if TYPE_CHECKING:
    from governance import Zone

__all__ = [
    "CLASSES",
    "Ranged",
    "catalogued",
    "classes",
    "glue_type",
    "job_that_made",
    "listed",
    "sample",
    "spread",
    "table",
]

CLASSES = ("internal", "pseudonymous", "sensitive", "personal")
"""What a column, and so its zone, can be; the strictest last."""
LOOKED_AT = 12
"""Objects of a zone that are looked at closely, spread over it."""

Facts = dict[str, Any]


class Ranged(io.RawIOBase):
    """An object of S3 that is read in ranges: a Parquet file's end and the columns of one row group are enough."""

    def __init__(self, s3: Any, bucket: str, key: str, size: int) -> None:
        super().__init__()
        self.ask, self.size, self.at = (lambda r: s3.get_object(Bucket=bucket, Key=key, Range=r)), size, 0

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins, in bytes."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move there; the new place, in bytes."""
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer by one request for its range; the bytes read."""
        if self.at >= self.size or not len(buffer):
            return 0
        last = min(self.at + len(buffer), self.size) - 1
        data = self.ask(f"bytes={self.at}-{last}")["Body"].read()
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def listed(s3: Any, zone: Zone) -> list[Facts]:
    """The zone's objects that hold something, as ListObjectsV2 tells them."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=zone.bucket, Prefix=zone.prefix)
    return [item for page in pages for item in page.get("Contents", []) if item["Size"]]


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, evenly."""
    return [items[at * len(items) // most] for at in range(most)] if len(items) > most else list(items)


def sample(s3: Any, zone: Zone, rows: int) -> tuple[Any, dict[str, list[Any]]]:
    """The zone's columns, and the values of about `rows` rows, from up to 12 objects and three row groups in each.

    Raises:
        DataError: the zone has no object, or one is no Parquet file.
    """
    objects = spread(listed(s3, zone), LOOKED_AT)
    if not objects:
        raise DataError(f"{zone.uri} is empty.", "Run the runbook that fills it again.")
    pieces = []
    for item in objects:
        try:
            file = pq.ParquetFile(Ranged(s3, zone.bucket, item["Key"], item["Size"]))
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{item['Key']} is no Parquet file: {error}", "Take it out of the zone."
            ) from None
        groups = spread(range(file.num_row_groups), 3)
        for group in groups:
            wanted = max(1, rows // (len(objects) * len(groups)))
            pieces += list(itertools.islice(file.iter_batches(batch_size=wanted, row_groups=[group]), 1))
    whole = pa.concat_tables([pa.Table.from_batches([p]) for p in pieces], promote_options="permissive")
    return whole.schema, {name: whole[name].to_pylist() for name in whole.column_names}


def classes(columns: Iterable[str], personal: Iterable[str], sensitive: Iterable[str], id: str) -> Facts:
    """The class of each column."""
    said = {
        id: "pseudonymous",
        **dict.fromkeys(sensitive, "sensitive"),
        **dict.fromkeys(personal, "personal"),
    }
    return {name: said.get(name, "internal") for name in columns}


TYPES = (
    (types.is_boolean, "boolean"),
    (types.is_int64, "bigint"),
    (types.is_integer, "int"),
    (types.is_float64, "double"),
    (types.is_floating, "float"),
    (types.is_date, "date"),
    (types.is_timestamp, "timestamp"),
    (types.is_decimal, "decimal"),
)


def glue_type(kind: Any) -> str:
    """The type of an Arrow column in the catalogue."""
    name = next((name for fits, name in TYPES if fits(kind)), "string")
    return f"decimal({kind.precision},{kind.scale})" if name == "decimal" else name


def table(zone: Zone, schema: Any, of: Mapping[str, str], made_by: str, basis: str) -> Facts:
    """The zone's table as Glue takes it. Glue's own parameter `classification` is the format, not the secrecy."""
    formats = "org.apache.hadoop.hive.ql.io.parquet"
    told = {"owner_role": zone.owner, "data_classification": max(of.values(), key=CLASSES.index)}
    told |= {"retention_days": str(zone.retention_days), "made_by": made_by, "legal_basis": basis}
    return {
        "Name": zone.id,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": "parquet", "EXTERNAL": "TRUE", **told},
        "StorageDescriptor": {
            "Columns": [
                {
                    "Name": f.name.lower(),
                    "Type": glue_type(f.type),
                    "Parameters": {"data_classification": of[f.name]},
                }
                for f in schema
            ],
            "Location": zone.uri.rstrip("/") + "/",
            "InputFormat": f"{formats}.MapredParquetInputFormat",
            "OutputFormat": f"{formats}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{formats}.serde.ParquetHiveSerDe"},
        },
    }


def catalogued(glue: Any, database: str, wanted: Facts) -> str:
    """Put the table into the catalogue; says whether it was `made`, `changed` or is `as it was`.

    A legal basis that the catalogue has already stays, unless another is given.
    """
    try:
        there = glue.get_table(DatabaseName=database, Name=wanted["Name"])["Table"]
    except glue.exceptions.EntityNotFoundException:
        glue.create_table(DatabaseName=database, TableInput=wanted)
        return "made"
    told = wanted["Parameters"]
    told = told | {"legal_basis": told["legal_basis"] or there.get("Parameters", {}).get("legal_basis", "")}
    asked, has = wanted["StorageDescriptor"], there.get("StorageDescriptor", {})
    if there.get("Parameters") == told and all(has.get(key) == asked[key] for key in asked):
        return "as it was"
    glue.update_table(DatabaseName=database, TableInput=wanted | {"Parameters": told})
    return "changed"


def job_that_made(sagemaker: Any, zone: Zone, stem: str) -> str:
    """The latest processing job whose name begins with `stem` and that wrote to the zone; empty if none did."""
    latest = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 50}
    listed = sagemaker.list_processing_jobs(NameContains=stem, StatusEquals="Completed", **latest)
    for name in (job["ProcessingJobName"] for job in listed["ProcessingJobSummaries"]):
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        outputs = job.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if zone.uri.rstrip("/") in [o.get("S3Output", {}).get("S3Uri", "").rstrip("/") for o in outputs]:
            return f"processing job {name} at {job['ProcessingEndTime'].isoformat()}"
    return ""
