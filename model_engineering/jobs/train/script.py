"""Trains a model on what the prepare job made: the training job of M1.

Channels: train and validation (Parquet), and schema (schema.json; it may lie in train as well). Writes the model with its
schema, metrics and inference code to SM_MODEL_DIR, and evaluation.json to SM_OUTPUT_DATA_DIR. Metrics are printed one a line, as
`validation:auc=0.812345`; the learning curve as `curve step=10 train_logloss=0.412345 validation_logloss=0.431234`.

The inference code goes into the model as code/: one model.tar.gz is then enough to deploy, register or batch-transform, with
SAGEMAKER_PROGRAM=inference.py and SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/model/code, and no step has to repack it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Threads that find nothing to do sleep. By default they spin, and on a busy machine a second's training then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the libraries below are loaded

import evaluation
import inference
import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

CURVE = (0.1, 0.25, 0.5, 1.0)
"""Shares of train for the baseline's learning curve; boosting's is by iteration."""
EVERY = 10
"""Iterations between two points of boosting's curve."""
CURVE_ROWS = 50_000


class BadInput(Exception):
    """The job cannot do its work: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """Hyperparameters and paths. SageMaker sends a hyperparameter as --name value, with dashes or underscores as it was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)

    def add(name: str, **settings: Any) -> None:
        parser.add_argument(*dict.fromkeys([f"--{name}", f"--{name.replace('-', '_')}"]), **settings)

    add("algorithm", choices=["baseline", "boosting"], default="boosting")
    add("seed", type=int, default=0)
    add(
        "threads",
        type=int,
        default=0,
        help="the result does not depend on it; 0: as many as the rows are worth",
    )
    add("regularization", type=float, default=1.0, help="baseline: strength, in scikit-learn's 1/C and alpha")
    add("learning-rate", type=float, default=0.05, help="boosting")
    add("num-leaves", type=int, default=31, help="boosting")
    add("max-depth", type=int, default=-1, help="boosting; -1: no limit")
    add("min-child-samples", type=int, default=20, help="boosting: least rows in a leaf")
    add("feature-fraction", type=float, default=1.0, help="boosting: share of features a tree sees")
    add("bagging-fraction", type=float, default=1.0, help="boosting: share of rows a tree sees")
    add("lambda-l2", type=float, default=0.0, help="boosting")
    add("iterations", type=int, default=1000, help="boosting: the most")
    add("early-stopping", type=int, default=50, help="boosting: iterations without gain on validation")
    add("threshold", type=float, default=0.5, help="score from which the label is the positive one")
    opt = Path("/opt/ml")
    channel = opt / "input" / "data"
    for name, variable, default in (
        ("train", "SM_CHANNEL_TRAIN", channel / "train"),
        ("validation", "SM_CHANNEL_VALIDATION", channel / "validation"),
        ("schema", "SM_CHANNEL_SCHEMA", channel / "schema"),
        ("model-dir", "SM_MODEL_DIR", opt / "model"),
        ("output-data-dir", "SM_OUTPUT_DATA_DIR", opt / "output" / "data"),
        ("output-dir", "SM_OUTPUT_DIR", opt / "output"),
    ):
        add(name, type=Path, default=Path(os.environ.get(variable) or default))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code. A failure is two lines on stderr and in the failure file."""
    chosen = options(argv)
    try:
        train(chosen)
        return 0
    except BadInput as error:
        print(error, file=sys.stderr)
        if chosen.output_dir.is_dir():
            (chosen.output_dir / "failure").write_text(str(error), encoding="utf-8")
        return 1


@dataclass(frozen=True)
class Part:
    """A split: its features, its target, what each row weighs, and the groups of sensitive columns."""

    features: pd.DataFrame
    target: np.ndarray
    weight: np.ndarray
    groups: dict[str, np.ndarray]


def train(chosen: argparse.Namespace) -> None:
    """The whole job.

    Raises:
        BadInput: a channel or the schema is missing, has no rows or lacks columns, or a split has one class.
    """
    schema = read_schema([chosen.schema, chosen.train])
    parts = {name: read(getattr(chosen, name), name, schema) for name in ("train", "validation")}
    with threadpool_limits(1, user_api="blas"):  # sums in one order, and no threads that wait for each other
        fitted, file, curve = (baseline if chosen.algorithm == "baseline" else boosting)(
            parts, schema, chosen
        )
    scores = {name: inference.score(fitted, part.features, schema) for name, part in parts.items()}
    found = {
        name: measure(part.target, scores[name], schema, chosen.threshold) for name, part in parts.items()
    }
    for name, values in found.items():
        print("\n".join(evaluation.lines(name, values)))
    about = {
        "algorithm": chosen.algorithm,
        "problem": schema["problem"],
        "file": file,
        "threshold": chosen.threshold,
        "rows": {name: len(part.target) for name, part in parts.items()},
        "seed": chosen.seed,
        "libraries": {
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "lightgbm": lgb.__version__,
        },
    }
    told: dict[str, Any] = {
        **about,
        "metrics": found,
        "curve": curve,
        "importance": importance(fitted, schema),
    }
    if schema["problem"] == "classification":
        told |= evaluation.curves(parts["validation"].target, scores["validation"])
        told["groups"] = {
            name: evaluation.by_group(
                values, parts["validation"].target, scores["validation"], chosen.threshold
            )
            for name, values in parts["validation"].groups.items()
        }
    if isinstance(fitted, lgb.Booster):
        told["trees"] = fitted.best_iteration if fitted.best_iteration > 0 else fitted.current_iteration()
    save(fitted, chosen.model_dir / file)
    for name, content in (("schema", schema), ("model", about), ("metrics", found)):
        write(chosen.model_dir / f"{name}.json", content)
    write(chosen.output_data_dir / "evaluation.json", told)
    code = chosen.model_dir / "code"
    code.mkdir(exist_ok=True)
    for source in ("inference.py", "requirements.txt"):
        shutil.copyfile(Path(__file__).with_name(source), code / source)


def read_schema(folders: Sequence[Path]) -> dict[str, Any]:
    """The schema in the first of the folders that has one."""
    for folder in folders:
        if (file := folder / "schema.json").is_file():
            schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return schema
    raise BadInput(
        f"There is no schema.json in {' or '.join(str(f) for f in folders)}.",
        "Give the channel schema the report folder of the prepare job.",
    )


def read(folder: Path, name: str, schema: dict[str, Any]) -> Part:
    """A split from the Parquet files of its channel."""
    files = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise BadInput(
            f"The channel {name} has no Parquet file.", "Give it the prepare job's output of that name."
        )
    features, groups = inference.names(schema), [g["column"] for g in schema["groups"].values()]
    columns = [*features, schema["target"], schema["weight"], *groups]
    try:
        there = set.intersection(*(set(pq.read_schema(f).names) for f in files))
        wanted = [c for c in columns if c in there]
        table = pd.concat([pd.read_parquet(f, columns=wanted) for f in files], ignore_index=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"The channel {name} cannot be read: {error}.", "Run the prepare job again.") from None
    if lacking := [c for c in columns if c not in there]:
        raise BadInput(
            f"The channel {name} lacks {', '.join(lacking[:8])}.",
            "Train on splits and schema of the same run of the prepare job.",
        )
    if table.empty:
        raise BadInput(
            f"The channel {name} has no rows.", "Look at the split in the prepare job's report.json."
        )
    target = table[schema["target"]].to_numpy(dtype=float)
    if np.isnan(target).any():
        raise BadInput(
            f"Rows of {name} have no {schema['target']}.", "Run the prepare job again: it refuses such rows."
        )
    if schema["problem"] == "classification" and len(np.unique(target)) < 2:
        raise BadInput(
            f"Every row of {name} has the same {schema['target']}, {target[0]:g}.",
            "Take a longer period, or other shares for the splits.",
        )
    named = {n: table[g["column"]].to_numpy() for n, g in schema["groups"].items()}
    return Part(table[features], target, table[schema["weight"]].to_numpy(dtype=float), named)


def measure(
    target: np.ndarray, scores: np.ndarray, schema: dict[str, Any], threshold: float
) -> dict[str, float]:
    """The metrics of a split, unweighted: how the model does on the rows as they are."""
    if schema["problem"] == "classification":
        return evaluation.classification(target, scores, threshold)
    return evaluation.regression(target, scores)


def pipeline(schema: dict[str, Any], chosen: argparse.Namespace) -> Pipeline:
    """One-hot categories and a linear model: logistic regression, or ridge regression."""
    categories = {s["name"]: s["categories"] for s in schema["features"] if "categories" in s}
    encoder = OneHotEncoder(categories=list(categories.values()), sparse_output=False)
    encode = ColumnTransformer([("categories", encoder, list(categories))], remainder="passthrough")
    if schema["problem"] == "regression":
        return Pipeline([("encode", encode), ("model", Ridge(alpha=chosen.regularization))])
    model = LogisticRegression(C=1 / chosen.regularization, max_iter=2000)
    return Pipeline([("encode", encode), ("model", model)])


def baseline(
    parts: dict[str, Part], schema: dict[str, Any], chosen: argparse.Namespace
) -> tuple[Pipeline, str, list[dict[str, float]]]:
    """The linear model, its file's name, and its curve over shares of train (the same rows in every run)."""
    part, curve = parts["train"], []
    order = np.random.default_rng(chosen.seed).permutation(len(part.target))
    name = "rmse" if schema["problem"] == "regression" else "logloss"
    for share in CURVE:
        some = np.sort(order[: max(2, round(share * len(order)))])
        if name == "logloss" and len(np.unique(part.target[some])) < 2:
            continue
        model = pipeline(schema, chosen)
        model.fit(part.features.iloc[some], part.target[some], model__sample_weight=part.weight[some])
        seen = {"train": (part.features.iloc[some], part.target[some])}
        seen["validation"] = parts["validation"].features, parts["validation"].target
        losses = {
            split: evaluation.loss(y, inference.score(model, x, schema), name)
            for split, (x, y) in seen.items()
        }
        curve.append(tell({"step": len(some), **losses}, name))
    return model, "model.joblib", curve


def boosting(
    parts: dict[str, Part], schema: dict[str, Any], chosen: argparse.Namespace
) -> tuple[lgb.Booster, str, list[dict[str, float]]]:
    """LightGBM, stopped where validation no longer gains (AUC, or RMSE), its file's name, and its curve by iteration."""
    classify = schema["problem"] == "classification"
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
    kinds = {s["name"]: s["kind"] for s in schema["features"]}
    categories = [at for at, n in enumerate(inference.names(schema)) if kinds.get(n) == "category"]
    codes = {name: inference.codes(part.features, schema) for name, part in parts.items()}
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


def importance(fitted: Any, schema: dict[str, Any]) -> dict[str, float]:
    """What each column contributes, as shares of 1: gain for boosting, absolute coefficients for the linear model."""
    names = inference.names(schema)
    if isinstance(fitted, lgb.Booster):
        amounts = dict(zip(names, fitted.feature_importance("gain"), strict=True))
    else:
        amounts = dict.fromkeys(names, 0.0)
        encoder = fitted.named_steps["encode"]
        sizes = {s["name"]: len(s["categories"]) for s in schema["features"] if "categories" in s}
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


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
