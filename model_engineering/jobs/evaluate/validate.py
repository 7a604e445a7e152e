"""Tries models where it hurts: changed rows, groups, time and size. The processing job of M5, beside script.py.

    --models   folder with a folder a model, named as the model shall be called, with its model.tar.gz (an archive of the train job)
    --rows     one split (Parquet) that the prepare job wrote, such as D2.test
    --schema   folder with the schema.json of those rows
    --report   written: validation.json

    --threshold   score from which the label is the positive one; by default each model's own
    --sample      rows that are changed and scored again; groups are judged on all rows
    --directions  JSON: {"column": "up" or "down"}, which way the score has to go when the number rises; others are taken from the data
    --seed, --timed (rows to take the time of)

validation.json: `problem`, `rows`, `sample`, `metric` (auc, or rmse), and by name under `models`:
`robustness`: by change, `value` of the metric on the changed rows and `loss` against the same rows unchanged (share of the skill lost;
skill is 2 × AUC - 1, or R²). `invariance`: by change that must not matter (order of rows,
other names of ids, values of a sensitive column that is a feature), the largest change of a score, and `share` of rows that change by
more than 0.01 (of the target's standard deviation for regression). `direction`: by column, `expected` (1 or -1), `change` of the mean
score when the number rises by half a standard deviation, `ok` (it does not go the other way). `fairness`: by sensitive column, as in fairness.py. `time`: p50_ms and
p99_ms for one row. `bytes`: size of the archive. The log has one line a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Threads that find nothing to do sleep. By default they spin, and on a busy machine a second's work then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the libraries below are loaded

import behaviour
import fairness
import metrics
import models
import numpy as np
import pandas as pd
from models import BadInput

OPT = Path("/opt/ml/processing")
MATTERS = 0.01
"""A change of a score that counts as one."""
AGAINST = 0.001
"""How far the mean score may go the other way and still count as standing still, in standard deviations for regression."""


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The job's arguments; paths have the defaults of a SageMaker processing job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    for name in ("models", "rows", "schema"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / "input" / name, help=f"folder with {name}")
    parser.add_argument("--report", type=Path, default=OPT / "report", help="folder for the report")
    parser.add_argument("--threshold", type=float, default=None, help="by default each model's own")
    parser.add_argument("--sample", type=int, default=4000, help="rows that are changed")
    parser.add_argument("--directions", default="{}", help='JSON: {"column": "up"}')
    parser.add_argument("--timed", type=int, default=200, help="rows to take the time of")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="why it failed")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code. A failure is two lines on stderr and in --message."""
    chosen = options(argv)
    try:
        validate(chosen)
        return 0
    except BadInput as error:
        print(error, file=sys.stderr)
        if chosen.message.parent.is_dir():
            chosen.message.write_text(str(error)[:1000], encoding="utf-8")
        return 1


def validate(chosen: argparse.Namespace) -> None:
    """The whole job.

    Raises:
        BadInput: there are no models or rows, a model does not fit them, or directions name what is not there; nothing is written.
    """
    if chosen.sample < 100 or chosen.timed < 10:
        raise BadInput(
            f"--sample {chosen.sample} or --timed {chosen.timed} is too small.",
            "Take 100 rows, and 10 to time.",
        )
    splits = models.splits(chosen.rows, chosen.schema)
    if len(splits) > 1:
        raise BadInput(f"{chosen.rows} has {len(splits)} splits.", "Give one split of the prepare job.")
    split, archives = splits[0], models.archives(chosen.models)
    schema, rows = split.schema, split.table
    rng = np.random.default_rng(chosen.seed)
    some = rows.iloc[np.sort(rng.permutation(len(rows))[: chosen.sample])].reset_index(drop=True)
    ways = directions(chosen.directions, some, schema)
    copies = changed(rows, some, schema, ways, rng)
    stack = behaviour.stacked(copies, schema["row_number"], schema["id"])
    told: dict[str, Any] = {
        "problem": schema["problem"],
        "rows": len(rows),
        "sample": len(some),
        "metric": metrics.MAIN[schema["problem"]],
    }
    with tempfile.TemporaryDirectory(prefix="changed-") as scratch:
        stack.table.to_parquet(Path(scratch, "rows.parquet"), index=False)
        one = models.Split("", Path(scratch), split.file, schema)
        found = models.scored(archives, [one])
        told["models"] = {
            name: {
                **judged(result, stack, rows, some, schema, ways, chosen.threshold),
                "time": timed(archives[name], split.folder, chosen.timed),
                "bytes": archives[name].stat().st_size,
            }
            for name, result in found.items()
        }
    chosen.report.mkdir(parents=True, exist_ok=True)
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    (chosen.report / "validation.json").write_text(text + "\n", encoding="utf-8")
    tell(told)


