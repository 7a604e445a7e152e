"""What AWS's own service models say about a request and its answer: is it valid, and what may it hold.

The models are those that botocore ships and moto reads (`service-2.json`), so they follow a botocore upgrade by themselves.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import moto.core.utils
import regex
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationNotFoundError
from moto.core.model import OperationModel, ServiceModel
from moto.core.utils import get_service_model

__all__ = ["AwsError", "missing", "mistyped", "now", "operation", "problems", "service", "shaped"]

# moto makes a loader for each model, and a new one looks through all folders of botocore: a second for forty services.
setattr(moto.core.utils, "create_loader", functools.cache(moto.core.utils.create_loader))  # noqa: B010

Shape = Any  # botocore's Shape; which members one has depends on its type_name
NUMBERS = ("integer", "long", "float", "double")
# The Python types of JSON values that a shape's type accepts.
TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int, float),
    "long": (int, float),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}
# The same of a request that is not in JSON any more; a blob may be anything that can be read.
PARSED = {kind: types for kind, types in TYPES.items() if kind != "blob"}
PARSED["timestamp"] += (datetime,)
PATTERN_SECONDS = 1.0  # a pattern that backtracks for longer than this is taken as matched


class AwsError(Exception):
    """An error as AWS answers it: `code` ("ValidationException"), a message, the HTTP status, and the error's other members."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.members = code, message, status, members


def now() -> datetime:
    """The time in UTC, cut to milliseconds as AWS answers it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def service(name: str) -> ServiceModel | None:
    """The model of a service by botocore's name for it ("sagemaker-runtime"); None if there is no such service."""
    try:
        return get_service_model(name)
    except UnknownServiceError:
        return None


def operation(service_name: str, name: str) -> OperationModel:
    """The model of one action. Raises AwsError UnknownOperationException if the service has no such action."""
    model = service(service_name)
    try:
        if model is not None:
            found: OperationModel = model.operation_model(name)
            return found
    except OperationNotFoundError:
        pass
    raise AwsError("UnknownOperationException", f"{service_name} has no action {name}.")


def mistyped(shape: Shape, value: Any) -> str:
    """The first JSON value of a wrong type, in the wording of AWS's SerializationException; empty if there is none."""
    kind = shape.type_name
    if not _fits(shape, value, TYPES):
        if kind in ("structure", "map"):
            return "Unexpected type: an object was expected"
        if kind == "list":
            return "Expected list or null"
        return f"{_json_type(value)} can not be converted to {kind.capitalize()}"
    if value is None or (kind == "structure" and shape.is_document_type):
        return ""
    return next((text for part, held in _parts(shape, value) if (text := mistyped(part, held))), "")


def _fits(shape: Shape, value: Any, types: Mapping[str, tuple[type, ...]]) -> bool:
    """Whether the value itself, not what it holds, is of a type that the shape takes."""
    kind = shape.type_name
    if value is None or kind not in types or (kind == "structure" and shape.is_document_type):
        return True
    if not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    return kind not in ("integer", "long") or not isinstance(value, float) or value.is_integer()


def _parts(shape: Shape, value: Any) -> list[tuple[Shape, Any]]:
    """What a value holds, each with its shape; members that the shape does not know are left out."""
    kind = shape.type_name
    if kind == "structure":
        return [(shape.members[name], held) for name, held in value.items() if name in shape.members]
    if kind == "map":
        return [(shape.value, held) for held in value.values()]
    return [(shape.member, held) for held in value] if kind == "list" else []


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    if isinstance(value, int | float):
        return "NUMBER_VALUE"
    return "STRING_VALUE" if isinstance(value, str) else "START_OF_STRUCTURE_OR_MAP"


def problems(shape: Shape | None, value: Any, path: str = "") -> list[str]:
    """Every constraint of the model that the value breaks, in AWS's words; empty if it is valid.

    Checked: types (in botocore's words), required and unknown members, enums, patterns, lengths, ranges, exactly one member
    of a union.
    """
    if shape is None or value is None:
        return []
    kind = shape.type_name
    if not _fits(shape, value, PARSED):
        return [_wrong_type(shape, value, path)]
    if kind == "structure":
        return [] if shape.is_document_type else _structure_problems(shape, value, path)
    shown = "***" if shape.metadata.get("sensitive") else value
    found = [_said(path, shown, text) for text in _broken(shape, value)]
    if kind == "list":
        for i, item in enumerate(value, start=1):
            found += problems(shape.member, item, f"{path}.{i}.member")
    elif kind == "map":
        for part, shape_of_part, values in (
            ("keys", shape.key, value.keys()),
            ("value", shape.value, value.values()),
        ):
            if shape_of_part.type_name in ("structure", "list", "map"):
                for key, item in value.items():
                    found += problems(shape_of_part, item, f"{path}.{key}.member")
            elif strange := [item for item in values if not _fits(shape_of_part, item, PARSED)]:
                found += [_wrong_type(shape_of_part, item, path) for item in strange]
            elif any(_broken(shape_of_part, item) for item in values):
                rules = ", ".join(text for text, _ in _rules(shape_of_part))
                found.append(_said(path, value, f"Map {part} must satisfy constraint: [{rules}]"))
    return found


