"""Rules between the members of one request, each met through boto3: what breaks it, and the nearest request that does not."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from boto3.session import Session
from botocore.exceptions import ClientError

from kit.local_aws import rules
from kit.local_aws.process import Server
from kit.local_aws.protocol import operation, problems

ROLE = "arn:aws:iam::111122223333:role/Nobody"
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/a:1"
S3 = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/c"}}
FILES = {
    "FileSystemDataSource": {
        "FileSystemId": "fs-0123456789abcdef0",
        "FileSystemAccessMode": "ro",
        "FileSystemType": "EFS",
        "DirectoryPath": "/",
    }
}
VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}

TRAIN: dict[str, Any] = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["true"],
    },
    "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 100},
    "RoleArn": ROLE,
}
TUNE: dict[str, Any] = {
    "HyperParameterTuningJobName": "tuning",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Random",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
    },
    "TrainingJobDefinition": {
        name: value
        for name, value in TRAIN.items()
        if name not in ("TrainingJobName", "AlgorithmSpecification")
    }
    | {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"}},
}
PROCESS: dict[str, Any] = {
    "ProcessingJobName": "job",
    "ProcessingResources": {
        "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    },
    "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["true"]},
    "RoleArn": ROLE,
}
PLACE = "/opt/ml/processing/x"
PLACELESS = {"S3Uri": "s3://b/c", "S3DataType": "S3Prefix"}
INPUT = {**PLACELESS, "LocalPath": PLACE}
DATASET = {"LocalPath": PLACE}
TRANSFORM: dict[str, Any] = {
    "TransformJobName": "job",
    "ModelName": "nobody",
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/c"}}},
    "TransformOutput": {"S3OutputPath": "s3://b/o"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
}
SPLIT = {**TRANSFORM["TransformInput"], "SplitType": "Line"}
MODEL: dict[str, Any] = {"ModelName": "model", "ExecutionRoleArn": ROLE}
PACKAGE: dict[str, Any] = {"ModelPackageGroupName": "nobody"}
SPECIFIED = {
    "Containers": [{"Image": IMAGE}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
MORE = {"S3DataType": "S3Prefix", "S3Uri": "s3://b/c"}
CONFIG: dict[str, Any] = {"EndpointConfigName": "config"}
VARIANT = {"VariantName": "v", "ModelName": "nobody"}
SERVERLESS = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
DOMAIN: dict[str, Any] = {
    "DomainName": "domain",
    "AuthMode": "IAM",
    "DefaultUserSettings": {"ExecutionRole": ROLE},
}
ALARM: dict[str, Any] = {
    "AlarmName": "alarm",
    "Namespace": "n",
    "MetricName": "m",
    "Statistic": "Sum",
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 1.0,
}
TARGET = {"Id": "1", "Arn": "arn:aws:sqs:us-east-1:111122223333:queue", "RoleArn": ROLE}
PIPELINE = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/nobody"
GIVEN = {"PipelineParameterList": [{"Name": "a", "Value": "b"}]}


def channels(*sources: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
    return [{"ChannelName": f"c{n}", "DataSource": source, **members} for n, source in enumerate(sources)]


def inputs(**members: Any) -> list[dict[str, Any]]:
    return [{"InputName": "x", **members}]


WAIT = {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 100}
UNBOUND = {"MaxRuntimeInSeconds": None}  # a day
SPOT = {"EnableManagedSpotTraining": True, "StoppingCondition": WAIT}
ONE = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
GROUPS = {"InstanceGroups": [{**ONE, "InstanceGroupName": "g"}], "VolumeSizeInGB": 1}
PREFERRED = {"InstancePreferences": [ONE], "VolumeSizeInGB": 1}
KEYED = {"VolumeKmsKeyId": KEY}

# Rule, action, request, changes that break it, changes that nearly do.
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("spot waits long enough", "CreateTrainingJob", TRAIN, {"EnableManagedSpotTraining": True}, SPOT),
    ("spot waits long enough", "CreateTrainingJob", TRAIN, {**SPOT, "StoppingCondition": {**WAIT, "MaxRuntimeInSeconds": 101}}, SPOT),
    ("spot waits long enough", "CreateTrainingJob", TRAIN, {**SPOT, "StoppingCondition": {**UNBOUND, "MaxWaitTimeInSeconds": 86399}}, {**SPOT, "StoppingCondition": {**UNBOUND, "MaxWaitTimeInSeconds": 86400}}),
    ("spot waits long enough", "CreateHyperParameterTuningJob", TUNE, {"TrainingJobDefinition": {"EnableManagedSpotTraining": True}}, {"TrainingJobDefinition": SPOT}),
    ("only spot waits", "CreateTrainingJob", TRAIN, {"StoppingCondition": WAIT}, SPOT),
    ("only spot waits", "CreateHyperParameterTuningJob", TUNE, {"TrainingJobDefinition": {"StoppingCondition": WAIT}}, {"TrainingJobDefinition": SPOT}),
    ("no warm pool of spot instances", "CreateTrainingJob", TRAIN, {**SPOT, "ResourceConfig": {"KeepAlivePeriodInSeconds": 60}}, {"ResourceConfig": {"KeepAlivePeriodInSeconds": 60}}),
    ("no warm pool of a mixed cluster", "CreateTrainingJob", TRAIN, {"ResourceConfig": {**GROUPS, "KeepAlivePeriodInSeconds": 60}}, {"ResourceConfig": GROUPS}),
    ("an algorithm or an image", "CreateTrainingJob", TRAIN, {"AlgorithmSpecification": {"AlgorithmName": "mine"}}, {}),
    ("an algorithm or an image", "CreateTrainingJob", TRAIN, {"AlgorithmSpecification": {"TrainingImage": None}}, {"AlgorithmSpecification": {"TrainingImage": None, "AlgorithmName": "mine"}}),
    ("preferences stand alone", "CreateTrainingJob", TRAIN, {"ResourceConfig": PREFERRED}, {"ResourceConfig": {**PREFERRED, "InstanceType": None, "InstanceCount": None}}),
    ("preferences stand alone", "CreateTrainingJob", TRAIN, {**SPOT, "ResourceConfig": {**PREFERRED, "InstanceType": None}}, SPOT),
    ("a channel has one source", "CreateTrainingJob", TRAIN, {"InputDataConfig": channels(S3, {**S3, **FILES}), "VpcConfig": VPC}, {"InputDataConfig": channels(S3, FILES), "VpcConfig": VPC}),
    ("a channel has one source", "CreateTrainingJob", TRAIN, {"InputDataConfig": channels({})}, {"InputDataConfig": channels(S3)}),
    ("a file system is in a network", "CreateTrainingJob", TRAIN, {"InputDataConfig": channels(FILES)}, {"InputDataConfig": channels(FILES), "VpcConfig": VPC}),
    ("channels are unpacked in Pipe mode only", "CreateTrainingJob", TRAIN, {"InputDataConfig": channels(S3, CompressionType="Gzip")}, {"InputDataConfig": channels(S3, CompressionType="Gzip", InputMode="Pipe")}),
    ("no key for the instance's own disks", "CreateTrainingJob", TRAIN, {"ResourceConfig": {**KEYED, "InstanceType": "ml.g5.xlarge"}}, {"ResourceConfig": KEYED}),
    ("no key for the instance's own disks", "CreateProcessingJob", PROCESS, {"ProcessingResources": {"ClusterConfig": {**KEYED, "InstanceType": "ml.g4dn.xlarge"}}}, {"ProcessingResources": {"ClusterConfig": KEYED}}),
    ("no key for the instance's own disks", "CreateTransformJob", TRANSFORM, {"TransformResources": {**KEYED, "InstanceType": "ml.g4dn.xlarge"}}, {"TransformResources": KEYED}),
    ("no key for the instance's own disks", "CreateHyperParameterTuningJob", TUNE, {"TrainingJobDefinition": {"ResourceConfig": {**KEYED, "InstanceType": "ml.p4d.24xlarge"}}}, {"TrainingJobDefinition": {"ResourceConfig": KEYED}}),
    ("a processing input has one source", "CreateProcessingJob", PROCESS, {"ProcessingInputs": inputs(S3Input=INPUT, DatasetDefinition=DATASET)}, {"ProcessingInputs": inputs(S3Input=INPUT)}),
    ("a processing input has one source", "CreateProcessingJob", PROCESS, {"ProcessingInputs": inputs()}, {"ProcessingInputs": inputs(DatasetDefinition=DATASET)}),
    ("a processing input has a place", "CreateProcessingJob", PROCESS, {"ProcessingInputs": inputs(S3Input=PLACELESS)}, {"ProcessingInputs": inputs(S3Input=PLACELESS, AppManaged=True)}),
    ("processing inputs are unpacked in Pipe mode only", "CreateProcessingJob", PROCESS, {"ProcessingInputs": inputs(S3Input={**INPUT, "S3CompressionType": "Gzip"})}, {"ProcessingInputs": inputs(S3Input={**INPUT, "S3CompressionType": "Gzip", "S3InputMode": "Pipe"})}),
    ("a feature store is written by the application", "CreateProcessingJob", PROCESS, {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "o", "FeatureStoreOutput": {"FeatureGroupName": "g"}}]}}, {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "o", "FeatureStoreOutput": {"FeatureGroupName": "g"}, "AppManaged": True}]}}),
    ("many records need to be split", "CreateTransformJob", TRANSFORM, {"BatchStrategy": "MultiRecord"}, {"BatchStrategy": "MultiRecord", "TransformInput": SPLIT}),
    ("one container or several", "CreateModel", MODEL, {"PrimaryContainer": {"Image": IMAGE}, "Containers": [{"Image": IMAGE}]}, {"Containers": [{"Image": IMAGE}]}),
    ("all hostnames or none", "CreateModel", MODEL, {"Containers": [{"Image": IMAGE, "ContainerHostname": "a"}, {"Image": IMAGE}]}, {"Containers": [{"Image": IMAGE}, {"Image": IMAGE}]}),
    ("a version describes itself or names its source", "CreateModelPackage", PACKAGE, {"SourceUri": "s3://b/c", "InferenceSpecification": SPECIFIED}, {"InferenceSpecification": SPECIFIED}),
    ("a version has its own data only", "CreateModelPackage", PACKAGE, {"InferenceSpecification": {**SPECIFIED, "Containers": [{"Image": IMAGE, "AdditionalS3DataSource": MORE}]}}, {"InferenceSpecification": SPECIFIED}),
    ("serverless or instances", "CreateEndpointConfig", CONFIG, {"ProductionVariants": [{**VARIANT, "ServerlessConfig": SERVERLESS, "InstanceType": "ml.m5.large"}]}, {"ProductionVariants": [{**VARIANT, "ServerlessConfig": SERVERLESS}]}),
    ("provisioned within the maximum", "CreateEndpointConfig", CONFIG, {"ProductionVariants": [{**VARIANT, "ServerlessConfig": {**SERVERLESS, "ProvisionedConcurrency": 3}}]}, {"ProductionVariants": [{**VARIANT, "ServerlessConfig": {**SERVERLESS, "ProvisionedConcurrency": 2}}]}),
    ("one version of a pipeline", "StartPipelineExecution", {"PipelineName": "nobody", "ClientRequestToken": "a" * 32}, {"PipelineVersionId": 1, "PipelineVersionAlias": "live"}, {"PipelineVersionId": 1}),
    ("a closed domain has security groups", "CreateDomain", DOMAIN, {"AppNetworkAccessType": "VpcOnly"}, {"AppNetworkAccessType": "VpcOnly", "DefaultUserSettings": {"SecurityGroups": ["sg-1"]}}),
    ("an alarm looks back a day, or a week", "PutMetricAlarm", ALARM, {"Period": 60, "EvaluationPeriods": 1441}, {"Period": 60, "EvaluationPeriods": 1440}),
    ("an alarm looks back a day, or a week", "PutMetricAlarm", ALARM, {"Period": 3600, "EvaluationPeriods": 169}, {"Period": 3600, "EvaluationPeriods": 168}),
    ("parameters of a pipeline go to a pipeline", "PutTargets", {"Rule": "nobody"}, {"Targets": [{**TARGET, "SageMakerPipelineParameters": GIVEN}]}, {"Targets": [{**TARGET, "Arn": PIPELINE, "SageMakerPipelineParameters": GIVEN}]}),
]  # fmt: skip


def changed(request: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The request with the changes; structures are changed member by member, None takes a member away."""
    made = copy.deepcopy(request)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(made.get(name), dict):
            made[name] = changed(made[name], value)
        else:
            made[name] = value
    return {name: value for name, value in made.items() if value is not None}


