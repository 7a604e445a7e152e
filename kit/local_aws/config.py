"""AWS Config's compliance: rules evaluated when they are made and when they are asked to, their results kept and told to EventBridge.

Rules and the recorder are moto's. Source: API_StartConfigRulesEvaluation, API_DescribeComplianceByConfigRule,
API_GetComplianceDetailsByConfigRule of the AWS Config API Reference; "AWS Config rules compliance change" of the Developer Guide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from kit.local_aws import events
from kit.local_aws.config_facts import gathered
from kit.local_aws.config_rules import BAD, GOOD, RULES, Result
from kit.local_aws.front import action, after
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Context

__all__ = ["compliance_by_rule", "compliance_details", "start_evaluation"]

NONE = "INSUFFICIENT_DATA"
CAP = 25  # contributing resources are counted up to this


@dataclass(frozen=True)
class Evaluated:
    """The last evaluation of a rule; when it was first evaluated, and when last."""

    results: tuple[Result, ...]
    first: datetime
    last: datetime


def _backend(ctx: Context) -> Any:
    from moto.config.models import config_backends

    return config_backends[ctx.account][ctx.region]


def _rules(ctx: Context, names: list[str]) -> list[Any]:
    """moto's rules of these names, or all, by name. Raises AwsError NoSuchConfigRuleException."""
    held = _backend(ctx).config_rules
    if missing := [name for name in names if name not in held]:
        raise AwsError(
            "NoSuchConfigRuleException",
            f"The ConfigRule '{missing[0]}' provided in the request is invalid. Please check the configRule name",
        )
    return [held[name] for name in sorted(names or held)]


@after("config", "PutConfigRule")
def made(ctx: Context, params: dict[str, Any]) -> None:
    """A rule is evaluated as soon as it is there, where a recorder records."""
    name = params["ConfigRule"].get("ConfigRuleName")
    if name and _recording(ctx):
        _evaluate(ctx, _rules(ctx, [name]))


@action("config", "StartConfigRulesEvaluation")
def start_evaluation(ctx: Context, params: dict[str, Any]) -> None:
    """Evaluate these rules, or all, now. Raises AwsError NoSuchConfigRuleException."""
    rules = _rules(ctx, params.get("ConfigRuleNames", []))
    if not _recording(ctx):
        raise AwsError(
            "NoAvailableConfigurationRecorderException",
            "There is no configuration recorder that records resources.",
        )
    _evaluate(ctx, rules)


def _recording(ctx: Context) -> bool:
    return any(recorder.status.recording for recorder in list(_backend(ctx).recorders.values()))


def _evaluate(ctx: Context, rules: list[Any]) -> None:
    facts = gathered(ctx)
    for rule in rules:
        check = RULES.get(rule.source.source_identifier) if rule.source.owner == "AWS" else None
        if check is None:
            continue
        given = {name: str(value) for name, value in rule.input_parameters_dict.items()}
        results = tuple(check(facts, given))
        moment, before = now(), _of(ctx, rule)
        with ctx.app.store.lock:
            ctx.app.store.table(ctx, "ConfigRuleEvaluation")[rule.config_rule_arn] = {
                "Results": [asdict(one) for one in results],
                "First": before.first if before else moment,
                "Last": moment,
            }
        _tell(ctx, rule, before.results if before else (), results)


def _tell(ctx: Context, rule: Any, before: tuple[Result, ...], after_it: tuple[Result, ...]) -> None:
    """An event for each resource whose compliance is another than it was."""
    known = {(one.type, one.id): one.compliance for one in before}
    for one in after_it:
        old = known.get((one.type, one.id))
        if old == one.compliance:
            continue
        detail = {
            "resourceId": one.id,
            "resourceType": one.type,
            "awsRegion": ctx.region,
            "awsAccountId": ctx.account,
            "configRuleName": rule.config_rule_name,
            "configRuleARN": rule.config_rule_arn,
            "messageType": "ComplianceChangeNotification",
            "recordVersion": "1.0",
            "notificationCreationTime": now().isoformat(),
            "newEvaluationResult": {"complianceType": one.compliance, "annotation": one.note or None},
            "oldEvaluationResult": {"complianceType": old} if old else None,
        }
        kind = "Config Rules Compliance Change"
        events.tell(ctx.account, ctx.region, "aws.config", kind, detail, [rule.config_rule_arn])


