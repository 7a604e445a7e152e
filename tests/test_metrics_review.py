from __future__ import annotations

import datetime as dt
import re
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import PlanError

FOLDER = Path(__file__).parent.parent / "mlops"
review, kpis = load("mlops", "metrics_review", "kpis")
FIGURES = kpis.read(FOLDER / "kpis.yml")
REVIEW = review.read(FOLDER / "metrics_review.yml")
AT = dt.datetime(2026, 12, 1, 9, tzinfo=dt.UTC)


def run(hour: int, **values: float | None) -> dict[str, Any]:
    """What O4 keeps of a run at that hour."""
    readings = [{"id": id, "value": value, "why": f"why {id}", "state": "?"} for id, value in values.items()]
    return {"at": (AT + dt.timedelta(hours=hour)).isoformat(), "readings": readings}


def line(id: str, *runs: dict[str, Any]) -> Any:
    return next(found for found in review.lines(FIGURES, runs) if found.kpi.id == id)


@pytest.mark.parametrize(
    ("id", "values", "trend", "state"),
    [
        ("latency", [80, 90], "worse", "on target"),
        ("latency", [600, 90], "better", "on target"),
        ("answered", [98, 98], "same", "breach"),
        ("answered", [99.5], "new", "watch"),
        ("answered", [99.5, None], "missing", "missing"),
        ("answered", [99.5, None, 99.95], "better", "on target"),
    ],
)
def test_a_trend_goes_by_what_is_better_and_over_gaps(
    id: str, values: list[Any], trend: str, state: str
) -> None:
    found = line(id, *(run(n, **{id: value}) for n, value in enumerate(values)))
    assert (found.trend, found.state, found.value) == (trend, state, values[-1])
    assert [value for _, value in found.values] == [value for value in values if value is not None]


def test_runs_count_in_the_order_of_their_time() -> None:
    assert line("latency", run(10, latency=90.0), run(9, latency=600.0)).trend == "better"


def test_a_figure_that_the_last_run_has_not_is_missing() -> None:
    found = line("latency", run(1, latency=90.0), run(2, answered=99.0))
    assert (found.state, found.why) == ("missing", "the last run has it not")


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60))
def test_a_sparkline_stays_in_its_box_and_has_the_order_of_its_values(values: list[float]) -> None:
    points = [tuple(map(float, p.split(","))) for p in review.sparkline(values).split()]
    assert len(points) == max(2, len(values))
    assert all(0 <= x <= 120 and 0 <= y <= 28 for x, y in points)
    assert (points[0][0], points[-1][0]) == (0, 120)
    if len(set(values)) > 1:
        highest = max(range(len(values)), key=values.__getitem__)
        assert points[highest][1] == min(y for _, y in points)


def test_the_dashboard_has_every_figure_with_its_threshold_and_no_graph_over_another() -> None:
    body = review.dashboard(FIGURES, "EBA/KPI", [("e", "v")], "eu-west-1")
    shown = {metric[1] for widget in body["widgets"] for metric in widget["properties"]["metrics"]}
    assert {kpi.id for kpi in FIGURES} | {"Invocations", "ModelLatency"} <= shown
    marks = [
        m["value"]
        for w in body["widgets"]
        for m in w["properties"].get("annotations", {}).get("horizontal", [])
    ]
    assert sorted(marks) == sorted(kpi.threshold for kpi in FIGURES)
    places = [(w["x"], w["y"]) for w in body["widgets"]]
    assert len(places) == len(set(places))
    assert all(w["properties"]["region"] == "eu-west-1" for w in body["widgets"])


def test_a_figure_is_drawn_with_target_and_threshold() -> None:
    _, ax = plt.subplots()
    found = line("latency", run(1, latency=90.0), run(2, latency=None), run(3, latency=80.0))
    review.draw(ax, found)
    values, target, threshold = (list(drawn.get_ydata()) for drawn in ax.get_lines())
    assert values == [90.0, 80.0]
    assert (target[0], threshold[0]) == (found.kpi.target, found.kpi.threshold)
    plt.close()


def test_without_endpoints_the_dashboard_has_no_empty_graph() -> None:
    assert all(w["properties"]["metrics"] for w in review.dashboard(FIGURES, "n", [], "eu-west-1")["widgets"])


def page(*runs: dict[str, Any], actions: Any = ()) -> str:
    return str(review.page(REVIEW, review.lines(FIGURES, runs), actions, "An <event>", AT))


def test_the_page_asks_one_decision_for_each_breach_and_names_what_is_missing() -> None:
    html = page(run(1, answered=90.0, latency=50.0))
    assert html.count(REVIEW["decisions"]["business"]) == 1
    assert REVIEW["decisions"]["operations"] not in html
    assert (
        "What threshold and calibration save on validation (product owner): the last run has it not" in html
    )


def test_the_page_has_the_whole_cadence_and_agenda() -> None:
    html = unescape(page(run(1, latency=90.0)))
    assert "every week on Tuesday at 10:00, 45 minutes" in html
    for item in REVIEW["agenda"]:
        assert item.keys() == {"item", "minutes", "shows"}
        assert item["item"] in html
    assert all(role["does"] in html for role in REVIEW["roles"])


def test_the_page_tells_what_became_of_earlier_actions() -> None:
    action = {
        "card": "O5-latency",
        "title": "Bring it back",
        "owner": "me",
        "state": "Done",
        "evidence": "88",
    }
    assert "O5-latency" in page(run(1, latency=90.0), actions=[action])
    assert "first review" in page(run(1, latency=90.0))


def test_text_of_people_stays_text_and_the_page_loads_nothing() -> None:
    bad = '<script>alert("x")</script><img src=x>'
    action = dict.fromkeys(("card", "title", "owner", "state", "evidence"), bad)
    html = page(run(1, latency=90.0), actions=[action])
    assert "An &lt;event&gt;" in html
    assert not re.search(r"<script|<img|<link|https?://", html)


def test_every_part_that_the_agenda_shows_is_on_the_page() -> None:
    html = page(run(1, latency=90.0))
    for part in review.SHOWS:
        assert f'id="{part}"' in html


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["agenda"][0].update(minutes=6), "takes 46 minutes, the meeting 45"),
        (lambda r: r["agenda"][0].update(shows="weather"), 'no part "weather"'),
        (lambda r: r["decisions"].pop("cost"), "no decision for the group cost"),
    ],
)
def test_a_review_that_does_not_hold_together_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    raw = yaml.safe_load((FOLDER / "metrics_review.yml").read_text())
    change(raw)
    (tmp_path / "metrics_review.yml").write_text(yaml.safe_dump(raw))
    with pytest.raises(PlanError, match=said):
        review.read(tmp_path / "metrics_review.yml")
