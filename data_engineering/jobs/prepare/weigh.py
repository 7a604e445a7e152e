"""The groups of sensitive columns, the bias between them, and what each row of train weighs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bias
import fit
import numpy as np
import table

GROUPS = 20
"""The most groups a sensitive column keeps."""
SMALL = 30
"""A combination of sensitive groups with fewer rows in train than this is weighted together with the other small ones."""


def groups(db: Any, plan: table.Plan, found: Mapping[str, table.Facts]) -> dict[str, dict[str, Any]]:
    """How each sensitive column is cut into groups, from train."""
    found_groups: dict[str, dict[str, Any]] = {}
    for at, name in enumerate(plan.sensitive):
        if found[name].kind == "number":
            values = fit.sample(db, f"s{at}", fit.ROWS)[0]
            steps = sorted(set(values[~np.isnan(values)].tolist()))
            binned = len(steps) > table.BINNED
            spec: dict[str, Any] = {"edges": fit.edges(values) if binned else steps[:-1]}
        else:
            kept = [value for value, _ in fit.counts(db, f"s{at}") if value is not None]
            spec = {"groups": kept[:GROUPS]}
        found_groups[name] = {**spec, "sql": fit.group_sql(f"s{at}", spec)}
    return found_groups


def weigh(
    db: Any, plan: table.Plan, groups: Mapping[str, Mapping[str, Any]], *, balance: bool, unbias: bool
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Bias before and after, the weights of each group and label, and the weight of a row of `final` as SQL.

    For regression the labels are "over the median of train" and "not"; classes are not balanced then.
    """
    cut = 0.5
    if not plan.classifies:
        cut = float(db.execute("select quantile_disc(y, 0.5) from final where s = 0").fetchone()[0])
    label = f"cast(y > {cut!r} as int)"
    joint = " || ' · ' || ".join(g["sql"] for g in groups.values()) or "'all'"
    if len(groups) > 1:
        sizes = db.execute(
            f"select {joint}, count(*) from final where s = 0 group by 1 order by 1"
        ).fetchall()
        if few := [table.literal(g) for g, rows in sizes if rows < SMALL]:
            joint = f"case when {joint} in ({', '.join(few)}) then '(small groups)' else {joint} end"
    query = f"select {joint}, {label}, count(*) from final where s = 0 group by 1, 2 order by 1, 2"
    cells = {(g, y): rows for g, y, rows in db.execute(query).fetchall()}
    weights = bias.reweighing(cells) if unbias and groups else dict.fromkeys(cells, 1.0)
    factors = bias.balancing(cells, weights) if balance and plan.classifies else {0: 1.0, 1: 1.0}
    final = {key: weight * factors[key[1]] for key, weight in weights.items()}
    tests = " ".join(
        f"when {label} = {y} and {joint} = {table.literal(g)} then {weight!r}"
        for (g, y), weight in final.items()
    )
    told = {
        "label": "the positive label" if plan.classifies else f"over the median of train, {cut:g}",
        "cells": [
            {"group": g, "label": y, "rows": rows, "reweighing": weights[g, y], "weight": final[g, y]}
            for (g, y), rows in cells.items()
        ],
        "balance": {str(y): factor for y, factor in factors.items()},
        "sum": sum(final[key] * rows for key, rows in cells.items()),
    }
    measured = {name: _measured(db, spec["sql"], joint, label, final) for name, spec in groups.items()}
    return measured, told, f"cast(case when s > 0 then 1.0 {tests} end as double)"


def _measured(
    db: Any, group: str, joint: str, label: str, weights: Mapping[tuple[str, int], float]
) -> dict[str, Any]:
    """CI, DPL, KS and JS of each group in train, by rows and by weight. `joint` names the cell that a row's weight is of."""
    query = (
        f"select {group}, {joint}, {label}, count(*) from final where s = 0 group by 1, 2, 3 order by 1, 2, 3"
    )
    rows: dict[str, list[float]] = {}
    mass: dict[str, list[float]] = {}
    for g, cell, y, count in db.execute(query).fetchall():
        rows.setdefault(g, [0.0, 0.0])[y] += count
        mass.setdefault(g, [0.0, 0.0])[y] += count * weights[cell, y]
    before, after = bias.facets(rows, [False, True]), bias.facets(mass, [False, True])
    return {
        g: {"rows": int(no + yes), "positive_share": yes / (no + yes), **before[g], "weighted": after[g]}
        for g, (no, yes) in rows.items()
        if g in before
    }
