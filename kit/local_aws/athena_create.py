"""CREATE TABLE AS SELECT: a query's rows as files in S3 and a table over them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from kit.local_aws.askers import asker
from kit.local_aws.athena_sql import QueryError, Statement
from kit.local_aws.athena_tables import CATALOG, JSON, PLAIN, Catalogue, storage
from kit.local_aws.channels import put
from kit.local_aws.protocol import now

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["Creation"]

FORMATS = {"PARQUET": "parquet", "TEXTFILE": "csv", "JSON": "json"}
KNOWN = {"format", "external_location", "partitioned_by", "write_compression", "parquet_compression", "field_delimiter"}  # fmt: skip


@dataclass(frozen=True)
class Creation:
    """A table that is to be: the query that fills it, where its files go, and in which form."""

    query: Any
    database: str
    name: str
    location: str
    format: str
    delimiter: str
    compression: str
    partitions: tuple[str, ...]

    @classmethod
    def of(cls, asked: Statement, database: str, catalogue: Catalogue, folder: str) -> Creation:
        """From the statement; `folder` takes the files of a table that names no place. Raises QueryError where it cannot be."""
        from sqlglot import exp

        tree = asked.tree
        target = tree.this
        schema, name = (target.db or database).lower(), target.name.lower()
        table = f"{CATALOG}.{schema}.{name}"
        if not catalogue.has(schema):
            raise QueryError(f"SCHEMA_NOT_FOUND: Schema {schema} not found", 1006)
        if catalogue.definition(schema, name) is not None:
            raise QueryError(
                f"TABLE_ALREADY_EXISTS: line 1:1: Destination table '{table}' already exists", 1006
            )
        given: dict[str, Any] = {}
        for one in tree.args["properties"].expressions if tree.args.get("properties") else ():
            if isinstance(one, exp.FileFormatProperty):
                given["format"] = one.this.name
            elif isinstance(one, exp.PartitionedByProperty):
                given["partitioned_by"] = [column.name.lower() for column in one.this.expressions]
            elif isinstance(one, exp.Property):
                given[one.name.lower()] = one.args["value"].name
        if unknown := sorted(set(given) - KNOWN):
            raise QueryError(f"NOT_SUPPORTED: The local AWS does not know the table property {unknown[0]}")
        form = given.get("format", "PARQUET").upper()
        if form not in FORMATS:
            raise QueryError(f"NOT_SUPPORTED: The local AWS does not write {form} files")
        location = given.get("external_location", folder).rstrip("/") + "/"
        if catalogue.files(location):
            raise QueryError(
                f"HIVE_PATH_ALREADY_EXISTS: Target directory for table '{schema}.{name}' already exists: {location}."
                f" You may need to manually clean the data at location '{location}' before retrying."
                " Athena will not delete data in your account.",
                1000,
            )
        compression = given.get("write_compression", given.get("parquet_compression", "GZIP")).lower()
        keys = tuple(given.get("partitioned_by", ()))
        delimiter = given.get("field_delimiter", "\x01")
        return cls(tree.expression, schema, name, location, form, delimiter, compression, keys)

    def copy(self, scratch: Path) -> dict[str, Any]:
        """What the engine is told: where and how it writes the files."""
        folder = scratch / "table"
        folder.mkdir()
        options = [f"FORMAT {FORMATS[self.format]}"]
        if self.format == "PARQUET":
            options.append(f"COMPRESSION '{self.compression}'")
        elif self.format == "TEXTFILE":
            delimiter = self.delimiter.replace("'", "''")
            options += ["HEADER false", "QUOTE ''", "ESCAPE ''", f"DELIMITER '{delimiter}'", "NULL '\\N'"]
        if self.partitions:
            named = ", ".join(f'"{key}"' for key in self.partitions)
            return {"target": str(folder), "options": [*options, f"PARTITION_BY ({named})"]}
        return {"target": str(folder / "data"), "options": options}

    def publish(self, ctx: Context, scratch: Path, columns: list[list[str]]) -> None:
        """Puts the files into S3 and the table into Glue. Raises QueryError for a column that has no type."""
        for position, (_, kind) in enumerate(columns, start=1):
            if kind == "unknown":
                said = f"COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown at position {position}"
                raise QueryError(said, 1006)
        folder = scratch / "table"
        stamp = f"{now():%Y%m%d_%H%M%S}_00000_{uuid.uuid4().hex[:5]}_{uuid.uuid4()}"
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        for number, file in enumerate(files):
            file.rename(file.with_name(f"{stamp}_{number:05}"))
        put(asker(ctx), ctx.region, folder, self.location)
        typed = [{"Name": name.lower(), "Type": kind} for name, kind in columns]
        plain = [column for column in typed if column["Name"] not in self.partitions]
        keys = [column for column in typed if column["Name"] in self.partitions]
        if self.format == "PARQUET":
            descriptor = storage("parquet", self.location, plain)
        elif self.format == "JSON":
            descriptor = storage("text", self.location, plain, JSON)
        else:
            descriptor = storage("text", self.location, plain, PLAIN, **{"field.delim": self.delimiter})
        catalogue = Catalogue(ctx)
        catalogue.glue.create_table(
            DatabaseName=self.database,
            TableInput={
                "Name": self.name,
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {"EXTERNAL": "TRUE", "has_encrypted_data": "false"},
                "PartitionKeys": keys,
                "StorageDescriptor": descriptor,
            },
        )
        definition = {"DatabaseName": self.database, "Name": self.name, "StorageDescriptor": descriptor}
        folders = sorted({file.parent.relative_to(folder) for file in files} if keys else set())
        places = [
            (
                tuple(unquote(part.partition("=")[2]) for part in place.parts),
                f"{self.location}{place.as_posix()}/",
            )
            for place in folders
        ]
        catalogue.add(definition, places)
