"""The job that deploys an approved version: by the real client, to an endpoint that really serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jobs
from words import ANSWERS, answer, boto_fixture, endpoint_fixture, role, sm_fixture, version  # noqa: F401 - some are fixtures

(script,) = jobs.load("mlops/jobs/deploy", "script")


def run(boto: Any, endpoint: str, package: str, out: Path, *more: str) -> int:
    out.mkdir(exist_ok=True)
    given = {"package": package, "endpoint": endpoint, "role": role(boto), "alarm": f"{endpoint}-broken"}
    given |= {"report": str(out), "message": str(out / "message"), "poll": "0.2", "canary-seconds": "60"}
    return int(script.main([*(f"--{name}={value}" for name, value in given.items()), *more]))


def watched(boto: Any, endpoint: str) -> dict[str, Any]:
    (alarm,) = boto.client("cloudwatch").describe_alarms(AlarmNames=[f"{endpoint}-broken"])["MetricAlarms"]
    where = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    return {**where, "description": alarm["AlarmDescription"], "threshold": alarm["Threshold"]}


def test_an_approved_version_takes_the_place_under_the_same_settings(
    boto: Any, sm: Any, endpoint: str, tmp_path: Path
) -> None:
    package = version(boto, "new")
    assert run(boto, endpoint, package, tmp_path, "--tag=eba:card=O6") == 0
    told = json.loads((tmp_path / "deployment.json").read_text())
    assert (told["did"], told["before"], told["package"]) == ("deployed", f"{endpoint}-old", package)
    assert told["began"] < told["live"]
    assert answer(boto, endpoint) == "new"
    assert sm.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == told["config"]
    config = sm.describe_endpoint_config(EndpointConfigName=told["config"])
    assert config["ProductionVariants"][0]["InitialInstanceCount"] == 2
    assert config["DataCaptureConfig"]["InitialSamplingPercentage"] == 50
    model = sm.describe_model(ModelName=told["model"])
    assert model["VpcConfig"] == sm.describe_model(ModelName=f"{endpoint}-old")["VpcConfig"]
    for arn in (config["EndpointConfigArn"], model["ModelArn"]):
        assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "eba:card", "Value": "O6"}]
    assert watched(boto, endpoint) == {
        "EndpointName": endpoint,
        "VariantName": "AllTraffic",
        "EndpointConfigName": told["config"],
        "description": "kept",
        "threshold": 0,
    }
    assert run(boto, endpoint, package, tmp_path) == 0
    again = json.loads((tmp_path / "deployment.json").read_text())
    assert (again["did"], again["config"]) == ("nothing", told["config"])


def test_a_version_that_is_not_approved_is_refused(boto: Any, endpoint: str, tmp_path: Path) -> None:
    package = version(boto, "new", "PendingManualApproval")
    assert run(boto, endpoint, package, tmp_path) == 1
    first, second = (tmp_path / "message").read_text().splitlines()
    assert first == f"{package} is PendingManualApproval."
    assert second.startswith("Approve it first")
    assert answer(boto, endpoint) == "old"
    assert not (tmp_path / "deployment.json").exists()


def test_an_update_that_is_taken_back_fails_with_the_reason_and_the_alarms_watch_the_old_one_again(
    boto: Any, endpoint: str, tmp_path: Path
) -> None:
    package = version(boto, "new", code=ANSWERS.replace('open(model_dir + "/word").read()', "1 / 0"))
    assert run(boto, endpoint, package, tmp_path) == 1
    text = (tmp_path / "message").read_text()
    assert text.startswith("The update was taken back: "), text
    assert len(text.splitlines()) == 2
    assert answer(boto, endpoint) == "old"
    assert watched(boto, endpoint)["EndpointConfigName"] == f"{endpoint}-old"


def test_what_aws_refuses_is_told(boto: Any, endpoint: str, tmp_path: Path) -> None:
    package = version(boto, "new")
    assert run(boto, "eba-nowhere", package, tmp_path) == 1
    assert "eba-nowhere" in (tmp_path / "message").read_text()


def test_one_instance_is_replaced_at_once_and_alarms_take_it_back(tmp_path: Path) -> None:
    chosen = script.options(["--package=p", "--endpoint=e", "--role=r", "--alarm=a", "--canary-seconds=60"])
    routing = script.guarded(1, chosen)["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing == {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}
    assert (
        script.guarded(2, chosen)["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    )
    assert script.guarded(2, chosen)["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "a"}]}
