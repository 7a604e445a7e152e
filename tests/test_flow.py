"""How work flows: samples, blocks, cycle times, ageing, limits, what is next, and the pace of a day."""

from __future__ import annotations

import dataclasses
import datetime as dt
import statistics
from typing import Any

import pytest
from fixtures import story
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import board, flow
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board
from kit.plan import Plan

PLAN = story.plan()
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)


def at(text: str) -> dt.datetime:
    """`1 09:30` is half past nine on day 1, in the event's zone; `0 ...` the day before the event."""
    day, clock = text.split()
    date = PLAN.event.dates[0] + dt.timedelta(days=int(day) - 1)
    return dt.datetime.combine(date, dt.time.fromisoformat(clock), PLAN.event.zone)


class Told(story.Story):
    def say(self, moment: str, type: str, card: str = "D1", **data: Any) -> None:
        if type == "completed":
            self.complete(at(moment), card)
        else:
            self.tell(at(moment), type, card, **data)

    def work(self, card: str, start: str, end: str) -> None:
        self.say(start, "started", card)
        self.say(end, "completed", card)

    def wall(self, now: str | None = None, plan: Plan = PLAN) -> Board:
        return board.fold(plan, self.events, now=at(now) if now else None)


@pytest.fixture
def told() -> Told:
    return Told()


# Cumulative flow


def test_nothing_happened_gives_no_samples(told: Told) -> None:
    assert flow.samples(told.wall("1 12:00")) == ()


def test_samples_stand_at_every_quarter_of_working_hours_up_to_now(told: Told) -> None:
    told.work("D1", "1 09:20", "1 10:05")
    told.say("2 09:01", "started", "D2")
    found = flow.samples(told.wall("2 09:20"))
    times = [s.at.astimezone(PLAN.event.zone) for s in found]
    assert times[:3] == [at("1 09:00"), at("1 09:15"), at("1 09:30")]
    assert times[-4:] == [at("1 17:00"), at("2 09:00"), at("2 09:15"), at("2 09:20")]
    assert len(times) == 8 * 4 + 1 + 3
    counts = {f"{t:%-d %H:%M}": s.counts for t, s in zip(times, found, strict=True)}
    assert [counts[t][DOING] for t in ("1 09:15", "1 09:30", "1 10:15", "2 09:15")] == [0, 1, 0, 1]
    assert [counts[t][DONE] for t in ("1 10:00", "1 10:15", "1 17:00", "2 09:20")] == [0, 1, 1, 1]
    assert counts["1 09:00"] == {TODO: 23, DOING: 0, BLOCKED: 0, REVIEW: 0, DONE: 0}


def test_what_happened_before_the_day_opened_is_in_its_first_sample(told: Told) -> None:
    told.work("E1", "1 08:30", "1 08:45")
    first, *_ = flow.samples(told.wall("1 10:00"))
    assert (first.counts[DONE], first.counts[TODO]) == (1, 22)
    [only] = flow.samples(told.wall("1 08:50"))
    assert (only.at, only.counts[DONE]) == (at("1 08:50"), 1)


def test_a_card_counts_from_when_it_was_added(told: Told) -> None:
    told.say("1 10:00", "added", "X1", title="More", workstream="mlops")
    by_time = {s.at: sum(s.counts.values()) for s in flow.samples(told.wall("1 11:00"))}
    assert (by_time[at("1 09:45")], by_time[at("1 10:15")]) == (23, 24)


def test_a_rehearsal_is_sampled_between_first_and_last(told: Told) -> None:
    told.work("D1", "-9 22:00", "-9 22:06")
    told.work("D2", "-9 22:07", "-9 22:12")
    found = flow.samples(told.wall("-5 12:00"))
    assert 24 <= len(found) <= 26
    assert abs(found[0].at - at("-9 22:00")) < MINUTE
    assert abs(found[-1].at - at("-9 22:12")) < MINUTE
    assert (found[0].counts[DONE], found[-1].counts[DONE]) == (0, 2)
    told.work("D3", "-40 10:00", "-40 11:00")
    assert len(flow.samples(told.wall())) <= 482


def test_samples_of_a_workstream_count_its_cards_only(told: Told) -> None:
    told.work("D1", "1 09:20", "1 10:05")
    wall = told.wall("1 11:00")
    assert {sum(s.counts.values()) for s in flow.samples(wall, cards=wall.lane("mlops"))} == {6}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(0, 10_000), st.integers(1, 240))
