"""IAM Access Analyzer: ValidatePolicy, and whether a policy grants what it must not or more than another one did.

Sources: API_ValidatePolicy, API_CheckAccessNotGranted and API_CheckNoNewAccess of the Access Analyzer API Reference. The last two are
automated reasoning on AWS; here they ask the evaluator about every action and resource that the policies name, which finds what is
granted in so many words and by wildcards, and takes conditions for fulfilled.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from kit.local_aws import conditions, json_spans, policy_checks
from kit.local_aws.authorization import PREFIXES
from kit.local_aws.front import action
from kit.local_aws.policy import document
from kit.local_aws.protocol import AwsError, service
from kit.local_aws.store import Context
from kit.local_aws.wire import SIGNING

__all__ = ["check_access_not_granted", "check_no_new_access", "known_actions", "validate_policy"]

REFERENCE = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html"
PAGE = 100


@functools.cache
def _named() -> dict[str, frozenset[str]]:
    """The actions that AWS's managed policies name, in lower case, by namespace: close to all there are, permissions without an operation too."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    found: dict[str, set[str]] = {}
    for prefix, name in re.findall(r'"([A-Za-z0-9-]+):([A-Za-z0-9]+)"', aws_managed_policies_data):
        found.setdefault(prefix.lower(), set()).add(name.lower())
    return {prefix: frozenset(names) for prefix, names in found.items()}


@functools.cache
def known_actions(prefix: str) -> frozenset[str]:
    """The actions of a namespace, in lower case: what managed policies name, and the operations of botocore's models; none if there is no such service."""
    names = {name for name, other in PREFIXES.items() if other == prefix} | {prefix, *SIGNING.get(prefix, ())}
    models = [model for model in map(service, sorted(names)) if model is not None]
    return (
        _named()
        .get(prefix, frozenset())
        .union(*({one.lower() for one in model.operation_names} for model in models))
    )


