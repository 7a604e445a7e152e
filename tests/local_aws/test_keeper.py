"""What outlives the server, shown on servers that are really killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hearing import heard, hearing_queue
from ports import quiet_port

from kit.local_aws import client, process, state
from kit.local_aws.process import Server

REGION = "us-east-1"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
FRESH = {"retries": {"total_max_attempts": 1}, "connect_timeout": 30, "read_timeout": 60}


class Lab:
    """A local AWS that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: Server = process.up(folder, quiet_port())

    def client(self, service: str) -> Any:
        session = boto3.Session(client.KEY, "local", region_name=REGION)
        return session.client(service, endpoint_url=self.server.url, config=Config(**FRESH))

    def kill(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)

    def again(self) -> Server:
        """The next server of the same state, after the last one was killed."""
        self.kill()
        self.server = process.up(self.folder)
        return self.server

    def role(self, name: str = "worker") -> str:
        owner = {**TRUST, "Principal": {"AWS": self.server.account}}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST, owner]})
        arn = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        self.client("iam").attach_role_policy(
            RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
        )
        return str(arn)

    def children(self) -> set[int]:
        """Every process whose command line or folder names this state; the server itself left out."""
        listed = subprocess.run(
            ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
        family, grown = {self.server.pid}, True
        while grown:
            more = {int(pid) for pid, parent, _ in rows if int(parent) in family} | family
            more |= {
                int(pid) for pid, _, args in rows if str(self.folder) in args and int(pid) != os.getpid()
            }
            grown, family = more != family, more
        return family - {self.server.pid}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "event" / "aws")
    yield made
    process.down(made.folder)
    log = (made.folder / "server.log").read_text()
    assert [line for line in log.splitlines() if " ERROR " in line] == [], log


def within(seconds: float, holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return found


def test_what_was_answered_is_there_after_a_kill(lab: Lab) -> None:
    s3, kms, sagemaker, sqs = (lab.client(name) for name in ("s3", "kms", "sagemaker", "sqs"))
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    small = s3.put_object(Bucket="bucket", Key="a/small", Body=b"one", Metadata={"x": "y"}, Tagging="k=v")
    s3.put_object(Bucket="bucket", Key="a/small", Body=b"two")
    s3.put_object(Bucket="bucket", Key="big", Body=b"z" * 3_000_000)
    s3.put_object(Bucket="bucket", Key="gone", Body=b"z")
    s3.delete_object(Bucket="bucket", Key="gone")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    part = s3.upload_part(Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1, Body=b"p" * 5_300_000)
    role = lab.role()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    secret = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    signed = kms.sign(KeyId=signing, Message=b"m", SigningAlgorithm="RSASSA_PSS_SHA_256")["Signature"]
    session = lab.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    sagemaker.create_model_package_group(ModelPackageGroupName="group", Tags=[{"Key": "a", "Value": "b"}])
    queue = sqs.create_queue(QueueName="queue")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    account, port = lab.server.account, lab.server.url.rpartition(":")[2]

    server = lab.again()
    assert (server.account, server.url.rpartition(":")[2]) == (account, port)
    s3, kms = lab.client("s3"), lab.client("kms")
    assert sorted(one["Key"] for one in s3.list_objects_v2(Bucket="bucket")["Contents"]) == ["a/small", "big"]
    assert s3.get_object(Bucket="bucket", Key="big")["Body"].read() == b"z" * 3_000_000
    first = s3.get_object(Bucket="bucket", Key="a/small", VersionId=small["VersionId"])
    assert (first["Body"].read(), first["Metadata"]) == (b"one", {"x": "y"})
    tags = s3.get_object_tagging(Bucket="bucket", Key="a/small", VersionId=small["VersionId"])["TagSet"]
    assert tags == [{"Key": "k", "Value": "v"}]
    assert len(s3.list_object_versions(Bucket="bucket")["DeleteMarkers"]) == 1
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="bucket", Key="parts", UploadId=upload, MultipartUpload=parts)
    assert s3.head_object(Bucket="bucket", Key="parts")["ContentLength"] == 5_300_000
    assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == b"secret"
    assert kms.verify(KeyId=signing, Message=b"m", Signature=signed, SigningAlgorithm="RSASSA_PSS_SHA_256")[
        "SignatureValid"
    ]
    held = lab.client("iam").list_attached_role_policies(RoleName="worker")["AttachedPolicies"]
    assert [one["PolicyName"] for one in held] == ["AdministratorAccess"]
    mine = boto3.Session(
        session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"], region_name=REGION
    )
    assert (
        mine.client("sts", endpoint_url=server.url)
        .get_caller_identity()["Arn"]
        .endswith("assumed-role/worker/me")
    )
    group = lab.client("sagemaker").describe_model_package_group(ModelPackageGroupName="group")
    assert lab.client("sagemaker").list_tags(ResourceArn=group["ModelPackageGroupArn"])["Tags"] == [
        {"Key": "a", "Value": "b"}
    ]
    assert lab.client("sqs").receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "hello"


