"""Refuses what a principal may not do, as AWS does: its policies, boundary, session, organization and the resource's policy.

Who signs with keys that the account gave out (a user's, or those of a role session) is held to them. All other keys are
taken for the account's administrator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.local_aws import authorization, principals, wire
from kit.local_aws.authorization import Ask, Place
from kit.local_aws.policy import Decision, Policies, Policy, Request, account_of, evaluate
from kit.local_aws.principals import Entity, stored
from kit.local_aws.protocol import AwsError, now

__all__ = ["Caller", "caller", "check", "refusal", "take_over"]

# AWS makes this role in every account of an organization; it may do what the organization lets it.
_MADE_BY_ORGANIZATIONS = "OrganizationAccountAccessRole"
_ADMINISTRATOR = stored(
    "AdministratorAccess", '{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)
_EMPTY = Policy("none", {"Statement": []})
_LAYERS = {
    "scps": "a service control policy",
    "resource": "a resource-based policy",
    "identity": "an identity-based policy",
    "boundary": "a permissions boundary",
    "session": "a session policy",
}


@dataclass(frozen=True)
class Caller:
    """Who signed a request. arn: as policies name it; entity: the ARN of the user, or of the role of the session."""

    arn: str
    entity: str
    session: str = ""
    policy: Policy | None = None
    issued: datetime | None = None


def caller(access_key: str) -> Caller | None:
    """Who an access key id belongs to; None if the account gave it to nobody."""
    from moto.iam.models import get_account_id_from, iam_backends
    from moto.sts.models import sts_backends

    account = get_account_id_from(access_key)
    key = iam_backends[account]["aws"].access_keys.get(access_key)
    if key is None:
        return None
    if key.user_name:
        user = iam_backends[account]["aws"].get_user(key.user_name)
        return Caller(user.arn, user.arn)
    session = sts_backends[account]["aws"].get_assumed_role_from_access_key(access_key)
    if session is None:
        return None
    return Caller(
        arn=session.arn,
        entity=session.role_arn,
        session=session.session_name,
        policy=stored("SessionPolicy", session.policy) if session.policy else None,
        issued=key.create_date,
    )


def take_over() -> None:
    """Has bucket policies read here from now on: moto leaves out their principals and conditions, and denies with what is left.

    moto still asks for what an anonymous caller may do, and gets the answer; who signs is for `check`.
    """
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket

    actions = {"s3:HeadObject": "s3:GetObject", "s3:PostObject": "s3:PutObject"}

    def permission(bucket: Any, action: str, resource: str) -> Any:
        if bucket.policy is None:
            return PermissionResult.NEUTRAL
        context = {
            "aws:SecureTransport": True,
            "aws:SourceIp": "127.0.0.1",
            "aws:CurrentTime": now().isoformat(),
        }
        request = Request(actions.get(action, action), resource, owner=bucket.account_id, context=context)
        policies = Policies(resource=stored("BucketPolicy", bucket.policy.decode()))
        allowed = evaluate(request, policies).verdict == "allowed"
        return PermissionResult.PERMITTED if allowed else PermissionResult.NEUTRAL

    setattr(FakeBucket, "get_permission", permission)  # noqa: B010


def check(call: wire.Call, body: bytes) -> None:
    """Raises AWS's error for a call that its signer may not make."""
    if caller(call.principal) is None:
        return
    try:
        params = wire.decode(call, body)
    except AwsError:
        params = dict(
            call.uri
        )  # not valid, which is not for the guard to say: but not let through unseen either
    tls = call.request.headers.get("X-Forwarded-Proto", "https") == "https"
    if refused := refusal(call.principal, call.service, call.action, params, call.region, tls=tls):
        raise refused


def refusal(
    access_key: str, service: str, operation: str, params: Mapping[str, Any], region: str, *, tls: bool = True
) -> AwsError | None:
    """AWS's error for a request that its signer may not make; None where it may.

    service, operation: botocore's names. tls: whether it came over an encrypted connection.
    """
    who = caller(access_key)
    if who is None:
        return None
    account = account_of(who.arn)
    held = _held(who)
    for ask in authorization.asks(service, operation, params, Place(account, region)):
        ask, resource_policy, owner = _resource(ask, account)
        if resource_policy is None and (owner or account_of(ask.resource) or account) != account:
            resource_policy = _EMPTY
        request = Request(
            action=ask.action,
            resource=ask.resource,
            principal=who.arn,
            role=who.entity if who.session else "",
            owner=owner,
            context={**_surroundings(who, region, tls), **ask.context},
        )
        policies = Policies(
            identity=held[0],
            resource=resource_policy,
            boundary=held[1],
            session=(who.policy,) if who.policy else None,
            scps=principals.controls(account),
        )
        decision = evaluate(request, policies)
        if decision.verdict != "allowed":
            return _error(service, who, ask, decision)
    return None


