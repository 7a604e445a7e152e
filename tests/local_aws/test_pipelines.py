"""Pipelines through boto3: versions, lists, what is refused, and what is told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue
from lab import BUCKET, Lab
from pipelining import create, definition, execution, model, start, steps, unique


@pytest.fixture
def role(lab: Lab) -> str:
    """The role of pipelines here; it may make jobs and models, and pass itself on to them."""
    return lab.role


def test_the_same_request_twice_is_one_pipeline_and_one_execution(lab: Lab, role: str) -> None:
    sagemaker, token = lab.client("sagemaker"), uuid.uuid4().hex
    name = unique("token")
    request = {
        "PipelineName": name,
        "RoleArn": role,
        "PipelineDefinition": definition(model("m", lab)),
        "ClientRequestToken": token,
    }
    made = [sagemaker.create_pipeline(**request)["PipelineArn"] for _ in range(2)]
    assert made[0] == made[1]
    first = start(lab, name, ClientRequestToken=token)
    assert start(lab, name, ClientRequestToken=token) == first
    assert start(lab, name) != first
    with pytest.raises(ClientError, match="Pipeline names must be unique") as caught:
        sagemaker.create_pipeline(**{**request, "ClientRequestToken": uuid.uuid4().hex})
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_pipeline_has_versions(lab: Lab, role: str) -> None:
    sagemaker = lab.client("sagemaker")
    name = create(lab, role, model("one", lab), PipelineDescription="the first")
    uri = lab.put(f"{name}/definition.json", definition(model("two", lab)))
    place = {"Bucket": BUCKET, "ObjectKey": uri.partition(f"{BUCKET}/")[2]}
    assert (
        sagemaker.update_pipeline(PipelineName=name, PipelineDefinitionS3Location=place)["PipelineVersionId"]
        == 2
    )
    unchanged = sagemaker.update_pipeline(PipelineName=name, PipelineDescription="the second")
    assert unchanged["PipelineVersionId"] == 2
    assert sagemaker.describe_pipeline(PipelineName=name)["PipelineDescription"] == "the second"
    versions = sagemaker.list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]
    assert [one["PipelineVersionId"] for one in versions] == [2, 1]
    old, new = start(lab, name, PipelineVersionId=1), start(lab, name)
    assert execution(lab, old)["PipelineVersionId"] == 1
    assert list(steps(lab, old)) == ["one"]
    execution(lab, new)
    assert list(steps(lab, new)) == ["two"]
    assert (
        '"two"'
        in sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=new)[
            "PipelineDefinition"
        ]
    )
    assert (
        '"one"' in sagemaker.describe_pipeline(PipelineName=name, PipelineVersionId=1)["PipelineDefinition"]
    )
    with pytest.raises(ClientError, match="has no version 3"):
        start(lab, name, PipelineVersionId=3)


def test_pipelines_and_executions_are_listed(lab: Lab, role: str) -> None:
    sagemaker = lab.client("sagemaker")
    name = create(lab, role, model("one", lab))
    arns = [start(lab, name, PipelineExecutionDisplayName=f"run-{number}") for number in range(3)]
    for arn in arns:
        execution(lab, arn)
    [listed] = sagemaker.list_pipelines(PipelineNamePrefix=name)["PipelineSummaries"]
    assert listed["LastExecutionTime"] == execution(lab, arns[2])["CreationTime"]
    page = sagemaker.list_pipeline_executions(PipelineName=name, MaxResults=2)
    rest = sagemaker.list_pipeline_executions(PipelineName=name, NextToken=page["NextToken"])
    shown = page["PipelineExecutionSummaries"] + rest["PipelineExecutionSummaries"]
    assert [one["PipelineExecutionArn"] for one in shown] == arns[::-1]
    assert [one["PipelineExecutionDisplayName"] for one in shown] == ["run-2", "run-1", "run-0"]
    sagemaker.update_pipeline_execution(PipelineExecutionArn=arns[0], PipelineExecutionDescription="kept")
    assert execution(lab, arns[0])["PipelineExecutionDescription"] == "kept"
    found = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arns[0])["PipelineExecutionSteps"]
    assert found[0]["StepName"] == "one"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"PipelineParameters": [{"Name": "Moon", "Value": "1"}]}, "Unknown parameter 'Moon'"),
        ({"PipelineParameters": [{"Name": "Rows", "Value": "many"}]}, "'many' is not of the type Integer"),
        ({}, "Parameter 'Rows' has no default value"),
        (
            {
                "SelectiveExecutionConfig": {"SelectedSteps": [{"StepName": "one"}]},
                "PipelineParameters": [{"Name": "Rows", "Value": "1"}],
            },
            "The local AWS does not implement SelectiveExecutionConfig",
        ),
    ],
)
def test_an_execution_that_cannot_run_is_refused(
    lab: Lab, role: str, request_: dict[str, Any], said: str
) -> None:
    rows = {"Name": "Rows", "Type": "Integer"}
    name = create(lab, role, model("one", lab), document={"Parameters": [rows]})
    with pytest.raises(ClientError, match=said) as caught:
        lab.client("sagemaker").start_pipeline_execution(PipelineName=name, **request_)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        (
            lambda s: s.describe_pipeline(PipelineName="none"),
            "ResourceNotFound",
            "pipeline/none' does not exist",
        ),
        (lambda s: s.start_pipeline_execution(PipelineName="none"), "ResourceNotFound", "does not exist"),
        (
            lambda s: s.send_pipeline_execution_step_success(CallbackToken="0123456789"),
            "UnknownOperationException",
            "The local AWS does not implement sagemaker:SendPipelineExecutionStepSuccess",
        ),
    ],
)
def test_what_is_not_there_is_said(lab: Lab, call: Callable[[Any], Any], code: str, said: str) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        call(lab.client("sagemaker"))
    assert caught.value.response["Error"]["Code"] == code


def test_a_definition_that_could_not_run_is_refused(lab: Lab, role: str) -> None:
    sagemaker = lab.client("sagemaker")
    with pytest.raises(ClientError, match="Unknown Argument member 'Moon'"):
        create(lab, role, {**model("m", lab), "Arguments": {"Moon": 1}})
    with pytest.raises(ClientError, match="Could not assume role"):
        create(lab, f"{role}-none", model("m", lab))
    with pytest.raises(ClientError, match="Exactly one of PipelineDefinition"):
        sagemaker.create_pipeline(PipelineName="p", RoleArn=role)
    with pytest.raises(ClientError, match="Unable to read the pipeline definition at s3://lab-bucket/none"):
        sagemaker.create_pipeline(
            PipelineName="p",
            RoleArn=role,
            PipelineDefinitionS3Location={"Bucket": BUCKET, "ObjectKey": "none"},
        )


def test_an_execution_has_an_experiment_where_the_pipeline_wants_one(lab: Lab, role: str) -> None:
    wanted = {
        "ExperimentName": {"Get": "Execution.PipelineName"},
        "TrialName": {"Get": "Execution.PipelineExecutionId"},
    }
    name = create(lab, role, model("m", lab), document={"PipelineExperimentConfig": wanted})
    arn = start(lab, name)
    trial = arn.rpartition("/")[2]
    assert execution(lab, arn)["PipelineExperimentConfig"] == {"ExperimentName": name, "TrialName": trial}
    assert lab.client("sagemaker").describe_trial(TrialName=trial)["ExperimentName"] == name


@pytest.fixture
def told(lab: Lab) -> Iterator[Callable[[int], list[dict[str, Any]]]]:
    """Gives the next so many events of pipelines."""
    events, name = lab.client("events"), unique("events")
    url, arn = hearing_queue(lab.client("sqs"), name)
    kinds = [f"SageMaker Model Building Pipeline Execution {what}Status Change" for what in ("", "Step ")]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.sagemaker"], "detail-type": kinds}))
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": arn}])
    yield lambda count: heard(lab.client("sqs"), url, count)
    events.remove_targets(Rule=name, Ids=["q"])
    events.delete_rule(Name=name)


def test_changes_of_status_are_told_to_eventbridge(
    lab: Lab, role: str, told: Callable[[int], list[dict[str, Any]]]
) -> None:
    arn = start(lab, create(lab, role, model("m", lab)))
    found = told(4)
    assert all(event["resources"] == [arn.partition("/execution/")[0], arn] for event in found)
    details = [event["detail"] for event in found]
    changes = [
        (
            detail.get("stepName", ""),
            detail.get("previousStepStatus") or detail.get("previousPipelineExecutionStatus"),
            detail.get("currentStepStatus") or detail["currentPipelineExecutionStatus"],
        )
        for detail in details
    ]
    assert changes == [
        ("", None, "Executing"),
        ("m", None, "Executing"),
        ("m", "Executing", "Succeeded"),
        ("", "Executing", "Succeeded"),
    ]
    assert details[-1]["executionEndTime"] >= details[-1]["executionStartTime"]
