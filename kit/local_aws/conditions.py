"""Condition blocks, wildcards and variables of the IAM policy language, on plain data.

Sources, all in the IAM User Guide (docs.aws.amazon.com/IAM/latest/UserGuide/):
- operators, `IfExists`, `Null`, what a missing key means: reference_policies_elements_condition_operators
- `ForAllValues` and `ForAnyValue`: reference_policies_condition-single-vs-multi-valued-context-keys
- variables, `${*}`, defaults, the language version they need: reference_policies_variables
- wildcards in resources, segment by segment of the ARN: reference_policies_elements_resource
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

__all__ = ["Context", "arn_matches", "context", "holds", "matches", "operator", "resolved", "values"]

Context = Mapping[str, tuple[str, ...]]
"""Keys of a request in lower case, each with its values; a key without values counts as missing."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r"\s*([^,\s]+)\s*(?:,\s*'([^']*)'\s*)?")

# A `*` that a variable stands for is a character, not a wildcard. Policies hold nothing above U+00FF.
_LITERAL = {"*": "\ue000", "?": "\ue001"}
_PLAIN = str.maketrans({mark: char for char, mark in _LITERAL.items()})
_MARKED = str.maketrans(_LITERAL)


def values(value: Any) -> tuple[str, ...]:
    """One or many values of a policy or a context as text: `True` becomes `true`, `None` nothing."""
    if value is None:
        return ()
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(one for item in value for one in values(item))
    return (str(value).lower() if isinstance(value, bool) else str(value),)


def context(keys: Mapping[str, Any]) -> Context:
    """The context of a request as the evaluator reads it; the names of keys are not case-sensitive."""
    return {name.lower(): values(value) for name, value in keys.items()}


def resolved(text: str, known: Context, missing: set[str]) -> str | None:
    """`text` with its variables replaced, ready to be matched; None where one has no single value.

    The names of variables without a value are added to `missing`.
    """
    unknown = False

    def value(found: re.Match[str]) -> str:
        nonlocal unknown
        name = found.group(1)
        if name in ("*", "?", "$"):
            return _LITERAL.get(name, name)
        parts = _DEFAULT.fullmatch(name)
        have = known.get(parts.group(1).lower(), ()) if parts else ()
        if len(have) == 1:
            return have[0].translate(_MARKED)
        if parts and parts.group(2) is not None:
            return parts.group(2).translate(_MARKED)
        missing.add(parts.group(1) if parts else name)
        unknown = True
        return ""

    result = _VARIABLE.sub(value, text)
    return None if unknown else result


