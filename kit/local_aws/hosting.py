"""Endpoints: created, updated, weighed, deleted.

An endpoint is one HTTP server process for each container of each variant, however many instances were asked for. An update starts the new
fleet beside the old one and shifts traffic to it as its deployment configuration says (`deployment.py`); a new fleet that does not answer its
pings, or that trips an alarm, goes again, and the old one answers as before.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kit.local_aws import capture, deployment, jobs, models, scaling, traffic
from kit.local_aws.channels import InputError
from kit.local_aws.events import state_changed
from kit.local_aws.fleet import Fleet, Variant
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["resume"]

log = logging.getLogger(__name__)

REASON = 1024  # characters of a FailureReason
Work = Callable[[], Mapping[str, Any]]

jobs.readable("Endpoint")


@action("sagemaker", "CreateEndpoint")
def create_endpoint(ctx: Context, params: dict[str, Any]) -> Record:
    """Keep the endpoint as Creating and bring its fleet up in the background."""
    config = ctx.app.store.get(ctx, "EndpointConfig", params["EndpointConfigName"])
    kept = {name: value for name, value in params.items() if name != "DeploymentConfig"}
    if given := params.get("DeploymentConfig"):  # for later updates: there is no old fleet to shift from
        deployment.check(ctx, given, _counts(config["ProductionVariants"]))
        kept["LastDeploymentConfig"] = given
    coming = _coming(config, config["ProductionVariants"])
    record = ctx.app.store.create(ctx, "Endpoint", kept, EndpointStatus="Creating", **coming)
    name = record["EndpointName"]

    def create() -> Mapping[str, Any]:
        fleet = _start(ctx, name, config, config["ProductionVariants"])
        traffic.begin(ctx, name, fleet)
        return _serving(fleet)

    _background(ctx, name, create)
    return _told(ctx, record)


@action("sagemaker", "UpdateEndpoint")
def update_endpoint(ctx: Context, params: dict[str, Any]) -> Record:
    """Replace the fleet by that of another configuration, as the deployment configuration says."""
    config = ctx.app.store.get(ctx, "EndpointConfig", params["EndpointConfigName"])
    endpoint = ctx.app.store.get(ctx, "Endpoint", params["EndpointName"])
    name = endpoint["EndpointName"]
    variants = _retained(ctx, name, config["ProductionVariants"], params)
    how = params.get("DeploymentConfig", {})
    if params.get("RetainDeploymentConfig"):
        if how:
            raise AwsError(
                "ValidationException", "RetainDeploymentConfig and DeploymentConfig cannot be given together."
            )
        how = endpoint.get("LastDeploymentConfig", {})
    deployment.check(ctx, how, _counts(variants))
    scaling.check_update(
        ctx, name, _types(ctx, name), {v["VariantName"]: v["InstanceType"] for v in variants}
    )

    coming = _coming(config, variants)
    record = ctx.app.store.update(ctx, "Endpoint", name, lambda found: {**_updating(found), **coming})

    def update() -> Mapping[str, Any]:
        green = _start(ctx, name, config, variants)
        _replace(ctx, name, green, how)
        return {**_serving(green), "LastDeploymentConfig": how or None}

    _background(ctx, record["EndpointName"], update)
    return _told(ctx, record)


def _replace(ctx: Context, name: str, green: Fleet, how: Mapping[str, Any]) -> None:
    """Let the new fleet answer, at the end alone, and stop the old one; the other way round where it is rolled back."""
    live = traffic.traffic_of(ctx, name)
    assert live is not None
    blue = live.fleet

    def tell(variants: list[dict[str, Any]]) -> None:
        def change(found: Record) -> Mapping[str, Any]:
            return {
                "PendingDeploymentSummary": {
                    **found["PendingDeploymentSummary"],
                    "ProductionVariants": variants,
                }
            }

        _told(ctx, ctx.app.store.update(ctx, "Endpoint", name, change), "Endpoint Deployment")

    try:
        deployment.shift(ctx, live, green, how, tell)
    except BaseException:
        live.settle(blue)
        rolling = ctx.app.store.update(ctx, "Endpoint", name, EndpointStatus="RollingBack")
        _told(ctx, rolling, "Endpoint Deployment")
        green.stop(drain=True)
        raise
    live.settle(green)
    blue.stop(drain=True)


def _retained(
    ctx: Context, name: str, variants: list[dict[str, Any]], params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The variants of the new configuration, with the counts and weights that they have now where those are to be retained."""
    excluded = [one["VariantPropertyType"] for one in params.get("ExcludeRetainedVariantProperties", [])]
    if not params.get("RetainAllVariantProperties"):
        if excluded:
            raise AwsError(
                "ValidationException",
                "ExcludeRetainedVariantProperties needs RetainAllVariantProperties to be true.",
            )
        return variants
    live = traffic.traffic_of(ctx, name)
    now_has = {variant.name: variant for variant in live.fleet.variants} if live else {}
    kept = []
    for variant in variants:
        held = now_has.get(variant["VariantName"])
        own = dict(variant)
        if held and "DesiredInstanceCount" not in excluded:
            own["InitialInstanceCount"] = held.count
        if held and "DesiredWeight" not in excluded:
            own["InitialVariantWeight"] = held.weight
        kept.append(own)
    return kept


