"""Cleans, splits, scales and weighs a table: the processing job of D2.

Reads CSV or Parquet from --input and what its columns are from --plan; writes Parquet to --train, --validation and --test, and
report.json (what was decided, with its numbers) and schema.json (what training and serving need) to --report.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import balance
import compare
import contract
import duckdb
import fit
import leakage
import split
import table
import weigh
from table import BadInput

OPT = Path("/opt/ml/processing")
LEAK_ROWS = 200_000
"""Rows of train that leaks are looked for in."""


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The job's arguments; paths have the defaults of a SageMaker processing job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, default=OPT / "input", help="folder with CSV or Parquet")
    parser.add_argument("--plan", nargs="+", required=True, help="JSON (may be in pieces), or a file with it")
    for name in (*split.SPLITS, "report"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / name, help=f"folder for {name}")
    parser.add_argument("--in-time-order", action="store_true", help="rows come in time order")
    parser.add_argument("--shares", default="0.7,0.15,0.15", help="of rows: train, validation, test")
    parser.add_argument("--winsor", type=float, default=0.005, help="quantile beyond which outliers are cut")
    parser.add_argument("--leak-limit", type=float, default=0.95, help="AUC or R² of one column alone")
    parser.add_argument("--scale", choices=["standard", "none"], default="standard")
    parser.add_argument("--balance", choices=["weights", "smote", "none"], default="weights", help="classes")
    parser.add_argument("--compare", choices=["no", "yes"], default="no", help="what balancing is worth")
    parser.add_argument("--contract", type=Path, help="JSON with what each column promises")
    parser.add_argument("--unbias", choices=["reweighing", "none"], default="reweighing")
    parser.add_argument(
        "--sensitive-features", choices=["no", "yes"], default="no", help="the model sees them"
    )
    parser.add_argument("--duplicates", choices=["drop", "keep"], default="drop")
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
        prepare(chosen)
        return 0
    except BadInput as error:
        text = str(error)
    except duckdb.Error as error:
        first = " ".join(str(error).split("Possible")[0].split())[:300]
        text = (
            f"{first}\nMend the table where it says so; if it is memory, use a larger instance and --memory."
        )
    print(text, file=sys.stderr)
    if chosen.message.parent.is_dir():
        chosen.message.write_text(text[:1000], encoding="utf-8")
    return 1


def prepare(chosen: argparse.Namespace) -> None:
    """The whole job.

    Raises:
        BadInput: the table, the plan or the arguments do not fit; nothing is written then.
    """
    shares = _shares(chosen.shares)
    _one_host(chosen.config)
    plan = table.plan(chosen.plan)
    if chosen.balance == "smote" and not plan.classifies:
        raise BadInput(
            "--balance smote makes labels equal, and the target is a number.", "Use --balance none."
        )
    chosen.report.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="prepare-", dir=chosen.report.parent) as scratch:
        settings = {"memory_limit": chosen.memory, "threads": chosen.threads, "temp_directory": scratch}
        with duckdb.connect(str(Path(scratch, "table.db")), config=settings) as db:
            report, schema, columns = _decide(db, plan, chosen, shares)
            made = _synthetic(db, columns, schema, chosen, report) if chosen.balance == "smote" else None
            for at, name in enumerate(split.SPLITS):
                _write(db, columns, at, getattr(chosen, name))
            if made is not None:
                made.to_parquet(chosen.train / "part-00000.parquet", index=False)
    if chosen.compare == "yes":
        report["compared"] = compare.compared(chosen.train, chosen.validation, schema, chosen.seed)
    for name, content in (("report", report), ("schema", schema)):
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (chosen.report / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    _tell(report)


def _shares(text: str) -> list[float]:
    try:
        shares = [float(s) for s in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise BadInput(f"--shares {text} is not three shares that make 1.", "Write 0.7,0.15,0.15.")
    return shares


def _one_host(config: Path) -> None:
    if config.is_file() and len(json.loads(config.read_text(encoding="utf-8")).get("hosts", [])) > 1:
        raise BadInput(
            "This job has several instances, and it works on one.",
            "Set the instance count to 1: a larger instance takes a larger table, and it spills to disk.",
        )


def _decide(
    db: Any, plan: table.Plan, chosen: argparse.Namespace, shares: Sequence[float]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """The report, the schema, and the output columns as SQL over the table `final`."""
    promised = contract.read(chosen.contract) if chosen.contract else None
    names = table.load(db, chosen.input, plan)
    broken = contract.breaks(db, names, promised) if promised is not None else []
    if any(entry["broken"] for entry in broken):
        told = json.dumps(broken, indent=1, ensure_ascii=False)
        (chosen.report / "broken.json").write_text(told + "\n", encoding="utf-8")
    contract.refuse(broken)
    rows = db.execute("select count(*) from raw").fetchone()[0]
    copies = table.copies(db, names) if chosen.duplicates == "drop" else 0
    if chosen.duplicates == "keep":
        db.execute("create table copies (n bigint)")
    found = table.facts(db, names)
    left_out, features = _candidates(names, plan, found, chosen.sensitive_features == "yes")
    done = table.type_columns(db, names, plan, found, features, chosen.seed)
    db.execute("drop table raw")
    rule, numbers = split.assign(
        db,
        shares,
        by_time=bool(plan.time or plan.in_time_order or chosen.in_time_order),
        by_id=bool(plan.id),
        stratify=plan.classifies,
    )
    if done["time_read_as"].startswith("dates"):
        numbers = _dated(numbers)
    warnings = _check_splits(numbers, plan)
    if copies > 0.01 * rows and not plan.id:
        warnings.append(
            f"{copies} rows were the same as an earlier row and were dropped, and no id says that they are about the same. "
            "If they are not, use --duplicates keep."
        )
    measure = "auc" if plan.classifies else "r2"
    alone, specs = {}, {}
    for at, name in enumerate(features):
        spec = _fitted(db, f"f{at}", found[name].kind, chosen)
        if isinstance(spec, str):
            left_out[name] = spec
            continue
        value, target = fit.sample(db, f"f{at}", LEAK_ROWS)
        alone[name] = round(leakage.predictability(value, target, measure), 6)
        if alone[name] >= chosen.leak_limit:
            left_out[name] = f"gives the target away: alone it has {measure} {alone[name]:.3f} on train"
        else:
            specs[name] = {"name": name, "column": f"f{at}", **spec}
    if not specs:
        raise BadInput("No column is left to learn from.", f"Left out: {json.dumps(left_out)[:600]}")
    suspects = leakage.suspects({n: alone[n] for n in specs}, measure)
    warnings += [
        f"{n} stands out: alone it has {measure} {alone[n]:.3f} on train. Is it known when the prediction is made? "
        "If not, name it in the plan's leave_out."
        for n in suspects
    ]
    groups = weigh.groups(db, plan, found)
    by_weight, unbias = chosen.balance == "weights", chosen.unbias == "reweighing"
    measured, weights, row_weight = weigh.weigh(db, plan, groups, balance=by_weight, unbias=unbias)
    columns, schema = _columns(
        plan, names, specs, groups, row_weight, dates=done["time_read_as"].startswith("dates")
    )
    report = {
        "input": {"rows": rows, "columns": len(names)},
        "contract": {"held": promised is not None, "tolerated": broken},
        "cleaning": {
            "copies_dropped": copies,
            **done,
            "not_numeric_made_missing": {
                n: f.not_numeric
                for n, f in found.items()
                if n in specs and f.kind == "number" and f.not_numeric
            },
            "missing_in_train": {n: s["missing_in_train"] for n, s in specs.items() if s["missing_in_train"]},
            "winsorised_in_train": {
                n: s["winsorised_in_train"] for n, s in specs.items() if s.get("winsorised_in_train")
            },
        },
        "left_out": left_out,
        "leakage": {"measure": measure, "limit": chosen.leak_limit, "alone": alone, "suspects": suspects},
        "split": {"rule": rule, "shares": list(shares), **numbers},
        "features": list(specs),
        "bias": measured,
        "weights": weights,
        "warnings": warnings,
    }
    return report, schema, columns


def _candidates(
    names: Sequence[str], plan: table.Plan, found: Mapping[str, table.Facts], see_sensitive: bool
) -> tuple[dict[str, str], list[str]]:
    """Columns that are no features, with the reason, and those that may be."""
    reasons = {
        "e-mail": "personal: e-mail addresses",
        "row number": "a row number",
        "date": "dates: make features of them first",
        "empty": "empty",
    }
    left_out: dict[str, str] = {}
    for name in names:
        if name in plan.leave_out:
            left_out[name] = "the plan says so"
        elif name in plan.sensitive and not see_sensitive:
            left_out[name] = "sensitive: kept to measure by, not to learn from"
        elif found[name].kind in reasons:
            left_out[name] = reasons[found[name].kind]
    roles = {plan.target, plan.id, plan.time}
    for name in roles:
        left_out.pop(name, None)
    return left_out, [n for n in names if n not in roles and n not in left_out]


def _dated(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The split's numbers with its times, seconds since 1970, as dates."""

    def text(seconds: float) -> str:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()[:19]

    splits = {
        name: {**part, "first": text(part["first"]), "last": text(part["last"])}
        for name, part in numbers["splits"].items()
    }
    cuts = {"cuts": [text(c) for c in numbers["cuts"]]} if "cuts" in numbers else {}
    return {**numbers, **cuts, "splits": splits}


