"""References, conditions, parameters and durations of pipelines."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.pipeline_values import (
    Scope,
    Unresolved,
    dig,
    duration,
    holds,
    resolve,
    signature,
    typed,
)

SCOPE = Scope(
    parameters={"Rows": 100, "Share": 0.25, "Where": "s3://b/in", "On": True},
    execution={"PipelineExecutionId": "abc"},
    outputs={
        "Prepare": {
            "ProcessingOutputConfig": {
                "Outputs": [
                    {"OutputName": "train", "S3Output": {"S3Uri": "s3://b/train"}},
                    {"OutputName": "test", "S3Output": {"S3Uri": "s3://b/test"}},
                ]
            },
            "Environment": {"SEED": "7"},
        }
    },
    file=lambda step, name: f"s3://b/{step}/{name}.json",
    read=lambda uri: {"at": uri, "metrics": {"auc": {"value": 0.81}}, "list": [1, 2]},
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Get": "Parameters.Rows"}, 100),
        ({"Get": "Execution.PipelineExecutionId"}, "abc"),
        (
            {"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['test'].S3Output.S3Uri"},
            "s3://b/test",
        ),
        ({"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs[0].OutputName"}, "train"),
        ({"Get": "Steps.Prepare.Environment['SEED']"}, "7"),
        ({"Get": "Steps.Prepare.PropertyFiles.Report"}, "s3://b/Prepare/Report.json"),
        (
            {"Std:Join": {"On": "/", "Values": [{"Get": "Parameters.Where"}, {"Get": "Parameters.Share"}]}},
            "s3://b/in/0.25",
        ),
        ({"Std:Join": {"On": "", "Values": [{"Get": "Parameters.On"}, 3]}}, "true3"),
        (
            {
                "Std:JsonGet": {
                    "PropertyFile": {"Get": "Steps.Prepare.PropertyFiles.R"},
                    "Path": "$.metrics.auc.value",
                }
            },
            0.81,
        ),
        ({"Std:JsonGet": {"S3Uri": "s3://x/y", "Path": "list[1]"}}, 2),
        ([{"a": {"Get": "Parameters.Rows"}}, "plain"], [{"a": 100}, "plain"]),
        ({"Get": "Parameters.Rows", "and": "more"}, {"Get": "Parameters.Rows", "and": "more"}),
    ],
)
def test_references_lead_to_values(value: Any, expected: Any) -> None:
    assert resolve(value, SCOPE) == expected


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("Steps.Train.ModelArtifacts", "Step 'Train' has no properties."),
        ("Steps.Prepare.ProcessingOutputConfig.Outputs['gone']", "Outputs['gone'] in Steps.Prepare"),
        ("Steps.Prepare.ProcessingOutputConfig.Outputs[2]", "Outputs[2] in Steps.Prepare"),
        ("Parameters.None", "Parameters.None has no value"),
        ("Execution.TrainingJobName", "Execution.TrainingJobName has no value"),
    ],
)
def test_a_reference_that_leads_nowhere_says_so(reference: str, said: str) -> None:
    with pytest.raises(Unresolved) as caught:
        resolve({"Get": reference}, SCOPE)
    assert said in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet="abcXYZ_0", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def paths(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every path into a JSON value, and what lies there."""
    found = [(path, value)]
    if isinstance(value, dict):
        for name, held in value.items():
            found += paths(held, f"{path}['{name}']")
    elif isinstance(value, list):
        for number, held in enumerate(value):
            found += paths(held, f"{path}[{number}]")
    return found


@given(JSON)
def test_every_path_into_a_document_is_found(document: Any) -> None:
    for path, held in paths(document):
        assert dig(document, path) == held
        assert dig(document, path.replace("['", ".").replace("']", "").removeprefix(".")) == held


@given(JSON)
def test_a_value_without_references_stays_as_it_is(document: Any) -> None:
    assert resolve(document, Scope()) == document


@given(st.lists(st.text() | st.integers() | st.booleans()), st.text(max_size=3))
def test_join_puts_texts_together(values: list[Any], between: str) -> None:
    said = [one if isinstance(one, str) else json.dumps(one) for one in values]
    assert resolve({"Std:Join": {"On": between, "Values": values}}, Scope()) == between.join(said)


COMPARISONS = {
    "Equals": lambda a, b: a == b,
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanOrEqualTo": lambda a, b: a >= b,
    "LessThan": lambda a, b: a < b,
    "LessThanOrEqualTo": lambda a, b: a <= b,
}


