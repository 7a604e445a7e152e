"""What the services tell EventBridge: events on the default bus of the account and region.

Source for calls: "Events from AWS services delivered via CloudTrail" of the Amazon EventBridge User Guide: they need a trail that logs,
and do not tell of calls that only read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kit.local_aws.trail import Seen, is_data, reads

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["called", "state_changed", "take_over", "tell"]

DETAIL_BYTES = 200_000  # PutEvents takes 256 KB with everything around it


def take_over() -> None:
    """Has moto leave disabled rules alone, and tell targets the account, as EventBridge does."""
    from moto.events.models import Rule
    from moto.events.utils import EventTemplateParser

    send = Rule.send_to_targets
    if getattr(send, "asks_first", False):
        return

    def send_if_enabled(self: Any, *args: Any, **named: Any) -> None:
        if self.state != "DISABLED":
            send(self, *args, **named)

    send_if_enabled.asks_first = True  # type: ignore[attr-defined]
    setattr(Rule, "send_to_targets", send_if_enabled)  # noqa: B010
    template = EventTemplateParser.DEFAULT_EVENT_INPUT_TEMPLATE
    template = template.replace('"time"', '"account": "<account>", "time"')
    setattr(EventTemplateParser, "DEFAULT_EVENT_INPUT_TEMPLATE", template)  # noqa: B010


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
    """Put "AWS API Call via CloudTrail" on the default bus, where a trail logs and the call was one that changes something."""
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
