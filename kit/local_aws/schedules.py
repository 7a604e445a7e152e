"""What happens because time passes: scheduled rules of EventBridge, schedules of EventBridge Scheduler, alarms whose period ended,
calls that a trail writes down.

moto keeps rules and schedules. A rehearsal need not wait for one to come due: `POST /_local/fire` (`kit local fire NAME`) has it
happen now. Sources: "Creating a rule that runs on a schedule" of the EventBridge User Guide, the EventBridge Scheduler User Guide.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kit.local_aws import alarms, cron, events, trail_logs
from kit.local_aws.front import before, local
from kit.local_aws.gateway import not_implemented
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context
from kit.local_aws.targets import SDK, SERVICES, Source, deliver

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["fire", "start"]

TICK = 1.0  # seconds between two looks at the clock; EventBridge's finest schedule is a minute
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scheduled:
    """A rule or schedule that is enabled or not, and how it is said when it comes due."""

    source: Source
    targets: tuple[Mapping[str, Any], ...]
    expression: str
    enabled: bool
    zone: str = "UTC"
    begin: datetime | None = None
    end: datetime | None = None

    def happen(self, app: App) -> None:
        """Have its targets told now."""
        event: dict[str, Any] = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events" if self.source.service == "events.amazonaws.com" else "aws.scheduler",
            "account": self.source.account,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.source.region,
            "resources": [self.source.arn],
            "detail": {},
        }
        for target in self.targets:
            app.courier.send(deliver, app, self.source, target, event)

    def due(self, after: datetime, until: datetime) -> bool:
        """Whether it comes due between two moments, the second included."""
        if not self.enabled or (self.begin and until < self.begin) or (self.end and after >= self.end):
            return False
        return cron.due(self.expression, after, until, self.begin, self.zone)


@before("events", "PutRule")
def check_rule(ctx: Context, params: Mapping[str, Any]) -> None:
    """Refuses a schedule that does not hold together."""
    if expression := params.get("ScheduleExpression"):
        _check(expression)


@before("scheduler", "CreateSchedule", "UpdateSchedule")
def check_schedule(ctx: Context, params: Mapping[str, Any]) -> None:
    """Refuses a schedule that does not hold together, and a target that nothing is delivered to."""
    _check(params["ScheduleExpression"])
    _check_target(params["Target"])


@before("events", "PutTargets")
def check_targets(ctx: Context, params: Mapping[str, Any]) -> None:
    """Refuses targets that nothing is delivered to, and pipelines without a role to start them."""
    for target in params["Targets"]:
        _check_target(target)
        said = [name for name in ("Input", "InputPath", "InputTransformer") if target.get(name)]
        if len(said) > 1:
            raise AwsError(
                "ValidationException",
                f"Only one of Input, InputPath, or InputTransformer must be provided for target {target['Id']}.",
            )


def _check(expression: str) -> None:
    try:
        cron.check(expression)
    except ValueError:
        raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.") from None


def _check_target(target: Mapping[str, Any]) -> None:
    arn = target["Arn"]
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if not service:
        raise AwsError("ValidationException", f"Provided Arn is not in correct format. Target: {arn}.")
    if service not in SERVICES and not arn.startswith(SDK):
        raise not_implemented(
            "events",
            f"targets of {service}; it delivers to SageMaker pipelines, SNS, SQS, logs and event buses",
        )
    if service == "sagemaker" and not target.get("RoleArn"):
        raise AwsError("ValidationException", f"RoleArn is required for target {arn}.")


def _all() -> Iterator[_Scheduled]:
    """Every scheduled rule and every schedule of all accounts and regions."""
    for backend in _backends("events"):
        for rule in list(backend.event_buses["default"].rules.values()):
            if rule.scheduled_expression:
                targets = tuple(dict(target) for target in rule.targets)
                enabled = rule.state != "DISABLED"
                yield _Scheduled(events.source_of(rule), targets, rule.scheduled_expression, enabled)
    for backend in _backends("scheduler"):
        for group in list(backend.schedule_groups.values()):
            yield from (_of(one, backend.region_name) for one in list(group.schedules.values()))


def _backends(service: str) -> list[Any]:
    from moto.backends import get_backend

    held: Any = get_backend(service)  # type: ignore[call-overload]
    return [backend for regions in list(held.values()) for backend in list(regions.values())]


def _of(one: Any, region: str) -> _Scheduled:
    source = Source("scheduler.amazonaws.com", one.arn, one.name, region)
    begin = one.start_date or one.creation_date
    return _Scheduled(
        source,
        (one.target,),
        one.schedule_expression,
        one.state == "ENABLED",
        one.schedule_expression_timezone,
        datetime.fromtimestamp(float(begin), UTC),
        datetime.fromtimestamp(float(one.end_date), UTC) if one.end_date else None,
    )


@local("fire")
def fire(app: App, name: str) -> dict[str, Any]:
    """Have a scheduled rule or a schedule happen now; says what it tells. Raises AwsError where there is none, or it is disabled."""
    known = list(_all())
    found = [one for one in known if name in (one.source.name, one.source.arn)]
    if not found:
        names = ", ".join(sorted(one.source.name for one in known)) or "none"
        raise AwsError(
            "ResourceNotFoundException", f"There is no scheduled rule {name}; there are: {names}.", 404
        )
    if not found[0].enabled:
        raise AwsError("ValidationException", f"The rule {name} is disabled.")
    found[0].happen(app)
    return {"arn": found[0].source.arn, "targets": [target["Arn"] for target in found[0].targets]}


def start(app: App) -> None:
    """Watch the clock as long as the app lives."""
    threading.Thread(target=_watch, args=(app,), name="clock", daemon=True).start()


def _watch(app: App) -> None:
    after = time.time()
    while not app.stopping.wait(TICK):
        until = time.time()
        try:
            trail_logs.write(app)
            app.keeper.tick()
            alarms.evaluate_all(app, after, until)
            span = datetime.fromtimestamp(after, UTC), datetime.fromtimestamp(until, UTC)
            for one in _all():
                with contextlib.suppress(ValueError):  # moto takes names and expressions that are none
                    if one.due(*span):
                        one.happen(app)
        except Exception:
            log.exception("the clock's tick failed")
        after = until
