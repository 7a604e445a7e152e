"""The calls that were made, as CloudTrail keeps them: the last ones in full, and for every principal what it used last.

Sources: "CloudTrail record contents", "Understanding CloudTrail events" (management and data events) of the CloudTrail User Guide;
"Refine permissions using last accessed information" of the IAM User Guide (attempts count, also refused ones).
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kit.local_aws.asks import Ask
from kit.local_aws.authorization import PREFIXES
from kit.local_aws.callers import Caller

__all__ = ["Seen", "Trail", "Use", "is_data", "reads"]

KEPT = 20_000  # management events; AWS keeps 90 days
READS = re.compile(
    r"(Get|List|Describe|Head|Lookup|Search|BatchGet|BatchDescribe|Simulate|Validate|Check|AssumeRole|Query|Test)"
)
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
SOURCES = {"cloudwatch": "monitoring", "tag": "tagging"}
# Calls about what is in a resource, which a trail records only when it is told to.
DATA_SERVICES = ("sagemaker-runtime", "sagemaker-featurestore-runtime", "sagemaker-metrics", "firehose-data")
DATA = {
    "s3": re.compile(r"ListObject|HeadBucket|ListMultipart|DeleteObjects|PostObject"),
    "dynamodb": re.compile(r"(Batch|Transact)?(Get|Put|Update|Delete|Write)Items?$|Query|Scan"),
    "kinesis": re.compile(r"(Put|Get)Records?$|GetShardIterator|SubscribeToShard"),
    "firehose": re.compile(r"PutRecord"),
    "sqs": re.compile(r"(Send|Receive|Delete|ChangeMessageVisibility)"),
    "sns": re.compile(r"Publish"),
    "lambda": re.compile(r"Invoke"),
    "logs": re.compile(r"PutLogEvents|GetLogEvents|FilterLogEvents"),
    "cloudwatch": re.compile(r"PutMetricData|GetMetric"),
    "events": re.compile(r"PutEvents"),
}
TYPES = {
    "s3": "S3",
    "iam": "IAM",
    "kms": "KMS",
    "sqs": "SQS",
    "sns": "SNS",
    "sagemaker": "SageMaker",
    "sts": "STS",
}


@dataclass(frozen=True)
class Seen:
    """One call: who made it, what it was, what it was about, how it ended. `code` is empty where it succeeded."""

    service: str
    action: str
    region: str
    who: Caller | None
    params: Mapping[str, Any]
    asks: tuple[Ask, ...] = ()
    code: str = ""
    message: str = ""
    agent: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def prefix(self) -> str:
        """The service's namespace in policies."""
        return PREFIXES.get(self.service, self.service)

    @property
    def source(self) -> str:
        """The service as CloudTrail names it."""
        return f"{SOURCES.get(self.prefix, self.prefix)}.amazonaws.com"

    @property
    def account(self) -> str:
        """The account that the call was made in."""
        return self.who.account if self.who else ""

    @property
    def user(self) -> str:
        """Who called: the user's name, the session's, or root."""
        if self.who is None:
            return "anonymous"
        return self.who.session or (
            "root" if self.who.entity.endswith(":root") else self.who.entity.rpartition("/")[2]
        )

    def resources(self) -> list[tuple[str, str]]:
        """Types and names of what the call was about; most have a name and an ARN."""
        found: list[tuple[str, str]] = []
        for ask in self.asks:
            for one in _typed(ask.resource):
                if one not in found:
                    found.append(one)
        return found

    def record(self) -> dict[str, Any]:
        """The event as CloudTrail writes it."""
        made: dict[str, Any] = {
            "eventVersion": "1.09",
            "userIdentity": _identity(self.who),
            "eventTime": self.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": self.source,
            "eventName": self.action,
            "awsRegion": self.region,
            "sourceIPAddress": "127.0.0.1",
            "userAgent": self.agent,
            "requestParameters": _parameters(self.service, self.params) or None,
            "responseElements": None,
            "requestID": self.id,
            "eventID": self.id,
            "readOnly": reads(self.action),
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": self.account,
            "eventCategory": "Management",
        }
        if self.code:
            made |= {"errorCode": self.code, "errorMessage": self.message}
        arns = [name for _, name in self.resources() if name.startswith("arn:")]
        if arns:
            made["resources"] = [{"accountId": self.account, "ARN": arn} for arn in arns]
        return made


@dataclass(frozen=True)
class Use:
    """When and where a principal last called a service, and by action."""

    time: datetime
    region: str
    actions: Mapping[str, tuple[datetime, str]]


