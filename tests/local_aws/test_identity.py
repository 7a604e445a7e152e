"""Simulation through the real client: gathered policies, boundary, organization, resource policies, paging."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from werkzeug.serving import make_server

from kit.local_aws.front import App

ACCOUNT = "123456789012"
BUCKET = "arn:aws:s3:::eba"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local AWS in this process, with AWS's managed policies."""
    from moto.iam.models import iam_backends

    iam_backends.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        app = App(tmp_path_factory.mktemp("aws"), ACCOUNT)
        server = make_server("127.0.0.1", 0, app, threaded=True)
        app.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield app.url
        server.shutdown()
        thread.join()
        server.server_close()
        app.stop()


@pytest.fixture
def client(url: str) -> Iterator[Callable[[str], Any]]:
    """A boto3 client of a service; what the test made in IAM and Organizations goes with it."""
    from moto.iam.models import iam_backends
    from moto.organizations.models import organizations_backends

    session = boto3.Session("AKIATEST", "secret", region_name="us-east-1")
    yield lambda service: session.client(service, endpoint_url=url)
    for account in iam_backends.values():
        backend = account["aws"]  # kept: it takes a second to load AWS's managed policies
        for made in (backend.roles, backend.users, backend.groups):
            made.clear()
        backend.managed_policies = {policy.arn: policy for policy in backend.aws_managed_policies}
    organizations_backends.clear()
    organizations_backends.master_accounts.clear()


@pytest.fixture
def iam(client: Callable[[str], Any]) -> Any:
    return client("iam")


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def role(iam: Any, name: str = "builder", *statements: dict[str, Any], **more: Any) -> str:
    """A role that SageMaker may assume, with one inline policy; its ARN."""
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), **more)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=text(*statements))
    return str(arn)


def decisions(iam: Any, arn: str, *actions: str, **more: Any) -> dict[str, str]:
    answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions, **more)
    return {one["EvalActionName"]: one["EvalDecision"] for one in answer["EvaluationResults"]}


def test_a_role_has_its_inline_and_attached_policies(iam: Any) -> None:
    arn = role(iam, "builder", allow("s3:GetObject", f"{BUCKET}/*"), deny("s3:*", f"{BUCKET}/private/*"))
    lists = iam.create_policy(PolicyName="lists", PolicyDocument=text(allow("s3:ListBucket", BUCKET)))
    iam.attach_role_policy(RoleName="builder", PolicyArn=lists["Policy"]["Arn"])
    objects = {"ResourceArns": [f"{BUCKET}/a"]}
    assert decisions(iam, arn, "s3:GetObject", "s3:PutObject", **objects) == {
        "s3:GetObject": "allowed",
        "s3:PutObject": "implicitDeny",
    }
    assert decisions(iam, arn, "s3:GetObject", ResourceArns=[f"{BUCKET}/private/a"]) == {
        "s3:GetObject": "explicitDeny"
    }
    assert decisions(iam, arn, "s3:ListBucket", ResourceArns=[BUCKET]) == {"s3:ListBucket": "allowed"}
    assert decisions(iam, arn, "s3:GetObject") == {"s3:GetObject": "implicitDeny"}
    iam.detach_role_policy(RoleName="builder", PolicyArn=lists["Policy"]["Arn"])
    assert decisions(iam, arn, "s3:ListBucket", ResourceArns=[BUCKET]) == {"s3:ListBucket": "implicitDeny"}