@lru_cache(maxsize=4096)
def _expression(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    pieces = [
        "".join("." if char == "?" else re.escape(char.translate(_PLAIN)) for char in piece)
        for piece in re.split(r"\*+", pattern)
    ]
    first, *middle = pieces
    if middle:
        # Atomic groups: the shortest text up to each piece is enough, so nothing is ever tried twice.
        first += "".join(f"(?>.*?{piece})" for piece in middle[:-1]) + ".*" + middle[-1]
    return re.compile(first, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def matches(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Does `text` match `pattern`, where `*` is any text and `?` any one character?"""
    return _expression(pattern, ignore_case).fullmatch(text) is not None


def arn_matches(pattern: str, arn: str) -> bool:
    """Does `arn` match, each of the six parts between colons for itself? A lone `*` matches anything."""
    if pattern == "*":
        return True
    wanted, have = pattern.split(":", 5), arn.split(":", 5)
    if len(wanted) != 6 or len(have) != 6:
        return pattern.translate(_PLAIN) == arn
    return all(matches(part, text) for part, text in zip(wanted, have, strict=True))


def _number(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(wanted: str, have: str) -> bool:
        try:
            return test(float(have), float(wanted))
        except ValueError:
            return False

    return compare


def _moment(text: str) -> datetime:
    """A date in one of the W3C forms of ISO 8601, from a year to fractions of seconds, or in epoch seconds."""
    if re.fullmatch(r"\d{4}(-\d{2})?", text):
        text = f"{text}-01-01" if len(text) == 4 else f"{text}-01"
    elif re.fullmatch(r"-?\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date(test: Callable[[datetime, datetime], bool]) -> Callable[[str, str], bool]:
    def compare(wanted: str, have: str) -> bool:
        try:
            return test(_moment(have), _moment(wanted))
        except (ValueError, OverflowError, OSError):
            return False

    return compare


def _binary(wanted: str, have: str) -> bool:
    try:
        return base64.b64decode(have, validate=True) == base64.b64decode(wanted, validate=True)
    except binascii.Error:
        return False


def _address(wanted: str, have: str) -> bool:
    try:
        return ipaddress.ip_address(have) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _boolean(wanted: str, have: str) -> bool:
    return wanted.lower() == have.lower() and have.lower() in ("true", "false")


# Each compares a value of the policy, its variables replaced, with a value of the request.
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda wanted, have: wanted.translate(_PLAIN) == have,
    "stringequalsignorecase": lambda wanted, have: wanted.translate(_PLAIN).casefold() == have.casefold(),
    "stringlike": matches,
    "numericequals": _number(lambda have, wanted: have == wanted),
    "numericlessthan": _number(lambda have, wanted: have < wanted),
    "numericlessthanequals": _number(lambda have, wanted: have <= wanted),
    "numericgreaterthan": _number(lambda have, wanted: have > wanted),
    "numericgreaterthanequals": _number(lambda have, wanted: have >= wanted),
    "dateequals": _date(lambda have, wanted: have == wanted),
    "datelessthan": _date(lambda have, wanted: have < wanted),
    "datelessthanequals": _date(lambda have, wanted: have <= wanted),
    "dategreaterthan": _date(lambda have, wanted: have > wanted),
    "dategreaterthanequals": _date(lambda have, wanted: have >= wanted),
    "bool": _boolean,
    "binaryequals": _binary,
    "ipaddress": _address,
    "arnequals": arn_matches,
    "arnlike": arn_matches,
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}
_WITH_VARIABLES = ("string", "arn", "bool")


def operator(name: str) -> tuple[str, str, bool, bool]:
    """An operator of a condition block taken apart.

    Returns: set operator (`forallvalues`, `foranyvalue` or empty), the comparison or `null`, whether it is
    negated, whether it ends in `IfExists`. Raises ValueError for one that the language does not have.
    """
    quantifier, _, rest = name.lower().rpartition(":")
    base = rest.removesuffix("ifexists")
    negated = base in _NEGATED
    base = _NEGATED.get(base, base)
    if quantifier not in ("", "forallvalues", "foranyvalue") or base not in {*_COMPARE, "null"}:
        raise ValueError(f"{name} is not a condition operator")
    if base == "null" and rest != "null":
        raise ValueError("Null cannot be combined with IfExists")
    return quantifier, base, negated, rest != base and rest.endswith("ifexists")


def _condition(name: str, key: str, wanted: Any, known: Context, variables: bool, missing: set[str]) -> bool:
    quantifier, base, negated, if_exists = operator(name)
    have = known.get(key.lower(), ())
    if not have:
        missing.add(key)
    if base == "null":
        return ("false" if have else "true") in (one.lower() for one in values(wanted))
    if quantifier and have == ("",):  # an empty set of values
        have = ()
    if not have:
        return quantifier == "forallvalues" or (not quantifier and (negated or if_exists))
    if variables and base.startswith(_WITH_VARIABLES):
        replaced = [resolved(one, known, missing) for one in values(wanted)]
    else:
        replaced = [*values(wanted)]
    patterns = [one for one in replaced if one is not None]
    if negated and len(patterns) < len(replaced):
        return False  # a value that cannot be known is neither matched nor ruled out
    compare = _COMPARE[base]
    each = [any(compare(pattern, one) for pattern in patterns) != negated for one in have]
    return all(each) if quantifier == "forallvalues" or (negated and not quantifier) else any(each)


def holds(block: Mapping[str, Mapping[str, Any]], known: Context, variables: bool, missing: set[str]) -> bool:
    """Does every condition of a `Condition` block hold for this context?

    `variables`: whether the policy's language version has them. Every condition is looked at, so that
    `missing` gets all keys that the block asks for and the context lacks. Raises ValueError for an operator
    that does not exist.
    """
    results: Iterable[bool] = [
        _condition(name, key, wanted, known, variables, missing)
        for name, keys in block.items()
        for key, wanted in keys.items()
    ]
    return all(results)
