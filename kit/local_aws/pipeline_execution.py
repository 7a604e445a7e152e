"""The execution of a pipeline: one thread that begins steps and waits for what changes.

All that is known of an execution is in its record: `_steps` by name, `_outputs` (the properties of steps that succeeded), `_skipped`.
The thread holds nothing else, so that it can go on with the record of an execution that another one began.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from kit.local_aws import pipeline_steps
from kit.local_aws.events import tell
from kit.local_aws.execution import Execution
from kit.local_aws.pipeline_definition import Definition, Step, parse
from kit.local_aws.pipeline_order import ended, next_steps
from kit.local_aws.pipeline_steps import JOBS, StepFailed
from kit.local_aws.pipeline_values import Scope, Unresolved, dig, duration, holds, resolve, signature
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["KIND", "go_on", "scope_of", "told"]

log = logging.getLogger(__name__)

KIND = "PipelineExecution"
STATUS = "PipelineExecutionStatus"
FAILED = "Step failure: One or multiple steps failed."
PARALLEL = 50  # steps at a time, where nothing else is said; AWS's own default
PATIENCE = 600.0  # seconds after which a thread that nothing woke looks again
RUNNING = ("Starting", "Executing", "Stopping")
OVER = ("Completed", "Failed", "Stopped")


def go_on(ctx: Context, arn: str) -> None:
    """Carry an execution on to its end, in the background."""
    run = _Run(ctx, arn)
    ctx.app.background(f"{KIND}/{arn}", run.go)


def told(ctx: Context, record: Record, before: str = "") -> None:
    """Tell EventBridge that an execution's status changed."""
    detail = {
        "pipelineExecutionDisplayName": record.get("PipelineExecutionDisplayName"),
        "currentPipelineExecutionStatus": record[STATUS],
        "previousPipelineExecutionStatus": before or None,
        "executionStartTime": _time(record["StartTime"]),
        "executionEndTime": _time(record["_ended"]) if record.get("_ended") else None,
        "pipelineExecutionDescription": record.get("PipelineExecutionDescription"),
        "pipelineArn": record["PipelineArn"],
        "pipelineExecutionArn": record["_arn"],
    }
    _tell(ctx, record, "SageMaker Model Building Pipeline Execution Status Change", detail)


def _tell(ctx: Context, record: Record, kind: str, detail: Mapping[str, Any]) -> None:
    said = {name: value for name, value in detail.items() if value is not None}
    tell(ctx.account, ctx.region, "aws.sagemaker", kind, said, [record["PipelineArn"], record["_arn"]])


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def scope_of(record: Record, definition: Definition, read: Any = None) -> Scope:
    """What references of a pipeline lead to in an execution."""

    def file(step: str, name: str) -> str:
        found = definition.steps[step].files[name]
        path = f"ProcessingOutputConfig.Outputs['{found['OutputName']}'].S3Output.S3Uri"
        return f"{dig(record['_outputs'][step], path).rstrip('/')}/{found['FilePath']}"

    variables = {
        "PipelineName": record["_pipeline"],
        "PipelineArn": record["PipelineArn"],
        "PipelineExecutionId": record["_arn"].rpartition("/")[2],
        "PipelineExecutionArn": record["_arn"],
        "StartDateTime": record["StartTime"].isoformat(),
        "CurrentDateTime": now().isoformat(),
    }
    return Scope(record["_values"], variables, record["_outputs"], file, read or (lambda uri: None))


