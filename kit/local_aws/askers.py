"""The clients of whoever sent a request: Athena reads and writes with the rights of the one who asks, not with its own."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.local_aws.front import App
    from kit.local_aws.store import Context

__all__ = ["Asker", "asker"]


class Asker:
    """Who has an access key id; the clients are made when they are first asked for, and safe in threads."""

    def __init__(self, app: App, key: str) -> None:
        self._app, self._key = weakref.ref(app), key
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, region: str) -> Any:
        """A boto3 client that is held to what the one who asks may do."""
        with self._lock:
            if (service, region) not in self._clients:
                app = self._app()
                assert app is not None
                keys = {"AccessKeyId": self._key, "SecretAccessKey": "local"}
                self._clients[service, region] = app.client_of(keys, service, region)
            return self._clients[service, region]


_askers: weakref.WeakKeyDictionary[App, dict[str, Asker]] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def asker(ctx: Context) -> Asker:
    """Who sent the request of this context."""
    with _making:
        return _askers.setdefault(ctx.app, {}).setdefault(ctx.principal, Asker(ctx.app, ctx.principal))
