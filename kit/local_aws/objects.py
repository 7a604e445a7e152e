"""Copies of S3 objects on the server's disk, for engines that read files: each version of an object is fetched once."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.local_aws.channels import CHUNK, split

if TYPE_CHECKING:
    from kit.local_aws.execution import Clients
    from kit.local_aws.front import App

__all__ = ["Item", "Objects", "keep", "listed", "objects_of"]

AT_ONCE = 8  # objects in flight
LIMIT = 4 * 1024**3  # bytes of copies; then the ones that were not read for longest go


@dataclass(frozen=True)
class Item:
    """An object in S3."""

    bucket: str
    key: str
    etag: str
    size: int

    @property
    def uri(self) -> str:
        """s3://bucket/key."""
        return f"s3://{self.bucket}/{self.key}"


def listed(aws: Clients, region: str, uri: str) -> list[Item]:
    """The objects below an s3:// URI, sorted by key: no folder markers, no empty objects. Raises InputError for no URI, ClientError for no bucket."""
    bucket, prefix = split(uri)
    pages = aws.client("s3", region).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [
        Item(bucket, found["Key"], found["ETag"].strip('"'), found["Size"])
        for page in pages
        for found in page.get("Contents", [])
        if found["Size"] and not found["Key"].endswith("/")
    ]


class Objects:
    """The copies of one server, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)  # of a server that was killed
        folder.mkdir(parents=True)
        self._lock = threading.Lock()
        self._bytes = 0

    def path(self, item: Item) -> Path:
        """Where the copy of an object lies; its name ends as the key does, since engines tell compression by it."""
        name = hashlib.sha256(f"{item.bucket}/{item.key}\n{item.etag}\n{item.size}".encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}{''.join(Path(item.key).suffixes[-1:])}"

    def keep(self, item: Item, content: bytes) -> None:
        """Keeps a copy of what was just put."""
        path = self.path(item)
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(f".{threading.get_ident()}")
        fresh.write_bytes(content)
        fresh.replace(path)
        self._count(item.size)

    def fetch(self, aws: Clients, region: str, items: Sequence[Item]) -> None:
        """Has a copy of every object of a table. Raises ClientError for one that is gone or may not be read, OSError for a full disk.

        Who may read is asked for each object that is fetched; where there are copies of all, for the first one.
        """
        wanted = [item for item in items if not self.path(item).exists()]

        if items and not wanted:
            aws.client("s3", region).head_object(Bucket=items[0].bucket, Key=items[0].key)

        def one(item: Item) -> None:
            path = self.path(item)
            path.parent.mkdir(exist_ok=True)
            fresh = path.with_suffix(f".{threading.get_ident()}")
            body = aws.client("s3", region).get_object(Bucket=item.bucket, Key=item.key)["Body"]
            with fresh.open("wb") as file:
                shutil.copyfileobj(body, file, CHUNK)
            fresh.replace(path)
            self._count(item.size)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(one, wanted))

    def _count(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            if self._bytes < LIMIT:
                return
            files = sorted((file for file in self.folder.rglob("*") if file.is_file()), key=_last_read)
            for file in files:
                if self._bytes < LIMIT / 2:
                    break
                with contextlib.suppress(OSError):
                    self._bytes -= file.stat().st_size
                    file.unlink()  # a query that has it open reads on


def _last_read(file: Path) -> float:
    with contextlib.suppress(OSError):
        found = file.stat()
        return max(found.st_atime, found.st_mtime)
    return 0.0


_of: weakref.WeakKeyDictionary[App, Objects] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def objects_of(app: App) -> Objects:
    """The copies of the server."""
    with _making:
        if app not in _of:
            _of[app] = made = Objects(app.folder / "objects")
            app.at_stop(lambda: shutil.rmtree(made.folder, ignore_errors=True))
        return _of[app]


def keep(app: App, aws: Clients, region: str, uri: str, content: bytes, **options: str) -> None:
    """Puts an object into S3 (options: of PutObject) and keeps a copy, for queries that come soon. Raises ClientError."""
    bucket, key = split(uri)
    made = aws.client("s3", region).put_object(Bucket=bucket, Key=key, Body=content, **options)
    objects_of(app).keep(Item(bucket, key, made["ETag"].strip('"'), len(content)), content)
