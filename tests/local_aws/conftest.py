"""A local AWS as its clients meet it: a real server process, and boto3 clients that ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from accounts import account, app  # noqa: F401 - fixtures of the tests of rights and of detective controls
from boto3.session import Session
from botocore.config import Config
from feature_groups import make_group, online_group  # noqa: F401 - fixtures of the tests of Feature Store
from lab import either, lab, labs  # noqa: F401 - fixtures of the tests of jobs and endpoints
from querying import athena, people  # noqa: F401 - fixtures of the tests of Athena

from kit.local_aws import client as local_client
from kit.local_aws import process
from kit.local_aws.process import Server

REGION = "us-east-1"


@pytest.fixture(scope="module")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the module. When it ends, its log must not tell of a failure or of an answer that lacks a required member."""
    server = process.up(tmp_path_factory.mktemp("state") / "aws")
    yield server
    process.down(server.folder)
    log = (server.folder / "server.log").read_text(encoding="utf-8")
    wrong = [line for line in log.splitlines() if " ERROR " in line]
    assert wrong == [], log


@pytest.fixture
def boto_at() -> Callable[[str], Callable[..., Any]]:
    """Makes, for a server's URL, what makes boto3 clients of a service; keywords go into the client's botocore Config."""
    session = Session(local_client.KEY, "local", region_name=REGION)

    def at(url: str) -> Callable[..., Any]:
        patient = {"read_timeout": 240}  # a busy machine is no reason to ask again
        return lambda service, **config: session.client(
            service, endpoint_url=url, config=Config(**{**patient, **config})
        )

    return at


@pytest.fixture
def boto(local_aws: Server, boto_at: Callable[[str], Callable[..., Any]]) -> Callable[..., Any]:
    """Makes boto3 clients that ask the module's server, as the kit's builder."""
    return boto_at(local_aws.url)
