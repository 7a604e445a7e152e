"""GuardDuty's findings: samples, as its API makes them, listed, read, archived. Detectors are moto's.

Nothing here watches: the local AWS has no findings of its own. Source: "Sample findings" of the GuardDuty User Guide and
API_CreateSampleFindings; the types are those that an account without instances or containers can have.
"""

from __future__ import annotations

import uuid
from typing import Any

from kit.local_aws import events
from kit.local_aws.findings import meets
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Context

__all__ = ["create_samples", "get_findings", "list_findings"]

# Type of finding: severity, what it is about, title.
SAMPLES: dict[str, tuple[float, str, str]] = {
    "Policy:S3/BucketAnonymousAccessGranted": (
        8.0,
        "S3Bucket",
        "Anonymous access was granted to an S3 bucket.",
    ),
    "Policy:S3/BucketBlockPublicAccessDisabled": (
        2.0,
        "S3Bucket",
        "Block Public Access was disabled for an S3 bucket.",
    ),
    "Policy:S3/BucketPublicAccessGranted": (8.0, "S3Bucket", "Public access was granted to an S3 bucket."),
    "Policy:IAMUser/RootCredentialUsage": (2.0, "AccessKey", "API calls were made with root credentials."),
    "Stealth:IAMUser/CloudTrailLoggingDisabled": (2.0, "AccessKey", "CloudTrail logging was disabled."),
    "Stealth:S3/ServerAccessLoggingDisabled": (
        2.0,
        "S3Bucket",
        "Server access logging was disabled for an S3 bucket.",
    ),
    "Exfiltration:S3/AnomalousBehavior": (
        8.0,
        "S3Bucket",
        "Objects of an S3 bucket were read in an unusual way.",
    ),
    "Discovery:S3/AnomalousBehavior": (
        2.0,
        "S3Bucket",
        "Objects of an S3 bucket were listed in an unusual way.",
    ),
    "CredentialAccess:IAMUser/AnomalousBehavior": (
        5.0,
        "AccessKey",
        "Credentials were asked for in an unusual way.",
    ),
    "Persistence:IAMUser/AnomalousBehavior": (5.0, "AccessKey", "Access was made lasting in an unusual way."),
    "PrivilegeEscalation:IAMUser/AnomalousBehavior": (
        5.0,
        "AccessKey",
        "Permissions were raised in an unusual way.",
    ),
    "UnauthorizedAccess:IAMUser/ConsoleLoginSuccess.B": (
        5.0,
        "AccessKey",
        "Console logins came from far apart places.",
    ),
}
PAGE = 50


def _of(ctx: Context, detector: str) -> dict[str, dict[str, Any]]:
    """The findings of a detector by their ids. Raises AwsError BadRequestException for a detector that is not there."""
    from moto.guardduty.models import guardduty_backends

    if detector not in guardduty_backends[ctx.account][ctx.region].detectors:
        text = "The request is rejected because the input detectorId is not owned by the current account."
        raise AwsError("BadRequestException", text)
    with ctx.app.store.lock:
        return ctx.app.store.table(ctx, f"GuardDuty/{detector}")


@action("guardduty", "CreateSampleFindings")
def create_samples(ctx: Context, params: dict[str, Any]) -> None:
    """A sample of each type asked for, or of all. A type that has one already is counted up, as GuardDuty does."""
    held = _of(ctx, params["DetectorId"])
    wanted = params.get("FindingTypes") or list(SAMPLES)
    if unknown := [kind for kind in wanted if kind not in SAMPLES]:
        raise AwsError(
            "BadRequestException",
            f"The local AWS has no sample of {unknown[0]}; it has {', '.join(SAMPLES)}.",
        )
    for kind in wanted:
        with ctx.app.store.lock:
            before = next((one for one in held.values() if one["Type"] == kind), None)
            finding = _sample(ctx, params["DetectorId"], kind, before)
            held[finding["Id"]] = finding
        detail = _lowered(finding)
        events.tell(ctx.account, ctx.region, "aws.guardduty", "GuardDuty Finding", detail)


