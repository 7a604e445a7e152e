"""What requests need, service by service."""

from __future__ import annotations

from typing import Any

import pytest

from kit.local_aws.authorization import Ask, Place, asks

PLACE = Place("123456789012", "eu-west-1")
ROLE = "arn:aws:iam::123456789012:role/EbaExecution"
SAGEMAKER = "arn:aws:sagemaker:eu-west-1:123456789012:"


def needed(service: str, operation: str, **params: Any) -> list[tuple[str, str]]:
    return [(ask.action, ask.resource) for ask in asks(service, operation, params, PLACE)]


def keys(service: str, operation: str, **params: Any) -> dict[str, Any]:
    return dict(asks(service, operation, params, PLACE)[0].context)


@pytest.mark.parametrize(
    ("operation", "params", "action", "resource"),
    [
        ("ListBuckets", {}, "s3:ListAllMyBuckets", "*"),
        ("ListObjectsV2", {"Bucket": "b"}, "s3:ListBucket", "arn:aws:s3:::b"),
        ("HeadBucket", {"Bucket": "b"}, "s3:ListBucket", "arn:aws:s3:::b"),
        ("HeadObject", {"Bucket": "b", "Key": "k"}, "s3:GetObject", "arn:aws:s3:::b/k"),
        (
            "GetObject",
            {"Bucket": "b", "Key": "k", "VersionId": "v"},
            "s3:GetObjectVersion",
            "arn:aws:s3:::b/k",
        ),
        ("UploadPart", {"Bucket": "b", "Key": "k"}, "s3:PutObject", "arn:aws:s3:::b/k"),
        ("PutBucketEncryption", {"Bucket": "b"}, "s3:PutEncryptionConfiguration", "arn:aws:s3:::b"),
        ("PutPublicAccessBlock", {"Bucket": "b"}, "s3:PutBucketPublicAccessBlock", "arn:aws:s3:::b"),
        ("PutBucketPolicy", {"Bucket": "b"}, "s3:PutBucketPolicy", "arn:aws:s3:::b"),
    ],
)
def test_s3_operations_have_the_actions_of_iam(
    operation: str, params: dict[str, Any], action: str, resource: str
) -> None:
    assert needed("s3", operation, **params) == [(action, resource)]


