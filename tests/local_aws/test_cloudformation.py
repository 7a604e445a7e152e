"""Stacks through boto3: what they really make, change and remove, and how they are rolled back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from lab import TRUST, Lab
from pipelining import definition, execution, model, start, steps, unique

SOON = {"Delay": 1, "MaxAttempts": 200}


def pipeline(lab: Lab, step: str = "one", **more: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::SageMaker::Pipeline",
        "Properties": {
            "PipelineName": {"Ref": "Name"},
            "RoleArn": lab.role,
            "PipelineDefinition": {"PipelineDefinitionBody": definition(model(step, lab))},
            **more,
        },
    }


def template(lab: Lab, **resources: Any) -> str:
    return json.dumps(
        {
            "Parameters": {"Name": {"Type": "String"}},
            "Resources": resources or {"Pipeline": pipeline(lab)},
            "Outputs": {"Stack": {"Value": {"Ref": "AWS::StackName"}}},
        }
    )


def wait(lab: Lab, name: str, what: str) -> None:
    lab.client("cloudformation").get_waiter(f"stack_{what}").wait(StackName=name, WaiterConfig=SOON)


def create(lab: Lab, body: str, name: str = "", **more: Any) -> str:
    name = name or unique("stack")
    lab.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=body,
        Parameters=[{"ParameterKey": "Name", "ParameterValue": name}],
        Tags=[{"Key": "event", "Value": "eba"}],
        **more,
    )
    return name


def update(lab: Lab, name: str, body: str, **more: Any) -> None:
    lab.client("cloudformation").update_stack(
        StackName=name,
        TemplateBody=body,
        Parameters=[{"ParameterKey": "Name", "UsePreviousValue": True}],
        **more,
    )


def described(lab: Lab, name: str) -> dict[str, Any]:
    (stack,) = lab.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return dict(stack)


def reasons(lab: Lab, name: str) -> dict[str, str]:
    """The last reason of each resource."""
    events = lab.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    return {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in reversed(events)
        if "ResourceStatusReason" in event
    }


def test_a_stack_makes_a_pipeline_that_runs_changes_and_goes(lab: Lab) -> None:
    name = create(lab, template(lab))
    wait(lab, name, "create_complete")
    stack = described(lab, name)
    assert stack["Outputs"] == [{"OutputKey": "Stack", "OutputValue": name}]
    assert stack["Tags"] == [{"Key": "event", "Value": "eba"}]
    arn = lab.client("sagemaker").describe_pipeline(PipelineName=name)["PipelineArn"]
    assert lab.client("sagemaker").list_tags(ResourceArn=arn)["Tags"] == stack["Tags"]
    first = start(lab, name)
    execution(lab, first)
    assert list(steps(lab, first)) == ["one"]

    update(lab, name, template(lab, Pipeline=pipeline(lab, "two")))
    wait(lab, name, "update_complete")
    second = start(lab, name)
    execution(lab, second)
    assert list(steps(lab, second)) == ["two"]
    assert described(lab, name)["StackStatus"] == "UPDATE_COMPLETE"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        update(lab, name, template(lab, Pipeline=pipeline(lab, "two")))

    lab.client("cloudformation").delete_stack(StackName=name)
    wait(lab, name, "delete_complete")
    with pytest.raises(ClientError, match="does not exist"):
        lab.client("sagemaker").describe_pipeline(PipelineName=name)
    with pytest.raises(ClientError, match="does not exist") as caught:
        described(lab, name)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


WATCHED = {
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": json.loads(
                json.dumps(TRUST).replace("sagemaker.amazonaws.com", "events.amazonaws.com")
            ),
            "Policies": [
                {
                    "PolicyName": "start",
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": "sagemaker:StartPipelineExecution",
                                "Resource": "*",
                            }
                        ],
                    },
                }
            ],
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/AmazonSageMakerReadOnly"],
        },
    },
    "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::Sub": "${Name}-alarms"}}},
    "Alarm": {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Ref": "Name"},
            "Namespace": "eba",
            "MetricName": "drift",
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0.2,
            "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": [{"Ref": "Topic"}],
        },
    },
    "Rule": {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Name": {"Ref": "Name"},
            "EventPattern": {
                "source": ["aws.cloudwatch"],
                "detail": {"alarmName": [{"Ref": "Name"}], "state": {"value": ["ALARM"]}},
            },
            "Targets": [
                {
                    "Id": "retrain",
                    "Arn": {
                        "Fn::Sub": "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:pipeline/${Pipeline}"
                    },
                    "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                    "SageMakerPipelineParameters": {"PipelineParameterList": []},
                }
            ],
        },
    },
}


def test_a_stack_ties_an_alarm_to_a_pipeline(lab: Lab) -> None:
    body = template(lab, Pipeline=pipeline(lab), **WATCHED)
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_IAM\]"):
        create(lab, body)
    name = create(lab, body, Capabilities=["CAPABILITY_IAM"])
    wait(lab, name, "create_complete")
    cloudformation = lab.client("cloudformation")
    made = {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    }
    assert set(made) == {"Pipeline", *WATCHED}
    attached = lab.client("iam").list_attached_role_policies(RoleName=made["Role"])["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["AmazonSageMakerReadOnly"]

    lab.client("cloudwatch").put_metric_data(
        Namespace="eba", MetricData=[{"MetricName": "drift", "Value": 0.9}]
    )
    sagemaker = lab.client("sagemaker")
    begun = lab.until(
        lambda: {
            "found": str(
                bool(sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"])
            )
        },
        "found",
        "True",
    )
    assert begun
    [found] = sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    assert execution(lab, found["PipelineExecutionArn"])["PipelineExecutionStatus"] == "Succeeded"

    cloudformation.delete_stack(StackName=name)
    wait(lab, name, "delete_complete")
    assert lab.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"] == []
    assert made["Role"] not in [one["RoleName"] for one in lab.client("iam").list_roles()["Roles"]]
    with pytest.raises(ClientError):
        lab.client("events").describe_rule(Name=name)


def test_a_stack_that_fails_is_rolled_back_with_its_reason(lab: Lab) -> None:
    broken = pipeline(lab, PipelineDefinition={"PipelineDefinitionBody": "{}"})
    broken["DependsOn"] = "Topic"
    name = create(lab, template(lab, Pipeline=broken, Topic=WATCHED["Topic"]))
    with pytest.raises(WaiterError):
        wait(lab, name, "create_complete")
    lab.until(lambda: described(lab, name), "StackStatus", "ROLLBACK_COMPLETE")
    said = reasons(lab, name)
    assert "Unable to parse pipeline definition" in said["Pipeline"]
    assert said[name] == "The following resource(s) failed to create: [Pipeline]. Rollback requested by user."
    topics = [one["TopicArn"] for one in lab.client("sns").list_topics()["Topics"]]
    assert not [one for one in topics if one.endswith(f"{name}-alarms")]
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        update(lab, name, template(lab))
    kept = create(lab, template(lab, Pipeline=broken, Topic=WATCHED["Topic"]), OnFailure="DO_NOTHING")
    assert lab.until(lambda: described(lab, kept), "StackStatus", "CREATE_FAILED")
    topics = [one["TopicArn"] for one in lab.client("sns").list_topics()["Topics"]]
    assert [one for one in topics if one.endswith(f"{kept}-alarms")]


def test_an_update_that_fails_brings_back_what_was(lab: Lab) -> None:
    name = create(lab, template(lab))
    wait(lab, name, "create_complete")
    group = {
        "Type": "AWS::SageMaker::ModelPackageGroup",
        "Properties": {"ModelPackageGroupName": {"Ref": "Name"}},
    }
    alarm = {**WATCHED["Alarm"], "DependsOn": ["Pipeline", "Group"]}
    alarm["Properties"] = {**alarm["Properties"], "AlarmActions": [], "ComparisonOperator": "Much"}
    update(lab, name, template(lab, Pipeline=pipeline(lab, "two"), Group=group, Alarm=alarm))
    lab.until(lambda: described(lab, name), "StackStatus", "UPDATE_ROLLBACK_COMPLETE")
    assert "Much" in reasons(lab, name)["Alarm"]
    text = lab.client("sagemaker").describe_pipeline(PipelineName=name)["PipelineDefinition"]
    assert '"one"' in text
    with pytest.raises(ClientError, match="does not exist"):
        lab.client("sagemaker").describe_model_package_group(ModelPackageGroupName=name)
    assert lab.client("cloudformation").get_template(StackName=name)["TemplateBody"]
    update(lab, name, template(lab, Pipeline=pipeline(lab, "two"), Group=group))
    wait(lab, name, "update_complete")
    update(lab, name, template(lab, Pipeline=pipeline(lab, "two")))  # the group goes
    wait(lab, name, "update_complete")
    with pytest.raises(ClientError, match="does not exist"):
        lab.client("sagemaker").describe_model_package_group(ModelPackageGroupName=name)


def test_another_name_is_another_pipeline(lab: Lab) -> None:
    name = create(lab, template(lab))
    wait(lab, name, "create_complete")
    other = pipeline(lab, PipelineName={"Fn::Sub": "${Name}-new"})
    update(lab, name, template(lab, Pipeline=other))
    wait(lab, name, "update_complete")
    names = [
        one["PipelineName"]
        for one in lab.client("sagemaker").list_pipelines(PipelineNamePrefix=name)["PipelineSummaries"]
    ]
    assert names == [f"{name}-new"]


def test_a_resource_that_somebody_deleted_does_not_keep_a_stack_from_going(lab: Lab) -> None:
    rule = {"Name": {"Ref": "Name"}, "ScheduleExpression": "rate(1 day)", "Targets": []}
    name = create(
        lab, template(lab, Pipeline=pipeline(lab), Rule={"Type": "AWS::Events::Rule", "Properties": rule})
    )
    wait(lab, name, "create_complete")
    lab.client("sagemaker").delete_pipeline(PipelineName=name)
    lab.client("events").delete_rule(Name=name)
    lab.client("cloudformation").delete_stack(StackName=name)
    wait(lab, name, "delete_complete")


def test_a_stack_does_what_its_maker_may_and_no_more(lab: Lab) -> None:
    from boto3.session import Session

    iam, user = lab.client("iam"), unique("ci")
    iam.create_user(UserName=user)
    may = {
        "Effect": "Allow",
        "Action": "cloudformation:*",
        "Resource": f"arn:aws:cloudformation:*:*:stack/{user}/*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=document)
    keys = iam.create_access_key(UserName=user)["AccessKey"]
    session = Session(keys["AccessKeyId"], keys["SecretAccessKey"], region_name="us-east-1")
    ci = session.client("cloudformation", endpoint_url=lab.server.url)
    asked = {"TemplateBody": template(lab), "Parameters": [{"ParameterKey": "Name", "ParameterValue": user}]}
    ci.create_stack(StackName=user, **asked)
    lab.until(lambda: described(lab, user), "StackStatus", "ROLLBACK_COMPLETE")
    assert "is not authorized to perform: sagemaker:CreatePipeline" in reasons(lab, user)["Pipeline"]
    with pytest.raises(ClientError, match="cloudformation:CreateStack"):
        ci.create_stack(StackName=f"{user}-other", **asked)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.describe_stacks(StackName="none"), "Stack with id none does not exist"),
        (lambda c: c.create_stack(StackName="s"), "Either Template URL or Template Body"),
        (
            lambda c: c.create_stack(
                StackName="s", TemplateBody='{"Resources": {"A": {"Type": "AWS::Moon::Base"}}}'
            ),
            r"does not make resources of the types \['AWS::Moon::Base'\]",
        ),
        (
            lambda c: c.create_change_set(StackName="s", ChangeSetName="c"),
            "does not implement cloudformation",
        ),
        (lambda c: c.update_stack(StackName="none", TemplateBody="{}"), "Stack with id none does not exist"),
    ],
)
def test_what_cannot_be_is_said(lab: Lab, call: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        call(lab.client("cloudformation"))


def test_a_template_is_validated_and_stacks_are_listed(lab: Lab) -> None:
    cloudformation = lab.client("cloudformation")
    found = cloudformation.validate_template(TemplateBody=template(lab, Role=WATCHED["Role"]))
    assert [one["ParameterKey"] for one in found["Parameters"]] == ["Name"]
    assert found["Capabilities"] == ["CAPABILITY_NAMED_IAM"]
    name = create(lab, template(lab))
    wait(lab, name, "create_complete")
    with pytest.raises(ClientError, match=rf"Stack \[{name}\] already exists") as caught:
        create(lab, template(lab), name)
    assert caught.value.response["Error"]["Code"] == "AlreadyExistsException"
    listed = cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
    assert name in [one["StackName"] for one in listed]
    [resource] = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert (resource["LogicalResourceId"], resource["ResourceStatus"]) == ("Pipeline", "CREATE_COMPLETE")
    cloudformation.delete_stack(StackName="none")  # gone already
