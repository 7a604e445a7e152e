"""Guardrails attacked at a real local AWS: they refuse, and where one is taken away its attack goes through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from jobs import load

from kit.errors import KitError, PlanError
from kit.local_aws import process

access, detection, guardrails = load("foundations", "access", "detection", "guardrails")
FOLDER = Path(__file__).parents[1] / "foundations" / "policies" / "guardrails"
NAMES = {
    "partition": "aws",
    "region": "us-east-1",
    "account": "123456789012",
    "bucket": "eba-here",
    "scratch": "eba-scratch",
    "logs": "eba-logs",
    "key": "arn:aws:kms:us-east-1:123456789012:key/k",
    "instances": '["ml.*.large"]',
    "boundary": "arn:aws:iam::123456789012:policy/EbaBoundary",
    "elsewhere": "eu-west-3",
    "role": "arn:aws:iam::123456789012:role/EbaExecution",
    "image": "image",
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
    "trust": "{}",
}
ANYBODY = {"Effect": "Allow", "Action": "*", "Resource": "*", "Sid": "All"}


class Here:
    """A boto3 session that asks the local AWS at `url`."""

    region_name = "us-east-1"

    def __init__(self, url: str, account: str, session: Any = None) -> None:
        self.url, self.account = url, account
        self.session = session or boto3.Session("AKIATEST", "secret", region_name="us-east-1")

    def client(self, service: str, **more: Any) -> Any:
        return self.session.client(service, endpoint_url=self.url, **more)

    def as_role(self, arn: str, name: str = "probe") -> Here:
        return Here(self.url, self.account, guardrails.assumed(self, arn, name, 0.1))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("aws")
    server = process.up(folder)
    yield Here(server.url, server.account)
    process.down(folder)


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def role(here: Here, name: str, *statements: dict[str, Any]) -> str:
    iam = here.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": here.account}, "Action": "sts:AssumeRole"}
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=text(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=text(*statements))
    return arn


# The files


def test_every_row_of_the_events_file_can_be_read_and_names_real_calls() -> None:
    rows = guardrails.read(FOLDER / "attacks.yml", NAMES)
    assert {row["kind"] for row in rows} == {"preventive", "detective", "corrective"}
    for row in rows:
        for case in (row["attack"], row["control"]):
            for call in filter(None, (case, case.get("undo"))):
                if "call" in call:
                    service, _, name = call["call"].partition(".")
                    client = boto3.client(service, region_name="us-east-1")
                    operation = client.meta.service_model.operation_model(
                        client.meta.method_to_api_mapping[name]
                    )
                    assert set(call.get("with", {})) <= set(operation.input_shape.members)
                else:
                    assert "action" in call["simulate"]
    inside = next(row for row in rows if row["guardrail"] == "Jobs run inside the VPC")
    assert inside["control"]["with"]["VpcConfig"]["Subnets"] == ["subnet-1"]


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.name)
def test_every_policy_is_json_when_it_is_filled(file: Path) -> None:
    assert json.loads(access.filled(file, NAMES))


def test_the_service_control_policy_is_not_longer_than_organizations_take() -> None:
    assert len(access.filled(FOLDER / "scp.json", NAMES)) <= 5120


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"guardrail": "a", "kind": "b", "who": "c", "attack": {}, "control": {}}, "a lacks refused_by"),
        (
            {"guardrail": "a", "kind": "b", "who": "c", "attack": {}, "control": {}, "refused_by": "boundry"},
            'nothing is called "boundry"',
        ),
        (
            {
                "guardrail": "${what}",
                "kind": "b",
                "who": "c",
                "attack": {},
                "control": {},
                "refused_by": "permissions boundary",
            },
            "placeholder",
        ),
    ],
)
def test_a_wrong_row_is_refused_with_what_to_do(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "attacks.yml"
    file.write_text(yaml.safe_dump([row]))
    with pytest.raises(PlanError, match=said):
        guardrails.read(file, NAMES)


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "attacks.yml").write_text("[")
    with pytest.raises(PlanError, match="cannot be read"):
        guardrails.read(tmp_path / "attacks.yml", NAMES)


# What is written


def test_merging_replaces_a_statement_of_the_same_sid_and_keeps_the_others() -> None:
    first = guardrails.merged("", text({"Sid": "A", "Effect": "Allow"}, {"Sid": "B", "Effect": "Allow"}))
    twice = guardrails.merged(first, text({"Sid": "B", "Effect": "Deny"}))
    found = {one["Sid"]: one["Effect"] for one in json.loads(twice)["Statement"]}
    assert found == {"A": "Allow", "B": "Deny"}
    again = guardrails.merged(twice, text({"Sid": "C", "Effect": "Deny"}, {"Sid": "A", "Effect": "Allow"}))
    assert [one["Sid"] for one in json.loads(again)["Statement"]] == ["A", "B", "C"], "each in its place"
    assert guardrails.merged(twice, text({"Sid": "B", "Effect": "Deny"})) == twice


def test_a_policy_is_written_over_and_over_without_running_out_of_versions(here: Here) -> None:
    iam = here.client("iam")
    arn = f"arn:aws:iam::{here.account}:policy/Often"
    for n in range(8):
        document = text({**ANYBODY, "Sid": f"Version{n}"})
        guardrails.written(iam, arn, document, [])
        guardrails.written(iam, arn, document, [])
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    held = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=held)["PolicyVersion"]["Document"]
    assert len(versions) == 5
    assert document["Statement"][0]["Sid"] == "Version7"


def test_only_roles_that_exist_are_bounded(here: Here) -> None:
    iam = here.client("iam")
    arn = f"arn:aws:iam::{here.account}:policy/Limit"
    guardrails.written(iam, arn, text(ANYBODY), [])
    role(here, "Bounded", ANYBODY)
    assert guardrails.bounded(iam, ["Bounded", "Nobody"], arn) == ["Bounded"]
    assert iam.get_role(RoleName="Bounded")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn


def test_a_bucket_that_everybody_may_read_is_found(here: Here) -> None:
    s3 = here.client("s3")
    for name in ("public-by-policy", "quite-private"):
        s3.create_bucket(Bucket=name)
    s3.delete_public_access_block(Bucket="public-by-policy")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    s3.put_bucket_policy(
        Bucket="public-by-policy", Policy=text({**everybody, "Resource": "arn:aws:s3:::public-by-policy/*"})
    )
    assert guardrails.public_buckets(s3) == ["public-by-policy"]
    s3.delete_bucket_policy(Bucket="public-by-policy")
    assert guardrails.public_buckets(s3) == []


# Attacks


def rows_for(bucket: str) -> list[dict[str, Any]]:
    put = {"call": "s3.put_object", "with": {"Bucket": bucket, "Key": "attack", "Body": "x"}}
    return [
        {
            "guardrail": "Nobody writes",
            "kind": "preventive",
            "refused_by": "permissions boundary",
            "who": "probe",
            "attack": {
                **put,
                "undo": {"call": "s3.delete_object", "with": {"Bucket": bucket, "Key": "attack"}},
            },
            "control": {"call": "s3.list_objects_v2", "with": {"Bucket": bucket}},
        }
    ]


@pytest.fixture(scope="module")
def probe(here: Here) -> tuple[Here, str]:
    """A role that may do all, with a boundary that lets it write nothing to S3; and the boundary's ARN."""
    arn = f"arn:aws:iam::{here.account}:policy/NoWriting"
    document = text(ANYBODY, {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"})
    guardrails.written(here.client("iam"), arn, document, [])
    mine = role(here, "Probe", ANYBODY)
    guardrails.bounded(here.client("iam"), ["Probe"], arn)
    here.client("s3").create_bucket(Bucket="attacked")
    return here.as_role(mine), arn


def attacked(here: Here, probe: Here, rows: list[dict[str, Any]], scp: str = "") -> list[dict[str, Any]]:
    callers = {"admin": here, "probe": probe, "member": None}

    def client(who: str, service: str, region: str) -> Any:
        session = callers[who]
        return session and session.client(service)

    found: list[dict[str, Any]] = guardrails.attacked(rows, client, here.client("iam"), scp)
    return found


def test_a_guardrail_refuses_and_ordinary_work_goes_on(here: Here, probe: tuple[Here, str]) -> None:
    (row,) = attacked(here, probe[0], rows_for("attacked"))
    assert (row["held"], row["refused"], row["allowed"]) == (True, True, True)
    assert row["code"] == "AccessDenied"
    assert "explicit deny in a permissions boundary" in row["message"]


def test_without_its_guardrail_an_attack_goes_through_and_is_taken_back(
    here: Here, probe: tuple[Here, str]
) -> None:
    iam = here.client("iam")
    iam.delete_role_permissions_boundary(RoleName="Probe")
    try:
        (row,) = attacked(here, probe[0], rows_for("attacked"))
    finally:
        guardrails.bounded(iam, ["Probe"], probe[1])
    assert (row["held"], row["refused"], row["by"]) == (False, False, "")
    assert "Contents" not in here.client("s3").list_objects_v2(Bucket="attacked")


def test_a_refusal_by_something_else_is_not_the_guardrails(here: Here, probe: tuple[Here, str]) -> None:
    rows = [{**rows_for("attacked")[0], "refused_by": "resource-based policy"}]
    (row,) = attacked(here, probe[0], rows)
    assert (row["held"], row["refused"], row["by"]) == (False, True, "permissions boundary")


def test_an_error_that_is_no_refusal_does_not_count_as_one(here: Here, probe: tuple[Here, str]) -> None:
    row = rows_for("attacked")[0]
    row["attack"] = {"call": "s3.get_object", "with": {"Bucket": "attacked", "Key": "not-there"}}
    (result,) = attacked(here, probe[0], [row])
    assert (result["code"], result["held"], result["refused"]) == ("NoSuchKey", False, False)


def test_a_wall_that_stops_everybody_shows_in_the_control(here: Here, probe: tuple[Here, str]) -> None:
    row = rows_for("attacked")[0]
    row["control"] = row["attack"]
    (result,) = attacked(here, probe[0], [row])
    assert (result["held"], result["allowed"]) == (True, False)
    assert "permissions boundary" in result["said"]


def test_without_a_member_account_the_simulator_answers_and_says_so(
    here: Here, probe: tuple[Here, str]
) -> None:
    when = {"aws:RequestedRegion": "eu-west-3"}
    row = {
        **rows_for("attacked")[0],
        "refused_by": "service control policy",
        "who": "member",
        "attack": {
            "call": "ec2.describe_vpcs",
            "simulate": {"action": "ec2:DescribeVpcs", "when": when},
        },
        "control": {
            "call": "ec2.describe_vpcs",
            "simulate": {
                "action": "ec2:DescribeVpcs",
                "when": {"aws:RequestedRegion": "us-east-1"},
            },
        },
    }
    scp = access.filled(FOLDER / "scp.json", NAMES)
    (result,) = attacked(here, probe[0], [row], scp)
    assert (result["held"], result["allowed"]) == (True, True)
    assert result["by"] == "service control policy (simulated)"
    assert result["attack"] == "simulator: ec2:DescribeVpcs"
    (without,) = attacked(here, probe[0], [row], text({**ANYBODY, "Sid": "Other"}))
    assert (without["held"], without["refused"]) == (False, False)


def test_a_service_control_policy_refuses_an_administrator_of_a_member_account(here: Here) -> None:
    organizations = here.client("organizations")
    organizations.create_organization(FeatureSet="ALL")
    made = organizations.create_account(AccountName="member", Email="member@example.com")
    member = made["CreateAccountStatus"]["AccountId"]
    scp = access.filled(FOLDER / "scp.json", NAMES)
    first = guardrails.controlled(organizations, "EbaGuardrails", scp, member, [])
    assert guardrails.controlled(organizations, "EbaGuardrails", scp, member, []) == first
    administrator = here.as_role(f"arn:aws:iam::{member}:role/OrganizationAccountAccessRole")
    ec2 = administrator.session.client("ec2", region_name="eu-west-3", endpoint_url=here.url)
    with pytest.raises(ClientError) as caught:
        ec2.describe_vpcs()
    error = caught.value.response["Error"]
    assert guardrails.refused_by(error["Code"], error["Message"], "member") == "service control policy"
    assert administrator.client("ec2").describe_vpcs()["Vpcs"]


@pytest.mark.parametrize(
    ("code", "message", "who", "by"),
    [
        (
            "AccessDenied",
            "with an explicit deny in a resource-based policy",
            "plain",
            "resource-based policy",
        ),
        ("AccessDeniedException", "explicit deny in a permissions boundary", "probe", "permissions boundary"),
        ("UnauthorizedOperation", "explicit deny in a service control policy", "a", "service control policy"),
        ("AccessDenied", "Access Denied", "anonymous", "nobody let them in"),
        ("AccessDenied", "Access Denied", "probe", "not said"),
        ("NoSuchBucket", "a permissions boundary", "probe", ""),
    ],
)
def test_what_refused_is_read_from_awss_words(code: str, message: str, who: str, by: str) -> None:
    assert guardrails.refused_by(code, message, who) == by


def test_waiting_ends_with_what_came_or_says_what_did_not() -> None:
    looks = iter([None, [], "came"])
    assert guardrails.wait_for(lambda: next(looks), "it", 0.001) == "came"
    with pytest.raises(KitError, match="it: nothing came within"):
        guardrails.wait_for(lambda: None, "it", 0.001, 0.01)


def test_the_picture_says_each_outcome_in_words() -> None:
    from matplotlib.figure import Figure

    base = {"guardrail": "g", "kind": "k", "by": "b", "code": "c"}
    results = [
        {**base, "held": True, "refused": True, "allowed": True},
        {**base, "held": False, "refused": False, "allowed": False, "by": "", "code": ""},
        {**base, "held": False, "refused": True, "allowed": True},
    ]
    ax = Figure().subplots()
    guardrails.draw(ax, results)
    assert [one.get_text() for one in ax.texts] == [
        *("refused", "goes on", "b"),
        *("WENT THROUGH", "BLOCKED TOO", "nothing"),
        *("BY ANOTHER", "goes on", "b"),
    ]
