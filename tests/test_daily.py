"""What a day of the event came to: what belongs to it, what changed, what is lost and what is next."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from pathlib import Path

import pytest
from fixtures import story
from fixtures.reading import seen

from kit import daily, report, wording
from kit import plan as plans
from kit.cards import DONE
from kit.journal import Event

PLAN = story.plan()
ZONE = PLAN.event.zone
DAY_1, DAY_2, DAY_3 = (dt.datetime(2026, 12, day, 9, tzinfo=ZONE) for day in (1, 2, 3))
REHEARSAL = dt.datetime(2026, 11, 23, 9, tzinfo=ZONE)


@pytest.fixture
def told() -> story.Story:
    return story.Story()


# What belongs to which day


def test_what_happened_on_a_date_of_the_event_belongs_to_that_day(told: story.Story) -> None:
    told.tell(DAY_1, "started", "D1")
    told.complete(DAY_2, "D1")
    told.tell(DAY_2, "noted", text="on day two")
    first = daily.content(PLAN, told.events, 1, DAY_2.replace(hour=17))
    second = daily.content(PLAN, told.events, 2, DAY_2.replace(hour=17))
    assert first.board["D1"].state == "Doing"
    assert first.at == DAY_1.replace(hour=17)
    assert second.board["D1"].state == DONE
    assert "D1" in [c.id for c in second.cards]
    assert (first.notes, [n.text for n in second.notes]) == ((), ["on day two"])
    assert "D1" not in [c.id for c in daily.content(PLAN, told.events, 3, DAY_2.replace(day=3)).cards]


def test_cards_of_earlier_days_stay_until_they_are_done(told: story.Story) -> None:
    told.complete(DAY_1, "E1")
    second = daily.content(PLAN, told.events, 2, DAY_2)
    assert "D1" in [c.id for c in second.cards]
    assert "E1" not in [c.id for c in second.cards]
    assert "8 of earlier days are still open." in wording.headline(second)


def test_a_rehearsal_belongs_to_its_cards_days(tmp_path: Path, told: story.Story) -> None:
    for card in PLAN.in_order():
        told.complete(REHEARSAL, card.id)
    told.tell(REHEARSAL, "accepted", "O2")
    first, third = (daily.content(PLAN, told.events, n, REHEARSAL) for n in (1, 3))
    assert {c.id for c in first.board.cards if c.state == DONE} == {c.id for c in PLAN.cards if c.day == 1}
    assert all(c.state == DONE for c in third.board.cards)
    assert {c.id for c in third.cards} == {c.id for c in PLAN.cards if c.day == 3}
    assert first.rehearsed == "23 November 2026"
    assert "Rehearsed on 23 November 2026, on the local AWS." in seen(
        report.day(PLAN, told.events, 1, home=tmp_path, now=REHEARSAL).read_text(encoding="utf-8")
    )


def test_the_place_is_named(told: story.Story) -> None:
    told.complete(DAY_1, "D1")
    events = [dataclasses.replace(e, target="aws") for e in told.events]
    assert daily.content(PLAN, events, 1, DAY_1).places == "in AWS account 123456789012"


# What changed


def changed(told: daily.Day) -> dict[str, list[str]]:
    return {change.what: [card.key for card in change.cards] for change in told.changes}


def test_what_changed_is_the_difference_to_the_day_before(told: story.Story) -> None:
    told.complete(DAY_1, "E1")
    told.complete(DAY_1, "D1")
    told.tell(DAY_1, "started", "M1")
    told.tell(DAY_1, "blocked", "F1", reason="no access")
    told.tell(DAY_2, "unblocked", "F1")
    told.tell(DAY_2, "failed", "D1", error="E", message="m")
    told.complete(DAY_2, "M1")
    told.tell(DAY_2, "started", "D2")
    told.tell(DAY_2, "failed", "D2", error="E", message="m")
    told.complete(DAY_2, "D2")
    told.tell(DAY_2, "started", "O1")
    told.tell(DAY_2, "blocked", "F2", reason="no quota")
    told.tell(DAY_2, "added", "X1", title="More", workstream="mlops", day=3)
    second = daily.content(PLAN, told.events, 2, DAY_2.replace(hour=17))
    assert changed(second) == {
        "Reopened": ["D1"],
        "Blocked": ["F2"],
        "Unblocked": ["F1"],
        "Done": ["D2", "M1"],
        "Started": ["O1"],
        "Added": ["X1"],
    }
    assert [card.key for card in second.mended] == ["D2"]
    assert second.finished == (2, 2)
    assert changed(daily.content(PLAN, told.events, 3, DAY_3)) == {}


def test_a_rehearsals_days_are_told_apart_by_their_cards(told: story.Story) -> None:
    told.complete(REHEARSAL, "D1")
    told.complete(REHEARSAL, "D3")
    assert changed(daily.content(PLAN, told.events, 2, REHEARSAL)) == {"Done": ["D3"]}


# What it cost


def test_a_block_costs_each_day_the_hours_that_it_lasted_on_it(told: story.Story) -> None:
    told.tell(DAY_1.replace(hour=15), "blocked", "F1", reason="no access")
    told.tell(DAY_2.replace(hour=10), "unblocked", "F1")
    told.tell(DAY_2.replace(hour=16), "blocked", "D1", reason="no quota")
    second = daily.content(PLAN, told.events, 2, DAY_2.replace(hour=16, minute=30))
    minutes = [round(time.total_seconds() / 60) for time in second.lost]
    assert minutes == [90, 120]
    lanes = {lane.id: round(lane.lost.total_seconds() / 60) for lane in second.lanes}
    assert (lanes["foundations"], lanes["data_engineering"]) == (60, 30)
    third = daily.content(PLAN, told.events, 3, DAY_3)
    assert [round(time.total_seconds() / 60) for time in third.lost] == [0, 120]


def test_cycle_times_belong_to_the_day_on_which_they_end(told: story.Story) -> None:
    told.tell(DAY_1, "started", "D1")
    told.complete(DAY_1.replace(hour=11), "D1")
    told.tell(DAY_1.replace(hour=16), "started", "D2")
    told.complete(DAY_2.replace(hour=10), "D2")
    second = daily.content(PLAN, told.events, 2, DAY_2.replace(hour=17))
    assert second.typical
    assert second.typical_before
    assert [round(t.total_seconds() / 60) for t in (second.typical[0], second.typical_before[0])] == [
        120,
        120,
    ]
    assert {lane.id for lane in second.lanes if lane.typical} == {"data_engineering"}


# What is next


def ahead(told: daily.Day) -> dict[str, list[str]]:
    return {lane: [card.key for card in cards] for lane, cards in told.ahead.items()}


def test_the_next_day_has_its_cards_and_those_still_open(told: story.Story) -> None:
    for card in PLAN.cards:
        if card.day == 1 and card.id != "D2":
            told.complete(DAY_1, card.id)
    told.tell(DAY_1, "accepted", "O2")
    first = daily.content(PLAN, told.events, 1, DAY_1.replace(hour=17))
    assert ahead(first)["data_engineering"] == ["D2", "D3", "D4"]
    waits = {card.key: card.waits for cards in first.ahead.values() for card in cards}
    assert waits["D3"] == ("D2",)
    assert waits["F2"] == ()


def test_after_the_last_day_it_has_what_is_left_open(told: story.Story) -> None:
    for card in PLAN.cards:
        if card.id != "M7":
            told.complete(DAY_3, card.id)
    told.tell(DAY_3, "accepted", "O2")
    third = daily.content(PLAN, told.events, 3, DAY_3.replace(hour=17))
    assert third.is_last
    assert ahead(third) == {"model_engineering": ["M7"]}


def test_a_ceremony_that_was_not_held_is_over_but_for_the_last_days(told: story.Story) -> None:
    held = [dataclasses.replace(PLAN["E1"], id=f"S{day}", day=day, at="09:30") for day in (1, 2, 3)]
    plan = dataclasses.replace(PLAN, ceremonies=tuple(held), subtasks=())
    assert ahead(daily.content(plan, [], 1, DAY_1)) == {"event": ["S2"]}
    assert ahead(daily.content(plan, [], 2, DAY_2)) == {"event": ["S3"]}
    assert ahead(daily.content(plan, [], 3, DAY_3)) == {"event": ["S3"]}


def test_an_action_that_is_due_after_the_event_is_not_late(told: story.Story) -> None:
    told.tell(
        DAY_3,
        "added",
        "A-3-1",
        title="Write it down",
        workstream="event",
        day=3,
        due="2026-12-17",
        owner="Ana",
    )
    third = daily.content(PLAN, told.events, 3, DAY_3.replace(hour=17))
    assert "A-3-1" not in [card.key for card in third.planned]
    assert [card.key for card in third.actions] == ["A-3-1"]
    assert third.pace
    assert third.pace.cards == len(PLAN.cards)


def test_without_a_day_the_days_so_far_are_told(told: story.Story) -> None:
    before = REHEARSAL
    assert daily.so_far(PLAN, [], before) == 1
    assert daily.so_far(PLAN, [], DAY_2) == 2
    assert daily.so_far(PLAN, [], DAY_3 + dt.timedelta(days=30)) == 3
    told.complete(before, "D3")
    assert daily.so_far(PLAN, told.events, before) == 2


# Several teams


def teams(number: int = 8) -> plans.Plan:
    return dataclasses.replace(PLAN, teams=tuple(f"team{n}" for n in range(1, number + 1)))


def test_every_team_of_a_subtask_is_shown_and_counted() -> None:
    story_ = story.Story()
    for n in (1, 2):
        story_.complete(DAY_1, "D1")
        story_.events[-1] = dataclasses.replace(story_.events[-1], team=f"team{n}")
    first = daily.content(teams(), story_.events, 1, DAY_1.replace(hour=17))
    lane = next(lane for lane in first.lanes if lane.id == "data_engineering")
    assert (lane.done, lane.planned) == (2, 16)
    assert first.teams == tuple(f"team{n}" for n in range(1, 9))
    assert changed(first) == {"Done": ["D1@team1", "D1@team2"]}
    third = daily.content(teams(), story_.events, 3, DAY_3)
    assert "D1@team1" in [card.key for card in third.cards]


# The AWS team's own retro


def with_team_retro() -> plans.Plan:
    own = dataclasses.replace(
        PLAN["E1"], id="T1", title="The AWS team's retro", notebook="runbooks/team_retro.ipynb", needs=()
    )
    after = dataclasses.replace(
        PLAN["E1"], id="C1", title="Close out", notebook="runbooks/close_out.ipynb", needs=("T1",)
    )
    return dataclasses.replace(PLAN, ceremonies=(*PLAN.ceremonies, own, after))


def secret_events() -> list[Event]:
    told = story.Story()
    secret = "SECRET of the team"
    told.complete(DAY_1, "T1", run="r1", outputs={"x": secret}, metrics={secret: 1},
                  attachments=[{"title": secret, "path": "team/retro.md"}],
                  checks=[{"check": secret, "ok": True, "got": secret, "expected": secret}])  # fmt: skip
    told.tell(DAY_1, "executed", "T1", run="r1", copy="runs/r1/T1.ipynb")
    told.tell(DAY_1, "noted", "T1", text=secret)
    told.tell(DAY_1, "blocked", "T1", reason=secret, unblocker=secret)
    told.tell(DAY_1, "failed", "T1", error=secret, message=secret)
    told.tell(DAY_1, "added", "B1", title=secret, workstream="event", source="T1")
    told.tell(DAY_1, "attached", "D1", title=secret, path="team/retro.html")
    told.tell(DAY_1, "attached", "D1", title=secret, path="./team/../team/retro.html")
    told.tell(DAY_1, "attached", "D1", title=secret, path="attachments/../team/retro.html")
    return told.events


def test_the_aws_teams_own_retro_is_never_in_it(tmp_path: Path) -> None:
    events = secret_events()
    story.executed_copies(tmp_path, [e for e in events if e.type == "executed"])
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "retro.md").write_text("SECRET")
    page = report.day(with_team_retro(), events, 1, home=tmp_path, now=DAY_1.replace(hour=17)).read_text(
        encoding="utf-8"
    )
    raw = (tmp_path / "reports" / "day-1.json").read_text(encoding="utf-8")
    for text in (page, raw):
        assert "SECRET" not in text
        assert not re.search(r"\bT1\b", text)
        assert "team/" not in text
    assert "C1" in [card["id"] for card in json.loads(raw)["cards"]]
    assert not list((tmp_path / "reports").rglob("*T1*"))
    assert "10 cards of day 1" in seen(page)
