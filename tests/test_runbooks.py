"""The frame of a runbook, a rule a test. Each message says what to do."""

from __future__ import annotations

import ast
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbval_runbooks
import pytest

from kit import frame, paths, plan

ROOT = Path(__file__).parent.parent
PLAN = plan.load(ROOT / "runbooks" / "plan.yml")
FOLDERS = ("runbooks", *(w.id for w in PLAN.workstreams))
NOTEBOOKS = sorted(p for folder in FOLDERS for p in (ROOT / folder).glob("*.ipynb"))
TEMPLATE = ROOT / "runbooks" / "template.ipynb"

PARTS = ("title", "you-need", "parameters", "setup", "check", "record", "close")
"""Cell ids that every runbook has, in this order; its own cells stand between `setup` and `check`."""


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def code(path: Path) -> list[dict[str, Any]]:
    return [c for c in cells(path) if c["cell_type"] == "code"]


def prose(path: Path) -> str:
    return "\n\n".join(source(c) for c in cells(path) if c["cell_type"] == "markdown")


def tags(cell: dict[str, Any]) -> list[str]:
    found: list[str] = cell["metadata"].get("tags", [])
    return found


def check_cells(path: Path) -> list[dict[str, Any]]:
    return [c for c in code(path) if "rb.check(" in source(c)]


runbooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def test_every_card_has_its_notebook() -> None:
    missing = [c.notebook for c in PLAN.cards if not (ROOT / c.notebook).is_file()]
    assert not missing, f"the plan names notebooks that do not exist: {missing}; make them with `kit new`"


def test_a_notebook_of_several_cards_is_told_which_it_is() -> None:
    notebooks = [c.notebook for c in PLAN.cards]
    shared = [c for c in PLAN.cards if notebooks.count(c.notebook) > 1]
    untold = [c.id for c in shared if c.parameters.get("card") != c.id]
    assert not untold, f"in the plan, give these `parameters: {{ card: <id> }}`: {untold}"
    for name in {c.notebook for c in shared}:
        ids = [c.id for c in shared if c.notebook == name]
        defaults = {p.name: p.default for p in frame.read(ROOT / name).parameters}
        assert defaults.get("card") == ids[0], f"{name}: its parameter `card` is {ids[0]} by default"


def test_every_notebook_is_in_the_plan() -> None:
    listed = {ROOT / c.notebook for c in PLAN.cards} | {TEMPLATE}
    stray = [str(p.relative_to(ROOT)) for p in NOTEBOOKS if p not in listed]
    assert not stray, f"not in runbooks/plan.yml: {stray}; add an entry or remove the file"


@runbooks
def test_frame_can_be_read(path: Path) -> None:
    assert frame.read(path).title


@runbooks
def test_title_is_the_only_h1_and_names_the_card(path: Path) -> None:
    headings = re.findall(r"^# .+$", prose(path), re.MULTILINE)
    assert len(headings) == 1, f"one H1, in the first cell; found {headings}"
    assert source(cells(path)[0]).startswith("# "), "the first cell begins with the title"
    ids = {c.id for c in PLAN.cards if ROOT / c.notebook == path} or {"X0"}
    assert any(headings[0].startswith(f"# {id} · ") for id in ids) or len(ids) > 1, f"title: `# {ids} · ...`"


@runbooks
def test_title_cell_tells_day_role_minutes_services_and_cost(path: Path) -> None:
    facts = source(cells(path)[0])
    for word in ("Day ", " minutes", "services:", "cost on AWS:"):
        assert word in facts, f'the line of facts under the title lacks "{word}"'


@runbooks
def test_parts_stand_in_order(path: Path) -> None:
    ids = [c["id"] for c in cells(path)]
    missing = [part for part in PARTS if part not in ids]
    assert not missing, f"cells with these ids are missing: {missing}"
    places = [ids.index(part) for part in PARTS]
    assert places == sorted(places), f"these cells stand in the order {PARTS}"
    assert places[0] == 0
    assert places[-1] == len(ids) - 1


