"""Python runs this at the start of every interpreter of a job: its AWS calls go to the local AWS, and nowhere else.

A job starts several interpreters, and most of them never call AWS: what routes the calls is installed when botocore is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


class _Botocore:
    """Finds the module through which every request of botocore goes, once, and installs the route when it has run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> Any:
        """The spec that the other finders find; its loader installs the route."""
        if name != "botocore.httpsession":
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        loader = getattr(spec, "loader", None)
        run = getattr(loader, "exec_module", None)
        if run is not None:

            def exec_module(module: ModuleType) -> None:
                run(module)
                _install()

            loader.exec_module = exec_module  # type: ignore[union-attr]
        return spec


def _install() -> None:
    sys.path.insert(0, str(Path(__file__).parents[4]))  # a job may run where the kit is not installed
    try:
        from kit.local_aws.client import install
    finally:
        del sys.path[0]
    install(os.environ["AWS_ENDPOINT_URL"])


if os.environ.get("AWS_ENDPOINT_URL"):
    sys.meta_path.insert(0, _Botocore())
