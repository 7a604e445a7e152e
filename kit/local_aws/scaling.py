"""Application Auto Scaling of endpoint variants: what moto keeps is held to the endpoints that there are. Nothing scales by itself.

Source: SageMaker Developer Guide, "Automatically scale Amazon SageMaker models", and the API reference of Application Auto Scaling.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kit.local_aws import traffic
from kit.local_aws.front import after, before
from kit.local_aws.kinds import kind_of
from kit.local_aws.protocol import AwsError

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["check_update", "forget"]

SERVICE, NAMESPACE = "application-autoscaling", "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
RESOURCE = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")
BURSTABLE = re.compile(r"ml\.t\d")
PER_INSTANCE = "SageMakerVariantInvocationsPerInstance"
# What an alarm of a target tracking policy watches: its statistic, high and low periods (of a minute each) before it trips.
METRICS = {PER_INSTANCE: ("InvocationsPerInstance", "Sum")}
HIGH, LOW, LOW_SHARE = 3, 15, 0.9


def _take_over() -> None:
    """Has moto make the alarms of a target tracking policy of a variant, as it does for other services."""
    from moto.applicationautoscaling.models import FakeApplicationAutoscalingPolicy as Policy

    made = Policy.create_alarms
    if getattr(made, "knows_sagemaker", False):
        return

    def create_alarms(self: Any) -> None:
        made(self)
        if self.service_namespace == NAMESPACE and self.policy_type == "TargetTrackingScaling":
            self.alarms += _alarms(self)

    create_alarms.knows_sagemaker = True  # type: ignore[attr-defined]
    setattr(Policy, "create_alarms", create_alarms)  # noqa: B010


def _alarms(policy: Any) -> list[Any]:
    from moto.cloudwatch.models import cloudwatch_backends

    config = policy.target_tracking_scaling_policy_configuration
    own = config.get("CustomizedMetricSpecification", {})
    named = METRICS.get(config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", ""))
    resource = RESOURCE.fullmatch(policy.resource_id)
    if resource is None or not (own.get("MetricName") or named):
        return []
    name, statistic = (own["MetricName"], own["Statistic"]) if own else named or ("", "")
    dimensions = own.get("Dimensions") or [
        {"Name": "EndpointName", "Value": resource["endpoint"]},
        {"Name": "VariantName", "Value": resource["variant"]},
    ]
    backend, target = cloudwatch_backends[policy.account_id][policy.region_name], config["TargetValue"]
    return [
        backend.put_metric_alarm(
            name=f"TargetTracking-{policy.resource_id}-Alarm{side}-{uuid.uuid4()}",
            namespace=own.get("Namespace", "AWS/SageMaker"),
            metric_name=name,
            metric_data_queries=[],
            comparison_operator=f"{comparison}Threshold",
            evaluation_periods=periods,
            period=60,
            threshold=threshold,
            statistic=statistic,
            description=f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy.policy_arn}.",
            dimensions=dimensions,
            alarm_actions=[policy.policy_arn],
        )
        for side, comparison, periods, threshold in (
            ("High", "GreaterThan", HIGH, float(target)),
            ("Low", "LessThan", LOW, float(target) * LOW_SHARE),
        )
    ]


def _ours(params: Mapping[str, Any]) -> bool:
    return params.get("ServiceNamespace") == NAMESPACE and params.get("ScalableDimension") == DIMENSION


@before(SERVICE, "RegisterScalableTarget")
def check_target(ctx: Context, params: dict[str, Any]) -> None:
    """Raise ValidationException unless the variant is in service, of a type that scales, and the capacities are in order."""
    if not _ours(params):
        return
    named = RESOURCE.fullmatch(params["ResourceId"])
    if named is None:
        raise AwsError(
            "ValidationException", "Unsupported service namespace, resource type or scalable dimension"
        )
    live = traffic.traffic_of(ctx, named["endpoint"])
    arn = kind_of("Endpoint").arn_of(ctx.account, ctx.region, named["endpoint"])
    variant = live.fleet.pick(named["variant"]) if live else None
    if live is None:
        raise AwsError("ValidationException", f'Could not find endpoint "{arn}".')
    if variant is None:
        raise AwsError(
            "ValidationException", f'Could not find variant "{named["variant"]}" of endpoint "{arn}".'
        )
    if BURSTABLE.match(variant.config["InstanceType"]):
        raise AwsError(
            "ValidationException",
            f"Variant {variant.name} cannot scale: {variant.config['InstanceType']} is a burstable instance type.",
        )
    held = _targets(ctx, named["endpoint"]).get(variant.name)
    least = params.get("MinCapacity", held.min_capacity if held else None)
    most = params.get("MaxCapacity", held.max_capacity if held else None)
    if least is None or most is None:
        raise AwsError(
            "ValidationException", "MinCapacity and MaxCapacity are needed to register a new scalable target."
        )
    if least > most:
        raise AwsError("ValidationException", "Maximum capacity cannot be less than minimum capacity")


@before(SERVICE, "PutScalingPolicy")
def check_policy(ctx: Context, params: dict[str, Any]) -> None:
    """Raise unless the variant is registered, and the policy says what to track."""
    if not _ours(params):
        return
    _take_over()
    named = RESOURCE.fullmatch(params["ResourceId"])
    if named is None or named["variant"] not in _targets(ctx, named["endpoint"]):
        raise AwsError(
            "ObjectNotFoundException",
            f"No scalable target registered for service namespace: {NAMESPACE}, resource ID: {params['ResourceId']},"
            f" scalable dimension: {DIMENSION}",
        )
    config = params.get("TargetTrackingScalingPolicyConfiguration", {})
    given = [m for m in ("PredefinedMetricSpecification", "CustomizedMetricSpecification") if config.get(m)]
    if params.get("PolicyType") == "TargetTrackingScaling" and len(given) != 1:
        raise AwsError(
            "ValidationException",
            "A target tracking policy needs either a PredefinedMetricSpecification or a CustomizedMetricSpecification.",
        )
    kind = config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", PER_INSTANCE)
    if not kind.startswith("SageMakerVariant"):
        raise AwsError(
            "ValidationException", f"Metric type {kind} is not one of service namespace {NAMESPACE}."
        )
    for policy in _backend(
        ctx
    ).policies.values():  # moto makes new alarms, and leaves those of the policy that is replaced
        if policy.resource_id == params["ResourceId"] and policy.policy_name == params["PolicyName"]:
            policy.delete_alarms(ctx.account, ctx.region)
            policy.alarms = []


@after(SERVICE, "DeregisterScalableTarget")
def forget_policies(ctx: Context, params: dict[str, Any]) -> None:
    """The scaling policies of a target go with it."""
    if _ours(params):
        _forget(ctx, params["ResourceId"])


def _forget(ctx: Context, resource: str) -> None:
    backend = _backend(ctx)
    for policy in list(backend.policies.values()):
        if policy.service_namespace == NAMESPACE and policy.resource_id == resource:
            backend.delete_scaling_policy(policy.policy_name, NAMESPACE, resource, DIMENSION)


def _backend(ctx: Context) -> Any:
    from moto.applicationautoscaling.models import applicationautoscaling_backends

    return applicationautoscaling_backends[ctx.account][ctx.region]


def _targets(ctx: Context, endpoint: str) -> dict[str, Any]:
    """The scalable targets of an endpoint by variant."""
    found = {}
    for resource, target in _backend(ctx).targets.get(DIMENSION, {}).items():
        named = RESOURCE.fullmatch(resource)
        if named and named["endpoint"] == endpoint:
            found[named["variant"]] = target
    return found


def check_update(ctx: Context, endpoint: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Raise for an update that removes a variant that is a scalable target, or changes its instance type ({variant: type})."""
    lost = [name for name in _targets(ctx, endpoint) if new.get(name) != old.get(name)]
    if lost:
        raise AwsError(
            "ValidationException",
            f'The variant(s) "[{", ".join(lost)}]" must be deregistered as scalable targets with AWS Auto Scaling before they can'
            " be removed or have their instance type updated.",
        )


def forget(ctx: Context, endpoint: str) -> None:
    """Deregister the variants of an endpoint that is deleted, as SageMaker does."""
    for variant in _targets(ctx, endpoint):
        resource = f"endpoint/{endpoint}/variant/{variant}"
        _forget(ctx, resource)
        _backend(ctx).deregister_scalable_target(NAMESPACE, resource, DIMENSION)