def test_logs_metrics_alarms_and_rules_are_there_after_a_kill(lab: Lab) -> None:
    logs, cloudwatch, events = lab.client("logs"), lab.client("cloudwatch"), lab.client("events")
    logs.create_log_group(logGroupName="group")
    logs.create_log_stream(logGroupName="group", logStreamName="stream")
    cloudwatch.put_metric_alarm(
        AlarmName="alarm", Namespace="n", MetricName="m", Statistic="Maximum", Period=86_400, EvaluationPeriods=1, Threshold=2,
        ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    for number in range(5):
        entry = {"timestamp": time.time_ns() // 1_000_000, "message": f"line {number}"}
        logs.put_log_events(logGroupName="group", logStreamName="stream", logEvents=[entry])
        cloudwatch.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": float(number)}])
    url, arn = hearing_queue(lab.client("sqs"), "heard")
    events.put_rule(Name="rule", EventPattern=json.dumps({"source": ["me"]}))
    events.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": arn}])
    lab.again()
    logs, cloudwatch = lab.client("logs"), lab.client("cloudwatch")
    found = logs.get_log_events(logGroupName="group", logStreamName="stream", startFromHead=True)["events"]
    assert [one["message"] for one in found] == [f"line {number}" for number in range(5)]
    assert cloudwatch.describe_alarms(AlarmNames=["alarm"])["MetricAlarms"][0]["StateValue"] == "ALARM"
    history = cloudwatch.describe_alarm_history(AlarmName="alarm", HistoryItemType="StateUpdate")[
        "AlarmHistoryItems"
    ]
    assert history[0]["HistorySummary"] == "Alarm updated from OK to ALARM"
    entry = {"timestamp": time.time_ns() // 1_000_000, "message": "line 5"}
    logs.put_log_events(logGroupName="group", logStreamName="stream", logEvents=[entry])
    cloudwatch.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 5.0}])
    lab.client("events").put_events(Entries=[{"Source": "me", "DetailType": "t", "Detail": "{}"}])
    assert len(heard(lab.client("sqs"), url)) == 1
    lab.again()
    now = datetime.now(UTC)
    data = lab.client("cloudwatch").get_metric_statistics(
        Namespace="n", MetricName="m", Period=86_400, StartTime=now - timedelta(hours=1), EndTime=now + timedelta(seconds=2),
        Statistics=["SampleCount", "Sum"],
    )["Datapoints"]  # fmt: skip
    assert (sum(one["SampleCount"] for one in data), sum(one["Sum"] for one in data)) == (6, 15)
    events_ = lab.client("logs").get_log_events(
        logGroupName="group", logStreamName="stream", startFromHead=True
    )["events"]
    assert [one["message"] for one in events_] == [f"line {number}" for number in range(6)]


