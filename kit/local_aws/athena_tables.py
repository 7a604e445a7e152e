"""The Glue catalogue as Athena sees it: which files a table has and how they are read, and the statements that change it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from kit.local_aws.askers import asker
from kit.local_aws.athena_sql import QueryError, Read, duckdb_type
from kit.local_aws.channels import InputError
from kit.local_aws.objects import Item, listed, objects_of

if TYPE_CHECKING:
    from kit.local_aws.execution import Clients
    from kit.local_aws.store import Context

__all__ = ["CATALOG", "Catalogue", "Table", "storage"]

CATALOG = "awsdatacatalog"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
PLAIN = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
JSON = "org.openx.data.jsonserde.JsonSerDe"
# Serialization library -> the engine's format.
SERDES = {
    f"{PARQUET}.serde.ParquetHiveSerDe": "parquet",
    PLAIN: "csv",
    "org.apache.hadoop.hive.serde2.OpenCSVSerde": "open_csv",
    "com.bizo.hive.serde.csv.CSVSerde": "open_csv",
    JSON: "json",
    "org.apache.hive.hcatalog.data.JsonSerDe": "json",
}
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
NO_FORMAT = "HIVE_UNSUPPORTED_FORMAT: Unable to create input format"


def storage(kind: str, location: str, columns: list[dict[str, str]], serde: str = "", **options: str) -> dict[str, Any]:  # fmt: skip
    """A Glue StorageDescriptor for files of a kind ("parquet" or text), read with a serialization library and its parameters."""
    if kind == "parquet":
        form, out, serde = f"{PARQUET}.MapredParquetInputFormat", f"{PARQUET}.MapredParquetOutputFormat", f"{PARQUET}.serde.ParquetHiveSerDe"  # fmt: skip
    else:
        form = "org.apache.hadoop.mapred.TextInputFormat"
        out = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
    return {
        "Columns": columns,
        "Location": location,
        "InputFormat": form,
        "OutputFormat": out,
        "SerdeInfo": {
            "SerializationLibrary": serde or PLAIN,
            "Parameters": options or {"serialization.format": "1"},
        },
    }


@dataclass(frozen=True)
class Table:
    """A table with the objects that it has now: each with the values of its partition."""

    read: Read
    definition: Mapping[str, Any]
    objects: tuple[tuple[Item, tuple[str, ...]], ...]

    def bytes(self) -> int:
        """What a query of it reads."""
        return sum(item.size for item, _ in self.objects)

    def mounted(self, path: Callable[[Item], Any]) -> dict[str, Any]:
        """The table as the engine takes it. Raises QueryError for a format that it does not read."""
        descriptor = self.definition["StorageDescriptor"]
        serde = descriptor.get("SerdeInfo", {})
        if not descriptor.get("InputFormat"):
            raise QueryError(NO_FORMAT, 1001)
        library = serde.get("SerializationLibrary", "")
        if library not in SERDES:
            raise QueryError(f"NOT_SUPPORTED: The local AWS does not read tables of {library or 'no serde'}")
        given = {**self.definition.get("Parameters", {}), **serde.get("Parameters", {})}
        plain = SERDES[library] == "csv"
        options = {
            "delimiter": _unescaped(given.get("field.delim" if plain else "separatorChar") or ("\x01" if plain else ",")),
            "quote": _unescaped(given.get("quoteChar", '"')),
            "escape": _unescaped(given.get("escape.delim", "") if plain else given.get("escapeChar", "\\")),
            "null": given.get("serialization.null.format", "\\N"),
            "skip": int(given.get("skip.header.line.count", 0)),
            "ignore": given.get("ignore.malformed.json", "").lower() == "true",
        }  # fmt: skip
        return {
            "database": self.read.database,
            "name": self.read.name,
            "format": SERDES[library],
            "columns": _typed(descriptor.get("Columns", [])),
            "partitions": _typed(self.definition.get("PartitionKeys", [])),
            "files": [[str(path(item)), list(values), item.uri] for item, values in self.objects],
            "options": options,
        }


def _typed(columns: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    return [(column["Name"].lower(), duckdb_type(column.get("Type", "string"))) for column in columns]


def _unescaped(value: str) -> str:
    """A property as Hive reads it: \\t, \\u0001, \\001."""
    named = {"t": "\t", "n": "\n", "\\": "\\", "r": "\r"}
    return re.sub(
        r"\\(u[0-9a-fA-F]{4}|[0-7]{3}|[tnr\\])",
        lambda found: named.get(found[1]) or chr(int(found[1].lstrip("u"), 16 if found[1][0] == "u" else 8)),
        value,
    )


def _segments(key: str) -> dict[str, str]:
    """The name=value folders of a key."""
    return {
        name.lower(): unquote(value)
        for name, found, value in (part.partition("=") for part in key.split("/")[:-1])
        if found
    }


class Catalogue:
    """The databases and tables of the account and region of a context, as far as `aws` (without it: who asks) may see them."""

    def __init__(self, ctx: Context, aws: Clients | None = None) -> None:
        self._ctx, self._aws = ctx, aws or asker(ctx)
        self.glue = self._aws.client("glue", ctx.region)

    def definition(self, database: str, name: str) -> dict[str, Any] | None:
        """A table of Glue's; None if there is none."""
        try:
            found: dict[str, Any] = self.glue.get_table(DatabaseName=database, Name=name)["Table"]
            return found
        except self.glue.exceptions.EntityNotFoundException:
            return None

    def needed(self, read: Read) -> dict[str, Any]:
        """The table that a query reads. Raises QueryError in Athena's words where there is none."""
        found = self.definition(read.database, read.name)
        if found is not None:
            return found
        at = "line {}:{}: ".format(*read.at)
        if not self.has(read.database):
            raise QueryError(f"SCHEMA_NOT_FOUND: {at}Schema '{read.database}' does not exist", 1006)
        table = f"{CATALOG}.{read.database}.{read.name}"
        raise QueryError(f"TABLE_NOT_FOUND: {at}Table '{table}' does not exist", 1006)

    def has(self, database: str) -> bool:
        """Whether there is such a database; "default" is in every catalogue."""
        try:
            self.glue.get_database(Name=database)
        except self.glue.exceptions.EntityNotFoundException:
            return database == "default"
        return True

    def databases(self) -> list[str]:
        """Their names, sorted."""
        pages = self.glue.get_paginator("get_databases").paginate()
        return sorted({"default", *(found["Name"] for page in pages for found in page["DatabaseList"])})

    def tables(self, database: str) -> list[str]:
        """The names of a database's tables, sorted."""
        try:
            pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=database)
            return sorted(found["Name"] for page in pages for found in page["TableList"])
        except self.glue.exceptions.EntityNotFoundException:
            return []

    def partitions(self, database: str, name: str) -> list[dict[str, Any]]:
        """The partitions that a table has in Glue."""
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=name)
        return [found for page in pages for found in page["Partitions"]]

    def table(self, read: Read) -> Table:
        """A table with its objects. Raises QueryError where it is not there, or its bucket is not."""
        definition = self.needed(read)
        keys = [column["Name"].lower() for column in definition.get("PartitionKeys", [])]
        location = definition.get("StorageDescriptor", {}).get("Location", "")
        if not keys:
            return Table(read, definition, tuple((item, ()) for item in self.files(location)))
        if definition.get("Parameters", {}).get("projection.enabled") == "true":
            held = [(item, _segments(item.key)) for item in self.files(location)]
            found = [
                (item, tuple(values[key] for key in keys))
                for item, values in held
                if all(key in values for key in keys)
            ]
            return Table(read, definition, tuple(found))
        return Table(read, definition, tuple(self._partitioned(read, location)))

    def _partitioned(self, read: Read, location: str) -> Iterator[tuple[Item, tuple[str, ...]]]:
        """The objects of the partitions that Glue knows; those below the table's own location are listed in one go."""
        places: dict[str, tuple[str, ...]] = {}
        root = location.rstrip("/") + "/"
        for partition in self.partitions(read.database, read.name):
            place = partition.get("StorageDescriptor", {}).get("Location") or location
            values = tuple(partition["Values"])
            if place.startswith(root):
                places[place.rstrip("/")] = values
            else:
                yield from ((item, values) for item in self.files(place))
        for item in self.files(location) if places else ():
            folder = item.uri.rpartition("/")[0]
            while folder not in places and len(folder) > len(root):
                folder = folder.rpartition("/")[0]
            if folder in places:
                yield item, places[folder]

    def files(self, location: str) -> list[Item]:
        """The objects below a location that count as data: no name that begins with "_" or "."."""
        try:
            found = listed(self._aws, self._ctx.region, location.rstrip("/") + "/")
        except InputError:
            raise QueryError(
                f"HIVE_INVALID_METADATA: The location '{location}' is not an S3 URI", 1001
            ) from None
        except ClientError as error:
            said = error.response["Error"].get("Message", str(error))
            if error.response["Error"]["Code"] == "AccessDenied":
                raise QueryError(f"Permission denied on S3 path: {location}") from None
            raise QueryError(f"HIVE_METASTORE_ERROR: {said} (Path: {location})", 1001) from None
        return [item for item in found if item.key.rpartition("/")[2][:1] not in ("_", ".")]

    def fetch(self, tables: Iterable[Table]) -> None:
        """Has copies of all the tables' objects on disk."""
        for table in tables:
            try:
                held = [item for item, _ in table.objects]
                objects_of(self._ctx.app).fetch(self._aws, self._ctx.region, held)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("AccessDenied", "403"):
                    location = table.definition["StorageDescriptor"]["Location"]
                    raise QueryError(f"Permission denied on S3 path: {location}") from None
                raise QueryError(f"HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split: {error}", 1001) from None

    def repair(self, database: str, name: str) -> list[str]:
        """Adds the partitions that lie in S3 as name=value folders and Glue does not know; what Athena says of it."""
        definition = self.described(database, name)
        keys = [column["Name"].lower() for column in definition.get("PartitionKeys", [])]
        location = definition["StorageDescriptor"]["Location"].rstrip("/")
        known = {tuple(found["Values"]) for found in self.partitions(database, name)}
        fresh: dict[tuple[str, ...], str] = {}
        for item in self.files(location):
            inner = item.uri[len(location) + 1 :]
            values = _segments(inner)
            if (
                list(values)[: len(keys)] == keys
                and (found := tuple(values[key] for key in keys)) not in known
            ):
                fresh[found] = "/".join(inner.split("/")[: len(keys)])
        self.add(definition, [(values, f"{location}/{folder}/") for values, folder in fresh.items()])
        if not fresh:
            return []
        missing = "\t".join(f"{name}:{folder}" for folder in fresh.values())
        return [
            f"Partitions not in metastore:\t{missing}",
            *(f"Repair: Added partition to metastore {name}:{folder}" for folder in fresh.values()),
        ]

    def add(self, definition: Mapping[str, Any], places: list[tuple[tuple[str, ...], str]]) -> None:
        """Registers partitions: values and locations."""
        for begin in range(0, len(places), 100):  # what BatchCreatePartition takes at most
            self.glue.batch_create_partition(
                DatabaseName=definition["DatabaseName"],
                TableName=definition["Name"],
                PartitionInputList=[
                    {
                        "Values": list(values),
                        "StorageDescriptor": {**definition["StorageDescriptor"], "Location": place},
                    }
                    for values, place in places[begin : begin + 100]
                ],
            )

    def described(self, database: str, name: str) -> dict[str, Any]:
        """A table for a statement of Hive's. Raises QueryError in Hive's words, also for what Glue lets pass and Hive does not."""
        found = self.definition(database, name)
        if found is None:
            raise QueryError(
                f"FAILED: SemanticException [Error 10001]: Table not found {database}.{name}", 1003
            )
        if not found.get("TableType"):
            raise QueryError("FAILED: NullPointerException Name is null", 1003)
        return found
