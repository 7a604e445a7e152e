"""AWS Config: what its managed rules say of what is really in the account."""

from __future__ import annotations

import json
from typing import Any

import pytest
from accounts import ACCOUNT, Account, allow, text
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue

from kit.local_aws.config_rules import RULES


def recording(account: Account) -> Any:
    """A client of AWS Config, with a recorder that records."""
    config = account.client("config")
    account.role("config", allow("config:*"))
    recorder = {"name": "default", "roleARN": f"arn:aws:iam::{ACCOUNT}:role/config"}
    config.put_configuration_recorder(ConfigurationRecorder=recorder)
    config.put_delivery_channel(DeliveryChannel={"name": "default", "s3BucketName": "eba"})
    config.start_configuration_recorder(ConfigurationRecorderName="default")
    return config


def put(config: Any, identifier: str, **parameters: str) -> str:
    """The name of a new managed rule."""
    name = identifier.lower().replace("_", "-")
    rule = {"ConfigRuleName": name, "Source": {"Owner": "AWS", "SourceIdentifier": identifier}}
    if parameters:
        rule["InputParameters"] = json.dumps(parameters)
    config.put_config_rule(ConfigRule=rule)
    return name


def verdicts(config: Any, name: str) -> dict[str, str]:
    """What the rule says now of each resource."""
    config.start_config_rules_evaluation(ConfigRuleNames=[name])
    rows = config.get_compliance_details_by_config_rule(ConfigRuleName=name)["EvaluationResults"]
    return {
        row["EvaluationResultIdentifier"]["EvaluationResultQualifier"]["ResourceId"]: row["ComplianceType"]
        for row in rows
    }


GOOD, BAD = "COMPLIANT", "NON_COMPLIANT"


