"""The client side changes its whole process, so that each test has one of its own: a script that asserts."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import LocalAwsError
from kit.local_aws import client
from kit.local_aws.process import Server

# What a process does before its own work, as kit.aws does it.
INSTALL = """
import os, sys, threading, time
from kit.local_aws import client
sys.modules["rfc3987_syntax"] = None  # seconds of import that no test needs
URL, ACCOUNT = sys.argv[1:3]
os.environ.update(client.environment(URL, ACCOUNT, "us-east-1"))
"""


@pytest.fixture
def script(local_aws: Server, tmp_path: Path) -> Callable[..., None]:
    """Runs a script in a process that talks to the module's server; what it asserts must hold."""

    def run(text: str, *, before: str = INSTALL, **variables: str) -> None:
        home = {"HOME": str(tmp_path), "AWS_PROFILE": "corporate", "AWS_SESSION_TOKEN": "someone-elses"}
        ended = subprocess.run(
            [sys.executable, "-c", before + textwrap.dedent(text), local_aws.url, local_aws.account],
            env={**os.environ, **home, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=280,  # importing the SDK alone takes ten seconds of a machine that is busy
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr

    return run


def test_the_variables_alone_are_enough_for_boto3_whatever_profile_the_user_has(
    script: Callable[..., None],
) -> None:
    script("""
        import boto3
        told = boto3.client("sts").get_caller_identity()
        assert told["Account"] == ACCOUNT, told
        assert boto3.client("sagemaker").list_models()["Models"] == []
        """)


def test_a_proxy_of_the_machine_is_not_asked(script: Callable[..., None]) -> None:
    script(
        """
        import boto3
        boto3.client("sts").get_caller_identity()
        """,
        HTTP_PROXY="http://127.0.0.1:9",
        HTTPS_PROXY="http://127.0.0.1:9",
        NO_PROXY="example.com",
    )


def test_the_hook_sends_the_hosts_of_aws_to_the_local_aws_also_for_clients_that_exist(
    script: Callable[..., None],
) -> None:
    script("""
        import boto3
        del os.environ["AWS_ENDPOINT_URL"]
        before = boto3.client("s3")
        assert "amazonaws.com" in before.meta.endpoint_url
        client.install(URL)
        client.install(URL)
        before.create_bucket(Bucket="virtual.host")
        before.put_object(Bucket="virtual.host", Key="a/b", Body=b"x" * 70_000)
        assert before.get_object(Bucket="virtual.host", Key="a/b")["Body"].read() == b"x" * 70_000
        assert boto3.client("s3control").list_access_points(AccountId=ACCOUNT)["AccessPointList"] == []
        assert boto3.client("iam").list_users()["Users"][0]["UserName"] == "builder"
        assert boto3.client("sts", region_name="eu-west-1").get_caller_identity()["Account"] == ACCOUNT
        """)


def test_a_host_prefix_before_the_local_address_is_understood(script: Callable[..., None]) -> None:
    script("""
        import boto3
        client.install(URL)
        assert boto3.client("s3control").list_access_points(AccountId=ACCOUNT)["AccessPointList"] == []
        """)


def test_a_request_that_would_go_out_unencrypted_is_refused_where_a_policy_says_so(
    script: Callable[..., None],
) -> None:
    script("""
        import boto3, json
        from botocore.exceptions import ClientError
        client.install(URL)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="tls-only")
        statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::tls-only/*",
                     "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
        s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps({"Statement": [statement]}))
        s3.put_object(Bucket="tls-only", Key="k", Body=b"")
        plain = [
            boto3.client("s3", endpoint_url="http://s3.us-east-1.amazonaws.com"),
            boto3.client("s3", use_ssl=False),
            boto3.Session().client("s3", use_ssl=False),
        ]
        for refused in plain:
            try:
                refused.get_object(Bucket="tls-only", Key="k")
            except ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied", error
                assert "explicit deny in a resource-based policy" in str(error), error
            else:
                raise AssertionError("answered in the clear")
        s3.get_object(Bucket="tls-only", Key="k")
        boto3.client("s3", endpoint_url="https://s3.us-east-1.amazonaws.com").get_object(Bucket="tls-only", Key="k")
        """)


def test_nothing_leaves_the_machine(script: Callable[..., None]) -> None:
    script("""
        import boto3
        from kit.errors import LocalAwsError
        client.install(URL)
        for elsewhere in ("https://example.com", "https://amazonaws.com.example.com", "http://10.0.0.1"):
            try:
                boto3.client("s3", endpoint_url=elsewhere).list_buckets()
            except LocalAwsError as error:
                assert "was stopped" in error.message and error.hint
            else:
                raise AssertionError(elsewhere)
        """)


def test_the_sdk_makes_its_bucket_and_uploads_and_does_not_report_its_use(
    script: Callable[..., None],
) -> None:
    script("""
        from pathlib import Path
        client.install(URL)
        from sagemaker.core.helper.session_helper import Session
        from sagemaker.core.config.config_schema import TELEMETRY_OPT_OUT_PATH
        from sagemaker.core.common_utils import resolve_value_from_config
        session = Session()
        assert session.default_bucket() == f"sagemaker-us-east-1-{ACCOUNT}"
        Path("data.csv").write_text("a,b")
        uploaded = session.upload_data("data.csv", key_prefix="in")
        assert session.list_s3_files(session.default_bucket(), "in") == ["in/data.csv"]
        assert session.read_s3_file(session.default_bucket(), "in/data.csv") == "a,b"
        opted_out = resolve_value_from_config(config_path=TELEMETRY_OPT_OUT_PATH, sagemaker_session=session)
        assert opted_out is True
        """)


CLOCKS = """
client.install(URL)
import botocore.waiter, sagemaker.core.resources, sagemaker.core.common_utils, sagemaker.core.processing

def clocks():
    return {name for name, module in sys.modules.items() if isinstance(getattr(module, "time", None), client._Clock)}
"""


def test_only_the_sdk_and_the_waiters_have_the_clock_imported_before_or_after(
    script: Callable[..., None],
) -> None:
    script(
        "import sagemaker.core.resources, botocore.waiter, logging\nassert botocore.waiter.time is time\n"
        + CLOCKS
        + """
assert {"botocore.waiter", "sagemaker.core.resources", "sagemaker.core.processing"} <= clocks()
assert all(name == "botocore.waiter" or name.startswith("sagemaker.") for name in clocks())
assert logging.time is time
"""
    )


def test_the_sdk_checks_its_schema_once_and_its_settings_each_time(script: Callable[..., None]) -> None:
    script(
        """
client.install(URL)
from sagemaker.core.config import config_manager
import jsonschema
import pytest
checks = []
kind = jsonschema.validators.validator_for(config_manager.SAGEMAKER_PYTHON_SDK_CONFIG_SCHEMA)
real = kind.check_schema.__func__
kind.check_schema = classmethod(lambda cls, *a, **k: checks.append(1) or real(cls, *a, **k))
manager = config_manager.SageMakerConfig()
for _ in range(3):
    manager.validate_sagemaker_config({"SchemaVersion": "1.0"})
assert len(checks) == 1, checks
for wrong in ({}, {"SchemaVersion": 1}, {"SchemaVersion": "1.0", "Sagemaker": {}}):
    with pytest.raises(jsonschema.ValidationError) as said:
        manager.validate_sagemaker_config(wrong)
    with pytest.raises(jsonschema.ValidationError) as expected:
        jsonschema.validate(wrong, config_manager.SAGEMAKER_PYTHON_SDK_CONFIG_SCHEMA)
    assert said.value.message == expected.value.message
"""
    )


def test_a_wait_of_the_sdk_ends_when_the_status_changes_and_names_do_not_jump_in_time(
    script: Callable[..., None],
) -> None:
    script(
        CLOCKS
        + """
import boto3
from datetime import datetime, UTC
clock = sagemaker.core.processing.time
api = boto3.client("sagemaker")

def loop():
    # As the SDK waits: it asks, sleeps, and gives up after what it takes for an hour.
    began = clock.time()
    rounds = 0
    while clock.time() - began < 3600:
        api.describe_experiment(ExperimentName="e")
        clock.sleep(600)
        rounds += 1
    return rounds

api.create_experiment(ExperimentName="e")
true = time.monotonic()
assert loop() == 6  # nothing is under way: every sleep is cut short, and the loop sees its hour pass
assert time.monotonic() - true < 120
name = sagemaker.core.common_utils.name_from_base("job")
stamp = datetime.strptime(name.removeprefix("job-").rpartition("-")[0], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)
assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60, name
assert abs(clock.time() - time.time()) < 60
"""
    )


def test_a_waiter_of_botocore_keeps_its_pace_until_something_happens(script: Callable[..., None]) -> None:
    script(
        CLOCKS
        + """
import boto3
s3 = boto3.client("s3")
s3.create_bucket(Bucket="later")
api = boto3.client("sagemaker")
looked, waited = threading.Event(), []
sleeps = client._wait

def looks(seconds, patient):
    looked.set()
    sleeps(seconds, patient)

client._wait = looks

def wait():
    s3.get_waiter("object_exists").wait(Bucket="later", Key="k", WaiterConfig={"Delay": 200, "MaxAttempts": 2})
    waited.append(time.monotonic())

thread = threading.Thread(target=wait, daemon=True)
thread.start()
assert looked.wait(60)  # it has looked once, and may look once more
time.sleep(0.5)
assert thread.is_alive()
s3.put_object(Bucket="later", Key="k")
began = time.monotonic()
for number in range(100):  # a change of state sends the waiter round at once; it may not have heard of the first one
    api.create_experiment(ExperimentName=f"happens-{number}")
    thread.join(1)
    if not thread.is_alive():
        break
assert waited[0] - began < 150, waited
"""
    )


def test_a_sleep_is_a_sleep_when_the_server_is_gone(script: Callable[..., None]) -> None:
    script("""
        client.install("http://127.0.0.1:9")
        clock = client._Clock(patient=False)
        began = time.monotonic()
        clock.sleep(0.3)
        assert 0.3 <= time.monotonic() - began < 30
        """)


def test_there_is_no_environment_of_a_server_that_is_not_there_or_another_one(local_aws: Server) -> None:
    with pytest.raises(LocalAwsError, match="No local AWS answers") as caught:
        client.environment("http://127.0.0.1:9", "123456789012", "us-east-1")
    assert "kit local up" in caught.value.hint
    with pytest.raises(LocalAwsError, match="not 123456789012"):
        client.environment(local_aws.url, "123456789012", "us-east-1")
