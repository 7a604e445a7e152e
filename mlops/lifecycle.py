"""The model life cycle of `lifecycle.yml`: read, checked, drawn and written as a document. Plain data, no calls."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from kit import frame
from kit.errors import PlanError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "KINDS",
    "Lifecycle",
    "draw",
    "measures",
    "page",
    "read",
    "recorded",
    "stages",
    "unmeasured",
    "unowned",
    "unreached",
]

Lifecycle = dict[str, Any]
"""What `lifecycle.yml` holds: roles, gates, cycles (each with its stages), retirement."""

KINDS = ("done", "check", "metric", "manual")
"""How a gate can be measured; its `lifecycle.yml` says what each means."""

# Keys of each part; those with a star may be left out.
SHAPE: Mapping[str, tuple[str, ...]] = {
    "life cycle": ("roles", "gates", "cycles", "retirement"),
    "role": ("id", "title", "workstream"),
    "gate": ("text", *(f"{kind}*" for kind in KINDS)),
    "cycle": ("id", "title", "source", "stages"),
    "stage": (
        "id",
        "title",
        "purpose",
        "owner",
        "approver",
        "entry",
        "exit",
        "artefacts",
        "cards*",
        "next*",
        "back*",
    ),
    "retirement": ("reasons", "steps"),
    "step": ("do", "by"),
}


def read(file: Path) -> Lifecycle:
    """The life cycle in `file`.

    Raises:
        PlanError: the file is no YAML, or a part of it has a key too many or too few; the message names the place.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise PlanError(
            f"{file.name}: not readable as YAML ({error}).", "Look at the lines around it."
        ) from None
    _shaped("life cycle", found, file.name)
    for part, rows in (("role", found["roles"]), ("cycle", found["cycles"])):
        for row in rows:
            _shaped(part, row, f"{file.name} › {part} {_id(row)}")
    for name, gate in found["gates"].items():
        _shaped("gate", gate, f"{file.name} › gate {name}")
    for cycle, stage in stages(found):
        _shaped("stage", stage, f"{file.name} › {cycle['id']} › stage {_id(stage)}")
    _shaped("retirement", found["retirement"], f"{file.name} › retirement")
    for step in found["retirement"]["steps"]:
        _shaped("step", step, f"{file.name} › retirement › steps")
    return dict(found)


def _shaped(part: str, raw: Any, where: str) -> None:
    known = [key.rstrip("*") for key in SHAPE[part]]
    if not isinstance(raw, dict):
        raise PlanError(f"{where}: expected keys and values, got {raw!r}.", f"Known: {', '.join(known)}.")
    for key in raw:
        if key not in known:
            raise PlanError(f'{where}: unknown key "{key}".', did_you_mean(str(key), known))
    for key in SHAPE[part]:
        if not key.endswith("*") and not raw.get(key):
            raise PlanError(f'{where}: "{key}" is missing or empty.', "Fill it in.")


def _id(row: Any) -> str:
    return str(row.get("id", "?")) if isinstance(row, dict) else repr(row)


