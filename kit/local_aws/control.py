"""The SageMaker actions that only keep settings: Create, Describe, List, Update and Delete of the stored kinds, and tags.

Kinds whose creation starts work are not here: their handlers are in the modules that do the work.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kit.local_aws.front import action, handler_of
from kit.local_aws.kinds import KINDS, plural
from kit.local_aws.protocol import AwsError, service
from kit.local_aws.store import Context, Record

__all__: list[str] = []

VERBS = ("Create", "Describe", "List", "Update", "Delete")


def _create(kind: str, ctx: Context, params: Mapping[str, Any]) -> Record:
    for member, parent in KINDS[kind].parents.items():
        ctx.app.store.get(ctx, parent, params[member])
    return ctx.app.store.create(ctx, kind, params)


def _describe(kind: str, ctx: Context, params: Mapping[str, Any]) -> Record:
    return ctx.app.store.get(ctx, kind, KINDS[kind].key_of(params))


def _list(kind: str, ctx: Context, params: Mapping[str, Any]) -> Record:
    return ctx.app.store.listing(ctx, kind, params, f"List{plural(kind)}")


def _update(kind: str, ctx: Context, params: Mapping[str, Any]) -> Record:
    facts = KINDS[kind]
    changes = {name: value for name, value in params.items() if name not in facts.keys}

    def change(record: Record) -> Record:
        return {name: _merged(record.get(name), value) for name, value in changes.items()}

    return ctx.app.store.update(ctx, kind, facts.key_of(params), change)


def _merged(held: Any, value: Any) -> Any:
    """What an update leaves: members of a structure that it does not name stay, everything else is replaced."""
    if isinstance(held, Mapping) and isinstance(value, Mapping):
        return {**held, **{name: _merged(held.get(name), new) for name, new in value.items()}}
    return value


def _delete(kind: str, ctx: Context, params: Mapping[str, Any]) -> Record:
    return ctx.app.store.delete(ctx, kind, KINDS[kind].key_of(params))


@action("sagemaker", "CreateDomain")
def create_domain(ctx: Context, params: Mapping[str, Any]) -> Record:
    """A domain; its URL holds the id that the service makes up."""
    record = ctx.app.store.create(ctx, "Domain", params)
    url = f"https://{record['DomainId']}.studio.{ctx.region}.sagemaker.aws"
    return ctx.app.store.update(ctx, "Domain", record["DomainId"], Url=url)


@action("sagemaker", "DeleteDomain")
def delete_domain(ctx: Context, params: Mapping[str, Any]) -> Record:
    """A domain goes only when it has no applications, no profiles and no spaces."""
    store, domain = ctx.app.store, params["DomainId"]
    store.get(ctx, "Domain", domain)
    for kind in ("App", "UserProfile", "Space"):
        if any(row["DomainId"] == domain for row in store.rows(ctx, kind)):
            raise AwsError(
                "ResourceInUse", f"Unable to delete Domain {domain} because {kind}(s) are associated with it."
            )
    return store.delete(ctx, "Domain", domain)


@action("sagemaker", "AddTags")
def add_tags(ctx: Context, params: Mapping[str, Any]) -> Record:
    """Tags onto a resource; the answer has all that it holds now."""
    arn = _existing(ctx, params["ResourceArn"])
    held = ctx.app.store.tag(arn, params["Tags"])
    return {"Tags": [{"Key": k, "Value": v} for k, v in held.items()]}


@action("sagemaker", "ListTags")
def list_tags(ctx: Context, params: Mapping[str, Any]) -> Record:
    """The tags of a resource, a page at a time."""
    tags = sorted(ctx.app.store.tags(_existing(ctx, params["ResourceArn"])), key=lambda tag: tag["Key"])
    after = params.get("NextToken", "")
    left = [tag for tag in tags if tag["Key"] > after]
    shown = left[: params.get("MaxResults", 50)]
    return {"Tags": shown, **({"NextToken": shown[-1]["Key"]} if len(left) > len(shown) else {})}


@action("sagemaker", "DeleteTags")
def delete_tags(ctx: Context, params: Mapping[str, Any]) -> Record:
    """Tags off a resource."""
    ctx.app.store.untag(_existing(ctx, params["ResourceArn"]), params["TagKeys"])
    return {}


def _existing(ctx: Context, arn: str) -> str:
    if not ctx.app.store.known(arn):
        raise AwsError("ValidationException", f"Could not find resource {arn}.")
    return arn


def _register() -> None:
    """Handlers for the actions that the API has for the stored kinds, where no other module has registered one."""
    model = service("sagemaker")
    assert model is not None
    does = {"Create": _create, "Describe": _describe, "List": _list, "Update": _update, "Delete": _delete}
    for kind in KINDS.values():
        for verb in VERBS if kind.stored else ():
            name = f"List{plural(kind.name)}" if verb == "List" else verb + kind.name
            if name in model.operation_names and handler_of("sagemaker", name) is None:
                action("sagemaker", name)(functools.partial(does[verb], kind.name))


_register()
