"""A feature group in the account: read, asked by Athena beside a table of labels, waited for, taken away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kit.errors import KitError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["answer", "online", "removed", "seconds_until"]

AT_ONCE = 100  # ids that BatchGetRecord takes


def online(runtime: Any, group: str, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """What the online store has of the ids: values as text by name, by id. An id that it does not have is left out.

    Raises:
        KitError: the service could not read one of them.
    """
    found: dict[str, dict[str, str]] = {}
    for at in range(0, len(ids), AT_ONCE):
        left = list(ids[at : at + AT_ONCE])
        while left:
            asked = [{"FeatureGroupName": group, "RecordIdentifiersValueAsString": left}]
            answer = runtime.batch_get_record(Identifiers=asked)
            if errors := answer["Errors"]:
                raise KitError(
                    f"{group}: {errors[0]['ErrorMessage']}", "Look at the group's status in the console."
                )
            for one in answer["Records"]:
                values = {value["FeatureName"]: value["ValueAsString"] for value in one["Record"]}
                found[one["RecordIdentifierValueAsString"]] = values
            left = [
                key
                for one in answer["UnprocessedIdentifiers"]
                for key in one["RecordIdentifiersValueAsString"]
            ]
    return found


def removed(session: Any, group: str, poll: float = 1.0) -> list[str]:
    """Takes away a group with its table and its files, if it is there; says what went. Asks every `poll` seconds."""
    sagemaker, glue, s3 = (session.client(name) for name in ("sagemaker", "glue", "s3"))

    def described() -> Mapping[str, Any]:
        try:
            held: Mapping[str, Any] = sagemaker.describe_feature_group(FeatureGroupName=group)
        except sagemaker.exceptions.ResourceNotFound:
            return {}
        return held

    if not (held := described()):
        return []
    offline = held.get("OfflineStoreConfig", {})
    sagemaker.delete_feature_group(FeatureGroupName=group)
    seconds_until(lambda: not described(), poll, 900)
    gone = [f"the group {group}"]
    if table := offline.get("DataCatalogConfig"):
        glue.delete_table(DatabaseName=table["Database"], Name=table["TableName"])
        gone.append(f"the table {table['TableName']}")
    if uri := offline.get("S3StorageConfig", {}).get("ResolvedOutputS3Uri", ""):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        for at in range(0, len(keys), 1000):
            s3.delete_objects(
                Bucket=bucket,
                Delete={"Objects": [{"Key": key} for key in keys[at : at + 1000]], "Quiet": True},
            )
        gone.append(f"{len(keys)} files")
    return gone


def answer(query: Any, sql: str, place: str, group: str) -> pd.DataFrame:
    """What Athena answers. `query` is the SDK's AthenaQuery, `place` the S3 URI for its results, `group` the workgroup.

    Raises:
        KitError: the query failed; the message is Athena's.
    """
    query.run(sql, output_location=place, workgroup=group)
    query.wait()
    status = query.get_query_execution()["QueryExecution"]["Status"]
    if status["State"] != "SUCCEEDED":
        said = status.get("StateChangeReason", "it was stopped")
        raise KitError(
            f"Athena {status['State'].lower()}: {said}",
            "Read the SQL of the cell, and try it in the console.",
        )
    found: pd.DataFrame = query.as_dataframe(dtype={"record_id": str}, keep_default_na=False, na_values=[""])
    return found


def seconds_until(look: Callable[[], Any], poll: float, longest: float) -> float:
    """Seconds until `look()` is true, asked every `poll` seconds.

    Raises:
        KitError: it is not after `longest` seconds.
    """
    began = time.monotonic()
    while not look():
        if time.monotonic() - began > longest:
            raise KitError(
                f"Nothing came in {longest:.0f} seconds.", "Run the cell again, or give it longer."
            )
        time.sleep(poll)
    return time.monotonic() - began
