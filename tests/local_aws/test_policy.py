"""The evaluator against a reference that is plainly right, AWS's published examples, and the rules one by one."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.local_aws import conditions
from kit.local_aws.policy import Policies, Policy, Request, document, evaluate

ACCOUNT, OTHER = "111122223333", "444455556666"
USER = f"arn:aws:iam::{ACCOUNT}:user/carlossalazar"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/examplerole"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/examplerole/examplesession"


def policy(*statements: dict[str, Any], version: str = "2012-10-17", name: str = "p") -> Policy:
    return Policy(name, {"Version": version, "Statement": list(statements)})


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def verdict(request: Request, *identity: Policy, **layers: Any) -> str:
    return evaluate(request, Policies(identity=identity, **layers)).verdict


# --- against a reference: sets over a whole small universe ------------------------------------------------

ACTIONS = ("s3:GetObject", "s3:PutObject", "iam:PassRole")
RESOURCES = ("arn:aws:s3:::a/x", "arn:aws:s3:::a/y", "arn:aws:s3:::b/x")
DEPARTMENTS = (None, "red", "blue")
UNIVERSE = frozenset(itertools.product(ACTIONS, RESOURCES, DEPARTMENTS))

# Each pattern beside the members it stands for, written out by hand.
ACTION_SETS = {
    "*": set(ACTIONS),
    "s3:*": {"s3:GetObject", "s3:PutObject"},
    "S3:get*": {"s3:GetObject"},
    "s3:?utObject": {"s3:PutObject"},
    "iam:PassRole": {"iam:PassRole"},
    "s3:Get": set(),
}
RESOURCE_SETS = {
    "*": set(RESOURCES),
    "arn:aws:s3:::a/*": {"arn:aws:s3:::a/x", "arn:aws:s3:::a/y"},
    "arn:aws:s3:::*/x": {"arn:aws:s3:::a/x", "arn:aws:s3:::b/x"},
    "arn:aws:s3:::b/?": {"arn:aws:s3:::b/x"},
    "arn:aws:s3:::A/x": set(),
    "arn:aws:sqs:::*": set(),
}
CONDITION_SETS: list[tuple[dict[str, Any], set[Any]]] = [
    ({}, {None, "red", "blue"}),
    ({"StringEquals": {"AWS:principaltag/department": "red"}}, {"red"}),
    ({"StringNotEquals": {"aws:PrincipalTag/department": "red"}}, {None, "blue"}),
    ({"StringEqualsIfExists": {"aws:PrincipalTag/department": ["red", "green"]}}, {None, "red"}),
    ({"Null": {"aws:PrincipalTag/department": True}}, {None}),
    ({"Null": {"aws:PrincipalTag/department": "false"}, "StringLike": {"aws:PrincipalTag/department": "b*"}}, {"blue"}),
    ({"ForAnyValue:StringLike": {"aws:PrincipalTag/department": "*e*"}}, {"red", "blue"}),
    ({"ForAllValues:StringEquals": {"aws:PrincipalTag/department": "blue"}}, {None, "blue"}),
]  # fmt: skip

statements = st.fixed_dictionaries(
    {
        "effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "actions": st.tuples(
            st.booleans(), st.lists(st.sampled_from(list(ACTION_SETS)), min_size=1, max_size=2)
        ),
        "resources": st.tuples(
            st.booleans(), st.lists(st.sampled_from(list(RESOURCE_SETS)), min_size=1, max_size=2)
        ),
        "condition": st.sampled_from(range(len(CONDITION_SETS))),
        "principal": st.sampled_from(["*", ROLE, SESSION, ACCOUNT, f"arn:aws:iam::{OTHER}:root"]),
    }
)
documents = st.lists(statements, max_size=3)


def written(drawn: list[dict[str, Any]], principals: bool = False) -> Policy:
    """The drawn statements as a policy document."""
    made = []
    for one in drawn:
        (left_out, actions), (elsewhere, resources) = one["actions"], one["resources"]
        made.append(
            {
                "Effect": one["effect"],
                "NotAction" if left_out else "Action": actions,
                "NotResource" if elsewhere else "Resource": resources,
                "Condition": CONDITION_SETS[one["condition"]][0],
            }
            | ({"Principal": {"AWS": one["principal"]}} if principals else {})
        )
    return policy(*made)


def covered(drawn: list[dict[str, Any]], effect: str, *principals: str) -> frozenset[Any]:
    """The members of the universe that statements of this effect are about."""
    members: set[Any] = set()
    for one in drawn:
        if one["effect"] != effect or (principals and one["principal"] not in principals):
            continue
        (left_out, actions), (elsewhere, resources) = one["actions"], one["resources"]
        chosen = set().union(*(ACTION_SETS[name] for name in actions))
        places = set().union(*(RESOURCE_SETS[name] for name in resources))
        members |= set(
            itertools.product(
                set(ACTIONS) - chosen if left_out else chosen,
                set(RESOURCES) - places if elsewhere else places,
                CONDITION_SETS[one["condition"]][1],
            )
        )
    return frozenset(members)


@settings(max_examples=300, deadline=None)
@given(
    identity=documents,
    resource=st.none() | documents,
    boundary=st.none() | documents,
    session=st.none() | documents,
    scps=st.none() | st.lists(documents, min_size=1, max_size=3),
    owner=st.sampled_from([ACCOUNT, OTHER]),
)
def test_every_request_of_a_small_universe_is_decided_as_by_set_algebra(
    identity: Any, resource: Any, boundary: Any, session: Any, scps: Any, owner: str
) -> None:
    def may(drawn: Any) -> frozenset[Any]:
        return UNIVERSE if drawn is None else covered(drawn, "Allow")

    limits = may(boundary) & may(session)
    own = covered(identity, "Allow") & limits
    direct = covered(resource or [], "Allow", "*", SESSION)
    role = covered(resource or [], "Allow", ROLE)
    delegated = covered(resource or [], "Allow", ACCOUNT)
    if resource is not None and owner == OTHER:
        allowed = own & (direct | role | delegated)
    else:
        allowed = own | direct | (role & limits)
    for level in scps or []:
        allowed &= covered(level, "Allow")
    denied = covered(resource or [], "Deny", "*", SESSION, ROLE, ACCOUNT).union(
        *(covered(drawn, "Deny") for drawn in [identity, boundary or [], session or [], *(scps or [])])
    )

    policies = Policies(
        identity=(written(identity),),
        resource=None if resource is None else written(resource, principals=True),
        boundary=None if boundary is None else written(boundary),
        session=None if session is None else (written(session),),
        scps=None if scps is None else tuple((written(level),) for level in scps),
    )
    for action, place, department in UNIVERSE:
        keys = {} if department is None else {"aws:PrincipalTag/Department": department}
        decision = evaluate(Request(action, place, SESSION, owner=owner, context=keys), policies)
        member = (action, place, department)
        expected = "explicitDeny" if member in denied else "allowed" if member in allowed else "implicitDeny"
        assert decision.verdict == expected, member


# --- wildcards -------------------------------------------------------------------------------------------

LETTERS = st.text(alphabet="ab:/.", max_size=8)


def naive(pattern: str, text: str) -> bool:
    """Wildcards by their definition."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return naive(pattern[1:], text) or (bool(text) and naive(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and naive(pattern[1:], text[1:])


