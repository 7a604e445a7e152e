"""The JSONPath of batch transform's filters. Pure.

Source: "Supported JSONPath operators" of "Associate prediction results with input records" in the SageMaker developer guide: `$`,
`.name`, `*`, `['name', 'name']`, `[number, number]`, `[start:end]`, and numbers and slices mixed as in `$[0,5:]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["Path", "PathError", "parse"]

_STEP = re.compile(r"\.(?P<name>[^.\[\]'\"*\s]+)|\.?(?P<star>\*|\[\s*\*\s*\])|\.?\[(?P<inner>[^\]]*)\]")
_NAMES = re.compile(r"\s*'[^']*'\s*(,\s*'[^']*'\s*)*|\s*\"[^\"]*\"\s*(,\s*\"[^\"]*\"\s*)*")
_PLACES = re.compile(r"\s*(-?\d+|-?\d*\s*:\s*-?\d*)\s*(,\s*(-?\d+|-?\d*\s*:\s*-?\d*)\s*)*")

Step = (
    str | tuple[str, ...] | tuple[int | slice, ...] | None
)  # a name, names, places in an array, or None for all of it


class PathError(ValueError):
    """An expression that is no path, or one that leads nowhere in a value; the message says which part."""


class Path:
    """A parsed expression."""

    def __init__(self, text: str, steps: Sequence[Step]) -> None:
        self.text, self._steps = text, tuple(steps)

    @property
    def whole(self) -> bool:
        """Whether it is `$`, which changes nothing."""
        return not self._steps

    @property
    def by_place(self) -> bool:
        """Whether it goes by numbers only, as a row of CSV needs it."""
        return all(
            step is None or (isinstance(step, tuple) and not isinstance(step[0], str)) for step in self._steps
        )

    def of(self, value: Any) -> Any:
        """The part of a JSON value that the path names. Raises PathError where there is none."""
        for step in self._steps:
            value = self._taken(value, step)
        return value

    def _taken(self, value: Any, step: Step) -> Any:
        if step is None and isinstance(value, dict | list):
            return list(value.values()) if isinstance(value, dict) else list(value)
        if isinstance(step, str) and isinstance(value, dict) and step in value:
            return value[step]
        if isinstance(step, tuple) and isinstance(step[0], str) and isinstance(value, dict):
            return {str(name): self._taken(value, str(name)) for name in step}
        if isinstance(step, tuple) and not isinstance(step[0], str) and isinstance(value, list):
            return self._places(value, step)
        raise PathError(f"{self.text} leads nowhere in a record")

    def _places(self, value: list[Any], places: tuple[Any, ...]) -> Any:
        found: list[Any] = []
        for place in places:
            if isinstance(place, slice):
                found += value[place]
            elif -len(value) <= place < len(value):
                found.append(value[place])
            else:
                raise PathError(f"{self.text}: there is no index {place} in a record of {len(value)}")
        return found[0] if len(places) == 1 and isinstance(places[0], int) else found


def parse(text: str) -> Path:
    """The path that an expression stands for. Raises PathError for one that is not supported."""
    if not text.startswith("$"):
        raise PathError(f"{text} does not begin with $")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise PathError(f"{text} is not supported from {text[at:]} on")
        at = found.end()
        if found["name"]:
            steps.append(found["name"])
        elif found["star"]:
            steps.append(None)
        elif _NAMES.fullmatch(found["inner"]):
            names = tuple(name[1:-1] for name in re.findall(r"'[^']*'|\"[^\"]*\"", found["inner"]))
            steps.append(names if len(names) > 1 else names[0])
        elif _PLACES.fullmatch(found["inner"]):
            steps.append(tuple(_place(part) for part in found["inner"].split(",")))
        else:
            raise PathError(f"{text} is not supported from [{found['inner']}] on")
    return Path(text, steps)


def _place(text: str) -> int | slice:
    if ":" not in text:
        return int(text)
    start, _, end = text.partition(":")
    return slice(int(start) if start.strip() else None, int(end) if end.strip() else None)
