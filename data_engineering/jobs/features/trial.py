"""Which features earn their place: selection, then one group after the other, each judged on the same folds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import judge
import numpy as np
import recipe
import transformer
from splits import BadInput, Seen

SLACK = 10
"""What a column of noise may cost at the lower end of the interval, in `least_gain`."""


@dataclass(frozen=True)
class Judged:
    """The groups that stay, whether columns of noise go, and what was found."""

    kept: tuple[str, ...]
    select: bool
    told: dict[str, Any]


def judged(seen: Seen, schema: Mapping[str, Any], chosen: argparse.Namespace) -> Judged:
    """Tries selection, then one group after the other on top of what has stayed so far; everything is fitted inside the folds."""
    classify = schema["problem"] == "classification"
    rule, made = judge.folds(seen.ids, seen.times, seen.y, chosen.folds, classify=classify, seed=chosen.seed)
    if len(made) < judge.LEAST:
        raise BadInput(
            f"{len(seen.y):,} rows of train make only {len(made)} folds in which both sides have different answers.",
            "Bring more rows, or more of the rare answer; or take fewer --folds.",
        )
    measured = _measure(seen, made, schema, chosen)
    kept = list(chosen.start)
    base = now = measured(kept, select=False)
    steps, select = [], False
    if chosen.select == "try":
        change = measured(kept, select=True)
        _, told = seen.fit(schema, [], select=True, seed=chosen.seed)
        step, select = _step("noise out", "selection", now, change, made, chosen.least_gain)
        steps.append({**step, "columns": [one["column"] for one in told if not one["says"]]})
        now = change if select else now
    for name in (name for name in chosen.groups if name not in chosen.start):
        kind, _, lacking = recipe.GROUPS[name]
        fitted, _ = seen.fit(schema, [name], select=select, seed=chosen.seed)
        columns = [s["name"] for s in fitted["features"] if s["group"] == name]
        if not columns:
            steps.append(
                {"step": name, "kind": kind, "columns": [], "kept": False, "why": f"not tried: {lacking}"}
            )
            continue
        change = measured([*kept, name], select=select)
        step, stays = _step(name, kind, now, change, made, chosen.least_gain)
        if kind == "control":
            step |= {"kept": False, "gains": stays, "why": "random numbers: they are only tried"}
            stays = False
        steps.append({**step, "columns": columns})
        if stays:
            kept, now = [*kept, name], change
    mean, low, high = judge.interval(np.subtract(now, base).tolist(), made)
    return Judged(
        tuple(kept),
        select,
        {
            "measure": "AUC" if classify else "R²",
            "model": chosen.model,
            "start": list(chosen.start),
            "folds": {"rule": rule, "rows": [[len(f.fitted), len(f.held)] for f in made]},
            "least_gain": chosen.least_gain,
            "base": base,
            "steps": steps,
            "end": now,
            "total": {"mean": mean, "low": low, "high": high},
        },
    )


def _measure(
    seen: Seen, made: Sequence[judge.Fold], schema: Mapping[str, Any], chosen: argparse.Namespace
) -> Callable[..., list[float]]:
    """The function that gives a set of groups its score in each fold."""

    def measured(groups: Sequence[str], *, select: bool) -> list[float]:
        scores = []
        for fold in made:
            fitted, held = seen.part(fold.fitted), seen.part(fold.held)
            learned, _ = fitted.fit(schema, groups, select=select, seed=chosen.seed)
            new = held.table.drop(columns=transformer.FOLD)  # later rows are in no fold
            specs, onehot = learned["features"], chosen.model == "linear"
            known, unknown = (
                judge.matrix(transformer.apply(table, learned), specs, onehot=onehot)
                for table in (fitted.table, new)
            )
            kind = f"{schema['problem']} {chosen.model}"
            words = [at for at, spec in enumerate(specs) if "categories" in spec]
            scores.append(judge.score(known, unknown, fitted.y, fitted.weight, held.y, kind, words))
        return scores

    return measured


def _step(
    name: str,
    kind: str,
    now: Sequence[float],
    change: Sequence[float],
    made: Sequence[judge.Fold],
    least: float,
) -> tuple[dict[str, Any], bool]:
    """What a change brings in each fold, and whether it is done.

    A group must gain, for sure: the interval is above 0. What goes as noise may cost `least`, and for sure no more than `SLACK`
    times that: with few rows nobody can tell noise from a weak column, and nothing goes then.
    """
    differences = np.subtract(change, now).tolist()
    mean, low, high = judge.interval(differences, made)
    if kind == "selection":
        done = mean >= -least and low >= -SLACK * least
        why = "costs nothing to speak of" if done else "it may cost too much: too few rows to be sure"
        if mean < -least:
            why = "without them the model is worse"
    else:
        done = mean >= least and low > 0
        why = "earns its place" if done else "gains too little, or not for sure"
    told = {"step": name, "kind": kind, "columns": [], "differences": differences}
    return {**told, "mean": mean, "low": low, "high": high, "kept": done, "why": why}, done
