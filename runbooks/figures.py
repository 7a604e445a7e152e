"""Which figures ("M5.auc") runbooks record, read from their last cells before anything has run."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit import plan as plans
from kit.cards import Board

__all__ = ["MEASURES", "figures", "names"]

MEASURES: Mapping[str, tuple[str, ...]] = {
    "classification": ("auc", "average_precision", "logloss"),
    "regression": ("rmse", "mae", "r2"),
}
"""What runbooks call the measures of a model, by the plan's kind of problem; they record them under these names."""


def figures(plan: plans.Plan, root: Path, board: Board | None = None) -> list[str]:
    """Every figure that can be named, "M5.auc" and so on, sorted.

    A runbook's last cell says which metrics it records. Where a name depends on the data it is known only once it was
    recorded, and a pattern ("D2.*_rows") stands for it until then.
    """
    told = {
        f"{card.id}.{name}" for card in plan.cards for name in names(root / card.notebook, plan.data.problem)
    }
    return sorted(
        told | {f"{card.id}.{name}" for card in (board.cards if board else ()) for name in card.metrics}
    )


def names(notebook: Path, problem: str) -> list[str]:
    """The names of the metrics that a runbook's last cell records; a part that depends on the data is "*"."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    (source,) = ["".join(c["source"]) for c in cells if c.get("id") == "record"] or [""]
    tree = ast.parse(source)
    given: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "metrics":
            given.append(node.value)
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "metrics" for target in targets):
                given.append(node.value)
    found: list[str] = []
    for node in (node for value in given for node in ast.walk(value)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None:
                    found += _spelt(key, MEASURES[problem])
                elif isinstance(value, (ast.Name, ast.Call, ast.Attribute)):
                    found.append("*")
        elif isinstance(node, ast.DictComp):
            found += _spelt(node.key, ["*"])
    return list(dict.fromkeys(found))


def _spelt(key: ast.expr, inside: Sequence[str]) -> list[str]:
    """A key of the metrics as names; what it computes is one of `inside`."""
    if isinstance(key, ast.Constant):
        return [str(key.value)]
    if isinstance(key, ast.JoinedStr):
        parts = [str(v.value) if isinstance(v, ast.Constant) else None for v in key.values]
        return ["".join(word if part is None else part for part in parts) for word in inside]
    return list(inside)
