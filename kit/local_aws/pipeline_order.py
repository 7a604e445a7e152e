"""Which steps of a pipeline may begin, which never will, and how its execution ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kit.local_aws.pipeline_definition import Definition, Step

__all__ = ["ENDED", "ended", "next_steps"]

# What a step may have come to; "Skipped" is never shown.
ENDED = ("Succeeded", "Failed", "Stopped", "Skipped")
LEADS = {  # which outcome of a step satisfies a trigger
    "Completed": ("Succeeded",),
    "Failed": ("Failed",),
    "Stopped": ("Stopped",),
    "Any": ("Succeeded", "Failed", "Stopped"),
}


def next_steps(
    definition: Definition, states: Mapping[str, str], outcomes: Mapping[str, bool]
) -> tuple[list[Step], list[str]]:
    """The steps that may begin now, and the names of those that never will.

    states: of the steps that were begun or skipped; outcomes: of the condition steps that succeeded. After a failure that no step
    waits for, nothing new begins; what runs goes on.
    """
    known, skipped = dict(states), list[str]()
    ready: list[Step] = []
    while True:
        found = {
            step.name: _may_begin(step, known, outcomes)
            for step in definition.steps.values()
            if step.name not in known
        }
        never = [name for name, may in found.items() if may is False]
        ready = [definition.steps[name] for name, may in found.items() if may]
        if not never:
            break
        known |= dict.fromkeys(never, "Skipped")
        skipped += never
    return ([] if _unhandled(definition, states) else ready), skipped


def _may_begin(step: Step, states: Mapping[str, str], outcomes: Mapping[str, bool]) -> bool | None:
    """Whether a step may begin; None while that is open."""
    open_ = False
    if step.within:
        if states.get(step.within) in ENDED:
            if outcomes.get(step.within) is not step.branch:
                return False
        else:
            open_ = True
    needed = {**dict.fromkeys(step.uses, "Completed"), **step.after}
    for name in step.uses:  # its properties are there only if it succeeded, whatever DependsOn says
        needed[name] = "Completed"
    for name, trigger in needed.items():
        state = states.get(name)
        if state in ENDED:
            if state not in LEADS[trigger]:
                return False
        else:
            open_ = True
    return None if open_ else True


def _unhandled(definition: Definition, states: Mapping[str, str]) -> list[str]:
    """Steps that failed or were stopped without a step that waits for just that."""
    waited = {
        (name, state)
        for step in definition.steps.values()
        for name, trigger in step.after.items()
        for state in LEADS[trigger]
    }
    bad = ("Failed", "Stopped")
    return [name for name, state in states.items() if state in bad and (name, state) not in waited]


def ended(definition: Definition, states: Mapping[str, str]) -> str:
    """The status of an execution of which nothing runs any more and nothing may begin."""
    if _unhandled(definition, states):
        return "Failed"
    return "CompletedWithFailures" if {"Failed", "Stopped"} & set(states.values()) else "Succeeded"
