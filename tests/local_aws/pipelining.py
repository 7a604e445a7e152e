"""Pipelines of the local AWS: written by hand, started, and followed to their end."""

from __future__ import annotations

import json
import uuid
from typing import Any

from lab import BUCKET, IMAGE, Lab


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def execution(lab: Lab, arn: str, *wanted: str) -> dict[str, Any]:
    """An execution, once it is over (or has one of the statuses)."""
    ask = lab.client("sagemaker").describe_pipeline_execution
    over = wanted or ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
    return lab.until(lambda: ask(PipelineExecutionArn=arn), "PipelineExecutionStatus", *over)


def steps(lab: Lab, arn: str) -> dict[str, dict[str, Any]]:
    found = lab.client("sagemaker").list_pipeline_execution_steps(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return {step["StepName"]: step for step in found["PipelineExecutionSteps"]}


def processing(name: str, code: str, lab: Lab, **more: Any) -> dict[str, Any]:
    """A step that runs this Python; what it writes to /opt/ml/processing/out goes to S3."""
    target = f"s3://{BUCKET}/{unique(name)}"
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "-c", code]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": target,
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "RoleArn": lab.role,
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def model(name: str, lab: Lab, **more: Any) -> dict[str, Any]:
    """A step that is over at once."""
    arguments = {"ExecutionRoleArn": lab.role, "PrimaryContainer": {"Image": IMAGE}}
    return {"Name": name, "Type": "Model", "Arguments": arguments, **more}


def definition(*steps: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": list(steps), **more})


def create(lab: Lab, role: str, *steps: dict[str, Any], **more: Any) -> str:
    """The name of a new pipeline of these steps."""
    name = unique("by-hand")
    lab.client("sagemaker").create_pipeline(
        PipelineName=name,
        RoleArn=role,
        PipelineDefinition=definition(*steps, **more.pop("document", {})),
        **more,
    )
    return name


def start(lab: Lab, name: str, **more: Any) -> str:
    parameters = [{"Name": k, "Value": v} for k, v in more.pop("parameters", {}).items()]
    given = {"PipelineParameters": parameters} if parameters else {}
    started = lab.client("sagemaker").start_pipeline_execution(PipelineName=name, **given, **more)
    return str(started["PipelineExecutionArn"])


def run(lab: Lab, role: str, *wanted: dict[str, Any], **more: Any) -> tuple[str, dict[str, dict[str, Any]]]:
    """How the execution of a new pipeline of these steps ended, and its steps."""
    arn = start(lab, create(lab, role, *wanted, **more))
    return execution(lab, arn)["PipelineExecutionStatus"], steps(lab, arn)
