"""An account at the local AWS, ready for SageMaker: a role, a bucket, and the SDK's session in this process."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session
from botocore.config import Config

from kit.local_aws import client, process
from kit.local_aws.process import Server

REGION = "us-east-1"
BUCKET = "lab-bucket"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
JOBS = Path(__file__).parents[1] / "fixtures" / "jobs"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


READS_AND_WRITES = {  # what jobs need of their own bucket, and no other
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{BUCKET}/*",
        },
    ],
}


@dataclass
class Lab:
    """One server, and what tests ask of it."""

    server: Server
    role: str = ""
    _clients: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        iam = self.client("iam")
        made = iam.create_role(RoleName="SageMakerRole", AssumeRolePolicyDocument=json.dumps(TRUST))
        self.role = made["Role"]["Arn"]
        iam.attach_role_policy(
            RoleName="SageMakerRole", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
        )
        iam.put_role_policy(
            RoleName="SageMakerRole", PolicyName="bucket", PolicyDocument=json.dumps(READS_AND_WRITES)
        )
        self.client("s3").create_bucket(Bucket=BUCKET)

    def client(self, service: str) -> Any:
        """A boto3 client that asks this server."""
        if service not in self._clients:
            self._clients[service] = Session(client.KEY, "local", region_name=REGION).client(
                service,
                endpoint_url=self.server.url,
                config=Config(read_timeout=240),  # a busy machine is no reason to ask again
            )
        return self._clients[service]

    @contextlib.contextmanager
    def current(self) -> Iterator[Lab]:
        """This process talks to this server, as a notebook's kernel does."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in client.environment(self.server.url, self.server.account, REGION).items():
                patch.setenv(name, value)
            client.install(self.server.url)
            if sdk := sys.modules.get("sagemaker.core.utils.utils"):
                # They keep clients of the lab that this process talked to before.
                sdk.SageMakerClient.reset()
                sdk.SingletonMeta._instances.clear()
            yield self

    @cached_property
    def sagemaker(self) -> Any:
        """The SDK's session."""
        from sagemaker.core.helper.session_helper import Session as SageMakerSession

        return SageMakerSession(boto_session=Session(region_name=REGION), default_bucket=BUCKET)

    def put(self, key: str, body: str | bytes) -> str:
        """The URI of a new object."""
        self.client("s3").put_object(
            Bucket=BUCKET, Key=key, Body=body.encode() if isinstance(body, str) else body
        )
        return f"s3://{BUCKET}/{key}"

    def get(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> list[str]:
        found = self.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found]

    def archive(self, uri: str) -> dict[str, bytes]:
        """The files of a tar.gz in S3."""
        with tarfile.open(fileobj=io.BytesIO(self.get(uri))) as held:
            members = [member for member in held.getmembers() if member.isfile()]
            return {member.name: held.extractfile(member).read() for member in members}  # type: ignore[union-attr]

    def put_archive(self, key: str, files: dict[str, str | bytes]) -> str:
        """The URI of a new tar.gz."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, text in files.items():
                body = text.encode() if isinstance(text, str) else text
                entry = tarfile.TarInfo(name)
                entry.size = len(body)
                archive.addfile(entry, io.BytesIO(body))
        return self.put(key, packed.getvalue())

    def log(self, group: str, prefix: str) -> list[str]:
        """Every line of the streams whose name begins so, stream by stream."""
        logs = self.client("logs")
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
        lines: list[str] = []
        for stream in streams:
            token: dict[str, str] = {}
            while True:
                page = logs.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, **token
                )
                lines += [event["message"] for event in page["events"]]
                if not page["events"] or page["nextForwardToken"] == token.get("nextToken"):
                    break
                token = {"nextToken": page["nextForwardToken"]}
        return lines

    def until(
        self, ask: Callable[[], dict[str, Any]], member: str, *wanted: str, seconds: float = 60
    ) -> dict[str, Any]:
        """What `ask` answers once its member has one of the values; the server wakes this at each change of a status."""
        for _ in range(200):
            version = client.ask(self.server.url, "wait", {"timeout": 0})["version"]
            found = ask()
            if found[member] in wanted:
                return found
            client.ask(self.server.url, "wait", {"timeout": seconds, "since": version}, timeout=seconds + 5)
        raise AssertionError(f"{member} is {found[member]}, not {wanted}")

    def training(self, name: str, *wanted: str) -> dict[str, Any]:
        """A training job, once it ended (or has one of the statuses)."""
        ask = self.client("sagemaker").describe_training_job
        return self.until(
            lambda: ask(TrainingJobName=name),
            "TrainingJobStatus",
            *(wanted or ("Completed", "Failed", "Stopped")),
        )

    def processing(self, name: str, *wanted: str) -> dict[str, Any]:
        """A processing job, once it ended (or has one of the statuses)."""
        ask = self.client("sagemaker").describe_processing_job
        return self.until(
            lambda: ask(ProcessingJobName=name),
            "ProcessingJobStatus",
            *(wanted or ("Completed", "Failed", "Stopped")),
        )

    def endpoint(self, name: str, *wanted: str) -> dict[str, Any]:
        """An endpoint, once it is in service or failed (or has one of the statuses)."""
        ask = self.client("sagemaker").describe_endpoint
        return self.until(
            lambda: ask(EndpointName=name),
            "EndpointStatus",
            *(wanted or ("InService", "Failed")),
            seconds=240,
        )


@contextlib.contextmanager
def opened(folder: Path, mode: str) -> Iterator[Lab]:
    """A lab of its own server; when it ends, the server's log must not tell of a failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_OPT_ML", mode)
        server = process.up(folder)
    try:
        yield Lab(server)
    finally:
        process.down(folder)
    log = (folder / "server.log").read_text(encoding="utf-8")
    assert [line for line in log.splitlines() if " ERROR " in line] == [], log


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Lab]]:
    """Gives the module's lab for a way to stand in for /opt/ml: "bind" or "replace"; made when first asked for."""
    made: dict[str, Lab] = {}
    with contextlib.ExitStack() as stack:

        def lab_of(mode: str) -> Lab:
            if mode not in made:
                made[mode] = stack.enter_context(opened(tmp_path_factory.mktemp("state") / "aws", mode))
            return made[mode]

        yield lab_of


@pytest.fixture
def lab(labs: Callable[[str], Lab]) -> Iterator[Lab]:
    """The module's lab, with /opt/ml bound where the machine can."""
    with labs("bind").current() as found:
        yield found


@pytest.fixture(params=["bind", "replace"])
def either(labs: Callable[[str], Lab], request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab for each way to stand in for /opt/ml."""
    with labs(request.param).current() as found:
        yield found
