"""Identity Center through boto3: what an assignment grants, and the access review over what was really used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from accounts import ACCOUNT, Account, allow, deny, refused, text
from botocore.exceptions import ClientError


class Center:
    """The instance of the account, with what tests ask of it."""

    def __init__(self, account: Account) -> None:
        self.sso, self.store = account.client("sso-admin"), account.client("identitystore")
        [held] = self.sso.list_instances()["Instances"]
        self.instance, self.directory = held["InstanceArn"], held["IdentityStoreId"]

    def group(self, name: str) -> str:
        return str(self.store.create_group(IdentityStoreId=self.directory, DisplayName=name)["GroupId"])

    def permissions(self, name: str, **more: Any) -> str:
        made = self.sso.create_permission_set(InstanceArn=self.instance, Name=name, **more)
        return str(made["PermissionSet"]["PermissionSetArn"])

    def named(self, permissions: str, **more: Any) -> dict[str, Any]:
        return {"InstanceArn": self.instance, "PermissionSetArn": permissions, **more}

    def assignment(self, permissions: str, group: str, account: str = ACCOUNT) -> dict[str, Any]:
        return self.named(
            permissions, TargetId=account, TargetType="AWS_ACCOUNT", PrincipalType="GROUP", PrincipalId=group
        )

    def assign(self, permissions: str, group: str, account: str = ACCOUNT) -> dict[str, Any]:
        told = self.sso.create_account_assignment(**self.assignment(permissions, group, account))
        request = told["AccountAssignmentCreationStatus"]["RequestId"]
        status: dict[str, Any] = self.sso.describe_account_assignment_creation_status(
            InstanceArn=self.instance, AccountAssignmentCreationRequestId=request
        )["AccountAssignmentCreationStatus"]
        return status


@pytest.fixture
def center(account: Account) -> Center:
    return Center(account)


def reserved(account: Account) -> list[dict[str, Any]]:
    roles: list[dict[str, Any]] = account.client("iam").list_roles(
        PathPrefix="/aws-reserved/sso.amazonaws.com/"
    )["Roles"]
    return roles


def decision(account: Account, role: str, action: str) -> str:
    [row] = account.client("iam").simulate_principal_policy(PolicySourceArn=role, ActionNames=[action])[
        "EvaluationResults"
    ]
    return str(row["EvalDecision"])


def test_an_assignment_makes_a_role_that_grants_what_the_set_says(account: Account, center: Center) -> None:
    permissions = center.permissions("DataScientist", SessionDuration="PT4H")
    center.sso.put_inline_policy_to_permission_set(
        **center.named(permissions, InlinePolicy=text(allow("sagemaker:CreateTrainingJob"), deny("iam:*")))
    )
    assert reserved(account) == []
    status = center.assign(permissions, center.group("scientists"))
    assert (status["Status"], status["TargetId"]) == ("SUCCEEDED", ACCOUNT)
    [role] = reserved(account)
    assert role["RoleName"].startswith("AWSReservedSSO_DataScientist_")
    assert decision(account, role["Arn"], "sagemaker:CreateTrainingJob") == "allowed"
    assert decision(account, role["Arn"], "sagemaker:DeleteModel") == "implicitDeny"
    assert decision(account, role["Arn"], "iam:ListRoles") == "explicitDeny"
    assert center.sso.list_accounts_for_provisioned_permission_set(**center.named(permissions))[
        "AccountIds"
    ] == [ACCOUNT]
    described = center.sso.describe_permission_set(**center.named(permissions))["PermissionSet"]
    assert described["SessionDuration"] == "PT4H"


def test_policies_of_aws_reach_the_role_whatever_their_path(boto: Any) -> None:
    sso, store, iam = boto("sso-admin"), boto("identitystore"), boto("iam")
    [held] = sso.list_instances()["Instances"]
    made = sso.create_permission_set(InstanceArn=held["InstanceArn"], Name="Viewer")["PermissionSet"]
    named = {"InstanceArn": held["InstanceArn"], "PermissionSetArn": made["PermissionSetArn"]}
    arn = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"
    sso.attach_managed_policy_to_permission_set(**named, ManagedPolicyArn=arn)
    with pytest.raises(ClientError, match="ConflictException"):
        sso.attach_managed_policy_to_permission_set(**named, ManagedPolicyArn=arn)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        sso.attach_managed_policy_to_permission_set(**named, ManagedPolicyArn=arn + "x")
    group = store.create_group(IdentityStoreId=held["IdentityStoreId"], DisplayName="viewers")["GroupId"]
    home = boto("sts").get_caller_identity()["Account"]
    sso.create_account_assignment(
        **named, TargetId=home, TargetType="AWS_ACCOUNT", PrincipalType="GROUP", PrincipalId=group
    )
    [role] = iam.list_roles(PathPrefix="/aws-reserved/")["Roles"]
    [attached] = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
    assert attached["PolicyArn"] == arn


def test_a_change_reaches_the_account_when_it_is_provisioned(account: Account, center: Center) -> None:
    permissions = center.permissions("Reader")
    center.assign(permissions, center.group("readers"))
    [role] = reserved(account)
    center.sso.put_inline_policy_to_permission_set(
        **center.named(permissions, InlinePolicy=text(allow("s3:ListBucket")))
    )
    assert decision(account, role["Arn"], "s3:ListBucket") == "implicitDeny"
    told = center.sso.provision_permission_set(
        **center.named(permissions, TargetType="ALL_PROVISIONED_ACCOUNTS")
    )
    request = told["PermissionSetProvisioningStatus"]["RequestId"]
    status = center.sso.describe_permission_set_provisioning_status(
        InstanceArn=center.instance, ProvisionPermissionSetRequestId=request
    )["PermissionSetProvisioningStatus"]
    assert status["Status"] == "SUCCEEDED"
    assert decision(account, role["Arn"], "s3:ListBucket") == "allowed"


def test_what_cannot_be_assigned_fails_and_says_why(account: Account, center: Center) -> None:
    permissions, group = center.permissions("Limited"), center.group("people")
    status = center.assign(permissions, "00000000-0000-0000-0000-000000000000")
    assert status["Status"] == "FAILED"
    assert "not found" in status["FailureReason"]
    own = {"Name": "boundary", "Path": "/"}
    center.sso.put_permissions_boundary_to_permission_set(
        **center.named(permissions, PermissionsBoundary={"CustomerManagedPolicyReference": own})
    )
    assert "policy/boundary does not exist" in center.assign(permissions, group)["FailureReason"]
    account.client("iam").create_policy(PolicyName="boundary", PolicyDocument=text(allow("s3:*")))
    center.sso.put_inline_policy_to_permission_set(**center.named(permissions, InlinePolicy=text(allow("*"))))
    assert center.assign(permissions, group)["Status"] == "SUCCEEDED"
    [role] = reserved(account)
    assert decision(account, role["Arn"], "s3:GetObject") == "allowed"
    assert decision(account, role["Arn"], "sqs:SendMessage") == "implicitDeny", "beyond the boundary"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        center.assign(permissions, group, "999999999999")


def test_the_role_goes_with_the_last_assignment(account: Account, center: Center) -> None:
    permissions, groups = center.permissions("Shared"), [center.group("one"), center.group("two")]
    for group in (*groups, groups[0]):
        assert center.assign(permissions, group)["Status"] == "SUCCEEDED"
    listed = center.sso.list_account_assignments(**center.named(permissions, AccountId=ACCOUNT))[
        "AccountAssignments"
    ]
    assert sorted(one["PrincipalId"] for one in listed) == sorted(groups)
    for group, left in zip(groups, (1, 0), strict=True):
        told = center.sso.delete_account_assignment(**center.assignment(permissions, group))
        assert told["AccountAssignmentDeletionStatus"]["Status"] == "SUCCEEDED"
        assert len(reserved(account)) == left


def test_a_member_account_gets_its_own_role(account: Account, center: Center) -> None:
    member = account.member()
    permissions = center.permissions("Operator")
    assert center.assign(permissions, center.group("operators"), member)["Status"] == "SUCCEEDED"
    assert reserved(account) == []
    inside = account.session(f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole")
    roles = account.client("iam", inside).list_roles(PathPrefix="/aws-reserved/")["Roles"]
    assert [role["Arn"].split(":")[4] for role in roles] == [member]


@pytest.mark.parametrize("duration", ["PT30M", "PT13H", "PT0S"])
def test_sessions_are_between_one_and_twelve_hours(center: Center, duration: str) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        center.permissions("Wrong", SessionDuration=duration)


def test_a_set_has_one_hour_a_unique_name_and_tags(center: Center) -> None:
    permissions = center.permissions("Auditor", Tags=[{"Key": "team", "Value": "blue"}])
    described = center.sso.describe_permission_set(**center.named(permissions))["PermissionSet"]
    assert described["SessionDuration"] == "PT1H"
    center.sso.update_permission_set(**center.named(permissions, Description="Looks, and changes nothing"))
    described = center.sso.describe_permission_set(**center.named(permissions))["PermissionSet"]
    assert (described["SessionDuration"], described["Description"]) == ("PT1H", "Looks, and changes nothing")
    with pytest.raises(ClientError, match="ConflictException"):
        center.permissions("Auditor")
    named = {"InstanceArn": center.instance, "ResourceArn": permissions}
    center.sso.tag_resource(**named, Tags=[{"Key": "team", "Value": "red"}, {"Key": "day", "Value": "1"}])
    center.sso.untag_resource(**named, TagKeys=["day"])
    assert center.sso.list_tags_for_resource(**named)["Tags"] == [{"Key": "team", "Value": "red"}]


def test_attributes_for_access_control_are_kept(center: Center) -> None:
    named = {"InstanceArn": center.instance}
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        center.sso.describe_instance_access_control_attribute_configuration(**named)
    attributes = {
        "AccessControlAttributes": [{"Key": "team", "Value": {"Source": ["${path:enterprise.department}"]}}]
    }
    whole = {**named, "InstanceAccessControlAttributeConfiguration": attributes}
    center.sso.create_instance_access_control_attribute_configuration(**whole)
    told = center.sso.describe_instance_access_control_attribute_configuration(**named)
    assert (told["Status"], told["InstanceAccessControlAttributeConfiguration"]) == ("ENABLED", attributes)
    with pytest.raises(ClientError, match="ConflictException"):
        center.sso.create_instance_access_control_attribute_configuration(**whole)
    center.sso.delete_instance_access_control_attribute_configuration(**named)


# The access review


def review(account: Account, arn: str, **more: Any) -> dict[str, Any]:
    iam = account.client("iam")
    job = iam.generate_service_last_accessed_details(Arn=arn, **more)["JobId"]
    told = iam.get_service_last_accessed_details(JobId=job)
    assert told["JobStatus"] == "COMPLETED"
    return {one["ServiceNamespace"]: one for one in told["ServicesLastAccessed"]}


def test_what_a_role_never_used_is_found(account: Account) -> None:
    arn = account.role("worker", allow(["s3:*", "sqs:*", "sns:Publish"]))
    session = account.session(arn)
    account.client("s3", session).get_object(Bucket="eba", Key="a/1")
    refused(account.client("iam", session).list_users)
    rows = review(account, arn)
    assert set(rows) == {"s3", "sns", "sqs"}
    assert rows["s3"]["LastAuthenticatedEntity"] == arn
    assert rows["s3"]["TotalAuthenticatedEntities"] == 1
    assert "LastAuthenticated" not in rows["sqs"]
    [tracked] = review(account, arn, Granularity="ACTION_LEVEL")["s3"]["TrackedActionsLastAccessed"]
    assert tracked["ActionName"] == "GetObject"
    assert account.client("iam").get_role(RoleName="worker")["Role"]["RoleLastUsed"]["LastUsedDate"]


def test_groups_and_policies_are_reviewed_over_their_members(account: Account) -> None:
    iam = account.client("iam")
    policy = iam.create_policy(PolicyName="shared", PolicyDocument=text(allow("sqs:*")))["Policy"]["Arn"]
    group = iam.create_group(GroupName="team")["Group"]["Arn"]
    iam.attach_group_policy(GroupName="team", PolicyArn=policy)
    ann = account.user("ann", allow("s3:ListAllMyBuckets"))
    iam.attach_user_policy(UserName="ann", PolicyArn=policy)
    account.user("bob", allow("s3:ListAllMyBuckets"))
    for name in ("ann", "bob"):
        iam.add_user_to_group(GroupName="team", UserName=name)
    account.client("sqs", ann).list_queues()
    assert review(account, group)["sqs"]["TotalAuthenticatedEntities"] == 1
    row = review(account, policy)["sqs"]
    assert row["LastAuthenticatedEntity"].endswith(":user/ann")
    wide = account.role("wide", allow("*"))
    assert {"iam", "s3", "sagemaker", "kms"} <= set(review(account, wide))
    for call, named in ((iam.generate_service_last_accessed_details, {"Arn": f"arn:aws:iam::{ACCOUNT}:role/gone"}),
                        (iam.get_service_last_accessed_details, {"JobId": "0" * 36})):  # fmt: skip
        with pytest.raises(ClientError, match="NoSuchEntity"):
            call(**named)


def test_the_use_of_the_break_glass_role_is_seen(account: Account) -> None:
    """By whoever looks it up; an alarm on it is what CloudWatch adds."""
    arn = account.role("BreakGlass", allow())
    account.session(arn, account.user("ann", allow("sts:AssumeRole", arn)))
    attribute = [{"AttributeKey": "ResourceName", "AttributeValue": arn}]
    found = account.client("cloudtrail").lookup_events(LookupAttributes=attribute)["Events"]
    used = [one for one in found if one["EventName"] == "AssumeRole"]
    assert [json.loads(one["CloudTrailEvent"])["userIdentity"]["userName"] for one in used] == ["ann"]
