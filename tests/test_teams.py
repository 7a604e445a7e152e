"""Several teams that do the same subtasks: whose card an event moves, what waits for what, and whose things are whose."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from fixtures import story
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import board, journal
from kit.cards import BLOCKED, DOING, DONE, TODO, Board, Card
from kit.errors import UsageError
from kit.plan import Plan

ALONE = story.plan()
PLAN = dataclasses.replace(
    ALONE,
    teams=("blue", "green"),
    workstreams=tuple(dataclasses.replace(w, shared=w.id == "foundations") for w in ALONE.workstreams),
)
START = dt.datetime(2026, 12, 1, 9, tzinfo=PLAN.event.zone)


class Told(story.Story):
    """A story of teams, whose events come a minute apart."""

    def say(self, type: str, card: str, team: str = "", **data: Any) -> journal.Event:
        at = START + dt.timedelta(minutes=len(self.events))
        event = self.complete(at, card) if type == "completed" else self.tell(at, type, card, **data)
        self.events[-1] = dataclasses.replace(event, team=team)
        return self.events[-1]

    def wall(self, plan: Plan = PLAN) -> Board:
        return board.fold(plan, self.events)

    def card(self, key: str) -> Card:
        return self.wall()[key]


@pytest.fixture
def told() -> Told:
    return Told()


def test_each_team_has_a_card_of_its_own_except_of_what_all_share() -> None:
    keys = [c.key for c in board.fold(PLAN, []).cards]
    assert keys[:5] == ["E1", "F1", "F2", "F3", "D1@blue"]
    assert keys.count("D1@green") == keys.count("O6@blue") == 1
    assert len(keys) == len(set(keys)) == 1 + 3 + 2 * 19


def test_an_event_moves_the_card_of_its_team(told: Told) -> None:
    told.say("started", "D1", "blue")
    told.say("blocked", "D1", "green", reason="no access")
    assert (told.card("D1@blue").state, told.card("D1@green").state) == (DOING, BLOCKED)
    assert len(told.card("D1@blue").history) == 1


def test_what_a_team_does_on_a_shared_card_counts_for_all(told: Told) -> None:
    told.say("completed", "F1", "blue")
    assert told.card("F1").state == DONE
    assert told.card("F2").ready


def test_an_event_of_no_team_or_an_unknown_one_moves_no_teams_card(told: Told) -> None:
    told.say("started", "D1")
    told.say("started", "D1", "red")
    wall = told.wall()
    assert {c.state for c in wall.cards} == {TODO}
    assert wall.unknown == ("D1", "D1@red")


def test_a_card_waits_for_its_own_teams_cards_and_for_shared_ones(told: Told) -> None:
    assert told.card("D1@blue").waits == ("E1",)
    told.say("completed", "E1")
    told.say("completed", "D1", "blue")
    assert (told.card("D2@blue").ready, told.card("D2@green").waits) == (True, ("D1@green",))


def test_a_shared_card_waits_for_every_team(told: Told) -> None:
    told.say("added", "X1", title="Together", workstream="foundations", needs=["D1", "D2@blue"])
    assert told.card("X1").waits == ("D1@blue", "D1@green", "D2@blue")
    told.say("completed", "D1", "green")
    assert told.card("X1").waits == ("D1@blue", "D2@blue")


def test_a_team_adds_cards_for_itself_and_for_all_to_a_shared_workstream(told: Told) -> None:
    for team in ("blue", "green", "blue"):
        told.say("added", "D5-keys", team, title=f"Keys of {team}", workstream="data_engineering")
        told.say("added", "D5-roles", team, title=f"Roles, said {team}", workstream="foundations")
    told.say("started", "D5-keys", "green")
    told.say("started", "D5-roles", "green")
    assert (told.card("D5-keys@blue").state, told.card("D5-keys@green").state) == (TODO, DOING)
    assert (told.card("D5-roles").title, told.card("D5-roles").state) == ("Roles, said blue", DOING)


def test_an_added_card_never_takes_the_id_of_a_planned_one(told: Told) -> None:
    told.say("added", "D1", title="Mine", workstream="data_engineering")
    assert [c.key for c in told.wall().cards if c.id == "D1"] == ["D1@blue", "D1@green"]


def test_the_board_names_cards_by_key_and_asks_back_where_there_are_several(told: Told) -> None:
    wall = told.wall()
    assert wall["D2@green"].label == "D2@green · Process the data"
    assert wall["F1"].key == "F1"
    assert wall.of("blue")["D2"].key == "D2@blue"
    with pytest.raises(UsageError, match="2 cards D2: D2@blue, D2@green") as refused:
        wall["D2"]
    assert "KIT_TEAM=blue" in refused.value.hint
    with pytest.raises(UsageError) as refused:
        wall["D2@gren"]
    assert 'Did you mean "D2@green"?' in refused.value.hint


def test_a_teams_board_has_its_cards_and_the_shared_ones() -> None:
    keys = {c.key for c in board.fold(PLAN, []).of("blue").cards}
    assert {"E1", "F1", "D1@blue"} < keys
    assert not [key for key in keys if key.endswith("@green")]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_without_teams_in_the_plan_the_team_of_an_event_changes_nothing(seed: int) -> None:
    events = story.events(ALONE, seed=seed)
    teams = [dataclasses.replace(e, team="blue" if n % 2 else "") for n, e in enumerate(events)]
    plain, given_teams = board.fold(ALONE, events), board.fold(ALONE, teams)
    assert board.to_json(plain) == board.to_json(given_teams)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_two_teams_are_two_events_side_by_side(seed: int, chance: Any) -> None:
    """Each team's cards stand as if the team were alone, whatever the other does and in whichever order it arrives."""
    alone = {team: story.events(ALONE, seed=seed + n) for n, team in enumerate(PLAN.teams)}
    both = [
        dataclasses.replace(e, team=team, id=f"{e.id}{team}")
        for team, es in alone.items()
        for e in es
        if e.card
    ]
    chance.shuffle(both)
    wall = board.fold(PLAN, both)
    for team, events in alone.items():
        mine = {c.id: c.state for c in board.fold(ALONE, events).cards if c.workstream == "mlops"}
        assert {c.id: c.state for c in wall.cards if c.team == team and c.workstream == "mlops"} == mine