@given(
    st.sampled_from(sorted(COMPARISONS)),
    st.integers(-3, 3) | st.floats(-3, 3),
    st.integers(-3, 3) | st.floats(-3, 3),
)
def test_comparisons_compare(kind: str, left: float, right: float) -> None:
    condition = {"Type": kind, "LeftValue": {"Get": "Parameters.A"}, "RightValue": right}
    scope = Scope(parameters={"A": left})
    assert holds(condition, scope) is COMPARISONS[kind](left, right)
    assert holds({"Type": "Not", "Condition": condition}, scope) is not COMPARISONS[kind](left, right)


def test_in_or_and_text_are_conditions_too() -> None:
    either = {
        "Type": "Or",
        "Conditions": [
            {"Type": "In", "QueryValue": {"Get": "Parameters.Where"}, "Values": ["x", "s3://b/in"]},
            {"Type": "Equals", "LeftValue": 1, "RightValue": 2},
        ],
    }
    assert holds(either, SCOPE)
    assert holds({"Type": "LessThan", "LeftValue": "a", "RightValue": "b"}, SCOPE)
    assert not holds({"Type": "Or", "Conditions": []}, SCOPE)
    assert not holds({"Type": "Equals", "LeftValue": True, "RightValue": 1}, SCOPE)


def test_values_that_do_not_compare_say_so() -> None:
    with pytest.raises(Unresolved, match=r'GreaterThan does not compare "0.8" with 0.5'):
        holds({"Type": "GreaterThan", "LeftValue": "0.8", "RightValue": 0.5}, SCOPE)


@given(
    *(st.integers(0, 500) for _ in range(7)),
    st.booleans(),
    st.booleans(),
)
def test_durations_are_read(
    y: int, mo: int, w: int, d: int, h: int, mi: int, s: int, lower: bool, p: bool
) -> None:
    date = "".join(f"{n}{unit}" for n, unit in ((y, "Y"), (mo, "M"), (w, "W"), (d, "D")) if n)
    time = "".join(f"{n}{unit}" for n, unit in ((h, "H"), (mi, "M"), (s, "S")) if n)
    text = ("P" if p else "") + date + (f"T{time}" if time else "")
    expected = timedelta(days=365 * y + 30 * mo + 7 * w + d, hours=h, minutes=mi, seconds=s)
    if date or time:
        assert duration(text.lower() if lower else text) == expected


@pytest.mark.parametrize("text", ["", "P", "T", "30", "one day", "PT", "-P1D", "P1.5D", "P99999999999Y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ExpireAfter is"):
        duration(text)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("String", "7", "7"),
        ("Integer", "7", 7),
        ("Integer", 7, 7),
        ("Float", "0.5", 0.5),
        ("Float", "3", 3.0),
        ("Boolean", "TRUE", True),
        ("Boolean", False, False),
    ],
)
def test_parameters_have_types(kind: str, value: Any, expected: Any) -> None:
    found = typed({"Type": kind}, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ({"Type": "Integer"}, "7.5"),
        ({"Type": "Float"}, "much"),
        ({"Type": "Boolean"}, "1"),
        ({"Type": "String", "EnumValues": ["a", "b"]}, "c"),
    ],
)
def test_a_value_of_another_type_is_refused(parameter: dict[str, Any], value: str) -> None:
    with pytest.raises(ValueError, match=value):
        typed(parameter, value)


def test_steps_are_the_same_where_their_key_attributes_are() -> None:
    arguments = {
        "AppSpecification": {"ImageUri": "i"},
        "ProcessingInputs": [{"InputName": "in"}],
        "ProcessingOutputConfig": {"Outputs": ["one"]},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large"}},
    }
    base = signature("Processing", "Prepare", arguments)
    assert signature("Processing", "Prepare", {**arguments, "ProcessingOutputConfig": {}}) == base
    assert signature("Processing", "Prepare", {**arguments, "ProcessingInputs": []}) != base
    assert signature("Processing", "Other", arguments) != base
    tuned = {"TrainingJobDefinition": {"StaticHyperParameters": {"a": "1"}, "RoleArn": "r"}}
    other = {"TrainingJobDefinition": {"StaticHyperParameters": {"a": "1"}, "RoleArn": "s"}}
    assert signature("Tuning", "T", tuned) == signature("Tuning", "T", other)
