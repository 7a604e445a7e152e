"""Making, changing and removing a CloudFormation stack: resource after resource, and back where one fails."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from kit.local_aws import cf_template
from kit.local_aws.askers import asker
from kit.local_aws.cf_resources import TYPES, Type, named
from kit.local_aws.cf_template import Template, Values
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["KIND", "Work", "change", "create", "remove"]

KIND = "Stack"


class _Failed(Exception):
    """A resource that could not be made, changed or removed: its logical id and why."""

    def __init__(self, logical_id: str, reason: str) -> None:
        super().__init__(reason)
        self.logical_id, self.reason = logical_id, reason


class Work:
    """Making, changing or removing a stack: one thread, with the clients of who asked."""

    def __init__(self, ctx: Context, name: str) -> None:
        self._ctx, self._name = ctx, name
        self._who = asker(ctx)
        self._undo: list[tuple[str, Callable[[], None]]] = []
        self._after: list[tuple[str, Callable[[], None]]] = []  # old resources, once the new ones are there

    def _client(self, service: str) -> Any:
        return self._who.client(service, self._ctx.region)

    def record(self) -> Record:
        """The stack."""
        return self._ctx.app.store.get(self._ctx, KIND, self._name)

    def status(self, status: str, reason: str = "", **members: Any) -> None:
        """Note a status of the stack."""
        self._ctx.app.store.update(
            self._ctx, KIND, self._name, StackStatus=status, StackStatusReason=reason or None, **members
        )
        record = self.record()
        self._note(record["StackName"], "AWS::CloudFormation::Stack", record["_arn"], status, reason)

    def _note(self, logical_id: str, kind: str, id_: str, status: str, reason: str = "") -> None:
        event = {
            "EventId": str(uuid.uuid4()),
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": id_,
            "ResourceType": kind,
            "ResourceStatus": status,
            "ResourceStatusReason": reason or None,
            "Timestamp": now(),
        }
        self._ctx.app.store.update(
            self._ctx, KIND, self._name, lambda record: {"_events": [*record["_events"], event]}
        )

    def _keep(self, logical_id: str, held: Mapping[str, Any] | None) -> None:
        def change(record: Record) -> Record:
            resources = {name: one for name, one in record["_resources"].items() if name != logical_id}
            return {"_resources": resources if held is None else {**resources, logical_id: held}}

        self._ctx.app.store.update(self._ctx, KIND, self._name, change)

    def _do(self, logical_id: str, kind: str, verb: str, id_: str, act: Callable[[], Any]) -> Any:
        """Do one thing to one resource, with its events. Raises _Failed."""
        self._note(logical_id, kind, id_, f"{verb}_IN_PROGRESS")
        try:
            done = act()
        except (ClientError, BotoCoreError, RuntimeError, KeyError, ValueError, TypeError) as error:
            said = f"lacks the property {error}" if isinstance(error, KeyError) else str(error)
            reason = f'Resource handler returned message: "{said}"'
            self._note(logical_id, kind, id_, f"{verb}_FAILED", reason)
            raise _Failed(logical_id, reason) from error
        self._note(logical_id, kind, done[0] if isinstance(done, tuple) else id_, f"{verb}_COMPLETE")
        return done

    def make(self, template: Template, parameters: Mapping[str, Any]) -> None:
        """Bring the stack's resources to what the template says. Raises _Failed; `undo` then restores what was."""
        record = self.record()
        before = record["_resources"]
        pseudo = {
            "AccountId": self._ctx.account,
            "Region": self._ctx.region,
            "StackName": record["StackName"],
            "StackId": record["_arn"],
            "Partition": "aws",
            "URLSuffix": "amazonaws.com",
        }
        made: dict[str, Mapping[str, Any]] = {}
        for logical_id, resource in template.resources.items():
            values = Values(parameters, pseudo, template, made)
            if "Condition" in resource and not cf_template.holds(values, resource["Condition"]):
                continue
            try:
                properties = cf_template.resolve(resource.get("Properties") or {}, values)
            except AwsError as error:
                raise _Failed(logical_id, error.message) from error
            if record["_tags"]:
                properties["Tags"] = [*record["_tags"], *properties.get("Tags", [])]
            made[logical_id] = self._bring(logical_id, resource, properties, before.get(logical_id))
        for logical_id in reversed(list(before)):
            if logical_id not in made:
                self._after.append((logical_id, self._removal(logical_id, before[logical_id])))
        try:
            values = Values(parameters, pseudo, template, made)
            outputs = [_output(name, one, values) for name, one in template.outputs.items()]
        except AwsError as error:
            raise _Failed("Outputs", error.message) from error
        self._ctx.app.store.update(
            self._ctx, KIND, self._name, Outputs=[one for one in outputs if one], _template=template.text
        )

    def _bring(
        self, logical_id: str, resource: Mapping[str, Any], properties: dict[str, Any], held: Record | None
    ) -> dict[str, Any]:
        """Make or change one resource; what Ref and Fn::GetAtt give."""
        kind, type_ = resource["Type"], TYPES[resource["Type"]]
        stack = self.record()["StackName"]
        if type_.name not in properties:
            kept = held["properties"][type_.name] if held and held["type"] == kind else None
            properties[type_.name] = kept or named(stack, logical_id)
        if held and held["type"] == kind and held["properties"] == properties:
            return dict(held["made"])
        fixed = (type_.name, *type_.fixed)
        same = held and all(held["properties"].get(one) == properties.get(one) for one in fixed)
        if held and held["type"] == kind and same:
            id_, made = self._do(
                logical_id,
                kind,
                "UPDATE",
                held["id"],
                lambda: type_.update(self._client, held["id"], properties, held["properties"]),
            )
            self._undo.append((logical_id, self._restoring(logical_id, type_, held, properties)))
        else:
            id_, made = self._do(
                logical_id, kind, "CREATE", "", lambda: type_.create(self._client, properties)
            )
            now_is = {"type": kind, "id": id_, "properties": properties}
            self._undo.append((logical_id, self._removal(logical_id, now_is, held)))
            if held:
                self._after.append((logical_id, self._removal(logical_id, held, keep=True)))
        entry = {
            "type": kind,
            "id": id_,
            "made": made,
            "properties": properties,
            "retained": resource.get("DeletionPolicy") == "Retain",
            "at": now(),
        }
        self._keep(logical_id, entry)
        return dict(made)

    def _restoring(
        self, logical_id: str, type_: Type, held: Record, properties: Mapping[str, Any]
    ) -> Callable[[], None]:
        def restore() -> None:
            back = held["properties"]
            self._do(
                logical_id,
                held["type"],
                "UPDATE",
                held["id"],
                lambda: type_.update(self._client, held["id"], back, properties),
            )
            self._keep(logical_id, held)

        return restore

    def _removal(
        self, logical_id: str, held: Mapping[str, Any], back: Record | None = None, keep: bool = False
    ) -> Callable[[], None]:
        """What removes a resource; then `back` is in its place, or with `keep` what is there already."""

        def remove() -> None:
            if not held.get("retained"):
                act = TYPES[held["type"]].delete
                self._do(
                    logical_id,
                    held["type"],
                    "DELETE",
                    held["id"],
                    lambda: _deleted(lambda: act(self._client, held["id"], held["properties"])),
                )
            if not keep:
                self._keep(logical_id, back)

        return remove

    def undo(self) -> str:
        """Take back what `make` did, the last first; why something could not be."""
        return self._all(reversed(self._undo))

    def clean(self) -> str:
        """Remove what is in the way no more; why something could not be."""
        return self._all(self._after)

    def empty(self) -> str:
        """Remove all resources, the last one first; why something could not be."""
        held = list(self.record()["_resources"].items())
        return self._all((name, self._removal(name, one)) for name, one in reversed(held))

    def _all(self, acts: Any) -> str:
        failed = []
        for logical_id, act in acts:
            try:
                act()
            except _Failed:
                failed.append(logical_id)
        return f"[{', '.join(failed)}]" if failed else ""


