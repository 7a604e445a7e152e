"""Updates that shift traffic step by step: what is asked for, what is seen on the way, what is rolled back."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from endpoints import (
    create_config,
    create_endpoint,
    create_model,
    echo,
    gated,
    invoke,
    moody,
    processes,
    unique,
)
from hearing import heard, hearing_queue, soon
from hypothesis import given
from hypothesis import strategies as st
from lab import BUCKET, IMAGE, TRUST, Lab

from kit.local_aws import process
from kit.local_aws.deployment import steps


def shifting(
    kind: str = "CANARY", size: tuple[str, int] | None = ("INSTANCE_COUNT", 1), wait: int = 60, last: int = 0
) -> dict[str, Any]:
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": wait}
    if size:
        member = "LinearStepSize" if kind == "LINEAR" else "CanarySize"
        routing[member] = {"Type": size[0], "Value": size[1]}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": last,
            "MaximumExecutionTimeoutInSeconds": 3600,
        }
    }


def rolled_back_by(alarm: str) -> dict[str, Any]:
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]}}


def make_alarm(
    lab: Lab, endpoint: str, metric: str = "Invocation5XXErrors", most: float = 0, **more: str
) -> str:
    """An alarm that rings when a metric of the endpoint is above a value."""
    name = unique("alarm")
    dimensions = {"EndpointName": endpoint, "VariantName": "All", **more}
    lab.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=most,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    return name


def serve(lab: Lab, files: dict[str, str | bytes], instances: int = 2) -> str:
    made = create_endpoint(lab, create_config(lab, instances, All=(create_model(lab, files), 1)))
    assert made["EndpointStatus"] == "InService", made.get("FailureReason")
    return str(made["EndpointName"])


def update(lab: Lab, name: str, files: dict[str, str | bytes], instances: int = 2, **more: Any) -> str:
    """Begin an update to a new model; the name of its configuration."""
    config = create_config(lab, instances, All=(create_model(lab, files), 1))
    lab.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=config, **more)
    return config


def watch(lab: Lab, name: str, gate: Path | None = None) -> list[dict[str, Any]]:
    """What Describe tells until the endpoint is in service again, each state once; the gate of the new model opens after the first.

    A state is seen that lasts seconds: what comes and goes at once is for `told_of`.
    """
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["EndpointStatus"] != "InService":
        found = lab.client("sagemaker").describe_endpoint(EndpointName=name)
        found.pop("ResponseMetadata")
        if not seen or found != seen[-1]:
            seen.append(found)
        if gate:
            gate.touch()
        time.sleep(0.02)
    return seen


def listening(lab: Lab, name: str) -> str:
    """The URL of a queue that hears of every state of an endpoint from now on."""
    events, rule = lab.client("events"), unique("rule")
    queue, arn = hearing_queue(lab.client("sqs"), unique("told"))
    pattern = {"source": ["aws.sagemaker"], "detail": {"EndpointName": [name]}}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn}])
    return queue


def told_of(lab: Lab, queue: str) -> list[tuple[str, str]]:
    """The kinds and states that the queue heard of, until the endpoint is in service."""
    told: list[tuple[str, str]] = []

    def in_service() -> bool:
        for event in heard(lab.client("sqs"), queue):
            told.append((event["detail-type"], event["detail"]["EndpointStatus"]))
        return ("SageMaker Endpoint State Change", "IN_SERVICE") in told

    assert soon(in_service), told
    return told


@contextlib.contextmanager
def asking(lab: Lab, name: str, body: str = "x") -> Iterator[tuple[list[str], list[Exception]]]:
    """Four callers ask all the time; the answers and the errors that they got."""
    said: list[str] = []
    failed: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                said.append(invoke(lab, name, body, ContentType="text/csv")[0].decode())
            except Exception as error:
                failed.append(error)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        try:
            assert soon(lambda: said or failed)
            yield said, failed
        finally:
            done.set()


@pytest.mark.parametrize(
    ("kind", "size", "count", "wanted"),
    [
        ("ALL_AT_ONCE", None, 1, [(1.0, 1, 9)]),
        ("CANARY", ("INSTANCE_COUNT", 1), 4, [(0.25, 1, 5), (1.0, 4, 9)]),
        ("CANARY", ("CAPACITY_PERCENT", 30), 4, [(0.25, 1, 5), (1.0, 4, 9)]),
        ("CANARY", ("CAPACITY_PERCENT", 10), 2, [(0.5, 1, 5), (1.0, 2, 9)]),
        ("LINEAR", ("INSTANCE_COUNT", 1), 3, [(1 / 3, 1, 5), (2 / 3, 2, 5), (1.0, 3, 9)]),
        ("LINEAR", ("CAPACITY_PERCENT", 50), 4, [(0.5, 2, 5), (1.0, 4, 9)]),
    ],
)
def test_a_policy_is_a_list_of_steps(
    kind: str, size: tuple[str, int] | None, count: int, wanted: list[tuple[float, int, int]]
) -> None:
    made = [(s.share, s.instances, s.seconds) for s in steps(shifting(kind, size, wait=5, last=9), count)]
    assert made == wanted


@given(st.sampled_from(["CANARY", "LINEAR"]), st.integers(10, 50), st.integers(2, 100))
def test_steps_grow_and_end_with_everything(kind: str, percent: int, count: int) -> None:
    shares = [s.share for s in steps(shifting(kind, ("CAPACITY_PERCENT", percent)), count)]
    assert shares == sorted(set(shares))
    assert shares[0] <= 0.5
    assert shares[-1] == 1.0


def test_without_a_policy_there_is_one_step_and_no_waiting() -> None:
    assert [(s.share, s.seconds) for s in steps({}, 3)] == [(1.0, 0)]


def test_a_canary_gets_its_share_bakes_and_then_all_of_it(lab: Lab, tmp_path: Path) -> None:
    before = {process.pid for process in processes(lab)}
    name = serve(lab, echo("old"))
    old = [process for process in processes(lab) if process.pid not in before]
    how = {**shifting(wait=180, last=180), **rolled_back_by(make_alarm(lab, name))}
    with asking(lab, name) as (said, failed):
        config = update(lab, name, gated("new", tmp_path / "gate"), DeploymentConfig=how)
        seen = watch(lab, name, tmp_path / "gate")
        now_said = {invoke(lab, name, "x", ContentType="text/csv")[0] for _ in range(10)}
    assert failed == []
    assert now_said == {b"new:x"}
    assert seen[-1]["EndpointConfigName"] == config
    assert seen[-1]["LastDeploymentConfig"] == how
    assert "PendingDeploymentSummary" not in seen[-1]
    assert "FailureReason" not in seen[-1]
    coming = [one["PendingDeploymentSummary"] for one in seen if "PendingDeploymentSummary" in one]
    assert {one["EndpointConfigName"] for one in coming} == {config}
    told = [
        (row["VariantStatus"][0]["StatusMessage"], row["CurrentInstanceCount"])
        for one in coming
        for row in one["ProductionVariants"]
        if row["VariantStatus"][0]["Status"] in ("Creating", "Baking")
    ]
    assert list(dict.fromkeys(told)) == [
        ("Launching 2 instance(s).", 0),
        ("Baking for 180 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s).", 1),
        ("Baking for 180 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of 2 instance(s).", 2),
    ]  # fmt: skip
    first, last = said.index("new:x"), len(said) - said[::-1].index("old:x")
    shared = Counter(said[first:last])
    # One of two instances is the canary: six standard deviations of as many draws as there were, and what was under way.
    assert abs(shared["new:x"] - shared["old:x"]) <= 6 * math.sqrt(shared.total()) + 4
    _, alive = psutil.wait_procs(old, timeout=60)
    assert alive == []


def test_linear_steps_are_taken_one_after_the_other(lab: Lab, tmp_path: Path) -> None:
    name = serve(lab, echo("old"), instances=3)
    how = {**shifting("LINEAR", wait=120), **rolled_back_by(make_alarm(lab, name))}
    gate = tmp_path / "gate"
    update(lab, name, gated("new", gate), instances=3, DeploymentConfig=how)
    counts = [
        one["PendingDeploymentSummary"]["ProductionVariants"][0]["CurrentInstanceCount"]
        for one in watch(lab, name, gate)
        if "PendingDeploymentSummary" in one
    ]
    # Nothing waits behind the last step, so that looking may come too late for it.
    assert list(dict.fromkeys(counts)) in ([0, 1, 2], [0, 1, 2, 3])
    assert invoke(lab, name, "x", ContentType="text/csv")[0] == b"new:x"


@pytest.mark.parametrize("kind", ["CANARY", "ALL_AT_ONCE"])
def test_an_alarm_rolls_back_to_the_old_fleet_and_nobody_notices(lab: Lab, kind: str) -> None:
    """The alarm is CloudWatch's own: it watches how long the new configuration takes, which is too long."""
    name = serve(lab, moody("old"))
    old = lab.endpoint(name)["EndpointConfigName"]
    config = create_config(lab, 2, All=(create_model(lab, moody("new")), 1))
    alarm = make_alarm(lab, name, "ModelLatency", 100_000, EndpointConfigName=config)
    canary = kind == "CANARY"
    how = shifting(kind, ("INSTANCE_COUNT", 1) if canary else None, 3000, 0 if canary else 3000)
    how["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 28_800
    before = {process.pid for process in processes(lab)}
    queue = listening(lab, name)
    with asking(lab, name, "slow") as (said, failed):
        lab.client("sagemaker").update_endpoint(
            EndpointName=name, EndpointConfigName=config, DeploymentConfig={**how, **rolled_back_by(alarm)}
        )
        while not (new := [process for process in processes(lab) if process.pid not in before]):
            time.sleep(0.01)
        seen = watch(lab, name)
        now_said = {invoke(lab, name, "x", ContentType="text/csv")[0] for _ in range(10)}
    assert failed == []
    assert "new:slow" in said
    assert now_said == {b"old:x"}
    assert ("SageMaker Endpoint Deployment State Change", "ROLLING_BACK") in told_of(lab, queue)
    assert seen[-1]["EndpointConfigName"] == old
    assert alarm in seen[-1]["FailureReason"]
    assert "PendingDeploymentSummary" not in seen[-1]
    assert "LastDeploymentConfig" not in seen[-1]
    _, alive = psutil.wait_procs(new, timeout=60)
    assert alive == []


def test_a_canary_that_does_not_come_up_gets_no_traffic(lab: Lab) -> None:
    name = serve(lab, echo("old"))
    old = lab.endpoint(name)["EndpointConfigName"]
    how = {**shifting(), **rolled_back_by(make_alarm(lab, name))}
    count = len(processes(lab))
    with asking(lab, name) as (said, failed):
        update(lab, name, {"code/inference.py": "1/0"}, DeploymentConfig=how)
        seen = watch(lab, name)
    assert failed == []
    assert set(said) == {"old:x"}
    assert seen[-1]["EndpointConfigName"] == old
    assert "did not pass the ping health check" in seen[-1]["FailureReason"]
    assert len(processes(lab)) == count


def test_a_role_that_cannot_read_the_alarms_rolls_back_and_says_so(lab: Lab) -> None:
    iam, role = lab.client("iam"), unique("blind")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    reads = {
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}]
    }
    iam.put_role_policy(
        RoleName=role, PolicyName="reads", PolicyDocument=json.dumps({"Version": "2012-10-17", **reads})
    )
    name, model = serve(lab, echo("old")), unique("model")
    lab.client("sagemaker").create_model(
        ModelName=model,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": lab.put_archive(f"{model}/model.tar.gz", echo("new")),
        },
        ExecutionRoleArn=arn,
    )
    config = create_config(lab, 2, All=(model, 1))
    how = {**shifting(), **rolled_back_by(make_alarm(lab, name))}
    lab.client("sagemaker").update_endpoint(
        EndpointName=name, EndpointConfigName=config, DeploymentConfig=how
    )
    made = lab.endpoint(name, "InService")
    assert made["EndpointConfigName"] != config
    assert "cloudwatch:DescribeAlarms" in made["FailureReason"]
    assert invoke(lab, name, "x", ContentType="text/csv")[0] == b"old:x"


