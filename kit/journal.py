"""The journal: the truth that the board is folded from. Append-only, one JSON event per line, one file per writer.

No two processes ever write the same file, so no lock has to hold between hosts: the same layout is safe on a laptop,
on NFS or EFS, in a sync folder, in git and, one object per writer, on S3 (`kit/journal_s3.py`). An event is
acknowledged when `append` returns: it was written with one `write(2)` and synced. Readers merge by (ts, id).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from kit import paths
from kit.errors import JournalError

__all__ = ["Cursor", "Event", "Journal", "here", "line", "merged", "open", "ulid"]

VERSION = 1
INSTANT = dt.timedelta(microseconds=1)
CLOCKS_APART = dt.timedelta(days=366)  # what is further ahead is no clock, but a foreign hand
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, as in the ULID specification


@dataclass(frozen=True)
class Event:
    """One thing that happened. `ts` is UTC with microseconds, `seq` counts from 1 in its writer's file, `data` is JSON.

    `late` is by how many seconds its writer's clock was behind what that writer had read of the card; `ts` then is
    just after it, so that on a card what was done later counts later, whatever the clocks say.
    """

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
    late: float = 0.0


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
    """Where the writers' files lie; `apart` where its readers do not share the writers' home."""

    apart: ClassVar[bool]

    def parts(self, cursor: Cursor) -> Iterator[Part]:
        """What is new in each file since the cursor. Raises JournalError where the place itself cannot be read."""

    def append(self, name: str, line: bytes) -> None:
        """Make `line` the last line of the file `name`, durably, or raise JournalError and leave the file as it was."""

    def publish(self, name: str, content: bytes) -> None:
        """Put a file beside the journal where others cannot see this machine's; elsewhere nothing."""

    def fetch(self, name: str) -> bytes | None:
        """What somebody published under this name; None where nobody did."""


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
    if not event.late:
        del raw["late"]
    # A lone surrogate is no character; "replace" keeps the rest of the text.
    return json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def open(
    where: str | Path,
    who: str | None = None,
    *,
    clock: Callable[[], dt.datetime] | None = None,
    local: bool = False,
) -> Journal:
    """The journal in a folder (made at the first append) or at "s3://bucket/prefix".

    Args:
        where: the folder or the S3 address.
        who: who writes; default `paths.person()`.
        clock: says what time it is (aware); default the machine's.
        local: an S3 address must lead to the local AWS; its bucket is made at the first append.
    """
    store: Store
    if str(where).startswith("s3://"):
        from kit.journal_s3 import Bucket

        store = Bucket.at(str(where), local)
    else:
        from kit.journal_folder import Folder

        store = Folder(Path(where).expanduser())
    return Journal(store, who or paths.person(), clock or _now)


def here(target: str = "local") -> Journal:
    """The event's journal: where `KIT_BOARD` says (a folder or s3://...), else `board/journal` in the event's folder."""
    where = os.environ.get("KIT_BOARD") or paths.home(target) / "board" / "journal"
    return open(where, local=target == "local")


class Journal:
    """Append one event, read what is new, read everything. Safe to share between threads and across a fork."""

    def __init__(self, store: Store, who: str, clock: Callable[[], dt.datetime]) -> None:
        self.store = store
        self.who = who
        self._clock = clock
        self._writer = _Writer(who, clock())
        self._latest: dict[str, dt.datetime] = {}  # of each card, the last time that was read or written here
        self._read: Cursor = {}
        self._recorded: list[Event] = []

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

        Numbers that JSON cannot hold (nan, inf) are kept as text. The time is this machine's, or just after
        what was read of the card before, if that is later.

        Raises:
            JournalError: the data is no JSON, or the place cannot be written; then the event is not recorded, and
                everything recorded before is still there.
        """
        writer = self._writer
        if writer.pid != os.getpid():  # a forked child writes its own file
            writer = self._writer = _Writer(self.who, self._clock())
        with writer.lock:
            own = max(self._clock().astimezone(dt.UTC), writer.last + INSTANT)
            read = self._latest.get(card, own)
            ts = read + INSTANT if card and own <= read < own + CLOCKS_APART else own
            late = (ts - own).total_seconds()
            facts = (ulid(ts), ts, writer.seq + 1, self.who, paths.host(), type, card, team, target, account)
            written = line(Event(*facts, data=_plain(data, type), late=late if late >= 1 else 0.0))
            self.store.append(writer.name, written)
            writer.seq, writer.last = writer.seq + 1, own
            event = _event(written)
            self._known([event])
            self._recorded += [event] if self.store.apart else []
        return event

    def recorded(self) -> list[Event]:
        """What was recorded through this journal since the last call, where it lies apart from home."""
        found, self._recorded = self._recorded, []
        return found

    @property
    def apart(self) -> bool:
        """Whether others see the journal but not this machine's files."""
        return self.store.apart

    def catch_up(self) -> None:
        """Read what is new, so that the next event counts after it on its card."""
        self._read = self._scan(self._read)[2]

    def changed_since(self, cursor: Cursor | None = None) -> tuple[list[Event], Cursor]:
        """The events recorded since the cursor (None: all of them), by (ts, id), and the cursor for the next call."""
        events, _, after = self._scan(cursor or {})
        return events, after

    def snapshot(self) -> list[Event]:
        """Every event, by (ts, id), once each."""
        return self._scan({})[0]

    def publish(self, file: Path) -> None:
        """Put a file beside the journal where others cannot see this machine's: on S3, not in a folder."""
        self.store.publish(file.name, file.read_bytes())

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
        self._known(events)
        return merged(events), problems, after

    def _known(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.ts > self._latest.get(event.card, event.ts - INSTANT):
                self._latest[event.card] = event.ts


class _Writer:
    """One process's file: its name, its lock between threads, and the last time and number written."""

    def __init__(self, who: str, now: dt.datetime) -> None:
        word = re.sub(r"[^A-Za-z0-9]+", "-", who).strip("-")[:40] or "someone"
        self.name = f"{word}.{paths.host()}.{ulid(now)}.jsonl"
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.seq = 0
        self.last = dt.datetime.min.replace(tzinfo=dt.UTC)


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


_TYPES: dict[str, Any] = {
    f.name: {"ts": str, "seq": int, "v": int, "data": dict, "late": (int, float)}.get(f.name, str)
    for f in dataclasses.fields(Event)
}
_REQUIRED = ("id", "ts", "seq", "who", "host", "type")
