"""Models, endpoint configurations, endpoints, and their invocation.

An endpoint is one HTTP server process for each container of each variant, however many instances were asked for. An update starts
the new fleet beside the old one, switches when it answers its pings, and keeps the old one when it does not (blue/green, all at once).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import channels, jobs, registry
from kit.local_aws.channels import InputError
from kit.local_aws.events import state_changed
from kit.local_aws.execution import Execution
from kit.local_aws.fleet import Fleet
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["fleet_of"]

log = logging.getLogger(__name__)

MESSAGE = 1024  # characters of a model's message in an error
_fleets: dict[tuple[int, str, str, str], Fleet] = {}
_switching = threading.Lock()

jobs.readable("Endpoint")


# Models


@action("sagemaker", "CreateModel")
def create_model(ctx: Context, params: dict[str, Any]) -> Record:
    """Keep a model whose data is there; a container that names a model package gets what the package says."""
    definitions = (
        [params["PrimaryContainer"]] if params.get("PrimaryContainer") else params.get("Containers", [])
    )
    if not definitions:
        raise AwsError("ValidationException", "A model needs a PrimaryContainer or Containers.")
    if params.get("InferenceExecutionConfig", {}).get("Mode") == "Direct":
        raise jobs.refuse("invokes containers in series only, not directly.")
    if params.get("ExecutionRoleArn"):
        jobs.check_role(ctx, params["ExecutionRoleArn"])
    for definition in definitions:
        if definition.get("Mode") == "MultiModel":
            raise jobs.refuse("serves one model per container; multi-model endpoints are not implemented.")
        resolved = _resolved(ctx, definition)
        if not resolved.get("Image"):
            raise AwsError("ValidationException", "Each container needs an Image or a ModelPackageName.")
        _check_data(ctx, resolved, params.get("ExecutionRoleArn", ""))
    return ctx.app.store.create(
        ctx, "Model", params, EnableNetworkIsolation=params.get("EnableNetworkIsolation", False)
    )


def _resolved(ctx: Context, definition: dict[str, Any]) -> dict[str, Any]:
    """A container definition with what its model package says filled in; the definition's own variables win."""
    name = definition.get("ModelPackageName")
    if not name:
        return definition
    package = registry.deployable(ctx, name)
    merged = {**package, **{k: v for k, v in definition.items() if v is not None}}
    merged["Environment"] = {**package.get("Environment", {}), **definition.get("Environment", {})}
    return merged


def _check_data(ctx: Context, definition: dict[str, Any], role: str) -> None:
    source = definition.get("ModelDataSource", {}).get("S3DataSource", {})
    uri = definition.get("ModelDataUrl") or source.get("S3Uri")
    if not uri:
        return
    aws = Execution(ctx.app, ctx.region, role) if role else ctx.app
    found = True
    try:
        if source.get("CompressionType") == "None":
            found = bool(channels.keys(aws, ctx.region, uri))
        else:
            bucket, key = channels.split(uri)
            aws.client("s3", ctx.region).head_object(Bucket=bucket, Key=key)
    except (InputError, ClientError):
        found = False
    if not found:
        raise AwsError(
            "ValidationException",
            f"Could not find model data at {uri}. Please make sure that the role {role!r} has s3:GetObject permissions and"
            f" that the object is located in {ctx.region}. (A training job that writes nothing to /opt/ml/model has none.)",
        )


# Endpoint configurations


@action("sagemaker", "CreateEndpointConfig")
def create_endpoint_config(ctx: Context, params: dict[str, Any]) -> Record:
    """Keep a configuration whose models are there."""
    for member in ("ShadowProductionVariants", "ExplainerConfig"):
        if params.get(member):
            raise jobs.refuse(f"does not implement {member}.")
    names = [variant["VariantName"] for variant in params["ProductionVariants"]]
    if len(set(names)) < len(names):
        raise AwsError(
            "ValidationException", "Variant names must be unique within an endpoint configuration."
        )
    for variant in params["ProductionVariants"]:
        if not variant.get("ModelName"):
            raise jobs.refuse("does not implement inference components: give each variant a ModelName.")
        ctx.app.store.get(ctx, "Model", variant["ModelName"])
    return ctx.app.store.create(ctx, "EndpointConfig", params)


# Endpoints


