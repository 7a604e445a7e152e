"""IAM Identity Center where moto stops: the session length, boundary and tags of permission sets, and attributes for access control.

Their policies, users, groups and memberships are moto's; account_assignments.py has what becomes of them. Sources: API Reference of IAM
Identity Center; "Attributes for access control" of its User Guide.
"""

from __future__ import annotations

import re
from typing import Any

from kit.local_aws.front import action
from kit.local_aws.policy import account_of
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context

__all__ = ["LONGEST", "backend_of", "create_permission_set", "permission_set"]

HOURS = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?")
LONGEST = 12 * 3600  # seconds of a session


def _take_over() -> None:
    """Has moto give an instance's identity store an id as AWS does: the letters of a hexadecimal number."""
    from moto.moto_api._internal import mock_random
    from moto.ssoadmin.models import Instance

    begin = Instance.__init__
    if getattr(begin, "names_its_store", False):
        return

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        self.identity_store_id = f"d-{mock_random.get_random_hex(10)}"

    __init__.names_its_store = True  # type: ignore[attr-defined]
    setattr(Instance, "__init__", __init__)  # noqa: B010


_take_over()


def backend_of(ctx: Context) -> Any:
    """moto's backend of the account's instance."""
    from moto.ssoadmin.models import ssoadmin_backends

    return ssoadmin_backends[ctx.account][ctx.region]


def _instance(ctx: Context, arn: str) -> Any:
    found = next((one for one in backend_of(ctx).instances if one.instance_arn == arn), None)
    if found is None:
        raise AwsError("ResourceNotFoundException", f"Could not find Instance with arn {arn}")
    return found


def permission_set(ctx: Context, arn: str) -> Any:
    """moto's permission set. Raises AwsError ResourceNotFoundException."""
    found = next((one for one in backend_of(ctx).permission_sets if one.permission_set_arn == arn), None)
    if found is None:
        raise AwsError(
            "ResourceNotFoundException", f"Could not find PermissionSet with id {arn.rpartition('/')[2]}"
        )
    return found


# Permission sets


