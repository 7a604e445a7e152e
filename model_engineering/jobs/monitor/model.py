"""The deployed model: how its rows are read, what it answers to them, and what its features weigh in the answers."""

from __future__ import annotations

import importlib
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from capture import BadInput


@dataclass(frozen=True)
class Model:
    """A model of the training job, with its own code. kinds: number or category by column of a request."""

    inference: Any
    loaded: Any

    @property
    def schema(self) -> Mapping[str, Any]:
        """What its requests hold, and what it predicts."""
        schema: Mapping[str, Any] = self.loaded.schema
        return schema

    @property
    def kinds(self) -> dict[str, str]:
        """The columns of a request that can drift: dates always do, and ids mean nothing."""
        skipped = {self.schema["id"], self.schema["time"], self.schema["row_number"]}
        return {
            one["column"]: one["kind"]
            for one in self.schema["request"]
            if one["kind"] in ("number", "category") and one["column"] not in skipped
        }

    def table(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Rows of requests as columns: numbers as floats, categories as text, missing values as such."""
        number = self.inference.transformer.number
        words = self.schema.get("missing_words", {})
        made = {}
        for name, kind in self.kinds.items():
            blank = {"", *words.get("*", ()), *words.get(name, ())}
            text = [None if row.get(name) is None else str(row[name]).strip() for row in rows]
            text = [None if one is None or one in blank else one for one in text]
            if kind == "number":
                made[name] = pd.Series([number(one) for one in text], dtype=float)
            else:
                made[name] = pd.Series(text, dtype=object)
        return pd.DataFrame(made)

    def unreadable(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """How many values of a column of numbers are there and are none."""
        number = self.inference.transformer.number
        found = {}
        for name, kind in self.kinds.items():
            if kind == "number":
                words = self.schema.get("missing_words", {})
                blank = {"", *words.get("*", ()), *words.get(name, ())}
                text = [str(row[name]).strip() for row in rows if row.get(name) is not None]
                wrong = sum(1 for one in text if one not in blank and not np.isfinite(number(one)))
                if wrong:
                    found[name] = wrong
        return found

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What the model answers to rows of requests. Raises BadInput where it refuses them."""
        found = self.inference.predict_fn(list(rows), self.loaded)
        if isinstance(found, Exception):
            raise BadInput(f"The model refuses the rows: {found}", "Give rows as the endpoint takes them.")
        return list(found)

    def weights(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The share of each feature in all that moves the scores of the rows: mean SHAP values without their signs.

        LightGBM computes them itself (pred_contrib). Empty for a model that is none of LightGBM's.
        """
        model, predictor = self.loaded, self.loaded.predictor
        if not hasattr(predictor, "feature_importance"):
            return {}
        frame = self.inference.frame(list(rows), model.schema)
        features = self.inference.transformer.features(frame, model.recipe)
        values = predictor.predict(
            self.inference.codes(features, model.recipe), pred_contrib=True, num_threads=1
        )
        mean = np.abs(np.asarray(values)[:, :-1]).mean(axis=0)
        names = self.inference.names(model.recipe)
        return {name: float(value / mean.sum()) for name, value in zip(names, mean, strict=True)}


def scores(predictions: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The chance of the positive label, or the predicted number, of each prediction."""
    return np.array([float(one.get("probability", one["prediction"])) for one in predictions])


def load(archive: Path, scratch: Path) -> Model:
    """The model in the one archive below a folder. Raises BadInput if there is none of the training job's."""
    there = sorted(archive.rglob("*.tar.gz")) if archive.is_dir() else [archive]
    if len(there) != 1:
        raise BadInput(
            f"{archive} has {len(there)} archives (.tar.gz).", "Give the archive of the deployed model."
        )
    with tarfile.open(there[0]) as packed:
        packed.extractall(scratch, filter="data")
    if not Path(scratch, "code", "inference.py").is_file():
        raise BadInput("The archive has no code/inference.py.", "Give an archive of the training job of M1.")
    sys.path.insert(0, str(scratch / "code"))
    inference = importlib.import_module("inference")
    return Model(inference, inference.model_fn(str(scratch)))
