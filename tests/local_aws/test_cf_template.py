"""Templates: what is read, what is resolved, and what is said of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.cf_template import Template, Values, holds, read, resolve, values_of
from kit.local_aws.protocol import AwsError

YAML = """
AWSTemplateFormatVersion: 2010-09-09
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
  Names: {Type: CommaDelimitedList, Default: "a, b"}
Mappings:
  Sizes: {dev: {type: small}, prod: {type: large}}
Conditions:
  Prod: !Equals [!Ref Stage, prod]
  Not: !Not [!Condition Prod]
  Both: !And [!Condition Prod, !Condition Not]
  Either: !Or [!Condition Prod, !Condition Not]
Resources:
  Pipeline:
    Type: AWS::SageMaker::Pipeline
    Properties:
      PipelineName: !Sub "${AWS::StackName}-${Stage}"
      RoleArn: !GetAtt Role.Arn
      PipelineDescription: !If [Prod, live, !Ref "AWS::NoValue"]
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: 2012-10-17}
      Description: !FindInMap [Sizes, !Ref Stage, type]
Outputs:
  Name: {Value: !Ref Pipeline}
"""
PSEUDO = {"StackName": "s", "Region": "us-east-1"}


def values(template: Template, **given: str) -> Values:
    made = {"Role": {"Ref": "role", "Arn": "arn:role"}, "Pipeline": {"Ref": "p"}}
    return Values(values_of(template, given), PSEUDO, template, made)


def test_short_forms_are_read_and_resources_ordered() -> None:
    template = read(YAML)
    assert list(template.resources) == ["Role", "Pipeline"]
    found = resolve(template.resources["Pipeline"]["Properties"], values(template))
    assert found == {"PipelineName": "s-dev", "RoleArn": "arn:role"}
    live = resolve(template.resources["Pipeline"]["Properties"], values(template, Stage="prod"))
    assert live["PipelineDescription"] == "live"
    role = resolve(template.resources["Role"]["Properties"], values(template, Stage="prod"))
    assert role["Description"] == "large"
    assert role["AssumeRolePolicyDocument"] == {"Version": "2012-10-17"}
    assert resolve(template.outputs["Name"]["Value"], values(template)) == "p"


def test_conditions_are_decided() -> None:
    template = read(YAML)
    names = ("Prod", "Not", "Both", "Either")
    assert [holds(values(template), name) for name in names] == [False, True, False, True]
    assert [holds(values(template, Stage="prod"), name) for name in names] == [True, False, False, True]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}, 1]]}, "a-dev-1"),
        ({"Fn::Select": [1, {"Ref": "Names"}]}, "b"),
        ({"Fn::Split": ["/", "a/b"]}, ["a", "b"]),
        ({"Fn::Sub": ["${X} ${Role.Arn} ${!kept}", {"X": {"Ref": "Stage"}}]}, "dev arn:role ${kept}"),
        ({"Fn::ToJsonString": {"a": {"Ref": "Stage"}}}, '{"a": "dev"}'),
        ({"a": [{"Ref": "AWS::NoValue"}, 1], "b": {"Ref": "AWS::NoValue"}}, {"a": [1]}),
    ],
)
def test_functions_are_applied(value: Any, expected: Any) -> None:
    assert resolve(value, values(read(YAML))) == expected


@pytest.mark.parametrize(
    "value",
    [{"Fn::GetAtt": ["Role", "Moon"]}, {"Fn::Base64": "x"}, {"Fn::FindInMap": ["Sizes", "qa", "type"]}],
)
def test_a_function_that_leads_nowhere_says_so(value: Any) -> None:
    with pytest.raises(AwsError, match=r"Moon|Base64|qa"):
        resolve(value, values(read(YAML)))


def one(**resource: Any) -> str:
    return json.dumps({"Resources": {"A": {"Type": "T", **resource}}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "YAML not well-formed"),
        ("just text", "unsupported structure"),
        ("{}", "At least one Resources member"),
        ('{"Resources": {"A": {}}}', "must contain a Type member"),
        ('{"Stuff": 1}', "Invalid template property or properties ['Stuff']"),
        (one(Properties={"x": {"Ref": "B"}}), "Unresolved resource dependencies [B]"),
        (one(DependsOn="B"), "Unresolved resource dependencies [B]"),
        (one(Properties={"x": {"Fn::Sub": "${B.Arn}"}}), "Unresolved resource dependencies [B]"),
        (
            json.dumps(
                {
                    "Resources": {
                        "A": {"Type": "T", "DependsOn": ["B"]},
                        "B": {"Type": "T", "Properties": {"x": {"Fn::GetAtt": ["A", "Arn"]}}},
                    }
                }
            ),
            "Circular dependency between resources: [A, B]",
        ),
    ],
)
def test_a_template_that_could_not_be_made_is_refused(text: str, said: str) -> None:
    with pytest.raises(AwsError) as caught:
        read(text)
    assert caught.value.code == "ValidationError"
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("facts", "given", "said"),
    [
        ({"Type": "String"}, {}, "must have values"),
        ({"Type": "String"}, {"P": "x", "Q": "y"}, "[Q] do not exist in the template"),
        ({"Type": "Number"}, {"P": "x"}, "must be a number"),
        ({"Type": "Number", "MinValue": 2}, {"P": "1"}, "not less than 2"),
        ({"Type": "Number", "MaxValue": 2}, {"P": "3"}, "not greater than 2"),
        ({"Type": "String", "AllowedValues": ["a"]}, {"P": "b"}, "AllowedValues: a"),
        ({"Type": "String", "AllowedPattern": "a+"}, {"P": "b"}, "must match pattern a+"),
    ],
)
def test_parameters_are_checked(facts: dict[str, Any], given: dict[str, str], said: str) -> None:
    template = read(json.dumps({"Parameters": {"P": facts}, "Resources": {"A": {"Type": "T"}}}))
    with pytest.raises(AwsError) as caught:
        values_of(template, given)
    assert said in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON)
def test_what_has_no_functions_stays_as_it_is(value: Any) -> None:
    assert resolve(value, Values({}, {}, Template("", {}))) == value