@settings(max_examples=1000)
@given(st.text(alphabet="ab:/.*?", max_size=8), LETTERS)
def test_wildcards_match_as_defined(pattern: str, text: str) -> None:
    assert conditions.matches(pattern, text) == naive(pattern, text)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_star_stands_for_any_text_and_a_variable_for_its_value_alone(
    one: str, two: str, three: str
) -> None:
    for mark in "*?$\ue000\ue001":
        one, three = one.replace(mark, ""), three.replace(mark, "")
    assert conditions.matches(f"{one}*{three}", one + two + three)
    known = conditions.context({"aws:username": "a*?"})
    pattern = conditions.resolved(one + "${aws:username}" + three, known, set())
    assert pattern is not None
    assert conditions.matches(pattern, f"{one}a*?{three}")
    assert not conditions.matches(pattern, f"{one}abc{three}")


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not conditions.matches("*a" * 60 + "b", "a" * 20_000)


def test_an_arn_is_matched_part_by_part() -> None:
    pattern = "arn:aws:someservice:*:111122223333:finance/*"
    arn = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"
    assert conditions.matches(pattern, arn)
    assert not conditions.arn_matches(pattern, arn)
    assert not conditions.arn_matches("arn:aws:s3*", "arn:aws:s3xyz")


# --- conditions, operator by operator ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "wanted", "have", "expected"),
    [
        ("StringEquals", ["x", "y"], "y", True),
        ("StringEquals", "x", "X", False),
        ("StringEquals", "x*", "xy", False),
        ("StringNotEquals", ["x", "y"], "y", False),
        ("StringNotEquals", ["x", "y"], "z", True),
        ("StringEqualsIgnoreCase", "John", "jOHN", True),
        ("StringNotEqualsIgnoreCase", "John", "jOHN", False),
        ("StringLike", "t?.*", "t2.micro", True),
        ("StringNotLike", "t?.*", "t2.micro", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericNotEquals", "10", "11", True),
        ("NumericLessThan", "10", "9.5", True),
        ("NumericLessThan", "10", "10", False),
        ("NumericLessThanEquals", 10, "10", True),
        ("NumericGreaterThan", "9", "10", True),
        ("NumericGreaterThanEquals", "11", "10", False),
        ("NumericEquals", "ten", "ten", False),
        ("DateEquals", "2020-04-01T00:00:00Z", "2020-04-01T02:00:00+02:00", True),
        ("DateNotEquals", "2020", "2020-01-01T00:00:00Z", False),
        ("DateLessThan", "2020-07", "2020-06-30T23:59:59.999Z", True),
        ("DateLessThanEquals", "1585699200", "2020-04-01T00:00:00Z", True),
        ("DateGreaterThan", "2020-04-01", "2020-04-01T00:00:01Z", True),
        ("DateGreaterThanEquals", "2020-04-01T00:00:01Z", "2020-04-01", False),
        ("DateLessThan", "tomorrow", "2020-04-01", False),
        ("Bool", True, "TRUE", True),
        ("Bool", "false", "true", False),
        ("Bool", "yes", "yes", False),
        ("BinaryEquals", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", "QmluYXJ5VmFsdWVJbkJhc2U2NA==", True),
        ("BinaryEquals", "QQ==", "Qg==", False),
        ("IpAddress", ["203.0.113.0/24", "2001:DB8:1234:5678::/64"], "203.0.113.7", True),
        ("IpAddress", ["203.0.113.0/24", "2001:DB8:1234:5678::/64"], "2001:db8:1234:5678::9", True),
        ("IpAddress", "203.0.113.7", "203.0.113.8", False),
        ("NotIpAddress", "203.0.113.0/24", "198.51.100.1", True),
        ("IpAddress", "203.0.113.0/24", "nowhere", False),
        ("ArnEquals", "arn:aws:sns:*:*:t?", "arn:aws:sns:us-east-1:123456789012:t1", True),
        ("ArnLike", "arn:aws:sns:*:t1", "arn:aws:sns:us-east-1:123456789012:t1", False),
        ("ArnNotEquals", "arn:aws:iam::*:role/a", "arn:aws:iam::123456789012:role/b", True),
        ("ArnNotLike", "arn:aws:iam::*:role/*", "arn:aws:iam::123456789012:role/b", False),
        ("Null", "false", "x", True),
        ("Null", True, "x", False),
        ("stringequals", "x", "x", True),
        ("StringEqualsIfExists", "x", "y", False),
    ],
)
def test_an_operator_compares_as_documented(operator: str, wanted: Any, have: str, expected: bool) -> None:
    missing: set[str] = set()
    known = conditions.context({"x:Key": have})
    assert conditions.holds({operator: {"X:key": wanted}}, known, True, missing) is expected
    assert not missing


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("NumericLessThan", False),
        ("NotIpAddress", True),
        ("ArnNotLike", True),
        ("Bool", False),
        ("BoolIfExists", True),
        ("StringNotEqualsIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAllValues:StringNotEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAnyValue:StringEqualsIfExists", False),
    ],
)
def test_a_missing_key_is_named_and_counts_as_documented(operator: str, expected: bool) -> None:
    missing: set[str] = set()
    assert conditions.holds({operator: {"x:Key": "1"}}, {}, True, missing) is expected
    assert missing == {"x:Key"}


