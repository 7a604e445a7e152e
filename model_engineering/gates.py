"""The gates of `gates.yml` held against what the jobs evaluate and validate found on the test set. Pure functions on plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.errors import PlanError, did_you_mean

__all__ = ["Found", "Verdict", "confidence", "failed", "read", "verdicts"]


@dataclass(frozen=True)
class Verdict:
    """What a gate says: whether it holds, the number that decided, its limit, and where that number comes from."""

    gate: str
    text: str
    ok: bool
    got: float
    limit: float
    where: str


@dataclass(frozen=True)
class Found:
    """What is known of one model: evaluation.json and validation.json of the jobs, its name in them, and the baseline's.

    `spread` is the standard deviation of the target on the test set (regression).
    """

    evaluation: Mapping[str, Any]
    validation: Mapping[str, Any]
    model: str
    baseline: str
    spread: float = 1.0

    @property
    def classify(self) -> bool:
        """Whether the target is a label."""
        return bool(self.evaluation["problem"] == "classification")

    def metric(self, name: str) -> Mapping[str, float]:
        """`value`, `low` and `high` of a metric of the model on all rows."""
        found: Mapping[str, float] = self.evaluation["models"][self.model]["metrics"][name]
        return found

    @property
    def tried(self) -> Mapping[str, Any]:
        """What the job validate found of the model."""
        found: Mapping[str, Any] = self.validation["models"][self.model]
        return found


def read(file: Path) -> dict[str, dict[str, Any]]:
    """The gates in `file`.

    Raises:
        PlanError: a gate is unknown or lacking, or a limit is unknown, lacking or no number; the message names the place.
    """
    found = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    for name in found:
        if name not in GATES:
            raise PlanError(f'{file.name}: unknown gate "{name}".', did_you_mean(str(name), list(GATES)))
    for name, (_, limits) in GATES.items():
        where = f"{file.name} › {name}"
        if name not in found:
            raise PlanError(
                f"{where} is missing.", "A gate that nobody wants has a limit that everything passes."
            )
        for key in (*limits, "text"):
            if key not in found[name]:
                raise PlanError(f'{where}: "{key}" is missing.', "Fill it in.")
        for key, value in found[name].items():
            if key not in (*limits, "text"):
                raise PlanError(f'{where}: unknown key "{key}".', did_you_mean(str(key), [*limits, "text"]))
            if key != "text" and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise PlanError(f"{where} › {key}: {value!r} is no number.", "Write a number.")
    return {name: found[name] for name in GATES}


def verdicts(gates: Mapping[str, Mapping[str, Any]], found: Found) -> list[Verdict]:
    """What every gate says. A number that could not be told does not pass."""
    told = []
    for name, limits in gates.items():
        got, limit, at_most, where = GATES[name][0](found, limits)
        ok = math.isfinite(got) and (got <= limit if at_most else got >= limit)
        told.append(Verdict(name, limits["text"], ok, got, limit, where))
    return told


def failed(told: list[Verdict]) -> list[str]:
    """The gates that do not hold."""
    return [verdict.gate for verdict in told if not verdict.ok]


def confidence(openings: int, overall: float = 0.95) -> float:
    """The confidence of each interval when a test set was opened for so many models, so that all hold together with `overall`.

    Source: the correction of Bonferroni.
    """
    if openings < 1:
        raise ValueError("openings count from 1")
    return 1 - (1 - overall) / openings


# Each gate: the number, its limit, whether the limit is the most, and where the number comes from.

Answer = tuple[float, float, bool, str]


def _skill(found: Found, limits: Mapping[str, Any]) -> Answer:
    name = "auc" if found.classify else "r2"
    return (
        _number(found.metric(name)["low"]),
        limits[f"{name}_at_least"],
        False,
        f"low end of {name} on the test set",
    )


def _baseline(found: Found, limits: Mapping[str, Any]) -> Answer:
    name = found.evaluation["metric"]
    pair = next(
        one
        for one in found.evaluation["differences"]
        if (one["metric"], one["model"], one["than"]) == (name, found.model, found.baseline)
    )
    limit = limits["worse_by_at_most"]
    if found.classify:
        return -_number(pair["low"]), limit, True, f"{name} below the baseline's, at worst"
    whole = found.evaluation["models"][found.baseline]["metrics"][name]["value"]
    return _number(pair["high"]) / whole, limit, True, f"{name} above the baseline's, at worst, as a share"


def _slices(found: Found, limits: Mapping[str, Any]) -> Answer:
    name = found.evaluation["metric"]
    whole = found.metric(name)["value"]
    worst, where = 0.0, "no slice is surely worse"
    for one in found.evaluation["slices"]:
        ends = one["models"][found.model]["interval"]
        low, high = _number(ends["low"]), _number(ends["high"])
        worse = whole - high if found.classify else low / whole - 1
        if math.isfinite(worse) and worse > worst:
            worst, where = worse, f"{name} of {one['column']} {one['value']} ({one['rows']} rows)"
    return worst, limits["worse_by_at_most"], True, where


def _calibration(found: Found, limits: Mapping[str, Any]) -> Answer:
    if found.classify:
        return (
            _number(found.metric("ece")["value"]),
            limits["ece_at_most"],
            True,
            "expected calibration error",
        )
    bias = abs(_number(found.metric("bias")["value"])) / found.spread
    return bias, limits["bias_at_most"], True, "mean error, in standard deviations"


def _fairness(found: Found, limits: Mapping[str, Any]) -> Answer:
    kinds = ("odds", "parity") if found.classify else ("error",)
    worst = (
        0.0,
        float(limits[f"{kinds[0]}_at_most"]),
        True,
        "the plan names no sensitive column, or too small groups",
    )
    share = -1.0
    for column, one in found.tried["fairness"].items():
        for kind in kinds:
            limit = float(limits[f"{kind}_at_most"])
            if one[kind] is not None and (near := _ratio(one[kind], limit)) > share:
                share, worst = near, (float(one[kind]), limit, True, f"{kind} by {column}")
    return worst


def _robustness(found: Found, limits: Mapping[str, Any]) -> Answer:
    kind, lost = _worst(found.tried["robustness"], "loss")
    limit = limits["loss_at_most" if found.classify else "r2_loss_at_most"]
    return lost, limit, True, f"skill lost on rows with {kind}"


def _invariance(found: Found, limits: Mapping[str, Any]) -> Answer:
    kind, share = _worst(found.tried["invariance"], "share")
    return share, limits["share_at_most"], True, f"rows that change with {kind}"


def _direction(found: Found, limits: Mapping[str, Any]) -> Answer:
    ways = found.tried["direction"]
    wrong = [column for column, one in ways.items() if not one["ok"]]
    share = 1 - len(wrong) / len(ways) if ways else 1.0
    return (
        share,
        limits["share_at_least"],
        False,
        f"against: {', '.join(wrong) or 'none'} of {len(ways)} columns",
    )


def _latency(found: Found, limits: Mapping[str, Any]) -> Answer:
    return (
        _number(found.tried["time"]["p99_ms"]),
        limits["p99_ms_at_most"],
        True,
        "99 of 100 single rows, in ms",
    )


def _size(found: Found, limits: Mapping[str, Any]) -> Answer:
    return found.tried["bytes"] / 1e6, limits["megabytes_at_most"], True, "the archive, in MB"


def _worst(told: Mapping[str, Mapping[str, Any]], key: str) -> tuple[str, float]:
    """The entry with the highest number; one that could not be told is the worst."""
    numbers = {name: _number(one[key]) for name, one in told.items()}
    name = max(numbers, key=lambda name: math.inf if math.isnan(numbers[name]) else numbers[name])
    return name, numbers[name]


def _number(value: float | None) -> float:
    """The number; NaN, which passes no gate, for what could not be told."""
    return math.nan if value is None else float(value)


def _ratio(value: float, limit: float) -> float:
    return value / limit if limit else math.inf if value else 0.0


GATES: Mapping[str, tuple[Callable[[Found, Mapping[str, Any]], Answer], tuple[str, ...]]] = {
    "skill": (_skill, ("auc_at_least", "r2_at_least")),
    "baseline": (_baseline, ("worse_by_at_most",)),
    "slices": (_slices, ("worse_by_at_most",)),
    "calibration": (_calibration, ("ece_at_most", "bias_at_most")),
    "fairness": (_fairness, ("odds_at_most", "parity_at_most", "error_at_most")),
    "robustness": (_robustness, ("loss_at_most", "r2_loss_at_most")),
    "invariance": (_invariance, ("share_at_most",)),
    "direction": (_direction, ("share_at_least",)),
    "latency": (_latency, ("p99_ms_at_most",)),
    "size": (_size, ("megabytes_at_most",)),
}
"""By name: what measures it, and the limits that it takes."""
