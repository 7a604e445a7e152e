"""Batch transform jobs: a model's containers serve, S3 objects go through them, what they answer goes to S3.

An object goes in requests that are at most MaxPayloadInMB large, MaxConcurrentTransforms at a time; its output is put when all of it
succeeded. A job with an object that failed fails when it has tried the others, as on AWS.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import ClientError

from kit.local_aws import channels, jobs, models
from kit.local_aws.channels import InputError
from kit.local_aws.events import state_changed
from kit.local_aws.fleet import STARTUP, Answer, Server, Variant
from kit.local_aws.front import action
from kit.local_aws.jsonpath import PathError
from kit.local_aws.logs import REASON, LogStream
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record
from kit.local_aws.transform_records import Batch, Processing, Unfit, batches, records

if TYPE_CHECKING:
    from kit.local_aws.execution import Clients
    from kit.local_aws.jobs import Job
    from kit.local_aws.store import Context

__all__ = ["create_transform_job", "failed", "stop_transform_job"]

KIND = "TransformJob"
GROUP = "/aws/sagemaker/TransformJobs"
DONE = ("Completed", "Failed", "Stopped")
PAYLOAD = 6  # megabytes of a request where the job does not say
SECONDS, RETRIES = 600, 3  # of ModelClientConfig
MESSAGE = 500  # characters of a model's message in the log

jobs.readable(KIND)


class _Failure(Exception):
    """Why an object, or the whole job, failed; `side` is AWS's word for whose fault it is."""

    def __init__(self, side: str, message: str) -> None:
        super().__init__(message)
        self.side = side


class _Stopped(Exception):
    """The job was asked to stop."""


@action("sagemaker", "CreateTransformJob")
def create_transform_job(ctx: Context, params: dict[str, Any]) -> Record:
    """Check what the model cannot say, keep the job, and start it in the background."""
    _check(ctx, params)
    record = ctx.app.store.create(ctx, KIND, params, TransformJobStatus="InProgress")
    state_changed(ctx, "Transform Job", record["_arn"], record)
    jobs.begin(ctx, KIND, record["TransformJobName"], _transform, failed)
    return record


@action("sagemaker", "StopTransformJob")
def stop_transform_job(ctx: Context, params: dict[str, Any]) -> None:
    """Ask a running job to end; one that has ended cannot be stopped."""
    name = params["TransformJobName"]

    def stopping(record: Record) -> Record:
        status = record["TransformJobStatus"]
        if status in DONE:
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the transform job is in status {status}.",
            )
        return {"TransformJobStatus": "Stopping"} if status != "Stopping" else {}

    ctx.app.store.update(ctx, KIND, name, stopping)
    if job := jobs.running(ctx, KIND, name):
        job.stop()


def _check(ctx: Context, params: dict[str, Any]) -> None:
    ctx.app.store.get(ctx, "Model", params["ModelName"])
    source = params["TransformInput"]
    if source.get("SplitType", "None") not in ("None", "Line"):
        raise jobs.refuse(f"does not split {source['SplitType']}; use Line or None.")
    if (kind := source["DataSource"]["S3DataSource"]["S3DataType"]) not in ("S3Prefix", "ManifestFile"):
        raise jobs.refuse(f"reads an S3Prefix or a ManifestFile, not {kind}.")
    if params.get("DataCaptureConfig"):
        raise jobs.refuse("does not capture data of batch transform.")
    payload, together = params.get("MaxPayloadInMB", PAYLOAD), params.get("MaxConcurrentTransforms") or 1
    if payload > 100 or payload * together > 100:
        raise AwsError(
            "ValidationException",
            f"MaxPayloadInMB ({payload}) and MaxConcurrentTransforms * MaxPayloadInMB ({payload * together}) cannot exceed 100 MB.",
        )
    try:
        Processing.of(params)
    except (PathError, Unfit) as problem:
        raise AwsError("ValidationException", f"DataProcessing is not valid: {problem}.") from None


def _transform(job: Job) -> None:
    ctx, app = job.ctx, job.ctx.app
    record = app.store.get(ctx, KIND, job.name)
    model = app.store.get(ctx, "Model", record["ModelName"])
    role = model.get("ExecutionRoleArn", "")
    aws: Clients = job.as_role(role) if role else app
    channels.check_bucket(aws, ctx.region, record["TransformOutput"]["S3OutputPath"])
    objects = _objects(aws, ctx.region, record["TransformInput"]["DataSource"]["S3DataSource"])
    name = f"{job.name}/i-{uuid.uuid4().hex[:17]}"
    stream, log = (LogStream(app, ctx.region, GROUP, name + end) for end in ("", "/data-log"))
    variant = Variant("AllTraffic", {}, role, [], 1.0, 1, name)
    try:
        _serve(job, record, model, variant, stream)
        app.store.update(ctx, KIND, job.name, TransformStartTime=now())
        log.say(
            f"MaxConcurrentTransforms={record.get('MaxConcurrentTransforms') or 1},"
            f" MaxPayloadInMB={record.get('MaxPayloadInMB', PAYLOAD)},"
            f" BatchStrategy={'SINGLE' if record.get('BatchStrategy') == 'SingleRecord' else 'MULTI'}_RECORD"
        )
        failures = [
            problem for found in objects if (problem := _object(job, record, aws, variant, found, log))
        ]
    except _Stopped:
        failures = []
    finally:
        for server in variant.servers:
            server.stop()
    if job.stopping:
        _end(job, "Stopped")
    elif failures:
        first = failures[0]
        told = f"{first.side}: See job logs for more information. {first}"
        _end(job, "Failed", FailureReason=told[:REASON])
    else:
        _end(job, "Completed")


