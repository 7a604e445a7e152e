"""Firehose: records of a Kinesis stream, or put directly, are gathered and written to S3.

The streams themselves and their descriptions are moto's. What is due is written when a buffer is full or its time is up; the time is
short (see `INTERVAL`). Object names, prefixes and their rules: Amazon Data Firehose Developer Guide, "Amazon S3 object name format"
and "Understand custom prefixes for Amazon S3 objects".
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import re
import secrets
import string
import threading
import time
import uuid
import weakref
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from botocore.exceptions import ClientError

from kit.local_aws.execution import Execution
from kit.local_aws.front import action, after
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context, Record

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["object_key", "resume"]

log = logging.getLogger(__name__)

INTERVAL = 0.005  # of the seconds that the buffering hints name: 300 become 1.5
SECONDS, MEGABYTES = 300, 5  # the hints where there are none
TABLE = "firehose"  # in the store: how far each delivery stream has read its source
EXPRESSION = re.compile(r"!\{(\w+):([^}]*)\}")
TIME = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "hh": "%I", "mm": "%M", "ss": "%S", "DDD": "%j", "EEE": "%a"}  # fmt: skip
DEFAULT_TIME = "!{timestamp:yyyy/MM/dd/HH/}"
LETTERS = string.ascii_letters + string.digits

Arrival = tuple[float, bytes]  # when a record came (seconds since 1970), and its data


def invalid(message: str) -> AwsError:
    """Firehose's refusal of a request."""
    return AwsError("InvalidArgumentException", message)


def evaluated(prefix: str, moment: datetime, failure: str = "") -> str:
    """A prefix with its expressions replaced; `failure` is the kind of error that an error prefix names."""

    def one(found: re.Match[str]) -> str:
        if found[1] == "timestamp":
            names = "|".join(sorted(TIME, key=len, reverse=True))
            read = re.sub(f"'([^']*)'|{names}", lambda part: part[1] if part[1] is not None else TIME[part[0]], found[2])  # fmt: skip
            return moment.strftime(read)
        if found[2] == "random-string":
            return "".join(secrets.choice(LETTERS) for _ in range(11))
        return failure

    return EXPRESSION.sub(one, prefix)


def object_key(stream: str, version: str, config: Mapping[str, Any], moment: datetime) -> str:
    """The key of an object whose first record came at that moment."""
    prefix = config.get("Prefix") or ""
    if "!{timestamp:" not in prefix:
        prefix += DEFAULT_TIME
    zone = ZoneInfo(config.get("CustomTimeZone") or "UTC")
    ending = config.get("FileExtension") or (".gz" if config.get("CompressionFormat") == "GZIP" else "")
    folder = evaluated(prefix, moment.astimezone(zone))
    return f"{folder}{stream}-{version}-{moment:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}{ending}"


