"""What the event made in the account, found by its register and its tags; what it would cost; and its deletion.

The register is the journal: every call that made something was noted there. What neither the register nor a tag of the
event names, and what is in nothing that they name, is somebody else's and is never touched.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from all_kinds import KINDS, by_arn, kind
from botocore.exceptions import BotoCoreError, ClientError
from kinds import ENDED, GONE, THERE, Kind, missing

__all__ = [
    "Outcome",
    "Thing",
    "account_name",
    "board_bucket",
    "clients",
    "deleted",
    "everything",
    "left",
    "others",
    "registered",
    "tagged",
    "to_keep",
    "told",
    "unknown",
]

VERBS = ("Create", "Put", "Register", "Enable", "Deregister", "Delete", "Disable", "Schedule")
SAME = {"Alarms": "MetricAlarm", "Dashboards": "Dashboard", "KeyDeletion": "Key"}
"""How Delete calls name what Create and Put calls name otherwise."""
FAILED = (ClientError, BotoCoreError, LookupError)


@dataclass(frozen=True)
class Thing:
    """Something in the account. `known`: how it was found (register, tag, or what it is in); `card`: whose runbook made it."""

    kind: Kind
    keys: Mapping[str, str]
    known: tuple[str, ...]
    card: str = ""
    state: str = ""
    label: str = ""

    @property
    def id(self) -> tuple[str, ...]:
        """The same for the same thing however it was found: services write names in ARNs in lower case."""
        return (self.kind.id, *(value.lower() for _, value in sorted(self.keys.items())))

    @property
    def name(self) -> str:
        """What a person calls it."""
        if self.label:
            return self.label
        names = [
            value.rpartition(":")[2] if value.startswith("arn:") else value for value in self.keys.values()
        ]
        return " / ".join(names)


@dataclass(frozen=True)
class Outcome:
    """What became of a thing: deleted, kept, ended (work that is over: a record) or refused, and then why."""

    thing: Thing
    became: str
    why: str = ""


def account_name(session: Any) -> set[str]:
    """What the account is called: its number and its alias. A rehearsal's alias is `rehearsal`."""
    number = session.client("sts").get_caller_identity()["Account"]
    return {number, *session.client("iam").list_account_aliases()["AccountAliases"]}


def clients(session: Any) -> Callable[[str], Any]:
    """Service -> client; each is made once."""
    return functools.cache(session.client)


# Finding


def registered(events: Iterable[Any], account: str, at: Callable[[str], Any]) -> list[Thing]:
    """What the journal says that runbooks made in this account and have not deleted, oldest first."""
    found: dict[tuple[str, str, str], Thing] = {}
    for event in sorted(events, key=lambda e: (e.ts, e.id)):
        if event.type not in ("made", "removed") or event.account != account:
            continue
        told = event.data
        name = next((told["operation"].removeprefix(v) for v in VERBS if told["operation"].startswith(v)), "")
        one = kind(told["service"], SAME.get(name, name))
        if event.type == "removed":
            for gone in str(told["name"]).split(", "):
                found.pop((one.service, one.name, gone), None)
            continue
        keys = one.named(told.get("keys", {}), told["arn"], told["name"], at(one.service))
        label = told["name"] if len(one.keys) < 2 else " ".join(keys.values())
        shown = told["name"] if one.name == "PermissionSet" or not keys else ""
        found[one.service, one.name, label] = Thing(one, keys, ("register",), event.card, label=shown)
    return list(found.values())


def tagged(tag: Mapping[str, str], at: Callable[[str], Any]) -> Iterator[Thing]:
    """What has the tag of the event, by the tagging API; and roles and policies, which that does not know."""
    pages = at("resourcegroupstaggingapi").get_paginator("get_resources")
    for page in pages.paginate(TagFilters=[{"Key": tag["Key"], "Values": [tag["Value"]]}]):
        for row in page["ResourceTagMappingList"]:
            one, keys = by_arn(row["ResourceARN"]) or (Kind("?", "?"), {"ARN": row["ResourceARN"]})
            card = next((t["Value"] for t in row["Tags"] if t["Key"] == "eba:card"), "")
            yield Thing(one, keys, ("tag",), card)
    iam = at("iam")
    for page in iam.get_paginator("list_roles").paginate():
        for row in page["Roles"]:
            if dict(tag) in iam.list_role_tags(RoleName=row["RoleName"])["Tags"]:
                yield Thing(kind("iam", "Role"), {"RoleName": row["RoleName"]}, ("tag",))
    for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
        for row in page["Policies"]:
            if dict(tag) in iam.list_policy_tags(PolicyArn=row["Arn"])["Tags"]:
                yield Thing(kind("iam", "Policy"), {"PolicyArn": row["Arn"]}, ("tag",))


