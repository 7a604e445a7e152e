"""What the local AWS takes for granted of moto, one test a seam. A new moto is pinned only when these pass."""

from __future__ import annotations

import importlib.metadata
import io
import threading
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from werkzeug.test import EnvironBuilder

from kit.local_aws import client as local_client
from kit.local_aws import wire
from kit.local_aws.gateway import Gateway, _buckets, make_user
from kit.local_aws.protocol import AwsError, shaped
from kit.local_aws.wire import Call, Environ

ACCOUNT = "123456789012"


def test_the_moto_that_is_pinned_is_the_one_that_is_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    (pinned,) = [text for text in project["project"]["dependencies"] if text.startswith("moto")]
    assert pinned == f"moto[server]=={importlib.metadata.version('moto')}"


def environ_of(
    url: str, method: str = "POST", headers: dict[str, str] | None = None, body: bytes = b""
) -> Environ:
    """What a WSGI server makes of a request."""
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}"
    builder = EnvironBuilder(
        unquote(parts.path), base, parts.query, method=method, headers=headers, data=body
    )
    return {**builder.get_environ(), "RAW_URI": url.removeprefix(base), "REQUEST_URI": url.removeprefix(base)}


class Crossing:
    """Sends a boto3 request through the wire both ways, without a server: `call` and `params` are what arrived."""

    def __init__(self, service: str, answer: dict[str, Any] | AwsError) -> None:
        session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="eu-west-1")
        self.client = session.client(service)
        self.client.meta.events.register("before-send", self._answer)
        self.answer = answer
        self.call: Call
        self.params: dict[str, Any] = {}

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
        environ = environ_of(request.url, request.method, headers, body)
        self.call = wire.identify(environ, body)
        if isinstance(self.answer, AwsError):
            reply = wire.encode_error(self.call, self.answer)
        else:
            self.params = wire.decode(self.call, body)
            assert self.call.operation is not None
            reply = wire.encode(self.call, shaped(self.call.operation.output_shape, self.answer))
        raw = io.BytesIO(reply.body)
        raw.stream = lambda **_: iter([reply.body])  # type: ignore[attr-defined]
        return AWSResponse(request.url, reply.status, dict(reply.headers), raw)


MOMENT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def test_json_is_read_and_written() -> None:
    crossing = Crossing(
        "sagemaker", {"Models": [{"ModelName": "m", "ModelArn": "a", "CreationTime": MOMENT}]}
    )
    answer = crossing.client.list_models(CreationTimeAfter=MOMENT, MaxResults=5)
    assert (crossing.call.service, crossing.call.action, crossing.call.protocol) == (
        "sagemaker",
        "ListModels",
        "json",
    )
    assert (crossing.call.region, crossing.call.principal) == ("eu-west-1", "AKIAIOSFODNN7EXAMPLE")
    assert crossing.params == {"CreationTimeAfter": MOMENT, "MaxResults": 5}
    assert answer["Models"][0]["CreationTime"] == MOMENT


def test_rest_json_is_read_and_written_with_headers_and_a_raw_body() -> None:
    crossing = Crossing(
        "sagemaker-runtime",
        {"Body": b"\x00\xff", "ContentType": "image/png", "InvokedProductionVariant": "v"},
    )
    answer = crossing.client.invoke_endpoint(
        EndpointName="e",
        Body=b"\x01\xfe",
        ContentType="application/x-npy",
        Accept="image/png",
        TargetVariant="v",
    )
    assert (crossing.call.service, crossing.call.action) == ("sagemaker-runtime", "InvokeEndpoint")
    assert crossing.params == {
        "EndpointName": "e",
        "Body": b"\x01\xfe",
        "ContentType": "application/x-npy",
        "Accept": "image/png",
        "TargetVariant": "v",
    }
    assert (answer["Body"].read(), answer["ContentType"]) == (b"\x00\xff", "image/png")
    assert answer["InvokedProductionVariant"] == "v"


