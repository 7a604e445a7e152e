"""Deploys an approved version of a model to an endpoint that serves another one: a processing job of O6, run by a pipeline on approval.

The new model takes the place of the old one under the same settings: instances, capture and alarms are those of the endpoint as it is.
A canary gets some of the traffic first; if an alarm rings, SageMaker takes everything back, and the job fails with the reason.

    --package   ARN of the version; it has to be approved
    --endpoint  name of the endpoint, which is in service
    --role      ARN of the role that the model runs as
    --stem      what the new model and the new configuration are called, before their number
    --alarm     an alarm that watches the deployment; several times for several. One that names a configuration is pointed at the new one
    --canary-seconds  how long the canary is watched
    --tag       KEY=VALUE of what is made; several times for several
    --poll      seconds between two looks at the endpoint
    --minutes   after as many the job gives up waiting
    --report    written: deployment.json with `package`, `did` (deployed, or nothing: it is served already), `before` and `config` (names
                of configurations), `model`, `began`, `live` (ISO times, UTC)

The log says what was done, a line each. A failure is two lines on stderr and in --message.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OPT = Path("/opt/ml/processing")
KEPT = ("DataCaptureConfig", "KmsKeyId", "ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")
"""What a new configuration takes over from the one before, besides its variant."""


class Refused(Exception):
    """It is not deployed: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n{hint}")


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """The job's arguments; paths have the defaults of a SageMaker processing job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    for name in ("package", "endpoint", "role"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--stem", default="eba-o6-update")
    for name in ("alarm", "tag"):
        parser.add_argument(f"--{name}", action="append", default=[])
    parser.add_argument("--canary-seconds", type=int, default=300)
    parser.add_argument("--poll", type=float, default=15)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--report", type=Path, default=OPT / "report")
    parser.add_argument("--message", type=Path, default=Path("/opt/ml/output/message"), help="why it failed")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code."""
    import boto3
    from botocore.exceptions import ClientError

    chosen = options(argv)
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    try:
        told = deployed(session.client("sagemaker"), session.client("cloudwatch"), chosen)
    except Refused as error:
        text = str(error)
    except ClientError as error:
        text = f"{error}\nMend what AWS names, such as a right that the role of this job lacks; what was served goes on."
    else:
        chosen.report.mkdir(parents=True, exist_ok=True)
        (chosen.report / "deployment.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        return 0
    print(text, file=sys.stderr)
    if chosen.message.parent.is_dir():
        chosen.message.write_text(text[:1000], encoding="utf-8")
    return 1


def deployed(sm: Any, cloudwatch: Any, chosen: argparse.Namespace) -> dict[str, str]:
    """Deploys, and says what was done. `sm` and `cloudwatch` are clients of boto3.

    Raises:
        Refused: the version is not approved, the endpoint cannot be updated, or the update was taken back.
    """
    version = sm.describe_model_package(ModelPackageName=chosen.package)
    if (status := version["ModelApprovalStatus"]) != "Approved":
        raise Refused(f"{chosen.package} is {status}.", "Approve it first: only approved versions serve.")
    endpoint = settled(sm, chosen)
    if endpoint["EndpointStatus"] != "InService":
        raise Refused(
            f"{chosen.endpoint} is {endpoint['EndpointStatus']}.",
            "Bring it into service, then approve again.",
        )
    before = sm.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    began = _now()
    told = {"package": chosen.package, "before": before["EndpointConfigName"], "began": began}
    (variant,) = before["ProductionVariants"]
    if _package(sm, variant["ModelName"]) == chosen.package:
        print("It is served already.")
        same = {"config": before["EndpointConfigName"], "model": variant["ModelName"], "live": began}
        return {**told, **same, "did": "nothing"}
    model, config = _made(sm, version, before, chosen)
    print(f"{chosen.endpoint} goes from {before['EndpointConfigName']} to {config}")
    watch(cloudwatch, chosen.alarm, config)
    sm.update_endpoint(
        EndpointName=chosen.endpoint,
        EndpointConfigName=config,
        DeploymentConfig=guarded(variant["InitialInstanceCount"], chosen),
    )
    after = settled(sm, chosen)
    if after["EndpointConfigName"] != config or after["EndpointStatus"] != "InService":
        watch(cloudwatch, chosen.alarm, before["EndpointConfigName"])
        raise Refused(
            f"The update was taken back: {after.get('FailureReason', after['EndpointStatus'])}",
            f"The old model serves. Look at the alarms and at the log of {config}.",
        )
    print(f"{model} is live")
    return {**told, "config": config, "model": model, "live": _now(), "did": "deployed"}


def _made(
    sm: Any, version: dict[str, Any], before: dict[str, Any], chosen: argparse.Namespace
) -> tuple[str, str]:
    """The names of a new model, in the network of the one before, and of a new configuration, like the one before."""
    end = f"{version['ModelPackageVersion']}-{secrets.token_hex(3)}"
    model, config = f"{chosen.stem}-model-{end}", f"{chosen.stem}-config-{end}"
    tags = [dict(zip(("Key", "Value"), tag.split("=", 1), strict=True)) for tag in chosen.tag]
    (variant,) = before["ProductionVariants"]
    served = sm.describe_model(ModelName=variant["ModelName"])
    sm.create_model(
        ModelName=model,
        PrimaryContainer={"ModelPackageName": chosen.package},
        ExecutionRoleArn=chosen.role,
        Tags=tags,
        **{name: served[name] for name in ("VpcConfig", "EnableNetworkIsolation") if name in served},
    )
    sm.create_endpoint_config(
        EndpointConfigName=config,
        ProductionVariants=[{**variant, "ModelName": model}],
        Tags=tags,
        **{name: before[name] for name in KEPT if name in before},
    )
    return model, config


def _package(sm: Any, model: str) -> str:
    """The version that a model was made of; "" if of none."""
    return str(sm.describe_model(ModelName=model).get("PrimaryContainer", {}).get("ModelPackageName", ""))


def guarded(instances: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """The DeploymentConfig: a canary of one instance where there are several, else all at once; back by itself if an alarm rings."""
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": chosen.canary_seconds}
    if instances > 1:
        routing |= {"Type": "CANARY", "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60}
    back = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in chosen.alarm]}}
    return {"BlueGreenUpdatePolicy": policy, **(back if chosen.alarm else {})}


def watch(cloudwatch: Any, alarms: Sequence[str], config: str) -> None:
    """Points those alarms that watch a configuration of an endpoint at another one; the rest of them stays as it is."""
    if not alarms:
        return
    members = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    for alarm in cloudwatch.describe_alarms(AlarmNames=list(alarms))["MetricAlarms"]:
        where = [
            {**one, "Value": config} if one["Name"] == "EndpointConfigName" else one
            for one in alarm.get("Dimensions", [])
        ]
        if where != alarm.get("Dimensions", []):
            kept = {name: value for name, value in alarm.items() if name in members}
            cloudwatch.put_metric_alarm(**{**kept, "Dimensions": where})


def settled(sm: Any, chosen: argparse.Namespace) -> dict[str, Any]:
    """The endpoint, once it is not on its way any more."""
    end = time.monotonic() + 60 * chosen.minutes
    while (found := sm.describe_endpoint(EndpointName=chosen.endpoint))["EndpointStatus"].endswith("ing"):
        if time.monotonic() > end:
            raise Refused(
                f"{chosen.endpoint} is {found['EndpointStatus']} for {chosen.minutes:g} minutes.",
                "Look at it in the console; approve again when it is in service.",
            )
        time.sleep(chosen.poll)
    return dict(found)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    sys.exit(main())
