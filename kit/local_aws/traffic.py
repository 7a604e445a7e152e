"""What answers at each endpoint now: one fleet, or two while an update shifts traffic from the old one to the new one."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.local_aws.fleet import Fleet, Variant
    from kit.local_aws.store import Context

__all__ = ["Traffic", "begin", "end", "traffic_of"]

Key = tuple[int, str, str, str]
_live: dict[Key, Traffic] = {}


class Traffic:
    """The fleets of one endpoint. Whoever draws a variant keeps its fleet up until the invocation is over."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._green: Fleet | None = None
        self._share = 0.0
        self._lock = threading.Lock()

    @property
    def fleet(self) -> Fleet:
        """The fleet of the configuration that the endpoint has; during an update, the old one."""
        with self._lock:
            return self._fleet

    def shift(self, green: Fleet, share: float) -> None:
        """From now on send this share (0 to 1) of the invocations to a second fleet."""
        with self._lock:
            self._green, self._share = green, share

    def settle(self, fleet: Fleet) -> None:
        """From now on send everything to this fleet."""
        with self._lock:
            self._fleet, self._green, self._share = fleet, None, 0.0

    @contextlib.contextmanager
    def invocation(self, target: str | None) -> Iterator[tuple[Fleet, Variant] | None]:
        """A variant for one invocation: the one named, or one drawn by share and weights; None if there is none of that name."""
        with self._lock:
            fleets = [self._fleet]
            if self._green is not None:
                fleets.insert(0 if random.random() < self._share else 1, self._green)
            drawn = next(((fleet, found) for fleet in fleets if (found := fleet.pick(target))), None)
            if drawn:
                drawn[0].enter()
        try:
            yield drawn
        finally:
            if drawn:
                drawn[0].leave()


def _key(ctx: Context, endpoint: str) -> Key:
    # "The name is case-insensitive in CreateEndpoint, but the case is preserved and must be matched in InvokeEndpoint" (API reference).
    return (id(ctx.app), ctx.account, ctx.region, endpoint)


def traffic_of(ctx: Context, endpoint: str) -> Traffic | None:
    """What answers at an endpoint; None if nothing does."""
    return _live.get(_key(ctx, endpoint))


def begin(ctx: Context, endpoint: str, fleet: Fleet) -> Traffic:
    """Let a first fleet answer at an endpoint."""
    made = _live[_key(ctx, endpoint)] = Traffic(fleet)
    return made


def end(ctx: Context, endpoint: str) -> Traffic | None:
    """Let nothing answer at an endpoint any more; its fleet still has to be stopped."""
    return _live.pop(_key(ctx, endpoint), None)
