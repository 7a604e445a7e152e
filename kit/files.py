"""Files that readers never see half written."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import time
from pathlib import Path

__all__ = ["replace"]

FORGOTTEN = 2 * 3600  # seconds after which a part belongs to a process that was killed


def replace(file: Path, content: str | bytes) -> Path:
    """Write `content` beside `file`, then put it in its place at once; return the file. Raises OSError as writing does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        part.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
        part.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    for other in file.parent.glob(f".{glob.escape(file.name)}.*"):
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > FORGOTTEN:
                other.unlink()
    return file
