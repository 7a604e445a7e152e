"""Scalable targets and scaling policies of endpoint variants: held to the endpoints that there are."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from endpoints import create_config, create_endpoint, create_model, echo, unique
from lab import Lab

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@pytest.fixture
def endpoint(lab: Lab) -> str:
    config = create_config(lab, A=(create_model(lab, echo("a")), 1), B=(create_model(lab, echo("b")), 1))
    return str(create_endpoint(lab, config)["EndpointName"])


def of(endpoint: str, variant: str = "A") -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{variant}",
        "ScalableDimension": DIMENSION,
    }


def register(lab: Lab, endpoint: str, variant: str = "A", least: int = 1, most: int = 4) -> None:
    lab.client("application-autoscaling").register_scalable_target(
        **of(endpoint, variant), MinCapacity=least, MaxCapacity=most
    )


def track(lab: Lab, endpoint: str, variant: str = "A", **config: Any) -> dict[str, Any]:
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    answer: dict[str, Any] = lab.client("application-autoscaling").put_scaling_policy(
        PolicyName="track",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 100.0,
            **(config or {"PredefinedMetricSpecification": metric, "ScaleInCooldown": 300}),
        },
        **of(endpoint, variant),
    )
    return answer


def test_a_variant_is_registered_and_described(lab: Lab, endpoint: str) -> None:
    register(lab, endpoint)
    register(lab, endpoint, most=6)
    described = lab.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[of(endpoint)["ResourceId"]]
    )
    [target] = described["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 6)


def test_a_tracking_policy_has_its_two_alarms_on_the_variant(lab: Lab, endpoint: str) -> None:
    register(lab, endpoint)
    made = track(lab, endpoint)
    names = [alarm["AlarmName"] for alarm in made["Alarms"]]
    assert [name.split("Alarm")[1].split("-")[0] for name in names] == ["High", "Low"]
    alarms = lab.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    high = next(alarm for alarm in alarms if "AlarmHigh" in alarm["AlarmName"])
    assert (high["MetricName"], high["Threshold"]) == ("InvocationsPerInstance", 100.0)
    assert {d["Name"]: d["Value"] for d in high["Dimensions"]} == {
        "EndpointName": endpoint,
        "VariantName": "A",
    }
    assert high["AlarmActions"] == [made["PolicyARN"]]
    [policy] = lab.client("application-autoscaling").describe_scaling_policies(**of(endpoint))[
        "ScalingPolicies"
    ]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 100.0


def test_a_policy_that_is_put_again_replaces_its_alarms(lab: Lab, endpoint: str) -> None:
    register(lab, endpoint)
    first, second = (track(lab, endpoint)["Alarms"] for _ in range(2))
    prefix = f"TargetTracking-{of(endpoint)['ResourceId']}"
    held = lab.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in held} == {alarm["AlarmName"] for alarm in second}
    assert len(first) == len(second) == 2


def test_policies_and_alarms_go_with_their_target_and_that_with_its_endpoint(lab: Lab, endpoint: str) -> None:
    scaling = lab.client("application-autoscaling")
    for variant in "AB":
        register(lab, endpoint, variant)
        names = [alarm["AlarmName"] for alarm in track(lab, endpoint, variant)["Alarms"]]
    scaling.deregister_scalable_target(**of(endpoint, "A"))
    assert scaling.describe_scaling_policies(**of(endpoint, "A"))["ScalingPolicies"] == []
    assert len(scaling.describe_scaling_policies(**of(endpoint, "B"))["ScalingPolicies"]) == 1
    lab.client("sagemaker").delete_endpoint(EndpointName=endpoint)
    resources = [of(endpoint, variant)["ResourceId"] for variant in "AB"]
    left = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=resources)
    assert left["ScalableTargets"] == []
    assert lab.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"] == []


def test_what_cannot_scale_is_refused(lab: Lab, endpoint: str) -> None:
    with pytest.raises(ClientError, match="Could not find endpoint"):
        register(lab, "no-such-endpoint")
    with pytest.raises(ClientError, match='Could not find variant "C"'):
        register(lab, endpoint, "C")
    with pytest.raises(ClientError, match="Maximum capacity cannot be less than minimum capacity"):
        register(lab, endpoint, least=3, most=2)
    with pytest.raises(ClientError, match="MinCapacity and MaxCapacity are needed"):
        lab.client("application-autoscaling").register_scalable_target(**of(endpoint), MinCapacity=1)
    with pytest.raises(ClientError, match="Unsupported service namespace"):
        lab.client("application-autoscaling").register_scalable_target(
            **{**of(endpoint), "ResourceId": f"endpoint/{endpoint}"}, MinCapacity=1, MaxCapacity=2
        )
    with pytest.raises(ClientError, match="No scalable target registered for service namespace: sagemaker"):
        track(lab, endpoint)
    register(lab, endpoint)
    with pytest.raises(ClientError, match="needs either a PredefinedMetricSpecification"):
        track(lab, endpoint, ScaleInCooldown=1)
    with pytest.raises(ClientError, match="is not one of service namespace sagemaker"):
        track(
            lab,
            endpoint,
            PredefinedMetricSpecification={"PredefinedMetricType": "DynamoDBReadCapacityUtilization"},
        )


def test_burstable_instances_do_not_scale(lab: Lab) -> None:
    config = unique("config")
    lab.client("sagemaker").create_endpoint_config(
        EndpointConfigName=config,
        ProductionVariants=[
            {
                "VariantName": "A",
                "ModelName": create_model(lab, echo("a")),
                "InitialInstanceCount": 1,
                "InstanceType": "ml.t2.medium",
            }
        ],
    )
    with pytest.raises(ClientError, match="is a burstable instance type"):
        register(lab, create_endpoint(lab, config)["EndpointName"])


def test_a_registered_variant_cannot_be_removed_by_an_update(lab: Lab, endpoint: str) -> None:
    register(lab, endpoint)
    other = create_config(lab, B=(create_model(lab, echo("b")), 1))
    sagemaker = lab.client("sagemaker")
    with pytest.raises(ClientError, match="must be deregistered as scalable targets with AWS Auto Scaling"):
        sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=other)
    lab.client("application-autoscaling").deregister_scalable_target(**of(endpoint))
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=other)
    assert [v["VariantName"] for v in lab.endpoint(endpoint, "InService")["ProductionVariants"]] == ["B"]
