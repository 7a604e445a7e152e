"""Account assignments of IAM Identity Center: each permission set becomes a role in the accounts that it is assigned in.

Nobody can sign in here: what an assignment grants is seen in the role that it makes, by simulation and in its policies. Sources: API
Reference of IAM Identity Center; "Referencing permission sets in resource policies" of its User Guide (names and paths of the roles).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from kit.local_aws import principals
from kit.local_aws.front import action
from kit.local_aws.identity_center import LONGEST, backend_of, permission_set
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Context

__all__ = ["assign", "provision", "role_name", "unassign"]

INLINE = "AwsSSOInlinePolicy"


@action("sso-admin", "CreateAccountAssignment")
def assign(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Give a user or group a permission set in an account; the role of the set is made there with the first assignment.

    What cannot be done makes the request's status FAILED, as on AWS. Raises AwsError for a set or an account that there is not.
    """
    held = permission_set(ctx, params["PermissionSetArn"])
    _check_account(ctx, params["TargetId"])
    failure = _unknown_principal(ctx, params) or _provisioned(ctx, held, params["TargetId"])
    backend = backend_of(ctx)
    named = {
        "instance_arn": params["InstanceArn"],
        "target_id": params["TargetId"],
        "target_type": params["TargetType"],
        "permission_set_arn": params["PermissionSetArn"],
        "principal_type": params["PrincipalType"],
        "principal_id": params["PrincipalId"],
    }
    same = [
        one
        for one in backend.account_assignments
        if all(getattr(one, key) == value for key, value in named.items())
    ]
    status = _status(ctx, params, failure)
    if not failure and not same:
        backend.create_account_assignment(**named)
    return {"AccountAssignmentCreationStatus": status}


def _status(
    ctx: Context, params: dict[str, Any], failure: str = "", kind: str = "Creation"
) -> dict[str, Any]:
    """The status of a request, which is kept for those who ask later."""
    request = str(uuid.uuid4())
    status = {
        "Status": "FAILED" if failure else "SUCCEEDED",
        "RequestId": request,
        "FailureReason": failure or None,
        "CreatedDate": now(),
        **{
            name: params.get(name)
            for name in ("TargetId", "TargetType", "PermissionSetArn", "PrincipalType", "PrincipalId")
        },
    }
    with ctx.app.store.lock:
        ctx.app.store.table(ctx, f"AccountAssignment{kind}")[request] = status
    return status


def _asked(ctx: Context, kind: str, request: str) -> dict[str, Any]:
    with ctx.app.store.lock:
        status = ctx.app.store.table(ctx, f"AccountAssignment{kind}").get(request)
    if status is None:
        raise AwsError("ResourceNotFoundException", f"Could not find a request with id {request}")
    return status


