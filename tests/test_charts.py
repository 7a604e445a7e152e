"""Charts as numbers: what they show, and that it stays within the plot."""

from __future__ import annotations

import datetime as dt
import itertools
import re

import pytest
from fixtures import story

from kit import board as boards
from kit import charts

PLAN = story.plan()
ZONE = PLAN.event.zone
DAY_1, DAY_2 = (dt.datetime(2026, 12, day, 9, tzinfo=ZONE) for day in (1, 2))
REHEARSAL = dt.datetime(2026, 11, 23, 9, tzinfo=ZONE)


@pytest.fixture
def told() -> story.Story:
    return story.Story()


# The burn-up


def points(chart: charts.BurnUp | None) -> list[tuple[int, int]]:
    assert chart
    return [(p.scope, p.done) for p in chart.rows]


def test_the_burn_up_counts_cards_done_added_and_reopened(told: story.Story) -> None:
    told.complete(DAY_1, "D1")
    told.tell(DAY_1.replace(hour=10), "added", "X1", title="More", workstream="mlops")
    told.complete(DAY_1.replace(hour=11), "D2")
    told.tell(DAY_1.replace(hour=12), "failed", "D1", error="E", message="m")
    chart = charts.burn_up(boards.fold(PLAN, told.events))
    assert points(chart) == [(23, 0), (23, 1), (24, 1), (24, 2), (24, 1)]
    assert chart is not None
    assert chart.title == "1 of 24 cards done"
    assert [t.text for t in chart.axis.ticks] == ["Day 1", "Day 2", "Day 3"]


def test_the_burn_up_of_a_rehearsal_runs_over_plain_time(told: story.Story) -> None:
    told.tell(REHEARSAL, "started", "D1")
    told.complete(REHEARSAL + dt.timedelta(minutes=10), "D1")
    chart = charts.burn_up(boards.fold(PLAN, told.events))
    assert chart is not None
    assert [t.text for t in chart.axis.ticks] == ["09:00", "09:05", "09:10"]
    assert chart.planned == ""
    later = boards.fold(PLAN, told.events, now=REHEARSAL + dt.timedelta(hours=5))
    assert charts.burn_up(later) == chart


def test_the_chart_stays_in_its_box_and_its_labels_apart() -> None:
    for days in (1, 2, 3):
        chart = charts.burn_up(boards.fold(PLAN, story.events(PLAN, days=days)))
        assert chart is not None
        numbers = [
            float(n) for path in (chart.done, chart.scope, chart.planned) for n in re.findall(r"[\d.]+", path)
        ]
        assert 0 <= min(numbers) <= max(numbers) <= charts.WIDTH
        assert chart.done_label.at - chart.scope_label.at >= charts.LABEL


def test_the_labels_of_lines_that_meet_stand_apart(told: story.Story) -> None:
    for card in PLAN.cards:
        told.complete(DAY_1, card.id)
    told.tell(DAY_1, "accepted", "O2")
    chart = charts.burn_up(boards.fold(PLAN, told.events))
    assert chart is not None
    assert chart.title == "23 of 23 cards done"
    assert chart.scope_label.at == pytest.approx(
        charts.BOTTOM - (charts.BOTTOM - charts.TOP) * 23 / 25, abs=0.1
    )
    assert chart.done_label.at - chart.scope_label.at >= charts.LABEL


def test_there_is_no_chart_before_anything_moved() -> None:
    assert charts.burn_up(boards.fold(PLAN, [])) is None


def test_what_was_planned_counts_cards_that_were_added_since(told: story.Story) -> None:
    told.complete(DAY_1, "D1")
    plain = charts.burn_up(boards.fold(PLAN, told.events))
    told.tell(DAY_1, "added", "X1", title="More", workstream="mlops", day=1)
    more = charts.burn_up(boards.fold(PLAN, told.events))
    assert plain
    assert more

    def lowest(path: str) -> float:
        return min(float(place.split(" ")[1]) for place in path[1:].split("L"))

    assert lowest(plain.planned) == pytest.approx(
        charts.BOTTOM - (charts.BOTTOM - charts.TOP) * 23 / 25, abs=0.1
    )
    assert lowest(more.planned) == pytest.approx(
        charts.BOTTOM - (charts.BOTTOM - charts.TOP) * 24 / 25, abs=0.1
    )


