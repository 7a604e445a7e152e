from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue, soon

from kit.local_aws import client as local_client
from kit.local_aws.process import Server

Boto = Callable[..., Any]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own."""
    return re.sub("[^A-Za-z0-9]+", "-", request.node.name).strip("-")[-60:].strip("-")


@pytest.fixture
def rule(boto: Boto, name: str) -> Callable[..., dict[str, Any]]:
    """Puts a rule for the events whose source is the name of the test, with targets."""

    def put(*targets: dict[str, Any], **more: Any) -> dict[str, Any]:
        said = (
            more if "ScheduleExpression" in more else {"EventPattern": json.dumps({"source": [name]}), **more}
        )
        made = boto("events").put_rule(Name=name, **said)
        listed = [{"Id": str(number), **target} for number, target in enumerate(targets)]
        assert boto("events").put_targets(Rule=name, Targets=listed)["FailedEntryCount"] == 0
        return dict(made)

    return put


def tell(boto: Boto, name: str, **detail: Any) -> str:
    entry = {"Source": name, "DetailType": "Test", "Detail": json.dumps(detail), "Resources": ["arn:thing"]}
    return str(boto("events").put_events(Entries=[entry])["Entries"][0]["EventId"])


def role(boto: Boto, name: str, *actions: str, trusts: str = "events.amazonaws.com") -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": trusts}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    arn = boto("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    allowed = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
    }
    boto("iam").put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(allowed))
    return str(arn)


def counted(boto: Boto, name: str, metric: str) -> float:
    """The sum of one of EventBridge's own metrics of a rule."""
    now = datetime.now(UTC)
    data = boto("cloudwatch").get_metric_statistics(
        Namespace="AWS/Events", MetricName=metric, Dimensions=[{"Name": "RuleName", "Value": name}], Period=3600,
        StartTime=now - timedelta(hours=1), EndTime=now + timedelta(seconds=2), Statistics=["Sum"],
    )["Datapoints"]  # fmt: skip
    return sum(one["Sum"] for one in data)


def test_an_event_comes_to_a_queue_in_the_form_of_aws(
    boto: Boto, name: str, rule: Any, local_aws: Server
) -> None:
    url, arn = hearing_queue(boto("sqs"), name)
    rule({"Arn": arn})
    number = tell(boto, name, state="x")
    (event,) = heard(boto("sqs"), url)
    moment = event.pop("time")
    assert event == {
        "version": "0", "id": number, "detail-type": "Test", "source": name, "account": local_aws.account, "region": "us-east-1",
        "resources": ["arn:thing"], "detail": {"state": "x"},
    }  # fmt: skip
    assert datetime.now(UTC) - datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=UTC
    ) < timedelta(minutes=10)
    assert soon(lambda: counted(boto, name, "Invocations")) == 1
    assert counted(boto, name, "FailedInvocations") == 0


def test_events_come_in_their_order_and_a_disabled_rule_tells_nothing(
    boto: Boto, name: str, rule: Any
) -> None:
    url, arn = hearing_queue(boto("sqs"), name)
    rule({"Arn": arn, "InputPath": "$.detail"})
    for number in range(20):
        tell(boto, name, number=number)
    assert [one["number"] for one in heard(boto("sqs"), url, 20)] == list(range(20))
    boto("events").disable_rule(Name=name)
    tell(boto, name, number=20)
    assert heard(boto("sqs"), url, seconds=1) == []


def test_targets_get_the_input_that_they_ask_for(boto: Boto, name: str, rule: Any) -> None:
    sqs = boto("sqs")
    queues = [hearing_queue(sqs, f"{name[-50:]}-{number}") for number in range(3)]
    transformer = {
        "InputPathsMap": {"state": "$.detail.state"},
        "InputTemplate": '{"said": "it is <state>", "rule": "<aws.events.rule-name>"}',
    }
    asks: tuple[dict[str, Any], ...] = (
        {"InputPath": "$.detail"},
        {"Input": '{"fixed": 1}'},
        {"InputTransformer": transformer},
    )
    rule(*({"Arn": arn, **one} for (_, arn), one in zip(queues, asks, strict=True)))
    tell(boto, name, state="late")
    got = [heard(sqs, url)[0] for url, _ in queues]
    assert got == [{"state": "late"}, {"fixed": 1}, {"said": "it is late", "rule": name}]
    with pytest.raises(ClientError, match="Only one of Input, InputPath, or InputTransformer"):
        rule({"Arn": queues[0][1], "Input": "{}", "InputPath": "$"})


