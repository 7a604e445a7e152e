"""iam:SimulatePrincipalPolicy and iam:SimulateCustomPolicy, truly evaluated.

Sources: API_SimulatePrincipalPolicy, API_SimulateCustomPolicy and API_EvaluationResult of the IAM API Reference;
one result an action, the most restrictive over its resources, which stand in `ResourceSpecificResults`.
Left out of account as AWS does: a resource policy for `sts:AssumeRole` (its simulator has none for roles).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kit.local_aws import conditions, principals
from kit.local_aws.front import Context, action
from kit.local_aws.policy import (
    Decision,
    Match,
    Policies,
    Policy,
    Request,
    Verdict,
    account_of,
    document,
    evaluate,
    worst,
)
from kit.local_aws.principals import Attachment, Entity
from kit.local_aws.protocol import AwsError, now

__all__ = ["simulate_custom_policy", "simulate_principal_policy"]

# The service answers these words, although its model has others in an enum.
_SOURCE = {"identity": "IAM Policy", "resource": "Resource Policy"}
_DETAIL = {
    "identity": "IAM Policy",
    "resource": "Resource Policy",
    "boundary": "Permissions Boundary Policy",
}
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9]+")
_PAGE = 100


@action("iam", "SimulatePrincipalPolicy")
def simulate_principal_policy(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What the policies of a user, group or role allow, with those passed added to them.

    Raises AwsError NoSuchEntity or InvalidInput.
    """
    source = principals.entity(params["PolicySourceArn"])
    excluded = params.get("PolicyExclusionList", [])
    kinds = {one.get("PolicyType") for one in excluded}
    kept = [one.policy for one in source.attachments if not _excluded(one, excluded)]
    return _simulated(
        params,
        caller=params.get("CallerArn") or source.arn,
        identity=[*kept, *_written(params, "PolicyInputList")],
        boundary=None if "permission-boundary" in kinds else source.boundary,
        scps=None if "scp" in kinds else principals.controls(account_of(source.arn)),
    )


