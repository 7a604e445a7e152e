"""Security Hub: findings imported, filtered and worked on, and the standards that are enabled. The hub itself is moto's.

Nothing here checks an account by itself: an enabled standard is ready and has no findings of its own; those of AWS Config and GuardDuty
are imported by whoever wants them there. Sources: API_BatchImportFindings, API_BatchUpdateFindings, API_GetFindings and
API_BatchEnableStandards of the Security Hub API Reference.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kit.local_aws import events
from kit.local_aws.findings import passes
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Context

__all__ = ["get_findings", "import_findings", "update_findings"]

STANDARDS = {  # path: name, enabled with the hub
    "aws-foundational-security-best-practices/v/1.0.0": (
        "AWS Foundational Security Best Practices v1.0.0",
        True,
    ),
    "cis-aws-foundations-benchmark/v/1.4.0": ("CIS AWS Foundations Benchmark v1.4.0", False),
    "cis-aws-foundations-benchmark/v/3.0.0": ("CIS AWS Foundations Benchmark v3.0.0", False),
    "nist-800-53/v/5.0.0": ("NIST Special Publication 800-53 Revision 5", False),
    "pci-dss/v/3.2.1": ("PCI DSS v3.2.1", False),
}
LEVELS = ((0, "INFORMATIONAL"), (1, "LOW"), (40, "MEDIUM"), (70, "HIGH"), (90, "CRITICAL"))
# What belongs to whoever works on a finding: an import does not change it once it is there.
PEOPLES = ("Note", "UserDefinedFields", "VerificationState", "Workflow")
PAGE = 100


def _findings(ctx: Context) -> dict[str, dict[str, Any]]:
    """The findings by product and id. Raises AwsError InvalidAccessException where the hub is not enabled."""
    from moto.securityhub.models import securityhub_backends

    if not securityhub_backends[ctx.account][ctx.region].enabled:
        text = f"Account {ctx.account} is not subscribed to AWS Security Hub"
        raise AwsError("InvalidAccessException", text, 401)
    with ctx.app.store.lock:
        return ctx.app.store.table(ctx, "SecurityHubFinding")


def _key(named: Mapping[str, Any]) -> str:
    return f"{named['ProductArn']} {named['Id']}"


@action("securityhub", "BatchImportFindings")
def import_findings(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Keep new findings and bring known ones up to date; those with something wrong are told apart."""
    held, failed = _findings(ctx), []
    for given in params["Findings"]:
        if why := _wrong(ctx, given):
            failed.append({"Id": given["Id"], "ErrorCode": "InvalidInput", "ErrorMessage": why})
            continue
        with ctx.app.store.lock:
            before = held.get(_key(given), {})
            kept = {name: before[name] for name in PEOPLES if name in before}
            finding = {
                "RecordState": "ACTIVE",
                "Workflow": {"Status": "NEW"},
                "WorkflowState": "NEW",
                "Region": ctx.region,
                "ProductName": "Default",
                "CompanyName": "Personal",
                **given,
                "Severity": _severity(given),
                "ProcessedAt": now().isoformat(timespec="milliseconds"),
                **kept,
            }
            held[_key(given)] = finding
        kind = "Security Hub Findings - Imported"
        detail = {"findings": [finding]}
        events.tell(
            ctx.account, ctx.region, "aws.securityhub", kind, detail, [f"{given['ProductArn']}/{given['Id']}"]
        )
    succeeded = len(params["Findings"]) - len(failed)
    return {"FailedCount": len(failed), "SuccessCount": succeeded, "FailedFindings": failed}


def _wrong(ctx: Context, finding: Mapping[str, Any]) -> str:
    if not finding["Resources"]:
        return "Finding does not adhere to Amazon Finding Format. data.Resources should NOT have fewer than 1 items."
    if finding["AwsAccountId"] != ctx.account:
        return f"The finding is of account {finding['AwsAccountId']}, and the request of {ctx.account}."
    own = f"arn:aws:securityhub:{ctx.region}:{ctx.account}:product/{ctx.account}/default"
    if not finding["ProductArn"].endswith(("/aws/config", "/aws/guardduty")) and finding["ProductArn"] != own:
        return f"The ProductArn is not one that this account may import for; its own is {own}."
    if not finding.get("Severity") and not finding.get("FindingProviderFields", {}).get("Severity"):
        return (
            "Finding does not adhere to Amazon Finding Format. data should have required property Severity."
        )
    return ""