def test_counts_and_weights_are_retained_when_asked_for(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    models = create_model(lab, echo("a")), create_model(lab, echo("b"))
    first = create_config(lab, A=(models[0], 1), B=(models[1], 1))
    name = create_endpoint(lab, first)["EndpointName"]
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredWeight": 3, "DesiredInstanceCount": 2}],
    )
    lab.endpoint(name, "InService")

    def after(**more: Any) -> list[tuple[float, int]]:
        config = create_config(lab, A=(models[0], 1), B=(models[1], 1))
        sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config, **more)
        rows = lab.endpoint(name, "InService")["ProductionVariants"]
        return [(row["CurrentWeight"], row["CurrentInstanceCount"]) for row in rows]

    assert after(RetainAllVariantProperties=True) == [(3, 2), (1, 1)]
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    kept = after(RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=excluded)
    assert kept == [(3, 1), (1, 1)]
    assert after() == [(1, 1), (1, 1)]
    with pytest.raises(ClientError, match="needs RetainAllVariantProperties"):
        after(ExcludeRetainedVariantProperties=excluded)


def test_a_deployment_configuration_can_be_kept_for_the_next_update(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    how = shifting("ALL_AT_ONCE", None, last=180)
    config = create_config(lab, All=(create_model(lab, echo("old")), 1))
    name = unique("endpoint")
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, DeploymentConfig=how)
    assert lab.endpoint(name)["LastDeploymentConfig"] == how
    update(lab, name, echo("new"), instances=1, RetainDeploymentConfig=True)
    baked = [
        row["VariantStatus"][0]["Status"]
        for one in watch(lab, name)
        for row in one.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
    ]
    assert "Baking" in baked
    with pytest.raises(ClientError, match="cannot be given together"):
        update(lab, name, echo("x"), instances=1, RetainDeploymentConfig=True, DeploymentConfig=how)


