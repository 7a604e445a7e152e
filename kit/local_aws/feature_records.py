"""Records of feature groups: put, read, deleted. The online store keeps the latest by event time, the offline store all of them.

The rules are those of the API reference (PutRecord, GetRecord, DeleteRecord, BatchGetRecord, BatchWriteRecord, ListRecords).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kit.local_aws import offline_store
from kit.local_aws.feature_store import KIND, group_name, online_table
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__: list[str] = []

RUNTIME = "sagemaker-featurestore-runtime"
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:?\d\d)")
SECONDS = {"Seconds": 1, "Minutes": 60, "Hours": 3600, "Days": 86400, "Weeks": 604800}
NUMBERS = {
    "Integral": re.compile(r"[+-]?\d{1,19}"),
    "Fractional": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NaN|[+-]?Infinity|nan|[+-]?inf"),
}
LISTED = 100


def invalid(message: str) -> AwsError:
    """The service's refusal of a record."""
    return AwsError("ValidationError", f"Validation Error: {message}")


def _group(ctx: Context, name: str, code: str = "ValidationError") -> Record:
    """A group that can be used. PutRecord and DeleteRecord name a missing one a ValidationError, the others ResourceNotFound."""
    try:
        group = ctx.app.store.get(ctx, KIND, group_name(name))
    except AwsError as error:
        raise AwsError(code, error.message, 404 if code == "ResourceNotFound" else 400) from None
    if group["FeatureGroupStatus"] != "Created":
        raise invalid(f"FeatureGroup {group['_key']} is in {group['FeatureGroupStatus']} status.")
    return group


def _online(group: Record) -> Record:
    """The group, if it has an online store."""
    if not group.get("OnlineStoreConfig", {}).get("EnableOnlineStore"):
        raise invalid(f"Online store is not enabled for FeatureGroup {group['_key']}.")
    return group


def _targets(group: Record, wanted: list[str] | None) -> list[str]:
    """The stores that a record goes to."""
    has = {
        "OnlineStore": bool(group.get("OnlineStoreConfig", {}).get("EnableOnlineStore")),
        "OfflineStore": bool(group.get("OfflineStoreConfig")),
    }
    for store in wanted or ():
        if not has[store]:
            raise invalid(f"TargetStores has {store}, which FeatureGroup {group['_key']} does not have.")
    return wanted or [store for store, there in has.items() if there]


def _seconds(group: Record, value: str) -> float:
    """An event time in seconds since 1970."""
    name = group["EventTimeFeatureName"]
    kind = next(one["FeatureType"] for one in group["FeatureDefinitions"] if one["FeatureName"] == name)
    try:
        if kind == "Fractional":
            seconds = float(value)
            datetime.fromtimestamp(seconds, UTC)
            return seconds
        if ISO.fullmatch(value):
            return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    form = "a number of seconds since the Unix epoch" if kind == "Fractional" else (
        "an ISO-8601 string of the form yyyy-MM-dd'T'HH:mm:ssZ or yyyy-MM-dd'T'HH:mm:ss.SSSZ"
    )  # fmt: skip
    raise invalid(f"Value {value} of the event time feature {name} must be {form}.")


