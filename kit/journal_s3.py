"""The journal on S3: one object per writer, written whole, each time on condition that nobody else wrote it.

S3 has no append. A writer keeps what it wrote, puts it back with one line more, and says which version it replaces
(`If-Match` with its own ETag; `If-None-Match: *` for the first). On 409 or 412 it reads the object again and repeats.
Readers list the prefix and fetch, of the objects whose ETag changed, only the bytes that they have not read.
Plain boto3: it is where the kit runs, and `target` decides which endpoint it talks to.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from kit import aws
from kit.errors import JournalError
from kit.journal import Cursor, Part

__all__ = ["Bucket"]

ATTEMPTS = 10
READERS = 16  # objects fetched at once
AGAIN = ("ConditionalRequestConflict", "PreconditionFailed", "NoSuchKey", "404", "409", "412")
TYPES = {".json": "application/json", ".md": "text/markdown; charset=utf-8"}


class Written(NamedTuple):
    """A writer's object as it was last known here; no ETag while it does not exist."""

    etag: str
    content: bytes


@dataclass(frozen=True)
class Bucket:
    """The writers' objects under `prefix` (ends with "/", or is empty) of a bucket.

    `local` is for a rehearsal: the bucket is in the local AWS, and is made where there is none.
    """

    client: Any
    bucket: str
    prefix: str
    local: bool = False
    _own: dict[str, Written] = field(default_factory=dict)
    apart: ClassVar[bool] = True

    @classmethod
    def at(cls, address: str, local: bool = False) -> Bucket:
        """The store at "s3://bucket/prefix", with boto3's own credentials, region and endpoint.

        Raises:
            JournalError: the address names no bucket, or there is no such client; or it is for a rehearsal, and
                this process does not talk to the local AWS.
        """
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not bucket:
            raise JournalError(f"{address} names no bucket.", "Write it as s3://bucket/prefix.")
        try:
            # A session of its own: the default one remembers the environment of its first use.
            config = Config(max_pool_connections=READERS)
            client = aws.unwatched(boto3.session.Session().client("s3", config=config))
        except (BotoCoreError, ValueError) as error:
            raise JournalError(f"The journal {address} cannot be reached: {error}", HINT) from None
        if local and "//127.0.0.1" not in client.meta.endpoint_url:
            raise JournalError(
                f"The board of a rehearsal, {address}, is in the local AWS, which this process does not use.",
                'Connect first: kit.runbook(...) and every kit command do; or use target = "aws".',
            )
        return cls(client, bucket, f"{prefix.rstrip('/')}/" if prefix.strip("/") else "", local)

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
                name: item["ETag"]
                for page in pages
                for item in page.get("Contents", ())
                if (name := item["Key"].removeprefix(self.prefix)).endswith(".jsonl") and "/" not in name
            }
            changed = [n for n, tag in sorted(tags.items()) if n not in cursor or cursor[n].tag != tag]
            starts = [cursor[name].offset if name in cursor else 0 for name in changed]
            with ThreadPoolExecutor(READERS) as pool:
                found = list(pool.map(self._read, changed, starts))
        except (ClientError, BotoCoreError) as error:
            if self.local and _code(error) == "NoSuchBucket":
                return
            raise self._refused(error) from None
        yield from (part for part in found if part)

    def append(self, name: str, line: bytes) -> None:
        """Put the object with one line more. Raises JournalError when S3 refuses; then the line is not recorded."""
        from botocore.exceptions import BotoCoreError, ClientError

        written = self._own.get(name, Written("", b""))
        try:
            for _ in range(ATTEMPTS):
                gap = b"" if written.content.endswith(b"\n") or not written.content else b"\n"
                content = written.content + gap + line
                condition = {"IfMatch": written.etag} if written.etag else {"IfNoneMatch": "*"}
                try:
                    answer = self._put(name, content, **condition)
                    self._own[name] = Written(answer["ETag"], content)
                    return
                except ClientError as error:
                    if _code(error) not in AGAIN:
                        raise
                found = self._read(name)
                if found and line in found.content:  # a put whose answer got lost had arrived
                    self._own[name] = Written(found.tag, found.content)
                    return
                # An object that was deleted comes back whole, from what this writer knows.
                written = Written(found.tag, found.content) if found else Written("", written.content)
        except (ClientError, BotoCoreError) as error:
            raise self._refused(error) from None
        raise JournalError(
            f"The journal {self}: {name} kept changing while it was written ({ATTEMPTS} attempts).",
            "Another process writes this object; start this one again, it then writes its own.",
        )

    def publish(self, name: str, content: bytes) -> None:
        """Put a file beside the journal, for whoever has no access to this machine. Raises JournalError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._put(name, content, ContentType=TYPES.get(name[name.rfind(".") :], "text/plain"))
        except (ClientError, BotoCoreError) as error:
            raise self._refused(error) from None

    def fetch(self, name: str) -> bytes | None:
        """What somebody published under this name; None where nobody did. Raises JournalError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self._read(name)
        except (ClientError, BotoCoreError) as error:
            raise self._refused(error) from None
        return found.content if found else None

    def _put(self, name: str, content: bytes, **more: str) -> Any:
        from botocore.exceptions import ClientError

        facts = {"Bucket": self.bucket, "Key": self.prefix + name, "Body": content}
        try:
            return self.client.put_object(**facts, **more)
        except ClientError as error:
            if not self.local or _code(error) != "NoSuchBucket":
                raise
            self._make()
            return self.client.put_object(**facts, **more)

    def _make(self) -> None:
        from botocore.exceptions import ClientError

        region = self.client.meta.region_name
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            self.client.create_bucket(Bucket=self.bucket, **where)
        except ClientError as error:
            if _code(error) != "BucketAlreadyOwnedByYou":  # somebody else was first
                raise

    def _read(self, name: str, start: int = 0) -> Part | None:
        """The object from byte `start` on; all of it where it became shorter; None where there is none."""
        from botocore.exceptions import ClientError

        facts = {"Bucket": self.bucket, "Key": self.prefix + name}
        try:
            answer = self.client.get_object(**facts, **({"Range": f"bytes={start}-"} if start else {}))
            return Part(name, answer["ETag"], start, answer["Body"].read())
        except ClientError as error:
            if _code(error) in ("InvalidRange", "416") and start:
                return self._read(name)
            if _code(error) in ("NoSuchKey", "404"):
                return None
            raise

    def _refused(self, error: Exception) -> JournalError:
        """The two lines for what S3, or the way there, refused."""
        code, region = _code(error), self.client.meta.region_name
        operation = getattr(error, "operation_name", "the call")
        if code == "NoSuchBucket":
            what = f"there is no bucket {self.bucket}."
            hint = f"Correct KIT_BOARD, or make it once: aws s3 mb s3://{self.bucket} --region {region}"
        elif code in ("AccessDenied", "403", "AllAccessDisabled"):
            what = f"S3 refuses {operation}: no permission."
            hint = (
                f"Allow s3:ListBucket on the bucket, s3:GetObject and s3:PutObject on {self.prefix}*. {KEPT}"
            )
        elif code in (
            "PermanentRedirect",
            "301",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ):
            other = _region(error)
            what = f"the bucket is not in {region}{f', but in {other}' if other else ''}."
            hint = f"Set AWS_DEFAULT_REGION={other or 'the region of the bucket'}, then repeat. {KEPT}"
        elif code in UNKNOWN:
            what, hint = f"AWS does not know who you are ({code}).", f"Log in again, then repeat. {KEPT}"
        elif code == "RequestTimeTooSkewed":
            what = "S3 refuses, because this machine's clock is wrong."
            hint = f"Set the clock and its time zone right, then repeat. {KEPT}"
        else:
            what, hint = " ".join(str(error).split()), HINT
        return JournalError(f"The journal {self}: {what}", hint)


def _code(error: Exception) -> str:
    """AWS's code for what happened; the error's class where nothing reached AWS."""
    answer = getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code") or type(error).__name__)


def _region(error: Exception) -> str:
    """Where the bucket is, if the answer says it."""
    answer = getattr(error, "response", None) or {}
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(answer.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region") or "")


UNKNOWN = (
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
    *(
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidToken",
    ),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch"),
)
KEPT = "Nothing recorded before is lost."
HINT = f"Check the bucket's name, the credentials and the network. {KEPT}"
