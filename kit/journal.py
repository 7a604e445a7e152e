"""The journal: the truth that the board is folded from. Append-only, one JSON event per line, one file per writer.

No two processes ever write the same file, so no lock has to hold between hosts: the same layout is safe on a laptop,
on NFS or EFS, in a sync folder, in git and, one object per writer, on S3 (`kit/journal_s3.py`). An event is
acknowledged when `append` returns: it was written with one `write(2)` and synced. Readers merge by (ts, id).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import errno
import fcntl
import json
import math
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kit import paths
from kit.errors import JournalError

__all__ = ["Cursor", "Event", "Journal", "here", "line", "merged", "open", "ulid"]

VERSION = 1
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as in the ULID specification


@dataclass(frozen=True)
class Event:
    """One thing that happened. `ts` is UTC with microseconds, `seq` counts from 1 in its writer's file, `data` is JSON."""

    id: str
    ts: dt.datetime
    seq: int
    who: str
    host: str
    type: str
    card: str = ""
    team: str = ""
    target: str = "local"
    account: str = ""
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    v: int = VERSION


class Place(NamedTuple):
    """How far one writer's file was read: up to `offset` bytes, of the content that `tag` names (an ETag; "" on disk)."""

    tag: str
    offset: int


Cursor = Mapping[str, Place]
"""How far a journal was read, by writer's file. Opaque: keep it, hand it back."""


class Part(NamedTuple):
    """The content of one writer's file from byte `start` on, or why it could not be read."""

    name: str
    tag: str
    start: int
    content: bytes
    problem: str = ""


class Store(Protocol):
    """Where the writers' files lie."""

    def parts(self, cursor: Cursor) -> Iterator[Part]:
        """What is new in each file since the cursor. Raises JournalError where the place itself cannot be read."""

    def append(self, name: str, line: bytes) -> None:
        """Make `line` the last line of the file `name`, durably, or raise JournalError and leave the file as it was."""


def ulid(at: dt.datetime, bits: Callable[[int], int] = secrets.randbits) -> str:
    """A new ULID: 26 characters that sort by time, 48 bits of milliseconds and 80 random `bits`."""
    number = (int(at.timestamp() * 1000) << 80 | bits(80)) & ((1 << 128) - 1)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def merged(events: Iterable[Event]) -> list[Event]:
    """The events once each, in the order of (ts, id): the same list however they were split over files."""
    unique: dict[str, Event] = {}
    for event in events:
        known = unique.setdefault(event.id, event)
        if (
            known is not event and known != event
        ):  # two events under one id: nobody's order of reading decides
            unique[event.id] = min(known, event, key=repr)
    return sorted(unique.values(), key=lambda e: (e.ts, e.id))


def line(event: Event) -> bytes:
    """The event as one line of a writer's file, newline included. Its data must be JSON."""
    raw = {f.name: getattr(event, f.name) for f in dataclasses.fields(Event)}
    raw = {"v": raw.pop("v"), **raw, "ts": _stamp(event.ts)}
    # A lone surrogate is no character; "replace" keeps the rest of the text.
    return json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def open(
    where: str | Path, who: str | None = None, *, clock: Callable[[], dt.datetime] | None = None
) -> Journal:
    """The journal in a folder (made at the first append) or at "s3://bucket/prefix".

    Args:
        where: the folder or the S3 address.
        who: who writes; default `paths.person()`.
        clock: says what time it is (aware); default the machine's.
    """
    store: Store
    if str(where).startswith("s3://"):
        from kit.journal_s3 import Bucket

        store = Bucket.at(str(where))
    else:
        store = Folder(Path(where).expanduser())
    return Journal(store, who or paths.person(), clock or _now)


def here(target: str = "local") -> Journal:
    """The event's journal: where `KIT_BOARD` says (a folder or s3://...), else `board/journal` in the event's folder."""
    return open(os.environ.get("KIT_BOARD") or paths.home(target) / "board" / "journal")


class Journal:
    """Append one event, read what is new, read everything. Safe to share between threads and across a fork."""

    def __init__(self, store: Store, who: str, clock: Callable[[], dt.datetime]) -> None:
        self.store = store
        self.who = who
        self._clock = clock
        self._writer = _Writer(who, clock())

    def __repr__(self) -> str:
        return f"<Journal {self.store}>"

    def append(
        self,
        type: str,
        card: str = "",
        *,
        team: str = "",
        target: str = "local",
        account: str = "",
        **data: Any,
    ) -> Event:
        """Record one event and return it as every reader will see it. When this returns, it survives a crash.

        Numbers that JSON cannot hold (nan, inf) are kept as text. Times of one writer never run backwards.

        Raises:
            JournalError: the data is no JSON, or the place cannot be written; then the event is not recorded, and
                everything recorded before is still there.
        """
        writer = self._writer
        if writer.pid != os.getpid():  # a forked child writes its own file
            writer = self._writer = _Writer(self.who, self._clock())
        with writer.lock:
            ts = max(self._clock().astimezone(dt.UTC), writer.last + dt.timedelta(microseconds=1))
            facts = (ulid(ts), ts, writer.seq + 1, self.who, paths.host(), type, card, team, target, account)
            written = line(Event(*facts, data=_plain(data, type)))
            self.store.append(writer.name, written)
            writer.seq, writer.last = writer.seq + 1, ts
        return _event(written)

    def changed_since(self, cursor: Cursor | None = None) -> tuple[list[Event], Cursor]:
        """The events recorded since the cursor (None: all of them), by (ts, id), and the cursor for the next call."""
        events, _, after = self._scan(cursor or {})
        return events, after

    def snapshot(self) -> list[Event]:
        """Every event, by (ts, id), once each."""
        return self._scan({})[0]

    def problems(self) -> list[str]:
        """What could not be read, one line each: file, line and what. Such lines stay in the file, nothing is lost."""
        return self._scan({})[1]

    def _scan(self, cursor: Cursor) -> tuple[list[Event], list[str], Cursor]:
        events: list[Event] = []
        problems: list[str] = []
        after = dict(cursor)
        for part in self.store.parts(cursor):
            if part.problem:
                problems.append(f"{part.name}: {part.problem}")
                continue
            *lines, tail = part.content.split(b"\n")
            for number, line in enumerate(lines, start=1):
                try:
                    if line.strip():  # an empty line is what healing a torn tail may leave
                        events.append(_event(line))
                except ValueError as what:
                    problems.append(f"{part.name} line {number}: {what}")
            if tail:
                problems.append(
                    f"{part.name} line {len(lines) + 1}: unfinished; its writer was stopped, or is writing"
                )
            after[part.name] = Place(part.tag, part.start + len(part.content) - len(tail))
        return merged(events), problems, after


