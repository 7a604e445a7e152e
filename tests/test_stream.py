"""Records through a real Kinesis stream and Firehose of the local AWS to S3, and what is done when some are refused or lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import DataError, KitError
from kit.local_aws import process

(stream,) = load("data_engineering", "stream")
TRUST = {"Effect": "Allow", "Principal": {"Service": "firehose.amazonaws.com"}, "Action": "sts:AssumeRole"}
MAY = {"Effect": "Allow", "Action": ["s3:PutObject", "kinesis:*"], "Resource": "*"}


def records(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"e{n}", "entity": f"C{n % 7} 😀", "number": n, **more} for n in range(1, count + 1)]


class Refusing:
    """A stream that refuses what `says` it refuses, of each call; the rest it takes."""

    def __init__(self, says: Any) -> None:
        self.says, self.taken, self.calls = says, list[dict[str, Any]](), 0

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls += 1
        told = []
        for place, entry in enumerate(Records):
            if self.says(self.calls, place):
                told.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Slow."})
            else:
                self.taken.append(entry)
                told.append({"SequenceNumber": "1", "ShardId": "s"})
        return {"FailedRecordCount": sum("ErrorCode" in one for one in told), "Records": told}


@given(st.lists(st.integers(0, 60_000), max_size=60), st.integers(0, 1200))
def test_batches_fit_a_call_and_lose_nothing(sizes: list[int], small: int) -> None:
    sent = [{"number": n, "entity": n, "note": "x" * size} for n, size in enumerate([*sizes, *[1] * small])]
    batches = list(stream.batches(sent))
    assert [json.loads(entry["Data"]) for batch in batches for entry in batch] == sent
    for batch in batches:
        assert 1 <= len(batch) <= 500
        assert sum(len(one["Data"]) + len(one["PartitionKey"]) for one in batch) <= 5 * 1024 * 1024


def test_a_record_that_no_stream_takes_is_named() -> None:
    with pytest.raises(DataError, match="An event of C7 has 1,500,0"):
        list(stream.batches([{"entity": "C7", "note": "x" * 1_500_000}]))


def test_an_entity_has_one_short_key_whatever_its_name() -> None:
    keys = {
        entry["PartitionKey"]
        for batch in stream.batches([{"entity": "😀" * 20_000, "n": n} for n in range(3)])
        for entry in batch
    }
    assert len(keys) == 1
    assert len(keys.pop()) <= 256


def test_what_is_refused_goes_again_after_a_pause_and_nothing_twice() -> None:
    kinesis, pauses = Refusing(lambda call, place: call <= 2 and place % 3 == 0), list[float]()
    refused = stream.put(kinesis, "s", records(10), pauses.append)
    assert refused == 4 + 2
    assert sorted(json.loads(one["Data"])["number"] for one in kinesis.taken) == list(range(1, 11))
    assert pauses == [0.1, 0.2]


def test_a_stream_that_refuses_for_good_is_said_to() -> None:
    with pytest.raises(KitError, match=r"refused 2 records 8 times: ProvisionedThroughputExceeded") as caught:
        stream.put(Refusing(lambda call, place: place < 2), "eba-x", records(3), lambda seconds: None)
    assert "shards" in caught.value.hint


# At the local AWS


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A function that makes clients."""
    folder = tmp_path_factory.mktemp("aws")
    server = process.up(folder)
    session = boto3.Session("AKIATEST", "secret", region_name="us-east-1")
    client = lambda service: session.client(service, endpoint_url=server.url)  # noqa: E731
    client("s3").create_bucket(Bucket="zone")
    iam = client("iam")
    iam.create_role(RoleName="deliver", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": TRUST}))  # fmt: skip
    iam.put_role_policy(RoleName="deliver", PolicyName="may", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": MAY}))  # fmt: skip
    yield client
    process.down(folder)


def piped(aws: Any, name: str, role: str = "deliver", **more: Any) -> tuple[str, str]:
    """A stream and a delivery stream of that name; the place that it writes to."""
    kinesis, firehose = aws("kinesis"), aws("firehose")
    kinesis.create_stream(StreamName=name, ShardCount=2)
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    role_arn = aws("iam").get_role(RoleName=role)["Role"]["Arn"]
    firehose.create_delivery_stream(
        DeliveryStreamName=name,
        DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={"KinesisStreamARN": arn, "RoleARN": role_arn},
        ExtendedS3DestinationConfiguration={
            "RoleARN": role_arn,
            "BucketARN": "arn:aws:s3:::zone",
            "Prefix": f"{name}/",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
            **more,
        },
    )
    stream.ready(firehose, name, 0.1)
    return "zone", f"{name}/"


@pytest.mark.parametrize("form", ["UNCOMPRESSED", "GZIP"])
def test_every_record_comes_to_s3_as_it_was_sent(aws: Any, form: str) -> None:
    place = piped(aws, f"flow-{form.lower()}", CompressionFormat=form)
    sent = records(1200, note="line\u2028 and\nbreak 😀")
    landed, again = stream.delivered(aws("kinesis"), aws("s3"), place[1][:-1], place, sent, 0.1, 120)
    assert again == 0
    assert sorted(landed, key=lambda one: one["number"]) == sent


class Losing:
    """Kinesis that says it took each record and loses every third one of the first call."""

    def __init__(self, kinesis: Any) -> None:
        self.kinesis, self.calls = kinesis, 0

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls += 1
        if self.calls == 1:
            kept = [one for place, one in enumerate(Records) if place % 3]
            self.kinesis.put_records(StreamName=StreamName, Records=kept)
            return {
                "FailedRecordCount": 0,
                "Records": [{"SequenceNumber": "1", "ShardId": "s"} for _ in Records],
            }
        found: dict[str, Any] = self.kinesis.put_records(StreamName=StreamName, Records=Records)
        return found


def test_what_a_stream_lost_is_sent_again(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = piped(aws, "losing")
    seen: list[int] = []

    def arrived(*given: Any, look: Any = stream.arrived) -> Any:
        found = look(*given)
        seen.append(len(found))
        return found

    def monotonic() -> float:  # patience ends when all that was not lost has been seen
        return 100.0 if seen and seen[-1] >= 20 else 0.0

    monkeypatch.setattr(stream, "arrived", arrived)
    monkeypatch.setattr(stream, "time", SimpleNamespace(monotonic=monotonic, sleep=time.sleep))
    landed, again = stream.delivered(Losing(aws("kinesis")), aws("s3"), "losing", place, records(30), 0.1, 2)
    assert again == 10
    assert sorted(one["number"] for one in landed) == list(range(1, 31))


def test_what_never_arrives_is_said_and_where_to_look(aws: Any) -> None:
    iam = aws("iam")
    iam.create_role(RoleName="mute", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": TRUST}))  # fmt: skip
    iam.put_role_policy(RoleName="mute", PolicyName="may", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": MAY | {"Action": "kinesis:*"}}))  # fmt: skip
    place = piped(aws, "mute", "mute")
    with pytest.raises(KitError, match=r"5 of 5 events did not reach s3://zone/mute/ in 2 rounds") as caught:
        stream.delivered(aws("kinesis"), aws("s3"), "mute", place, records(5), 0.1, 0.6, 2)
    assert "role" in caught.value.hint


def test_a_delivery_stream_that_fails_is_said_with_its_reason() -> None:
    class Failed:
        def describe_delivery_stream(self, DeliveryStreamName: str) -> dict[str, Any]:
            why = {"Type": "x", "Details": "No such key."}
            told = {"DeliveryStreamStatus": "CREATING_FAILED", "FailureDescription": why}
            return {"DeliveryStreamDescription": told}

    with pytest.raises(KitError, match=r"eba-x is CREATING_FAILED\. No such key\."):
        stream.ready(Failed(), "eba-x", 0.1)