def test_eventbridge_is_told_of_each_state_of_a_deployment(lab: Lab) -> None:
    name = serve(lab, echo("old"))
    queue = listening(lab, name)
    update(lab, name, echo("new"), DeploymentConfig=shifting("ALL_AT_ONCE", None, last=30))
    lab.endpoint(name, "InService")
    told = told_of(lab, queue)
    deployment = ("SageMaker Endpoint Deployment State Change", "UPDATING")
    assert told[0] == ("SageMaker Endpoint State Change", "UPDATING")
    assert told[-1] == ("SageMaker Endpoint State Change", "IN_SERVICE")
    assert told[1:-1] == [deployment, deployment]


@pytest.mark.parametrize(
    ("how", "instances", "alarmed", "said"),
    [
        (shifting(), 1, True, "CanarySize .* must be less than or equal to 50% .* variant All has 1 instance"),
        (shifting(size=("INSTANCE_COUNT", 2)), 3, True, "must be less than or equal to 50%"),
        (shifting(size=("CAPACITY_PERCENT", 51)), 4, True, "must be less than or equal to 50%"),
        (shifting("LINEAR", ("CAPACITY_PERCENT", 5)), 20, True, "must be 10-50%"),
        (shifting(size=None), 2, True, "of type CANARY needs CanarySize"),
        (shifting("LINEAR", None), 2, True, "of type LINEAR needs LinearStepSize"),
        (shifting("ALL_AT_ONCE", ("INSTANCE_COUNT", 1)), 2, True, "of type ALL_AT_ONCE cannot have CanarySize"),
        (shifting(), 2, False, "type CANARY needs the alarms of an AutoRollbackConfiguration"),
        (shifting(wait=3600, last=600), 2, True, "larger than the total waiting time of 4200 seconds"),
        (rolled_back_by("no-such-alarm"), 2, False, "alarms that do not exist: no-such-alarm"),
        (
            {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0}},
            2,
            False,
            "does not implement rolling deployments",
        ),
    ],
)  # fmt: skip
def test_a_deployment_that_cannot_be_is_refused_at_once(
    lab: Lab, refusing: str, how: dict[str, Any], instances: int, alarmed: bool, said: str
) -> None:
    more = rolled_back_by(make_alarm(lab, refusing)) if alarmed else {}
    config = create_config(lab, instances, All=(create_model(lab, echo("x")), 1))
    with pytest.raises(ClientError, match=said):
        lab.client("sagemaker").update_endpoint(
            EndpointName=refusing, EndpointConfigName=config, DeploymentConfig={**how, **more}
        )
    assert lab.endpoint(refusing)["EndpointStatus"] == "InService"


