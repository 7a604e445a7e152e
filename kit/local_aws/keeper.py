"""Keeps the state of the local AWS: what a call changed is kept before the call is answered.

A call's changes in moto are found by looking which of moto's backends it asked for: those are written again, each as a whole where it is
small. What grows is written as it comes: objects of S3 one by one, lines of logs and metric data from where the last call ended. What
changes outside of calls (buffers, deliveries) is kept by the clock's ticks, as is CloudTrail's history. The store tells of its own
changes (`Store.journal`).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pickle
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kit.local_aws import object_files
from kit.local_aws.pickling import dumps, loads

if TYPE_CHECKING:
    from kit.local_aws.front import App
    from kit.local_aws.state import State

__all__ = ["Keeper"]

Key = tuple[str, str, str]  # service, account, region
READS = re.compile(
    r"(Get|List|Describe|Head|Lookup|Search|BatchGet|Filter|Simulate|Validate|Check|Query|Scan|Test)"
)
# What changes no more of S3 than one object, unless tags come with it.
PLAIN = ("PutObject", "DeleteObject", "DeleteObjects", "CopyObject")
log = logging.getLogger(__name__)
_asked = threading.local()  # .frames: for each call that this thread is in, the backends that it asked for
_loose: set[Key] = set()  # those that were asked for outside of calls


def watch() -> None:
    """Has moto's backends note who asks for them."""
    import moto.iam.models as iam
    from moto.core.base_backend import AccountSpecificBackend

    get = AccountSpecificBackend.__getitem__
    if getattr(get, "noting", False):
        return

    def noting(self: Any, region: str) -> Any:
        frames = getattr(_asked, "frames", None)
        (frames[-1] if frames else _loose).add((self.service_name, self.account_id, region))
        return get(self, region)

    noting.noting = True  # type: ignore[attr-defined]
    setattr(AccountSpecificBackend, "__getitem__", noting)  # noqa: B010
    visited = iam.mark_account_as_visited

    def mark_account_as_visited(*args: Any, **named: Any) -> None:
        """moto's, for every call: it is no reason to write all of IAM each time."""
        frames = _asked.__dict__.setdefault("frames", [])
        frames.append(_loose)
        try:
            visited(*args, **named)
        finally:
            frames.pop()

    setattr(iam, "mark_account_as_visited", mark_account_as_visited)  # noqa: B010


