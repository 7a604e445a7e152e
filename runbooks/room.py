"""Whether the room is ready: what was looked at, what was found, and which workstream it holds up.

Each look gives findings, plain data; nothing here raises for something that is not ready, creates or changes anything.
"""

from __future__ import annotations

import ast
import importlib.metadata
import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from kit import data, frame, kernels
from kit.errors import KitError
from kit.plan import EVENT, Plan, Subtask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "AREAS",
    "FIX",
    "OPEN",
    "READY",
    "Finding",
    "cards",
    "draw",
    "finding",
    "machine",
    "packages",
    "table",
    "to_fix",
    "verdicts",
]

AREAS = ("machine", "packages", "plan", "AWS", "network", "rights", "data", "quotas")
READY, FIX, OPEN = "ready", "fix", "open"


@dataclass(frozen=True)
class Finding:
    """What was looked at and found. `state`: ready, fix, or open (cannot be known here: a person looks).

    `fix` says what to do; `hinders` are the workstreams that cannot start before, none meaning all.
    """

    area: str
    what: str
    got: str
    needed: str
    state: str
    fix: str = ""
    hinders: tuple[str, ...] = ()


def to_fix(findings: Iterable[Finding], *areas: str) -> list[str]:
    """What is not ready in these areas, in short."""
    return [f"{f.what}: {f.got}" for f in findings if f.state == FIX and f.area in areas]


def verdicts(findings: Iterable[Finding], workstreams: Iterable[str]) -> dict[str, str]:
    """`go` or `no-go` for each workstream: nothing that hinders it is left to fix."""
    stopped = [set(f.hinders) for f in findings if f.state == FIX]
    return {one: "no-go" if any(not who or one in who for who in stopped) else "go" for one in workstreams}


def finding(area: str, what: str, got: str, needed: str, ok: bool, fix: str, *hinders: str) -> Finding:
    """A finding that is ready where it is `ok`, and to fix where not."""
    return Finding(area, what, got, needed, READY if ok else FIX, "" if ok else fix, tuple(hinders))


# This machine


def machine(home: Path, disk_gb: float, memory_gb: float) -> list[Finding]:
    """Python, free disk where the event's folder is, memory."""
    version = ".".join(str(n) for n in sys.version_info[:3])
    folder = next(one for one in (home, *home.parents) if one.exists())
    free = shutil.disk_usage(folder).free / 1e9
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    python = sys.version_info >= (3, 11)
    return [
        finding("machine", "Python", version, "3.11 or newer", python, "Install Python 3.11 or 3.12."),
        finding(
            "machine",
            "free disk",
            f"{free:,.0f} GB",
            f"{disk_gb:,g} GB",
            free >= disk_gb,
            "Free some, or point KIT_HOME at a larger disk.",
        ),
        finding(
            "machine",
            "memory",
            f"{memory:,.0f} GB",
            f"{memory_gb:,g} GB",
            memory >= memory_gb,
            "Close other programs, or work in SageMaker Studio on a larger instance.",
        ),
    ]


def packages(plan: Plan, root: Path) -> list[Finding]:
    """Each distribution that runbooks, job scripts or the kit import: there, and at its version in requirements.lock."""
    lock = [line for line in (root / "requirements.lock").read_text().splitlines() if "==" in line]
    pinned = {
        canonicalize_name(r.name): r for r in map(Requirement, lock) if not r.marker or r.marker.evaluate()
    }
    holds = importlib.metadata.packages_distributions()
    users: dict[NormalizedName, set[str]] = {}
    for workstream in (EVENT, *(w.id for w in plan.workstreams)):
        for module in _imported(plan, root, workstream):
            for name in holds.get(module, [module]):
                users.setdefault(canonicalize_name(name), set()).add(workstream)
    return [_pinned(name, pinned.get(name), users[name]) for name in sorted(users)]


def _imported(plan: Plan, root: Path, workstream: str) -> set[str]:
    """The top-level modules that are not of Python or of this repository; those of the kit count for the event."""
    notebooks = [root / card.notebook for card in plan.cards if card.workstream == workstream]
    scripts = (
        [root.glob(p) for p in ("kit/*.py", "kit/local_aws/*.py", "runbooks/*.py")]
        if workstream == EVENT
        else [(root / workstream).rglob("*.py")]
    )
    files = [*(file for file in notebooks if file.is_file()), *itertools.chain(*scripts)]
    others = [
        root / lane.id for lane in plan.workstreams
    ]  # a notebook may use the modules of another workstream
    found = set()
    for file in files:
        text = kernels.imports(file) if file.suffix == ".ipynb" else file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found |= {name for name in names if not _own(name.partition(".")[0], [file.parent, *others])}
    return {name.partition(".")[0] for name in found}


def _own(module: str, folders: Iterable[Path]) -> bool:
    beside = any((at / f"{module}.py").exists() or (at / module / "__init__.py").exists() for at in folders)
    return beside or module == "kit" or module in sys.stdlib_module_names


