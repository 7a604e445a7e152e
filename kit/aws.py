"""Where the calls of a runbook go: `target` -> sessions, role, bucket, tags; and the register of what must be torn down.

`local` starts the local AWS of this event folder and points this process at it; `aws` uses the ordinary credentials
and refuses every account that the plan does not name. The runbook's own calls are the same in both.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import AwsRefused, UsageError, did_you_mean
from kit.plan import Plan

if TYPE_CHECKING:
    from boto3.session import Session as BotoSession
    from sagemaker.core.helper.session_helper import Session

__all__ = ["TARGETS", "Aws", "Made", "connect", "created", "unwatched", "watch"]

TARGETS = ("local", "aws")


@dataclass(frozen=True)
class Aws:
    """A connection. `role` is the execution role's ARN, `tags` goes into every Create call, `poll` is seconds between looks."""

    target: str
    account: str
    region: str
    bucket: str
    role: str
    tags: tuple[Mapping[str, str], ...]
    session: BotoSession
    poll: int

    @functools.cached_property
    def sagemaker(self) -> Session:
        """The SageMaker SDK's session over the same connection, writing under `eba/` in the event's bucket."""
        from sagemaker.core.helper.session_helper import Session

        return Session(boto_session=self.session, default_bucket=self.bucket, default_bucket_prefix="eba/sdk")


def connect(plan: Plan, target: str, home: Path) -> Aws:
    """The connection for `target`; starts the local AWS in `home`/aws where it is needed and does not run.

    Raises:
        UsageError: there is no such target.
        AwsRefused: no credentials, or the plan does not allow their account.
        LocalAwsError: the local AWS does not start.
    """
    from boto3.session import Session

    if target not in TARGETS:
        raise UsageError(f'There is no target "{target}".', did_you_mean(target, TARGETS))
    region = plan.aws.region
    if target == "local":
        account = _pointed_at_local_aws(home / "aws", region)
        session = Session(region_name=region)
    else:
        if "AWS_ENDPOINT_URL" in os.environ and "127.0.0.1" in os.environ["AWS_ENDPOINT_URL"]:
            raise AwsRefused(
                "This process already talks to the local AWS.",
                "Restart the kernel, then run with target = aws.",
            )
        session = Session(region_name=region)
        account = _allowed_account(plan, session)
    return Aws(
        target=target,
        account=account,
        region=region,
        bucket=plan.aws.bucket or f"eba-{account}-{region}",
        role=f"arn:{_partition(region)}:iam::{account}:role/{plan.aws.role}",
        tags=(
            {"Key": "eba:event", "Value": _tag(plan.event.name)},
            {"Key": "eba:made-by", "Value": "runbook"},
        ),
        session=session,
        poll=1 if target == "local" else 15,
    )


def _pointed_at_local_aws(folder: Path, region: str) -> str:
    """The account of the local AWS in `folder`, started if need be; from here on this process talks to it alone."""
    from kit.local_aws import client, process

    server = process.up(folder)
    os.environ.update(client.environment(server.url, server.account, region))
    client.install(server.url)
    return server.account


