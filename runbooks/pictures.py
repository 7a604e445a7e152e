"""Pictures of the ceremonies: where cards are and how old, a day as it went, and how the event gets on."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import standups

from kit import flow, hours
from kit import plan as plans
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ages", "burn_up", "states", "timeline"]

COLOURS = {TODO: "#d3d9df", DOING: "#0a4ea3", BLOCKED: "#a8201a", REVIEW: "#6a3fb5", DONE: "#146c34"}
HATCHES = {TODO: "", DOING: "//", BLOCKED: "xx", REVIEW: "..", DONE: ""}
WHITE, SOFT = "#ffffff", "#55606b"


def states(ax: Axes, board: Board) -> None:
    """How many cards of each workstream are in which column: a bar for each, told by pattern as well as by colour."""
    lanes = [lane for lane in board.lanes if standups.work(board, lane.id)]
    lanes.sort(key=lambda lane: lane.id == plans.EVENT)
    left = [0] * len(lanes)
    for state in (DONE, REVIEW, DOING, BLOCKED, TODO):
        counts = [sum(c.state == state for c in standups.work(board, lane.id)) for lane in lanes]
        bars = ax.barh(
            range(len(lanes)), counts, left=left, color=COLOURS[state], hatch=HATCHES[state], edgecolor=WHITE,
            label=state,
        )  # fmt: skip
        ink = "#1c2127" if state == TODO else WHITE
        box = {"facecolor": COLOURS[state], "edgecolor": "none", "pad": 2.5}
        ax.bar_label(bars, [str(n) if n else "" for n in counts], label_type="center", color=ink, bbox=box)
        left = [a + b for a, b in zip(left, counts, strict=True)]
    ax.set_yticks(range(len(lanes)), [lane.title for lane in lanes])
    ax.invert_yaxis()
    ax.legend(ncols=len(STATES), loc="upper center", bbox_to_anchor=(0.45, -0.16), frameon=False, fontsize=9)


def ages(ax: Axes, board: Board) -> None:
    """How long each card is under way, in the event's hours, and from where on that is longer than usual."""
    cards = [c for c in board.cards if flow.age(board, c) is not None and not standups.ceremony(c)]
    cards = sorted(cards, key=lambda c: flow.age(board, c) or dt.timedelta(), reverse=True)[:12]
    old = {card.key for card in flow.ageing(board)}
    for row, card in enumerate(cards):
        age = (flow.age(board, card) or dt.timedelta()) / dt.timedelta(hours=1)
        ax.barh(row, age, color=COLOURS[card.state], hatch=HATCHES[card.state], edgecolor=WHITE, height=0.7)
        told = f"  {card.state}{', longer than usual' if card.key in old else ''}"
        ax.text(age, row, told, va="center", fontsize=9, color=SOFT)
    ax.set_yticks(range(len(cards)), [card.key for card in cards])
    ax.set_ylim(max(len(cards), 6) - 0.5, -0.5)
    ax.margins(x=0.45)
    if not cards:
        _nothing(ax, "No card is under way.")


def timeline(ax: Axes, board: Board, cards: Sequence[Card], start: dt.datetime, end: dt.datetime) -> None:
    """A day as it went: for each card the stretches in Doing, Blocked and Review, and a mark where it was done."""
    import matplotlib.dates as dates

    zone = board.event.zone
    for row, card in enumerate(cards):
        ends = [*(move.at for move in card.moves[1:]), max(board.at or end, card.moves[-1].at)]
        for move, until in zip(card.moves, ends, strict=True):
            a, b = max(move.at, start), min(until, end)
            if move.after == DONE and start <= move.at <= end:
                ax.plot(dates.date2num(move.at), row, marker="D", color=COLOURS[DONE], markersize=6)
            elif move.after in (DOING, BLOCKED, REVIEW) and a < b:
                wide = dates.date2num(b) - dates.date2num(a)
                ax.barh(
                    row, wide, left=dates.date2num(a), height=0.55, color=COLOURS[move.after],
                    hatch=HATCHES[move.after], edgecolor=WHITE,
                )  # fmt: skip
    ax.set_yticks(range(len(cards)), [textwrap.shorten(card.label, 44, placeholder="…") for card in cards])
    ax.invert_yaxis()
    if cards:
        ax.set_xlim(dates.date2num(start), dates.date2num(end))
        ax.xaxis.set_major_locator(dates.AutoDateLocator(tz=zone, maxticks=9))
        short = end - start < dt.timedelta(minutes=20)
        ax.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S" if short else "%H:%M", tz=zone))
        for state in (DOING, BLOCKED, REVIEW):
            ax.bar(0, 0, color=COLOURS[state], hatch=HATCHES[state], edgecolor=WHITE, label=state)
        ax.plot([], [], marker="D", linestyle="", color=COLOURS[DONE], label=DONE)
        ax.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    else:
        _nothing(ax, "Nothing moved on this day.")


def burn_up(ax: Axes, board: Board, day: int) -> None:
    """Cards done over the event's working hours, against all that there are and what the plan wanted by then."""
    cards = [card for card in board.cards if not standups.ceremony(card)]
    told = flow.samples(board, cards=cards)
    if not told:
        _nothing(ax, "Nothing has happened yet.")
        return
    event = board.event
    first = hours.bounds(event, 1)[0]
    off = not any(hours.day_of(event, sample.at) for sample in told)

    def x(at: dt.datetime) -> float:
        """Working hours since the event began; in a rehearsal, minutes since the first sample."""
        return (
            (at - told[0].at) / dt.timedelta(minutes=1)
            if off
            else hours.spent(event, first, at) / dt.timedelta(hours=1)
        )

    at = [x(sample.at) for sample in told]
    ax.step(
        at,
        [sum(s.counts.values()) for s in told],
        where="post",
        color=SOFT,
        linestyle="--",
        label="all cards",
    )
    ax.step(
        at, [s.counts[DONE] for s in told], where="post", color=COLOURS[DONE], linewidth=2.4, label="done"
    )
    if not off:
        ends = [(n, x(hours.bounds(event, n)[1])) for n in range(1, len(event.dates) + 1)]
        due = [0, *(sum(c.day <= n for c in cards) for n, _ in ends)]
        ax.plot(
            [0.0, *(end for _, end in ends)], due, color=COLOURS[DOING], linestyle=":", label="as planned"
        )
        for n, end in ends:
            ax.axvline(end, color="#d3d9df", linewidth=0.8, zorder=0)
            ax.text(end, 0, f"end of day {n} ", ha="right", va="bottom", fontsize=8, color=SOFT)
    ax.set_xlabel("minutes of the rehearsal" if off else "working hours of the event")
    ax.set_ylim(bottom=0)
    ax.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)


def _nothing(ax: Axes, words: str) -> None:
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, color=SOFT)
    ax.set_yticks([])
    ax.set_xticks([])
