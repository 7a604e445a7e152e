"""One kind of thing in an account: how it is named, looked at and deleted.

What a kind does not say is asked of botocore's model (`Describe...`, `Delete...`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

__all__ = ["ENDED", "GONE", "LEFT", "STUCK", "THERE", "At", "Keys", "Kind", "missing", "rest"]

At = Callable[[str], Any]
"""Service -> boto3 client."""
Keys = Mapping[str, str]
THERE, ENDED, GONE, STUCK = "there", "ended", "gone", "stuck"
OVER = {"Completed", "Failed", "Stopped", "Succeeded", "CompletedWithViolations"}
LEFT = {"PendingDeletion", "DELETE_COMPLETE", "Deleted", "DELETED"}
ABSENT = re.compile(r"Not_?Found|NoSuch|DoesNotExist|NonExistent|ResourceUnknown|^404$", re.IGNORECASE)
NOT_THERE = re.compile(
    r"(?:could|can)(?:'t| ?not) find|does not exist|not found|RecordNotFound|not subscribed|not owned by the current account",
    re.IGNORECASE,
)


def missing(error: ClientError) -> bool:
    """Whether a service says by this error that there is no such thing."""
    told = error.response["Error"]
    return bool(ABSENT.search(told["Code"])) or bool(NOT_THERE.search(told.get("Message", "")))


@dataclass(frozen=True)
class Kind:
    """One kind. `keys`: the members that name it; `arn`: the rest of its ARN after the account, with the keys as groups.

    `look` gives what the service knows of one, and nothing where it is not there; `remove` deletes one; `within` tells
    what is in it or belongs to it, as (kind, keys). `runs`: it is work, which ends by itself and is then only a record.
    """

    service: str
    name: str
    keys: tuple[str, ...] = ()
    arn: str = ""
    look: Callable[[At, Keys], Any] | None = None
    remove: Callable[[At, Keys], object] | None = None
    within: Callable[[At, Keys], Iterator[tuple[str, Keys]]] | None = None
    runs: bool = False

    @property
    def id(self) -> str:
        """`sagemaker.Endpoint`"""
        return f"{self.service}.{self.name}"

    def described(self, at: At, keys: Keys) -> Any:
        """What the service knows of the one with these keys; nothing where it is not there."""
        try:
            if self.look:
                return self.look(at, keys)
            for verb in ("Describe", "Get"):
                if members := _members(at(self.service), verb + self.name):
                    return _call(at(self.service), verb + self.name, members, keys)
        except ClientError as error:
            if missing(error):
                return None
            raise
        raise LookupError(f"no way is known to look at a {self.id}")

    def state(self, at: At, keys: Keys) -> str:
        """`there`, `ended` (work that is over), `gone`, or `stuck` and why (it was to go, and did not)."""
        found = self.described(at, keys)
        status = _status(found, self.name)
        if not found or status in LEFT:
            return GONE
        if re.search(r"DELETE_?FAILED", status, re.IGNORECASE):
            why = next((found[m] for m in ("StackStatusReason", "FailureReason") if found.get(m)), status)
            return f"{STUCK}: {why}"
        return ENDED if self.runs and status in OVER else THERE

    def delete(self, at: At, keys: Keys) -> None:
        """Ask the service to delete (or stop) it. Raises ClientError where it refuses, LookupError where no way is known."""
        if self.remove:
            self.remove(at, keys)
            return
        client = at(self.service)
        verb = "Stop" if self.runs else "Delete"
        members = _members(client, verb + self.name)
        if not members:
            raise LookupError(f"no way is known to delete a {self.id}")
        _call(client, verb + self.name, members, keys)

    def named(self, keys: Keys, arn: str, name: str, client: Any) -> dict[str, str]:
        """The keys of one, from what a register has of it; nothing where that does not tell it."""
        wanted = self.keys or tuple(_members(client, "Delete" + self.name))
        if wanted and all(key in keys for key in wanted):
            return {key: keys[key] for key in wanted}
        if arn and self.arn and (found := re.fullmatch(self.arn, rest(arn))):
            return found.groupdict() or {wanted[0]: arn}
        return {wanted[0]: arn if wanted[0].endswith("Arn") else name} if len(wanted) == 1 else {}


def _members(client: Any, operation: str) -> list[str]:
    """The members that an operation requires; none where the service has no such operation."""
    model = client.meta.service_model
    if operation not in model.operation_names:
        return []
    shape = model.operation_model(operation).input_shape
    return list(shape.required_members) or list(shape.members)[:1]


def _call(client: Any, operation: str, members: list[str], keys: Keys) -> Any:
    given = {member: keys[member] for member in members if member in keys}
    return getattr(client, xform_name(operation))(**given)


def _status(found: Any, name: str) -> str:
    members = (f"{name}Status", "Status", "KeyState", "StackStatus", f"{name}ExecutionStatus")
    return next((str(found[m]) for m in members if isinstance(found, dict) and m in found), "")


def rest(arn: str) -> str:
    """What an ARN says after the account."""
    return arn.split(":", 5)[-1]