def test_many_writers_lose_at_most_the_calls_in_flight(lab: Lab) -> None:
    """Writers note what was answered; after a kill in the midst of it all of that is there."""
    lab.client("s3").create_bucket(Bucket="bucket")
    lab.client("sqs").create_queue(QueueName="queue")
    answered: dict[str, list[str]] = {"s3": [], "sagemaker": [], "iam": [], "logs": []}
    lab.client("logs").create_log_group(logGroupName="group")
    asked: dict[str, list[str]] = {kind: [] for kind in answered}

    def write(kind: str, writer: int) -> None:
        own = lab.client(kind)
        if kind == "logs":
            own.create_log_stream(logGroupName="group", logStreamName=f"s{writer}")
        for number in range(10_000):
            name = f"w{writer}-{number}"
            asked[kind].append(name)
            try:
                if kind == "s3":
                    own.put_object(
                        Bucket="bucket", Key=name, Body=name.encode() * (1 if number % 3 else 4000)
                    )
                elif kind == "sagemaker":
                    own.create_model_package_group(ModelPackageGroupName=name)
                elif kind == "iam":
                    own.create_user(UserName=name)
                else:
                    entry = {"timestamp": time.time_ns() // 1_000_000, "message": name}
                    own.put_log_events(logGroupName="group", logStreamName=f"s{writer}", logEvents=[entry])
            except (BotoCoreError, ClientError):
                return
            answered[kind].append(name)

    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(write, kind, writer) for kind in answered for writer in range(2)]
        assert within(120, lambda: all(len(names) > 15 for names in answered.values()))
        lab.kill()
        for one in work:
            one.result(timeout=90)
    lab.server = process.up(lab.folder)
    s3 = lab.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket")
    held = {one["Key"] for page in pages for one in page.get("Contents", [])}
    assert set(answered["s3"]) <= held <= set(asked["s3"])
    for name in answered["s3"]:
        assert s3.get_object(Bucket="bucket", Key=name)["Body"].read().startswith(name.encode())
    groups = lab.client("sagemaker").get_paginator("list_model_package_groups").paginate()
    assert set(answered["sagemaker"]) <= {
        one["ModelPackageGroupName"] for page in groups for one in page["ModelPackageGroupSummaryList"]
    }
    users = lab.client("iam").get_paginator("list_users").paginate()
    assert set(answered["iam"]) <= {one["UserName"] for page in users for one in page["Users"]}
    lines = [
        one["message"]
        for stream in ("s0", "s1")
        for one in lab.client("logs").get_log_events(
            logGroupName="group", logStreamName=stream, startFromHead=True
        )["events"]
    ]
    assert set(answered["logs"]) <= set(lines)
    assert len(lines) == len(set(lines))


JOB: dict[str, Any] = {
    "AlgorithmSpecification": {
        "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
        "TrainingInputMode": "File",
        "ContainerEntrypoint": [
            sys.executable,
            "-c",
            "import time; print('begun', flush=True); time.sleep(600)",
        ],
    },
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 900},
}


def test_a_job_that_ran_has_failed_with_a_reason_and_nothing_of_it_is_left(lab: Lab) -> None:
    lab.client("s3").create_bucket(Bucket="bucket")
    role, sagemaker = lab.role(), lab.client("sagemaker")
    sagemaker.create_training_job(TrainingJobName="job", RoleArn=role, **JOB)
    status = lambda: lab.client("sagemaker").describe_training_job(TrainingJobName="job")  # noqa: E731
    assert within(60, lambda: status()["SecondaryStatus"] == "Training" and lab.children())
    left = lab.children()
    lab.again()
    ended = within(60, lambda: status()["TrainingJobStatus"] == "Failed" and status())
    assert (
        ended["FailureReason"] == "InternalServerError: The local AWS ended while this ran. Start it again."
    )
    assert [one["Status"] for one in ended["SecondaryStatusTransitions"]][-1] == "Failed"
    assert within(60, lambda: not left & lab.children())
    lab.client("sagemaker").delete_training_job(TrainingJobName="job")


SERVE = """
import os
def model_fn(folder): return open(os.path.join(folder, 'word')).read()
def input_fn(body, kind): return body
def predict_fn(data, word): return word
def output_fn(said, kind): return said, 'text/plain'
"""


