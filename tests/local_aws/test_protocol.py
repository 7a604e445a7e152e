from __future__ import annotations

import time
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.local_aws import protocol
from kit.local_aws.protocol import AwsError, missing, mistyped, operation, problems, shaped

TRAINING = operation("sagemaker", "CreateTrainingJob").input_shape
ROLE = "arn:aws:iam::123456789012:role/builder"
VALID: dict[str, Any] = {
    "TrainingJobName": "a-job",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}

INVALID: list[tuple[dict[str, Any], str]] = [
    (
        {"TrainingJobName": "a_job"},
        "Value 'a_job' at 'trainingJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
    ),
    (
        {"OutputDataConfig": None},
        "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null",
    ),
    (
        {"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "Files"}},
        "Value 'Files' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: "
        "Member must satisfy enum value set: [Pipe, File, FastFile]",
    ),
    (
        {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": -1, "VolumeSizeInGB": 10}},
        "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: "
        "Member must have value greater than or equal to 0",
    ),
    (
        {"RoleArn": "arn:aws:iam::123456789012:role/" + "r" * 2048},
        "at 'roleArn' failed to satisfy constraint: Member must have length less than or equal to 2048",
    ),
    (
        {"Tags": [{"Key": "k", "Value": "v"}, {"Key": "only"}]},
        "Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not be null",
    ),
    (
        {"HyperParameters": {"depth": "x" * 2501}},
        "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: "
        "[Member must have length less than or equal to 2500",
    ),
    ({"TrainingJob": "a"}, "Unknown member 'TrainingJob' at '$'"),
    (
        {"InputDataConfig": [{"ChannelName": f"c{i}", "DataSource": {}} for i in range(21)]},
        "at 'inputDataConfig' failed to satisfy constraint: Member must have length less than or equal to 20",
    ),
]


def test_a_valid_request_has_no_problems() -> None:
    assert problems(TRAINING, VALID) == []


@pytest.mark.parametrize(("change", "said"), INVALID, ids=[next(iter(change)) for change, _ in INVALID])
def test_an_invalid_request_is_told_what_is_wrong_in_the_words_of_aws(
    change: dict[str, Any], said: str
) -> None:
    found = problems(TRAINING, VALID | change)
    assert len(found) == 1
    assert said in found[0]


def test_each_problem_is_told() -> None:
    assert len(problems(TRAINING, {"TrainingJobName": "a_b", "RoleArn": ROLE})) == 2


def test_a_union_has_exactly_one_member() -> None:
    union = operation("sagemaker", "CreateAutoMLJobV2").input_shape.members["AutoMLProblemTypeConfig"]
    tabular, forecast = union.members["TabularJobConfig"], union.members["TimeSeriesForecastingJobConfig"]
    both: dict[str, Any] = {"TabularJobConfig": {}, "TimeSeriesForecastingJobConfig": {}}
    assert tabular.type_name == forecast.type_name == "structure"
    assert any("Exactly one member of the union must be set" in text for text in problems(union, both))
    assert any("Exactly one member of the union must be set" in text for text in problems(union, {}))
    one = {"TabularJobConfig": {"TargetAttributeName": "churned"}}
    assert problems(union, one) == []


def test_every_pattern_of_the_service_is_checked_but_one_that_only_java_can_read() -> None:
    model = protocol.service("sagemaker")
    assert model is not None
    patterns = {p for name in model.shape_names if (p := model.shape_for(name).metadata.get("pattern"))}
    unread = [pattern for pattern in patterns if protocol._compiled(pattern) is None]
    assert len(patterns) > 200
    assert [r"\uD800\uDC00-\uDBFF" in pattern for pattern in unread] == [True]


def test_a_pattern_that_backtracks_without_end_does_not_hold_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "PATTERN_SECONDS", 0.1)
    began = time.monotonic()
    assert protocol._matches("(a|aa)+b", "a" * 200)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"HyperParameters": {"depth": 3}}, "NUMBER_VALUE can not be converted to String"),
        ({"ResourceConfig": {"InstanceCount": "1"}}, "STRING_VALUE can not be converted to Integer"),
        ({"ResourceConfig": {"InstanceCount": 1.5}}, "NUMBER_VALUE can not be converted to Integer"),
        ({"ResourceConfig": {"InstanceCount": True}}, "TRUE_VALUE can not be converted to Integer"),
        ({"Tags": {"a": "b"}}, "Expected list or null"),
        ({"ResourceConfig": "ml.m5.large"}, "Unexpected type: an object was expected"),
        ({"ResourceConfig": {"InstanceCount": 2.0}, "Tags": None}, ""),
        (VALID, ""),
    ],
)
def test_json_of_a_wrong_type_is_told_apart_from_a_wrong_value(value: dict[str, Any], said: str) -> None:
    assert mistyped(TRAINING, value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"RoleArn": 5}, "parameter RoleArn, value: 5, type: <class 'int'>, valid types: <class 'str'>"),
        ({"ResourceConfig": {"InstanceCount": "1"}}, "parameter ResourceConfig.InstanceCount, value: 1"),
        ({"ResourceConfig": {"InstanceCount": True}}, "value: True, type: <class 'bool'>"),
        ({"HyperParameters": {"depth": 3}}, "parameter HyperParameters, value: 3"),
        ({"HyperParameters": {"depth": []}}, "parameter HyperParameters, value: []"),
        ({"HyperParameters": ["depth"]}, "parameter HyperParameters, value: ['depth']"),
        ({"Tags": {"a": "b"}}, "parameter Tags, value: {'a': 'b'}"),
        ({"Tags": ["a"]}, "parameter Tags.1.Member, value: a"),
        ({"ResourceConfig": "ml.m5.large"}, "parameter ResourceConfig, value: ml.m5.large"),
    ],
)
def test_a_value_of_a_wrong_type_is_a_problem_in_the_words_of_botocore(
    value: dict[str, Any], said: str
) -> None:
    found = problems(TRAINING, VALID | value)
    assert any(text.startswith("Invalid type for ") and said in text for text in found), found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(sorted(TRAINING.members)) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(TRAINING.members)), json_values, max_size=6))
