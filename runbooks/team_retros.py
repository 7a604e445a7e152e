"""The AWS team's own retro: what the runbooks and the method cost, from the journal, and what the team makes of it."""

from __future__ import annotations

import datetime as dt
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import documents
import standups
from team_notes import Correction, Notes

from kit import flow, hours
from kit.board_formats import counted
from kit.cards import DONE, Board, Card

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "CAUSES",
    "Defect",
    "Hindrance",
    "Timing",
    "cause",
    "defects",
    "document",
    "draw",
    "hindrances",
    "timeline",
    "timings",
    "unnamed",
]

CAUSES: Mapping[str, str] = {
    "check": r"checkfailed|✗",
    "order": r"missinginput|not there yet|not done yet|skipped",
    "quota": r"quota|limit ?exceeded|resourcelimit|service limit|throttl|too many requests",
    "permission": r"access ?denied|not authori[sz]ed|unauthori[sz]ed|permission|forbidden|\brole\b|\bpolicy\b|credential|\bscp\b|expiredtoken|identity|openid|\bsso\b|login|log in",
    "capacity": r"capacity|out of memory|memoryerror|no space|disk",
    "network": r"timed? ?out|connect|endpoint url|proxy|dns|\bvpn\b|network|firewall|subnet|\broute\b",
    "data": r"\bdata\b|column|label|schema|\bcsv\b|delivery|parquet|keyerror|filenotfound|nosuchkey|means",
    "decision": r"decision|decide|approv|waiting for|\bsign|legal|lawyer|has not said|answers",
    "people": r"meeting|nobody|no one|absent|\bill\b|\baway\b|\bbusy\b",
    "code": r"error|exception|traceback|algorithm|\bbug\b|kernel",
}
"""Why something stopped, by the words in what people and AWS said; the first that fits counts."""

UNNAMED = "not named yet"


@dataclass(frozen=True)
class Defect:
    """A cell of a runbook that failed: in which cards, how often, with which error, and whether they got done since."""

    notebook: str
    cell: str
    error: str
    line: str
    times: int
    cards: tuple[str, ...]
    over: bool


@dataclass(frozen=True)
class Timing:
    """Planned against real minutes of a runbook: of all its finished cards (one for each team) the middle one."""

    card: Card
    planned: int
    real: float
    finished: int

    @property
    def ratio(self) -> float:
        """Real over planned."""
        return self.real / self.planned


@dataclass(frozen=True)
class Hindrance:
    """What stood in the way for one cause: how many blocks and failures, the hours that blocks cost, and words that were said."""

    cause: str
    blocks: int
    failures: int
    time: dt.timedelta
    words: tuple[str, ...]


# From the journal


def defects(board: Board) -> list[Defect]:
    """The cells that failed, most often first, over all cards of a notebook."""
    found: dict[tuple[str, str, str], list[tuple[Card, str]]] = {}
    for card in board.cards:
        for event in card.history:
            if event.type == "failed" and event.data.get("error") != "KeyboardInterrupt":
                cell, error = str(event.data.get("cell") or ""), str(event.data.get("error") or "")
                lines = str(event.data.get("message") or "").strip().splitlines()
                where = (card.notebook or card.key, cell, error)
                found.setdefault(where, []).append((card, lines[0] if lines else ""))
    rows = [
        Defect(
            *where,
            line=told[-1][1],
            times=len(told),
            cards=tuple(dict.fromkeys(card.key for card, _ in told)),
            over=all(card.state == DONE for card, _ in told),
        )
        for where, told in found.items()
    ]
    return sorted(rows, key=lambda d: (-d.times, d.notebook, d.cell))


def timings(board: Board) -> list[Timing]:
    """Planned against real minutes, the largest overrun first; ceremonies, and cards that nobody was seen to begin, left out."""
    by_id: dict[str, list[tuple[Card, float]]] = {}
    for card in board.cards:
        time = flow.cycle_time(board, card)
        if card.minutes and card.notebook and time is not None and not standups.ceremony(card):
            by_id.setdefault(card.id, []).append((card, time / dt.timedelta(minutes=1)))
    rows = [
        Timing(told[0][0], told[0][0].minutes, statistics.median(minutes for _, minutes in told), len(told))
        for told in by_id.values()
    ]
    return sorted(rows, key=lambda t: t.ratio, reverse=True)


def cause(words: str, named: Mapping[str, str] | None = None) -> str:
    """Why something stopped, by what was said of it; `named` are the team's own causes, by a part of the words."""
    text = " ".join(words.casefold().split())
    own = (cause for part, cause in (named or {}).items() if " ".join(part.casefold().split()) in text)
    read = (name for name, pattern in CAUSES.items() if re.search(pattern, text))
    return next(own, None) or next(read, UNNAMED)


def hindrances(board: Board, named: Mapping[str, str] | None = None) -> list[Hindrance]:
    """What stood in the way, by cause, the most expensive first. `named` as for `cause`."""
    blocked: dict[str, list[flow.Block]] = {}
    for block in flow.blocks(board):
        blocked.setdefault(cause(block.reason, named), []).append(block)
    failed: dict[str, list[str]] = {}
    for card in board.cards:
        for event in card.history:
            if event.type == "failed":
                error, message = (str(event.data.get(key) or "") for key in ("error", "message"))
                failed.setdefault(cause(f"{error} {message}", named), []).append(
                    message.strip().partition("\n")[0] or error
                )
    rows = [
        Hindrance(
            cause=name,
            blocks=len(blocked.get(name, [])),
            failures=len(failed.get(name, [])),
            time=sum((block.time for block in blocked.get(name, [])), dt.timedelta()),
            words=tuple(
                dict.fromkeys(
                    [*(f"{b.card.key}: {b.reason}" for b in blocked.get(name, [])), *failed.get(name, [])]
                )
            ),
        )
        for name in dict.fromkeys((*blocked, *failed))
    ]
    return sorted(rows, key=lambda h: (h.time, h.blocks + h.failures), reverse=True)


