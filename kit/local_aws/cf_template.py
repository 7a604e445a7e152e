"""CloudFormation templates: read from JSON or YAML, and their functions resolved. Pure.

Source: the AWS CloudFormation Template Reference. Not here: macros, transforms, modules, nested stacks, dynamic references, exports.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.local_aws.protocol import AwsError

__all__ = ["Template", "Values", "invalid", "read", "resolve", "values_of"]

SECTIONS = {
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Resources",
    "Outputs",
}
PSEUDO = ("AccountId", "Region", "StackName", "StackId", "Partition", "URLSuffix", "NoValue")
ABSENT = object()  # what AWS::NoValue stands for
NUMBERED = re.compile(r"-?\d+(\.\d+)?")


def invalid(message: str) -> AwsError:
    """The error of CloudFormation for a request that is not valid."""
    return AwsError("ValidationError", message)


@dataclass(frozen=True)
class Template:
    """A template: its resources by logical id in an order in which they can be made, and the rest of its sections."""

    text: str
    resources: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True)
class Values:
    """What the functions of a template may lead to. `made`: {logical id: {"Ref": ..., attribute: ...}}."""

    parameters: Mapping[str, Any]
    pseudo: Mapping[str, str]
    template: Template
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML with CloudFormation's short forms (`!Ref x`); dates stay text, as in `Version: 2012-10-17`."""

    def short(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        value: Any
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        if suffix == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}

    Loader.add_multi_constructor("!", short)
    Loader.yaml_implicit_resolvers = {
        key: [one for one in held if one[0] != "tag:yaml.org,2002:timestamp"]
        for key, held in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


def read(text: str) -> Template:
    """The template of a JSON or YAML text. Raises ValidationError."""
    import yaml

    try:
        document = yaml.load(text, Loader=_loader())  # JSON is YAML
    except yaml.YAMLError as error:
        raise invalid(f"Template format error: YAML not well-formed. {str(error).splitlines()[0]}") from None
    if not isinstance(document, dict):
        raise invalid("Template format error: unsupported structure.")
    if unknown := sorted(set(map(str, document)) - SECTIONS):
        raise invalid(f"Invalid template property or properties {unknown}")
    resources = document.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise invalid("Template format error: At least one Resources member must be defined.")
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise invalid(
                f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
            )
    made = Template(
        text,
        resources,
        document.get("Parameters") or {},
        document.get("Conditions") or {},
        document.get("Mappings") or {},
        document.get("Outputs") or {},
        document.get("Description") or "",
    )
    _check_references(made)
    return Template(**{**made.__dict__, "resources": {name: resources[name] for name in _order(made)}})


def _references(value: Any) -> Iterator[str]:
    """The names of parameters and resources that a value refers to."""
    if isinstance(value, dict):
        for name, held in value.items():
            if name == "Ref" and isinstance(held, str):
                yield held
            elif name == "Fn::GetAtt":
                yield (held if isinstance(held, list) else str(held).split(".", 1))[0]
            elif name == "Fn::Sub":
                text, own = held if isinstance(held, list) else (held, {})
                yield from (
                    one.partition(".")[0] for one in re.findall(r"\$\{([^!}]+)\}", text) if one not in own
                )
                yield from _references(own)
            else:
                yield from _references(held)
    elif isinstance(value, list):
        for held in value:
            yield from _references(held)


def _check_references(template: Template) -> None:
    known = {*template.resources, *template.parameters, *(f"AWS::{name}" for name in PSEUDO)}
    lost = {name for name in _references([template.resources, template.outputs]) if name.strip() not in known}
    for resource in template.resources.values():
        lost |= set(_after(resource)) - set(template.resources)
    if lost:
        raise invalid(
            f"Template format error: Unresolved resource dependencies [{', '.join(sorted(lost))}] in the Resources block of the template"
        )


def _after(resource: Mapping[str, Any]) -> list[str]:
    given = resource.get("DependsOn", [])
    return [given] if isinstance(given, str) else list(given)


def _order(template: Template) -> list[str]:
    waiting = {
        name: ({*_references(resource.get("Properties")), *_after(resource)} & set(template.resources))
        for name, resource in template.resources.items()
    }
    order: list[str] = []
    while free := [name for name, needs in waiting.items() if not needs & set(waiting)]:
        order += free
        for name in free:
            del waiting[name]
    if waiting:
        raise invalid(f"Circular dependency between resources: [{', '.join(sorted(waiting))}]")
    return order


def values_of(template: Template, given: Mapping[str, str]) -> dict[str, Any]:
    """The value of each parameter. Raises ValidationError for unknown, missing and forbidden ones."""
    if unknown := sorted(set(given) - set(template.parameters)):
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {
        name: str(given.get(name, facts.get("Default")))
        for name, facts in template.parameters.items()
        if name in given or "Default" in facts
    }
    if missing := sorted(set(template.parameters) - set(values)):
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    found: dict[str, Any] = {}
    for name, text in values.items():
        facts = template.parameters[name]
        _check_parameter(name, facts, text)
        many = "List" in str(facts.get("Type"))
        found[name] = [one.strip() for one in text.split(",")] if many else text
    return found


def _check_parameter(name: str, facts: Mapping[str, Any], text: str) -> None:
    said = facts.get("ConstraintDescription")
    if facts.get("Type") == "Number" and not NUMBERED.fullmatch(text):
        raise invalid(f"Parameter '{name}' must be a number.")
    if "AllowedValues" in facts and text not in map(str, facts["AllowedValues"]):
        allowed = ", ".join(map(str, facts["AllowedValues"]))
        raise invalid(f"Parameter '{name}' must be one of AllowedValues: {said or allowed}")
    if "AllowedPattern" in facts and not re.fullmatch(facts["AllowedPattern"], text):
        raise invalid(f"Parameter '{name}' must match pattern {said or facts['AllowedPattern']}")
    if "MinValue" in facts and float(text) < float(facts["MinValue"]):
        raise invalid(f"Parameter '{name}' must be a number not less than {facts['MinValue']}")
    if "MaxValue" in facts and float(text) > float(facts["MaxValue"]):
        raise invalid(f"Parameter '{name}' must be a number not greater than {facts['MaxValue']}")


def holds(values: Values, condition: Any) -> bool:
    """Whether a condition, or the one of that name, is true."""
    if isinstance(condition, str):
        if condition not in values.template.conditions:
            raise invalid(f"Template error: there is no condition named {condition}")
        return holds(values, values.template.conditions[condition])
    ((function, held),) = condition.items()
    if function == "Condition":
        return holds(values, held)
    if function == "Fn::Equals":
        left, right = (resolve(one, values) for one in held)
        return bool(str(left) == str(right))
    if function == "Fn::Not":
        return not holds(values, held[0])
    if function in ("Fn::And", "Fn::Or"):
        return (all if function == "Fn::And" else any)(holds(values, one) for one in held)
    raise invalid(f"Template error: {function} is no function of conditions")


def resolve(value: Any, values: Values) -> Any:
    """The value with each function replaced by what it stands for; members that are AWS::NoValue are left out."""
    if isinstance(value, list):
        return [found for one in value if (found := resolve(one, values)) is not ABSENT]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, held),) = value.items()
        if function == "Ref" or (isinstance(function, str) and function.startswith("Fn::")):
            return _apply(function, held, values)
    found = {name: resolve(one, values) for name, one in value.items()}
    return {name: one for name, one in found.items() if one is not ABSENT}


