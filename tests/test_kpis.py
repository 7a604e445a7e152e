from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import PlanError

FILE = Path(__file__).parent.parent / "mlops" / "kpis.yml"
(kpis,) = load("mlops", "kpis")
FIGURES = kpis.read(FILE)
START = dt.datetime(2026, 12, 1, 9, tzinfo=dt.UTC)


def at(hours: float) -> str:
    return (START + dt.timedelta(hours=hours)).isoformat()


FACTS: dict[str, Any] = {
    "window_hours": 48,
    "cards": {
        "D2": {
            "state": "Done",
            "at": at(1),
            "checks": [{"name": "a", "ok": True}, {"name": "b", "ok": False}],
            "metrics": {"rows": 10.0},
            "failed_runs": 1,
            "hours_blocked": 1.5,
        },
        "M1": {
            "state": "Done",
            "at": at(2),
            "checks": [{"name": "a", "ok": True}],
            "metrics": {"gain": 0.0},
            "failed_runs": 0,
            "hours_blocked": 0.0,
        },
        "M5": {
            "state": "Doing",
            "at": "",
            "checks": [],
            "metrics": {},
            "failed_runs": 0,
            "hours_blocked": 2.0,
        },
    },
    "versions": [
        {"version": "m/1", "status": "Approved", "made": at(0), "changed": at(3), "in_window": False},
        {"version": "m/2", "status": "Approved", "made": at(4), "changed": at(5), "in_window": True},
        {
            "version": "m/3",
            "status": "PendingManualApproval",
            "made": at(9),
            "changed": at(9),
            "in_window": True,
        },
    ],
    "executions": [
        {"pipeline": "p", "status": "Succeeded", "by_gate": False},
        {"pipeline": "p", "status": "Failed", "by_gate": True},
        {"pipeline": "p", "status": "Failed", "by_gate": False},
        {"pipeline": "p", "status": "Stopped", "by_gate": False},
        {"pipeline": "p", "status": "Executing", "by_gate": False},
    ],
    "jobs": [
        {"seconds": 1800.0, "instance": "ml.a", "instances": 2, "usd_per_hour": 0.5},
        {"seconds": 3600.0, "instance": "ml.b", "instances": 1, "usd_per_hour": 1.5},
    ],
    "endpoints": [
        {
            "endpoint": "e",
            "variant": "v",
            "instance": "ml.a",
            "instances": 2,
            "usd_per_hour": 0.5,
            "failed": False,
        },
        {
            "endpoint": "f",
            "variant": "v",
            "instance": "ml.a",
            "instances": 1,
            "usd_per_hour": 0.5,
            "failed": True,
        },
    ],
    "deployments": [
        {"endpoint": "e", "call": "CreateEndpoint", "at": at(4)},
        {"endpoint": "f", "call": "CreateEndpoint", "at": at(4.5)},
        {"endpoint": "e", "call": "UpdateEndpoint", "at": at(8)},
    ],
    "traffic": [
        {"endpoint": "e", "variant": "v", "invocations": 90.0, "errors": 1.0, "p99_ms": 12.0},
        {"endpoint": "e", "variant": "w", "invocations": 10.0, "errors": 1.0, "p99_ms": None},
    ],
    "alarms": [
        {
            "name": "drift",
            "state": "ALARM",
            "changes": [
                {"at": at(6), "to": "ALARM"},
                {"at": at(1), "to": "ALARM"},
                {"at": at(1.5), "to": "INSUFFICIENT_DATA"},
                {"at": at(3), "to": "OK"},
            ],
        },
        {"name": "errors", "state": "OK", "changes": []},
    ],
}


@pytest.mark.parametrize(
    ("measure", "of", "value"),
    [
        ("share_without_error", "", 98.0),
        ("latency", "", 12.0),
        ("recorded", "M1.gain", 0.0),
        ("checks_held", "D2", 50.0),
        ("alarms_on", "", 1),
        ("waiting", "", 1),
        ("succeeded", "", 50.0),  # the gate that stopped a model did its work; a stopped execution did not
        ("cost_per_version", "", (0.5 + 1.5) / 2),
        ("endpoint_cost", "", 1.5 * 730),
        ("idle", "", 1),
        ("deployment_frequency", "", 1.5),
        ("lead_time", "", (4 + 4) / 2),
        ("change_failure", "", 50.0),
        ("time_to_restore", "", 2.0),  # from its first ALARM at 1 to OK at 3; the one at 6 goes on
        ("cards_done", "", 200 / 3),
        ("hours_blocked", "", 3.5),
        ("first_time_right", "", 50.0),
    ],
)
def test_each_formula_gives_what_its_words_say(measure: str, of: str, value: float) -> None:
    found, why = kpis.MEASURES[measure](FACTS, of)
    assert found == pytest.approx(value)
    assert why


