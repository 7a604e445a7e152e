"""How an update shifts traffic: the rules of a DeploymentConfig, the steps it asks for, and the baking between them.

Sources: API reference, UpdateEndpoint and its structures; SageMaker Developer Guide, "Deployment guardrails". A minute that a deployment is
told to wait takes a second here (`SECOND`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import endpoint_metrics, jobs
from kit.local_aws.channels import InputError
from kit.local_aws.execution import Execution
from kit.local_aws.protocol import AwsError, now

if TYPE_CHECKING:
    from kit.local_aws.fleet import Fleet
    from kit.local_aws.store import Context
    from kit.local_aws.traffic import Traffic

__all__ = ["RolledBack", "Step", "check", "pending", "shift", "steps"]

SECOND = 1 / 60  # of a second: what a second of waiting takes here
LOOK = 0.2  # seconds between two looks at the alarms
SIZES = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
LEAST, MOST = 10, 50  # percent of the capacity that a step may be; a canary has no least size
TIMEOUT = 600  # seconds; the least that MaximumExecutionTimeoutInSeconds may be

Tell = Callable[[list[dict[str, Any]]], None]


class RolledBack(Exception):
    """The alarms say that the new fleet must not stay; its text is the reason."""


@dataclass(frozen=True)
class Step:
    """One step of a deployment: how much of the new fleet gets traffic, and how long it is watched.

    share: 0 to 1; instances: those of each variant; seconds: as asked for; wait: the member that asks; part: "canary", "step" or "full".
    """

    share: float
    instances: int
    seconds: int
    wait: str
    part: str


def check(ctx: Context, config: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Raise ValidationException for a DeploymentConfig whose parts do not fit together, or do not fit the new fleet.

    counts: the instances of each variant of the new fleet.
    """
    if config.get("RollingUpdatePolicy"):
        raise jobs.refuse("does not implement rolling deployments: use a BlueGreenUpdatePolicy.")
    alarms = alarm_names(config)
    _check_alarms(ctx, alarms)
    policy = config.get("BlueGreenUpdatePolicy")
    if not policy:
        return
    routing = policy["TrafficRoutingConfiguration"]
    kind, wanted = routing["Type"], SIZES.get(routing["Type"])
    for member in SIZES.values():
        if bool(routing.get(member)) != (member == wanted):
            need = "needs" if member == wanted else "cannot have"
            raise _invalid(f"a TrafficRoutingConfiguration of type {kind} {need} {member}.")
    if wanted:
        if not alarms:
            raise _invalid(f"type {kind} needs the alarms of an AutoRollbackConfiguration to bake with.")
        _check_size(kind, wanted, routing[wanted], counts)
    waits = policy.get("TerminationWaitInSeconds", 0) + routing["WaitIntervalInSeconds"]
    if policy.get("MaximumExecutionTimeoutInSeconds", waits + TIMEOUT) <= waits:
        raise _invalid(
            f"MaximumExecutionTimeoutInSeconds must be larger than the total waiting time of {waits} seconds"
            " in TerminationWaitInSeconds and WaitIntervalInSeconds."
        )


def _invalid(text: str) -> AwsError:
    return AwsError("ValidationException", f"Invalid DeploymentConfig: {text}")