def everything(session: Any, events: Iterable[Any], account: str, tag: Mapping[str, str]) -> list[Thing]:
    """All that the event made and that is there, in the order in which it is to be deleted."""
    at = clients(session)
    found: dict[tuple[str, ...], Thing] = {}
    todo = [*registered(events, account, at), *tagged(tag, at)]
    while todo:
        thing = todo.pop(0)
        if thing.id in found:
            held = found[thing.id]
            found[thing.id] = replace(
                held, known=tuple(dict.fromkeys(held.known + thing.known)), card=held.card or thing.card
            )
            continue
        thing = replace(thing, state=_state(thing, at))
        if thing.state != GONE and thing.kind.within:
            try:
                todo += _parts(thing, at)
            except FAILED as error:
                thing = replace(thing, state=f"unknown: what is in it ({_why(error)})")
        found[thing.id] = thing
    there = [thing for thing in found.values() if thing.state != GONE]
    return sorted(there, key=lambda thing: _rank(thing.kind))


def _parts(thing: Thing, at: Callable[[str], Any]) -> list[Thing]:
    """What is in a thing or belongs to it."""
    assert thing.kind.within
    found = []
    try:
        for name, keys in thing.kind.within(at, thing.keys):
            known = (kind(*name.split(".", 1)), keys) if name else by_arn(keys["Arn"])
            if known:
                found.append(Thing(*known, (f"in {thing.kind.name} {thing.name}",), thing.card))
    except ClientError as error:
        if not missing(error):  # it went while it was looked at
            raise
    return found


def _state(thing: Thing, at: Callable[[str], Any]) -> str:
    try:
        return thing.kind.state(at, thing.keys)
    except FAILED as error:
        return f"unknown: {_why(error)}"


def _rank(one: Kind) -> int:
    """Its place among the kinds; what the table does not have comes before buckets and roles."""
    ids = [known.id for known in KINDS]
    return ids.index(one.id) if one.id in ids else ids.index("s3.Bucket") - 1


def _why(error: Exception) -> str:
    return str(error).partition("operation: ")[2] or str(error)


# Deleting


def deleted(
    things: Sequence[Thing],
    session: Any,
    *,
    keep: Iterable[str] = (),
    poll: float = 1,
    patience: float = 900,
) -> list[Outcome]:
    """Delete the things, kind after kind, and wait until they are gone; what a service refuses is told, and the rest goes on.

    What was refused is tried again as long as something else went meanwhile: it may have stood in the way.

    Args:
        keep: names of things to leave.
        poll: seconds between two looks.
        patience: seconds that a thing has to go.
    """
    at, kept = clients(session), set(keep)
    found = {
        thing.id: Outcome(thing, "kept" if thing.name in kept else "ended" if thing.state == ENDED else "")
        for thing in things
    }
    todo = [thing for thing in things if not found[thing.id].became]
    while todo:
        refused = []
        for one in dict.fromkeys(thing.kind for thing in todo):
            same = [thing for thing in todo if thing.kind == one]
            outcomes = [Outcome(thing, *_deleted(thing, at)) for thing in same]
            for outcome in outcomes:
                if outcome.became == "deleted":
                    outcome = _gone(outcome.thing, at, poll, patience)
                found[outcome.thing.id] = outcome
                if outcome.became == "refused":
                    refused.append(outcome.thing)
        if len(refused) == len(todo):
            break
        todo = refused
    return list(found.values())


def _deleted(thing: Thing, at: Callable[[str], Any]) -> tuple[str, str]:
    try:
        thing.kind.delete(at, thing.keys)
    except ClientError as error:
        return ("deleted", "") if missing(error) else ("refused", _why(error))
    except (BotoCoreError, LookupError) as error:
        return "refused", _why(error)
    return "deleted", ""


def _gone(thing: Thing, at: Callable[[str], Any], poll: float, patience: float) -> Outcome:
    """Wait until a thing that is being deleted (or stopped) has gone."""
    until = time.monotonic() + patience
    while (state := _state(thing, at)) not in (GONE, ENDED):
        if state != THERE or time.monotonic() > until:
            why = state if state != THERE else f"still there after {patience:g} seconds"
            return Outcome(thing, "refused", why)
        time.sleep(poll)
    return Outcome(thing, "deleted" if state == GONE else "ended")


