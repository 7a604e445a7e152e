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
from progress import Checkpoints, Progress, tell
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

CURVE = (0.1, 0.25, 0.5, 1.0)
"""Shares of train for the baseline's learning curve; boosting's is by iteration."""

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
    targets = {name: part.target for name, part in parts.items()}
    identity = [parameters | {"num_threads": 0}, recipe, chosen.early_stopping]
    identity += [[float(a.sum()) for a in (*codes.values(), *targets.values(), parts["train"].weight)]]
    progress = Progress(
        codes,
        targets,
        classify=classify,
        patience=chosen.early_stopping,
        seed=chosen.seed,
        checkpoints=Checkpoints(chosen.checkpoints, identity),
    )
    model = lgb.Booster(model_str=progress.model) if progress.model else None
    if not progress.done(chosen.iterations):
        # Samples of rows and features begin anew where training goes on, so they get a seed of their own.
        model = lgb.train(
            parameters | {"seed": chosen.seed + progress.step},
            train_set,
            chosen.iterations - progress.step,
            valid_sets=[valid_set],
            callbacks=[progress],
            init_model=model,
        )
    assert model is not None
    if chosen.early_stopping:
        model.best_iteration = int(progress.best[0])
    return model, "model.txt", progress.points


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