def _deleted(delete: Callable[[], None]) -> None:
    """Have a resource deleted; one that somebody deleted before is deleted too, as a stack of AWS has it."""
    try:
        delete()
    except ClientError as error:
        if not re.search("NotFound|NoSuch|DoesNotExist", error.response["Error"]["Code"]):
            raise


def _output(name: str, given: Mapping[str, Any], values: Values) -> dict[str, str] | None:
    if "Condition" in given and not cf_template.holds(values, given["Condition"]):
        return None
    found = {"OutputKey": name, "OutputValue": str(cf_template.resolve(given["Value"], values))}
    return {**found, "Description": given["Description"]} if "Description" in given else found


def create(work: Work, template: Template, parameters: Mapping[str, Any], on_failure: str) -> None:
    """Make a stack; one that fails is taken back, unless on_failure is DO_NOTHING."""
    try:
        work.make(template, parameters)
    except _Failed as failure:
        reason = f"The following resource(s) failed to create: [{failure.logical_id}]. "
        if on_failure == "DO_NOTHING":
            work.status("CREATE_FAILED", f"{reason}{failure.reason}")
            return
        work.status("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
        lost = work.undo()
        work.status(
            "ROLLBACK_FAILED" if lost else "ROLLBACK_COMPLETE",
            f"The following resource(s) failed to delete: {lost}." if lost else "",
        )
    else:
        work.status("CREATE_COMPLETE")


def change(work: Work, template: Template, parameters: Mapping[str, Any], before: Record) -> None:
    """Change a stack; one that fails is brought back to what it was."""
    try:
        work.make(template, parameters)
    except _Failed as failure:
        work.status(
            "UPDATE_ROLLBACK_IN_PROGRESS",
            f"The following resource(s) failed to update: [{failure.logical_id}].",
        )
        lost = work.undo()
        members = {name: before.get(name) for name in ("_template", "Parameters", "Outputs", "_tags")}
        work.status(
            "UPDATE_ROLLBACK_FAILED" if lost else "UPDATE_ROLLBACK_COMPLETE",
            f"The following resource(s) failed to update: {lost}." if lost else "",
            **members,
        )
    else:
        work.status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        work.clean()
        work.status("UPDATE_COMPLETE")


def remove(ctx: Context, work: Work) -> None:
    """Remove a stack and what it made."""
    if lost := work.empty():
        work.status("DELETE_FAILED", f"The following resource(s) failed to delete: {lost}.")
    else:
        ctx.app.store.delete(ctx, KIND, work.record()["_key"])
