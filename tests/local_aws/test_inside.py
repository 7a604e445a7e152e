"""The server's calls to itself: the same answers as over HTTP."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError, HTTPClientError
from werkzeug.serving import make_server

from kit.local_aws.front import App

REGION = "us-east-1"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A front that also serves HTTP."""
    found = App(tmp_path_factory.mktemp("inside"), "123456789012")
    server = make_server("127.0.0.1", 0, found, threaded=True)
    found.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def clients(app: App, service: str) -> tuple[Any, Any]:
    """One that asks inside, and one that asks over HTTP."""
    outside = Session("AKIAX", "x", region_name=REGION).client(service, endpoint_url=app.url)
    return app.client(service, REGION), outside


def test_objects_are_put_and_read_as_over_http(app: App, tmp_path: Path) -> None:
    inside, outside = clients(app, "s3")
    inside.create_bucket(Bucket="some-bucket")
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 5000)
    with file.open("rb") as body:
        inside.put_object(Bucket="some-bucket", Key="a/ü +?.bin", Body=body, Metadata={"word": "x"})
    for client in (inside, outside):
        found = client.get_object(Bucket="some-bucket", Key="a/ü +?.bin")
        assert found["Body"].read() == file.read_bytes()
        assert found["Metadata"] == {"word": "x"}
        assert client.head_object(Bucket="some-bucket", Key="a/ü +?.bin")["ContentLength"] == 1_280_000
        part = client.get_object(Bucket="some-bucket", Key="a/ü +?.bin", Range="bytes=256-259")["Body"]
        assert list(part.iter_chunks(2)) == [b"\x00\x01", b"\x02\x03"]
    inside.upload_fileobj(io.BytesIO(b"y" * 9_000_000), "some-bucket", "many-parts")
    target = io.BytesIO()
    outside.download_fileobj("some-bucket", "many-parts", target)
    assert target.getvalue() == b"y" * 9_000_000
    inside.delete_object(Bucket="some-bucket", Key="many-parts")
    listed = [client.list_objects_v2(Bucket="some-bucket")["Contents"] for client in (inside, outside)]
    assert listed[0] == listed[1]
    assert [one["Key"] for one in listed[0]] == ["a/ü +?.bin"]


@pytest.mark.parametrize(
    ("service", "method", "params"),
    [
        ("s3", "get_object", {"Bucket": "nobody", "Key": "x"}),  # rest-xml
        ("s3", "head_bucket", {"Bucket": "nobody"}),
        ("sagemaker", "describe_model", {"ModelName": "nobody"}),  # json
        ("iam", "get_role", {"RoleName": "nobody"}),  # query
        ("lambda", "get_function", {"FunctionName": "nobody"}),  # rest-json
        ("cloudtrail", "get_insight_selectors", {"TrailName": "nobody-nothing"}),
    ],
)
def test_errors_are_the_same_as_over_http(
    app: App, service: str, method: str, params: dict[str, str]
) -> None:
    said = []
    for client in clients(app, service):
        with pytest.raises(ClientError) as caught:
            getattr(client, method)(**params)
        error = caught.value.response
        said.append(
            (type(caught.value).__name__, error["Error"], error["ResponseMetadata"]["HTTPStatusCode"])
        )
    assert said[0] == said[1]


def test_it_does_not_use_a_socket(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = clients(app, "sts")

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr("socket.socket.connect", refused)
    assert inside.get_caller_identity()["Account"] == "123456789012"
    with pytest.raises(HTTPClientError, match="a connection was made"):
        outside.get_caller_identity()
