"""Which MLOps framework to build on: `frameworks.yml` read, scored and decided on; requests of `orchestrator.yml` checked. Plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import yaml
from botocore.exceptions import UnknownServiceError

from kit.errors import PlanError, UsageError, did_you_mean

__all__ = [
    "Decision",
    "Frameworks",
    "Score",
    "decision",
    "gaps",
    "read",
    "request_problems",
    "required_keys",
    "scores",
    "unknown_calls",
]

Frameworks = dict[str, Any]
"""What `frameworks.yml` holds: weights, worth, options, capabilities."""

FIELDS = ("area", "title", "priority", "criteria", "role", "size", "minutes", "shown_by")
"""What a capability says besides one entry for each option."""


@dataclass(frozen=True)
class Score:
    """How much of what is needed an option has: `share` from 0 to 1, by weight; `lacks` the musts that it has not in full."""

    share: float
    lacks: tuple[str, ...]
    maintained: bool


@dataclass(frozen=True)
class Decision:
    """`what` is adopt, fork or replace; `by` the option to build on; `reasons` one sentence each."""

    what: str
    by: str
    reasons: tuple[str, ...]


def read(file: Path) -> Frameworks:
    """The frameworks in `file`.

    Raises:
        PlanError: a priority or a score is not known, a capability lacks a field or an option; the message names the place.
    """
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    for id, capability in found["capabilities"].items():
        where = f"{file.name} › {id}"
        for field in (*FIELDS, *found["options"]):
            if field not in capability:
                raise PlanError(
                    f'{where}: "{field}" is missing.', "Fill it in, as the capabilities around it do."
                )
        if unknown := set(capability) - {*FIELDS, *found["options"]}:
            raise PlanError(
                f"{where}: unknown key {sorted(unknown)[0]!r}.", "An option has to be under options as well."
            )
        _one_of(capability["priority"], found["weights"], f"{where} › priority")
        for option in found["options"]:
            entry = capability[option]
            if (
                not isinstance(entry, list)
                or not 2 <= len(entry) <= 3
                or not all(isinstance(e, str) for e in entry)
            ):
                raise PlanError(f"{where} › {option}: expected [score, evidence, call].", f"Got {entry!r}.")
            _one_of(entry[0], found["worth"], f"{where} › {option}")
    return dict(found)


def _one_of(value: Any, known: Iterable[str], where: str) -> None:
    if value not in list(known):
        raise PlanError(f'{where}: unknown word "{value}".', did_you_mean(str(value), list(known)))


def scores(frameworks: Frameworks) -> dict[str, Score]:
    """The score of each option."""
    return {option: _score(frameworks, option) for option in frameworks["options"]}


def _score(frameworks: Frameworks, option: str) -> Score:
    weights, worth = frameworks["weights"], frameworks["worth"]
    capabilities = frameworks["capabilities"]
    whole = sum(weights[c["priority"]] for c in capabilities.values())
    held = sum(weights[c["priority"]] * worth[c[option][0]] for c in capabilities.values())
    lacks = [id for id, c in capabilities.items() if c["priority"] == "must" and c[option][0] != "has"]
    return Score(held / whole if whole else 0.0, tuple(lacks), frameworks["options"][option]["maintained"])


def gaps(frameworks: Frameworks, option: str) -> list[str]:
    """Capabilities that somebody needs and that `option` does not have in full, the musts first."""
    _known(frameworks, option)
    open = {
        id: c
        for id, c in frameworks["capabilities"].items()
        if c["priority"] != "wont" and c[option][0] != "has"
    }
    order = list(frameworks["weights"])
    return sorted(open, key=lambda id: (order.index(open[id]["priority"]), list(open).index(id)))


def decision(frameworks: Frameworks, option: str, fork_from: float) -> Decision:
    """Whether to adopt `option` as it is, to fork it, or to replace it, and by what.

    Adopt: it is maintained and has every must. Fork: it may be changed (its licence is one, not "a service"), and it has
    at least `fork_from` of what is needed, by weight. Else replace, by the maintained option with the highest share; of two
    with the same share by the one that lacks fewer musts, then by the one that is named first.

    Raises:
        UsageError: there is no such option.
    """
    _known(frameworks, option)
    known, about = scores(frameworks), frameworks["options"][option]
    mine = known[option]
    reasons = [
        f"{about['title']} is {'maintained' if mine.maintained else 'not maintained'}: {about['status']}."
    ]
    reasons.append(
        f"It has {mine.share:.0%} of what is needed, by weight, and lacks {len(mine.lacks)} musts."
    )
    if mine.maintained and not mine.lacks:
        return Decision("adopt", option, tuple(reasons))
    service = about["license"].startswith("a service")
    if mine.share >= fork_from and not service:
        reasons.append(
            f"Its licence, {about['license']}, lets you keep it going yourselves; that work is now yours."
        )
        return Decision("fork", option, tuple(reasons))
    others = [id for id, score in known.items() if score.maintained and id != option]
    if not others:
        raise PlanError(
            "Nothing can replace it: no other option is maintained.", "Add one to frameworks.yml."
        )
    best = max(others, key=lambda id: (known[id].share, -len(known[id].lacks), -others.index(id)))
    reasons.append(
        f"{frameworks['options'][best]['title']} has {known[best].share:.0%} and lacks {len(known[best].lacks)} musts."
    )
    if service:
        reasons.append("A service cannot be forked.")
    else:
        reasons.append(f"A fork would pay from {fork_from:.0%} on.")
    return Decision("replace", best, tuple(reasons))


def _known(frameworks: Frameworks, option: str) -> None:
    if option not in frameworks["options"]:
        raise UsageError(f'There is no option "{option}".', did_you_mean(option, list(frameworks["options"])))


def unknown_calls(frameworks: Frameworks) -> list[str]:
    """API calls that evidence names and that AWS does not have, by the service models that botocore ships."""
    session = botocore.session.get_session()
    operations: dict[str, list[str]] = {}
    wrong = []
    for id, capability in frameworks["capabilities"].items():
        for option in frameworks["options"]:
            for call in capability[option][2:]:
                service, _, name = call.partition(":")
                if service not in operations:
                    try:
                        operations[service] = session.get_service_model(service).operation_names
                    except UnknownServiceError:
                        operations[service] = []
                if name not in operations[service]:
                    wrong.append(f"{id}, {option}: {call}")
    return wrong


def required_keys(
    rules: Mapping[str, Any], type: str, problem: str = "", registry: bool = False
) -> list[str]:
    """The keys that a request of `type` must have besides pipeline_type.

    Args:
        rules: what `orchestrator.yml` holds.
        type: one of its types.
        problem: the request's problem_type, where the type asks for one.
        registry: whether the orchestrator was installed with the model registry.
    """
    rule = rules["types"][type]
    keys = [key for name in rule.get("sets", []) for key in rules["sets"][name]] + rule.get("keys", [])
    keys += rule.get("by_problem", {}).get(problem, [])
    return keys + ((rules["sets"]["registry"] if registry else rule["model"]) if "model" in rule else [])


def request_problems(rules: Mapping[str, Any], request: Any, registry: bool = False) -> list[str]:
    """What the orchestrator would refuse in a request: each problem one line; none, an empty list.

    A key that is left out, empty, or given for some stages only is a problem; a key more is none, as the orchestrator reads
    what it knows.
    """
    if not isinstance(request, dict):
        return [f"a request is an object, not {type(request).__name__}"]
    kind = request.get("pipeline_type")
    if not isinstance(kind, str) or kind not in rules["types"]:
        return [f'pipeline_type "{kind}" is unknown. {did_you_mean(str(kind), list(rules["types"]))}']
    problem = request.get("problem_type")
    found = []
    keys = required_keys(rules, kind, problem if isinstance(problem, str) else "", registry)
    for key in keys:
        value = request.get(key)
        if value in (None, "", {}, []):
            found.append(f"{key} is missing")
        elif isinstance(value, dict) and set(value) & set(rules["stages"]):
            found += [f"{key} has no value for {s}" for s in rules["stages"] if not value.get(s)]
    if "problem_type" in keys and problem and problem not in rules["problems"]:
        found.append(f'problem_type "{problem}" is unknown. {did_you_mean(str(problem), rules["problems"])}')
    return found
