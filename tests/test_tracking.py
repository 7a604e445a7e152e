from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import ROOT, load

(tracking,) = load("model_engineering", "tracking")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_runs_are_kept_in_a_file_and_found_again_by_their_job(tmp_path: Path) -> None:
    address = tracking.opened("", tmp_path / "new" / "mlflow", "eba")
    assert address == f"sqlite:///{tmp_path}/new/mlflow/runs.db"
    curve = [{"step": step, "train": 1 / step, "validation": 2 / step} for step in range(1, 1501)]
    for name, auc in (("one", 0.8), ("two", 0.9)):
        tracking.track(
            name,
            parameters={"seed": 0, "algorithm": name},
            metrics={"validation:auc": auc},
            curve=curve if name == "one" else (),
            tags={"job": f"job-{name}"},
            attached={"evaluation.json": {"auc": auc}},
        )
    found = tracking.runs("eba", "job", ["job-one", "job-two", "job-none"])
    assert found["metrics.validation_auc"].tolist() == [0.8, 0.9]
    assert found["params.algorithm"].tolist() == ["one", "two"]
    assert found["status"].tolist() == ["FINISHED"] * 2
    kept = Path(found["artifact_uri"][1].removeprefix("file://"), "evaluation.json")
    assert json.loads(kept.read_text()) == {"auc": 0.9}
    assert tmp_path in kept.parents

    import mlflow

    points = mlflow.MlflowClient().get_metric_history(found["run_id"][0], "curve_train")
    assert [(p.step, p.value) for p in points][:2] == [(1, 1.0), (2, 0.5)]
    assert len(points) == 1500


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    for auc in (0.7, 0.8):
        tracking.opened("", tmp_path, "eba")
        tracking.track("again", parameters={}, metrics={"auc": auc}, tags={"job": "j"})
    assert sorted(tracking.runs("eba", "job", ["j"])["metrics.auc"]) == [0.7, 0.8]


def test_nothing_is_loaded_before_it_is_needed_and_nothing_is_told_to_others() -> None:
    code = "import os, sys, tracking; assert 'mlflow' not in sys.modules; "
    code += "import tempfile, pathlib; tracking.opened('', pathlib.Path(tempfile.mkdtemp()), 'e'); "
    code += "from mlflow.telemetry.utils import is_telemetry_disabled; print(is_telemetry_disabled())"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DO_NOT_TRACK"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "model_engineering",
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True"
