"""The offline store of feature groups: records gathered in memory and written as Parquet files under AWS's layout.

AWS writes within 15 minutes; here a file is written when no record came for a moment, and before any query. A file holds the records
of one hour of event time (SageMaker Developer Guide, "Feature Store offline store data format").
"""

from __future__ import annotations

import io
import logging
import secrets
import string
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import objects
from kit.local_aws.athena_tables import Catalogue, storage
from kit.local_aws.execution import Execution
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.front import App
    from kit.local_aws.store import Context

__all__ = ["COLUMNS", "add", "columns_of", "flush", "make_table"]

log = logging.getLogger(__name__)

QUIET = 0.5  # seconds without a new record, after which what came is written
LONGEST = 15.0  # seconds that a record waits at most
AT_ONCE = 2  # files in flight; more take turns at the interpreter only
COLUMNS = ("write_time", "api_invocation_time", "is_deleted")  # what the service adds
PARTITIONS = ("year", "month", "day", "hour")
TYPES = {"String": "string", "Integral": "bigint", "Fractional": "double"}
RANDOM = string.ascii_letters + string.digits


class _Buffer:
    """The records of one server that are not in S3 yet: for each group its context, its record and the rows."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.writing = threading.Lock()
        self.rows: dict[str, tuple[Context, Record, list[Record]]] = {}
        self.first = self.last = 0.0
        self.waiting = False
        self._roles: dict[tuple[str, str], Execution] = {}

    def role(self, ctx: Context, arn: str) -> Execution:
        """The role that a group writes as. Raises ClientError if it cannot be assumed."""
        if (ctx.region, arn) not in self._roles:
            self._roles[ctx.region, arn] = Execution(ctx.app, ctx.region, arn, "FeatureStore")
        return self._roles[ctx.region, arn]


_buffers: weakref.WeakKeyDictionary[App, _Buffer] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _buffer(app: App) -> _Buffer:
    with _making:
        if app not in _buffers:
            _buffers[app] = _Buffer()
            objects.objects_of(app)  # what is flushed at the end still needs its folder
            app.at_stop(lambda: flush(app))
        return _buffers[app]


def add(ctx: Context, group: Record, row: Record) -> None:
    """Takes a row: {values: {feature: text or list of texts}, event (seconds since 1970), invoked, deleted}."""
    buffer = _buffer(ctx.app)
    with buffer.changed:
        moment = time.monotonic()
        if not any(rows for _, _, rows in buffer.rows.values()):
            buffer.first = moment
        buffer.last = moment
        _, _, rows = buffer.rows.get(group["_arn"], (ctx, group, []))
        rows.append(row)
        buffer.rows[group["_arn"]] = (ctx, group, rows)
        if not buffer.waiting:
            buffer.waiting = True
            ctx.app.background("offline-store", _write_soon, ctx.app, buffer)


def _write_soon(app: App, buffer: _Buffer) -> None:
    """Writes once the records stop coming."""
    with buffer.changed:
        while buffer.rows and not app.stopping.is_set():
            moment = time.monotonic()
            left = min(buffer.last + QUIET, buffer.first + LONGEST) - moment
            if left <= 0:
                break
            buffer.changed.wait(left)
        buffer.waiting = False
    flush(app)


def flush(app: App) -> None:
    """Everything that was taken is in S3 when this returns, or its group says why it is not."""
    buffer = _buffer(app)
    with buffer.writing:
        with buffer.changed:
            taken, buffer.rows = buffer.rows, {}
            buffer.changed.notify_all()
        for arn, (ctx, group, rows) in taken.items():
            status = {"Status": "Active"}
            try:
                _write(ctx, group, rows)
            except ClientError as error:
                status = {"Status": "Blocked", "BlockedReason": str(error)}
                with buffer.changed:  # the next flush tries again
                    _, _, later = buffer.rows.get(arn, (ctx, group, []))
                    buffer.rows[arn] = (ctx, group, rows + later)
            _tell(ctx, group, status)


def _tell(ctx: Context, group: Record, status: Record) -> None:
    """Notes on the group whether its offline store can be written."""

    def change(record: Record) -> Mapping[str, Any]:
        return {} if record.get("OfflineStoreStatus") == status else {"OfflineStoreStatus": status}

    try:
        ctx.app.store.update(ctx, "FeatureGroup", group["_key"], change)
    except AwsError:
        log.info("feature group %s is gone, its records are in S3", group["_key"])


def _write(ctx: Context, group: Record, rows: list[Record]) -> None:
    """Writes the rows of a group: a file for each hour of event time, and the partitions that Glue does not know yet."""
    config = group["OfflineStoreConfig"]
    root = config["S3StorageConfig"]["ResolvedOutputS3Uri"]
    role = _buffer(ctx.app).role(ctx, group["RoleArn"])
    key = config["S3StorageConfig"].get("KmsKeyId")
    options = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
    hours: dict[tuple[str, ...], list[Record]] = {}
    for row in rows:
        moment = datetime.fromtimestamp(row["event"], UTC)
        hours.setdefault(tuple(f"{moment:%Y %m %d %H}".split()), []).append(row)

    def one(hour: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        held = hours[hour]
        latest = datetime.fromtimestamp(max(row["event"] for row in held), UTC)
        folder = "/".join(f"{name}={value}" for name, value in zip(PARTITIONS, hour, strict=True))
        name = f"{latest:%Y%m%dT%H%M%SZ}_{''.join(secrets.choice(RANDOM) for _ in range(16))}.parquet"
        content = _parquet(group["FeatureDefinitions"], held)
        objects.keep(ctx.app, role, ctx.region, f"{root}/{folder}/{name}", content, **options)
        return hour, f"{root}/{folder}"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        places = list(pool.map(one, hours))
    table = config.get("DataCatalogConfig")
    if table is None or config.get("DisableGlueTableCreation"):
        return
    with ctx.app.store.lock:
        known = ctx.app.store.table(ctx, f"partitions/{group['_arn']}")
        fresh = [(hour, place) for hour, place in places if "/".join(hour) not in known]
        known |= {"/".join(hour): {} for hour, _ in fresh}
    catalogue = Catalogue(ctx, ctx.app)
    definition = catalogue.definition(table["Database"], table["TableName"])
    if definition is not None and fresh:
        # The columns are the table's; a thousand hours need not repeat them.
        plain = {key: value for key, value in definition["StorageDescriptor"].items() if key != "Columns"}
        catalogue.add({**definition, "StorageDescriptor": plain}, fresh)


def _parquet(definitions: Iterable[Mapping[str, Any]], rows: list[Record]) -> bytes:
    """The rows as a Parquet file: the features in lower case, and what the service adds."""
    import pyarrow
    import pyarrow.parquet as pq

    pa: Any = pyarrow
    plain = {"String": pa.string(), "Integral": pa.int64(), "Fractional": pa.float64()}
    convert = {"String": str, "Integral": int, "Fractional": float}
    columns = {}
    for definition in definitions:
        name, kind = definition["FeatureName"], definition["FeatureType"]
        values = [row["values"].get(name) for row in rows]
        read = convert[kind]
        if definition.get("CollectionType"):
            lists = [None if value is None else [read(item) for item in value] for value in values]
            columns[name.lower()] = pa.array(lists, pa.list_(plain[kind]))
        else:
            columns[name.lower()] = pa.array([None if value is None else read(value) for value in values], plain[kind])  # fmt: skip
    stamp = pa.timestamp("ms")
    columns["write_time"] = pa.array([now().replace(tzinfo=None)] * len(rows), stamp)
    columns["api_invocation_time"] = pa.array([row["invoked"].replace(tzinfo=None) for row in rows], stamp)
    columns["is_deleted"] = pa.array([row["deleted"] for row in rows], pa.bool_())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="snappy")
    return sink.getvalue()


def columns_of(group: Record) -> list[dict[str, str]]:
    """The columns of a group's table in Glue."""
    features = [
        {
            "Name": one["FeatureName"].lower(),
            "Type": f"array<{TYPES[one['FeatureType']]}>" if one.get("CollectionType") else TYPES[one["FeatureType"]],
        }
        for one in group["FeatureDefinitions"]
    ]  # fmt: skip
    added = [{"Name": name, "Type": "boolean" if name == "is_deleted" else "timestamp"} for name in COLUMNS]
    return features + added


def make_table(ctx: Context, group: Record) -> None:
    """Makes the table in Glue, or brings its columns up to date."""
    config = group["OfflineStoreConfig"]
    catalog = config["DataCatalogConfig"]
    database, name = catalog["Database"], catalog["TableName"]
    glue = ctx.app.client("glue", ctx.region)
    location = config["S3StorageConfig"]["ResolvedOutputS3Uri"]
    made = {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", "parquet.compress": "SNAPPY"},
        "PartitionKeys": [{"Name": one, "Type": "string"} for one in PARTITIONS],
        "StorageDescriptor": storage("parquet", location, columns_of(group)),
    }
    try:
        glue.create_database(DatabaseInput={"Name": database})
    except glue.exceptions.AlreadyExistsException:
        log.debug("%s is there already", database)
    try:
        glue.create_table(DatabaseName=database, TableInput=made)
    except glue.exceptions.AlreadyExistsException:
        glue.update_table(DatabaseName=database, TableInput=made)
