"""Between S3 and a container's folders: inputs are fetched before a job starts, outputs are put when it ended.

`aws` gives the clients: those of the role that the job runs as, so that a job reads and writes only what its role may.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from kit.local_aws.execution import Clients

__all__ = [
    "InputError",
    "check_bucket",
    "fetch",
    "fetch_archive",
    "fetch_input",
    "keys",
    "put",
    "put_archive",
    "relative",
    "shard",
    "split",
]

AT_ONCE = 8  # objects in flight
CHUNK = 8 * 1024 * 1024


class InputError(Exception):
    """What the caller asked for cannot be read or written; becomes a job's `ClientError: ...`."""


def split(uri: str) -> tuple[str, str]:
    """(bucket, key or prefix) of an s3:// URI; raises InputError for anything else."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise InputError(f'"{uri}" is not an S3 URI.')
    return bucket, key


def keys(aws: Clients, region: str, uri: str) -> list[str]:
    """Every key that begins with the URI's prefix, sorted, without folder markers. Raises InputError without such a bucket."""
    bucket, prefix = split(uri)
    try:
        pages = (
            aws.client("s3", region).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        )
        found = [item["Key"] for page in pages for item in page.get("Contents", [])]
    except ClientError as error:
        raise InputError(f'{error.response["Error"].get("Message", error)} S3 URL: "{uri}".') from None
    return sorted(key for key in found if not key.endswith("/"))


def check_bucket(aws: Clients, region: str, uri: str) -> None:
    """Raise InputError unless the bucket of the URI is there, before work is done whose result would have nowhere to go."""
    bucket, _ = split(uri)
    try:
        aws.client("s3", region).head_bucket(Bucket=bucket)
    except ClientError:
        raise InputError(
            f'The bucket of the output path "{uri}" does not exist or cannot be accessed.'
        ) from None


def relative(key: str, prefix: str) -> Path:
    """Where the object goes below its folder: its key after the prefix; a prefix may end in the middle of a name.

    Raises InputError for a key that would leave the folder.
    """
    rest = key[len(prefix) :]
    if not prefix.endswith("/") and not rest.startswith("/") and prefix:
        rest = key[prefix.rfind("/") + 1 :]
    path = Path(rest.lstrip("/"))
    if ".." in path.parts:
        raise InputError(f'The key "{key}" cannot be the name of a file.')
    return path


def shard(found: list[str], host: int, hosts: int, distribution: str) -> list[str]:
    """The keys that host number `host` (from 0) of `hosts` gets: all, or with ShardedByS3Key every hosts-th."""
    return found[host::hosts] if distribution == "ShardedByS3Key" else found


def fetch_input(
    aws: Clients, region: str, source: Mapping[str, Any], folder: Path, host: int = 0, hosts: int = 1
) -> None:
    """Download an S3 input ({"S3Uri", "S3DataDistributionType"}), or this host's share of it. Raises InputError when it is empty."""
    uri = source["S3Uri"]
    found = keys(aws, region, uri)
    if not found:
        raise InputError(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in'
            f" the selected region ({region}), and that objects exist under that S3 prefix."
        )
    fetch(aws, region, uri, folder, shard(found, host, hosts, source.get("S3DataDistributionType", "")))


def fetch(aws: Clients, region: str, uri: str, folder: Path, found: list[str]) -> None:
    """Download these keys, that lie under the URI, into a folder. Raises InputError."""
    bucket, prefix = split(uri)
    folder.mkdir(parents=True, exist_ok=True)

    def one(key: str) -> None:
        target = folder / relative(key, prefix)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            body = aws.client("s3", region).get_object(Bucket=bucket, Key=key)["Body"]
            with target.open("wb") as file:
                shutil.copyfileobj(body, file, CHUNK)
        except (ClientError, OSError) as error:
            raise InputError(f"Data download failed: s3://{bucket}/{key}: {error}") from None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, found))


def put(aws: Clients, region: str, folder: Path, uri: str) -> int:
    """Upload every file of a folder under an S3 prefix; returns the number of objects. Raises InputError."""
    bucket, prefix = split(uri)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]

    def one(file: Path) -> None:
        key = f"{prefix.rstrip('/')}/{file.relative_to(folder).as_posix()}".lstrip("/")
        _upload(aws, region, file, bucket, key)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, files))
    return len(files)


def _upload(aws: Clients, region: str, file: Path, bucket: str, key: str) -> None:
    try:
        with file.open("rb") as body:
            aws.client("s3", region).put_object(Bucket=bucket, Key=key, Body=body)
    except (ClientError, OSError) as error:
        raise InputError(f"Data upload failed: s3://{bucket}/{key}: {error}") from None


def put_archive(aws: Clients, region: str, folder: Path, uri: str) -> bool:
    """Upload what the folder holds as one tar.gz; False, and nothing uploaded, when it is empty. Raises InputError."""
    bucket, key = split(uri)
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if not entries:
        return False
    with tempfile.TemporaryDirectory(prefix="kit-archive-") as scratch:
        packed = Path(scratch) / "archive.tar.gz"
        with tarfile.open(packed, "w:gz", compresslevel=6) as archive:
            for entry in entries:
                archive.add(entry, arcname=entry.name)
        _upload(aws, region, packed, bucket, key)
    return True


def fetch_archive(aws: Clients, region: str, uri: str, folder: Path) -> None:
    """Download a tar.gz and unpack it into the folder. Raises InputError when it is not there or no archive."""
    bucket, key = split(uri)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        body = aws.client("s3", region).get_object(Bucket=bucket, Key=key)["Body"]
        with tarfile.open(fileobj=body, mode="r|*") as archive:
            archive.extractall(folder, filter="data")
    except (ClientError, tarfile.TarError, OSError) as error:
        raise InputError(f"{uri} cannot be read: {error}") from None