def test_every_sample_is_the_board_of_that_moment(days: int, seed: int, step: int) -> None:
    events = story.events(PLAN, days=days, seed=seed)
    wall = board.fold(PLAN, events)
    found = flow.samples(wall, step * MINUTE)
    assert [s.at for s in found] == sorted({s.at for s in found})
    for sample in found[:: max(1, len(found) // 4)]:
        then = board.fold(PLAN, [e for e in events if e.ts <= sample.at])
        assert sample.counts == then.counts()
        assert set(sample.counts) == set(STATES)
    assert found[-1].counts == wall.counts()


# Blocks


def test_blocks_come_oldest_first_with_what_they_cost(told: Told) -> None:
    told.say("1 16:00", "blocked", "D2", reason="no quota", unblocker="Quota desk")
    told.say("1 10:00", "blocked", "D1", reason="no access")
    told.say("1 10:30", "blocked", "D1", reason="nor a laptop", unblocker="Help desk")
    told.say("1 11:00", "unblocked", "D1")
    one, two = flow.blocks(told.wall("2 10:00"))
    assert (one.card.id, one.reason, one.unblocker) == ("D1", "no access; nor a laptop", "Help desk")
    assert abs(one.time - HOUR) < MINUTE
    assert one.closed is not None
    assert (two.card.id, two.who, two.closed) == ("D2", "ann", None)
    assert abs(two.time - 2 * HOUR) < MINUTE  # the night does not count


# Cycle time and ageing


def test_cycle_time_is_from_first_doing_to_done_in_event_hours(told: Told) -> None:
    told.say("1 09:30", "blocked", "D1", reason="no laptop")
    told.say("1 10:00", "unblocked", "D1")
    told.work("D1", "1 16:00", "2 09:30")
    wall = told.wall("2 12:00")
    assert flow.cycle_time(wall, wall["D1"]) == pytest.approx(1.5 * HOUR, abs=MINUTE)
    assert flow.cycle_time(wall, wall["D2"]) is None


def test_time_that_a_reopened_card_was_done_does_not_count(told: Told) -> None:
    told.work("D1", "1 09:00", "1 10:00")
    told.say("1 15:00", "failed", "D1", error="E", message="m")
    wall = told.wall("1 15:30")
    assert flow.age(wall, wall["D1"]) == pytest.approx(1.5 * HOUR, abs=MINUTE)
    told.say("1 16:00", "completed", "D1")
    wall = told.wall("2 12:00")
    assert flow.cycle_time(wall, wall["D1"]) == pytest.approx(2 * HOUR, abs=MINUTE)
    assert flow.age(wall, wall["D1"]) is None


def test_work_that_was_closed_without_being_started_has_no_cycle_time(told: Told) -> None:
    told.say("1 10:00", "added", "X1", title="More", workstream="mlops")
    told.say("1 11:00", "review", "X1", evidence="seen")
    told.say("1 11:00", "accepted", "X1")
    wall = told.wall()
    assert (wall["X1"].state, flow.cycle_time(wall, wall["X1"])) == (DONE, None)


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=60))
def test_typical_is_the_median_and_the_85th_percentile(minutes: list[int]) -> None:
    found = flow.typical(n * MINUTE for n in minutes)
    assert found is not None
    assert found[0] / MINUTE == pytest.approx(statistics.median(minutes), abs=1e-6)
    expected = statistics.quantiles(minutes, n=20, method="inclusive")[16]
    assert found[1] / MINUTE == pytest.approx(expected, abs=1e-6)


def test_typical_of_one_is_that_and_of_none_is_none() -> None:
    assert flow.typical([HOUR]) == (HOUR, HOUR)
    assert flow.typical([]) is None


def test_before_five_are_finished_a_card_ages_by_its_planned_minutes(told: Told) -> None:
    told.say("1 09:00", "started", "D1")  # planned: 45 minutes
    told.say("1 08:30", "started", "M2")  # planned: 60, and opens at nine
    assert flow.ageing(told.wall("1 09:40")) == ()
    assert [c.id for c in flow.ageing(told.wall("1 09:50"))] == ["D1"]
    told.say("1 09:55", "blocked", "D1", reason="no access")
    assert {c.id for c in flow.ageing(told.wall("1 11:00"))} == {"D1", "M2"}