def unnamed(found: Iterable[Hindrance]) -> int:
    """How many blocks and failed runs have no cause: a number, and no words."""
    return sum(one.blocks + one.failures for one in found if one.cause == UNNAMED)


def timeline(board: Board, most: int = 40) -> list[tuple[dt.datetime, str]]:
    """What went wrong and when, as Markdown, oldest first; of too much, what cost most."""
    plain, told = documents.plain, []
    for block in flow.blocks(board):
        over = (
            f", for {hours.spoken(block.time)}"
            if block.closed
            else f", for {hours.spoken(block.time)} so far"
        )
        told.append(
            (
                block.time,
                block.opened,
                f"{documents.label(block.card)} blocked{over}: {plain(block.reason, 120)}",
            )
        )
    for card in board.cards:
        for event in card.history:
            if event.type == "failed":
                cell = plain(event.data.get("cell") or "?")
                words = (
                    f"{documents.label(card)} failed in cell {cell}: {plain(event.data.get('error') or '')}"
                )
                told.append((dt.timedelta(), event.ts, words))
    worst = sorted(told, key=lambda row: row[0], reverse=True)[:most]
    return sorted(((at, words) for _, at, words in worst), key=lambda row: row[0])


# As a document


def draw(ax: Axes, rows: Sequence[Timing], most: int = 24) -> None:
    """Real over planned minutes, the largest overruns first: a bar from the plan (1) to what it took."""
    shown = [*rows[:most]]
    for row, timing in enumerate(shown):
        over = timing.ratio > 1
        colour = "#a8201a" if over else "#146c34"
        ax.barh(
            row,
            timing.ratio - 1,
            left=1,
            color=colour,
            hatch="//" if over else "",
            edgecolor="white",
            height=0.7,
        )
        told = f" {timing.real:.0f} of {timing.planned} min "
        ax.text(timing.ratio, row, told, va="center", ha="left" if over else "right", fontsize=8)
    ax.axvline(1, color="#1c2127", linewidth=1)
    ax.set_yticks(range(len(shown)), [timing.card.id for timing in shown])
    ax.invert_yaxis()
    ax.margins(x=0.25)
    if not shown:
        ax.text(0.5, 0.5, "No card is finished.", ha="center", va="center", transform=ax.transAxes)
        ax.set_yticks([])


def document(
    board: Board,
    notes: Notes,
    found: Sequence[Defect],
    times: Sequence[Timing],
    stopped: Sequence[Hindrance],
    picture: str,
) -> list[str]:
    """The team's retro as the lines of a Markdown document."""
    plain = documents.plain
    lines = [
        f"# Team retro: {plain(board.event.name)}",
        "",
        "For the AWS team only. It stays in this folder: it is in no journal, report or closing package.",
        "",
        "## Done at once, during the event",
        *_table(notes.immediate),
        "## What went well",
        *documents.bullets(map(plain, notes.went_well), "Nothing was written."),
        "## What to improve in the method",
    ]
    for n, finding in enumerate(notes.findings, 1):
        lines += [f"### {n}. {plain(finding.happened)}", ""]
        lines += [f"Impact: {plain(finding.impact) or 'not said'}.", ""]
        lines += [f"{m}. Why? {plain(why)}" for m, why in enumerate(finding.whys, 1)]
        lines += _table(finding.corrections)
    lines += [] if notes.findings else ["", "Nothing was written.", ""]
    lines += ["## Timeline"]
    told = [[f"{at.astimezone(board.event.zone):%-d %b %H:%M}", words] for at, words in timeline(board)]
    lines += documents.table(["When", "What"], told) if told else ["", "Nothing went wrong.", ""]
    lines += ["## Defects of runbooks, by notebook and cell"]
    rows = [
        [plain(PurePosixPath(d.notebook).stem), plain(d.cell) or "?", plain(f"{d.error}: {d.line}", 140), str(d.times),
         plain(", ".join(d.cards)), "over" if d.over else "■ open"]
        for d in found
    ]  # fmt: skip
    lines += (
        documents.table(["Notebook", "Cell", "Error", "Times", "Cards", "State"], rows)
        if rows
        else ["", "None.", ""]
    )
    lines += ["## What stood in the way, by cause"]
    rows = [
        [
            plain(h.cause),
            str(h.blocks),
            hours.spoken(h.time),
            str(h.failures),
            plain("; ".join(h.words[:3]), 220),
        ]
        for h in stopped
    ]
    head = ["Cause", "Blocks", "Cost", "Failed runs", "In words"]
    lines += documents.table(head, rows) if rows else ["", "Nothing.", ""]
    over = [t for t in times if t.ratio > 1]
    lines += ["## Planned against real minutes", ""]
    lines += [
        f"{len(over)} of {counted(len(times), 'runbook', 'runbooks')} took longer than planned.",
        "",
        picture,
        "",
    ]
    rows = [
        [
            documents.label(t.card).replace(t.card.key, t.card.id),
            str(t.planned),
            f"{t.real:.0f}",
            f"{t.ratio:.1f}",
            str(t.finished),
        ]
        for t in times
    ]
    return lines + documents.table(["Runbook", "Planned", "Real", "Ratio", "Cards finished"], rows)


def _table(rows: Sequence[Correction]) -> list[str]:
    plain = documents.plain
    cells = [[plain(row.do), plain(row.owner) or "nobody", plain(row.due) or "no date"] for row in rows]
    return documents.table(["What", "Owner", "Due"], cells) if cells else ["", "None.", ""]
