"""Kernels for a run: the next runbook's kernel starts, and imports what that runbook imports, while this one runs."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_client.client import KernelClient
    from jupyter_client.manager import KernelManager

__all__ = ["Ahead", "Kernel", "imports"]


def imports(notebook: Path) -> str:
    """The import statements of a notebook's code cells, as one program; cells that do not parse are left out."""
    lines: list[str] = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            with contextlib.suppress(SyntaxError):
                tree = ast.parse("".join(cell["source"]))
                lines += [ast.unparse(n) for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    return "\n".join(lines)


class Kernel:
    """A kernel for one notebook, started in the background. It talks over IPC: only this user can connect to it."""

    def __init__(self, notebook: Path, variables: Mapping[str, str]) -> None:
        """Begin to start a kernel in the notebook's folder with these environment variables added."""
        from jupyter_client.manager import KernelManager

        self.notebook = notebook
        # The sockets are named after the connection file, which must be short (a socket's path has 100 characters).
        self._folder = tempfile.TemporaryDirectory(prefix="kit-kernel-")
        file = Path(self._folder.name) / "kernel.json"
        self._manager = KernelManager(kernel_name="python3", transport="ipc", connection_file=str(file))
        self._environment = {**os.environ, **variables}
        self._clients: list[KernelClient] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._start, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        from jupyter_client.asynchronous.client import AsyncKernelClient

        try:
            self._manager.start_kernel(cwd=str(self.notebook.parent), env=self._environment)
            client = self._manager.client()
            client.start_channels(stdin=False, hb=False)
            try:
                client.wait_for_ready(timeout=300)  # one that died is told at once
                # Names stay unbound: the module cache is what is warmed. The notebook's own imports report errors.
                warm = f"exec({imports(self.notebook)!r}, {{}})"
                client.execute(warm, silent=True, store_history=False, stop_on_error=False)
            finally:
                client.stop_channels()
            # nbclient waits for output and for the kernel's death at once, so its client must be asynchronous.
            self._manager.client_factory = AsyncKernelClient
            self._manager.client = self._client  # type: ignore[method-assign]
        except BaseException as error:  # handed to whoever takes the kernel
            self._error = error

    def _client(self, **given: Any) -> Any:
        """A client of the kernel, as the manager makes it. nbclient leaves it open, so that it is closed here."""
        client = type(self._manager).client(self._manager, **given)
        self._clients.append(client)
        return client

    def manager(self) -> KernelManager:
        """The running kernel's manager; waits until it runs, raises what kept it from starting."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._manager

    def stop(self) -> None:
        """End the kernel at once: a notebook that ran to its end has nothing left to say."""
        self._thread.join()
        # Left to the garbage collector, sockets would be closed at any time, by whichever thread it runs in.
        for client in self._clients:
            client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        self._folder.cleanup()


class Ahead:
    """Holds at most one kernel that was started ahead of its turn."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)
        self._waiting: Kernel | None = None

    def prepare(self, notebook: Path) -> None:
        """Start a kernel for the notebook that comes next."""
        self.close()
        self._waiting = Kernel(notebook, self._variables)

    def take(self, notebook: Path) -> Kernel:
        """The kernel for this notebook: the waiting one if it was prepared for it, else a new one."""
        kernel, self._waiting = self._waiting, None
        if kernel is not None and kernel.notebook == notebook:
            return kernel
        if kernel is not None:
            kernel.stop()
        return Kernel(notebook, self._variables)

    def close(self) -> None:
        """End the kernel that waits, if any."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