def _structure_problems(shape: Shape, value: dict[str, Any], path: str) -> list[str]:
    def at(name: str) -> str:
        return (f"{path}." if path else "") + name[:1].lower() + name[1:]

    found = [
        f"Value null at '{at(name)}' failed to satisfy constraint: Member must not be null"
        for name in shape.required_members
        if value.get(name) is None
    ]
    for name, item in value.items():
        if name in shape.members:
            found += problems(shape.members[name], item, at(name))
        else:
            found.append(
                f"Unknown member '{name}' at '{path or '$'}': must be one of {', '.join(shape.members)}"
            )
    if shape.is_tagged_union and sum(item is not None for item in value.values()) != 1:
        found.append(_said(path, value, "Exactly one member of the union must be set"))
    return found


def _wrong_type(shape: Shape, value: Any, path: str) -> str:
    """In botocore's words, which call members as the model does."""
    named = regex.sub(r"(?<=^|\.)[a-z]", lambda found: found[0].upper(), path)
    valid = ", ".join(str(one) for one in PARSED[shape.type_name])
    return f"Invalid type for parameter {named}, value: {value}, type: {type(value)}, valid types: {valid}"


def _said(path: str, value: Any, constraint: str) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = text if len(text) <= 256 else text[:256] + "..."
    return f"Value '{text}' at '{path}' failed to satisfy constraint: {constraint}"


def _rules(shape: Shape) -> list[tuple[str, Callable[[Any], bool]]]:
    """What the model demands of a scalar, of a list's length or a map's size: AWS's words, and whether a value holds to it."""
    limits, number = shape.metadata, shape.type_name in NUMBERS
    noun, size = ("value", lambda v: v) if number else ("length", len)
    rules: list[tuple[str, Callable[[Any], bool]]] = []
    if "max" in limits:
        text = f"Member must have {noun} less than or equal to {limits['max']}"
        rules.append((text, lambda v: size(v) <= limits["max"]))
    if "min" in limits:
        text = f"Member must have {noun} greater than or equal to {limits['min']}"
        rules.append((text, lambda v: size(v) >= limits["min"]))
    if getattr(shape, "enum", None):
        text = f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        rules.append((text, lambda v: v in shape.enum))
    if "pattern" in limits:
        text = f"Member must satisfy regular expression pattern: {limits['pattern']}"
        rules.append((text, lambda v: _matches(limits["pattern"], v)))
    return rules


def _broken(shape: Shape, value: Any) -> list[str]:
    """Those of the shape's rules that the value does not hold to; null holds to all, it counts as not sent."""
    return [] if value is None else [text for text, holds in _rules(shape) if not holds(value)]


@functools.cache
def _compiled(pattern: str) -> Any:
    try:
        return regex.compile(pattern.replace(r"\p{IsAlphabetic}", r"\p{Alphabetic}"))
    except regex.error:  # Java's surrogate ranges: no such characters in a Python string
        return None


def _matches(pattern: str, value: Any) -> bool:
    compiled = _compiled(pattern)
    try:
        return (
            compiled is None
            or not isinstance(value, str)
            or bool(compiled.fullmatch(value, timeout=PATTERN_SECONDS))
        )
    except TimeoutError:
        return True


def shaped(shape: Shape | None, value: Any) -> Any:
    """The value with only what the shape knows; members that are None are left out."""
    if shape is None or value is None:
        return {}
    kind = shape.type_name
    if kind == "structure" and not shape.is_document_type:
        return {k: shaped(s, value[k]) for k, s in shape.members.items() if value.get(k) is not None}
    if kind == "list":
        return [shaped(shape.member, item) for item in value]
    if kind == "map":
        return {k: shaped(shape.value, item) for k, item in value.items() if item is not None}
    return value


def missing(shape: Shape | None, value: Any, path: str = "") -> list[str]:
    """Required members that an answer lacks, as paths ("ModelArtifacts.S3ModelArtifacts")."""
    if shape is None:
        return []
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        found = [f"{path}{name}" for name in shape.required_members if value.get(name) is None]
        for name, item in value.items():
            if name in shape.members:
                found += missing(shape.members[name], item, f"{path}{name}.")
        return found
    if kind == "list" and isinstance(value, list):
        return [text for item in value for text in missing(shape.member, item, f"{path[:-1]}[].")]
    if kind == "map" and isinstance(value, dict):
        return [text for key, item in value.items() for text in missing(shape.value, item, f"{path}{key}.")]
    return []
