"""Every runbook, and the template, as a regression test: nbval, in the order of the plan, on one fresh event folder.

What they ask of AWS is held against their golden requests (tests/golden.py): another action, field or right fails.
`--golden` keeps what they ask as the golden requests instead.
`--store` executes them the same way and stores the outputs of check cells (and nothing else) in the notebooks.
`--only ID ...` names runbooks; what they need runs before them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import golden

from kit import kernels, paths, plan, requests, template
from kit.local_aws import process


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="store_true", help="store the outputs of check cells")
    parser.add_argument("--golden", action="store_true", help="keep what they ask as golden requests")
    parser.add_argument("--only", nargs="+", metavar="ID", default=[], help="these, and what they need")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kit-nbval-") as folder:
        os.environ["KIT_HOME"] = folder
        os.environ["KIT_PLAN"] = str(with_template(Path(folder) / "plan.yml"))
        os.environ[requests.FOLDER] = str(Path(folder) / "requests")
        notebooks = selected(plan.load(), arguments.only)
        try:
            if arguments.store:
                for notebook in notebooks:
                    print(notebook.relative_to(paths.root()), flush=True)
                    store(notebook)
                return 0
            command = [
                sys.executable,
                "-m",
                "pytest",
                "--nbval-lax",
                "--nbval-kernel-startup-timeout=240",
                "-p",
                "no:xdist",
                "-p",
                "no:cacheprovider",
            ]
            code = subprocess.run([*command, *map(str, notebooks)], cwd=paths.root(), check=False).returncode
            asked = {
                card: golden.made(Path(folder) / "requests" / f"{card}.jsonl")
                for card, notebook in golden.cards(plan.load()).items()
                if notebook in notebooks
            }
            if not arguments.golden:
                return compared(asked) or code
            if code == 0:
                for card, found in asked.items():
                    if not arguments.only or card in arguments.only:
                        golden.write(card, found)
            return code
        finally:
            process.down(Path(folder) / "aws")


def compared(asked: Mapping[str, golden.Golden]) -> int:
    """1 where runbooks asked for what is not among their golden requests, which is printed; else 0."""
    news = [line for card, found in asked.items() for line in golden.news(card, found)]
    if news:
        print(*news, "Is that meant? Then run: make golden", sep="\n")
    return int(bool(news))


def with_template(file: Path) -> Path:
    """The plan with a card for the template, written to `file`."""
    text = (paths.root() / "runbooks" / "plan.yml").read_text(encoding="utf-8").rstrip("\n") + "\n"
    card = template.entry(
        "X0", "The template", "mlops", "runbooks/template.ipynb", day=1, minutes=10, needs=["F1"]
    )
    file.write_text(text + textwrap.indent(card, "  "), encoding="utf-8")
    return file


def selected(the_plan: plan.Plan, only: Sequence[str]) -> list[Path]:
    """The notebooks to run, each once, in the order of the plan."""
    wanted = set(only) | the_plan.needed_by(only) if only else {c.id for c in the_plan.cards}
    notebooks = [paths.root() / c.notebook for c in the_plan.in_order() if c.id in wanted]
    return list(dict.fromkeys(notebooks))


def store(notebook: Path) -> None:
    """Execute in place; keep counts everywhere and outputs where the tag `keep_output` says so."""
    import nbformat
    from nbclient import NotebookClient

    node: Any = nbformat.read(notebook, as_version=4)
    kernel = kernels.Kernel(notebook, {})
    try:
        NotebookClient(node, km=kernel.manager(), timeout=1200).execute()
    finally:
        kernel.stop()
    raw = json.loads(notebook.read_text(encoding="utf-8"))
    raw["metadata"] = {"kernelspec": raw["metadata"]["kernelspec"]}
    for cell, executed in zip(raw["cells"], node.cells, strict=True):
        if cell["cell_type"] == "code":
            keep = "keep_output" in cell["metadata"].get("tags", [])
            cell["execution_count"] = executed.execution_count
            cell["outputs"] = [lined(dict(output)) for output in executed.outputs] if keep else []
    notebook.write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def lined(output: dict[str, Any]) -> dict[str, Any]:
    """The output with its text as a list of lines, as notebooks are kept in git."""
    return output | {"text": output["text"].splitlines(keepends=True)} if "text" in output else output


if __name__ == "__main__":
    sys.exit(main())
