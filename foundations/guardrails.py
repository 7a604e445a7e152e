"""Guardrails: their policies written to the account, and each of them attacked by a real call.

`policies/guardrails/attacks.yml` says which call attacks what. Clients are boto3's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import yaml
from botocore.exceptions import ClientError

from kit.errors import KitError, PlanError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "REFUSALS",
    "SIMULATED",
    "assumed",
    "attacked",
    "bounded",
    "controlled",
    "draw",
    "filled_in",
    "made",
    "merged",
    "public_buckets",
    "read",
    "refused_by",
    "standing",
    "wait_for",
    "written",
]

Row = dict[str, Any]
Clients = Callable[[str, str, str], Any]
"""(who, service, region or "") -> boto3 client, with which that one calls."""

REFUSALS = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")
"""The error codes by which AWS says that somebody may not; any other error is no refusal."""
LAYERS = (
    "service control policy",
    "resource-based policy",
    "permissions boundary",
    "session policy",
    "identity-based policy",
    "block public access",
)
NOBODY = "nobody let them in"
"""What refuses a stranger: AWS tells them no reason."""
SECONDS = 180  # how long AWS may take until a new role is known everywhere


# The file of attacks


def read(file: Path, names: Mapping[str, Any]) -> list[Row]:
    """The rows of `attacks.yml` with placeholders filled: guardrail, kind, refused_by, who, attack, control.

    Raises:
        PlanError: it cannot be read, a row lacks something, or a placeholder is not in `names`.
    """
    try:
        rows: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PlanError(f"{file.name} cannot be read: {error}.", "It is a list of guardrails.") from None
    for row in rows:
        needed = {"guardrail", "kind", "refused_by", "who", "attack", "control"}
        if lacking := needed - set(row):
            raise PlanError(
                f"{file.name}: {row.get('guardrail', row)} lacks {', '.join(sorted(lacking))}.", "Fill it in."
            )
        if row["refused_by"] not in (*LAYERS, NOBODY):
            raise PlanError(
                f'{file.name} › {row["guardrail"]}: nothing is called "{row["refused_by"]}".',
                did_you_mean(row["refused_by"], (*LAYERS, NOBODY)),
            )
    filled: list[Row] = filled_in(rows, names)
    return filled


def filled_in(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with every placeholder in its texts filled; a text that is one placeholder becomes what it stands for."""
    if isinstance(value, Mapping):
        return {filled_in(key, names): filled_in(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item, names) for item in value]
    if not isinstance(value, str):
        return value
    if value[:2] + value[-1:] == "${}" and value[2:-1] in names:
        return names[value[2:-1]]
    try:
        return Template(value).substitute(names)
    except KeyError as error:
        raise PlanError(
            f"The placeholder ${{{error.args[0]}}} cannot be filled.", f"Known: {', '.join(names)}."
        ) from None


# What is written to the account


def merged(policy: str, more: str) -> str:
    """A policy (JSON; empty for none) with the statements of another; one of the same Sid is replaced in its place."""
    base: Row = json.loads(policy) if policy else {"Version": "2012-10-17", "Statement": []}
    added = {one["Sid"]: one for one in json.loads(more)["Statement"]}
    held = base["Statement"] if isinstance(base["Statement"], list) else [base["Statement"]]
    there = [added.pop(one.get("Sid"), one) for one in held]
    return json.dumps({**base, "Statement": [*there, *added.values()]})


def standing(iam: Any, arn: str) -> str:
    """The name of the managed policy with this ARN; empty if there is none."""
    try:
        name: str = iam.get_policy(PolicyArn=arn)["Policy"]["PolicyName"]
    except iam.exceptions.NoSuchEntityException:
        return ""
    return name


def written(iam: Any, arn: str, document: str, tags: Sequence[Row]) -> None:
    """The managed policy with this ARN says this from now on; the oldest of five versions gives way."""
    try:
        held = iam.get_policy(PolicyArn=arn)["Policy"]
    except iam.exceptions.NoSuchEntityException:
        iam.create_policy(PolicyName=arn.rpartition("/")[2], PolicyDocument=document, Tags=list(tags))
        return
    version = iam.get_policy_version(PolicyArn=arn, VersionId=held["DefaultVersionId"])["PolicyVersion"]
    now = version["Document"]
    if (json.loads(now) if isinstance(now, str) else now) == json.loads(document):
        return
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    old = sorted((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: v["CreateDate"])
    if len(versions) >= 5:
        iam.delete_policy_version(PolicyArn=arn, VersionId=old[0]["VersionId"])
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)


