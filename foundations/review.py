"""The access review: which grants of the event's roles are wider than anybody agreed, and which nobody uses.

Agreed is what the policy files say; the account says what is granted and what was used. Clients are boto3's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from guardrails import wait_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["allowed", "attempts", "draw", "findings", "granted", "lately", "reviewed", "services", "used"]

Row = dict[str, Any]
WIDE, UNUSED, USED, AGREED = "TOO WIDE", "UNUSED", "used", "agreed"
COLOURS = {WIDE: "#fecaca", UNUSED: "#fed7aa", USED: "#bfdbfe", AGREED: "#ffffff"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _allowing(document: Any) -> list[Row]:
    """The statements of a policy (JSON or parsed) that allow."""
    parsed = json.loads(document) if isinstance(document, str) else document
    return [one for one in _listed(parsed["Statement"]) if one["Effect"] == "Allow"]


def _wide(statement: Row) -> bool:
    """Whether a statement gives all of a service, or all but something, on everything and unconditionally."""
    if statement.get("Condition") or "*" not in _listed(statement.get("Resource", "*")):
        return False
    return "NotAction" in statement or any(
        action.endswith(":*") or action == "*" for action in _listed(statement["Action"])
    )


def services(documents: Iterable[Any]) -> dict[str, bool]:
    """The services that the policies allow something of (`*` for all), and whether too widely."""
    found: dict[str, bool] = {}
    for document in documents:
        for statement in _allowing(document):
            for action in _listed(statement.get("Action", "*")):
                service = action.partition(":")[0].lower()
                found[service] = found.get(service, False) or (_wide(statement) and _whole(action))
    return found


def _whole(action: str) -> bool:
    return action == "*" or action.endswith(":*")


def reviewed(iam: Any, key: str = "eba:event") -> dict[str, str]:
    """The roles (name -> ARN) with that tag which people or jobs take on; those of AWS's services have no user to ask."""
    found = {}
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            tags = iam.list_role_tags(RoleName=role["RoleName"])["Tags"]
            if key in {tag["Key"] for tag in tags} and _taken_on(role["AssumeRolePolicyDocument"]):
                found[role["RoleName"]] = role["Arn"]
    return found


def _taken_on(trust: Any) -> bool:
    """Whether a trust policy lets in principals of AWS accounts, or SageMaker for its jobs."""
    principals = [one.get("Principal", {}) for one in _allowing(trust)]
    return any(
        "AWS" in who or "sagemaker.amazonaws.com" in _listed(who.get("Service", [])) for who in principals
    )


def granted(iam: Any, role: str) -> list[Any]:
    """The documents of all policies of a role: its own and the managed ones that are attached."""
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for page in iam.get_paginator("list_role_policies").paginate(RoleName=role)
        for name in page["PolicyNames"]
    ]
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for one in page["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=one["PolicyArn"])["Policy"]["DefaultVersionId"]
            held = iam.get_policy_version(PolicyArn=one["PolicyArn"], VersionId=version)
            documents.append(held["PolicyVersion"]["Document"])
    return documents


def used(iam: Any, arn: str, poll: float) -> set[str]:
    """The services that the role (ARN) has used, as IAM last saw it; on AWS that is up to four hours behind."""
    job = iam.generate_service_last_accessed_details(Arn=arn)["JobId"]
    answer = wait_for(
        lambda: _done(iam.get_service_last_accessed_details(JobId=job)), "IAM's report", poll, 300
    )
    return {one["ServiceNamespace"] for one in answer["ServicesLastAccessed"] if one.get("LastAuthenticated")}


def lately(cloudtrail: Any, user: str) -> set[str]:
    """The services that a session (its name) called, by the trail's history; minutes behind, where IAM is hours behind."""
    asked = [{"AttributeKey": "Username", "AttributeValue": user}]
    pages = cloudtrail.get_paginator("lookup_events").paginate(LookupAttributes=asked)
    return {event["EventSource"].partition(".")[0] for page in pages for event in page["Events"]}


def _done(answer: Row) -> Row | None:
    return answer if answer["JobStatus"] == "COMPLETED" else None


def findings(
    roles: Mapping[str, Mapping[str, bool]],
    agreed: Mapping[str, Iterable[str]],
    uses: Mapping[str, Iterable[str]],
) -> list[Row]:
    """What the review says of each role and service: rows of role, service and verdict.

    Args:
        roles: the services that each role is granted, and whether too widely, as `services` gives them.
        agreed: the services that the policy files agree on, by role.
        uses: the services that each role has used.

    Returns:
        verdict is TOO WIDE; or UNUSED: granted, neither agreed nor used; or used; or agreed, if not used yet.
    """
    rows = []
    for role, held in sorted(roles.items()):
        for service, wide in sorted(held.items()):
            has_used = service in set(uses.get(role, ())) or (service == "*" and bool(uses.get(role)))
            has_agreed = service in set(agreed.get(role, ()))
            verdict = WIDE if wide else USED if has_used else AGREED if has_agreed else UNUSED
            rows.append({"role": role, "service": service, "verdict": verdict})
    return rows


def attempts(cloudtrail: Any, role: str, user: str) -> list[Row]:
    """Who tried to take on the role (ARN) under that user name: rows of when, who, code (empty where it went through)."""
    found = []
    asked = [{"AttributeKey": "Username", "AttributeValue": user}]
    for page in cloudtrail.get_paginator("lookup_events").paginate(LookupAttributes=asked):
        for event in page["Events"]:
            told = json.loads(event["CloudTrailEvent"])
            about = json.dumps(told.get("requestParameters")) + told.get("errorMessage", "")
            if event["EventName"] == "AssumeRole" and role in about:
                found.append(
                    {
                        "when": event["EventTime"],
                        "who": told["userIdentity"].get("arn", ""),
                        "code": told.get("errorCode", ""),
                    }
                )
    return found


def draw(ax: Axes, rows: Sequence[Row]) -> None:
    """The rows of `findings` as a table of role by service: a word and a colour in each cell, empty where nothing is granted."""
    roles = list(dict.fromkeys(row["role"] for row in rows))
    names = sorted({row["service"] for row in rows})
    for row in rows:
        x, y = roles.index(row["role"]), names.index(row["service"])
        ax.fill(
            [x - 0.5, x + 0.5, x + 0.5, x - 0.5],
            [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
            fc=COLOURS[row["verdict"]],
            ec="#9ca3af",
        )
        bold = "bold" if row["verdict"].isupper() else "normal"
        ax.text(x, y, row["verdict"], ha="center", va="center", fontsize=9, weight=bold)
    words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name.removeprefix("Eba")) for name in roles]
    ax.set_xticks(range(len(roles)), words, fontsize=9)
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set(xlim=(-0.5, len(roles) - 0.5), ylim=(len(names) - 0.5, -0.5))


def allowed(iam: Any, policy: str, action: str, resource: str, when: Mapping[str, bool | int]) -> bool:
    """Whether a policy (JSON) allows the action on the resource under these condition keys, by IAM's simulator."""
    entries = [
        {
            "ContextKeyName": key,
            "ContextKeyType": "boolean" if isinstance(value, bool) else "numeric",
            "ContextKeyValues": [str(value).lower()],
        }
        for key, value in when.items()
    ]
    (result,) = iam.simulate_custom_policy(
        PolicyInputList=[policy], ActionNames=[action], ResourceArns=[resource], ContextEntries=entries
    )["EvaluationResults"]
    return bool(result["EvalDecision"] == "allowed")
