"""InvokeEndpoint: the request goes to a variant's containers, and is counted and captured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kit.local_aws import capture, endpoint_metrics, traffic
from kit.local_aws.capture import Exchange
from kit.local_aws.endpoint_metrics import Invocation
from kit.local_aws.fleet import Answer, Fleet, Variant
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__: list[str] = []

MESSAGE = 1024  # characters of a model's message in an error
ELSEWHERE = {
    "TargetModel": "is not a multi-model endpoint",
    "TargetContainerHostname": "does not invoke its containers directly",
    "InferenceComponentName": "has no inference components",
    "SessionId": "has no stateful sessions",
    "EnableExplanations": "has no explainer",
}


@action("sagemaker-runtime", "InvokeEndpoint")
def invoke_endpoint(ctx: Context, params: dict[str, Any]) -> Record:
    """The container's answer; its refusal becomes AWS's ModelError with the original status and message."""
    began = time.perf_counter()
    name = params["EndpointName"]
    for member, why in ELSEWHERE.items():
        if params.get(member):
            raise AwsError("ValidationError", f"{member} cannot be given: endpoint {name} {why}.")
    live = traffic.traffic_of(ctx, name)
    if live is None:
        raise AwsError("ValidationError", f"Endpoint {name} of account {ctx.account} not found.")
    body, headers = params.get("Body", b""), _headers(params)
    with live.invocation(params.get("TargetVariant")) as drawn:
        if drawn is None:
            raise AwsError("ValidationError", f"Variant {params['TargetVariant']} not found for Request")
        fleet, variant = drawn
        sent = time.perf_counter()
        answer = variant.invoke(body, headers)
        took = time.perf_counter() - sent
    _count(ctx, name, fleet, variant, answer, took, time.perf_counter() - began - took)
    if not 200 <= answer.status < 300:
        raise _model_error(ctx, name, variant.stream, answer)
    exchange = Exchange(
        (body, headers["Content-Type"]),
        (answer.body, answer.content_type),
        params.get("InferenceId", ""),
        params.get("CustomAttributes", ""),
    )
    capture.add(ctx, name, fleet, variant, exchange)
    return {
        "Body": answer.body,
        "ContentType": answer.content_type,
        "InvokedProductionVariant": variant.name,
        "CustomAttributes": answer.custom_attributes or None,
    }


def _count(
    ctx: Context, name: str, fleet: Fleet, variant: Variant, answer: Answer, model: float, overhead: float
) -> None:
    of = Invocation(
        name, variant.name, fleet.config, variant.count, answer.status, model * 1e6, overhead * 1e6
    )
    endpoint_metrics.add(ctx, of)


def _headers(params: Mapping[str, Any]) -> dict[str, str]:
    passed = {
        "Content-Type": params.get("ContentType") or "application/octet-stream",
        "Accept": params.get("Accept"),
        "X-Amzn-SageMaker-Custom-Attributes": params.get("CustomAttributes"),
        "X-Amzn-SageMaker-Inference-Id": params.get("InferenceId"),
    }
    return {name: value for name, value in passed.items() if value}


def _model_error(ctx: Context, endpoint: str, stream: str, answer: Answer) -> AwsError:
    status, message = answer.status, answer.body.decode(errors="replace")[:MESSAGE]
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