@action("sagemaker", "CreateEndpoint")
def create_endpoint(ctx: Context, params: dict[str, Any]) -> Record:
    """Keep the endpoint as Creating and bring its fleet up in the background."""
    config = ctx.app.store.get(ctx, "EndpointConfig", params["EndpointConfigName"])
    kept = {name: value for name, value in params.items() if name != "DeploymentConfig"}
    record = ctx.app.store.create(ctx, "Endpoint", kept, EndpointStatus="Creating")
    _background(ctx, record["EndpointName"], _create, config["EndpointConfigName"])
    return record


@action("sagemaker", "UpdateEndpoint")
def update_endpoint(ctx: Context, params: dict[str, Any]) -> Record:
    """Replace the fleet by that of another configuration, all at once."""
    config = ctx.app.store.get(ctx, "EndpointConfig", params["EndpointConfigName"])
    routing = (
        params.get("DeploymentConfig", {})
        .get("BlueGreenUpdatePolicy", {})
        .get("TrafficRoutingConfiguration", {})
    )
    if routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE" or params.get("DeploymentConfig", {}).get(
        "RollingUpdatePolicy"
    ):
        raise jobs.refuse(
            "shifts traffic all at once; canary, linear and rolling updates are not implemented."
        )
    if params.get("RetainAllVariantProperties"):
        raise jobs.refuse("does not implement RetainAllVariantProperties.")

    def updating(found: Record) -> Record:
        _idle(found)
        return {"EndpointStatus": "Updating", "FailureReason": None}

    record = ctx.app.store.update(ctx, "Endpoint", params["EndpointName"], updating)
    _background(ctx, record["EndpointName"], _replace, config["EndpointConfigName"])
    return record


@action("sagemaker", "UpdateEndpointWeightsAndCapacities")
def update_weights(ctx: Context, params: dict[str, Any]) -> Record:
    """Change how traffic is shared between the variants; takes effect with the next invocation."""
    name = params["EndpointName"]
    _idle(ctx.app.store.get(ctx, "Endpoint", name))
    fleet = fleet_of(ctx, name)
    if fleet is None:
        raise AwsError("ValidationException", f'Endpoint "{name}" has no variants in service.')
    for wanted in params["DesiredWeightsAndCapacities"]:
        variant = fleet.pick(wanted["VariantName"])
        if variant is None:
            raise AwsError(
                "ValidationException",
                f'Could not find variant "{wanted["VariantName"]}" of endpoint "{name}".',
            )
        variant.weight = wanted.get("DesiredWeight", variant.weight)
        if "DesiredInstanceCount" in wanted:
            variant.config = {**variant.config, "InitialInstanceCount": wanted["DesiredInstanceCount"]}
    return ctx.app.store.update(ctx, "Endpoint", name, ProductionVariants=_summaries(ctx, fleet))


@action("sagemaker", "DeleteEndpoint")
def delete_endpoint(ctx: Context, params: dict[str, Any]) -> None:
    """Forget the endpoint and end its processes; one that is being created or updated cannot be deleted, as on AWS."""
    name = params["EndpointName"]
    with _switching:
        _idle(ctx.app.store.get(ctx, "Endpoint", name))
        record = ctx.app.store.delete(ctx, "Endpoint", name)
        fleet = _fleets.pop(_key(ctx, name), None)
    if fleet is not None:
        fleet.stop()
    state_changed(ctx, "Endpoint", record["_arn"], {**record, "EndpointStatus": "Deleted"})


def fleet_of(ctx: Context, endpoint: str) -> Fleet | None:
    """What serves an endpoint now."""
    return _fleets.get(_key(ctx, endpoint))


def _key(ctx: Context, endpoint: str) -> tuple[int, str, str, str]:
    return (id(ctx.app), ctx.account, ctx.region, endpoint.lower())


def _idle(record: Record) -> None:
    """Raise while the endpoint is on its way to another state."""
    if record["EndpointStatus"] not in ("InService", "Failed"):
        raise AwsError("ValidationException", f'Cannot update in-progress endpoint "{record["_arn"]}".')


def _background(ctx: Context, name: str, work: Any, config: str) -> None:
    def run() -> None:
        try:
            changes = work(ctx, name, config)
        except InputError as problem:
            changes = {"FailureReason": str(problem)[:MESSAGE]}
        except Exception as problem:
            log.exception("endpoint %s", name)
            changes = {"FailureReason": f"InternalServerError: {type(problem).__name__}: {problem}"[:MESSAGE]}
        status = "InService" if fleet_of(ctx, name) else "Failed"
        record = ctx.app.store.update(ctx, "Endpoint", name, EndpointStatus=status, **changes)
        state_changed(ctx, "Endpoint", record["_arn"], record)

    ctx.app.background(f"Endpoint/{ctx.account}/{ctx.region}/{name}", run)


