"""Processing jobs: the SageMaker processing contract, run by one process a host on this machine.

The contract: docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html. Every host has its own /opt/ml,
resourceconfig.json and share of the ShardedByS3Key inputs; all hosts' outputs go to the same prefix. An output of mode Continuous
is uploaded when the job ends, like EndOfJob, but whatever the outcome.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from kit.local_aws import channels, jobs, logs
from kit.local_aws.containers import ML, Container, Ending, environment
from kit.local_aws.events import state_changed
from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.jobs import Job
    from kit.local_aws.store import Context

__all__ = ["create_processing_job", "failed", "stop_processing_job"]

KIND = "ProcessingJob"
GROUP = "/aws/sagemaker/ProcessingJobs"
DONE = ("Completed", "Failed", "Stopped")
HOSTS = 8  # processes of one job on this machine
MESSAGE = 1024  # characters of an ExitMessage


jobs.readable(KIND)


@action("sagemaker", "CreateProcessingJob")
def create_processing_job(ctx: Context, params: dict[str, Any]) -> Record:
    """Check what the model cannot say, keep the job, and start it in the background."""
    _check(params)
    jobs.check_role(ctx, params["RoleArn"])
    limits = params.get("StoppingCondition") or {"MaxRuntimeInSeconds": jobs.DAY}
    record = ctx.app.store.create(
        ctx, KIND, {**params, "StoppingCondition": limits}, ProcessingJobStatus="InProgress"
    )
    state_changed(ctx, "Processing Job", record["_arn"], record)
    jobs.begin(ctx, KIND, record["ProcessingJobName"], _process, failed)
    return record


@action("sagemaker", "StopProcessingJob")
def stop_processing_job(ctx: Context, params: dict[str, Any]) -> None:
    """Ask a running job to end; one that has ended cannot be stopped, as on AWS."""
    name = params["ProcessingJobName"]

    def stopping(record: Record) -> Record:
        if record["ProcessingJobStatus"] in DONE:
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the processing job is in status {record['ProcessingJobStatus']}.",
            )
        return {"ProcessingJobStatus": "Stopping"}

    ctx.app.store.update(ctx, KIND, name, stopping)
    if job := jobs.running(ctx, KIND, name):
        job.stop()


@action("sagemaker", "DeleteProcessingJob")
def delete_processing_job(ctx: Context, params: dict[str, Any]) -> None:
    """Forget a job that has ended."""
    record = ctx.app.store.get(ctx, KIND, params["ProcessingJobName"])
    if record["ProcessingJobStatus"] not in DONE:
        raise AwsError(
            "ResourceInUse", f"Processing job {record['_arn']} is {record['ProcessingJobStatus']}."
        )
    ctx.app.store.delete(ctx, KIND, params["ProcessingJobName"])


def _check(params: dict[str, Any]) -> None:
    cluster = params["ProcessingResources"]["ClusterConfig"]
    if cluster["InstanceCount"] > HOSTS:
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{cluster['InstanceType']} for processing job usage' is {HOSTS} Instances, with"
            f" current utilization of 0 Instances and a request delta of {cluster['InstanceCount']} Instances.",
        )
    if not params["AppSpecification"].get("ContainerEntrypoint"):
        raise jobs.refuse(
            "runs scripts, not images: give a ContainerEntrypoint (ScriptProcessor and FrameworkProcessor do)."
        )
    for given in params.get("ProcessingInputs", []):
        if given.get("AppManaged"):
            continue
        source = given.get("S3Input")
        if (
            source is None
            or source["S3DataType"] != "S3Prefix"
            or source.get("S3CompressionType", "None") != "None"
        ):
            raise jobs.refuse(f"reads uncompressed S3Prefix inputs only; {given['InputName']} is another.")
        if source.get("S3InputMode", "File") != "File":
            raise jobs.refuse(f"has no Pipe mode; give input {given['InputName']} the mode File.")
        jobs.check_local_path(source.get("LocalPath", ""))
    for made in params.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if made.get("AppManaged"):
            continue
        if made.get("S3Output") is None:
            raise jobs.refuse(f"writes outputs to S3 only; {made['OutputName']} goes elsewhere.")
        jobs.check_local_path(made["S3Output"].get("LocalPath", ""))


def _process(job: Job) -> None:
    record = job.ctx.app.store.get(job.ctx, KIND, job.name)
    outputs = [
        made["S3Output"]
        for made in record.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if not made.get("AppManaged")
    ]
    aws = job.as_role(record["RoleArn"])
    for output in outputs:
        channels.check_bucket(job.ctx.app, job.ctx.region, output["S3Uri"])
    count = record["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
    containers = [job.container() for _ in range(count)]
    for number, container in enumerate(containers):
        _prepare(job, container, record, outputs, number, count)
    job.ctx.app.store.update(job.ctx, KIND, job.name, ProcessingStartTime=now())

    with ThreadPoolExecutor(count) as pool:
        endings = list(pool.map(lambda n: _run(job, containers[n], record, n), range(count)))
    failed = [n for n, ending in enumerate(endings) if ending.code != 0 and not ending.told]
    worst = failed[0] if failed else 0
    timed_out = any(ending.timed_out for ending in endings)
    ok = not failed and not job.stopping and not timed_out
    for container in containers:
        for output in outputs:
            if ok or output["S3UploadMode"] == "Continuous":
                channels.put(aws, job.ctx.region, container.at(output["LocalPath"]), output["S3Uri"])

    told = containers[worst].folder / "output/message"
    message = told.read_text(errors="replace") if told.is_file() else ""
    if timed_out:
        limit = record["StoppingCondition"]["MaxRuntimeInSeconds"]
        message = message or f"The job was stopped: its MaxRuntimeInSeconds of {limit} were over."
    reason = (
        ""
        if ok or timed_out or job.stopping
        else logs.failure_reason(endings[worst], "", containers[0].bound)
    )
    status = "Completed" if ok else "Failed" if reason else "Stopped"
    _end(job, status, ExitMessage=message[:MESSAGE] or None, FailureReason=reason or None)


def _prepare(
    job: Job, container: Container, record: Record, outputs: list[dict[str, Any]], number: int, count: int
) -> None:
    """Fill one host's /opt/ml: inputs, output folders, configuration files."""
    for folder in ("config", "output", "processing"):
        (container.folder / folder).mkdir()
    for given in record.get("ProcessingInputs", []):
        if not given.get("AppManaged"):
            source = given["S3Input"]
            local = container.at(source["LocalPath"])
            channels.fetch_input(job.as_role(record["RoleArn"]), job.ctx.region, source, local, number, count)
            container.rewrite(local.glob("runproc.sh"))
    for output in outputs:
        container.at(output["LocalPath"]).mkdir(parents=True, exist_ok=True)
    hosts = [f"algo-{n + 1}" for n in range(count)]
    instance = record["ProcessingResources"]["ClusterConfig"]["InstanceType"]
    public = {name: value for name, value in record.items() if not name.startswith("_")}
    jobs.write_json(container.folder / "config/processingjobconfig.json", public)
    jobs.write_json(
        container.folder / "config/resourceconfig.json",
        {
            "current_host": hosts[number],
            "hosts": hosts,
            "current_instance_type": instance,
            "network_interface_name": "eth0",
        },
    )