def _apply(function: str, held: Any, values: Values) -> Any:
    if function == "Ref":
        return _ref(str(held), values)
    if function == "Fn::GetAtt":
        name, attribute = held if isinstance(held, list) else str(held).split(".", 1)
        return _attribute(name, resolve(attribute, values), values)
    if function == "Fn::Sub":
        return _sub(held, values)
    if function == "Fn::If":
        return resolve(held[1] if holds(values, held[0]) else held[2], values)
    if function == "Fn::FindInMap":
        found: Any = values.template.mappings
        for key in resolve(held, values):
            if str(key) not in found:
                raise invalid(f"Template error: Unable to get mapping for {'::'.join(map(str, held))}")
            found = found[str(key)]
        return found
    given = resolve(held, values)
    if function == "Fn::Join":
        return given[0].join(map(_text, given[1]))
    if function == "Fn::Split":
        return given[1].split(given[0])
    if function == "Fn::Select":
        return given[1][int(given[0])]
    if function == "Fn::ToJsonString":
        return json.dumps(given)
    raise invalid(f"The local AWS does not implement the template function {function}.")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _ref(name: str, values: Values) -> Any:
    if name == "AWS::NoValue":
        return ABSENT
    if name.startswith("AWS::"):
        return values.pseudo[name.removeprefix("AWS::")]
    if name in values.parameters:
        return values.parameters[name]
    return _attribute(name, "Ref", values)


def _attribute(name: str, attribute: str, values: Values) -> Any:
    if attribute not in values.made.get(name, {}):
        raise invalid(
            f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
        )
    return values.made[name][attribute]


def _sub(held: Any, values: Values) -> str:
    text, own = held if isinstance(held, list) else (held, {})

    def found(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        if name in own:
            return _text(resolve(own[name], values))
        if "." in name:
            resource, _, attribute = name.partition(".")
            return _text(_attribute(resource, attribute, values))
        return _text(_ref(name, values))

    return re.sub(r"\$\{([^}]+)\}", found, text)
