"""Records through a Kinesis stream and a delivery stream of Firehose to S3, until each is there."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kit.errors import DataError, KitError

__all__ = ["Record", "arrived", "batches", "delivered", "put", "ready"]

Record = Mapping[str, Any]

BATCH, BYTES = 500, 4_500_000
"""What one call of PutRecords takes: records, and bytes (5 MiB with the keys)."""
LARGEST = 1_000_000
"""Bytes of one record."""
TRIES = 8


def _entry(record: Record) -> dict[str, Any]:
    """A record as PutRecords takes it: a line of JSON; all of one entity go to the same shard, in order."""
    data = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    if len(data) > LARGEST:
        raise DataError(
            f"An event of {str(record.get('entity'))[:40]} has {len(data):,} bytes; a stream takes {LARGEST:,}.",
            "Send the place of what is large, not the thing itself.",
        )
    key = hashlib.sha256(str(record.get("entity")).encode()).hexdigest()
    return {"Data": data, "PartitionKey": key}


def batches(records: Iterable[Record]) -> Iterator[list[dict[str, Any]]]:
    """The records as entries of PutRecords, as many in a list as one call takes, in their order.

    Raises:
        DataError: a record is too large.
    """
    held: list[dict[str, Any]] = []
    size = 0
    for entry in map(_entry, records):
        if held and (len(held) == BATCH or size + len(entry["Data"]) > BYTES):
            yield held
            held, size = [], 0
        held.append(entry)
        size += len(entry["Data"]) + len(entry["PartitionKey"])
    if held:
        yield held


def put(
    kinesis: Any, stream: str, records: Iterable[Record], pause: Callable[[float], None] = time.sleep
) -> int:
    """Send the records; those that the stream refuses (FailedRecordCount) go again, after a pause that doubles.

    Returns:
        How many were refused, and sent again.

    Raises:
        KitError: some are refused time and again.
        DataError: a record is too large.
    """
    refused = 0
    for batch in batches(records):
        for attempt in range(TRIES):
            answer = kinesis.put_records(StreamName=stream, Records=batch)
            if not answer["FailedRecordCount"]:
                break
            told = list(zip(batch, answer["Records"], strict=True))
            batch = [entry for entry, one in told if one.get("ErrorCode")]
            refused += len(batch)
            pause(0.1 * 2**attempt)
        else:
            codes = sorted({one["ErrorCode"] for one in answer["Records"] if one.get("ErrorCode")})
            raise KitError(
                f"The stream {stream} refused {len(batch):,} records {TRIES} times: {', '.join(codes)}.",
                "Send fewer at a time, or give the stream more shards.",
            )
    return refused


def ready(firehose: Any, name: str, poll: float, patience: float = 300) -> None:
    """Wait until the delivery stream is active. Raises KitError if it does not become so."""
    deadline = time.monotonic() + patience
    while True:
        found = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
        if found["DeliveryStreamStatus"] == "ACTIVE":
            return
        if found["DeliveryStreamStatus"].endswith("FAILED") or time.monotonic() > deadline:
            why = found.get("FailureDescription", {}).get("Details", "")
            raise KitError(f"{name} is {found['DeliveryStreamStatus']}. {why}".strip(), "Look at its role.")
        time.sleep(poll)


def arrived(s3: Any, bucket: str, prefix: str, known: dict[str, list[Record]]) -> list[Record]:
    """All records below the prefix; `known` keeps what was read, by key, so that each object is read once."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for key in (item["Key"] for item in page.get("Contents", []) if item["Key"] not in known):
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()
            known[key] = [json.loads(line) for line in text.split("\n") if line]
    return [record for records in known.values() for record in records]


def delivered(
    kinesis: Any,
    s3: Any,
    stream: str,
    place: tuple[str, str],
    records: Sequence[Record],
    poll: float,
    patience: float,
    rounds: int = 2,
) -> tuple[list[Record], int]:
    """Send the records and wait until each, by its `number`, lies in S3. What is missing after `patience` seconds goes again.

    A delivery stream reads from the moment at which it begins to look, so the first records of a new one may be missed.

    Args:
        place: bucket and prefix that the delivery stream writes to.
        poll: seconds between two looks.

    Returns:
        The records that arrived, and how many were sent more than once because the stream refused or lost them.

    Raises:
        KitError: some have not arrived after so many rounds.
        DataError: a record is too large.
    """
    known: dict[str, list[Record]] = {}
    waiting, again = list(records), -len(records)
    for _ in range(rounds):
        again += len(waiting) + put(kinesis, stream, waiting)
        deadline = time.monotonic() + patience
        while waiting and time.monotonic() < deadline:
            there = {record["number"] for record in arrived(s3, *place, known)}
            waiting = [record for record in waiting if record["number"] not in there]
            if waiting:
                time.sleep(poll)
        if not waiting:
            return arrived(s3, *place, known), again
    raise KitError(
        f"{len(waiting):,} of {len(records):,} events did not reach s3://{place[0]}/{place[1]} in {rounds} rounds of {patience:.0f} s.",
        "Look at the delivery stream's monitoring in the console: most often its role may not write, or not use the bucket's key.",
    )
