"""How a model treats groups: rates by group and the largest differences, by fairlearn. https://fairlearn.org/main/user_guide"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)

LEAST = 30
"""A group of fewer rows is left out: its rates tell of nothing but chance."""


def large(groups: np.ndarray, target: np.ndarray, problem: str) -> np.ndarray:
    """Which rows are in groups that can be judged: large enough and, for classification, with both labels."""
    keep = np.zeros(len(groups), dtype=bool)
    for group in set(groups):
        inside = groups == group
        enough = inside.sum() >= LEAST
        keep |= inside & bool(enough and (problem == "regression" or len(set(target[inside])) == 2))
    return keep


def classification(target: np.ndarray, said: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Rates by group, and the largest difference between two groups in who is said to be positive (demographic parity), and in
    true or false positive rates (equalized odds). Fewer than two groups that can be judged: the differences are None."""
    keep = large(groups, target, "classification")
    left_out = sorted(set(groups) - set(groups[keep]))
    if len(set(groups[keep])) < 2:
        return {"groups": {}, "left_out": left_out, "parity": None, "odds": None}
    y, guess, who = target[keep].astype(int), said[keep].astype(int), groups[keep]
    rates: dict[str, Any] = {
        "selected": selection_rate,
        "hit_rate": true_positive_rate,
        "false_alarm_rate": false_positive_rate,
    }
    frame = MetricFrame(metrics=rates, y_true=y, y_pred=guess, sensitive_features=who)
    told = {
        str(g): {"rows": int((who == g).sum()), **row}
        for g, row in pd.DataFrame(frame.by_group).to_dict("index").items()
    }
    return {
        "groups": told,
        "left_out": left_out,
        "parity": float(demographic_parity_difference(y, guess, sensitive_features=who)),
        "odds": float(equalized_odds_difference(y, guess, sensitive_features=who)),
    }


def regression(target: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Mean error by group, and the largest difference between two groups in standard deviations of the target."""
    keep = large(groups, target, "regression")
    left_out = sorted(set(groups) - set(groups[keep]))
    if len(set(groups[keep])) < 2:
        return {"groups": {}, "left_out": left_out, "error": None}
    frame = MetricFrame(
        metrics={"mean_error": lambda y, s: float(np.mean(s - y))},
        y_true=target[keep],
        y_pred=scores[keep],
        sensitive_features=groups[keep],
    )
    told = {
        str(g): {"rows": int((groups[keep] == g).sum()), **row}
        for g, row in pd.DataFrame(frame.by_group).to_dict("index").items()
    }
    return {
        "groups": told,
        "left_out": left_out,
        "error": float(pd.Series(frame.difference())["mean_error"] / (target.std() or 1)),
    }
