"""A processing job of this project: its code, what it takes from S3 and what it leaves there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kit.errors import KitError
from kit.recording import Runbook

ROOT = "/opt/ml/processing"


def run(
    rb: Runbook,
    job: Path,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    arguments: Sequence[str],
    *,
    image: str,
    instance_type: str,
    minutes: int = 120,
) -> float:
    """Runs `script.py` of a job's folder to its end; returns the seconds that it took.

    Args:
        rb: the runbook that runs it.
        job: the folder with script.py and requirements.txt.
        inputs: S3 URIs by their folder below /opt/ml/processing/input, such as "rows" or "models/M1".
        outputs: S3 URIs by their folder below /opt/ml/processing.
        arguments: of the script; all text.
        image: version of SageMaker's scikit-learn image.
        instance_type: what it runs on.
        minutes: after as many it is stopped.

    Raises:
        KitError: it did not complete; the message is the script's own reason.
    """
    from sagemaker.core import image_uris
    from sagemaker.core.processing import FrameworkProcessor
    from sagemaker.core.shapes import (
        ProcessingInput,
        ProcessingOutput,
        ProcessingS3Input,
        ProcessingS3Output,
    )
    from sagemaker.core.utils.exceptions import FailedStatusError

    processor = FrameworkProcessor(
        image_uri=image_uris.retrieve("sklearn", rb.region, version=image, instance_type=instance_type),
        role=rb.role,
        instance_type=instance_type,
        instance_count=1,
        max_runtime_in_seconds=60 * minutes,
        sagemaker_session=rb.sagemaker,
        network_config=rb.network.processing,
        tags=[{**tag} for tag in rb.tags],
    )
    received, sent = [], []
    for name, uri in inputs.items():
        taken = ProcessingS3Input(
            s3_uri=uri,
            local_path=f"{ROOT}/input/{name}",
            s3_data_type="S3Prefix",
            s3_input_mode="File",
        )
        received.append(ProcessingInput(input_name=name.replace("/", "-"), s3_input=taken))
    for name, uri in outputs.items():
        left = ProcessingS3Output(s3_uri=uri, local_path=f"{ROOT}/{name}", s3_upload_mode="EndOfJob")
        sent.append(ProcessingOutput(output_name=name, s3_output=left))
    processor.run(
        code="script.py",
        source_dir=str(job),
        job_name=rb.name(job.name.replace("_", "-")),
        inputs=received,
        outputs=sent,
        arguments=list(arguments),
        wait=False,
        logs=False,
    )
    started = processor.latest_job
    assert started is not None
    with suppress(FailedStatusError):
        started.wait(poll=rb.poll)
    name = started.processing_job_name
    told = rb.session.client("sagemaker").describe_processing_job(ProcessingJobName=name)
    if told["ProcessingJobStatus"] != "Completed":
        reason = told.get("ExitMessage") or told.get("FailureReason") or "it was stopped"
        what, _, hint = reason.partition("\n")
        raise KitError(f"The job {name} did not complete: {what}", hint or "Read its log in CloudWatch.")
    return float((told["ProcessingEndTime"] - told["ProcessingStartTime"]).total_seconds())
