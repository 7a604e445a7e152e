"""The day-end report: one HTML file a day that needs no network, its data beside it, and the evidence below it.

What it tells is folded in `kit.daily`, worded in `kit.wording` and drawn by `templates/report/`; executed runbooks
become pages in `kit.evidence`, a PDF is printed by `kit.pdf`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kit import board, charts, evidence, files, flow, hours, said, series, wording
from kit import plan as plans
from kit.cards import STATES
from kit.daily import Day, content
from kit.errors import KitError
from kit.journal import Event

__all__ = ["Day", "content", "day"]

CONTENT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def day(
    plan: plans.Plan, events: Iterable[Event], day: int, *, home: Path, now: dt.datetime | None = None
) -> Path:
    """Write `home/reports/day-<n>.html`, `day-<n>.json` and the executed runbooks as HTML; return the HTML file.

    Args:
        plan: the event.
        events: the journal's, of every day.
        day: the day's number, from 1.
        home: the event's folder; paths in events are relative to it.
        now: the time of writing (aware); default the machine's.

    Raises:
        UsageError: the event has no such day.
        KitError: the folder cannot be written.
    """
    told = content(plan, list(events), day, now or dt.datetime.now(dt.UTC))
    folder = home / "reports"
    try:
        pages = _pages(home, told)
        files.replace(folder / f"day-{day}.json", _json(told, pages))
        return files.replace(folder / f"day-{day}.html", _html(told, pages, home))
    except OSError as error:
        raise KitError(
            f"The report in {folder} cannot be written: {error.strerror or error}.",
            "Mend the folder, then write it again: kit report. The journal holds everything it needs.",
        ) from None


def _pages(home: Path, told: Day) -> dict[str, evidence.Page]:
    """The executed copies as HTML: of each card's proof under its name, of its failed run under "<name>-failed"."""
    copies, titles = {}, {}
    for card in told.cards:
        name, label = card.key, card.label
        if card.run and card.run.copy:
            copies[name], titles[name] = card.run.copy, f"{label}, executed"
        if card.failed and card.failed.copy:
            copies[f"{name}-failed"], titles[f"{name}-failed"] = card.failed.copy, f"{label}, failed run"
    return evidence.pages(home, copies, titles)


def _json(told: Day, pages: Mapping[str, evidence.Page]) -> str:
    """The report as data, to attach or to compare with another day's."""
    shown = {(card.id, card.team) for card in told.cards}
    wall = json.loads(board.to_json(told.board))
    whole = {
        "version": 1,
        "day": told.number,
        "date": told.date,
        "at": told.at,
        "rehearsed": told.rehearsed,
        "headline": wording.headline(told),
        "figures": [dataclasses.asdict(figure) for figure in wording.figures(told)],
        "counts": wall["counts"],
        "cards": [card for card in wall["cards"] if (card["id"], card["team"]) in shown],
        "changes": {change.what: [c.key for c in change.cards] for change in told.changes},
        "blockers": [_block(block) for block in told.blocks],
        "ageing": [card.key for card in told.ageing],
        "decisions": [dataclasses.asdict(decision) for decision in told.decisions],
        "standups": [dataclasses.asdict(standup) for standup in told.standups],
        "retro": dataclasses.asdict(told.retro) if told.retro else None,
        "actions": [
            {"id": c.id, "title": c.title, "owner": c.owner, "due": c.due, "state": c.state}
            for c in told.actions
        ],
        "metrics": [dataclasses.asdict(one) for one in told.series],
        "ahead": {
            lane: [{"card": c.key, "day": c.day, "owner": c.owner, "waits_for": c.waits} for c in cards]
            for lane, cards in told.ahead.items()
        },
        "notes": [dataclasses.asdict(note) for note in told.notes],
        "burn_up": [dataclasses.asdict(point) for point in told.burn_up.rows] if told.burn_up else [],
        "flow": [{"at": row.at, **row.counts} for row in told.flow.rows] if told.flow else [],
        "missing": [f"{name}: {page.problem}" for name, page in pages.items() if page.problem],
    }
    return json.dumps(whole, default=lambda value: value.isoformat(), ensure_ascii=False, indent=1) + "\n"


def _block(block: Any) -> dict[str, Any]:
    told = {key: getattr(block, key) for key in ("reason", "unblocker", "opened", "closed")}
    return {"card": block.card.key, **told, "hours": round(block.time.total_seconds() / 3600, 2)}


def _html(told: Day, pages: Mapping[str, evidence.Page], home: Path) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([evidence.TEMPLATES / "report", evidence.TEMPLATES]),
        autoescape=True,  # whatever people write stays text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": told.clock,
        "spoken": hours.spoken,
        "shown": wording.shown,
        "plain": wording.plain,
        "listed": wording.listed,
        "grouped": wording.grouped,
    }
    environment.globals |= {"said": said, "charts": charts}
    return environment.get_template("index.html.j2").render(
        day=told,
        headline=wording.headline(told),
        figures=wording.figures(told),
        titles={lane.id: lane.title for lane in told.board.lanes},
        metrics=_metrics(told),
        ages={card.key: flow.age(told.board, card) for card in told.ageing},
        ahead=[(lane, wording.ahead(cards)) for lane, cards in told.ahead.items()],
        pages=pages,
        files={a.path: _file(home, a.path) for card in told.cards for a in card.attachments},
        policy=CONTENT_POLICY,
        states=STATES,
        counts=told.board.counts(),
        shown={card.key for card in told.cards},
    )


Lines = list[tuple[series.Series, charts.Line]]


def _metrics(told: Day) -> list[tuple[str, list[tuple[str, Lines]]]]:
    """The figures over the days: by workstream and name, the line of each team, all of a name on one scale."""
    found: dict[str, dict[str, list[series.Series]]] = {}
    for one in told.series:
        found.setdefault(one.lane, {}).setdefault(one.name, []).append(one)
    return [
        (lane, [(name, _lines(told, several)) for name, several in names.items()])
        for lane, names in found.items()
    ]


def _lines(told: Day, several: Sequence[series.Series]) -> Lines:
    values = [v.value for one in several for v in one.values]
    low, high = min(values), max(values)
    return [
        (one, charts.line([(v.day, v.value) for v in one.values], told.number, low, high)) for one in several
    ]


def _file(home: Path, path: str) -> evidence.Page:
    """A link from the reports' folder to an attached file."""
    file = evidence.inside(home, path)
    if file is None:
        return evidence.Page(problem=f"{path} lies outside of the event's folder")
    if not file.exists():
        return evidence.Page(problem=f"{path} is gone")
    return evidence.Page(quote(Path(os.path.relpath(file, (home / "reports").resolve())).as_posix()))
