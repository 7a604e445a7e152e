"""The access review and the emergency door, at a real local AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from jobs import load
from test_guardrails import NAMES, Here, here, role, text  # noqa: F401 - `here` is a fixture

access, guardrails, review = load("foundations", "access", "guardrails", "review")
FOLDER = Path(__file__).parents[1] / "foundations" / "policies"
TAGS = [{"Key": "eba:event", "Value": "test"}]


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (allow("s3:*"), {"s3": True}),
        (allow("*"), {"*": True}),
        (allow(["s3:*", "sns:ListTopics"]), {"s3": True, "sns": False}),
        (allow("s3:*", "arn:aws:s3:::mine/*"), {"s3": False}),
        (allow("s3:Get*"), {"s3": False}),
        (allow("s3:*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}), {"s3": False}),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, {"*": True}),
        ({"Effect": "Deny", "Action": "s3:*", "Resource": "*"}, {}),
    ],
)
def test_too_wide_is_a_whole_service_on_everything_unconditionally(
    statement: dict[str, Any], found: dict[str, bool]
) -> None:
    assert review.services([text(statement)]) == found
    assert review.services([{"Statement": statement}]) == found


def test_one_narrow_statement_does_not_make_a_wide_one_narrow() -> None:
    both = [text(allow("s3:*")), text(allow("s3:GetObject", "arn:aws:s3:::mine/*"))]
    assert review.services(both) == review.services(both[::-1]) == {"s3": True}


def test_no_policy_file_of_a_persona_is_too_wide() -> None:
    personas, _ = access.read(FOLDER, NAMES)
    names = {name for facts in personas.values() for name in facts["policies"]}
    documents = [access.filled(FOLDER / f"{name}.json", NAMES) for name in names]
    documents.append(access.filled(FOLDER / "identity" / "break-glass.json", NAMES))
    assert not any(review.services(documents).values())


def test_the_verdict_says_what_to_talk_about() -> None:
    roles = {"a": {"s3": True, "sns": False, "sqs": False, "kms": False}, "b": {"*": True}, "c": {"*": False}}
    rows = review.findings(roles, {"a": ["s3", "kms"]}, {"a": ["sns", "s3"], "c": ["s3"]})
    assert {(row["role"], row["service"]): row["verdict"] for row in rows} == {
        ("a", "kms"): "agreed",
        ("a", "s3"): "TOO WIDE",
        ("a", "sns"): "used",
        ("a", "sqs"): "UNUSED",
        ("b", "*"): "TOO WIDE",
        ("c", "*"): "used",
    }


def test_the_review_finds_what_is_planted_in_an_account_and_nothing_else(here: Here) -> None:  # noqa: F811
    iam = here.client("iam")
    names = {**NAMES, "account": here.account}
    planted = json.loads(access.filled(FOLDER / "identity" / "planted.json", names))["Statement"]
    agreed = allow("glue:GetTable")
    arns = {name: role(here, name, *held) for name, held in (("Planted", planted), ("Agreed", [agreed]))}
    for name in arns:
        iam.tag_role(RoleName=name, Tags=TAGS)
    role(here, "Untagged", allow("*"))
    service = {
        "Effect": "Allow",
        "Principal": {"Service": "firehose.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam.create_role(RoleName="OfAService", AssumeRolePolicyDocument=text(service), Tags=TAGS)
    worker = here.as_role(arns["Planted"], "at-work")
    worker.client("s3").list_buckets()
    worker.client("sns").list_topics()

    roles = review.reviewed(iam)
    assert roles == arns
    held = {name: review.services(review.granted(iam, name)) for name in roles}
    uses = {name: review.used(iam, arn, 0.1) for name, arn in roles.items()}
    assert uses == {"Planted": {"s3", "sns"}, "Agreed": set()}
    assert review.lately(here.client("cloudtrail"), "at-work") == {"s3", "sns"}
    rows = review.findings(held, {"Agreed": review.services([text(agreed)])}, uses)
    loud = [(row["role"], row["service"], row["verdict"]) for row in rows if row["verdict"].isupper()]
    assert loud == [("Planted", "dynamodb", "UNUSED"), ("Planted", "s3", "TOO WIDE")]


def test_managed_policies_count_as_grants(here: Here) -> None:  # noqa: F811
    iam = here.client("iam")
    role(here, "Managed", allow("sns:ListTopics"))
    iam.attach_role_policy(RoleName="Managed", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    assert review.services(review.granted(iam, "Managed")) == {"sns": False, "*": True}


# The emergency door


def test_the_door_refuses_who_has_no_second_factor_and_the_attempt_is_in_the_trail(here: Here) -> None:  # noqa: F811
    names = {**NAMES, "account": here.account}
    trust = access.filled(FOLDER / "identity" / "trust-break-glass.json", names)
    made = here.client("iam").create_role(RoleName="EbaBreakGlass", AssumeRolePolicyDocument=trust)
    door = made["Role"]["Arn"]
    knocker = here.as_role(role(here, "Knocker", allow("sts:AssumeRole")), "knocker")
    with pytest.raises(ClientError, match="AccessDenied"):
        knocker.client("sts").assume_role(RoleArn=door, RoleSessionName="in")
    cloudtrail = here.client("cloudtrail")
    (attempt,) = review.attempts(cloudtrail, door, "knocker")
    assert attempt["code"] == "AccessDenied"
    assert attempt["who"].endswith("assumed-role/Knocker/knocker")
    assert review.attempts(cloudtrail, f"{door}Other", "knocker") == []
    assert review.attempts(cloudtrail, door, "somebody-else") == []


@pytest.mark.parametrize(
    ("when", "may"),
    [
        ({"aws:MultiFactorAuthPresent": True, "aws:MultiFactorAuthAge": 60}, True),
        ({"aws:MultiFactorAuthPresent": True, "aws:MultiFactorAuthAge": 900}, False),
        ({"aws:MultiFactorAuthPresent": False, "aws:MultiFactorAuthAge": 60}, False),
        ({"aws:MultiFactorAuthPresent": True}, False),
        ({}, False),
    ],
)
def test_the_way_in_needs_a_fresh_second_factor(here: Here, when: dict[str, Any], may: bool) -> None:  # noqa: F811
    entry = access.filled(FOLDER / "identity" / "break-glass-entry.json", NAMES)
    door = "arn:aws:iam::123456789012:role/EbaBreakGlass"
    assert review.allowed(here.client("iam"), entry, "sts:AssumeRole", door, when) is may


def test_the_picture_says_each_verdict_in_words() -> None:
    from matplotlib.figure import Figure

    words = ("TOO WIDE", "UNUSED", "used", "agreed")
    rows = [{"role": f"EbaMLEngineer{n}", "service": word, "verdict": word} for n, word in enumerate(words)]
    ax = Figure().subplots()
    review.draw(ax, rows)
    assert [one.get_text() for one in ax.texts] == list(words)
    assert [one.get_text() for one in ax.get_yticklabels()] == sorted(words)
