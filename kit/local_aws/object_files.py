"""The content of S3 objects: small ones in memory, larger ones in files of their own, so that they outlive the server.

moto holds the content of an object in a temporary file; `take_over` gives it these instead.
"""

from __future__ import annotations

import threading
import types
import uuid
from pathlib import Path
from typing import Any

__all__ = ["Content", "name_of", "orphans", "swept", "take_over"]

SMALL = 8 * 1024  # bytes; up to here an object's content is kept with what else is known of it
_place: Path | None = None
_rubbish: list[Path] = []
_lock = threading.Lock()


class Content:
    """What moto asks of a SpooledTemporaryFile. A file that is closed goes when its object is forgotten for good (`swept`)."""

    def __init__(self, max_size: int = 0) -> None:
        self._small: bytes | None = b""
        self._file: Path | None = None
        self._at = 0
        self._closed = False

    def seek(self, at: int) -> None:
        """Where the next `read` begins."""
        self._at = at

    def read(self, size: int = -1) -> bytes:
        """Bytes from where the last read ended. Raises ValueError once it is closed."""
        if self._closed:
            raise ValueError("The object is gone.")
        if self._small is not None:
            found = self._small[self._at :] if size < 0 else self._small[self._at : self._at + size]
        else:
            assert self._file is not None
            with self._file.open("rb") as file:
                file.seek(self._at)
                found = file.read(size)
        self._at += len(found)
        return found

    def write(self, data: bytes) -> None:
        """The content from now on."""
        self._drop()
        if len(data) <= SMALL or _place is None:
            self._small = bytes(data)
            return
        folder = _place / uuid.uuid4().hex[:2]
        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._small = folder / uuid.uuid4().hex, None
        self._file.write_bytes(data)

    def truncate(self) -> None:
        """Forget the content."""
        self._drop()
        self._small = b""

    def close(self) -> None:
        """Let go of the content."""
        self._drop()
        self._closed = True

    def _drop(self) -> None:
        if self._file is not None:
            with _lock:
                _rubbish.append(self._file)
        self._file = None

    def __reduce__(self) -> Any:
        if self._file is None:
            return _small, (self._small or b"", self._closed)
        return _in_file, (f"{self._file.parent.name}/{self._file.name}",)


def _small(data: bytes, closed: bool) -> Content:
    made = Content()
    made._small, made._closed = data, closed
    return made


def _in_file(name: str) -> Content:
    assert _place is not None
    made = Content()
    made._small, made._file = None, _place / name
    return made


def take_over(place: Path) -> None:
    """Has moto keep what objects hold under this folder."""
    import moto.s3.models

    global _place
    _place = place
    setattr(moto.s3.models, "tempfile", types.SimpleNamespace(SpooledTemporaryFile=Content))  # noqa: B010


def swept() -> list[Path]:
    """Files that no object holds any more; whoever asks deletes them."""
    with _lock:
        taken = _rubbish[:]
        _rubbish.clear()
    return taken


def orphans(known: set[str]) -> list[Path]:
    """Files that a server left that ended before it could forget them; `known`: the names that objects hold."""
    if _place is None or not _place.is_dir():
        return []
    return [file for file in _place.rglob("*") if file.is_file() and file.name not in known]


def name_of(content: Any) -> str:
    """The name of an object's file; empty where its content is small."""
    return content._file.name if isinstance(content, Content) and content._file else ""
