"""Trains a model on what the prepare or the features job made: the training job of M1.

Channels: train and validation (Parquet), schema (schema.json; it may lie in train as well), and for rows of the features job its
transformer (transformer.json and transformer.py). Writes the model with all that serving raw rows takes to SM_MODEL_DIR: schema.json
says what a request holds, transformer.json and code/transformer.py make features of it. Writes evaluation.json to SM_OUTPUT_DATA_DIR.
Without the channel transformer the columns of the splits are the features. Metrics are printed one a line, as
`validation:auc=0.812345`; the learning curve as `curve step=10 train_logloss=0.412345 validation_logloss=0.431234`, and for boosted
classifiers `curve step=10 validation_auc=0.801234`.

The inference code goes into the model as code/: one model.tar.gz is then enough to deploy, register or batch-transform, with
SAGEMAKER_PROGRAM=inference.py and SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/model/code, and no step has to repack it.

With a CheckpointConfig a job that was interrupted (spot capacity) goes on from its last checkpoint when SageMaker starts it again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Threads that find nothing to do sleep. By default they spin, and on a busy machine a second's training then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the libraries below are loaded

import evaluation
import inference
import inputs
import lightgbm as lgb
import models
import numpy as np
import sklearn
from inputs import BadInput
from threadpoolctl import threadpool_limits


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
    model = Path(os.environ.get("SM_MODEL_DIR") or opt / "model")
    add(
        "checkpoints",
        type=Path,
        default=model.with_name("checkpoints"),
        help="boosting goes on from the last",
    )
    for name, variable, default in (
        ("train", "SM_CHANNEL_TRAIN", channel / "train"),
        ("validation", "SM_CHANNEL_VALIDATION", channel / "validation"),
        ("schema", "SM_CHANNEL_SCHEMA", channel / "schema"),
        ("transformer", "SM_CHANNEL_TRANSFORMER", channel / "transformer"),
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


def train(chosen: argparse.Namespace) -> None:
    """The whole job.

    Raises:
        BadInput: a channel or the schema is missing, has no rows or lacks columns, the transformer is of other features, or a split
            has one class.
    """
    schema = inputs.schema([chosen.schema, chosen.train])
    recipe = inputs.recipe(chosen.transformer, schema)
    parts = {
        name: inputs.split(getattr(chosen, name), name, schema, recipe) for name in ("train", "validation")
    }
    algorithm = models.baseline if chosen.algorithm == "baseline" else models.boosting
    with threadpool_limits(1, user_api="blas"):  # sums in one order, and no threads that wait for each other
        fitted, file, curve = algorithm(parts, recipe, chosen)
    scores = {name: inference.score(fitted, part.features, recipe) for name, part in parts.items()}
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
        "importance": models.importance(fitted, recipe),
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
    models.save(fitted, chosen.model_dir / file)
    asked = inputs.request(recipe, dated=inputs.dated(chosen.train, schema["time"]))
    for name, content in (("schema", asked), ("model", about), ("metrics", found), ("transformer", recipe)):
        write(chosen.model_dir / f"{name}.json", content)
    write(chosen.output_data_dir / "evaluation.json", told)
    own = Path(__file__).parent
    made = chosen.transformer if chosen.transformer.is_dir() else own
    code = chosen.model_dir / "code"
    code.mkdir(exist_ok=True)
    for source in (own / "inference.py", own / "requirements.txt", made / "transformer.py"):
        shutil.copyfile(source, code / source.name)


def measure(
    target: np.ndarray, scores: np.ndarray, schema: dict[str, Any], threshold: float
) -> dict[str, float]:
    """The metrics of a split, unweighted: how the model does on the rows as they are."""
    if schema["problem"] == "classification":
        return evaluation.classification(target, scores, threshold)
    return evaluation.regression(target, scores)


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
