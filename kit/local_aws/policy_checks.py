"""What is wrong with a policy, as IAM Access Analyzer says it: syntax, grammar, unknown actions, risky grants. Pure.

Source of codes, types and sentences: "Access Analyzer policy check reference" of the IAM User Guide
(docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html). Of its checks these are here; a policy that
passes them may still have findings on AWS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kit.local_aws import conditions

__all__ = ["Issue", "found", "names_action"]

ERROR, SECURITY, WARNING, SUGGESTION = "ERROR", "SECURITY_WARNING", "WARNING", "SUGGESTION"
ELEMENTS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip
VERSIONS = ("2012-10-17", "2008-10-17")
# Actions that hand a role to a service or make one for it.
PASS_ROLE, SERVICE_ROLE = "iam:PassRole", "iam:CreateServiceLinkedRole"


@dataclass(frozen=True)
class Issue:
    """A finding: its type, code and sentence, and the path of what it is about."""

    kind: str
    code: str
    text: str
    path: tuple[str | int, ...] = ()


Actions = Callable[[str], Collection[str]]
"""The actions that are known of a service by its namespace, both in lower case; none of a service that there is not."""


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def found(text: str, policy_type: str, known: Actions) -> list[Issue]:
    """The issues of a policy; policy_type: IDENTITY_POLICY, RESOURCE_POLICY, SERVICE_CONTROL_POLICY or RESOURCE_CONTROL_POLICY."""
    try:
        policy = json.loads(text)
    except json.JSONDecodeError as error:
        said = f"Fix the JSON syntax error at index {error.pos} line {error.lineno} column {error.colno}."
        return [Issue(ERROR, "JSON_SYNTAX_ERROR", said)]
    if not isinstance(policy, dict):
        return [
            Issue(ERROR, "DATA_TYPE_MISMATCH", "The text does not match the expected JSON data type object.")
        ]
    return list(_document(policy, policy_type, known))


def _document(policy: Mapping[str, Any], policy_type: str, known: Actions) -> Iterator[Issue]:
    for name in policy:
        if name not in ("Version", "Id", "Statement"):
            yield Issue(ERROR, "INVALID_POLICY_ELEMENT", f"The policy element {name} is not valid.", (name,))
    if "Version" not in policy:
        said = (
            "We recommend that you specify the Version element to help you with debugging permission issues."
        )
        yield Issue(WARNING, "MISSING_VERSION", said)
    elif policy["Version"] not in VERSIONS:
        said = f"The version {policy['Version']} is not valid. Use one of the following versions: {', '.join(VERSIONS)}"
        yield Issue(ERROR, "INVALID_VERSION", said, ("Version",))
    if "Statement" not in policy:
        yield Issue(ERROR, "MISSING_STATEMENT", "Add a statement to the policy.")
        return
    if policy["Statement"] == []:
        yield Issue(
            SUGGESTION, "EMPTY_ARRAY_STATEMENT", "Add a statement, or remove the empty array.", ("Statement",)
        )
    sids: set[str] = set()
    alone = not isinstance(policy["Statement"], list)
    for number, statement in enumerate(_listed(policy["Statement"])):
        at: tuple[str | int, ...] = ("Statement",) if alone else ("Statement", number)
        if not isinstance(statement, dict):
            yield Issue(
                ERROR, "DATA_TYPE_MISMATCH", "The text does not match the expected JSON data type object.", at
            )
            continue
        if (sid := statement.get("Sid")) and sid in sids:
            said = f"Duplicate Sid {sid}. The Sid element must be unique within a policy."
            yield Issue(ERROR, "UNIQUE_SIDS_REQUIRED", said, (*at, "Sid"))
        sids.add(statement.get("Sid", ""))
        yield from _grammar(statement, policy_type, at)
        yield from _actions(statement, known, at)
        yield from _conditions(statement, at)
        if statement.get("Effect") == "Allow" and policy_type in ("IDENTITY_POLICY", "RESOURCE_POLICY"):
            yield from _risks(statement, policy_type, at)


def _grammar(statement: Mapping[str, Any], policy_type: str, at: tuple[str | int, ...]) -> Iterator[Issue]:
    for name in statement:
        if name not in ELEMENTS:
            yield Issue(
                ERROR, "INVALID_POLICY_ELEMENT", f"The policy element {name} is not valid.", (*at, name)
            )
    effect = statement.get("Effect")
    if effect is None:
        yield Issue(
            ERROR,
            "MISSING_EFFECT",
            "Add an Effect element to the policy statement with a value of Allow or Deny.",
            at,
        )
    elif effect not in ("Allow", "Deny"):
        said = f"The effect {effect} is not valid. Use Allow or Deny."
        yield Issue(ERROR, "INVALID_EFFECT", said, (*at, "Effect"))
    for name in ("Action", "Resource", "Principal"):
        if name in statement and f"Not{name}" in statement:
            said = f"The policy elements {name} and Not{name} cannot be used in the same statement. Remove one of these elements."
            yield Issue(ERROR, "UNSUPPORTED_ELEMENT_COMBINATION", said, at)
    if not {"Action", "NotAction"} & set(statement):
        yield Issue(
            ERROR, "MISSING_ACTION", "Add an Action or NotAction element to the policy statement.", at
        )
    if not {"Resource", "NotResource"} & set(statement) and policy_type != "RESOURCE_POLICY":
        yield Issue(
            ERROR, "MISSING_RESOURCE", "Add a Resource or NotResource element to the policy statement.", at
        )
    named = {"Principal", "NotPrincipal"} & set(statement)
    if policy_type == "RESOURCE_POLICY" and not named:
        yield Issue(ERROR, "MISSING_PRINCIPAL", "Add a Principal element to the policy statement.", at)
    if policy_type in ("IDENTITY_POLICY", "SERVICE_CONTROL_POLICY") and named:
        [name] = sorted(named)[:1]
        said = f"The policy type does not support the {name} element. Remove the {name} element."
        yield Issue(ERROR, "UNSUPPORTED_PRINCIPAL", said, (*at, name))


def _actions(statement: Mapping[str, Any], known: Actions, at: tuple[str | int, ...]) -> Iterator[Issue]:
    for element in ("Action", "NotAction"):
        alone = not isinstance(statement.get(element), list)
        names = _listed(statement[element]) if element in statement else []
        if element in statement and names == []:
            yield Issue(
                SUGGESTION,
                "EMPTY_ARRAY_ACTION",
                "This statement includes no actions. Specify actions.",
                (*at, element),
            )
        for number, name in enumerate(names):
            path = (*at, element) if alone else (*at, element, number)
            if not isinstance(name, str):
                said = "The text does not match the expected JSON data type string."
                yield Issue(ERROR, "DATA_TYPE_MISMATCH", said, path)
            elif issue := _action(name, known):
                yield Issue(ERROR, *issue, path)
            elif any(other is not name and _wider(other, name) for other in names):
                said = f"The {name} action is redundant because it is included by another action of the statement."
                yield Issue(SUGGESTION, "REDUNDANT_ACTION", said, path)


def _wider(other: Any, name: str) -> bool:
    return (
        isinstance(other, str)
        and other != name
        and "*" in other
        and conditions.matches(other, name, ignore_case=True)
    )


def _action(name: str, known: Actions) -> tuple[str, str] | None:
    """What is wrong with the name of an action: (code, sentence)."""
    if name == "*":
        return None
    service, mark, action = name.partition(":")
    if not mark or not action:
        return "INVALID_ACTION", f"The action {name} does not exist."
    if not known(service.lower()):
        return "INVALID_SERVICE_IN_ACTION", f"The service {service} specified in the action does not exist."
    if not any(conditions.matches(action.lower(), one) for one in known(service.lower())):
        return "INVALID_ACTION", f"The action {name} does not exist."
    return None


def _conditions(statement: Mapping[str, Any], at: tuple[str | int, ...]) -> Iterator[Issue]:
    block = statement.get("Condition", {})
    if not isinstance(block, dict):
        said = "The text does not match the expected JSON data type object."
        yield Issue(ERROR, "DATA_TYPE_MISMATCH", said, (*at, "Condition"))
        return
    for name in block:
        try:
            conditions.operator(name)
        except ValueError:
            said = f"The condition operator {name} is not valid. Use a valid condition operator."
            yield Issue(ERROR, "INVALID_CONDITION_OPERATOR", said, (*at, "Condition", name))


def names_action(statement: Mapping[str, Any], action: str) -> bool:
    """Whether a statement's Action names this action, or its NotAction leaves it in."""
    if "NotAction" in statement:
        listed = [one for one in _listed(statement["NotAction"]) if isinstance(one, str)]
        return not any(conditions.matches(one, action, ignore_case=True) for one in listed)
    listed = [one for one in _listed(statement.get("Action", [])) if isinstance(one, str)]
    return any(conditions.matches(one, action, ignore_case=True) for one in listed)


