"""What of the AWS account must be ready: identity, region, quotas; and what the event will cost in it.

Nothing here creates or changes anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from room import FIX, OPEN, Finding, finding

from kit import frame
from kit.errors import KitError
from kit.plan import EVENT, Plan, Subtask

__all__ = ["Instance", "cost", "identity", "instances", "quotas"]

USES = {
    "training job usage": r"ModelTrainer|create_training_job|HyperparameterTuner|create_hyper_parameter_tuning_job"
    r"|training_pipeline\.built",
    "processing job usage": r"Processor\(|create_processing_job|processing\.run\(|training_pipeline\.built",
    "transform job usage": r"Transformer\(|create_transform_job",
    "endpoint usage": r"ModelBuilder|create_endpoint\b|Endpoint\.create",
}
"""How a quota names what an instance is used for, and the calls in a runbook that use it so."""
TYPE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")


def identity(session: Any, account: str, region: str) -> list[Finding]:
    """Who AWS takes you for, whether that is the account that the plan allows, and whether the account has the region."""
    try:
        caller = session.client("sts").get_caller_identity()
        listed = session.client("ec2").describe_regions(AllRegions=True)["Regions"]
    except (BotoCoreError, ClientError) as error:
        return [Finding("AWS", "identity", str(error), "an answer", FIX, "Log in again, then run this cell.")]
    status = next((one["OptInStatus"] for one in listed if one["RegionName"] == region), "unknown")
    return [
        finding(
            "AWS",
            "account",
            caller["Account"],
            account,
            caller["Account"] == account,
            "Log in to the event's account, or correct aws › account in the plan.",
        ),
        finding(
            "AWS",
            "region",
            f"{region}, {status}",
            "enabled",
            status in ("opt-in-not-required", "opted-in"),
            "Have an administrator enable it, or correct aws › region in the plan.",
        ),
    ]


@dataclass(frozen=True)
class Instance:
    """What a runbook runs on: a type, how many at once, and the uses as quotas name them."""

    card: Subtask
    type: str
    count: int
    uses: tuple[str, ...]


def instances(plan: Plan, root: Path) -> Iterator[Instance]:
    """The instances in the parameters of each runbook: types such as `ml.m5.large`, and the count of the same name."""
    for card in plan.cards:
        file = root / card.notebook
        try:
            known = frame.read(file)
            given = {p.name: p.default for p in known.parameters} | frame.values(
                known, card.parameters, card.id
            )
        except KitError:
            continue  # `room.cards` reports it
        text = file.read_text(encoding="utf-8")
        uses = tuple(use for use, calls in USES.items() if re.search(calls, text))
        for name, value in given.items():
            count = given.get(name.replace("types", "type").replace("type", "count"), 1)
            for kind in value if isinstance(value, list) else [value]:
                if isinstance(kind, str) and TYPE.fullmatch(kind):
                    yield Instance(card, kind, count if isinstance(count, int) else 1, uses)


def quotas(session: Any, needed: Iterable[Instance]) -> list[Finding]:
    """SageMaker's quota for each instance and use; open where the API does not answer, or does not know it."""
    try:
        pages = (
            session.client("service-quotas")
            .get_paginator("list_service_quotas")
            .paginate(ServiceCode="sagemaker")
        )
        held = {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}
    except (BotoCoreError, ClientError) as error:
        why = str(error).partition("operation: ")[2] or str(error)
        return [
            Finding("quotas", "instances", why, "an answer", OPEN, "Look at Service Quotas in the console.")
        ]
    most: dict[str, Instance] = {}
    users: dict[str, set[str]] = {}
    for one in needed:
        for use in one.uses:
            name = f"{one.type} for {use}"
            users.setdefault(name, set()).add(one.card.workstream)
            if name not in most or one.count > most[name].count:
                most[name] = one
    return [
        _limit(name, one.count, held.get(name), users[name] - {EVENT}) for name, one in sorted(most.items())
    ]


def _limit(name: str, needed: int, held: float | None, hinders: set[str]) -> Finding:
    if held is None:
        fix = "Look for it in Service Quotas: it may be an old or a misspelt type."
        return Finding("quotas", name, "not listed", f"{needed}", OPEN, fix, tuple(sorted(hinders)))
    fix = "Ask for more in Service Quotas today: it can take days."
    return finding("quotas", name, f"{held:g}", f"{needed}", held >= needed, fix, *sorted(hinders))


def cost(
    needed: Iterable[Instance],
    prices: Mapping[str, float],
    people: int,
    days: int,
    hours: float,
    endpoint_hours: float,
) -> list[dict[str, Any]]:
    """At most what the event costs: rows of what, instance, hours, USD (None where the price is not in the table).

    A job is counted for the whole planned time of its runbook, an endpoint for `endpoint_hours`, and each of the
    people for `hours` a day in SageMaker Studio on an ml.t3.medium. Storage and requests are not counted.
    """
    rows = []
    for one in needed:
        long = endpoint_hours if "endpoint usage" in one.uses else one.card.minutes / 60
        rows.append((one.card.label, one.type, one.count * long))
    rows.append((f"SageMaker Studio for {people} people", "ml.t3.medium", people * days * hours))
    return [
        {
            "what": what,
            "instance": kind,
            "hours": round(total, 1),
            "USD": round(prices[kind] * total, 2) if kind in prices else None,
        }
        for what, kind, total in rows
    ]
