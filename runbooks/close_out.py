"""The close-out: what became of the charter's criteria, who accepts, what is decided and open, as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import charter
import package
from decisions import Open
from documents import bullets, plain, table
from forms import Field, Form

from kit.cards import DONE, Board
from kit.errors import UsageError, did_you_mean

__all__ = ["VERDICTS", "acceptance", "criteria", "document", "form", "index", "open_cards", "unmet"]

VERDICTS = ("not decided", "accepted", "accepted with conditions", "not accepted")


def criteria(results: Sequence[charter.Result], rescoped: Mapping[str, str]) -> list[dict[str, str]]:
    """A row for each criterion: what was asked, what was recorded (or that it is missing), and whether it holds."""
    return [
        {
            "criterion": one.criterion.name,
            "figure": one.criterion.figure,
            "asked": one.criterion.bound,
            "recorded": "missing" if one.value is None else f"{one.value:.4g}",
            "result": _result(one, rescoped),
        }
        for one in results
    ]


def _result(one: charter.Result, rescoped: Mapping[str, str]) -> str:
    if one.holds:
        return "holds"
    said = "missing" if one.holds is None else "missed"
    return f"{said}, re-scoped: {rescoped[one.criterion.name]}" if rescoped.get(one.criterion.name) else said


def unmet(results: Sequence[charter.Result], rescoped: Mapping[str, str]) -> list[str]:
    """Criteria that neither hold nor are re-scoped in writing.

    Raises:
        UsageError: a criterion is re-scoped that the charter does not have.
    """
    names = [one.criterion.name for one in results]
    for name in rescoped:
        if name not in names:
            raise UsageError(f'The charter has no criterion "{name}".', did_you_mean(name, names))
    return [
        one.criterion.name
        for one in results
        if not one.holds and not str(rescoped.get(one.criterion.name, "")).strip()
    ]


def acceptance(by: str, verdict: str, conditions: str = "") -> dict[str, str]:
    """Who accepts the results, and how, as the journal keeps it.

    Raises:
        UsageError: no such verdict; one without a person; conditions that are not said.
    """
    if verdict not in VERDICTS:
        raise UsageError(f'"{verdict}" is no verdict.', did_you_mean(verdict, VERDICTS))
    if verdict != VERDICTS[0] and not by.strip():
        raise UsageError(f'Nobody says "{verdict}".', "Name who accepts: accepted_by.")
    if verdict == VERDICTS[2] and not conditions.strip():
        raise UsageError("The conditions are not said.", "Write them down: conditions.")
    return {"by": by.strip(), "verdict": verdict, "conditions": conditions.strip()}


def form(given: Mapping[str, str]) -> Form:
    """A form for the acceptance, and the same as a line of code."""
    fields = [
        Field("by"),
        Field("verdict", choices=[(one, one) for one in VERDICTS]),
        Field("conditions", lines=2, width="44em"),
    ]
    return Form({"acceptance": "Acceptance"}, fields, {"acceptance": dict(given)}, _code)


def _code(values: Mapping[str, Mapping[str, Any]]) -> str:
    one = values["acceptance"]
    return f"accepted_by, verdict, conditions = {one['by']!r}, {one['verdict']!r}, {one['conditions']!r}"


def open_cards(wall: Board) -> list[dict[str, str]]:
    """The work that is not done, with who has it and what it waits for; the event's own agenda is none."""
    return [
        {
            "card": card.label,
            "workstream": wall_title(wall, card.workstream),
            "state": card.state,
            "owner": card.owner or card.role,
            "due": card.due,
            "waits for": card.reason,
        }
        for card in package.open_work(wall)
    ]


def wall_title(wall: Board, workstream: str) -> str:
    """The title of a workstream."""
    return next((lane.title for lane in wall.lanes if lane.id == workstream), workstream)


def document(
    agreed: charter.Charter,
    results: Sequence[charter.Result],
    rescoped: Mapping[str, str],
    accepted: Mapping[str, str],
    taken: Mapping[str, str],
    waiting: Sequence[Open],
    wall: Board,
) -> list[str]:
    """The close-out as the lines of a Markdown document."""
    done = [card for card in wall.cards if card.state == DONE]
    rows = [[plain(cell) for cell in row.values()] for row in criteria(results, rescoped)]
    left = [[plain(cell) for cell in row.values()] for row in open_cards(wall)]
    verdict = accepted["verdict"]
    by = f" by {plain(accepted['by'])}" if accepted["by"] else ""
    conditions = [f"Conditions: {plain(accepted['conditions'])}"] if accepted["conditions"] else []
    return [
        f"# Close-out of {plain(wall.event.name)}",
        "",
        f"**Goal.** {plain(agreed.goal)}",
        "",
        f"{len(done)} of {len(wall.cards)} cards are done. "
        f"{sum(bool(one.holds) for one in results)} of {len(results)} criteria hold.",
        "",
        "## Success criteria",
        *table(["criterion", "figure", "asked", "recorded", "result"], rows),
        "## Acceptance",
        "",
        f"**{plain(verdict).capitalize()}**{by}.",
        "",
        *conditions,
        "",
        "## Decided",
        *bullets(
            (f"{plain(what)} **{plain(answer)}**" for what, answer in taken.items()), "Nothing was recorded."
        ),
        "## Still to decide",
        *bullets((f"{plain(one.text)} ({plain(one.by or one.lanes)})" for one in waiting), "Nothing."),
        "## Open cards",
        *(
            table(["card", "workstream", "state", "owner", "due", "waits for"], left)
            if left
            else ["", "None.", ""]
        ),
        "They are in [board/open_cards_jira.csv](../board/open_cards_jira.csv) of the closing package, for Jira.",
    ]


def index(wall: Board, files: Mapping[str, str], accepted: Mapping[str, str]) -> list[str]:
    """The start page of the closing package, as lines of Markdown. `files`: title ("" for none) by name."""

    def links(*starts: str, failed: bool = False, figures: bool = False) -> list[str]:
        pages = {name.rpartition(".")[0] for name in files if name.endswith(".html")}
        shown = [
            name
            for name in files
            if name.startswith(starts)
            and name.endswith("-failed.html") == failed
            and (name.startswith("documents/") and name.endswith(".png")) == figures
            and not (name.endswith((".md", ".json")) and name.rpartition(".")[0] in pages)
        ]
        return [f"[{plain(files[name] or name.rpartition('/')[2])}]({quote(name)})" for name in shown]

    failed = links("reports/notebooks/", failed=True)
    return [
        f"# {plain(wall.event.name)}: closing package",
        "",
        f"{', '.join(f'{date:%-d %B %Y}' for date in wall.event.dates)}. Results: {plain(accepted['verdict'])}.",
        "",
        "## Documents",
        *bullets(links("documents/")),
        "## Figures",
        *bullets(links("documents/", figures=True), "None."),
        "## Reports",
        *bullets(links("reports/day-")),
        "## Executed runbooks",
        *bullets(links("reports/notebooks/"), "None ran unattended."),
        *(["## Runs that failed, as evidence", *bullets(failed)] if failed else []),
        "## Board",
        *bullets(links("board/")),
        "## Attachments",
        *bullets(links("attachments/"), "None."),
        "`SHA256SUMS` and `manifest.json` say what the files were when the package was made: `sha256sum --check SHA256SUMS`.",
    ]
