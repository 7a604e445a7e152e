"""Watches a deployed model: a processing job of M7 and O6, run by a pipeline on a schedule.

It runs in one of two ways. `--mode baseline` learns what is usual from rows that the model was trained on; `--mode watch` compares
what an endpoint was asked in a window of time with that, and says where it differs:

- data: rows that could not be read, values that are no numbers, missing values, categories that the baseline did not have
- drift of each feature, and of the predictions: PSI, and Kolmogorov-Smirnov or chi-square, corrected by Holm (drift.py)
- attributions: whether the features that move the scores are still the same (SHAP values of LightGBM; 1 - NDCG)
- quality, for rows whose labels are known by now: AUC or RMSE with a bootstrap interval, against what was promised

    --mode      baseline or watch
    --model     folder with the archive of the deployed model (model.tar.gz)
    --rows      baseline only: folder with requests as JSON Lines
    --baseline  watch: folder with baseline.json and baseline.jsonl; baseline: where they are written
    --capture   watch: what the endpoint captures to, an s3:// URI or a folder
    --labels    watch: folder with labels as JSON Lines {"inference_id", "row" (from 0), "label"}; may be empty
    --begin, --end  the window, ISO times in UTC; "last" and "now" mean the day until now
    --name      what the window is called in the report
    --endpoint  dimension of the CloudWatch metrics; "" puts none
    --promised  baseline: the AUC or RMSE that the model had on rows that it was not trained on
    --alpha, --psi  when a feature has drifted: corrected p below alpha, and PSI at least psi
    --worse     how much AUC may fall, or by which share RMSE may grow, before quality is worse
    --report    written: monitor.json and monitor.html

CloudWatch metrics in eba/monitor, by Endpoint: Rows, Unread, Violations, DriftedFeatures, LargestDrift, PredictionDrift,
AttributionDrift, Labelled, QualityLoss. The log has `name=value`, one metric a line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # idle threads sleep; read when the libraries below are loaded

import capture
import drift
import model as models
import numpy as np
import pandas as pd
import quality
import report as pages
from capture import BadInput

OPT = Path("/opt/ml/processing")
NAMESPACE = "eba/monitor"
MOST = 20_000
"""Rows of the baseline that are kept, for the tests: more do not make them sharper in a way that matters."""
MORE_MISSING = 0.05
"""By how much the share of missing values may grow before it is a violation, where that is no chance."""


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The job's arguments; paths have the defaults of a SageMaker processing job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--mode", choices=("baseline", "watch"), default="watch")
    for name in ("model", "rows", "baseline", "labels"):
        parser.add_argument(f"--{name}", type=Path, default=OPT / "input" / name)
    parser.add_argument("--report", type=Path, default=OPT / "report")
    for name, default in (("capture", ""), ("begin", "last"), ("end", "now"), ("name", ""), ("endpoint", "")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--promised", type=float, default=None)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--psi", type=float, default=0.1)
    parser.add_argument("--worse", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="why it failed")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code. A failure is two lines on stderr and in --message."""
    chosen = options(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="model-") as scratch:
            model = models.load(chosen.model, Path(scratch))
            (learn if chosen.mode == "baseline" else watch)(chosen, model)
        return 0
    except BadInput as error:
        print(error, file=sys.stderr)
        if chosen.message.parent.is_dir():
            chosen.message.write_text(str(error)[:1000], encoding="utf-8")
        return 1


