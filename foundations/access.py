"""Who may do what: the files of `policies/` filled in, what the account has, and what its policies allow.

`policies/access.yml` says what the files of that folder mean. Clients are boto3's; nothing here creates or changes anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import yaml
from botocore.exceptions import ClientError
from guardrails import merged

from kit.errors import PlanError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "NONE",
    "changes",
    "decided",
    "draw",
    "encryption_with",
    "filled",
    "lost",
    "policy_with",
    "profiles",
    "read",
    "refuses_plain",
    "snapshot",
    "tags_with",
]

NONE = "none"
"""What a snapshot says of a setting that the account does not have."""

STRENGTHS = ("AES256", "aws:kms", "aws:kms:dsse")
"""How S3 encrypts, the weakest first."""

Row = dict[str, Any]


def filled(file: Path, names: Mapping[str, str]) -> str:
    """The text of the file with its placeholders (`${bucket}`) filled from `names`.

    Raises:
        PlanError: no such file, or a placeholder that `names` does not have.
    """
    try:
        return Template(file.read_text(encoding="utf-8")).substitute(names)
    except OSError:
        there = [other.name for other in file.parent.glob(f"*{file.suffix}")]
        raise PlanError(
            f"{file.parent.name}/{file.name} does not exist.", did_you_mean(file.name, there)
        ) from None
    except (KeyError, ValueError) as error:
        wrong = f"the placeholder ${{{error.args[0]}}}" if isinstance(error, KeyError) else str(error)
        raise PlanError(
            f"{file.parent.name}/{file.name}: {wrong} cannot be filled.",
            f"Known: {', '.join(names)}. Write $$ for a dollar sign that is meant.",
        ) from None


def read(folder: Path, names: Mapping[str, str]) -> tuple[dict[str, Row], list[Row]]:
    """The personas (role, trust, policies) and the lines (action, resource, allow, when) of `access.yml`.

    Raises:
        PlanError: it cannot be read, a line names a persona that there is not, or a persona a file that there is not.
    """
    try:
        found = yaml.safe_load(filled(folder / "access.yml", names))
        personas, lines = found["personas"], found["access"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise PlanError(f"access.yml cannot be read: {error}.", "It holds `personas` and `access`.") from None
    for line in lines:
        if lacking := {"action", "resource", "allow"} - set(line):
            raise PlanError(f"access.yml: {line} lacks {', '.join(sorted(lacking))}.", "Fill it in.")
        for persona in line["allow"]:
            if persona not in personas:
                raise PlanError(
                    f'access.yml › {line["action"]}: there is no persona "{persona}".',
                    did_you_mean(persona, personas),
                )
    for facts in personas.values():
        for name in (facts["trust"], *facts["policies"]):
            filled(folder / f"{name}.json", names)
    return personas, lines


# What the account has


def _kept(call: Callable[..., Mapping[str, Any]], *members: str, **asked: Any) -> str:
    """One member of an answer as canonical JSON; NONE where AWS says that it is not there (404)."""
    try:
        value: Any = call(**asked)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return NONE
        raise
    for member in members:
        value = value.get(member)
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    return NONE if value is None else json.dumps(value, sort_keys=True, default=str)


def snapshot(session: Any, bucket: str, roles: Iterable[str], policies: Iterable[str] = ()) -> dict[str, str]:
    """The settings that F1 makes, by name, as canonical JSON or NONE: bucket, roles with their policies, domains, profiles.

    policies: ARNs of managed policies that are kept as well.
    """
    s3, iam, sagemaker = (session.client(name) for name in ("s3", "iam", "sagemaker"))
    asked: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
        "encryption": (s3.get_bucket_encryption, ("ServerSideEncryptionConfiguration", "Rules")),
        "versioning": (s3.get_bucket_versioning, ("Status",)),
        "public access": (s3.get_public_access_block, ("PublicAccessBlockConfiguration",)),
        "policy": (s3.get_bucket_policy, ("Policy",)),
        "tags": (s3.get_bucket_tagging, ("TagSet",)),
    }
    state = {
        f"bucket · {name}": _kept(call, *members, Bucket=bucket) for name, (call, members) in asked.items()
    }
    for role in roles:
        trust = _kept(iam.get_role, "Role", "AssumeRolePolicyDocument", RoleName=role)
        state[f"{role} · trust"] = trust
        held = [] if trust == NONE else iam.list_role_policies(RoleName=role)["PolicyNames"]
        for policy in held:
            state[f"{role} · {policy}"] = _kept(
                iam.get_role_policy, "PolicyDocument", RoleName=role, PolicyName=policy
            )
        attached = [] if trust == NONE else iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        state |= {f"{role} · attached {one['PolicyName']}": json.dumps(one["PolicyArn"]) for one in attached}
    for arn in policies:
        version = _kept(iam.get_policy, "Policy", "DefaultVersionId", PolicyArn=arn)
        state[f"policy {arn.rpartition('/')[2]}"] = (
            version
            if version == NONE
            else _kept(
                iam.get_policy_version,
                "PolicyVersion",
                "Document",
                PolicyArn=arn,
                VersionId=json.loads(version),
            )
        )
    for page in sagemaker.get_paginator("list_domains").paginate():
        for domain in page["Domains"]:
            state[f"domain {domain['DomainName']}"] = json.dumps(domain["DomainId"])
            roles_of = profiles(sagemaker, domain["DomainId"])
            state |= {f"profile {name} · role": json.dumps(role) for name, role in roles_of.items()}
    return state


# What a bucket is to have: what the event wants, beside what others put there


def encryption_with(s3: Any, bucket: str, wanted: str = "AES256") -> list[Row]:
    """The rules of a bucket's default encryption: its own where they are as strong as `wanted`, otherwise `wanted`."""
    held = _kept(s3.get_bucket_encryption, "ServerSideEncryptionConfiguration", "Rules", Bucket=bucket)
    rules: list[Row] = [] if held == NONE else json.loads(held)
    default = "ApplyServerSideEncryptionByDefault"
    algorithms = [rule.get(default, {}).get("SSEAlgorithm", "") for rule in rules]
    if any(STRENGTHS.index(name) >= STRENGTHS.index(wanted) for name in algorithms if name in STRENGTHS):
        return rules
    return [{default: {"SSEAlgorithm": wanted}}]


