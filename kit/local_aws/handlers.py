"""Who answers which action: the registers that modules of the local AWS write themselves into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kit.local_aws.store import Context

__all__ = ["AFTER", "BEFORE", "LOCAL", "Handler", "action", "after", "before", "handler_of", "local"]

Handler = Callable[[Context, dict[str, Any]], Mapping[str, Any] | None]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_handlers: dict[tuple[str, str], Handler] = {}
BEFORE: dict[tuple[str, str], Handler] = {}
LOCAL: dict[str, Callable[..., dict[str, Any]]] = {}
AFTER: dict[tuple[str, str], Handler] = {}


def action(service: str, *names: str) -> Callable[[Decorated], Decorated]:
    """Registers a function as the handler of actions of a service (botocore's name for it: "sagemaker-runtime")."""

    def register(function: Decorated) -> Decorated:
        for name in names:
            _handlers[service, name] = function
        return function

    return register


def before(service: str, *names: str) -> Callable[[Decorated], Decorated]:
    """Registers a function that may refuse what moto would do: it is called with the parameters, and raises AwsError."""

    def register(function: Decorated) -> Decorated:
        for name in names:
            BEFORE[service, name] = function
        return function

    return register


def after(service: str, *names: str) -> Callable[[Decorated], Decorated]:
    """Registers a function that completes what moto did: it is called with the parameters of an action that succeeded."""

    def register(function: Decorated) -> Decorated:
        for name in names:
            AFTER[service, name] = function
        return function

    return register


def local(what: str) -> Callable[[Decorated], Decorated]:
    """Registers a function that answers the kit itself at `/LOCAL/<what>`: it gets the app and the body's members."""

    def register(function: Decorated) -> Decorated:
        LOCAL[what] = function
        return function

    return register


def handler_of(service: str, name: str) -> Handler | None:
    """The handler of an action, if there is one."""
    return _handlers.get((service, name))
