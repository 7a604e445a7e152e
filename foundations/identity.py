"""IAM Identity Center: groups, permission sets, assignments and people, made as the files and the plan say.

Each function leaves what is there and right alone, and returns what holds afterwards. Clients are boto3's.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guardrails import wait_for

from kit.errors import KitError, PlanError, did_you_mean

__all__ = ["assigned", "attributes", "grouped", "holds", "instance", "mapping", "members", "permission_sets"]

Row = dict[str, Any]


def instance(sso: Any) -> tuple[str, str]:
    """The ARN of the organization's Identity Center and the id of its directory.

    Raises:
        KitError: there is none that this account may use.
    """
    found = sso.list_instances()["Instances"]
    if not found:
        raise KitError(
            "This account sees no IAM Identity Center.",
            "Turn it on in the organization's management account, or let that account delegate it to this one.",
        )
    return found[0]["InstanceArn"], found[0]["IdentityStoreId"]


def mapping(workstreams: Iterable[Any], groups: Mapping[str, Row]) -> list[Row]:
    """Who goes into which group: rows of person, workstream and group, from the plan's people.

    Raises:
        PlanError: a group names a workstream that the plan does not have.
    """
    streams = {stream.id: stream for stream in workstreams}
    rows = []
    for group, facts in groups.items():
        for name in facts["workstreams"]:
            if name not in streams:
                raise PlanError(
                    f'identity.yml › {group}: there is no workstream "{name}".', did_you_mean(name, streams)
                )
            stream = streams[name]
            people = dict.fromkeys(filter(None, (stream.lead, *stream.people)))
            rows += [{"person": person, "workstream": name, "group": group} for person in people]
    return sorted(rows, key=lambda row: (row["person"], row["group"]))


def grouped(identitystore: Any, store: str, names: Iterable[str]) -> dict[str, str]:
    """The ids of the groups, by name; those that are missing are made."""
    pages = identitystore.get_paginator("list_groups").paginate(IdentityStoreId=store)
    there = {group.get("DisplayName", ""): group["GroupId"] for page in pages for group in page["Groups"]}
    for name in names:
        if name not in there:
            there[name] = identitystore.create_group(
                IdentityStoreId=store, DisplayName=name, Description="A persona of the event"
            )["GroupId"]
    return {name: there[name] for name in names}


def permission_sets(
    sso: Any, instance: str, wanted: Mapping[str, Row], tags: Sequence[Row], boundary: str = ""
) -> dict[str, str]:
    """The ARNs of the permission sets, by name, with this `session` (ISO 8601) and this inline `policy` (JSON).

    boundary: the name of a managed policy of the account that bounds them; empty: what bounds them stays as it is.
    """
    there = {}
    for page in sso.get_paginator("list_permission_sets").paginate(InstanceArn=instance):
        for arn in page["PermissionSets"]:
            held = sso.describe_permission_set(InstanceArn=instance, PermissionSetArn=arn)["PermissionSet"]
            there[held["Name"]] = arn
    for name, facts in wanted.items():
        asked = {"InstanceArn": instance, "SessionDuration": facts["session"]}
        if name in there:
            sso.update_permission_set(PermissionSetArn=there[name], **asked)
        else:
            made = sso.create_permission_set(Name=name, Tags=list(tags), **asked)
            there[name] = made["PermissionSet"]["PermissionSetArn"]
        sso.put_inline_policy_to_permission_set(
            InstanceArn=instance, PermissionSetArn=there[name], InlinePolicy=facts["policy"]
        )
        if boundary:
            limit = {"CustomerManagedPolicyReference": {"Name": boundary, "Path": "/"}}
            sso.put_permissions_boundary_to_permission_set(
                InstanceArn=instance, PermissionSetArn=there[name], PermissionsBoundary=limit
            )
    return {name: there[name] for name in wanted}


def assigned(
    sso: Any, instance: str, account: str, sets: Mapping[str, str], groups: Mapping[str, str], poll: float
) -> dict[str, str]:
    """The group id that works in the account with each permission set (name -> ARN in `sets`; `groups`: name -> group id).

    A permission set that was assigned before is provisioned again, so that its changes reach the account.
    """
    found = {}
    for name, arn in sets.items():
        scope = {"InstanceArn": instance, "PermissionSetArn": arn}
        asked = {**scope, "PrincipalId": groups[name], "PrincipalType": "GROUP"}
        if groups[name] not in _holders(sso, scope, account):
            made = sso.create_account_assignment(**asked, TargetId=account, TargetType="AWS_ACCOUNT")
            id = made["AccountAssignmentCreationStatus"]["RequestId"]
            done = functools.partial(_is_assigned, sso, instance, id)
            wait_for(done, f"The assignment of {name}", poll, 300)
        else:
            sso.provision_permission_set(**scope, TargetId=account, TargetType="AWS_ACCOUNT")
        if groups[name] in _holders(sso, scope, account):
            found[name] = groups[name]
    return found


def _holders(sso: Any, scope: Row, account: str) -> list[str]:
    pages = sso.get_paginator("list_account_assignments").paginate(**scope, AccountId=account)
    return [one["PrincipalId"] for page in pages for one in page["AccountAssignments"]]


def _is_assigned(sso: Any, instance: str, id: str) -> bool:
    """Whether the assignment is made.

    Raises:
        KitError: AWS could not make it; the message says why.
    """
    status = sso.describe_account_assignment_creation_status(
        InstanceArn=instance, AccountAssignmentCreationRequestId=id
    )["AccountAssignmentCreationStatus"]
    if status.get("Status") == "FAILED":
        raise KitError(
            f"The assignment failed: {status.get('FailureReason')}.", "Correct it and run this again."
        )
    return bool(status.get("Status", "SUCCEEDED") == "SUCCEEDED")


def attributes(sso: Any, instance: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """What a session carries of its user, as tag -> source; sources that others set stay."""
    held = {}
    with contextlib.suppress(sso.exceptions.ResourceNotFoundException):
        held = _attributes(sso, instance)
    if all(held.get(key) == source for key, source in wanted.items()):
        return held
    both = [{"Key": key, "Value": {"Source": [source]}} for key, source in {**held, **wanted}.items()]
    asked = {"AccessControlAttributes": both}
    change = sso.update_instance_access_control_attribute_configuration
    if not held:
        change = sso.create_instance_access_control_attribute_configuration
    change(InstanceArn=instance, InstanceAccessControlAttributeConfiguration=asked)
    return _attributes(sso, instance)


def _attributes(sso: Any, instance: str) -> dict[str, str]:
    answer = sso.describe_instance_access_control_attribute_configuration(InstanceArn=instance)
    found = answer["InstanceAccessControlAttributeConfiguration"]["AccessControlAttributes"]
    return {one["Key"]: one["Value"]["Source"][0] for one in found}


def members(
    identitystore: Any, store: str, groups: Mapping[str, str], rows: Sequence[Row], make: bool
) -> list[Row]:
    """The rows of `mapping`, each with `user`: "member", or "not in the directory" where `make` is off.

    Args:
        identitystore: a boto3 client.
        store: the id of the directory.
        groups: name -> group id.
        rows: person, workstream and group; a person is known by the user name.
        make: make the users that are missing; off where an identity provider brings them.
    """
    pages = identitystore.get_paginator("list_users").paginate(IdentityStoreId=store)
    users = {user["UserName"]: user["UserId"] for page in pages for user in page["Users"]}
    told = []
    for row in rows:
        person = row["person"]
        if person not in users and make:
            first, _, last = person.partition(" ")
            users[person] = identitystore.create_user(
                IdentityStoreId=store,
                UserName=person,
                DisplayName=person,
                Name={"GivenName": first, "FamilyName": last or first},
            )["UserId"]
        if person in users:
            _join(identitystore, store, groups[row["group"]], users[person])
        told.append({**row, "user": "member" if person in users else "not in the directory"})
    return told


def _join(identitystore: Any, store: str, group: str, user: str) -> None:
    who = {"IdentityStoreId": store, "MemberId": {"UserId": user}}
    (held,) = identitystore.is_member_in_groups(**who, GroupIds=[group])["Results"]
    if not held["MembershipExists"]:
        identitystore.create_group_membership(**who, GroupId=group)


def holds(sso: Any, instance: str, permission_set: str, told: Row) -> bool:
    """Whether the permission set (ARN) has this `session` and this inline `policy`."""
    scope = {"InstanceArn": instance, "PermissionSetArn": permission_set}
    held = sso.describe_permission_set(**scope)["PermissionSet"]
    policy = sso.get_inline_policy_for_permission_set(**scope)["InlinePolicy"]
    return bool(
        held["SessionDuration"] == told["session"] and json.loads(policy) == json.loads(told["policy"])
    )
