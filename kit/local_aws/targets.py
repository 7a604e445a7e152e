"""Where EventBridge and CloudWatch take what happened: pipelines, topics, queues, log groups, buses; and what becomes of what fails.

A delivery is made in the background, in the order in which things happened, in the name of the target's role where it has one. What
cannot be delivered is in server.log, in the metric FailedInvocations and in the target's dead-letter queue.
Sources, Amazon EventBridge User Guide: "Using resource-based policies", "Using dead-letter queues", "Monitoring Amazon EventBridge".
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import ClientError

from kit.local_aws.event_input import input_of, parameters
from kit.local_aws.execution import Execution
from kit.local_aws.policy import Policies, Request, account_of, evaluate
from kit.local_aws.principals import entity, stored
from kit.local_aws.protocol import AwsError

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["SERVICES", "Courier", "Source", "Undeliverable", "as_role", "deliver", "publish"]

log = logging.getLogger(__name__)
SERVICES = ("sagemaker", "sns", "sqs", "logs", "events")  # of the ARNs that events are delivered to
SDK = "arn:aws:scheduler:::aws-sdk:"  # a universal target of EventBridge Scheduler: service:action


class Undeliverable(Exception):
    """Why something was not delivered: an error code and a message, as a dead-letter queue has them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Source:
    """Who delivers: `service` as policies name it, the ARN and the name of the rule or schedule, its region, a role if it has one."""

    service: str
    arn: str
    name: str
    region: str
    role: str = ""
    bus: str = "default"

    @property
    def account(self) -> str:
        """The account that the rule or schedule is in."""
        return account_of(self.arn)