def _entity(who: Caller) -> Entity | None:
    try:
        return principals.entity(who.entity)
    except AwsError:
        return None


def _held(who: Caller) -> tuple[tuple[Policy, ...], Policy | None]:
    """The identity-based policies and the boundary; a role that is gone holds nothing."""
    found = _entity(who)
    if found is None or not found.attachments:
        made = who.entity.endswith(f":role/{_MADE_BY_ORGANIZATIONS}")
        return ((_ADMINISTRATOR,) if made else (), found.boundary if found else None)
    return tuple(one.policy for one in found.attachments), found.boundary


def _surroundings(who: Caller, region: str, tls: bool) -> dict[str, Any]:
    moment = now()
    keys: dict[str, Any] = {
        **principals.context(who.entity, _entity(who), who.session),
        "aws:CurrentTime": moment.isoformat(),
        "aws:EpochTime": str(int(moment.timestamp())),
        "aws:RequestedRegion": region,
        "aws:SecureTransport": tls,
        "aws:SourceIp": "127.0.0.1",
        "aws:PrincipalIsAWSService": False,
        "aws:ViaAWSService": False,
    }
    if who.issued:
        keys |= {"aws:TokenIssueTime": who.issued.isoformat(), "aws:MultiFactorAuthPresent": False}
    return keys


def _resource(ask: Ask, account: str) -> tuple[Ask, Policy | None, str]:
    """The ask about what the resource really is, its own policy, and the account that owns it where its ARN is silent."""
    service = ask.action.partition(":")[0]
    if service == "s3" and ":s3:::" in ask.resource:
        return (ask, *_bucket(ask.resource.rpartition(":")[2].partition("/")[0]))
    if service == "kms" and ":kms:" in ask.resource:
        return _key(ask)
    if ask.action in ("sts:AssumeRole", "sts:TagSession"):
        try:
            return ask, stored("TrustPolicy", principals.entity(ask.resource).trust), ""
        except AwsError:
            return ask, None, ""
    return ask, None, ""


def _bucket(name: str) -> tuple[Policy | None, str]:
    from moto.s3.models import s3_backends

    found = s3_backends.bucket_accounts.get(name)
    if found is None:
        return None, ""
    partition, owner = found
    text = s3_backends[owner][partition].buckets[name].policy
    return (stored("BucketPolicy", text.decode()) if text else None), owner


def _key(ask: Ask) -> tuple[Ask, Policy | None, str]:
    """A key by its id or alias: its ARN, its policy, and the aliases that conditions name it by."""
    from moto.kms.models import kms_backends

    _, _, _, region, owner, name = ask.resource.split(":", 5)
    backend = kms_backends[owner][region]
    identifier = name.removeprefix("key/")
    if name.startswith("alias/"):
        identifier = next((key.id for key in list(backend.keys.values()) if name in key.aliases), "")
    key = backend.keys.get(identifier)
    if key is None:
        return ask, None, ""
    context = {**ask.context, "kms:ResourceAliases": list(key.aliases)}
    alias = name.startswith("alias/") and ask.action.endswith("Alias")
    resource = ask.resource if alias else key.arn
    return Ask(ask.action, resource, context), stored("KeyPolicy", key.policy), owner


def _error(service: str, who: Caller, ask: Ask, decision: Decision) -> AwsError:
    """The refusal in the words and the form of the service."""
    text = f"User: {who.arn} is not authorized to perform: {ask.action} on resource: {ask.resource} " + next(
        _reasons(decision, ask.action)
    )
    if service in ("s3", "iam", "sts", "cloudwatch"):
        return AwsError("AccessDenied", text, 403)
    return AwsError("AccessDeniedException", text, 403 if service in ("sagemaker-runtime",) else 400)


def _reasons(decision: Decision, action: str) -> Iterator[str]:
    """Why, as AWS puts it: the layer that denies, else the first that does not allow."""
    for layer, words in _LAYERS.items():
        if decision.layers.get(layer) == "explicitDeny":
            yield f"with an explicit deny in {words}"
    order = (
        ("scps", "resource", "identity")
        if decision.cross_account
        else ("scps", "identity", "boundary", "session")
    )
    for layer in (*order, *_LAYERS):
        if decision.layers.get(layer) == "implicitDeny":
            yield f"because no {_LAYERS[layer].partition(' ')[2]} allows the {action} action"
