"""What the account's resources say about a request: their own policies, tags, owners, keys and public access settings.

Read from moto's backends and the store; nothing else reads these there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.local_aws import principals
from kit.local_aws.asks import Ask, Place
from kit.local_aws.policy import Policy, account_of
from kit.local_aws.principals import stored
from kit.local_aws.protocol import AwsError
from kit.local_aws.public_access import Block

if TYPE_CHECKING:
    from kit.local_aws.store import Store

__all__ = [
    "MADE_BY_ORGANIZATIONS",
    "Known",
    "account_block",
    "bucket",
    "bucket_block",
    "implied",
    "known",
    "readable_by_all",
]

# AWS makes this role in every account of an organization; it may do what the organization lets it.
MADE_BY_ORGANIZATIONS = "OrganizationAccountAccessRole"
KEY_ID = 36  # bytes of a key's id
# Actions on a user or role that have the key iam:PermissionsBoundary (Service Authorization Reference of IAM).
BY_BOUNDARY = {
    f"{verb}{kind}{what}"
    for kind in ("Role", "User")
    for what, verbs in (
        ("Policy", ("Attach", "Delete", "Detach", "Put")),
        ("PermissionsBoundary", ("Delete", "Put")),
    )
    for verb in verbs
}
AWS_MANAGED = ("alias/aws/", ":alias/aws/")  # keys that whoever may use the service may use


@dataclass(frozen=True)
class Known:
    """An ask about what the resource really is; its own policy; the account that owns it where its ARN is silent; its tags."""

    ask: Ask
    policy: Policy | None = None
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def known(ask: Ask, store: Store) -> Known:
    """What is known of the resource of an ask."""
    service = ask.resource.split(":")[2] if ask.resource.count(":") >= 5 else ""
    if service == "s3":
        return _bucket_known(ask)
    if service == "kms":
        return _key(ask)
    if ask.action in ("sts:AssumeRole", "sts:TagSession"):
        return _role(ask)
    if service == "athena" and ":query-execution/" in ask.resource:
        ask = _of_workgroup(ask, store)
    if service == "sagemaker":
        return Known(ask, tags={tag["Key"]: tag["Value"] for tag in store.tags(ask.resource)})
    if service == "iam":
        return _entity(ask)
    return Known(ask, tags=_tagged(service, ask.resource))


def _of_workgroup(ask: Ask, store: Store) -> Ask:
    """The ask about the workgroup that a query ran in, as AWS asks it; `primary` where there is no such query."""
    place, _, query = ask.resource.rpartition(":query-execution/")
    _, _, _, region, account = place.split(":")
    group = store.kept(account, region, "QueryExecution").get(query.lower(), {}).get("WorkGroup", "primary")
    return Ask(ask.action, f"{place}:workgroup/{group}", ask.context)


def bucket(name: str) -> Any:
    """moto's bucket of a name, whoever owns it; None if there is none."""
    from moto.s3.models import s3_backends

    found = s3_backends.bucket_accounts.get(name)
    return s3_backends[found[1]][found[0]].buckets.get(name) if found else None


def bucket_block(held: Any) -> Block:
    """The public access settings that hold for a bucket: its own and its account's."""
    return _block(held.public_access_block) | account_block(held.account_id)


def account_block(account: str) -> Block:
    """The public access settings of an account."""
    from moto.s3control.models import s3control_backends

    return _block(s3control_backends[account]["aws"].public_access_block)


def _block(held: Any) -> Block:
    if held is None:
        return Block()
    return Block(
        held.block_public_acls,
        held.ignore_public_acls,
        held.block_public_policy,
        held.restrict_public_buckets,
    )


def has_acls(held: Any) -> bool:
    """Whether the ACLs of a bucket and its objects count."""
    return held.ownership_rule not in (None, "BucketOwnerEnforced")


def readable_by_all(held: Any, ask: Ask) -> bool:
    """Whether the ACLs let anybody do this: read an object, or list a bucket. Buckets whose owner is enforced have none."""
    if not has_acls(held) or bucket_block(held).ignore_acls:
        return False
    key = ask.resource.partition(":::")[2].partition("/")[2]
    if ask.action == "s3:ListBucket":
        return bool(held.acl and held.acl.public_read)
    stored_object = held.keys.get(key)
    acl = getattr(stored_object, "acl", None)
    return ask.action == "s3:GetObject" and bool(acl and acl.public_read)


def _bucket_known(ask: Ask) -> Known:
    name, _, key = ask.resource.partition(":::")[2].partition("/")
    held = bucket(name)
    if held is None:
        return Known(ask)
    policy = stored("BucketPolicy", held.policy.decode()) if held.policy else None
    found = held.keys.get(key) if key else None
    tags = _object_tags(held, found)
    context = {f"s3:ExistingObjectTag/{name}": value for name, value in tags.items()}
    return Known(Ask(ask.action, ask.resource, {**context, **ask.context}), policy, held.account_id)


