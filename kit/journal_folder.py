"""The journal in a folder: one file per writer, each line written with one `write(2)` and synced.

No two processes write the same file, so no lock has to hold between hosts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kit import paths
from kit.errors import JournalError
from kit.journal import Cursor, Part

__all__ = ["Folder"]


@dataclass(frozen=True)
class Folder:
    """The writers' files in a folder."""

    path: Path
    apart: ClassVar[bool] = False

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

    def publish(self, name: str, content: bytes) -> None:
        """Nothing: whoever sees the journal sees the board's files."""

    def fetch(self, name: str) -> bytes | None:
        """Nothing: whoever sees the journal sees the files."""
        return None

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