def _sample(ctx: Context, detector: str, kind: str, before: dict[str, Any] | None) -> dict[str, Any]:
    severity, about, title = SAMPLES[kind]
    moment = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    identifier = before["Id"] if before else uuid.uuid4().hex
    resource: dict[str, Any] = {"ResourceType": about}
    if about == "S3Bucket":
        resource["S3BucketDetails"] = [
            {"Name": "bucketName", "Arn": "arn:aws:s3:::bucketName", "Type": "Destination"}
        ]
    else:
        resource["AccessKeyDetails"] = {
            "AccessKeyId": "GeneratedFindingAccessKeyId",
            "PrincipalId": "GeneratedFindingPrincipalId",
            "UserName": "GeneratedFindingUserName",
            "UserType": "IAMUser",
        }
    return {
        "SchemaVersion": "2.0",
        "AccountId": ctx.account,
        "Region": ctx.region,
        "Partition": "aws",
        "Id": identifier,
        "Arn": f"arn:aws:guardduty:{ctx.region}:{ctx.account}:detector/{detector}/finding/{identifier}",
        "Type": kind,
        "Severity": severity,
        "Title": f"[SAMPLE] {title}",
        "Description": f"[SAMPLE] {title}",
        "Resource": resource,
        "Service": {
            "ServiceName": "guardduty",
            "DetectorId": detector,
            "Archived": False,
            "Count": before["Service"]["Count"] + 1 if before else 1,
            "EventFirstSeen": before["Service"]["EventFirstSeen"] if before else moment,
            "EventLastSeen": moment,
            "AdditionalInfo": {"Value": '{"sample":true}', "Type": "default"},
        },
        "CreatedAt": before["CreatedAt"] if before else moment,
        "UpdatedAt": moment,
    }


def _lowered(value: Any) -> Any:
    """As EventBridge has it: names begin in lower case."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _lowered(item) for name, item in value.items()}
    return [_lowered(item) for item in value] if isinstance(value, list) else value


@action("guardduty", "ListFindings")
def list_findings(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The ids of the findings that meet the criteria, sorted as asked for, a page at a time."""
    criteria = params.get("FindingCriteria", {}).get("Criterion", {})
    held = _of(ctx, params["DetectorId"])
    with ctx.app.store.lock:
        found = [one for one in held.values() if meets(one, criteria)]
    sort = params.get("SortCriteria", {})
    member = {"severity": "Severity", "createdAt": "CreatedAt", "type": "Type", "id": "Id"}.get(
        sort.get("AttributeName", ""), "UpdatedAt"
    )
    found.sort(key=lambda one: one[member], reverse=sort.get("OrderBy") == "DESC")
    token = params.get("NextToken") or "0"
    start, size = int(token) if token.isdigit() else 0, params.get("MaxResults", PAGE)
    more = str(start + size) if len(found) > start + size else None
    return {"FindingIds": [one["Id"] for one in found[start : start + size]], "NextToken": more}


@action("guardduty", "GetFindings")
def get_findings(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The findings of these ids, in their order; ids that there are not are left out."""
    held = _of(ctx, params["DetectorId"])
    return {"Findings": [held[one] for one in params["FindingIds"] if one in held]}


@action("guardduty", "ArchiveFindings")
def archive(ctx: Context, params: dict[str, Any]) -> None:
    """Mark findings as archived: they stay, and criteria can leave them out."""
    _archived(ctx, params, True)


@action("guardduty", "UnarchiveFindings")
def unarchive(ctx: Context, params: dict[str, Any]) -> None:
    """Mark findings as not archived."""
    _archived(ctx, params, False)


def _archived(ctx: Context, params: dict[str, Any], value: bool) -> None:
    held = _of(ctx, params["DetectorId"])
    with ctx.app.store.lock:
        for one in (held[name] for name in params["FindingIds"] if name in held):
            held[one["Id"]] = {**one, "Service": {**one["Service"], "Archived": value}}
