"""The search, tried on copies of train with labels that were turned on purpose. It works on any table, and it can fail."""

from __future__ import annotations

import argparse
from typing import Any

import fixes
import labels
import numpy as np
import pandas as pd
import slices
from look import Bench, Look
from part import some

FEW = 200
"""Rows of the segment that is spoilt, at the least where there is one: with fewer, chance may hide it."""
WANTED, ROUNDS = 200, 5
"""Where `scattered` turns fewer labels than `WANTED`, chance decides what is found: it is tried again, up to `ROUNDS` times."""


def run(bench: Bench, look: Look, validation: pd.DataFrame, chosen: argparse.Namespace) -> dict[str, Any]:
    """The search, tried on copies of train with labels that were turned on purpose: works on any table, and can fail.

    `scattered`: `--spoil` of all rows. `segment`: three in ten rows of a segment that does not fail by itself. Both are rows
    that were not suspected before. The spoilt segment must be found, and one that is judged wrong is fixed, to see what it wins
    back. That it fails is always plain; that its labels are at fault is not: where positives are rare, turned labels look like
    another base rate, and then nothing is said about them.
    """
    rng = np.random.default_rng(chosen.seed)
    free = ~look.told["suspect"]
    rows = np.flatnonzero(free)
    count = max(1, round(chosen.spoil * len(rows)))
    rounds = min(ROUNDS, -(-WANTED // count))
    sets = {"scattered": [rng.choice(rows, count, replace=False) for _ in range(rounds)]}
    codes = slices.coded(bench.cuts, validation)
    wanted = max(0.12 * len(free), FEW)
    sound = [s for s in look.every if len(s.terms) == 1 and s.q > 0.05 and 0.03 <= s.rows / len(free) <= 0.5]
    sound = [s for s in sound if slices.mask(s, codes).sum() >= 10]
    spoilt = min(sound, key=lambda s: (abs(s.rows - wanted), s.name), default=None)
    if spoilt:
        there = np.flatnonzero(slices.mask(spoilt, bench.codes) & free)
        sets["segment"] = [rng.choice(there, max(1, round(0.3 * len(there))), replace=False)]
    told: dict[str, dict[str, Any]] = {}
    known = []
    for name, at, places in [
        (name, at, places) for name, drawn in sets.items() for at, places in enumerate(drawn)
    ]:
        wrong = np.zeros(len(free), dtype=bool)
        wrong[places] = True
        target = bench.target.copy()
        target[wrong] = (
            1 - target[wrong] if bench.model.classifies else rng.permutation(bench.target)[: wrong.sum()]
        )
        again = Look(bench, target)
        # What was suspected before may well be wrong too: it is neither a hit nor a miss.
        order = again.order[free[again.order]]
        surest = again.surest(len(free)) & free
        told[name] = together([*told.get(name, {}).get("each", []), labels.found(order, wrong, surest)])
        rank = np.full(len(free), -1)
        rank[order] = np.arange(len(order))
        frame = {
            "test": name,
            "round": at,
            "row_number": bench.train[bench.model.schema["row_number"]],
            "turned": wrong,
        }
        known.append(pd.DataFrame({**frame, "rank": rank, "suspect": surest})[free])
        if name == "segment" and spoilt:
            told[name] |= repaired(bench, again, spoilt, validation, target)
    return {"told": told, "known": pd.concat(known, ignore_index=True)}


def together(each: list[dict[str, float]]) -> dict[str, Any]:
    """What was found in all rounds of a test (see `labels.found`), and in `each`."""
    wrong, chosen = (sum(one[name] for one in each) for name in ("wrong", "chosen"))
    hit, chance, recall = (
        sum(one[name] * one["wrong"] for one in each) / wrong for name in ("hit", "chance", "recall")
    )
    precision = sum(one["precision"] * one["chosen"] for one in each) / max(chosen, 1)
    found = {"wrong": wrong, "chance": chance, "hit": hit, "lift": hit / chance, "chosen": chosen}
    return {**found, "precision": precision, "recall": recall, "each": each}


def repaired(
    bench: Bench, again: Look, spoilt: slices.Slice, validation: pd.DataFrame, target: np.ndarray
) -> dict[str, Any]:
    """The spoilt segment: its name, whether it was found, and its error on validation when sound, spoilt and fixed."""
    rows = slices.mask(spoilt, bench.codes)
    there = slices.mask(spoilt, slices.coded(bench.cuts, validation))
    truth = validation[bench.model.schema["target"]].to_numpy(dtype=float)[there]
    inputs = some(bench.model.inputs(validation), there)
    suspects = again.surest(len(target))
    fixed = np.where(suspects & rows, 1 - target, target) if bench.model.classifies else target
    keep = np.ones(len(target), dtype=bool) if bench.model.classifies else ~(suspects & rows)

    def error(labels: np.ndarray, kept: np.ndarray | None = None) -> float:
        kept = np.ones(len(labels), dtype=bool) if kept is None else kept
        scores = bench.model.fitted(some(bench.inputs, kept), labels[kept])(inputs)
        return float(fixes.error(scores, truth, bench.model.classifies).mean())

    found = [one.name for one in again.worst if spoilt.terms[0] in one.terms]
    return {
        "segment": spoilt.name,
        "rows": spoilt.rows,
        "found": found,
        "said_wrong": [one.name for one in again.wrong if spoilt.terms[0] in one.terms],
        "error": {"sound": error(bench.target), "spoilt": error(target), "fixed": error(fixed, keep)},
    }
