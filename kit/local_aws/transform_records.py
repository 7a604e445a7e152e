"""Batch transform's data: objects split into records, records gathered into requests, answers filtered and joined. Pure.

Sources: TransformInput, TransformOutput and DataProcessing of the SageMaker API reference; "Associate prediction results with input
records" of its developer guide.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from kit.local_aws.jsonpath import Path, PathError, parse

__all__ = ["Batch", "Processing", "Unfit", "batches", "format_of", "records"]

JSON_LINES = (
    "application/jsonlines",
    "application/x-jsonlines",
    "application/jsonl",
    "application/x-ndjson",
)
MEGABYTE = 1024 * 1024


class Unfit(Exception):
    """Data that cannot be sent or read: the object that it is from fails."""


@dataclass(frozen=True)
class Batch:
    """One request: its body, and the records as they were before the filter."""

    body: bytes
    records: tuple[bytes, ...]


def format_of(content_type: str) -> str:
    """One of csv, lines (JSON Lines) and json; empty for what batch transform does not look into."""
    kind = content_type.split(";")[0].strip().lower()
    return "lines" if kind in JSON_LINES else {"text/csv": "csv", "application/json": "json"}.get(kind, "")


def records(stream: BinaryIO, split: str) -> Iterator[bytes]:
    """An object's records: its lines without their ends, or all of it."""
    if split != "Line":
        yield stream.read()
        return
    for line in stream:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def batches(found: Iterable[bytes], processing: Processing, megabytes: int, single: bool) -> Iterator[Batch]:
    """Requests with one record each, or with as many as fit into so many megabytes (0: no limit). Raises Unfit."""
    most = megabytes * MEGABYTE or math.inf
    bodies: list[bytes] = []
    held: list[bytes] = []
    size = 0
    for record in found:
        body = processing.sent(record)
        if len(body) > most:
            raise Unfit("Too much data for max payload size")
        if bodies and (single or size + len(body) + 1 > most):
            yield Batch(b"\n".join(bodies), tuple(held))
            bodies, held, size = [], [], 0
        bodies.append(body)
        held.append(record)
        size += len(body) + 1
    if bodies:
        yield Batch(b"\n".join(bodies), tuple(held))


@dataclass(frozen=True)
class Processing:
    """What becomes of a record before it is sent, and of the answers: filters, join, assembly.

    kind, answer_kind: formats of the input and of the answers (`format_of`).
    """

    kind: str
    answer_kind: str
    before: Path
    after: Path
    join: bool
    lines: bool

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Processing:
        """That of a transform job's request. Raises PathError, or Unfit for a format that cannot be looked into."""
        given = params.get("DataProcessing", {})
        source, target = params["TransformInput"], params["TransformOutput"]
        before, after = (parse(given.get(name) or "$") for name in ("InputFilter", "OutputFilter"))
        made = cls(
            format_of(source.get("ContentType", "")),
            format_of(target.get("Accept") or source.get("ContentType", "")),
            before,
            after,
            given.get("JoinSource", "None") == "Input",
            target.get("AssembleWith", "None") == "Line",
        )
        if (made.join or not before.whole) and not made.kind:
            raise Unfit(
                "InputFilter and JoinSource need a ContentType of text/csv, application/json or JSON Lines"
            )
        if (made.join or not after.whole) and not made.answer_kind:
            raise Unfit(
                "OutputFilter and JoinSource need an Accept of text/csv, application/json or JSON Lines"
            )
        if made.join and (made.kind == "csv") != (made.answer_kind == "csv"):
            raise Unfit("JoinSource needs the input and the output to be both CSV or both JSON")
        csv_paths = [path for path, kind in ((before, made.kind), (after, made.answer_kind)) if kind == "csv"]
        for path in csv_paths:
            if not path.by_place:
                raise PathError(f"{path.text}: a row of CSV is filtered by index only")
        return made

    def sent(self, record: bytes) -> bytes:
        """What of a record goes to the model. Raises Unfit."""
        return (
            record
            if self.before.whole
            else _written(self._cut(_read(record, self.kind, "input"), self.before), self.kind)
        )

    def assembled(self, batch: Batch, answer: bytes) -> bytes:
        """What of the answer to a request goes into the output. Raises Unfit."""
        if not self.join and self.after.whole:
            return answer + b"\n" if self.lines and not answer.endswith(b"\n") else answer
        outputs = self._split(answer, len(batch.records))
        made = []
        for record, output in zip(batch.records, outputs, strict=True):
            value = self._joined(_read(record, self.kind, "input"), output) if self.join else output
            made.append(_written(self._cut(value, self.after), self.answer_kind))
        end = b"\n" if self.lines else b""
        return b"".join(one + end for one in made)

    def _split(self, answer: bytes, count: int) -> list[Any]:
        """The answer's records. Raises Unfit where they are not one for each that was sent."""
        kind = self.answer_kind
        parts = [answer] if kind == "json" else answer.splitlines()
        if kind == "json" and count > 1:
            raise Unfit(
                f"Failed to parse output from the algorithm: {count} records were sent, and application/json is one. Use JSON Lines,"
                " or BatchStrategy SingleRecord."
            )
        if len(parts) != count:
            raise Unfit(
                f"Failed to join: {count} records were sent to the algorithm, and {len(parts)} came back."
            )
        return [_read(part, kind, "output") for part in parts]

    def _joined(self, given: Any, output: Any) -> Any:
        if self.kind == "csv":
            return [*given, *output]
        if isinstance(given, dict):
            return {**given, "SageMakerOutput": output}
        return {"SageMakerInput": given, "SageMakerOutput": output}

    def _cut(self, value: Any, path: Path) -> Any:
        try:
            return path.of(value)
        except PathError as error:
            raise Unfit(str(error)) from None


def _read(record: bytes, kind: str, what: str) -> Any:
    try:
        text = record.decode()
        if kind != "csv":
            return json.loads(text)
        return next(csv.reader(io.StringIO(text, newline=""), strict=True), [""])
    except (ValueError, csv.Error):
        where = "input" if what == "input" else "output from the algorithm"
        raise Unfit(f"Failed to parse {where} as {'CSV' if kind == 'csv' else 'JSON'}") from None


def _written(value: Any, kind: str) -> bytes:
    if kind != "csv":
        return json.dumps(value, ensure_ascii=False).encode()
    held = io.StringIO()
    csv.writer(held, lineterminator="").writerow(value if isinstance(value, list) else [value])
    return held.getvalue().encode()
