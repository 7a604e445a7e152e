"""What counts as public, and what the settings refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.public_access import Block, public_grants, public_policy, refused


def policy(**more: Any) -> dict[str, Any]:
    return {
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **more}]
    }


def when(operator: str, key: str, value: Any) -> dict[str, Any]:
    return policy(Principal="*", Condition={operator: {key: value}})


@pytest.mark.parametrize(
    ("document", "public"),
    [
        (policy(Principal="*"), True),
        (policy(Principal={"AWS": "*"}), True),
        (policy(Principal={"AWS": ["arn:aws:iam::123456789012:root", "*"]}), True),
        (policy(NotPrincipal={"AWS": "arn:aws:iam::123456789012:root"}), True),
        (policy(Principal={"AWS": "arn:aws:iam::123456789012:role/x"}), False),
        (policy(Principal={"Service": "logging.s3.amazonaws.com"}), False),
        (policy(Principal="*", Effect="Deny"), False),
        (when("StringEquals", "aws:SourceVpc", "vpc-91237329"), False),
        (when("StringLike", "aws:SourceVpc", "vpc-*"), True),
        (when("StringEquals", "aws:PrincipalOrgID", "o-1"), False),
        (when("StringEqualsIfExists", "aws:PrincipalOrgID", "o-1"), True),
        (when("StringNotEquals", "aws:PrincipalOrgID", "o-1"), True),
        (when("ForAllValues:StringEquals", "aws:PrincipalOrgID", "o-1"), True),
        (when("StringEquals", "aws:PrincipalAccount", "${aws:PrincipalAccount}"), True),
        (when("StringLike", "aws:userid", "AROAEXAMPLE:*"), False),
        (when("StringLike", "aws:userid", "*:ann"), True),
        (when("Bool", "aws:SecureTransport", "true"), True),
        (when("IpAddress", "aws:SourceIp", "203.0.113.0/24"), False),
        (when("IpAddress", "aws:SourceIp", ["203.0.113.0/24", "0.0.0.0/1"]), True),
        (when("IpAddress", "aws:SourceIp", "10.0.0.0/8"), False),
        (when("IpAddress", "aws:SourceIp", "2001:db8::/31"), True),
        (when("NotIpAddress", "aws:SourceIp", "203.0.113.0/24"), True),
    ],
)
def test_a_policy_is_public_unless_it_names_somebody_in_particular(document: Any, public: bool) -> None:
    assert public_policy(document) is public


def test_one_public_statement_makes_the_policy_public() -> None:
    both = policy(Principal={"AWS": "123456789012"})["Statement"] + policy(Principal="*")["Statement"]
    assert public_policy({"Statement": both})
    assert public_policy({"Statement": both[1]})  # a single statement need not be a list


@pytest.mark.parametrize(
    ("params", "public"),
    [
        ({}, False),
        ({"ACL": "private"}, False),
        ({"ACL": "public-read"}, True),
        ({"ACL": "authenticated-read"}, True),
        ({"GrantRead": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'}, True),
        ({"GrantWrite": 'uri="http://acs.amazonaws.com/groups/s3/LogDelivery"'}, False),
        (
            {"AccessControlPolicy": {"Grants": [{"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"}}]}},
            True,
        ),
        ({"AccessControlPolicy": {"Grants": [{"Grantee": {"ID": "abc"}}]}}, False),
    ],
)  # fmt: skip
def test_an_acl_is_public_that_grants_to_everybody(params: dict[str, Any], public: bool) -> None:
    assert public_grants(params) is public


blocks = st.builds(Block, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@given(blocks, blocks)
def test_settings_of_bucket_and_account_count_together(one: Block, other: Block) -> None:
    both = one | other
    assert both == other | one
    assert both | one == both
    assert refused(both, "PutObject", {"ACL": "public-read"}, None) == (
        refused(one, "PutObject", {"ACL": "public-read"}, None)
        or refused(other, "PutObject", {"ACL": "public-read"}, None)
    )


def test_each_setting_refuses_its_own() -> None:
    everything = policy(Principal="*")
    only_policies, only_acls = Block(public_policy=True), Block(public_acls=True)
    assert "BlockPublicPolicy" in refused(only_policies, "PutBucketPolicy", {}, everything)
    assert refused(only_acls, "PutBucketPolicy", {}, everything) == ""
    assert refused(only_policies, "PutBucketPolicy", {}, policy(Principal={"AWS": "123456789012"})) == ""
    assert "BlockPublicAcls" in refused(only_acls, "PutObjectAcl", {"ACL": "public-read"}, None)
    assert refused(only_policies, "PutObjectAcl", {"ACL": "public-read"}, None) == ""