@action("accessanalyzer", "ValidatePolicy")
def validate_policy(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The findings of a policy, each with where it stands in the text, a page at a time."""
    text = params["policyDocument"]
    issues = policy_checks.found(text, params["policyType"], known_actions)
    places = {} if any(one.code == "JSON_SYNTAX_ERROR" for one in issues) else json_spans.spans(text)
    token = params.get("nextToken") or "0"
    if not token.isdigit():
        raise AwsError("ValidationException", "The token is not valid.")
    start, size = int(token), params.get("maxResults", PAGE)
    answer: dict[str, Any] = {
        "findings": [_finding(text, places, one) for one in issues[start : start + size]]
    }
    return answer | ({"nextToken": str(start + size)} if len(issues) > start + size else {})


def _finding(text: str, places: Mapping[Any, tuple[int, int]], issue: policy_checks.Issue) -> dict[str, Any]:
    begin, end = places.get(issue.path, (0, len(text)))
    path = [{"index": part} if isinstance(part, int) else {"value": part} for part in issue.path]
    anchor = f"{issue.kind}-{issue.code}".lower().replace("_", "-")
    span = {"start": json_spans.position(text, begin), "end": json_spans.position(text, end)}
    return {
        "findingType": issue.kind,
        "issueCode": issue.code,
        "findingDetails": issue.text,
        "learnMoreLink": f"{REFERENCE}#access-analyzer-reference-policy-checks-{anchor}",
        "locations": [{"path": path, "span": span}],
    }


# Checks by asking


def _read(text: str, policy_type: str) -> dict[str, Any]:
    try:
        return document(text, resource=policy_type == "RESOURCE_POLICY")
    except ValueError as error:
        raise AwsError("InvalidParameterException", f"The policy is not valid: {error}.") from None


def _statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    held = policy["Statement"]
    return held if isinstance(held, list) else [held]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _expanded(names: list[str], negated: bool) -> Iterator[str]:
    """The actions that an Action (or NotAction) element stands for, of those that are known."""
    every = negated or "*" in names
    mentioned = {one.partition(":")[0].lower() for one in names} - {"*"}
    for prefix in sorted(mentioned | set(_named())) if every else sorted(mentioned):
        patterns = [one.lower() for one in names if one == "*" or one.lower().startswith(f"{prefix}:")]
        for name in known_actions(prefix):
            full = f"{prefix}:{name}"
            if any(conditions.matches(one, full) for one in patterns) != negated:
                yield full


def _granting(policy: Mapping[str, Any], name: str, resource: str) -> Iterator[int]:
    """The numbers of the statements that grant an action on (something of) a resource that no deny takes away as a whole."""
    allowing = []
    for number, statement in enumerate(_statements(policy)):
        if not policy_checks.names_action(statement, name) or not _meets(statement, resource):
            continue
        if statement["Effect"] == "Deny" and not statement.get("Condition") and _covers(statement, resource):
            return
        if statement["Effect"] == "Allow":
            allowing.append(number)
    yield from allowing


def _resources(statement: Mapping[str, Any]) -> list[str]:
    return [str(one) for one in _listed(statement.get("Resource", "*"))]


def _meets(statement: Mapping[str, Any], resource: str) -> bool:
    """Whether a statement may be about something that the pattern of a resource stands for."""
    if "NotResource" in statement:
        return not any(_within(resource, str(one)) for one in _listed(statement["NotResource"]))
    return any(_within(resource, one) or _within(one, resource) for one in _resources(statement))


def _covers(statement: Mapping[str, Any], resource: str) -> bool:
    return "NotResource" not in statement and any(_within(resource, one) for one in _resources(statement))


def _within(narrow: str, wide: str) -> bool:
    """Whether all that one pattern stands for, the other one stands for too."""
    return conditions.matches(wide, narrow)


@action("accessanalyzer", "CheckAccessNotGranted")
def check_access_not_granted(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """PASS where the policy grants none of the actions on any of the resources. Raises AwsError InvalidParameterException."""
    policy = _read(params["policyDocument"], params["policyType"])
    reasons: dict[int, str] = {}
    for access in params["access"]:
        for name in access.get("actions") or ["*"]:
            for full in _expanded([name], False):
                for resource in access.get("resources") or ["*"]:
                    for number in _granting(policy, full, resource):
                        reasons.setdefault(
                            number,
                            f"One or more of the listed actions or resources in the statement with index: {number}.",
                        )
    return _verdict(policy, reasons, "The policy document does not grant access to perform the listed actions or resources.",
                    "The policy document grants access to perform one or more of the listed actions or resources.")  # fmt: skip


@action("accessanalyzer", "CheckNoNewAccess")
def check_no_new_access(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """PASS where the new policy grants nothing that the old one did not. Raises AwsError InvalidParameterException."""
    new = _read(params["newPolicyDocument"], params["policyType"])
    old = _read(params["existingPolicyDocument"], params["policyType"])
    reasons: dict[int, str] = {}
    for number, statement in enumerate(_statements(new)):
        if statement["Effect"] == "Allow" and not _had(old, new, statement):
            reasons[number] = f"New access in the statement with index: {number}."
    return _verdict(new, reasons, "The modified permissions do not grant new access compared to your existing policy.",
                    "The modified permissions grant new access compared to your existing policy.")  # fmt: skip


def _had(old: Mapping[str, Any], new: Mapping[str, Any], statement: Mapping[str, Any]) -> bool:
    """Whether the old policy grants all of a statement: each action on each resource, to the same principals under the same conditions or none."""
    element = "NotAction" if "NotAction" in statement else "Action"
    names = list(_expanded([str(one) for one in _listed(statement[element])], element == "NotAction"))
    if "NotResource" in statement:
        return statement in _statements(old)
    for name in names:
        for resource in _resources(statement):
            if not any(True for _ in _granting(new, name, resource)):
                continue  # the new policy denies it itself
            denied = any(
                one["Effect"] == "Deny"
                and policy_checks.names_action(one, name)
                and _meets(one, resource)
                and one not in _statements(new)
                for one in _statements(old)
            )
            granted = any(
                one["Effect"] == "Allow"
                and policy_checks.names_action(one, name)
                and _covers(one, resource)
                and one.get("Principal") in (statement.get("Principal"), "*")
                and one.get("Condition") in (None, {}, statement.get("Condition"))
                for one in _statements(old)
            )
            if denied or not granted:
                return False
    return True


def _verdict(
    policy: Mapping[str, Any], reasons: Mapping[int, str], passed: str, failed: str
) -> dict[str, Any]:
    rows = [
        {"statementIndex": number, "description": text, "statementId": _statements(policy)[number].get("Sid")}
        for number, text in sorted(reasons.items())
    ]
    return {"result": "FAIL" if rows else "PASS", "message": failed if rows else passed, "reasons": rows}
