"""Permissions boundaries of users, which moto keeps for roles only; and policies that are in use, which do not go.

Source: API_DeletePolicy, API_PutUserPermissionsBoundary, API_DeleteUserPermissionsBoundary, API_CreateUser of the IAM API Reference.
"""

from __future__ import annotations

from typing import Any

from kit.local_aws.front import action, after, before
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context

__all__ = ["created", "deletable", "delete_boundary", "put_boundary"]


@before("iam", "DeletePolicy")
def deletable(ctx: Context, params: dict[str, Any]) -> None:
    """A policy goes only when nobody has it. Raises AwsError DeleteConflict."""
    from moto.iam.models import iam_backends

    policy = iam_backends[ctx.account]["aws"].managed_policies.get(params["PolicyArn"])
    if policy is not None and policy.attachment_count:
        raise AwsError("DeleteConflict", "Cannot delete a policy attached to entities.", 409)


@after("iam", "CreateUser")
def created(ctx: Context, params: dict[str, Any]) -> None:
    """A user that is made with a boundary has it."""
    if params.get("PermissionsBoundary"):
        put_boundary(ctx, params)


@action("iam", "PutUserPermissionsBoundary")
def put_boundary(ctx: Context, params: dict[str, Any]) -> None:
    """From now on the user may do no more than the policy allows. Raises AwsError NoSuchEntity."""
    from moto.iam.models import iam_backends

    arn = params["PermissionsBoundary"]
    user = _user(ctx, params["UserName"])
    if arn not in iam_backends[ctx.account]["aws"].managed_policies:
        raise AwsError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", 404)
    user.permissions_boundary_arn = arn
    user.permissions_boundary = {
        "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
        "PermissionsBoundaryArn": arn,
    }


@action("iam", "DeleteUserPermissionsBoundary")
def delete_boundary(ctx: Context, params: dict[str, Any]) -> None:
    """The user may do again what its policies allow. Raises AwsError NoSuchEntity where it has no boundary."""
    user = _user(ctx, params["UserName"])
    if not getattr(user, "permissions_boundary_arn", None):
        raise AwsError("NoSuchEntity", f"The user {params['UserName']} has no permissions boundary.", 404)
    del user.permissions_boundary_arn, user.permissions_boundary


def _user(ctx: Context, name: str) -> Any:
    from moto.iam.models import iam_backends

    user = iam_backends[ctx.account]["aws"].users.get(name)
    if user is None:
        raise AwsError("NoSuchEntity", f"The user with name {name} cannot be found.", 404)
    return user
