"""A release with the rights of the MLOps engineer, and the boundary of the roles that its stacks make."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import personas
import pytest
from botocore.exceptions import ClientError
from jobs import ROOT, load
from personas import REGION, client, draft

from kit.local_aws import cf_template, process
from kit.local_aws.policy import Policies, Policy, Request, evaluate


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An account with the roles of all personas, as (its server, an IAM client)."""
    server, iam = personas.up(tmp_path_factory.mktemp("aws"))
    yield server, iam
    process.down(server.folder)


STACK = "eba-framework"


@pytest.fixture
def released(account: Any) -> dict[str, str]:
    """What O3 gives the template, with its definition in S3, put there by the MLOps engineer."""
    server, _ = account
    bucket = f"eba-{server.account}-{REGION}"
    admin = boto3.Session("AKIATEST", "secret", region_name=REGION).client("s3", endpoint_url=server.url)
    admin.create_bucket(Bucket=bucket)
    step = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
    definition = json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": [step]})
    s3 = client(account, "mlops-engineer", "s3")
    s3.put_object(Bucket=bucket, Key="eba/o3/definitions/1.json", Body=definition.encode())
    return {
        "PipelineName": STACK,
        "Bucket": bucket,
        "DefinitionKey": "eba/o3/definitions/1.json",
        "RunsPrefix": "eba/o3/runs",
        "JobRole": f"arn:aws:iam::{server.account}:role/EbaDataScientistExecution",
        "Group": "eba-models",
        "Data": f"s3://{bucket}/eba/d1/raw",
        "Boundary": f"arn:aws:iam::{server.account}:policy/EbaBoundaryRelease",
    }


def test_an_mlops_engineer_releases_a_stack_whose_roles_are_bounded(
    account: Any, released: dict[str, str]
) -> None:
    """The stack of O3 is made, changed and removed with the rights of the role; without the boundary it is not."""
    server, iam = account
    (release,) = load("mlops", "release")
    cloudformation = client(account, "mlops-engineer", "cloudformation")
    for missing in ("", f"arn:aws:iam::{server.account}:policy/EbaBoundary"):
        with pytest.raises(release.ReleaseError, match="not authorized to perform: iam:CreateRole"):
            release.apply(cloudformation, STACK, {**released, "Boundary": missing}, delay=1)
    tags = [{"Key": "eba:card", "Value": "O3"}]
    assert release.apply(cloudformation, STACK, released, tags, delay=1).did == "created"
    changed = released | {"RunsPrefix": "eba/o3/later"}
    done = release.apply(cloudformation, STACK, changed, tags, delay=1)
    assert done.did == "updated"
    role = done.outputs["Role"].rpartition("/")[2]
    held = iam.get_role(RoleName=role)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"]
    assert held == released["Boundary"]
    own = client(account, "mlops-engineer", "iam")
    for attempt in (
        lambda: own.delete_role_permissions_boundary(RoleName=role),
        lambda: own.attach_role_policy(
            RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
        ),
        lambda: own.put_role_policy(RoleName="EbaMLOpsEngineer", PolicyName="x", PolicyDocument="{}"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()
    with pytest.raises(ClientError, match="AccessDenied"):
        client(account, "ml-engineer", "cloudformation").describe_stacks(StackName=STACK)
    release.remove(cloudformation, STACK, delay=1)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=role)


@pytest.mark.parametrize(
    ("action", "resource", "verdict"),
    [
        ("s3:GetObject", "arn:aws:s3:::eba-123456789012-us-east-1/eba/o3/runs/x", "allowed"),
        ("s3:GetObject", "arn:aws:s3:::eba-123456789012-us-east-1/eba/d1/raw/x", "implicitDeny"),
        ("iam:CreateRole", "arn:aws:iam::123456789012:role/eba-more", "implicitDeny"),
        ("sagemaker:UpdateEndpoint", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/eba-endpoint", "allowed"),
        ("sagemaker:UpdateEndpoint", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/payments", "implicitDeny"),
        ("sagemaker:DeleteEndpoint", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/eba-endpoint", "implicitDeny"),
        ("sagemaker:UpdateModelPackage", "arn:aws:sagemaker:us-east-1:123456789012:model-package/eba-models/1", "implicitDeny"),
        ("sts:AssumeRole", "arn:aws:iam::123456789012:role/Admin", "implicitDeny"),
    ],
)  # fmt: skip
def test_a_role_of_a_stack_may_at_most_what_a_release_needs(action: str, resource: str, verdict: str) -> None:
    everything = Policy("all", {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    limit = Policy("limit", json.loads(draft("boundary-release")))
    role = "arn:aws:iam::123456789012:role/eba-framework-Role-1"
    request = Request(action, resource, role, owner="123456789012")
    assert evaluate(request, Policies((everything,), boundary=limit)).verdict == verdict


@pytest.mark.parametrize(
    "file",
    [ROOT / "mlops" / "framework" / f"{name}.yml" for name in ("template", "update")],
    ids=lambda f: f.stem,
)
def test_the_boundary_takes_nothing_from_the_roles_of_a_template(file: Path) -> None:
    roles = [
        one["Properties"]
        for one in cf_template.read(file.read_text(encoding="utf-8")).resources.values()
        if one["Type"] == "AWS::IAM::Role"
    ]
    text = json.dumps([role["Policies"] for role in roles])
    asked = set(re.findall(r'"([a-z0-9]+:[A-Z][A-Za-z]+)"', text)) - {"iam:PassedToService"}
    limit = {
        action
        for one in json.loads(draft("boundary-release"))["Statement"]
        for action in listed(one["Action"])
    }
    assert len(asked) > 5
    assert asked <= limit
    assert all("PermissionsBoundary" in role for role in roles)


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