@runbooks
def test_cell_ids_are_words(path: Path) -> None:
    odd = [c["id"] for c in cells(path) if not re.fullmatch(r"[a-z][a-z0-9-]{1,40}", c["id"])]
    assert not odd, f"give these cells readable ids: {odd}"


@runbooks
def test_headings_do_not_skip_levels(path: Path) -> None:
    levels = [len(h) for h in re.findall(r"^(#+) ", prose(path), re.MULTILINE)]
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), f"heading levels: {levels}"


@runbooks
def test_parameters_are_typed_explained_and_begin_with_the_target(path: Path) -> None:
    parameters = frame.read(path).parameters
    assert parameters[0].name == "target"
    assert parameters[0].default == "local", "defaults are safe and local"
    unexplained = [p.name for p in parameters if not p.meaning]
    assert not unexplained, f"say what they mean, in a comment on their line: {unexplained}"


@runbooks
def test_two_to_four_bullets_and_a_check_for_each(path: Path) -> None:
    bullets = frame.read(path).done_when
    assert 2 <= len(bullets) <= 4, f'"Done when" has {len(bullets)} bullets'
    checked = []
    for cell in check_cells(path):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "rb.check":
                checked.append(ast.literal_eval(node.args[0]))
    assert checked == list(bullets), "one check for each bullet, word for word, in the same order"


@runbooks
def test_check_cells_keep_their_output_and_nothing_else_does(path: Path) -> None:
    for cell in check_cells(path):
        assert {"nbval-check-output", "keep_output"} <= set(tags(cell)), f"tags of {cell['id']}"
        text = "".join(source({"source": o["text"]}) for o in cell["outputs"] if o["output_type"] == "stream")
        assert text.startswith("✓ "), f"{cell['id']} has no stored output; run `make outputs`"
    kept = [c["id"] for c in code(path) if c["outputs"] and "keep_output" not in tags(c)]
    assert not kept, f"outputs to strip (`make outputs`): {kept}"


@runbooks
def test_counts_run_from_one(path: Path) -> None:
    counts = [c["execution_count"] for c in code(path)]
    assert counts == list(range(1, len(counts) + 1)), "store it after restart and run all (`make outputs`)"


@runbooks
def test_ends_by_recording(path: Path) -> None:
    recording = [c["id"] for c in code(path) if "rb.complete(" in source(c)]
    assert recording == ["record"], "one cell records, and its id says so"
    assert code(path)[-1]["id"] == "record", "recording is the last code"


@runbooks
def test_code_cells_are_short(path: Path) -> None:
    long = {
        c["id"]: n for c in code(path) if (n := len([x for x in source(c).splitlines() if x.strip()])) > 25
    }
    assert not long, f"move these into jobs/ or kit: {long}"
    lengths = sorted(len(source(c).splitlines()) for c in code(path))
    assert lengths[int(len(lengths) * 0.8)] <= 15, "four of five code cells have 15 lines or fewer"


@runbooks
def test_prose_stands_before_code(path: Path) -> None:
    kinds = [(c["cell_type"], c["id"]) for c in cells(path)]
    steps = kinds[[i for _, i in kinds].index("setup") : [i for _, i in kinds].index("check")]
    runs = "".join("c" if kind == "code" else "m" for kind, _ in steps)
    assert "cccc" not in runs, "no more than three code cells in a row without a word between them"


FORBIDDEN = {
    r"pip install|conda install": "installs nothing",
    r"%store|%run|%%writefile": "no hidden state, no scripts written from cells",
    r"\b\d{12}\b": "no account id",
    r"arn:aws[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:\d": "no ARN",
    r"AKIA[0-9A-Z]{16}": "no key",
    r"""["'](/home/|/Users/|/root/|/tmp/|/mnt/|C:\\)""": "no absolute path",
    r"if target\b|if rb\.aws\.target": "the same code for both targets",
    r"endpoint_url": "the kit says where calls go",
    r"time\.sleep\(": "wait for an event (a waiter, wait=True), do not sleep",
    r"print\(f?[\"'](ERROR|Error|WARNING)": "raise, do not print and carry on",
}


