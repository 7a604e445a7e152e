"""Tracked runs: what a training job was given and what came out, kept by MLflow in a file, or on a tracking server of SageMaker."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd


def opened(server: str, folder: Path, experiment: str) -> str:
    """Opens the experiment for what follows; returns the address of its runs.

    Args:
        server: the ARN (or another address) of a tracking server; "" for a database file in `folder`.
        folder: where the file and the runs' attachments go; it is made.
        experiment: its name; it is made if it is not there.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is loaded
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    address = server or f"sqlite:///{folder.resolve() / 'runs.db'}"
    mlflow.set_tracking_uri(address)
    if not server and mlflow.get_experiment_by_name(experiment) is None:
        mlflow.create_experiment(experiment, artifact_location=(folder.resolve() / "attached").as_uri())
    mlflow.set_experiment(experiment)
    return address


def track(
    name: str,
    *,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    curve: Iterable[Mapping[str, float]] = (),
    tags: Mapping[str, str] | None = None,
    attached: Mapping[str, Any] | None = None,
) -> str:
    """Records a run that has ended; returns its id.

    `curve` has points with a `step` and values by name; `attached` is JSON by file name.
    """
    import mlflow
    from mlflow.entities import Metric

    with mlflow.start_run(run_name=name, tags=dict(tags or {})) as run:
        mlflow.log_params(dict(parameters))
        mlflow.log_metrics({_legal(key): value for key, value in metrics.items()})
        began = int(run.info.start_time)
        points = [
            Metric(f"curve_{_legal(key)}", float(value), began, int(point["step"]))
            for point in curve
            for key, value in point.items()
            if key != "step"
        ]
        client = mlflow.MlflowClient()
        for at in range(0, len(points), 1000):
            client.log_batch(run.info.run_id, metrics=points[at : at + 1000])
        for file, content in (attached or {}).items():
            mlflow.log_dict(content, file)
        return str(run.info.run_id)


def runs(experiment: str, tag: str, values: Iterable[str]) -> pd.DataFrame:
    """The runs of an experiment whose tag has one of the values, one row each: `run_id`, `metrics.…`, `params.…`, `tags.…`."""
    import mlflow

    found = [
        mlflow.search_runs(experiment_names=[experiment], filter_string=f"tags.`{tag}` = '{value}'")
        for value in values
    ]
    return pd.concat([table for table in found if len(table)] or found[:1], ignore_index=True)


def _legal(name: str) -> str:
    """A metric's name as MLflow takes it everywhere: colons are refused by some of its stores."""
    return name.replace(":", "_")