def _check(config: Mapping[str, Any]) -> None:
    """Raises InvalidArgumentException for a destination that AWS refuses, or that is not done here."""
    prefix, error = config.get("Prefix") or "", config.get("ErrorOutputPrefix") or ""
    for name, text in (("Prefix", prefix), ("ErrorOutputPrefix", error)):
        for kind, what in EXPRESSION.findall(text):
            if kind.startswith("partitionKeyFrom"):
                raise invalid("The local AWS does not partition dynamically.")
            if kind not in ("timestamp", "firehose"):
                raise invalid(f"{name} has an invalid namespace: {kind}")
            if kind == "firehose" and what not in ("random-string", "error-output-type"):
                raise invalid(f"{name} has an invalid expression: !{{{kind}:{what}}}")
            if what == "error-output-type" and name == "Prefix":
                raise invalid("Prefix cannot contain !{firehose:error-output-type}")
    if EXPRESSION.search(prefix) and not error:
        raise invalid("ErrorOutputPrefix cannot be null or empty when Prefix contains expressions.")
    if EXPRESSION.search(error) and "!{firehose:error-output-type}" not in error:
        raise invalid("ErrorOutputPrefix must contain the expression !{firehose:error-output-type}")
    if config.get("DynamicPartitioningConfiguration", {}).get("Enabled"):
        raise invalid("The local AWS does not partition dynamically.")
    if config.get("DataFormatConversionConfiguration", {}).get("Enabled"):
        raise invalid("The local AWS does not convert record formats.")
    if config.get("CompressionFormat", "UNCOMPRESSED") not in ("UNCOMPRESSED", "GZIP"):
        raise invalid(f"The local AWS does not write {config['CompressionFormat']} objects.")
    for processor in config.get("ProcessingConfiguration", {}).get("Processors", []):
        if processor["Type"] != "AppendDelimiterToRecord":
            raise invalid(f"The local AWS does not run processors of the type {processor['Type']}.")
    try:
        ZoneInfo(config.get("CustomTimeZone") or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        raise invalid(f"CustomTimeZone is not valid: {config['CustomTimeZone']}") from None


class Delivery:
    """One delivery stream: what came and is not in S3 yet, and the thread that takes it there while there is something."""

    def __init__(self, ctx: Context, name: str) -> None:
        self.ctx, self.name = ctx, name
        self.buffer: list[Arrival] = []
        self.size = 0  # bytes in the buffer
        self.changed = threading.Condition()
        self.running = False
        self.stream: Any = None
        self.roles: dict[str, Execution] = {}

    def role(self, arn: str) -> Execution:
        """The role that writes to S3. Raises ClientError if it cannot be assumed."""
        if arn not in self.roles:
            self.roles[arn] = Execution(self.ctx.app, self.ctx.region, arn, "AWSFirehoseToS3")
        return self.roles[arn]

    def settings(self) -> tuple[Any, dict[str, Any]]:
        """moto's stream (the last one that was, if it was deleted), and its S3 destination."""
        backend = self.ctx.app.backend("firehose", self.ctx.region)
        self.stream = backend.delivery_streams.get(self.name, self.stream)
        destination = self.stream.destinations[0]
        return self.stream, destination.get("ExtendedS3") or destination.get("S3") or {}

    def wake(self, stream: Any, records: Iterable[bytes] = ()) -> None:
        """There are records for moto's stream, these or some in its source."""
        moment = time.time()
        with self.changed:
            self.stream = stream
            for record in records:
                self._keep(moment, record)
            self._read(stream)  # now, since the delivery stream may be deleted before the thread comes to it
            self.changed.notify_all()
            if not self.running:
                self.running = True
                self.ctx.app.background(f"firehose/{self.ctx.region}/{self.name}", self._run)

    def _run(self) -> None:
        """Delivers until nothing is left, or something went wrong; then the next record wakes it again."""
        try:
            while True:
                stream, config = self.settings()
                hints = config.get("BufferingHints") or {}
                size = hints.get("SizeInMBs", MEGABYTES) * 1024 * 1024
                wait = hints.get("IntervalInSeconds", SECONDS) * INTERVAL
                with self.changed:
                    self._read(stream)
                    if not self.buffer:
                        self.running = False
                        return
                    until = self.buffer[0][0] + wait
                    while self.size < size and (left := until - time.time()) > 0 and not self.ctx.app.stopping.is_set():  # fmt: skip
                        self.changed.wait(left)
                        self._read(stream)
                    taken = self._take(size)
                self._deliver(stream, config, taken)
        except ClientError as error:
            with self.changed:
                self.buffer = taken + self.buffer
                self.size += sum(len(data) for _, data in taken)
                self.running = False
            self._tell(stream, config, error)
        except BaseException:
            with self.changed:
                self.running = False
            raise

    def _keep(self, arrived: float, data: bytes) -> None:
        self.buffer.append((arrived, data))
        self.size += len(data)

    def _take(self, size: int) -> list[Arrival]:
        """As much of the buffer as makes one object."""
        count, held = 0, 0
        while count < len(self.buffer) and (count == 0 or held + len(self.buffer[count][1]) <= size):
            held += len(self.buffer[count][1])
            count += 1
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        self.size -= held
        return taken

    def _read(self, stream: Any) -> None:
        """Takes what came to the source since the last time."""
        if not stream.source:
            return
        source = _source(self.ctx, stream.source["KinesisStreamARN"])
        with self.ctx.app.store.lock:
            at = self.ctx.app.store.table(self.ctx, TABLE).get(self.name)
            if at is None:
                return  # it was deleted
            for shard in list(source.shards.values()) if source else ():
                last = _last(shard)
                for number in range(at.get(shard.shard_id, 0) + 1, last + 1):
                    record = shard.records[number].to_json()
                    arrived = record["ApproximateArrivalTimestamp"].replace(tzinfo=UTC).timestamp()
                    self._keep(arrived, record["Data"])
                at[shard.shard_id] = last

    def _deliver(self, stream: Any, config: Mapping[str, Any], taken: list[Arrival]) -> None:
        """One object with the records, one after the other. Raises ClientError."""
        delimiter = _delimiter(config)
        body = b"".join(data + delimiter for _, data in taken)
        body = gzip.compress(body) if config.get("CompressionFormat") == "GZIP" else body
        first = datetime.fromtimestamp(min(arrived for arrived, _ in taken), UTC)
        key = object_key(self.name, stream.version_id, config, first)
        kms = config.get("EncryptionConfiguration", {}).get("KMSEncryptionConfig", {}).get("AWSKMSKeyARN")
        options = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms} if kms else {}
        bucket = config["BucketARN"].rpartition(":")[2]
        self.role(config["RoleARN"]).client("s3", self.ctx.region).put_object(
            Bucket=bucket, Key=key, Body=body, **options
        )
        self.ctx.app.changed()

    def _tell(self, stream: Any, config: Mapping[str, Any], error: ClientError) -> None:
        """Writes to the log that the destination names why the records could not be delivered."""
        code = error.response["Error"]["Code"]
        log.warning("delivery stream %s: %s", self.name, error)
        options = config.get("CloudWatchLoggingOptions") or {}
        if not options.get("Enabled"):
            return
        logs = self.ctx.app.client("logs", self.ctx.region)
        names = {"logGroupName": options["LogGroupName"], "logStreamName": options["LogStreamName"]}
        said = {
            "deliveryStreamARN": stream.delivery_stream_arn,
            "destination": config["BucketARN"],
            "deliveryStreamVersionId": int(stream.version_id),
            "message": error.response["Error"].get("Message", str(error)),
            "errorCode": f"S3.{code}",
        }
        try:
            logs.put_log_events(**names, logEvents=[{"timestamp": int(time.time() * 1000), "message": json.dumps(said)}])  # fmt: skip
        except ClientError as missing:
            log.warning("delivery stream %s has no log: %s", self.name, missing)


