"""Which labels are likely wrong: confident learning, written small.

Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70: a row is a candidate
if a model that has not seen it is confident of another label. Confident means: at least as sure as the model is on average of
the rows that have that label, so that a rare label needs no 0.5. Candidates are ranked, and here is one thing more than in the
paper. It ranks by self-confidence (the score of the row's own label), which takes wrong labels to be spread evenly. They
rarely are: they come from one shop, one clerk, one form, and a model that sees which learns to expect them. So a segment that
fails is judged by a model that has not seen the segment, its share of wrong labels is estimated, and rows are ranked by the
odds that their label is wrong given that share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SPREAD = 0.002
"""The share of wrong labels that is assumed where nothing tells; it keeps a hard row from being called wrong."""
MOST = 0.45
"""With half of its labels wrong, a segment says nothing; with more, it is another world."""
SLOPE = 0.2
"""How far the log of b may be from 0 (standard deviation): effects are much the same everywhere unless a segment shows otherwise.
Without it, few rows cannot tell a weaker effect from wrong labels."""
SURE = 0.001
"""The p up to which a segment is said to have wrong labels: some ten segments are asked, so one in a hundred searches errs."""
OUTLIER = 5.0
"""Regression: a residual of this many robust standard deviations is a suspect."""


def confident(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Whether the model is confident of the other label. `scores` are probabilities of 1, `target` is 0 or 1."""
    one = scores >= scores[target == 1].mean()
    none = 1 - scores >= (1 - scores)[target == 0].mean()
    found: np.ndarray = np.where(target == 1, none & (~one | (scores < 0.5)), one & (~none | (scores > 0.5)))
    return found


@dataclass(frozen=True)
class Doubt:
    """How a segment's labels look to a model that has not seen the segment.

    `share` is the estimated share of wrong labels, `p` how likely so much doubt is if none is wrong; `scores` are the
    probabilities of a right label 1 in the segment.
    """

    share: float
    p: float
    scores: np.ndarray


def doubt(scores: np.ndarray, learnt: np.ndarray, target: np.ndarray) -> Doubt:
    """Tells a segment with wrong labels from one that is merely hard, or another world.

    Another base rate or a weaker effect moves and stretches the scores' log-odds: P(1) = sigmoid(a + b logit(score)). Labels
    that are turned, a share s of them, do something that no a and b can: even the clearest rows have both labels,
    P(1) = s + (1 - 2s) sigmoid(a + b logit(score)). This is Copas (1988), "Binary regression models for contaminated data",
    J. R. Stat. Soc. B 50(2); fitted by maximum likelihood with and without s. p is of the likelihood ratio, with s = 0 at the
    edge of what is possible (Self and Liang 1987).

    `scores` are of a model of the rows outside; `learnt` of one that has seen the segment's other rows. Where that one explains
    the labels better, the segment follows rules of its own: it is another world, and nothing is said about its labels (p = 1).
    Wrong labels are no rule: there, knowing the segment does not help (compared as non-nested models: Vuong 1989).
    """
    from scipy.optimize import minimize
    from scipy.special import expit, logit
    from scipy.stats import chi2

    z, known = (logit(np.clip(values, 1e-4, 1 - 1e-4)) for values in (scores, learnt))

    def fit(z: np.ndarray, most: float, start: float, prior: float = SLOPE) -> Any:
        def loss(at: Sequence[float]) -> float:
            q = np.clip(at[2] + (1 - 2 * at[2]) * expit(at[0] + at[1] * z), 1e-9, 1 - 1e-9)
            seen = -np.sum(target * np.log(q) + (1 - target) * np.log1p(-q))
            return float(seen + (np.log(at[1]) / prior) ** 2 / 2)

        bounds = [(-6.0, 6.0), (0.1, 4.0), (0.0, most)]
        return minimize(loss, [0.0, 1.0, start], bounds=bounds, method="L-BFGS-B")

    none, rules = fit(z, 0.0, 0.0), fit(known, 0.0, 0.0, prior=np.inf)
    best = min((fit(z, MOST, start) for start in (0.05, 0.2)), key=lambda found: found.fun)
    p = float(chi2.sf(max(2 * (none.fun - best.fun), 0.0), 1) / 2)
    return Doubt(float(best.x[2]), p if best.fun <= rules.fun else 1.0, expit(best.x[0] + best.x[1] * z))


def odds(own: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The probability that each label is wrong (Bayes), from its score and the share of wrong labels where it lies."""
    own = np.clip(own, 1e-6, 1 - 1e-6)
    against = share * (1 - own)
    found: np.ndarray = against / (against + (1 - share) * own)
    return found


def outliers(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The distance of each residual from the median one, in robust standard deviations (1.4826 times the median distance)."""
    residual = target - scores
    off = np.abs(residual - np.median(residual))
    found: np.ndarray = off / max(1.4826 * float(np.median(off)), 1e-12)
    return found


def judged(
    scores: np.ndarray, target: np.ndarray, doubts: Mapping[str, tuple[np.ndarray, Doubt]], classify: bool
) -> dict[str, Any]:
    """For each row: `segment`, `chance` (how likely its label is wrong), `confidence` (self-confidence) and `suspect`.

    `doubts` has the segments with wrong labels by name: mask and doubt; a row of several belongs to the one with the largest share.
    For regression `chance` is none: `confidence` falls with the distance of the residual, and suspects are outliers.
    """
    where = np.full(len(target), "", dtype=object)
    if not classify:
        off = outliers(scores, target)
        return {"segment": where, "chance": None, "confidence": 1 / (1 + off), "suspect": off >= OUTLIER}
    scores = scores.copy()
    share = np.full(len(target), SPREAD)
    for name, (rows, told) in sorted(doubts.items(), key=lambda item: item[1][1].share):
        where[rows], share[rows], scores[rows] = name, told.share, told.scores
    own = np.where(target == 1, scores, 1 - scores)
    chance = odds(own, share)
    suspect = confident(scores, target) & (chance > 0.5)
    return {"segment": where, "chance": chance, "confidence": own, "suspect": suspect}


def ranked(told: dict[str, Any]) -> np.ndarray:
    """Row places, the likeliest wrong label first: by chance, and by self-confidence."""
    chance = told["chance"] if told["chance"] is not None else np.zeros(len(told["confidence"]))
    order: np.ndarray = np.lexsort((told["confidence"], -chance))
    return order


def found(order: np.ndarray, wrong: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """How well wrong labels that are known (a mask) are found.

    `hit`: of the first k rows of the ranking, k being the number of wrong ones, the share that is wrong: precision and recall at
    once. `lift`: that over the share that chance would give. `precision` and `recall` are of the chosen suspects.
    """
    k = int(wrong.sum())
    hit, chance = float(wrong[order[:k]].mean()), float(wrong[order].mean())
    return {
        "wrong": k,
        "chance": chance,
        "hit": hit,
        "lift": hit / chance,
        "chosen": int(chosen.sum()),
        "precision": float(wrong[chosen].mean()) if chosen.any() else 0.0,
        "recall": float(wrong[chosen].sum() / k),
    }
