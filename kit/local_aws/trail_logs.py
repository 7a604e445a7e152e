"""What a trail writes into its log group: every call that it records, a second or so after it was made.

Source: "Sending events to CloudWatch Logs" of the CloudTrail User Guide.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws.targets import Source, Undeliverable, as_role
from kit.local_aws.trail import Seen, is_data

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["record", "write"]

KEPT = 5_000  # records that wait to be written
BATCH = 500  # records in one PutLogEvents
log = logging.getLogger(__name__)
_waiting: dict[tuple[str, str], list[Seen]] = defaultdict(list)
_lock = threading.Lock()


def record(seen: Seen) -> None:
    """Keep a call for the log groups of trails; nothing where it is not recorded."""
    if seen.who is None or seen.who.service or is_data(seen.service, seen.action, seen.params):
        return
    if not _groups(seen.account, seen.region):
        return
    with _lock:
        waiting = _waiting[seen.account, seen.region]
        waiting.append(seen)
        del waiting[:-KEPT]


def _groups(account: str, region: str) -> list[Any]:
    """The trails that record what happens in the region, and write it into a log group."""
    from moto.cloudtrail.models import cloudtrail_backends

    return [
        trail
        for home, backend in list(cloudtrail_backends[account].items())
        for trail in list(backend.trails.values())
        if trail.status.is_logging and trail.cw_log_group_arn and (trail.is_multi_region or home == region)
    ]


def write(app: App) -> None:
    """Write the calls that wait into the log groups of their trails, as the trails' roles."""
    with _lock:
        taken = dict(_waiting)
        _waiting.clear()
    for (account, region), calls in taken.items():
        for trail in _groups(account, region):
            try:
                _write(app, trail, account, region, calls)
            except (Undeliverable, ClientError) as problem:
                log.warning("trail %s does not write to its log group: %s", trail.trail_name, problem)


def _write(app: App, trail: Any, account: str, region: str, calls: list[Seen]) -> None:
    home = trail.region_name
    source = Source("cloudtrail.amazonaws.com", trail.arn, trail.trail_name, home)
    logs = as_role(app, source, trail.cw_role_arn or "").client("logs", home)
    group = trail.cw_log_group_arn.split(":log-group:", 1)[1].removesuffix(":*")
    stream = f"{account}_CloudTrail_{region}"
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    lines = [
        {"timestamp": int(call.time.timestamp() * 1000), "message": json.dumps(call.record(), default=str)}
        for call in sorted(calls, key=lambda call: call.time)
    ]
    for start in range(0, len(lines), BATCH):
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=lines[start : start + BATCH])