@runbooks
@pytest.mark.parametrize("pattern", FORBIDDEN, ids=FORBIDDEN.values())
def test_code_has_none_of(path: Path, pattern: str) -> None:
    found = [c["id"] for c in code(path) if re.search(pattern, source(c))]
    assert not found, f"{FORBIDDEN[pattern]}: {found}"


IN_A_NETWORK = {"FrameworkProcessor": "network_config", "ModelTrainer": "networking", "create_model": ""}
"""What runs in the plan's subnets, and the argument that says so; "" stands for `**rb.network.model` or what a model has already."""
MAKERS = [*NOTEBOOKS, *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", MAKERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_jobs_and_models_are_in_the_network_of_the_plan(path: Path) -> None:
    texts = [source(c) for c in code(path)] if path.suffix == ".ipynb" else [path.read_text(encoding="utf-8")]
    for call in (node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in IN_A_NETWORK:
            given = {keyword.arg or "" for keyword in call.keywords}
            asked = ast.unparse(call)[:80]
            assert IN_A_NETWORK[name] in given, f"Give {asked}… the plan's network: see kit/network.py."


@runbooks
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", prose(path))
    broken = [t for t in targets if not (path.parent / t).exists()]
    assert not broken, f"links to nothing: {broken}"


@runbooks
def test_images_have_alt_text(path: Path) -> None:
    assert not re.search(r"!\[\s*\]\(", prose(path)), "say in the brackets what the image shows"


@runbooks
def test_figures_are_labelled(path: Path) -> None:
    for cell in code(path):
        if "plt.subplots" in source(cell) or ".plot(" in source(cell):
            assert re.search(r"set_title|title=|suptitle", source(cell)), (
                f"{cell['id']}: the figure has no title"
            )
            assert re.search(r"set_xlabel|xlabel=|set\(|axis\(.off", source(cell)), (
                f"{cell['id']}: no axis label"
            )


@runbooks
def test_metadata_is_small_and_pinned(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    }, "metadata: only the python3 kernelspec (`make outputs`)"
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert path.stat().st_size < 100_000


def test_every_runbook_and_the_template_are_executed_by_nbval(tmp_path: Path) -> None:
    planned = plan.load(nbval_runbooks.with_template(tmp_path / "plan.yml"))
    assert set(nbval_runbooks.selected(planned, [])) == set(NOTEBOOKS)


def test_nbval_fails_on_a_wrong_stored_output(tmp_path: Path) -> None:
    """Without a count, or with its outputs stripped, nbval compares nothing: here a wrong output must fail."""
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "check-sum",
        "metadata": {"tags": ["nbval-check-output", "keep_output"]},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": ["✓ sum · got 3\n"]}],
        "source": ["print('✓ sum · got 3')"],
    }
    metadata = json.loads(TEMPLATE.read_text(encoding="utf-8"))["metadata"]
    results = {}
    for name, text in (("right", "✓ sum · got 3\n"), ("wrong", "✓ sum · got 4\n")):
        cell["outputs"][0]["text"] = [text]  # type: ignore[index]
        path = tmp_path / f"{name}.ipynb"
        path.write_text(
            json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
        )
        command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "-p", "no:cacheprovider"]
        command += ["--nbval-kernel-startup-timeout=240", str(path)]
        results[name] = subprocess.run(command, cwd=paths.root(), capture_output=True, text=True, check=False)
    assert results["right"].returncode == 0, results["right"].stdout
    assert results["wrong"].returncode == 1
    assert "✓ sum · got 4" in results["wrong"].stdout
