"""What can go wrong, as a tree. Every error says what happened, what to do, and which exit code `kit` ends with.

KitError                 1
├── UsageError           2   an option, a name or a parameter that does not exist
├── PlanError            2   plan.yml does not hold together
├── DataError            3   the table cannot be used as the plan describes it
├── JournalError         4   the journal cannot be read or written
├── RunbookError         5   a runbook's frame is broken
│   ├── MissingInput     5   what a runbook takes has not been made yet
│   ├── CheckFailed      5   a check did not hold
│   └── NotRecorded      5   completion asked for before every check passed
├── RunFailed            6   not everything that was asked for is done
├── AwsRefused           7   the plan does not allow this account or region
└── LocalAwsError        8   the local AWS did not start or does not answer
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AwsRefused",
    "CheckFailed",
    "DataError",
    "JournalError",
    "KitError",
    "LocalAwsError",
    "MissingInput",
    "NotRecorded",
    "PlanError",
    "RunFailed",
    "RunbookError",
    "UsageError",
    "did_you_mean",
]


class KitError(Exception):
    """The base: `message` says what happened and where, `hint` what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[KitError], tuple[str, str]]:
        return (type(self), (self.message, self.hint))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the same two lines as the command line."""
        lines = [f"{type(self).__name__}: {self.message}"]
        return [*lines, self.hint] if self.hint else lines


class UsageError(KitError):
    exit_code = 2


class PlanError(KitError):
    exit_code = 2


class DataError(KitError):
    exit_code = 3


class JournalError(KitError):
    exit_code = 4


class RunbookError(KitError):
    exit_code = 5


class MissingInput(RunbookError):
    pass


class CheckFailed(RunbookError):
    pass


class NotRecorded(RunbookError):
    pass


class RunFailed(KitError):
    exit_code = 6


class AwsRefused(KitError):
    exit_code = 7


class LocalAwsError(KitError):
    exit_code = 8


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean "x"?` for the closest known word, else the known words; empty if there are none."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if not close and (match := [w for w in words if w.lower() == word.lower()]):
        close = match
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known: {', '.join(words)}." if words else ""
