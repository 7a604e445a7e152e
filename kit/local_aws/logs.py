"""What a job prints, and what becomes of it: CloudWatch Logs, metrics by regular expression, the line that says why it failed."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import regex

if TYPE_CHECKING:
    from kit.local_aws.containers import Ending, Line
    from kit.local_aws.front import App

__all__ = ["LogStream", "Metrics", "error_line", "failure_reason", "stream_name"]

EVENTS, BYTES, OVERHEAD = (
    10_000,
    1_000_000,
    26,
)  # what PutLogEvents takes in one call, and what each event counts more
REASON = 1024  # characters of a FailureReason
DATA = 500  # metrics in one PutMetricData

# What the SDK's and the toolkit's own wrappers print around a script.
WRAPPER = re.compile(
    r"\++ |Command failed with exit code|An error occurred with exit code|Training Container Execution Completed"
    r"|Executing command: |Running Basic Script driver|Invoking script|\S*/install_requirements\.py"
)
RAISED = re.compile(
    r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning|Timeout|Refused|Failed|Invalid\w*)\b(:.*)?$"
)
SAID = re.compile(
    r"(ERROR|Error|error|FATAL|fatal)\b[:\s]|.*: (command not found|No such file or directory|Permission denied)$"
)


class LogStream:
    """One stream of a log group; the group and the stream are made with it."""

    def __init__(self, app: App, region: str, group: str, name: str) -> None:
        self.group, self.name = group, name
        self._logs = app.client("logs", region)
        for make, names in (
            (self._logs.create_log_group, {"logGroupName": group}),
            (self._logs.create_log_stream, {"logGroupName": group, "logStreamName": name}),
        ):
            try:
                make(**names)
            except self._logs.exceptions.ResourceAlreadyExistsException:
                continue

    def put(self, lines: Iterable[Line]) -> None:
        """Append lines, in as many calls as the service's limits ask for."""
        batch: list[dict[str, Any]] = []
        size = 0
        for moment, text in lines:
            weight = len(text.encode()) + OVERHEAD
            if batch and (len(batch) == EVENTS or size + weight > BYTES):
                self._send(batch)
                batch, size = [], 0
            batch.append({"timestamp": moment, "message": text or " "})  # an empty message is not valid
            size += weight
        if batch:
            self._send(batch)

    def say(self, text: str) -> None:
        """Append one line of the platform's own."""
        self.put([(time.time_ns() // 1_000_000, text)])

    def _send(self, batch: list[dict[str, Any]]) -> None:
        self._logs.put_log_events(logGroupName=self.group, logStreamName=self.name, logEvents=batch)


def stream_name(job: str, host: int) -> str:
    """The log stream of a job's host (from 1), named as SageMaker does."""
    return f"{job}/algo-{host}-{int(time.time())}"


class Metrics:
    """What the metric definitions ({"Name", "Regex"}) find in a job's lines: every value in order, and the last of each.

    Raises ValueError for an expression that does not compile.
    """

    def __init__(self, definitions: Sequence[Mapping[str, str]]) -> None:
        try:
            self._patterns = [(d["Name"], regex.compile(d["Regex"])) for d in definitions]
        except regex.error as problem:
            raise ValueError(str(problem)) from None
        self._sent = 0
        self.values: list[tuple[str, float, datetime]] = []

    def read(self, lines: Iterable[Line]) -> None:
        """Take the first group of every match that is a finite number, as CloudWatch takes no other; a pattern that takes longer
        than a second on a line is skipped.
        """
        for moment, text in lines if self._patterns else ():
            for name, pattern in self._patterns:
                try:
                    found = [match[1] for match in pattern.finditer(text, timeout=1.0) if match.groups()]
                    values = [float(value) for value in found if value is not None]
                except (TimeoutError, ValueError):
                    continue
                at = datetime.fromtimestamp(moment / 1000, UTC)
                self.values += [(name, value, at) for value in values if math.isfinite(value)]

    def final(self) -> list[dict[str, Any]]:
        """The last value of each metric, as FinalMetricDataList holds them."""
        last = {name: (value, at) for name, value, at in self.values}
        return [{"MetricName": name, "Value": value, "Timestamp": at} for name, (value, at) in last.items()]

    def send(self, app: App, region: str, namespace: str, dimension: Mapping[str, str]) -> None:
        """Put what was not sent before into CloudWatch."""
        new, self._sent = self.values[self._sent :], len(self.values)
        dimensions = [{"Name": name, "Value": value} for name, value in dimension.items()]
        for start in range(0, len(new), DATA):
            app.client("cloudwatch", region).put_metric_data(
                Namespace=namespace,
                MetricData=[
                    {"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": at}
                    for name, value, at in new[start : start + DATA]
                ],
            )


def error_line(tail: Sequence[str]) -> str:
    """The line that says what went wrong: the end of the script's last traceback, else its last error message, else its last line.

    What the SDK's wrappers say about the script's failure is not taken for the script's own words.
    """
    own: list[str] = []
    errors: list[str] = []
    in_traceback = False
    for line in tail:
        if line.startswith("Command failed with exit code"):  # the SDK's driver; its own traceback follows
            break
        if line.startswith("Traceback (most recent call last)"):
            in_traceback = True
        elif in_traceback and line and not line[0].isspace():
            in_traceback = False
            if not line.startswith("subprocess.CalledProcessError"):
                errors.append(line)
        elif RAISED.match(line) or SAID.match(line):
            errors.append(line)
        elif line.strip() and not in_traceback and not WRAPPER.match(line):
            own.append(line)
    return (errors or own or [""])[-1].strip()


def failure_reason(ending: Ending, told: str, path_given: bool = True) -> str:
    """FailureReason of a job whose command failed: what it wrote to its failure file, its last error line and its exit code."""
    line = error_line(ending.tail)
    if ending.code == 137 and not line.strip():
        line = "The process was killed; it may have needed more memory than there is."
    what = told.strip()
    if line and line not in what:
        what = f"{line}\n{what}".strip()
    if not path_given and "/opt/ml" in line:
        what += "\n/opt/ml cannot be bound on this machine: take paths from SM_* variables or from arguments."
    end = f", exit code: {ending.code}"
    return f"AlgorithmError: {what or 'Please check the logs'}"[: REASON - len(end)] + end
