"""Data capture: what was asked of an endpoint and what it answered, as JSON Lines in S3.

Layout of the files, members of a line and their encodings: SageMaker Developer Guide, "Capture data from real-time endpoint", and the API
reference of DataCaptureConfig. AWS delivers within minutes; here a file is written when no invocation came for a moment.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import channels, logs
from kit.local_aws.execution import Execution
from kit.local_aws.protocol import now

if TYPE_CHECKING:
    from kit.local_aws.fleet import Fleet, Variant
    from kit.local_aws.front import App
    from kit.local_aws.store import Context

__all__ = ["Exchange", "add", "flush", "line", "summary"]

QUIET = 0.5  # seconds without an invocation, after which what came is written
LONGEST = 5.0  # seconds that an exchange waits at most
INPUT, OUTPUT = ("Input", "InputAndOutput"), ("Output", "InputAndOutput")
SECONDS = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, each a body and its content type; `inference_id` and `attributes` are the caller's, or empty."""

    asked: tuple[bytes, str]
    answered: tuple[bytes, str]
    inference_id: str = ""
    attributes: str = ""


@dataclass(frozen=True)
class _Place:
    """Where the lines of a file belong."""

    region: str
    role: str
    uri: str  # the folder of its hour
    key: str  # that encrypts it, or ""
    stream: tuple[str, str]  # log group and stream that are told when it cannot be written


class _Buffer:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.writing = threading.Lock()
        self.lines: dict[_Place, list[str]] = {}
        self.first = self.last = 0.0
        self.waiting = False


_buffers: weakref.WeakKeyDictionary[App, _Buffer] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _buffer(app: App) -> _Buffer:
    with _making:
        if app not in _buffers:
            _buffers[app] = _Buffer()
            app.at_stop(lambda: flush(app))
        return _buffers[app]


def summary(config: Mapping[str, Any]) -> dict[str, Any]:
    """The capture of an endpoint configuration as DescribeEndpoint tells it; empty if it has none."""
    if not config:
        return {}
    on = config.get("EnableCapture", True)
    return {
        "DataCaptureConfig": {
            "EnableCapture": on,
            "CaptureStatus": "Started" if on else "Stopped",
            "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
            "DestinationS3Uri": config["DestinationS3Uri"],
            "KmsKeyId": config.get("KmsKeyId", ""),
        }
    }


def line(config: Mapping[str, Any], exchange: Exchange, moment: datetime) -> str:
    """An exchange as one line of a capture file, without its end."""
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    header = config.get("CaptureContentTypeHeader", {})
    data = {}
    for member, mode, wanted, (body, kind) in (
        ("endpointInput", "INPUT", INPUT, exchange.asked),
        ("endpointOutput", "OUTPUT", OUTPUT, exchange.answered),
    ):
        if modes & set(wanted):
            text, encoding = _encoded(body, kind, header)
            data[member] = {"observedContentType": kind, "mode": mode, "data": text, "encoding": encoding}
    about: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if exchange.attributes:
        about["customAttributes"] = [exchange.attributes]
    if exchange.inference_id:
        about["inferenceId"] = exchange.inference_id
    about["inferenceTime"] = moment.strftime(SECONDS)
    return json.dumps(
        {"captureData": data, "eventMetadata": about, "eventVersion": "0"},
        separators=(",", ":"),
        ensure_ascii=False,
    )


def _encoded(body: bytes, kind: str, header: Mapping[str, Any]) -> tuple[str, str]:
    """A body and its encoding: as text where the configuration says that its content type is CSV or JSON, else as Base64."""
    bare = kind.partition(";")[0].strip().lower()
    for encoding in ("Csv", "Json"):
        if bare in (named.lower() for named in header.get(f"{encoding}ContentTypes", [])):
            try:
                return body.decode(), encoding.upper()
            except UnicodeDecodeError:
                break
    return base64.b64encode(body).decode(), "BASE64"


def add(ctx: Context, endpoint: str, fleet: Fleet, variant: Variant, exchange: Exchange) -> None:
    """Take an exchange, as often as the sampling percentage says; it is in S3 a moment later."""
    config = fleet.capture
    if not config or not config.get("EnableCapture", True):
        return
    if random.random() * 100 >= config["InitialSamplingPercentage"]:
        return
    moment = now()
    stream = (f"/aws/sagemaker/Endpoints/{endpoint}", variant.stream)
    hour = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant.name}/{moment:%Y/%m/%d/%H}"
    place = _Place(ctx.region, variant.role, hour, config.get("KmsKeyId", ""), stream)
    buffer = _buffer(ctx.app)
    with buffer.changed:
        buffer.last = time.monotonic()
        if not buffer.lines:
            buffer.first = buffer.last
        buffer.lines.setdefault(place, []).append(line(config, exchange, moment))
        if not buffer.waiting:
            buffer.waiting = True
            ctx.app.background("data-capture", _write_soon, ctx.app, buffer)


def _write_soon(app: App, buffer: _Buffer) -> None:
    """Writes once the invocations stop coming."""
    with buffer.changed:
        while buffer.lines and not app.stopping.is_set():
            left = min(buffer.last + QUIET, buffer.first + LONGEST) - time.monotonic()
            if left <= 0:
                break
            buffer.changed.wait(left)
        buffer.waiting = False
    flush(app)


def flush(app: App) -> None:
    """Everything that was taken is in S3 when this returns; the endpoint's log says it where that was not allowed."""
    buffer = _buffer(app)
    with buffer.writing:
        with buffer.changed:
            taken, buffer.lines = buffer.lines, {}
            buffer.changed.notify_all()
        for place, lines in taken.items():
            try:
                _write(app, place, lines)
            except ClientError as error:
                said = f"Data capture could not write {len(lines)} records to {place.uri}: {error}"
                logs.LogStream(app, place.region, *place.stream).say(said)


def _write(app: App, place: _Place, lines: list[str]) -> None:
    aws = Execution(app, place.region, place.role) if place.role else app
    bucket, prefix = channels.split(place.uri)
    moment = now()
    name = f"{moment:%M-%S}-{moment.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": place.key} if place.key else {}
    aws.client("s3", place.region).put_object(
        Bucket=bucket, Key=f"{prefix}/{name}", Body=("\n".join(lines) + "\n").encode(), **encrypted
    )
