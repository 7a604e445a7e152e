"""What a target of EventBridge is sent: the event, a part of it, a text of its own, or a template filled from it. Pure functions.

Sources, Amazon EventBridge User Guide: "Transforming Amazon EventBridge target input" (template, reserved variables, quotes),
"SageMaker pipelines as targets" (parameters by JSON path).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["at_path", "input_of", "parameters"]

MISSING = object()
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\[['\"]([^'\"]+)['\"]\]")
_NAME = re.compile(r"<([\w.-]+)>")


def at_path(event: Any, path: str) -> Any:
    """What lies at a JSON path (`$.detail.state`, `$.resources[0]`); MISSING where nothing does. Raises ValueError for another form."""
    if not path.startswith("$"):
        raise ValueError(f"{path} is not a JSON path.")
    rest, value = path[1:], event
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise ValueError(f"{path} is not a JSON path that EventBridge takes.")
        rest = rest[step.end() :]
        key: Any = int(step[2]) if step[2] else step[1] or step[3]
        try:
            value = value[key] if isinstance(value, list if step[2] else Mapping) else MISSING
        except (KeyError, IndexError):
            value = MISSING
        if value is MISSING:
            return MISSING
    return value


def input_of(target: Mapping[str, Any], event: Mapping[str, Any], rule: str = "", arn: str = "") -> str:
    """The text that a target is sent for an event; `rule` and `arn` name the rule that matched it."""
    if "Input" in target:
        return str(target["Input"])
    if path := target.get("InputPath"):
        found = at_path(event, path)
        return json.dumps(None if found is MISSING else found)
    if transformer := target.get("InputTransformer"):
        return _filled(transformer, event, rule, arn)
    return json.dumps(event)


def _filled(transformer: Mapping[str, Any], event: Mapping[str, Any], rule: str, arn: str) -> str:
    known: dict[str, Any] = {
        "aws.events.rule-name": rule,
        "aws.events.rule-arn": arn,
        "aws.events.event.ingestion-time": event.get("time"),
        "aws.events.event.json": event,
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
    }
    known |= {name: at_path(event, path) for name, path in transformer.get("InputPathsMap", {}).items()}
    template = transformer["InputTemplate"]
    made, quoted, at = "", False, 0
    for found in re.finditer(r"\\.|\"|<[\w.-]+>", template):
        made, at = made + template[at : found.start()], found.end()
        name = _NAME.fullmatch(found[0])
        if name is None or name[1] not in known:
            quoted ^= found[0] == '"'
            made += found[0]
        else:
            made += _placed(known[name[1]], quoted)
    made += template[at:]
    try:
        value = json.loads(made)
    except ValueError:  # lines of text, each in its quotes
        return "\n".join(line.strip().strip('"') for line in made.splitlines())
    return made if isinstance(value, dict | list) else json.dumps(value)


def _placed(value: Any, quoted: bool) -> str:
    """A variable in a template: JSON, or between quotes its text; one that the event lacks leaves nothing, or an empty text."""
    if value is MISSING:
        return "" if quoted else '""'
    if not quoted:
        return json.dumps(value)
    return json.dumps(value if isinstance(value, str) else json.dumps(value))[1:-1]


def parameters(listed: Sequence[Mapping[str, str]], event: Mapping[str, Any]) -> list[dict[str, str]]:
    """Parameters of a pipeline ([{Name, Value}]): values that are JSON paths come from the event.

    Raises ValueError for a path that the event does not have.
    """
    made = []
    for one in listed:
        value: Any = one["Value"]
        if value.startswith("$"):
            value = at_path(event, value)
            if value is MISSING:
                raise ValueError(f"The event has nothing at {one['Value']} for parameter {one['Name']}.")
        made.append({"Name": one["Name"], "Value": value if isinstance(value, str) else json.dumps(value)})
    return made