def test_an_endpoint_serves_again_and_its_processes_end_with_the_server(lab: Lab, tmp_path: Path) -> None:
    import io
    import tarfile

    s3, sagemaker, role = lab.client("s3"), lab.client("sagemaker"), lab.role()
    s3.create_bucket(Bucket="bucket")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in (("word", "served"), ("code/inference.py", SERVE)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    s3.put_object(Bucket="bucket", Key="model.tar.gz", Body=packed.getvalue())
    image = JOB["AlgorithmSpecification"]["TrainingImage"]
    container = {
        "Image": image,
        "ModelDataUrl": "s3://bucket/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py"},
    }
    sagemaker.create_model(ModelName="model", PrimaryContainer=container, ExecutionRoleArn=role)
    variant = {
        "VariantName": "a",
        "ModelName": "model",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="endpoint", EndpointConfigName="config")
    status = lambda: lab.client("sagemaker").describe_endpoint(EndpointName="endpoint")["EndpointStatus"]  # noqa: E731
    assert within(80, lambda: status() == "InService")

    def answer() -> bytes:
        told = lab.client("sagemaker-runtime").invoke_endpoint(
            EndpointName="endpoint", Body=b"x", ContentType="text/csv"
        )
        return bytes(told["Body"].read())

    assert answer() == b"served"
    left = lab.children()
    assert left
    lab.again()
    assert within(80, lambda: status() == "InService")
    assert answer() == b"served"
    assert within(60, lambda: not left & lab.children())
    running = lab.children()
    process.down(lab.folder)
    assert within(60, lambda: not running & lab.children())
    lab.server = process.up(lab.folder)
    assert within(80, lambda: status() == "InService")
    assert answer() == b"served"


def test_a_stop_and_a_start_keep_everything_also_what_cloudtrail_remembers(lab: Lab) -> None:
    lab.client("s3").create_bucket(Bucket="bucket")
    lab.client("ssm").put_parameter(Name="p", Value="v", Type="String")
    process.down(lab.folder)
    lab.server = process.up(lab.folder)
    assert [one["Name"] for one in lab.client("s3").list_buckets()["Buckets"]] == ["bucket"]
    named = [one["EventName"] for one in lab.client("cloudtrail").lookup_events()["Events"]]
    assert "CreateBucket" in named


def test_the_state_of_another_version_is_put_aside_and_that_is_said(lab: Lab) -> None:
    lab.client("s3").create_bucket(Bucket="bucket")
    account = lab.server.account
    process.down(lab.folder)
    with sqlite3.connect(lab.folder / "state" / "state.sqlite") as database:
        database.execute("UPDATE meta SET value = '{\"format\": 0}' WHERE key = 'version'")
    database.close()
    lab.server = process.up(lab.folder)
    assert lab.server.account != account
    assert lab.client("s3").list_buckets()["Buckets"] == []
    assert (
        'the state of another version ({"format": 0}) is put aside' in (lab.folder / "server.log").read_text()
    )
    assert (lab.folder / "state.old" / "state.sqlite").is_file()


def test_a_state_that_cannot_be_read_is_put_aside(lab: Lab) -> None:
    process.down(lab.folder)
    (lab.folder / "state" / "state.sqlite").write_bytes(b"no database" * 1000)
    lab.server = process.up(lab.folder)
    assert lab.client("s3").list_buckets()["Buckets"] == []
    assert "is put aside: this begins empty" in (lab.folder / "server.log").read_text()


def test_files_of_objects_go_with_them(lab: Lab) -> None:
    s3 = lab.client("s3")
    s3.create_bucket(Bucket="bucket")
    files = lambda: [one for one in (lab.folder / "state" / "objects").rglob("*") if one.is_file()]  # noqa: E731
    for name in ("one", "two"):
        s3.put_object(Bucket="bucket", Key=name, Body=b"x" * 100_000)
    assert len(files()) == 2
    s3.put_object(Bucket="bucket", Key="one", Body=b"y" * 100_000)
    s3.delete_object(Bucket="bucket", Key="two")
    assert within(60, lambda: len(files()) == 1)
    (lab.folder / "state" / "objects" / "stray").write_bytes(b"left by nobody")
    lab.again()
    assert len(files()) == 1
    assert lab.client("s3").get_object(Bucket="bucket", Key="one")["Body"].read() == b"y" * 100_000


def test_what_comes_after_the_close_is_lost_without_a_word(tmp_path: Path) -> None:
    """The last lines of a server that ends come when they come."""
    held = state.State(tmp_path / "state", "111122223333")
    held.put({"kept": b"1"})
    held.close()
    held.put({"late": b"1"})
    held.forget("kept")
    again = state.State(tmp_path / "state", "111122223333")
    assert dict(again.items("")) == {"kept": b"1"}
    again.close()
