"""The result of a query in S3: written once, read in pages."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws.askers import asker
from kit.local_aws.athena_sql import QueryError
from kit.local_aws.athena_values import csv_rows
from kit.local_aws.channels import split
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["encryption", "read", "write"]

CHUNK = 1024 * 1024  # bytes that are asked for at once


def encryption(record: Record) -> dict[str, str]:
    """How PutObject is told of the encryption that a query's results should have."""
    wanted = record["ResultConfiguration"].get("EncryptionConfiguration", {})
    if wanted.get("EncryptionOption") == "SSE_S3":
        return {"ServerSideEncryption": "AES256"}
    if wanted.get("EncryptionOption") == "SSE_KMS":
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": wanted.get("KmsKey", "")}
    return {}


def write(ctx: Context, record: Record, result: Path, columns: list[Any]) -> None:
    """Puts the result, and beside it its columns as JSON (AWS has a binary form of its own there). Raises QueryError."""
    bucket, key = split(record["ResultConfiguration"]["OutputLocation"])
    s3, options = asker(ctx).client("s3", ctx.region), encryption(record)
    try:
        with result.open("rb") as body:
            s3.put_object(Bucket=bucket, Key=key, Body=body, **options)
        described = json.dumps({"columns": columns}).encode()
        s3.put_object(Bucket=bucket, Key=f"{key}.metadata", Body=described, **options)
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":
            said = f"Access denied when writing to location: s3://{bucket}/{key}"
        else:
            said = f"Failed to write query results to S3: {error.response['Error'].get('Message', '')}"
        raise QueryError(said, 401) from None


def read(ctx: Context, record: Record, params: dict[str, Any]) -> Record:
    """A page of the result: its first row is the header where the statement was a query. Raises InvalidRequestException."""
    info = [
        {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": "",
            "Name": name,
            "Label": name,
            "Type": kind,
            "Precision": precision,
            "Scale": scale,
            "Nullable": "UNKNOWN",
            "CaseSensitive": kind in ("varchar", "char", "json"),
        }
        for name, kind, precision, scale in record["_columns"]
    ]
    size, token = params.get("MaxResults", 1000), params.get("NextToken")
    rows: list[list[str | None]] = []
    at, more = 0, False
    if info:
        rows, at, more = _page(ctx, record, _position(token), size)
    data = [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in rows]
    answer = {
        "UpdateCount": record.get("_updated", 0),
        "ResultSet": {"Rows": data, "ResultSetMetadata": {"ColumnInfo": info}},
    }
    return {**answer, "NextToken": _token(at)} if more else answer


def _page(ctx: Context, record: Record, at: int, size: int) -> tuple[list[list[str | None]], int, bool]:
    """At most so many rows from a position on, the position after them, and whether more follow."""
    bucket, key = split(record["ResultConfiguration"]["OutputLocation"])
    query = key.endswith(".csv")
    wanted, content = CHUNK, b""
    while True:
        try:
            answer = (
                asker(ctx)
                .client("s3", ctx.region)
                .get_object(Bucket=bucket, Key=key, Range=f"bytes={at}-{at + wanted - 1}")
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":
                return [], at, False
            raise AwsError("InvalidRequestException", "Could not find results") from None
        content = answer["Body"].read()
        total = int(answer["ContentRange"].rpartition("/")[2])
        rows, read = _rows(content.decode("utf-8", errors="ignore"), size, query)
        whole = at + len(content) >= total
        if len(rows) == size or whole:
            return rows, at + read, at + read < total
        wanted *= 2


def _rows(content: str, size: int, query: bool) -> tuple[list[list[str | None]], int]:
    """At most so many whole rows, and how many bytes they are."""
    rows: list[list[str | None]] = []
    end = 0
    if query:
        for row, after in csv_rows(content):
            rows.append(row)
            end = after
            if len(rows) == size:
                break
    else:
        lines = content.splitlines(keepends=True)[:size]
        rows = [[line.rstrip("\n")] for line in lines if line.endswith("\n")]
        end = sum(len(line) for line in lines if line.endswith("\n"))
    return rows, len(content[:end].encode())


def _token(at: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"at": at}).encode()).decode()


def _position(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token.encode()))["at"])
    except (TypeError, ValueError, KeyError) as error:
        raise AwsError("InvalidRequestException", "Invalid pagination token.") from error
