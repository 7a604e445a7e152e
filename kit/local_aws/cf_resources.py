"""What CloudFormation makes of each type of resource: calls of the service that it belongs to, with the rights of who asked.

Source: the AWS CloudFormation resource and property types reference.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TYPES", "Made", "Type", "named"]

Clients = Callable[[str], Any]  # service -> boto3 client
Properties = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]  # physical id, and what Ref and Fn::GetAtt give


@dataclass(frozen=True)
class Type:
    """One type of resource. `name`: the property that names it; `fixed`: those whose change makes a new one.

    `create` and `update` return the physical id and the attributes; `delete` gets the physical id.
    """

    name: str
    create: Callable[[Clients, Properties], Made]
    update: Callable[[Clients, str, Properties, Properties], Made]
    delete: Callable[[Clients, str, Properties], None]
    fixed: tuple[str, ...] = ()
    iam: bool = False


def named(stack: str, logical_id: str, longest: int = 64) -> str:
    """A name for a resource whose template gives none: "<stack>-<logical id>-<12 characters>"."""
    end = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))
    return f"{f'{stack}-{logical_id}'[: longest - 13]}-{end}"


def _given(properties: Properties, *members: str) -> dict[str, Any]:
    return {member: properties[member] for member in members if member in properties}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# AWS::SageMaker::Pipeline


def _pipeline(properties: Properties) -> dict[str, Any]:
    kept = _given(
        properties, "PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration"
    )
    given = properties.get("PipelineDefinition", {})
    if place := given.get("PipelineDefinitionS3Location"):
        version = {"VersionId": place["Version"]} if place.get("Version") else {}
        location = {"Bucket": place["Bucket"], "ObjectKey": place["Key"], **version}
        return {**kept, "PipelineDefinitionS3Location": location}
    return {**kept, "PipelineDefinition": _text(given.get("PipelineDefinitionBody", ""))}


def _create_pipeline(clients: Clients, properties: Properties) -> Made:
    name = properties["PipelineName"]
    clients("sagemaker").create_pipeline(
        PipelineName=name, **_pipeline(properties), **_given(properties, "Tags")
    )
    return name, {"Ref": name}


def _update_pipeline(clients: Clients, id_: str, properties: Properties, before: Properties) -> Made:
    sagemaker = clients("sagemaker")
    arn = sagemaker.update_pipeline(PipelineName=id_, **_pipeline(properties))["PipelineArn"]
    if properties.get("Tags"):
        sagemaker.add_tags(ResourceArn=arn, Tags=properties["Tags"])
    return id_, {"Ref": id_}


def _delete_pipeline(clients: Clients, id_: str, properties: Properties) -> None:
    clients("sagemaker").delete_pipeline(PipelineName=id_)


# AWS::SageMaker::ModelPackageGroup


def _create_group(clients: Clients, properties: Properties) -> Made:
    given = _given(properties, "ModelPackageGroupName", "ModelPackageGroupDescription", "Tags")
    arn = clients("sagemaker").create_model_package_group(**given)["ModelPackageGroupArn"]
    return arn, {"Ref": arn, "ModelPackageGroupArn": arn}


def _update_group(clients: Clients, id_: str, properties: Properties, before: Properties) -> Made:
    if properties.get("Tags"):
        clients("sagemaker").add_tags(ResourceArn=id_, Tags=properties["Tags"])
    return id_, {"Ref": id_, "ModelPackageGroupArn": id_}


def _delete_group(clients: Clients, id_: str, properties: Properties) -> None:
    clients("sagemaker").delete_model_package_group(ModelPackageGroupName=id_.rpartition("/")[2])


# AWS::IAM::Role


def _create_role(clients: Clients, properties: Properties) -> Made:
    members = ("RoleName", "Path", "Description", "MaxSessionDuration", "PermissionsBoundary", "Tags")
    trust = _text(properties["AssumeRolePolicyDocument"])
    role = clients("iam").create_role(AssumeRolePolicyDocument=trust, **_given(properties, *members))["Role"]
    _put_policies(clients, role["RoleName"], properties, {})
    return role["RoleName"], {"Ref": role["RoleName"], "Arn": role["Arn"], "RoleId": role["RoleId"]}


def _put_policies(clients: Clients, name: str, properties: Properties, before: Properties) -> None:
    iam = clients("iam")
    inline = {one["PolicyName"]: _text(one["PolicyDocument"]) for one in properties.get("Policies", [])}
    for policy, document in inline.items():
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)
    for gone in {one["PolicyName"] for one in before.get("Policies", [])} - set(inline):
        iam.delete_role_policy(RoleName=name, PolicyName=gone)
    attached, held = set(properties.get("ManagedPolicyArns", [])), set(before.get("ManagedPolicyArns", []))
    for arn in sorted(attached):
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    for arn in sorted(held - attached):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)


def _update_role(clients: Clients, id_: str, properties: Properties, before: Properties) -> Made:
    iam = clients("iam")
    iam.update_assume_role_policy(RoleName=id_, PolicyDocument=_text(properties["AssumeRolePolicyDocument"]))
    if changed := _given(properties, "Description", "MaxSessionDuration"):
        iam.update_role(RoleName=id_, **changed)
    if properties.get("Tags"):
        iam.tag_role(RoleName=id_, Tags=properties["Tags"])
    _put_policies(clients, id_, properties, before)
    role = iam.get_role(RoleName=id_)["Role"]
    return id_, {"Ref": id_, "Arn": role["Arn"], "RoleId": role["RoleId"]}


def _delete_role(clients: Clients, id_: str, properties: Properties) -> None:
    _put_policies(clients, id_, {}, properties)
    clients("iam").delete_role(RoleName=id_)


# AWS::Events::Rule


def _put_rule(clients: Clients, properties: Properties, before: Properties) -> Made:
    events = clients("events")
    name, bus = properties["Name"], _given(properties, "EventBusName")
    pattern = {"EventPattern": _text(properties["EventPattern"])} if "EventPattern" in properties else {}
    kept = _given(properties, "Name", "Description", "ScheduleExpression", "State", "RoleArn", "Tags")
    arn = events.put_rule(**kept, **bus, **pattern)["RuleArn"]
    targets = properties.get("Targets", [])
    if gone := {one["Id"] for one in before.get("Targets", [])} - {one["Id"] for one in targets}:
        events.remove_targets(Rule=name, Ids=sorted(gone), **bus)
    if targets:
        put = events.put_targets(Rule=name, Targets=targets, **bus)
        if put.get("FailedEntryCount"):
            raise RuntimeError(f"Targets were refused: {json.dumps(put['FailedEntries'])}")
    return name, {"Ref": name, "Arn": arn}


def _delete_rule(clients: Clients, id_: str, properties: Properties) -> None:
    events, bus = clients("events"), _given(properties, "EventBusName")
    if ids := [one["Id"] for one in properties.get("Targets", [])]:
        events.remove_targets(Rule=id_, Ids=ids, **bus)
    events.delete_rule(Name=id_, **bus)


# AWS::CloudWatch::Alarm


def _put_alarm(clients: Clients, properties: Properties) -> Made:
    cloudwatch, name = clients("cloudwatch"), properties["AlarmName"]
    numbers = {member: float(properties[member]) for member in ("Threshold",) if member in properties}
    whole = ("Period", "EvaluationPeriods", "DatapointsToAlarm")
    numbers |= {member: int(properties[member]) for member in whole if member in properties}
    cloudwatch.put_metric_alarm(**{**properties, **numbers})
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return name, {"Ref": name, "Arn": alarm["AlarmArn"]}


def _delete_alarm(clients: Clients, id_: str, properties: Properties) -> None:
    clients("cloudwatch").delete_alarms(AlarmNames=[id_])


# AWS::SNS::Topic


def _create_topic(clients: Clients, properties: Properties) -> Made:
    sns, name = clients("sns"), properties["TopicName"]
    arn = sns.create_topic(Name=name, **_given(properties, "Tags"))["TopicArn"]
    for one in properties.get("Subscription", []):
        sns.subscribe(TopicArn=arn, Protocol=one["Protocol"], Endpoint=one["Endpoint"])
    return arn, {"Ref": arn, "TopicArn": arn, "TopicName": name}


def _update_topic(clients: Clients, id_: str, properties: Properties, before: Properties) -> Made:
    sns, held = clients("sns"), before.get("Subscription", [])
    for one in properties.get("Subscription", []):
        if one not in held:
            sns.subscribe(TopicArn=id_, Protocol=one["Protocol"], Endpoint=one["Endpoint"])
    return id_, {"Ref": id_, "TopicArn": id_, "TopicName": id_.rpartition(":")[2]}


def _delete_topic(clients: Clients, id_: str, properties: Properties) -> None:
    clients("sns").delete_topic(TopicArn=id_)


TYPES: Mapping[str, Type] = {
    "AWS::SageMaker::Pipeline": Type("PipelineName", _create_pipeline, _update_pipeline, _delete_pipeline),
    "AWS::SageMaker::ModelPackageGroup": Type(
        "ModelPackageGroupName",
        _create_group,
        _update_group,
        _delete_group,
        fixed=("ModelPackageGroupDescription",),
    ),
    "AWS::IAM::Role": Type("RoleName", _create_role, _update_role, _delete_role, fixed=("Path",), iam=True),
    "AWS::Events::Rule": Type(
        "Name",
        lambda clients, properties: _put_rule(clients, properties, {}),
        lambda clients, _, properties, before: _put_rule(clients, properties, before),
        _delete_rule,
        fixed=("EventBusName",),
    ),
    "AWS::CloudWatch::Alarm": Type(
        "AlarmName",
        _put_alarm,
        lambda clients, _, properties, before: _put_alarm(clients, properties),
        _delete_alarm,
    ),
    "AWS::SNS::Topic": Type("TopicName", _create_topic, _update_topic, _delete_topic),
}
