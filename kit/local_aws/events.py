"""What the services tell EventBridge: events on the default bus of the account and region.

Source for calls: "Events from AWS services delivered via CloudTrail" of the Amazon EventBridge User Guide: they need a trail that logs,
and do not tell of calls that only read.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kit.local_aws import trail_logs
from kit.local_aws.targets import Source, deliver
from kit.local_aws.trail import Seen, is_data, reads

if TYPE_CHECKING:
    from kit.local_aws.front import App
    from kit.local_aws.store import Context

__all__ = ["called", "source_of", "state_changed", "take_over", "tell"]

DETAIL_BYTES = 200_000  # PutEvents takes 256 KB with everything around it


_apps: weakref.WeakValueDictionary[str, App] = weakref.WeakValueDictionary()


def take_over(app: App) -> None:
    """Has the app deliver what rules match, in place of moto: in the background, to all targets, and to none of a disabled rule.

    moto's rules are the process's, so they find by their account the app that delivers; the last one has all other accounts.
    """
    from moto.events.models import Rule

    _apps[app.account] = _apps[""] = app

    def send_to_targets(self: Any, original_event: Mapping[str, Any], transform_input: bool = True) -> None:
        if self.state == "DISABLED" or (self.scheduled_expression and not self.event_pattern.get_pattern()):
            return
        if self.event_pattern.matches_event(original_event):
            _matched(_apps.get(self.account_id) or _apps[""], self, original_event)

    setattr(Rule, "send_to_targets", send_to_targets)  # noqa: B010


def source_of(rule: Any) -> Source:
    """Who delivers for a rule of moto's."""
    return Source(
        "events.amazonaws.com",
        rule.arn,
        rule.name,
        rule.region_name,
        rule.role_arn or "",
        rule.event_bus_name,
    )


def _matched(app: App, rule: Any, event: Mapping[str, Any]) -> None:
    """Have an event taken to the targets of a rule."""
    names = ("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")
    told = {name: event[name] for name in names}
    told["time"] = _moment(event["time"])
    for target in list(rule.targets):
        _, _, service, _, _, rest = target["Arn"].split(":", 5)
        if service == "events" and not rest.strip(":"):  # moto's own rule of an archive
            from moto.events.models import events_backends

            archives = events_backends[rule.account_id][rule.region_name].archives
            archives[rule.name.removeprefix("Events-Archive-")].events.append(dict(event))  # type: ignore[arg-type]
        else:
            app.courier.send(deliver, app, source_of(rule), dict(target), told)


def _moment(time: Any) -> str:
    """The time of an event as EventBridge writes it: UTC, to the second."""
    if isinstance(time, str):
        return time
    moment = time if isinstance(time, datetime) else datetime.fromtimestamp(float(time), UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tell(
    account: str,
    region: str,
    source: str,
    kind: str,
    detail: Mapping[str, Any],
    resources: Sequence[str] = (),
) -> None:
    """Put an event on the default bus; nothing happens where no rule waits for any."""
    from moto.events.models import events_backends

    backend = events_backends[account][region]
    text = json.dumps(detail, default=_plain)
    if not backend.describe_event_bus("default").rules or len(text) > DETAIL_BYTES:
        return
    entry = {"Source": source, "DetailType": kind, "Resources": list(resources), "Detail": text}
    backend.put_events([entry])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)  # SageMaker's events hold times in milliseconds
    raise TypeError(f"{type(value).__name__} cannot be told to EventBridge")


def state_changed(ctx: Context, what: str, arn: str, record: Mapping[str, Any]) -> None:
    """Put "SageMaker {what} State Change" with the record's public members on the default bus."""
    detail = {k: v for k, v in record.items() if not k.startswith("_") and v is not None}
    tell(ctx.account, ctx.region, "aws.sagemaker", f"SageMaker {what} State Change", detail, [arn])


def called(seen: Seen) -> None:
    """Put "AWS API Call via CloudTrail" on the default bus, where a trail logs and the call was one that changes something.

    Trails that write into a log group have it, too, and the calls that only read.
    """
    trail_logs.record(seen)
    if seen.who is None or seen.who.service or reads(seen.action):
        return
    if not is_data(seen.service, seen.action, seen.params) and _logged(seen.account, seen.region):
        record = json.loads(json.dumps(seen.record(), default=str))
        tell(seen.account, seen.region, f"aws.{seen.prefix}", "AWS API Call via CloudTrail", record)


def _logged(account: str, region: str) -> bool:
    """Whether a trail of the account logs what happens in the region."""
    from moto.cloudtrail.models import cloudtrail_backends

    return any(
        trail.status.is_logging and (trail.is_multi_region or home == region)
        for home, backend in list(cloudtrail_backends[account].items())
        for trail in list(backend.trails.values())
    )
