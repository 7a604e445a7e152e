"""One thing that a request needs to be allowed, and where it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Ask", "Params", "Place"]

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """One thing that must be allowed for the request to go through."""

    action: str
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a request is made: the account and region that it is about."""

    account: str
    region: str
    partition: str = "aws"

    def arn(self, service: str, resource: str, *, regional: bool = True) -> str:
        """The ARN of a resource of this account; an ARN stays as it is."""
        if resource.startswith("arn:"):
            return resource
        return f"arn:{self.partition}:{service}:{self.region if regional else ''}:{self.account}:{resource}"
