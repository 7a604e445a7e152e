"""Access Analyzer through boto3: findings of policies, and whether they grant what they must not."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import pytest
from accounts import Account, allow, deny, text
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.json_spans import position, spans
from kit.local_aws.policy_checks import found

POLICIES = Path(__file__).parents[2] / "foundations" / "policies"


def findings(account: Account, policy: str, kind: str = "IDENTITY_POLICY") -> dict[str, Any]:
    """The findings by their codes."""
    pages = account.client("accessanalyzer").get_paginator("validate_policy")
    rows = [
        one for page in pages.paginate(policyDocument=policy, policyType=kind) for one in page["findings"]
    ]
    return {one["issueCode"]: one for one in rows}


def test_a_good_policy_has_no_findings(account: Account) -> None:
    passing = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    policy = text(
        allow("s3:GetObject", "arn:aws:s3:::eba/*"),
        allow("iam:PassRole", "*", Condition=passing),
        deny("s3:*"),
    )
    assert findings(account, policy) == {}


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.json")), ids=lambda file: file.stem)
def test_the_drafts_of_the_event_have_no_findings(account: Account, file: Path) -> None:
    names = {"partition": "aws", "region": "us-east-1", "account": "123456789012", "bucket": "eba"}
    kind = "RESOURCE_POLICY" if file.stem.startswith(("bucket", "trust")) else "IDENTITY_POLICY"
    assert findings(account, Template(file.read_text(encoding="utf-8")).substitute(names), kind) == {}


@pytest.mark.parametrize(
    ("policy", "code", "kind"),
    [
        ("{", "JSON_SYNTAX_ERROR", "ERROR"),
        ("[]", "DATA_TYPE_MISMATCH", "ERROR"),
        (json.dumps({"Version": "2012-10-17"}), "MISSING_STATEMENT", "ERROR"),
        (json.dumps({"Statement": [allow("s3:GetObject")]}), "MISSING_VERSION", "WARNING"),
        (json.dumps({"Version": "2020-01-01", "Statement": [allow("s3:GetObject")]}), "INVALID_VERSION", "ERROR"),
        (text({"Action": "s3:GetObject", "Resource": "*"}), "MISSING_EFFECT", "ERROR"),
        (text({"Effect": "allow", "Action": "s3:GetObject", "Resource": "*"}), "INVALID_EFFECT", "ERROR"),
        (text({"Effect": "Allow", "Resource": "*"}), "MISSING_ACTION", "ERROR"),
        (text({"Effect": "Allow", "Action": "s3:GetObject"}), "MISSING_RESOURCE", "ERROR"),
        (text(allow("s3:GetObject", Principal="*")), "UNSUPPORTED_PRINCIPAL", "ERROR"),
        (text(allow("s3:GetObject", NotAction="s3:*")), "UNSUPPORTED_ELEMENT_COMBINATION", "ERROR"),
        (text(allow("s3:GetObject", Conditions={})), "INVALID_POLICY_ELEMENT", "ERROR"),
        (text(allow("s3:GetObjects")), "INVALID_ACTION", "ERROR"),
        (text(allow("sagmaker:CreateModel")), "INVALID_SERVICE_IN_ACTION", "ERROR"),
        (text(allow("s3:GetObject", Condition={"StringIs": {"a": "b"}})), "INVALID_CONDITION_OPERATOR", "ERROR"),
        (text(allow("s3:GetObject", Sid="a"), allow("s3:PutObject", Sid="a")), "UNIQUE_SIDS_REQUIRED", "ERROR"),
        (text(allow(["s3:GetObject", "s3:Get*"])), "REDUNDANT_ACTION", "SUGGESTION"),
        (text(allow([])), "EMPTY_ARRAY_ACTION", "SUGGESTION"),
        (text(allow("iam:PassRole")), "PASS_ROLE_WITH_STAR_IN_RESOURCE", "SECURITY_WARNING"),
        (text(allow("*")), "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", "SECURITY_WARNING"),
        (text(allow("iam:*")), "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE", "SECURITY_WARNING"),
        (text({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}), "ALLOW_WITH_NOT_ACTION", "SECURITY_WARNING"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_code_and_a_place(account: Account, policy: str, code: str, kind: str) -> None:
    rows = findings(account, policy)
    assert code in rows, rows
    one = rows[code]
    assert one["findingType"] == kind
    assert one["findingDetails"]
    assert one["learnMoreLink"].startswith("https://docs.aws.amazon.com/")
    span = one["locations"][0]["span"]
    assert 0 <= span["start"]["offset"] <= span["end"]["offset"] <= len(policy)


def test_a_finding_points_at_the_word(account: Account) -> None:
    policy = json.dumps(json.loads(text(allow(["s3:GetObject", "s3:GetNothing"]))), indent=2)
    [location] = findings(account, policy)["INVALID_ACTION"]["locations"]
    assert location["path"] == [{"value": "Statement"}, {"index": 0}, {"value": "Action"}, {"index": 1}]
    start, end = location["span"]["start"], location["span"]["end"]
    assert policy[start["offset"] : end["offset"]] == '"s3:GetNothing"'
    assert policy.splitlines()[start["line"] - 1][start["column"] :].startswith('"s3:GetNothing"')


def test_a_policy_of_a_resource_needs_a_principal_and_one_of_an_organization_may_name_none(
    account: Account,
) -> None:
    assert "MISSING_PRINCIPAL" in findings(account, text(allow("s3:GetObject")), "RESOURCE_POLICY")
    everyone = {
        "Effect": "Allow",
        "NotPrincipal": {"AWS": "123456789012"},
        "Action": "s3:GetObject",
        "Resource": "*",
    }
    assert "ALLOW_WITH_NOT_PRINCIPAL" in findings(account, text(everyone), "RESOURCE_POLICY")
    assert findings(account, text(deny("s3:*"), allow("*")), "SERVICE_CONTROL_POLICY") == {}


# Checks by asking


def granted(account: Account, policy: str, *access: dict[str, list[str]]) -> list[int]:
    told = account.client("accessanalyzer").check_access_not_granted(
        policyDocument=policy, access=list(access), policyType="IDENTITY_POLICY"
    )
    assert (told["result"] == "PASS") == (told["reasons"] == [])
    return [one["statementIndex"] for one in told["reasons"]]


def test_critical_actions_that_a_policy_grants_are_found(account: Account) -> None:
    critical = {"actions": ["iam:CreateUser", "s3:DeleteBucket"]}
    assert granted(account, text(allow("s3:GetObject"), allow("iam:*")), critical) == [1]
    assert granted(account, text(allow("s3:*"), deny("s3:DeleteBucket")), critical) == []
    assert granted(account, text(allow("s3:*"), deny("s3:DeleteBucket", "arn:aws:s3:::eba")), critical) == [0]
    assert granted(account, text({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}), critical) == [0]
    only = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::payroll/*"]}
    assert granted(account, text(allow("s3:GetObject", "arn:aws:s3:::eba/*")), only) == []
    assert granted(account, text(allow("s3:Get*", "arn:aws:s3:::pay*")), only) == [0]


def new_access(account: Account, new: str, old: str) -> list[int]:
    told = account.client("accessanalyzer").check_no_new_access(
        newPolicyDocument=new, existingPolicyDocument=old, policyType="IDENTITY_POLICY"
    )
    assert (told["result"] == "PASS") == (told["reasons"] == [])
    return [one["statementIndex"] for one in told["reasons"]]


def test_what_a_change_grants_in_addition_is_found(account: Account) -> None:
    old = text(allow("s3:Get*", "arn:aws:s3:::eba/*"))
    assert new_access(account, old, old) == []
    assert new_access(account, text(allow("s3:GetObject", "arn:aws:s3:::eba/a/*")), old) == []
    assert new_access(account, text(allow("s3:GetObject", "arn:aws:s3:::*")), old) == [0]
    assert new_access(
        account, text(allow("s3:GetObject", "arn:aws:s3:::eba/*"), allow("sqs:SendMessage")), old
    ) == [1]
    wider = text(allow("*"), deny("iam:*"))
    assert new_access(account, text(allow("*")), wider) == [0]
    assert new_access(account, wider, text(allow("*"))) == []
    conditional = text(allow("s3:*", Condition={"Bool": {"aws:SecureTransport": "true"}}))
    assert new_access(account, text(allow("s3:*")), conditional) == [0]
    assert new_access(account, conditional, text(allow("s3:*"))) == []
    with pytest.raises(ClientError, match="InvalidParameterException"):
        new_access(account, "{}", old)


# Places in a text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@given(values, st.sampled_from([None, 1, "\t"]))
def test_every_value_is_where_its_span_says(value: Any, indent: Any) -> None:
    written = json.dumps(value, indent=indent)
    places = spans(written)
    for path, (begin, end) in places.items():
        assert json.loads(written[begin:end]) == at(value, path)
        place = position(written, begin)
        assert written.split("\n")[place["line"] - 1][place["column"] :] == written[begin:].split("\n")[0]
    leaves = sum(1 for path in places if not isinstance(at(value, path), list | dict))
    assert leaves == _leaves(value)


def _leaves(value: Any) -> int:
    if isinstance(value, list | dict):
        return sum(_leaves(item) for item in (value.values() if isinstance(value, dict) else value))
    return 1


@given(st.text(max_size=40) | values.map(json.dumps))
def test_no_text_breaks_the_checks(written: str) -> None:
    for kind in ("IDENTITY_POLICY", "RESOURCE_POLICY", "SERVICE_CONTROL_POLICY"):
        for issue in found(written, kind, lambda prefix: {"getobject"}):
            assert issue.code
            assert issue.text
