"""The models: a linear baseline, and boosted trees; how they learnt, and what contributes to them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import evaluation
import inference
import joblib
import lightgbm as lgb
import numpy as np
from inputs import Part
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

CURVE = (0.1, 0.25, 0.5, 1.0)
"""Shares of train for the baseline's learning curve; boosting's is by iteration."""
EVERY = 10
"""Iterations between two points of boosting's curve."""
CURVE_ROWS = 50_000

Recipe = Mapping[str, Any]
"""What features are made of (transformer.json)."""


def pipeline(recipe: Recipe, chosen: argparse.Namespace) -> Pipeline:
    """One-hot categories and a linear model: logistic regression, or ridge regression."""
    categories = {s["name"]: s["categories"] for s in recipe["features"] if "categories" in s}
    encoder = OneHotEncoder(categories=list(categories.values()), sparse_output=False)
    encode = ColumnTransformer([("categories", encoder, list(categories))], remainder="passthrough")
    if recipe["prepared"]["problem"] == "regression":
        return Pipeline([("encode", encode), ("model", Ridge(alpha=chosen.regularization))])
    model = LogisticRegression(C=1 / chosen.regularization, max_iter=2000)
    return Pipeline([("encode", encode), ("model", model)])


def baseline(
    parts: Mapping[str, Part], recipe: Recipe, chosen: argparse.Namespace
) -> tuple[Pipeline, str, list[dict[str, float]]]:
    """The linear model, its file's name, and its curve over shares of train (the same rows in every run)."""
    part, curve = parts["train"], []
    order = np.random.default_rng(chosen.seed).permutation(len(part.target))
    name = "rmse" if recipe["prepared"]["problem"] == "regression" else "logloss"
    for share in CURVE:
        some = np.sort(order[: max(2, round(share * len(order)))])
        if name == "logloss" and len(np.unique(part.target[some])) < 2:
            continue
        model = pipeline(recipe, chosen)
        model.fit(part.features.iloc[some], part.target[some], model__sample_weight=part.weight[some])
        seen = {"train": (part.features.iloc[some], part.target[some])}
        seen["validation"] = parts["validation"].features, parts["validation"].target
        losses = {
            split: evaluation.loss(y, inference.score(model, x, recipe), name)
            for split, (x, y) in seen.items()
        }
        curve.append(tell({"step": len(some), **losses}, name))
    return model, "model.joblib", curve


def boosting(
    parts: Mapping[str, Part], recipe: Recipe, chosen: argparse.Namespace
) -> tuple[lgb.Booster, str, list[dict[str, float]]]:
    """LightGBM, stopped where validation no longer gains (AUC, or RMSE), its file's name, and its curve by iteration."""
    classify = recipe["prepared"]["problem"] == "classification"
    many = len(parts["train"].target) > inference.MANY
    threads = chosen.threads or ((os.cpu_count() or 1) if many else 1)
    parameters = {
        "objective": "binary" if classify else "regression",
        "metric": "auc" if classify else "rmse",
        "learning_rate": chosen.learning_rate,
        "num_leaves": chosen.num_leaves,
        "max_depth": chosen.max_depth,
        "min_data_in_leaf": chosen.min_child_samples,
        "feature_fraction": chosen.feature_fraction,
        "bagging_fraction": chosen.bagging_fraction,
        "bagging_freq": 1 if chosen.bagging_fraction < 1 else 0,
        "lambda_l2": chosen.lambda_l2,
        "seed": chosen.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }
    categories = [at for at, spec in enumerate(recipe["features"]) if "categories" in spec]
    codes = {name: inference.codes(part.features, recipe) for name, part in parts.items()}
    train_set = lgb.Dataset(
        codes["train"],
        parts["train"].target,
        weight=parts["train"].weight,
        categorical_feature=categories,
        params={"num_threads": threads},
    )
    valid_set = lgb.Dataset(codes["validation"], parts["validation"].target, reference=train_set)
    curve = Curve(
        codes, {n: p.target for n, p in parts.items()}, "logloss" if classify else "rmse", chosen.seed
    )
    callbacks: list[Any] = [curve]
    if chosen.early_stopping > 0:
        callbacks.append(lgb.early_stopping(chosen.early_stopping, verbose=False))
    model = lgb.train(parameters, train_set, chosen.iterations, valid_sets=[valid_set], callbacks=callbacks)
    return model, "model.txt", curve.points


class Curve:
    """A LightGBM callback: every `EVERY` iterations a point of the learning curve, unweighted, on up to `CURVE_ROWS` rows of
    each split, so that train and validation can be compared and a large train costs no more."""

    before_iteration = False
    order = 25  # before early stopping, which ends the training with an exception at 30

    def __init__(
        self, codes: dict[str, np.ndarray], targets: dict[str, np.ndarray], name: str, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        some = {split: rng.permutation(len(y))[:CURVE_ROWS] for split, y in targets.items()}
        self.codes = {split: codes[split][rows] for split, rows in some.items()}
        self.targets = {split: targets[split][rows] for split, rows in some.items()}
        self.sums = {split: np.zeros(len(rows)) for split, rows in some.items()}
        self.name, self.done, self.points = name, 0, list[dict[str, float]]()

    def __call__(self, state: Any) -> None:
        """Adds the trees since the last point to each row's sum, so that a point costs `EVERY` trees and not all."""
        step = state.iteration + 1
        if step % EVERY and step not in (1, state.end_iteration):
            return
        point: dict[str, float] = {"step": step}
        for split, codes in self.codes.items():
            self.sums[split] += state.model.predict(
                codes,
                start_iteration=self.done,
                num_iteration=step - self.done,
                raw_score=True,
                num_threads=1,
            )
            scores = 1 / (1 + np.exp(-self.sums[split])) if self.name == "logloss" else self.sums[split]
            point[split] = evaluation.loss(self.targets[split], scores, self.name)
        self.done = step
        self.points.append(tell(point, self.name))


def tell(point: dict[str, float], name: str) -> dict[str, float]:
    """Prints a point of the learning curve, and returns it."""
    print(
        f"curve step={point['step']} train_{name}={point['train']:.6f} validation_{name}={point['validation']:.6f}"
    )
    return point


def importance(fitted: Any, recipe: Recipe) -> dict[str, float]:
    """What each feature contributes, as shares of 1: gain for boosting, absolute coefficients for the linear model."""
    names = inference.names(recipe)
    if isinstance(fitted, lgb.Booster):
        amounts = dict(zip(names, fitted.feature_importance("gain"), strict=True))
    else:
        amounts = dict.fromkeys(names, 0.0)
        encoder = fitted.named_steps["encode"]
        sizes = {s["name"]: len(s["categories"]) for s in recipe["features"] if "categories" in s}
        order = [n for n in names if n in sizes for _ in range(sizes[n])] + [
            n for n in names if n not in sizes
        ]
        assert len(order) == len(encoder.get_feature_names_out())
        for name, weight in zip(order, np.abs(np.ravel(fitted.named_steps["model"].coef_)), strict=True):
            amounts[name] = max(amounts[name], weight)
    total = sum(amounts.values()) or 1.0
    return {n: float(a / total) for n, a in sorted(amounts.items(), key=lambda item: (-item[1], item[0]))}


def save(fitted: Any, file: Path) -> None:
    """The model: LightGBM as its own text, scikit-learn by joblib (read by the version of the image that trained it)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(fitted, lgb.Booster):
        fitted.save_model(str(file), num_iteration=fitted.best_iteration)
    else:
        joblib.dump(fitted, file)