@action("sagemaker", "UpdateEndpointWeightsAndCapacities")
def update_weights(ctx: Context, params: dict[str, Any]) -> Record:
    """Change how traffic is shared between the variants, and how many instances each is said to have."""
    endpoint = ctx.app.store.get(ctx, "Endpoint", params["EndpointName"])
    _updating(endpoint)
    name = endpoint["EndpointName"]
    live = traffic.traffic_of(ctx, name)
    assert live is not None
    fleet = live.fleet
    changes: list[tuple[Variant, dict[str, Any]]] = []
    for wanted in params["DesiredWeightsAndCapacities"]:
        variant = fleet.pick(wanted["VariantName"])
        if variant is None:
            raise AwsError(
                "ValidationException",
                f'Could not find variant "{wanted["VariantName"]}" of endpoint "{name}".',
            )
        if wanted.get("ServerlessUpdateConfig"):
            raise jobs.refuse("does not implement serverless variants.")
        changes.append((variant, wanted))
    record = ctx.app.store.update(ctx, "Endpoint", name, _updating)

    def weigh() -> Mapping[str, Any]:
        for variant, wanted in changes:
            variant.weight = wanted.get("DesiredWeight", variant.weight)
            variant.count = wanted.get("DesiredInstanceCount", variant.count)
        return _serving(fleet)

    _background(ctx, record["EndpointName"], weigh)
    return record


@action("sagemaker", "DeleteEndpoint")
def delete_endpoint(ctx: Context, params: dict[str, Any]) -> None:
    """Forget the endpoint and end its processes; one that is being created or updated cannot be deleted, as on AWS."""
    with ctx.app.store.lock:
        _idle(ctx.app.store.get(ctx, "Endpoint", params["EndpointName"]))
        record = ctx.app.store.delete(ctx, "Endpoint", params["EndpointName"])
        live = traffic.end(ctx, record["EndpointName"])
    scaling.forget(ctx, record["EndpointName"])
    if live is not None:
        live.fleet.stop()
    _told(ctx, {**record, "EndpointStatus": "Deleted"})


def resume(ctx: Context, name: str) -> None:
    """Bring up again, in the background, what served an endpoint whose record outlived the server that it was made by."""
    record = ctx.app.store.update(ctx, "Endpoint", name, EndpointStatus="SystemUpdating")
    held = {row["VariantName"]: row for row in record.get("ProductionVariants", [])}

    def start() -> Mapping[str, Any]:
        try:
            config = ctx.app.store.get(ctx, "EndpointConfig", record["EndpointConfigName"])
        except AwsError as problem:
            raise InputError(problem.message) from None
        variants = []
        for variant in config["ProductionVariants"]:
            row = held.get(variant["VariantName"], {})
            count = row.get("DesiredInstanceCount", variant["InitialInstanceCount"])
            weight = row.get("DesiredWeight", variant.get("InitialVariantWeight", 1.0))
            variants.append({**variant, "InitialInstanceCount": count, "InitialVariantWeight": weight})
        fleet = _start(ctx, name, config, variants)
        traffic.begin(ctx, name, fleet)
        return _serving(fleet)

    _background(ctx, name, start)


