"""Key figures of `kpis.yml`: read, computed from facts, judged. Pure functions on plain data; `kpi_sources.py` collects the facts.

Facts are JSON: times as ISO text in UTC, lists of objects. A source that could not be asked, or has nothing, is None or empty,
and what hangs on it is missing, never zero.
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.errors import PlanError, did_you_mean

__all__ = [
    "GROUPS",
    "MEASURES",
    "STATES",
    "Kpi",
    "Missing",
    "Reading",
    "formula",
    "read",
    "readings",
    "state",
]

GROUPS = ("business", "model", "data", "operations", "cost", "delivery", "event")
STATES = ("on target", "watch", "breach", "missing")

Facts = Mapping[str, Any]


class Missing(Exception):
    """A figure has no source yet; the text says what is not there."""


@dataclass(frozen=True)
class Kpi:
    """One key figure as `kpis.yml` has it."""

    id: str
    title: str
    group: str
    owner: str
    unit: str
    measure: str
    better: str
    target: float
    threshold: float
    of: str = ""


@dataclass(frozen=True)
class Reading:
    """What a figure is now: `value` is None where it is missing, and `why` tells what is not there or what it was made of."""

    id: str
    value: float | None
    why: str
    state: str


def read(file: Path) -> tuple[Kpi, ...]:
    """The key figures in `file`.

    Raises:
        PlanError: a figure lacks a field, has one too many, or a word or number that makes no sense; the message says where.
    """
    found = yaml.safe_load(file.read_text(encoding="utf-8"))["kpis"]
    fields = [name for name in Kpi.__dataclass_fields__ if name != "id"]
    made = []
    for id, raw in found.items():
        where = f"{file.name} › {id}"
        for key in raw:
            if key not in fields:
                raise PlanError(f'{where}: unknown key "{key}".', did_you_mean(str(key), fields))
        if lacking := [key for key in fields if key != "of" and raw.get(key) in (None, "")]:
            raise PlanError(f'{where}: "{lacking[0]}" is missing or empty.', "Fill it in.")
        for key, known in (
            ("measure", list(MEASURES)),
            ("group", list(GROUPS)),
            ("better", ["higher", "lower"]),
        ):
            if raw[key] not in known:
                raise PlanError(
                    f'{where} › {key}: "{raw[key]}" is unknown.', did_you_mean(str(raw[key]), known)
                )
        for key in ("target", "threshold"):
            if isinstance(raw[key], bool) or not isinstance(raw[key], (int, float)):
                raise PlanError(f"{where} › {key}: {raw[key]!r} is no number.", "Write a number.")
        worse = (
            raw["threshold"] > raw["target"]
            if raw["better"] == "higher"
            else raw["threshold"] < raw["target"]
        )
        if worse:
            raise PlanError(
                f"{where}: the threshold {raw['threshold']} is better than the target {raw['target']}.",
                "The threshold is where somebody has to act.",
            )
        made.append(Kpi(id=id, **raw))
    return tuple(made)


def formula(kpi: Kpi) -> str:
    """How the figure is computed, in words."""
    text = " ".join((MEASURES[kpi.measure].__doc__ or "").split())
    return f"{text} ({kpi.of})" if kpi.of else text


def readings(kpis: Sequence[Kpi], facts: Facts) -> list[Reading]:
    """Every figure, computed from the facts."""
    found = []
    for kpi in kpis:
        try:
            value, why = MEASURES[kpi.measure](facts, kpi.of)
            found.append(Reading(kpi.id, value, why, state(kpi, value)))
        except Missing as missing:
            found.append(Reading(kpi.id, None, str(missing), "missing"))
    return found


def state(kpi: Kpi, value: float | None) -> str:
    """On target, watch (worse than the target), breach (as bad as the threshold, or worse, and not on target), or missing."""
    if value is None or math.isnan(value):
        return "missing"
    sign = 1 if kpi.better == "higher" else -1
    if sign * value >= sign * kpi.target:
        return "on target"
    return "watch" if sign * value > sign * kpi.threshold else "breach"


# The formulas. Each takes the facts and what it is about, and returns the value and what it was made of, or raises Missing.


def _there(facts: Facts, name: str, what: str) -> Any:
    if refused := (facts.get("refused") or {}).get(name):
        raise Missing(f"AWS refuses the source: {refused}")
    found = facts.get(name)
    if not found:
        raise Missing(what)
    return found


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _hours(start: str, end: str) -> float:
    return (_time(end) - _time(start)).total_seconds() / 3600


def share_without_error(facts: Facts, of: str) -> tuple[float, str]:
    """100 × (1 - Invocation5XXErrors / Invocations) of all endpoints, in the window"""
    calls = _there(facts, "traffic", "no endpoint has been called in the window")
    total, failed = (sum(endpoint[name] for endpoint in calls) for name in ("invocations", "errors"))
    if not total:
        raise Missing("no endpoint has been called in the window")
    return 100 * (1 - failed / total), f"{failed:,.0f} of {total:,.0f} requests failed"


def latency(facts: Facts, of: str) -> tuple[float, str]:
    """the highest 99th percentile of ModelLatency over the endpoints, in the window"""
    calls = [
        e
        for e in _there(facts, "traffic", "no endpoint has been called in the window")
        if e["p99_ms"] is not None
    ]
    if not calls:
        raise Missing("CloudWatch has no ModelLatency in the window")
    slowest = max(calls, key=lambda endpoint: endpoint["p99_ms"])
    return slowest["p99_ms"], slowest["endpoint"]


def recorded(facts: Facts, of: str) -> tuple[float, str]:
    """the number that the runbook recorded when it was done"""
    card, _, name = of.partition(".")
    told = _card(facts, card)
    if name not in told["metrics"]:
        raise Missing(f"{card} records no {name}")
    return told["metrics"][name], f"recorded by {card} at {told['at']}"


def checks_held(facts: Facts, of: str) -> tuple[float, str]:
    """100 × checks that held / checks, of the runbook's last execution"""
    told = _card(facts, of)
    if not told["checks"]:
        raise Missing(f"{of} has made no check")
    held = sum(check["ok"] for check in told["checks"])
    return 100 * held / len(told["checks"]), f"{held} of {len(told['checks'])} checks of {of}"