def test_the_default_version_of_an_attached_policy_counts(iam: Any) -> None:
    arn = role(iam)
    policy = iam.create_policy(PolicyName="p", PolicyDocument=text(allow("s3:*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="builder", PolicyArn=policy)
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=text(allow("sqs:*")), SetAsDefault=True)
    assert decisions(iam, arn, "s3:GetObject", "sqs:SendMessage") == {
        "s3:GetObject": "implicitDeny",
        "sqs:SendMessage": "allowed",
    }
    iam.set_default_policy_version(PolicyArn=policy, VersionId="v1")
    assert decisions(iam, arn, "s3:GetObject") == {"s3:GetObject": "allowed"}


def test_a_user_has_the_policies_of_its_groups_and_its_name_as_a_variable(iam: Any) -> None:
    arn = iam.create_user(UserName="ann", Path="/lab/", Tags=[{"Key": "team", "Value": "blue"}])["User"][
        "Arn"
    ]
    group = iam.create_group(GroupName="builders")["Group"]["Arn"]
    iam.put_group_policy(
        GroupName="builders",
        PolicyName="home",
        PolicyDocument=text(
            allow("s3:*", BUCKET + "/home/${aws:username}/*"),
            allow("sqs:*", "arn:aws:sqs:*:*:${aws:PrincipalTag/team}"),
        ),
    )
    own = {"ResourceArns": [f"{BUCKET}/home/ann/x"]}
    assert decisions(iam, arn, "s3:GetObject", **own) == {"s3:GetObject": "implicitDeny"}
    iam.add_user_to_group(GroupName="builders", UserName="ann")
    assert decisions(iam, arn, "s3:GetObject", **own) == {"s3:GetObject": "allowed"}
    assert decisions(iam, arn, "s3:GetObject", ResourceArns=[f"{BUCKET}/home/bob/x"]) == {
        "s3:GetObject": "implicitDeny"
    }
    queue = {"ResourceArns": ["arn:aws:sqs:us-east-1:123456789012:blue"]}
    assert decisions(iam, arn, "sqs:SendMessage", **queue) == {"sqs:SendMessage": "allowed"}
    assert decisions(iam, group, "s3:GetObject", **own) == {"s3:GetObject": "implicitDeny"}
    as_ann = decisions(iam, group, "s3:GetObject", CallerArn=arn, **own)
    assert as_ann == {"s3:GetObject": "allowed"}


def test_one_result_an_action_with_one_for_each_resource_in_it(iam: Any) -> None:
    arn = role(iam, "builder", allow("s3:GetObject", f"{BUCKET}/a/*"), deny("s3:*", f"{BUCKET}/z/*"))
    places = [f"{BUCKET}/a/1", f"{BUCKET}/b/1", f"{BUCKET}/z/1"]

    def asked(*resources: str) -> Any:
        return iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=["s3:GetObject"], ResourceArns=resources
        )["EvaluationResults"]

    [result] = asked(*places)
    assert result["EvalDecision"] == "explicitDeny"
    each = {one["EvalResourceName"]: one["EvalResourceDecision"] for one in result["ResourceSpecificResults"]}
    assert each == dict(zip(places, ["allowed", "implicitDeny", "explicitDeny"], strict=True))
    assert asked(*places[:2])[0]["EvalDecision"] == "implicitDeny"
    assert asked(places[0])[0]["EvalDecision"] == "allowed"
    assert result["EvalDecisionDetails"] == {}
    assert "ResourceSpecificResults" not in asked("*")[0]


def test_the_statement_that_decided_is_cited_by_policy_and_position(iam: Any) -> None:
    document = (
        '{"Version": "2012-10-17",\n "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"},\n  '
        + (
            '{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        )
    )
    [denied, allowed, neither] = iam.simulate_custom_policy(
        PolicyInputList=[document], ActionNames=["s3:GetObject", "sqs:SendMessage", "iam:GetUser"]
    )["EvaluationResults"]
    [cited] = denied["MatchedStatements"]
    assert (cited["SourcePolicyId"], cited["SourcePolicyType"]) == ("PolicyInputList.1", "IAM Policy")
    line = document.splitlines()[cited["StartPosition"]["Line"] - 1]
    assert cited["StartPosition"]["Line"] == cited["EndPosition"]["Line"] == 3
    statement = line[cited["StartPosition"]["Column"] - 1 : cited["EndPosition"]["Column"] - 1]
    assert json.loads(statement) == deny("s3:*")
    assert allowed["MatchedStatements"][0]["StartPosition"] == {"Line": 2, "Column": 16}
    assert neither["MatchedStatements"] == []


def test_conditions_take_context_entries_and_the_clock_and_missing_keys_are_named(iam: Any) -> None:
    document = text(
        allow("s3:*", Condition={"Bool": {"aws:SecureTransport": "true"}}),
        allow("sqs:*", Condition={"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}),
        allow("kms:*", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}),
    )

    def asked(*entries: tuple[str, list[str], str]) -> dict[str, Any]:
        answer = iam.simulate_custom_policy(
            PolicyInputList=[document],
            ActionNames=["s3:GetObject", "sqs:SendMessage", "kms:Decrypt"],
            ContextEntries=[
                {"ContextKeyName": name, "ContextKeyValues": values, "ContextKeyType": kind}
                for name, values, kind in entries
            ],
        )
        return {one["EvalActionName"]: one for one in answer["EvaluationResults"]}

    bare = asked()
    assert bare["s3:GetObject"]["EvalDecision"] == "implicitDeny"
    assert bare["s3:GetObject"]["MissingContextValues"] == ["aws:SecureTransport"]
    assert bare["sqs:SendMessage"]["EvalDecision"] == "allowed"
    given = asked(
        ("AWS:securetransport", ["true"], "boolean"),
        ("aws:CurrentTime", ["2019-04-25T11:00:00Z"], "date"),
        ("aws:TagKeys", ["a", "c"], "stringList"),
    )
    assert [one["EvalDecision"] for one in given.values()] == ["allowed", "implicitDeny", "implicitDeny"]
    assert [one["MissingContextValues"] for one in given.values()] == [[], [], []]


def test_a_boundary_limits_and_says_so(iam: Any) -> None:
    limit = iam.create_policy(PolicyName="limit", PolicyDocument=text(allow("s3:*")))["Policy"]["Arn"]
    arn = role(iam, "builder", allow(["s3:*", "sqs:*"]), PermissionsBoundary=limit)

    def asked(**more: Any) -> dict[str, Any]:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=["s3:GetObject", "sqs:SendMessage"], **more
        )
        return {one["EvalActionName"]: one for one in answer["EvaluationResults"]}

    held = asked()
    assert held["s3:GetObject"]["EvalDecision"] == "allowed"
    assert held["sqs:SendMessage"]["EvalDecision"] == "implicitDeny"
    assert held["sqs:SendMessage"]["PermissionsBoundaryDecisionDetail"] == {
        "AllowedByPermissionsBoundary": False
    }
    other = asked(PermissionsBoundaryPolicyInputList=[text(allow("sqs:*"))])
    assert other["sqs:SendMessage"]["EvalDecision"] == "allowed"
    assert other["s3:GetObject"]["EvalDecision"] == "implicitDeny"
    assert (
        asked(PolicyExclusionList=[{"PolicyType": "permission-boundary"}])["sqs:SendMessage"]["EvalDecision"]
        == "allowed"
    )
    iam.delete_role_permissions_boundary(RoleName="builder")
    free = asked()["sqs:SendMessage"]
    assert free["EvalDecision"] == "allowed"
    assert "PermissionsBoundaryDecisionDetail" not in free


def test_policies_can_be_left_out_by_kind_arn_or_name(iam: Any) -> None:
    arn = role(iam, "builder", allow("s3:*"))
    mine = iam.create_policy(PolicyName="lab-queues", PolicyDocument=text(allow("sqs:*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="builder", PolicyArn=mine)
    iam.attach_role_policy(RoleName="builder", PolicyArn="arn:aws:iam::aws:policy/AmazonAthenaFullAccess")
    actions = ("s3:DeleteBucket", "sqs:SendMessage", "athena:StartQueryExecution")

    def without(identifier: dict[str, Any]) -> list[str]:
        found = decisions(iam, arn, *actions, PolicyExclusionList=[identifier])
        return [action for action, decision in found.items() if decision != "allowed"]

    assert without({"PolicyType": "scp"}) == []
    assert without({"PolicyType": "inline"}) == ["s3:DeleteBucket"]
    assert without({"PolicyType": "aws-managed"}) == ["athena:StartQueryExecution"]
    assert without({"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/lab-*"}) == ["sqs:SendMessage"]
    name = {"PolicyName": "own", "AttachmentType": "role", "AttachmentName": "builder"}
    assert without({"InlinePolicyIdentifier": name}) == ["s3:DeleteBucket"]


def test_a_resource_policy_counts_for_users_and_only_for_them(iam: Any) -> None:
    user = iam.create_user(UserName="ann")["User"]["Arn"]
    granted = text(allow("s3:GetObject", f"{BUCKET}/*", Principal={"AWS": user}), deny("s3:*", Principal="*",
        Condition={"Bool": {"aws:SecureTransport": "false"}}))  # fmt: skip
    asked = {"ResourcePolicy": granted, "ResourceArns": [f"{BUCKET}/x"]}
    assert decisions(iam, user, "s3:GetObject", **asked) == {"s3:GetObject": "allowed"}
    plain = [
        {"ContextKeyName": "aws:SecureTransport", "ContextKeyValues": ["false"], "ContextKeyType": "boolean"}
    ]
    [refused] = iam.simulate_principal_policy(
        PolicySourceArn=user, ActionNames=["s3:GetObject"], ContextEntries=plain, **asked
    )["EvaluationResults"]
    assert refused["EvalDecision"] == "explicitDeny"
    assert [one["SourcePolicyType"] for one in refused["MatchedStatements"]] == ["Resource Policy"]
    with pytest.raises(ClientError, match="Caller must be an IAM user in this context"):
        decisions(iam, role(iam), "s3:GetObject", **asked)


def test_two_accounts_must_both_allow_and_the_details_say_who_did(iam: Any) -> None:
    ann = f"arn:aws:iam::{ACCOUNT}:user/ann"
    bucket = text(allow("s3:GetObject", f"{BUCKET}/*", Principal={"AWS": ann}))

    def asked(identity: str) -> Any:
        [result] = iam.simulate_custom_policy(
            PolicyInputList=[identity],
            ActionNames=["s3:GetObject"],
            ResourceArns=[f"{BUCKET}/x"],
            ResourcePolicy=bucket,
            ResourceOwner="arn:aws:iam::444455556666:root",
            CallerArn=ann,
        )["EvaluationResults"]
        return result["EvalDecision"], result["EvalDecisionDetails"]

    assert asked(text(allow("s3:*"))) == ("allowed", {"IAM Policy": "allowed", "Resource Policy": "allowed"})
    assert asked(text(allow("sqs:*"))) == (
        "implicitDeny",
        {"IAM Policy": "implicitDeny", "Resource Policy": "allowed"},
    )


def test_service_control_policies_hold_along_the_path_of_a_member_account(
    client: Callable[[str], Any],
) -> None:
    organizations = client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    root = organizations.list_roots()["Roots"][0]["Id"]
    unit = organizations.create_organizational_unit(ParentId=root, Name="lab")["OrganizationalUnit"]["Id"]
    member = organizations.create_account(AccountName="lab", Email="lab@example.com")["CreateAccountStatus"][
        "AccountId"
    ]
    organizations.move_account(AccountId=member, SourceParentId=root, DestinationParentId=unit)
    guard = organizations.create_policy(
        Name="guard", Description="", Type="SERVICE_CONTROL_POLICY", Content=text(deny("sqs:*"))
    )["Policy"]["PolicySummary"]["Id"]
    organizations.attach_policy(PolicyId=guard, TargetId=unit)
    sts = client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole", RoleSessionName="lab"
    )["Credentials"]
    iam = boto3.client(
        "iam",
        endpoint_url=client("iam").meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=sts["AccessKeyId"],
        aws_secret_access_key=sts["SecretAccessKey"],
        aws_session_token=sts["SessionToken"],
    )
    inside, outside = role(iam, "builder", allow()), role(client("iam"), "builder", allow())
    assert f":{member}:" in inside
    assert f":{ACCOUNT}:" in outside

    def asked(iam: Any, arn: str) -> dict[str, tuple[str, bool]]:
        answer = iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=["s3:GetObject", "sqs:SendMessage"]
        )
        return {
            one["EvalActionName"]: (
                one["EvalDecision"],
                one["OrganizationsDecisionDetail"]["AllowedByOrganizations"],
            )
            for one in answer["EvaluationResults"]
        }

    free = {"s3:GetObject": ("allowed", True), "sqs:SendMessage": ("allowed", True)}
    assert asked(iam, inside) == free, "policy type not enabled"
    organizations.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    assert asked(iam, inside) == free | {"sqs:SendMessage": ("explicitDeny", False)}
    assert asked(client("iam"), outside) == free, "the management account is exempt"
    full = next(one["Id"] for one in organizations.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
                if one["Name"] == "FullAWSAccess")  # fmt: skip
    organizations.detach_policy(PolicyId=full, TargetId=member)
    with pytest.raises(ClientError, match="because no service control policy allows"):
        asked(iam, inside)  # a level that allows nothing lets nobody ask either


def test_an_ordered_organization_can_be_passed(iam: Any) -> None:
    def asked(*levels: str) -> Any:
        [result] = iam.simulate_custom_policy(
            PolicyInputList=[text(allow())],
            OrderedOrganizationPolicyInputList=[
                {"ServiceControlPolicyInputList": [level]} for level in levels
            ],
            ActionNames=["s3:GetObject"],
        )["EvaluationResults"]
        return result["EvalDecision"], result["OrganizationsDecisionDetail"]["AllowedByOrganizations"]

    assert asked(text(allow()), text(allow("s3:*"))) == ("allowed", True)
    assert asked(text(allow()), text(allow("sqs:*"))) == ("implicitDeny", False)
    assert asked(text(allow(), deny("s3:*"))) == ("explicitDeny", False)


def test_results_come_in_pages(iam: Any) -> None:
    arn = role(iam, "builder", allow("s3:*"))
    actions = [f"s3:Get{n}" for n in range(7)]
    first = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions, MaxItems=3)
    assert first["IsTruncated"] is True
    assert len(first["EvaluationResults"]) == 3
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=arn, ActionNames=actions, PaginationConfig={"PageSize": 3}
    )
    assert [one["EvalActionName"] for page in pages for one in page["EvaluationResults"]] == actions
    many = [f"s3:Get{n}" for n in range(101)]
    assert iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=many)["IsTruncated"] is True


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ({"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/none"}, "NoSuchEntity", "role with name none cannot be found"),
        ({"PolicySourceArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/me"}, "InvalidInput", "Invalid Entity Arn"),
        ({"ActionNames": ["s3:*"]}, "InvalidInput", "Invalid action name"),
        ({"ActionNames": ["GetObject"]}, "InvalidInput", "Invalid action name"),
        ({"PolicyInputList": ["{"]}, "InvalidInput", "PolicyInputList.1 is not a policy: not JSON"),
        ({"ResourceOwner": ACCOUNT}, "InvalidInput", "is not a valid as a Resource Owner"),
        ({"PermissionsBoundaryPolicyInputList": [text(allow())] * 2}, "InvalidInput", "Only one permissions boundary"),
        ({"ResourceHandlingOption": "EC2-VPC-EBS"}, "InvalidInput", "does not implement"),
        ({"CallerArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b"}, "InvalidInput", "Invalid Entity Arn"),
        ({"Marker": "x"}, "InvalidInput", "Invalid Marker"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused_as_by_aws(
    iam: Any, asked: dict[str, Any], code: str, message: str
) -> None:
    arn = role(iam)
    with pytest.raises(ClientError, match=message) as refused:
        iam.simulate_principal_policy(**{"PolicySourceArn": arn, "ActionNames": ["s3:GetObject"], **asked})
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_a_custom_simulation_with_a_resource_policy_needs_a_caller(iam: Any) -> None:
    bucket = text(allow(Principal="*"))
    with pytest.raises(ClientError, match="CallerArn is required"):
        iam.simulate_custom_policy(
            PolicyInputList=[text(allow())], ActionNames=["s3:GetObject"], ResourcePolicy=bucket
        )


def test_aws_managed_policies_are_those_of_aws(iam: Any) -> None:
    arn = role(iam)
    iam.attach_role_policy(RoleName="builder", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    found = decisions(
        iam, arn, "sagemaker:CreateTrainingJob", "s3:GetObject", "iam:CreateUser", "ecr:GetAuthorizationToken"
    )
    assert found == {
        "sagemaker:CreateTrainingJob": "allowed",
        "s3:GetObject": "implicitDeny",
        "iam:CreateUser": "implicitDeny",
        "ecr:GetAuthorizationToken": "allowed",
    }
    objects = {"ResourceArns": ["arn:aws:s3:::my-sagemaker-bucket/x", "arn:aws:s3:::other/x"]}
    [result] = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["s3:GetObject"], **objects)[
        "EvaluationResults"
    ]
    assert [one["EvalResourceDecision"] for one in result["ResourceSpecificResults"]] == [
        "allowed",
        "implicitDeny",
    ]


@pytest.fixture
def sdk(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A session of the SageMaker Python SDK that asks the local AWS."""
    config = tmp_path / "config.yaml"
    opt_out = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
    config.write_text(opt_out, encoding="utf-8")
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config),
    }.items():
        monkeypatch.setenv(name, value)
    from sagemaker.core.helper.session_helper import Session

    boto3.Session().client("s3").create_bucket(Bucket="sdk-default")
    return Session(boto3.Session(), default_bucket="sdk-default")


@pytest.mark.filterwarnings("ignore")
def test_the_sdk_accepts_a_role_by_its_own_permissions_and_trust(iam: Any, sdk: Any) -> None:
    from sagemaker.core.helper.iam_role_resolver import RoleValidationError, _get_smoke_test_actions
    from sagemaker.train import ModelTrainer

    def trainer(arn: str) -> Any:
        return ModelTrainer(training_image="image", role=arn, sagemaker_session=sdk)

    needed = _get_smoke_test_actions("training")
    assert trainer(role(iam, "least", allow(needed))).role.endswith(":role/least")
    with pytest.raises(RoleValidationError, match="cloudwatch:PutMetricData"):
        trainer(role(iam, "lacking", allow([one for one in needed if one != "cloudwatch:PutMetricData"])))
    elsewhere = role(iam, "untrusting", allow(needed))
    other = json.dumps(TRUST).replace("sagemaker", "glue")
    iam.update_assume_role_policy(RoleName="untrusting", PolicyDocument=other)
    with pytest.raises(RoleValidationError, match="trust policy does not allow"):
        trainer(elsewhere)
