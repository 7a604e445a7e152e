"""Kinesis and Firehose as producers meet them, and what lies in S3 afterwards."""

from __future__ import annotations

import gzip
import json
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from lab import BUCKET, Lab
from querying import Athena

from kit.local_aws import client
from kit.local_aws.streams import evaluated, object_key

TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "firehose.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
MAY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": ["s3:*", "kinesis:*"], "Resource": "*"},
}

# Three seconds here: time enough for two requests, whose records come into one object.
PATIENT = {"SizeInMBs": 1, "IntervalInSeconds": 600}


class Flow:
    """A stream, a delivery stream that reads it, and what came to S3."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.name = lab, f"flow-{uuid.uuid4().hex[:8]}"
        self.kinesis, self.firehose = lab.client("kinesis"), lab.client("firehose")
        iam = lab.client("iam")
        self.role = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"][
            "Arn"
        ]
        iam.put_role_policy(RoleName=self.name, PolicyName="may", PolicyDocument=json.dumps(MAY))

    def stream(self, shards: int = 1) -> str:
        self.kinesis.create_stream(StreamName=self.name, ShardCount=shards)
        found = self.kinesis.describe_stream(StreamName=self.name)["StreamDescription"]
        return str(found["StreamARN"])

    def deliver(self, source: str = "", **config: Any) -> str:
        """The delivery stream's ARN."""
        destination = {
            "RoleARN": self.role,
            "BucketARN": f"arn:aws:s3:::{BUCKET}",
            "Prefix": f"{self.name}/",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
        }
        kind: dict[str, Any] = {"DeliveryStreamType": "DirectPut"}
        if source:
            reads = {"KinesisStreamARN": source, "RoleARN": self.role}
            kind = {"DeliveryStreamType": "KinesisStreamAsSource", "KinesisStreamSourceConfiguration": reads}
        made = self.firehose.create_delivery_stream(
            DeliveryStreamName=self.name, ExtendedS3DestinationConfiguration={**destination, **config}, **kind
        )
        return str(made["DeliveryStreamARN"])

    def put(self, *events: Any) -> None:
        """Events as JSON lines, in one call."""
        records = [
            {"Data": json.dumps(event).encode() + b"\n", "PartitionKey": str(event)} for event in events
        ]
        answer = self.kinesis.put_records(StreamName=self.name, Records=records)
        assert answer["FailedRecordCount"] == 0

    def keys(self, prefix: str = "") -> list[str]:
        return self.lab.keys(prefix or f"{self.name}/")

    def events(self, prefix: str = "") -> list[Any]:
        """Every event in S3."""
        bodies = [self.lab.get(f"s3://{BUCKET}/{key}").decode() for key in self.keys(prefix)]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits until it holds; the server tells of each delivery."""
        deadline = time.monotonic() + 120
        version = client.ask(self.lab.server.url, "wait", {"timeout": 0})["version"]
        while not holds():
            assert time.monotonic() < deadline, self.keys()
            told = client.ask(self.lab.server.url, "wait", {"timeout": 1, "since": version}, timeout=60)
            version = told["version"]


@pytest.fixture
def flow(lab: Lab) -> Flow:
    return Flow(lab)


def test_records_of_a_stream_come_to_s3_in_their_order(flow: Flow) -> None:
    flow.deliver(flow.stream(), BufferingHints=PATIENT)
    began, moment = time.monotonic(), datetime.now(UTC)
    flow.put(*range(10))
    flow.put(*range(10, 15))
    flow.until(lambda: len(flow.events()) == 15)
    assert time.monotonic() - began < PATIENT["IntervalInSeconds"] / 10
    assert flow.events() == list(range(15))
    (key,) = flow.keys()
    found = re.fullmatch(
        rf"{flow.name}/(\d{{4}}/\d\d/\d\d/\d\d)/{flow.name}-1-([\d-]{{13}})(-\d\d-\d\d)-[0-9a-f-]{{36}}", key
    )
    assert found
    assert found[1].replace("/", "-") == found[2]
    came = datetime.strptime(f"{found[2]}{found[3]} +0000", "%Y-%m-%d-%H-%M-%S %z")
    assert moment.replace(microsecond=0) <= came <= datetime.now(UTC)


def test_late_and_duplicate_records_are_delivered_as_they_come(flow: Flow) -> None:
    flow.deliver(flow.stream())
    event = {"id": 1, "at": "2020-01-01"}
    flow.put(event)
    flow.until(lambda: len(flow.events()) == 1)
    flow.put(event, {"id": 2, "at": "2019-01-01"})
    flow.until(lambda: len(flow.events()) == 3)
    assert sorted(one["id"] for one in flow.events()) == [1, 1, 2]
    assert len(flow.keys()) == 2, "what was delivered is not delivered again"


def test_what_came_before_the_delivery_stream_is_not_delivered(flow: Flow) -> None:
    source = flow.stream()
    flow.put("before")
    flow.deliver(source)
    flow.put("after")
    flow.until(lambda: bool(flow.events()))
    assert flow.events() == ["after"]


def test_producers_at_once_lose_nothing_on_several_shards(flow: Flow) -> None:
    flow.deliver(flow.stream(shards=3))

    def produce(worker: int) -> None:
        for i in range(0, 60, 3):
            flow.put(*(f"{worker}-{j}" for j in range(i, i + 3)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(produce, range(8)))
    flow.until(lambda: len(flow.events()) >= 480)
    assert sorted(flow.events()) == sorted(f"{worker}-{i}" for worker in range(8) for i in range(60))


def test_a_full_buffer_is_written_before_its_time(flow: Flow) -> None:
    hints = {"SizeInMBs": 1, "IntervalInSeconds": 900}
    flow.deliver(BufferingHints=hints)
    line = b"x" * 299_999 + b"\n"
    for _ in range(2):
        batch = [{"Data": line}] * 4
        answer = flow.firehose.put_record_batch(DeliveryStreamName=flow.name, Records=batch)
        assert answer["FailedPutCount"] == 0
        assert len(answer["RequestResponses"]) == 4
    flow.until(lambda: len(flow.keys()) == 3)
    keys = flow.keys()
    sizes = [len(flow.lab.get(f"s3://{BUCKET}/{key}")) for key in keys]
    assert sorted(sizes) == [600_000, 900_000, 900_000]


def test_prefixes_with_expressions_and_gzip(flow: Flow) -> None:
    flow.deliver(
        BufferingHints=PATIENT,
        Prefix=f"{flow.name}/raw/year=!{{timestamp:yyyy}}/month=!{{timestamp:MM}}/!{{firehose:random-string}}/",
        ErrorOutputPrefix=f"{flow.name}/errors/!{{firehose:error-output-type}}/",
        CompressionFormat="GZIP",
        CustomTimeZone="Pacific/Kiritimati",
        ProcessingConfiguration={"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]},
    )
    for word in ("one", "two"):
        flow.firehose.put_record(DeliveryStreamName=flow.name, Record={"Data": word.encode()})
    flow.until(lambda: bool(flow.keys()))
    (key,) = flow.keys()
    assert re.fullmatch(
        rf"{flow.name}/raw/year=\d{{4}}/month=\d\d/[a-zA-Z0-9]{{11}}/{flow.name}-1-.*\.gz", key
    )
    assert gzip.decompress(flow.lab.get(f"s3://{BUCKET}/{key}")) == b"one\ntwo\n"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"Prefix": "!{timestamp:yyyy}/"}, "ErrorOutputPrefix cannot be null or empty"),
        ({"ErrorOutputPrefix": "!{timestamp:yyyy}/"}, "must contain the expression"),
        ({"Prefix": "!{partitionKeyFromQuery:x}/", "ErrorOutputPrefix": "e/"}, "does not partition dynamically"),
        ({"Prefix": "!{nonsense:x}/", "ErrorOutputPrefix": "e/"}, "invalid namespace: nonsense"),
        ({"CompressionFormat": "ZIP"}, "does not write ZIP objects"),
        ({"ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "Lambda"}]}}, "of the type Lambda"),
        ({"CustomTimeZone": "Mars/Base"}, "CustomTimeZone is not valid"),
    ],
)  # fmt: skip
def test_a_destination_that_cannot_be_is_refused(flow: Flow, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=re.escape(said)) as caught:
        flow.deliver(**config)
    assert caught.value.response["Error"]["Code"] == "InvalidArgumentException"


def test_a_role_that_there_is_not_or_of_another_account_delivers_nothing(flow: Flow) -> None:
    for account, code in (
        (flow.lab.server.account, "InvalidArgumentException"),
        ("1" * 12, "AccessDeniedException"),
    ):
        with pytest.raises(ClientError) as caught:
            flow.deliver(RoleARN=f"arn:aws:iam::{account}:role/nobody")
        assert caught.value.response["Error"]["Code"] == code
    with pytest.raises(flow.firehose.exceptions.ResourceNotFoundException):
        flow.firehose.describe_delivery_stream(DeliveryStreamName=flow.name)


def test_a_source_that_is_not_there_is_refused_and_a_name_is_taken_once(flow: Flow) -> None:
    arn = f"arn:aws:kinesis:us-east-1:{flow.lab.server.account}:stream/nothing"
    with pytest.raises(ClientError, match="cannot be found"):
        flow.deliver(arn)
    flow.deliver(flow.stream())
    with pytest.raises(flow.firehose.exceptions.ResourceInUseException):
        flow.deliver()
    with pytest.raises(ClientError, match="not permitted on KinesisStreamAsSource"):
        flow.firehose.put_record(DeliveryStreamName=flow.name, Record={"Data": b"x"})
    with pytest.raises(flow.firehose.exceptions.ResourceNotFoundException):
        flow.firehose.put_record(DeliveryStreamName="nobody", Record={"Data": b"x"})


def test_what_cannot_be_delivered_is_told_in_the_log_and_kept_until_it_can(flow: Flow) -> None:
    s3, logs = flow.lab.client("s3"), flow.lab.client("logs")
    logs.create_log_group(logGroupName=flow.name)
    logs.create_log_stream(logGroupName=flow.name, logStreamName="delivery")
    s3.create_bucket(Bucket=flow.name)
    options = {"Enabled": True, "LogGroupName": flow.name, "LogStreamName": "delivery"}
    flow.deliver(flow.stream(), BucketARN=f"arn:aws:s3:::{flow.name}", CloudWatchLoggingOptions=options)
    s3.delete_bucket(Bucket=flow.name)
    flow.put("kept")

    def told() -> list[Any]:
        return list(logs.get_log_events(logGroupName=flow.name, logStreamName="delivery")["events"])

    flow.until(lambda: bool(told()))
    said = json.loads(told()[0]["message"])
    assert said["errorCode"] == "S3.NoSuchBucket"
    assert said["deliveryStreamARN"].endswith(f"deliverystream/{flow.name}")
    s3.create_bucket(Bucket=flow.name)
    flow.put("next")
    flow.until(lambda: bool(s3.list_objects_v2(Bucket=flow.name).get("Contents")))
    (found,) = s3.list_objects_v2(Bucket=flow.name)["Contents"]
    body = s3.get_object(Bucket=flow.name, Key=found["Key"])["Body"].read()
    assert body == b'"kept"\n"next"\n'


def test_a_deleted_delivery_stream_delivers_what_had_come_and_no_more(flow: Flow) -> None:
    flow.deliver(flow.stream())
    flow.put(1)
    flow.firehose.delete_delivery_stream(DeliveryStreamName=flow.name)
    flow.put(2)
    flow.until(lambda: bool(flow.events()))
    assert flow.events() == [1]
    flow.deliver(flow.kinesis.describe_stream(StreamName=flow.name)["StreamDescription"]["StreamARN"])
    flow.put(3)
    flow.until(lambda: len(flow.events()) == 2)
    assert sorted(flow.events()) == [1, 3]


def test_what_was_delivered_is_queried_with_athena(flow: Flow) -> None:
    with flow.lab.current():
        athena = Athena(flow.lab)
        flow.deliver(flow.stream())
        flow.put({"id": 1, "Value": 2.5}, {"id": 2, "Value": None}, {"id": 1, "Value": 2.5})
        flow.until(lambda: bool(flow.keys()))
        serde = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
        athena.table("stream", "id bigint, value double", f"s3://{BUCKET}/{flow.name}/", serde)
        found = athena.rows("SELECT id, count(*), max(value) FROM stream GROUP BY id ORDER BY id")
    assert found == [["1", "2", "2.5"], ["2", "1", None]]


MOMENT = datetime(2026, 3, 9, 14, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("plain/", "plain/"),
        ("!{timestamp:yyyy/MM/dd/HH}/", "2026/03/09/14/"),
        ("year=!{timestamp:yyyy}/day=!{timestamp:dd}/", "year=2026/day=09/"),
        ("!{timestamp:'date='yyyy-MM-dd}/x", "date=2026-03-09/x"),
    ],
)
def test_a_prefix_is_evaluated(prefix: str, said: str) -> None:
    assert evaluated(prefix, MOMENT) == said


def test_the_time_is_appended_where_the_prefix_has_none() -> None:
    assert object_key("s", "2", {"Prefix": "raw"}, MOMENT).startswith(
        "raw2026/03/09/14/s-2-2026-03-09-14-05-06-"
    )
    assert object_key("s", "1", {}, MOMENT).startswith("2026/03/09/14/s-1-")
    assert object_key("s", "1", {"FileExtension": ".json"}, MOMENT).endswith(".json")
    assert evaluated("!{firehose:error-output-type}/", MOMENT, "delivery-failed") == "delivery-failed/"


@given(st.text(max_size=40))
def test_text_without_expressions_stays_as_it_is(text: str) -> None:
    if "!{" not in text:
        assert evaluated(text, MOMENT) == text