@action("iam", "SimulateCustomPolicy")
def simulate_custom_policy(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What the passed policies allow. Raises AwsError InvalidInput."""
    if params.get("ResourcePolicy") and not params.get("CallerArn"):
        raise AwsError("InvalidInput", "CallerArn is required with a ResourcePolicy.")
    levels = params.get("OrderedOrganizationPolicyInputList", [])
    return _simulated(
        params,
        caller=params.get("CallerArn", ""),
        identity=_written(params, "PolicyInputList"),
        boundary=None,
        scps=tuple(tuple(_written(level, "ServiceControlPolicyInputList")) for level in levels) or None,
    )


def _excluded(attachment: Attachment, identifiers: list[dict[str, Any]]) -> bool:
    """Is the policy one of those to leave out, by its kind, its ARN or its name and holder?"""

    def named(by: dict[str, Any]) -> bool:
        inline = by.get("InlinePolicyIdentifier")
        if inline:
            return (
                attachment.kind == "inline"
                and inline["PolicyName"] == attachment.policy.name
                and inline["AttachmentType"] == attachment.to[0]
                and conditions.matches(inline["AttachmentName"], attachment.to[1])
            )
        if arn := by.get("PolicyArn"):
            return bool(attachment.arn) and conditions.arn_matches(arn, attachment.arn)
        return by.get("PolicyType") == attachment.kind

    return any(named(by) for by in identifiers)


def _read(name: str, text: str, resource: bool = False) -> Policy:
    try:
        return Policy(name, document(text, resource=resource), text)
    except ValueError as error:
        raise AwsError("InvalidInput", f"{name} is not a policy: {error}.") from None


def _written(params: Mapping[str, Any], member: str) -> list[Policy]:
    return [_read(f"{member}.{n}", text) for n, text in enumerate(params.get(member, []), start=1)]


def _caller(arn: str, resource_policy: bool) -> Entity | None:
    """The simulated caller where it exists; it need not. Raises AwsError for one that cannot be simulated."""
    kind = arn.split(":", 5)[-1].partition("/")[0]
    if arn and (kind not in ("user", "group", "role") or not account_of(arn)):
        raise AwsError(
            "InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name."
        )
    if resource_policy and kind != "user":
        raise AwsError("InvalidInput", "Invalid caller - Caller must be an IAM user in this context.")
    try:
        return principals.entity(arn) if arn else None
    except AwsError:
        return None


def _owner(params: Mapping[str, Any]) -> str:
    arn: str = params.get("ResourceOwner", "")
    if arn and not (account_of(arn) and arn.endswith(":root")):
        raise AwsError("InvalidInput", f"'{arn}' is not a valid as a Resource Owner.")
    return account_of(arn)


def _simulated(
    params: dict[str, Any],
    caller: str,
    identity: list[Policy],
    boundary: Policy | None,
    scps: tuple[tuple[Policy, ...], ...] | None,
) -> dict[str, Any]:
    if params.get("ResourceHandlingOption"):
        raise AwsError("InvalidInput", "The local AWS does not implement ResourceHandlingOption.")
    for name in params["ActionNames"]:
        if not _ACTION.fullmatch(name):
            raise AwsError("InvalidInput", f"Invalid action name: {name}.")
    limits = _written(params, "PermissionsBoundaryPolicyInputList")
    if len(limits) > 1:
        raise AwsError("InvalidInput", "Only one permissions boundary can be simulated.")
    written = params.get("ResourcePolicy", "")
    moment = now()
    keys = {
        "aws:CurrentTime": moment.isoformat(),
        "aws:EpochTime": str(int(moment.timestamp())),
        **(principals.context(caller, _caller(caller, bool(written))) if caller else {}),
    }
    given = {
        one["ContextKeyName"]: one.get("ContextKeyValues", []) for one in params.get("ContextEntries", [])
    }
    known = {**conditions.context(keys), **conditions.context(given)}
    policies = Policies(
        identity=tuple(identity),
        resource=_read("ResourcePolicy", written, resource=True) if written else None,
        boundary=limits[0] if limits else boundary,
        scps=scps,
    )
    owner = _owner(params)
    start, size = _page(params)
    names = params["ActionNames"]
    results = [
        _result(name, params.get("ResourceArns") or ["*"], caller, owner, known, policies)
        for name in names[start : start + size]
    ]
    answer: dict[str, Any] = {"EvaluationResults": results, "IsTruncated": start + size < len(names)}
    return answer | ({"Marker": str(start + size)} if answer["IsTruncated"] else {})


def _page(params: Mapping[str, Any]) -> tuple[int, int]:
    marker = params.get("Marker", "0")
    if not marker.isdigit():
        raise AwsError("InvalidInput", "Invalid Marker.")
    return int(marker), params.get("MaxItems", _PAGE)


def _result(
    name: str, resources: list[str], caller: str, owner: str, known: Mapping[str, Any], policies: Policies
) -> dict[str, Any]:
    """One `EvaluationResult`: the action on all the resources."""
    if name.lower().startswith("sts:assume"):
        policies = Policies(policies.identity, None, policies.boundary, policies.session, policies.scps)
    # Without policies of its own a caller is nobody in particular, but still somebody with an account.
    decisions = {
        resource: evaluate(Request(name, resource, caller or _NOBODY, owner=owner, context=known), policies)
        for resource in resources
    }
    verdict = worst(decision.verdict for decision in decisions.values())
    cited = [match for one in decisions.values() if one.verdict == verdict for match in _contributing(one)]
    result: dict[str, Any] = {
        "EvalActionName": name,
        "EvalResourceName": "*",
        "EvalDecision": verdict,
        "MatchedStatements": _statements(cited),
        "MissingContextValues": sorted({key for one in decisions.values() for key in one.missing}),
        **_limits(decisions.values()),
    }
    if policies.scps is not None:
        organizations = worst(one.layers["scps"] for one in decisions.values())
        result["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": organizations == "allowed"}
    if resources != ["*"]:
        result["EvalDecisionDetails"] = _details(decisions.values())
        result["ResourceSpecificResults"] = [
            {
                "EvalResourceName": resource,
                "EvalResourceDecision": one.verdict,
                "MatchedStatements": _statements(_contributing(one)),
                "MissingContextValues": list(one.missing),
                "EvalDecisionDetails": _details([one]),
                **_limits([one]),
            }
            for resource, one in decisions.items()
        ]
    return result


_NOBODY = "arn:aws:iam::000000000000:user/nobody"


def _limits(decisions: Iterable[Decision]) -> dict[str, Any]:
    verdicts = [one.layers["boundary"] for one in decisions if "boundary" in one.layers]
    allowed = worst(verdicts) == "allowed"
    return (
        {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": allowed}} if verdicts else {}
    )


def _details(decisions: Iterable[Decision]) -> dict[str, Verdict]:
    """What each type of policy said, for requests across accounts only."""
    foreign = [one for one in decisions if one.cross_account]
    return {
        name: worst(one.layers[layer] for one in foreign)
        for layer, name in _DETAIL.items()
        if any(layer in one.layers for one in foreign)
    }


def _contributing(decision: Decision) -> list[Match]:
    effect = {"allowed": "Allow", "explicitDeny": "Deny"}.get(decision.verdict)
    return [match for match in decision.matched if match.effect == effect and match.layer in _SOURCE]


def _statements(cited: Iterable[Match]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for match in cited:
        start, end = _spans(match.policy.text)[match.statement]
        one = {
            "SourcePolicyId": match.policy.name,
            "SourcePolicyType": _SOURCE[match.layer],
            "StartPosition": _position(match.policy.text, start),
            "EndPosition": _position(match.policy.text, end),
        }
        if one not in found:
            found.append(one)
    return found


def _spans(text: str) -> list[tuple[int, int]]:
    """Where each statement of a policy's text begins and ends."""
    decoder, at = json.JSONDecoder(), text.index("{") + 1

    def skip(at: int, characters: str = " \t\r\n,") -> int:
        while text[at] in characters:
            at += 1
        return at

    while True:
        key, at = decoder.raw_decode(text, skip(at))
        at = skip(at, " \t\r\n:")
        if key != "Statement":
            at = decoder.raw_decode(text, at)[1]
            continue
        spans, listed = [], text[at] == "["
        at = skip(at + 1) if listed else at
        while text[at] != "]":
            end = decoder.raw_decode(text, at)[1]
            spans.append((at, end))
            if not listed:
                break
            at = skip(end)
        return spans


def _position(text: str, at: int) -> dict[str, int]:
    return {"Line": text.count("\n", 0, at) + 1, "Column": at - text.rfind("\n", 0, at)}
