"""Tunes the data on a model's results: the processing job of D4.

Reads the prepare job's --train, --validation and schema (--schema), and the training job's archive (--model). Finds the segments
that fail and the labels that are likely wrong, tries fixes with the model held fixed, and writes train with the fix that helps
(or as it was) to --fixed, and to --report:

  report.json       what was found and decided, with its numbers
  slices.csv        the segments that fail, surest first
  suspects.csv      rows whose label is likely wrong, likeliest first, by row number, for people to look at
  ranking.parquet   every row of train: row number, chance that its label is wrong, self-confidence, segment
  validation.parquet  every row of validation: row number, whether it is in a segment that fails, its score before and after
  known.parquet     the self-tests: every row that was spoilt or not, and its rank

Rows that the prepare job made itself (SMOTE) are neither searched nor learned from here; they stay in train as they are.
Validation and test are never written. A label of validation that people have audited (--audit) counts when fixes are judged.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

# Threads that find nothing to do sleep. By default they spin, and on a busy machine a second's training then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the libraries below are loaded

import fixes
import numpy as np
import pandas as pd
import part
import selftest
import slices
from look import Bench, Look, inside
from part import BadInput, some

OPT = Path("/opt/ml/processing")
FIXES = ("relabel", "drop", "augment")


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The job's arguments; paths have the defaults of a SageMaker processing job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    for name in ("train", "validation", "schema", "model", "audit"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / "input" / name, help=f"folder with {name}")
    for name in ("fixed", "report"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / name, help=f"folder for {name}")
    parser.add_argument("--folds", type=int, default=5, help="each row is judged by a model of the others")
    parser.add_argument("--most", type=float, default=0.05, help="share of train that a fix may touch")
    parser.add_argument(
        "--augment", type=float, default=0.5, help="new rows, as a share of the segments' rows"
    )
    parser.add_argument("--spoil", type=float, default=0.02, help="share of labels that the self-test turns")
    parser.add_argument("--rows", type=int, default=200_000, help="of train and of validation, at the most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="why it failed")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code. A failure is two lines on stderr and in --message."""
    chosen = options(argv)
    try:
        tune(chosen)
        return 0
    except BadInput as error:
        print(error, file=sys.stderr)
        if chosen.message.parent.is_dir():
            chosen.message.write_text(str(error)[:1000], encoding="utf-8")
        return 1


def tune(chosen: argparse.Namespace) -> None:
    """The whole job.

    Raises:
        BadInput: an input is missing, does not fit the others, or is too small; nothing is written then.
    """
    schema = part.read_json(chosen.schema / "schema.json", "Give it the prepare job's schema.json.")
    model = part.model(chosen.model, schema)
    whole = part.read(chosen.train, "train", schema)
    made = part.synthetic(whole, schema)
    train = thinned(whole[~made].reset_index(drop=True), chosen)
    validation = thinned(part.read(chosen.validation, "validation", schema), chosen)
    bench = Bench(train, model, chosen.folds, chosen.seed)
    recorded = validation[schema["target"]].to_numpy(dtype=float)
    audited = part.audit(
        chosen.audit, validation[schema["row_number"]].to_numpy(), recorded, model.classifies
    )
    look = Look(bench, bench.target)
    tested = selftest.run(bench, look, validation, chosen)
    trial = Trial(bench, validation, recorded if audited is None else audited, look)
    report: dict[str, Any] = {
        "rows": {
            "train": len(whole),
            "synthetic": int(made.sum()),
            "searched": len(train),
            "validation": len(validation),
        },
        "model": {"algorithm": "boosting" if model.trees else "baseline", "trees": model.trees},
        "measure": "Brier score" if model.classifies else f"absolute error of {schema['target']}",
        "looks": len(look.every),
        "segments": [one.name for one in look.worst],
        "wrong": {one.name: look.doubts[one].share for one in look.wrong},
        "audited": 0 if audited is None else int((audited != recorded).sum()),
        "judged_by": "labels as recorded" if audited is None else "labels as audited",
        "self_tests": tested["told"],
    }
    report["fixes"], report["applied"], after = trial.fixes(look, chosen, recorded)
    report["collect"] = trial.collect(look, chosen.seed)
    changed = applied(report["applied"], whole, bench, look, chosen)
    report["rows"]["fixed"] = len(changed)
    suspects = suspected(bench, look)
    report["suspects"] = len(suspects)
    write(chosen.report, "report.json", report)
    failing(look, trial).to_csv(chosen.report / "slices.csv", index=False)
    suspects.to_csv(chosen.report / "suspects.csv", index=False)
    ranking(bench, look).to_parquet(chosen.report / "ranking.parquet", index=False)
    pd.DataFrame(
        {
            schema["row_number"]: validation[schema["row_number"]],
            "failing": trial.failing,
            "before": trial.before,
            "after": after,
        }
    ).to_parquet(chosen.report / "validation.parquet", index=False)
    tested["known"].to_parquet(chosen.report / "known.parquet", index=False)
    shutil.rmtree(chosen.fixed, ignore_errors=True)
    chosen.fixed.mkdir(parents=True)
    changed.to_parquet(chosen.fixed / "part-00000.parquet", index=False)
    tell(report, look)