def _pinned(name: str, pin: Requirement | None, users: set[str]) -> Finding:
    hinders = () if EVENT in users else sorted(users)
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    needed = str(pin.specifier) if pin else "a line in requirements.lock"
    ok = pin is not None and version != "not installed" and pin.specifier.contains(version, prereleases=True)
    fix = (
        "Run `make run`, or install from requirements.lock."
        if pin
        else "Add it to pyproject.toml, then `make lock`."
    )
    return finding("packages", name, version, needed, ok, fix, *hinders)


# The plan and its cards


def cards(plan: Plan, root: Path) -> list[Finding]:
    """Each card's notebook with its frame and parameters; each workstream's lead, and its planned minutes a day."""
    found = [_card(card, root) for card in plan.cards]
    start, end = (
        sum(n * f for n, f in zip(map(int, h.split(":")), (60, 1), strict=False)) for h in plan.event.hours
    )
    for workstream in plan.workstreams:
        mine = [card for card in plan.cards if card.workstream == workstream.id]
        longest = max(
            (sum(c.minutes for c in mine if c.day == day) for day in {c.day for c in mine}), default=0
        )
        found.append(
            finding(
                "plan",
                f"longest day of {workstream.title}",
                f"{longest} minutes",
                f"at most {end - start}",
                longest <= end - start,
                "Move a card to another day.",
                workstream.id,
            )
        )
        state = READY if workstream.lead else OPEN
        fix = "" if workstream.lead else "Name the lead in runbooks/plan.yml."
        lead = workstream.lead or "nobody named"
        found.append(
            Finding("plan", f"lead of {workstream.title}", lead, "a person", state, fix, (workstream.id,))
        )
    return found


def _card(card: Subtask, root: Path) -> Finding:
    hinders = () if card.workstream == EVENT else (card.workstream,)
    try:
        known = frame.read(root / card.notebook)
        frame.values(known, card.parameters, f"{card.id} in the plan")
    except KitError as error:
        return Finding("plan", card.label, error.message, "a runbook in the frame", FIX, error.hint, hinders)
    return Finding(
        "plan", card.label, f"{len(known.done_when)} checks", "a runbook in the frame", READY, "", hinders
    )


# The table of the use case


def table(plan: Plan, home: Path, least: int) -> tuple[list[Finding], data.Profile | None]:
    """Whether the table can be used as the plan describes it, and its profile if it can. `least`: rows of a label."""
    try:
        profile = data.profile(data.source(plan, home), plan.data)
    except KitError as error:
        return [Finding("data", "table", error.message, "as the plan says", FIX, error.hint)], None
    found = [
        Finding(
            "data",
            "table",
            f"{profile.rows:,} rows, {len(profile.columns)} columns",
            "as the plan says",
            READY,
        )
    ]
    if profile.positive is None:
        distinct = profile[plan.data.target].distinct
        enough = distinct >= 20
        return [
            *found,
            finding(
                "data",
                f"values of {plan.data.target}",
                f"{distinct:,} different",
                "20 or more",
                enough,
                "Set problem: classification, or name another column.",
            ),
        ], profile
    fewer = min(profile.positive, profile.rows - profile.positive)
    share = f"{fewer:,} rows, {fewer / profile.rows:.1%}"
    fix = "Take a longer period, or collect more of them."
    return [
        *found,
        finding("data", "rows of the rarer label", share, f"{least:,} rows", fewer >= least, fix),
    ], profile


# To look at

LOOKS = {
    READY: ("ready", "#dbeafe"),
    OPEN: ("ready, ask", "#fef3c7"),
    FIX: ("FIX", "#fecaca"),
    "": ("not needed", "#ffffff"),
}


def draw(ax: Axes, findings: Iterable[Finding], workstreams: Mapping[str, str]) -> None:
    """Areas by workstreams: a word and a colour for the worst finding in each. `workstreams`: titles by id."""
    found = list(findings)
    for y, area in enumerate(AREAS):
        for x, one in enumerate(workstreams):
            here = {f.state for f in found if f.area == area and (not f.hinders or one in f.hinders)}
            word, colour = LOOKS[next((state for state in (FIX, OPEN, READY) if state in here), "")]
            ax.fill(
                [x - 0.5, x + 0.5, x + 0.5, x - 0.5],
                [y - 0.5, y - 0.5, y + 0.5, y + 0.5],
                fc=colour,
                ec="gray",
            )
            ax.text(x, y, word, ha="center", va="center", fontsize=13)
    going = verdicts(found, workstreams)
    titles = [f"{title}\n{going[one].upper()}" for one, title in workstreams.items()]
    ax.set_xticks(range(len(titles)), titles, fontsize=13)
    ax.set_yticks(range(len(AREAS)), AREAS, fontsize=13)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set(xlim=(-0.5, len(titles) - 0.5), ylim=(len(AREAS) - 0.5, -0.5))
