"""Models and endpoint configurations: what may be served, by which containers, on which variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import channels, jobs, registry
from kit.local_aws.channels import InputError
from kit.local_aws.execution import Execution
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["containers", "definitions"]

NOT_SERVED = ("ShadowProductionVariants", "ExplainerConfig", "AsyncInferenceConfig")
NOT_HOSTED = ("ServerlessConfig", "ManagedInstanceScaling", "InstancePools")


@action("sagemaker", "CreateModel")
def create_model(ctx: Context, params: dict[str, Any]) -> Record:
    """Keep a model whose data is there; a container that names a model package gets what the package says."""
    given = definitions(params)
    if not given:
        raise AwsError("ValidationException", "A model needs a PrimaryContainer or Containers.")
    if params.get("InferenceExecutionConfig", {}).get("Mode") == "Direct":
        raise jobs.refuse("invokes containers in series only, not directly.")
    if params.get("ExecutionRoleArn"):
        jobs.check_role(ctx, params["ExecutionRoleArn"])
    for definition in given:
        if definition.get("Mode") == "MultiModel":
            raise jobs.refuse("serves one model per container; multi-model endpoints are not implemented.")
        resolved = _resolved(ctx, definition)
        if not resolved.get("Image"):
            raise AwsError("ValidationException", "Each container needs an Image or a ModelPackageName.")
        _check_data(ctx, resolved, params.get("ExecutionRoleArn", ""))
    return ctx.app.store.create(
        ctx, "Model", params, EnableNetworkIsolation=params.get("EnableNetworkIsolation", False)
    )


def definitions(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The container definitions of a model, as they were given, in the order in which an invocation passes them."""
    if model.get("PrimaryContainer"):
        return [model["PrimaryContainer"]]
    return list(model.get("Containers", []))


def containers(ctx: Context, model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The container definitions of a model, what their model packages say filled in.

    Raises AwsError for a package that is gone or not approved.
    """
    return [_resolved(ctx, definition) for definition in definitions(model)]


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


@action("sagemaker", "CreateEndpointConfig")
def create_endpoint_config(ctx: Context, params: dict[str, Any]) -> Record:
    """Keep a configuration whose models are there, and whose parts fit together."""
    for member in NOT_SERVED:
        if params.get(member):
            raise jobs.refuse(f"does not implement {member}.")
    variants = params["ProductionVariants"]
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise AwsError(
            "ValidationException", "Variant names must be unique within an endpoint configuration."
        )
    for variant in variants:
        _check_variant(ctx, variant)
    if not sum(variant.get("InitialVariantWeight", 1.0) for variant in variants):
        raise AwsError("ValidationException", "At least one variant needs a weight above zero.")
    if capture := params.get("DataCaptureConfig"):
        _check_capture(capture)
    return ctx.app.store.create(ctx, "EndpointConfig", params)


def _check_variant(ctx: Context, variant: Mapping[str, Any]) -> None:
    name = variant["VariantName"]
    for member in NOT_HOSTED:
        if variant.get(member):
            raise jobs.refuse(f"does not implement {member} of a variant.")
    if not variant.get("ModelName"):
        raise jobs.refuse("does not implement inference components: give each variant a ModelName.")
    for member in ("InstanceType", "InitialInstanceCount"):
        if not variant.get(member):
            raise AwsError(
                "ValidationException", f"Variant {name} needs an InstanceType and an InitialInstanceCount."
            )
    ctx.app.store.get(ctx, "Model", variant["ModelName"])


def _check_capture(capture: Mapping[str, Any]) -> None:
    """Raise for a destination that is no place in S3, for a boundary or a content type that is named twice."""
    uri = capture["DestinationS3Uri"]
    if not uri.startswith("s3://") or not uri.removeprefix("s3://").partition("/")[0]:
        raise AwsError("ValidationException", f"DataCaptureConfig: {uri} is no location in Amazon S3.")
    modes = [option["CaptureMode"] for option in capture["CaptureOptions"]]
    if len(set(modes)) < len(modes) or ("InputAndOutput" in modes and len(modes) > 1):
        raise AwsError(
            "ValidationException", f"DataCaptureConfig: CaptureOptions name a boundary twice: {modes}."
        )
    header = capture.get("CaptureContentTypeHeader", {})
    if both := set(header.get("CsvContentTypes", [])) & set(header.get("JsonContentTypes", [])):
        raise AwsError(
            "ValidationException",
            f"DataCaptureConfig: {', '.join(sorted(both))} cannot be both CSV and JSON.",
        )
