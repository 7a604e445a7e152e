"""Executions of pipelines: what runs when, what is reused, retried and stopped, and why one failed."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from accounts import ACCOUNT, Account, allow, text
from botocore.exceptions import ClientError
from lab import BUCKET, IMAGE, TRUST, Lab, opened
from pipelining import create, definition, execution, model, processing, run, start, steps, unique

from kit.local_aws import pipeline_execution, process
from kit.local_aws.front import App
from kit.local_aws.protocol import now
from kit.local_aws.store import Context


@pytest.fixture
def role(lab: Lab) -> str:
    """The role of pipelines here; it may make jobs and models, and pass itself on to them."""
    return lab.role


MEET = (
    "import pathlib, sys, time; mine, other = map(pathlib.Path, sys.argv[1:]); mine.touch();"
    " [time.sleep(0.05) for _ in range(2400) if not other.exists()]; sys.exit(not other.exists())"
)


def test_branches_run_at_the_same_time(lab: Lab, role: str, tmp_path: Path) -> None:
    meeting = [processing(mine, MEET, lab) for mine in ("a", "b")]
    for one, paths in zip(meeting, (["a", "b"], ["b", "a"]), strict=True):
        one["Arguments"]["AppSpecification"]["ContainerArguments"] = [str(tmp_path / name) for name in paths]
    status, found = run(lab, role, *meeting, model("after", lab, DependsOn=["a", "b"]))
    assert (status, list(found)) == ("Succeeded", ["a", "b", "after"])


def test_no_more_steps_run_at_a_time_than_allowed(lab: Lab, role: str) -> None:
    one_by_one = [processing(f"p{number}", "import time; time.sleep(0.2)", lab) for number in range(3)]
    name = create(lab, role, *one_by_one)
    arn = start(lab, name, ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    assert execution(lab, arn)["PipelineExecutionStatus"] == "Succeeded"
    times = sorted((step["StartTime"], step["EndTime"]) for step in steps(lab, arn).values())
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))


def test_a_job_that_fails_fails_its_step_and_what_needs_it_does_not_begin(lab: Lab, role: str) -> None:
    broken = processing("broken", "raise SystemExit('no such column')", lab)
    arn = start(lab, create(lab, role, broken, model("after", lab, DependsOn=["broken"])))
    ended = execution(lab, arn)
    assert ended["PipelineExecutionStatus"] == "Failed"
    assert ended["FailureReason"] == "Step failure: One or multiple steps failed."
    found = steps(lab, arn)
    assert list(found) == ["broken"]
    assert found["broken"]["FailureReason"].startswith("ClientError: AlgorithmError")
    job = lab.processing(found["broken"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2])
    assert job["ProcessingJobStatus"] == "Failed"


def test_a_failure_that_a_step_waits_for_is_handled(lab: Lab, role: str) -> None:
    broken = processing("broken", "raise SystemExit(1)", lab)
    tell = model("tell", lab, DependsOn=[{"Step": "broken", "Trigger": "Failed"}])
    status, found = run(lab, role, broken, tell)
    assert status == "CompletedWithFailures"
    assert {name: step["StepStatus"] for name, step in found.items()} == {
        "broken": "Failed",
        "tell": "Succeeded",
    }


def test_what_the_pipelines_role_may_not_do_fails_the_step(lab: Lab) -> None:
    iam, name = lab.client("iam"), unique("Bound")
    bound = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    may = {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"}  # and nothing of iam:PassRole
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
    status, found = run(lab, bound, processing("job", "pass", lab))
    assert status == "Failed"
    reason = found["job"]["FailureReason"]
    assert reason.startswith(
        "ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: User:"
    )
    assert "iam:PassRole" in reason


def test_what_a_step_made_leads_the_way(lab: Lab, role: str) -> None:
    write = (
        "import json, pathlib; pathlib.Path('/opt/ml/processing/out/r.json')"
        ".write_text(json.dumps({'auc': 0.8, 'by': [{'name': 'x', 'gap': 0.1}]}))"
    )
    files = [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "r.json"}]

    def of(path: str, step: str = "report") -> dict[str, Any]:
        return {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{step}.PropertyFiles.Report"}, "Path": path}}

    gate = {
        "Name": "gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {"Type": "GreaterThan", "LeftValue": of("auc"), "RightValue": {"Get": "Parameters.Least"}},
                {"Type": "LessThanOrEqualTo", "LeftValue": of("by[0].gap"), "RightValue": 0.1},
            ],
            "IfSteps": [model("good", lab)],
            "ElseSteps": [model("bad", lab)],
        },
    }
    least = {"Name": "Least", "Type": "Float", "DefaultValue": 0.5}
    name = create(
        lab,
        role,
        processing("report", write, lab, PropertyFiles=files),
        gate,
        model("after-good", lab, DependsOn=["good"]),
        document={"Parameters": [least]},
    )
    good, bad = start(lab, name), start(lab, name, parameters={"Least": "0.8"})
    assert execution(lab, good)["PipelineExecutionStatus"] == "Succeeded"
    assert list(steps(lab, good)) == ["report", "gate", "good", "after-good"]
    assert execution(lab, bad)["PipelineExecutionStatus"] == "Succeeded"
    assert list(steps(lab, bad)) == ["report", "gate", "bad"]


def test_a_property_file_that_is_not_there_fails_the_step(lab: Lab, role: str) -> None:
    files = [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "r.json"}]
    asked = {"PropertyFile": {"Get": "Steps.report.PropertyFiles.Report"}, "Path": "auc"}
    gate = {
        "Name": "gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": {"Std:JsonGet": asked}, "RightValue": 1}]
        },
    }
    status, found = run(lab, role, processing("report", "pass", lab, PropertyFiles=files), gate)
    assert status == "Failed"
    assert found["gate"]["FailureReason"].startswith("ClientError: Could not read JSON at s3://")
    assert "NoSuchKey" in found["gate"]["FailureReason"]


def test_an_execution_that_is_stopped_stops_its_jobs(lab: Lab, role: str) -> None:
    name = create(lab, role, processing("long", "import time; time.sleep(600)", lab), model("now", lab))
    arn = start(lab, name)
    sagemaker = lab.client("sagemaker")
    begun = lab.until(
        lambda: {"job": "there" if "Metadata" in steps(lab, arn).get("long", {}) else "not yet"},
        "job",
        "there",
        seconds=1,  # which job it is changes no status
    )
    assert begun
    with pytest.raises(ClientError, match="cannot be deleted while it is executed"):
        sagemaker.delete_pipeline(PipelineName=name)
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert execution(lab, arn)["PipelineExecutionStatus"] == "Stopped"
    found = steps(lab, arn)
    assert found["long"]["StepStatus"] == "Stopped"
    assert "FailureReason" not in found["long"]
    job = lab.processing(found["long"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2])
    assert job["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="is Stopped"):
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    sagemaker.delete_pipeline(PipelineName=name)
    with pytest.raises(ClientError, match=r"ResourceNotFound.*does not exist"):
        sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)


def test_a_retried_execution_runs_only_what_did_not_succeed(lab: Lab, role: str, tmp_path: Path) -> None:
    mark = tmp_path / "mended"
    once = f"import pathlib, sys; sys.exit(not pathlib.Path({str(mark)!r}).exists())"
    name = create(
        lab,
        role,
        processing("first", "pass", lab),
        processing("second", once, lab, DependsOn=["first"]),
        model("third", lab, DependsOn=["second"]),
    )
    arn = start(lab, name)
    assert execution(lab, arn)["PipelineExecutionStatus"] == "Failed"
    before = steps(lab, arn)
    mark.touch()
    lab.client("sagemaker").retry_pipeline_execution(PipelineExecutionArn=arn)
    ended = execution(lab, arn, "Succeeded")
    assert "FailureReason" not in ended
    after = steps(lab, arn)
    assert list(after) == ["first", "second", "third"]
    assert after["first"] == before["first"]
    assert after["second"]["StepStatus"] == "Succeeded"
    with pytest.raises(ClientError, match="Only executions that failed or were stopped"):
        lab.client("sagemaker").retry_pipeline_execution(PipelineExecutionArn=arn)


def test_a_retry_policy_tries_again_what_it_is_for(lab: Lab, role: str) -> None:
    """One host a training job is all that the local AWS has: two are a ResourceLimitExceeded."""
    arguments = {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["true"],
        },
        "RoleArn": lab.role,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    policy = {
        "ExceptionType": ["SageMaker.RESOURCE_LIMIT"],
        "IntervalSeconds": 0.2,
        "BackoffRate": 1.0,
        "MaxAttempts": 2,
    }
    other = {**policy, "ExceptionType": ["Step.THROTTLING"]}
    status, found = run(
        lab,
        role,
        {"Name": "patient", "Type": "Training", "Arguments": arguments, "RetryPolicies": [policy]},
        {"Name": "other", "Type": "Training", "Arguments": arguments, "RetryPolicies": [other]},
    )
    assert status == "Failed"
    assert {name: step["AttemptCount"] for name, step in found.items()} == {"patient": 3, "other": 1}
    took = (found["patient"]["EndTime"] - found["patient"]["StartTime"]).total_seconds()
    assert took >= 0.4
    assert "account-level service limit" in found["patient"]["FailureReason"]


def test_the_cache_holds_for_its_time_and_for_the_same_arguments(lab: Lab, role: str) -> None:
    job = processing("job", "print(1)", lab, CacheConfig={"Enabled": True, "ExpireAfter": "T1H"})
    job["Arguments"]["Environment"] = {"SEED": {"Get": "Parameters.Seed"}}
    parameters = [{"Name": "Seed", "Type": "String", "DefaultValue": "1"}]
    name = create(lab, role, job, document={"Parameters": parameters})

    def source(**more: Any) -> str | None:
        arn = start(lab, name, **more)
        assert execution(lab, arn)["PipelineExecutionStatus"] == "Succeeded"
        hit = steps(lab, arn)["job"].get("CacheHitResult")
        return hit and hit["SourcePipelineExecutionArn"]

    assert source() is None
    [first] = lab.client("sagemaker").list_pipeline_executions(PipelineName=name)[
        "PipelineExecutionSummaries"
    ]
    assert source() == first["PipelineExecutionArn"]
    assert source(parameters={"Seed": "2"}) is None
    sagemaker = lab.client("sagemaker")
    short = {**job, "CacheConfig": {"Enabled": True, "ExpireAfter": "T1S"}}
    sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=definition(short, Parameters=parameters))
    ended = steps(lab, first["PipelineExecutionArn"])["job"]["EndTime"]
    while (sagemaker.describe_pipeline(PipelineName=name)["LastRunTime"] - ended).total_seconds() < 1:
        source(parameters={"Seed": unique("other")})  # until the first one is too old
    assert source() is None


def test_the_server_ends_although_an_execution_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    with opened(tmp_path_factory.mktemp("state") / "aws", "bind") as lab:
        begun = tmp_path_factory.mktemp("job") / "begun"
        code = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)"
        start(lab, create(lab, lab.role, processing("long", code, lab)))
        while not begun.exists():
            time.sleep(0.02)
        server = psutil.Process(lab.server.pid)
        children = server.children(recursive=True)
        assert children
    assert psutil.wait_procs([server, *children], timeout=60)[1] == []


def test_a_step_that_was_about_to_begin_when_its_server_ended_is_begun_again(
    app: App, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker = account.client("sagemaker")
    iam = account.client("iam")
    role = iam.create_role(RoleName="pipelines", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName="pipelines", PolicyName="own", PolicyDocument=text(allow()))
    step = {"Name": "m", "Type": "Model", "Arguments": {"PrimaryContainer": {"Image": IMAGE}}}
    sagemaker.create_pipeline(PipelineName="p", RoleArn=role, PipelineDefinition=definition(step))
    monkeypatch.setattr(pipeline_execution, "go_on", lambda *_: None)
    arn = sagemaker.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    ctx = Context(app, ACCOUNT, "us-east-1")
    begun = {
        "StepName": "m",
        "_type": "Model",
        "StepStatus": "Executing",
        "StartTime": now(),
        "AttemptCount": 1,
    }
    app.store.update(ctx, "PipelineExecution", arn, _steps={"m": begun})
    pipeline_execution._Run(ctx, arn).go()
    told = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert told["PipelineExecutionStatus"] == "Succeeded"


def test_an_execution_goes_on_after_its_server_was_killed(tmp_path: Path) -> None:
    """What ran is lost with the server; the policy of the step tries it again, and what was done stays done."""
    folder, mark = tmp_path / "aws", tmp_path / "begun"
    code = (
        "import pathlib, sys, time; p = pathlib.Path(sys.argv[1]); again = p.exists(); p.touch();"
        " time.sleep(0 if again else 600)"
    )
    with opened(folder, "bind") as lab:
        policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 0, "MaxAttempts": 1}
        long = processing("long", code, lab, DependsOn=["first"], RetryPolicies=[policy])
        long["Arguments"]["AppSpecification"]["ContainerArguments"] = [str(mark)]
        arn = start(
            lab, create(lab, lab.role, model("first", lab), long, model("last", lab, DependsOn=["long"]))
        )
        # The job may be quicker than what notes that it is this step's.
        while not (mark.exists() and "Metadata" in steps(lab, arn)["long"]):
            time.sleep(0.02)
        before = steps(lab, arn)["first"]
        server = psutil.Process(lab.server.pid)
        server.kill()
        psutil.wait_procs([server])
        lab.server = process.up(folder)
        lab._clients.clear()
        assert execution(lab, arn)["PipelineExecutionStatus"] == "Succeeded"
        after = steps(lab, arn)
        assert after["first"] == before
        assert after["long"]["AttemptCount"] == 2
        assert list(after) == ["first", "long", "last"]
