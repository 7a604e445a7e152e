from __future__ import annotations

import http.client
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug import test as werkzeug_test
from werkzeug.serving import make_server

from kit.local_aws import client as local_client
from kit.local_aws import front, handlers
from kit.local_aws.front import App
from kit.local_aws.kinds import KINDS, plural
from kit.local_aws.process import Server

ROLE = "arn:aws:iam::123456789012:role/builder"
FORM = "application/x-www-form-urlencoded"
Boto = Callable[..., Any]


def code(error: ClientError) -> tuple[str, int]:
    return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def bucket(boto: Boto, name: str) -> Any:
    """An S3 client; its bucket is there."""
    s3 = boto("s3")
    s3.create_bucket(Bucket=name)
    return s3


# Requests that botocore's own client lets through, or would send without its validation.

JOB: dict[str, Any] = {
    "TrainingJobName": "job",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}
INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("create_training_job", JOB | {"TrainingJobName": "my_job"}, "regular expression pattern"),
    ("create_training_job", JOB | {"TrainingJobName": "j" * 64}, "less than or equal to 63"),
    (
        "create_training_job",
        JOB | {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
        "greater than or equal to 1",
    ),
    (
        "create_training_job",
        JOB | {"ResourceConfig": JOB["ResourceConfig"] | {"InstanceType": "ml.x9.huge"}},
        "enum value set",
    ),
    ("create_training_job", {k: v for k, v in JOB.items() if k != "RoleArn"}, "Value null at 'roleArn'"),
    (
        "create_endpoint_config",
        {"EndpointConfigName": "c", "ProductionVariants": []},
        "greater than or equal to 1",
    ),
    ("create_model", {"ModelName": "m", "ExecutionRoleArn": "builder"}, "at 'executionRoleArn'"),
]


@pytest.mark.parametrize(("method", "params", "said"), INVALID)
def test_an_invalid_request_is_refused_and_leaves_nothing(
    boto: Boto, method: str, params: dict[str, Any], said: str
) -> None:
    sagemaker = boto("sagemaker", parameter_validation=False)
    with pytest.raises(ClientError) as caught:
        getattr(sagemaker, method)(**params)
    assert code(caught.value) == ("ValidationException", 400)
    assert said in str(caught.value)
    assert "1 validation error detected: " in str(caught.value) or "2 validation errors" in str(caught.value)
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_a_request_that_is_no_json_or_of_a_wrong_type_is_told_so(local_aws: Server) -> None:
    for body, said in (
        (b"{", "not JSON"),
        (b"[]", "object was expected"),
        (b'{"ModelName": 3}', "NUMBER_VALUE"),
    ):
        status, answer = _post(local_aws.url, "SageMaker.CreateModel", body)
        assert status == 400
        assert answer["__type"] == "SerializationException"
        assert said in answer["message"]


