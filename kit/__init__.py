"""The helper package of the lab kit: records completion on the shared board, runs runbooks, reports each day.

What a notebook needs of it: `rb = kit.runbook("D2", target)`, and expectations such as `kit.at_least(0.7)`.
Beside the runbooks: `kit.widgets.board()` and `kit.widgets.parameters("D2")`.
Everything is imported where it is used, so that `import kit` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit import widgets
    from kit.checks import above, at_least, at_most, below, between, contains, near, one_of
    from kit.recording import Runbook as runbook

__all__ = ["above", "at_least", "at_most", "below", "between", "contains", "near", "one_of", "runbook"]
__all__ += ["widgets"]


def __getattr__(name: str) -> Any:
    if name == "runbook":
        from kit.recording import Runbook

        return Runbook
    if name == "widgets":
        import importlib

        return importlib.import_module("kit.widgets")
    if name in __all__:
        from kit import checks

        return getattr(checks, name)
    raise AttributeError(f"module 'kit' has no attribute {name!r}")