def test_a_log_group_a_topic_and_another_bus_are_told(
    boto: Boto, name: str, rule: Any, local_aws: Server
) -> None:
    logs, sns, sqs, events = (boto(service) for service in ("logs", "sns", "sqs", "events"))
    place = f"us-east-1:{local_aws.account}"
    logs.create_log_group(logGroupName=f"/aws/events/{name}")
    topic = sns.create_topic(Name=name)["TopicArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    mail, mail_arn = hearing_queue(sqs, f"{name[-50:]}-mail", "sns.amazonaws.com")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=mail_arn)
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    far, far_arn = hearing_queue(sqs, f"{name[-50:]}-far")
    events.put_rule(Name="far", EventBusName=name, EventPattern=json.dumps({"detail": {"state": ["x"]}}))
    events.put_targets(Rule="far", EventBusName=name, Targets=[{"Id": "q", "Arn": far_arn}])
    rule(
        {"Arn": f"arn:aws:logs:{place}:log-group:/aws/events/{name}"},
        {"Arn": topic},
        {"Arn": bus, "RoleArn": role(boto, name, "events:PutEvents")},
    )
    tell(boto, name, state="x")
    assert json.loads(heard(sqs, mail)[0]["Message"])["detail"] == {"state": "x"}
    (event,) = heard(sqs, far)
    assert (event["detail"], event["resources"]) == ({"state": "x"}, ["arn:thing"])
    written = logs.filter_log_events(logGroupName=f"/aws/events/{name}")["events"]
    assert [json.loads(one["message"])["source"] for one in written] == [name]


def test_what_the_policy_of_a_target_does_not_allow_fails_and_goes_to_the_dead_letter_queue(
    boto: Boto, name: str, rule: Any
) -> None:
    sqs = boto("sqs")
    closed = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=closed, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = boto("sns").create_topic(Name=name)["TopicArn"]
    dead, dead_arn = hearing_queue(sqs, f"{name[-50:]}-dead")
    rule(
        {"Arn": arn, "DeadLetterConfig": {"Arn": dead_arn}},
        {"Arn": topic, "DeadLetterConfig": {"Arn": dead_arn}},
    )
    tell(boto, name, state="x")
    letters = heard(sqs, dead, 2)
    assert [one["detail"] for one in letters] == [{"state": "x"}] * 2
    assert [one["attributes"]["ERROR_CODE"] for one in letters] == ["NO_PERMISSIONS"] * 2
    assert "does not let events.amazonaws.com" in letters[0]["attributes"]["ERROR_MESSAGE"]
    assert {one["attributes"]["TARGET_ARN"] for one in letters} == {arn, topic}
    assert heard(sqs, closed, seconds=1) == []
    assert soon(lambda: counted(boto, name, "InvocationsSentToDlq") == 2)  # one after the other
    assert counted(boto, name, "FailedInvocations") == 2


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            {"Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"},
            "does not implement events:targets of lambda",
        ),
        ({"Arn": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p"}, "RoleArn is required"),
        ({"Arn": "queue"}, "not in correct format"),
    ],
)
def test_targets_that_nothing_could_be_delivered_to_are_refused(
    boto: Boto, name: str, rule: Any, target: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match=said):
        rule(target)
    assert boto("events").list_targets_by_rule(Rule=name)["Targets"] == []


def started(boto: Boto, pipeline: str) -> list[dict[str, Any]]:
    """The executions of a pipeline."""
    try:
        found = boto("sagemaker").list_pipeline_executions(PipelineName=pipeline)
    except ClientError:
        return []
    return list(found["PipelineExecutionSummaries"])