def _allowed_account(plan: Plan, session: BotoSession) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        account = str(session.client("sts").get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise AwsRefused(
            f"AWS does not know who you are: {error}",
            "Log in (aws sso login, or the console's keys), then try again.",
        ) from None
    if account != plan.aws.account:
        allowed = f"only {plan.aws.account}" if plan.aws.account else "none yet"
        raise AwsRefused(
            f"These credentials are for account {account}; the plan allows {allowed}.",
            "Log in to the event's account, or set aws › account in runbooks/plan.yml.",
        )
    return account


def _partition(region: str) -> str:
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")


def _tag(text: str) -> str:
    """The text with only what a tag value may hold."""
    return "".join(c if c.isalnum() or c in " _.:/=+-@" else "-" for c in text)[:256]


# The register: every Create call of this process that succeeds is journalled, so that clean-up can list and delete it.


@dataclass(frozen=True)
class Made:
    """Something that a call created (or, with `gone`, deleted) in the account.

    `keys` is what a later call needs to name it: members of the request and the answer, such as `DomainId`.
    """

    service: str
    operation: str
    name: str
    arn: str
    gone: bool = False
    keys: Mapping[str, str] = field(default_factory=dict, compare=False)


PASSING = frozenset(
    {
        "CreateLogStream",
        "CreateMultipartUpload",
        "CreatePolicyVersion",
        "CreatePresignedDomainUrl",
        "CreateSampleFindings",
        "CreateSession",
        "DeleteMessage",
        "DeleteRecord",
        "DeleteTags",
    }
)
"""Create calls whose result needs no tearing down, and Delete calls that leave what they name."""

NAMED = {
    "PutMetricAlarm": "AlarmName",
    "PutCompositeAlarm": "AlarmName",
    "DeleteAlarms": "AlarmNames",
    "PutDashboard": "DashboardName",
    "DeleteDashboards": "DashboardNames",
    "PutRule": "Name",
    "RegisterScalableTarget": "ResourceId",
    "DeregisterScalableTarget": "ResourceId",
    "PutConfigRule": "ConfigRuleName",
    "PutConfigurationRecorder": "name",
    "PutDeliveryChannel": "name",
    "EnableSecurityHub": "",
    "DisableSecurityHub": "",
    "RegisterResource": "ResourceArn",
    "DeregisterResource": "ResourceArn",
    "ScheduleKeyDeletion": "KeyId",
}
"""Other calls whose result stays until it is torn down, and those that tear it down; which member names it."""


def created(
    service: str, operation: str, params: Mapping[str, Any], answer: Mapping[str, Any]
) -> Made | None:
    """What a successful call made or deleted; None for calls that do neither."""
    verb = next((v for v in ("Create", "Delete") if operation.startswith(v)), "")
    if not (verb or operation in NAMED) or operation in PASSING:
        return None
    if service == "s3" and not operation.endswith("Bucket"):
        return None
    thing = operation.removeprefix(verb)
    named = [
        f"{thing}Name",
        thing,
        f"{thing}Id",
        "Name",
        *(k for k in params if k.endswith(("Name", "Id", "Arn"))),
    ]
    given = params.get(f"{thing}Input")  # AWS Glue puts the name there
    keys = _keys(params, answer)
    member = NAMED.get(operation, "")
    told = given.get("Name") if isinstance(given, dict) else params.get(member, keys.get(member))
    name = ", ".join(told) if isinstance(told, list) else told
    name = name or next((str(params[key]) for key in named if isinstance(params.get(key), str)), "")
    nested = {k: v for part in answer.values() if isinstance(part, dict) for k, v in part.items()}
    arns = [
        str(v) for k, v in {**nested, **answer}.items() if k.lower().endswith("arn") and isinstance(v, str)
    ]
    gone = operation.startswith(("Delete", "Deregister", "Disable", "ScheduleKeyDeletion"))
    return Made(service, operation, name, arns[-1] if arns else "", gone, {} if gone else keys)


KEYS = ("name", "id", "arn", "url", "type", "namespace", "dimension", "bucket", "workgroup")
"""How the members end that name something."""


def _keys(*parts: Mapping[str, Any], inside: str = "", depth: int = 2) -> dict[str, str]:
    """The members that name something, of a request and its answer; `Arn` inside `Policy` is also `PolicyArn`."""
    found: dict[str, str] = {}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, dict) and depth and key != "ResponseMetadata":
                for name, text in _keys(value, inside=key, depth=depth - 1).items():
                    found.setdefault(name, text)
            elif isinstance(value, str) and key.lower().endswith(KEYS) and len(value) <= 2048:
                found.setdefault(key, value)
                if inside and key.lower() in KEYS:
                    found.setdefault(inside + key, value)
    return found


_report: Callable[[Made], object] | None = None


def watch(report: Callable[[Made], object]) -> None:
    """From here on, call `report` with everything that any boto3 session of this process creates or deletes.

    The latest `report` is the one that is called; a session made before the first call is not watched. The handlers
    go into botocore's built-in list because the SageMaker SDK makes sessions of its own.
    """
    global _report
    if _report is None:
        from botocore import handlers

        for event, handler in (("before-parameter-build.*.*", _remember), ("after-call.*.*", _record)):
            handlers.BUILTIN_HANDLERS.append((event, handler))
    _report = report


def unwatched(client: Any) -> Any:
    """The boto3 client, no longer watched: for what the kit itself does, and no runbook has to tear down."""
    client.meta.events.unregister("after-call.*.*", _record)
    return client


def _remember(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["kit_params"] = params


def _record(
    parsed: Mapping[str, Any], model: Any, context: Mapping[str, Any], http_response: Any, **_: Any
) -> None:
    if http_response.status_code < 300 and _report is not None:
        made = created(model.service_model.service_name, model.name, context.get("kit_params", {}), parsed)
        if made:
            _report(made)
