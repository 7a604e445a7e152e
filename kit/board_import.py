"""A plan of people's own as cards: a CSV file, read whole and held against the board before anything is written. Pure."""

from __future__ import annotations

import csv
import graphlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit import plan as plans
from kit import raw
from kit.board_csv import CARD
from kit.cards import Board, Card
from kit.errors import UsageError, did_you_mean

__all__ = ["COLUMNS", "Row", "read"]

COLUMNS = ("id", "title", "workstream", "day", "minutes", "needs", "owner", "due", "criteria", "team")
REQUIRED = COLUMNS[:3]


@dataclass(frozen=True)
class Row:
    """A card to add: its id, its team ("" for all) and the data of its `added` event; `line` is where it stands."""

    line: int
    id: str
    team: str
    data: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What names the card on the board."""
        return f"{self.id}@{self.team}" if self.team else self.id


def read(content: bytes, plan: plans.Plan, board: Board, team: str = "") -> tuple[list[Row], int, list[str]]:
    """The cards of a CSV file that are not on the board yet, how many are, and what is wrong, one line each.

    The first line names the columns: id, title and workstream, and whichever of the others there are; those that
    `kit board export --format csv` writes beside them are left alone. Delimiters are commas, semicolons or tabs; several
    needs are separated by spaces or commas, several criteria by "; " or line breaks.

    Args:
        content: the file's bytes.
        plan: the event.
        board: what is there already; the same card again is no error, a different one under its id is.
        team: whose cards they are where the file has no column `team`.

    Raises:
        UsageError: it is no such file at all; nothing in it can be read.
    """
    rows, problems = _rows(_text(content))
    found: list[Row] = []
    lines: dict[str, int] = {}
    for line, cells in rows:
        row = _row(line, cells, plan, cells.get("team") or team, problems)
        if row and row.key in lines:
            problems.append(f"line {line}: the id {row.id} is also on line {lines[row.key]}.")
        elif row:
            lines[row.key] = line
            found.append(row)
    known = {name for card in board.cards for name in (card.id, card.key)}
    known |= {name for row in found for name in (row.id, row.key)}
    there = {card.key: card for card in board.cards}
    planned = {card.id: card for card in board.cards if card.added is None}
    new = []
    for row in found:
        for need in row.data["needs"]:
            if need not in known:
                problems.append(
                    f'line {row.line}: needs "{need}", which is no card. {_closest(need, known)}'.strip()
                )
        card = there.get(row.key) or planned.get(row.id)
        if card is None:
            new.append(row)
        elif differs := _differs(row, card):
            problems.append(f"line {row.line}: {row.key} is on the board already, with another {differs}.")
    if not problems and (circle := _circle(new)):
        problems.append(f"The needs go in a circle: {' → '.join(circle)}.")
    return new, len(found) - len(new), sorted(problems, key=_place)


def _closest(word: str, known: Iterable[str]) -> str:
    hint = did_you_mean(word, known)
    return hint if hint.startswith("Did you mean") else ""


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(
            f"Line {line} of the file is not UTF-8.",
            "In a spreadsheet: save as, CSV UTF-8 (comma delimited).",
        ) from None


def _rows(text: str) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Each row with the line that it begins on, cells by column, and what is wrong with the table as such."""
    head = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    names: list[str] = []
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[str] = []
    line = 1
    try:
        for cells in reader:
            here, line = line, reader.line_num + 1
            cells = [_cell(cell) for cell in cells]
            if not any(cells):
                continue
            if not names:
                names = _head(cells)
            elif any(cells[len(names) :]):
                problems.append(
                    f"line {here}: {len(cells)} cells, but {len(names)} columns. Quote text with commas."
                )
            else:
                rows.append((here, dict(zip(names, cells, strict=False))))
    except csv.Error as error:
        problems.append(f"line {line}: no CSV ({error}).")
    if not names:
        raise UsageError("The file is empty.", f"Its first line names the columns: {','.join(COLUMNS)}")
    return rows, problems


def _cell(cell: str) -> str:
    """A cell without the apostrophe that an export puts before what a spreadsheet would take for a formula."""
    cell = cell.strip()
    return cell[1:] if re.match(r"'\s*[=+\-@]", cell) else cell


