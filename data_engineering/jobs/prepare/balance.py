"""Rows that train gets so that both labels have as many: SMOTE. Only train is read; what is made is marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bias
import numpy as np
import pandas as pd
from table import BadInput

ROWS = 500_000
"""The most rows of train that SMOTE takes: it looks for neighbours in memory."""
NEIGHBOURS = 5
SMALL = 30


def smote(frame: pd.DataFrame, numbers: list[str], texts: list[str], target: str, seed: int) -> pd.DataFrame:
    """The synthetic rows alone: `numbers`, `texts` and `target`, so many that both labels have the same number of rows.

    Numbers are taken between a row of the rarer label and one of its neighbours, texts from the neighbours' majority.
    Source: Chawla and others, "SMOTE: Synthetic Minority Over-sampling Technique" (2002), with SMOTENC and SMOTEN.

    Raises:
        BadInput: there are fewer than two rows of the rarer label.
    """
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC

    rare = int(frame[target].value_counts().min())
    if rare < 2:
        raise BadInput("Train has one row of the rarer label: it has no neighbour.", "Use --balance weights.")
    near = min(NEIGHBOURS, rare - 1)
    x = frame[[*numbers, *texts]]
    made: Any
    if not texts:
        made = SMOTE(random_state=seed, k_neighbors=near)
    elif not numbers:
        made = SMOTEN(random_state=seed, k_neighbors=near)
    else:
        made = SMOTENC(texts, random_state=seed, k_neighbors=near)
    rows, labels = made.fit_resample(x.astype(dict.fromkeys(texts, object)), frame[target])
    return rows.assign(**{target: labels}).iloc[len(frame) :].reset_index(drop=True)


def added(
    frame: pd.DataFrame, schema: Mapping[str, Any], *, unbias: bool, seed: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train with its synthetic rows, weighed anew against bias; and the report's weights and bias of each group.

    Synthetic rows have no id and no time, a negative row number, and are marked in the schema's column "synthetic".
    """
    specs, target, weight = schema["features"], schema["target"], schema["weight"]
    groups = {name: g["column"] for name, g in schema["groups"].items()}
    numbers = [s["name"] for s in specs if s["kind"] == "numeric"]
    texts = [s["name"] for s in specs if s["kind"] == "category"]
    marks = [s["indicator"] for s in specs if s.get("indicator")]
    new = smote(frame, numbers, [*texts, *marks, *groups.values()], target, seed)
    new[schema["row_number"]] = -np.arange(1, len(new) + 1)
    new[schema["synthetic"]] = True
    whole = pd.concat([frame, new.astype(dict.fromkeys(marks, float))], ignore_index=True)[frame.columns]
    whole = whole.astype({n: frame[n].dtype for n in (schema["row_number"], target, schema["synthetic"])})
    joint = pd.Series("all", index=whole.index)
    if groups:
        joint = whole[list(groups.values())].astype(str).agg(" · ".join, axis=1)
    if len(groups) > 1:
        joint = joint.where(joint.map(joint.value_counts()) >= SMALL, "(small groups)")
    sizes = whole.groupby([joint, target]).size()
    cells = {(str(g), int(y)): int(n) for (g, y), n in zip(sizes.index, sizes, strict=True)}
    weights = bias.reweighing(cells) if unbias and groups else dict.fromkeys(cells, 1.0)
    whole[weight] = [weights[g, y] for g, y in zip(joint, whole[target], strict=True)]
    told = {
        "label": "the positive label",
        "cells": [
            {"group": g, "label": y, "rows": n, "reweighing": weights[g, y], "weight": weights[g, y]}
            for (g, y), n in cells.items()
        ],
        "balance": {"0": 1.0, "1": 1.0},
        "sum": sum(weights[key] * n for key, n in cells.items()),
        "synthetic_rows": len(new),
    }
    return whole, {"weights": told, "bias": {n: _weighted(whole, c, schema) for n, c in groups.items()}}


def _weighted(whole: pd.DataFrame, column: str, schema: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    mass = whole.pivot_table(
        index=column, columns=schema["target"], values=schema["weight"], aggfunc="sum", fill_value=0.0
    )
    return bias.facets(
        {str(g): list(row) for g, row in zip(mass.index, mass.to_numpy(), strict=True)}, [False, True]
    )