def _check_splits(numbers: Mapping[str, Any], plan: table.Plan) -> list[str]:
    warnings = []
    for name in split.SPLITS:
        part = numbers["splits"].get(name)
        if part is None:
            raise BadInput(
                f"There are too few rows: {name} would be empty.", "Bring more rows, or change --shares."
            )
        if plan.classifies and part["target_mean"] in (0.0, 1.0):
            if name == "train":
                raise BadInput(
                    "Every row of train has the same label.", "Take a longer period, or other --shares."
                )
            warnings.append(f"Every row of {name} has the same label: it can measure nothing.")
    return warnings


def _fitted(db: Any, column: str, kind: str, chosen: argparse.Namespace) -> dict[str, Any] | str:
    if kind == "number":
        return fit.numeric(fit.sample(db, column, fit.ROWS)[0], chosen.winsor, chosen.scale == "standard")
    return fit.category(fit.counts(db, column))


def _columns(
    plan: table.Plan,
    names: Sequence[str],
    specs: Mapping[str, dict[str, Any]],
    groups: Mapping[str, Mapping[str, Any]],
    row_weight: str,
    *,
    dates: bool,
) -> tuple[dict[str, str], dict[str, Any]]:
    """The output columns, name to SQL, and the schema. A name that a column of the table has is not taken again."""
    taken = {n.lower() for n in names}

    def free(name: str) -> str:
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        return name

    out = {free("row_number"): "n"}
    row_number = next(iter(out))
    if plan.id:
        out[plan.id] = "id"
    if plan.time:
        out[plan.time] = "make_timestamp(cast(t * 1000000 as bigint))" if dates else "t"
    features = []
    for name, spec in specs.items():
        column = spec.pop("column")
        if spec["kind"] == "numeric":
            out[name] = fit.numeric_sql(column, spec)
            if spec["missing_in_train"]:
                spec["indicator"] = free(f"{name}__missing")
                out[spec["indicator"]] = f"cast({column} is null as double)"
        else:
            out[name] = fit.category_sql(column, spec)
        features.append(spec)
    told = {}
    for name, group in groups.items():
        column = free(f"{name}__group")
        out[column] = group["sql"]
        told[name] = {"column": column, **{k: v for k, v in group.items() if k != "sql"}}
    out[plan.target] = "cast(y as int)" if plan.classifies else "y"
    weight = free("row_weight")
    out[weight] = row_weight
    synthetic = free("synthetic")
    out[synthetic] = "false"
    schema = {
        "version": 1,
        "problem": plan.problem,
        "target": plan.target,
        "positive": plan.positive if plan.classifies else None,
        "row_number": row_number,
        "id": plan.id,
        "time": plan.time,
        "weight": weight,
        "synthetic": synthetic,
        "groups": told,
        "missing_words": {k: list(v) for k, v in plan.missing.items()},
        "columns": [n for n in names if n in specs],
        "features": features,
    }
    return out, schema


