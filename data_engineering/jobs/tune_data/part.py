"""What goes in: the splits of the prepare job, the model of the training job, and the labels that people have audited."""

from __future__ import annotations

import importlib.util
import json
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold
from threadpoolctl import threadpool_limits


class BadInput(Exception):
    """The job cannot do its work: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


def read_json(file: Path, hint: str) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read: {error}.", hint) from None


def read(folder: Path, name: str, schema: dict[str, Any]) -> pd.DataFrame:
    """All columns of a split, in the order of the prepare job."""
    files = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    if not files:
        raise BadInput(f"{folder} has no Parquet file.", f"Give it the prepare job's output {name}.")
    table = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    wanted = [*features(schema), schema["target"], schema["weight"], schema["row_number"]]
    if lacking := [column for column in wanted if column not in table]:
        raise BadInput(
            f"{name} lacks {', '.join(lacking[:8])}.",
            "Take splits and schema of the same run of the prepare job.",
        )
    if schema["problem"] == "classification" and table[schema["target"]].nunique() < 2:
        raise BadInput(
            f"Every row of {name} has the same {schema['target']}, or there are no rows.",
            "Take a longer period, or other shares for the splits.",
        )
    if len(table) < 2:
        raise BadInput(
            f"{name} has {len(table)} rows.", "Look at the split in the prepare job's report.json."
        )
    return table


def synthetic(table: pd.DataFrame, schema: dict[str, Any]) -> np.ndarray:
    """The rows that the prepare job made itself (SMOTE), as a mask: nobody recorded them, so nothing is found out from them."""
    mark = schema.get("synthetic", "")
    return table[mark].to_numpy(dtype=bool) if mark in table else np.zeros(len(table), dtype=bool)


def features(schema: dict[str, Any]) -> list[str]:
    """The columns that the model sees, in its order."""
    return [n for s in schema["features"] for n in (s["name"], s.get("indicator")) if n]


def audit(file: Path | None, rows: np.ndarray, target: np.ndarray, classify: bool) -> np.ndarray | None:
    """The target with the labels that people gave instead, or None if nobody looked. CSV: row_number,label."""
    found = sorted(file.rglob("*.csv")) if file and file.is_dir() else []
    if not found:
        return None
    told = pd.concat([pd.read_csv(f) for f in found], ignore_index=True)
    if not {"row_number", "label"} <= set(told):
        raise BadInput("The audit lacks row_number or label.", "Write a CSV with these two columns.")
    labels = pd.to_numeric(told["label"], errors="coerce")
    if labels.isna().any() or (classify and not labels.isin([0, 1]).all()):
        raise BadInput(
            "The audit has labels that are none.", "Write 1 for the positive label, and 0 otherwise."
        )
    if told["row_number"].duplicated().any() or not told["row_number"].isin(rows).all():
        raise BadInput(
            "The audit names a row twice, or one that is not in validation.",
            "Name rows of validation, each once.",
        )
    audited = target.copy()
    audited[pd.Index(rows).get_indexer(pd.Index(told["row_number"]))] = labels
    return audited


@dataclass(frozen=True)
class Model:
    """The model of the training job as a recipe: the same algorithm and hyperparameters, fitted to other rows.

    Rows count as they are, without the prepare job's weights: those move scores away from probabilities, and whether a label
    is likely is asked here. What it sees is made of the rows by its own transformer (`transformer`, `made`).
    """

    recipe: Any
    trees: int
    schema: dict[str, Any]
    transformer: Any
    made: dict[str, Any]

    @property
    def classifies(self) -> bool:
        return bool(self.schema["problem"] == "classification")

    def inputs(self, table: pd.DataFrame) -> Any:
        """The rows as the recipe takes them: features; for boosting numbers, a category as its place in its list."""
        features = self.transformer.apply(table, self.made)
        if not self.trees:
            return features
        kept = {s["name"]: s["categories"] for s in self.made["features"] if "categories" in s}
        columns = [
            pd.Categorical(features[n], categories=kept[n]).codes if n in kept else features[n]
            for n in features
        ]
        return np.column_stack(columns).astype(float)

    def fitted(self, inputs: Any, target: np.ndarray) -> Any:
        """A function from inputs to scores: probabilities of the positive label, or values."""
        if self.trees:
            categories = [at for at, spec in enumerate(self.made["features"]) if "categories" in spec]
            data = lgb.Dataset(
                inputs, target, categorical_feature=categories, params={"num_threads": 1, "verbosity": -1}
            )
            booster = lgb.train(self.recipe, data, self.trees)
            return lambda rows: booster.predict(rows, num_threads=1)
        with threadpool_limits(1, user_api="blas"):
            pipeline = clone(self.recipe).fit(inputs, target)
        return lambda rows: pipeline.predict_proba(rows)[:, 1] if self.classifies else pipeline.predict(rows)

    def out_of_fold(
        self, inputs: Any, target: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        """The score of each row by a model that was fitted to the other folds."""
        scores = np.zeros(len(target))
        for rest, fold in folds:
            scores[fold] = self.fitted(some(inputs, rest), target[rest])(some(inputs, fold))
        return scores


def some(inputs: Any, rows: np.ndarray) -> Any:
    """Rows of inputs, by number or mask."""
    return (
        inputs[rows]
        if isinstance(inputs, np.ndarray)
        else inputs[rows]
        if rows.dtype == bool
        else inputs.iloc[rows]
    )


def model(folder: Path, schema: dict[str, Any]) -> Model:
    """The recipe in the training job's model.tar.gz, which lies somewhere in the folder."""
    found = sorted(folder.rglob("model.tar.gz")) if folder.is_dir() else []
    if not found:
        raise BadInput(f"{folder} has no model.tar.gz.", "Give it the model archive of the training job.")
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(found[0]) as archive:
            archive.extractall(scratch, filter="data")
        hint = "Give it the model archive of the training job of M1."
        about = read_json(Path(scratch, "model.json"), hint)
        made = read_json(Path(scratch, "transformer.json"), hint)
        transformer = loaded(Path(scratch, "code", "transformer.py"), hint)
        differ = transformer.differences(made, schema)
        if differ or about["problem"] != schema["problem"]:
            raise BadInput(
                f"The model was trained on other columns: {', '.join(differ[:8]) or about['problem']}.",
                "Run D3 and M1 again on the splits of today's D2.",
            )
        file = Path(scratch, about["file"])
        if file.suffix == ".joblib":
            return Model(joblib.load(file), 0, schema, transformer, made)
        booster = lgb.Booster(model_file=str(file))
        settings = {"num_threads": 1, "verbosity": -1, "deterministic": True, "force_row_wise": True}
        dropped = {
            "num_iterations",
            "early_stopping_round",
            "metric",
            "categorical_feature",
            "categorical_column",
        }
        kept = {k: v for k, v in booster.params.items() if k not in dropped}
        return Model({**kept, **settings}, booster.num_trees(), schema, transformer, made)


def loaded(file: Path, hint: str) -> Any:
    """The transformer's code that came with the model."""
    spec = importlib.util.spec_from_file_location("transformer_of_the_model", file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise BadInput(f"The model's archive lacks code/{file.name}.", hint)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folds(
    table: pd.DataFrame, target: np.ndarray, schema: dict[str, Any], count: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows of each fold and of the rest. Rows of one id are in one fold, or a model would know them by heart."""
    if schema["id"] and table[schema["id"]].nunique() >= count:
        names = table[schema["id"]].astype("string")
        ids = np.where(names.isna(), "#" + table.index.astype(str), names.fillna(""))
        codes = np.unique(ids, return_inverse=True)[1]
        fold = (np.random.default_rng(seed).permutation(codes.max() + 1) % count)[codes]
        return [(np.flatnonzero(fold != at), np.flatnonzero(fold == at)) for at in range(count)]
    kind = StratifiedKFold if schema["problem"] == "classification" else KFold
    return list(kind(count, shuffle=True, random_state=seed).split(target, target))
