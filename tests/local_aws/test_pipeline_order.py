"""What may begin when: every step once, after what it waits for, and to an end."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.local_aws.pipeline_definition import Definition, Step
from kit.local_aws.pipeline_order import ended, next_steps


def definition(*steps: Step) -> Definition:
    return Definition({}, {step.name: step for step in steps})


def step(name: str, kind: str = "Model", **more: Any) -> Step:
    return Step(name, kind, {}, **more)


@st.composite
def pipelines(draw: Any) -> Definition:
    """A pipeline whose steps depend on earlier ones, some of them in branches."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 8))):
        names = [one.name for one in steps]
        conditions = [one.name for one in steps if one.type == "Condition"]
        pick = st.lists(st.sampled_from(names), max_size=2, unique=True) if names else st.just([])
        steps.append(
            step(
                f"s{number}",
                draw(st.sampled_from(["Model", "Condition"])),
                within=draw(st.sampled_from(["", *conditions])),
                branch=draw(st.booleans()),
                uses=frozenset(draw(pick)),
                after={
                    name: draw(st.sampled_from(["Completed", "Failed", "Stopped", "Any"]))
                    for name in draw(pick)
                },
            )
        )
    return definition(*steps)


@settings(max_examples=300)
@given(pipelines(), st.data())
def test_every_step_begins_once_after_what_it_waits_for(pipeline: Definition, data: Any) -> None:
    states: dict[str, str] = {}
    outcomes: dict[str, bool] = {}
    begun: list[str] = []
    while True:
        ready, skipped = next_steps(pipeline, states, outcomes)
        assert not set(skipped) & set(states)
        states |= dict.fromkeys(skipped, "Skipped")
        if not ready:
            break
        one = data.draw(st.sampled_from(ready))
        begun.append(one.name)
        assert all(states[name] == "Succeeded" for name in one.uses)
        assert all(states[name] in ("Succeeded", "Failed", "Stopped") for name in one.after)
        assert not one.within or outcomes[one.within] is one.branch
        states[one.name] = data.draw(st.sampled_from(["Succeeded", "Succeeded", "Failed", "Stopped"]))
        if one.type == "Condition" and states[one.name] == "Succeeded":
            outcomes[one.name] = data.draw(st.booleans())
    assert len(begun) == len(set(begun))
    status = ended(pipeline, states)
    if status != "Failed":  # everything came to something
        assert set(states) == set(pipeline.steps)
    bad = {"Failed", "Stopped"} & set(states.values())
    assert (status == "Succeeded") == (not bad)


def test_a_failure_that_nobody_waits_for_lets_nothing_new_begin() -> None:
    pipeline = definition(step("a"), step("b"), step("c", after={"a": "Completed"}))
    assert next_steps(pipeline, {"a": "Failed"}, {}) == ([], ["c"])
    assert ended(pipeline, {"a": "Failed", "c": "Skipped"}) == "Failed"


def test_a_failure_that_a_step_waits_for_is_handled() -> None:
    tell = step("tell", after={"a": "Failed"})
    pipeline = definition(step("a"), step("b", after={"a": "Completed"}), tell)
    assert next_steps(pipeline, {"a": "Failed"}, {}) == ([tell], ["b"])
    done = {"a": "Failed", "b": "Skipped", "tell": "Succeeded"}
    assert ended(pipeline, done) == "CompletedWithFailures"


def test_the_branch_that_is_not_taken_and_what_needs_it_never_begin() -> None:
    gate = step("gate", "Condition")
    yes, no = step("yes", within="gate"), step("no", within="gate", branch=False)
    pipeline = definition(gate, yes, no, step("after", uses=frozenset(["no"])))
    assert next_steps(pipeline, {}, {}) == ([gate], [])
    assert next_steps(pipeline, {"gate": "Succeeded"}, {"gate": True}) == ([yes], ["no", "after"])
