"""The board and the parameters of a runbook as widgets in a notebook; whatever they do is also one line of code.

    kit.widgets.board()            # follow the board; start, claim, block, unblock, note
    kit.widgets.parameters("D2")   # fill in a runbook's parameters, and run it

Give them a notebook of their own: in a kernel that works, a button answers when the cell has ended. Without widgets
(another editor, a saved notebook) there is a table that stands still. Nothing else in `kit` imports ipywidgets.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from kit import board as boards
from kit import page, paths
from kit.aws import TARGETS
from kit.board_formats import SHAPES
from kit.cards import BLOCKED, TODO, Card
from kit.cli_board import Wall
from kit.errors import KitError, UsageError
from kit.parameters import Form, parameters

__all__ = ["BoardView", "Form", "board", "parameters"]

PERIOD = 1.0  # seconds between two looks at the journal
_shown: BoardView | None = None  # the one that follows the board in this kernel


def board(target: str = "local", workstream: str = "") -> BoardView:
    """The board, to look at and to tell what only people know; as the last line of a cell, it is shown and follows.

    Args:
        target: "local" or "aws".
        workstream: the id of the one to show; "" for all.
    """
    return BoardView(target, workstream)


class BoardView:
    """The board in a notebook. Each method is what its button does, and returns how the card stands then."""

    def __init__(self, target: str = "local", workstream: str = "") -> None:
        self._wall = Wall(target)
        if workstream:
            self._wall.plan.lane(workstream)  # or it says that there is none
        self.workstream = workstream
        self._reader = page.Reader(self._wall.plan, self._wall.journal, target=target, team=paths.team())
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._controls: _Controls | None = None
        self._still: Any = None
        self._picture: Any = None

    # What people say

    def start(self, card: str) -> str:
        """Move the card to Doing."""
        found = self._card(card)
        if found.state == BLOCKED:
            raise UsageError(f"{found.key} is blocked: {found.reason}", "Unblock it first.")
        return self._tell("started", found, run="", notebook=found.notebook)

    def claim(self, card: str, owner: str = "") -> str:
        """Say who does the card; without `owner`, you. The first claim owns it, later ones help."""
        return self._tell("claimed", self._card(card), owner=owner.strip() or paths.person())

    def block(self, card: str, reason: str, unblocker: str) -> str:
        """Say that the card cannot go on, why, and who can help."""
        found = self._card(card)
        if not reason.strip() or not unblocker.strip():
            raise UsageError(
                "A block needs a reason and somebody who can help.",
                f'kit.widgets.board().block("{found.key}", "no quota for ml.m5.xlarge", "account team")',
            )
        return self._tell("blocked", found, reason=reason.strip(), unblocker=unblocker.strip())

    def unblock(self, card: str, note: str = "") -> str:
        """Say that the card can go on."""
        found = self._card(card)
        if found.state != BLOCKED:
            raise UsageError(f"{found.key} is not blocked, it is in {found.state}.", "Choose a blocked card.")
        return self._tell("unblocked", found, note=note.strip())

    def note(self, card: str, text: str) -> str:
        """Write a note on the card."""
        found = self._card(card)
        if not text.strip():
            raise UsageError("The note is empty.", "Write what others should know.")
        return self._tell("noted", found, text=text.strip())

    def _card(self, key: str) -> Card:
        wall = self._wall.board()
        return (wall.of(paths.team()) if paths.team() else wall)[key]

    def _tell(self, type: str, card: Card, **data: Any) -> str:
        wall = self._wall
        wall.journal.append(type, card.id, team=card.team, target=wall.target, **data)
        now = boards.refresh(wall.plan, wall.journal, wall.home / "board", target=wall.target)[card.key]
        self.refresh()
        return f"{now.label}: {now.state}{', ' + now.owner if now.owner else ''}"

    def code(self, verb: str, *arguments: str, **named: str) -> str:
        """The line that does what a button does: `kit.widgets.board().start("D2")`."""
        given = [_quoted(a) for a in arguments] + [f"{k}={_quoted(v)}" for k, v in named.items() if v]
        target = "" if self._wall.target == "local" else f'"{self._wall.target}"'
        return f"kit.widgets.board({target}).{verb}({', '.join(given)})"

    # What is seen

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards that are shown, in the order of the plan."""
        self._look()
        wall = self._reader.board
        assert wall is not None
        ceremonies = {s.id for s in self._reader.plan.ceremonies}
        chosen = wall.lane(self.workstream) if self.workstream else wall.cards
        return tuple(card for card in chosen if card.id not in ceremonies)

    def table(self) -> str:
        """The board as HTML that stands still."""
        self._look()
        lanes = tuple(lane for lane in self._picture.lanes if self.workstream in ("", lane.id))
        shown = dataclasses.replace(self._picture, lanes=lanes)
        return page.drawn(shown, "board_table.html.j2", shapes=SHAPES)

    def refresh(self) -> None:
        """Show what the journal holds now."""
        if self._controls and not self._ended.is_set():
            self._controls.show()

    def close(self) -> None:
        """Follow no more; what was seen last stays, and stands still."""
        self._ended.set()
        if self._controls:
            self._controls.close()
            self._controls = None
            if self._still:
                from IPython.display import HTML

                self._still.update(HTML(self.table()))

    def __repr__(self) -> str:
        return f"<the board of {self._wall.plan.event.name}, {self._wall.target}>"

    def _ipython_display_(self) -> None:
        """Show the still table and, where there are widgets, the living board in its place."""
        global _shown
        from IPython.display import HTML, display

        if _shown is not None:  # a cell that is run again, or another one: one of them follows
            _shown.close()
        if self._ended.is_set():
            self._ended = threading.Event()
        _shown, name = self, f"kit-board-{secrets.token_hex(4)}"
        self._still = display(HTML(f'<div class="{name}">{self.table()}</div>'), display_id=True)
        try:
            self._controls = _Controls(self, hidden=name)
        except ImportError:
            return
        display(self._controls.whole)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not in a kernel: it stands still
            return
        threading.Thread(target=self._follow, args=(loop, self._ended), daemon=True).start()

    def _follow(self, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
        """Look in a thread (S3 may take its time), show on the kernel's own loop, until it is closed."""
        while not ended.wait(max(PERIOD, self._reader.period)):
            try:
                if self._look():
                    loop.call_soon_threadsafe(self.refresh)
            except RuntimeError:  # the kernel ends
                return

    def _look(self) -> bool:
        """Whether there is something new."""
        with self._lock:
            shown = self._reader.look()
            self._picture = shown or self._picture
            return shown is not None


def _quoted(text: str) -> str:
    """The text as Python, in double quotes where that needs no escapes."""
    plain = text.isprintable() and '"' not in text and "\\" not in text
    return f'"{text}"' if plain else repr(text)


class _Controls:
    """The widgets of a board: a filter, the table, a card, and for each verb its fields, its button and its line of code."""

    VERBS: Mapping[str, tuple[str, ...]] = {
        "start": (),
        "claim": ("owner",),
        "block": ("reason", "unblocker"),
        "unblock": ("note",),
        "note": ("text",),
    }
    NEEDED: Mapping[str, tuple[str, ...]] = {"block": ("reason", "unblocker"), "note": ("text",)}
    HINTS: Mapping[str, str] = {
        "owner": "who does it; empty: you",
        "reason": "why it cannot go on (needed)",
        "unblocker": "who can help (needed)",
        "note": "what helped",
        "text": "what others should know",
    }

    def __init__(self, view: BoardView, hidden: str) -> None:
        import ipywidgets

        self.view, self.hidden = view, hidden
        lanes = [("All workstreams", ""), *((w.title, w.id) for w in view._wall.plan.workstreams)]
        known = view.workstream in {id for _, id in lanes}
        lanes += [] if known else [(view._wall.plan.lane(view.workstream).title, view.workstream)]
        self.lane = ipywidgets.Dropdown(options=lanes, value=view.workstream, description="Show")
        self.table, self.told = ipywidgets.HTML(), ipywidgets.HTML()
        self.card = ipywidgets.Dropdown(description="Card", layout={"width": "36em"})
        self.fields: dict[str, dict[str, Any]] = {}
        self.buttons: dict[str, Any] = {}
        self.codes: dict[str, Any] = {}
        rows = []
        for verb, names in self.VERBS.items():
            button = ipywidgets.Button(description=verb.capitalize(), layout={"width": "7em"})
            button.on_click(lambda _, verb=verb: self.press(verb))
            fields = {name: ipywidgets.Text(placeholder=self.HINTS[name]) for name in names}
            for field in fields.values():
                field.observe(lambda _: self.tell(), "value")
            self.buttons[verb], self.fields[verb], self.codes[verb] = button, fields, ipywidgets.HTML()
            rows.append(
                ipywidgets.HBox(
                    [button, *fields.values(), self.codes[verb]], layout={"flex_flow": "row wrap"}
                )
            )
        self.whole = ipywidgets.VBox([self.lane, self.table, self.card, *rows, self.told])
        self.show()
        self.lane.observe(self._choose, "value")
        self.card.observe(lambda _: self.tell(), "value")

    def show(self) -> None:
        """What the board holds now. What somebody types or has chosen stays."""
        self.table.value = f"<style>.{self.hidden} {{ display: none }}</style>{self.view.table()}"
        cards = [(f"{SHAPES[card.state]} {card.label} ({card.state})", card.key) for card in self.view.cards]
        if tuple(cards) != self.card.options:
            chosen, keys = self.card.value, [key for _, key in cards]
            self.card.options = cards
            self.card.value = chosen if chosen in keys else keys[0] if keys else None
        self.tell()

    def tell(self) -> None:
        """Each button's line of code, and whether it can be pressed."""
        state = next((card.state for card in self.view.cards if card.key == self.card.value), "")
        for verb, fields in self.fields.items():
            values = {name: field.value.strip() for name, field in fields.items()}
            self.codes[verb].value = f"<code>{escape(self._line(verb, values))}</code>"
            fits = {"start": state == TODO, "unblock": state == BLOCKED}.get(verb, bool(state))
            self.buttons[verb].disabled = not (
                fits and all(values[name] for name in self.NEEDED.get(verb, ()))
            )

    def _line(self, verb: str, values: Mapping[str, str]) -> str:
        needed = self.NEEDED.get(verb, ())
        more = {name: value for name, value in values.items() if name not in needed}
        return self.view.code(verb, self.card.value or "", *(values[name] for name in needed), **more)

    def press(self, verb: str) -> None:
        """Do it, and say what came of it."""
        values = {name: field.value for name, field in self.fields[verb].items()}
        method: Callable[..., str] = getattr(self.view, verb)
        try:
            said = f"✓ {escape(method(self.card.value or '', **values))}"
        except KitError as error:
            said = f"<b>✗ {escape(error.message)}</b><br>{escape(error.hint)}"
        else:
            for field in self.fields[verb].values():
                field.value = ""
        self.told.value = said

    def _choose(self, change: Mapping[str, Any]) -> None:
        self.view.workstream = change["new"]
        self.show()

    def close(self) -> None:
        """Take the widgets away."""
        self.whole.close()


class Fields:
    """The widgets of a form: for each parameter its field, its meaning and what is wrong with it; the line; the buttons."""

    def __init__(self, form: Form, hidden: str) -> None:
        import ipywidgets

        self.form = form
        self.fields: dict[str, Any] = {}
        self.problems: dict[str, Any] = {}
        wide = {"description_width": "12em"}
        rows: list[Any] = [
            ipywidgets.HTML(f"<style>.{hidden} {{ display: none }}</style><b>{escape(form.card.label)}</b>")
        ]
        for name, p in form.fields.items():
            field: Any
            if p.type == "bool":
                field = ipywidgets.Checkbox(
                    value=form.given[name] == "True", description=name, style=wide, indent=True
                )
            else:
                field = ipywidgets.Text(
                    value=form.given[name], description=name, style=wide, layout={"width": "26em"}
                )
            field.observe(lambda change, name=name: self.fill(name, change["new"]), "value")
            self.fields[name], self.problems[name] = field, ipywidgets.HTML()
            meaning = ipywidgets.HTML(f"{escape(p.type)} · {escape(p.meaning)}")
            rows.append(
                ipywidgets.HBox([field, meaning, self.problems[name]], layout={"flex_flow": "row wrap"})
            )
        self.target = ipywidgets.Dropdown(
            options=TARGETS, value=form.target, description="target", style=wide
        )
        self.force = ipywidgets.Checkbox(
            value=form.force, description="again, although it is done", layout={"width": "30em"}, style=wide
        )
        self.target.observe(lambda change: self.choose("target", change["new"]), "value")
        self.force.observe(lambda change: self.choose("force", change["new"]), "value")
        self.line, self.output = ipywidgets.HTML(), ipywidgets.HTML()
        self.run = ipywidgets.Button(description="Run", button_style="primary")
        self.stop = ipywidgets.Button(description="Stop", disabled=True)
        self.run.on_click(lambda _: self.start())
        self.stop.on_click(lambda _: form.stop())
        rows += [self.target, self.force, self.line, ipywidgets.HBox([self.run, self.stop]), self.output]
        self.whole = ipywidgets.VBox(rows)
        self.thread: threading.Thread | None = None
        self.printed: list[str] = []
        self.tell()

    def fill(self, name: str, value: Any) -> None:
        """What somebody typed."""
        self.form.put(name, value)
        self.tell()

    def choose(self, name: str, value: Any) -> None:
        """What somebody chose of what is no parameter."""
        setattr(self.form, name, value)
        self.tell()

    def tell(self) -> None:
        """The line, and beside each field what is wrong with it; then it cannot be run."""
        problems = {name: self.form.problem(name) for name in self.fields}
        for name, problem in problems.items():
            self.problems[name].value = f"<b>✗ {escape(problem)}</b>" if problem else ""
        self.line.value = f"<code>{escape(self.form.line)}</code>"
        running = self.thread is not None and self.thread.is_alive()
        self.run.disabled, self.stop.disabled = running or any(problems.values()), not running

    def start(self) -> None:
        """Run it beside the kernel, which stays free."""
        try:
            loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        self.printed = []

        def soon(function: Callable[[], None]) -> None:
            with contextlib.suppress(RuntimeError):  # the kernel ends
                loop.call_soon_threadsafe(function) if loop else function()

        def heard(line: str) -> None:
            self.printed.append(line)
            soon(self.show)

        def work() -> None:
            code = self.form.run(heard)
            heard("Done." if code == 0 else f"It ended with exit code {code}.")
            soon(self.ended)

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        self.tell()

    def show(self) -> None:
        """What it printed so far."""
        self.output.value = f"<pre style='white-space:pre-wrap'>{escape(''.join(self.printed))}</pre>"

    def ended(self) -> None:
        """It can be run again."""
        self.thread = None
        self.tell()

    def close(self) -> None:
        """Take the widgets away; what runs goes on."""
        self.whole.close()
