"""The charter of `charter.yml`: read with messages that help, its criteria held against what runbooks recorded, and as a document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import documents
import yaml
from figures import MEASURES

from kit import plan as plans
from kit.cards import DONE, Board
from kit.errors import PlanError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Charter",
    "Criterion",
    "Person",
    "Question",
    "Result",
    "as_data",
    "document",
    "draw",
    "evaluated",
    "misses",
    "open_ends",
    "read",
    "undecided",
]

STATES = {True: "● holds", False: "■ does not hold", None: "○ not known yet"}


@dataclass(frozen=True)
class Criterion:
    """A success criterion: `figure` ("M5.auc") is a metric that a card records; one of the two bounds is given."""

    name: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    problem: str = ""

    @property
    def bound(self) -> str:
        """`at least 0.8`"""
        return f"at most {self.at_most:g}" if self.at_least is None else f"at least {self.at_least:g}"

    def holds(self, value: float) -> bool:
        """Whether a value is within the bound; not-a-number is not."""
        return value <= (self.at_most or 0.0) if self.at_least is None else value >= self.at_least


@dataclass(frozen=True)
class Person:
    """Somebody who decides: a role, who has it ("" while that is open), and what they decide."""

    role: str
    decides: str
    name: str = ""


@dataclass(frozen=True)
class Question:
    """A decision that is pending: who takes it, and until the end of which day of the event."""

    decision: str
    by: str
    day: int


@dataclass(frozen=True)
class Fact:
    """What is true before the event, to be measured again at its end."""

    what: str
    value: str


@dataclass(frozen=True)
class Charter:
    """The whole charter."""

    goal: str
    problem: str
    target: str
    criteria: tuple[Criterion, ...]
    scope_in: tuple[str, ...]
    scope_out: tuple[str, ...]
    people: tuple[Person, ...]
    pending: tuple[Question, ...] = ()
    assumptions: tuple[str, ...] = ()
    before: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Result:
    """A criterion with what was recorded; `value` and `holds` are None while its figure is not there."""

    criterion: Criterion
    value: float | None
    holds: bool | None


LISTS: Mapping[str, type[Any]] = {
    "criteria": Criterion,
    "people": Person,
    "pending": Question,
    "before": Fact,
    "scope_in": str,
    "scope_out": str,
    "assumptions": str,
}


def read(file: Path) -> Charter:
    """The charter in `file`.

    Raises:
        PlanError: the file is missing, is not YAML, or has a key too many, too few, or of another kind; the message
            names the place.
    """
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(
            f"{file}: {error.strerror or error}.",
            "Copy runbooks/charter.yml there, or correct the parameter.",
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise PlanError(
            f"{file.name}{line}: not readable as YAML ({getattr(error, 'problem', error)}).",
            "Compare its indentation and quotes with the lines around it.",
        ) from None
    return parsed(raw, file.name)


def parsed(raw: Any, where: str = "charter.yml") -> Charter:
    """The charter in already parsed YAML. Raises PlanError like `read`."""
    values: dict[str, Any] = dict(_shaped(Charter, raw, where))
    for name, kind in LISTS.items():
        rows = values.get(name, [])
        if not isinstance(rows, list):
            raise PlanError(
                f"{where} › {name}: expected a list, got {_seen(rows)}.", "Begin each line with a dash."
            )
        values[name] = tuple(_item(kind, row, f"{where} › {name} › {n}") for n, row in enumerate(rows, 1))
    for name in ("goal", "problem", "target"):
        values[name] = _item(str, values[name], f"{where} › {name}")
    for criterion in values["criteria"]:
        _bounded(criterion, f"{where} › criteria › {criterion.name}")
    return Charter(**values)


def _item(kind: type[Any], raw: Any, where: str) -> Any:
    """One entry of a list: a text, or keys and values of the dataclass `kind`, each of its kind."""
    if kind is str:
        if isinstance(raw, (dict, list)) or raw is None or not str(raw).strip():
            raise PlanError(f"{where}: expected a text, got {_seen(raw)}.", "Put quotes around it.")
        return " ".join(str(raw).split())
    values = _shaped(kind, raw, where)
    for f in fields(kind):
        value = values.get(f.name)
        numeric = f.type in ("float | None", "int")
        if f.name in values and numeric and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise PlanError(
                f"{where} › {f.name}: expected a number, got {_seen(value)}.", "Correct the value."
            )
        if f.name in values and not numeric:
            values[f.name] = " ".join(str(value if value is not None else "").split())
    return kind(**values)


def _shaped(kind: type[Any], raw: Any, where: str) -> dict[str, Any]:
    """`raw` if it has the keys of the dataclass `kind`, and all without a default are filled in."""
    known = [f.name for f in fields(kind)]
    if not isinstance(raw, dict):
        raise PlanError(
            f"{where}: expected keys and values, got {_seen(raw)}.", f"Its keys: {', '.join(known)}."
        )
    for key in raw:
        if key not in known:
            raise PlanError(f'{where}: unknown key "{key}".', did_you_mean(str(key), known))
    for name in (f.name for f in fields(kind) if f.default is MISSING):
        if raw.get(name) in (None, "", []):
            raise PlanError(
                f'{where}: "{name}" is missing or empty.', "Fill it in; the charter is nothing without."
            )
    return dict(raw)


def _bounded(criterion: Criterion, where: str) -> None:
    if (criterion.at_least is None) == (criterion.at_most is None):
        raise PlanError(
            f"{where}: it takes either at_least or at_most.",
            "Give the one number from which on it is a success.",
        )
    if criterion.problem and criterion.problem not in MEASURES:
        raise PlanError(
            f'{where} › problem: "{criterion.problem}" is not known.',
            did_you_mean(criterion.problem, MEASURES),
        )


def _seen(raw: Any) -> str:
    return "nothing" if raw is None else f"{type(raw).__name__} {str(raw)[:40]!r}"


def misses(charter: Charter, known: Iterable[str], problem: str) -> list[str]:
    """Criteria of this kind of problem whose figure no runbook records, each with the closest that one does."""
    names = sorted(known)
    patterns = [re.compile(re.escape(name).replace(r"\*", ".+")) for name in names]
    plain = [name for name in names if "*" not in name]
    return [
        f"{criterion.figure}: no runbook records it. {did_you_mean(criterion.figure, plain)[:120]}".strip()
        for criterion in applying(charter, problem)
        if not any(pattern.fullmatch(criterion.figure) for pattern in patterns)
    ]


def applying(charter: Charter, problem: str) -> list[Criterion]:
    """The criteria that count for this kind of problem."""
    return [criterion for criterion in charter.criteria if criterion.problem in ("", problem)]


def evaluated(charter: Charter, board: Board, problem: str) -> list[Result]:
    """The criteria against what the board's cards recorded; a figure counts only of a card that is done."""
    recorded = {
        f"{card.id}.{name}": value
        for card in board.cards
        if card.state == DONE
        for name, value in card.metrics.items()
    }
    found = []
    for criterion in applying(charter, problem):
        value = recorded.get(criterion.figure)
        found.append(Result(criterion, value, None if value is None else criterion.holds(value)))
    return found


