"""What it costs to leave things in an account, by the prices of `prices.yml`; and what was there and is left, drawn and told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clean_up import Outcome, Thing, clients
from documents import bullets, plain, table
from kinds import ENDED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLUMNS", "document", "draw", "rows", "stored_bytes", "usd_per_day"]

COLUMNS = ("service", "kind", "things", "state", "cards", "found by", "USD a day", "names")
BY_USE = {
    "config.ConfigurationRecorder",
    "firehose.DeliveryStream",
    "guardduty.Detector",
    "sagemaker.FeatureGroup",
    "securityhub.SecurityHub",
    "cloudtrail.Trail",
    "logs.LogGroup",
    "logs.LogStream",
}
"""Kinds that are paid by use: while they are there they may cost, and nobody can say what."""


def usd_per_day(thing: Thing, at: Callable[[str], Any], prices: Mapping[str, Any]) -> float | None:
    """What a thing costs per day if it is left: None where that goes by use, or where the price is not in the table."""
    idle = prices["idle"]
    monthly = {
        "kms.Key": "usd_per_key_month",
        "cloudwatch.MetricAlarm": "usd_per_alarm_month",
        "cloudwatch.Dashboard": "usd_per_dashboard_month",
    }
    if thing.kind.id in BY_USE:
        return None
    if thing.kind.id in monthly:
        return float(idle[monthly[thing.kind.id]]) / 30
    if thing.kind.id == "s3.Bucket":
        return float(idle["usd_per_gb_month"]) * stored_bytes(at("s3"), thing.keys["Bucket"]) / 1e9 / 30
    if thing.kind.id == "kinesis.Stream":
        shards = thing.kind.described(at, thing.keys).get("OpenShardCount", 1)
        return float(idle["usd_per_shard_hour"]) * int(shards) * 24
    if thing.state == ENDED or thing.kind.service != "sagemaker":
        return 0.0
    return _instances(thing, at, prices["usd_per_hour"])


def stored_bytes(s3: Any, bucket: str) -> int:
    """How much a bucket holds, in every version."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return sum(row["Size"] for page in pages for row in page.get("Versions", []))


def _instances(thing: Thing, at: Callable[[str], Any], prices: Mapping[str, float]) -> float | None:
    """The instances that a thing of SageMaker keeps, for a day."""
    told = thing.kind.described(at, thing.keys)
    if thing.kind.name == "Endpoint":
        config = at("sagemaker").describe_endpoint_config(EndpointConfigName=told["EndpointConfigName"])
        types = {one["VariantName"]: one.get("InstanceType", "") for one in config["ProductionVariants"]}
        held = [
            (types.get(one["VariantName"], ""), one.get("CurrentInstanceCount", 1))
            for one in told.get("ProductionVariants", [])
        ]
    elif thing.kind.name == "App":
        held = [(told.get("ResourceSpec", {}).get("InstanceType", "system"), 1)]
    elif thing.kind.name == "NotebookInstance":
        held = [(told["InstanceType"], int(told["NotebookInstanceStatus"] != "Stopped"))]
    else:
        held = list(_of_a_job(told))
    if any(kind not in prices for kind, _ in held if kind != "system"):
        return None
    return sum(prices.get(kind, 0.0) * count * 24 for kind, count in held)


def _of_a_job(told: Any) -> Iterator[tuple[str, int]]:
    """Types and counts wherever a job's description has them."""
    if isinstance(told, dict):
        if "InstanceType" in told and "InstanceCount" in told:
            yield told["InstanceType"], told["InstanceCount"]
        for value in told.values():
            yield from _of_a_job(value)


def rows(things: Iterable[Thing], session: Any, prices: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each service and kind: how many, by which cards, how found, some names, USD a day if left (None: by use)."""
    at = clients(session)
    grouped: dict[tuple[str, str, str], list[Thing]] = {}
    for thing in things:
        grouped.setdefault((thing.kind.service, thing.kind.name, thing.state), []).append(thing)
    told = []
    for (service, name, state), those in sorted(grouped.items()):
        costs = [usd_per_day(thing, at, prices) for thing in those]
        names = [thing.name for thing in those]
        told.append(
            {
                "service": service,
                "kind": name,
                "things": len(those),
                "state": state,
                "cards": " ".join(sorted({thing.card for thing in those} - {""})),
                "found by": ", ".join(
                    sorted({known.split(" ")[0] for thing in those for known in thing.known})
                ),
                "USD a day": None if None in costs else round(sum(cost or 0 for cost in costs), 2),
                "names": ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
            }
        )
    return told


def draw(ax: Axes, made: Iterable[Thing], again: Iterable[Thing]) -> None:
    """Things by service: what is gone, work that is over, and what is left."""
    now = {thing.id: thing.state for thing in again}
    counts: dict[str, dict[str, int]] = {}
    for thing in made:
        what = {"": "gone", ENDED: "work that is over"}.get(now.get(thing.id, ""), "left")
        service = counts.setdefault(thing.kind.service, {"gone": 0, "work that is over": 0, "left": 0})
        service[what] += 1
    services = sorted(counts, key=lambda service: sum(counts[service].values()))
    start = [0] * len(services)
    for what, colour, hatch in (
        ("gone", "#dbeafe", ""),
        ("work that is over", "#9ca3af", "//"),
        ("left", "#a8201a", "xx"),
    ):
        widths = [counts[service][what] for service in services]
        ax.barh(services, widths, left=start, label=what, color=colour, hatch=hatch, edgecolor="#374151")
        start = [a + b for a, b in zip(start, widths, strict=True)]
    ax.margins(x=0.03)
    ax.legend(loc="lower right")


def document(
    event: str, before: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], a_day: float, after: float
) -> list[str]:
    """What was there, and what became of it, as the lines of a Markdown document."""
    became = {
        name: sum(one.became == name for one in outcomes) for name in ("deleted", "ended", "kept", "refused")
    }
    rows = [
        [
            plain(row["service"]),
            plain(row["kind"]),
            str(row["things"]),
            plain(row["cards"]),
            _usd(row["USD a day"]),
        ]
        for row in before
    ]
    open_ends = [one for one in outcomes if one.became in ("kept", "refused")]
    return [
        f"# Clean-up of {plain(event)}",
        "",
        f"Before: {a_day:,.2f} USD a day. After: {after:,.2f} USD a day. "
        + ", ".join(f"{count} {name}" for name, count in became.items() if count)
        + ".",
        "",
        "## Kept or refused",
        *bullets(
            (
                f"{one.became}: {plain(one.thing.kind.id)} {plain(one.thing.name)} {plain(one.why)}"
                for one in open_ends
            ),
            "Nothing: all that the event made is gone, but for the records of work that is over.",
        ),
        "## What was there",
        *table(["service", "kind", "things", "cards", "USD a day if left"], rows),
    ]


def _usd(amount: Any) -> str:
    return "by use" if amount is None or amount != amount else f"{amount:.2f}"