def _run(job: Job, container: Container, record: Record, number: int) -> Ending:
    """One host, to its end; when it fails, the others are ended too."""
    app, region = job.ctx.app, job.ctx.region
    specification = record["AppSpecification"]
    stream = logs.LogStream(app, region, GROUP, logs.stream_name(job.name, number + 1))
    given = {
        "PROCESSING_JOB_NAME": job.name,
        "PROCESSING_JOB_ARN": record["_arn"],
        **record.get("Environment", {}),
    }
    container.start(
        [*specification["ContainerEntrypoint"], *specification.get("ContainerArguments", [])],
        environment(app, region, record["RoleArn"], given),
        cwd=f"{ML}/processing",
    )
    ending = container.follow(record["StoppingCondition"]["MaxRuntimeInSeconds"], stream.put)
    if ending.code != 0:
        for other in job.containers:
            other.stop()
    return ending


def _end(job: Job, status: str, **changes: Any) -> None:
    record = job.ctx.app.store.update(
        job.ctx, KIND, job.name, ProcessingJobStatus=status, ProcessingEndTime=now(), **changes
    )
    state_changed(job.ctx, "Processing Job", record["_arn"], record)


def failed(job: Job, reason: str) -> None:
    """The last state of a job that something else than its command ended."""
    if job.stopping:
        _end(job, "Stopped")
    else:
        _end(job, "Failed", FailureReason=reason[: logs.REASON])