def stages(lifecycle: Lifecycle) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every stage with the cycle that it is in."""
    return ((cycle, stage) for cycle in lifecycle["cycles"] for stage in cycle["stages"])


# What must hold. Each gives the list of what does not, as texts for people.


def recorded(notebook: Path) -> set[str]:
    """What a runbook records when it is done: its checks, and the metrics that its last cell names.

    Raises:
        RunbookError: it is no runbook.
    """
    found: set[Any] = set(frame.read(notebook).done_when)
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and cell.get("id") == "record":
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if (
                    isinstance(node, ast.keyword)
                    and node.arg == "metrics"
                    and isinstance(node.value, ast.Dict)
                ):
                    found |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    return found


def unmeasured(lifecycle: Lifecycle, recorded: Mapping[str, Iterable[str]]) -> list[str]:
    """Gates that no runbook measures and that are not marked manual, and gates that a stage names but nobody defined.

    Args:
        lifecycle: as `read` gives it.
        recorded: by card, the checks and metrics that its runbook records.
    """
    wrong = [f"{name}: {why}" for name, gate in lifecycle["gates"].items() if (why := _lacks(gate, recorded))]
    named = {gate: stage for _, stage in stages(lifecycle) for gate in (*stage["entry"], *stage["exit"])}
    wrong += [
        f"{gate}: {stage['id']} names it, it is not under gates"
        for gate, stage in named.items()
        if gate not in lifecycle["gates"]
    ]
    return wrong + [f"{gate}: no stage names it" for gate in lifecycle["gates"] if gate not in named]


def _lacks(gate: Mapping[str, Any], recorded: Mapping[str, Iterable[str]]) -> str:
    """What keeps the gate from being measured; empty if nothing does."""
    kinds = [kind for kind in KINDS if gate.get(kind)]
    if len(kinds) != 1:
        return f"measured by {' and '.join(kinds) or 'nothing'}, it takes exactly one of {', '.join(KINDS)}"
    measure = gate[kinds[0]]
    if kinds == ["manual"]:
        return ""
    if kinds == ["done"]:
        return "" if measure in recorded else f"the plan has no card {measure}"
    if not isinstance(measure, dict) or not {"card", "name"} <= set(measure):
        return f"{kinds[0]} takes a card and a name"
    if measure["card"] not in recorded:
        return f"the plan has no card {measure['card']}"
    if kinds == ["metric"] and len({"at_least", "at_most"} & set(measure)) != 1:
        return "a metric takes at_least or at_most"
    known = measure["name"] in recorded[measure["card"]]
    return "" if known else f"{measure['card']} does not record {measure['name']!r}"


def unreached(lifecycle: Lifecycle) -> list[str]:
    """Stages that the first one does not lead to, that do not lead to the last one, or that lead to nowhere."""
    wrong = []
    for cycle in lifecycle["cycles"]:
        ways = {stage["id"]: [*stage.get("next", []), *stage.get("back", {})] for stage in cycle["stages"]}
        wrong += [
            f"{cycle['id']} › {stage}: leads to {to}, which is no stage"
            for stage, onward in ways.items()
            for to in onward
            if to not in ways
        ]
        first, last = cycle["stages"][0]["id"], cycle["stages"][-1]["id"]
        forward = _from(first, ways)
        wrong += [f"{cycle['id']} › {stage}: nothing leads to it" for stage in ways if stage not in forward]
        wrong += [
            f"{cycle['id']} › {stage}: does not lead to {last}"
            for stage in ways
            if last not in _from(stage, ways)
        ]
    return wrong


def _from(start: str, ways: Mapping[str, Iterable[str]]) -> set[str]:
    """The stages that `start` leads to, itself included."""
    found, todo = {start}, [start]
    while todo:
        new = set(ways.get(todo.pop(), ())) - found
        found |= new
        todo += new
    return found


def unowned(lifecycle: Lifecycle, workstreams: Iterable[str], cards: Iterable[str]) -> list[str]:
    """Roles outside the event's workstreams, stages that nobody or one role alone answers for, cards that the plan has not.

    Args:
        lifecycle: as `read` gives it.
        workstreams: ids of the plan's workstreams, `event` included.
        cards: ids of the plan's cards.
    """
    roles = {role["id"]: role["workstream"] for role in lifecycle["roles"]}
    known, planned = set(workstreams), set(cards)
    wrong = [
        f"{role}: the plan has no workstream {where}" for role, where in roles.items() if where not in known
    ]
    for cycle, stage in stages(lifecycle):
        where = f"{cycle['id']} › {stage['id']}"
        wrong += [
            f"{where}: no role {stage[who]}" for who in ("owner", "approver") if stage[who] not in roles
        ]
        if stage["owner"] == stage["approver"]:
            wrong.append(f"{where}: {stage['owner']} approves the own work")
        wrong += [
            f"{where}: the plan has no card {card}" for card in stage.get("cards", []) if card not in planned
        ]
    steps = lifecycle["retirement"]["steps"]
    return wrong + [f"retirement: no role {step['by']}" for step in steps if step["by"] not in roles]


# To look at


def measures(gate: Mapping[str, Any]) -> str:
    """What decides the gate: `D2 is Done`, `E1: The table fits the plan`, `M1: gain at least 0.0`, `manual`."""
    kind = next(kind for kind in KINDS if gate.get(kind))
    measure = gate[kind]
    if kind in ("manual", "done"):
        return "manual" if kind == "manual" else f"{measure} is Done"
    bound = next(
        (f" {k.replace('_', ' ')} {measure[k]}" for k in ("at_least", "at_most") if k in measure), ""
    )
    return f"{measure['card']}: {measure['name']}{bound}"


def draw(ax: Axes, lifecycle: Lifecycle, cycle: Mapping[str, Any]) -> None:
    """The cycle as boxes from left to right: title and owner inside, the cards that open the gate out of it below, ways back dashed.

    The axes only place it: the caller turns them off.
    """
    titles = {role["id"]: role["title"] for role in lifecycle["roles"]}
    places = {stage["id"]: n for n, stage in enumerate(cycle["stages"])}
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    for stage in cycle["stages"]:
        x = places[stage["id"]]
        ax.add_patch(_box(x))
        ax.text(x, 0.14, textwrap.fill(stage["title"], 13), fontsize=15, weight="bold", **middle)
        ax.text(x, -0.25, titles[stage["owner"]], fontsize=12.5, **middle)
        opens = dict.fromkeys(
            re.split("[ :]", measures(lifecycle["gates"][gate]))[0] for gate in stage["exit"]
        )
        text = textwrap.fill(f"gate: {', '.join(opens)}", 17)
        ax.text(x, -0.5, text, ha="center", va="top", fontsize=12.5, style="italic")
        for to in stage.get("next", []):
            arrow = {"arrowstyle": "-|>", "mutation_scale": 18, "shrinkA": 0, "shrinkB": 0, "lw": 1.6}
            ax.annotate("", (places[to] - 0.42, 0), (x + 0.42, 0), arrowprops={**arrow, "color": "black"})
    ways = [
        (places[stage["id"]], places[to], why)
        for stage in cycle["stages"]
        for to, why in stage.get("back", {}).items()
    ]
    for lane, start, end, why in _lanes(ways):
        y, aside = 0.62 + 0.3 * lane, 0.14 - 0.08 * lane
        ax.plot([start - aside, start - aside, end + aside], [0.42, y, y], "--", color=BACK, lw=1.4)
        arrow = {"arrowstyle": "-|>", "ls": "--", "color": BACK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (end + aside, 0.42), (end + aside, y), arrowprops=arrow)
        ax.text((start + end) / 2, y + 0.03, why, ha="center", va="bottom", fontsize=12, color=BACK)
    ax.set(xlim=(-0.5, len(places) - 0.5), ylim=(-0.85, 1.5))
    ax.set_title(f"{cycle['title']} · {cycle['source']}", fontsize=17)


BACK = "#9a3412"


def _lanes(ways: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, int, str]]:
    """The ways back, each with the lowest lane in which it crosses no other; the shortest are lowest."""
    placed: list[tuple[int, int, int, str]] = []
    for start, end, why in sorted(ways, key=lambda way: way[0] - way[1]):
        taken = {lane for lane, right, left, _ in placed if left < start and end < right}
        placed.append((min(set(range(len(placed) + 1)) - taken), start, end, why))
    return placed


def _box(x: int) -> Any:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.06"
    return FancyBboxPatch((x - 0.42, -0.42), 0.84, 0.84, boxstyle=style, fc="#eff6ff", ec="#1e3a8a", lw=1.6)


def page(lifecycle: Lifecycle, event: str, use_case: str, figure: str) -> str:
    """The plan as one self-contained HTML document; `figure` is an SVG, everything else is escaped."""
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"measures": measures, "zip": zip}
    roles = {role["id"]: role["title"] for role in lifecycle["roles"]}
    template = environment.get_template("lifecycle.html")
    image = figure[figure.index("<svg") :]  # without the prolog of a file
    return template.render(plan=lifecycle, event=event, use_case=use_case, figure=image, roles=roles)
