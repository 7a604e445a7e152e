"""A runbook's frame, read from the notebook file: title, "Done when", parameters, and the hash that is its identity."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import RunbookError, UsageError, did_you_mean

__all__ = ["Frame", "Parameter", "read", "typed", "values"]

TYPES: Mapping[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell: `name: type = default  # meaning`."""

    name: str
    type: str
    default: Any
    meaning: str


@dataclass(frozen=True)
class Frame:
    """What a runbook says of itself. `sha256` is of the code and text of its cells, not of outputs or metadata."""

    path: Path
    title: str
    done_when: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    sha256: str


def read(path: Path) -> Frame:
    """The frame of the notebook at `path`.

    Raises:
        RunbookError: no such file, not a notebook, no title, no "Done when", no parameters cell, or a line of it
            that is not `name: type = default  # meaning`.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = [(cell, "".join(cell["source"])) for cell in cells]
    except OSError as error:
        raise RunbookError(
            f"{path}: {error.strerror or error}.",
            "Correct `notebook` in the plan, or make it with `kit new`.",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise RunbookError(
            f"{path.name} is not a notebook.", "Restore it from git, or make it anew with `kit new`."
        ) from None
    text = "\n".join(source for cell, source in sources if cell.get("cell_type") == "markdown")
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    if not title:
        raise RunbookError(f"{path.name} has no title.", "Begin it with one `# D2 · What it does` heading.")
    tagged = [s for cell, s in sources if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise RunbookError(
            f"{path.name} has {len(tagged) or 'no'} cells tagged `parameters`; it needs one.",
            "In JupyterLab: select the cell, open the property inspector, add the tag `parameters`.",
        )
    bullets = _bullets(text)
    if not bullets:
        raise RunbookError(
            f'{path.name} has no "Done when" list.',
            "Add `**Done when**` and 2 to 4 bullets, one for each check.",
        )
    digest = hashlib.sha256(json.dumps([source for _, source in sources]).encode()).hexdigest()
    return Frame(path, title[1].strip(), bullets, _parameters(tagged[0], path.name), digest)


def _bullets(text: str) -> tuple[str, ...]:
    """The bullets under "Done when", each without its dash; a bullet may run over several lines."""
    block = re.search(r"^\**#*\s*Done when\**:?\s*\n+((?:[-*] .*(?:\n  .*)*\n?)+)", text, re.MULTILINE)
    if not block:
        return ()
    items = re.split(r"^[-*] ", block[1], flags=re.MULTILINE)
    return tuple(" ".join(item.split()) for item in items if item.strip())


def _parameters(source: str, where: str) -> tuple[Parameter, ...]:
    """The lines of a parameters cell; its comments are the meanings."""
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = []
    for node in ast.parse(source).body:
        line = source.splitlines()[node.lineno - 1].strip()
        if not (
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
        ):
            raise RunbookError(
                f"{where}, parameters: `{line}` has no type.", "Write `name: type = default  # meaning`."
            )
        try:
            default = ast.literal_eval(node.value)
        except ValueError:
            raise RunbookError(
                f"{where}, parameters: `{line}` computes its default.",
                "Give a plain value; compute in a cell below.",
            ) from None
        meaning = comments.get(node.end_lineno or node.lineno, "")
        found.append(Parameter(node.target.id, ast.unparse(node.annotation), default, meaning))
    return tuple(found)


def typed(parameter: Parameter, given: Any, where: str) -> Any:
    """`given` as a value of the parameter's type; a text, as the command line gives it, is read as that type.

    Raises:
        UsageError: it cannot be one; the message names `where`, the parameter, its type and its default.
    """
    kind = TYPES.get(parameter.type.split("[")[0], object)
    value = given.strip() if isinstance(given, str) else given
    if isinstance(value, str) and kind is not str:
        try:
            value = ast.literal_eval({"true": "True", "false": "False"}.get(value.lower(), value))
        except (ValueError, SyntaxError):
            value = given
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(
            f"{where}: {parameter.name} is {parameter.type}, not {given!r}.",
            f"Its default is {parameter.default!r}: {parameter.meaning}.",
        )
    return value


def values(frame: Frame, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The given parameters, typed as the frame says.

    Raises:
        UsageError: a name that the frame does not have, or a value of another type.
    """
    known = {p.name: p for p in frame.parameters}
    result = {}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f'{where} has no parameter "{name}".', did_you_mean(name, known))
        result[name] = typed(known[name], value, where)
    return result