def _card(facts: Facts, card: str) -> Mapping[str, Any]:
    told: Mapping[str, Any] | None = (facts.get("cards") or {}).get(card)
    if not told or not told["at"]:
        raise Missing(f"{card} is not done")
    return told


def alarms_on(facts: Facts, of: str) -> tuple[float, str]:
    """alarms in state ALARM"""
    alarms = _there(facts, "alarms", "there is no alarm")
    on = [alarm["name"] for alarm in alarms if alarm["state"] == "ALARM"]
    return len(on), ", ".join(on) or f"none of {len(alarms)}"


def waiting(facts: Facts, of: str) -> tuple[float, str]:
    """versions in state PendingManualApproval"""
    versions = _there(facts, "versions", "the registry has no version")
    pending = [v for v in versions if v["status"] == "PendingManualApproval"]
    return len(pending), f"{len(pending)} of {len(versions)} versions"


def succeeded(facts: Facts, of: str) -> tuple[float, str]:
    """100 × executions that succeeded / executions that ended, in the window; a gate that stops a model is no failure"""
    ended = _ended(facts)
    good = sum(_good(execution) for execution in ended)
    return 100 * good / len(ended), f"{good} of {len(ended)} executions"


def _ended(facts: Facts) -> list[Mapping[str, Any]]:
    executions = _there(facts, "executions", "no pipeline has run in the window")
    ended = [e for e in executions if e["status"] in ("Succeeded", "Failed", "Stopped")]
    if not ended:
        raise Missing("no execution of a pipeline has ended")
    return ended


def _good(execution: Mapping[str, Any]) -> bool:
    return execution["status"] == "Succeeded" or bool(execution["by_gate"])


def cost_per_version(facts: Facts, of: str) -> tuple[float, str]:
    """billable hours of training and processing jobs in the window × price of their instances / versions made in it"""
    versions = [v for v in _there(facts, "versions", "the registry has no version") if v["in_window"]]
    jobs = _there(facts, "jobs", "no job has run in the window")
    if not versions:
        raise Missing("no version was registered in the window")
    if unpriced := sorted({job["instance"] for job in jobs if job["usd_per_hour"] is None}):
        raise Missing(f"prices.yml has no price of {', '.join(unpriced)}")
    spent = sum(job["seconds"] / 3600 * job["instances"] * job["usd_per_hour"] for job in jobs)
    return spent / len(versions), f"{spent:.4f} USD for {len(jobs)} jobs, {len(versions)} versions"


def endpoint_cost(facts: Facts, of: str) -> tuple[float, str]:
    """instances behind endpoints × price × 730 hours"""
    endpoints = _there(facts, "endpoints", "there is no endpoint")
    if unpriced := sorted({e["instance"] for e in endpoints if e["usd_per_hour"] is None}):
        raise Missing(f"prices.yml has no price of {', '.join(unpriced)}")
    return sum(e["instances"] * e["usd_per_hour"] * 730 for e in endpoints), f"{len(endpoints)} variants"


