"""The pipeline from raw rows to a registered model: prepare, make features, train, evaluate, gate, register.

Its steps are the jobs of this repository, in folders of their own. Code goes to S3 under its checksum, so that the same code and settings
make the same definition, byte for byte, and an execution takes from the cache what did not change, also after a new release.

Modules of `sagemaker.mlops` are imported where they are used: they ask for a region as soon as they are imported.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagemaker.core import image_uris
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.processing import FrameworkProcessor
from sagemaker.core.s3 import S3Uploader
from sagemaker.core.shapes import (
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    Tag,
)
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo, ConditionLessThanOrEqualTo
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, MetricDefinition, OutputDataConfig, StoppingCondition

from kit.network import Network

if TYPE_CHECKING:
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.model_step import ModelStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep

ROOT = Path(__file__).resolve().parent.parent
JOBS = {
    "prepare": ROOT / "data_engineering" / "jobs" / "prepare",
    "features": ROOT / "data_engineering" / "jobs" / "features",
    "train": ROOT / "model_engineering" / "jobs" / "train",
    "evaluate": ROOT / "model_engineering" / "jobs" / "evaluate",
}
SPLITS = ("train", "validation", "test")
OPT = "/opt/ml/processing"
TYPES = ["text/csv", "application/jsonlines", "application/json"]
"""What the model's inference code reads and writes."""
MODELS = ("candidate", "reference")
"""What the evaluate job calls the model that is to be registered, and the one that it has to beat."""
GATED = {"classification": ("auc", "auc"), "regression": ("r2", "rmse")}
"""By problem: the metric that has to reach a value, and the one by which the candidate is compared (the job's first)."""
SETTINGS: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_child_samples": 100,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "lambda_l2": 10.0,
    "iterations": 1000,
    "early_stopping": 50,
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a release of the pipeline is made of; the rest are parameters of an execution.

    plan: the data block as the prepare job takes it (`kit.data.arguments`); problem: classification or regression.
    prefix: S3 prefix (s3://bucket/eba/o3) for code and runs. role: of the jobs. network: where they run. group: the model package group. preparing: more arguments of the prepare job.
    least, gain: defaults of the gate. algorithm: the candidate's, boosting or baseline. champion: compare with a model that is given by its URI, not with a baseline trained alongside.
    """

    name: str
    plan: Sequence[str]
    problem: str
    prefix: str
    role: str
    group: str
    least: float
    gain: float
    image: str = "1.4-2-py312"
    instance_type: str = "ml.m5.xlarge"
    cache_days: int = 30
    algorithm: str = "boosting"
    champion: bool = False
    in_time_order: bool = False
    preparing: Sequence[str] = ()
    training: Mapping[str, Any] = dataclasses.field(default_factory=lambda: dict(SETTINGS))
    network: Network = dataclasses.field(default_factory=Network)
    tags: Sequence[Mapping[str, str]] = ()


def digest(folder: Path) -> str:
    """Twelve characters that stand for a folder's code: its Python files and requirements, by name and content."""
    whole = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".py", ".txt")):
        whole.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return whole.hexdigest()[:12]


