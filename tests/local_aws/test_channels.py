"""Where objects go in a channel, and who gets which."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.channels import InputError, relative, shard, split

NAMES = st.text("abc.-", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("key", "prefix", "path"),
    [
        ("d/train/a.csv", "d/train", "a.csv"),
        ("d/train/a.csv", "d/train/", "a.csv"),
        ("d/train/x/a.csv", "d/train", "x/a.csv"),
        ("d/train.csv", "d/train.csv", "train.csv"),
        ("d/train_2.csv", "d/train", "train_2.csv"),
        ("d/train_2/a.csv", "d/train", "train_2/a.csv"),
        ("a.csv", "", "a.csv"),
        ("d//a.csv", "d/", "a.csv"),
    ],
)
def test_an_object_goes_where_its_key_says_after_the_prefix(key: str, prefix: str, path: str) -> None:
    assert relative(key, prefix) == Path(path)


@given(KEYS, st.data())
def test_no_object_leaves_its_folder(key: str, data: st.DataObject) -> None:
    prefix = key[: data.draw(st.integers(0, len(key)))]
    path = relative(key, prefix)
    assert not path.is_absolute()
    assert path.parts
    assert key.endswith(str(path).removeprefix("/"))


def test_a_key_that_would_leave_its_folder_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be the name of a file"):
        relative("d/../../etc/passwd", "d/")


@given(st.lists(st.text(), unique=True, max_size=40).map(sorted), st.integers(1, 9))
def test_shards_are_a_partition_of_almost_equal_parts(keys: list[str], hosts: int) -> None:
    shards = [shard(keys, host, hosts, "ShardedByS3Key") for host in range(hosts)]
    assert sorted(key for part in shards for key in part) == keys
    sizes = [len(part) for part in shards]
    assert max(sizes) - min(sizes) <= 1
    assert shard(keys, hosts - 1, hosts, "FullyReplicated") == keys


@pytest.mark.parametrize("uri", ["http://b/k", "b/k", "s3://", "s3:///k"])
def test_what_is_no_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="not an S3 URI"):
        split(uri)
    assert split("s3://b") == ("b", "")
