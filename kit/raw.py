"""Readers of an event's data, which is JSON from anybody's hand: where it makes no sense, the plainest value."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from kit.checks import Check

__all__ = ["check", "checks", "date", "listed", "mapping", "number", "text", "value"]


def text(raw: Any) -> str:
    """Text as it is, a number as text; anything else is empty."""
    return raw if isinstance(raw, str) else str(raw) if isinstance(raw, (int, float)) else ""


def number(raw: Any) -> float | None:
    """A finite number that a float can hold; anything else is none."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    return raw if abs(raw) < 1e300 and math.isfinite(raw) else None


def date(raw: Any) -> str:
    """An ISO date as it is; anything else is none."""
    try:
        return dt.date.fromisoformat(text(raw).strip()).isoformat()
    except ValueError:
        return ""


def mapping(raw: Any) -> dict[str, Any]:
    """Keys and values; anything else is empty."""
    return {str(k): v for k, v in raw.items()} if isinstance(raw, Mapping) else {}


def listed(raw: Any) -> list[Any]:
    """A list; anything else is empty."""
    return list(raw) if isinstance(raw, (list, tuple)) else []


def value(raw: Any) -> Any:
    """JSON as it is, but nan and inf as text, which JSON cannot hold."""
    if isinstance(raw, Mapping):
        return {str(k): value(v) for k, v in raw.items()}
    if isinstance(raw, (list, tuple)):
        return [value(v) for v in raw]
    return str(raw) if isinstance(raw, float) and not math.isfinite(raw) else raw


def check(raw: Any) -> Check | None:
    """A check's outcome, if it has a name; it holds only where it says so."""
    data = mapping(raw)
    name = text(data.get("check"))
    got, expected = text(data.get("got")), text(data.get("expected"))
    return Check(name, data.get("ok") is True, got, expected, number(data.get("value"))) if name else None


def checks(raw: Any) -> tuple[Check, ...]:
    """The outcomes in a list; none, if one of them is none."""
    found = [check(item) for item in listed(raw)]
    return tuple(check for check in found if check) if all(found) else ()
