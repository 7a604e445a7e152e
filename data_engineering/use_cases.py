"""Where a feature store would pay: use cases scored by weighted criteria. The file says what each criterion asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from kit.errors import PlanError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "ranked", "read", "steady"]

BEST = 5


def read(file: Path) -> tuple[dict[str, Any], pd.DataFrame, dict[str, float]]:
    """The criteria (by name: asks, weight), the scores (use cases by criteria) and the verdicts (word: least percentage).

    Raises:
        PlanError: the file cannot be read, a weight is not positive, or a score is missing, unknown or not from 0 to 5.
    """
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        criteria, cases, verdicts = found["criteria"], found["use_cases"], found["verdicts"]
        weights = {name: float(one["weight"]) for name, one in criteria.items()}
        scores = {name: dict(one["scores"]) for name, one in cases.items()}
        least = {word: float(value) for word, value in verdicts.items()}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise PlanError(
            f"{file.name} cannot be read: {error}.", "It holds criteria, use_cases and verdicts."
        ) from None
    for name, weight in weights.items():
        if not weight > 0:
            raise PlanError(f"{file.name} › {name}: the weight is {weight:g}.", "Give a number above 0.")
    for case, given in scores.items():
        if strange := [name for name in given if name not in criteria]:
            raise PlanError(
                f'{file.name} › {case}: there is no criterion "{strange[0]}".',
                did_you_mean(strange[0], criteria),
            )
        for name in criteria:
            value = given.get(name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= BEST:
                raise PlanError(
                    f"{file.name} › {case} › {name}: the score is {value}.",
                    f"Give a number from 0 to {BEST}.",
                )
    table = pd.DataFrame.from_dict(scores, orient="index")[list(criteria)].astype(float)
    return criteria, table, least


def ranked(criteria: Mapping[str, Any], scores: pd.DataFrame, verdicts: Mapping[str, float]) -> pd.DataFrame:
    """Use cases, the best first: what each criterion adds (in percent of what is possible), their sum, and the verdict."""
    weights = pd.Series({name: float(one["weight"]) for name, one in criteria.items()})
    parts = 100 * scores * weights / (BEST * weights.sum())
    total = parts.sum(axis=1)
    words = sorted(verdicts, key=lambda word: -verdicts[word])
    said = [next((word for word in words if value >= verdicts[word]), words[-1]) for value in total]
    table = parts.assign(total=total, verdict=said)
    return table.sort_values("total", ascending=False, kind="stable")


def steady(
    criteria: Mapping[str, Any], scores: pd.DataFrame, verdicts: Mapping[str, float]
) -> dict[str, bool]:
    """Whether the first use case stays the first when one weight is doubled or halved, by that change."""
    first = ranked(criteria, scores, verdicts).index[0]
    found = {}
    for name, one in criteria.items():
        for word, factor in (("doubled", 2.0), ("halved", 0.5)):
            changed = {**criteria, name: {**one, "weight": one["weight"] * factor}}
            found[f"{name} {word}"] = ranked(changed, scores, verdicts).index[0] == first
    return found


def draw(ax: Axes, table: pd.DataFrame, verdicts: Mapping[str, float]) -> None:
    """The rows of `ranked` as stacked bars, the best on top, with a line where each verdict begins."""
    shown = table.iloc[::-1]
    left = pd.Series(0.0, shown.index)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for name in shown.columns.drop(["total", "verdict"]):
        ax.barh(shown.index, shown[name], left=left, label=name)
        left += shown[name]
    for at, (total, verdict) in enumerate(zip(shown["total"], shown["verdict"], strict=True)):
        ax.text(total + 1, at, f"{total:.0f} · {verdict}", va="center", bbox=white)
    for least in verdicts.values():
        if least > 0:
            ax.axvline(least, color="black", linewidth=0.8, linestyle="--")
    ax.set_xlim(0, 110)