@pytest.mark.parametrize(
    ("operator", "have", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["a", "c"], True),
        ("ForAnyValue:StringEquals", ["c", "d"], False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "d"], False),
        ("ForAnyValue:StringNotEquals", ["a", "d"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], False),
        ("ForAllValues:StringEquals", "", True),
        ("ForAnyValue:StringEquals", "", False),
        ("StringEquals", ["a", "c"], True),
        ("StringNotEquals", ["a", "c"], False),
    ],
)
def test_sets_of_values_are_compared_as_documented(operator: str, have: Any, expected: bool) -> None:
    known = conditions.context({"aws:TagKeys": have})
    assert conditions.holds({operator: {"aws:TagKeys": ["a", "b"]}}, known, True, set()) is expected


def test_an_operator_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="StringIs is not a condition operator"):
        conditions.holds({"StringIs": {"k": "v"}}, {}, True, set())


# --- variables -------------------------------------------------------------------------------------------


def test_a_variable_stands_for_the_value_of_its_key_only_in_the_newer_language() -> None:
    statement = allow("s3:GetObject", "arn:aws:s3:::mybucket/${aws:username}/*")
    mine = Request("s3:GetObject", "arn:aws:s3:::mybucket/ann/x", USER, context={"aws:UserName": "ann"})
    literal = Request("s3:GetObject", "arn:aws:s3:::mybucket/${aws:username}/x", USER)
    assert verdict(mine, policy(statement)) == "allowed"
    assert verdict(mine, policy(statement, version="2008-10-17")) == "implicitDeny"
    assert verdict(literal, policy(statement, version="2008-10-17")) == "allowed"


