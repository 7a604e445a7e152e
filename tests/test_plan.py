from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kit import plan
from kit.errors import PlanError, UsageError

RAW: dict[str, Any] = {
    "event": {"name": "An event", "dates": ["2026-12-01", "2026-12-02"]},
    "workstreams": [{"id": "mlops", "title": "MLOps"}],
    "data": {"target": "y"},
    "subtasks": [
        {
            "id": "A",
            "title": "First",
            "workstream": "mlops",
            "notebook": "mlops/a.ipynb",
            "day": 1,
            "minutes": 5,
        },
        {
            "id": "B",
            "title": "Second",
            "workstream": "mlops",
            "notebook": "mlops/b.ipynb",
            "day": 2,
            "minutes": 5,
            "needs": ["A"],
        },
    ],
}


def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        yaml.safe_dump(RAW).replace("'2026-12-01'", "2026-12-01").replace("'2026-12-02'", "2026-12-02")
    )
    return loaded


def test_the_shipped_plan_holds_together() -> None:
    shipped = plan.load(Path(__file__).parent.parent / "runbooks" / "plan.yml")
    assert [w.id for w in shipped.workstreams] == [
        "foundations",
        "data_engineering",
        "model_engineering",
        "mlops",
    ]
    assert len(shipped.event.dates) == 3


def test_reads_values_as_their_types() -> None:
    loaded = plan.read(raw())
    assert loaded["B"].needs == ("A",)
    assert loaded.event.dates[0].isoformat() == "2026-12-01"
    assert loaded.data.positive == "1"


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    other = copy.deepcopy(raw())
    change(other)
    return other