def _objects(aws: Clients, region: str, source: dict[str, str]) -> list[tuple[str, str, str]]:
    """(bucket, key, where its output goes) of every object of the input. Raises InputError when there is none."""
    bucket, prefix = channels.split(source["S3Uri"])
    if source["S3DataType"] == "S3Prefix":
        found = channels.keys(aws, region, source["S3Uri"])
        listed = [(bucket, key, str(channels.relative(key, prefix))) for key in found]
    else:
        listed = []
        try:
            first, *rest = json.loads(
                aws.client("s3", region).get_object(Bucket=bucket, Key=prefix)["Body"].read()
            )
            for name in rest:
                target, key = channels.split(first["prefix"] + name)
                listed.append((target, key, str(channels.relative(key, channels.split(first["prefix"])[1]))))
        except ClientError as error:
            raise InputError(f"{source['S3Uri']}: {error}") from None
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f'{source["S3Uri"]} is no manifest: [{{"prefix": "s3://..."}}, "key", ...].'
            ) from None
    if not listed:
        raise InputError(f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source.')
    return listed


def _serve(job: Job, record: Record, model: Record, variant: Variant, stream: LogStream) -> None:
    """Bring the model's containers up. Raises InputError when one does not answer its ping."""
    single = record.get("BatchStrategy") == "SingleRecord"
    own = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(record.get("MaxPayloadInMB", PAYLOAD)),
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD" if single else "MULTI_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(record.get("MaxConcurrentTransforms") or 1),
        **record.get("Environment", {}),
    }
    try:
        definitions = models.containers(job.ctx, model)
    except AwsError as problem:
        raise InputError(problem.message) from None
    for definition in definitions:
        given = {**definition, "Environment": {**definition.get("Environment", {}), **own}}
        server = Server(job.ctx, variant.role, given, stream)
        server.seconds = record.get("ModelClientConfig", {}).get("InvocationsTimeoutInSeconds", SECONDS)
        variant.servers.append(server)
        job.hold(server.container)
    for server in variant.servers:
        why = server.unready(STARTUP)
        if job.stopping:
            raise _Stopped
        if why:
            raise InputError(f"The model's container did not pass the ping health check. {why}")


def _object(
    job: Job, record: Record, aws: Clients, variant: Variant, found: tuple[str, str, str], log: LogStream
) -> _Failure | None:
    """Transform one object and put its output; why that failed, if it did."""
    bucket, key, name = found
    s3, target = aws.client("s3", job.ctx.region), record["TransformOutput"]
    where, prefix = channels.split(target["S3OutputPath"])
    kms = (
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": target["KmsKeyId"]}
        if target.get("KmsKeyId")
        else {}
    )
    try:
        with tempfile.TemporaryFile() as output:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"]
            for part in _answers(job, record, variant, body):
                output.write(part)
            output.seek(0)
            s3.put_object(
                Bucket=where, Key=f"{prefix.rstrip('/')}/{name}.out".lstrip("/"), Body=output, **kms
            )
        return None
    except _Failure as failure:
        problem = failure
    except (Unfit, ClientError, OSError, EOFError) as error:
        problem = _Failure("ClientError", str(error))
    if job.stopping:
        raise _Stopped
    for line in str(problem).splitlines():
        log.say(f"{bucket}/{key}: {line}")
    return _Failure(problem.side, f"{bucket}/{key}: {problem}")


def _answers(job: Job, record: Record, variant: Variant, body: Any) -> Iterator[bytes]:
    """The parts of an object's output, in the order of its records."""
    source, processing = record["TransformInput"], Processing.of(record)
    with tempfile.TemporaryFile() as held:
        for chunk in body.iter_chunks(channels.CHUNK):
            held.write(chunk)
        held.seek(0)
        packed = source.get("CompressionType") == "Gzip"
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=held)) if packed else held
        requests = batches(
            records(stream, source.get("SplitType", "None")),
            processing,
            record.get("MaxPayloadInMB", PAYLOAD),
            record.get("BatchStrategy") == "SingleRecord",
        )
        together = record.get("MaxConcurrentTransforms") or 1

        def sent(batch: Batch) -> bytes:
            return processing.assembled(batch, _post(job, record, variant, batch.body))

        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(together) as pool:
            for batch in requests:
                waiting.append(pool.submit(sent, batch))
                if len(waiting) >= 2 * together:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def _post(job: Job, record: Record, variant: Variant, body: bytes) -> bytes:
    """The model's answer to a request, asked again when the model failed. Raises _Failure, _Stopped."""
    source, target = record["TransformInput"], record["TransformOutput"]
    headers = {"Content-Type": source.get("ContentType") or "application/octet-stream"}
    headers |= {"Accept": target["Accept"]} if target.get("Accept") else {}
    answer = Answer(500, b"", "")
    for _ in range(1 + record.get("ModelClientConfig", {}).get("InvocationsMaxRetries", RETRIES)):
        if job.stopping:
            raise _Stopped
        answer = variant.invoke(body, headers)
        if answer.status < 500:
            break
    if answer.status != 200:
        side = "ClientError" if answer.status < 500 else "AlgorithmError"
        said = answer.body.decode(errors="replace").strip()[:MESSAGE]
        raise _Failure(side, f"{side}: {answer.status}\n\nMessage:\n{said}")
    return answer.body


def _end(job: Job, status: str, **changes: Any) -> None:
    record = job.ctx.app.store.update(
        job.ctx, KIND, job.name, TransformJobStatus=status, TransformEndTime=now(), **changes
    )
    state_changed(job.ctx, "Transform Job", record["_arn"], record)


def failed(job: Job, reason: str) -> None:
    """The last state of a job that something else than its container ended."""
    if job.stopping:
        _end(job, "Stopped")
    else:
        _end(job, "Failed", FailureReason=reason[:REASON])