@action("sso-admin", "DescribeAccountAssignmentCreationStatus")
def creation_status(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What became of an assignment request."""
    return {
        "AccountAssignmentCreationStatus": _asked(
            ctx, "Creation", params["AccountAssignmentCreationRequestId"]
        )
    }


@action("sso-admin", "DescribeAccountAssignmentDeletionStatus")
def deletion_status(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What became of a request to take an assignment away."""
    return {
        "AccountAssignmentDeletionStatus": _asked(
            ctx, "Deletion", params["AccountAssignmentDeletionRequestId"]
        )
    }


@action("sso-admin", "DeleteAccountAssignment")
def unassign(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Take an assignment away; with the last one of a set in an account its role goes too."""
    backend, held = backend_of(ctx), permission_set(ctx, params["PermissionSetArn"])
    found = [
        one
        for one in backend.account_assignments
        if (one.permission_set_arn, one.target_id) == (params["PermissionSetArn"], params["TargetId"])
    ]
    mine = [
        one
        for one in found
        if (one.principal_type, one.principal_id) == (params["PrincipalType"], params["PrincipalId"])
    ]
    failure = "" if mine else "The assignment does not exist."
    for one in mine:
        backend.account_assignments.remove(one)
    if mine and len(found) == len(mine):
        _remove_role(held, params["TargetId"])
    return {"AccountAssignmentDeletionStatus": _status(ctx, params, failure, "Deletion")}


def _check_account(ctx: Context, account: str) -> None:
    organization = principals.organization(ctx.account)
    known = {ctx.account} | {one.id for one in (organization.accounts if organization else [])}
    if account not in known:
        raise AwsError("ResourceNotFoundException", f"Could not find Account with id {account}")


def _unknown_principal(ctx: Context, params: dict[str, Any]) -> str:
    from moto.identitystore.models import identitystore_backends

    kind, identifier = params["PrincipalType"], params["PrincipalId"]
    for store in identitystore_backends[ctx.account][ctx.region].identity_stores.values():
        if identifier in (store.users if kind == "USER" else store.groups):
            return ""
    return f"Received a 404 status error: {kind} {identifier} not found"


# Roles


def role_name(name: str, arn: str) -> str:
    """The name of the role of a permission set; it is the same in every account."""
    return f"AWSReservedSSO_{name}_{hashlib.sha256(arn.encode()).hexdigest()[:16]}"


def _iam(account: str) -> Any:
    from moto.iam.models import iam_backends

    return iam_backends[account]["aws"]


def _remove_role(held: Any, account: str) -> None:
    iam, name = _iam(account), role_name(held.name, held.permission_set_arn)
    role = next((one for one in list(iam.roles.values()) if one.name == name), None)
    if role is not None:
        role.policies.clear()
        for arn in list(role.managed_policies):
            iam.detach_role_policy(arn, name)
        iam.delete_role(name)


def _provisioned(ctx: Context, held: Any, account: str) -> str:
    """Makes or renews the role of a permission set in an account; why that cannot be done, else empty."""
    iam = _iam(account)
    own = [f"arn:aws:iam::{account}:policy{one.path}{one.name}" for one in held.customer_managed_policies]
    wanted = [*(one.arn for one in held.managed_policies), *own]
    boundary = getattr(held, "boundary", None) or {}
    limit = boundary.get("ManagedPolicyArn")
    if reference := boundary.get("CustomerManagedPolicyReference"):
        limit = f"arn:aws:iam::{account}:policy{reference.get('Path', '/')}{reference['Name']}"
    for arn in (*wanted, *([limit] if limit else [])):
        if arn not in iam.managed_policies:
            return f"Received a 404 status error: Policy {arn} does not exist in account {account}."
    _remove_role(held, account)
    name = role_name(held.name, held.permission_set_arn)
    store = held.instance_arn.rpartition("-")[2]
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{account}:saml-provider/AWSSSO_{store}_DO_NOT_DELETE"},
        "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
        "Condition": {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}},
    }
    iam.create_role(
        role_name=name,
        assume_role_policy_document=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        path="/aws-reserved/sso.amazonaws.com/" + ("" if ctx.region == "us-east-1" else f"{ctx.region}/"),
        permissions_boundary=limit,
        description=held.description or "",
        tags=[],
        max_session_duration=str(LONGEST),
    )
    if held.inline_policy:
        iam.put_role_policy(name, INLINE, held.inline_policy)
    for arn in wanted:
        iam.attach_role_policy(arn, name)
    return ""


@action("sso-admin", "ProvisionPermissionSet")
def provision(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Bring the set's roles up to date, in one account or in all that have it: changes of a set reach accounts only so."""
    held = permission_set(ctx, params["PermissionSetArn"])
    accounts = [params["TargetId"]] if params.get("TargetId") else _accounts(ctx, held.permission_set_arn)
    failures = [failure for account in accounts if (failure := _provisioned(ctx, held, account))]
    request = str(uuid.uuid4())
    status = {
        "Status": "FAILED" if failures else "SUCCEEDED",
        "RequestId": request,
        "AccountId": params.get("TargetId"),
        "PermissionSetArn": held.permission_set_arn,
        "FailureReason": " ".join(failures) or None,
        "CreatedDate": now(),
    }
    with ctx.app.store.lock:
        ctx.app.store.table(ctx, "PermissionSetProvisioning")[request] = status
    return {"PermissionSetProvisioningStatus": status}


@action("sso-admin", "DescribePermissionSetProvisioningStatus")
def provisioning_status(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What became of a request to provision."""
    with ctx.app.store.lock:
        status = ctx.app.store.table(ctx, "PermissionSetProvisioning").get(
            params["ProvisionPermissionSetRequestId"]
        )
    if status is None:
        raise AwsError("ResourceNotFoundException", "Could not find the provisioning request.")
    return {"PermissionSetProvisioningStatus": status}


def _accounts(ctx: Context, arn: str) -> list[str]:
    return sorted(
        {one.target_id for one in backend_of(ctx).account_assignments if one.permission_set_arn == arn}
    )


@action("sso-admin", "ListAccountsForProvisionedPermissionSet")
def list_accounts(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The accounts where the set is assigned to somebody."""
    return {"AccountIds": _accounts(ctx, permission_set(ctx, params["PermissionSetArn"]).permission_set_arn)}


@action("sso-admin", "ListPermissionSetsProvisionedToAccount")
def list_sets(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The sets that are assigned to somebody in an account."""
    rows = backend_of(ctx).account_assignments
    return {
        "PermissionSets": sorted(
            {one.permission_set_arn for one in rows if one.target_id == params["AccountId"]}
        )
    }
