from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_event import SmallEvent

from kit import aws, plan
from kit.aws import Made
from kit.errors import AwsRefused, UsageError


@pytest.mark.parametrize(
    ("service", "operation", "params", "answer", "made"),
    [
        (
            "sagemaker",
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            {"EndpointArn": "arn:e"},
            Made("sagemaker", "CreateEndpoint", "e", "arn:e"),
        ),
        ("s3", "CreateBucket", {"Bucket": "b"}, {"Location": "/b"}, Made("s3", "CreateBucket", "b", "")),
        (
            "iam",
            "CreateRole",
            {"RoleName": "r"},
            {"Role": {"Arn": "arn:r"}},
            Made("iam", "CreateRole", "r", "arn:r"),
        ),
        (
            "sagemaker",
            "DeleteEndpoint",
            {"EndpointName": "e"},
            {},
            Made("sagemaker", "DeleteEndpoint", "e", "", gone=True),
        ),
        (
            "sagemaker",
            "CreateUserProfile",
            {"DomainId": "d", "UserProfileName": "u"},
            {"UserProfileArn": "arn:u"},
            Made("sagemaker", "CreateUserProfile", "u", "arn:u"),
        ),
        (
            "cloudwatch",
            "PutMetricAlarm",
            {"AlarmName": "a", "Namespace": "n"},
            {},
            Made("cloudwatch", "PutMetricAlarm", "a", ""),
        ),
        (
            "cloudwatch",
            "DeleteAlarms",
            {"AlarmNames": ["a", "b"]},
            {},
            Made("cloudwatch", "DeleteAlarms", "a, b", "", gone=True),
        ),
        (
            "application-autoscaling",
            "RegisterScalableTarget",
            {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v"},
            {"ScalableTargetARN": "arn:t"},
            Made("application-autoscaling", "RegisterScalableTarget", "endpoint/e/variant/v", "arn:t"),
        ),
        (
            "application-autoscaling",
            "DeregisterScalableTarget",
            {"ResourceId": "endpoint/e/variant/v"},
            {},
            Made(
                "application-autoscaling", "DeregisterScalableTarget", "endpoint/e/variant/v", "", gone=True
            ),
        ),
        (
            "glue",
            "CreateTable",
            {"DatabaseName": "d", "TableInput": {"Name": "t"}},
            {},
            Made("glue", "CreateTable", "t", ""),
        ),
        (
            "glue",
            "DeleteTable",
            {"DatabaseName": "d", "Name": "t"},
            {},
            Made("glue", "DeleteTable", "t", "", gone=True),
        ),
        (
            "glue",
            "CreateDatabase",
            {"DatabaseInput": {"Name": "d"}},
            {},
            Made("glue", "CreateDatabase", "d", ""),
        ),
        ("sagemaker-featurestore-runtime", "DeleteRecord", {"FeatureGroupName": "g"}, {}, None),
        ("sagemaker", "DeleteTags", {"ResourceArn": "arn:x", "TagKeys": ["a"]}, {}, None),
        ("cloudwatch", "PutMetricData", {"Namespace": "n"}, {}, None),
        ("s3", "CreateMultipartUpload", {"Bucket": "b", "Key": "k"}, {}, None),
        ("s3", "DeleteObject", {"Bucket": "b", "Key": "k"}, {}, None),
        ("logs", "CreateLogStream", {"logGroupName": "g", "logStreamName": "s"}, {}, None),
        ("sts", "GetCallerIdentity", {}, {"Arn": "arn:x"}, None),
    ],
)
def test_the_register_knows_what_a_call_made(
    service: str, operation: str, params: dict[str, Any], answer: dict[str, Any], made: Made | None
) -> None:
    assert aws.created(service, operation, params, answer) == made


def test_the_local_target_reaches_the_local_aws_and_nothing_else(
    small_event: SmallEvent, event_folder: Path
) -> None:
    program = """
import boto3
from kit import aws, paths, plan
connection = aws.connect(plan.load(), "local", paths.home())
assert boto3.client("sts").get_caller_identity()["Account"] == connection.account
assert connection.bucket == f"eba-{connection.account}-us-east-1"
assert connection.role == f"arn:aws:iam::{connection.account}:role/EbaDataScientistExecution"
s3 = connection.session.client("s3")
s3.create_bucket(Bucket=connection.bucket)
assert connection.sagemaker.default_bucket() == connection.bucket
try:
    boto3.client("s3", endpoint_url="http://192.0.2.1").list_buckets()
except Exception as error:
    print(type(error).__name__)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout == "LocalAwsError\n", ran.stderr


def test_an_unknown_target_is_refused(small_event: SmallEvent, event_folder: Path) -> None:
    with pytest.raises(UsageError, match='no target "azure"'):
        aws.connect(plan.load(), "azure", event_folder)


class Identity:
    """Stands for an account on AWS: there is none to ask in a test."""

    def __init__(self, account: str) -> None:
        self.account = account

    def client(self, service: str) -> Identity:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": self.account}


@pytest.mark.parametrize(
    ("allowed", "said"), [("", "allows none yet"), ("210987654321", "only 210987654321")]
)
def test_an_account_the_plan_does_not_name_is_refused(
    small_event: SmallEvent, allowed: str, said: str
) -> None:
    if allowed:
        small_event.raw["aws"] = {"account": allowed}
        small_event.save()
    session: Any = Identity("123456789012")
    with pytest.raises(AwsRefused, match="123456789012") as caught:
        aws._allowed_account(plan.load(), session)
    assert said in caught.value.message


def test_the_account_of_the_plan_is_let_through(small_event: SmallEvent) -> None:
    small_event.raw["aws"] = {"account": "123456789012"}
    small_event.save()
    session: Any = Identity("123456789012")
    assert aws._allowed_account(plan.load(), session) == "123456789012"


def test_without_credentials_aws_is_refused_in_two_lines(small_event: SmallEvent, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    small_event.add("A")
    command = [sys.executable, "-m", "kit", "run", "--target", "aws"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 7
    assert ran.stderr.splitlines()[0].startswith("Error: AWS does not know who you are")
    assert len(ran.stderr.splitlines()) == 2