def test_rest_json_finds_names_in_the_path_and_the_query() -> None:
    crossing = Crossing("sagemaker-featurestore-runtime", {})
    crossing.client.delete_record(
        FeatureGroupName="group", RecordIdentifierValueAsString="a/b", EventTime="2026-03-01"
    )
    assert crossing.call.action == "DeleteRecord"
    assert crossing.params == {
        "FeatureGroupName": "group",
        "RecordIdentifierValueAsString": "a/b",
        "EventTime": "2026-03-01",
    }


def test_query_is_read_and_written_as_xml() -> None:
    crossing = Crossing(
        "iam", {"EvaluationResults": [{"EvalActionName": "s3:GetObject", "EvalDecision": "allowed"}]}
    )
    answer = crossing.client.simulate_custom_policy(
        PolicyInputList=["{}"],
        ActionNames=["s3:GetObject", "s3:PutObject"],
        ContextEntries=[
            {"ContextKeyName": "aws:k", "ContextKeyValues": ["1", "2"], "ContextKeyType": "stringList"}
        ],
    )
    assert (crossing.call.service, crossing.call.action, crossing.call.protocol) == (
        "iam",
        "SimulateCustomPolicy",
        "query",
    )
    assert crossing.params == {
        "PolicyInputList": ["{}"],
        "ActionNames": ["s3:GetObject", "s3:PutObject"],
        "ContextEntries": [
            {"ContextKeyName": "aws:k", "ContextKeyValues": ["1", "2"], "ContextKeyType": "stringList"}
        ],
    }
    assert answer["EvaluationResults"] == [{"EvalActionName": "s3:GetObject", "EvalDecision": "allowed"}]


def test_ec2_is_read_and_written_as_xml() -> None:
    crossing = Crossing("ec2", {"Vpcs": [{"VpcId": "vpc-1", "IsDefault": True}]})
    answer = crossing.client.describe_vpcs(Filters=[{"Name": "tag:a", "Values": ["b", "c"]}], DryRun=False)
    assert crossing.call.protocol == "ec2"
    assert crossing.params == {"Filters": [{"Name": "tag:a", "Values": ["b", "c"]}], "DryRun": False}
    assert answer["Vpcs"] == [{"VpcId": "vpc-1", "IsDefault": True}]


def test_rest_xml_is_read_and_written() -> None:
    crossing = Crossing("s3", {"TagSet": [{"Key": "a", "Value": "<b>"}]})
    assert crossing.client.get_bucket_tagging(Bucket="bucket")["TagSet"] == [{"Key": "a", "Value": "<b>"}]
    crossing.answer = {}
    crossing.client.put_bucket_tagging(Bucket="bucket", Tagging={"TagSet": [{"Key": "k", "Value": "v & w"}]})
    assert crossing.call.action == "PutBucketTagging"
    assert crossing.params["Tagging"] == {"TagSet": [{"Key": "k", "Value": "v & w"}]}


@pytest.mark.parametrize(
    ("service", "method", "params"),
    [
        ("sagemaker", "list_models", {}),
        ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "e", "Body": b""}),
        ("iam", "list_users", {}),
        ("ec2", "describe_vpcs", {}),
        ("s3", "get_bucket_tagging", {"Bucket": "bucket"}),
        ("cloudfront", "list_distributions", {}),
    ],
)
def test_an_error_is_read_in_each_protocol(service: str, method: str, params: dict[str, Any]) -> None:
    crossing = Crossing(service, AwsError("Broken", 'It is <not> & "was"', status=418))
    with pytest.raises(ClientError) as caught:
        getattr(crossing.client, method)(**params)
    told = caught.value.response
    assert told["Error"]["Code"] == "Broken"
    assert told["Error"]["Message"] == 'It is <not> & "was"'
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 418


def test_an_errors_own_members_arrive() -> None:
    error = AwsError("ModelError", "Failed", 424, OriginalStatusCode=500, OriginalMessage="a bug")
    crossing = Crossing("sagemaker-runtime", error)
    with pytest.raises(crossing.client.exceptions.ModelError) as caught:
        crossing.client.invoke_endpoint(EndpointName="e", Body=b"")
    assert caught.value.response["OriginalStatusCode"] == 500
    assert caught.value.response["OriginalMessage"] == "a bug"


