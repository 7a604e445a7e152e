"""How boosting learns, iteration by iteration: its curve, when it stops, and checkpoints to go on from after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import evaluation
import lightgbm as lgb
import numpy as np

EVERY = 10
"""Iterations between two points of the curve."""
SAVED = 50
"""Iterations between two checkpoints."""
ROWS = 50_000
"""Of each split that the curve looks at."""


class Checkpoints:
    """The last checkpoint of a job in a folder that SageMaker keeps in S3, so that a spot job goes on where it was interrupted.

    `identity` is all that the model follows from; a checkpoint of something else is left alone. Without the folder nothing is kept.
    """

    def __init__(self, folder: Path, identity: Any) -> None:
        self.file = folder / "boosting.json"
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def save(self, model: lgb.Booster, state: Mapping[str, Any]) -> None:
        """Replaces the checkpoint in one step, so that an interruption leaves the old one or the new one."""
        if not self.file.parent.is_dir():
            return
        content = {"identity": self.identity, "model": model.model_to_string(num_iteration=-1), **state}
        half = self.file.with_suffix(".part")
        half.write_text(json.dumps(content), encoding="utf-8")
        half.replace(self.file)

    def load(self) -> dict[str, Any]:
        """The last checkpoint: `model`, `step`, `best` and `points`; empty if there is none of this training."""
        try:
            found: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
            return found if found["identity"] == self.identity else {}
        except (OSError, ValueError, KeyError):
            return {}


class Progress:
    """A LightGBM callback: draws the learning curve, stops where validation no longer gains, and saves checkpoints.

    A point of the curve is unweighted and of up to `ROWS` rows of each split, so that train and validation can be compared and a large
    train costs no more. Training stops after `patience` iterations without gain in LightGBM's own metric (0: never).
    """

    before_iteration = False
    order = 30

    def __init__(
        self,
        codes: Mapping[str, np.ndarray],
        targets: Mapping[str, np.ndarray],
        *,
        classify: bool,
        patience: int,
        seed: int,
        checkpoints: Checkpoints,
    ) -> None:
        rng = np.random.default_rng(seed)
        some = {split: rng.permutation(len(y))[:ROWS] for split, y in targets.items()}
        self.codes = {split: codes[split][rows] for split, rows in some.items()}
        self.targets = {split: targets[split][rows] for split, rows in some.items()}
        self.sums = {split: np.zeros(len(rows)) for split, rows in some.items()}
        self.classify, self.name = classify, "logloss" if classify else "rmse"
        self.patience, self.checkpoints = patience, checkpoints
        last = checkpoints.load()
        self.model: str = last.get("model", "")
        self.step: int = last.get("step", 0)
        self.points: list[dict[str, float]] = last.get("points", [])
        self.best: list[float] = last.get("best", [])  # the step with the best metric so far, and the metric
        self.drawn = 0
        if self.model:
            print(f"continues at step={self.step}, from a checkpoint")
            self._add(lgb.Booster(model_str=self.model), self.step)

    def __call__(self, state: Any) -> None:
        """After an iteration: a point every `EVERY`, a checkpoint every `SAVED`, and the end where nothing is gained."""
        self.step = state.iteration + 1
        (_, _, metric, *_), *_ = state.evaluation_result_list
        if not self.best or (metric > self.best[1] if self.classify else metric < self.best[1]):
            self.best = [self.step, metric]
        if not self.step % EVERY or self.step in (1, state.end_iteration):
            self._add(state.model, self.step)
            self.points.append(tell({"step": self.step, **self._losses()}, self.name))
            if self.classify:  # what a search of hyperparameters goes by, while the trial still runs
                print(f"curve step={self.step} validation_auc={metric:.6f}")
        if not self.step % SAVED:
            told = {"step": self.step, "best": self.best, "points": self.points}
            self.checkpoints.save(state.model, told)
            print(f"checkpoint step={self.step}", flush=True)
        if self.patience and self.done(state.end_iteration):
            raise lgb.callback.EarlyStopException(int(self.best[0]) - 1, state.evaluation_result_list)

    def done(self, iterations: int) -> bool:
        """Whether a checkpoint was the end already."""
        return self.step >= iterations or bool(
            self.patience and self.best and self.step - self.best[0] >= self.patience
        )

    def _add(self, model: lgb.Booster, step: int) -> None:
        """Adds the trees since the last point to each row's sum, so that a point costs `EVERY` trees and not all."""
        more = step - self.drawn
        for split, codes in self.codes.items():
            self.sums[split] += model.predict(codes, self.drawn, more, raw_score=True, num_threads=1)
        self.drawn = step

    def _losses(self) -> dict[str, float]:
        scores = {s: 1 / (1 + np.exp(-x)) if self.classify else x for s, x in self.sums.items()}
        return {split: evaluation.loss(self.targets[split], scores[split], self.name) for split in scores}


def tell(point: dict[str, float], name: str) -> dict[str, float]:
    """Prints a point of the learning curve, and returns it."""
    print(
        f"curve step={point['step']} train_{name}={point['train']:.6f} validation_{name}={point['validation']:.6f}"
    )
    return point