def _risks(statement: Mapping[str, Any], policy_type: str, at: tuple[str | int, ...]) -> Iterator[Issue]:
    """Grants that let somebody become more than was meant."""
    if "NotAction" in statement and "NotResource" not in statement and policy_type == "IDENTITY_POLICY":
        said = (
            "Using Allow with NotAction can be overly permissive. We recommend that you use Action instead."
        )
        yield Issue(SECURITY, "ALLOW_WITH_NOT_ACTION", said, (*at, "NotAction"))
    if policy_type == "RESOURCE_POLICY" and "NotPrincipal" in statement:
        said = "Using Allow with NotPrincipal can be overly permissive. We recommend that you use Principal instead."
        yield Issue(SECURITY, "ALLOW_WITH_NOT_PRINCIPAL", said, (*at, "NotPrincipal"))
    star_resource = "*" in _listed(statement.get("Resource", [])) or "NotResource" in statement
    passed_to = any(
        key.lower() == "iam:passedtoservice"
        for keys in statement.get("Condition", {}).values()
        for key in keys
    )
    for action, code, what in (
        (PASS_ROLE, "PASS_ROLE", "iam:PassRole"),
        (SERVICE_ROLE, "CREATE_SLR", "iam:CreateServiceLinkedRole"),
    ):
        if not star_resource or not names_action(statement, action) or passed_to:
            continue
        exact = any(str(one).lower() == action.lower() for one in _listed(statement.get("Action", [])))
        if exact:
            said = f"Using the {what} action with wildcards (*) in the resource can be overly permissive. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement."
            yield Issue(SECURITY, f"{code}_WITH_STAR_IN_RESOURCE", said, (*at, "Resource"))
        elif "NotAction" in statement:
            said = f"Using NotAction with {what} left in and wildcards (*) in the resource can be overly permissive."
            yield Issue(SECURITY, f"{code}_WITH_NOT_ACTION_AND_STAR_IN_RESOURCE", said, at)
        else:
            said = f"Using wildcards (*) in the action and the resource can be overly permissive because it allows {what} permissions on all resources. We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement."
            yield Issue(SECURITY, f"{code}_WITH_STAR_IN_ACTION_AND_RESOURCE", said, at)
