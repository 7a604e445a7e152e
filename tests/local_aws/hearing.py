"""A queue that a rule's events come to, what it heard, and what else comes a moment later."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

SECONDS = 60.0  # how long what surely comes may take where other tests keep the machine busy


def soon(ask: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What is asked for as soon as it is there; the last answer when the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return found


def hearing_queue(sqs: Any, name: str, service: str = "events.amazonaws.com") -> tuple[str, str]:
    """The URL and the ARN of a new queue, whose policy lets a service of AWS send to it."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url, arn


def heard(sqs: Any, url: str, count: int = 1, seconds: float = SECONDS) -> list[Any]:
    """The bodies of the next messages, as soon as there are so many; fewer if they do not come. They are taken off the queue."""
    found: list[Any] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        asked = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "MessageAttributeNames": ["All"]}
        for message in sqs.receive_message(QueueUrl=url, **asked).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            body = json.loads(message["Body"])
            told = {name: one["StringValue"] for name, one in message.get("MessageAttributes", {}).items()}
            found.append({**body, "attributes": told} if told else body)
    return found