def idle(facts: Facts, of: str) -> tuple[float, str]:
    """endpoints without an invocation in the window"""
    endpoints = {e["endpoint"] for e in _there(facts, "endpoints", "there is no endpoint")}
    called = {e["endpoint"] for e in facts.get("traffic") or [] if e["invocations"]}
    return len(endpoints - called), ", ".join(sorted(endpoints - called)) or f"none of {len(endpoints)}"


def deployment_frequency(facts: Facts, of: str) -> tuple[float, str]:
    """CreateEndpoint and UpdateEndpoint calls in the window / its days (DORA)"""
    changes = _there(facts, "deployments", "nothing was deployed in the window")
    days = facts["window_hours"] / 24
    return len(changes) / days, f"{len(changes)} in {days:g} days"


def lead_time(facts: Facts, of: str) -> tuple[float, str]:
    """median hours from a version's registration to the first deployment after its approval (DORA)"""
    changes = _there(facts, "deployments", "nothing was deployed in the window")
    versions = _there(facts, "versions", "the registry has no version")
    took = []
    for version in versions:
        if version["status"] == "Approved":
            later = [c["at"] for c in changes if _time(c["at"]) >= _time(version["changed"])]
            took += [_hours(version["made"], min(later, key=_time))] if later else []
    if not took:
        raise Missing("no approved version has been deployed since")
    return statistics.median(took), f"{len(took)} approved versions"


def change_failure(facts: Facts, of: str) -> tuple[float, str]:
    """100 × endpoints whose last deployment failed or was rolled back / endpoints that were deployed to, in the window (after
    DORA, whose figure counts every deployment: SageMaker tells the outcome of the last one only)
    """
    changed = {
        change["endpoint"] for change in _there(facts, "deployments", "nothing was deployed in the window")
    }
    bad = {e["endpoint"] for e in facts.get("endpoints") or [] if e["failed"]} & changed
    return 100 * len(bad) / len(changed), ", ".join(sorted(bad)) or f"none of {len(changed)} endpoints"


def time_to_restore(facts: Facts, of: str) -> tuple[float, str]:
    """median hours that alarms were on before they were OK again (DORA)"""
    took = []
    for alarm in _there(facts, "alarms", "there is no alarm"):
        since = None
        for change in sorted(alarm["changes"], key=lambda change: _time(change["at"])):
            if change["to"] == "ALARM":
                since = since or change["at"]
            elif change["to"] == "OK" and since:
                took.append(_hours(since, change["at"]))
                since = None
    if not took:
        raise Missing("no alarm has gone on and off again")
    return statistics.median(took), f"{len(took)} times"


def cards_done(facts: Facts, of: str) -> tuple[float, str]:
    """100 × cards of the plan in column Done / cards of the plan"""
    cards = _planned(facts)
    done = sum(card["state"] == "Done" for card in cards)
    return 100 * done / len(cards), f"{done} of {len(cards)} cards"


def hours_blocked(facts: Facts, of: str) -> tuple[float, str]:
    """working hours that cards were in column Blocked, all added"""
    cards = _planned(facts)
    blocked = [card for card in cards if card["hours_blocked"]]
    return sum(card["hours_blocked"] for card in blocked), f"{len(blocked)} cards"


def first_time_right(facts: Facts, of: str) -> tuple[float, str]:
    """100 × runbooks that are done and never failed / runbooks that are done"""
    done = [card for card in _planned(facts) if card["state"] == "Done"]
    if not done:
        raise Missing("no card is done")
    right = sum(not card["failed_runs"] for card in done)
    return 100 * right / len(done), f"{right} of {len(done)} runbooks"


def _planned(facts: Facts) -> list[Mapping[str, Any]]:
    return list(_there(facts, "cards", "the board has no card").values())


MEASURES: Mapping[str, Callable[[Facts, str], tuple[float, str]]] = {
    function.__name__: function
    for function in (
        share_without_error,
        latency,
        recorded,
        checks_held,
        alarms_on,
        waiting,
        succeeded,
        cost_per_version,
        endpoint_cost,
        idle,
        deployment_frequency,
        lead_time,
        change_failure,
        time_to_restore,
        cards_done,
        hours_blocked,
        first_time_right,
    )
}
"""The formulas by name; the docstring of each is what people read. The four of DORA follow https://dora.dev/guides/dora-metrics/."""
