"""Training jobs: the SageMaker training contract, run by a process on this machine.

The contract: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html (folders, configuration files, exit code,
failure file), and what ModelTrainer's drivers and the SageMaker Training Toolkit expect on top of it.
One host a job: algorithms that spread over hosts need a network between them, which this machine does not have.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.local_aws import channels, jobs, logs
from kit.local_aws.containers import IMAGE, ML, Container, Ending, Line, environment
from kit.local_aws.events import state_changed
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.jobs import Job
    from kit.local_aws.store import Context

__all__ = ["DONE", "check", "create_training_job", "failed", "start", "stop_training_job"]

Values = list[tuple[str, float, datetime]]  # every metric value so far: name, value, when

KIND = "TrainingJob"
GROUP = "/aws/sagemaker/TrainingJobs"
HOST = "algo-1"
DONE = ("Completed", "Failed", "Stopped")
MESSAGES = {  # DescribeTrainingJob, SecondaryStatusTransition
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "Failed": "Training job failed",
}


jobs.readable(KIND)


@action("sagemaker", "CreateTrainingJob")
def create_training_job(ctx: Context, params: dict[str, Any]) -> Record:
    """Check what the model cannot say, keep the job, and start it in the background."""
    check(params)
    jobs.check_role(ctx, params["RoleArn"])
    return start(ctx, params)


def start(
    ctx: Context, params: dict[str, Any], watch: Callable[[Values], None] | None = None, **members: Any
) -> Record:
    """Keep a job that was checked, with more members, and start it. `watch` is called with its metrics whenever it printed."""
    record = ctx.app.store.create(
        ctx,
        KIND,
        params,
        TrainingJobStatus="InProgress",
        ModelArtifacts={"S3ModelArtifacts": _model_uri(params)},
        **_entered({}, "Starting"),
        **_unless_given(params),
        **members,
    )
    state_changed(ctx, "Training Job", record["_arn"], record)
    jobs.begin(ctx, KIND, record["TrainingJobName"], lambda job: _train(job, watch), failed)
    return record


@action("sagemaker", "StopTrainingJob")
def stop_training_job(ctx: Context, params: dict[str, Any]) -> None:
    """Ask a running job to end; one that has ended cannot be stopped, as on AWS."""
    name = params["TrainingJobName"]
    store = ctx.app.store

    def stopping(record: Record) -> Record:
        if record["TrainingJobStatus"] in DONE:
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the training job is in status {record['TrainingJobStatus']}.",
            )
        if record["TrainingJobStatus"] == "Stopping":
            return {}
        return {"TrainingJobStatus": "Stopping", **_entered(record, "Stopping")}

    store.update(ctx, KIND, name, stopping)
    if job := jobs.running(ctx, KIND, name):
        job.stop()


@action("sagemaker", "DeleteTrainingJob")
def delete_training_job(ctx: Context, params: dict[str, Any]) -> None:
    """Forget a job that has ended."""
    record = ctx.app.store.get(ctx, KIND, params["TrainingJobName"])
    if record["TrainingJobStatus"] not in DONE:
        raise AwsError("ResourceInUse", f"Training job {record['_arn']} is {record['TrainingJobStatus']}.")
    ctx.app.store.delete(ctx, KIND, params["TrainingJobName"])


def check(params: dict[str, Any]) -> None:
    """Raise AWS's error for a request that the model finds valid and SageMaker, or the local AWS, does not."""
    algorithm, resources = params["AlgorithmSpecification"], params.get("ResourceConfig", {})
    groups = resources.get("InstanceGroups", [])
    count = sum(group["InstanceCount"] for group in groups) or resources.get("InstanceCount", 1)
    if count > 1:
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{_instance_type(resources)} for training job usage' is 1 Instances, with current utilization of"
            f" 0 Instances and a request delta of {count} Instances. The local AWS trains on one host.",
        )
    if not algorithm.get("ContainerEntrypoint") and "sagemaker_program" not in params.get(
        "HyperParameters", {}
    ):
        raise jobs.refuse(
            "runs scripts, not images: give a ContainerEntrypoint (ModelTrainer's source_code does), or the hyperparameters"
            " sagemaker_program and sagemaker_submit_directory."
        )
    for metric in algorithm.get("MetricDefinitions", []):
        try:
            logs.Metrics([metric])
        except ValueError as problem:
            raise AwsError(
                "ValidationException",
                f"Invalid regular expression for metric {metric['Name']}: {metric['Regex']} ({problem})",
            ) from None
    jobs.check_local_path(params.get("CheckpointConfig", {}).get("LocalPath", ML))
    for channel in params.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if (
            source is None
            or source["S3DataType"] != "S3Prefix"
            or channel.get("CompressionType", "None") != "None"
        ):
            raise jobs.refuse(
                f"reads uncompressed S3Prefix channels only; {channel['ChannelName']} is another."
            )
        if channel.get("InputMode", algorithm["TrainingInputMode"]) == "Pipe":
            raise jobs.refuse(f"has no Pipe mode; give channel {channel['ChannelName']} File or FastFile.")