class Trail:
    """The last management events, newest last, and what each principal used."""

    def __init__(self) -> None:
        self._events: deque[Seen] = deque(maxlen=KEPT)
        self._used: dict[str, dict[str, Use]] = {}
        self._new: deque[Seen] = deque(maxlen=KEPT)  # since `taken` was called
        self._lock = threading.Lock()

    def add(self, seen: Seen) -> None:
        """Note a call; those of AWS's own services are not noted."""
        if seen.who is None or seen.who.service:
            return
        with self._lock:
            if not is_data(seen.service, seen.action, seen.params):
                self._events.append(seen)
                self._new.append(seen)
            used = self._used.setdefault(seen.who.entity, {})
            before = used.get(seen.prefix)
            actions = {**(before.actions if before else {}), seen.action: (seen.time, seen.region)}
            used[seen.prefix] = Use(seen.time, seen.region, actions)

    def events(self, account: str, region: str) -> list[Seen]:
        """The management events of an account in a region, newest first."""
        with self._lock:
            return [one for one in reversed(self._events) if (one.account, one.region) == (account, region)]

    def taken(self) -> tuple[list[Seen], dict[str, dict[str, Use]]]:
        """The events since the last time that somebody asked, and what all principals used."""
        with self._lock:
            new = list(self._new)
            self._new.clear()
            return new, {entity: dict(used) for entity, used in self._used.items()}

    def restore(self, events: list[Seen], used: Mapping[str, Mapping[str, Use]]) -> None:
        """What was taken before, the oldest first."""
        with self._lock:
            self._events.extend(events)
            self._used.update({entity: dict(one) for entity, one in used.items()})

    def used(self, entity: str) -> dict[str, Use]:
        """What a user, a role or a root used, by the services' namespaces."""
        with self._lock:
            return dict(self._used.get(entity, {}))


def reads(action: str) -> bool:
    """Whether CloudTrail calls an action read-only."""
    return bool(READS.match(action))


def is_data(service: str, action: str, params: Mapping[str, Any]) -> bool:
    """Whether a call is a data event: about an object, a record, a message or an invocation."""
    if service in DATA_SERVICES or (service == "s3" and "Key" in params):
        return True
    return service in DATA and bool(DATA[service].match(action))


def _typed(arn: str) -> Iterator[tuple[str, str]]:
    """The type and names of a resource by its ARN."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or "*" in arn:
        return
    service, rest = parts[2], parts[5]
    family = f"AWS::{TYPES.get(service, service.capitalize())}"
    if service == "s3":
        name, _, key = rest.partition("/")
        yield f"{family}::Bucket", name
        if key:
            yield f"{family}::Object", arn
        return
    kind, mark, name = rest.partition("/") if "/" in rest else rest.partition(":")
    if not mark:
        kind, name = {"sqs": "queue", "sns": "topic"}.get(service, "resource"), rest
    word = "".join(piece.capitalize() for piece in kind.split("-"))
    yield f"{family}::{word}", name.rpartition("/")[2] if service == "iam" else name
    yield f"{family}::{word}", arn


def _identity(who: Caller | None) -> dict[str, Any]:
    if who is None:
        return {"type": "Unknown"}
    known = {"arn": who.arn, "accountId": who.account, "accessKeyId": who.key}
    if who.session:
        issuer = {
            "type": "Role",
            "arn": who.entity,
            "accountId": who.account,
            "userName": who.entity.rpartition("/")[2],
        }
        return {"type": "AssumedRole", **known, "sessionContext": {"sessionIssuer": issuer}}
    if who.entity.endswith(":root"):
        return {"type": "Root", **known}
    return {"type": "IAMUser", **known, "userName": who.entity.rpartition("/")[2]}


def _parameters(service: str, params: Mapping[str, Any]) -> dict[str, Any]:
    shown = {_lowered(name): _shown(name, value) for name, value in params.items() if value is not None}
    if service == "s3" and "bucket" in shown:
        shown["bucketName"] = shown.pop("bucket")
        if isinstance(shown.get("policy"), str):
            with contextlib.suppress(ValueError):
                shown["bucketPolicy"] = json.loads(shown.pop("policy"))
    return shown


def _lowered(name: str) -> str:
    return name[:1].lower() + name[1:]


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_lowered(str(key)): _shown(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(name, item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes) or re.search("(?i)password|secret(?!id)|plaintext|token$", name):
        return HIDDEN
    return value
