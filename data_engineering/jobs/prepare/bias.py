"""Bias in the labels before a model is trained: how much there is, and weights that take it out. Pure functions on counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

METRICS = ("CI", "DPL", "KS", "JS")


def facets(counts: Mapping[str, Sequence[float]], positive: Sequence[bool]) -> dict[str, dict[str, float]]:
    """CI, DPL, KS and JS of each group (facet d) against all the others (facet a).

    `counts` has, by group, how many rows (or how much weight) have each label; `positive` says which labels are positive.
    The formulas are those of the Amazon SageMaker Developer Guide, "Pre-training Bias Metrics":
    CI = (na - nd) / (na + nd), DPL = qa - qd, KS = max |Pa(y) - Pd(y)|, JS = (KL(Pa || P) + KL(Pd || P)) / 2 in nats, where
    P = (Pa + Pd) / 2. A group that has all rows, or none, has no metrics.
    """
    total = np.sum([np.asarray(c, dtype=float) for c in counts.values()], axis=0)
    found = {}
    for group, count in counts.items():
        d = np.asarray(count, dtype=float)
        a = total - d
        if a.sum() <= 0 or d.sum() <= 0:
            continue
        pa, pd = a / a.sum(), d / d.sum()
        yes = np.asarray(positive, dtype=bool)
        values = (
            (a.sum() - d.sum()) / total.sum(),
            pa[yes].sum() - pd[yes].sum(),
            np.abs(pa - pd).max(),
            (divergence(pa, (pa + pd) / 2) + divergence(pd, (pa + pd) / 2)) / 2,
        )
        found[group] = {name: float(value) for name, value in zip(METRICS, values, strict=True)}
    return found


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Kullback-Leibler divergence of two distributions over the same labels, in nats."""
    there = p > 0
    return max(0.0, float(np.sum(p[there] * np.log(p[there] / q[there]))))


def reweighing(counts: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], float]:
    """The weight of each (group, label) under which group and label are independent: P(g) P(y) / P(g, y).

    Source: Kamiran and Calders, "Data preprocessing techniques for classification without discrimination" (2012). The weights
    of all rows sum to the number of rows, those of a group to the group's rows, those of a label to the label's rows. A
    group that lacks a label keeps its weight for the one it has: no weight can make up rows that are not there.
    """
    rows = sum(counts.values())
    groups: dict[str, int] = {}
    labels: dict[int, int] = {}
    for (group, label), count in counts.items():
        groups[group] = groups.get(group, 0) + count
        labels[label] = labels.get(label, 0) + count
    whole = {g for g in groups if all(counts.get((g, y), 0) for y in labels)}
    return {
        (g, y): groups[g] * labels[y] / (rows * count) if g in whole else 1.0
        for (g, y), count in counts.items()
        if count
    }


def balancing(
    counts: Mapping[tuple[str, int], int], weights: Mapping[tuple[str, int], float]
) -> dict[int, float]:
    """The factor of each label that gives every label the same share of the weight, and leaves the sum as it is."""
    mass: dict[int, float] = {}
    for (group, label), count in counts.items():
        if count:
            mass[label] = mass.get(label, 0.0) + count * weights[group, label]
    return {label: sum(mass.values()) / (len(mass) * m) for label, m in mass.items()}
