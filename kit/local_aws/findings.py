"""Security findings, filtered: the criteria of GuardDuty and the filters of Security Hub. Pure.

Sources: "FindingCriteria" and "Condition" of the GuardDuty API Reference; "AwsSecurityFindingFilters", "StringFilter", "DateFilter",
"MapFilter" and "NumberFilter" of the Security Hub API Reference. Filters of one field: positive ones are joined by or, negative ones by and.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["meets", "passes"]

Finding = Mapping[str, Any]


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    """Every value at a path of member names, looked up without regard to the case of their first letter; lists are gone through."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _at(item, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, Mapping):
        for name in (path[0], path[0][:1].upper() + path[0][1:]):
            if name in value:
                yield from _at(value[name], path[1:])
                return


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def meets(finding: Finding, criteria: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a finding of GuardDuty meets all criteria ({"severity": {"Gte": 7}}, {"service.archived": {"Eq": ["false"]}})."""
    return all(
        _condition(list(_at(finding, field.split("."))), name, wanted)
        for field, condition in criteria.items()
        for name, wanted in condition.items()
    )


def _condition(values: list[Any], name: str, wanted: Any) -> bool:
    texts = [_text(value) for value in values]
    if name in ("Eq", "Equals"):
        return any(text in wanted for text in texts)
    if name in ("Neq", "NotEquals"):
        return all(text not in wanted for text in texts)
    if name in ("Matches", "NotMatches"):
        found = any(_wild(pattern, text) for pattern in wanted for text in texts)
        return found == (name == "Matches")
    numbers = [_number(value) for value in values]
    compare = {
        "Gt": lambda have: have > wanted,
        "GreaterThan": lambda have: have > wanted,
        "Gte": lambda have: have >= wanted,
        "GreaterThanOrEqual": lambda have: have >= wanted,
        "Lt": lambda have: have < wanted,
        "LessThan": lambda have: have < wanted,
        "Lte": lambda have: have <= wanted,
        "LessThanOrEqual": lambda have: have <= wanted,
    }[name]
    return any(compare(number) for number in numbers if number is not None)


def _wild(pattern: str, text: str) -> bool:
    pieces = ("." if char == "?" else ".*" if char == "*" else re.escape(char) for char in pattern)
    return re.fullmatch("".join(pieces), text) is not None


def _number(value: Any) -> float | None:
    """A number, or a moment in milliseconds since 1970, as GuardDuty compares them."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp() * 1000
    except ValueError:
        return None


# Fields of Security Hub's filters that are not named as in the finding.
PATHS = {
    "Type": "Types",
    "SeverityLabel": "Severity.Label",
    "SeverityNormalized": "Severity.Normalized",
    "SeverityProduct": "Severity.Product",
    "WorkflowStatus": "Workflow.Status",
    "ComplianceStatus": "Compliance.Status",
    "ComplianceSecurityControlId": "Compliance.SecurityControlId",
    "ResourceType": "Resources.Type",
    "ResourceId": "Resources.Id",
    "ResourceRegion": "Resources.Region",
    "ResourcePartition": "Resources.Partition",
    "ResourceTags": "Resources.Tags",
    "NoteText": "Note.Text",
    "NoteUpdatedBy": "Note.UpdatedBy",
    "NoteUpdatedAt": "Note.UpdatedAt",
    "RelatedFindingsId": "RelatedFindings.Id",
    "RelatedFindingsProductArn": "RelatedFindings.ProductArn",
    "RecommendationText": "Remediation.Recommendation.Text",
    "FindingProviderFieldsSeverityLabel": "FindingProviderFields.Severity.Label",
    "FindingProviderFieldsTypes": "FindingProviderFields.Types",
}


def passes(finding: Finding, filters: Mapping[str, Any], moment: datetime | None = None) -> bool:
    """Whether a finding of Security Hub passes the filters; `moment`: what date ranges count back from."""
    moment = moment or datetime.now(UTC)
    return all(_field(finding, name, wanted, moment) for name, wanted in filters.items())


def _field(finding: Finding, name: str, wanted: list[Mapping[str, Any]], moment: datetime) -> bool:
    if name == "Keyword":
        return any(one["Value"].lower() in repr(finding).lower() for one in wanted)
    values = list(_at(finding, PATHS.get(name, name).split(".")))
    negative = [one for one in wanted if "NOT" in one.get("Comparison", "")]
    positive = [one for one in wanted if one not in negative]
    holds = not positive or any(_one(values, one, moment) for one in positive)
    return holds and all(_one(values, one, moment) for one in negative)


def _one(values: list[Any], wanted: Mapping[str, Any], moment: datetime) -> bool:
    if "Key" in wanted:
        values = [
            value[wanted["Key"]] for value in values if isinstance(value, Mapping) and wanted["Key"] in value
        ]
    comparison, sought = wanted.get("Comparison", "EQUALS"), wanted.get("Value")
    if sought is not None:
        texts = [_text(value) for value in values]
        test = {
            "EQUALS": lambda text: text == _text(sought),
            "PREFIX": lambda text: text.startswith(sought),
            "CONTAINS": lambda text: sought in text,
            "CONTAINS_WORD": lambda text: re.search(rf"\b{re.escape(sought)}\b", text) is not None,
        }[comparison.replace("PREFIX_NOT_EQUALS", "PREFIX").replace("NOT_", "")]
        found = any(test(text) for text in texts)
        return not found if "NOT" in comparison else found
    if any(name in wanted for name in ("Gte", "Lte", "Gt", "Lt", "Eq")):
        return any(_within(float(value), wanted) for value in values)
    return any(_dated(str(value), wanted, moment) for value in values)


def _within(value: float, limits: Mapping[str, Any]) -> bool:
    return (
        value >= limits.get("Gte", value)
        and value <= limits.get("Lte", value)
        and value == limits.get("Eq", value)
        and not ("Gt" in limits and value <= limits["Gt"])
        and not ("Lt" in limits and value >= limits["Lt"])
    )


def _dated(value: str, wanted: Mapping[str, Any], moment: datetime) -> bool:
    try:
        have = datetime.fromisoformat(value)
    except ValueError:
        return False
    if days := wanted.get("DateRange", {}).get("Value"):
        return moment - timedelta(days=days) <= have <= moment
    start, end = wanted.get("Start"), wanted.get("End")
    return not (start and have < datetime.fromisoformat(start)) and not (
        end and have > datetime.fromisoformat(end)
    )
