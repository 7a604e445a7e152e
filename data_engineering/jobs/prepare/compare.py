"""What balancing and augmenting are worth: one small model, fixed, fitted on each train, judged by the same validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import balance
import duckdb
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from threadpoolctl import threadpool_limits

ROWS = 20_000
"""Rows of train, and of validation, that are compared on; a larger split is sampled by its rows' numbers."""
DRAWS = 200
JITTER = 0.1
"""The standard deviation of what jitter adds, in standard deviations of the column."""


def compared(train: Path, validation: Path, schema: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """For none, weights, smote (the latter two with labels) and jitter: rows, score, gain over none, and their 95 % intervals.

    The score is AUC, or R² for regression, on validation as it is. Intervals are percentiles of `DRAWS` bootstraps of its rows,
    the same rows for all, so that a gain's interval is that of the difference. Empty if validation has one label.
    """
    fitted, held = _rows(train, schema), _rows(validation, schema)
    target, classify = schema["target"], schema["problem"] == "classification"
    if classify and min(fitted[target].nunique(), held[target].nunique()) < 2:
        return []
    truth = held[target].to_numpy(dtype=float)
    answers, rows = {}, {}
    for name, frame, weight in _ways(fitted, schema, seed):
        answers[name], rows[name] = _answers(frame, weight, held, schema, seed), len(frame)
    draw = np.random.default_rng(seed)
    measure = roc_auc_score if classify else r2_score
    scores: dict[str, list[float]] = {name: [] for name in answers}
    for _ in range(DRAWS):
        some = draw.integers(0, len(truth), len(truth))
        if np.ptp(truth[some]) == 0:
            continue
        for name, answer in answers.items():
            scores[name].append(float(measure(truth[some], answer[some])))
    base = np.array(scores["none"])
    found = []
    for name, answer in answers.items():
        own = np.array(scores[name])
        entry: dict[str, Any] = {"what": name, "rows": rows[name], "score": float(measure(truth, answer))}
        entry["gain"] = entry["score"] - float(measure(truth, answers["none"]))
        entry["low"], entry["high"] = (float(q) for q in np.quantile(own, [0.025, 0.975]))
        entry["gain_low"], entry["gain_high"] = (float(q) for q in np.quantile(own - base, [0.025, 0.975]))
        found.append({k: round(v, 6) if isinstance(v, float) else v for k, v in entry.items()})
    return found


def _rows(folder: Path, schema: Mapping[str, Any]) -> pd.DataFrame:
    file = "'" + str(folder / "*.parquet").replace("'", "''") + "'"
    number = '"' + schema["row_number"].replace('"', '""') + '"'
    with duckdb.connect() as db:
        ((rows,),) = db.execute(f"select count(*) from read_parquet({file})").fetchall()
        step = -(-rows // ROWS)
        query = f"select * from read_parquet({file}) where hash({number}) % {step} = 0 order by {number}"
        return db.execute(query).df()


def _ways(
    fitted: pd.DataFrame, schema: Mapping[str, Any], seed: int
) -> list[tuple[str, pd.DataFrame, np.ndarray]]:
    """Each way's name, rows and weights. Synthetic rows that the table has already are not taken along."""
    real = fitted[~fitted[schema["synthetic"]]]
    target, specs = schema["target"], schema["features"]
    numbers = [s["name"] for s in specs if s["kind"] == "numeric"]
    texts = [s["name"] for s in specs if s["kind"] == "category"]
    ways = [("none", real, np.ones(len(real)))]
    if schema["problem"] == "classification":
        share = real[target].map(real[target].value_counts(normalize=True))
        ways.append(("weights", real, (0.5 / share).to_numpy()))
        if real[target].value_counts().min() > 1:
            marks = [s["indicator"] for s in specs if s.get("indicator")]
            new = balance.smote(real, numbers, [*texts, *marks], target, seed)
            both = pd.concat([real, new.astype(dict.fromkeys(marks, float))], ignore_index=True)
            ways.append(("smote", both, np.ones(len(both))))
    if numbers:
        values = real[numbers].to_numpy(dtype=float)
        noise = np.random.default_rng(seed).normal(0, JITTER, values.shape) * values.std(axis=0)
        moved = real.assign(**dict(zip(numbers, (values + noise).T, strict=True)))
        both = pd.concat([real, moved], ignore_index=True)
        ways.append(("jitter", both, np.ones(len(both))))
    return ways


def _answers(
    frame: pd.DataFrame, weight: np.ndarray, held: pd.DataFrame, schema: Mapping[str, Any], seed: int
) -> np.ndarray:
    """What the small model says to the held rows."""
    settings = {"max_iter": 60, "max_leaf_nodes": 15, "early_stopping": False, "random_state": seed}
    classify = schema["problem"] == "classification"
    model: Any = (HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor)(**settings)
    x = _coded(held, schema)
    with threadpool_limits(1):  # threads that wait for each other are far slower where cores are shared
        model.fit(_coded(frame, schema), frame[schema["target"]], sample_weight=weight)
        return np.asarray(model.predict_proba(x)[:, 1] if classify else model.predict(x))


def _coded(frame: pd.DataFrame, schema: Mapping[str, Any]) -> np.ndarray:
    """Features as numbers: a category is its place in the schema's list, the most frequent of train first."""
    columns = []
    for spec in schema["features"]:
        values = frame[spec["name"]]
        if spec["kind"] == "category":
            values = values.map({c: at for at, c in enumerate(spec["categories"])})
        columns += [values, *([frame[spec["indicator"]]] if spec.get("indicator") else [])]
    return np.column_stack([c.to_numpy(dtype=float) for c in columns])