def bounded(iam: Any, roles: Iterable[str], arn: str) -> list[str]:
    """The roles (names) that hold the boundary now, of those that exist."""
    there = []
    for role in roles:
        try:
            iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=arn)
        except iam.exceptions.NoSuchEntityException:
            continue
        there.append(role)
    return there


def controlled(organizations: Any, name: str, document: str, account: str, tags: Sequence[Row]) -> str:
    """The id of the service control policy of that name, which says this and is attached to the account."""
    kind = "SERVICE_CONTROL_POLICY"
    root = organizations.list_roots()["Roots"][0]
    if not any(one["Type"] == kind for one in root["PolicyTypes"]):
        organizations.enable_policy_type(RootId=root["Id"], PolicyType=kind)
    pages = organizations.get_paginator("list_policies").paginate(Filter=kind)
    held = {policy["Name"]: policy["Id"] for page in pages for policy in page["Policies"]}
    if name in held:
        id: str = held[name]
        organizations.update_policy(PolicyId=id, Content=document)
    else:
        made = organizations.create_policy(
            Name=name, Description="Guardrails", Type=kind, Content=document, Tags=list(tags)
        )
        id = made["Policy"]["PolicySummary"]["Id"]
    targets = organizations.list_targets_for_policy(PolicyId=id)["Targets"]
    if account not in [target["TargetId"] for target in targets]:
        organizations.attach_policy(PolicyId=id, TargetId=account)
    return id


def public_buckets(s3: Any) -> list[str]:
    """The buckets whose policy or access control list lets everybody in."""
    found = []
    for name in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        try:
            by_policy = s3.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
                raise
            by_policy = False
        grants = s3.get_bucket_acl(Bucket=name)["Grants"]
        if by_policy or any("AllUsers" in grant["Grantee"].get("URI", "") for grant in grants):
            found.append(name)
    return found


# Attacks


def wait_for(look: Callable[[], Any], what: str, poll: float, seconds: float = 900) -> Any:
    """What `look` finds, as soon as it is something; it is asked every `poll` seconds.

    Raises:
        KitError: nothing came within `seconds`.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise KitError(
                f"{what}: nothing came within {seconds:g} seconds.",
                "AWS may be slow: run the cell again, later.",
            )
        time.sleep(poll)
    return found


def assumed(session: Any, role: str, name: str, poll: float, **more: Any) -> Any:
    """A boto3 session of the role (ARN); waits while AWS does not know a new role yet.

    more: of AssumeRole, such as `Tags`.
    """
    from boto3.session import Session

    sts = session.client("sts")

    def ask() -> Any:
        try:
            return sts.assume_role(RoleArn=role, RoleSessionName=name, **more)["Credentials"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in REFUSALS:
                raise
            return None

    keys = wait_for(ask, f"A session of {role.rpartition('/')[2]}", poll, SECONDS)
    return Session(
        keys["AccessKeyId"],
        keys["SecretAccessKey"],
        keys["SessionToken"],
        region_name=session.region_name,
    )


def refused_by(code: str, message: str, who: str) -> str:
    """What refused, by AWS's own words; empty for an error that is no refusal."""
    if code not in REFUSALS:
        return ""
    lower = message.lower()
    return next((layer for layer in LAYERS if layer in lower), NOBODY if who == "anonymous" else "not said")