# Cumulative flow


def ends(path: str) -> list[float]:
    """The heights of a band's upper edge."""
    return [float(place.split(" ")[1]) for place in path[1:].split("L")]


def test_bands_lie_one_on_the_other_and_reach_the_number_of_cards(told: story.Story) -> None:
    told.complete(DAY_1.replace(hour=10), "D1")
    told.tell(DAY_1.replace(hour=10), "started", "D2")
    told.tell(DAY_1.replace(hour=11), "blocked", "F1", reason="no quota")
    board = boards.fold(PLAN, told.events, now=DAY_1.replace(hour=12))
    chart = charts.cumulative_flow(board)
    assert chart
    assert [band.state for band in chart.bands] == ["Done", "Blocked", "Doing", "To do"]
    assert [row.at.astimezone(ZONE).strftime("%H:%M") for row in chart.rows[:3]] == [
        "09:00",
        "09:15",
        "09:30",
    ]
    assert chart.rows[-1].counts == {"To do": 20, "Doing": 1, "Blocked": 1, "Review": 0, "Done": 1}
    whole = charts.BOTTOM - charts.TOP
    heights = [ends(band.edge)[-1] for band in chart.bands]
    assert heights == [pytest.approx(charts.BOTTOM - whole * n / 25, abs=0.1) for n in (1, 2, 3, 23)]
    assert chart.title == "Cards by column: 20 To do, 1 Doing, 1 Blocked, 1 Done"
    labels = {band.state: band.label.at for band in chart.bands if band.label}
    assert labels["To do"] == pytest.approx(charts.BOTTOM - whole * 13 / 25, abs=0.1)
    assert (
        charts.BOTTOM - 3 * charts.LABEL
        <= labels["Doing"]
        < labels["Blocked"]
        < labels["Done"]
        <= charts.BOTTOM
    )


def test_the_labels_of_bands_stand_apart_within_the_plot() -> None:
    for days in (1, 2, 3):
        board = boards.fold(PLAN, story.events(PLAN, days=days))
        chart = charts.cumulative_flow(board)
        assert chart
        places = [band.label.at for band in chart.bands if band.label]
        assert len(places) > 2
        assert all(high - low >= charts.LABEL - 0.01 for high, low in itertools.pairwise(places))
        assert charts.TOP - charts.LABEL * 4 < min(places) <= max(places) <= charts.BOTTOM
        numbers = [float(n) for band in chart.bands for n in re.findall(r"[\d.]+", band.area)]
        assert 0 <= min(numbers) <= max(numbers) <= charts.WIDTH


def test_a_rehearsal_flows_over_plain_time(told: story.Story) -> None:
    told.tell(REHEARSAL, "started", "D1")
    told.complete(REHEARSAL + dt.timedelta(minutes=2), "D1")
    chart = charts.cumulative_flow(boards.fold(PLAN, told.events))
    assert chart
    assert (chart.axis.edges, len(chart.rows) > 20) == ((), True)


def test_nothing_flows_before_anything_moved(told: story.Story) -> None:
    told.tell(DAY_1, "noted", "D1", text="soon")
    assert charts.cumulative_flow(boards.fold(PLAN, told.events)) is None


# Small lines


def test_a_small_line_has_a_part_for_each_day() -> None:
    line = charts.line([(1, 0.5), (1, 1.0), (3, 0.75)], 3, 0.5, 1.0)
    assert line.dots == ((17.5, 31.0), (42.5, 5.0), (130.0, 18.0))
    assert line.edges == (55.0, 105.0)
    assert line.path == "M17.5 31.0L42.5 5.0L130.0 18.0"


def test_a_line_of_equal_values_runs_in_the_middle() -> None:
    assert [y for _, y in charts.line([(1, 2.0), (1, 2.0)], 1, 2.0, 2.0).dots] == [18.0, 18.0]