def test_a_variable_without_a_value_matches_nothing_unless_it_has_a_default() -> None:
    plain = policy(allow("s3:*", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"))
    fallback = policy(allow("s3:*", "arn:aws:s3:::b/${aws:PrincipalTag/team, 'company-wide'}/*"))
    elsewhere = policy(
        {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::${aws:PrincipalTag/team}"}
    )
    request = Request("s3:GetObject", "arn:aws:s3:::b/company-wide/x", USER)
    assert verdict(request, plain) == "implicitDeny"
    assert evaluate(request, Policies((plain,))).missing == ("aws:PrincipalTag/team",)
    assert verdict(request, fallback) == "allowed"
    assert verdict(request, fallback, elsewhere) == "allowed"
    own = Request("s3:GetObject", "arn:aws:s3:::b/blue/x", USER, context={"aws:PrincipalTag/team": "blue"})
    assert verdict(own, plain) == verdict(own, fallback) == "allowed"
    assert verdict(own, plain, elsewhere) == "explicitDeny"


def test_a_condition_that_compares_with_an_unknown_variable_holds_neither_way() -> None:
    known = conditions.context({"aws:ResourceTag/team": "blue"})
    for name in ("StringEquals", "StringNotEquals"):
        block = {name: {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
        assert not conditions.holds(block, known, True, set())


def test_a_wildcard_character_can_be_meant_literally() -> None:
    only_star = policy(allow("s3:GetObject", "arn:aws:s3:::b/${*}${?}${$}"))
    assert verdict(Request("s3:GetObject", "arn:aws:s3:::b/*?$", USER), only_star) == "allowed"
    assert verdict(Request("s3:GetObject", "arn:aws:s3:::b/abc", USER), only_star) == "implicitDeny"


# --- AWS's published examples -----------------------------------------------------------------------------

CARLOS = policy(
    allow(
        [
            "s3:GetBucketLocation",
            "s3:GetAccountPublicAccessBlock",
            "s3:ListAccessPoints",
            "s3:ListAllMyBuckets",
        ],
        "arn:aws:s3:::*",
    ),
    allow("s3:*", ["arn:aws:s3:::carlossalazar/*", "arn:aws:s3:::carlossalazar"]),
    deny("s3:*", "arn:aws:s3:::*log*"),
)
CARLOS_BUCKET = policy(
    allow("s3:*", ["arn:aws:s3:::carlossalazar/*", "arn:aws:s3:::carlossalazar"], Principal={"AWS": USER})
)


def test_example_identity_and_resource_policies_of_one_account() -> None:
    save = Request("s3:PutObject", "arn:aws:s3:::carlossalazar/file", USER)
    assert verdict(save, CARLOS, resource=CARLOS_BUCKET) == "allowed"
    assert verdict(save, CARLOS) == "allowed"
    assert verdict(save, resource=CARLOS_BUCKET) == "allowed"
    logs = Request("s3:PutObject", "arn:aws:s3:::carlossalazar-logs/file", USER)
    assert verdict(logs, CARLOS) == "explicitDeny"
    assert verdict(Request("s3:ListAllMyBuckets", "arn:aws:s3:::*", USER), CARLOS) == "allowed"


def test_example_policies_of_two_accounts() -> None:
    identity = policy(
        allow("s3:ListAllMyBuckets"),
        allow("s3:*Object*", "arn:aws:s3:::Production/*"),
        deny("s3:*", ["arn:aws:s3:::*log*", "arn:aws:s3:::*log*/*"]),
    )
    actions = ["s3:GetObject*", "s3:PutObject*", "s3:ReplicateObject", "s3:RestoreObject"]
    bucket = policy(allow(actions, "arn:aws:s3:::Production/*", Principal={"AWS": USER}))
    nothing = Policy("none", {"Statement": []})

    def asked(action: str, place: str) -> Request:
        return Request(action, f"arn:aws:s3:::{place}", USER, owner=OTHER)

    assert verdict(asked("s3:PutObject", "Production/f"), identity, resource=bucket) == "allowed"
    assert verdict(asked("s3:DeleteObject", "Production/f"), identity, resource=bucket) == "implicitDeny"
    assert verdict(asked("s3:PutObject", "Production/f"), resource=bucket) == "implicitDeny"
    assert verdict(asked("s3:PutObject", "Production-logs/f"), identity, resource=nothing) == "explicitDeny"
    assert verdict(asked("s3:PutObject", "Production/f"), identity, resource=nothing) == "implicitDeny"
    decision = evaluate(asked("s3:PutObject", "Production/f"), Policies((identity,), bucket))
    assert decision.cross_account
    assert decision.layers == {"identity": "allowed", "resource": "allowed"}


def test_example_explicit_and_implicit_denies() -> None:
    reader = policy(allow(["iam:Get*", "iam:List*"]), deny("iam:*Report"))
    reports = policy(allow("iam:GenerateCredentialReport"))
    assert verdict(Request("iam:GetUser", principal=USER), reader) == "allowed"
    assert verdict(Request("iam:CreatePolicy", principal=USER), reader) == "implicitDeny"
    assert verdict(Request("iam:GetOrganizationsAccessReport", principal=USER), reader) == "explicitDeny"
    assert verdict(Request("iam:GenerateCredentialReport", principal=USER), reader, reports) == "explicitDeny"


def test_example_boundary_limits_and_does_not_grant() -> None:
    boundary = policy(allow(["s3:*", "cloudwatch:*", "ec2:*"]))
    create = Request("iam:CreateUser", principal=USER)
    decision = evaluate(create, Policies((policy(allow("iam:CreateUser")),), boundary=boundary))
    assert decision.verdict == "implicitDeny"
    assert decision.layers == {"identity": "allowed", "boundary": "implicitDeny"}
    tagged = policy(allow(Condition={"Bool": {"aws:SecureTransport": "true"}}))
    assert evaluate(create, Policies((policy(allow()),), boundary=tagged)).missing == ()
    assert verdict(Request("s3:ListBucket", principal=USER), boundary=boundary) == "implicitDeny"


def test_example_boundary_with_own_keys_and_denied_logs() -> None:
    boundary = policy(
        allow(["s3:*", "cloudwatch:*", "ec2:*", "dynamodb:*"]),
        allow(["iam:ListUsers", "iam:GetAccountPasswordPolicy"]),
        allow(["iam:*AccessKey*", "iam:ChangePassword"], "arn:aws:iam::*:user/${aws:username}"),
        deny("s3:*", ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]),
        deny("ec2:*", "arn:aws:ec2:*:*:instance/i-1234567890abcdef0"),
    )

    def of(action: str, resource: str) -> str:
        request = Request(action, resource, USER, context={"aws:username": "carlossalazar"})
        return verdict(request, policy(allow()), boundary=boundary)

    assert of("iam:CreateAccessKey", USER) == "allowed"
    assert of("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/other") == "implicitDeny"
    assert of("s3:GetObject", "arn:aws:s3:::logs/today") == "explicitDeny"
    assert of("ec2:StopInstances", "arn:aws:ec2:us-east-1:1:instance/i-1234567890abcdef0") == "explicitDeny"
    assert of("ec2:StopInstances", "arn:aws:ec2:us-east-1:1:instance/i-9") == "allowed"
    assert of("sqs:SendMessage", "arn:aws:sqs:us-east-1:1:q") == "implicitDeny"


def test_example_home_directory() -> None:
    home = policy(
        allow("s3:ListBucket", "arn:aws:s3:::BUCKET-NAME")
        | {"Condition": {"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/"]}}},
        allow("s3:*", ["arn:aws:s3:::BUCKET-NAME/home/${aws:username}/*"]),
    )

    def listed(prefix: str) -> str:
        keys = {"aws:username": "ann", "s3:prefix": prefix}
        return verdict(Request("s3:ListBucket", "arn:aws:s3:::BUCKET-NAME", USER, context=keys), home)

    assert [listed(prefix) for prefix in ("", "home/", "home/ann/", "home/bob/")] == [
        "allowed",
        "allowed",
        "allowed",
        "implicitDeny",
    ]


def test_example_instance_types_if_the_resource_has_one() -> None:
    def run(operator: str, keys: dict[str, str]) -> str:
        types = {operator: {"ec2:InstanceType": ["t1.*", "t2.*", "m3.*"]}}
        launch = policy(allow("ec2:RunInstances", Condition=types))
        return verdict(
            Request("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1", USER, context=keys), launch
        )

    assert run("StringLike", {}) == "implicitDeny"
    assert run("StringLikeIfExists", {}) == "allowed"
    assert run("StringLikeIfExists", {"ec2:InstanceType": "t2.micro"}) == "allowed"
    assert run("StringLikeIfExists", {"ec2:InstanceType": "p4d.24xlarge"}) == "implicitDeny"


def test_example_no_temporary_credentials() -> None:
    own = policy(allow("ec2:*", Condition={"Null": {"aws:TokenIssueTime": "true"}}))
    assert verdict(Request("ec2:StopInstances", principal=USER), own) == "allowed"
    keys = {"aws:TokenIssueTime": "2026-12-01T00:00:00Z"}
    assert verdict(Request("ec2:StopInstances", principal=USER, context=keys), own) == "implicitDeny"


def test_example_all_but_what_is_named_without_mfa() -> None:
    guard = policy(
        {
            "Effect": "Deny",
            "NotAction": ["iam:EnableMFADevice", "sts:GetSessionToken"],
            "Resource": "*",
            "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
        }
    )
    everything = policy(allow())
    for keys in ({}, {"aws:MultiFactorAuthPresent": "false"}):
        assert (
            verdict(Request("s3:GetObject", "arn:aws:s3:::b/x", USER, context=keys), everything, guard)
            == "explicitDeny"
        )
        assert (
            verdict(Request("iam:EnableMFADevice", "*", USER, context=keys), everything, guard) == "allowed"
        )
    with_mfa = {"aws:MultiFactorAuthPresent": "true"}
    assert (
        verdict(Request("s3:GetObject", "arn:aws:s3:::b/x", USER, context=with_mfa), everything, guard)
        == "allowed"
    )


def test_example_tag_keys_are_all_among_those_named() -> None:
    tag = policy(
        allow(
            "ec2:CreateTags",
            Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["project", "team"]}, "Null": {"aws:TagKeys": "false"}},
        )
    )  # fmt: skip

    def tags(*keys: str) -> str:
        return verdict(Request("ec2:CreateTags", principal=USER, context={"aws:TagKeys": keys}), tag)

    assert [tags("project"), tags("project", "team"), tags("project", "x"), tags()] == [
        "allowed",
        "allowed",
        "implicitDeny",
        "implicitDeny",
    ]