def attacked(rows: Sequence[Row], clients: Clients, iam: Any, scp: str) -> list[Row]:
    """Every attack and every control, made. What went through is undone in the end, in reverse order.

    Args:
        rows: as `read` gives them.
        clients: see `Clients`; who = "admin" undoes; None for "member" where there is none: then IAM simulates.
        iam: who asks the simulator.
        scp: the service control policy (JSON) that it simulates.

    Returns:
        rows of guardrail, kind, attack, refused, by, code, message, expected, control (allowed or not), held.
    """
    results, undo = [], []
    try:
        for row in rows:
            outcomes = {}
            for part in ("attack", "control"):
                case = row[part]
                who = case.get("who", row["who"])
                if who == "simulator" or (who == "member" and clients(who, "sts", "") is None):
                    outcomes[part] = _simulated(iam, scp, case["simulate"])
                    continue
                outcomes[part] = made(clients, who, case)
                if not outcomes[part]["code"] and "undo" in case:
                    undo.append(case["undo"])
            attack, control = outcomes["attack"], outcomes["control"]
            results.append(
                {
                    "guardrail": row["guardrail"],
                    "kind": row["kind"],
                    "attack": attack["did"],
                    "refused": attack["code"] in (*REFUSALS, "explicitDeny"),
                    "by": attack["by"],
                    "code": attack["code"],
                    "message": attack["message"],
                    "control": control["did"],
                    "allowed": not control["code"],
                    "said": control["message"],
                    "held": attack["by"].removesuffix(SIMULATED) == row["refused_by"],
                }
            )
    finally:
        for call in reversed(undo):
            made(clients, "admin", call)
    return results


SIMULATED = " (simulated)"


def made(clients: Clients, who: str, case: Mapping[str, Any]) -> Row:
    """The call made: did (who and what), code and message of its error (empty where it went through), by."""
    service, _, call = case["call"].partition(".")
    client = clients(who, service, case.get("region", ""))
    did = f"{who}: {service}:{client.meta.method_to_api_mapping[call]}"
    try:
        getattr(client, call)(**case.get("with", {}))
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        return {"did": did, "code": code, "message": message, "by": refused_by(code, message, who)}
    return {"did": did, "code": "", "message": "", "by": ""}


def _simulated(iam: Any, scp: str, case: Mapping[str, Any]) -> Row:
    """What IAM's simulator says to an administrator's call where the service control policy limits it.

    The simulator takes no service control policy by itself; as a permissions boundary it limits in the same way.
    """
    everything = {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}
    administrator = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    limit = merged(scp, administrator)  # as FullAWSAccess is attached beside it
    entries = [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
        for key, value in case.get("when", {}).items()
    ]
    (result,) = iam.simulate_custom_policy(
        PolicyInputList=[administrator],
        PermissionsBoundaryPolicyInputList=[limit],
        ActionNames=[case["action"]],
        ContextEntries=entries,
    )["EvaluationResults"]
    decision = "" if result["EvalDecision"] == "allowed" else result["EvalDecision"]
    did = f"simulator: {case['action']}"
    by = f"service control policy{SIMULATED}" if decision == "explicitDeny" else ""
    return {"did": did, "code": decision, "message": f"simulated: {result['EvalDecision']}", "by": by}


# The picture


def draw(ax: Axes, results: Sequence[Row]) -> None:
    """The rows of `attacked`: for each guardrail a cell for the attack and one for the control, in a word and a colour."""
    for y, row in enumerate(results):
        refused = ("refused", "#bfdbfe") if row["held"] else ("WENT THROUGH", "#fecaca")
        if row["refused"] and not row["held"]:
            refused = ("BY ANOTHER", "#fed7aa")
        allowed = ("goes on", "#bfdbfe") if row["allowed"] else ("BLOCKED TOO", "#fed7aa")
        for x, (word, colour) in enumerate((refused, allowed)):
            ax.fill(
                [x - 0.5, x + 0.5, x + 0.5, x - 0.5],
                [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
                fc=colour,
                ec="#9ca3af",
            )
            bold = "bold" if word.isupper() else "normal"
            ax.text(x, y, word, ha="center", va="center", fontsize=10, weight=bold)
        ax.text(1.6, y, row["by"] or row["code"] or "nothing", va="center", fontsize=10)
    ax.set_xticks([0, 1, 2], ["the attack", "ordinary work", "refused by"], fontsize=10)
    ax.set_yticks(
        range(len(results)), [f"{row['guardrail']} ({row['kind']})" for row in results], fontsize=10
    )
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set(xlim=(-0.5, 3.2), ylim=(len(results) - 0.5, -0.5))