def _synthetic(
    db: Any,
    columns: Mapping[str, str],
    schema: Mapping[str, Any],
    chosen: argparse.Namespace,
    report: dict[str, Any],
) -> Any:
    """Train with rows of SMOTE, as a data frame; the report gets its weights and its bias by weight."""
    if (rows := report["split"]["splits"]["train"]["rows"]) > balance.ROWS:
        raise BadInput(
            f"Train has {rows:,} rows, and SMOTE takes {balance.ROWS:,}: it works in memory.",
            "Use --balance weights, which takes any number.",
        )
    frame = db.execute(f"{_select(columns)} where s = 0 order by n").df()
    whole, told = balance.added(frame, schema, unbias=chosen.unbias == "reweighing", seed=chosen.seed)
    report["weights"] = told["weights"]
    for name, groups in report["bias"].items():
        for group, values in groups.items():
            values["weighted"] = told["bias"][name][group]
    return whole


def _select(columns: Mapping[str, str]) -> str:
    listed = ", ".join(f'{sql} as "{name.replace(chr(34), chr(34) * 2)}"' for name, sql in columns.items())
    return f"select {listed} from final"


def _write(db: Any, columns: Mapping[str, str], at: int, folder: Path) -> None:
    """One split as Parquet, rows in the order of the input; what an earlier run left in the folder goes."""
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    file = table.literal(str(folder / "part-00000.parquet"))
    db.execute(f"copy ({_select(columns)} where s = {at} order by n) to {file} (format parquet)")


def _tell(report: Mapping[str, Any]) -> None:
    """The decisions in the log, one a line."""
    parts = report["split"]["splits"]
    print(f"rows read={report['input']['rows']} copies dropped={report['cleaning']['copies_dropped']}")
    print(f"split {report['split']['rule']}")
    for name, part in parts.items():
        print(f"split {name} rows={part['rows']} target_mean={part['target_mean']:.4f}")
    for name, why in report["left_out"].items():
        print(f"left out {name}: {why}")
    for warning in report["warnings"]:
        print(f"warning {warning}")


if __name__ == "__main__":
    sys.exit(main())
