"""What the room's screen shows of a board."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from fixtures import story

from kit import board, picture
from kit import plan as plans

NOON = dt.datetime(2026, 12, 2, 11, tzinfo=dt.UTC)  # 12:00 in Berlin
CEREMONIES = (
    plans.Subtask("S2a", "Standup", "runbooks/standup.ipynb", 2, 15, at="09:30", workstream=plans.EVENT),
    plans.Subtask("S2p", "Standup of the evening", "runbooks/standup.ipynb", 2, 15, at="16:00", workstream=plans.EVENT),
    plans.Subtask("S3a", "Standup of day 3", "runbooks/standup.ipynb", 3, 15, at="09:30", workstream=plans.EVENT),
)  # fmt: skip
PLAN = dataclasses.replace(story.plan(), ceremonies=CEREMONIES)


class Told(story.Story):
    """A story in minutes before noon of day 2."""

    def say(self, ago: float, type: str, card: str = "", team: str = "", **data: Any) -> None:
        self.tell(NOON - dt.timedelta(minutes=ago), type, card, **data)
        self.events[-1] = dataclasses.replace(self.events[-1], team=team)

    def shown(
        self, plan: plans.Plan = PLAN, now: dt.datetime = NOON + dt.timedelta(seconds=1)
    ) -> picture.Picture:
        return picture.of(plan, board.fold(plan, self.events, now=now), now)


def lane(shown: picture.Picture, title: str) -> picture.Lane:
    (found,) = [lane for lane in shown.lanes if lane.title == title]
    return found


def ids(lane: picture.Lane, state: str) -> list[str]:
    return [tile.id for tile in lane.cells[state]]


def test_it_has_a_lane_for_each_workstream_and_every_card_once() -> None:
    shown = Told().shown()
    assert [lane.title for lane in shown.lanes] == [
        "Foundations",
        "Data engineering",
        "Model engineering",
        "MLOps",
    ]
    assert [sum(len(tiles) for tiles in lane.cells.values()) for lane in shown.lanes] == [3, 6, 7, 6]
    assert (shown.total, shown.counts["To do"], shown.day, shown.clock) == (22, 22, 2, "12:00")
    assert shown.date == "Wed 2 December"


def test_ceremonies_are_times_and_no_cards_but_the_cards_of_the_event_are() -> None:
    told = Told()
    told.say(200, "started", "S2a")
    assert told.shown().lanes[0].title == "Foundations"
    told.say(100, "added", "A-1-1", title="Ask for the quota", workstream="event", day=2)
    assert ids(lane(told.shown(), "The event"), "To do") == ["A-1-1"]
    told.complete(NOON, "A-1-1")
    assert "The event" not in [lane.title for lane in told.shown().lanes], "nothing is left to do in it"


def test_of_what_is_done_the_newest_is_shown() -> None:
    told = Told()
    for n, card in enumerate(PLAN.subtasks):
        told.complete(NOON - dt.timedelta(minutes=60 - n), card.id)
    model = lane(told.shown(), "Model engineering")
    assert (ids(model, "Done"), model.more) == (["M7", "M6", "M5", "M4", "M3", "M2"], 1)
    assert (model.done, model.total) == (7, 7)


def test_a_blocked_card_tells_reason_hours_and_who_can_help_the_longest_first() -> None:
    told = Told()
    told.say(90, "blocked", "M2", reason="No key", unblocker="")
    told.say(125, "blocked", "M1", reason="No quota", unblocker="Quota desk")
    first, second = lane(told.shown(), "Model engineering").cells["Blocked"]
    assert (first.id, first.reason, first.unblocker, first.teams[0].time) == (
        "M1",
        "No quota",
        "Quota desk",
        "2 h 05 min",
    )
    assert (second.id, second.unblocker) == ("M2", "")


def test_a_card_that_is_under_way_for_longer_than_planned_is_marked() -> None:
    told = Told()
    told.say(170, "started", "D1")
    told.say(10, "started", "M1")
    (old,), (new,) = (
        lane(told.shown(), title).cells["Doing"] for title in ("Data engineering", "Model engineering")
    )
    assert (old.old, old.late, old.teams[0].time) == (True, True, "2 h 50 min")
    assert (new.old, new.fresh) == (False, False)


def test_what_moved_just_now_is_marked_and_told_first() -> None:
    told = Told()
    told.say(30, "started", "D1")
    told.say(1, "started", "M1")
    told.say(1, "noted", "D1", text="no move")
    shown = told.shown()
    assert lane(shown, "Model engineering").cells["Doing"][0].fresh
    assert not lane(shown, "Data engineering").cells["Doing"][0].fresh
    assert [move[:3] for move in shown.latest] == [("11:59", "M1", "Doing"), ("11:30", "D1", "Doing")]


def test_a_failed_run_and_a_helper_are_shown() -> None:
    told = Told()
    told.say(30, "claimed", "D1", owner="ann")
    told.say(29, "claimed", "D1", owner="bob")
    told.say(20, "failed", "D1", run="x", cell="check", error="CheckFailed", message="17 rows")
    (tile,) = lane(told.shown(), "Data engineering").cells["Doing"]
    assert (tile.failed, tile.teams[0].who) == (True, "ann +1")


def test_what_is_next_and_what_could_start_are_told_apart_from_what_waits() -> None:
    told = Told()
    told.complete(NOON - dt.timedelta(hours=1), "S2a")
    free = lane(told.shown(dataclasses.replace(PLAN, subtasks=_needless(PLAN))), "MLOps")
    assert free.next == "O1"
    assert free.ready == {"O1", "O2", "O3", "O4", "O5", "O6"}
    waiting = lane(told.shown(), "MLOps")
    assert (waiting.next, waiting.ready) == ("", frozenset())


def _needless(plan: plans.Plan) -> tuple[plans.Subtask, ...]:
    return tuple(dataclasses.replace(s, needs=()) for s in plan.subtasks)


def test_more_cards_in_doing_than_the_limit_is_said() -> None:
    limited = dataclasses.replace(
        PLAN, workstreams=tuple(dataclasses.replace(w, wip=1) for w in PLAN.workstreams)
    )
    told = Told()
    told.say(20, "started", "D1")
    assert lane(told.shown(limited), "Data engineering").over == ""
    told.say(20, "started", "D2")
    assert lane(told.shown(limited), "Data engineering").over == "2 in Doing, limit 1"


def test_the_ceremony_under_way_or_else_the_next_one() -> None:
    told = Told()

    def at(day: int, clock: str) -> picture.Moment | None:
        now = dt.datetime.combine(PLAN.event.dates[day - 1], dt.time.fromisoformat(clock), PLAN.event.zone)
        return told.shown(now=now).moment

    assert at(2, "09:00") == picture.Moment("09:30", "Standup", "in 30 min")
    assert at(2, "09:40") == picture.Moment("Now", "Standup", "since 09:30")
    assert at(2, "09:45") == picture.Moment("16:00", "Standup of the evening", "in 6 h 15 min")
    assert at(2, "17:00") == picture.Moment("Thu 3 Dec 09:30", "Standup of day 3", "")
    assert at(3, "10:00") is None
    told.complete(NOON, "S2a")
    assert at(2, "09:40") == picture.Moment("16:00", "Standup of the evening", "in 6 h 20 min")


def test_a_rehearsal_weeks_before_shows_the_first_day_with_work_left() -> None:
    told, now = Told(), dt.datetime(2026, 11, 10, 9, tzinfo=dt.UTC)
    shown = told.shown(now=now)
    assert (shown.day, shown.date, shown.pace) == (1, "rehearsal, 10 November", "")
    assert shown.burn_up is None
    for card in PLAN.subtasks:
        if card.day == 1:
            told.complete(now, card.id)
    assert told.shown(now=now).day == 1, "O2 is in Review"
    told.tell(now, "accepted", "O2", evidence="seen")
    assert told.shown(now=now + dt.timedelta(minutes=5)).day == 2


def test_teams_share_a_tile_but_not_a_blocked_one() -> None:
    teams = dataclasses.replace(PLAN, teams=("blue", "green", "red"))
    told = Told()
    told.say(70, "started", "D1", "blue")
    told.say(30, "started", "D1", "red")
    for team in teams.teams:
        told.say(20, "started", "M1", team)
    told.say(10, "blocked", "M1", "blue", reason="no key")
    told.say(5, "blocked", "M1", "red", reason="no quota")
    shown = told.shown(teams)
    data, model = lane(shown, "Data engineering"), lane(shown, "Model engineering")
    assert (data.total, shown.total) == (18, 66)
    (doing,) = data.cells["Doing"]
    assert [(team.name, team.time) for team in doing.teams] == [("blue", "1 h 10 min"), ("red", "30 min")]
    assert [team.name for team in data.cells["To do"][0].teams] == ["green"]
    assert [(t.teams[0].name, t.reason) for t in model.cells["Blocked"]] == [
        ("blue", "no key"),
        ("red", "no quota"),
    ]
    assert ids(model, "Doing") == ["M1"]
    assert shown.latest[0][1] == "M1@red"


def test_the_pace_says_what_it_takes_today() -> None:
    told = Told()
    told.complete(NOON, "F1")
    assert told.shown().pace.startswith("1 of 15 cards planned up to today are done; the plan has ")
    assert told.shown().pace.endswith(" It takes 2.8 an hour to finish today.")


def test_an_empty_column_is_narrow_and_a_crowded_one_wide() -> None:
    told = Told()
    assert told.shown().widths == {"To do": 56.0, "Doing": 8, "Blocked": 8, "Review": 8, "Done": 8}
    told.say(5, "blocked", "M1", reason="a")
    told.say(5, "started", "D1")
    one = told.shown().widths
    for card in ("D2", "D3", "D4"):
        told.say(5, "started", card)
    many = told.shown().widths
    assert one["Blocked"] > one["Doing"] > one["To do"]
    assert many["Doing"] > many["Blocked"]
    for widths in (one, many):
        assert 99.8 <= picture.LANE + sum(widths.values()) <= 100.2


def test_endless_text_is_cut_and_on_one_line() -> None:
    told = Told()
    told.say(5, "blocked", "M1", reason="no\nquota " * 5_000, unblocker="desk " * 5_000)
    (tile,) = lane(told.shown(), "Model engineering").cells["Blocked"]
    assert tile.reason.startswith("no quota no quota")
    assert tile.reason.endswith("…")
    assert (len(tile.reason), len(tile.unblocker)) == (200, 80)
