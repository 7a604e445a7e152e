"""How good a model's scores are: plain numbers for metrics, and the points that a report draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import metrics


def classification(target: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """Metrics of the scores (chance of the positive label) of rows with 0/1 labels of both classes."""
    said = (scores >= threshold).astype(int)
    return {
        "auc": float(metrics.roc_auc_score(target, scores)),
        "average_precision": float(metrics.average_precision_score(target, scores)),
        "logloss": logloss(target, scores),
        "brier": float(np.mean((scores - target) ** 2)),
        "accuracy": float(metrics.accuracy_score(target, said)),
        "precision": float(metrics.precision_score(target, said, zero_division=0)),
        "recall": float(metrics.recall_score(target, said)),
        "f1": float(metrics.f1_score(target, said)),
    }


def regression(target: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Metrics of predicted numbers, in the target's own unit except for R²."""
    error = scores - target
    return {
        "rmse": rmse(target, scores),
        "mae": float(np.mean(np.abs(error))),
        "bias": float(np.mean(error)),
        "r2": float(metrics.r2_score(target, scores)),
    }


def logloss(target: np.ndarray, scores: np.ndarray) -> float:
    """Mean negative log likelihood in nats."""
    return float(-np.mean(np.log(np.clip(np.where(target == 1, scores, 1 - scores), 1e-15, 1.0))))


def rmse(target: np.ndarray, scores: np.ndarray) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.mean((scores - target) ** 2)))


def loss(target: np.ndarray, scores: np.ndarray, name: str) -> float:
    """The learning curve's metric, "logloss" or "rmse"; unweighted, so that train and validation can be compared."""
    return logloss(target, scores) if name == "logloss" else rmse(target, scores)


def curves(target: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """What a report draws of a classifier: the ROC curve (up to 101 points) and calibration in ten bins of equal size."""
    false, true, _ = metrics.roc_curve(target, scores)
    at = np.unique(np.linspace(0, len(false) - 1, 101).round().astype(int))
    order = np.array_split(np.argsort(scores, kind="stable"), min(10, len(scores)))
    return {
        "roc": {"false_positive": false[at].tolist(), "true_positive": true[at].tolist()},
        "calibration": [
            {"score": float(scores[part].mean()), "share": float(target[part].mean()), "rows": len(part)}
            for part in order
        ],
    }


def by_group(groups: np.ndarray, target: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, Any]:
    """Per group: its rows, its share of positives, the share that is predicted positive, and its AUC if it has both classes."""
    found: dict[str, Any] = {}
    for group in sorted(set(groups)):
        y, s = target[groups == group], scores[groups == group]
        found[str(group)] = {
            "rows": len(y),
            "positive_share": float(y.mean()),
            "predicted_share": float((s >= threshold).mean()),
            "auc": float(metrics.roc_auc_score(y, s)) if 0 < y.mean() < 1 else None,
        }
    return found


def lines(split: str, values: Mapping[str, float]) -> list[str]:
    """`validation:auc=0.812345`, one a metric: the form that the training job's metric definitions read."""
    return [f"{split}:{name}={value:.6f}" for name, value in values.items()]