def _severity(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Label and number go together: what is not said follows from what is."""
    said = dict(finding.get("Severity") or finding.get("FindingProviderFields", {}).get("Severity", {}))
    if "Label" in said:
        number = next(lowest for lowest, label in LEVELS if label == said["Label"])
        return {**said, "Normalized": said.get("Normalized", number)}
    number = int(said.get("Normalized", 0))
    return {
        **said,
        "Normalized": number,
        "Label": [label for lowest, label in LEVELS if number >= lowest][-1],
    }


@action("securityhub", "GetFindings")
def get_findings(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The findings that pass the filters, the last updated first or as asked for, a page at a time."""
    held = _findings(ctx)
    with ctx.app.store.lock:
        found = [one for one in held.values() if passes(one, params.get("Filters", {}))]
    for sort in reversed(params.get("SortCriteria") or [{"Field": "UpdatedAt", "SortOrder": "desc"}]):
        path = {
            "SeverityNormalized": ("Severity", "Normalized"),
            "SeverityLabel": ("Severity", "Normalized"),
        }.get(sort["Field"], (sort["Field"],))
        found.sort(key=functools.partial(_value, path=path), reverse=sort["SortOrder"] == "desc")
    token = params.get("NextToken") or "0"
    if not token.isdigit():
        raise AwsError("InvalidInputException", "Invalid parameter: NextToken")
    start, size = int(token), params.get("MaxResults", PAGE)
    more = str(start + size) if len(found) > start + size else None
    return {"Findings": found[start : start + size], "NextToken": more}


def _value(finding: Any, *, path: tuple[str, ...]) -> Any:
    for name in path:
        finding = finding.get(name, "")
    return finding


@action("securityhub", "BatchUpdateFindings")
def update_findings(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Note, severity, workflow and the like of findings; those that there are not are told apart."""
    held = _findings(ctx)
    changes = {
        name: value
        for name, value in params.items()
        if name not in ("FindingIdentifiers", "Note") and value is not None
    }
    if note := params.get("Note"):
        changes["Note"] = {**note, "UpdatedAt": now().isoformat(timespec="milliseconds")}
    done, left = [], []
    for named in params["FindingIdentifiers"]:
        with ctx.app.store.lock:
            before = held.get(_key(named))
            if before is None:
                text = "The finding identifier does not match any finding."
                left.append(
                    {"FindingIdentifier": named, "ErrorCode": "FindingNotFound", "ErrorMessage": text}
                )
                continue
            after = {**before, **changes, "UpdatedAt": now().isoformat(timespec="milliseconds")}
            after["Severity"] = _severity({"Severity": {**before["Severity"], **changes.get("Severity", {})}})
            after["WorkflowState"] = after["Workflow"]["Status"]
            held[_key(named)] = after
        done.append(named)
    return {"ProcessedFindings": done, "UnprocessedFindings": left}


# Standards


def _standard(ctx: Context, path: str) -> str:
    return f"arn:aws:securityhub:{ctx.region}::standards/{path}"


def _enabled(ctx: Context) -> dict[str, dict[str, Any]]:
    """The standards that are enabled, by path: those that come with the hub until somebody says otherwise."""
    _findings(ctx)  # raises where there is no hub
    with ctx.app.store.lock:
        table = ctx.app.store.table(ctx, "SecurityHubStandard")
        if not table:
            table |= {path: {"Enabled": default} for path, (_, default) in STANDARDS.items()}
        return table


def _subscription(ctx: Context, path: str, status: str = "READY") -> dict[str, Any]:
    return {
        "StandardsSubscriptionArn": f"arn:aws:securityhub:{ctx.region}:{ctx.account}:subscription/{path}",
        "StandardsArn": _standard(ctx, path),
        "StandardsInput": {},
        "StandardsStatus": status,
    }


@action("securityhub", "DescribeStandards")
def describe_standards(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The standards that there are."""
    return {
        "Standards": [
            {
                "StandardsArn": _standard(ctx, path),
                "Name": name,
                "Description": name,
                "EnabledByDefault": default,
            }
            for path, (name, default) in STANDARDS.items()
        ]
    }


@action("securityhub", "GetEnabledStandards")
def enabled_standards(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The subscriptions, or those of these ARNs."""
    found = [_subscription(ctx, path) for path, row in _enabled(ctx).items() if row["Enabled"]]
    wanted = params.get("StandardsSubscriptionArns")
    return {
        "StandardsSubscriptions": [
            one for one in found if not wanted or one["StandardsSubscriptionArn"] in wanted
        ]
    }


@action("securityhub", "BatchEnableStandards")
def enable_standards(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Subscribe to standards. Raises AwsError InvalidInputException for one that there is not."""
    paths = [
        one["StandardsArn"].partition("standards/")[2] for one in params["StandardsSubscriptionRequests"]
    ]
    return {"StandardsSubscriptions": _switch(ctx, paths, True)}


@action("securityhub", "BatchDisableStandards")
def disable_standards(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """End subscriptions. Raises AwsError InvalidInputException for one that there is not."""
    paths = [arn.partition("subscription/")[2] for arn in params["StandardsSubscriptionArns"]]
    return {"StandardsSubscriptions": _switch(ctx, paths, False)}


def _switch(ctx: Context, paths: list[str], on: bool) -> list[dict[str, Any]]:
    table = _enabled(ctx)
    if unknown := [path for path in paths if path not in STANDARDS]:
        raise AwsError("InvalidInputException", f"Invalid parameter: standard {unknown[0]}")
    with ctx.app.store.lock:
        table |= {path: {"Enabled": on} for path in paths}
    return [_subscription(ctx, path, "READY" if on else "DELETING") for path in paths]
