"""A pipeline that tunes, makes a model of the best trial, and transforms a batch with it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lab import BUCKET, IMAGE, JOBS, Lab
from pipelining import execution, steps, unique

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:The 'dependencies' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Running within a PipelineSession:UserWarning"),
]
# The training script of the fixtures, whose archive brings along how it is served.
SERVED = """
import shutil
(Path(given.model_dir) / "code").mkdir()
shutil.copy(Path(__file__).with_name("inference.py"), Path(given.model_dir) / "code/inference.py")
"""


def code(folder: Path) -> Path:
    """A folder of code that trains a model which can be served as it is."""
    (folder / "train.py").write_text((JOBS / "train.py").read_text() + SERVED)
    (folder / "inference.py").write_text((JOBS / "inference.py").read_text())
    return folder


def built(lab: Lab, name: str, source: Path) -> Any:
    """Tune -> model of the best trial -> transform, as the SDK builds it."""
    from sagemaker.core.parameter import ContinuousParameter
    from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, SourceCode
    from sagemaker.core.transformer import Transformer
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.steps import TransformStep, TuningStep
    from sagemaker.serve import ModelBuilder
    from sagemaker.train import ModelTrainer
    from sagemaker.train.tuner import HyperparameterTuner

    session = PipelineSession(boto_session=lab.sagemaker.boto_session, default_bucket=BUCKET)
    trainer = ModelTrainer(
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(source), entry_script="train.py"),
        role=lab.role,
        sagemaker_session=session,
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        base_job_name=name,
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/{name}/tuned"),
    )
    tuner = HyperparameterTuner(
        trainer,
        objective_metric_name="validation:auc",
        metric_definitions=[{"Name": "validation:auc", "Regex": r"validation:auc=([0-9.]+);"}],
        hyperparameter_ranges={"c": ContinuousParameter(1e-6, 10.0, scaling_type="Logarithmic")},
        max_jobs=3,
        max_parallel_jobs=3,
        random_seed=1,
    )
    channel = InputData(channel_name="train", data_source=f"s3://{BUCKET}/data/train")
    tune = TuningStep(name="Tune", step_args=tuner.tune([channel]))
    builder = ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=tune.get_top_model_s3_uri(0, BUCKET, f"{name}/tuned"),
        env_vars={
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        },
        role_arn=lab.role,
        sagemaker_session=session,
        instance_type="ml.m5.large",
    )
    model = ModelStep(name="Best", step_args=builder.build())
    transformer = Transformer(
        model_name=model.properties.ModelName,
        instance_count=1,
        instance_type="ml.m5.large",
        strategy="MultiRecord",
        assemble_with="Line",
        accept="text/csv",
        output_path=f"s3://{BUCKET}/{name}/predicted",
        sagemaker_session=session,
    )
    predict = TransformStep(
        name="Predict",
        step_args=transformer.transform(
            f"s3://{BUCKET}/data/batch.csv", content_type="text/csv", split_type="Line"
        ),
    )
    return Pipeline(name=name, steps=[tune, model, predict], sagemaker_session=session)


def test_the_best_trial_predicts_a_batch(lab: Lab, tmp_path: Path) -> None:
    name = unique("tuned")
    lab.put("data/train/table.csv", (JOBS / "table.csv").read_bytes())
    table = np.genfromtxt(JOBS / "table.csv", delimiter=",", skip_header=1)
    text = io.StringIO()
    np.savetxt(text, table[:, :-1], delimiter=",")
    lab.put("data/batch.csv", text.getvalue())
    pipeline = built(lab, name, code(tmp_path))
    pipeline.upsert(role_arn=lab.role)
    arn = pipeline.start().arn
    ended = execution(lab, arn)
    found = steps(lab, arn)
    assert ended["PipelineExecutionStatus"] == "Succeeded", found
    assert list(found) == ["Tune", "Best", "Predict"]

    tuning = found["Tune"]["Metadata"]["TuningJob"]["Arn"].rpartition("/")[2]
    assert len(tuning) <= 32
    trials = lab.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuning
    )["TrainingJobSummaries"]
    best = max(trials, key=lambda one: one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
    described = lab.client("sagemaker").describe_model(
        ModelName=found["Best"]["Metadata"]["Model"]["Arn"].rpartition("/")[2]
    )
    assert f"/{best['TrainingJobName']}/output/model.tar.gz" in described["PrimaryContainer"]["ModelDataUrl"]
    said = np.loadtxt(io.StringIO(lab.get(f"s3://{BUCKET}/{name}/predicted/batch.csv.out").decode()))
    assert said.shape == (len(table),)
    assert np.mean(said == table[:, -1]) > 0.8