class Keeper:
    """What is kept of an app, in a State; without one, nothing is."""

    def __init__(self, app: App, state: State | None) -> None:
        self._app, self._state = app, state
        self._locks: dict[str, threading.Lock] = {}
        self._written: dict[Key, bytes] = {}
        self._making = threading.Lock()
        self._ticking = threading.Lock()
        self._unkept: set[str] = set()
        self._segments = 0
        if state is not None:
            object_files.take_over(state.folder / "objects")
            watch()

    # Keeping

    @contextlib.contextmanager
    def call(self, service: str, action: str, params: Mapping[str, Any]) -> Iterator[None]:
        """Around the work of a call: what it changed in moto is kept when this ends."""
        if self._state is None:
            yield
            return
        frames = _asked.__dict__.setdefault("frames", [])
        frames.append(set())
        try:
            yield
        finally:
            touched = frames.pop()
            if not READS.match(action):
                self._keep(touched, service, action, params)

    def tick(self) -> None:
        """Keep what changed outside of calls, and the calls that CloudTrail remembers."""
        if self._state is None:
            return
        with self._ticking:  # who closes the state ticks last, after what the clock has taken is kept
            taken = set(_loose)
            _loose.difference_update(taken)
            self._keep(taken, "", "", {})
            calls, used = self._app.trail.taken()
            if calls:
                self._segments += 1
                with contextlib.suppress(pickle.PicklingError, TypeError, AttributeError):
                    self._state.put(
                        {f"trail\x1f{self._segments:012d}": dumps(calls), "trail-used": dumps(used)}
                    )

    def close(self) -> None:
        """Keep everything that there is, and close the state."""
        if self._state is None:
            return
        self.tick()
        self._keep(set(_all()), "", "", {})
        self._state.close()

    def journal(self, changes: Mapping[str, Any]) -> None:
        """Keep changes of the store: values by key, None for what is gone."""
        if self._state is not None:
            values = {key: None if value is None else dumps(value) for key, value in changes.items()}
            self._state.put({f"store\x1f{key}": value for key, value in values.items()})

    def _keep(self, touched: set[Key], service: str, action: str, params: Mapping[str, Any]) -> None:
        assert self._state is not None
        if service == "s3":
            if action in PLAIN and not params.get("Tagging"):
                touched = {key for key in touched if key[0] != "s3"}
            self._objects(action, params)
        elif (service, action) == ("logs", "PutLogEvents"):
            for key in [key for key in touched if key[0] == "logs"]:
                touched = touched - {key}
                self._put_lines(_backend(key), params)
        for key in sorted(touched):
            self._whole(key)
        for file in object_files.swept():
            file.unlink(missing_ok=True)

    def _whole(self, key: Key) -> None:
        """Write a backend, if it is another one than was written; one that was only asked for is not there."""
        assert self._state is not None
        if key[2] not in dict.keys(_backends(key[0])[key[1]]):
            return
        with self._lock("\x1f".join(key)):
            try:
                data = self._pickled(_backend(key))
            except (pickle.PicklingError, TypeError, AttributeError) as problem:
                if key[0] not in self._unkept:
                    self._unkept.add(key[0])
                    log.warning("the state of %s does not outlive the server: %s", key[0], problem)
                return
            digest = hashlib.blake2b(data).digest()
            if self._written.get(key) != digest:
                values = {"\x1f".join(("moto", *key)): data}
                if key[0] == "organizations":
                    values["masters"] = dumps(dict(_backends("organizations").master_accounts))
                self._state.put(values)
                self._written[key] = digest
        if key[0] == "logs":
            for group in list(_backend(key).groups.values()):
                for stream in list(group.streams.values()):
                    self._lines(stream)
        elif key[0] == "cloudwatch":
            self._metrics(key)

    def _pickled(self, backend: Any) -> bytes:
        for _ in range(20):
            with contextlib.suppress(RuntimeError):  # another call changes it just now
                return dumps(backend)
        return dumps(backend)

    def _objects(self, action: str, params: Mapping[str, Any]) -> None:
        """Write the objects that a call of S3 was about."""
        assert self._state is not None
        name = str(params.get("Bucket", ""))
        bucket = _bucket(name)
        if bucket is None:
            if action == "DeleteBucket":
                self._state.forget(f"object\x1f{name}\x1f")
            return
        keys = [params["Key"]] if "Key" in params else []
        keys += [one["Key"] for one in (params.get("Delete") or {}).get("Objects", [])]
        for key in keys:
            with self._lock(f"object\x1f{name}"):
                versions = bucket.keys.getlist(key)
                self._state.put({f"object\x1f{name}\x1f{key}": dumps(list(versions)) if versions else None})

    def _put_lines(self, backend: Any, params: Mapping[str, Any]) -> None:
        group = backend.groups.get(params.get("logGroupName"))
        stream = group.streams.get(params.get("logStreamName")) if group else None
        if stream is not None:
            self._lines(stream)

    def _metrics(self, key: Key) -> None:
        """Write the metric data that came since the last time."""
        assert self._state is not None
        backend = _backend(key)
        with self._lock("\x1f".join(key)):
            kept = backend.__dict__.get("_kept", 0)
            new = backend.metric_data[kept:]
            if new:
                self._state.put({"\x1f".join(("metric", *key[1:], f"{kept:012d}")): dumps(new)})
                backend._kept = kept + len(new)

    def _lines(self, stream: Any) -> None:
        assert self._state is not None
        with self._lock(stream.arn):
            kept = stream.__dict__.get("_kept", 0)
            new = stream.events[kept:]
            if new:
                self._state.put({f"{_place(stream)}{kept:012d}": dumps([vars(event) for event in new])})
                stream._kept = kept + len(new)

    def _lock(self, name: str) -> threading.Lock:
        """One writer at a time for a key, or what was read first could be written last."""
        with self._making:
            return self._locks.setdefault(name, threading.Lock())

    # And bringing back

    def restore(self) -> bool:
        """Put everything that was kept where it was; whether there was anything."""
        if self._state is None:
            return False
        state, found = self._state, False
        for name, data in state.items("moto\x1f"):
            found = True
            _, service, account, region = name.split("\x1f")
            backend = loads(data)
            backend.__dict__.pop("_kept", None)
            dict.__setitem__(_backends(service)[account], region, backend)
            self._written[service, account, region] = hashlib.blake2b(data).digest()
        if not found:
            return False
        for _, data in state.items("masters"):
            _backends("organizations").master_accounts.update(loads(data))
        self._restore_objects(state)
        self._restore_lines(state)
        for name, data in state.items("metric\x1f"):
            _, account, region, _ = name.split("\x1f")
            backend = _backends("cloudwatch")[account][region]
            backend.metric_data += loads(data)
            backend._kept = len(backend.metric_data)
        self._app.store.restore(
            (name.partition("\x1f")[2], loads(data)) for name, data in state.items("store\x1f")
        )
        self._restore_trail(state)
        _loose.clear()
        return True

    def _restore_objects(self, state: State) -> None:
        buckets = {}
        for account, regions in list(_backends("s3").items()):
            for partition, backend in list(regions.items()):
                for name, bucket in backend.buckets.items():
                    buckets[name] = bucket
                    _backends("s3").bucket_accounts[name] = (partition, account)
        names = set()
        for key, data in state.items("object\x1f"):
            _, bucket, name = key.split("\x1f", 2)
            if bucket in buckets:
                versions = loads(data)
                dict.__setitem__(buckets[bucket].keys, name, versions)
                names |= {object_files.name_of(getattr(one, "_value_buffer", None)) for one in versions}
        for bucket in buckets.values():
            held = [one for _, versions in bucket.keys.lists() for one in versions]
            uploads = [*bucket.multiparts.values(), *(getattr(one, "multipart", None) for one in held)]
            parts = [part for one in uploads if one for part in one.parts.values()]
            names |= {object_files.name_of(part._value_buffer) for part in parts}
        for file in object_files.orphans(names):
            file.unlink(missing_ok=True)

    def _restore_lines(self, state: State) -> None:
        from moto.logs.models import LogEvent

        streams = {
            _place(stream): stream
            for regions in list(_backends("logs").values())
            for backend in list(regions.values())
            for group in backend.groups.values()
            for stream in group.streams.values()
        }
        for stream in streams.values():
            stream._kept = 0
        for name, data in state.items("log\x1f"):
            stream = streams.get(name[:-12])
            if stream is None:
                state.put({name: None})
                continue
            for one in loads(data):
                event: Any = LogEvent.__new__(LogEvent)
                event.__dict__.update(one)
                stream.events.append(event)
                LogEvent._event_id = max(LogEvent._event_id, event.event_id + 1)
            stream._kept = len(stream.events)
            stream.stored_bytes = sum(len(event.message) for event in stream.events)
            stream.last_ingestion_time = stream.last_ingestion_time or stream.creation_time

    def _restore_trail(self, state: State) -> None:
        calls: list[Any] = []
        for name, data in state.items("trail\x1f"):
            calls += loads(data)
            self._segments = int(name.partition("\x1f")[2])
        for _, data in state.items("trail-used"):
            self._app.trail.restore(calls, loads(data))


def _backends(service: str) -> Any:
    from moto.backends import get_backend

    return get_backend(service)  # type: ignore[call-overload]


def _backend(key: Key) -> Any:
    service, account, region = key
    return dict.__getitem__(_backends(service)[account], region)


def _all() -> Iterable[Key]:
    from moto.core.base_backend import BackendDict

    for held in list(BackendDict._instances):  # type: ignore[misc]
        for account, regions in list(held.items()):
            for region in list(regions):
                yield regions.service_name, account, region


def _bucket(name: str) -> Any:
    partition, account = _backends("s3").bucket_accounts.get(name, ("", ""))
    backend = dict.get(_backends("s3").get(account, {}), partition)
    return backend.buckets.get(name) if backend else None


def _place(stream: Any) -> str:
    """The key of a log stream's lines; a stream that is made again has another one."""
    return f"log\x1f{stream.arn}\x1f{stream.creation_time.isoformat()}\x1f"