def thinned(table: pd.DataFrame, chosen: argparse.Namespace) -> pd.DataFrame:
    """At most `--rows` rows, the same in every run, in their order."""
    if len(table) <= chosen.rows:
        return table
    kept = np.sort(np.random.default_rng(chosen.seed).permutation(len(table))[: chosen.rows])
    return table.iloc[kept].reset_index(drop=True)


class Trial:
    """Validation, where fixes are judged: labels as audited or as recorded, and the model fitted to train as it is."""

    def __init__(self, bench: Bench, validation: pd.DataFrame, target: np.ndarray, look: Look) -> None:
        self.bench, self.model, self.target = bench, bench.model, target
        self.inputs, self.codes = bench.model.inputs(validation), slices.coded(bench.cuts, validation)
        self.failing = inside([*look.worst, *look.wrong], self.codes)
        schema = bench.model.schema
        key = schema["id"] or schema["row_number"]
        self.unit = validation[key].astype(str).to_numpy()
        self.before = self.scores(bench.inputs, bench.target)

    def scores(self, inputs: Any, target: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.model.fitted(inputs, target)(self.inputs)
        return found

    def error(self, scores: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
        return fixes.error(scores, self.target if target is None else target, self.model.classifies)

    def mean_error(self, rows: np.ndarray, fitted: Any) -> float:
        """The mean error of a fitted model on some of the rows."""
        return float(self.error(fitted(some(self.inputs, rows)), self.target[rows]).mean())

    def gains(self, after: np.ndarray, aim: np.ndarray, target: np.ndarray) -> dict[str, dict[str, float]]:
        """The gain on the segments that a fix is for and overall, held against `target`."""
        old, new = self.error(self.before, target), self.error(after, target)
        parts = {"segments": aim, "overall": np.ones(len(target), dtype=bool)}
        return {
            name: fixes.gain(old[rows], new[rows], self.unit[rows], len(FIXES))
            for name, rows in parts.items()
        }

    def fixes(
        self, look: Look, chosen: argparse.Namespace, recorded: np.ndarray
    ) -> tuple[dict[str, Any], str, np.ndarray]:
        """What each fix brings, which one is applied ("" for none), and the scores of validation with it."""
        measured: dict[str, Any] = {}
        scores = {"": self.before}
        for name in FIXES if self.model.classifies else FIXES[1:]:
            fixed = applied(name, self.bench.train, self.bench, look, chosen)
            touched = difference(self.bench.train, fixed, self.model.schema)
            aim = inside(look.aims(name), self.codes)
            if not touched or aim.sum() < 2:
                continue
            target = fixed[self.model.schema["target"]].to_numpy(dtype=float)
            scores[name] = self.scores(self.model.inputs(fixed), target)
            measured[name] = {"rows": touched, "for": [one.name for one in look.aims(name)]}
            measured[name] |= self.gains(scores[name], aim, self.target)
            measured[name]["as_recorded"] = self.gains(scores[name], aim, recorded)
        name = fixes.kept(measured, FIXES)
        return measured, name, scores[name]

    def collect(self, look: Look, seed: int) -> list[dict[str, Any]]:
        """For each segment: its learning curve, and how many more rows of it to collect."""
        advised = []
        error = self.error(self.before)
        for one in dict.fromkeys([*look.wrong, *look.worst[:3]]):
            there = slices.mask(one, self.codes)
            if there.sum() < 30:
                continue
            rows = slices.mask(one, self.bench.codes)
            judge = partial(self.mean_error, there)
            curve = fixes.learning(self.model, self.bench.train, rows, judge, seed)
            gap = float(error[there].mean() - error[~there].mean())
            advised.append(
                {
                    "segment": one.name,
                    "rows": int(rows.sum()),
                    "gap": gap,
                    **curve,
                    **fixes.advice(curve, int(rows.sum()), gap),
                }
            )
        return advised


def applied(
    name: str, table: pd.DataFrame, bench: Bench, look: Look, chosen: argparse.Namespace
) -> pd.DataFrame:
    """The table (train, whole or as searched) with a fix."""
    if not name:
        return table
    number = bench.model.schema["row_number"]
    touched = bench.train[number][look.surest(int(chosen.most * len(bench.train)))]
    rows = table[number].isin(touched).to_numpy()
    if name == "relabel":
        return fixes.relabelled(table, rows, bench.model.schema)
    if name == "drop":
        return table[~rows].reset_index(drop=True)
    aim = inside(look.aims(name), slices.coded(bench.cuts, table))
    return fixes.augmented(table, aim, bench.model.schema, chosen.augment, chosen.seed)


def difference(before: pd.DataFrame, after: pd.DataFrame, schema: dict[str, Any]) -> int:
    """How many rows a fix has changed, taken out or added."""
    if len(before) != len(after):
        return abs(len(before) - len(after))
    return int((before[schema["target"]] != after[schema["target"]]).sum())


def failing(look: Look, trial: Trial) -> pd.DataFrame:
    """The segments that fail: error, rest, interval and adjusted p in train, and the same held against validation."""
    error = trial.error(trial.before)
    table = []
    for one in dict.fromkeys([*look.worst, *look.wrong]):
        rows = slices.mask(one, trial.codes)
        told = {k: v for k, v in asdict(one).items() if k not in ("terms", "p")}
        told["wrong_share"] = look.doubts[one].share if one in look.wrong else 0.0
        n, m = int(rows.sum()), int((~rows).sum())
        told["validation_rows"] = n
        if n > 1 and m > 1:
            a, b = error[rows], error[~rows]
            wide = slices.Z * float(np.sqrt(a.var(ddof=1) / n + b.var(ddof=1) / m))
            off = float(a.mean() - b.mean())
            told |= {
                "validation_difference": off,
                "validation_low": off - wide,
                "validation_high": off + wide,
            }
        table.append(told)
    columns = ["name", "rows", "error", "rest", "low", "high", "q", "wrong_share", "validation_rows"]
    columns += ["validation_difference", "validation_low", "validation_high"]
    return pd.DataFrame(table, columns=columns)


def ranking(bench: Bench, look: Look) -> pd.DataFrame:
    """Every row of train as the search sees it, the likeliest wrong label first."""
    schema = bench.model.schema
    told = {
        "row_number": bench.train[schema["row_number"]],
        "recorded": bench.target,
        "confidence": look.told["confidence"],
        "chance": np.nan if look.told["chance"] is None else look.told["chance"],
        "segment": look.told["segment"].astype(str),
        "suspect": look.told["suspect"],
    }
    return pd.DataFrame(told).iloc[look.order].reset_index(drop=True)


def suspected(bench: Bench, look: Look) -> pd.DataFrame:
    """The suspects with their ids and times, for people who look the rows up."""
    schema = bench.model.schema
    found = ranking(bench, look).query("suspect").drop(columns="suspect")
    named = [schema["row_number"], *(c for c in (schema["id"], schema["time"]) if c)]
    who = bench.train[named].rename(columns={schema["row_number"]: "row_number"})
    return found.merge(who, on="row_number", how="left").round({"confidence": 6, "chance": 6})


def write(folder: Path, name: str, content: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / name).write_text(text, encoding="utf-8")


def tell(report: dict[str, Any], look: Look) -> None:
    """The findings in the log, one a line."""
    for one in look.worst:
        print(f"segment {one.name} rows={one.rows} error={one.error:.4f} rest={one.rest:.4f} q={one.q:.2g}")
    print(f"suspects {report['suspects']} of {report['rows']['searched']} rows of train")
    for name, told in report["self_tests"].items():
        print(f"self-test {name} hit={told['hit']:.4f} chance={told['chance']:.4f}")
    for name, told in report["fixes"].items():
        print(
            f"fix {name} rows={told['rows']} segments={told['segments']['gain']:.5f} overall={told['overall']['gain']:.5f}"
        )
    print(f"applied {report['applied'] or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())