def here(request: dict[str, Any], account: str) -> dict[str, Any]:
    """The request with the ARNs of this account."""
    made: dict[str, Any] = json.loads(json.dumps(request).replace("111122223333", account))
    return made


def answer(client: Any, action: str, request: dict[str, Any]) -> tuple[str, str]:
    """The code and the message of the refusal; empty if there is none."""
    try:
        client._make_api_call(action, request)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "", ""


def said(rule: rules.Rule) -> re.Pattern[str]:
    """The rule's message, whatever stands for the names in it."""
    return re.compile(".*".join(map(re.escape, re.split(r"\{\w+\}", rule.message))))


@pytest.mark.parametrize(("name", "action", "request_", "bad", "good"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)])  # fmt: skip
def test_a_rule_refuses_what_breaks_it_and_nothing_beside_it(
    boto: Callable[..., Any],
    local_aws: Server,
    name: str,
    action: str,
    request_: dict[str, Any],
    bad: Any,
    good: Any,
) -> None:
    [rule] = [one for one in rules.RULES if one.name == name]
    client, shape = boto(rule.service), operation(rule.service, action).input_shape
    wrong, right = (here(changed(request_, changes), local_aws.account) for changes in (bad, good))
    assert problems(shape, wrong) == [], "the model must not hold it"
    code, message = answer(client, action, wrong)
    assert code == rule.code, message
    assert said(rule).fullmatch(message)
    assert not list(rules.broken(rule.service, action, right))
    assert not said(rule).fullmatch(answer(client, action, right)[1])


def test_every_rule_is_met_and_says_where_it_is_written() -> None:
    assert {rule.name for rule in rules.RULES} == {case[0] for case in CASES}
    assert len({rule.name for rule in rules.RULES}) == len(rules.RULES)
    assert all(rule.source for rule in rules.RULES)


def test_a_rule_names_actions_that_there_are() -> None:
    assert [operation(rule.service, action).name for rule in rules.RULES for action in rule.actions]


def test_who_may_not_ask_hears_that_first(boto: Callable[..., Any], local_aws: Server) -> None:
    iam = boto("iam")
    iam.create_user(UserName="eve")
    key = iam.create_access_key(UserName="eve")["AccessKey"]
    eve = Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1").client(
        "sagemaker", endpoint_url=local_aws.url
    )
    request = here(changed(TRAIN, {"EnableManagedSpotTraining": True}), local_aws.account)
    code, _ = answer(eve, "CreateTrainingJob", request)
    assert code == "AccessDeniedException"
