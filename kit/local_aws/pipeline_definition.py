"""A pipeline's definition: read from its JSON, and refused where SageMaker would refuse it. Pure.

The schema is the 2020-12-01 one (github.com/aws-sagemaker-mlops/sagemaker-model-building-pipeline-definition-JSON-schema). The
arguments of a step are those of the API that it calls, with references in the place of values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.local_aws.pipeline_values import FUNCTIONS, VARIABLES, duration, typed
from kit.local_aws.protocol import AwsError, operation

__all__ = ["APIS", "Definition", "Step", "parse"]

VERSION = "2020-12-01"
# The step types that run here, and the API that each calls ("" for none).
APIS = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "Tuning": "CreateHyperParameterTuningJob",
    "Transform": "CreateTransformJob",
    "Model": "CreateModel",
    "RegisterModel": "CreateModelPackage",
    "Condition": "",
    "Fail": "",
}
CACHED = ("Processing", "Training", "Tuning", "Transform")  # of these: step types that may be cached
TRIGGERS = ("Completed", "Failed", "Stopped", "Any")
TYPES = ("String", "Integer", "Float", "Boolean")
CONDITIONS = {  # what a condition of each type holds
    "Equals": ("LeftValue", "RightValue"),
    "GreaterThan": ("LeftValue", "RightValue"),
    "GreaterThanOrEqualTo": ("LeftValue", "RightValue"),
    "LessThan": ("LeftValue", "RightValue"),
    "LessThanOrEqualTo": ("LeftValue", "RightValue"),
    "In": ("QueryValue", "Values"),
    "Not": ("Condition",),
    "Or": ("Conditions",),
}
RETRIED = frozenset(
    (
        "Step.SERVICE_FAULT",
        "Step.THROTTLING",
        "SageMaker.JOB_INTERNAL_ERROR",
        "SageMaker.CAPACITY_ERROR",
        "SageMaker.RESOURCE_LIMIT",
    )
)
# Members of the API that a step must not name: the service fills them in (aws/sagemaker-python-sdk pull request 3472).
OWN = {"Model": ("ModelName",), "RegisterModel": ("ModelPackageName",)}
BRANCHES = ("IfSteps", "ElseSteps")


@dataclass(frozen=True)
class Step:
    """One step. `within`: the condition step that it is in a branch of, `branch`: the outcome that leads to it.

    `after`: the steps that it names in DependsOn, each with the trigger; `uses`: those whose properties it refers to.
    """

    name: str
    type: str
    arguments: Mapping[str, Any]
    within: str = ""
    branch: bool = True
    after: Mapping[str, str] = field(default_factory=dict)
    uses: frozenset[str] = frozenset()
    cache: Mapping[str, Any] = field(default_factory=dict)
    retries: tuple[Mapping[str, Any], ...] = ()
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # property files by name
    title: str = ""
    description: str = ""


@dataclass(frozen=True)
class Definition:
    """A pipeline's parameters and steps by name; steps in branches are among them, each after its condition step."""

    parameters: Mapping[str, Mapping[str, Any]]
    steps: Mapping[str, Step]
    experiment: Mapping[str, Any] = field(default_factory=dict)


def _refused(what: str) -> AwsError:
    return AwsError("ValidationException", f"Unable to parse pipeline definition. {what}")