def test_no_formula_is_untested() -> None:
    tested = {case[0] for case in test_each_formula_gives_what_its_words_say.pytestmark[0].args[1]}
    assert tested == set(kpis.MEASURES)


@pytest.mark.parametrize("facts", [{}, dict.fromkeys(FACTS), {name: [] for name in FACTS}])
def test_without_sources_everything_is_missing_and_says_what(facts: dict[str, Any]) -> None:
    for reading in kpis.readings(FIGURES, facts):
        assert (reading.value, reading.state) == (None, "missing")
        assert reading.why


@pytest.mark.parametrize(
    ("measure", "of", "change", "said"),
    [
        (
            "share_without_error",
            "",
            {"traffic": [{"invocations": 0, "errors": 0}]},
            "no endpoint has been called",
        ),
        ("latency", "", {"traffic": [{"p99_ms": None}]}, "no ModelLatency"),
        ("recorded", "M1.auc", {}, "records no auc"),
        ("recorded", "M5.score", {}, "M5 is not done"),
        ("recorded", "M9.score", {}, "M9 is not done"),
        ("checks_held", "M5", {}, "M5 is not done"),
        ("succeeded", "", {"executions": [{"status": "Executing", "by_gate": False}]}, "has ended"),
        ("cost_per_version", "", {"versions": FACTS["versions"][:1]}, "no version was registered"),
        ("cost_per_version", "", {"jobs": [{"instance": "ml.z", "usd_per_hour": None}]}, "no price of ml.z"),
        (
            "endpoint_cost",
            "",
            {"endpoints": [{"instance": "ml.z", "usd_per_hour": None}]},
            "no price of ml.z",
        ),
        ("lead_time", "", {"versions": FACTS["versions"][2:]}, "no approved version"),
        ("time_to_restore", "", {"alarms": FACTS["alarms"][1:]}, "on and off again"),
        ("first_time_right", "", {"cards": {"M5": FACTS["cards"]["M5"]}}, "no card is done"),
        ("waiting", "", {"refused": {"versions": "AccessDenied"}}, "AccessDenied"),
    ],
)
def test_what_is_not_there_is_missing_for_a_reason(
    measure: str, of: str, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(kpis.Missing, match=said):
        kpis.MEASURES[measure]({**FACTS, **change}, of)


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers, numbers, numbers, st.booleans())
def test_a_better_value_never_has_a_worse_state(a: float, b: float, value: float, higher: bool) -> None:
    target, threshold = (max(a, b), min(a, b)) if higher else (min(a, b), max(a, b))
    kpi = kpis.Kpi(
        "x", "X", "model", "me", "u", "latency", "higher" if higher else "lower", target, threshold
    )
    order = kpis.STATES.index
    better = math.nextafter(value, math.inf if higher else -math.inf)
    assert order(kpis.state(kpi, better)) <= order(kpis.state(kpi, value)) < 3
    assert kpis.state(kpi, target) == "on target"
    assert kpis.state(kpi, threshold) == ("breach" if a != b else "on target")


def test_no_number_is_missing() -> None:
    assert kpis.state(FIGURES[0], None) == kpis.state(FIGURES[0], math.nan) == "missing"


def test_each_figure_says_its_formula() -> None:
    for kpi in FIGURES:
        assert len(kpis.formula(kpi)) > 10
        assert "\n" not in kpis.formula(kpi)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"measure": "latncy"}, 'measure: "latncy" is unknown'),
        ({"group": "sales"}, "group"),
        ({"better": "up"}, "better"),
        ({"target": "many"}, "no number"),
        ({"target": True}, "no number"),
        ({"target": 1, "threshold": 2, "better": "higher"}, "better than the target"),
        ({"target": 2, "threshold": 1, "better": "lower"}, "better than the target"),
        ({"owner": ""}, '"owner" is missing'),
        ({"ownr": "me"}, 'unknown key "ownr"'),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    raw = yaml.safe_load(FILE.read_text())
    raw["kpis"]["latency"].update(change)
    (tmp_path / "kpis.yml").write_text(yaml.safe_dump(raw))
    with pytest.raises(PlanError, match=said) as caught:
        kpis.read(tmp_path / "kpis.yml")
    assert "latency" in caught.value.message


def test_the_shipped_figures_cover_each_group_and_the_four_of_dora() -> None:
    assert {kpi.group for kpi in FIGURES} == set(kpis.GROUPS)
    assert {kpi.id for kpi in FIGURES if kpi.group == "delivery"} == {
        "frequency",
        "lead_time",
        "failures",
        "restore",
    }