class _Run:
    """The thread of one execution."""

    def __init__(self, ctx: Context, arn: str) -> None:
        self._ctx, self._arn = ctx, arn
        self._store, self._region = ctx.app.store, ctx.region
        self._definition = parse(self._record()["_definition"])
        self._clients: Execution | None = None

    def _record(self) -> Record:
        return self._store.get(self._ctx, KIND, self._arn)

    def go(self) -> None:
        """Begin, wait, collect, until nothing runs and nothing may begin."""
        try:
            self._clients = Execution(
                self._ctx.app, self._region, self._record()["_role"], "SageMakerPipelines"
            )
            self._take_up()
            while not self._ctx.app.stopping.is_set():
                since = self._store.version
                if self._record()[STATUS] == "Stopping":
                    self._stop()
                if self._collect() or self._begin():
                    continue
                waiting = self._waiting()
                if not waiting:
                    self._end()
                    return
                self._store.wait(since, [self._arn, *waiting], self._due_in(), self._ctx.app.stopping.is_set)
        except (ClientError, BotoCoreError) as error:
            self._end(f"ClientError: {error}")
        except Exception as error:
            log.exception("pipeline execution %s", self._arn)
            self._end(f"InternalFailure: {error!r}")

    def _take_up(self) -> None:
        """Begin once more, and now, what another server was about to begin when it ended."""
        for name, held in self._steps("Executing").items():
            if not held.get("_job") and not held.get("_due"):
                self._change(self._definition.steps[name], _due=now())

    # What is known

    def _steps(self, *statuses: str) -> dict[str, Record]:
        return {
            name: step
            for name, step in self._record()["_steps"].items()
            if not statuses or step["StepStatus"] in statuses
        }

    def _waiting(self) -> list[str]:
        """The ARNs of jobs that run; a step that waits for its next attempt counts as the execution itself."""
        found: list[str] = []
        for step in self._steps(*RUNNING).values():
            arns = [held["Arn"] for held in step.get("Metadata", {}).values() if "Arn" in held]
            found += arns if step.get("_job") else [self._arn]
        return found

    def _due_in(self) -> float:
        due = [step["_due"] for step in self._steps("Executing").values() if step.get("_due")]
        return max(0.0, (min(due) - now()).total_seconds()) if due else PATIENCE

    # What changes

    def _change(self, step: Step, outputs: Mapping[str, Any] | None = None, **members: Any) -> None:
        """Note what became of a step, and tell EventBridge of a new status."""
        before = ""

        def change(record: Record) -> Record:
            nonlocal before
            held = record["_steps"].get(step.name)
            before = held["StepStatus"] if held else ""
            fresh = {"StepName": step.name, "_type": step.type, "AttemptCount": 1, "StartTime": now()}
            if step.title:
                fresh["StepDisplayName"] = step.title
            if step.description:
                fresh["StepDescription"] = step.description
            steps = {**record["_steps"], step.name: {**(held or fresh), **members}}
            more = {"_outputs": {**record["_outputs"], step.name: outputs}} if outputs is not None else {}
            return {"_steps": steps, **more}

        record = self._store.update(self._ctx, KIND, self._arn, change)
        now_is = record["_steps"][step.name]
        if now_is["StepStatus"] != before:
            self._store.changed()
            self._tell_of(record, now_is, before)

    def _tell_of(self, record: Record, step: Record, before: str) -> None:
        detail = {
            "metadata": step.get("Metadata", {}),
            "stepStartTime": _time(step["StartTime"]),
            "stepEndTime": _time(step["EndTime"]) if step.get("EndTime") else None,
            "stepName": step["StepName"],
            "stepType": step["_type"],
            "previousStepStatus": before or None,
            "currentStepStatus": step["StepStatus"],
            "failureReason": step.get("FailureReason"),
            "pipelineArn": record["PipelineArn"],
            "pipelineExecutionArn": record["_arn"],
        }
        _tell(self._ctx, record, "SageMaker Model Building Pipeline Execution Step Status Change", detail)

    def _end(self, reason: str = "") -> None:
        record = self._record()
        before = record[STATUS]
        states = {name: step["StepStatus"] for name, step in record["_steps"].items()}
        status = "Failed" if reason else ended(self._definition, states)
        reason = reason or (FAILED if status == "Failed" else "")
        if before == "Stopping":
            status, reason = "Stopped", ""
        members: dict[str, Any] = {STATUS: status, "_ended": now()}
        if reason:
            members |= {"FailureReason": reason, "PipelineExecutionFailureReason": reason}
        told(self._ctx, self._store.update(self._ctx, KIND, self._arn, **members), before)

    # What is done

    def _begin(self) -> bool:
        """Begin what may begin; whether a step was over at once, so that more may begin now."""
        record = self._record()
        if record[STATUS] != "Executing":
            return False
        states = {name: step["StepStatus"] for name, step in record["_steps"].items()}
        states |= dict.fromkeys(record["_skipped"], "Skipped")
        outcomes = {
            name: step["Metadata"]["Condition"]["Outcome"] == "True"
            for name, step in record["_steps"].items()
            if step["_type"] == "Condition" and step["StepStatus"] == "Succeeded"
        }
        ready, skipped = next_steps(self._definition, states, outcomes)
        if skipped:
            self._store.update(self._ctx, KIND, self._arn, _skipped=[*record["_skipped"], *skipped])
        again = [
            self._definition.steps[name]
            for name, step in self._steps("Executing").items()
            if step.get("_due") and step["_due"] <= now()
        ]
        at_most = (record.get("ParallelismConfiguration") or {}).get("MaxParallelExecutionSteps", PARALLEL)
        room = max(0, at_most - len(self._steps(*RUNNING)))
        over = False
        for step in [*again, *ready[:room]]:
            self._change(step, StepStatus="Executing", _due=None)
            over |= self._attempt(step)
        return over

    def _attempt(self, step: Step) -> bool:
        """Begin a step; whether it is over already."""
        record = self._record()
        try:
            scope = scope_of(record, self._definition, self._read)
            if step.type == "Condition":
                outcome = all(holds(one, scope) for one in step.arguments["Conditions"])
                self._succeed(step, {"Outcome": outcome}, {"Condition": {"Outcome": str(outcome)}})
                return True
            arguments = resolve(step.arguments, scope)
            if step.cache.get("Enabled"):
                sign = signature(step.type, step.name, arguments)
                self._change(step, _signature=sign)
                if self._take_cached(step, record, sign):
                    return True
            id_ = self._arn.rpartition("/")[2]
            assert self._clients is not None
            begun = pipeline_steps.begin(step, arguments, self._clients, self._region, id_)
        except Unresolved as error:
            return self._fail(step, StepFailed(f"ClientError: {error}"))
        except StepFailed as failure:
            return self._fail(step, failure)
        if begun.job:
            self._change(step, Metadata=begun.metadata, _job=begun.job)
            return False
        self._succeed(step, begun.outputs, begun.metadata)
        return True

    def _read(self, uri: str) -> Any:
        """The JSON document at an S3 URI, as the pipeline's role reads it. Raises Unresolved."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert self._clients is not None
        try:
            body = self._clients.client("s3", self._region).get_object(Bucket=bucket, Key=key)["Body"].read()
            return json.loads(body)
        except (ClientError, BotoCoreError, ValueError) as error:
            raise Unresolved(f"Could not read JSON at {uri}: {error}") from None

    def _take_cached(self, step: Step, record: Record, sign: str) -> bool:
        """Take the outputs of the most recent run of the same step that is not too old, if there is one."""
        oldest = now() - duration(step.cache["ExpireAfter"])
        found = [
            (held["EndTime"], row, held)
            for row in self._store.rows(self._ctx, KIND)
            if row["PipelineArn"] == record["PipelineArn"] and (held := row["_steps"].get(step.name))
            if held["StepStatus"] == "Succeeded" and held.get("_signature") == sign
            if not held.get("CacheHitResult") and held["EndTime"] >= oldest
        ]
        if not found:
            return False
        _, source, held = max(found, key=lambda one: one[0])
        hit = {"SourcePipelineExecutionArn": source["_arn"]}
        self._succeed(step, source["_outputs"][step.name], held["Metadata"], CacheHitResult=hit)
        return True

    def _succeed(
        self, step: Step, outputs: Mapping[str, Any], metadata: Mapping[str, Any], **members: Any
    ) -> None:
        self._change(
            step, outputs, StepStatus="Succeeded", Metadata=metadata, EndTime=now(), _job="", **members
        )

    def _fail(self, step: Step, failure: StepFailed) -> bool:
        """Try the step again later if a retry policy says so, else it failed; whether it is over."""
        held = self._steps()[step.name]
        attempts = held.get("_attempts", {})
        for number, policy in enumerate(step.retries):
            tried = attempts.get(str(number), 0)
            began = held["StartTime"] + timedelta(minutes=policy.get("ExpireAfterMin") or 0)
            left = tried < policy["MaxAttempts"] if policy.get("MaxAttempts") else now() < began
            if failure.kind in policy["ExceptionType"] and left and self._record()[STATUS] == "Executing":
                seconds = policy.get("IntervalSeconds", 1) * policy.get("BackoffRate", 2.0) ** tried
                self._change(
                    step,
                    AttemptCount=held["AttemptCount"] + 1,
                    _attempts={**attempts, str(number): tried + 1},
                    _due=now() + timedelta(seconds=seconds),
                    _job="",
                )
                return False
        metadata = {"Metadata": failure.metadata} if failure.metadata else {}
        asked = self._record()[STATUS] == "Stopping"
        members: dict[str, Any] = {"EndTime": now(), "_job": "", "_due": None, **metadata}
        self._change(
            step,
            StepStatus="Stopped" if asked or failure.stopped else "Failed",
            FailureReason=None if asked else failure.reason,
            **members,
        )
        return True

    def _collect(self) -> bool:
        """Note the jobs that ended; whether there were any."""
        over = False
        assert self._clients is not None
        for name, held in self._steps(*RUNNING).items():
            step, job = self._definition.steps[name], held.get("_job")
            if not job:
                continue
            try:
                record = self._store.get(self._ctx, JOBS[step.type].kind, job)
                if record[JOBS[step.type].status] not in OVER:
                    continue
                outputs = pipeline_steps.finished(step, job, record, self._clients, self._region)
                self._succeed(step, outputs, held["Metadata"])
            except AwsError as error:
                self._fail(step, StepFailed(f"ClientError: {error.message}"))
            except StepFailed as failure:
                self._fail(step, failure)
            over = True
        return over

    def _stop(self) -> None:
        """Ask the jobs of running steps to end, each once; a step that waits for another attempt is over."""
        assert self._clients is not None
        for name, held in self._steps("Executing").items():
            step = self._definition.steps[name]
            if not held.get("_job"):
                self._change(step, StepStatus="Stopped", EndTime=now(), _due=None)
                continue
            self._change(step, StepStatus="Stopping")
            try:
                pipeline_steps.stop(step, held["_job"], self._clients, self._region)
            except (
                StepFailed
            ) as failure:  # it has ended meanwhile, or the role may not stop it: then it runs to its end
                log.warning("%s of %s: %s", name, self._arn, failure.reason)