def policy_with(s3: Any, bucket: str, policy: str) -> str:
    """The bucket's policy with the statements of `policy` (JSON); a statement of another Sid stays as it is."""
    held = _kept(s3.get_bucket_policy, "Policy", Bucket=bucket)
    return merged("" if held == NONE else held, policy)


def tags_with(s3: Any, bucket: str, tags: Iterable[Mapping[str, str]]) -> list[Row]:
    """The bucket's tags with these; a tag of another key stays as it is."""
    held = _kept(s3.get_bucket_tagging, "TagSet", Bucket=bucket)
    values = {tag["Key"]: tag["Value"] for tag in ([] if held == NONE else json.loads(held))}
    values |= {tag["Key"]: tag["Value"] for tag in tags}
    return [{"Key": key, "Value": value} for key, value in values.items()]


def refuses_plain(policy: str) -> bool:
    """Whether a bucket policy (JSON) denies everybody every S3 action over a connection that is not encrypted."""
    statements = json.loads(policy)["Statement"]
    return any(
        one["Effect"] == "Deny"
        and one.get("Principal") in ("*", {"AWS": "*"})
        and one.get("Action") in ("s3:*", ["s3:*"])
        and one.get("Condition")
        in ({"Bool": {"aws:SecureTransport": value}} for value in ("false", ["false"], False))
        for one in (statements if isinstance(statements, list) else [statements])
    )


def profiles(sagemaker: Any, domain: str) -> dict[str, str]:
    """The user profiles of a domain, each with the ARN of its own execution role; empty where it has none."""
    found = {}
    for page in sagemaker.get_paginator("list_user_profiles").paginate(DomainIdEquals=domain):
        for one in page["UserProfiles"]:
            profile = sagemaker.describe_user_profile(DomainId=domain, UserProfileName=one["UserProfileName"])
            found[one["UserProfileName"]] = profile.get("UserSettings", {}).get("ExecutionRole", "")
    return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Row]:
    """What differs between two snapshots: `what`, `change` (new, changed, gone), `before` and `now` in short."""
    rows = []
    for what in dict.fromkeys((*before, *after)):
        was, now = before.get(what, NONE), after.get(what, NONE)
        if was != now:
            change = "new" if was == NONE else "gone" if now == NONE else "changed"
            rows.append({"what": what, "change": change, "before": _short(was), "now": _short(now)})
    return rows