class _Built:
    """What the steps have in common."""

    def __init__(self, session: PipelineSession, settings: Settings) -> None:
        from sagemaker.mlops.workflow.steps import CacheConfig

        self.session, self.settings = session, settings
        self.data = ParameterString("Data")
        self.instance_type = ParameterString("InstanceType", default_value=settings.instance_type)
        self.least = ParameterFloat("Least", default_value=settings.least)
        self.gain = ParameterFloat("Gain", default_value=settings.gain)
        self.seed = ParameterInteger("Seed", default_value=0)
        self.champion = ParameterString("Champion")
        self.cache = CacheConfig(enable_caching=True, expire_after=f"P{settings.cache_days}D")
        self.tags = [Tag(key=one["Key"], value=one["Value"]) for one in settings.tags]

    @property
    def parameters(self) -> list[Any]:
        """What an execution may be given."""
        more = [self.champion] if self.settings.champion else []
        return [self.data, self.instance_type, self.least, self.gain, self.seed, *more]

    def image(self, scope: str) -> str:
        """SageMaker's scikit-learn image for training (and processing) or for inference."""
        return str(
            image_uris.retrieve(
                "sklearn",
                self.session.boto_region_name,
                version=self.settings.image,
                image_scope=scope,
                instance_type=self.settings.instance_type,
            )
        )

    def place(self, *parts: str) -> Join:
        """Where this execution writes: runs/<execution>/..."""
        return Join(
            on="/",
            values=[self.settings.prefix, "runs", ExecutionVariables.PIPELINE_EXECUTION_ID, *parts],
        )

    def retries(self) -> list[Any]:
        """Tries again what is not the job's own fault: the service's, throttling, no instance free."""
        from sagemaker.mlops.workflow import retry

        service, job = retry.StepExceptionTypeEnum, retry.SageMakerJobExceptionTypeEnum
        busy, short = [service.SERVICE_FAULT, service.THROTTLING], [job.CAPACITY_ERROR, job.INTERNAL_ERROR]
        return [
            retry.StepRetryPolicy(busy, interval_seconds=10, max_attempts=3),
            retry.SageMakerJobStepRetryPolicy(short, interval_seconds=60, max_attempts=3),
        ]

    def processing(
        self,
        name: str,
        job: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        arguments: Sequence[Any],
        files: Sequence[PropertyFile] = (),
    ) -> ProcessingStep:
        """A step that runs a processing job of this repository: its inputs by the folder below /opt/ml/processing that they come to."""
        from sagemaker.mlops.workflow.steps import ProcessingStep

        processor = FrameworkProcessor(
            image_uri=self.image("training"),
            role=self.settings.role,
            instance_type=self.instance_type,
            instance_count=1,
            volume_size_in_gb=30,
            max_runtime_in_seconds=3600,
            sagemaker_session=self.session,
            network_config=self.settings.network.processing,
            code_location=f"{self.settings.prefix}/code",
            tags=[dict(one) for one in self.settings.tags],
        )
        taken = [
            ProcessingInput(
                input_name=folder.replace("/", "-"),
                s3_input=ProcessingS3Input(
                    s3_uri=uri,
                    local_path=f"{OPT}/{folder}",
                    s3_data_type="S3Prefix",
                    s3_input_mode="File",
                ),
            )
            for folder, uri in inputs.items()
        ]
        made = [
            ProcessingOutput(
                output_name=one,
                s3_output=ProcessingS3Output(
                    s3_uri=self.place(name, one), local_path=f"{OPT}/{one}", s3_upload_mode="EndOfJob"
                ),
            )
            for one in outputs
        ]
        given = processor.run(
            code="script.py",
            source_dir=str(JOBS[job]),
            job_name=f"{job}-{digest(JOBS[job])}",  # the code's place, not the job's name: that is the pipeline's
            inputs=taken,
            outputs=made,
            arguments=list(arguments),
            wait=False,
            logs=False,
        )
        return ProcessingStep(
            name=name,
            step_args=given,
            property_files=list(files),
            cache_config=self.cache,
            retry_policies=self.retries(),
        )

    def training(self, name: str, code: str, channels: Mapping[str, Any], **given: Any) -> TrainingStep:
        """A step that trains with the train job. code: where its archive lies."""
        from sagemaker.mlops.workflow.steps import TrainingStep

        problem = self.settings.problem
        metrics = (
            ("auc", "average_precision", "logloss") if problem == "classification" else ("rmse", "mae", "r2")
        )
        trainer = ModelTrainer(
            base_job_name=self.settings.name,
            training_image=self.image("training"),
            hyperparameters={
                "sagemaker_program": "script.py",
                "sagemaker_submit_directory": code,
                "seed": self.seed.to_string(),
                **given,
            },
            compute=Compute(instance_type=self.instance_type, instance_count=1),
            stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
            output_data_config=OutputDataConfig(s3_output_path=self.place(name)),
            networking=self.settings.network.training,
            role=self.settings.role,
            tags=self.tags,
            sagemaker_session=self.session,
        ).with_metric_definitions(
            [
                MetricDefinition(name=f"{part}:{one}", regex=rf"{part}:{one}=(-?[0-9.]+)")
                for part in ("train", "validation")
                for one in metrics
            ]
        )
        wanted = [InputData(channel_name=one, data_source=uri) for one, uri in channels.items()]
        return TrainingStep(
            name=name,
            step_args=trainer.train(input_data_config=wanted, wait=False, logs=False),
            cache_config=self.cache,
            retry_policies=self.retries(),
        )

    def code(self, job: str) -> str:
        """Puts a job's folder into S3 as the archive that SageMaker's training images unpack; its URI."""
        uri = f"{self.settings.prefix}/code/{job}-{digest(JOBS[job])}/sourcedir.tar.gz"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for file in sorted(p for p in JOBS[job].iterdir() if p.suffix in (".py", ".txt")):
                archive.add(file, arcname=file.name)
        S3Uploader.upload_bytes(packed.getvalue(), uri, sagemaker_session=self.session)
        return uri

    def register(self, archive: Any, report: Any) -> ModelStep:
        """A step that registers the candidate, with what it was measured at; a person approves it."""
        from sagemaker.mlops.workflow.model_step import ModelStep
        from sagemaker.serve import ModelBuilder

        builder = ModelBuilder(
            image_uri=self.image("inference"),
            s3_model_data_url=archive,
            env_vars={
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            },
            role_arn=self.settings.role,
            sagemaker_session=self.session,
        )
        evaluation = MetricsSource(
            content_type="application/json", s3_uri=Join(on="/", values=[report, "evaluation.json"])
        )
        args = builder.register(
            model_package_group_name=self.settings.group,
            content_types=TYPES,
            response_types=TYPES,
            approval_status="PendingManualApproval",
            model_metrics=ModelMetrics(model_statistics=evaluation),
            customer_metadata_properties={
                "pipeline": self.settings.name,
                "execution": ExecutionVariables.PIPELINE_EXECUTION_ID,
                "data": self.data,
                "gate": Join(
                    on=" ", values=["at least", self.least.to_string(), "gain", self.gain.to_string()]
                ),
            },
        )
        return ModelStep(name="Register", step_args=args)


