"""What is kept of the requests of a process: off without a folder, one line a request with it, data cut."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SENT = """
import io, datetime as dt
from boto3.session import Session
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from kit import requests

own = Session("own", "secret", region_name="us-east-1")
requests.keep("F9", own)
requests.keep("F9", own)  # a runbook that is begun twice
other = Session("other", "secret", region_name="us-east-1")
for session in (own, other):
    s3 = session.client("s3")
    with Stubber(s3) as stub:
        stub.add_response("put_object", {})
        s3.put_object(Bucket="eba", Key="a", Body=io.BytesIO(b"rows"), Expires=dt.datetime(2026, 12, 1))
        stub.add_client_error("get_object", "AccessDenied")
        try:
            s3.get_object(Bucket="eba", Key="a")
        except ClientError:
            pass
"""


def sent(folder: Path, keep: bool) -> str:
    """What a process says that sends some requests."""
    environment = {"KIT_REQUESTS": str(folder / "kept")} if keep else {}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(folder), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", SENT], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    sent(tmp_path, keep=False)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def kept(tmp_path: Path) -> list[dict[str, object]]:
    sent(tmp_path, keep=True)
    text = (tmp_path / "kept" / "F9.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_each_request_is_a_line(kept: list[dict[str, object]]) -> None:
    assert [(one["service"], one["action"]) for one in kept] == [("s3", "PutObject"), ("s3", "GetObject")] * 2


def test_data_is_cut_and_times_are_text(kept: list[dict[str, object]]) -> None:
    assert kept[0]["params"] == {
        "Bucket": "eba",
        "Key": "a",
        "Body": "(data)",
        "Expires": "2026-12-01T00:00:00Z",
    }


def test_it_says_who_asked_and_what_was_refused(kept: list[dict[str, object]]) -> None:
    assert [one["own"] for one in kept] == [True, True, False, False]
    assert [one["code"] for one in kept] == ["", "AccessDenied", "", "AccessDenied"]
