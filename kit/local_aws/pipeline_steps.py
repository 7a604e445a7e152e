"""What each type of pipeline step does: the call that it makes as the pipeline's role, and the properties that it leaves.

A step that starts a job is over when the job is; the others are over at once.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from kit.local_aws.pipeline_definition import APIS, Step

if TYPE_CHECKING:
    from kit.local_aws.execution import Clients

__all__ = ["JOBS", "Begun", "Job", "StepFailed", "begin", "finished", "stop"]

REASON = 1024  # characters of a step's FailureReason
ERROR_MESSAGE = 3072  # characters of a Fail step's message
# Which error codes count as which exception type of a retry policy; and which beginnings of a job's FailureReason.
RETRIED = {
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
    "CapacityError": "SageMaker.CAPACITY_ERROR",
    "InternalServerError": "SageMaker.JOB_INTERNAL_ERROR",
    "ThrottlingException": "Step.THROTTLING",
    "InternalFailure": "Step.SERVICE_FAULT",
    "ServiceUnavailable": "Step.SERVICE_FAULT",
}


@dataclass(frozen=True)
class Job:
    """A kind of job that a step starts: its name in the API, in a step's metadata, and the longest name that one may have."""

    kind: str
    metadata: str
    longest: int = 63

    @property
    def name(self) -> str:
        """The member that holds its name."""
        return f"{self.kind}Name"

    @property
    def status(self) -> str:
        """The member that holds its status."""
        return f"{self.kind}Status"


JOBS = {
    "Training": Job("TrainingJob", "TrainingJob"),
    "Processing": Job("ProcessingJob", "ProcessingJob"),
    "Transform": Job("TransformJob", "TransformJob"),
    "Tuning": Job("HyperParameterTuningJob", "TuningJob", 32),
}


@dataclass(frozen=True)
class Begun:
    """What became of beginning a step: its metadata, and the name of its job; or its properties, where it is over already."""

    metadata: Mapping[str, Any]
    job: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)


class StepFailed(Exception):
    """A step that failed: why, the exception type of retry policies that it is of ("" for none), whether its job was stopped."""

    def __init__(
        self, reason: str, kind: str = "", metadata: Mapping[str, Any] | None = None, stopped: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.metadata, self.stopped = reason[:REASON], kind, metadata, stopped


def begin(step: Step, arguments: Mapping[str, Any], clients: Clients, region: str, execution: str) -> Begun:
    """Do what a step does with its resolved arguments. Raises StepFailed."""
    if step.type == "Fail":
        message = str(arguments.get("ErrorMessage", ""))
        raise StepFailed(message, metadata={"Fail": {"ErrorMessage": message[:ERROR_MESSAGE]}})
    if step.type in JOBS:
        job = JOBS[step.type]
        name = _name(arguments.get(job.name) or f"pipelines-{execution}-{step.name}", job.longest)
        made = _call(clients, region, APIS[step.type], {**arguments, job.name: name})
        return Begun({job.metadata: {"Arn": made[f"{job.kind}Arn"]}}, job=name)
    if step.type == "Model":
        name = _name(f"pipelines-{execution}-{step.name}", 63)
        made = _call(clients, region, "CreateModel", {**arguments, "ModelName": name})
        outputs = _call(clients, region, "DescribeModel", {"ModelName": name})
        return Begun({"Model": {"Arn": made["ModelArn"]}}, outputs=outputs)
    made = _register(arguments, clients, region)
    outputs = _call(clients, region, "DescribeModelPackage", {"ModelPackageName": made["ModelPackageArn"]})
    return Begun({"RegisterModel": {"Arn": made["ModelPackageArn"]}}, outputs=outputs)


def _register(arguments: Mapping[str, Any], clients: Clients, region: str) -> dict[str, Any]:
    """A new version; a group that is not there is made, as SageMaker's own RegisterModel step does."""
    group = str(arguments.get("ModelPackageGroupName") or "").rpartition("model-package-group/")[2]
    if group:
        sagemaker = clients.client("sagemaker", region)
        try:
            sagemaker.describe_model_package_group(ModelPackageGroupName=group)
        except ClientError as error:
            if "does not exist" in str(error):
                _call(clients, region, "CreateModelPackageGroup", {"ModelPackageGroupName": group})
    return _call(clients, region, "CreateModelPackage", arguments)


def finished(
    step: Step, name: str, record: Mapping[str, Any], clients: Clients, region: str
) -> dict[str, Any]:
    """The properties of a step whose job completed; record is the job's own. Raises StepFailed if it did not complete."""
    job = JOBS[step.type]
    if record[job.status] != "Completed":
        reason = str(record.get("FailureReason") or f"The job {name} is {record[job.status]}.")
        stopped = record[job.status] == "Stopped"
        raise StepFailed(f"ClientError: {reason}", RETRIED.get(reason.partition(":")[0], ""), stopped=stopped)
    outputs = _call(clients, region, f"Describe{job.kind}", {job.name: name})
    if step.type == "Tuning":
        objective = outputs["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective", {})
        order = "Ascending" if objective.get("Type") == "Minimize" else "Descending"
        listed = {job.name: name, "SortBy": "FinalObjectiveMetricValue", "SortOrder": order}
        found = _call(clients, region, "ListTrainingJobsForHyperParameterTuningJob", listed)
        outputs["TrainingJobSummaries"] = found["TrainingJobSummaries"]
    return outputs


def stop(step: Step, name: str, clients: Clients, region: str) -> None:
    """Ask a step's job to end. Raises StepFailed where that is not possible."""
    job = JOBS[step.type]
    _call(clients, region, f"Stop{job.kind}", {job.name: name})


def _name(begin: str, longest: int) -> str:
    """A name that nothing has: AWS appends ten characters of its own."""
    return f"{re.sub('[^a-zA-Z0-9]+', '-', begin)[: longest - 11].rstrip('-')}-{uuid.uuid4().hex[:10]}"


def _call(clients: Clients, region: str, api: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a call. Raises StepFailed with AWS's words for a step whose call was refused."""
    sagemaker = clients.client("sagemaker", region)
    method: Callable[..., dict[str, Any]] = getattr(sagemaker, _method(api))
    try:
        answer = method(**params)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        text = f"ClientError: Failed to invoke sagemaker:{api}. Error Details: {message}"
        raise StepFailed(text, RETRIED.get(code, "")) from error
    except BotoCoreError as error:  # what boto3 itself finds wrong with the arguments
        raise StepFailed(f"ClientError: Failed to invoke sagemaker:{api}. Error Details: {error}") from error
    answer.pop("ResponseMetadata", None)
    return answer


def _method(api: str) -> str:
    from botocore import xform_name

    return str(xform_name(api))
