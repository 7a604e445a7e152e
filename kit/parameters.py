"""The parameters of a runbook as a form in a notebook: typed values, the line of `kit run`, and a button that runs it."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from kit import frame, paths
from kit import plan as plans
from kit.aws import TARGETS
from kit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from kit.widgets import Fields

__all__ = ["Form", "parameters"]


def parameters(card: str) -> Form:
    """A form of the typed parameters of a card's runbook; as the last line of a cell, it is shown.

    Raises:
        UsageError: the plan has no such card.
        RunbookError: the notebook's frame is broken.
    """
    return Form(card)


class Form:
    """The parameters of a runbook, as text until they are `values`. `run()` runs it, as the button does."""

    def __init__(self, card: str) -> None:
        plan = plans.load()
        self.card = plan[card]
        self.frame = frame.read(paths.root() / self.card.notebook)
        self.fields = {p.name: p for p in self.frame.parameters if p.name != "target"}
        defaults = {name: p.default for name, p in self.fields.items()}
        self.defaults = {name: _text(value) for name, value in {**defaults, **self.card.parameters}.items()}
        self.given = dict(self.defaults)
        self.target, self.force = TARGETS[0], False
        self.process: subprocess.Popen[str] | None = None
        self._widgets: Fields | None = None

    def put(self, name: str, value: Any) -> None:
        """Fill in a field: `form.put("rows", 500)`, or as text. Raises UsageError where there is no such parameter."""
        if name not in self.fields:
            raise UsageError(f'{self.card.id} has no parameter "{name}".', did_you_mean(name, self.fields))
        self.given[name] = _text(value)

    def problem(self, name: str) -> str:
        """What is wrong with a field; "" if nothing."""
        try:
            frame.typed(self.fields[name], self.given[name], self.card.id)
        except UsageError as error:
            return error.message
        return ""

    @property
    def values(self) -> dict[str, Any]:
        """The values, each of its type. Raises UsageError at the first that is not."""
        return {**frame.values(self.frame, self.given, self.card.id), "target": self.target}

    @property
    def command(self) -> list[str]:
        """The words of the command that runs it with these values; those that are as in the plan are left out."""
        words = ["kit", "run", self.card.id]
        words += ["--target", self.target] if self.target != TARGETS[0] else []
        words += ["--force"] if self.force else []
        for name, text in self.given.items():
            words += ["-p", name, text] if text.strip() != self.defaults[name] else []
        return words

    @property
    def line(self) -> str:
        """The same as a line for a terminal: `kit run D2 -p rows 500`."""
        return shlex.join(self.command)

    def run(self, told: Callable[[str], object] = lambda line: print(line, end="")) -> int:  # noqa: T201
        """Run it in a process of its own, hand each line that it prints to `told`, and return its exit code.

        Raises:
            UsageError: a value is not of its type; nothing is run.
        """
        self.values  # noqa: B018 - raises before anything starts
        with subprocess.Popen(
            [sys.executable, "-m", *self.command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=paths.root(),
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        ) as self.process:
            assert self.process.stdout is not None
            for line in self.process.stdout:
                told(line)
        return self.process.returncode

    def stop(self) -> None:
        """End what runs, as Ctrl-C does: what was done is recorded."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def table(self) -> str:
        """The parameters as HTML that stands still."""
        head = "".join(
            f'<th scope="col" style="text-align:left">{word}</th>'
            for word in ("Parameter", "Type", "Value", "Meaning")
        )
        rows = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(word)}</td>' for word in (p.name, p.type, self.given[p.name], p.meaning)) + "</tr>"
            for p in self.fields.values()
        )  # fmt: skip
        return f"<table><caption>{escape(self.card.label)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><code>{escape(self.line)}</code>"

    def __repr__(self) -> str:
        return f"<the parameters of {self.card.label}>"

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        if self._widgets:
            self._widgets.close()
        name = f"kit-form-{self.card.id}-{id(self):x}"
        display(HTML(f'<div class="{name}">{self.table()}</div>'))
        with contextlib.suppress(ImportError):  # no widgets: the table it is
            from kit.widgets import Fields

            self._widgets = Fields(self, hidden=name)
            display(self._widgets.whole)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