def _unless_given(params: dict[str, Any]) -> dict[str, Any]:
    """What AWS fills in."""
    defaults = {
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": False,
        "StoppingCondition": {"MaxRuntimeInSeconds": jobs.DAY},
        "ProfilingStatus": "Disabled",
    }
    return {name: value for name, value in defaults.items() if params.get(name) is None}


def _entered(record: Record, status: str) -> dict[str, Any]:
    """The changes by which a job enters a secondary status."""
    moment = now()
    *before, last = record.get("SecondaryStatusTransitions", []) or [None]
    ended = [{**last, "EndTime": moment}] if last else []
    entry = {"Status": status, "StartTime": moment, "StatusMessage": MESSAGES[status]}
    if status in ("Completed", "Stopped", "Failed", "MaxRuntimeExceeded"):
        entry["EndTime"] = moment
    return {"SecondaryStatus": status, "SecondaryStatusTransitions": [*before, *ended, entry]}


def _enter(job: Job, status: str, **changes: Any) -> None:
    def entering(record: Record) -> Record:
        stopping = record["TrainingJobStatus"] == "Stopping" and "TrainingJobStatus" not in changes
        return changes if stopping else {**_entered(record, status), **changes}

    job.ctx.app.store.update(job.ctx, KIND, job.name, entering)


def _train(job: Job, watch: Callable[[Values], None] | None) -> None:
    ctx, app = job.ctx, job.ctx.app
    record = app.store.get(ctx, KIND, job.name)
    container = job.container()
    metrics = logs.Metrics(record["AlgorithmSpecification"].get("MetricDefinitions", []))

    _enter(job, "Downloading")
    _prepare(job, container, record)
    stream = logs.LogStream(app, ctx.region, GROUP, logs.stream_name(job.name, 1))

    def take(lines: list[Line]) -> None:
        stream.put(lines)
        metrics.read(lines)
        metrics.send(app, ctx.region, GROUP, {"TrainingJobName": job.name})
        if watch:
            watch(metrics.values)

    started = now()
    _enter(job, "Training", TrainingStartTime=started)
    _start(job, container, record)
    ending = container.follow(record["StoppingCondition"].get("MaxRuntimeInSeconds", jobs.DAY), take)
    _enter(job, "Uploading")
    if not _upload(job, container, record) and ending.code == 0:
        stream.say(f"No model was written to {ML}/model: no {Path(_model_uri(record)).name} is uploaded.")
    _finish(job, container, ending, started, metrics.final())


