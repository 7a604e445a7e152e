"""cloudtrail:LookupEvents over the calls that were made.

Source: API_LookupEvents of the CloudTrail API Reference: management events of one account and region, newest first, at most 50 a page,
one attribute. This history needs no trail.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context
from kit.local_aws.trail import Seen, reads

__all__ = ["lookup_events"]

PAGE = 50


@action("cloudtrail", "LookupEvents")
def lookup_events(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """One page of events. Raises AwsError for more than one attribute, a time range that ends before it begins, or a wrong token."""
    asked = params.get("LookupAttributes", [])
    if len(asked) > 1:
        raise AwsError("InvalidLookupAttributesException", "Only one lookup attribute can be given.")
    start, end = params.get("StartTime"), params.get("EndTime")
    if start and end and start > end:
        raise AwsError("InvalidTimeRangeException", "The start time is after the end time.")
    found = [
        seen
        for seen in ctx.app.trail.events(ctx.account, ctx.region)
        if (start is None or seen.time >= start)
        and (end is None or seen.time <= end)
        and all(_has(seen, one["AttributeKey"], one["AttributeValue"]) for one in asked)
    ]
    if params.get("EventCategory"):
        found = []  # insights, which nothing here computes
    if token := params.get("NextToken"):
        found = found[_after(found, token) :]
    shown = found[: params.get("MaxResults", PAGE)]
    answer: dict[str, Any] = {"Events": [_event(seen) for seen in shown]}
    if len(found) > len(shown):
        answer["NextToken"] = base64.urlsafe_b64encode(shown[-1].id.encode()).decode()
    return answer


def _after(found: list[Seen], token: str) -> int:
    """Where the next page begins: behind the event that the last one ended with, whatever happened since."""
    try:
        last = base64.urlsafe_b64decode(token.encode()).decode()
        return next(at for at, seen in enumerate(found) if seen.id == last) + 1
    except (ValueError, StopIteration):
        raise AwsError("InvalidNextTokenException", "The token is not one of this request's.") from None


_ATTRIBUTES: dict[str, Callable[[Seen], list[str]]] = {
    "EventId": lambda seen: [seen.id],
    "EventName": lambda seen: [seen.action],
    "EventSource": lambda seen: [seen.source],
    "ReadOnly": lambda seen: [str(reads(seen.action)).lower()],
    "Username": lambda seen: [seen.user],
    "AccessKeyId": lambda seen: [seen.who.key if seen.who else ""],
    "ResourceName": lambda seen: [name for _, name in seen.resources()],
    "ResourceType": lambda seen: [kind for kind, _ in seen.resources()],
}


def _has(seen: Seen, attribute: str, value: str) -> bool:
    return value in _ATTRIBUTES[attribute](seen)


def _event(seen: Seen) -> dict[str, Any]:
    return {
        "EventId": seen.id,
        "EventName": seen.action,
        "ReadOnly": str(reads(seen.action)).lower(),
        "AccessKeyId": seen.who.key if seen.who else "",
        "EventTime": seen.time,
        "EventSource": seen.source,
        "Username": seen.user,
        "Resources": [{"ResourceType": kind, "ResourceName": name} for kind, name in seen.resources()],
        "CloudTrailEvent": json.dumps(seen.record(), default=str),
    }
