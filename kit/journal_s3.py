"""The journal on S3: one object per writer, written whole, each time on condition that nobody else wrote it.

S3 has no append. A writer keeps what it wrote, puts it back with one line more, and says which version it replaces
(`If-Match` with its own ETag; `If-None-Match: *` for the first). On 409 or 412 it reads the object again and repeats.
Plain boto3: it is where the kit runs, and `target` decides which endpoint it talks to.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kit.errors import JournalError
from kit.journal import Cursor, Part

__all__ = ["Bucket"]

ATTEMPTS = 10
READERS = 16  # objects fetched at once
AGAIN = ("ConditionalRequestConflict", "PreconditionFailed", "NoSuchKey", "404", "409", "412")


class Written(NamedTuple):
    """A writer's object as it was last known here; no ETag while it does not exist."""

    etag: str
    content: bytes


@dataclass(frozen=True)
class Bucket:
    """The writers' objects under `prefix` (ends with "/", or is empty) of a bucket."""

    client: Any
    bucket: str
    prefix: str
    _own: dict[str, Written] = field(default_factory=dict)

    @classmethod
    def at(cls, address: str) -> Bucket:
        """The store at "s3://bucket/prefix", with boto3's own credentials, region and endpoint."""
        import boto3
        from botocore.exceptions import BotoCoreError

        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not bucket:
            raise JournalError(f"{address} names no bucket.", "Write it as s3://bucket/prefix.")
        try:
            # A session of its own: the default one remembers the environment of its first use.
            client = boto3.session.Session().client("s3")
        except BotoCoreError as error:
            raise JournalError(f"The journal {address} cannot be reached: {error}", _HINT) from None
        return cls(client, bucket, f"{prefix.rstrip('/')}/" if prefix.strip("/") else "")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def parts(self, cursor: Cursor) -> Iterator[Part]:
        """What is new in every object whose ETag changed."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix
            )
            tags = {
                item["Key"].removeprefix(self.prefix): item["ETag"]
                for page in pages
                for item in page.get("Contents", ())
                if item["Key"].endswith(".jsonl")
            }
            changed = [n for n, tag in sorted(tags.items()) if n not in cursor or cursor[n].tag != tag]
            with ThreadPoolExecutor(READERS) as pool:
                found = dict(zip(changed, pool.map(self._read, changed), strict=True))
        except (ClientError, BotoCoreError) as error:
            raise self._refused(error) from None
        for name, (etag, content) in found.items():
            if etag:  # without, it was deleted between the two requests
                start = cursor[name].offset if name in cursor else 0
                start = start if start <= len(content) else 0
                yield Part(name, etag, start, content[start:])

    def append(self, name: str, line: bytes) -> None:
        """Put the object with one line more. Raises JournalError when S3 refuses; then the line is not recorded."""
        from botocore.exceptions import BotoCoreError, ClientError

        key = self.prefix + name
        written = self._own.get(name, Written("", b""))
        try:
            for _ in range(ATTEMPTS):
                gap = b"" if written.content.endswith(b"\n") or not written.content else b"\n"
                content = written.content + gap + line
                condition = {"IfMatch": written.etag} if written.etag else {"IfNoneMatch": "*"}
                try:
                    answer = self.client.put_object(Bucket=self.bucket, Key=key, Body=content, **condition)
                    self._own[name] = Written(answer["ETag"], content)
                    return
                except ClientError as error:
                    if error.response["Error"]["Code"] not in AGAIN:
                        raise
                found = self._read(name)
                if line in found.content:  # a put whose answer got lost had arrived
                    self._own[name] = found
                    return
                # An object that was deleted comes back whole, from what this writer knows.
                written = found if found.etag else Written("", written.content)
        except (ClientError, BotoCoreError) as error:
            raise self._refused(error) from None
        raise JournalError(
            f"The journal {self}: {name} kept changing while it was written ({ATTEMPTS} attempts).",
            "Another process writes this object; start this one again, it then writes its own.",
        )

    def _read(self, name: str) -> Written:
        """The object as it is now; nothing, without an ETag, where there is none."""
        from botocore.exceptions import ClientError

        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
            return Written(answer["ETag"], answer["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return Written("", b"")
            raise

    def _refused(self, error: Exception) -> JournalError:
        return JournalError(f"The journal {self}: {error}", _HINT)


_HINT = "Check the bucket's name, the credentials and the network. Nothing recorded before is lost."
