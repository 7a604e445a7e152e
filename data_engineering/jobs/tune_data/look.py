"""What models that have not seen the rows say about them."""

from __future__ import annotations

import fixes
import labels
import numpy as np
import pandas as pd
import part
import slices
from part import Model, some


class Bench:
    """Train as the search sees it: the rows, their bins, the folds, and the model's recipe."""

    def __init__(self, train: pd.DataFrame, model: Model, count: int, seed: int) -> None:
        self.train, self.model = train, model
        self.target = train[model.schema["target"]].to_numpy(dtype=float)
        self.inputs = model.inputs(train)
        self.cuts = slices.cuts(train, model.schema)
        self.codes = slices.coded(self.cuts, train)
        self.folds = part.folds(train, self.target, model.schema, count, seed)


class Look:
    """What models that have not seen the rows say about them: segments that fail, why, and suspects."""

    def __init__(self, bench: Bench, target: np.ndarray) -> None:
        model, self.target = bench.model, target
        scores = model.out_of_fold(bench.inputs, target, bench.folds)
        self.error = fixes.error(scores, target, model.classifies)
        self.every = slices.looks(bench.cuts, bench.codes, self.error)
        self.worst = slices.worst(self.every, bench.codes, self.error)
        asked = [*self.worst, *slices.parents(self.worst, self.every)] if model.classifies else []
        self.doubts = {one: self.doubt(bench, scores, slices.mask(one, bench.codes)) for one in asked}
        self.wrong = [s for s, doubt in self.doubts.items() if doubt.p <= labels.SURE]
        doubtful = {s.name: (slices.mask(s, bench.codes), self.doubts[s]) for s in self.wrong}
        self.told = labels.judged(scores, target, doubtful, model.classifies)
        self.order = labels.ranked(self.told)

    def doubt(self, bench: Bench, scores: np.ndarray, inside: np.ndarray) -> labels.Doubt:
        """A segment's labels, judged by a model of the rows outside of it."""
        rest = self.target[~inside]
        if len(np.unique(rest)) < 2:
            return labels.Doubt(0.0, 1.0, np.full(int(inside.sum()), 0.5))
        judge = bench.model.fitted(some(bench.inputs, ~inside), rest)
        return labels.doubt(judge(some(bench.inputs, inside)), scores[inside], self.target[inside])

    @property
    def hard(self) -> list[slices.Slice]:
        """The segments that fail although nothing speaks against their labels."""
        return [one for one in self.worst if one not in self.wrong]

    def aims(self, fix: str) -> list[slices.Slice]:
        """The segments that a fix is for: those with wrong labels, or (to augment) the others; where there are none, all."""
        return (self.hard if fix == "augment" else self.wrong) or self.worst

    def surest(self, most: int) -> np.ndarray:
        """The suspects as a mask, the likeliest `most` at the most."""
        places = self.order[self.told["suspect"][self.order]][:most]
        chosen = np.zeros(len(self.target), dtype=bool)
        chosen[places] = True
        return chosen


def inside(worst: list[slices.Slice], codes: list[np.ndarray]) -> np.ndarray:
    """The rows of any of the segments."""
    rows = np.zeros(len(codes[0]), dtype=bool)
    for one in worst:
        rows |= slices.mask(one, codes)
    return rows