BROKEN = {
    "unknown key": (lambda r: r["event"].update(nmae="x"), 'unknown key "nmae"', 'Did you mean "name"?'),
    "unknown need": (lambda r: r["subtasks"][0].update(needs=["C"]), 'no card "C"', "Known: A, B."),
    "cycle": (lambda r: r["subtasks"][0].update(needs=["B"]), "circle", "Remove one"),
    "day out of range": (lambda r: r["subtasks"][0].update(day=3), "day: 3", "add a date"),
    "wrong type": (lambda r: r["subtasks"][0].update(day="one"), "expected int", "Correct"),
    "missing key": (lambda r: r["subtasks"][0].pop("title"), '"title" is missing', "default"),
    "same id twice": (lambda r: r["subtasks"][1].update(id="A", needs=[]), "used 2 times", "Rename"),
    "unknown workstream": (
        lambda r: r["subtasks"][0].update(workstream="mlop"),
        'no "mlop"',
        'Did you mean "mlops"?',
    ),
    "no dates": (lambda r: r["event"].update(dates=[]), "dates", "one date"),
    "hours backwards": (lambda r: r["event"].update(hours=["17:00", "09:00"]), "hours", "09:00"),
    "no such zone": (lambda r: r["event"].update(time_zone="Mars/Olympus"), "time zone", "Europe/Berlin"),
    "unknown problem": (lambda r: r["data"].update(problem="regresion"), "regresion", '"regression"'),
    "short account": (lambda r: r.update(aws={"account": "123"}), "twelve digits", "Quote"),
    "subnets without groups": (
        lambda r: r.update(aws={"subnets": ["subnet-0a"]}),
        "no security_groups",
        "both or none",
    ),
    "a group that is none": (
        lambda r: r.update(aws={"subnets": ["subnet-0a"], "security_groups": ["default"]}),
        'security_groups: "default" is no id',
        "begin with sg-",
    ),
    "not a list": (lambda r: r.update(subtasks={"A": 1}), "expected a list", "[a, b]"),
    "no clock time": (lambda r: r["subtasks"][0].update(at="9:30"), '"9:30" is no clock time', 'at: "09:30"'),
    "unquoted clock time": (lambda r: r["subtasks"][0].update(at=990), '"990" is no clock time', "in quotes"),
    "a time of no day": (lambda r: r["subtasks"][0].update(at="24:00"), "no clock time", "09:30"),
    "negative limit": (lambda r: r["workstreams"][0].update(wip=-1), "wip: -1", "0 means"),
    "unknown key of a lane": (lambda r: r["workstreams"][0].update(wib=1), '"wib"', 'Did you mean "wip"?'),
    "team twice": (lambda r: r.update(teams=["blue", "blue"]), 'team "blue" is used 2 times', "Rename"),
    "team no name takes": (lambda r: r.update(teams=["Blue!"]), '"Blue!"', "small letters"),
    "teams as text": (lambda r: r.update(teams="blue"), "expected a list", "[a, b]"),
    "id with a team": (lambda r: r["subtasks"][0].update(id="A@blue"), '"A@blue" cannot name', "Use letters"),
    "no minutes": (
        lambda r: r["subtasks"][0].update(minutes=0),
        "minutes: 0 is not in 1 to 100,000",
        "planned",
    ),
    "too many minutes": (lambda r: r["subtasks"][0].update(minutes=10**13), "is not in 1 to", "planned"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plan_says_where_and_what_to_do(name: str) -> None:
    change, message, hint = BROKEN[name]
    with pytest.raises(PlanError) as caught:
        plan.read(changed(change))
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("content", ["event: [", "just text", "", "\x00", "- a\n- b"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "plan.yml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(PlanError):
        plan.load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"gone\.yml"):
        plan.load(tmp_path / "gone.yml")


def test_an_unknown_card_is_answered_with_the_closest() -> None:
    with pytest.raises(UsageError, match='no card "a"'):
        plan.read(raw())["a"]


@given(st.data())
def test_the_order_puts_every_card_after_its_needs(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    order = data.draw(st.permutations(range(count)))
    needs = {f"C{n}": [f"C{m}" for m in range(n) if data.draw(st.booleans())] for n in range(count)}
    subtasks = [
        dict(RAW["subtasks"][0], id=f"C{n}", needs=needs[f"C{n}"], day=data.draw(st.integers(1, 2)))
        for n in order
    ]
    placed = [c.id for c in plan.read({**raw(), "subtasks": subtasks}).in_order()]
    assert sorted(placed) == sorted(needs)
    for id, before in needs.items():
        assert all(placed.index(need) < placed.index(id) for need in before)


def test_needed_by_is_transitive() -> None:
    subtasks = [
        dict(RAW["subtasks"][0], id=id, needs=needs) for id, needs in (("A", []), ("B", ["A"]), ("C", ["B"]))
    ]
    assert plan.read({**raw(), "subtasks": subtasks}).needed_by(["C"]) == {"A", "B"}


# Ceremonies and teams


def test_ceremonies_come_around_the_days_runbooks_by_their_clock_time() -> None:
    ceremonies = [
        {"id": id, "title": id, "notebook": "runbooks/x.ipynb", "day": day, "minutes": 5, "at": at}
        for id, day, at in (("R1", 1, "16:30"), ("S2", 2, "09:30"), ("E1", 1, "08:30"), ("S1", 1, "09:30"))
    ]
    order = [c.id for c in plan.read({**raw(), "ceremonies": ceremonies}).in_order()]
    assert order == ["E1", "S1", "A", "R1", "S2", "B"]


@given(st.lists(st.tuples(st.integers(1, 2), st.sampled_from(["", "08:30", "12:00", "16:30"])), max_size=8))
def test_needs_come_before_clock_times_and_clock_times_before_the_plans_order(
    times: list[tuple[int, str]],
) -> None:
    ceremonies = [
        {"id": f"C{n}", "title": "x", "notebook": "runbooks/x.ipynb", "day": day, "minutes": 5, "at": at}
        for n, (day, at) in enumerate(times)
    ]
    loaded = plan.read({**raw(), "ceremonies": ceremonies})
    order = [c for c in loaded.in_order() if c.workstream == plan.EVENT]
    assert order == sorted(loaded.ceremonies, key=lambda c: (c.day, c.at or "12:00"))


def with_teams() -> plan.Plan:
    lanes = [{"id": "mlops", "title": "MLOps", "wip": 3}, {"id": "base", "title": "Base", "shared": True}]
    shared = dict(RAW["subtasks"][0], id="F", workstream="base")
    held = dict(RAW["subtasks"][0], id="S", workstream="mlops")
    changes = {"teams": ["blue", "green"], "workstreams": lanes, "ceremonies": [held]}
    return plan.read({**raw(), **changes, "subtasks": [*raw()["subtasks"], shared]})


def test_each_team_does_the_subtasks_except_ceremonies_and_shared_workstreams() -> None:
    loaded = with_teams()
    assert {c.id: loaded.teams_of(c) for c in loaded.cards} == {
        "A": ("blue", "green"),
        "B": ("blue", "green"),
        "F": ("",),
        "S": ("",),
    }
    assert (loaded.team_of(loaded["A"], "blue"), loaded.team_of(loaded["F"], "blue")) == ("blue", "")
    assert loaded.team_of(loaded["F"], "") == ""
    assert plan.read(raw()).teams_of(plan.read(raw())["A"]) == ("",)


@pytest.mark.parametrize(
    ("team", "message", "hint"),
    [("", "done by each team: blue, green", "KIT_TEAM=blue"), ("gren", 'no team "gren"', '"green"')],
)
def test_whose_card_it_is_has_to_be_said(team: str, message: str, hint: str) -> None:
    loaded = with_teams()
    with pytest.raises(UsageError, match=message) as refused:
        loaded.team_of(loaded["A"], team)
    assert hint in refused.value.hint
