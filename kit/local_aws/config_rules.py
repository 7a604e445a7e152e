"""The managed rules of AWS Config that are really evaluated: what each says of what is in the account. Pure.

Source: "List of AWS Config Managed Rules" of the AWS Config Developer Guide, one page a rule. A rule is a function of the facts
(config_facts.py) and its parameters to results; one that is not here has no results, and so no data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.local_aws import conditions, public_access

__all__ = ["BAD", "GOOD", "RULES", "Entity", "Facts", "Result"]

GOOD, BAD = "COMPLIANT", "NON_COMPLIANT"


@dataclass(frozen=True)
class Entity:
    """One resource: its type ("AWS::S3::Bucket"), id, tags and settings."""

    type: str
    id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What an account and region hold. account: its number; trails: those that count here; password: the policy, if there is one."""

    account: str
    entities: tuple[Entity, ...]
    trails: tuple[Mapping[str, Any], ...] = ()
    password: Mapping[str, Any] | None = None

    def of(self, *types: str) -> Iterator[Entity]:
        """The resources of some types."""
        return (one for one in self.entities if one.type in types)


@dataclass(frozen=True)
class Result:
    """What a rule says of one resource."""

    type: str
    id: str
    compliance: str
    note: str = ""


Parameters = Mapping[str, str]
Rule = Callable[[Facts, Parameters], Iterator[Result]]
RULES: dict[str, Rule] = {}