def built(session: PipelineSession, settings: Settings) -> Pipeline:
    """The pipeline, with its code in S3. `session` writes there; nothing is created in SageMaker."""
    from sagemaker.mlops.workflow.pipeline import Pipeline

    parts = _Built(session, settings)
    order = "yes" if settings.in_time_order else "no"
    raw = Join(on="", values=[parts.data, "/"])
    given = ["--input", f"{OPT}/input/raw", "--plan", *settings.plan, "--seed", parts.seed.to_string()]
    prepare = parts.processing(
        "Prepare",
        "prepare",
        {"input/raw": raw},
        (*SPLITS, "report"),
        [*given, *settings.preparing],
    )
    clean = {name: _output(prepare, name) for name in (*SPLITS, "report")}
    features = parts.processing(
        "Features",
        "features",
        {**{f"input/{name}": clean[name] for name in SPLITS}, "input/schema": clean["report"]},
        (*SPLITS, "transformer", "report"),
        ["--seed", parts.seed.to_string(), "--in-time-order", order],
    )
    ready = {name: _output(features, name) for name in ("train", "validation", "transformer")}
    channels = {**ready, "schema": _output(features, "report")}
    code = parts.code("train")
    train = parts.training("Train", code, channels, algorithm=settings.algorithm, **settings.training)
    archives = {"candidate": train.properties.ModelArtifacts.S3ModelArtifacts}
    steps: list[Any] = [prepare, features, train]
    if settings.champion:
        archives["reference"] = parts.champion
    else:
        baseline = parts.training("TrainBaseline", code, channels, algorithm="baseline")
        archives["reference"] = baseline.properties.ModelArtifacts.S3ModelArtifacts
        steps.append(baseline)
    report = PropertyFile(name="Evaluation", output_name="report", path="evaluation.json")
    evaluate = parts.processing(
        "Evaluate",
        "evaluate",
        {
            **{f"input/models/{name}": archives[name] for name in MODELS},
            "input/rows": clean["validation"],
            "input/schema": clean["report"],
            **({"input/raw": raw} if settings.champion else {}),  # it may know rows prepared in another way
        },
        ("scores", "report"),
        ["--against", "reference", "--seed", parts.seed.to_string()],
        [report],
    )
    return Pipeline(
        name=settings.name,
        parameters=parts.parameters,
        steps=[*steps, evaluate, _gate(parts, archives["candidate"], evaluate, report)],
        sagemaker_session=session,
    )


def _output(step: ProcessingStep, name: str) -> Any:
    """Where a processing step put an output."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _gate(parts: _Built, archive: Any, evaluate: ProcessingStep, report: PropertyFile) -> ConditionStep:
    """Registers the candidate if it is good enough and better enough than the reference, else fails and says what was asked."""
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep

    metric, compared = GATED[parts.settings.problem]
    # Any, here and below: the SDK's own annotations leave JsonGet out.
    reached: Any = JsonGet(
        step_name=evaluate.name, property_file=report, json_path=f"models.candidate.metrics.{metric}.value"
    )
    difference: Any = JsonGet(
        step_name=evaluate.name, property_file=report, json_path="differences[0].difference"
    )
    better = ConditionLessThanOrEqualTo if compared == "rmse" else ConditionGreaterThanOrEqualTo
    word = "most" if compared == "rmse" else "least"
    message = Join(
        on=" ",
        values=[
            f"Not registered: on validation the candidate's {metric} is to be at least",
            parts.least.to_string(),
            f"and its {compared} minus the reference's at {word}",
            parts.gain.to_string(),
        ],
    )
    return ConditionStep(
        name="Gate",
        conditions=[
            ConditionGreaterThanOrEqualTo(left=reached, right=parts.least),
            better(left=difference, right=parts.gain),
        ],
        if_steps=[parts.register(archive, _output(evaluate, "report"))],
        else_steps=[FailStep(name="NotGoodEnough", error_message=message)],
    )
