"""Refuses what a principal may not do, as AWS does: its policies, boundary, session, organization and the resource's policy.

Who signs with keys that the account gave out (a user's, or those of a role session) is held to them. All other keys are the
account's root: only an organization, a resource's own policy and S3's public access settings stand in its way. Who does not
sign is let in by bucket policies and ACLs only. The services of the local AWS itself are not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kit.local_aws import principals, public_access, resources
from kit.local_aws.asks import Ask, Params, Place
from kit.local_aws.callers import Caller
from kit.local_aws.policy import Decision, Policies, Policy, Request, account_of, document, evaluate
from kit.local_aws.principals import Entity, stored
from kit.local_aws.protocol import AwsError, now, service
from kit.local_aws.resources import Known

if TYPE_CHECKING:
    from kit.local_aws.store import Store
    from kit.local_aws.wire import Call

__all__ = ["check", "take_over"]

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
_ACLS = ("PutBucketAcl", "PutObjectAcl")
_OWN_ACLS = ("private", "bucket-owner-full-control")  # what may be said of a bucket that has no ACLs


def take_over() -> None:
    """Has moto leave the reading of bucket policies to `check`: it leaves out their principals and conditions."""
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket

    setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.PERMITTED)  # noqa: B010


def check(store: Store, call: Call, who: Caller | None, asks: tuple[Ask, ...], params: Params) -> None:
    """Raises AWS's error for a call that its signer may not make; `asks` is what it needs to be allowed.

    params: of the operation, or what is known of them where the request is not valid, which is not for the guard to say.
    """
    if who is not None and who.service:
        return
    place = Place(who.account if who else "", call.region)
    tls = call.request.headers.get("X-Forwarded-Proto", "https") == "https"
    held, context = _held(who), _surroundings(who, call.region, tls)
    keys = [key for ask in asks for key in resources.implied(ask, params, place)]
    for ask in (*asks, *keys):
        known = resources.known(resources.named(ask, params, place), store)
        decision = _decide(who, known, held, context)
        if decision.verdict != "allowed":
            raise _error(call, who, known.ask, next(_reasons(decision, known.ask.action)))
        if why := _kept_private(who, known, decision):
            raise _error(call, who, known.ask, why)
    if call.service == "s3" and asks:
        _check_public(call, who, asks[-1], params)


def _held(who: Caller | None) -> tuple[Entity | None, tuple[Policy, ...], Policy | None]:
    """The entity, its identity-based policies and its boundary; a role that is gone holds nothing."""
    if who is None or who.entity.endswith(":root"):
        return None, (), None
    try:
        found: Entity | None = principals.entity(who.entity)
    except AwsError:
        found = None
    if found is None or not found.attachments:
        made = who.entity.endswith(f":role/{resources.MADE_BY_ORGANIZATIONS}")
        return found, (_ADMINISTRATOR,) if made else (), found.boundary if found else None
    return found, tuple(one.policy for one in found.attachments), found.boundary


def _surroundings(who: Caller | None, region: str, tls: bool) -> dict[str, Any]:
    moment = now()
    keys: dict[str, Any] = {
        "aws:CurrentTime": moment.isoformat(),
        "aws:EpochTime": str(int(moment.timestamp())),
        "aws:RequestedRegion": region,
        "aws:SecureTransport": tls,
        "aws:SourceIp": "127.0.0.1",
        "aws:PrincipalIsAWSService": False,
        "aws:ViaAWSService": False,
    }
    if who is None:
        return {**keys, "aws:PrincipalType": "Anonymous"}
    if who.issued:
        keys |= {"aws:TokenIssueTime": who.issued.isoformat(), "aws:MultiFactorAuthPresent": False}
    return keys


def _decide(
    who: Caller | None,
    known: Known,
    held: tuple[Entity | None, tuple[Policy, ...], Policy | None],
    surroundings: Mapping[str, Any],
) -> Decision:
    entity, identity, boundary = held
    ask, account = known.ask, who.account if who else ""
    prefix = ask.action.partition(":")[0]
    context = {**surroundings}
    if who is not None:
        context |= principals.context(who.entity, entity, who.session)
        context |= {f"aws:PrincipalTag/{key}": value for key, value in who.tags.items()}
    for key, value in known.tags.items():
        context |= {f"aws:ResourceTag/{key}": value, f"{prefix}:ResourceTag/{key}": value}
    owner = known.owner or account_of(ask.resource) or account
    policy = known.policy
    if policy is None and owner != account:
        policy = _EMPTY
    request = Request(
        action=ask.action,
        resource=ask.resource,
        principal=who.arn if who else "",
        role=who.entity if who and who.session else "",
        owner=known.owner,
        context={**context, "aws:ResourceAccount": owner, **ask.context},
    )
    policies = Policies(
        identity=identity,
        resource=policy,
        boundary=boundary,
        session=(who.policy,) if who and who.policy else None,
        scps=principals.controls(account) if who else None,
    )
    decision = evaluate(request, policies)
    if decision.verdict == "implicitDeny" and _open(known):
        return Decision(
            "allowed", decision.matched, decision.missing, decision.layers, decision.cross_account
        )
    return decision


def _open(known: Known) -> bool:
    """Whether an ACL lets anybody do this."""
    held = resources.bucket(known.ask.resource.partition(":::")[2].partition("/")[0]) if known.owner else None
    return held is not None and resources.readable_by_all(held, known.ask)


def _kept_private(who: Caller | None, known: Known, decision: Decision) -> str:
    """Why RestrictPublicBuckets keeps out a caller of no or another account although a public policy lets it in."""
    if (who is not None and who.account == known.owner) or not known.owner or known.policy is None:
        return ""
    held = resources.bucket(known.ask.resource.partition(":::")[2].partition("/")[0])
    by_policy = decision.layers.get("resource") == "allowed"
    if held is None or not by_policy or not public_access.public_policy(known.policy.document):
        return ""
    restricted = resources.bucket_block(held).restrict
    return "because of the RestrictPublicBuckets block public access setting." if restricted else ""


def _check_public(call: Call, who: Caller | None, ask: Ask, params: Params) -> None:
    """Raises the error of S3 for a request that would make something public where that is blocked."""
    account = who.account if who else ""
    held = resources.bucket(str(params.get("Bucket", "")))
    block = resources.bucket_block(held) if held is not None else resources.account_block(account)
    brought = None
    if call.action == "PutBucketPolicy":
        try:
            brought = document(_text(params.get("Policy")), resource=True)
        except ValueError:
            return  # S3 itself says what is wrong with it
    if why := public_access.refused(block, call.action, params, brought):
        raise _error(call, who, ask, why)
    enforced = held is not None and not resources.has_acls(held)
    said = call.action in _ACLS or public_access.public_grants(params) or params.get("ACL")
    if enforced and said and params.get("ACL") not in _OWN_ACLS:
        raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _error(call: Call, who: Caller | None, ask: Ask, why: str) -> AwsError:
    """The refusal in the words and the form of the service's protocol."""
    if who is None:
        return AwsError("AccessDenied", "Access Denied", 403)
    text = f"User: {who.arn} is not authorized to perform: {ask.action} on resource: {ask.resource} {why}"
    model = service(call.service)
    protocol = call.protocol or (model.protocol if model else "json")
    if protocol == "ec2":
        return AwsError(
            "UnauthorizedOperation", f"You are not authorized to perform this operation. {text}", 403
        )
    if call.service == "sns":
        return AwsError("AuthorizationError", text, 403)
    if protocol in ("query", "rest-xml") or call.service in ("sqs", "cloudwatch"):
        return AwsError("AccessDenied", text, 403)
    return AwsError("AccessDeniedException", text, 400 if protocol == "json" else 403)


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