def learn(chosen: argparse.Namespace, model: models.Model) -> None:
    """Writes what is usual: rows, the scores that the model gives them, and what moves those."""
    rows = [
        json.loads(line)
        for file in sorted(chosen.rows.rglob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    if len(rows) < 100:
        raise BadInput(
            f"The baseline has {len(rows)} rows.", "Give at least 100 rows as JSON Lines (.jsonl)."
        )
    picked = np.random.default_rng(chosen.seed).permutation(len(rows))[:MOST]
    rows = [rows[at] for at in sorted(picked)]
    scores = models.scores(model.answers(rows))
    chosen.baseline.mkdir(parents=True, exist_ok=True)
    with (chosen.baseline / "baseline.jsonl").open("w", encoding="utf-8") as file:
        for row, score in zip(rows, scores, strict=True):
            file.write(json.dumps({"row": row, "score": float(score)}) + "\n")
    known = {
        "rows": len(rows),
        "promised": chosen.promised,
        "weights": model.weights(rows),
        "kinds": model.kinds,
    }
    (chosen.baseline / "baseline.json").write_text(json.dumps(known, indent=1), encoding="utf-8")
    print(f"rows={len(rows)}\nfeatures={len(model.kinds)}\nattributed={len(known['weights'])}")


def watch(chosen: argparse.Namespace, model: models.Model) -> None:
    """Writes how a window of requests differs from what is usual, and puts the metrics of it."""
    begin, end = capture.window(chosen.begin, chosen.end, datetime.now(UTC))
    try:
        known = json.loads((chosen.baseline / "baseline.json").read_text(encoding="utf-8"))
        text = (chosen.baseline / "baseline.jsonl").read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"The baseline cannot be read: {error}.", "Run this job with --mode baseline first."
        ) from None
    usual = [json.loads(line) for line in text.splitlines()]
    exchanges = capture.exchanges(chosen.capture, begin, end)
    read = [one for one in exchanges if not one.unread]
    rows = [row for one in read for row in one.rows]
    if not rows:
        raise BadInput(
            f"None of {len(exchanges)} requests could be read: {exchanges[0].unread}",
            "Look at what is captured.",
        )
    now_scores = models.scores([one for each in read for one in each.predictions])
    then, now = model.table([one["row"] for one in usual]), model.table(rows)
    features = drift.compared(then, now, model.kinds, chosen.alpha, chosen.psi)
    (predictions,) = drift.compared(
        pd.DataFrame({"prediction": [one["score"] for one in usual]}), pd.DataFrame({"prediction": now_scores}),
        {"prediction": "number"}, chosen.alpha, chosen.psi,
    )  # fmt: skip
    weights = model.weights(rows)
    violations = violated(features, then, now, model.unreadable(rows), chosen.alpha)
    judged = quality.judged(read, chosen.labels, model.schema, known["promised"], chosen.worse, chosen.seed)
    drifted = [one for one in features if one.drifted]
    metrics = {
        "Rows": len(rows),
        "Unread": len(exchanges) - len(read),
        "Violations": len(violations),
        "DriftedFeatures": len(drifted),
        "LargestDrift": max((one.psi for one in features), default=0.0),
        "PredictionDrift": predictions.psi if predictions.drifted else 0.0,
        **({"AttributionDrift": drift.attribution_drift(known["weights"], weights)} if weights else {}),
        "Labelled": judged["labelled"],
        **({"QualityLoss": judged["loss"]} if judged["loss"] is not None else {}),
    }
    told = {
        "name": chosen.name or f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}",
        "endpoint": chosen.endpoint,
        "begin": begin.isoformat(),
        "end": end.isoformat(),
        "rows": {"then": len(usual), "now": len(rows)},
        "requests": len(exchanges),
        "unread": [one.unread for one in exchanges if one.unread][:5],
        "metrics": metrics,
        "drifted": [one.name for one in drifted],
        "violations": violations,
        "quality": judged,
        "features": [asdict(one) for one in features],
        "predictions": asdict(predictions),
        "weights": {"then": known["weights"], "now": weights},
        "limits": {"alpha": chosen.alpha, "psi": chosen.psi, "worse": chosen.worse},
    }
    chosen.report.mkdir(parents=True, exist_ok=True)
    (chosen.report / "monitor.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    (chosen.report / "monitor.html").write_text(pages.page(told), encoding="utf-8")
    print("\n".join(f"{name}={value:.6g}" for name, value in metrics.items()))
    if chosen.endpoint:
        put(metrics, chosen.endpoint)


def violated(
    features: Sequence[drift.Feature],
    then: pd.DataFrame,
    now: pd.DataFrame,
    unreadable: dict[str, int],
    alpha: float,
) -> list[str]:
    """What is wrong with the data themselves, in words. alpha: the chance to say that of data in which nothing changed."""
    found = [f"{name}: {count} of {len(now)} values are no numbers" for name, count in unreadable.items()]
    chances = drift.holm([drift.more_missing(then[one.name], now[one.name]) for one in features])
    for one, chance in zip(features, chances, strict=True):
        more = chance < alpha and one.missing_now > one.missing_then + MORE_MISSING
        if more and one.name not in unreadable:
            found.append(f"{one.name}: {one.missing_now:.1%} missing, {one.missing_then:.1%} before")
        if one.kind == "category":
            unknown = sorted(set(now[one.name].dropna()) - set(then[one.name].dropna()))
            if unknown and now[one.name].isin(unknown).mean() > MORE_MISSING:
                found.append(f"{one.name}: values that the baseline does not have, such as {unknown[0]}")
    return found


def put(metrics: dict[str, float], endpoint: str) -> None:
    """Puts the metrics into CloudWatch, now: an alarm looks at what came in its last minutes."""
    import boto3

    where = [{"Name": "Endpoint", "Value": endpoint}]
    data = [
        {"MetricName": name, "Dimensions": where, "Value": float(value)} for name, value in metrics.items()
    ]
    boto3.client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=data)


if __name__ == "__main__":
    sys.exit(main())