def _rule(identifier: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES[identifier] = function
        return function

    return register


def _said(entity: Entity, holds: bool, note: str = "") -> Result:
    return Result(entity.type, entity.id, GOOD if holds else BAD, "" if holds else note)


def _account(facts: Facts, holds: bool, note: str = "") -> Result:
    return Result("AWS::::Account", facts.account, GOOD if holds else BAD, "" if holds else note)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@_rule("S3_BUCKET_SERVER_SIDE_ENCRYPTION_ENABLED")
def _encrypted(facts: Facts, given: Parameters) -> Iterator[Result]:
    for bucket in facts.of("AWS::S3::Bucket"):
        yield _said(
            bucket, bucket.settings["encryption"] in ("AES256", "aws:kms", "aws:kms:dsse"), "Not encrypted."
        )


@_rule("S3_BUCKET_VERSIONING_ENABLED")
def _versioned(facts: Facts, given: Parameters) -> Iterator[Result]:
    for bucket in facts.of("AWS::S3::Bucket"):
        yield _said(bucket, bucket.settings["versioning"] == "Enabled", "Versioning is not enabled.")


@_rule("S3_BUCKET_PUBLIC_READ_PROHIBITED")
def _not_public(facts: Facts, given: Parameters) -> Iterator[Result]:
    """Public are a policy or an ACL that let everybody read, unless the settings of bucket or account take that away."""
    for bucket in facts.of("AWS::S3::Bucket"):
        block, policy = bucket.settings["block"], bucket.settings["policy"]
        by_policy = policy is not None and public_access.public_policy(policy) and not block.restrict
        by_acl = bucket.settings["acl_public"] and not block.ignore_acls
        why = "policy" if by_policy else "ACL"
        yield _said(bucket, not (by_policy or by_acl), f"The bucket {why} allows public read access.")


@_rule("S3_BUCKET_SSL_REQUESTS_ONLY")
def _tls_only(facts: Facts, given: Parameters) -> Iterator[Result]:
    """A statement denies everybody every action of S3 on the bucket and its objects where aws:SecureTransport is false."""
    for bucket in facts.of("AWS::S3::Bucket"):
        covered: set[str] = set()
        for statement in _listed((bucket.settings["policy"] or {}).get("Statement", [])):
            if _denies_plain(statement):
                covered |= set(_listed(statement.get("Resource", [])))
        arn = f"arn:aws:s3:::{bucket.id}"
        needed = (arn, f"{arn}/*")
        holds = all(any(conditions.arn_matches(have, one) for have in covered) for one in needed)
        yield _said(bucket, holds, "The bucket policy does not require requests to use SSL.")


def _denies_plain(statement: Mapping[str, Any]) -> bool:
    everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
    plain = any(
        conditions.operator(name)[1] == "bool" and conditions.values(value) == ("false",)
        for name, keys in statement.get("Condition", {}).items()
        for key, value in keys.items()
        if key.lower() == "aws:securetransport"
    )
    only = sum(len(keys) for keys in statement.get("Condition", {}).values()) == 1
    actions = {str(one).lower() for one in _listed(statement.get("Action", []))}
    return statement["Effect"] == "Deny" and everybody and plain and only and bool(actions & {"*", "s3:*"})


@_rule("S3_BUCKET_LEVEL_PUBLIC_ACCESS_PROHIBITED")
def _blocked(facts: Facts, given: Parameters) -> Iterator[Result]:
    excluded = given.get("excludedPublicBuckets", "").split(",")
    for bucket in facts.of("AWS::S3::Bucket"):
        own = bucket.settings["own_block"]
        holds = own.public_acls and own.ignore_acls and own.public_policy and own.restrict
        yield _said(bucket, holds or bucket.id in excluded, "Public access is not blocked at bucket level.")


@_rule("IAM_USER_MFA_ENABLED")
def _mfa(facts: Facts, given: Parameters) -> Iterator[Result]:
    for user in facts.of("AWS::IAM::User"):
        yield _said(user, user.settings["mfa"], "The user has no MFA device.")


@_rule("IAM_PASSWORD_POLICY")
def _password(facts: Facts, given: Parameters) -> Iterator[Result]:
    """The policy asks for at least what the parameters ask for; their defaults are the rule's."""
    held = facts.password
    if held is None:
        yield _account(facts, False, "The account has no password policy.")
        return
    wanted = {
        "RequireUppercaseCharacters": "true",
        "RequireLowercaseCharacters": "true",
        "RequireSymbols": "true",
        "RequireNumbers": "true",
        **given,
    }
    lacking = [
        name
        for name, value in wanted.items()
        if name.startswith("Require") and value == "true" and not held.get(name)
    ]
    if int(held.get("MinimumPasswordLength") or 6) < int(wanted.get("MinimumPasswordLength", 14)):
        lacking.append("MinimumPasswordLength")
    if int(held.get("PasswordReusePrevention") or 0) < int(wanted.get("PasswordReusePrevention", 24)):
        lacking.append("PasswordReusePrevention")
    oldest = int(held.get("MaxPasswordAge") or 0)
    if not 0 < oldest <= int(wanted.get("MaxPasswordAge", 90)):
        lacking.append("MaxPasswordAge")
    yield _account(facts, not lacking, f"Weaker than asked for: {', '.join(lacking)}."[:256])


@_rule("IAM_POLICY_NO_STATEMENTS_WITH_ADMIN_ACCESS")
def _no_admin(facts: Facts, given: Parameters) -> Iterator[Result]:
    """Of customer managed policies: no statement allows every action on every resource."""
    for policy in facts.of("AWS::IAM::Policy"):
        admin = any(
            statement["Effect"] == "Allow"
            and "*" in _listed(statement.get("Action", []))
            and "*" in _listed(statement.get("Resource", []))
            for statement in _listed(policy.settings["document"]["Statement"])
        )
        yield _said(policy, not admin, "A statement allows all actions on all resources.")


@_rule("SAGEMAKER_ENDPOINT_CONFIGURATION_KMS_KEY_CONFIGURED")
def _endpoint_key(facts: Facts, given: Parameters) -> Iterator[Result]:
    allowed = [one for one in given.get("kmsKeyArns", "").split(",") if one]
    for config in facts.of("AWS::SageMaker::EndpointConfig"):
        key = config.settings["key"]
        yield _said(config, bool(key) and (not allowed or key in allowed), "No KMS key is configured.")


@_rule("SAGEMAKER_NOTEBOOK_NO_DIRECT_INTERNET_ACCESS")
def _notebook(facts: Facts, given: Parameters) -> Iterator[Result]:
    for notebook in facts.of("AWS::SageMaker::NotebookInstance"):
        yield _said(
            notebook, notebook.settings["internet"] == "Disabled", "Direct internet access is enabled."
        )


@_rule("REQUIRED_TAGS")
def _required_tags(facts: Facts, given: Parameters) -> Iterator[Result]:
    """Each of tag1Key .. tag6Key is there, with one of the values of tag1Value .. where those are given."""
    wanted = {
        given[f"tag{n}Key"]: given.get(f"tag{n}Value", "") for n in range(1, 7) if given.get(f"tag{n}Key")
    }
    for entity in facts.of("AWS::S3::Bucket", "AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Policy"):
        lacking = [
            key
            for key, values in wanted.items()
            if key not in entity.tags or (values and entity.tags[key] not in values.split(","))
        ]
        yield _said(entity, not lacking, f"Lacks {', '.join(lacking)}."[:256])


@_rule("CLOUD_TRAIL_ENABLED")
def _trail(facts: Facts, given: Parameters) -> Iterator[Result]:
    wanted = given.get("s3BucketName", "")
    found = [one for one in facts.trails if one["logging"] and (not wanted or one["bucket"] == wanted)]
    yield _account(facts, bool(found), "No trail logs in this region.")


@_rule("GUARDDUTY_ENABLED_CENTRALIZED")
def _guardduty(facts: Facts, given: Parameters) -> Iterator[Result]:
    yield _account(facts, any(facts.of("AWS::GuardDuty::Detector")), "GuardDuty is not enabled.")


@_rule("SECURITYHUB_ENABLED")
def _hub(facts: Facts, given: Parameters) -> Iterator[Result]:
    yield _account(facts, any(facts.of("AWS::SecurityHub::Hub")), "Security Hub is not enabled.")