def _delimiter(config: Mapping[str, Any]) -> bytes:
    """What is written after each record."""
    for processor in config.get("ProcessingConfiguration", {}).get("Processors", []):
        given = {one["ParameterName"]: one["ParameterValue"] for one in processor.get("Parameters", [])}
        return str(given.get("Delimiter", "\\n")).encode().decode("unicode_escape").encode()
    return b""


def _source(ctx: Context, arn: str) -> Any:
    return ctx.app.backend("kinesis", ctx.region).streams.get(arn.rpartition("/")[2])


def _last(shard: Any) -> int:
    """The number of a shard's last record; moto counts from 1."""
    while True:
        with contextlib.suppress(RuntimeError):  # one more came between the two steps
            return next(reversed(shard.records), 0)


_deliveries: weakref.WeakKeyDictionary[App, dict[tuple[str, str], Delivery]] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _delivery(ctx: Context, name: str) -> Delivery:
    with _making:
        held = _deliveries.setdefault(ctx.app, {})
        if (ctx.region, name) not in held:
            held[ctx.region, name] = Delivery(ctx, name)
        return held[ctx.region, name]


@action("firehose", "CreateDeliveryStream")
def create_delivery_stream(ctx: Context, params: dict[str, Any]) -> Record:
    """A delivery stream; one with a source delivers what comes to it from now on."""
    from moto.core.exceptions import ServiceException

    name, kind = params["DeliveryStreamName"], params.get("DeliveryStreamType", "DirectPut")
    source = params.get("KinesisStreamSourceConfiguration")
    config = params.get("ExtendedS3DestinationConfiguration") or params.get("S3DestinationConfiguration")
    if config:
        _check(config)
        _check_role(ctx, config["RoleARN"])
    if kind == "KinesisStreamAsSource":
        if not source or _source(ctx, source["KinesisStreamARN"]) is None:
            named = source["KinesisStreamARN"] if source else "null"
            raise invalid(f"Kinesis stream {named} cannot be found.")
        _check_role(ctx, source["RoleARN"])
    elif kind != "DirectPut":
        raise invalid(f"The local AWS does not deliver from a source of the type {kind}.")
    names = (
        "Redshift",
        "Elasticsearch",
        "Splunk",
        "HttpEndpoint",
        "Snowflake",
        "Iceberg",
        "ExtendedS3",
        "S3",
    )
    given = {f"{_snake(one)}_destination_configuration": params.get(f"{one}DestinationConfiguration") for one in names}  # fmt: skip
    try:
        arn = ctx.app.backend("firehose", ctx.region).create_delivery_stream(
            region=ctx.region,
            delivery_stream_name=name,
            delivery_stream_type=kind,
            kinesis_stream_source_configuration=source,
            delivery_stream_encryption_configuration_input=params.get(
                "DeliveryStreamEncryptionConfigurationInput"
            ),
            tags=params.get("Tags"),
            **given,
        )
    except ServiceException as error:
        raise AwsError(error.code, error.message) from None
    if source:
        stream = _source(ctx, source["KinesisStreamARN"])
        with ctx.app.store.lock:
            at = {shard.shard_id: _last(shard) for shard in stream.shards.values()}
            ctx.app.store.table(ctx, TABLE)[name] = at
    return {"DeliveryStreamARN": arn}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _check_role(ctx: Context, arn: str) -> None:
    """Raises InvalidArgumentException unless the role is there and trusts Firehose."""
    iam = ctx.app.client("iam", ctx.region)
    try:
        role = iam.get_role(RoleName=arn.rpartition("/")[2])["Role"]
        trusted = "firehose.amazonaws.com" in json.dumps(role["AssumeRolePolicyDocument"])
    except iam.exceptions.NoSuchEntityException:
        trusted = False
    if not trusted:
        said = f"Firehose is unable to assume role {arn}. Please check the role provided."
        raise invalid(said)