def _start(ctx: Context, name: str, config_name: str) -> Fleet:
    config = ctx.app.store.get(ctx, "EndpointConfig", config_name)
    parts = []
    for variant in config["ProductionVariants"]:
        try:
            model = ctx.app.store.get(ctx, "Model", variant["ModelName"])
            definitions = (
                [model["PrimaryContainer"]] if model.get("PrimaryContainer") else model["Containers"]
            )
            resolved = [_resolved(ctx, definition) for definition in definitions]
        except AwsError as problem:
            raise InputError(problem.message) from None
        parts.append((variant, model.get("ExecutionRoleArn") or config.get("ExecutionRoleArn", ""), resolved))
    return Fleet.start(ctx, name, parts)


def _create(ctx: Context, name: str, config: str) -> dict[str, Any]:
    fleet = _fleets[_key(ctx, name)] = _start(ctx, name, config)
    return {"ProductionVariants": _summaries(ctx, fleet)}


def _replace(ctx: Context, name: str, config: str) -> dict[str, Any]:
    new = _start(ctx, name, config)
    with _switching:
        old = _fleets.get(_key(ctx, name))
        _fleets[_key(ctx, name)] = new
    if old is not None:
        old.stop(drain=True)
    return {"EndpointConfigName": config, "ProductionVariants": _summaries(ctx, new)}


def _summaries(ctx: Context, fleet: Fleet) -> list[dict[str, Any]]:
    moment = now()
    found = []
    for variant in fleet.variants:
        count = variant.config.get("InitialInstanceCount", 1)
        model = ctx.app.store.find(ctx, "Model", variant.config["ModelName"]) or {}
        definitions = (
            [model["PrimaryContainer"]] if model.get("PrimaryContainer") else model.get("Containers", [])
        )
        images = [_resolved(ctx, definition)["Image"] for definition in definitions]
        found.append(
            {
                "VariantName": variant.name,
                "DeployedImages": [
                    {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": moment}
                    for image in images
                ],
                "CurrentWeight": variant.weight,
                "DesiredWeight": variant.weight,
                "CurrentInstanceCount": count,
                "DesiredInstanceCount": count,
            }
        )
    return found


# Invocation


@action("sagemaker-runtime", "InvokeEndpoint")
def invoke_endpoint(ctx: Context, params: dict[str, Any]) -> Record:
    """The container's answer; its refusal becomes AWS's ModelError with the original status and message."""
    name = params["EndpointName"]
    while True:
        fleet = fleet_of(ctx, name)
        if fleet is None:
            raise AwsError("ValidationError", f"Endpoint {name} of account {ctx.account} not found.")
        variant = fleet.pick(params.get("TargetVariant"))
        if variant is None:
            raise AwsError("ValidationError", f"Variant {params['TargetVariant']} not found for Request")
        with fleet.serving():
            if fleet_of(ctx, name) is fleet:  # else an update replaced it just now
                answer = variant.invoke(params.get("Body", b""), _headers(params))
                break
    if answer.status != 200:
        raise _model_error(
            ctx, name, variant.stream, answer.status, answer.body.decode(errors="replace")[:MESSAGE]
        )
    return {
        "Body": answer.body,
        "ContentType": answer.content_type,
        "InvokedProductionVariant": variant.name,
        "CustomAttributes": answer.custom_attributes or None,
    }


def _headers(params: Mapping[str, Any]) -> dict[str, str]:
    passed = {
        "Content-Type": params.get("ContentType") or "application/octet-stream",
        "Accept": params.get("Accept"),
        "X-Amzn-SageMaker-Custom-Attributes": params.get("CustomAttributes"),
        "X-Amzn-SageMaker-Inference-Id": params.get("InferenceId"),
    }
    return {name: value for name, value in passed.items() if value}


def _model_error(ctx: Context, endpoint: str, stream: str, status: int, message: str) -> AwsError:
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    side = "client" if status < 500 else "server"
    return AwsError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{message}". See https://{ctx.region}.console.aws.amazon.com'
        f"/cloudwatch/home?region={ctx.region}#logEventViewer:group={group} in account {ctx.account} for more information.",
        status=424,
        OriginalStatusCode=status,
        OriginalMessage=message,
        LogStreamArn=f"arn:aws:logs:{ctx.region}:{ctx.account}:log-group:{group}:log-stream:{stream}",
    )