@pytest.fixture
def ask() -> Callable[..., tuple[int, bytes]]:
    """Sends a signed request to moto through the gateway, without the front."""
    gateway = Gateway()

    def send(
        service: str, method: str = "POST", path: str = "/", body: bytes = b"", **headers: str
    ) -> tuple[int, bytes]:
        scope = f"Credential={local_client.KEY}/20260301/us-east-1/{service}/aws4_request"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        environ = environ_of(f"http://127.0.0.1{path}", method, {**signed, **named}, body)
        reply = gateway(wire.identify(environ, body), environ, body, ACCOUNT)
        return reply.status, reply.body

    return send


FORM = "application/x-www-form-urlencoded; charset=utf-8"


def test_an_action_that_moto_lacks_raises_or_answers_a_page(ask: Callable[..., tuple[int, bytes]]) -> None:
    for asked in (
        {
            "service": "iam",
            "body": b"Action=ListOrganizationsFeatures&Version=2010-05-08",
            "Content_Type": FORM,
        },
        {"service": "cloudtrail", "X_Amz_Target": "CloudTrail_20131101.LookupEvents", "body": b"{}"},
        {"service": "lambda", "method": "GET", "path": "/2016-08-19/account-settings/"},
        {"service": "health", "X_Amz_Target": "AWSHealth_20160804.DescribeEvents", "body": b"{}"},
    ):
        with pytest.raises(AwsError, match="does not implement") as caught:
            ask(**asked)
        assert caught.value.status == 501


