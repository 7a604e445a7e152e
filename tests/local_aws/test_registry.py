"""The model registry through boto3 and the SDK: versions, approval, and deployment from a version."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue
from lab import BUCKET, IMAGE, Lab

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
]
CODE = """
import os
def model_fn(model_dir): return os.environ.get("WORD", "none")
def input_fn(data, content_type): return data
def predict_fn(data, model): return f"{model}:{data}"
def output_fn(prediction, accept): return prediction, "text/plain"
"""


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def group(lab: Lab) -> str:
    """The name of a new, empty group."""
    name = unique("group")
    lab.client("sagemaker").create_model_package_group(
        ModelPackageGroupName=name,
        ModelPackageGroupDescription="Who will subscribe",
        Tags=[{"Key": "event", "Value": "eba"}],
    )
    return name


def register(lab: Lab, group: str, **more: Any) -> str:
    """The ARN of a new version."""
    uri = lab.put_archive(f"{unique('package')}/model.tar.gz", {"code/inference.py": CODE})
    made = lab.client("sagemaker").create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": uri, "Environment": {"WORD": "packaged"}}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        **more,
    )
    return str(made["ModelPackageArn"])


def versions(lab: Lab, **asked: Any) -> list[int]:
    found = lab.client("sagemaker").list_model_packages(**asked)["ModelPackageSummaryList"]
    return [package["ModelPackageVersion"] for package in found]


def test_versions_count_up_and_wait_for_approval(lab: Lab, group: str) -> None:
    arns = [register(lab, group) for _ in range(3)]
    assert [arn.rsplit("/", 2)[1:] for arn in arns] == [[group, "1"], [group, "2"], [group, "3"]]
    described = lab.client("sagemaker").describe_model_package(ModelPackageName=arns[1])
    assert described["ModelPackageVersion"] == 2
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["ModelPackageStatus"] == "Completed"
    assert described["InferenceSpecification"]["Containers"][0]["Image"] == IMAGE
    assert versions(lab, ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Ascending") == [
        1,
        2,
        3,
    ]
    group_arn = lab.client("sagemaker").describe_model_package_group(ModelPackageGroupName=group)
    assert len(versions(lab, ModelPackageGroupName=group_arn["ModelPackageGroupArn"])) == 3


def test_a_version_keeps_its_metrics_and_metadata(lab: Lab, group: str) -> None:
    metrics = {
        "ModelQuality": {
            "Statistics": {"ContentType": "application/json", "S3Uri": f"s3://{BUCKET}/metrics.json"}
        }
    }
    arn = register(lab, group, ModelMetrics=metrics, CustomerMetadataProperties={"commit": "abc", "old": "1"})
    sagemaker = lab.client("sagemaker")
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"auc": "0.91"},
        CustomerMetadataPropertiesToRemove=["old"],
    )
    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert described["ModelMetrics"] == metrics
    assert described["CustomerMetadataProperties"] == {"commit": "abc", "auc": "0.91"}
    assert described["LastModifiedTime"] >= described["CreationTime"]


def test_approval_filters_the_list_and_is_an_event(lab: Lab, group: str) -> None:
    sagemaker, events, queues = lab.client("sagemaker"), lab.client("events"), lab.client("sqs")
    queue, arn = hearing_queue(queues, unique("q"))
    rule = unique("rule")
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelApprovalStatus": ["Approved"], "ModelPackageGroupName": [group]},
    }
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arn}])
    register(lab, group)
    second = register(lab, group)
    sagemaker.update_model_package(
        ModelPackageArn=second, ModelApprovalStatus="Approved", ApprovalDescription="passes all gates"
    )
    assert versions(lab, ModelPackageGroupName=group, ModelApprovalStatus="Approved") == [2]
    assert versions(lab, ModelPackageGroupName=group, ModelApprovalStatus="PendingManualApproval") == [1]
    assert (
        sagemaker.describe_model_package(ModelPackageName=second)["ApprovalDescription"] == "passes all gates"
    )
    (event,) = heard(queues, queue)
    assert event["detail"]["ModelPackageVersion"] == 2
    assert event["resources"] == [second]
    events.remove_targets(Rule=rule, Ids=["1"])


def test_only_an_approved_version_is_deployed_and_serves(lab: Lab, group: str) -> None:
    sagemaker = lab.client("sagemaker")
    arn = register(lab, group)
    name = unique("model")

    def create(**more: Any) -> None:
        container = {"ModelPackageName": arn, **more}
        sagemaker.create_model(ModelName=name, Containers=[container], ExecutionRoleArn=lab.role)

    with pytest.raises(ClientError, match="its ModelApprovalStatus is PendingManualApproval, not Approved"):
        create()
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    create()
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {"VariantName": "A", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        ],
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    made = lab.endpoint(name)
    assert made["EndpointStatus"] == "InService", made.get("FailureReason")
    assert made["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    answer = lab.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, Body=b"x", ContentType="text/csv"
    )
    assert answer["Body"].read() == b"packaged:x"
    assert sagemaker.describe_model(ModelName=name)["Containers"] == [{"ModelPackageName": arn}]


def test_the_sdk_registers_and_approves(lab: Lab, group: str) -> None:
    from sagemaker.core.resources import ModelPackage

    name = register(lab, group)
    session = lab.sagemaker.boto_session
    package = ModelPackage.get(model_package_name=name, session=session)
    assert package.model_approval_status == "PendingManualApproval"
    package.update(model_approval_status="Approved")
    assert package.model_approval_status == "Approved"
    assert ModelPackage.get(model_package_name=name, session=session).model_approval_status == "Approved"


def test_numbers_are_not_given_twice_and_a_group_goes_last(lab: Lab, group: str) -> None:
    sagemaker = lab.client("sagemaker")
    arn = register(lab, group)
    with pytest.raises(ClientError, match="still contains Model Packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=arn)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package(ModelPackageName=arn)
    second = register(lab, group)
    assert second.endswith(f"{group}/2")
    sagemaker.delete_model_package(ModelPackageName=second)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        register(lab, group)


def test_without_a_group_aws_lists_unversioned_packages_only(lab: Lab, group: str) -> None:
    register(lab, group)
    assert versions(lab) == []
    assert versions(lab, ModelPackageType="Versioned", NameContains=group) == [1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ModelPackageName": "x"}, "Cannot determine which one to use"),
        ({"ModelPackageGroupName": None}, "keeps versioned model packages only"),
        ({"ModelApprovalStatus": "Perhaps"}, "enum value set"),
    ],
)
def test_what_cannot_be_registered_is_refused(lab: Lab, group: str, more: dict[str, Any], said: str) -> None:
    request = {"ModelPackageGroupName": group, "ModelPackageDescription": "x", **more}
    with pytest.raises(ClientError, match=said):
        lab.client("sagemaker").create_model_package(**{k: v for k, v in request.items() if v is not None})
