"""CloudWatch's metrics of invocations: gathered for a moment, then put under AWS/SageMaker.

Names, units, meanings and dimensions: SageMaker Developer Guide, "Monitor Amazon SageMaker with Amazon CloudWatch". The same again with the
dimension EndpointConfigName, so that an alarm can watch a new fleet alone ("Auto-Rollback Configuration and Monitoring").
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.local_aws.protocol import now

if TYPE_CHECKING:
    from kit.local_aws.front import App
    from kit.local_aws.store import Context

__all__ = ["Invocation", "add", "flush"]

NAMESPACE = "AWS/SageMaker"
EVERY = 0.25  # seconds that invocations are gathered; AWS puts metrics once a minute
DATA = 150  # values of one metric in a call, at most
METRICS = 1000  # metrics in a call, at most


@dataclass(frozen=True)
class Invocation:
    """One invocation, as its metrics tell of it: times in microseconds, the status that the model answered with."""

    endpoint: str
    variant: str
    config: str
    instances: int
    status: int
    model: float
    overhead: float


class _Buffer:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.putting = threading.Lock()
        self.waiting = False
        self.held: dict[str, list[Invocation]] = {}  # by region


_buffers: weakref.WeakKeyDictionary[App, _Buffer] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _buffer(app: App) -> _Buffer:
    with _making:
        if app not in _buffers:
            _buffers[app] = _Buffer()
            app.at_stop(lambda: flush(app))
        return _buffers[app]


def add(ctx: Context, invocation: Invocation) -> None:
    """Take an invocation; its metrics are in CloudWatch a moment later."""
    buffer = _buffer(ctx.app)
    with buffer.lock:
        buffer.held.setdefault(ctx.region, []).append(invocation)
        if not buffer.waiting:
            buffer.waiting = True
            ctx.app.background("endpoint-metrics", _put_soon, ctx.app, buffer)


def _put_soon(app: App, buffer: _Buffer) -> None:
    if app.stopping.wait(EVERY):
        return  # the last ones are put as the server ends
    with buffer.lock:
        buffer.waiting = False
    flush(app)


def flush(app: App) -> None:
    """The metrics of every invocation that was taken are in CloudWatch when this returns."""
    buffer = _buffer(app)
    with buffer.putting:
        with buffer.lock:
            held, buffer.held = buffer.held, {}
        for region, invocations in held.items():
            data = list(_data(invocations))
            for start in range(0, len(data), METRICS):
                app.client("cloudwatch", region).put_metric_data(
                    Namespace=NAMESPACE, MetricData=data[start : start + METRICS]
                )


def _data(invocations: Iterable[Invocation]) -> Iterator[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[Invocation]] = {}
    for one in invocations:
        groups.setdefault((one.endpoint, one.variant, ""), []).append(one)
        groups.setdefault((one.endpoint, one.variant, one.config), []).append(one)
    moment = now()
    for names, those in groups.items():
        dimensions = [
            {"Name": name, "Value": value}
            for name, value in zip(("EndpointName", "VariantName", "EndpointConfigName"), names, strict=True)
            if value
        ]
        about = {"Dimensions": dimensions, "Timestamp": moment}
        yield from _counts(those, about)
        for name, values in (
            ("ModelLatency", [one.model for one in those]),
            ("OverheadLatency", [one.overhead for one in those]),
        ):
            for start in range(0, len(values), DATA):
                some = values[start : start + DATA]
                yield {"MetricName": name, "Unit": "Microseconds", "Values": some, **about}


def _counts(invocations: list[Invocation], about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, values in (
        ("Invocations", [1.0 for _ in invocations]),
        ("InvocationsPerInstance", [1 / max(one.instances, 1) for one in invocations]),
        ("Invocation4XXErrors", [float(400 <= one.status < 500) for one in invocations]),
        ("Invocation5XXErrors", [float(one.status >= 500) for one in invocations]),
    ):
        statistics = {
            "SampleCount": float(len(values)),
            "Sum": sum(values),
            "Minimum": min(values),
            "Maximum": max(values),
        }
        yield {"MetricName": name, "Unit": "None", "StatisticValues": statistics, **about}
