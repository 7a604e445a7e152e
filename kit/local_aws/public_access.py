"""S3 Block Public Access: what is public, and what the settings of a bucket and of its account do about it. Pure.

Source: "Blocking public access to your Amazon S3 storage" of the Amazon S3 User Guide
(docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html), "The meaning of \"public\"".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kit.local_aws import conditions

__all__ = ["Block", "public_grants", "public_policy", "refused"]

EVERYBODY = tuple(
    f"http://acs.amazonaws.com/groups/global/{who}" for who in ("AllUsers", "AuthenticatedUsers")
)
PUBLIC_ACLS = ("public-read", "public-read-write", "authenticated-read")
# A statement whose condition gives one of these keys a fixed value is for somebody in particular.
FIXING = frozenset(
    (
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:userid",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:principalaccount",
        "aws:principalarn",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "s3:dataaccesspointarn",
        "s3:dataaccesspointaccount",
    )
)
FIXED_BY = ("stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike")
WIDEST = {
    4: 8,
    6: 32,
}  # the broadest network that counts as somebody in particular, by version of the protocol


@dataclass(frozen=True)
class Block:
    """The four settings; those of a bucket and of its account count together."""

    public_acls: bool = False
    ignore_acls: bool = False
    public_policy: bool = False
    restrict: bool = False

    def __or__(self, other: Block) -> Block:
        """The most restrictive combination."""
        return Block(
            self.public_acls or other.public_acls,
            self.ignore_acls or other.ignore_acls,
            self.public_policy or other.public_policy,
            self.restrict or other.restrict,
        )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def public_policy(document: Mapping[str, Any]) -> bool:
    """Whether a bucket policy grants anything to anybody but fixed principals, accounts, networks and the like."""
    return any(
        statement["Effect"] == "Allow" and _anybody(statement) and not _fixed(statement.get("Condition", {}))
        for statement in _listed(document["Statement"])
    )


def _anybody(statement: Mapping[str, Any]) -> bool:
    if "NotPrincipal" in statement:
        return True
    named = statement.get("Principal", {})
    if not isinstance(named, Mapping):
        return "*" in _listed(named)
    return any("*" in str(one) for who in named.values() for one in _listed(who))


def _fixed(condition: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether one of the conditions leaves only somebody in particular."""
    for name, keys in condition.items():
        quantifier, base, negated, if_exists = conditions.operator(name)
        if negated or if_exists or quantifier == "forallvalues":
            continue
        for key, wanted in keys.items():
            values = conditions.values(wanted)
            if (
                base in FIXED_BY
                and key.lower() in FIXING
                and all(_one(key.lower(), value) for value in values)
            ):
                return True
            if base == "ipaddress" and key.lower() == "aws:sourceip" and all(map(_narrow, values)):
                return True
    return False


def _one(key: str, value: str) -> bool:
    """Whether a value names one account, organization, network or principal; `AROAID:*` names every session of one role."""
    if key == "aws:userid" and value.endswith(":*"):
        value = value.removesuffix(":*")
    return bool(value) and not any(char in value for char in "*?$")


def _narrow(value: str) -> bool:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return network.is_private or network.prefixlen >= WIDEST[network.version]


def public_grants(params: Mapping[str, Any]) -> bool:
    """Whether the ACL that a request brings, canned or written out, grants anything to everybody."""
    return params.get("ACL") in PUBLIC_ACLS or any(
        uri in text for text in _grants(params) for uri in EVERYBODY
    )


def _grants(params: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(value) for name, value in params.items() if name.startswith("Grant"))
    for grant in params.get("AccessControlPolicy", {}).get("Grants", []):
        yield str(grant.get("Grantee", {}).get("URI", ""))


def refused(block: Block, operation: str, params: Mapping[str, Any], policy: Mapping[str, Any] | None) -> str:
    """The end of AWS's sentence on why the settings refuse a request that would make something public; empty if they do not.

    policy: the document that PutBucketPolicy brings.
    """
    if (
        operation == "PutBucketPolicy"
        and policy is not None
        and block.public_policy
        and public_policy(policy)
    ):
        return "because public policies are blocked by the BlockPublicPolicy block public access setting."
    if block.public_acls and public_grants(params):
        return "because public access control lists (ACLs) are blocked by the BlockPublicAcls block public access setting."
    return ""