class _Writer:
    """One process's file: its name, its lock between threads, and the last time and number written."""

    def __init__(self, who: str, now: dt.datetime) -> None:
        word = re.sub(r"[^A-Za-z0-9]+", "-", who).strip("-")[:40] or "someone"
        self.name = f"{word}.{paths.host()}.{ulid(now)}.jsonl"
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.seq = 0
        self.last = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Folder:
    """The writers' files in a folder."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def parts(self, cursor: Cursor) -> Iterator[Part]:
        """Every `*.jsonl` from where the cursor ends; a file that became shorter, from its start."""
        try:
            names = sorted(f.name for f in self.path.iterdir() if f.name.endswith(".jsonl"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refused(error, self.path) from None
        for name in names:
            start = cursor[name].offset if name in cursor else 0
            try:
                # Opening, not just stat: NFS shows another host's appends to those who open the file afterwards.
                with (self.path / name).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    start = start if start <= size else 0
                    file.seek(start)
                    yield Part(name, "", start, file.read())
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Part(name, "", start, b"", f"cannot be read ({error.strerror})")

    def append(self, name: str, line: bytes) -> None:
        """One write and a sync. A tail that was torn gets its newline first; a write that failed is taken back."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise _refused(error, self.path) from None
        try:
            _lock(fd)
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            line = b"\n" + line if torn else line
            try:
                if os.write(fd, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(fd)
            except OSError:
                with contextlib.suppress(OSError):  # where even this fails, the next append heals the tail
                    os.ftruncate(fd, size)
                raise
            if size == 0:
                self._sync()
        except OSError as error:
            raise _refused(error, self.path) from None
        finally:
            os.close(fd)

    def _sync(self) -> None:
        """Make a new file's name durable."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _lock(fd: int) -> None:
    """Lock the writer's own file. File systems without locks do without: only its one writer opens it to write."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP):
            raise


def _refused(error: OSError, folder: Path) -> JournalError:
    """The two lines for a folder that cannot be read or written."""
    kept = "Nothing recorded before is lost."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return JournalError(
            f"The journal {folder} cannot grow: the disk is full.", f"Free some space, then repeat. {kept}"
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return JournalError(
            f"The journal {folder} is, or lies under, a file.", "Set KIT_BOARD or KIT_HOME to a folder."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return JournalError(
            f"The journal {folder} is closed to {paths.person()}: {error.strerror}.",
            f"Allow it in the folder's permissions, or set KIT_BOARD to another folder. {kept}",
        )
    return JournalError(
        f"The journal {folder}: {error.strerror or error}.", f"Mend this, then repeat. {kept}"
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _stamp(ts: dt.datetime) -> str:
    return ts.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _plain(value: Any, type: str) -> Any:
    """The value as JSON. NumPy numbers become numbers, paths and times text, sets and tuples lists, nan and inf text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(k): _plain(v, type) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_plain(v, type) for v in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        return [_plain(v, type) for v in value]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a NumPy scalar
        return _plain(value.item(), type)
    raise JournalError(
        f'The event "{type}" holds a {value.__class__.__name__}, which is no JSON.',
        "Hand over text, numbers, lists or dictionaries of them.",
    )


def _event(line: bytes) -> Event:
    """The event in one line. Raises ValueError saying what is wrong with it."""
    try:
        raw = json.loads(line.decode("utf-8"), parse_constant=str)
        if b"\\ud" in line or b"\\uD" in line:  # perhaps a lone surrogate, which no output could encode
            raw = json.loads(json.dumps(raw, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise ValueError("no JSON (a torn write, or a foreign hand)") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("v"), int) or isinstance(raw["v"], bool):
        raise ValueError("no event of the journal")
    if raw["v"] > VERSION:
        raise ValueError(
            f"written by a newer kit (version {raw['v']}, this one reads {VERSION}); update the kit to see it"
        )
    values = {key: raw[key] for key in _TYPES if key in raw}
    for key, value in values.items():
        if not isinstance(value, _TYPES[key]) or isinstance(value, bool):
            raise ValueError(f'"{key}" is {str(value)[:40]!r}')
    if missing := [key for key in _REQUIRED if key not in values]:
        raise ValueError(f'an event without "{missing[0]}"')
    try:
        ts = dt.datetime.fromisoformat(values["ts"])
        if ts.tzinfo is None:
            raise ValueError
        values["ts"] = ts.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'"ts" is {values["ts"][:40]!r}, which is no time with a time zone') from None
    return Event(**values)


_TYPES = {
    f.name: {"ts": str, "seq": int, "v": int, "data": dict}.get(f.name, str)
    for f in dataclasses.fields(Event)
}
_REQUIRED = ("id", "ts", "seq", "who", "host", "type")