def test_what_another_request_changed_while_it_was_read_is_read_again(
    ask: Callable[..., tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    once, asked = Gateway._once, list[str]()

    def changed(self: Gateway, environ: Environ) -> Any:
        asked.append(environ["HTTP_X_AMZ_TARGET"].partition(".")[2])
        if len(asked) % 2:
            raise RuntimeError("dictionary changed size during iteration")
        return once(self, environ)

    monkeypatch.setattr(Gateway, "_once", changed)
    target = {"Content_Type": "application/x-amz-json-1.1", "body": b'{"logGroupName": "of-the-seams"}'}
    with pytest.raises(RuntimeError, match="changed size"):  # what changes something is not done twice
        ask("logs", X_Amz_Target="Logs_20140328.CreateLogGroup", **target)
    assert ask("logs", X_Amz_Target="Logs_20140328.CreateLogGroup", **target)[0] == 200
    assert ask("logs", X_Amz_Target="Logs_20140328.DescribeLogStreams", **target)[0] == 200
    assert asked == ["CreateLogGroup"] * 2 + ["DescribeLogStreams"] * 2


@pytest.mark.parametrize(
    ("service", "target", "body", "together"),
    [
        ("logs", "Logs_20140328.CreateLogGroup", b'{"logGroupName": "one-by-one"}', 1),
        ("glue", "AWSGlue.CreateDatabase", b'{"DatabaseInput": {"Name": "one_by_one"}}', 1),
        ("logs", "Logs_20140328.DescribeLogGroups", b"{}", 2),
    ],
)
def test_of_two_requests_at_once_moto_would_lose_one(
    ask: Callable[..., tuple[int, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    target: str,
    body: bytes,
    together: int,
) -> None:
    once, meeting, met = Gateway._once, threading.Barrier(2), list[int]()

    def slow(self: Gateway, environ: Environ) -> Any:
        try:
            meeting.wait(timeout=1 if together == 1 else 60)
            met.append(2)
        except threading.BrokenBarrierError:
            met.append(1)
        return once(self, environ)

    monkeypatch.setattr(Gateway, "_once", slow)
    given = {"Content_Type": "application/x-amz-json-1.1", "X_Amz_Target": target, "body": body}
    threads = [threading.Thread(target=lambda: ask(service, **given)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert met == [together] * 2


def test_motos_own_api_is_not_reachable(ask: Callable[..., tuple[int, bytes]]) -> None:
    with pytest.raises(AwsError):
        ask("s3", path="/moto-api/reset")


def test_the_account_is_the_one_that_is_asked_for_and_a_key_can_be_given_to_a_user(
    ask: Callable[..., tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.iam.models import iam_backends

    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    iam_backends.pop(ACCOUNT, None)
    try:
        make_user(ACCOUNT, "builder", local_client.KEY)
        _, body = ask("sts", body=b"Action=GetCallerIdentity&Version=2011-06-15", Content_Type=FORM)
        assert f"<Arn>arn:aws:iam::{ACCOUNT}:user/builder</Arn>".encode() in body
        asked = b"Action=ListAttachedUserPolicies&Version=2010-05-08&UserName=builder"
        _, body = ask("iam", body=asked, Content_Type=FORM)
        assert b"arn:aws:iam::aws:policy/AdministratorAccess" in body
    finally:
        iam_backends.pop(ACCOUNT, None)


def test_a_request_knows_its_buckets_in_each_way_that_s3_is_addressed() -> None:
    def buckets(url: str, **headers: str) -> list[str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return _buckets(wire.identify(environ_of(url, "GET", named), b""))

    assert buckets("http://127.0.0.1:80/one/key/with/slash") == ["one"]
    assert buckets("http://one.s3.us-east-1.amazonaws.com/key") == ["one"]
    assert buckets("http://one.two.s3.amazonaws.com/key") == ["one.two"]
    assert buckets("http://s3.us-east-1.amazonaws.com/one/key") == ["one"]
    assert buckets("http://127.0.0.1/one/k", x_amz_copy_source="/two/k%20x") == ["one", "two"]
    assert buckets("http://127.0.0.1/") == []


def test_motos_kinesis_numbers_the_records_of_a_shard_from_one_and_its_firehose_keeps_what_it_was_told() -> (
    None
):
    from moto.firehose.models import FirehoseBackend
    from moto.kinesis.models import Shard

    shard = Shard(0, 0, 1)
    assert next(reversed(shard.records), 0) == 0
    assert [shard.put_record("k", "eA==", "") for _ in range(2)] == ["1", "2"]
    assert next(reversed(shard.records), 0) == 2
    record = shard.records[2].to_json()
    assert (record["Data"], record["ApproximateArrivalTimestamp"].tzinfo) == (b"x", None)

    backend = FirehoseBackend("us-east-1", ACCOUNT)
    names = ("redshift", "elasticsearch", "splunk", "http_endpoint", "snowflake", "iceberg", "s3")
    backend.create_delivery_stream(
        region="us-east-1",
        delivery_stream_name="d",
        delivery_stream_type="KinesisStreamAsSource",
        kinesis_stream_source_configuration={"KinesisStreamARN": "arn"},  # type: ignore[typeddict-item]
        delivery_stream_encryption_configuration_input=None,  # type: ignore[arg-type]
        tags=None,  # type: ignore[arg-type]
        extended_s3_destination_configuration={"Prefix": "p"},
        **dict.fromkeys(f"{name}_destination_configuration" for name in names),  # type: ignore[arg-type]
    )
    stream = backend.delivery_streams["d"]
    assert stream.source == {"KinesisStreamARN": "arn"}
    assert stream.destinations[0]["ExtendedS3"] == {"Prefix": "p"}
    assert stream.version_id == "1"


def test_motos_athena_keeps_work_groups_and_its_glue_says_when_there_is_no_table(
    ask: Callable[..., tuple[int, bytes]],
) -> None:
    from moto.athena.models import AthenaBackend

    group = AthenaBackend("us-east-1", ACCOUNT).work_groups["primary"]
    assert group.state == "ENABLED"
    assert "EnforceWorkGroupConfiguration" in group.configuration
    asked = {"X_Amz_Target": "AWSGlue.GetTable", "Content_Type": "application/x-amz-json-1.1"}
    status, body = ask("glue", body=b'{"DatabaseName": "d", "Name": "t"}', **asked)
    assert (status, b"EntityNotFoundException" in body) == (400, True)
