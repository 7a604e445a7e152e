"""Real calls with the keys of users and role sessions, at a local AWS that holds them to their policies."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from accounts import ACCOUNT, REGION, Account, allow, deny, refused, text
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from hearing import soon


def test_a_session_may_do_what_its_role_may_and_no_more(account: Account) -> None:
    arn = account.role("reader", allow("s3:GetObject", "arn:aws:s3:::eba/a/*"))
    s3 = account.client("s3", account.session(arn))
    assert s3.get_object(Bucket="eba", Key="a/1")["Body"].read() == b"1"
    said = refused(s3.put_object, Bucket="eba", Key="a/1", Body=b"2")
    assert (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/reader/lab is not authorized to perform: s3:PutObject"
        in said
    )
    assert "because no identity-based policy allows the s3:PutObject action" in said
    assert account.client("s3").get_object(Bucket="eba", Key="a/1")["Body"].read() == b"1"
    refused(s3.list_objects_v2, Bucket="eba")
    refused(account.client("iam", account.session(arn)).create_user, UserName="eve")
    identity = account.client("sts", account.session(arn)).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/lab"


def test_a_user_is_held_to_its_policies_and_the_administrator_to_none(account: Account) -> None:
    ann = account.user("ann", allow("s3:*", "arn:aws:s3:::eba/home/${aws:username}/*"), deny("s3:Delete*"))
    s3 = account.client("s3", ann)
    s3.put_object(Bucket="eba", Key="home/ann/x", Body=b"")
    refused(s3.put_object, Bucket="eba", Key="home/bob/x", Body=b"")
    said = refused(s3.delete_object, Bucket="eba", Key="home/ann/x")
    assert said.endswith("with an explicit deny in an identity-based policy")
    account.client("s3").delete_object(Bucket="eba", Key="home/ann/x")


def test_a_bucket_policy_counts_for_and_against(account: Account) -> None:
    arn = account.role("reader", allow("s3:GetObject", "arn:aws:s3:::eba/*"))
    account.client("s3").put_bucket_policy(
        Bucket="eba",
        Policy=text(
            {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::eba/in/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::eba/a/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::eba/*",
             "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}},
        ),
    )  # fmt: skip
    s3 = account.client("s3", account.session(arn))
    s3.put_object(Bucket="eba", Key="in/x", Body=b"", ServerSideEncryption="aws:kms")
    assert "explicit deny in a resource-based policy" in refused(
        s3.put_object, Bucket="eba", Key="in/x", Body=b""
    )
    assert "explicit deny in a resource-based policy" in refused(s3.get_object, Bucket="eba", Key="a/1")


def test_a_query_is_asked_for_by_its_workgroup(account: Account) -> None:
    mine = f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/eba*"
    arn = account.role("asker", allow("athena:*", mine), allow("s3:*"))
    admin, athena = account.client("athena"), account.client("athena", account.session(arn))
    where = {"OutputLocation": "s3://eba/answers"}
    admin.create_work_group(Name="eba-x")
    asked = {"QueryString": "select 1", "ResultConfiguration": where}
    inside = athena.start_query_execution(**asked, WorkGroup="eba-x")["QueryExecutionId"]
    outside = admin.start_query_execution(**asked)["QueryExecutionId"]
    assert athena.get_query_execution(QueryExecutionId=inside)["QueryExecution"]["WorkGroup"] == "eba-x"
    assert "workgroup/primary" in refused(athena.get_query_execution, QueryExecutionId=outside)
    assert "workgroup/primary" in refused(athena.get_query_execution, QueryExecutionId="nowhere")
    assert "workgroup/primary" in refused(
        athena.batch_get_query_execution, QueryExecutionIds=[inside, outside]
    )
    assert "workgroup/primary" in refused(athena.start_query_execution, **asked)

    def ended(query: str) -> bool:
        found = admin.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]["State"]
        return found in ("SUCCEEDED", "FAILED")

    assert soon(lambda: ended(inside) and ended(outside))  # or they would end in the account of a later test


def test_a_role_is_assumed_only_by_whom_it_trusts_and_who_may(account: Account) -> None:
    ann = account.user("ann", allow("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/open"))
    opened, closed = account.role("open", allow()), account.role("closed", allow(), trusts="444455556666")
    assert account.session(opened, ann)
    refused(account.client("sts", ann).assume_role, RoleArn=closed, RoleSessionName="me")
    bob = account.user("bob", allow("s3:*"))
    assert "no identity-based policy" in refused(
        account.client("sts", bob).assume_role, RoleArn=opened, RoleSessionName="me"
    )


def test_a_boundary_and_a_session_policy_limit_real_calls(account: Account) -> None:
    limit = account.client("iam").create_policy(PolicyName="limit", PolicyDocument=text(allow("s3:*")))[
        "Policy"
    ]["Arn"]
    arn = account.role("builder", allow(), PermissionsBoundary=limit)
    assert "no permissions boundary allows" in refused(account.client("iam", account.session(arn)).list_users)
    narrow = account.session(arn, Policy=text(allow("s3:ListBucket")))
    account.client("s3", narrow).list_objects_v2(Bucket="eba")
    assert "no session policy allows" in refused(
        account.client("s3", narrow).get_object, Bucket="eba", Key="a/1"
    )


def test_who_changes_a_role_is_asked_for_the_boundary_that_it_has(account: Account) -> None:
    limit = account.client("iam").create_policy(PolicyName="limit", PolicyDocument=text(allow()))["Policy"][
        "Arn"
    ]
    for name, bounded in (("eba-in", {"PermissionsBoundary": limit}), ("eba-out", {})):
        account.role(name, allow("s3:*"), **bounded)
    by_limit = {"StringEquals": {"iam:PermissionsBoundary": limit}}
    arn = account.role("maker", allow("iam:*Role*Policy", "arn:aws:iam::*:role/eba-*", Condition=by_limit))
    iam = account.client("iam", account.session(arn))
    more = {"PolicyName": "more", "PolicyDocument": text(allow("sqs:*"))}
    iam.put_role_policy(RoleName="eba-in", **more)
    iam.delete_role_policy(RoleName="eba-in", PolicyName="more")
    assert "iam:PutRolePolicy" in refused(iam.put_role_policy, RoleName="eba-out", **more)
    assert "iam:DeleteRolePolicy" in refused(iam.delete_role_policy, RoleName="eba-out", PolicyName="own")
    refused(iam.get_role_policy, RoleName="eba-in", PolicyName="own")  # has no such key


def test_a_job_is_refused_on_its_instance_type_its_network_and_its_role(account: Account) -> None:
    execution = f"arn:aws:iam::{ACCOUNT}:role/EbaExecution"
    passing = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    arn = account.role(
        "scientist",
        allow(["sagemaker:*"]),
        allow("iam:PassRole", execution, Condition=passing),
        deny(
            "sagemaker:Create*Job",
            Condition={"ForAnyValue:StringNotLike": {"sagemaker:InstanceTypes": "ml.m5.*"}},
        ),
        deny("sagemaker:CreateTrainingJob", Condition={"Null": {"sagemaker:VpcSubnets": "true"}}),
    )
    sagemaker = account.client("sagemaker", account.session(arn))

    def train(instance: str = "ml.m5.large", role: str = execution, **more: Any) -> str:
        return refused(
            sagemaker.create_training_job,
            TrainingJobName="eba-m1",
            RoleArn=role,
            AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://eba/out"},
            ResourceConfig={"InstanceType": instance, "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            **more,
        )

    network = {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}
    assert "sagemaker:CreateTrainingJob" in train("ml.p4d.24xlarge", **network)
    assert "sagemaker:CreateTrainingJob" in train()
    assert "iam:PassRole on resource: arn:aws:iam::123456789012:role/Admin" in train(
        role=f"arn:aws:iam::{ACCOUNT}:role/Admin", **network
    )


def test_a_key_is_known_by_its_alias_and_its_policy_must_let_in(account: Account) -> None:
    kms = account.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/eba", TargetKeyId=key)
    named = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/eba"}}
    mine = account.client("kms", account.session(account.role("user", allow("kms:Encrypt", Condition=named))))
    other = account.client("kms", account.session(account.role("other", allow("kms:Decrypt"))))
    mine.encrypt(KeyId=key, Plaintext=b"x")
    sealed = mine.encrypt(KeyId="alias/eba", Plaintext=b"x")["CiphertextBlob"]
    opens = account.role("opens", allow("kms:Decrypt", Condition=named))
    opener = account.client("kms", account.session(opens))
    assert opener.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"  # the ciphertext says with which key
    refused(mine.decrypt, CiphertextBlob=sealed)
    refused(other.encrypt, KeyId=key, Plaintext=b"x")
    only = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/x"},
        "Action": "kms:*",
        "Resource": "*",
    }
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text(only))
    refused(mine.encrypt, KeyId=key, Plaintext=b"x")


def test_a_service_control_policy_stops_the_administrator_of_a_member_account(account: Account) -> None:
    member = account.member()
    organizations = account.client("organizations")
    root = organizations.list_roots()["Roots"][0]["Id"]
    inside = account.session(f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole")
    account.client("s3", inside).create_bucket(Bucket="member")
    organizations.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    guard = organizations.create_policy(
        Name="g", Description="", Type="SERVICE_CONTROL_POLICY", Content=text(deny("s3:DeleteBucket"))
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=guard, TargetId=member)
    said = refused(account.client("s3", inside).delete_bucket, Bucket="member")
    assert "explicit deny in a service control policy" in said


def test_another_accounts_bucket_needs_both_sides(account: Account) -> None:
    other_account = account.member()
    other = account.session(f"arn:aws:iam::{other_account}:role/OrganizationAccountAccessRole")
    s3 = account.client("s3", other)
    assert "no resource-based policy allows" in refused(s3.get_object, Bucket="eba", Key="a/1")
    share = {"Effect": "Allow", "Principal": {"AWS": other_account}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::eba/*"}  # fmt: skip
    account.client("s3").put_bucket_policy(Bucket="eba", Policy=text(share))
    assert s3.get_object(Bucket="eba", Key="a/1")["Body"].read() == b"1"


def test_an_invalid_request_is_not_let_through_unseen(account: Account) -> None:
    session = account.session(account.role("nobody", allow("sqs:*")))
    iam = session.client("iam", endpoint_url=account.url, config=Config(parameter_validation=False))
    refused(iam.create_user, UserName="*" * 100)


def test_a_request_that_came_in_the_clear_is_told_apart(account: Account) -> None:
    arn = account.role("reader", allow("s3:*"))
    tls = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::eba/*",
           "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    account.client("s3").put_bucket_policy(Bucket="eba", Policy=text(tls))
    s3 = account.client("s3", account.session(arn))
    s3.get_object(Bucket="eba", Key="a/1")

    def in_the_clear(request: Any, **_: Any) -> None:
        request.headers["X-Forwarded-Proto"] = "http"

    s3.meta.events.register("before-send.s3", in_the_clear)
    assert "explicit deny in a resource-based policy" in refused(s3.get_object, Bucket="eba", Key="a/1")


def test_conditions_of_a_bucket_policy_hold_for_the_administrator_and_for_anyone(account: Account) -> None:
    """moto's own reading of a bucket policy leaves its conditions out: see guard.take_over."""
    s3 = account.client("s3")
    tls = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::eba/*",
           "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    public = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::eba/public/*",
    }
    account.opened()
    s3.put_bucket_policy(Bucket="eba", Policy=text(tls, public))
    for key in ("public/x", "private/x"):
        s3.put_object(Bucket="eba", Key=key, Body=b"1")
        assert s3.get_object(Bucket="eba", Key=key)["Body"].read() == b"1"
    anyone = boto3.Session(region_name=REGION).client(
        "s3", endpoint_url=account.url, config=Config(signature_version=UNSIGNED)
    )
    assert anyone.get_object(Bucket="eba", Key="public/x")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="AccessDenied"):
        anyone.get_object(Bucket="eba", Key="private/x")


# Block Public Access


def everybody(action: str = "s3:GetObject") -> str:
    return text({"Effect": "Allow", "Principal": "*", "Action": action, "Resource": "arn:aws:s3:::eba/*"})


def anyone(account: Account) -> Any:
    unsigned = Config(signature_version=UNSIGNED)
    return boto3.Session(region_name=REGION).client("s3", endpoint_url=account.url, config=unsigned)


def test_a_new_bucket_is_private_and_stays_so(account: Account) -> None:
    s3 = account.client("s3")
    settings = s3.get_public_access_block(Bucket="eba")["PublicAccessBlockConfiguration"]
    assert set(settings.values()) == {True}
    assert len(settings) == 4
    rules = s3.get_bucket_encryption(Bucket="eba")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    ownership = s3.get_bucket_ownership_controls(Bucket="eba")["OwnershipControls"]["Rules"]
    assert ownership == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "BlockPublicPolicy" in refused(s3.put_bucket_policy, Bucket="eba", Policy=everybody())
    assert "BlockPublicAcls" in refused(s3.put_object, Bucket="eba", Key="x", Body=b"", ACL="public-read")
    assert "BlockPublicAcls" in refused(s3.put_bucket_acl, Bucket="eba", ACL="public-read")
    assert refused(anyone(account).get_object, Bucket="eba", Key="a/1") == "Access Denied"
    assert refused(anyone(account).put_object, Bucket="eba", Key="new", Body=b"") == "Access Denied"
    assert refused(anyone(account).list_objects_v2, Bucket="eba") == "Access Denied"


def test_a_bucket_that_was_opened_is_public_until_a_setting_closes_it(account: Account) -> None:
    s3 = account.client("s3")
    account.opened()
    s3.put_bucket_policy(Bucket="eba", Policy=everybody())
    assert s3.get_bucket_policy_status(Bucket="eba")["PolicyStatus"]["IsPublic"] is True
    assert anyone(account).get_object(Bucket="eba", Key="a/1")["Body"].read() == b"1"
    restrict = {"BlockPublicAcls": False, "IgnorePublicAcls": False, "BlockPublicPolicy": False, "RestrictPublicBuckets": True}  # fmt: skip
    s3.put_public_access_block(Bucket="eba", PublicAccessBlockConfiguration=restrict)
    assert refused(anyone(account).get_object, Bucket="eba", Key="a/1") == "Access Denied"
    arn = account.role("reader", allow("s3:GetObject"))
    assert (
        account.client("s3", account.session(arn)).get_object(Bucket="eba", Key="a/1")["Body"].read() == b"1"
    )
    other = account.session(f"arn:aws:iam::{account.member()}:role/OrganizationAccountAccessRole")
    assert "RestrictPublicBuckets" in refused(account.client("s3", other).get_object, Bucket="eba", Key="a/1")


def test_the_settings_of_the_account_hold_for_every_bucket(account: Account) -> None:
    account.opened()
    control = account.client("s3control")

    def here(request: Any, **_: Any) -> None:  # client.install sends it so in a runbook
        request.url = request.url.replace(f"//{ACCOUNT}.", "//")

    control.meta.events.register("before-send.s3-control", here)
    all_on = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    control.put_public_access_block(AccountId=ACCOUNT, PublicAccessBlockConfiguration=all_on)
    try:
        said = refused(account.client("s3").put_bucket_policy, Bucket="eba", Policy=everybody())
        assert "BlockPublicPolicy" in said
    finally:
        control.delete_public_access_block(AccountId=ACCOUNT)
    account.client("s3").put_bucket_policy(Bucket="eba", Policy=everybody())


def test_acls_count_only_where_the_bucket_has_them(account: Account) -> None:
    s3 = account.client("s3")
    account.opened()
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        s3.put_object(Bucket="eba", Key="x", Body=b"x", ACL="public-read")
    s3.put_object(Bucket="eba", Key="mine", Body=b"x", ACL="bucket-owner-full-control")
    s3.put_bucket_ownership_controls(
        Bucket="eba", OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    s3.put_object(Bucket="eba", Key="x", Body=b"x", ACL="public-read")
    assert anyone(account).get_object(Bucket="eba", Key="x")["Body"].read() == b"x"
    refused(anyone(account).get_object, Bucket="eba", Key="a/1")
    ignore = {"BlockPublicAcls": False, "IgnorePublicAcls": True, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}  # fmt: skip
    s3.put_public_access_block(Bucket="eba", PublicAccessBlockConfiguration=ignore)
    refused(anyone(account).get_object, Bucket="eba", Key="x")


def test_a_presigned_url_is_its_signers_request(account: Account) -> None:
    import urllib.error
    import urllib.request

    may, may_not = account.user("may", allow("s3:GetObject")), account.user("maynot", allow("s3:ListBucket"))
    for version in ("s3", "s3v4"):
        config = Config(signature_version=version)
        urls = [
            session.client("s3", endpoint_url=account.url, config=config).generate_presigned_url(
                "get_object", Params={"Bucket": "eba", "Key": "a/1"}
            )
            for session in (may, may_not)
        ]
        with urllib.request.urlopen(urls[0]) as answer:
            assert answer.read() == b"1"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urls[1])
        assert caught.value.code == 403
        caught.value.close()


# What conditions see


def test_tags_of_principal_resource_and_request_are_conditions(account: Account) -> None:
    same = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    tagged = {"StringEquals": {"aws:RequestTag/team": "${aws:PrincipalTag/team}"}}
    arn = account.role(
        "blue",
        allow("sagemaker:CreateModelPackageGroup", Condition=tagged),
        allow("sagemaker:AddTags", Condition=tagged),
        allow(["sagemaker:DescribeModelPackageGroup", "sagemaker:DeleteModelPackageGroup"], Condition=same),
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    admin, mine = account.client("sagemaker"), account.client("sagemaker", account.session(arn))
    for team in ("blue", "red"):
        admin.create_model_package_group(
            ModelPackageGroupName=f"eba-{team}", Tags=[{"Key": "team", "Value": team}]
        )
    mine.describe_model_package_group(ModelPackageGroupName="eba-blue")
    refused(mine.delete_model_package_group, ModelPackageGroupName="eba-red")
    refused(mine.create_model_package_group, ModelPackageGroupName="eba-new")
    red = [{"Key": "team", "Value": "red"}]
    refused(mine.create_model_package_group, ModelPackageGroupName="eba-new", Tags=red)
    mine.create_model_package_group(ModelPackageGroupName="eba-new", Tags=[{"Key": "team", "Value": "blue"}])
    for name in ("eba-blue", "eba-red", "eba-new"):
        admin.delete_model_package_group(ModelPackageGroupName=name)


def test_a_delete_marker_has_no_tags_to_be_asked_for(account: Account) -> None:
    owner = account.client("s3")
    owner.create_bucket(Bucket="marked")
    owner.put_bucket_versioning(Bucket="marked", VersioningConfiguration={"Status": "Enabled"})
    owner.put_object(Bucket="marked", Key="tagged/x", Body=b"1", Tagging="team=blue")
    owner.delete_object(Bucket="marked", Key="tagged/x")
    tagged = {"StringEquals": {"s3:ExistingObjectTag/team": "blue"}}
    arn = account.role(
        "blue",
        allow("s3:GetObject", "arn:aws:s3:::marked/tagged/*", Condition=tagged),
        allow("s3:ListBucket", "arn:aws:s3:::marked"),
    )
    s3 = account.client("s3", account.session(arn))
    refused(s3.get_object, Bucket="marked", Key="tagged/x")
    with pytest.raises(ClientError, match="NoSuchKey"):
        owner.get_object(Bucket="marked", Key="tagged/x")
    owner.put_object(Bucket="marked", Key="tagged/x", Body=b"2", Tagging="team=blue")
    assert s3.get_object(Bucket="marked", Key="tagged/x")["Body"].read() == b"2"


def test_tags_of_a_session_are_those_of_the_principal_and_pass_on_if_told(account: Account) -> None:
    allowed = allow("s3:GetObject", "arn:aws:s3:::eba/${aws:PrincipalTag/home}/*")
    assume = allow(["sts:AssumeRole", "sts:TagSession"])
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    iam = account.client("iam")
    arns = [account.role(name, allowed, assume) for name in ("first", "second")]
    for name in ("first", "second"):
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=text(trust))
    home = [{"Key": "home", "Value": "a"}]
    plain = account.session(arns[0])
    refused(account.client("s3", plain).get_object, Bucket="eba", Key="a/1")
    session = account.session(arns[0], Tags=home, TransitiveTagKeys=["home"])
    assert account.client("s3", session).get_object(Bucket="eba", Key="a/1")
    chained = account.session(arns[1], session)
    assert account.client("s3", chained).get_object(Bucket="eba", Key="a/1")
    kept = account.session(arns[1], account.session(arns[0], Tags=home))
    refused(account.client("s3", kept).get_object, Bucket="eba", Key="a/1")


def test_a_session_is_as_long_as_the_role_allows(account: Account) -> None:
    arn = account.role("short", allow(), MaxSessionDuration=7200)
    account.session(arn, DurationSeconds=7200)
    sts = account.client("sts")
    with pytest.raises(ClientError, match="exceeds the MaxSessionDuration"):
        sts.assume_role(RoleArn=arn, RoleSessionName="lab", DurationSeconds=7201)
    chained = account.client("sts", account.session(arn))
    with pytest.raises(ClientError, match="role chaining"):
        chained.assume_role(RoleArn=arn, RoleSessionName="lab", DurationSeconds=3601)
    refused(sts.assume_role, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/gone", RoleSessionName="lab")


def test_a_boundary_limits_a_user(account: Account) -> None:
    iam = account.client("iam")
    arn = iam.create_policy(PolicyName="b", PolicyDocument=text(allow("s3:*")))["Policy"]["Arn"]
    ann = account.user("ann", allow())
    account.client("sns", ann).list_topics()
    iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=arn)
    assert iam.get_user(UserName="ann")["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
    with pytest.raises(ClientError, match="no permissions boundary allows the sns:ListTopics action"):
        account.client("sns", ann).list_topics()
    account.client("s3", ann).list_buckets()
    iam.delete_user_permissions_boundary(UserName="ann")
    account.client("sns", ann).list_topics()
    iam.create_user(UserName="bob", PermissionsBoundary=arn)
    assert iam.get_user(UserName="bob")["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.put_user_permissions_boundary(UserName="bob", PermissionsBoundary=arn + "x")


def test_an_object_with_a_key_takes_the_key_too(account: Account) -> None:
    s3, kms = account.client("s3"), account.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket="eba", ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket="eba", Key="secret", Body=b"s")
    objects = allow("s3:*", "arn:aws:s3:::eba/*")
    without = account.client("s3", account.session(account.role("without", objects)))
    assert "kms:Decrypt" in refused(without.get_object, Bucket="eba", Key="secret")
    assert "kms:GenerateDataKey" in refused(without.put_object, Bucket="eba", Key="mine", Body=b"")
    assert (
        without.get_object(Bucket="eba", Key="a/1")["Body"].read() == b"1"
    )  # written before the key was asked for
    via = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    using = allow(["kms:Decrypt", "kms:GenerateDataKey"], key, Condition=via)
    within = account.client("s3", account.session(account.role("within", objects, using)))
    within.put_object(Bucket="eba", Key="mine", Body=b"m")
    assert within.get_object(Bucket="eba", Key="secret")["Body"].read() == b"s"


def test_a_region_that_is_not_allowed_is_refused(account: Account) -> None:
    elsewhere = {"StringNotEquals": {"aws:RequestedRegion": REGION}}
    session = account.session(account.role("here", allow(), deny(Condition=elsewhere)))
    account.client("sqs", session).list_queues()
    far = session.client("sqs", endpoint_url=account.url, region_name="eu-central-1")
    assert "explicit deny in an identity-based policy" in refused(far.list_queues)


def test_each_service_refuses_in_its_own_form(account: Account) -> None:
    session = account.session(account.role("nobody", allow("s3:ListAllMyBuckets")))
    forms = {}
    for service, method in (
        ("ec2", "describe_vpcs"), ("iam", "list_users"), ("sns", "list_topics"), ("sqs", "list_queues"),
        ("kms", "list_keys"), ("lambda", "list_functions"), ("cloudwatch", "list_metrics"),
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            getattr(account.client(service, session), method)()
        told = caught.value.response
        forms[service] = told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]
        assert "is not authorized to perform" in told["Error"]["Message"]
    assert forms == {
        "ec2": ("UnauthorizedOperation", 403),
        "iam": ("AccessDenied", 403),
        "sns": ("AuthorizationError", 403),
        "sqs": ("AccessDenied", 403),
        "kms": ("AccessDeniedException", 400),
        "lambda": ("AccessDeniedException", 403),
        "cloudwatch": ("AccessDenied", 403),
    }


def test_a_named_stream_or_queue_is_asked_for_by_its_arn(account: Account) -> None:
    mine = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/eba-*"
    session = account.session(account.role("streams", allow("kinesis:*", mine)))
    kinesis = account.client("kinesis", session)
    kinesis.create_stream(StreamName="eba-events", ShardCount=1)
    refused(kinesis.create_stream, StreamName="other", ShardCount=1)
    account.client("kinesis").delete_stream(StreamName="eba-events")


def test_a_job_is_refused_on_its_keys_its_isolation_and_its_tags(account: Account) -> None:
    """The guardrails of a member account as an organization sets them, attacked by its administrator."""
    member = account.member()
    organizations = account.client("organizations")
    root = organizations.list_roots()["Roots"][0]["Id"]
    organizations.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    jobs = ["sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob"]
    guardrails = {
        "sagemaker:VolumeKmsKey": deny(jobs, Condition={"Null": {"sagemaker:VolumeKmsKey": "true"}}),
        "sagemaker:OutputKmsKey": deny(jobs, Condition={"Null": {"sagemaker:OutputKmsKey": "true"}}),
        "sagemaker:NetworkIsolation": deny(jobs, Condition={"Bool": {"sagemaker:NetworkIsolation": "false"}}),
        "sagemaker:VpcSecurityGroupIds": deny(
            jobs, Condition={"Null": {"sagemaker:VpcSecurityGroupIds": "true"}}
        ),
        "sagemaker:InstanceTypes": deny(
            jobs, Condition={"ForAnyValue:StringNotLike": {"sagemaker:InstanceTypes": "ml.m5.*"}}
        ),
        "aws:RequestTag": deny(jobs, Condition={"Null": {"aws:RequestTag/team": "true"}}),
    }
    inside = account.session(f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole")
    sagemaker = account.client("sagemaker", inside)
    good: dict[str, Any] = {
        "TrainingJobName": "eba-m1",
        "RoleArn": f"arn:aws:iam::{member}:role/execution",
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://eba/out", "KmsKeyId": "alias/eba"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
            "VolumeKmsKeyId": "k",
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "EnableNetworkIsolation": True,
        "Tags": [{"Key": "team", "Value": "blue"}],
    }
    attacks: dict[str, dict[str, Any]] = {
        "sagemaker:VolumeKmsKey": {
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
        "sagemaker:OutputKmsKey": {"OutputDataConfig": {"S3OutputPath": "s3://eba/out"}},
        "sagemaker:NetworkIsolation": {"EnableNetworkIsolation": False},
        "sagemaker:VpcSecurityGroupIds": {"VpcConfig": None},
        "sagemaker:InstanceTypes": {
            "ResourceConfig": good["ResourceConfig"] | {"InstanceType": "ml.p3.2xlarge"}
        },
        "aws:RequestTag": {"Tags": [{"Key": "other", "Value": "x"}]},
    }
    for name, statement in guardrails.items():
        made = organizations.create_policy(
            Name=name.replace(":", "-"),
            Description="",
            Type="SERVICE_CONTROL_POLICY",
            Content=text(statement),
        )["Policy"]["PolicySummary"]["Id"]
        organizations.attach_policy(PolicyId=made, TargetId=member)
        asked = {key: value for key, value in (good | attacks[name]).items() if value is not None}
        assert "explicit deny in a service control policy" in refused(
            sagemaker.create_training_job, **asked
        ), name
    with pytest.raises(
        ClientError
    ) as caught:  # the good request passes all guardrails, and fails on what comes after them
        sagemaker.create_training_job(**good)
    assert caught.value.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException")