def undecided(charter: Charter, days: int) -> list[str]:
    """Pending decisions without somebody in the charter who takes them, or without a day of the event."""
    roles = {person.role for person in charter.people}
    return [
        f"{question.decision} ({why})"
        for question in charter.pending
        if (why := _lacks(question, roles, days))
    ]


def _lacks(question: Question, roles: set[str], days: int) -> str:
    if question.by not in roles:
        return f'no "{question.by}" among people. {did_you_mean(question.by, roles)}'
    return "" if 1 <= question.day <= days else f"the event has no day {question.day}"


def open_ends(charter: Charter, data: plans.Data) -> list[str]:
    """What a sponsor should know is open: roles without a person, and a charter that was written for another table."""
    nobody = [person.role for person in charter.people if not person.name]
    found = [f"nobody is named yet as {', '.join(nobody)}"] if nobody else []
    if charter.target != data.target:
        found.append(f"the charter is about {charter.target}, the plan predicts {data.target}")
    return found


def as_data(charter: Charter) -> dict[str, Any]:
    """The charter as the journal keeps it."""
    return {
        "goal": charter.goal,
        "problem": charter.problem,
        "criteria": [{k: v for k, v in asdict(c).items() if v not in (None, "")} for c in charter.criteria],
        "scope_in": list(charter.scope_in),
        "scope_out": list(charter.scope_out),
        "people": [f"{person.role}: {person.name or 'not named yet'}" for person in charter.people],
        "pending": [question.decision for question in charter.pending],
        "asked": [asdict(question) for question in charter.pending],
        "assumptions": list(charter.assumptions),
    }