def unknown(things: Iterable[Thing]) -> list[str]:
    """Things that nobody can tell or delete here, and why."""
    return [
        f"{thing.kind.id} {thing.name}: {thing.state}"
        for thing in things
        if thing.state.startswith("unknown")
    ]


def board_bucket() -> list[str]:
    """The bucket in which the board itself lies, if it lies in one: it is kept."""
    place = os.environ.get("KIT_BOARD", "")
    return [place.removeprefix("s3://").partition("/")[0]] if place.startswith("s3://") else []


def to_keep(session: Any, keep: Iterable[str]) -> list[str]:
    """What is to be kept, the bucket of the board, and the keys without which nobody could read kept buckets."""
    at, names = clients(session), {*keep, *board_bucket()}
    for name in sorted(names):
        try:
            rules = at("s3").get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
            for rule in rules:
                key = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID", "")
                if key:
                    held = at("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyId"]
                    aliases = at("kms").list_aliases(KeyId=held)["Aliases"]
                    names |= {held, *(alias["AliasName"] for alias in aliases)}
        except FAILED:
            continue  # it is no bucket, or has no key of its own
    return sorted(names)


def left(things: Iterable[Thing], keep: Iterable[str] = ()) -> list[str]:
    """What is there and is neither kept by choice nor work that is over: all that could cost."""
    kept = set(keep)
    return [f"{t.kind.id} {t.name}" for t in things if t.state != ENDED and t.name not in kept]


# What is somebody else's

LISTS = (
    # service, operation, where the rows are, the member that names one
    ("athena", "list_work_groups", "WorkGroups", "Name"),
    ("cloudformation", "describe_stacks", "Stacks", "StackName"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("events", "list_rules", "Rules", "Name"),
    ("firehose", "list_delivery_streams", "DeliveryStreamNames", ""),
    ("glue", "get_databases", "DatabaseList", "Name"),
    ("guardduty", "list_detectors", "DetectorIds", ""),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("kinesis", "list_streams", "StreamNames", ""),
    ("kms", "list_keys", "Keys", "KeyId"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("sagemaker", "list_apps", "Apps", "AppName"),
    ("sagemaker", "list_domains", "Domains", "DomainId"),
    ("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    ("sagemaker", "list_feature_groups", "FeatureGroupSummaries", "FeatureGroupName"),
    ("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"),
    ("sagemaker", "list_models", "Models", "ModelName"),
    ("sagemaker", "list_notebook_instances", "NotebookInstances", "NotebookInstanceName"),
    ("sagemaker", "list_pipelines", "PipelineSummaries", "PipelineName"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("sqs", "list_queues", "QueueUrls", ""),
)
RUNNING = {"list_endpoints", "list_notebook_instances", "list_apps", "list_streams", "list_delivery_streams"}
"""Lists of what costs by the hour, used or not."""


def others(session: Any, things: Iterable[Thing]) -> list[tuple[str, str, bool]]:
    """What is in the account and not among the things: service, name, and whether it costs by the hour."""
    at = clients(session)
    ours = {(thing.kind.service, value.lower()) for thing in things for value in thing.keys.values()}
    found = []
    for service, operation, rows_in, member in LISTS:
        for row in _listed(at(service), operation, rows_in):
            name = str(row[member] if member else row)
            if operation == "list_roles" and row["Path"].startswith(("/aws-reserved/", "/aws-service-role/")):
                continue  # AWS makes and deletes them itself
            if not {(service, name.lower()), (service, name.rpartition("/")[2].lower())} & ours:
                found.append((service, name, operation in RUNNING))
    return found


def _listed(client: Any, operation: str, rows_in: str) -> list[Any]:
    """The rows of a list; none where the service refuses to tell, which is then so before and after."""
    try:
        if client.can_paginate(operation):
            return [
                row for page in client.get_paginator(operation).paginate() for row in page.get(rows_in, [])
            ]
        return list(getattr(client, operation)().get(rows_in, []))
    except ClientError:
        return []


# To read


def told(outcomes: Iterable[Outcome]) -> list[dict[str, str]]:
    """What became of each thing: what, became, why."""
    return [
        {"what": f"{one.thing.kind.id} {one.thing.name}", "became": one.became, "why": one.why}
        for one in outcomes
    ]
