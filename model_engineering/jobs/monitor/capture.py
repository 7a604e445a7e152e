"""What an endpoint was asked and answered: lines of data capture, from S3 or a folder, of a window of time."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class BadInput(Exception):
    """The job cannot do its work: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


@dataclass(frozen=True)
class Exchange:
    """A request and its answer: when, its name (the caller's, or the endpoint's), rows, predictions. unread: why it could not be read."""

    at: datetime
    name: str
    rows: tuple[dict[str, Any], ...] = ()
    predictions: tuple[dict[str, Any], ...] = ()
    unread: str = ""


def hours(begin: datetime, end: datetime) -> list[str]:
    """The folders of the hours of a window, as data capture names them: yyyy/mm/dd/hh."""
    hour = begin.replace(minute=0, second=0, microsecond=0)
    found = []
    while hour <= end:
        found.append(f"{hour:%Y/%m/%d/%H}")
        hour += timedelta(hours=1)
    return found


def lines(place: str, begin: datetime, end: datetime) -> Iterator[str]:
    """The captured lines of the window's hours; `place` is what the endpoint captures to, or the folder of an endpoint below it."""
    wanted = hours(begin, end)
    if not place.startswith("s3://"):
        for file in sorted(Path(place).rglob("*.jsonl")):
            if any(f"/{hour}/" in file.as_posix() for hour in wanted):
                yield from file.read_text(encoding="utf-8").splitlines()
        return
    import boto3

    s3, parts = boto3.client("s3"), urlsplit(place)
    prefix = parts.path.strip("/") + "/"
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=parts.netloc, Prefix=prefix):
        for one in page.get("Contents", []):
            if any(f"/{hour}/" in one["Key"] for hour in wanted):
                body = s3.get_object(Bucket=parts.netloc, Key=one["Key"])["Body"].read()
                yield from body.decode("utf-8").splitlines()


def exchanges(place: str, begin: datetime, end: datetime) -> list[Exchange]:
    """Requests and answers from `begin` to before `end`, by time. Raises BadInput if there are none."""
    found = [
        one for line in lines(place, begin, end) if line.strip() and begin <= (one := exchange(line)).at < end
    ]
    if not found:
        raise BadInput(
            f"No request was captured from {begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC in {place}.",
            "Send requests, or give another window; captured data comes within minutes.",
        )
    return sorted(found, key=lambda one: (one.at, one.name))


def exchange(line: str) -> Exchange:
    """A line of data capture."""
    record = json.loads(line)
    about, data = record["eventMetadata"], record["captureData"]
    at = datetime.fromisoformat(about["inferenceTime"].replace("Z", "+00:00")).astimezone(UTC)
    name = about.get("inferenceId") or about["eventId"]
    try:
        rows = asked(*content(data["endpointInput"]))
        predictions = answered(content(data["endpointOutput"])[0])
        if len(rows) != len(predictions):
            raise ValueError(f"{len(rows)} rows and {len(predictions)} predictions")
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        return Exchange(at, name, unread=f"{type(error).__name__}: {error}"[:200])
    return Exchange(at, name, tuple(rows), tuple(predictions))


def content(part: dict[str, Any]) -> tuple[str, str]:
    """The text of a captured body, and its content type."""
    data = part["data"]
    if part.get("encoding") == "BASE64":
        data = base64.b64decode(data).decode("utf-8")
    return data, part.get("observedContentType", "").split(";")[0].strip().lower()


def asked(text: str, kind: str) -> list[dict[str, Any]]:
    """The rows of a request: JSON Lines, JSON, or CSV with a header."""
    if kind == "text/csv":
        return [dict(row) for row in csv.DictReader(io.StringIO(text))]
    if kind == "application/json":
        parsed = json.loads(text)
        parsed = parsed.get("instances", [parsed]) if isinstance(parsed, dict) else parsed
    else:
        parsed = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in parsed):
        raise ValueError("a row is no object")
    return list(parsed)


def answered(text: str) -> list[dict[str, Any]]:
    """The predictions of an answer: JSON with `predictions`, or JSON Lines."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return list(parsed.get("predictions", [parsed]))


def window(begin: str, end: str, moment: datetime) -> tuple[datetime, datetime]:
    """The window of two ISO times; "last" as its begin means the day before its end, "now" as its end means now.

    Raises BadInput for what is no time, or ends before it begins.
    """
    try:
        last = moment if end == "now" else datetime.fromisoformat(end)
        first = last - timedelta(days=1) if begin == "last" else datetime.fromisoformat(begin)
    except ValueError as error:
        raise BadInput(
            f"The window {begin} to {end} is none: {error}.", "Give ISO times, such as 2026-12-03T09:00:00."
        ) from None
    found = tuple(
        one.replace(tzinfo=UTC) if one.tzinfo is None else one.astimezone(UTC) for one in (first, last)
    )
    if found[0] >= found[1]:
        raise BadInput(f"The window ends before it begins: {begin} to {end}.", "Give the earlier time first.")
    return found[0], found[1]