class Courier:
    """Does one thing after the other in a thread of its own. What raises goes to server.log."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._left = 0
        self._done = threading.Condition()

    def send(self, function: Callable[..., None], *args: Any) -> None:
        """Have the function called, after everything that was sent before."""
        with self._done:
            self._left += 1
        self._work.put((function, args))
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
                self._thread.start()

    def settled(self, seconds: float) -> bool:
        """Whether all that was sent is done by then."""
        with self._done:
            return self._done.wait_for(lambda: self._left == 0, timeout=seconds)

    def _run(self) -> None:
        while True:
            function, args = self._work.get()
            try:
                function(*args)
            except Exception:
                log.exception("%s failed", function.__name__)
            with self._done:
                self._left -= 1
                self._done.notify_all()


def deliver(app: App, source: Source, target: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    """Take an event to a target; count the invocation, and say what failed."""
    try:
        _sent(app, source, target, event)
        _count(app, source, "Invocations")
    except (Undeliverable, ClientError, ValueError) as problem:
        _failed(app, source, target, event, problem)


def _sent(app: App, source: Source, target: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    arn = target["Arn"]
    text = input_of(target, event, source.name, source.arn)
    role = target.get("RoleArn") or source.role
    if arn.startswith(SDK):
        service, _, action = arn.removeprefix(SDK).partition(":")
        client = as_role(app, source, role).client(service, source.region)
        getattr(client, xform_name(action[:1].upper() + action[1:]))(**json.loads(text or "{}"))
        return
    _, _, service, region, _, rest = arn.split(":", 5)
    if service == "sagemaker" and rest.startswith("pipeline/"):
        given = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
        as_role(app, source, role).client("sagemaker", region).start_pipeline_execution(
            PipelineName=rest.partition("/")[2], PipelineParameters=parameters(given, event)
        )
    elif service == "sns":
        publish(app, source, role, arn, text)
    elif service == "sqs":
        _queue(app, source, role, arn, text, target.get("SqsParameters", {}))
    elif service == "logs":
        _log(app, region, rest.removeprefix("log-group:").removesuffix(":*"), text)
    elif service == "events" and rest.startswith("event-bus/"):
        _on_bus(arn, event)
    else:
        what = f"The local AWS does not deliver events to {service} targets ({arn})."
        raise Undeliverable("NOT_IMPLEMENTED", what)


def as_role(app: App, source: Source, role: str) -> Execution:
    """A session of a role, which must trust the service that delivers."""
    if not role:
        raise Undeliverable("NO_ROLE", f"The target of {source.name} has no RoleArn.")
    try:
        trust = entity(role).trust
    except AwsError as problem:
        raise Undeliverable("NO_ROLE", problem.message) from None
    if not _lets_in(trust, source, "sts:AssumeRole", role):
        raise Undeliverable(
            "NO_PERMISSIONS", f"{source.service} may not assume {role}: its trust policy does not say so."
        )
    return Execution(app, source.region, role, "EventBridge")


def _lets_in(document: str, source: Source, action: str, resource: str, **context: str) -> bool:
    """Whether the policy of a resource lets the service in that delivers."""
    keys = {"aws:SourceArn": source.arn, "aws:SourceAccount": source.account, **context}
    asked = Request(
        action, resource, source.service, owner=account_of(resource) or source.account, context=keys
    )
    policy = stored("Resource", document) if document else None
    return policy is not None and evaluate(asked, Policies(resource=policy)).verdict == "allowed"


def publish(
    app: App, source: Source, role: str, topic: str, text: str, subject: str = "", **context: str
) -> None:
    """Put a message on a topic, whose policy must let the service publish where it has no role to publish as."""
    region = topic.split(":")[3]
    sns = as_role(app, source, role).client("sns", region) if role else app.client("sns", region)
    if not role:
        policy = sns.get_topic_attributes(TopicArn=topic)["Attributes"].get("Policy", "")
        if not _lets_in(policy, source, "sns:Publish", topic, **context):
            raise Undeliverable(
                "NO_PERMISSIONS", f"The policy of {topic} does not let {source.service} publish to it."
            )
    sns.publish(TopicArn=topic, Message=text, **({"Subject": subject} if subject else {}))


def _queue(
    app: App, source: Source, role: str, arn: str, text: str, said: Mapping[str, Any], **attributes: str
) -> None:
    _, _, _, region, account, name = arn.split(":", 5)
    service = app.client("sqs", region)
    sqs = as_role(app, source, role).client("sqs", region) if role else service
    url = service.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
    if not role:
        held = service.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
        if not _lets_in(held.get("Policy", ""), source, "sqs:SendMessage", arn):
            raise Undeliverable(
                "NO_PERMISSIONS", f"The policy of {arn} does not let {source.service} send to it."
            )
    group = {"MessageGroupId": said["MessageGroupId"]} if said.get("MessageGroupId") else {}
    named = {key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()}
    sqs.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=named, **group)


def _log(app: App, region: str, group: str, text: str) -> None:
    logs, stream = app.client("logs", region), str(uuid.uuid4())
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    entry = {"timestamp": time.time_ns() // 1_000_000, "message": text}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[entry])


def _on_bus(arn: str, event: Mapping[str, Any]) -> None:
    from moto.events.models import events_backends

    _, _, _, region, account, rest = arn.split(":", 5)
    backend = events_backends[account][region]
    bus = rest.partition("/")[2]
    if bus not in backend.event_buses:
        raise Undeliverable("RESOURCE_NOT_FOUND", f"There is no event bus {arn}.")
    entry = {
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Resources": event["resources"],
        "Detail": json.dumps(event["detail"]),
        "EventBusName": bus,
    }
    backend.put_events([entry])


def _failed(
    app: App, source: Source, target: Mapping[str, Any], event: Mapping[str, Any], problem: Exception
) -> None:
    code, why = getattr(problem, "code", type(problem).__name__), str(problem)
    if isinstance(problem, ClientError):
        code = problem.response["Error"]["Code"]
    log.warning("%s was not delivered to %s: %s", source.arn, target["Arn"], why)
    _count(app, source, "FailedInvocations")
    if dead := target.get("DeadLetterConfig", {}).get("Arn"):
        told = {
            "RULE_ARN": source.arn,
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": why[:1024],
        }
        try:
            _queue(app, source, "", dead, json.dumps(event), {}, **told)
            _count(app, source, "InvocationsSentToDlq")
        except (Undeliverable, ClientError) as worse:
            log.warning("nor to its dead-letter queue %s: %s", dead, worse)
            _count(app, source, "InvocationsFailedToBeSentToDlq")


def _count(app: App, source: Source, name: str) -> None:
    """One more in EventBridge's own metrics of a rule."""
    if source.service == "events.amazonaws.com":
        datum = {
            "MetricName": name,
            "Dimensions": [{"Name": "RuleName", "Value": source.name}],
            "Value": 1.0,
            "Unit": "Count",
        }
        app.client("cloudwatch", source.region).put_metric_data(Namespace="AWS/Events", MetricData=[datum])
