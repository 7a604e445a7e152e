"""Which definitions of pipelines are taken, and what is said of the others."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.pipeline_definition import parse
from kit.local_aws.protocol import AwsError

PROCESS: dict[str, Any] = {
    "Name": "Prepare",
    "Type": "Processing",
    "Arguments": {
        "AppSpecification": {"ImageUri": {"Get": "Parameters.Image"}},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "report"}]},
    },
    "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "r.json"}],
}
GATE: dict[str, Any] = {
    "Name": "Gate",
    "Type": "Condition",
    "Arguments": {
        "Conditions": [
            {
                "Type": "GreaterThan",
                "LeftValue": {
                    "Std:JsonGet": {
                        "PropertyFile": {"Get": "Steps.Prepare.PropertyFiles.Report"},
                        "Path": "auc",
                    }
                },
                "RightValue": 0.5,
            }
        ],
        "IfSteps": [{"Name": "Good", "Type": "Model", "Arguments": {}}],
        "ElseSteps": [
            {"Name": "Bad", "Type": "Fail", "Arguments": {"ErrorMessage": "too bad"}, "DependsOn": []}
        ],
    },
}


def document(*steps: dict[str, Any], **more: Any) -> str:
    base = {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [{"Name": "Image", "Type": "String", "DefaultValue": "i"}],
        "Steps": list(steps) or [PROCESS, GATE],
    }
    return json.dumps({**base, **more})


def test_steps_know_their_branch_and_what_they_wait_for() -> None:
    after = {
        "Name": "After",
        "Type": "Training",
        "Arguments": {},
        "DependsOn": ["Gate", {"Step": "Prepare", "Trigger": "Failed"}],
    }
    definition = parse(document(PROCESS, GATE, after))
    assert list(definition.steps) == ["Prepare", "Gate", "Good", "Bad", "After"]
    good, bad = definition.steps["Good"], definition.steps["Bad"]
    assert (good.within, good.branch) == ("Gate", True)
    assert (bad.within, bad.branch) == ("Gate", False)
    assert definition.steps["Gate"].uses == {"Prepare"}
    assert "IfSteps" not in definition.steps["Gate"].arguments
    assert definition.steps["After"].after == {"Gate": "Completed", "Prepare": "Failed"}


def step(kind: str, name: str = "S", arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": {} if arguments is None else arguments, **more}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Not a valid Json"),
        ("[]", "Expecting start of Json Object"),
        (document(Version="2019-01-01"), "Version is '2019-01-01'"),
        (document(Stages=[]), "Unknown member 'Stages'"),
        (document(Steps=[]), "at least one step"),
        (document(Steps={}), "Expecting start of Json Array: Steps"),
        (document(PROCESS, PROCESS), "Duplicate step names: 'Prepare'"),
        (document(GATE), "refers to 'Prepare', which is no step"),
        (document(step("Model", "a b")), "no valid name: 'a b'"),
        (document(step("Model", arguments=[])), "Expecting start of Json Object: Arguments of step 'S'"),
        (document(step("Model", DependsOn=["T"])), "depends on 'T', which is no step"),
        (
            document(step("Model", DependsOn=[{"Step": "S", "Trigger": "Never"}])),
            'depends on {"Step": "S", "Trigger": "Never"}',
        ),
        (
            document(step("Model", DependsOn=["T"]), step("Model", "T", DependsOn=["S"])),
            "Steps wait for each other: S, T",
        ),
        (document(step("Model", arguments={"ModelName": "m"})), "Unknown Argument member 'ModelName'"),
        (
            document(step("Training", arguments={"ResourceConfig": {"InstanceKind": "x"}})),
            "Unknown Argument member 'InstanceKind'",
        ),
        (
            document(step("Training", arguments={"InputDataConfig": {"ChannelName": "x"}})),
            "Expecting start of Json Array: InputDataConfig of step 'S'",
        ),
        (
            document(step("Training", arguments={"HyperParameters": ["x"]})),
            "Expecting start of Json Object: HyperParameters of step 'S'",
        ),
        (document(step("Fail", arguments={"Message": "m"})), "Unknown Argument member 'Message'"),
        (
            document(step("Model", arguments={"ExecutionRoleArn": {"Get": "Parameters.Role"}})),
            "the parameter 'Role', which is not declared",
        ),
        (
            document(step("Model", arguments={"ExecutionRoleArn": {"Get": "Execution.Moon"}})),
            "refers to Execution.Moon",
        ),
        (
            document(step("Model", arguments={"ExecutionRoleArn": {"Get": "Secrets.Moon"}})),
            "refers to 'Secrets.Moon'",
        ),
        (
            document(
                step("Fail", "F", {"ErrorMessage": ""}),
                step("Model", arguments={"ExecutionRoleArn": {"Get": "Steps.F.ErrorMessage"}}),
            ),
            "the Fail step 'F', which has no properties",
        ),
        (
            document({**PROCESS, "PropertyFiles": []}, GATE),
            "the property file 'Report', which step 'Prepare' does not have",
        ),
        (
            document(
                {
                    **PROCESS,
                    "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "none", "FilePath": "r"}],
                },
                GATE,
            ),
            "in an output that step 'Prepare' does not have",
        ),
        (
            document(step("Training", CacheConfig={"Enabled": True})),
            "CacheConfig of step 'S': ExpireAfter is ''",
        ),
        (
            document(step("Model", CacheConfig={"Enabled": True, "ExpireAfter": "P1D"})),
            "of the type Model cannot be cached",
        ),
        (
            document(step("Training", RetryPolicies=[{"ExceptionType": ["Step.MOON"], "MaxAttempts": 1}])),
            "is for ['Step.MOON']",
        ),
        (
            document(step("Training", RetryPolicies=[{"ExceptionType": ["Step.THROTTLING"]}])),
            "either MaxAttempts or ExpireAfterMin",
        ),
        (document(step("Condition")), "Expecting start of Json Array: Conditions of step 'S'"),
        (
            document(step("Condition", arguments={"Conditions": [{"Type": "Equals", "LeftValue": 1}]})),
            "lacks RightValue",
        ),
        (
            document(
                step(
                    "Condition",
                    arguments={"Conditions": [{"Type": "Not", "Condition": {"Type": "Perhaps"}}]},
                )
            ),
            "a condition of the type 'Perhaps'",
        ),
        (document(Parameters=[{"Name": "Image", "Type": "Date"}]), "has the type 'Date'"),
        (
            document(Parameters=[{"Name": "Image", "Type": "Integer", "DefaultValue": "x"}]),
            "The default of parameter 'Image': 'x' is not of the type Integer",
        ),
        (document(Parameters=[{"Type": "String"}]), "no valid name: None"),
        (
            document(Parameters=[{"Name": "Image", "Type": "String"}] * 2),
            "Duplicate parameter names: 'Image'",
        ),
    ],
)
def test_a_definition_that_could_not_run_is_refused(text: str, said: str) -> None:
    with pytest.raises(AwsError) as caught:
        parse(text)
    assert caught.value.code == "ValidationException"
    assert caught.value.message.startswith("Unable to parse pipeline definition. ")
    assert said in caught.value.message


@pytest.mark.parametrize("kind", ["Lambda", "Callback", "EMR", "QualityCheck", "ClarifyCheck", None])
def test_step_types_that_do_not_run_here_are_refused_as_such(kind: str | None) -> None:
    with pytest.raises(AwsError, match="The local AWS does not run pipeline steps of the type"):
        parse(document({"Name": "S", "Type": kind, "Arguments": {}}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Get",
                    "Name",
                    "Type",
                    "Steps",
                    "Arguments",
                    "Conditions",
                    "IfSteps",
                    "Std:Join",
                    "DependsOn",
                    "Enabled",
                    "ExpireAfter",
                    "PropertyFileName",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=15,
)


@given(JSON, JSON)
def test_whatever_is_sent_is_parsed_or_refused(arguments: Any, more: Any) -> None:
    for sent in (
        {"Name": "A", "Type": "Condition", "Arguments": arguments, "DependsOn": more},
        {"Name": "A", "Type": "Training", "Arguments": {"HyperParameters": arguments}, "CacheConfig": more},
        {"Name": "A", "Type": "Processing", "Arguments": {}, "PropertyFiles": more},
        more,
    ):
        with contextlib.suppress(AwsError):
            assert "Prepare" in parse(document(PROCESS, sent)).steps