@after("firehose", "DeleteDeliveryStream")
def delete_delivery_stream(ctx: Context, params: dict[str, Any]) -> None:
    """What had come is still delivered."""
    with _making:
        _deliveries.get(ctx.app, {}).pop((ctx.region, params["DeliveryStreamName"]), None)
    with ctx.app.store.lock:
        ctx.app.store.table(ctx, TABLE).pop(params["DeliveryStreamName"], None)


def resume(app: App) -> None:
    """Deliver what the last server did not, from the sources of delivery streams."""
    from moto.firehose.models import firehose_backends

    for account, region, backend in list[Any](firehose_backends.iter_backends()):
        for stream in list(backend.delivery_streams.values()):
            if stream.source:
                _delivery(Context(app, account, region), stream.delivery_stream_name).wake(stream)


@after("kinesis", "PutRecord", "PutRecords")
def records_came(ctx: Context, params: dict[str, Any]) -> None:
    """Wakes the delivery streams that read this one."""
    name = params.get("StreamName") or params.get("StreamARN", "").rpartition("/")[2]
    for stream in list(ctx.app.backend("firehose", ctx.region).delivery_streams.values()):
        if stream.source and stream.source["KinesisStreamARN"].rpartition("/")[2] == name:
            _delivery(ctx, stream.delivery_stream_name).wake(stream)


def _direct(ctx: Context, name: str) -> Any:
    """moto's delivery stream that records can be put to. Raises Firehose's errors."""
    stream = ctx.app.backend("firehose", ctx.region).delivery_streams.get(name)
    if stream is None:
        said = f"Firehose {name} under account {ctx.account} not found."
        raise AwsError("ResourceNotFoundException", said)
    if stream.source:
        raise invalid("This operation is not permitted on KinesisStreamAsSource delivery stream type.")
    return stream


@action("firehose", "PutRecordBatch")
def put_record_batch(ctx: Context, params: dict[str, Any]) -> Record:
    """Records put directly; those for S3 are gathered, the rest is moto's."""
    name, records = params["DeliveryStreamName"], params["Records"]
    stream = _direct(ctx, name)
    if not {"ExtendedS3", "S3"} & set(stream.destinations[0]):
        answer: Record = ctx.app.backend("firehose", ctx.region).put_record_batch(name, records)
        return answer
    _delivery(ctx, name).wake(stream, (record["Data"] for record in records))
    responses = [{"RecordId": secrets.token_hex(96)} for _ in records]
    return {"FailedPutCount": 0, "Encrypted": False, "RequestResponses": responses}


@action("firehose", "PutRecord")
def put_record(ctx: Context, params: dict[str, Any]) -> Record:
    """A record put directly."""
    batch = {"DeliveryStreamName": params["DeliveryStreamName"], "Records": [params["Record"]]}
    return {**put_record_batch(ctx, batch)["RequestResponses"][0], "Encrypted": False}
