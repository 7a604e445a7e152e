"""What a job, a model or a query does in the name of a role: clients that are held to what the role may do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["Clients", "Execution"]


class Clients(Protocol):
    """Whoever gives boto3 clients of the local AWS: the App for AWS's services themselves, an Execution for a role."""

    def client(self, service: str, region: str) -> Any:
        """A client of a service in a region."""


class Execution:
    """A session of an execution role. Its clients are made when they are first asked for, and safe in threads."""

    def __init__(self, app: App, region: str, role: str, name: str = "SageMaker") -> None:
        sts = app.client("sts", region)
        self.keys: dict[str, str] = sts.assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
        self._app = app
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, region: str) -> Any:
        """A boto3 client that is held to what the role may do."""
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._app.client_of(self.keys, service, region)
            return self._clients[service, region]
