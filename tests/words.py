"""An account whose models answer with a word, and an endpoint that serves one of them: for tests of what deploys."""

from __future__ import annotations

import io
import json
import os
import tarfile
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from kit.local_aws import client, process

REGION, BUCKET = "us-east-1", "sagemaker-words"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
ANSWERS = """
def model_fn(model_dir): return open(model_dir + "/word").read()
def input_fn(data, content_type): return data
def predict_fn(data, model): return f"{model}:{data}"
def output_fn(prediction, accept): return prediction, "text/plain"
"""
GROUP = "eba-words"


@pytest.fixture(scope="module", name="boto")
def boto_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A boto3 session of an account with a bucket and a role of models."""
    from boto3.session import Session

    server = process.up(tmp_path_factory.mktemp("state") / "aws")
    before = dict(os.environ)
    os.environ |= client.environment(server.url, server.account, REGION)
    client.install(server.url)
    session = Session(region_name=REGION)
    session.client("s3").create_bucket(Bucket=BUCKET)
    iam = session.client("iam")
    iam.create_role(RoleName="EbaModels", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(
        RoleName="EbaModels", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    )
    yield session
    process.down(server.folder)
    os.environ.clear()
    os.environ |= before


@pytest.fixture(name="sm")
def sm_fixture(boto: Any) -> Any:
    return boto.client("sagemaker")


def role(boto: Any) -> str:
    return str(boto.client("iam").get_role(RoleName="EbaModels")["Role"]["Arn"])


def version(boto: Any, word: str, status: str = "Approved", code: str = ANSWERS) -> str:
    """The ARN of a new version that answers with its word."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in {"word": word, "code/inference.py": code}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    key = f"{uuid.uuid4().hex}/model.tar.gz"
    boto.client("s3").put_object(Bucket=BUCKET, Key=key, Body=packed.getvalue())
    sm = boto.client("sagemaker")
    if not sm.list_model_package_groups(NameContains=GROUP)["ModelPackageGroupSummaryList"]:
        sm.create_model_package_group(ModelPackageGroupName=GROUP)
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key}"}
    kinds = {"SupportedContentTypes": ["text/plain"], "SupportedResponseMIMETypes": ["text/plain"]}
    made = sm.create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus=status,
        InferenceSpecification={"Containers": [container], **kinds},
    )
    return str(made["ModelPackageArn"])


@pytest.fixture(name="endpoint")
def endpoint_fixture(boto: Any, sm: Any) -> Iterator[str]:
    """An endpoint of two instances that answers "old", captures, and has an alarm on its configuration."""
    name = f"eba-{uuid.uuid4().hex[:6]}"
    sm.create_model(
        ModelName=f"{name}-old",
        PrimaryContainer={"ModelPackageName": version(boto, "old")},
        ExecutionRoleArn=role(boto),
        VpcConfig={"Subnets": ["subnet-0a"], "SecurityGroupIds": ["sg-0c"]},
    )
    variant = {"VariantName": "AllTraffic", "ModelName": f"{name}-old", "InstanceType": "ml.m5.large"}
    sm.create_endpoint_config(
        EndpointConfigName=f"{name}-old",
        ProductionVariants=[{**variant, "InitialInstanceCount": 2}],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 50,
            "DestinationS3Uri": f"s3://{BUCKET}/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
    )
    where = {"EndpointName": name, "VariantName": "AllTraffic", "EndpointConfigName": f"{name}-old"}
    boto.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{name}-broken",
        AlarmDescription="kept",
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        Dimensions=[{"Name": key, "Value": value} for key, value in where.items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    sm.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-old")
    sm.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    yield name
    sm.delete_endpoint(EndpointName=name)


def answer(boto: Any, endpoint: str) -> str:
    asked = boto.client("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=b"?")
    return str(asked["Body"].read().decode().partition(":")[0])
