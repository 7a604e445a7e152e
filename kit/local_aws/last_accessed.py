"""IAM's last accessed information: what users and roles may use, and what they used, from the calls really made.

Sources: API_GenerateServiceLastAccessedDetails, API_GetServiceLastAccessedDetails of the IAM API Reference; "Refine permissions in AWS using
last accessed information" of the User Guide: a service is listed where the entity's policies allow anything of it, and attempts count
whether or not they succeeded. AWS shows a call after up to four hours, this at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from kit.local_aws import conditions, principals
from kit.local_aws.front import action
from kit.local_aws.policy import Policy
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Context
from kit.local_aws.trail import Use

__all__ = ["details", "generate"]

# The services that an allowed "*" stands for here: those that the local AWS answers.
ALL = (
    "access-analyzer", "athena", "cloudtrail", "cloudwatch", "config", "ec2", "ecr", "events", "firehose", "glue", "guardduty", "iam",
    "kinesis", "kms", "lambda", "logs", "organizations", "s3", "sagemaker", "secretsmanager", "securityhub", "servicequotas", "sns", "sqs",
    "ssm", "sso", "sts",
)  # fmt: skip
NAMES = {
    "iam": "AWS Identity and Access Management",
    "kms": "AWS Key Management Service",
    "logs": "Amazon CloudWatch Logs",
    "s3": "Amazon S3",
    "sagemaker": "Amazon SageMaker",
    "sts": "AWS Security Token Service",
}
PAGE = 100


@action("iam", "GenerateServiceLastAccessedDetails")
def generate(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Start a report on a user, role, group or managed policy; it is ready at once. Raises AwsError NoSuchEntity."""
    made = now()
    rows = [
        _row(ctx, prefix, entities, params.get("Granularity") == "ACTION_LEVEL")
        for prefix, entities in sorted(_allowed(ctx, params["Arn"]).items())
    ]
    job = str(uuid.uuid4())
    with ctx.app.store.lock:
        ctx.app.store.table(ctx, "ServiceLastAccessed")[job] = {
            "JobStatus": "COMPLETED",
            "JobType": params.get("Granularity", "SERVICE_LEVEL"),
            "JobCreationDate": made,
            "JobCompletionDate": now(),
            "ServicesLastAccessed": rows,
        }
    return {"JobId": job}


@action("iam", "GetServiceLastAccessedDetails")
def details(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The report, a page at a time. Raises AwsError NoSuchEntity for a job that there is not."""
    with ctx.app.store.lock:
        job = ctx.app.store.table(ctx, "ServiceLastAccessed").get(params["JobId"])
    if job is None:
        raise AwsError("NoSuchEntity", f"Job {params['JobId']} cannot be found.", 404)
    marker = params.get("Marker") or "0"
    start, size = int(marker) if marker.isdigit() else 0, params.get("MaxItems", PAGE)
    rows = job["ServicesLastAccessed"]
    more = len(rows) > start + size
    answer = {**job, "ServicesLastAccessed": rows[start : start + size], "IsTruncated": more}
    return answer | ({"Marker": str(start + size)} if more else {})


def _allowed(ctx: Context, arn: str) -> dict[str, list[str]]:
    """The namespaces that the policies of what the ARN names allow something of, each with the users and roles that have them."""
    found: dict[str, list[str]] = {}
    if ":policy/" in arn:
        for entity in _entities(ctx):
            for one in principals.entity(entity).attachments:
                if one.arn == arn:
                    for prefix in _prefixes([one.policy]):
                        found.setdefault(prefix, []).append(entity)
        return found
    source = principals.entity(arn)
    for prefix in _prefixes(one.policy for one in source.attachments):
        found[prefix] = _members(ctx, source.name) if source.kind == "group" else [arn]
    return found


def _entities(ctx: Context) -> list[str]:
    from moto.iam.models import iam_backends

    backend = iam_backends[ctx.account]["aws"]
    return [
        *(user.arn for user in list(backend.users.values())),
        *(role.arn for role in list(backend.roles.values())),
    ]


def _members(ctx: Context, group: str) -> list[str]:
    from moto.iam.models import iam_backends

    return [user.arn for user in iam_backends[ctx.account]["aws"].groups[group].users]


def _prefixes(policies: Iterable[Policy]) -> list[str]:
    return sorted({prefix for policy in policies for prefix in _of(policy)})


def _of(policy: Policy) -> Iterator[str]:
    held = policy.document["Statement"]
    for statement in held if isinstance(held, list) else [held]:
        if statement["Effect"] != "Allow":
            continue
        names = statement.get("Action", "*")
        for name in names if isinstance(names, list) else [names]:
            prefix = name.partition(":")[0].lower()
            yield from (one for one in ALL if conditions.matches(prefix, one)) if "*" in prefix else (prefix,)


def _row(ctx: Context, prefix: str, entities: list[str], actions: bool) -> dict[str, Any]:
    used: list[tuple[Use, str]] = [
        (use, arn) for arn in entities if (use := ctx.app.trail.used(arn).get(prefix)) is not None
    ]
    row: dict[str, Any] = {
        "ServiceName": NAMES.get(prefix, prefix),
        "ServiceNamespace": prefix,
        "TotalAuthenticatedEntities": len(used),
    }
    if used:
        last, who = max(used, key=lambda one: one[0].time)
        row |= {
            "LastAuthenticated": last.time,
            "LastAuthenticatedEntity": who,
            "LastAuthenticatedRegion": last.region,
        }
    if actions:
        row["TrackedActionsLastAccessed"] = _tracked(used)
    return row


def _tracked(used: list[tuple[Use, str]]) -> list[dict[str, Any]]:
    last: dict[str, dict[str, Any]] = {}
    for use, arn in used:
        for name, (time, region) in use.actions.items():
            if name not in last or time > last[name]["LastAccessedTime"]:
                last[name] = {
                    "ActionName": name,
                    "LastAccessedEntity": arn,
                    "LastAccessedTime": time,
                    "LastAccessedRegion": region,
                }
    return [last[name] for name in sorted(last)]
