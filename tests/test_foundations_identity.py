"""Identity Center's groups, permission sets, assignments and people, at a real local AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from jobs import load
from test_guardrails import NAMES, Here, here, role, text  # noqa: F401 - `here` is a fixture

from kit.errors import KitError, PlanError
from kit.plan import Workstream

access, guardrails, identity = load("foundations", "access", "guardrails", "identity")
FOLDER = Path(__file__).parents[1] / "foundations" / "policies"
STREAMS = (
    Workstream("models", "Models", lead="ann", people=("bo", "ann")),
    Workstream("data", "Data", people=("cy",)),
)
FACTS = {"scientist": {"workstreams": ["models"]}, "engineer": {"workstreams": ["data", "models"]}}
POLICY = text({"Sid": "A", "Effect": "Allow", "Action": "sns:ListTopics", "Resource": "*"})


def test_people_come_into_the_groups_of_their_workstream() -> None:
    rows = identity.mapping(STREAMS, FACTS)
    assert [(row["person"], row["group"]) for row in rows] == [
        ("ann", "engineer"),
        ("ann", "scientist"),
        ("bo", "engineer"),
        ("bo", "scientist"),
        ("cy", "engineer"),
    ]
    assert identity.mapping((Workstream("models", "M"), Workstream("data", "D")), FACTS) == []


def test_a_workstream_that_there_is_not_is_named() -> None:
    with pytest.raises(PlanError, match='no workstream "modles"') as caught:
        identity.mapping(STREAMS, {"scientist": {"workstreams": ["modles"]}})
    assert "models" in caught.value.hint


def test_every_persona_of_the_events_file_has_its_policies_and_fits_a_permission_set() -> None:
    personas, _ = access.read(FOLDER, NAMES)
    facts = yaml.safe_load(access.filled(FOLDER / "identity" / "identity.yml", NAMES))
    people = {name for name, told in personas.items() if told["trust"] == "trust-persona"}
    assert set(facts["groups"]) == people, "the others are roles of services"
    assert facts["attributes"] == {"team": "${path:enterprise.department}"}
    for group in facts["groups"]:
        policy = access.filled(FOLDER / "identity" / "team.json", NAMES)
        for name in personas[group]["policies"]:
            policy = guardrails.merged(policy, access.filled(FOLDER / f"{name}.json", NAMES))
        assert len(policy) <= 10_240, "the longest inline policy that a permission set takes"


@pytest.mark.parametrize("file", sorted((FOLDER / "identity").glob("*.json")), ids=lambda file: file.name)
def test_every_policy_is_json_when_it_is_filled(file: Path) -> None:
    assert json.loads(access.filled(file, NAMES))


def test_an_account_without_identity_center_is_told_what_to_do() -> None:
    class Nothing:
        def list_instances(self) -> dict[str, Any]:
            return {"Instances": []}

    with pytest.raises(KitError, match="sees no IAM Identity Center"):
        identity.instance(Nothing())


def test_groups_and_permission_sets_are_made_once_and_updated(here: Here) -> None:  # noqa: F811
    sso, directory = here.client("sso-admin"), here.client("identitystore")
    center, store = identity.instance(sso)
    groups = identity.grouped(directory, store, ["a", "b"])
    assert identity.grouped(directory, store, ["a", "b"]) == groups
    assert len(set(groups.values())) == 2

    wanted = {"SetA": {"session": "PT8H", "policy": POLICY}}
    sets = identity.permission_sets(sso, center, wanted, [])
    assert identity.holds(sso, center, sets["SetA"], wanted["SetA"])
    shorter = {"SetA": {"session": "PT1H", "policy": guardrails.merged(POLICY, POLICY)}}
    assert not identity.holds(sso, center, sets["SetA"], shorter["SetA"])
    assert identity.permission_sets(sso, center, shorter, []) == sets
    assert identity.holds(sso, center, sets["SetA"], shorter["SetA"])

    arn = f"arn:aws:iam::{here.account}:policy/Limit"
    assert guardrails.standing(here.client("iam"), arn) == ""
    guardrails.written(here.client("iam"), arn, POLICY, [])
    assert guardrails.standing(here.client("iam"), arn) == "Limit"
    identity.permission_sets(sso, center, shorter, [], "Limit")
    scope = {"InstanceArn": center, "PermissionSetArn": sets["SetA"]}
    limit = sso.get_permissions_boundary_for_permission_set(**scope)["PermissionsBoundary"]
    assert limit["CustomerManagedPolicyReference"]["Name"] == "Limit"

    holders = {"SetA": groups["a"]}
    for _ in range(2):
        assert identity.assigned(sso, center, here.account, sets, holders, 0.1) == holders


def test_attributes_are_added_to_those_that_others_set(here: Here) -> None:  # noqa: F811
    sso = here.client("sso-admin")
    center, _ = identity.instance(sso)
    cost, team = {"cost": "${path:costCenter}"}, {"team": "${path:enterprise.department}"}
    assert identity.attributes(sso, center, cost) == cost
    assert identity.attributes(sso, center, team) == cost | team
    assert identity.attributes(sso, center, team) == cost | team


def test_people_join_groups_and_those_that_are_missing_are_told(here: Here) -> None:  # noqa: F811
    sso, directory = here.client("sso-admin"), here.client("identitystore")
    _, store = identity.instance(sso)
    groups = identity.grouped(directory, store, ["engineer", "scientist"])
    rows = identity.mapping(STREAMS, FACTS)
    told = identity.members(directory, store, groups, rows, make=False)
    assert {row["user"] for row in told} == {"not in the directory"}
    for _ in range(2):
        told = identity.members(directory, store, groups, rows, make=True)
        assert {row["user"] for row in told} == {"member"}
    held = directory.list_group_memberships(IdentityStoreId=store, GroupId=groups["engineer"])
    assert len(held["GroupMemberships"]) == 3


def test_a_team_changes_its_own_things_only(here: Here) -> None:  # noqa: F811
    team = json.loads(access.filled(FOLDER / "identity" / "team.json", NAMES))["Statement"]
    arn = role(here, "Team", *team, {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"})
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": here.account},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }
    here.client("iam").update_assume_role_policy(RoleName="Team", PolicyDocument=text(trust))
    sessions = {
        name: Here(
            here.url,
            here.account,
            guardrails.assumed(here, arn, name, 0.1, Tags=[{"Key": "team", "Value": name}]),
        )
        for name in ("red", "blue")
    }
    trusts = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    made = here.client("iam").create_role(RoleName="Runs", AssumeRolePolicyDocument=text(trusts))
    runs = made["Role"]["Arn"]
    sagemaker = here.client("sagemaker")
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    for name, tags in (("owned", [{"Key": "eba:team", "Value": "red"}]), ("nobodys", [])):
        sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=runs, PrimaryContainer={"Image": image}, Tags=tags
        )
    with pytest.raises(ClientError, match="explicit deny in an identity-based policy"):
        sessions["blue"].client("sagemaker").delete_model(ModelName="owned")
    with pytest.raises(ClientError, match="explicit deny"):
        sessions["blue"].client("sagemaker").add_tags(
            ResourceArn=sagemaker.describe_model(ModelName="owned")["ModelArn"],
            Tags=[{"Key": "eba:team", "Value": "blue"}],
        )
    sessions["blue"].client("sagemaker").delete_model(ModelName="nobodys")
    sessions["red"].client("sagemaker").delete_model(ModelName="owned")
