"""What the local SageMaker knows: one record per resource, and the tags of each ARN.

A record is a plain dict that could be written as JSON (datetimes allowed). Its members have the names of the AWS API, so that
Describe is the record cut to its output shape; keys that begin with "_" are the kit's own. Nested values are never changed in
place: an update brings new ones, so that a record that was handed out stays as it was.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kit.local_aws.kinds import kind_of
from kit.local_aws.protocol import AwsError, now, operation, shaped
from kit.local_aws.tables import SPLIT, Table, keyed

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["Context", "Record", "Store", "page"]

Record = dict[str, Any]
Scope = tuple[str, str, str]  # account, region, kind
# Statuses that the service itself ends.
MOVING = frozenset(
    (
        "InProgress",
        "Stopping",
        "Creating",
        "Updating",
        "Deleting",
        "RollingBack",
        "SystemUpdating",
        "Pending",
        "Executing",
        "QUEUED",
        "RUNNING",
    )
)
PAGE = 100  # what List answers at most when it is not told


@dataclass
class Context:
    """Who asks, and where: `principal` is the access key id that signed the request. `seen`: the ARNs that the answer tells of."""

    app: App
    account: str
    region: str
    principal: str = ""
    seen: set[str] = field(default_factory=set)


class Store:
    """Records by kind and key; every method is one step under one lock."""

    def __init__(self) -> None:
        self._records: dict[Scope, dict[str, Record]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._tables: dict[Scope, dict[str, Record]] = {}
        self._versions: dict[str, int] = {}  # ARN -> version of its last change of status
        self._version = 0
        self._changed = threading.Condition(threading.RLock())
        self.lock = self._changed
        self.journal: Callable[[Mapping[str, Any]], None] = lambda changes: (
            None
        )  # is told of each change, under the lock

    def create(self, ctx: Context, kind: str, params: Mapping[str, Any], **extra: Any) -> Record:
        """A new record of the params and extras, its tags apart. Raises AWS's error for a name that is taken."""
        facts = kind_of(kind)
        moment = now()
        record = {
            **facts.defaults,
            **{k: v for k, v in params.items() if k != "Tags"},
            "CreationTime": moment,
            "LastModifiedTime": moment,
            **facts.minted(),
            **extra,
        }
        key = facts.key_of(record)
        arn = record.setdefault(facts.arn_member, facts.arn_of(ctx.account, ctx.region, key))
        record |= {"_key": key, "_kind": kind, "_arn": arn}
        with self.lock:
            rows = self._rows(ctx, kind)
            if key.lower() in rows:
                raise facts.in_use(rows[key.lower()]["_arn"], key)
            rows[key.lower()] = record
            self._note(ctx, kind, key, record)
            if params.get("Tags"):
                self.tag(arn, params["Tags"])
            self._touch(arn)
        ctx.seen.add(arn)
        return dict(record)

    def find(self, ctx: Context, kind: str, key: str) -> Record | None:
        """The record by its key ("name", "domain/name") or its ARN; None if there is none."""
        with self.lock:
            rows = self._rows(ctx, kind)
            record = rows.get(key.lower())
            if record is None and key.startswith("arn:"):
                record = next((row for row in rows.values() if row["_arn"] == key.lower()), None)
        if record is None:
            return None
        ctx.seen.add(record["_arn"])
        return dict(record)

    def get(self, ctx: Context, kind: str, key: str) -> Record:
        """The record by its key or ARN. Raises AWS's not-found error of that kind."""
        record = self.find(ctx, kind, key)
        if record is None:
            facts = kind_of(kind)
            arn = key if key.startswith("arn:") else facts.arn_of(ctx.account, ctx.region, key)
            raise facts.not_found(arn, key)
        return record

    def rows(self, ctx: Context, kind: str) -> list[Record]:
        """Every record of a kind in this account and region, oldest first."""
        with self.lock:
            return [dict(row) for row in self._rows(ctx, kind).values()]

    def kept(self, account: str, region: str, kind: str) -> dict[str, Record]:
        """The records of a kind by their key in lower case, for who has no request to answer."""
        with self.lock:
            return dict(self._records.get((account, region, kind), {}))

    def update(
        self,
        ctx: Context,
        kind: str,
        key: str,
        change: Callable[[Record], Mapping[str, Any]] | None = None,
        **changes: Any,
    ) -> Record:
        """The record with the changes. `change` is called with a copy under the lock and says more of them (none: nothing happens).

        Touches LastModifiedTime; who waits for this resource is woken if a member that ends in "Status" changed.
        """
        with self.lock:
            record = self.get(ctx, kind, key)
            changes = {**changes, **(change(dict(record)) if change else {})}
            if not changes:
                return record
            moved = any(k.endswith("Status") and record.get(k) != v for k, v in changes.items())
            record = {**record, "LastModifiedTime": now(), **changes}
            self._rows(ctx, kind)[record["_key"].lower()] = record
            self._note(ctx, kind, record["_key"], record)
            if moved:
                self._touch(record["_arn"])
            return dict(record)

    def delete(self, ctx: Context, kind: str, key: str) -> Record:
        """Removes the record and its tags, and returns it. Raises AWS's not-found error of that kind."""
        with self.lock:
            record = self.get(ctx, kind, key)
            del self._rows(ctx, kind)[record["_key"].lower()]
            self._note(ctx, kind, record["_key"], None)
            if self._tags.pop(record["_arn"], None) is not None:
                self.journal({keyed("tags", record["_arn"]): None})
            self._touch(record["_arn"])
            return record

    def listing(self, ctx: Context, kind: str, params: Mapping[str, Any], action: str) -> Record:
        """The answer of a List action: filtered, sorted and cut as its input asks, each item cut to the summary's shape."""
        shape = operation("sagemaker", action)
        rows = [row for row in self.rows(ctx, kind) if _selected(row, params)]
        return page(shape, rows, params)

    def table(self, ctx: Context, name: str) -> dict[str, Record]:
        """Rows that are no resources, by their key: many, small, neither listed nor waited for. Use it under `lock`."""
        place = (ctx.account, ctx.region, name)
        if place not in self._tables:
            self._tables[place] = Table(self, keyed("table", *place))
        return self._tables[place]

    def tag(self, arn: str, tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
        """Adds tags ([{Key, Value}]) to an ARN; returns all that it has."""
        with self.lock:
            held = self._tags.setdefault(arn, {})
            held.update({tag["Key"]: tag["Value"] for tag in tags})
            self.journal({keyed("tags", arn): dict(held)})
            return dict(held)

    def untag(self, arn: str, keys: Iterable[str]) -> None:
        """Takes tags off an ARN; one that is not there is no error."""
        with self.lock:
            for key in keys:
                self._tags.get(arn, {}).pop(key, None)
            self.journal({keyed("tags", arn): dict(self._tags.get(arn, {}))})

    def tags(self, arn: str) -> list[dict[str, str]]:
        """The tags of an ARN, as [{Key, Value}]."""
        with self.lock:
            return [{"Key": k, "Value": v} for k, v in self._tags.get(arn, {}).items()]

    def tagged(self) -> dict[str, dict[str, str]]:
        """The tags of everything that has some, by ARN."""
        with self.lock:
            return {arn: dict(tags) for arn, tags in self._tags.items()}

    def known(self, arn: str) -> bool:
        """Whether a resource with this ARN exists."""
        with self.lock:
            return any(row["_arn"] == arn for rows in self._records.values() for row in rows.values())

    def count(self, kind: str, member: str = "", *values: str) -> int:
        """How many records of a kind there are in all accounts and regions, or only those whose member has one of the values."""
        with self.lock:
            rows = [row for (_, _, k), held in self._records.items() if k == kind for row in held.values()]
        return sum(not member or row.get(member) in values for row in rows)

    @property
    def version(self) -> int:
        """Counts changes of status; it only grows."""
        return self._version

    def changed(self) -> None:
        """Wakes everyone who waits for any change."""
        self._touch("")

    def moving(self, arns: Iterable[str] = ()) -> bool:
        """Whether one of the ARNs (or anything at all) has a status that will change by itself."""
        watched = set(arns)
        with self.lock:
            return any(
                value in MOVING
                for rows in self._records.values()
                for row in rows.values()
                if not watched or row["_arn"] in watched
                for name, value in row.items()
                if name.endswith("Status") and isinstance(value, str)
            )

    def wait(
        self, since: int, arns: Iterable[str], seconds: float, idle: Callable[[], bool] = lambda: False
    ) -> bool:
        """Whether one of the ARNs (or anything, if there are none) changed its status after `since`.

        Answers as soon as that is so, when `idle` becomes true, or after so many seconds.
        """
        watched = set(arns)

        def moved() -> bool:
            if not watched:
                return self._version > since
            return any(self._versions.get(arn, 0) > since for arn in watched)

        with self._changed:
            self._changed.wait_for(lambda: moved() or idle(), timeout=seconds)
            return moved()

    def look(self) -> None:
        """Who waits looks whether that is idle now; nothing changed."""
        with self._changed:
            self._changed.notify_all()

    def _touch(self, arn: str) -> None:
        with self._changed:
            self._version += 1
            self._versions[arn] = self._version
            self._changed.notify_all()

    def _rows(self, ctx: Context, kind: str) -> dict[str, Record]:
        return self._records.setdefault((ctx.account, ctx.region, kind), {})

    def _note(self, ctx: Context, kind: str, key: str, record: Record | None) -> None:
        self.journal({keyed("row", ctx.account, ctx.region, kind, key.lower()): record})

    def everything(self) -> list[tuple[str, str, Record]]:
        """Every record of all accounts and regions, with its account and region, the oldest first."""
        with self.lock:
            rows = [
                (account, region, dict(row))
                for (account, region, _), held in self._records.items()
                for row in held.values()
            ]
        return sorted(rows, key=lambda row: row[2]["CreationTime"])

    def restore(self, items: Iterable[tuple[str, Any]]) -> None:
        """Take over what the journal was told of: keys and their last values."""
        rows: list[tuple[Scope, str, Record]] = []
        with self.lock:
            for key, value in items:
                kind, *place = key.split(SPLIT)
                if kind == "tags":
                    self._tags[place[0]] = value
                elif kind == "table":
                    account, region, name, row = place
                    table = self.table(Context(None, account, region), name)  # type: ignore[arg-type]
                    dict.__setitem__(table, row, value)
                else:
                    rows.append(((place[0], place[1], place[2]), place[3], value))
            for scope, name, record in sorted(rows, key=lambda row: row[2]["CreationTime"]):
                self._records.setdefault(scope, {})[name] = record


PAGING = {"MaxResults", "NextToken", "SortBy", "SortOrder"}


def _selected(row: Record, params: Mapping[str, Any]) -> bool:
    return all(_agrees(row, name, wanted) for name, wanted in params.items() if name not in PAGING)


def _agrees(row: Record, name: str, wanted: Any) -> bool:
    """Whether the record is one that this member of a List request asks for."""
    if moment := re.fullmatch(r"(CreationTime|LastModifiedTime|CreatedTime|Created)(After|Before)", name):
        member = {"Created": "CreationTime", "CreatedTime": "CreationTime"}.get(moment[1], moment[1])
        return bool(row[member] >= wanted if moment[2] == "After" else row[member] <= wanted)
    if name.endswith("Contains"):
        held = row.get(name.removesuffix("Contains")) or row["_key"].rpartition("/")[2]
        return str(wanted).lower() in str(held).lower()
    if name == "StatusEquals":
        return bool(_status(row) == wanted)
    held = row.get(name.removesuffix("Equals"))
    held = held.get("Status") if isinstance(held, dict) else held  # {"Status": "Active"}
    return bool(held == wanted or (isinstance(held, str) and held.lower() == str(wanted).lower()))


def _status(row: Record) -> Any:
    return row.get(f"{row['_kind']}Status", row.get("Status"))


def page(shape: Any, rows: list[Record], params: Mapping[str, Any]) -> Record:
    """One page of a List answer from the rows: sorted by SortBy and SortOrder, MaxResults of them, from NextToken on.

    The order where none is asked for is the one that the model's documentation names.
    """
    output = shape.output_shape.members
    name = next(k for k, member in output.items() if member.type_name == "list")
    by = {"Name": "_key"}.get(params.get("SortBy", ""), params.get("SortBy", "CreationTime"))

    def rank(row: Record) -> tuple[str, str]:
        value = _status(row) if by == "Status" else row.get(by)
        text = value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else str(value or "")
        return (text, row["_arn"])

    order = params.get("SortOrder") or _default_order(shape)
    ordered = sorted(rows, key=rank, reverse=order == "Descending")
    if token := params.get("NextToken"):
        last = _untoken(token)
        ordered = [r for r in ordered if (rank(r) < last if order == "Descending" else rank(r) > last)]
    size = params.get("MaxResults", PAGE)
    shown, member = ordered[:size], output[name].member
    items = [shaped(member, row) if member.type_name == "structure" else row["_arn"] for row in shown]
    more = {"NextToken": _token(rank(shown[-1]))} if len(ordered) > size and shown else {}
    return {name: items, **more}


def _default_order(shape: Any) -> str:
    member = shape.input_shape.members.get("SortOrder") if shape.input_shape else None
    named = re.search(r"default[^.]*?(Ascending|Descending)", member.documentation if member else "")
    return named[1] if named else "Descending"


def _token(rank: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(rank).encode()).decode()


def _untoken(token: str) -> tuple[str, str]:
    try:
        text, arn = json.loads(base64.urlsafe_b64decode(token.encode()))
        return (str(text), str(arn))
    except (TypeError, ValueError) as error:
        raise AwsError("ValidationException", "Invalid pagination token.") from error