@pytest.fixture
def pipeline(boto: Boto, name: str) -> str:
    """The ARN of a pipeline that fails at once, and says which month it was for."""
    definition = {
        "Version": "2020-12-01", "Parameters": [{"Name": "Month", "Type": "String", "DefaultValue": "none"}],
        "Steps": [{"Name": "End", "Type": "Fail", "Arguments": {"ErrorMessage": {"Std:Join": {"On": " ", "Values": ["month", {"Get": "Parameters.Month"}]}}}}],
    }  # fmt: skip
    runs = role(boto, f"{name[-50:]}-runs", "sagemaker:*", trusts="sagemaker.amazonaws.com")
    made = boto("sagemaker").create_pipeline(
        PipelineName=name,
        PipelineDefinition=json.dumps(definition),
        RoleArn=runs,
        ClientRequestToken="t" * 32,
    )
    return str(made["PipelineArn"])


def test_a_pipeline_is_started_with_parameters_of_the_event(
    boto: Boto, name: str, rule: Any, pipeline: str
) -> None:
    given = {"PipelineParameterList": [{"Name": "Month", "Value": "$.detail.month"}]}
    may = role(boto, f"{name[-50:]}-may", "sagemaker:StartPipelineExecution")
    rule({"Arn": pipeline, "RoleArn": may, "SageMakerPipelineParameters": given})
    tell(boto, name, month="2026-03")
    (execution,) = soon(lambda: started(boto, name))
    arn = execution["PipelineExecutionArn"]
    held = boto("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)
    assert held["PipelineParameters"] == [{"Name": "Month", "Value": "2026-03"}]
    tell(boto, name, other="2026-04")
    assert soon(lambda: counted(boto, name, "FailedInvocations")) == 1
    assert len(started(boto, name)) == 1


def test_a_role_that_may_not_start_a_pipeline_or_is_not_eventbridges_starts_none(
    boto: Boto, name: str, rule: Any, pipeline: str
) -> None:
    dead, dead_arn = hearing_queue(boto("sqs"), f"{name[-50:]}-dead")
    weak = role(boto, f"{name[-50:]}-weak", "s3:ListBucket")
    other = role(boto, f"{name[-50:]}-other", "sagemaker:*", trusts="lambda.amazonaws.com")
    rule(*({"Arn": pipeline, "RoleArn": one, "DeadLetterConfig": {"Arn": dead_arn}} for one in (weak, other)))
    tell(boto, name)
    said = [one["attributes"]["ERROR_MESSAGE"] for one in heard(boto("sqs"), dead, 2)]
    assert [
        "not authorized to perform: sagemaker:StartPipelineExecution" in said[0],
        "trust policy" in said[1],
    ] == [True, True]
    assert started(boto, name) == []


def fire(local_aws: Server, name: str) -> dict[str, Any]:
    return local_client.ask(local_aws.url, "fire", {"name": name})


def test_a_scheduled_rule_can_be_fired_and_hears_no_other_events(
    boto: Boto, name: str, rule: Any, local_aws: Server
) -> None:
    url, arn = hearing_queue(boto("sqs"), name)
    made = rule({"Arn": arn}, ScheduleExpression="rate(1 day)")
    tell(boto, name)
    said = fire(local_aws, name)
    assert said == {"arn": made["RuleArn"], "targets": [arn]}
    (event,) = heard(boto("sqs"), url)
    assert (event["detail-type"], event["source"], event["resources"], event["detail"]) == (
        "Scheduled Event", "aws.events", [made["RuleArn"]], {},
    )  # fmt: skip
    assert heard(boto("sqs"), url, seconds=0.5) == []
    boto("events").disable_rule(Name=name)
    assert fire(local_aws, name)["message"] == f"The rule {name} is disabled."
    assert "There is no scheduled rule nobody; there are: " in fire(local_aws, "nobody")["message"]


def test_a_schedule_that_comes_due_tells_its_target(boto: Boto, name: str) -> None:
    url, arn = hearing_queue(boto("sqs"), name, "scheduler.amazonaws.com")
    may = role(boto, name, "sqs:SendMessage", trusts="scheduler.amazonaws.com")
    # Late enough for the schedule to be there in time: one that is made after its moment never comes due.
    moment = (datetime.now(UTC) + timedelta(seconds=10)).strftime("%Y-%m-%dT%H:%M:%S")
    asked: dict[str, Any] = {
        "Name": name,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": arn, "RoleArn": may, "Input": '{"a": 1}'},
    }
    boto("scheduler").create_schedule(**asked, ScheduleExpression=f"at({moment})")
    assert heard(boto("sqs"), url) == [{"a": 1}]


def test_a_schedule_calls_an_action_of_another_service_as_its_role(
    boto: Boto, name: str, local_aws: Server
) -> None:
    may = role(boto, name, "sqs:CreateQueue", trusts="scheduler.amazonaws.com")
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:createQueue",
        "RoleArn": may,
        "Input": json.dumps({"QueueName": name}),
    }
    boto("scheduler").create_schedule(
        Name=name, FlexibleTimeWindow={"Mode": "OFF"}, ScheduleExpression="cron(0 6 * * ? *)", Target=target
    )
    fire(local_aws, name)
    assert soon(lambda: boto("sqs").list_queues(QueueNamePrefix=name).get("QueueUrls"))