def _post(url: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    signed = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/sagemaker/aws4_request, Signature=0"
    connection.request("POST", "/", body, {"X-Amz-Target": target, "Authorization": signed})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


@pytest.mark.parametrize(
    ("service", "method", "params"),
    [
        ("sagemaker", "create_compilation_job", None),
        ("sagemaker", "list_clusters", {}),
        ("cloudtrail", "list_imports", {}),  # json
        ("iam", "list_organizations_features", {}),  # query
        ("ec2", "describe_ipam_pools", {}),  # ec2
        ("lambda", "get_account_settings", {}),  # rest-json
        ("cloudfront", "list_connection_groups", {}),  # rest-xml
        (
            "accessanalyzer",
            "create_analyzer",
            {"analyzerName": "eba", "type": "ACCOUNT"},
        ),  # no such service
        ("health", "describe_events", {}),
    ],
)
def test_what_is_not_implemented_is_told_once_and_at_once(
    boto: Boto, service: str, method: str, params: dict[str, Any] | None
) -> None:
    client = boto(service)
    sent = []
    client.meta.events.register("before-send", lambda **_: sent.append(1))
    if params is None:
        params = {
            "CompilationJobName": "c",
            "RoleArn": ROLE,
            "OutputConfig": {"S3OutputLocation": "s3://b/o"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
    with pytest.raises(ClientError) as caught:
        getattr(client, method)(**params)
    assert code(caught.value) == ("UnknownOperationException", 501)
    action = client.meta.method_to_api_mapping[method]
    assert f"The local AWS does not implement {service}:{action}." in str(caught.value)
    assert len(sent) == 1


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[App]:
    """A front in this process, so that a test can make what is beneath it slow or wrong."""
    app = App(tmp_path, "123456789012")
    server = make_server("127.0.0.1", 0, app, threaded=True)
    app.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield app
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def failing(inside: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """A front with a bug in DescribeModel, and without an ARN in what DescribeEndpointConfig answers."""

    def broken(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("a bug")

    def incomplete(ctx: Any, params: dict[str, Any]) -> dict[str, Any]:
        return {"ExperimentName": "e", "EndpointConfigName": "e"}

    monkeypatch.setitem(handlers._handlers, ("sagemaker", "DescribeModel"), broken)
    monkeypatch.setitem(handlers._handlers, ("sagemaker", "DescribeEndpointConfig"), incomplete)
    return inside


def test_a_bug_is_an_internal_failure_in_the_log_and_is_not_retried(
    failing: App, boto_at: Callable[[str], Boto], caplog: pytest.LogCaptureFixture
) -> None:
    sagemaker = boto_at(failing.url)("sagemaker")
    with pytest.raises(ClientError) as caught:
        sagemaker.describe_model(ModelName="m")
    assert caught.value.response["Error"]["Code"] == "InternalFailure"
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert "KeyError: 'a bug'" in caplog.text


def test_an_answer_that_lacks_a_required_member_is_logged(
    failing: App, boto_at: Callable[[str], Boto], caplog: pytest.LogCaptureFixture
) -> None:
    boto_at(failing.url)("sagemaker").describe_endpoint_config(EndpointConfigName="e")
    (line,) = [record.message for record in caplog.records if "lacks" in record.message]
    assert line == (
        "the answer to sagemaker:DescribeEndpointConfig lacks EndpointConfigArn, ProductionVariants, CreationTime"
    )


def test_the_control_plane_answers_the_client_with_pages_and_times(boto: Boto) -> None:
    sagemaker = boto("sagemaker")
    for i in range(5):
        sagemaker.create_experiment(ExperimentName=f"page-{i}", Tags=[{"Key": "n", "Value": str(i)}])
    pages = sagemaker.get_paginator("list_experiments").paginate(
        SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    names = [row["ExperimentName"] for page in pages for row in page["ExperimentSummaries"]]
    assert names == [f"page-{i}" for i in range(5)]
    one = sagemaker.describe_experiment(ExperimentName="page-3")
    assert abs(one["CreationTime"].timestamp() - time.time()) < 60
    assert sagemaker.list_tags(ResourceArn=one["ExperimentArn"])["Tags"] == [{"Key": "n", "Value": "3"}]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_experiment(ExperimentName="page-9")


def test_the_clients_of_other_services_are_answered(boto: Boto, local_aws: Server) -> None:
    assert boto("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{local_aws.account}:user/builder"
    logs = boto("logs")
    logs.create_log_group(logGroupName="/kit/test")
    assert [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]] == ["/kit/test"]
    metrics = boto("cloudwatch")
    metrics.put_metric_data(Namespace="kit", MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert [m["MetricName"] for m in metrics.list_metrics(Namespace="kit")["Metrics"]] == ["m"]
    role = boto("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{local_aws.account}:role/r"


def test_the_readme_says_what_is_answered_and_how(tmp_path: Path) -> None:
    App(tmp_path, "123456789012")  # loads the handlers
    table = (Path(front.__file__).parent / "README.md").read_text(encoding="utf-8")
    said: dict[str, set[tuple[str, str]]] = {"work": set(), "stored": set()}
    for line in table.splitlines():
        if line.startswith("|") and (answer := line.split("|")[3].strip().partition(":")[0]) in said:
            said[answer] |= {(line.split("|")[1].strip(), name) for name in re.findall(r"`(\w+)`", line)}
    kinds = {name for name, kind in KINDS.items() if kind.stored}
    tags = {"AddTags", "ListTags", "DeleteTags"}
    assert {name for _, name in said["stored"]} == kinds | tags
    generic = {f"{verb}{kind}" for kind in kinds for verb in ("Create", "Describe", "Update", "Delete")}
    generic |= tags | {f"List{plural(kind)}" for kind in kinds}
    assert {(s, a) for s, a in handlers._handlers if a not in generic} == {
        (s, a) for s, a in said["work"] if a not in generic
    }
    assert {a for _, a in said["work"]} <= {a for _, a in handlers._handlers}


@pytest.fixture(scope="module")
def unserved(tmp_path_factory: pytest.TempPathFactory) -> App:
    """A front that no server stands before."""
    return App(tmp_path_factory.mktemp("unserved"), "123456789012")


@settings(max_examples=150, deadline=None)
@given(
    target=st.tuples(
        st.sampled_from(["SageMaker", "AmazonSageMaker", "AmazonAthena", ""]),
        st.sampled_from(["CreateTrainingJob", "DescribeModel", "ListTags", "CreateNothing", "", "é"]),
    ),
    path=st.sampled_from(["/", "/endpoints/e/invocations", "/FeatureGroup/g", "//", "/%2e%2e/é"]),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]),
    body=st.binary(max_size=64)
    | st.dictionaries(st.text(max_size=4), st.integers()).map(json.dumps).map(str.encode),
    kind=st.sampled_from(["application/x-amz-json-1.1", "application/json", FORM, "text/x", ""]),
)
def test_whatever_arrives_is_answered_in_the_form_of_aws(
    unserved: App, target: tuple[str, str], path: str, method: str, body: bytes, kind: str
) -> None:
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/sagemaker/aws4_request, Signature=0",
        "X-Amz-Target": ".".join(target).encode().decode("latin1"),
        "Content-Type": kind,
    }
    answer = werkzeug_test.Client(unserved).open(path, method=method, data=body, headers=headers)
    assert answer.status_code in (200, 400, 404, 501)
    if method != "HEAD" and answer.status_code != 200:
        said = answer.get_data(as_text=True)
        assert "InternalFailure" not in said
        assert json.loads(said)["__type"] if said.startswith("{") else said.startswith("<?xml")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "api.sagemaker.us-east-1.amazonaws.com"}, 200),
        ({"Host": "127.0.0.1:8000", "Origin": "https://example.com"}, 403),
        ({"Host": "127.0.0.1:8000", "Origin": "null"}, 403),
        ({"Host": "example.com:8000"}, 403),  # a name that its owner lets point at this machine
        ({"Host": "notamazonaws.com"}, 403),
        ({"Host": ""}, 403),
    ],
)
def test_a_web_page_is_not_answered(unserved: App, headers: dict[str, str], status: int) -> None:
    answer = werkzeug_test.Client(unserved).get("/_local/status", headers=headers)
    assert answer.status_code == status
    assert "Access-Control-Allow-Origin" not in answer.headers


# S3 beneath the lock


def test_of_many_conditional_writers_of_one_key_one_wins(boto: Boto) -> None:
    bucket(boto, "race")
    per_thread = [boto("s3", retries={"max_attempts": 1}) for _ in range(8)]

    def write(args: tuple[int, int]) -> str:
        number, key = args
        try:
            per_thread[number].put_object(Bucket="race", Key=f"k{key}", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(8) as pool:
        for key in range(15):
            told = sorted(pool.map(write, [(number, key) for number in range(8)]))
            assert told == ["PreconditionFailed"] * 7 + ["won"]


def test_a_condition_holds_until_the_write_is_done(
    inside: App, boto_at: Callable[[str], Boto], monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.s3.models import S3Backend

    put = S3Backend.put_object

    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(
            0.1
        )  # between moto's look at the condition and its write: both writers have looked by then
        return put(*args, **kwargs)

    monkeypatch.setattr(S3Backend, "put_object", slowly)
    boto = boto_at(inside.url)
    bucket(boto, f"slow-{id(inside)}")

    def write(number: int) -> int:
        try:
            boto("s3").put_object(Bucket=f"slow-{id(inside)}", Key="k", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            return code(error)[1]
        return 200

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(write, range(2))) == [200, 412]


def test_of_many_who_replace_what_they_read_none_is_lost(boto: Boto) -> None:
    s3 = bucket(boto, "swap")
    s3.put_object(Bucket="swap", Key="count", Body=b"0")
    per_thread = [boto("s3") for _ in range(6)]

    def replaced(client: Any) -> bool:
        held = client.get_object(Bucket="swap", Key="count")
        number = int(held["Body"].read()) + 1
        try:
            client.put_object(Bucket="swap", Key="count", Body=b"%d" % number, IfMatch=held["ETag"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return False
        return True

    def add(client: Any) -> None:
        for _ in range(8):
            while not replaced(client):
                pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, per_thread))
    assert s3.get_object(Bucket="swap", Key="count")["Body"].read() == b"48"


def test_readers_and_listers_see_whole_objects_while_they_are_written(boto: Boto) -> None:
    s3 = bucket(boto, "busy")
    bodies = {bytes([letter]) * 100_000 for letter in b"abcd"}
    s3.put_object(Bucket="busy", Key="same", Body=min(bodies))
    done = threading.Event()

    def write(body: bytes) -> None:
        client, count = boto("s3"), 0
        while not done.is_set():
            client.put_object(Bucket="busy", Key="same", Body=body)
            client.put_object(Bucket="busy", Key=f"{body[:1]!r}/{count}", Body=b"")
            count += 1

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, body) for body in bodies]
        try:
            for _ in range(40):
                assert s3.get_object(Bucket="busy", Key="same")["Body"].read() in bodies
                assert s3.list_objects_v2(Bucket="busy")["KeyCount"] >= 1
        finally:
            done.set()
        for writer in writers:
            writer.result()


def test_copies_between_two_buckets_in_both_directions_do_not_block_each_other(boto: Boto) -> None:
    for name in ("left", "right"):
        bucket(boto, name).put_object(Bucket=name, Key="k", Body=b"x")
    pairs = [("left", "right"), ("right", "left")] * 20

    def copy(pair: tuple[str, str]) -> None:
        boto("s3").copy_object(Bucket=pair[0], Key="copy", CopySource={"Bucket": pair[1], "Key": "k"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, pairs))


def test_big_bodies_pass_in_one_and_in_parts(boto: Boto) -> None:
    s3 = bucket(boto, "large")
    body = bytes(range(256)) * 4 * 1024 * 20  # 20 MiB
    s3.put_object(Bucket="large", Key="one", Body=body)
    s3.upload_fileobj(io.BytesIO(body), "large", "parts")
    for key in ("one", "parts"):
        assert s3.get_object(Bucket="large", Key=key)["Body"].read() == body
    part = s3.get_object(Bucket="large", Key="one", Range="bytes=10-19")
    assert part["Body"].read() == body[10:20]
    assert s3.head_object(Bucket="large", Key="one")["ContentLength"] == len(body)


def test_errors_and_odd_names_pass_unchanged(boto: Boto) -> None:
    s3 = bucket(boto, "names")
    for key in ("with space", "ünï/cödé", "plus+and%25", "trailing/"):
        s3.put_object(Bucket="names", Key=key, Body=key.encode(), Metadata={"under_score": "kept"})
        held = s3.get_object(Bucket="names", Key=key)
        assert (held["Body"].read(), held["Metadata"]) == (key.encode(), {"under_score": "kept"})
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="names", Key="none")
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket="names", Key="none")
    assert code(caught.value) == ("404", 404)
    s3.delete_object(Bucket="names", Key="with space")
    assert s3.list_objects_v2(Bucket="names")["KeyCount"] == 3


