"""How good the predictions were, for the rows whose labels have come by now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from capture import Exchange

DRAWS = 400
FEW = 50
"""Labelled rows below which no quality is told: the interval would say nothing."""


def judged(
    exchanges: Sequence[Exchange],
    labels: Path,
    schema: Mapping[str, Any],
    promised: float | None,
    worse: float,
    seed: int,
) -> dict[str, Any]:
    """Quality of the labelled rows: `metric`, `value` with `low` and `high` (95%, bootstrap), `promised`, `labelled`, and `loss`.

    `loss`: how much worse than promised for sure, beyond what is allowed: 0.0 is not worse; None where nobody can say. For AUC it is a
    difference, for RMSE a share.
    """
    known = read(labels)
    classify = schema["problem"] != "regression"
    found = [
        (float(prediction.get("probability", prediction["prediction"])), known[one.name, at])
        for one in exchanges
        for at, prediction in enumerate(one.predictions)
        if (one.name, at) in known
    ]
    told: dict[str, Any] = {
        "metric": "auc" if classify else "rmse", "promised": promised, "labelled": len(found), "loss": None,
        "value": None, "low": None, "high": None,
    }  # fmt: skip
    if len(found) < FEW:
        return told
    score = np.array([one for one, _ in found])
    label = np.array(
        [str(one) == str(schema["positive"]) if classify else float(one) for _, one in found], dtype=float
    )
    measure = auc if classify else rmse
    if classify and label.min() == label.max():
        return told
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        at = rng.integers(0, len(label), len(label))
        if not classify or label[at].min() < label[at].max():
            drawn.append(measure(label[at], score[at]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    told |= {"value": measure(label, score), "low": float(low), "high": float(high)}
    if promised is not None:
        beyond = promised - worse - high if classify else low / promised - 1 - worse
        told["loss"] = max(0.0, float(beyond))
    return told


def read(labels: Path) -> dict[tuple[str, int], Any]:
    """Labels by the name of the request and the number of its row."""
    found = {}
    for file in sorted(labels.rglob("*.jsonl")) if labels.is_dir() else []:
        for line in file.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            found[one["inference_id"], one["row"]] = one["label"]
    return found


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """The chance that a positive row has a higher score than a negative one; ties count half."""
    from scipy.stats import rankdata

    ranks, positive = rankdata(score), label > 0
    count = positive.sum()
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(label) - count)))


def rmse(label: np.ndarray, score: np.ndarray) -> float:
    """The root of the mean squared error."""
    return float(np.sqrt(np.mean((label - score) ** 2)))