def lost(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What the bucket had in the first snapshot and not in the second: statements by Sid, tags by key, encryption by a key."""

    def held(state: Mapping[str, str]) -> list[str]:
        policy, tags, rules = (state[f"bucket · {name}"] for name in ("policy", "tags", "encryption"))
        statements = [] if policy == NONE else json.loads(policy)["Statement"]
        names = [f"statement {one.get('Sid', json.dumps(one))}" for one in statements]
        names += [f"tag {one['Key']}" for one in ([] if tags == NONE else json.loads(tags))]
        return names + [name for name in STRENGTHS[1:] if f'"{name}"' in rules]

    now = held(after)
    return [one for one in held(before) if one not in now]


def _short(value: str) -> str:
    """A setting as a few words: a policy by the names of its statements, anything else cut to 80 characters."""
    if value == NONE:
        return NONE
    found = json.loads(value)
    if isinstance(found, dict) and "Statement" in found:
        return ", ".join(str(one.get("Sid", "?")) for one in found["Statement"])[:80]
    return (found if isinstance(found, str) else value)[:80]


# What its policies allow


def decided(iam: Any, roles: Mapping[str, str], lines: Sequence[Row]) -> list[Row]:
    """What IAM's simulator says to every line for every persona: rows of persona, action, resource, when, may, should.

    Args:
        iam: a boto3 client.
        roles: the ARN of each persona's role.
        lines: as `read` gives them.
    """
    asked: dict[
        tuple[str, str], set[str]
    ] = {}  # one call for all actions on a resource under the same conditions
    for line in lines:
        asked.setdefault((line["resource"], _when(line)), set()).add(line["action"])
    rows = []
    for persona, arn in roles.items():
        verdicts = {
            (place, result["EvalActionName"]): result["EvalDecision"] == "allowed"
            for place, actions in asked.items()
            for page in iam.get_paginator("simulate_principal_policy").paginate(
                PolicySourceArn=arn,
                ActionNames=sorted(actions),
                ResourceArns=[place[0]],
                ContextEntries=_entries(place[1]),
            )
            for result in page["EvaluationResults"]
        }
        for number, line in enumerate(lines):
            may = verdicts[(line["resource"], _when(line)), line["action"]]
            rows.append(
                {"line": number, "persona": persona, "may": may, "should": persona in line["allow"], **line}
            )
    return rows


def _when(line: Row) -> str:
    return json.dumps(line.get("when", {}), sort_keys=True)


def _entries(when: str) -> list[Row]:
    """Condition keys as the simulator takes them."""
    return [
        {
            "ContextKeyName": key,
            "ContextKeyType": "stringList" if isinstance(value, list) else "string",
            "ContextKeyValues": value if isinstance(value, list) else [str(value)],
        }
        for key, value in json.loads(when).items()
    ]


WORDS = {
    (True, True): ("may", "#bfdbfe"),
    (False, False): ("–", "#ffffff"),
    (True, False): ("TOO MUCH", "#fecaca"),
    (False, True): ("TOO LITTLE", "#fed7aa"),
}
"""What a cell says and its colour, by (may, should)."""


def draw(ax: Axes, rows: Sequence[Row], bucket: str) -> None:
    """The rows of `decided` as a table of persona by action and resource: a word and a colour in each cell.

    `bucket`: the name that the labels replace by the word "bucket".
    """
    personas = list(dict.fromkeys(row["persona"] for row in rows))
    lines = list(dict.fromkeys(row["line"] for row in rows))
    label = {row["line"]: _cut(_label(row).replace(bucket, "bucket")) for row in rows}
    for row in rows:
        x, y = personas.index(row["persona"]), lines.index(row["line"])
        word, colour = WORDS[row["may"], row["should"]]
        ax.fill(
            [x - 0.5, x + 0.5, x + 0.5, x - 0.5],
            [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
            fc=colour,
            ec="#9ca3af",
        )
        bold = "bold" if row["may"] != row["should"] else "normal"
        ax.text(x, y, word, ha="center", va="center", fontsize=9, weight=bold)
    ax.set_xticks(range(len(personas)), [name.replace("-", "\n") for name in personas], fontsize=10)
    ax.set_yticks(range(len(lines)), [label[line] for line in lines], fontsize=9)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set(xlim=(-0.5, len(personas) - 0.5), ylim=(len(lines) - 0.5, -0.5))


def _label(row: Row) -> str:
    """`s3:GetObject · payroll/2026.csv`, with the values of the condition where there is one."""
    place = row["resource"].split(":", 5)[-1]
    values = [
        v for value in row.get("when", {}).values() for v in (value if isinstance(value, list) else [value])
    ]
    return " · ".join([row["action"], *([] if place == "*" else [place]), *(str(v) for v in values)])


def _cut(text: str) -> str:
    """At most 60 characters: the beginning and the end say most."""
    return text if len(text) <= 60 else f"{text[:38]}…{text[-21:]}"