# What the kit asks


def test_one_connection_carries_many_requests(local_aws: Server) -> None:
    connection = http.client.HTTPConnection(urlsplit(local_aws.url).netloc, timeout=60)
    for path, status in (("status", 200), ("nothing", 404), ("calls", 200), ("status", 200)):
        connection.request("POST", f"/_local/{path}", b'{"read": "also where it is of no use"}')
        response = connection.getresponse()
        assert response.status == status
        response.read()
    connection.close()


def test_status_and_calls_tell_what_was_asked(boto: Boto, local_aws: Server) -> None:
    boto("sagemaker").list_experiments()
    status = local_client.ask(local_aws.url, "status")
    assert status["account"] == local_aws.account
    assert status["services"]["sagemaker"] >= 1
    last = local_client.ask(local_aws.url, "calls")["calls"][-1]
    assert (last["service"], last["action"], last["status"]) == ("sagemaker", "ListExperiments", 200)


def test_who_asks_to_wait_is_answered_when_the_time_is_up_or_nothing_is_under_way(local_aws: Server) -> None:
    began = time.monotonic()
    assert not local_client.ask(local_aws.url, "wait", {"timeout": 0.2})["changed"]
    assert time.monotonic() - began >= 0.2
    assert not local_client.ask(local_aws.url, "wait", {"timeout": 60, "patient": False})["changed"]
    assert time.monotonic() - began < 30


def test_who_waits_for_what_is_under_way_is_answered_when_it_is_over(
    inside: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, over, wait = threading.Event(), threading.Event(), inside.store.wait

    def noted(*args: Any) -> bool:
        came.set()
        return wait(*args)

    monkeypatch.setattr(inside.store, "wait", noted)
    inside.background("work", over.wait)
    asked = {"timeout": 120, "patient": False}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(local_client.ask, inside.url, "wait", asked, 150)
        assert came.wait(60)
        over.set()
        assert not waiting.result(timeout=60)["changed"]


def test_who_asks_to_wait_is_answered_by_a_change(boto: Boto, local_aws: Server) -> None:
    version = local_client.ask(local_aws.url, "wait", {"timeout": 0})["version"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(local_client.ask, local_aws.url, "wait", {"timeout": 60, "since": version}, 90)
        boto("sagemaker").create_experiment(ExperimentName="wakes")
        assert waiting.result(timeout=30)["changed"]
