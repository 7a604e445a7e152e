"""A small event of its own for tests, with notebooks that really run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

METADATA = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}

PLAN: dict[str, Any] = {
    "event": {"name": "A small event", "dates": ["2026-12-01", "2026-12-02"]},
    "workstreams": [{"id": "mlops", "title": "MLOps"}, {"id": "foundations", "title": "Foundations"}],
    "data": {"target": "y"},
    "subtasks": [],
}


class SmallEvent:
    """A repository in a temporary folder: a plan, and notebooks whose steps are given as code."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.raw = json.loads(json.dumps(PLAN))
        self.save()

    def save(self) -> None:
        text = yaml.safe_dump(self.raw, sort_keys=False)
        for date in self.raw["event"]["dates"]:
            text = text.replace(f"'{date}'", date)
        (self.root / "runbooks").mkdir(exist_ok=True)
        (self.root / "runbooks" / "plan.yml").write_text(text, encoding="utf-8")

    def add(
        self,
        id: str,
        *steps: str,
        needs: tuple[str, ...] = (),
        workstream: str = "mlops",
        day: int = 1,
        complete: str = "rb.complete()",
        parameters: str = "",
        **entry: Any,
    ) -> Path:
        """A card and its notebook: parameters, setup, the steps, one check, `complete`."""
        sources = [
            (
                'target: str = "local"  # where\nrows: int = 3  # rows\n' + parameters,
                "parameters",
                ["parameters"],
            ),
            (f'import kit\n\nrb = kit.runbook("{id}", target)', "setup", []),
            *((step, f"step-{n}", []) for n, step in enumerate(steps, 1)),
            ('rb.check("It holds", 1, 1)', "check-holds", ["nbval-check-output", "keep_output"]),
            (complete, "record", []),
        ]
        cells: list[dict[str, Any]] = [
            {
                "cell_type": "markdown",
                "id": "title",
                "metadata": {},
                "source": f"# {id} · Test\n\n**Done when**\n\n- It holds\n",
            }
        ]
        cells += [
            {
                "cell_type": "code",
                "id": name,
                "metadata": {"tags": tags} if tags else {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for source, name, tags in sources
        ]
        path = self.root / workstream / f"{id.lower()}_test.ipynb"
        path.parent.mkdir(exist_ok=True)
        notebook = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
        path.write_text(json.dumps(notebook), encoding="utf-8")
        self.raw["subtasks"].append(
            {
                "id": id,
                "title": f"Card {id}",
                "workstream": workstream,
                "notebook": f"{workstream}/{path.name}",
                "day": day,
                "minutes": 5,
                "needs": list(needs),
                **entry,
            }
        )
        self.save()
        return path
