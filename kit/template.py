"""A new runbook: a copy of `runbooks/template.ipynb` under its own id and title, and its entry in the plan."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from kit import paths
from kit import plan as plans
from kit.errors import PlanError, UsageError

__all__ = ["copied", "entry", "new"]


def new(
    plan: plans.Plan,
    id: str,
    title: str,
    workstream: str,
    *,
    day: int = 1,
    minutes: int = 60,
    needs: Sequence[str] = (),
) -> Path:
    """Write the notebook and append its entry to the plan's `subtasks`; the path of the notebook.

    Raises:
        UsageError: the id is taken or is no word, the title is empty, or the file exists.
        PlanError: the plan would no longer hold together; nothing was written then.
    """
    plan.lane(workstream)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{0,7}", id):
        raise UsageError(f'"{id}" is no card id.', "Use a letter and a number, such as D7.")
    if id in {c.id for c in plan.cards}:
        raise UsageError(f"The plan has a card {id} already: {plan[id].title}.", "Choose another id.")
    if not (words := re.findall(r"[a-z0-9]+", title.lower())):
        raise UsageError(
            "A runbook needs a title.", 'kit new D7 "Share the data" --workstream data_engineering'
        )
    notebook = f"{workstream}/{id.lower()}_{'_'.join(words)}.ipynb"
    path = paths.root() / notebook
    if path.exists():
        raise UsageError(f"{notebook} exists already.", "Choose another id or title.")
    text = plan.file.read_text(encoding="utf-8").rstrip("\n") + "\n"
    # Items of the list before it tell how far to indent; a line `  - id: M6` is one of them.
    indents = re.findall(r"^( *)- (?:\{ )?id:", text, re.MULTILINE)
    item = entry(id, title, workstream, notebook, day=day, minutes=minutes, needs=needs)
    text += textwrap.indent(item, indents[-1] if indents else "  ")
    try:
        if id not in {c.id for c in plans.read(yaml.safe_load(text), plan.file).subtasks}:
            raise PlanError(
                f"{plan.file.name} does not end with its list of subtasks.", "Move `subtasks:` to its end."
            )
    except yaml.YAMLError:
        raise PlanError(
            f"{plan.file.name} does not end with its list of subtasks.", "Move `subtasks:` to its end."
        ) from None
    template = json.loads((paths.root() / "runbooks" / "template.ipynb").read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(copied(template, id, title), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    plan.file.write_text(text, encoding="utf-8")
    return path


def copied(template: dict[str, Any], id: str, title: str) -> dict[str, Any]:
    """The template's notebook with its id and title replaced. Pure."""
    text = json.dumps(template, ensure_ascii=False)
    text = text.replace("X0 · The template", json.dumps(f"{id} · {title}", ensure_ascii=False)[1:-1])
    text = text.replace('\\"X0\\"', f'\\"{id}\\"').replace("eba/x0/", f"eba/{id.lower()}/")
    result: dict[str, Any] = json.loads(text)
    return result


def entry(
    id: str, title: str, workstream: str, notebook: str, *, day: int, minutes: int, needs: Sequence[str]
) -> str:
    """The subtask as a list item of plan.yml. Pure."""
    item = {
        "id": id,
        "title": title,
        "workstream": workstream,
        "notebook": notebook,
        "day": day,
        "minutes": minutes,
        **({"needs": list(needs)} if needs else {}),
    }
    lines = yaml.safe_dump(item, sort_keys=False, allow_unicode=True, width=200).splitlines()
    return "".join(f"{'- ' if n == 0 else '  '}{line}\n" for n, line in enumerate(lines))