def _values(group: Record, record: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The record's values by feature, each of its type. Raises ValidationError."""
    definitions = {one["FeatureName"]: one for one in group["FeatureDefinitions"]}
    values: dict[str, Any] = {}
    for given in record:
        name = given["FeatureName"]
        if name not in definitions:
            raise invalid(f"FeatureGroup {group['_key']} does not have a feature named {name}.")
        if name in values:
            raise invalid(f"The record has the feature {name} more than once.")
        listed = given.get("ValueAsStringList")
        kind, many = definitions[name]["FeatureType"], bool(definitions[name].get("CollectionType"))
        if (listed is not None) != many:
            member = "ValueAsStringList" if many else "ValueAsString"
            raise invalid(f"The value of feature {name} must be given as {member}.")
        value = listed if many else given.get("ValueAsString")
        for item in (value or ()) if many else (value,):
            if item is not None and kind in NUMBERS and not NUMBERS[kind].fullmatch(item):
                raise invalid(f"Value {item} of feature {name} is not of the type {kind}.")
            if kind == "Integral" and item is not None and not -(2**63) <= int(item) < 2**63:
                raise invalid(f"Value {item} of feature {name} is not of the type {kind}.")
        values[name] = value
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if not values.get(group[member]):
            raise invalid(f"The record has no value for {group[member]}, its {member}.")
    return values


def _write(
    ctx: Context, group: Record, record: Sequence[Mapping[str, Any]], params: Mapping[str, Any], *, deleted: bool = False
) -> None:  # fmt: skip
    """Writes a record, or the marker of a deleted one, to the stores that it goes to."""
    stores = _targets(group, params.get("TargetStores"))
    values = _values(group, record)
    event = _seconds(group, values[group["EventTimeFeatureName"]])
    if "OnlineStore" in stores:
        _write_online(ctx, group, values, record, event, params, deleted)
    if "OfflineStore" in stores:
        row = {"values": values, "event": event, "invoked": now(), "deleted": deleted}
        offline_store.add(ctx, group, row)


def _write_online(
    ctx: Context,
    group: Record,
    values: dict[str, Any],
    record: Sequence[Mapping[str, Any]],
    event: float,
    params: Mapping[str, Any],
    deleted: bool,
) -> None:
    """Keeps the record if it is later than the one that is there; a hard delete that is not is refused."""
    life = params.get("TtlDuration") or group["OnlineStoreConfig"].get("TtlDuration")
    expires = event + life["Value"] * SECONDS[life["Unit"]] if life and not deleted else None
    key = values[group["RecordIdentifierFeatureName"]]
    hard = params.get("DeletionMode") == "HardDelete"
    with ctx.app.store.lock:
        rows = ctx.app.store.table(ctx, online_table(group))
        old = rows.get(key)
        if old is not None and old["Event"] >= event:
            if hard:
                raise invalid("EventTime: a HardDelete must be later than the EventTime of the record.")
            return
        if hard:
            rows.pop(key, None)
        else:
            rows[key] = {"Record": record, "Event": event, "Expires": expires, "Deleted": deleted}


def _read(ctx: Context, group: Record, key: str, wanted: list[str] | None, told: bool) -> Record | None:
    """A record as GetRecord answers it; None where there is none, or it was deleted or has expired."""
    known = {one["FeatureName"] for one in group["FeatureDefinitions"]}
    if unknown := next((name for name in wanted or () if name not in known), None):
        raise invalid(f"FeatureGroup {group['_key']} does not have a feature named {unknown}.")
    with ctx.app.store.lock:
        rows = ctx.app.store.table(ctx, online_table(group))
        row = rows.get(key)
        if row is not None and row["Expires"] is not None and row["Expires"] <= time.time():
            del rows[key]
            row = None
    if row is None or row["Deleted"]:
        return None
    values = [one for one in row["Record"] if not wanted or one["FeatureName"] in wanted]
    if told and row["Expires"] is not None:
        return {
            "Record": values,
            "ExpiresAt": f"{datetime.fromtimestamp(row['Expires'], UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
    return {"Record": values}


@action(RUNTIME, "PutRecord")
def put_record(ctx: Context, params: dict[str, Any]) -> None:
    """A record in its group's stores."""
    _write(ctx, _group(ctx, params["FeatureGroupName"]), params["Record"], params)


@action(RUNTIME, "GetRecord")
def get_record(ctx: Context, params: dict[str, Any]) -> Record:
    """The latest record with that identifier; nothing if there is none."""
    group = _online(_group(ctx, params["FeatureGroupName"], "ResourceNotFound"))
    key, told = params["RecordIdentifierValueAsString"], params.get("ExpirationTimeResponse") == "Enabled"
    return _read(ctx, group, key, params.get("FeatureNames"), told) or {}


@action(RUNTIME, "DeleteRecord")
def delete_record(ctx: Context, params: dict[str, Any]) -> None:
    """A record that is no longer read; the offline store gets a marker."""
    group = _group(ctx, params["FeatureGroupName"])
    marker = [
        {
            "FeatureName": group["RecordIdentifierFeatureName"],
            "ValueAsString": params["RecordIdentifierValueAsString"],
        },
        {"FeatureName": group["EventTimeFeatureName"], "ValueAsString": params["EventTime"]},
    ]
    _write(ctx, group, marker, params, deleted=True)


@action(RUNTIME, "BatchGetRecord")
def batch_get_record(ctx: Context, params: dict[str, Any]) -> Record:
    """Records of several groups; a group that cannot be read is an error for each of its identifiers."""
    told = params.get("ExpirationTimeResponse") == "Enabled"
    records, errors = [], []
    for asked in params["Identifiers"]:
        name = asked["FeatureGroupName"]
        for key in asked["RecordIdentifiersValueAsString"]:
            about = {"FeatureGroupName": name, "RecordIdentifierValueAsString": key}
            try:
                group = _online(_group(ctx, name, "ResourceNotFound"))
                found = _read(ctx, group, key, asked.get("FeatureNames"), told)
            except AwsError as error:
                errors.append({**about, "ErrorCode": error.code, "ErrorMessage": error.message})
            else:
                records += [{**about, **found}] if found else []
    return {"Records": records, "Errors": errors, "UnprocessedIdentifiers": []}


@action(RUNTIME, "BatchWriteRecord")
def batch_write_record(ctx: Context, params: dict[str, Any]) -> Record:
    """Many records; each is written or is an error of its own."""
    errors = []
    for entry in params["Entries"]:
        asked = {"TtlDuration": params.get("TtlDuration"), **entry}
        try:
            _write(ctx, _group(ctx, entry["FeatureGroupName"]), entry["Record"], asked)
        except AwsError as error:
            errors.append({"Entry": entry, "ErrorCode": error.code, "ErrorMessage": error.message})
    return {"Errors": errors, "UnprocessedEntries": []}


@action(RUNTIME, "ListRecords")
def list_records(ctx: Context, params: dict[str, Any]) -> Record:
    """The identifiers of the records that can be read, in their order."""
    group = _online(_group(ctx, params["FeatureGroupName"], "ResourceNotFound"))
    with ctx.app.store.lock:
        rows = dict(ctx.app.store.table(ctx, online_table(group)))
    moment, every = time.time(), params.get("IncludeSoftDeletedRecords", False)
    found = sorted(
        key
        for key, row in rows.items()
        if (every or not row["Deleted"]) and (row["Expires"] is None or row["Expires"] > moment)
    )
    after, size = params.get("NextToken", ""), params.get("MaxResults", LISTED)
    left = [key for key in found if key > after]
    more = {"NextToken": left[size - 1]} if len(left) > size else {}
    return {"RecordIdentifiers": left[:size], **more}