def _of(ctx: Context, rule: Any) -> Evaluated | None:
    with ctx.app.store.lock:
        row = ctx.app.store.table(ctx, "ConfigRuleEvaluation").get(rule.config_rule_arn)
    return (
        Evaluated(tuple(Result(**one) for one in row["Results"]), row["First"], row["Last"]) if row else None
    )


def _compliance(results: tuple[Result, ...]) -> str:
    verdicts = {one.compliance for one in results}
    return BAD if BAD in verdicts else GOOD if GOOD in verdicts else NONE


@action("config", "DescribeComplianceByConfigRule")
def compliance_by_rule(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The verdict of each rule, with the number of resources that it hangs on."""
    found = []
    for rule in _rules(ctx, params.get("ConfigRuleNames", [])):
        held = _of(ctx, rule)
        verdict = _compliance(held.results) if held else NONE
        if params.get("ComplianceTypes") and verdict not in params["ComplianceTypes"]:
            continue
        compliance: dict[str, Any] = {"ComplianceType": verdict}
        if held and verdict == BAD:
            compliance["ComplianceContributorCount"] = _count(
                sum(one.compliance == BAD for one in held.results)
            )
        found.append({"ConfigRuleName": rule.config_rule_name, "Compliance": compliance})
    return {"ComplianceByConfigRules": found}


def _count(number: int) -> dict[str, Any]:
    return {"CappedCount": min(number, CAP), "CapExceeded": number > CAP}


@action("config", "GetComplianceDetailsByConfigRule")
def compliance_details(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What a rule said of each resource, a page at a time. Raises AwsError NoSuchConfigRuleException."""
    [rule] = _rules(ctx, [params["ConfigRuleName"]])
    held, wanted = _of(ctx, rule), params.get("ComplianceTypes")
    rows = [one for one in held.results if not wanted or one.compliance in wanted] if held else []
    start, size = _start(params), params.get("Limit") or 100
    answer: dict[str, Any] = {
        "EvaluationResults": [
            {
                "EvaluationResultIdentifier": {
                    "EvaluationResultQualifier": {
                        "ConfigRuleName": rule.config_rule_name,
                        "ResourceType": one.type,
                        "ResourceId": one.id,
                        "EvaluationMode": "DETECTIVE",
                    },
                    "OrderingTimestamp": held.last,
                },
                "ComplianceType": one.compliance,
                "ResultRecordedTime": held.last,
                "ConfigRuleInvokedTime": held.last,
                "Annotation": one.note or None,
            }
            for one in rows[start : start + size]
            if held
        ]
    }
    return answer | ({"NextToken": str(start + size)} if len(rows) > start + size else {})


def _start(params: Mapping[str, Any]) -> int:
    token = params.get("NextToken") or "0"
    if not token.isdigit():
        raise AwsError("InvalidNextTokenException", "The specified nextToken for pagination is not valid.")
    return int(token)


@action("config", "DescribeConfigRuleEvaluationStatus")
def evaluation_status(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """When each rule was last evaluated."""
    rows = []
    for rule in _rules(ctx, params.get("ConfigRuleNames", [])):
        held = _of(ctx, rule)
        row = {
            "ConfigRuleName": rule.config_rule_name,
            "ConfigRuleArn": rule.config_rule_arn,
            "ConfigRuleId": rule.config_rule_id,
            "FirstEvaluationStarted": held is not None,
        }
        if held:
            row |= {
                "FirstActivatedTime": held.first,
                "LastSuccessfulInvocationTime": held.last,
                "LastSuccessfulEvaluationTime": held.last,
            }
        rows.append(row)
    return {"ConfigRulesEvaluationStatus": rows}


@action("config", "GetComplianceSummaryByConfigRule")
def summary(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """How many rules hold and how many do not."""
    verdicts = Counter(_verdicts(ctx))
    return {
        "ComplianceSummary": {
            "CompliantResourceCount": _count(verdicts[GOOD]),
            "NonCompliantResourceCount": _count(verdicts[BAD]),
            "ComplianceSummaryTimestamp": now(),
        }
    }


def _verdicts(ctx: Context) -> Iterator[str]:
    for rule in _rules(ctx, []):
        held = _of(ctx, rule)
        yield _compliance(held.results) if held else NONE