@pytest.mark.parametrize(
    "left_out",
    [
        {"NotPrincipal": {"AWS": [f"arn:aws:iam::{OTHER}:user/Bob", f"arn:aws:iam::{OTHER}:root"]}},
        {
            "Principal": "*",
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:user/Bob"}},
        },
    ],
    ids=["NotPrincipal", "aws:PrincipalArn"],
)
def test_example_all_principals_but_one(left_out: dict[str, Any]) -> None:
    bucket = policy({"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKETNAME/*"} | left_out)

    def asked(arn: str) -> str:
        request = Request("s3:GetObject", "arn:aws:s3:::BUCKETNAME/x", arn, context={"aws:PrincipalArn": arn})
        return verdict(request, policy(allow()), resource=bucket)

    assert asked(f"arn:aws:iam::{OTHER}:user/Bob") == "allowed"
    assert asked(USER) == "explicitDeny"


# --- principals and layers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "named", "identity", "limited"),
    [
        # principal, named in the resource policy -> with only that allow; and under a boundary that allows nothing
        (USER, USER, "allowed", "allowed"),
        (ROLE, ROLE, "allowed", "implicitDeny"),
        (SESSION, ROLE, "allowed", "implicitDeny"),
        (SESSION, SESSION, "allowed", "allowed"),
        (USER, "*", "allowed", "allowed"),
        (USER, ACCOUNT, "implicitDeny", "implicitDeny"),
        (SESSION, f"arn:aws:iam::{ACCOUNT}:root", "implicitDeny", "implicitDeny"),
        (USER, ROLE, "implicitDeny", "implicitDeny"),
        (SESSION, SESSION.replace("examplesession", "other"), "implicitDeny", "implicitDeny"),
        (USER, f"arn:aws:iam::{ACCOUNT}:user/*", "implicitDeny", "implicitDeny"),
    ],
)
def test_what_a_resource_policy_grants_by_the_way_it_names_the_principal(
    principal: str, named: str, identity: str, limited: str
) -> None:
    request = Request("s3:GetObject", "arn:aws:s3:::b/x", principal)
    bucket = policy(allow("s3:*", "arn:aws:s3:::b/*", Principal={"AWS": [named]}))
    assert verdict(request, resource=bucket) == identity
    assert verdict(request, resource=bucket, boundary=policy()) == limited


