"""What outlives the server: values by key in one SQLite file.

A value that was put is with the operating system when `put` returns, so that it survives the server's own end, however that comes. A
format, a version of the kit and of moto, and an account belong to the file; a file of another version is put aside.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["State", "version"]

FORMAT = 1  # of keys and values; another number is another state


def version() -> str:
    """What must be the same for a state to be read again: the values hold objects of these programs."""
    return json.dumps(
        {
            "format": FORMAT,
            "kit": importlib.metadata.version("eba-ml-lab-kit"),
            "moto": importlib.metadata.version("moto"),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        }
    )


class State:
    """The values of a folder. `account`: whose state it is; `before`: the version of a state that was put aside, if one was."""

    def __init__(self, folder: Path, account: str) -> None:
        self.folder, self.before = folder, ""
        self._lock, self._closed = threading.Lock(), False
        try:
            self._open(account)
            held = self._meta("version")
        except sqlite3.DatabaseError as problem:
            held = f"unreadable: {problem}"
        if held != version():
            self.before = held
            self._database.close()
            aside = folder.with_name(f"{folder.name}.old")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            self._open(account)
        self.account = self._meta("account")

    def _open(self, account: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(
            self.folder / "state.sqlite", isolation_level=None, check_same_thread=False
        )
        # One process uses the file. A commit is with the system, not yet on the disk: only a crash of the machine takes the last ones.
        for line in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "wal_autocheckpoint=4000",
        ):
            self._database.execute(f"PRAGMA {line}")
        for table in (
            "meta (key TEXT PRIMARY KEY, value TEXT)",
            "state (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
        ):
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        first = [("version", version()), ("account", account)]
        self._database.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", first)

    def _meta(self, key: str) -> str:
        found = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else ""

    def put(self, values: Mapping[str, bytes | None]) -> None:
        """Keep the values, all or none of them; None forgets a key. After the close nothing is kept: the calls in flight."""
        kept = [(key, value) for key, value in values.items() if value is not None]
        gone = [(key,) for key, value in values.items() if value is None]
        with self._lock:
            if self._closed:
                return
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", kept)
            self._database.executemany("DELETE FROM state WHERE key = ?", gone)
            self._database.execute("COMMIT")

    def forget(self, prefix: str) -> None:
        """Forget every key that begins so."""
        with self._lock:
            if self._closed:
                return
            self._database.execute(
                "DELETE FROM state WHERE key >= ? AND key < ?", (prefix, prefix + "\U0010ffff")
            )

    def items(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """The keys that begin so and their values, in the order of the keys."""
        with self._lock:
            rows = self._database.execute(
                "SELECT key, value FROM state WHERE key >= ? AND key < ? ORDER BY key",
                (prefix, prefix + "\U0010ffff"),
            ).fetchall()
        yield from ((str(key), bytes(value)) for key, value in rows)

    def close(self) -> None:
        """Write everything into the one file."""
        with self._lock:
            self._closed = True
            self._database.close()
