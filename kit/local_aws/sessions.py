"""sts:AssumeRole: a session of a role, with its tags and within the length that the role allows.

Sources: API_AssumeRole of the STS API Reference; "Pass session tags in AWS STS" and "Roles terms and concepts" (role chaining:
one hour at most) of the IAM User Guide.
"""

from __future__ import annotations

import secrets
from typing import Any

from kit.local_aws.callers import caller
from kit.local_aws.front import action
from kit.local_aws.policy import account_of
from kit.local_aws.protocol import AwsError
from kit.local_aws.resources import MADE_BY_ORGANIZATIONS
from kit.local_aws.store import Context

__all__ = ["assume_role"]

HOUR = 3600


@action("sts", "AssumeRole")
def assume_role(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Credentials for a session. Raises AwsError AccessDenied without such a role, ValidationError for too long a session."""
    from moto.sts.models import sts_backends

    arn, seconds = params["RoleArn"], params.get("DurationSeconds", HOUR)
    partition = arn.split(":")[1]
    account = account_of(arn)
    role = _role(arn)
    who = caller(ctx.principal, ctx.app.account)
    if role is None and not arn.endswith(f":role/{MADE_BY_ORGANIZATIONS}"):
        text = f"User: {who.arn if who else 'anonymous'} is not authorized to perform: sts:AssumeRole on resource: {arn}"
        raise AwsError("AccessDenied", text, 403)
    if seconds > int(role.max_session_duration if role else HOUR):
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    if who and who.session and seconds > HOUR:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        )
    made: Any = sts_backends[ctx.account][partition].assume_role(
        region_name=ctx.region,
        role_session_name=params["RoleSessionName"],
        role_arn=arn,
        policy=params.get("Policy", ""),
        duration=seconds,
        external_id=params.get("ExternalId", ""),
    )
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", [])}
    passed_on = set(params.get("TransitiveTagKeys", []))
    if who and who.session:  # what a session was told to pass on stays with those that it begets
        tags, passed_on = {**tags, **who.passed_on}, passed_on | set(who.passed_on)
    made.tags, made.passed_on = tags, {key: tags[key] for key in passed_on if key in tags}
    unique = role.id if role else "AROA" + secrets.token_hex(8).upper() + account[:1]
    return {
        "Credentials": {
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret_access_key,
            "SessionToken": made.session_token,
            "Expiration": made.expiration,
        },
        "AssumedRoleUser": {"AssumedRoleId": f"{unique}:{params['RoleSessionName']}", "Arn": made.arn},
    }


def _role(arn: str) -> Any:
    from moto.iam.models import iam_backends

    backend = iam_backends[account_of(arn)][arn.split(":")[1]]
    return next((role for role in list(backend.roles.values()) if role.arn == arn), None)