def test_a_role_with_a_path_is_known_by_its_whole_arn() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/service-role/examplerole"
    bucket = policy(allow("s3:*", Principal={"AWS": role}))
    request = Request("s3:GetObject", "arn:aws:s3:::b/x", SESSION, role=role)
    assert verdict(request, resource=bucket) == "allowed"


def test_a_service_and_an_anonymous_caller_get_what_the_resource_policy_says() -> None:
    trust = policy(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": ["sagemaker.amazonaws.com", "glue.amazonaws.com"]},
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    )
    source = {"aws:SourceAccount": ACCOUNT}
    assert (
        verdict(Request("sts:AssumeRole", ROLE, "glue.amazonaws.com", context=source), resource=trust)
        == "allowed"
    )
    assert verdict(Request("sts:AssumeRole", ROLE, "glue.amazonaws.com"), resource=trust) == "implicitDeny"
    assert (
        verdict(Request("sts:AssumeRole", ROLE, "ec2.amazonaws.com", context=source), resource=trust)
        == "implicitDeny"
    )
    public = policy(allow("s3:GetObject", "arn:aws:s3:::b/*", Principal="*"))
    assert verdict(Request("s3:GetObject", "arn:aws:s3:::b/x"), resource=public) == "allowed"
    assert verdict(Request("s3:PutObject", "arn:aws:s3:::b/x"), resource=public) == "implicitDeny"
    assert verdict(Request("s3:PutObject", "arn:aws:s3:::b/x"), policy(allow())) == "implicitDeny"