def _prepare(job: Job, container: Container, record: Record) -> None:
    """Fill the container's /opt/ml: channels, configuration files, earlier checkpoints."""
    aws, region, ml = job.as_role(record["RoleArn"]), job.ctx.region, container.folder
    for folder in ("input/config", "input/data", "model", "output/data", "code", "checkpoints"):
        (ml / folder).mkdir(parents=True, exist_ok=True)
    channels.check_bucket(job.ctx.app, region, record["OutputDataConfig"]["S3OutputPath"])
    config: dict[str, Any] = {}
    for channel in record.get("InputDataConfig", []):
        name, source = channel["ChannelName"], channel["DataSource"]["S3DataSource"]
        channels.fetch_input(aws, region, source, ml / "input/data" / name)
        config[name] = {
            "TrainingInputMode": "File",
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        } | ({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {})
    instance = _instance_type(record.get("ResourceConfig", {}))
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": [HOST]}
    resources = {
        "current_host": HOST,
        "current_instance_type": instance,
        "current_group_name": group["instance_group_name"],
        "hosts": [HOST],
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }
    jobs.write_json(ml / "input/config/inputdataconfig.json", config)
    jobs.write_json(ml / "input/config/resourceconfig.json", resources)
    jobs.write_json(ml / "input/config/hyperparameters.json", record.get("HyperParameters", {}))
    drivers = ml / "input/data/sm_drivers"
    container.rewrite(file for file in drivers.rglob("*") if file.suffix in (".py", ".sh", ".json"))
    if checkpoints := record.get("CheckpointConfig"):
        found = channels.keys(aws, region, checkpoints["S3Uri"])
        channels.fetch(aws, region, checkpoints["S3Uri"], _checkpoints(container, record), found)


def _instance_type(resources: dict[str, Any]) -> str:
    groups = resources.get("InstanceGroups") or [{}]
    return str(resources.get("InstanceType") or groups[0].get("InstanceType", ""))


def _start(job: Job, container: Container, record: Record) -> None:
    algorithm = record["AlgorithmSpecification"]
    command = [*algorithm.get("ContainerEntrypoint", []), *algorithm.get("ContainerArguments", [])]
    given = {
        "TRAINING_JOB_NAME": job.name,
        "TRAINING_JOB_ARN": record["_arn"],
        **record.get("Environment", {}),
    }
    container.start(
        command or [sys.executable, str(IMAGE / "script_mode.py"), ML],
        environment(job.ctx.app, job.ctx.region, record["RoleArn"], given),
    )


def _output_uri(record: Record) -> str:
    return f"{record['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{record['TrainingJobName']}/output"


def _model_uri(record: Record) -> str:
    packed = record["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP"
    return f"{_output_uri(record)}/model{'.tar.gz' if packed else '/'}"


def _upload(job: Job, container: Container, record: Record) -> bool:
    """Put the job's model, output data and checkpoints where they belong; False if it wrote no model."""
    aws, region = job.as_role(record["RoleArn"]), job.ctx.region
    ml, uri = container.folder, _model_uri(record)
    if uri.endswith("/"):
        modelled = channels.put(aws, region, ml / "model", uri) > 0
    else:
        modelled = channels.put_archive(aws, region, ml / "model", uri)
    channels.put_archive(aws, region, ml / "output/data", f"{_output_uri(record)}/output.tar.gz")
    if checkpoints := record.get("CheckpointConfig"):
        channels.put(aws, region, _checkpoints(container, record), checkpoints["S3Uri"])
    return modelled


def _checkpoints(container: Container, record: Record) -> Path:
    return container.at(record["CheckpointConfig"].get("LocalPath", f"{ML}/checkpoints"))


def _told(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""


def _finish(
    job: Job,
    container: Container,
    ending: Ending,
    started: datetime,
    metrics: list[dict[str, Any]],
) -> None:
    """The job's last state, from how its command ended."""
    ended = now()
    changes: dict[str, Any] = {
        "TrainingEndTime": ended,
        "TrainingTimeInSeconds": max(1, round((ended - started).total_seconds())),
        "FinalMetricDataList": metrics,
    }
    changes["BillableTimeInSeconds"] = changes["TrainingTimeInSeconds"]
    if ending.timed_out:
        _end(job, "Stopped", "MaxRuntimeExceeded", **changes)
    elif job.stopping:
        _end(job, "Stopped", "Stopped", **changes)
    elif ending.code == 0:
        _end(job, "Completed", "Completed", **changes)
    else:
        reason = logs.failure_reason(ending, _told(container.folder / "output/failure"), container.bound)
        _end(job, "Failed", "Failed", FailureReason=reason, **changes)


def _end(job: Job, status: str, secondary: str, **changes: Any) -> None:
    _enter(job, secondary, TrainingJobStatus=status, **changes)
    record = job.ctx.app.store.get(job.ctx, KIND, job.name)
    state_changed(job.ctx, "Training Job", record["_arn"], record)


def failed(job: Job, reason: str) -> None:
    """The last state of a job that something else than its command ended."""
    if job.stopping:
        _end(job, "Stopped", "Stopped", TrainingEndTime=now())
    else:
        _end(job, "Failed", "Failed", FailureReason=reason[: logs.REASON], TrainingEndTime=now())
