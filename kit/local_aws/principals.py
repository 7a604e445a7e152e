"""Users, groups and roles as the account has them: their policies, boundary, tags and organization.

Read from moto's IAM and Organizations backends; nothing else reads policies there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kit.local_aws.policy import Policy, account_of
from kit.local_aws.protocol import AwsError

__all__ = ["Attachment", "Entity", "context", "controls", "entity", "organization", "stored"]


@dataclass(frozen=True)
class Attachment:
    """A policy that counts for an entity: `kind` is inline, aws-managed or user-managed.

    arn: of a managed policy. to: kind and name of the entity that it is attached to, a group for a member.
    """

    policy: Policy
    kind: str
    arn: str
    to: tuple[str, str]


@dataclass(frozen=True)
class Entity:
    """A user, group or role.

    trust: the document that says who may assume the role; empty for the others. bounded_by: the ARN of the boundary, or empty.
    """

    arn: str
    kind: str
    name: str
    id: str
    attachments: tuple[Attachment, ...]
    boundary: Policy | None
    tags: Mapping[str, str]
    trust: str
    bounded_by: str = ""


@lru_cache(maxsize=1024)
def _parsed(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def stored(name: str, text: str) -> Policy:
    """A policy that the account already holds, so is known to be one."""
    return Policy(name, _parsed(text), text)


def _managed(policy: Any) -> Policy:
    version = next(one for one in policy.versions if one.version_id == policy.default_version_id)
    return stored(policy.name, version.document)


def _attachments(holder: Any, kind: str) -> list[Attachment]:
    to = (kind, holder.name)
    inline = [
        Attachment(stored(name, text), "inline", "", to) for name, text in list(holder.policies.items())
    ]
    return inline + [
        Attachment(_managed(one), "user-managed" if account_of(arn) else "aws-managed", arn, to)
        for arn, one in list(holder.managed_policies.items())
    ]


def entity(arn: str) -> Entity:
    """The user, group or role of an ARN.

    Raises AwsError: InvalidInput for the ARN of anything else, NoSuchEntity for one that does not exist.
    """
    from moto.iam.models import iam_backends

    kind, _, path = arn.split(":", 5)[-1].partition("/")
    account = account_of(arn)
    if kind not in ("user", "group", "role") or not account or ":iam::" not in arn:
        raise AwsError(
            "InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name."
        )
    backend = iam_backends[account][arn.split(":")[1]]
    all_of: dict[str, Any] = {"user": backend.users, "group": backend.groups, "role": backend.roles}
    holder = next((one for one in list(all_of[kind].values()) if one.arn == arn), None)
    if holder is None:
        name = path.rpartition("/")[2]
        raise AwsError("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)
    attachments = _attachments(holder, kind)
    if kind == "user":
        for group in backend.get_groups_for_user(holder.name):
            attachments += _attachments(group, "group")
    tags = [] if kind == "group" else holder.tags or []
    boundary = getattr(holder, "permissions_boundary_arn", None)
    limit = backend.managed_policies.get(boundary) if boundary else None
    if boundary and limit is None:
        raise AwsError("NoSuchEntity", f"Policy {boundary}, the boundary of {arn}, was not found.", 404)
    return Entity(
        arn=arn,
        kind=kind,
        name=holder.name,
        id=holder.id,
        attachments=tuple(attachments),
        boundary=_managed(limit) if limit else None,
        tags={tag["Key"]: tag["Value"] for tag in tags},
        trust=holder.assume_role_policy_document if kind == "role" else "",
        bounded_by=boundary or "",
    )


def organization(account: str) -> Any:
    """moto's backend of the organization that the account belongs to; None if it belongs to none."""
    from moto.organizations.models import organizations_backends

    managed = organizations_backends.master_accounts.get(account, (account, "aws"))
    backend = organizations_backends[managed[0]][managed[1]]
    return backend if backend.org and any(one.id == account for one in backend.accounts) else None


def controls(account: str) -> tuple[tuple[Policy, ...], ...] | None:
    """The service control policies that hold for an account, a level each from the root to the account.

    None: it belongs to no organization. No levels: it is the management account, or the organization's root
    has the policy type not enabled.
    """
    backend = organization(account)
    if backend is None:
        return None
    nodes = {unit.id: unit for unit in backend.ou}
    member = next(one for one in backend.accounts if one.id == account)
    root = nodes[backend.org.root_id]
    enabled = any(kind["Type"] == "SERVICE_CONTROL_POLICY" for kind in root.policy_types)
    if account == backend.org.master_account_id or not enabled:
        return ()
    path = [member]
    while (parent := getattr(path[0], "parent_id", None)) in nodes:
        path.insert(0, nodes[parent])
    return tuple(
        tuple(
            stored(policy.name, policy.content)
            for policy in list(node.attached_policies)
            if policy.type == "SERVICE_CONTROL_POLICY"
        )
        for node in path
    )


def context(arn: str, who: Entity | None, session: str = "") -> dict[str, Any]:
    """The condition keys that follow from who the principal is (reference_policies_condition-keys).

    arn: of the entity; session: the name of the role session where there is one.
    """
    account = account_of(arn)
    kind, _, path = arn.split(":", 5)[-1].partition("/")
    keys: dict[str, Any] = {"aws:PrincipalArn": arn, "aws:PrincipalAccount": account}
    if kind == "user":
        keys |= {"aws:username": path.rpartition("/")[2], "aws:PrincipalType": "User"}
    elif kind == "role":
        keys["aws:PrincipalType"] = "AssumedRole"
    elif kind == "root":
        keys["aws:PrincipalType"] = "Account"
    if who:
        keys["aws:userid"] = f"{who.id}:{session}" if session else who.id
        keys |= {f"aws:PrincipalTag/{key}": value for key, value in who.tags.items()}
    if backend := organization(account):
        keys["aws:PrincipalOrgID"] = backend.org.id
    return keys