def draw(ax: Axes, results: Sequence[Result], board: Board) -> None:
    """When each criterion will be known: a mark on the day of the card that records its figure."""
    days = {card.id: card.day for card in board.cards}
    colours = {True: "#146c34", False: "#a8201a", None: "#55606b"}
    marks = {True: "o", False: "s", None: "o"}
    for row, result in enumerate(reversed(results)):
        day = days.get(result.criterion.figure.partition(".")[0], 1)
        ax.scatter(
            day,
            row,
            s=110,
            marker=marks[result.holds],
            edgecolors=colours[result.holds],
            linewidths=1.8,
            color="white" if result.holds is None else colours[result.holds],
            zorder=3,
        )
        known = "" if result.value is None else f"{result.value:.4g}, "
        ax.annotate(
            f"{known}{result.criterion.bound}", (day, row), (10, -3), textcoords="offset points", fontsize=9
        )
    ax.set_yticks(range(len(results)), [result.criterion.name for result in reversed(results)])
    ax.set_xticks(range(1, len(board.event.dates) + 1))
    ax.set_xlim(0.7, len(board.event.dates) + 0.9)
    ax.grid(axis="x", color="#d3d9df")


def document(
    charter: Charter, results: Sequence[Result], board: Board, data: plans.Data, decided: Mapping[str, str]
) -> list[str]:
    """The charter as the lines of a Markdown document.

    Args:
        charter: as `read` gives it.
        results: as `evaluated` gives them.
        board: the event.
        data: the plan's table.
        decided: what was answered to decisions, by their text.
    """
    plain = documents.plain
    dates = board.event.dates
    rows = [
        [plain(r.criterion.name), plain(r.criterion.figure), plain(r.criterion.bound),
         "" if r.value is None else f"{r.value:,.4g}", STATES[r.holds]]
        for r in results
    ]  # fmt: skip
    ends = open_ends(charter, data)
    lines = [
        f"# Charter: {plain(board.event.name)}",
        "",
        f"{dates[0]:%-d %B %Y} to {dates[-1]:%-d %B %Y}.",
        *(["", "**Open:** " + "; ".join(plain(end) for end in ends) + "."] if ends else []),
        "", "## Goal", "", plain(charter.goal),
        "", "## The machine learning problem", "", plain(charter.problem),
        "", f"Data: column {plain(data.target)}, {plain(data.problem)}; "
        f"{plain(data.source or 'the generated table')}.",
        "", "## It was a success if",
        *documents.table(["Criterion", "Figure", "Bound", "Recorded", "State"], rows),
        "## Scope", "", "In:", *documents.bullets(map(plain, charter.scope_in)),
        "Out:", *documents.bullets(map(plain, charter.scope_out)),
        "## Who decides",
        *documents.table(
            ["Role", "Person", "Decides"],
            [[plain(p.role), plain(p.name) or "not named yet", plain(p.decides)] for p in charter.people],
        ),
        "## Decisions pending",
        *documents.table(
            ["Decision", "By", "Until the end of", "Answer"],
            [[plain(q.decision), plain(q.by), f"day {q.day}", plain(decided.get(q.decision, "")) or "open"]
             for q in charter.pending],
        ),
    ]  # fmt: skip
    if charter.assumptions:
        lines += ["## Believed, not proven", *documents.bullets(map(plain, charter.assumptions))]
    if charter.before:
        rows = [[plain(fact.what), plain(fact.value), ""] for fact in charter.before]
        lines += ["## Before and after", *documents.table(["What", "Before the event", "After it"], rows)]
    return lines