def test_s3_asks_for_each_object_that_is_read_written_or_deleted() -> None:
    copy = needed("s3", "CopyObject", Bucket="to", Key="k", CopySource="from/a%20b?versionId=1")
    assert copy == [("s3:GetObjectVersion", "arn:aws:s3:::from/a b"), ("s3:PutObject", "arn:aws:s3:::to/k")]
    deleted = needed(
        "s3", "DeleteObjects", Bucket="b", Delete={"Objects": [{"Key": "x"}, {"Key": "y", "VersionId": "1"}]}
    )
    assert deleted == [
        ("s3:DeleteObject", "arn:aws:s3:::b/x"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::b/y"),
    ]
    put = needed("s3", "PutObject", Bucket="b", Key="k", ACL="public-read")
    assert put == [("s3:PutObject", "arn:aws:s3:::b/k"), ("s3:PutObjectAcl", "arn:aws:s3:::b/k")]
    assert needed("s3control", "PutPublicAccessBlock", AccountId="1") == [
        ("s3:PutAccountPublicAccessBlock", "*")
    ]


def test_s3_tells_conditions_how_an_object_is_encrypted_and_what_is_listed() -> None:
    put = keys("s3", "PutObject", Bucket="b", Key="k", ServerSideEncryption="aws:kms", SSEKMSKeyId="key")
    assert put["s3:x-amz-server-side-encryption"] == "aws:kms"
    assert put["s3:x-amz-server-side-encryption-aws-kms-key-id"] == "key"
    assert keys("s3", "ListObjectsV2", Bucket="b", Prefix="p/", MaxKeys=10) == {
        "s3:prefix": "p/",
        "s3:max-keys": "10",
    }
    assert keys("s3", "ListObjectsV2", Bucket="b") == {"s3:prefix": ""}


def test_a_job_needs_its_action_its_tags_and_the_passing_of_its_role() -> None:
    found = asks(
        "sagemaker",
        "CreateTrainingJob",
        {
            "TrainingJobName": "Eba-M1",
            "RoleArn": ROLE,
            "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "VolumeKmsKeyId": "volume"},
            "OutputDataConfig": {"S3OutputPath": "s3://b/", "KmsKeyId": "output"},
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1", "sg-2"]},
            "EnableInterContainerTrafficEncryption": True,
            "Tags": [{"Key": "team", "Value": "blue"}],
        },
        PLACE,
    )
    job = f"{SAGEMAKER}training-job/eba-m1"
    assert [(ask.action, ask.resource) for ask in found] == [
        ("sagemaker:CreateTrainingJob", job),
        ("sagemaker:AddTags", job),
        ("iam:PassRole", ROLE),
    ]
    assert found[0].context == {
        "aws:RequestTag/team": "blue",
        "aws:TagKeys": ["team"],
        "sagemaker:InstanceTypes": ["ml.m5.xlarge"],
        "sagemaker:VolumeKmsKey": ["volume"],
        "sagemaker:OutputKmsKey": "output",
        "sagemaker:VpcSubnets": ["subnet-1"],
        "sagemaker:VpcSecurityGroupIds": ["sg-1", "sg-2"],
        "sagemaker:InterContainerTrafficEncryption": [True],
        "sagemaker:NetworkIsolation": [False],
    }
    assert found[2].context["iam:PassedToService"] == "sagemaker.amazonaws.com"


@pytest.mark.parametrize(
    ("service", "operation", "params", "expected"),
    [
        ("cloudformation", "DescribeStacks", {}, [("cloudformation:DescribeStacks", "*")]),
        ("cloudformation", "DescribeStacks", {"StackName": "eba"}, [("cloudformation:DescribeStacks", "arn:aws:cloudformation:eu-west-1:123456789012:stack/eba/*")]),
        ("cloudtrail", "DescribeTrails", {"TrailName": "eba"}, [("cloudtrail:DescribeTrails", "*")]),
        ("sagemaker", "ListTrainingJobs", {"NameContains": "x"}, [("sagemaker:ListTrainingJobs", "*")]),
        ("sagemaker", "Search", {"Resource": "TrainingJob"}, [("sagemaker:Search", "*")]),
        ("sagemaker", "StopProcessingJob", {"ProcessingJobName": "p"}, [("sagemaker:StopProcessingJob", f"{SAGEMAKER}processing-job/p")]),
        ("sagemaker", "DescribeUserProfile", {"DomainId": "d-1", "UserProfileName": "ann"}, [("sagemaker:DescribeUserProfile", f"{SAGEMAKER}user-profile/d-1/ann")]),
        ("sagemaker", "CreatePresignedDomainUrl", {"DomainId": "d-1", "UserProfileName": "ann"}, [("sagemaker:CreatePresignedDomainUrl", f"{SAGEMAKER}user-profile/d-1/ann")]),
        ("sagemaker", "CreateModelPackage", {"ModelPackageGroupName": "eba"}, [("sagemaker:CreateModelPackage", f"{SAGEMAKER}model-package/eba/1")]),
        ("sagemaker", "UpdateModelPackage", {"ModelPackageArn": f"{SAGEMAKER}model-package/eba/3"}, [("sagemaker:UpdateModelPackage", f"{SAGEMAKER}model-package/eba/3")]),
        ("sagemaker", "CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, [("sagemaker:CreateEndpoint", f"{SAGEMAKER}endpoint-config/c"), ("sagemaker:CreateEndpoint", f"{SAGEMAKER}endpoint/e")]),
        ("sagemaker", "UpdateEndpointWeightsAndCapacities", {"EndpointName": "e"}, [("sagemaker:UpdateEndpointWeightsAndCapacities", f"{SAGEMAKER}endpoint/e")]),
        ("sagemaker", "StartPipelineExecution", {"PipelineName": "eba-p"}, [("sagemaker:StartPipelineExecution", f"{SAGEMAKER}pipeline/eba-p")]),
        ("sagemaker", "StopPipelineExecution", {"PipelineExecutionArn": f"{SAGEMAKER}pipeline/p/execution/1"}, [("sagemaker:StopPipelineExecution", f"{SAGEMAKER}pipeline/p/execution/1")]),
        ("sagemaker", "AddTags", {"ResourceArn": f"{SAGEMAKER}model/m"}, [("sagemaker:AddTags", f"{SAGEMAKER}model/m")]),
        ("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "E"}, [("sagemaker:InvokeEndpoint", f"{SAGEMAKER}endpoint/e")]),
        ("sagemaker-featurestore-runtime", "PutRecord", {"FeatureGroupName": "f"}, [("sagemaker:PutRecord", f"{SAGEMAKER}feature-group/f")]),
        ("sagemaker-featurestore-runtime", "BatchGetRecord", {"Identifiers": [{"FeatureGroupName": "f"}, {"FeatureGroupName": "g"}]}, [("sagemaker:BatchGetRecord", f"{SAGEMAKER}feature-group/f"), ("sagemaker:BatchGetRecord", f"{SAGEMAKER}feature-group/g")]),
        ("sagemaker-featurestore-runtime", "BatchWriteRecord", {"Entries": [{"FeatureGroupName": "f"}, {"FeatureGroupName": "g"}]}, [("sagemaker:BatchWriteRecord", f"{SAGEMAKER}feature-group/f"), ("sagemaker:BatchWriteRecord", f"{SAGEMAKER}feature-group/g")]),
        ("sagemaker-metrics", "BatchPutMetrics", {"TrialComponentName": "t"}, [("sagemaker:BatchPutMetrics", f"{SAGEMAKER}experiment-trial-component/t")]),
        ("iam", "GetRole", {"RoleName": "r"}, [("iam:GetRole", "arn:aws:iam::123456789012:role/r")]),
        ("iam", "CreateRole", {"RoleName": "r", "Path": "/lab/"}, [("iam:CreateRole", "arn:aws:iam::123456789012:role/lab/r")]),
        ("iam", "SimulatePrincipalPolicy", {"PolicySourceArn": ROLE}, [("iam:SimulatePrincipalPolicy", ROLE)]),
        ("iam", "ListRoles", {}, [("iam:ListRoles", "*")]),
        ("iam", "CreatePolicy", {"PolicyName": "p"}, [("iam:CreatePolicy", "arn:aws:iam::123456789012:policy/p")]),
        ("sts", "GetCallerIdentity", {}, []),
        ("sts", "AssumeRole", {"RoleArn": ROLE, "RoleSessionName": "s", "Tags": [{"Key": "a", "Value": "b"}]}, [("sts:AssumeRole", ROLE), ("sts:TagSession", ROLE)]),
        ("logs", "GetLogEvents", {"logGroupName": "/g", "logStreamName": "s"}, [("logs:GetLogEvents", "arn:aws:logs:eu-west-1:123456789012:log-group:/g:log-stream:s")]),
        ("logs", "DescribeLogGroups", {"logGroupNamePrefix": "/g"}, [("logs:DescribeLogGroups", "*")]),
        ("cloudwatch", "PutMetricAlarm", {"AlarmName": "a"}, [("cloudwatch:PutMetricAlarm", "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a")]),
        ("cloudwatch", "DescribeAlarms", {"AlarmNames": ["a"]}, [("cloudwatch:DescribeAlarms", "*")]),
        ("kinesis", "DescribeStream", {"StreamName": "s"}, [("kinesis:DescribeStream", "arn:aws:kinesis:eu-west-1:123456789012:stream/s")]),
        ("kinesis", "PutRecords", {"StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s"}, [("kinesis:PutRecords", "arn:aws:kinesis:eu-west-1:123456789012:stream/s")]),
        ("kinesis", "ListStreams", {}, [("kinesis:ListStreams", "*")]),
        ("firehose", "CreateDeliveryStream", {"DeliveryStreamName": "s", "ExtendedS3DestinationConfiguration": {"RoleARN": ROLE}, "Tags": [{"Key": "a", "Value": "b"}]}, [("firehose:CreateDeliveryStream", "arn:aws:firehose:eu-west-1:123456789012:deliverystream/s"), ("firehose:TagDeliveryStream", "arn:aws:firehose:eu-west-1:123456789012:deliverystream/s"), ("iam:PassRole", ROLE)]),
        ("cloudwatch", "PutDashboard", {"DashboardName": "d"}, [("cloudwatch:PutDashboard", "arn:aws:cloudwatch::123456789012:dashboard/d")]),
        ("kms", "Encrypt", {"KeyId": "k"}, [("kms:Encrypt", "arn:aws:kms:eu-west-1:123456789012:key/k")]),
        ("kms", "CreateAlias", {"AliasName": "alias/a", "TargetKeyId": "k"}, [("kms:CreateAlias", "arn:aws:kms:eu-west-1:123456789012:alias/a"), ("kms:CreateAlias", "arn:aws:kms:eu-west-1:123456789012:key/k")]),
        ("kms", "ListKeys", {}, [("kms:ListKeys", "*")]),
        ("glue", "GetTable", {"DatabaseName": "d", "Name": "t"}, [("glue:GetTable", f"arn:aws:glue:eu-west-1:123456789012:{part}") for part in ("catalog", "database/d", "table/d/t")]),
        ("glue", "CreateDatabase", {"DatabaseInput": {"Name": "d"}}, [("glue:CreateDatabase", f"arn:aws:glue:eu-west-1:123456789012:{part}") for part in ("catalog", "database/d")]),
        ("athena", "StartQueryExecution", {"QueryString": "q"}, [("athena:StartQueryExecution", "arn:aws:athena:eu-west-1:123456789012:workgroup/primary")]),
        ("athena", "GetQueryResults", {"QueryExecutionId": "q"}, [("athena:GetQueryResults", "arn:aws:athena:eu-west-1:123456789012:query-execution/q")]),
        ("athena", "CreateWorkGroup", {"Name": "eba"}, [("athena:CreateWorkGroup", "arn:aws:athena:eu-west-1:123456789012:workgroup/eba")]),
        ("events", "PutRule", {"Name": "r"}, [("events:PutRule", "arn:aws:events:eu-west-1:123456789012:rule/r")]),
        ("events", "PutTargets", {"Rule": "r", "Targets": [{"RoleArn": ROLE}]}, [("events:PutTargets", "arn:aws:events:eu-west-1:123456789012:rule/r"), ("iam:PassRole", ROLE)]),
        ("events", "PutEvents", {"Entries": [{}]}, [("events:PutEvents", "arn:aws:events:eu-west-1:123456789012:event-bus/default")]),
        ("guardduty", "CreateDetector", {"Enable": True}, [("guardduty:CreateDetector", "*")]),
    ],
)  # fmt: skip
def test_an_operation_needs_these(
    service: str, operation: str, params: dict[str, Any], expected: list[Any]
) -> None:
    assert needed(service, operation, **params) == expected


def test_what_is_attached_or_measured_can_be_a_condition() -> None:
    attached = keys("iam", "AttachRolePolicy", RoleName="r", PolicyArn="arn:aws:iam::aws:policy/X")
    assert attached == {"iam:PolicyARN": "arn:aws:iam::aws:policy/X"}
    boundary = keys("iam", "CreateRole", RoleName="r", PermissionsBoundary="arn:aws:iam::1:policy/B")
    assert boundary == {"iam:PermissionsBoundary": "arn:aws:iam::1:policy/B"}
    assert keys("cloudwatch", "PutMetricData", Namespace="eba/kpi", MetricData=[]) == {
        "cloudwatch:namespace": "eba/kpi"
    }
    approval = {"ModelPackageArn": f"{SAGEMAKER}model-package/e/1", "ModelApprovalStatus": "Approved"}
    assert keys("sagemaker", "UpdateModelPackage", **approval) == {
        "sagemaker:ModelApprovalStatus": ["Approved"]
    }


def test_other_partitions_keep_their_name() -> None:
    place = Place("123456789012", "cn-north-1", "aws-cn")
    [ask] = asks("sagemaker", "DescribeModel", {"ModelName": "m"}, place)
    assert ask == Ask("sagemaker:DescribeModel", "arn:aws-cn:sagemaker:cn-north-1:123456789012:model/m")