def _object_tags(held: Any, found: Any) -> Mapping[str, str]:
    from moto.s3.models import s3_backends

    if found is None or not hasattr(found, "arn"):  # nothing there, or the marker of a deleted object
        return {}
    tagger = s3_backends[held.account_id][held.partition].tagger
    tags: dict[str, str] = tagger.get_tag_dict_for_resource(found.arn)
    return tags


def _key(ask: Ask) -> Known:
    """A key by its id or alias: its ARN, its policy, its tags, and the aliases that conditions name it by."""
    from moto.kms.models import kms_backends

    _, _, _, region, owner, name = ask.resource.split(":", 5)
    backend = kms_backends[owner][region]
    identifier = name.removeprefix("key/")
    if name.startswith("alias/"):
        identifier = next((key.id for key in list(backend.keys.values()) if name in key.aliases), "")
    key = backend.keys.get(identifier)
    if key is None:
        return Known(ask)
    context = {**ask.context, "kms:ResourceAliases": list(key.aliases)}
    alias = name.startswith("alias/") and ask.action.endswith("Alias")
    resource = ask.resource if alias else key.arn
    tags = backend.tagger.get_tag_dict_for_resource(key.id)
    return Known(Ask(ask.action, resource, context), stored("KeyPolicy", key.policy), owner, tags)


def _role(ask: Ask) -> Known:
    try:
        role = principals.entity(ask.resource)
    except AwsError:
        made = ask.resource.endswith(f":role/{MADE_BY_ORGANIZATIONS}")
        return Known(ask, _trust_of_member(account_of(ask.resource)) if made else None)
    return Known(ask, stored("TrustPolicy", role.trust), tags=role.tags)


def _trust_of_member(account: str) -> Policy | None:
    """Whom the role trusts that AWS makes in an account of an organization: the organization's management account."""
    backend = principals.organization(account)
    if backend is None:
        return None
    manager = f"arn:aws:iam::{backend.org.master_account_id}:root"
    statement = {"Effect": "Allow", "Principal": {"AWS": manager}, "Action": "sts:AssumeRole"}
    return stored("TrustPolicy", json.dumps({"Statement": [statement]}))


def _entity(ask: Ask) -> Known:
    """A user or role with its tags; what changes its policies is asked with the boundary that it has."""
    if ":role/" not in ask.resource and ":user/" not in ask.resource:
        return Known(ask)
    try:
        held = principals.entity(ask.resource)
    except AwsError:
        return Known(ask)
    context = ask.context
    if held.bounded_by and ask.action.removeprefix("iam:") in BY_BOUNDARY:
        context = {"iam:PermissionsBoundary": held.bounded_by, **ask.context}
    return Known(Ask(ask.action, ask.resource, context), tags=held.tags)


def _tagged(service: str, arn: str) -> Mapping[str, str]:
    """The tags that moto's backend of a service keeps by ARN, where it keeps them so."""
    from moto.backends import get_backend

    parts = arn.split(":", 5)
    account = account_of(arn)
    if len(parts) != 6 or not account or "*" in arn:
        return {}
    try:
        backend: Any = get_backend(service)[account][parts[3] or "aws"]  # type: ignore[call-overload]
        tagger = getattr(backend, "tagger", None) or getattr(backend, "tagging_service", None)
        return tagger.get_tag_dict_for_resource(arn) if tagger else {}
    except (KeyError, ValueError, ImportError):
        return {}


def named(ask: Ask, params: Mapping[str, Any], place: Place) -> Ask:
    """The ask about the key that a ciphertext was made with, where the request does not name it: moto writes it at the beginning."""
    blob = params.get("CiphertextBlob")
    if (
        ask.resource != "*"
        or not isinstance(blob, bytes)
        or ask.action not in ("kms:Decrypt", "kms:ReEncrypt")
    ):
        return ask
    key = blob[:KEY_ID].decode("ascii", "replace")
    return Ask(ask.action, place.arn("kms", f"key/{key}"), ask.context)


def implied(ask: Ask, params: Mapping[str, Any], place: Place) -> Iterator[Ask]:
    """The use of a customer's KMS key that reading or writing an S3 object takes."""
    if ask.action not in ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"):
        return
    name, _, key = ask.resource.partition(":::")[2].partition("/")
    held = bucket(name)
    if held is None:
        return
    if ask.action == "s3:PutObject":
        algorithm, used = params.get("ServerSideEncryption"), params.get("SSEKMSKeyId")
        default = ((held.encryption or {}).get("Rule") or {}).get("ApplyServerSideEncryptionByDefault", {})
        if not algorithm:
            algorithm, used = default.get("SSEAlgorithm"), default.get("KMSMasterKeyID")
        action = "kms:GenerateDataKey"
    else:
        found = held.keys.get(key)
        algorithm, used = getattr(found, "encryption", None), getattr(found, "kms_key_id", None)
        action = "kms:Decrypt"
    if algorithm != "aws:kms" or not used or any(mark in used for mark in AWS_MANAGED):
        return
    named = used if used.startswith(("arn:", "alias/")) else f"key/{used}"
    service = f"s3.{place.region}.amazonaws.com"
    yield Ask(action, place.arn("kms", named), {"kms:ViaService": service, "aws:ViaAWSService": True})
