"""Releasing the pipeline: its definition into S3, and the stack of framework/template.yml brought up to it.

The runbook O3 and a pipeline of continuous integration call the same functions; the latter as

    python mlops/release.py --stack eba-framework --job-role ARN --bucket NAME --data URI
"""

# ruff: noqa: T201 - what this prints is the log of a release

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

if TYPE_CHECKING:
    from training_pipeline import Settings

FOLDER = Path(__file__).resolve().parent / "framework"
TEMPLATE = FOLDER / "template.yml"
UNCHANGED = "No updates are to be performed"


class ReleaseError(Exception):
    """A release that AWS refused or took back: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


@dataclass(frozen=True)
class Release:
    """What a release did: "created", "updated" or "unchanged"; in how many seconds; what the stack puts out."""

    did: str
    seconds: float
    outputs: Mapping[str, str]


def put(s3: Any, definition: str, prefix: str) -> tuple[str, str]:
    """Puts a definition under its checksum below a prefix (s3://bucket/...); returns bucket and key. `s3` is a client of boto3."""
    bucket, _, folder = prefix.removeprefix("s3://").partition("/")
    key = f"{folder}/definitions/{hashlib.sha256(definition.encode()).hexdigest()[:16]}.json"
    s3.put_object(Bucket=bucket, Key=key, Body=definition.encode(), ContentType="application/json")
    return bucket, key


def parameters(
    settings: Settings, place: tuple[str, str], data: str, *, key: str = "", boundary: str = ""
) -> dict[str, str]:
    """What the template is given. place: of the definition; data: what the schedule takes; key, boundary: ARNs, where there are such."""
    bucket, _, folder = settings.prefix.removeprefix("s3://").partition("/")
    return {
        "PipelineName": settings.name,
        "Bucket": bucket,
        "DefinitionKey": place[1],
        "RunsPrefix": f"{folder}/runs",
        "JobRole": settings.role,
        "Group": settings.group,
        "Data": data,
        "Key": key,
        "Boundary": boundary,
    }


def encryption_key(s3: Any, bucket: str) -> str:
    """The ARN of the KMS key that a bucket encrypts with by default; "" where that is S3's own. `s3` is a client of boto3."""
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    return str(rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID", ""))


def apply(
    cloudformation: Any,
    stack: str,
    parameters: Mapping[str, str],
    tags: Sequence[Mapping[str, str]] = (),
    *,
    template: Path = TEMPLATE,
    delay: int = 5,
) -> Release:
    """Makes the stack or brings it up to date, and waits for it. `cloudformation` is a client of boto3.

    delay: seconds between two looks.

    Raises:
        ReleaseError: AWS refused it or took it back, with the reason of the resource that failed.
    """
    began = time.monotonic()
    request = {
        "StackName": stack,
        "TemplateBody": template.read_text(encoding="utf-8"),
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in sorted(parameters.items())],
        "Tags": [dict(tag) for tag in tags],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    did = "updated" if _there(cloudformation, stack, delay) else "created"
    try:
        if did == "created":
            cloudformation.create_stack(**request)
        else:
            cloudformation.update_stack(**request)
        waiter = cloudformation.get_waiter(f"stack_{did.removesuffix('d')}_complete")
        waiter.wait(StackName=stack, WaiterConfig={"Delay": delay, "MaxAttempts": 1200 // delay})
    except ClientError as error:
        if UNCHANGED not in str(error):
            hint = "Mend the template or its parameters, or ask for the right that is missing."
            raise ReleaseError(f"The stack {stack} was not {did}: {error}", hint) from None
        did = "unchanged"
    except WaiterError:
        raise ReleaseError(
            f"The stack {stack} was not {did}: {_reason(cloudformation, stack)}",
            "What was made has been taken back. Mend what the reason names, and release again.",
        ) from None
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    return Release(did, time.monotonic() - began, outputs)


def remove(cloudformation: Any, stack: str, delay: int = 5) -> None:
    """Removes the stack and what it made, and waits for it."""
    cloudformation.delete_stack(StackName=stack)
    waiter = cloudformation.get_waiter("stack_delete_complete")
    waiter.wait(StackName=stack, WaiterConfig={"Delay": delay, "MaxAttempts": 1200 // delay})


def _there(cloudformation: Any, stack: str, delay: int) -> bool:
    """Whether the stack can be updated; the rest of one whose creation failed is removed."""
    try:
        (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return False
        raise
    if described["StackStatus"] in ("ROLLBACK_COMPLETE", "CREATE_FAILED"):
        remove(cloudformation, stack, delay)
        return False
    return True


def _reason(cloudformation: Any, stack: str) -> str:
    """Why a stack failed: the earliest failure since its last beginning."""
    reason = "AWS gives no reason"
    for event in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason')}"
        if event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS") and (
            event["ResourceType"] == "AWS::CloudFormation::Stack"
        ):
            break
    return reason


def main(argv: Sequence[str] | None = None) -> int:
    """Builds, puts and applies; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack", default="eba-framework", help="its name is the pipeline's as well")
    parser.add_argument("--job-role", required=True, help="ARN of the role of the jobs")
    parser.add_argument("--bucket", required=True, help="the bucket of the event")
    parser.add_argument("--prefix", default="eba/o3", help="where code and runs lie in the bucket")
    parser.add_argument("--data", required=True, help="S3 URI of the raw rows that the schedule takes")
    parser.add_argument("--group", default="eba-models", help="the model package group")
    parser.add_argument("--algorithm", default="boosting", help="the candidate's: boosting or baseline")
    parser.add_argument("--least", type=float, default=0.6, help="AUC, or R², that a model has to reach")
    parser.add_argument("--gain", type=float, default=0.0, help="what it has to be better by")
    parser.add_argument("--instance-type", default="ml.m5.xlarge", help="of the jobs")
    parser.add_argument("--plan", type=Path, help="by default the plan of this repository")
    parser.add_argument("--boundary", default="", help="ARN of the boundary of new roles")
    parser.add_argument("--tag", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    given = parser.parse_args(argv)

    import boto3
    import training_pipeline
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    from kit import data
    from kit import plan as plans

    plan = plans.load(given.plan)
    tags = [{"Key": key, "Value": value} for key, value in given.tag]
    settings = training_pipeline.Settings(
        name=given.stack,
        plan=data.arguments(plan.data),
        problem=plan.data.problem,
        prefix=f"s3://{given.bucket}/{given.prefix}",
        role=given.job_role,
        group=given.group,
        least=given.least,
        gain=given.gain,
        algorithm=given.algorithm,
        instance_type=given.instance_type,
        in_time_order=plan.data.in_time_order,
        network=plan.aws.network,
        tags=tags,
    )
    boto = boto3.Session()
    session = PipelineSession(boto_session=boto, default_bucket=given.bucket, default_bucket_prefix="eba/sdk")
    definition = training_pipeline.built(session, settings).definition()
    s3 = boto.client("s3")
    bucket, place = put(s3, definition, settings.prefix)
    key = encryption_key(s3, bucket)
    wanted = parameters(settings, (bucket, place), given.data, key=key, boundary=given.boundary)
    try:
        release = apply(boto.client("cloudformation"), given.stack, wanted, tags)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.stack} {release.did} in {release.seconds:.0f} s: s3://{bucket}/{place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