def test_whatever_json_comes_is_judged_and_what_is_mistyped_is_a_problem(value: dict[str, Any]) -> None:
    found = problems(TRAINING, value)
    if mistyped(TRAINING, value):
        assert found
    else:
        assert all("failed to satisfy constraint" in text or "Unknown" in text for text in found)


def test_an_answer_keeps_what_its_shape_knows() -> None:
    shape = operation("sagemaker", "DescribeModel").output_shape
    held = {
        "ModelName": "m",
        "_key": "m",
        "Containers": [{"Image": "i", "Bogus": 1, "Mode": None}],
        "VpcConfig": None,
    }
    assert shaped(shape, held) == {"ModelName": "m", "Containers": [{"Image": "i"}]}
    assert shaped(None, {"a": 1}) == {}


def test_what_an_answer_lacks_is_named_by_its_path() -> None:
    shape = operation("sagemaker", "DescribeTrainingJob").output_shape
    assert missing(shape, {"ModelArtifacts": {}, "InputDataConfig": [{"ChannelName": "a"}]}) == [
        "TrainingJobName",
        "TrainingJobArn",
        "TrainingJobStatus",
        "SecondaryStatus",
        "StoppingCondition",
        "CreationTime",
        "ModelArtifacts.S3ModelArtifacts",
        "InputDataConfig[].DataSource",
    ]


def test_an_action_that_the_service_does_not_have_is_an_aws_error() -> None:
    with pytest.raises(AwsError) as caught:
        operation("sagemaker", "CreateNothing")
    assert caught.value.code == "UnknownOperationException"
    with pytest.raises(AwsError):
        operation("no-such-service", "List")


def test_time_is_utc_in_milliseconds() -> None:
    moment = protocol.now()
    assert moment.tzinfo is UTC
    assert moment.microsecond % 1000 == 0
