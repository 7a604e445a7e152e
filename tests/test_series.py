"""How recorded figures went over the days."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from fixtures import story

from kit import board as boards
from kit import series
from kit.journal import Event

PLAN = story.plan()
DAYS = [dt.datetime(2026, 12, day, 9, tzinfo=PLAN.event.zone) for day in (1, 2, 3)]


@pytest.fixture
def told() -> story.Story:
    return story.Story()


def over_days(told: story.Story, teams: tuple[str, ...] = ()) -> tuple[series.Series, ...]:
    def day_of(event: Event) -> int:
        return event.ts.day

    return series.over_days(boards.fold(dataclasses.replace(PLAN, teams=teams), told.events), day_of)


def test_a_figure_is_told_apart_by_its_name_within_a_workstream(told: story.Story) -> None:
    told.complete(DAYS[0], "M1", metrics={"auc": 0.8, "trees": 100})
    told.complete(DAYS[0], "D1", metrics={"auc": 0.1})
    told.complete(DAYS[2], "M5", metrics={"auc": 0.79})
    told.complete(DAYS[1], "M2", metrics={"auc": 0.82})
    (auc,) = over_days(told)
    assert (auc.lane, auc.team, auc.name) == ("model_engineering", "", "auc")
    assert [(v.day, v.card, v.value) for v in auc.values] == [
        (1, "M1", 0.8),
        (2, "M2", 0.82),
        (3, "M5", 0.79),
    ]
    assert [v.value for v in auc.on(2)] == [0.82]


def test_each_team_has_a_line_of_its_own_in_the_plans_order(told: story.Story) -> None:
    for team in ("red", "blue"):
        for day in DAYS[:2]:
            told.complete(day, "M1", metrics={"auc": 0.8})
            told.events[-1] = dataclasses.replace(told.events[-1], team=team)
    assert [(one.team, len(one.values)) for one in over_days(told, ("red", "blue"))] == [
        ("red", 2),
        ("blue", 2),
    ]


def test_a_run_without_evidence_measures_nothing(told: story.Story) -> None:
    bad = [{"check": "It holds", "ok": False, "got": "1", "expected": "0"}]
    for _ in range(2):
        told.complete(DAYS[0], "M1", metrics={"auc": 0.8}, checks=bad)
        told.complete(DAYS[0], "M2", metrics={"auc": 0.8}, sha256="")
        told.complete(DAYS[0], "M3", metrics={"auc": 0.8}, checks=[])
    assert over_days(told) == ()


@pytest.mark.parametrize("value", [True, None, "0.8", [], float("nan"), float("inf"), 1e301])
def test_what_is_no_number_makes_no_line(told: story.Story, value: Any) -> None:
    for day in DAYS:
        told.complete(day, "M1", metrics={"auc": value})
    assert over_days(told) == ()


@pytest.mark.parametrize("metrics", [None, 7, ["auc"]])
def test_figures_that_are_no_mapping_are_none(told: story.Story, metrics: Any) -> None:
    for day in DAYS:
        told.complete(day, "M1", metrics=metrics)
    assert over_days(told) == ()
