"""Where the values of a JSON text stand, for findings that point at a part of a policy. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

__all__ = ["position", "spans"]

Path = tuple[str | int, ...]
Span = tuple[int, int]
_SPACE = " \t\r\n"


def spans(text: str) -> dict[Path, Span]:
    """The begin and end of every value of a valid JSON text, by its path (("Statement", 0, "Action")); () is the whole."""
    return dict(_value(text, _skip(text, 0), ()))


def _value(text: str, at: int, path: Path) -> Iterator[tuple[Path, Span]]:
    end = json.JSONDecoder().raw_decode(text, at)[1]
    yield path, (at, end)
    if text[at] == "{":
        yield from _members(text, at, path)
    elif text[at] == "[":
        yield from _items(text, at, path)


def _members(text: str, at: int, path: Path) -> Iterator[tuple[Path, Span]]:
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = scanstring(text, at + 1, True)
        at = _skip(text, _skip(text, at) + 1)  # over the colon
        yield from _value(text, at, (*path, name))
        at = _after(text, at)


def _items(text: str, at: int, path: Path) -> Iterator[tuple[Path, Span]]:
    number, at = 0, _skip(text, at + 1)
    while text[at] != "]":
        yield from _value(text, at, (*path, number))
        number, at = number + 1, _after(text, at)


def _after(text: str, at: int) -> int:
    """Behind a value and the comma that may follow it."""
    at = _skip(text, json.JSONDecoder().raw_decode(text, at)[1])
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def position(text: str, at: int) -> dict[str, Any]:
    """Line from 1, column from 0 and offset of a place in a text."""
    return {"line": text.count("\n", 0, at) + 1, "column": at - (text.rfind("\n", 0, at) + 1), "offset": at}