def test_with_five_finished_a_card_ages_by_what_is_usual_and_the_oldest_comes_first(told: Told) -> None:
    for n, card in enumerate(("F1", "F2", "F3", "O1", "O3")):
        told.work(card, "1 09:00", f"1 11:0{n}")
    told.say("1 09:30", "started", "D1")
    told.say("1 09:40", "started", "D2")
    told.say("1 10:30", "started", "D3")
    assert flow.ageing(told.wall("1 11:03")) == ()
    assert [c.id for c in flow.ageing(told.wall("1 12:00"))] == ["D1", "D2"]


# Limits and what is next


def test_a_lane_over_its_limit_is_named(told: Told) -> None:
    lanes = tuple(dataclasses.replace(w, wip=2 if w.id == "mlops" else 0) for w in PLAN.workstreams)
    limited = dataclasses.replace(PLAN, workstreams=lanes)
    for card in ("O1", "O2", "D1", "D2", "D3"):
        told.say("1 10:00", "started", card)
    assert flow.over_limit(told.wall(plan=limited)) == ()
    told.say("1 10:00", "started", "O3")
    [over] = flow.over_limit(told.wall(plan=limited))
    assert (over.lane.id, over.doing, over.limit) == ("mlops", 3, 2)


def test_next_is_the_first_ready_card_of_each_lane(told: Told) -> None:
    told.work("E1", "1 09:00", "1 09:10")
    told.work("D1", "1 09:00", "1 09:10")
    told.say("1 09:00", "started", "M1")
    told.say("1 09:00", "added", "X1", title="Later", workstream="data_engineering", day=2)
    found = {id: card.id if card else None for id, card in flow.next_up(told.wall()).items()}
    assert found == {
        "event": None,
        "foundations": "F1",
        "data_engineering": "D2",
        "model_engineering": None,
        "mlops": "O1",
    }
    told.say("1 10:00", "started", "D2")
    card = flow.next_up(told.wall())["data_engineering"]
    assert card is not None
    assert card.id == "X1"


def test_since_tells_what_became_of_cards_after_a_moment(told: Told) -> None:
    told.work("D1", "1 09:00", "1 09:10")
    told.say("1 09:05", "blocked", "D2", reason="no access")
    told.say("1 09:30", "unblocked", "D2")
    told.work("M1", "1 09:20", "1 09:40")
    told.say("1 09:45", "failed", "M2", error="E", message="m")
    told.say("1 09:50", "blocked", "M3", reason="no quota")
    found = {what: [c.id for c in cards] for what, cards in flow.since(told.wall(), at("1 09:15")).items()}
    assert found == {"done": ["M1"], "failed": ["M2"], "blocked": ["M3"], "unblocked": ["D2"]}


# The pace of a day


def test_required_says_what_is_done_what_should_be_and_what_an_hour_must_bring(told: Told) -> None:
    told.work("D1", "1 09:00", "1 10:00")
    day_one = sum(s.day == 1 for s in PLAN.cards)
    pace = flow.required(told.wall("1 13:00"), 1)
    assert (pace.cards, pace.done, pace.planned, pace.left) == (day_one, 1, day_one // 2, 4 * HOUR)
    assert pace.per_hour == pytest.approx((day_one - 1) / 4)
    assert flow.required(told.wall("1 18:00"), 1).per_hour is None
    assert flow.required(told.wall("1 18:00"), 1).planned == day_one
    whole = flow.required(told.wall("1 17:00"), 3)
    assert (whole.cards, whole.planned, whole.left) == (23, day_one, 16 * HOUR)


def test_before_the_event_nothing_should_be_done_yet() -> None:
    pace = flow.required(board.fold(PLAN, []), 3)
    assert (pace.done, pace.planned, pace.left) == (0, 0, 24 * HOUR)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(0, 10_000))
def test_whatever_happened_everything_can_be_asked(days: int, seed: int) -> None:
    wall = board.fold(PLAN, story.events(PLAN, days=days, seed=seed))
    moves = sum(m.after == BLOCKED for c in wall.cards for m in c.moves)
    assert len(flow.blocks(wall)) == moves
    assert all(b.time >= dt.timedelta() for b in flow.blocks(wall))
    assert set(flow.ageing(wall)) <= {c for c in wall.cards if c.state in (DOING, BLOCKED, REVIEW)}
    for card in wall.cards:
        time = flow.cycle_time(wall, card)
        assert time is None or dt.timedelta() <= time <= 24 * HOUR