def _idle(record: Record) -> None:
    """Raise while the endpoint is on its way to another state."""
    if record["EndpointStatus"] not in ("InService", "Failed"):
        raise AwsError("ValidationException", f'Cannot update in-progress endpoint "{record["_arn"]}".')


def _updating(record: Record) -> Record:
    """What an endpoint's record says from now on; raises while it is on its way to another state, and where it failed.

    "DeleteEndpoint is the only operation that can be performed on a failed endpoint" (API reference, DescribeEndpoint).
    """
    _idle(record)
    if record["EndpointStatus"] == "Failed":
        raise AwsError(
            "ValidationException",
            f'Cannot update endpoint "{record["_arn"]}" that has failed. DeleteEndpoint is all that can be done with it.',
        )
    return {"EndpointStatus": "Updating", "FailureReason": None}


def _background(ctx: Context, name: str, work: Work) -> None:
    """Do the work; what it returns, or the reason why it failed, goes into the endpoint's record with its status."""

    def run() -> None:
        try:
            changes = work()
        except (InputError, deployment.RolledBack) as problem:
            changes = {"FailureReason": str(problem)[:REASON]}
        except Exception as problem:
            log.exception("endpoint %s", name)
            changes = {"FailureReason": f"InternalServerError: {type(problem).__name__}: {problem}"[:REASON]}
        status = "InService" if traffic.traffic_of(ctx, name) else "Failed"
        changes = {**changes, "PendingDeploymentSummary": None}
        _told(ctx, ctx.app.store.update(ctx, "Endpoint", name, EndpointStatus=status, **changes))

    ctx.app.background(f"Endpoint/{ctx.account}/{ctx.region}/{name}", run)


def _told(ctx: Context, record: Record, what: str = "Endpoint") -> Record:
    """The record, after EventBridge was told of it; there a status is spelled IN_SERVICE."""
    status = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", record["EndpointStatus"]).upper()
    state_changed(ctx, what, record["_arn"], {**record, "EndpointStatus": status, "Tags": {}})
    return record


def _start(ctx: Context, name: str, config: Record, variants: list[dict[str, Any]]) -> Fleet:
    """The fleet of a configuration, up. Raises InputError with the reason where it does not come up."""
    parts = []
    for variant in variants:
        try:
            model = ctx.app.store.get(ctx, "Model", variant["ModelName"])
            resolved = models.containers(ctx, model)
        except AwsError as problem:
            raise InputError(problem.message) from None
        parts.append((variant, model.get("ExecutionRoleArn") or config.get("ExecutionRoleArn", ""), resolved))
    return Fleet.start(ctx, name, config, parts)


def _counts(variants: list[dict[str, Any]]) -> dict[str, int]:
    return {variant["VariantName"]: variant["InitialInstanceCount"] for variant in variants}


def _types(ctx: Context, name: str) -> dict[str, str]:
    live = traffic.traffic_of(ctx, name)
    return {v.name: v.config["InstanceType"] for v in live.fleet.variants} if live else {}


def _coming(config: Record, variants: list[dict[str, Any]]) -> dict[str, Any]:
    """The deployment that begins now, as Describe tells of it."""
    return {
        "PendingDeploymentSummary": {
            "EndpointConfigName": config["EndpointConfigName"],
            "ProductionVariants": deployment.pending(variants, "Creating", "Launching {count} instance(s)."),
            "StartTime": now(),
        }
    }


def _serving(fleet: Fleet) -> dict[str, Any]:
    """The members of an endpoint's record that tell what serves it."""
    moment = now()
    rows = []
    for variant in fleet.variants:
        images = [server.image for server in variant.servers]
        rows.append(
            {
                "VariantName": variant.name,
                "DeployedImages": [
                    {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": moment}
                    for image in images
                ],
                "CurrentWeight": variant.weight,
                "DesiredWeight": variant.weight,
                "CurrentInstanceCount": variant.count,
                "DesiredInstanceCount": variant.count,
            }
        )
    return {
        "EndpointConfigName": fleet.config,
        "ProductionVariants": rows,
        "DataCaptureConfig": None,
        **capture.summary(fleet.capture),
    }