def _check_size(kind: str, member: str, size: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    value = size["Value"]
    for name, count in counts.items():
        share = value if size["Type"] == "CAPACITY_PERCENT" else 100 * value / max(count, 1)
        if share > MOST or (kind == "LINEAR" and share < LEAST) or _instances(size, count) * 2 > count:
            between = f"{LEAST}-{MOST}%" if kind == "LINEAR" else f"less than or equal to {MOST}%"
            raise _invalid(
                f"{member} ({size['Type']}, {value}) must be {between} of the variant's total instance count;"
                f" variant {name} has {count} instance(s)."
            )


def _check_alarms(ctx: Context, names: Sequence[str]) -> None:
    if names:
        found = {alarm["AlarmName"] for alarm in _alarms(ctx.app, ctx.region, names)}
        if missing := [name for name in names if name not in found]:
            raise _invalid(f"AutoRollbackConfiguration names alarms that do not exist: {', '.join(missing)}.")


def alarm_names(config: Mapping[str, Any]) -> list[str]:
    """The alarms that roll a deployment back."""
    return [alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def _alarms(aws: Any, region: str, names: Sequence[str]) -> list[dict[str, Any]]:
    answer = aws.client("cloudwatch", region).describe_alarms(AlarmNames=list(names))
    return [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]


def _instances(size: Mapping[str, Any], count: int) -> int:
    """The instances of a step: whole ones, and at least one."""
    if size["Type"] == "INSTANCE_COUNT":
        return int(size["Value"])
    return max(1, count * int(size["Value"]) // 100)


def steps(config: Mapping[str, Any], count: int) -> Iterator[Step]:
    """The steps in which a valid DeploymentConfig brings a variant of so many instances into service."""
    policy = config.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    kind = routing["Type"]
    if kind in SIZES:
        size = _instances(routing[SIZES[kind]], count)
        reached = [size] if kind == "CANARY" else range(size, count, size)
        part = "canary" if kind == "CANARY" else "step"
        for instances in reached:
            seconds = routing["WaitIntervalInSeconds"]
            yield Step(instances / count, instances, seconds, "WaitIntervalInSeconds", part)
    yield Step(1.0, count, policy.get("TerminationWaitInSeconds", 0), "TerminationWaitInSeconds", "full")


def shift(ctx: Context, traffic: Traffic, green: Fleet, config: Mapping[str, Any], tell: Tell) -> None:
    """Shift traffic to the new fleet step by step; `tell` is told the statuses of its variants.

    Raises RolledBack as soon as an alarm of the configuration is in state ALARM while the fleet is watched.
    """
    first = green.variants[0]
    configs = [variant.config for variant in green.variants]
    names = alarm_names(config)
    try:
        watcher = Execution(ctx.app, ctx.region, first.role) if names and first.role else ctx.app
        for step in steps(config, first.count):
            traffic.shift(green, step.share)
            on = f"traffic enabled on {step.part} capacity of {step.instances} instance(s)"
            said = f"Activating traffic on {step.part} capacity of {step.instances} instance(s)."
            tell(pending(configs, "ActivatingTraffic", said, step))
            if step.seconds:
                on = f"traffic enabled on {step.part} capacity of {step.instances} instance(s)"
                said = f"Baking for {step.seconds} seconds ({step.wait}) with {on}."
                tell(pending(configs, "Baking", said, step))
            _bake(ctx, watcher, names, step.seconds)
    except ClientError as error:
        raise InputError(f"The alarms of the deployment cannot be read: {error}") from None


def _bake(ctx: Context, watcher: Any, names: Sequence[str], seconds: int) -> None:
    deadline = time.monotonic() + seconds * SECOND
    while not ctx.app.stopping.is_set():
        left = deadline - time.monotonic()
        endpoint_metrics.flush(ctx.app)
        if names:
            tripped = [
                a["AlarmName"] for a in _alarms(watcher, ctx.region, names) if a["StateValue"] == "ALARM"
            ]
            if tripped:
                raise RolledBack(f"CloudWatch alarms in state ALARM: {', '.join(tripped)}.")
        if left <= 0:
            return
        ctx.app.stopping.wait(min(left, LOOK) if names else left)
    raise RolledBack("The local AWS was stopped during the deployment.")


def pending(
    variants: Sequence[Mapping[str, Any]], status: str, said: str, step: Step | None = None
) -> list[dict[str, Any]]:
    """The variants of the configuration that is coming, as PendingDeploymentSummary tells of them; without a step none is up."""
    moment = now()
    rows = []
    for variant in variants:
        weight, count = variant.get("InitialVariantWeight", 1.0), variant["InitialInstanceCount"]
        rows.append(
            {
                "VariantName": variant["VariantName"],
                "CurrentWeight": weight,
                "DesiredWeight": weight,
                "CurrentInstanceCount": step.instances if step else 0,
                "DesiredInstanceCount": count,
                "InstanceType": variant["InstanceType"],
                "VariantStatus": [
                    {"Status": status, "StatusMessage": said.format(count=count), "StartTime": moment}
                ],
            }
        )
    return rows