def test_a_role_must_be_trusted_even_where_the_caller_may_assume_any() -> None:
    assume = Request("sts:AssumeRole", ROLE, USER)
    may = policy(allow("sts:AssumeRole"))

    def trust(principal: str) -> Policy:
        return policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": principal}})

    assert verdict(assume, may, resource=trust(OTHER)) == "implicitDeny"
    assert verdict(assume, may, resource=trust(ACCOUNT)) == "allowed"
    assert verdict(assume, resource=trust(ACCOUNT)) == "implicitDeny"
    assert verdict(assume, resource=trust(USER)) == "allowed"


def test_a_key_policy_must_let_in_the_account_for_its_own_policies_to_count() -> None:
    use = Request("kms:Decrypt", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k", USER)
    may = policy(allow("kms:Decrypt"))
    other = policy(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/admin"}))
    account = policy(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
    assert verdict(use, may, resource=other) == "implicitDeny"
    assert verdict(use, may, resource=account) == "allowed"


def test_every_level_of_the_organization_must_allow_and_any_may_deny() -> None:
    full, storage = policy(allow()), policy(allow("s3:*"))
    read = Request("s3:GetObject", "arn:aws:s3:::b/x", USER)
    write = Request("sqs:SendMessage", "*", USER)
    assert verdict(read, full, scps=((full,), (storage,), (full,))) == "allowed"
    assert verdict(write, full, scps=((full,), (storage,), (full,))) == "implicitDeny"
    assert verdict(read, full, scps=((full,), (), (full,))) == "implicitDeny"
    assert verdict(read, full, scps=((full, policy(deny("s3:Get*"))), (full,))) == "explicitDeny"
    assert verdict(read, scps=((full,),)) == "implicitDeny"
    granted = policy(allow(Principal={"AWS": USER}))
    assert verdict(read, resource=granted, scps=((policy(),),)) == "implicitDeny"


def test_root_is_held_by_service_control_policies_alone_and_linked_roles_by_none() -> None:
    root = f"arn:aws:iam::{ACCOUNT}:root"
    assert verdict(Request("s3:GetObject", "arn:aws:s3:::b/x", root)) == "allowed"
    guard = ((policy(allow(), deny("s3:*")),),)
    assert verdict(Request("s3:GetObject", "arn:aws:s3:::b/x", root), scps=guard) == "explicitDeny"
    linked = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/sagemaker.amazonaws.com/X"
    request = Request("s3:GetObject", "arn:aws:s3:::b/x", SESSION, role=linked)
    assert verdict(request, policy(allow()), scps=guard) == "allowed"


def test_a_session_policy_limits_and_a_federated_user_without_one_may_nothing() -> None:
    read = Request("s3:GetObject", "arn:aws:s3:::b/x", SESSION)
    full = policy(allow())
    assert verdict(read, full) == "allowed"
    assert verdict(read, full, session=(policy(allow("s3:Put*")),)) == "implicitDeny"
    assert verdict(read, full, session=(policy(allow("s3:Put*")), policy(allow("s3:Get*")))) == "allowed"
    assert verdict(read, full, session=(full, policy(deny("s3:*")))) == "explicitDeny"
    federated = f"arn:aws:sts::{ACCOUNT}:federated-user/exampleuser"
    assert verdict(Request("s3:GetObject", "arn:aws:s3:::b/x", federated), full) == "implicitDeny"
    assert verdict(Request("s3:GetObject", "arn:aws:s3:::b/x", federated), full, session=(full,)) == "allowed"


def test_the_statements_that_apply_are_named_with_their_layer_and_place() -> None:
    identity = policy(allow("sqs:*"), allow("s3:*", Sid="Storage"), name="storage")
    bucket = policy(deny("s3:Get*", Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}}))
    request = Request("s3:GetObject", "arn:aws:s3:::b/x", USER, context={"aws:SecureTransport": False})
    decision = evaluate(request, Policies((identity,), bucket))
    assert decision.verdict == "explicitDeny"
    assert [(m.layer, m.policy.name, m.statement, m.sid, m.effect) for m in decision.matched] == [
        ("identity", "storage", 1, "Storage", "Allow"),
        ("resource", "p", 0, "", "Deny"),
    ]
    assert decision.layers == {"identity": "allowed", "resource": "explicitDeny"}


# --- documents ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "at least one Statement"),
        ('{"Statement": []}', "at least one Statement"),
        ('{"Version": "2020-01-01", "Statement": [{}]}', "Version 2020-01-01"),
        ('{"Statement": ["x"]}', "statement 1: not an object"),
        ('{"Statement": {"Effect": "allow", "Action": "*", "Resource": "*"}}', "Effect is neither"),
        ('{"Statement": {"Effect": "Allow", "Resource": "*"}}', "Action is missing"),
        ('{"Statement": {"Effect": "Allow", "Action": "*"}}', "Resource is missing"),
        ('{"Statement": {"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}}', "exclude each other"),
        ('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}}', "has no Principal"),
        ('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Is": {}}}}', "Is is not"),
        ('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"NullIfExists": {}}}}', "Null"),
        ('{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": "x"}}}', "Condition"),
    ],
)  # fmt: skip
def test_a_document_that_is_no_policy_says_why(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        document(text)


def test_a_document_is_read_as_it_is() -> None:
    written_down = {"Version": "2012-10-17", "Statement": allow()}
    assert document(json.dumps(written_down)) == written_down
    trust = {"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}}
    assert document(json.dumps(trust), resource=True) == trust
    with pytest.raises(ValueError, match="Principal is missing"):
        document(json.dumps(written_down), resource=True)
