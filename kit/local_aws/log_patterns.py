"""Filter patterns of CloudWatch Logs: does a line match? Pure functions.

Source: "Filter pattern syntax for metric filters" of the Amazon CloudWatch Logs User Guide: patterns of terms, and of JSON.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from typing import Any

from kit.local_aws.event_input import MISSING, at_path

__all__ = ["Pattern", "pattern", "value_of"]

Pattern = Callable[[str], bool]
_Test = Callable[[Any], bool]
_TOKEN = re.compile(r'\s*(&&|\|\||[()]|!=|>=|<=|=|>|<|"(?:\\.|[^"\\])*"|[^\s()=<>!&|"]+)')
_TERM = re.compile(r'([-?]?)("(?:\\.|[^"\\])*"|\S+)')


def pattern(text: str) -> Pattern:
    """Whether a line matches, as a function. Raises ValueError for a pattern that is none, or of space-delimited fields."""
    text = text.strip()
    if text.startswith("["):
        raise ValueError(text)
    if not text.startswith("{"):
        return _terms(text)
    if not text.endswith("}"):
        raise ValueError(text)
    parser = _Parser(text[1:-1])
    test = parser.either()
    if parser.left:
        raise ValueError(text)

    def matches(line: str) -> bool:
        try:
            return test(json.loads(line))
        except ValueError:
            return False

    return matches


def value_of(metric_value: str, line: str) -> float | None:
    """What a match counts: a number, or the number that the line has at a JSON path; None where it has none."""
    if not metric_value.startswith("$"):
        return float(metric_value)
    try:
        found = at_path(json.loads(line), metric_value)
        return None if found is MISSING else float(found)
    except (TypeError, ValueError):
        return None


def _terms(text: str) -> Pattern:
    found = [(sign, json.loads(term) if term.startswith('"') else term) for sign, term in _TERM.findall(text)]
    wanted = [term for sign, term in found if not sign]
    unwanted = [term for sign, term in found if sign == "-"]
    either = [term for sign, term in found if sign == "?"]

    def matches(line: str) -> bool:
        if any(term in line for term in unwanted) or not all(term in line for term in wanted):
            return False
        return not either or any(term in line for term in either)

    return matches


class _Parser:
    """Reads `$.a = "b" && ($.c > 1 || $.d NOT EXISTS)`."""

    def __init__(self, text: str) -> None:
        self.left: list[str] = []
        at = 0
        while text[at:].strip():
            token = _TOKEN.match(text, at)
            if token is None:
                raise ValueError(text)
            self.left.append(token[1])
            at = token.end()

    def _next(self) -> str:
        if not self.left:
            raise ValueError("The pattern ends too early.")
        return self.left.pop(0)

    def _takes(self, *words: str) -> bool:
        if [word.upper() for word in self.left[: len(words)]] != list(words):
            return False
        del self.left[: len(words)]
        return True

    def either(self) -> _Test:
        """Tests that are joined by ||."""
        tests = [self._both()]
        while self._takes("||"):
            tests.append(self._both())
        return lambda value: any(test(value) for test in tests)

    def _both(self) -> _Test:
        tests = [self._one()]
        while self._takes("&&"):
            tests.append(self._one())
        return lambda value: all(test(value) for test in tests)

    def _one(self) -> _Test:
        if self._takes("("):
            test = self.either()
            if not self._takes(")"):
                raise ValueError("A bracket is not closed.")
            return test
        path = self._next()
        at_path({}, path)  # raises for what is no path
        if self._takes("NOT", "EXISTS"):
            return lambda value: at_path(value, path) is MISSING
        if self._takes("EXISTS"):
            return lambda value: at_path(value, path) is not MISSING
        for word, constant in (("NULL", None), ("TRUE", True), ("FALSE", False)):
            if self._takes("IS", word):
                return lambda value, constant=constant: at_path(value, path) is constant  # type: ignore[misc]
        sign, text = self._next(), self._next()
        if sign not in ("=", "!=", "<", ">", "<=", ">="):
            raise ValueError(sign)
        return _comparison(
            path, sign, json.loads(text) if text.startswith('"') else text, text.startswith('"')
        )


def _comparison(path: str, sign: str, wanted: str, quoted: bool) -> _Test:
    try:
        number = None if quoted else float(wanted)
    except ValueError:
        number = None
    if number is None and sign not in ("=", "!="):
        raise ValueError(f"{sign} {wanted}")

    def test(value: Any) -> bool:
        found = at_path(value, path)
        if found is MISSING or found is None:
            return False
        if number is not None:
            if isinstance(found, bool) or not isinstance(found, int | float):
                return False
            return {
                "=": found == number, "!=": found != number, "<": found < number, ">": found > number,
                "<=": found <= number, ">=": found >= number,
            }[sign]  # fmt: skip
        text = json.dumps(found) if isinstance(found, bool | dict | list) else str(found)
        return fnmatch.fnmatchcase(text, re.sub(r"([\[?])", r"[\1]", wanted)) == (sign == "=")

    return test