@action("sso-admin", "CreatePermissionSet")
def create_permission_set(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """A permission set; its sessions last one hour unless it says otherwise. Raises AwsError for a name that is taken."""
    _instance(ctx, params["InstanceArn"])
    duration = params.get("SessionDuration", "PT1H")
    _check_duration(duration)
    if any(one.name == params["Name"] for one in backend_of(ctx).permission_sets):
        raise AwsError("ConflictException", f"PermissionSet with name {params['Name']} already exists.")
    made = backend_of(ctx).create_permission_set(
        name=params["Name"],
        description=params.get("Description"),
        instance_arn=params["InstanceArn"],
        session_duration=duration,
        relay_state=params.get("RelayState"),
        tags=params.get("Tags", []),
    )
    # moto's ARN is not of the form that the API takes.
    arn = made["PermissionSetArn"].replace(":instance/", ":permissionSet/", 1)
    permission_set(ctx, made["PermissionSetArn"]).permission_set_arn = arn
    return {"PermissionSet": {**made, "PermissionSetArn": arn}}


@action("sso-admin", "AttachManagedPolicyToPermissionSet")
def attach(ctx: Context, params: dict[str, Any]) -> None:
    """Add a policy of AWS, whatever its path. Raises AwsError for one that there is not, or that is there already."""
    from moto.iam.models import iam_backends
    from moto.ssoadmin.models import ManagedPolicy

    held, arn = permission_set(ctx, params["PermissionSetArn"]), params["ManagedPolicyArn"]
    if arn not in iam_backends[ctx.account]["aws"].managed_policies or account_of(arn):
        raise AwsError("ResourceNotFoundException", f"Policy does not exist with ARN: {arn}")
    if arn in [one.arn for one in held.managed_policies]:
        raise AwsError("ConflictException", f"The permission set has the policy {arn} already.")
    held.managed_policies.append(ManagedPolicy(arn, arn.rpartition("/")[2]))
    held.total_managed_policies_attached += 1


@action("sso-admin", "UpdatePermissionSet")
def update_permission_set(ctx: Context, params: dict[str, Any]) -> None:
    """Changes what the request names."""
    held = permission_set(ctx, params["PermissionSetArn"])
    if "SessionDuration" in params:
        _check_duration(params["SessionDuration"])
    for name, attribute in (
        ("SessionDuration", "session_duration"),
        ("Description", "description"),
        ("RelayState", "relay_state"),
    ):
        if name in params:
            setattr(held, attribute, params[name])


def _check_duration(text: str) -> None:
    found = HOURS.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if not 3600 <= hours * 3600 + minutes * 60 + seconds <= LONGEST:
        raise AwsError("ValidationException", f"The session duration {text} is not between PT1H and PT12H.")


@action("sso-admin", "PutPermissionsBoundaryToPermissionSet")
def put_boundary(ctx: Context, params: dict[str, Any]) -> None:
    """The boundary that roles of the set get when they are provisioned."""
    permission_set(ctx, params["PermissionSetArn"]).boundary = params["PermissionsBoundary"]


@action("sso-admin", "GetPermissionsBoundaryForPermissionSet")
def get_boundary(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The boundary. Raises AwsError ResourceNotFoundException where there is none."""
    held = getattr(permission_set(ctx, params["PermissionSetArn"]), "boundary", None)
    if held is None:
        raise AwsError("ResourceNotFoundException", "The permission set has no permissions boundary.")
    return {"PermissionsBoundary": held}


@action("sso-admin", "DeletePermissionsBoundaryFromPermissionSet")
def delete_boundary(ctx: Context, params: dict[str, Any]) -> None:
    """Takes the boundary away."""
    permission_set(ctx, params["PermissionSetArn"]).boundary = None


@action("sso-admin", "ListTagsForResource")
def list_tags(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The tags of a permission set."""
    return {"Tags": permission_set(ctx, params["ResourceArn"]).tags or []}


@action("sso-admin", "TagResource")
def tag(ctx: Context, params: dict[str, Any]) -> None:
    """Tags onto a permission set."""
    held, named = permission_set(ctx, params["ResourceArn"]), {one["Key"] for one in params["Tags"]}
    held.tags = [one for one in held.tags or [] if one["Key"] not in named] + params["Tags"]


@action("sso-admin", "UntagResource")
def untag(ctx: Context, params: dict[str, Any]) -> None:
    """Tags off a permission set."""
    held = permission_set(ctx, params["ResourceArn"])
    held.tags = [one for one in held.tags or [] if one["Key"] not in params["TagKeys"]]


# Attributes for access control


def _attributes(ctx: Context, instance: str) -> dict[str, Any]:
    _instance(ctx, instance)
    with ctx.app.store.lock:
        return ctx.app.store.table(ctx, "AccessControlAttributes")


@action("sso-admin", "CreateInstanceAccessControlAttributeConfiguration")
def create_attributes(ctx: Context, params: dict[str, Any]) -> None:
    """Which attributes of people become tags of their sessions. Raises AwsError ConflictException where that is said already."""
    table = _attributes(ctx, params["InstanceArn"])
    if params["InstanceArn"] in table:
        raise AwsError("ConflictException", "The instance has attributes for access control already.")
    table[params["InstanceArn"]] = params["InstanceAccessControlAttributeConfiguration"]


@action("sso-admin", "UpdateInstanceAccessControlAttributeConfiguration")
def update_attributes(ctx: Context, params: dict[str, Any]) -> None:
    """Says anew which attributes become tags."""
    table = _attributes(ctx, params["InstanceArn"])
    _configured(table, params["InstanceArn"])
    table[params["InstanceArn"]] = params["InstanceAccessControlAttributeConfiguration"]


@action("sso-admin", "DescribeInstanceAccessControlAttributeConfiguration")
def describe_attributes(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Which attributes become tags. Raises AwsError ResourceNotFoundException where nothing was said."""
    held = _configured(_attributes(ctx, params["InstanceArn"]), params["InstanceArn"])
    return {"Status": "ENABLED", "InstanceAccessControlAttributeConfiguration": held}


@action("sso-admin", "DeleteInstanceAccessControlAttributeConfiguration")
def delete_attributes(ctx: Context, params: dict[str, Any]) -> None:
    """No attribute becomes a tag any more."""
    table = _attributes(ctx, params["InstanceArn"])
    _configured(table, params["InstanceArn"])
    del table[params["InstanceArn"]]


def _configured(table: dict[str, Any], instance: str) -> dict[str, Any]:
    if instance not in table:
        raise AwsError("ResourceNotFoundException", "The instance has no attributes for access control.")
    found: dict[str, Any] = table[instance]
    return found