def _head(cells: Sequence[str]) -> list[str]:
    names = [re.sub(r"\W+", "_", cell.strip().lower()) for cell in cells]
    for name in names:
        if name and name not in COLUMNS and name not in CARD:
            raise UsageError(f'There is no column "{name}".', did_you_mean(name, COLUMNS))
        if name and names.count(name) > 1:
            raise UsageError(f'The column "{name}" is there twice.', "Remove one of them.")
    if missing := [name for name in REQUIRED if name not in names]:
        raise UsageError(
            f"The first line does not name the columns: {', '.join(missing)} is missing.",
            f"It may name {','.join(COLUMNS)}",
        )
    return names


def _row(line: int, cells: Mapping[str, str], plan: plans.Plan, team: str, problems: list[str]) -> Row | None:
    """One card; None, and what is wrong, if something is."""
    wrong: list[str] = []
    id, title, lane = cells.get("id", ""), cells.get("title", ""), None
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", id):
        wrong.append(
            f'the id "{id}" is not of letters, digits, dots, dashes (at most 100).' if id else "no id."
        )
    if not title:
        wrong.append("no title.")
    lanes = {name.lower(): w for w in (plan.lane(plans.EVENT), *plan.workstreams) for name in (w.id, w.title)}
    if wanted := cells.get("workstream", ""):
        lane = lanes.get(wanted.lower())
        if lane is None:
            wrong.append(
                f'there is no workstream "{wanted}". {did_you_mean(wanted, [w.id for w in plan.workstreams])}'
            )
    else:
        wrong.append("no workstream.")
    day = _number(cells.get("day") or "1", 1, len(plan.event.dates), "day", wrong)
    minutes = _number(cells.get("minutes") or "60", 0, plans.LONGEST, "minutes", wrong)
    due = cells.get("due", "")
    if due and raw.date(due) != due:
        wrong.append(f'due "{due}" is no date such as {plan.event.dates[-1]}.')
    if team and team not in plan.teams:
        known = did_you_mean(team, plan.teams) if plan.teams else "The plan has none."
        wrong.append(f'there is no team "{team}". {known}')
    problems += [f"line {line}: {what}" for what in wrong]
    if wrong or lane is None:
        return None
    needs = [need for need in re.split(r"[\s,;]+", cells.get("needs", "")) if need]
    criteria = [part.strip() for part in re.split(r";\s|[\r\n]+", cells.get("criteria", "")) if part.strip()]
    data = {"id": id, "title": title, "workstream": lane.id, "day": day, "minutes": minutes, "needs": needs}
    data |= {"owner": cells.get("owner", ""), "due": due, "criteria": criteria, "source": "import"}
    return Row(line, id, "" if lane.id == plans.EVENT or lane.shared else team, data)


def _number(text: str, least: int, most: int, what: str, wrong: list[str]) -> int:
    if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most:
        return int(text)
    wrong.append(f'{what} "{text}" is no number from {least} to {most}.')
    return 0


def _differs(row: Row, card: Card) -> str:
    """What of a card on the board is not as in the row; "" if it is the same. A planned card has no criteria or due date."""
    mine = row.data
    pairs = [(mine[name], getattr(card, name), name) for name in ("title", "workstream", "day", "minutes")]
    pairs.append((mine["needs"], list(card.needs), "needs"))
    if card.added:
        pairs += [(mine["due"], card.due, "due date"), (mine["criteria"], list(card.criteria), "criteria")]
        first = next((e for e in card.history if e.type == "added"), None)
        owners = {card.owner, raw.text(first.data.get("owner")) if first else ""}
        pairs.append((mine["owner"] in owners, True, "owner"))
    different = [name for ours, theirs, name in pairs if ours != theirs]
    return ", ".join(different)


def _circle(rows: Sequence[Row]) -> list[str]:
    """The cards of a circle of needs, first and last the same; none if there is no circle."""
    needs = {row.id: {need.partition("@")[0] for need in row.data["needs"]} for row in rows}
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _place(problem: str) -> tuple[int, str]:
    number = re.match(r"line (\d+):", problem)
    return (int(number[1]) if number else 1_000_000_000, problem)
