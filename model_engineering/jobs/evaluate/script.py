"""Scores any number of models on the same rows and compares them: a processing job of M2, M4, M5 and O3.

    --models   folder with a folder a model, named as the model shall be called, with its model.tar.gz (an archive of the train job)
    --rows     a split (Parquet) that the prepare job wrote, such as D2.validation; or a folder a split, if models were trained on
               different features: prepared/, engineered/, ...
    --raw      the raw rows (Parquet) that the first split was prepared from, if there are models that were trained on rows which were
               prepared in another way, such as on last month's: they are scored as at an endpoint
    --schema   the schema.json of those rows (D2.schema, D3.schema); or the same folders as under --rows, one schema.json in each
    --scores   written: scores.parquet
    --report   written: evaluation.json

As processing inputs these are /opt/ml/processing/input/models/<name>, .../input/rows[/<split>], .../input/schema[/<split>] and
.../input/raw; as outputs /opt/ml/processing/scores and /opt/ml/processing/report. D2's rows alone suffice for models of D2's columns and for models of
features, because an archive makes its features of D2's rows by itself. Several splits are joined by row number.

    --against  the model that the others are compared with; by default all are compared with each other
    --slices   columns to slice by (categories, or numbers at their quartiles); by default the groups of sensitive columns and all
               categories of at most 20 values
    --threshold  score from which the label is the positive one; by default each model's own
    --draws, --seed, --confidence  of the bootstrap: whole ids are drawn where the schema names one, else rows

scores.parquet has a row for each row that is in all splits, by row number: `row_number`, `target`, `weight`, `id` (if there is one),
the columns of groups, and `score <name>` for each model: the chance of the positive label, or the predicted number.

evaluation.json: `problem`, `target`, `rows`, `units` (what the bootstrap draws) and `metric` (auc, or rmse) by which `best` is the best
model. By name under `models`: `algorithm`, `threshold`, `rows` (the split it took), `metrics` (each `{value, low, high}`) and
`calibration` (ten bins of as many rows each). `differences` (one each pair and metric): `metric`, `model`, `than`, `difference`, `low`,
`high` and `better` (true: a gain for sure; false: a loss for sure; null: neither). `slices`: `column`, `value`, `rows`, `share` (mean
target) and by name under `models` their metrics as numbers, and `interval` of `metric`. Metrics are unweighted: of the rows as they
are, without synthetic ones. The log has `<name>:auc=0.812345`, one metric a line.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Threads that find nothing to do sleep. By default they spin, and on a busy machine a second's work then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the libraries below are loaded

import comparison
import metrics
import models
import numpy as np
import pandas as pd
from models import BadInput

OPT = Path("/opt/ml/processing")
FEW = 20
"""Categories of at most as many values are sliced by."""


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The job's arguments; paths have the defaults of a SageMaker processing job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    for name in ("models", "rows", "schema", "raw"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / "input" / name, help=f"folder with {name}")
    for name in ("scores", "report"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / name, help=f"folder for the {name}")
    parser.add_argument("--against", default="", help="the model that the others are compared with")
    parser.add_argument("--slices", nargs="*", default=None, help="columns to slice by")
    parser.add_argument("--threshold", type=float, default=None, help="by default each model's own")
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the intervals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="why it failed")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code. A failure is two lines on stderr and in --message."""
    chosen = options(argv)
    try:
        evaluate(chosen)
        return 0
    except BadInput as error:
        print(error, file=sys.stderr)
        if chosen.message.parent.is_dir():
            chosen.message.write_text(str(error)[:1000], encoding="utf-8")
        return 1


