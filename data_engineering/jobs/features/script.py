"""Engineers features, keeps those that earn their place, and saves how: the processing job of D3, and of M4 with other groups.

Reads the prepare job's --train, --validation, --test (Parquet) and --schema; writes the same splits with the features to
--features-train and so on; to --transformer the fitted transformer (transformer.json and transformer.py); to --report schema.json
(for training), dictionary.csv and dictionary.json (what each feature is) and report.json (what was tried, with its effect).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Threads that find nothing to do sleep. By default they spin, and on a busy machine a second's work then takes minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when the libraries below are loaded

import duckdb
import groups
import judge
import outputs
import recipe
import splits
import trial
from splits import SPLITS, BadInput
from threadpoolctl import threadpool_limits

OPT = Path("/opt/ml/processing")


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The job's arguments; paths have the defaults of a SageMaker processing job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in (*SPLITS, "schema"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / "input" / name, help=f"folder with {name}")
    for name in SPLITS:
        parser.add_argument(f"--features-{name}", type=Path, default=OPT / name, help=f"folder for {name}")
    for name in ("transformer", "report"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / name, help=f"folder for the {name}")
    parser.add_argument(
        "--in-time-order", choices=["no", "yes"], default="no", help="rows come in time order"
    )
    models = ["linear", "trees", "boosting"]
    parser.add_argument("--model", choices=models, default="linear", help="what groups are judged by")
    parser.add_argument(
        "--select", choices=["try", "no"], default="try", help="take out columns that say nothing alone"
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=50_000, help="rows of train to judge and fit on")
    parser.add_argument("--least-gain", type=float, default=0.001, help="in AUC or R²; a group of less goes")
    names = list(recipe.GROUPS)
    parser.add_argument(
        "--start", nargs="*", choices=names, default=[], help="groups that are in, not judged"
    )
    parser.add_argument(
        "--groups", nargs="*", choices=names, default=list(groups.GROUPS), help="to be judged"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", default="2GB", help="what DuckDB may hold; the rest goes to disk")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--config", type=Path, default=Path("/opt/ml/config/resourceconfig.json"))
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="why it failed")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code. A failure is two lines on stderr and in --message."""
    chosen = options(argv)
    try:
        with threadpool_limits(1):  # sums in one order, and no threads that wait for each other
            engineer(chosen)
        return 0
    except BadInput as error:
        text = str(error)
    except duckdb.Error as error:
        first = " ".join(str(error).split("Possible")[0].split())[:300]
        text = (
            f"{first}\nIf it is memory, use a larger instance and --memory; else run the prepare job again."
        )
    print(text, file=sys.stderr)
    if chosen.message.parent.is_dir():
        chosen.message.write_text(text[:1000], encoding="utf-8")
    return 1


def engineer(chosen: argparse.Namespace) -> None:
    """The whole job.

    Raises:
        BadInput: splits, schema or arguments do not fit, or the rows are too few or too alike to judge by; nothing is written.
    """
    _one_host(chosen.config)
    if chosen.folds < judge.LEAST or chosen.sample < 100:
        raise BadInput(
            f"--folds {chosen.folds} or --sample {chosen.sample} is too small.",
            f"Take {judge.LEAST} folds and 100 rows at least.",
        )
    schema = splits.schema(chosen.schema)
    files = {name: splits.files(getattr(chosen, name), name, schema) for name in SPLITS}
    folders = {name: getattr(chosen, f"features_{name}") for name in SPLITS}
    chosen.report.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="features-", dir=chosen.report.parent) as scratch:
        settings = {"memory_limit": chosen.memory, "threads": chosen.threads, "temp_directory": scratch}
        with duckdb.connect(str(Path(scratch, "rows.db")), config=settings) as db:
            rows = {name: splits.count(db, listed) for name, listed in files.items()}
            if empty := [name for name, count in rows.items() if not count]:
                raise BadInput(
                    f"{' and '.join(empty)} has no rows.", "Look at the prepare job's report.json."
                )
            order = schema["time"] or (schema["row_number"] if chosen.in_time_order == "yes" else "")
            recorded = splits.count(db, files["train"], splits.real(schema))
            seen = splits.sample(db, files["train"], recorded, schema, order, chosen)
            judged = trial.judged(seen, schema, chosen)
            fitted, told = seen.fit(schema, judged.kept, select=judged.select, seed=chosen.seed)
            written = outputs.write_all(db, files, folders, fitted, order, Path(scratch))
    on = f"{len(seen.y):,} rows of train"
    if len(seen.y) < recorded:
        on += f", a sample of {recorded:,}"
    if recorded < rows["train"]:
        on += f", without its {rows['train'] - recorded:,} synthetic rows"
    used = {source for spec in fitted["features"] for source in spec["sources"]}
    report = {
        "rows": written,
        "fitted_on": on,
        **judged.told,
        "columns": [{**one, "kept": one["column"] in used} for one in told],
        "features": [spec["name"] for spec in fitted["features"]],
    }
    _save(chosen, report, fitted, on)
    _tell(report)


def _save(chosen: argparse.Namespace, report: Mapping[str, Any], fitted: Mapping[str, Any], on: str) -> None:
    """All but the splits."""
    dictionary = outputs.dictionary(fitted, on)
    contents = {"report": report, "schema": outputs.schema(fitted), "dictionary": dictionary}
    files = {chosen.report / f"{name}.json": content for name, content in contents.items()}
    chosen.transformer.mkdir(parents=True, exist_ok=True)
    for file, content in {**files, chosen.transformer / "transformer.json": fitted}.items():
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        file.write_text(text + "\n", encoding="utf-8")
    with (chosen.report / "dictionary.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(dictionary[0]))
        table.writeheader()
        table.writerows({**row, "sources": "; ".join(row["sources"])} for row in dictionary)
    shutil.copyfile(Path(__file__).with_name("transformer.py"), chosen.transformer / "transformer.py")


def _one_host(config: Path) -> None:
    if config.is_file() and len(json.loads(config.read_text(encoding="utf-8")).get("hosts", [])) > 1:
        raise BadInput(
            "This job has several instances, and it works on one.",
            "Set the instance count to 1: it reads row by row, so a larger table only takes longer.",
        )


def _tell(report: Mapping[str, Any]) -> None:
    """The decisions in the log, one a line."""
    print(f"judged by {report['measure']} of a {report['model']} model, {report['folds']['rule']}")
    for step in report["steps"]:
        effect = f" {step['mean']:+.4f} ({step['low']:+.4f} to {step['high']:+.4f})" if "mean" in step else ""
        print(f"{step['kind']} {step['step']}{effect} {'stays' if step['kept'] else 'goes'}: {step['why']}")
    print(f"left out {', '.join(c['column'] for c in report['columns'] if not c['kept']) or 'nothing'}")
    print(f"features {len(report['features'])}")


if __name__ == "__main__":
    sys.exit(main())