def directions(text: str, rows: pd.DataFrame, schema: Mapping[str, Any]) -> dict[str, int]:
    """Which way scores should go, by column: +1 or -1."""
    try:
        given = json.loads(text)
        if not isinstance(given, dict) or not set(given.values()) <= {"up", "down"}:
            raise ValueError('expected {"column": "up" or "down"}')
        target = rows[schema["target"]].to_numpy(dtype=float)
        return behaviour.expected(rows, target, schema["features"], given, least=0.1, most=6)
    except KeyError as error:
        raise BadInput(
            f"--directions: {error} is no number of the schema.", "Name columns that hold numbers."
        ) from None
    except ValueError as error:
        raise BadInput(f"--directions {text[:80]}: {error}.", 'Write JSON, such as {"age": "up"}.') from None


def changed(
    rows: pd.DataFrame,
    some: pd.DataFrame,
    schema: Mapping[str, Any],
    ways: Mapping[str, int],
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """All rows as they are, and the sample in every way that it is changed."""
    specs = {spec["name"]: spec for spec in schema["features"]}
    copies = {"all": rows, "same": some}
    for name, change in behaviour.CHANGES.items():
        copies[name] = change(some, schema["features"], rng)
    copies["order"] = some.sample(frac=1, random_state=int(rng.integers(2**31)))
    if schema["id"]:
        copies["ids"] = some.assign(**{schema["id"]: "x" + some[schema["id"]].astype("string")})
    for sensitive in schema["groups"]:
        if sensitive in specs:
            copies[f"sensitive {sensitive}"] = behaviour.swapped(some, specs[sensitive], rng)
    for name in ways:
        copies[f"rise {name}"] = behaviour.shifted(some, [specs[name]], 0.5)
    return copies


def judged(
    result: models.Result,
    stack: behaviour.Stack,
    rows: pd.DataFrame,
    some: pd.DataFrame,
    schema: Mapping[str, Any],
    ways: Mapping[str, int],
    threshold: float | None,
) -> dict[str, Any]:
    """What a model makes of the copies."""
    numbers, target = (some[schema[k]].to_numpy() for k in ("row_number", "target"))
    target = target.astype(float)
    classify = schema["problem"] == "classification"
    spread = 1.0 if classify else float(target.std()) or 1.0

    def scores(name: str) -> np.ndarray:
        return stack.of(result.scores, name, numbers)

    def value(name: str) -> float:
        return metrics.Rows(target, scores(name), schema["problem"]).main(np.ones(len(target)))

    def skill(value: float) -> float:
        return 2 * value - 1 if classify else 1 - (value / spread) ** 2

    same, plain = skill(value("same")), scores("same")
    robustness = {}
    for name in behaviour.CHANGES:
        there = value(name)
        robustness[name] = {"value": there, "loss": (same - skill(there)) / same if same > 0 else 1.0}
    invariance = {}
    for name in stack.names:
        if name in ("order", "ids") or name.startswith("sensitive "):
            change = np.abs(scores(name) - plain) / spread
            invariance[name] = {"largest": float(change.max()), "share": float((change > MATTERS).mean())}
    direction = {}
    for name, sign in ways.items():
        change = float((scores(f"rise {name}") - plain).mean())
        direction[name] = {"expected": sign, "change": change, "ok": change * sign >= -AGAINST * spread}
    every = stack.of(result.scores, "all", rows[schema["row_number"]].to_numpy())
    truth = rows[schema["target"]].to_numpy(dtype=float)
    limit = result.about["threshold"] if threshold is None else threshold
    groups = {name: rows[group["column"]].astype(str).to_numpy() for name, group in schema["groups"].items()}
    return {
        "robustness": robustness,
        "invariance": invariance,
        "direction": direction,
        "fairness": {
            name: fairness.classification(truth, every >= limit, of)
            if classify
            else fairness.regression(truth, every, of)
            for name, of in groups.items()
        },
    }


def timed(archive: Path, rows: Path, count: int) -> dict[str, float]:
    """Milliseconds for one row, measured in a process of its own."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("latency.py")),
        str(archive),
        str(rows),
        str(count),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BadInput(f"The model's code failed on one row: {last[0][:300]}", "Train it again.")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def tell(told: Mapping[str, Any]) -> None:
    """The findings in the log, one a line."""
    for name, one in told["models"].items():
        for change, about in one["robustness"].items():
            print(f"{name}: {change}: {told['metric']} {about['value']:.4f}, skill lost {about['loss']:.1%}")
        for change, about in one["invariance"].items():
            print(f"{name}: {change}: largest change {about['largest']:.2g}")
        for column, about in one["direction"].items():
            print(
                f"{name}: {column} rises: score {about['change']:+.4f}, {'as' if about['ok'] else 'not as'} expected"
            )
        print(f"{name}: one row in {one['time']['p50_ms']:.2f} ms, archive {one['bytes']:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