def parse(text: str) -> Definition:
    """The definition of a JSON text. Raises ValidationException for one that could not run."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _refused(f"Not a valid Json: {error}") from None
    _object(document, "the definition")
    if document.get("Version") != VERSION:
        raise _refused(f"Version is {document.get('Version')!r}, not {VERSION}.")
    known = {"Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps"}
    if unknown := sorted(set(document) - known):
        raise _refused(f"Unknown member '{unknown[0]}'.")
    parameters = _parameters(_array(document.get("Parameters") or [], "Parameters"))
    steps: dict[str, Step] = {}
    for step in _steps(_array(document.get("Steps"), "Steps"), "", True):
        if step.name in steps:
            raise _refused(f"Duplicate step names: '{step.name}'.")
        steps[step.name] = step
    if not steps:
        raise _refused("A pipeline has at least one step.")
    experiment = document.get("PipelineExperimentConfig") or {}
    definition = Definition(parameters, steps, experiment)
    for reference in references(experiment):
        _check_reference(definition, "PipelineExperimentConfig", reference)
    for step in steps.values():
        _check_step(definition, step)
    _check_order(definition)
    return definition


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(f"Expecting start of Json Object: {what}.")
    return value


def _array(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _refused(f"Expecting start of Json Array: {what}.")
    return value


def _parameters(given: list[Any]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for item in given:
        name, kind = _object(item, "a parameter").get("Name"), item.get("Type")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9\-_]{1,256}", name):
            raise _refused(f"A parameter has no valid name: {name!r}.")
        if name in found:
            raise _refused(f"Duplicate parameter names: '{name}'.")
        if kind not in TYPES:
            raise _refused(f"Parameter '{name}' has the type {kind!r}, none of {', '.join(TYPES)}.")
        if item.get("DefaultValue") is not None:
            try:
                typed(item, item["DefaultValue"])
            except ValueError as error:
                raise _refused(f"The default of parameter '{name}': {error}.") from None
        found[name] = item
    return found


def _steps(given: list[Any], within: str, branch: bool) -> Iterator[Step]:
    for item in given:
        name = _object(item, "a step").get("Name")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9\-_]{1,64}", name):
            raise _refused(f"A step has no valid name: {name!r}.")
        if item.get("Type") not in APIS:
            raise AwsError(
                "ValidationException",
                f"The local AWS does not run pipeline steps of the type {item.get('Type')!r} (step '{name}'); it runs {', '.join(APIS)}.",
            )
        arguments = _object(item.get("Arguments"), f"Arguments of step '{name}'")
        own = {key: value for key, value in arguments.items() if key not in BRANCHES}
        yield Step(
            name=name,
            type=item["Type"],
            arguments=own,
            within=within,
            branch=branch,
            after=dict(_dependency(name, one) for one in _array(item.get("DependsOn") or [], "DependsOn")),
            uses=frozenset(rest.partition(".")[0] for space, rest in references(own) if space == "Steps"),
            cache=_object(item.get("CacheConfig") or {}, "CacheConfig"),
            retries=tuple(_array(item.get("RetryPolicies") or [], "RetryPolicies")),
            files=dict(map(_file, _array(item.get("PropertyFiles") or [], "PropertyFiles"))),
            title=item.get("DisplayName", ""),
            description=item.get("Description", ""),
        )
        if item["Type"] == "Condition":
            for member in BRANCHES:
                inner = _array(arguments.get(member) or [], member)
                yield from _steps(inner, name, member == "IfSteps")


def _dependency(step: str, given: Any) -> tuple[str, str]:
    if isinstance(given, str):
        return given, "Completed"
    name, trigger = _object(given, "a dependency").get("Step"), given.get("Trigger", "Completed")
    if not isinstance(name, str) or trigger not in TRIGGERS:
        raise _refused(f"Step '{step}' depends on {json.dumps(given)}.")
    return name, trigger


def _file(given: Any) -> tuple[str, Mapping[str, str]]:
    named = ("PropertyFileName", "OutputName", "FilePath")
    if not all(isinstance(_object(given, "a property file").get(name), str) for name in named):
        raise _refused(f"A property file has {', '.join(named)}: {json.dumps(given)}")
    return given["PropertyFileName"], given


def references(value: Any) -> Iterator[tuple[str, str]]:
    """What a value refers to: ("Parameters", "name"), ("Steps", "name.path"), ("Execution", "variable")."""
    if isinstance(value, dict):
        if set(value) == {"Get"} and isinstance(value["Get"], str):
            space, _, rest = value["Get"].partition(".")
            yield space, rest
            return
        for held in value.values():
            yield from references(held)
    elif isinstance(value, list):
        for held in value:
            yield from references(held)


def _check_step(definition: Definition, step: Step) -> None:
    for name in step.after:
        if name not in definition.steps:
            raise _refused(f"Step '{step.name}' depends on '{name}', which is no step of the pipeline.")
    for reference in references(step.arguments):
        _check_reference(definition, f"Step '{step.name}'", reference)
    if step.cache.get("Enabled"):
        _check_cache(step)
    for policy in step.retries:
        _check_retry(step, policy)
    for member in OWN.get(step.type, ()):
        if member in step.arguments:
            raise _refused(f"Unknown Argument member '{member}'.")
    if step.type == "Condition":
        for condition in _array(step.arguments.get("Conditions"), f"Conditions of step '{step.name}'"):
            _check_condition(step.name, condition)
    elif step.type == "Fail":
        _check_shape(step.name, {"ErrorMessage": None}, step.arguments)
    else:
        shape = operation("sagemaker", APIS[step.type]).input_shape
        _check_shape(step.name, shape.members, step.arguments)


def _check_reference(definition: Definition, who: str, reference: tuple[str, str]) -> None:
    space, rest = reference
    if space == "Parameters":
        if rest not in definition.parameters:
            raise _refused(f"{who} refers to the parameter '{rest}', which is not declared.")
    elif space == "Execution":
        if rest not in VARIABLES:
            raise _refused(f"{who} refers to Execution.{rest}; there are {', '.join(sorted(VARIABLES))}.")
    elif space == "Steps":
        name, _, path = rest.partition(".")
        if name not in definition.steps:
            raise _refused(f"{who} refers to '{name}', which is no step of the pipeline.")
        if definition.steps[name].type == "Fail":
            raise _refused(f"{who} refers to the Fail step '{name}', which has no properties.")
        if path.startswith("PropertyFiles."):
            _check_file(definition.steps[name], who, path.removeprefix("PropertyFiles."))
    else:
        raise _refused(f"{who} refers to '{space}.{rest}'.")


def _check_file(step: Step, who: str, name: str) -> None:
    if name not in step.files:
        raise _refused(f"{who} refers to the property file '{name}', which step '{step.name}' does not have.")
    outputs = step.arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    if step.files[name].get("OutputName") not in [one.get("OutputName") for one in outputs]:
        raise _refused(f"The property file '{name}' is in an output that step '{step.name}' does not have.")


def _check_cache(step: Step) -> None:
    if step.type not in CACHED:
        raise _refused(f"A step of the type {step.type} cannot be cached: '{step.name}'.")
    try:
        duration(str(step.cache.get("ExpireAfter") or ""))
    except ValueError as error:
        raise _refused(f"CacheConfig of step '{step.name}': {error}.") from None


def _check_retry(step: Step, policy: Any) -> None:
    kinds = _object(policy, "a retry policy").get("ExceptionType", [])
    if not kinds or set(kinds) - RETRIED:
        raise _refused(f"A retry policy of step '{step.name}' is for {kinds}; there are {sorted(RETRIED)}.")
    if (policy.get("MaxAttempts") is None) == (policy.get("ExpireAfterMin") is None):
        raise _refused(f"A retry policy of step '{step.name}' has either MaxAttempts or ExpireAfterMin.")


def _check_condition(step: str, condition: Any) -> None:
    members = CONDITIONS.get(_object(condition, f"a condition of step '{step}'").get("Type", ""))
    if members is None:
        raise _refused(f"Step '{step}' has a condition of the type {condition.get('Type')!r}.")
    for member in members:
        if member not in condition:
            raise _refused(f"A condition of step '{step}' lacks {member}.")
    inner = condition.get("Conditions", []) + ([condition["Condition"]] if "Condition" in condition else [])
    for one in inner:
        _check_condition(step, one)


def _check_shape(step: str, members: Mapping[str, Any], value: Mapping[str, Any]) -> None:
    """Raises for members that the API does not have, and where it wants an object or a list and gets something else."""
    for name, held in value.items():
        if name not in members:
            raise _refused(f"Unknown Argument member '{name}'.")
        shape = members[name]
        if shape is None or held is None or (isinstance(held, dict) and set(held) & FUNCTIONS):
            continue
        if shape.type_name == "structure":
            _check_shape(step, shape.members, _object(held, f"{name} of step '{step}'"))
        elif shape.type_name == "map":
            _object(held, f"{name} of step '{step}'")
        elif shape.type_name == "list":
            for item in _array(held, f"{name} of step '{step}'"):
                if shape.member.type_name == "structure" and not (
                    isinstance(item, dict) and set(item) & FUNCTIONS
                ):
                    _check_shape(step, shape.member.members, _object(item, f"{name} of step '{step}'"))


def _check_order(definition: Definition) -> None:
    """Raises where steps wait for each other."""
    waiting = {
        step.name: {*step.after, *step.uses, *([step.within] if step.within else [])}
        for step in definition.steps.values()
    }
    while free := [name for name, others in waiting.items() if not others & set(waiting)]:
        for name in free:
            del waiting[name]
    if waiting:
        raise _refused(f"Steps wait for each other: {', '.join(sorted(waiting))}.")
