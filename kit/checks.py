"""Checks: a statement of "Done when", what was got and what was expected, and whether it holds.

What is expected is a plain value, which must be equal, or one of the small expectations below:

    rb.check("No row is in two splits", overlap, 0)
    rb.check("The model beats the baseline", gain, at_least(0.01))
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Check",
    "Expected",
    "above",
    "at_least",
    "at_most",
    "below",
    "between",
    "checked",
    "contains",
    "near",
    "one_of",
    "shown",
]


@dataclass(frozen=True)
class Expected:
    """Something that a value is held against: `text` completes "expected …", `holds` decides."""

    text: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Check:
    """The outcome of a check. `got` and `expected` are short texts, `value` the exact number if `got` was one."""

    name: str
    ok: bool
    got: str
    expected: str
    value: float | None = None

    @property
    def line(self) -> str:
        """`✓ No row is in two splits · got 0, expected 0`."""
        return f"{'✓' if self.ok else '✗'} {self.name} · got {self.got}, expected {self.expected}"

    def as_data(self) -> dict[str, Any]:
        """The check as JSON, for the journal."""
        data: dict[str, Any] = {
            "check": self.name,
            "ok": self.ok,
            "got": self.got,
            "expected": self.expected,
        }
        return data if self.value is None else data | {"value": self.value}


def checked(name: str, got: Any, expected: Any, digits: int = 2) -> Check:
    """Hold `got` against `expected`. `digits` decimals of a float are shown; the exact number is kept as `value`."""
    got = _plain(got)
    if not isinstance(expected, Expected):
        expected = equal_to(_plain(expected), digits)
    number = isinstance(got, (int, float)) and not isinstance(got, bool) and got == got and abs(got) < 1e300
    return Check(
        name, bool(expected.holds(got)), shown(got, digits), expected.text, float(got) if number else None
    )


def equal_to(value: Any, digits: int = 2) -> Expected:
    """Equal to a plain value."""
    return Expected(shown(value, digits), lambda got: bool(got == value))


def at_least(bound: float) -> Expected:
    """Not below `bound`; not-a-number fails."""
    return Expected(f"at least {_bound(bound)}", lambda got: bool(got >= bound))


def at_most(bound: float) -> Expected:
    """Not above `bound`; not-a-number fails."""
    return Expected(f"at most {_bound(bound)}", lambda got: bool(got <= bound))


def above(bound: float) -> Expected:
    """Strictly above `bound`."""
    return Expected(f"above {_bound(bound)}", lambda got: bool(got > bound))


def below(bound: float) -> Expected:
    """Strictly below `bound`."""
    return Expected(f"below {_bound(bound)}", lambda got: bool(got < bound))


def between(low: float, high: float) -> Expected:
    """From `low` to `high`, both included."""
    return Expected(f"between {_bound(low)} and {_bound(high)}", lambda got: bool(low <= got <= high))


def near(value: float, tolerance: float) -> Expected:
    """No further than `tolerance` from `value`."""
    return Expected(f"{_bound(value)} ± {_bound(tolerance)}", lambda got: bool(abs(got - value) <= tolerance))


def contains(*items: Any) -> Expected:
    """A collection, or a text, that holds every one of `items`."""
    return Expected(f"with {shown(list(items))}", lambda got: all(item in got for item in items))


def one_of(*values: Any) -> Expected:
    """One of the given values."""
    return Expected(f"one of {shown(list(values))}", lambda got: got in values)


def shown(value: Any, digits: int = 2) -> str:
    """A value as short text that is the same on every run: yes/no, 20,000, 0.81, `a, b, c`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return shown([f"{k}: {shown(v, digits)}" for k, v in value.items()], digits)
    if isinstance(value, (set, frozenset)):
        return shown(sorted(value, key=str), digits)
    if isinstance(value, Collection) and not isinstance(value, (str, bytes)):
        items = [shown(item, digits) for item in value]
        more = f" and {len(items) - 6} more" if len(items) > 6 else ""
        return (", ".join(items[:6]) + more) or "none"
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def _bound(number: float) -> str:
    """A bound as its author wrote it: 0.7, 20,000."""
    return f"{number:,}"


def _plain(value: Any) -> Any:
    """A numpy or pandas scalar as the Python value it stands for; anything else as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", 0) == 0 else value
