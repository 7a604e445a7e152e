"""The values of a pipeline's execution: references resolved, conditions decided, parameters typed, steps compared. Pure.

Sources: the Amazon SageMaker AI Developer Guide, "Pipelines steps", "Default cache key attributes by pipeline step type" and "Turn on
step caching"; for the form of references, what `sagemaker.core.workflow` writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

__all__ = [
    "FUNCTIONS",
    "VARIABLES",
    "Scope",
    "Unresolved",
    "dig",
    "duration",
    "holds",
    "resolve",
    "signature",
    "typed",
]

FUNCTIONS = frozenset(("Get", "Std:Join", "Std:JsonGet"))
VARIABLES = frozenset(
    (
        "StartDateTime",
        "CurrentDateTime",
        "PipelineName",
        "PipelineArn",
        "PipelineExecutionId",
        "PipelineExecutionArn",
        "TrainingJobName",
        "ProcessingJobName",
    )
)
# What must be the same for a step to count as the same; of a tuning step's definitions of training jobs, TUNED counts only.
KEYS: Mapping[str, tuple[str, ...]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
    "Tuning": ("HyperParameterTuningJobConfig", "TrainingJobDefinition", "TrainingJobDefinitions"),
    "Transform": ("DataProcessing", "Environment", "ModelName", "TransformInput"),
}
TUNED = (
    "AlgorithmSpecification",
    "HyperParameterRanges",
    "InputDataConfig",
    "StaticHyperParameters",
    "TuningObjective",
)


class Unresolved(Exception):
    """A reference that leads to nothing; its text says where."""


@dataclass(frozen=True)
class Scope:
    """What references may lead to. `read`: the JSON document at an S3 URI; `file`: the URI of a step's property file."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    file: Callable[[str, str], str] = lambda step, name: ""
    read: Callable[[str], Any] = lambda uri: None


def resolve(value: Any, scope: Scope) -> Any:
    """The value with each reference and function replaced by what it stands for. Raises Unresolved."""
    if isinstance(value, list):
        return [resolve(one, scope) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Get"}:
        return _get(value["Get"], scope)
    if set(value) == {"Std:Join"}:
        join = value["Std:Join"]
        return join.get("On", "").join(_text(resolve(one, scope)) for one in join["Values"])
    if set(value) == {"Std:JsonGet"}:
        asked = value["Std:JsonGet"]
        uri = resolve(asked.get("PropertyFile", asked.get("S3Uri")), scope)
        return dig(scope.read(uri), re.sub(r"^\$\.?", "", resolve(asked["Path"], scope)), uri)
    return {name: resolve(one, scope) for name, one in value.items()}


def _get(reference: str, scope: Scope) -> Any:
    space, _, rest = reference.partition(".")
    if space == "Steps":
        step, _, path = rest.partition(".")
        if step not in scope.outputs:
            raise Unresolved(f"Step '{step}' has no properties.")
        if path.startswith("PropertyFiles."):
            return scope.file(step, path.removeprefix("PropertyFiles."))
        return dig(scope.outputs[step], path, f"Steps.{step}")
    held = scope.parameters if space == "Parameters" else scope.execution
    if rest not in held:
        raise Unresolved(f"{reference} has no value here.")
    return held[rest]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def dig(value: Any, path: str, what: str = "") -> Any:
    """The value at a path (`A.B['c'].D[0]`) in JSON; an element of a list also by its name. Raises Unresolved."""
    for quoted, number, word in re.findall(r"\[['\"](.*?)['\"]\]|\[(\d+)\]|([^.\[\]]+)", path):
        name = quoted or word
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and number and int(number) < len(value):
            value = value[int(number)]
        elif isinstance(value, list) and name and (found := [one for one in value if name in _names(one)]):
            value = found[0]
        else:
            raise Unresolved(f"There is no {path} in {what or 'the document'}.")
    return value


def _names(value: Any) -> list[Any]:
    named = ("OutputName", "InputName", "ChannelName", "MetricName", "Name")
    return [value[name] for name in named if name in value] if isinstance(value, Mapping) else []


def holds(condition: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a condition is true. Raises Unresolved for values that cannot be compared."""
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Condition"], scope)
    if kind == "Or":
        return any(holds(one, scope) for one in condition["Conditions"])
    if kind == "In":
        asked = resolve(condition["QueryValue"], scope)
        return any(_equal(asked, resolve(one, scope)) for one in condition["Values"])
    left, right = resolve(condition["LeftValue"], scope), resolve(condition["RightValue"], scope)
    if kind == "Equals":
        return _equal(left, right)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise Unresolved(f"{kind} does not compare {json.dumps(left)} with {json.dumps(right)}.")
    if kind.startswith("Greater"):
        left, right = right, left
    return bool(left <= right if kind.endswith("OrEqualTo") else left < right)


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right and isinstance(left, bool) == isinstance(right, bool))


def typed(parameter: Mapping[str, Any], value: Any) -> Any:
    """A parameter's value of its type, from text or from JSON. Raises ValueError."""
    kind, text = parameter["Type"], value if isinstance(value, str) else json.dumps(value)
    try:
        found = {"String": lambda: text, "Integer": lambda: int(text), "Float": lambda: float(text)}.get(
            kind, lambda: {"true": True, "false": False}[text.lower()]
        )()
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is not of the type {kind}") from None
    allowed = parameter.get("EnumValues")
    if allowed and found not in allowed:
        raise ValueError(f"{text!r} is none of {', '.join(map(str, allowed))}")
    return found


def duration(text: str) -> timedelta:
    """An ISO 8601 duration, as CacheConfig takes it: "P30D", "30d", "T12H", "30dT5h". Raises ValueError.

    A year counts 365 days, a month 30.
    """
    found = re.fullmatch(
        r"P?(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", text, re.I
    )
    if found is None or not any(found.groups()):
        raise ValueError(f"ExpireAfter is {text!r}, not a duration such as P30D or T12H")
    years, months, weeks, days, hours, minutes, seconds = (int(one or 0) for one in found.groups())
    try:
        whole = timedelta(days=365 * years + 30 * months + 7 * weeks + days)
        return whole + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise ValueError(f"ExpireAfter is {text!r}, longer than time itself") from None


def signature(kind: str, name: str, arguments: Mapping[str, Any]) -> str:
    """What two runs of a step have in common when the second may take the first one's outputs: its resolved arguments, hashed."""
    kept = {member: arguments[member] for member in KEYS[kind] if member in arguments}
    for member in ("TrainingJobDefinition", "TrainingJobDefinitions"):
        if member in kept:
            many = kept[member] if isinstance(kept[member], list) else [kept[member]]
            kept[member] = [{k: v for k, v in one.items() if k in TUNED} for one in many]
    text = json.dumps([kind, name, kept], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