def test_buckets_are_looked_at_one_by_one(account: Account) -> None:
    config, s3 = recording(account), account.client("s3")
    s3.create_bucket(Bucket="open")
    s3.put_bucket_versioning(Bucket="eba", VersioningConfiguration={"Status": "Enabled"})
    s3.delete_public_access_block(Bucket="open")
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::open/*",
    }
    s3.put_bucket_policy(Bucket="open", Policy=text(everybody))
    plain = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::eba", "arn:aws:s3:::eba/*"],
             "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    s3.put_bucket_policy(Bucket="eba", Policy=text(plain))
    eba_is_better = {"eba": GOOD, "open": BAD}
    for identifier in (
        "S3_BUCKET_VERSIONING_ENABLED",
        "S3_BUCKET_PUBLIC_READ_PROHIBITED",
        "S3_BUCKET_SSL_REQUESTS_ONLY",
        "S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED",
    ):
        assert verdicts(config, put(config, identifier)) == eba_is_better, identifier
    assert verdicts(config, put(config, "S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED")) == {
        "eba": GOOD,
        "open": GOOD,
    }
    restrict = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    s3.put_public_access_block(Bucket="open", PublicAccessBlockConfiguration=restrict)
    assert verdicts(config, "s3-bucket-public-read-prohibited") == {"eba": GOOD, "open": GOOD}


@pytest.mark.parametrize(
    "change",
    [
        {"Resource": "arn:aws:s3:::eba/*"},
        {"Action": "s3:GetObject"},
        {"Principal": {"AWS": "123456789012"}},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {
            "Condition": {
                "Bool": {"aws:SecureTransport": "false"},
                "StringEquals": {"aws:PrincipalAccount": "1"},
            }
        },
    ],
)
def test_a_policy_that_refuses_only_some_plain_requests_is_not_enough(
    account: Account, change: dict[str, Any]
) -> None:
    config = recording(account)
    plain = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::eba", "arn:aws:s3:::eba/*"],
             "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    account.client("s3").put_bucket_policy(Bucket="eba", Policy=text(plain | change))
    name = put(config, "S3_BUCKET_SSL_REQUESTS_ONLY")
    config.start_config_rules_evaluation(ConfigRuleNames=[name])
    [row] = config.get_compliance_details_by_config_rule(ConfigRuleName=name)["EvaluationResults"]
    assert row["ComplianceType"] == BAD
    assert "SSL" in row["Annotation"]


def test_people_policies_and_the_password_policy(account: Account) -> None:
    config, iam = recording(account), account.client("iam")
    account.user("ann", allow())
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]["SerialNumber"]
    iam.create_user(UserName="bob")
    iam.enable_mfa_device(
        UserName="bob", SerialNumber=device, AuthenticationCode1="123456", AuthenticationCode2="654321"
    )
    assert verdicts(config, put(config, "IAM_USER_MFA_ENABLED")) == {"ann": BAD, "bob": GOOD}
    iam.create_policy(PolicyName="admin", PolicyDocument=text(allow(["*"])))
    iam.create_policy(PolicyName="some", PolicyDocument=text(allow("s3:*")))
    assert verdicts(config, put(config, "IAM_POLICY_NO_STATEMENTS_WITH_ADMIN_ACCESS")) == {
        "admin": BAD,
        "some": GOOD,
    }
    name = put(config, "IAM_PASSWORD_POLICY", MinimumPasswordLength="16")
    assert verdicts(config, name) == {ACCOUNT: BAD}
    strong = {"MinimumPasswordLength": 16, "RequireSymbols": True, "RequireNumbers": True, "RequireUppercaseCharacters": True,
              "RequireLowercaseCharacters": True, "MaxPasswordAge": 90, "PasswordReusePrevention": 24}  # fmt: skip
    iam.update_account_password_policy(**strong)
    assert verdicts(config, name) == {ACCOUNT: GOOD}
    iam.update_account_password_policy(**strong | {"MinimumPasswordLength": 15})
    assert verdicts(config, name) == {ACCOUNT: BAD}


def test_tags_trails_and_detectors(account: Account) -> None:
    config, s3 = recording(account), account.client("s3")
    name = put(config, "REQUIRED_TAGS", tag1Key="owner", tag2Key="class", tag2Value="open,secret")
    assert verdicts(config, name)["eba"] == BAD
    for value, verdict in (("other", BAD), ("secret", GOOD)):
        tags = [{"Key": "owner", "Value": "ann"}, {"Key": "class", "Value": value}]
        s3.put_bucket_tagging(Bucket="eba", Tagging={"TagSet": tags})
        assert verdicts(config, name)["eba"] == verdict
    trail = put(config, "CLOUD_TRAIL_ENABLED")
    assert verdicts(config, trail) == {ACCOUNT: BAD}
    account.client("cloudtrail").create_trail(Name="logs", S3BucketName="eba")
    assert verdicts(config, trail) == {ACCOUNT: BAD}, "it does not log yet"
    account.client("cloudtrail").start_logging(Name="logs")
    assert verdicts(config, trail) == {ACCOUNT: GOOD}
    detector = put(config, "GUARDDUTY_ENABLED_CENTRALIZED")
    assert verdicts(config, detector) == {ACCOUNT: BAD}
    account.client("guardduty").create_detector(Enable=True)
    assert verdicts(config, detector) == {ACCOUNT: GOOD}
    hub = put(config, "SECURITYHUB_ENABLED")
    account.client("securityhub").enable_security_hub()
    assert verdicts(config, hub) == {ACCOUNT: GOOD}


def test_endpoint_configurations_need_a_key(account: Account) -> None:
    config, sagemaker = recording(account), account.client("sagemaker")
    role = account.role("execution", allow("s3:*"), trusts=ACCOUNT)
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    account.client("iam").update_assume_role_policy(RoleName="execution", PolicyDocument=text(trust))
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "image"}, ExecutionRoleArn=role)
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="plain", ProductionVariants=[variant])
    sagemaker.create_endpoint_config(
        EndpointConfigName="locked", ProductionVariants=[variant], KmsKeyId="alias/eba"
    )
    name = put(config, "SAGEMAKER_ENDPOINT_CONFIGURATION_KMS_KEY_CONFIGURED")
    assert verdicts(config, name) == {"plain": BAD, "locked": GOOD}


def test_notebooks_have_no_direct_way_to_the_internet(account: Account) -> None:
    config, sagemaker = recording(account), account.client("sagemaker")
    role = account.role("notebooks", allow("s3:*"))
    for name, internet in (
        ("open", {}),
        ("closed", {"DirectInternetAccess": "Disabled", "SubnetId": "subnet-1"}),
    ):
        sagemaker.create_notebook_instance(
            NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=role, **internet
        )
    name = put(config, "SAGEMAKER_NOTEBOOK_NO_DIRECT_INTERNET_ACCESS")
    assert verdicts(config, name) == {"open": BAD, "closed": GOOD}


def test_a_rule_that_is_not_evaluated_has_no_data_and_an_unknown_one_is_told(account: Account) -> None:
    config = recording(account)
    name = put(config, "ENCRYPTED_VOLUMES")
    config.start_config_rules_evaluation(ConfigRuleNames=[name])
    [row] = config.describe_compliance_by_config_rule(ConfigRuleNames=[name])["ComplianceByConfigRules"]
    assert row["Compliance"] == {"ComplianceType": "INSUFFICIENT_DATA"}
    for ask in (config.describe_compliance_by_config_rule, config.start_config_rules_evaluation):
        with pytest.raises(ClientError, match="NoSuchConfigRuleException"):
            ask(ConfigRuleNames=["nope"])


def test_nothing_is_evaluated_without_a_recorder(account: Account) -> None:
    config = account.client("config")
    name = put(config, "S3_BUCKET_VERSIONING_ENABLED")
    with pytest.raises(ClientError, match="NoAvailableConfigurationRecorder"):
        config.start_config_rules_evaluation(ConfigRuleNames=[name])
    [row] = config.describe_compliance_by_config_rule()["ComplianceByConfigRules"]
    assert row["Compliance"]["ComplianceType"] == "INSUFFICIENT_DATA"


def test_rules_are_counted_timed_and_paged(account: Account) -> None:
    config, s3 = recording(account), account.client("s3")
    name = put(config, "S3_BUCKET_VERSIONING_ENABLED")
    for number in range(30):
        s3.create_bucket(Bucket=f"bucket-{number:02}")
    put(config, "IAM_USER_MFA_ENABLED")
    config.start_config_rules_evaluation()
    [bad] = config.describe_compliance_by_config_rule(ComplianceTypes=[BAD])["ComplianceByConfigRules"]
    assert bad["ConfigRuleName"] == name
    assert bad["Compliance"]["ComplianceContributorCount"] == {"CappedCount": 25, "CapExceeded": True}
    pages = config.get_paginator("get_compliance_details_by_config_rule").paginate(ConfigRuleName=name, PaginationConfig={"PageSize": 10})  # fmt: skip
    assert [len(page["EvaluationResults"]) for page in pages] == [10, 10, 10, 1]
    status = config.describe_config_rule_evaluation_status(ConfigRuleNames=[name])[
        "ConfigRulesEvaluationStatus"
    ][0]
    assert status["LastSuccessfulEvaluationTime"] >= status["FirstActivatedTime"]
    summary = config.get_compliance_summary_by_config_rule()["ComplianceSummary"]
    assert summary["NonCompliantResourceCount"]["CappedCount"] == 1


def test_a_change_of_compliance_is_an_event(account: Account) -> None:
    config, bus = recording(account), account.client("events")
    queue, arn = hearing_queue(account.client("sqs"), "compliance")
    pattern = {
        "source": ["aws.config"],
        "detail": {"newEvaluationResult": {"complianceType": ["NON_COMPLIANT"]}},
    }
    bus.put_rule(Name="worse", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="worse", Targets=[{"Id": "queue", "Arn": arn}])
    name = put(config, "S3_BUCKET_VERSIONING_ENABLED")
    config.start_config_rules_evaluation(ConfigRuleNames=[name])
    [event] = heard(account.client("sqs"), queue)
    detail = event["detail"]
    assert (detail["resourceId"], detail["configRuleName"]) == ("eba", name)


def test_the_rules_are_managed_rules_of_aws() -> None:
    from moto.config.models import MANAGED_RULES_CONSTRAINTS

    assert set(RULES) <= set(MANAGED_RULES_CONSTRAINTS)