@pytest.mark.parametrize("expression", ["rate(1 minutes)", "cron(0 10 * * *)", "cron(61 0 * * ? *)"])
def test_a_schedule_that_is_none_is_refused(boto: Boto, name: str, expression: str) -> None:
    with pytest.raises(ClientError, match="ScheduleExpression is not valid"):
        boto("events").put_rule(Name=name, ScheduleExpression=expression)


def test_an_archive_keeps_what_it_was_made_for_and_replays_it(
    boto: Boto, name: str, rule: Any, local_aws: Server
) -> None:
    url, arn = hearing_queue(boto("sqs"), name)
    bus = f"arn:aws:events:us-east-1:{local_aws.account}:event-bus/default"
    archive = boto("events").create_archive(
        ArchiveName=name[-40:], EventSourceArn=bus, EventPattern=json.dumps({"source": [name]})
    )
    tell(boto, name, state="kept")
    rule({"Arn": arn, "InputPath": "$.detail"})
    now = datetime.now(UTC)
    boto("events").start_replay(
        ReplayName=name[-40:], EventSourceArn=archive["ArchiveArn"], EventStartTime=now - timedelta(hours=1), EventEndTime=now,
        Destination={"Arn": bus},
    )  # fmt: skip
    assert heard(boto("sqs"), url) == [{"state": "kept"}]


def test_a_metric_filter_counts_the_calls_that_a_trail_writes_and_the_alarm_rings(
    boto: Boto, name: str, local_aws: Server
) -> None:
    """The way of the emergency door: a call, the trail's log group, a filter, a metric, an alarm."""
    logs, trail, s3, cloudwatch = (boto(service) for service in ("logs", "cloudtrail", "s3", "cloudwatch"))
    logs.create_log_group(logGroupName=f"/{name}")
    s3.create_bucket(Bucket=f"trail-{local_aws.account}")
    group = f"arn:aws:logs:us-east-1:{local_aws.account}:log-group:/{name}:*"
    writes = role(boto, name, "logs:CreateLogStream", "logs:PutLogEvents", trusts="cloudtrail.amazonaws.com")
    door = role(boto, f"{name[:50]}-door", "s3:ListBucket")
    trail.create_trail(
        Name="watching",
        S3BucketName=f"trail-{local_aws.account}",
        CloudWatchLogsLogGroupArn=group,
        CloudWatchLogsRoleArn=writes,
    )
    trail.start_logging(Name="watching")
    metric = {"metricName": "Door", "metricNamespace": name, "metricValue": "1"}
    pattern = f'{{ ($.eventName = "AssumeRole") && ($.requestParameters.roleArn = "{door}") }}'
    logs.put_metric_filter(
        logGroupName=f"/{name}", filterName="door", filterPattern=pattern, metricTransformations=[metric]
    )
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace=name, MetricName="Door", Statistic="Sum", Period=300, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold", TreatMissingData="notBreaching",
    )  # fmt: skip
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
        boto("sts").assume_role(RoleArn=door, RoleSessionName="me")

    def rings() -> bool:
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return bool(alarm["StateValue"] == "ALARM")

    assert soon(rings)
    written = logs.filter_log_events(logGroupName=f"/{name}")["events"]
    assert "AssumeRole" in {json.loads(one["message"])["eventName"] for one in written}
    trail.stop_logging(Name="watching")
    with pytest.raises(ClientError, match="does not implement logs:PutMetricFilter with the pattern"):
        logs.put_metric_filter(
            logGroupName=f"/{name}", filterName="x", filterPattern="[a, b]", metricTransformations=[metric]
        )