@pytest.fixture
def refusing(lab: Lab, _made: dict[str, str] = {}) -> str:  # noqa: B006 - one endpoint for all of the refusals
    if lab.server.url not in _made:
        _made[lab.server.url] = serve(lab, moody("x"))
    return _made[lab.server.url]


@pytest.mark.parametrize("how_it_ends", ["killed", "stopped"])
def test_an_endpoint_outlives_its_server_with_the_configuration_that_it_had(
    tmp_path: Path, how_it_ends: str
) -> None:
    """Weights stay; an update that the server's end cut off is forgotten; an endpoint without its configuration says so."""
    lab = Lab(process.up(tmp_path / "aws"))
    sagemaker = lab.client("sagemaker")
    with lab.current():
        models = create_model(lab, echo("a")), create_model(lab, echo("b"))
        weighed = create_endpoint(lab, create_config(lab, A=(models[0], 1), B=(models[1], 1)))["EndpointName"]
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=weighed,
            DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredWeight": 0, "DesiredInstanceCount": 3}],
        )
        lab.endpoint(weighed, "InService")
        lost = serve(lab, echo("lost"))
        config = lab.endpoint(lost)["EndpointConfigName"]
        sagemaker.delete_endpoint_config(EndpointConfigName=config)
        cut = serve(lab, echo("old"))
        how = {**shifting(wait=3000), **rolled_back_by(make_alarm(lab, cut))}
        update(lab, cut, echo("new"), DeploymentConfig=how)
        while invoke(lab, cut, "x", ContentType="text/csv")[0] != b"new:x":
            time.sleep(0.01)
    if how_it_ends == "killed":
        psutil.Process(lab.server.pid).kill()
    else:
        process.down(tmp_path / "aws")
        log = (tmp_path / "aws" / "server.log").read_text(encoding="utf-8")
        assert [line for line in log.splitlines() if " ERROR " in line] == [], log
    lab.server = process.up(tmp_path / "aws")
    lab._clients.clear()
    try:
        made = lab.endpoint(weighed, "InService")
        assert [(v["CurrentWeight"], v["CurrentInstanceCount"]) for v in made["ProductionVariants"]] == [
            (0, 3),
            (1, 1),
        ]
        assert {invoke(lab, weighed, "x", ContentType="text/csv")[0] for _ in range(10)} == {b"b:x"}
        back = lab.endpoint(cut, "InService")
        assert "PendingDeploymentSummary" not in back
        assert {invoke(lab, cut, "x", ContentType="text/csv")[0] for _ in range(10)} == {b"old:x"}
        assert "Could not find endpoint configuration" in lab.endpoint(lost, "Failed")["FailureReason"]
    finally:
        process.down(tmp_path / "aws")


def test_no_process_is_left_after_the_last_deletion(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    for row in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]:
        sagemaker.delete_endpoint(EndpointName=row["EndpointName"])
    _, alive = psutil.wait_procs(processes(lab), timeout=60)
    assert alive == []