def evaluate(chosen: argparse.Namespace) -> None:
    """The whole job.

    Raises:
        BadInput: there are no models or rows, a model fits none of them, or the rows cannot tell models apart; nothing is written.
    """
    if chosen.draws < 100 or not 0.5 <= chosen.confidence < 1:
        raise BadInput(
            f"--draws {chosen.draws} or --confidence {chosen.confidence} gives no interval.",
            "Take 100 draws at least, and a confidence from 0.5 to under 1.",
        )
    splits = models.splits(chosen.rows, chosen.schema)
    archives = models.archives(chosen.models)
    if chosen.against and chosen.against not in archives:
        raise BadInput(f"There is no model {chosen.against}.", f"It is one of {', '.join(archives)}.")
    scored = models.scored(archives, splits, chosen.raw)
    table = models.joined(scored, splits)
    schema = splits[0].schema
    problem = schema["problem"]
    threshold = {
        name: one.about["threshold"] if chosen.threshold is None else chosen.threshold
        for name, one in scored.items()
    }
    target = table["target"].to_numpy(dtype=float)
    units = table["id"] if schema["id"] else table["row_number"]
    bench = comparison.Bench(target, units, problem, chosen.draws, chosen.confidence, chosen.seed)
    found = {
        name: bench.model(table[f"score {name}"].to_numpy(dtype=float), threshold[name]) for name in scored
    }
    pairs = [(name, than) for than, name in itertools.combinations(found, 2)]
    if chosen.against:
        pairs = [(name, chosen.against) for name in found if name != chosen.against]
    main_metric = metrics.MAIN[problem]
    by = {name: one.values[main_metric] for name, one in found.items()}
    best = (min if main_metric in metrics.LOWER else max)(by, key=lambda name: by[name])
    told: dict[str, Any] = {
        "problem": problem,
        "target": schema["target"],
        "rows": len(table),
        "units": {"of": schema["id"] or "rows", "count": bench.units, "draws": chosen.draws},
        "confidence": chosen.confidence,
        "metric": main_metric,
        "best": best,
        "models": {
            name: {
                "algorithm": scored[name].about["algorithm"],
                "threshold": threshold[name],
                "rows": scored[name].split,
                "features": scored[name].features,
                "metrics": {metric: metrics.plain(value) for metric, value in one.intervals.items()},
                "calibration": metrics.bins(target, one.rows.s),
            }
            for name, one in found.items()
        },
        "differences": [one for name, than in pairs for one in bench.differences(found, name, than)],
        "slices": bench.slices(sliced(chosen.slices, splits[0], table), found),
    }
    for folder in (chosen.scores, chosen.report):
        folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(chosen.scores / "scores.parquet", index=False)
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    (chosen.report / "evaluation.json").write_text(text + "\n", encoding="utf-8")
    tell(told)


def sliced(wanted: Sequence[str] | None, split: models.Split, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns to slice by, with the label of each row."""
    groups = {name: group["column"] for name, group in split.schema["groups"].items()}
    specs = {spec["name"]: spec for spec in split.schema["features"]}
    few = [n for n, s in specs.items() if len(s.get("categories", range(99))) <= FEW + 2]
    names = list(dict.fromkeys([*groups, *few])) if wanted is None else list(wanted)
    if unknown := [n for n in names if n not in groups and n not in specs]:
        raise BadInput(
            f"There is no column {unknown[0]} to slice by.", f"It is one of {', '.join([*groups, *specs])}."
        )
    rows = split.table.set_index(split.schema["row_number"]).loc[table["row_number"]]
    return {name: labels(rows, name, groups, specs) for name in names}


def labels(
    rows: pd.DataFrame, name: str, groups: dict[str, str], specs: dict[str, dict[str, Any]]
) -> np.ndarray:
    """The slice of each row: its group, its category, or between which quartiles its number lies, in the column's own unit."""
    column = rows[groups.get(name, name)]
    if name in groups or "categories" in specs[name]:
        return column.astype(str).to_numpy()
    own = column.to_numpy(dtype=float) * specs[name]["scale"] + specs[name]["center"]
    edges = np.unique(np.quantile(own, [0.25, 0.5, 0.75], method="closest_observation"))
    said = [f"≤ {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges))]
    return np.array([*said, f"> {edges[-1]:g}"])[np.searchsorted(edges, own, side="left")]


def tell(told: dict[str, Any]) -> None:
    """The findings in the log, one a line."""
    for name, one in told["models"].items():
        for metric, value in one["metrics"].items():
            if value["value"] is not None:
                print(f"{name}:{metric}={value['value']:.6f}")
    for one in told["differences"]:
        if one["metric"] == told["metric"]:
            print(
                f"{one['model']} - {one['than']}: {one['metric']} {one['difference']:+.6f}"
                f" ({one['low']:+.6f} to {one['high']:+.6f})"
            )
    print(f"best {told['best']}")


if __name__ == "__main__":
    sys.exit(main())
