"""CloudFormation stacks: resources made, changed and removed through the services' own APIs, with the rights of who asked.

A stack that fails is rolled back, as on AWS. Not here: change sets, service roles, templates by URL.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kit.local_aws import cf_stack, cf_template
from kit.local_aws.cf_resources import TYPES
from kit.local_aws.cf_stack import KIND, Work
from kit.local_aws.cf_template import Template, invalid
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["create_stack", "delete_stack", "update_stack"]

log = logging.getLogger(__name__)

BODY = 51_200  # bytes of a TemplateBody
OPEN = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")  # what may be updated
BUSY = "_IN_PROGRESS"


def _template(params: Mapping[str, Any], held: Record | None = None) -> Template:
    """The template of a request. Raises ValidationError for one that cannot be made here."""
    for member in ("TemplateURL", "RoleARN", "StackPolicyBody", "StackPolicyURL", "NotificationARNs"):
        if params.get(member):
            raise invalid(f"The local AWS does not implement {member}.")
    text = held["_template"] if held and params.get("UsePreviousTemplate") else params.get("TemplateBody")
    if not text:
        raise invalid("Either Template URL or Template Body must be specified.")
    if len(text.encode()) > BODY:
        raise invalid(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length"
            f" less than or equal to {BODY}"
        )
    template = cf_template.read(text)
    if strange := sorted({one["Type"] for one in template.resources.values()} - set(TYPES)):
        raise invalid(
            f"The local AWS does not make resources of the types {strange}; it makes {', '.join(sorted(TYPES))}."
        )
    _check_capabilities(template, params.get("Capabilities", []))
    return template


def _check_capabilities(template: Template, given: list[str]) -> None:
    roles = [one for one in template.resources.values() if TYPES[one["Type"]].iam]
    own_names = any("RoleName" in one.get("Properties", {}) for one in roles)
    needed = "CAPABILITY_NAMED_IAM" if own_names else "CAPABILITY_IAM"
    if roles and not {needed, "CAPABILITY_NAMED_IAM"} & set(given):
        raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")


def _parameters(template: Template, params: Mapping[str, Any], held: Record | None = None) -> dict[str, Any]:
    before = {one["ParameterKey"]: one["ParameterValue"] for one in (held or {}).get("Parameters", [])}
    given = {
        one["ParameterKey"]: before.get(one["ParameterKey"], "")
        if one.get("UsePreviousValue")
        else one.get("ParameterValue", "")
        for one in params.get("Parameters", [])
    }
    return cf_template.values_of(template, given)


def _shown(values: Mapping[str, Any]) -> list[dict[str, str]]:
    text = {name: ",".join(one) if isinstance(one, list) else one for name, one in values.items()}
    return [{"ParameterKey": name, "ParameterValue": one} for name, one in text.items()]


def _go(ctx: Context, arn: str, act: Callable[[], None]) -> None:
    def run() -> None:
        try:
            act()
        except AwsError as error:  # the stack was removed meanwhile
            log.warning("%s: %s", arn, error.message)

    ctx.app.background(f"{KIND}/{arn}", run)


@action("cloudformation", "CreateStack")
def create_stack(ctx: Context, params: dict[str, Any]) -> Record:
    """Begin to make a stack."""
    template = _template(params)
    parameters = _parameters(template, params)
    name, tags = params["StackName"], params.get("Tags", [])
    record = {
        "StackId": f"arn:aws:cloudformation:{ctx.region}:{ctx.account}:stack/{name}/{uuid.uuid4()}",
        "StackName": name,
        "Description": template.description or None,
        "Parameters": _shown(parameters),
        "Capabilities": params.get("Capabilities", []),
        "DisableRollback": bool(params.get("DisableRollback")),
        "StackStatus": "CREATE_IN_PROGRESS",
        "_tags": tags,
        "_template": template.text,
        "_resources": {},
        "_events": [],
    }
    record["_arn"] = record["StackId"]
    made = ctx.app.store.create(ctx, KIND, record)
    on_failure = "DO_NOTHING" if params.get("DisableRollback") else params.get("OnFailure", "ROLLBACK")
    work = Work(ctx, name)
    _go(ctx, made["_arn"], lambda: cf_stack.create(work, template, parameters, on_failure))
    return made


@action("cloudformation", "UpdateStack")
def update_stack(ctx: Context, params: dict[str, Any]) -> Record:
    """Begin to change a stack; one that would stay as it is is refused."""
    held = ctx.app.store.get(ctx, KIND, params["StackName"])
    if held["StackStatus"] not in OPEN:
        raise invalid(f"Stack:{held['_arn']} is in {held['StackStatus']} state and can not be updated.")
    template = _template(params, held)
    parameters = _parameters(template, params, held)
    shown, tags = _shown(parameters), params.get("Tags", held["_tags"])
    if (template.text, shown, tags) == (held["_template"], held["Parameters"], held["_tags"]):
        raise invalid("No updates are to be performed.")
    record = ctx.app.store.update(
        ctx,
        KIND,
        held["_key"],
        Parameters=shown,
        Description=template.description or None,
        StackStatus="UPDATE_IN_PROGRESS",
        StackStatusReason=None,
        LastUpdatedTime=now(),
        _tags=tags,
    )
    work = Work(ctx, held["_key"])
    _go(ctx, held["_arn"], lambda: cf_stack.change(work, template, parameters, held))
    return record


@action("cloudformation", "DeleteStack")
def delete_stack(ctx: Context, params: dict[str, Any]) -> None:
    """Begin to remove a stack; one that is not there is gone already."""
    held = ctx.app.store.find(ctx, KIND, params["StackName"])
    if held is None:
        return
    working = f"{KIND}/{held['_arn']}" in ctx.app.status()["threads"]  # not so where a server ended meanwhile
    if held["StackStatus"].endswith(BUSY) and working:
        raise invalid(f"Stack [{held['StackName']}] cannot be deleted while in status {held['StackStatus']}")
    work = Work(ctx, held["_key"])
    work.status("DELETE_IN_PROGRESS", "User Initiated")
    _go(ctx, held["_arn"], lambda: cf_stack.remove(ctx, work))


@action("cloudformation", "DescribeStacks")
def describe_stacks(ctx: Context, params: dict[str, Any]) -> Record:
    """One stack, or all."""
    name = params.get("StackName")
    rows = [ctx.app.store.get(ctx, KIND, name)] if name else ctx.app.store.rows(ctx, KIND)
    return {"Stacks": [{**row, "Tags": row["_tags"]} for row in rows]}


@action("cloudformation", "ListStacks")
def list_stacks(ctx: Context, params: dict[str, Any]) -> Record:
    """The stacks that there are, the newest first; AWS lists those that were removed as well, for 90 days."""
    wanted = params.get("StackStatusFilter", [])
    rows = [row for row in ctx.app.store.rows(ctx, KIND) if not wanted or row["StackStatus"] in wanted]
    summaries = [{**row, "TemplateDescription": row.get("Description")} for row in reversed(rows)]
    return {"StackSummaries": summaries}


@action("cloudformation", "DescribeStackEvents")
def describe_stack_events(ctx: Context, params: dict[str, Any]) -> Record:
    """What happened to a stack, the latest first."""
    row = ctx.app.store.get(ctx, KIND, params["StackName"])
    stack = {"StackId": row["_arn"], "StackName": row["StackName"]}
    return {"StackEvents": [{**event, **stack} for event in reversed(row["_events"])]}


@action("cloudformation", "DescribeStackResources", "ListStackResources")
def stack_resources(ctx: Context, params: dict[str, Any]) -> Record:
    """The resources of a stack."""
    if not params.get("StackName"):
        raise invalid("The local AWS finds the resources of a stack by StackName only.")
    row = ctx.app.store.get(ctx, KIND, params["StackName"])
    latest = {event["LogicalResourceId"]: event for event in row["_events"]}
    found = [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": one["id"],
            "ResourceType": one["type"],
            "ResourceStatus": latest[name]["ResourceStatus"],
            "Timestamp": latest[name]["Timestamp"],
            "LastUpdatedTimestamp": latest[name]["Timestamp"],
            "StackId": row["_arn"],
            "StackName": row["StackName"],
        }
        for name, one in row["_resources"].items()
        if params.get("LogicalResourceId") in (None, name)
    ]
    return {"StackResources": found, "StackResourceSummaries": found}


@action("cloudformation", "GetTemplate")
def get_template(ctx: Context, params: dict[str, Any]) -> Record:
    """The text of a stack's template."""
    text = ctx.app.store.get(ctx, KIND, params["StackName"])["_template"]
    return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}


@action("cloudformation", "ValidateTemplate")
def validate_template(ctx: Context, params: dict[str, Any]) -> Record:
    """What a template asks for. Raises ValidationError for one that is none."""
    every = ["CAPABILITY_NAMED_IAM"]
    template = _template({**params, "Capabilities": every})
    iam = any(TYPES[one["Type"]].iam for one in template.resources.values())
    shown = [
        {
            "ParameterKey": name,
            "DefaultValue": str(facts["Default"]) if "Default" in facts else None,
            "NoEcho": bool(facts.get("NoEcho")),
            "Description": facts.get("Description"),
        }
        for name, facts in template.parameters.items()
    ]
    return {
        "Description": template.description or None,
        "Parameters": shown,
        "Capabilities": every if iam else [],
    }
