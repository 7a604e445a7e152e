"""Hyperparameter tuning jobs: training jobs, one beside the other, with values that a strategy chooses.

A tuning job goes the same way each time it is given the same configuration, ranges and data, however long its training jobs take:
trial n is chosen by, and stopped early by, the results of the trials up to n - MaxParallelTrainingJobs, and starts when those have
ended. Random and Grid without early stopping go by no results: their next trial starts as soon as any has ended.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kit.local_aws import jobs, training
from kit.local_aws.events import state_changed
from kit.local_aws.front import action
from kit.local_aws.kinds import kind_of
from kit.local_aws.protocol import AwsError, now, operation
from kit.local_aws.search import Search, combinations, read_ranges, seed_of
from kit.local_aws.store import Record, page
from kit.local_aws.training import DONE
from kit.local_aws.trials import Objective, counters, falls_behind, not_improving, rows, summary, value_of
from kit.local_aws.tuning_checks import KIND, check, hyperparameters, parents, training_job

if TYPE_CHECKING:
    from kit.local_aws.jobs import Job
    from kit.local_aws.store import Context

__all__ = ["create_tuning_job", "failed", "stop_tuning_job"]

ATTEMPTS = 5  # trials without any result after which a tuning job gives up
LOOK = 60.0  # seconds after which a tuning job looks at its trials though nothing was told of them

jobs.readable(KIND)


@action("sagemaker", "CreateHyperParameterTuningJob")
def create_tuning_job(ctx: Context, params: dict[str, Any]) -> Record:
    """Check what the model cannot say, keep the job, and start its trials in the background."""
    check(ctx, params)
    config = params["HyperParameterTuningJobConfig"]
    limits = config["ResourceLimits"]
    if "MaxNumberOfTrainingJobs" not in limits:  # a grid: all of it
        total = int(combinations(read_ranges(config["ParameterRanges"])))
        limits = {**limits, "MaxNumberOfTrainingJobs": total}
        config = {**config, "ResourceLimits": limits}
    record = ctx.app.store.create(
        ctx,
        KIND,
        {**params, "HyperParameterTuningJobConfig": {"TrainingJobEarlyStoppingType": "Off", **config}},
        HyperParameterTuningJobStatus="InProgress",
        Strategy=config["Strategy"],
        ResourceLimits=limits,
    )
    state_changed(ctx, "HyperParameter Tuning Job", record["_arn"], record)
    jobs.begin(ctx, KIND, record["HyperParameterTuningJobName"], _tune, failed)
    return record


@action("sagemaker", "DescribeHyperParameterTuningJob")
def describe_tuning_job(ctx: Context, params: dict[str, Any]) -> Record:
    """The record, and what its training jobs tell now."""
    record = ctx.app.store.get(ctx, KIND, params["HyperParameterTuningJobName"])
    name, objective, trials = record["_key"], Objective.of(record), rows(ctx, record["_arn"])
    found = {**record, **counters(trials, objective)}
    best = objective.best(trials)
    if best:
        found["BestTrainingJob"] = summary(best, objective, name)
    warm = record.get("WarmStartConfig", {})
    if warm.get("WarmStartType") == "IdenticalDataAndAlgorithm":
        found |= _overall_best(ctx, warm, objective, trials)
    values = [value_of(row, objective.name) for row in trials if row["TrainingJobStatus"] in DONE]
    found["TuningJobCompletionDetails"] = {
        "NumberOfTrainingJobsObjectiveNotImproving": not_improving(values, objective)
    }
    end = record.get("HyperParameterTuningEndTime") or now()
    found["ConsumedResources"] = {"RuntimeInSeconds": round((end - record["CreationTime"]).total_seconds())}
    return found


def _overall_best(ctx: Context, warm: Record, objective: Objective, own: list[Record]) -> Record:
    """OverallBestTrainingJob: among those of the parents as well."""
    every = list(own)
    names = {row["_arn"]: "" for row in own}
    for parent in warm["ParentHyperParameterTuningJobs"]:
        name = parent["HyperParameterTuningJobName"]
        found = rows(ctx, kind_of(KIND).arn_of(ctx.account, ctx.region, name))
        every += found
        names |= {row["_arn"]: name for row in found}
    best = objective.best(every)
    if best is None:
        return {}
    tuning = names[best["_arn"]] or best["TuningJobArn"].rpartition("/")[2]
    return {"OverallBestTrainingJob": summary(best, objective, tuning)}


@action("sagemaker", "ListHyperParameterTuningJobs")
def list_tuning_jobs(ctx: Context, params: dict[str, Any]) -> Record:
    """The tuning jobs, each with its counters; by name where no other order is asked for."""
    asked = {"SortBy": "Name", **params}
    answer = ctx.app.store.listing(ctx, KIND, asked, "ListHyperParameterTuningJobs")
    for item in answer["HyperParameterTuningJobSummaries"]:
        record = ctx.app.store.get(ctx, KIND, item["HyperParameterTuningJobArn"])
        item |= counters(rows(ctx, record["_arn"]), Objective.of(record))
    return answer


@action("sagemaker", "ListTrainingJobsForHyperParameterTuningJob")
def list_trials(ctx: Context, params: dict[str, Any]) -> Record:
    """The training jobs of a tuning job; sorted by their value, those without one are left out, as on AWS."""
    record = ctx.app.store.get(ctx, KIND, params["HyperParameterTuningJobName"])
    objective, wanted = Objective.of(record), params.get("StatusEquals")
    found = [row for row in rows(ctx, record["_arn"]) if wanted in (None, row["TrainingJobStatus"])]
    by = params.get("SortBy", "Name")
    if by == "FinalObjectiveMetricValue":
        valued = [(value, row) for row in found if (value := value_of(row, objective.name)) is not None]
        valued.sort(key=lambda pair: pair[0])
        found = [{**row, by: f"{place:06d}"} for place, (_, row) in enumerate(valued)]
    shown = [
        {**summary(row, objective, record["_key"]), **{k: row[k] for k in (*_OWN, by) if k in row}}
        for row in found
    ]
    return page(
        operation("sagemaker", "ListTrainingJobsForHyperParameterTuningJob"), shown, {**params, "SortBy": by}
    )


_OWN = ("_key", "_kind", "_arn")  # what the store sorts by


@action("sagemaker", "StopHyperParameterTuningJob")
def stop_tuning_job(ctx: Context, params: dict[str, Any]) -> None:
    """Ask a tuning job and its running training jobs to end; one that has ended cannot be stopped."""
    name = params["HyperParameterTuningJobName"]

    def stopping(record: Record) -> Record:
        status = record["HyperParameterTuningJobStatus"]
        if status in DONE:
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the hyperparameter tuning job is in status {status}.",
            )
        return {"HyperParameterTuningJobStatus": "Stopping"} if status != "Stopping" else {}

    if job := jobs.running(ctx, KIND, name):
        job.stop()
    ctx.app.store.update(ctx, KIND, name, stopping)  # wakes the job


@action("sagemaker", "DeleteHyperParameterTuningJob")
def delete_tuning_job(ctx: Context, params: dict[str, Any]) -> None:
    """Forget a tuning job that has ended; its training jobs stay."""
    record = ctx.app.store.get(ctx, KIND, params["HyperParameterTuningJobName"])
    if record["HyperParameterTuningJobStatus"] not in DONE:
        status = record["HyperParameterTuningJobStatus"]
        raise AwsError("ResourceInUse", f"Hyperparameter tuning job {record['_arn']} is {status}.")
    ctx.app.store.delete(ctx, KIND, record["_key"])


class _Trials:
    """The trials of a tuning job while it runs: which may start next, and what those before it led to."""

    def __init__(self, ctx: Context, record: Record) -> None:
        config = record["HyperParameterTuningJobConfig"]
        self._ctx, self._record, self._config = ctx, record, config
        self.objective = Objective.of(record)
        self.most: int = config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
        self._parallel: int = config["ResourceLimits"]["MaxParallelTrainingJobs"]
        self._early = config["TrainingJobEarlyStoppingType"] == "Auto"
        self._adaptive = self._early or config["Strategy"] == "Bayesian"
        self._ranges = read_ranges(config["ParameterRanges"])
        self._search = Search(
            self._ranges, config["Strategy"], seed_of(config), maximize=self.objective.maximize
        )
        self._tags = ctx.app.store.tags(record["_arn"])
        self._names: list[str] = []
        self._curves: list[list[float]] = []  # the objective's values of each trial
        self.values: list[float | None] = []  # results of the trials that the next one goes by
        for parent in parents(ctx, record):
            for row in rows(ctx, parent["_arn"]):
                value = value_of(row, self.objective.name)
                if value is not None:
                    self._search.know({**row.get("HyperParameters", {}), **row["_tuned"]}, value)

    @property
    def running(self) -> list[str]:
        """The ARNs of those that have not ended."""
        return [row["_arn"] for row in self._rows() if row and row["TrainingJobStatus"] not in DONE]

    @property
    def all_started(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._names) >= self.most

    def _rows(self) -> list[Record | None]:
        return [self._ctx.app.store.find(self._ctx, "TrainingJob", name) for name in self._names]

    def take(self) -> bool:
        """Take note of the trials that the next one goes by; whether that one may start."""
        found = self._rows()
        ended = [row is None or row["TrainingJobStatus"] in DONE for row in found]
        if self._adaptive:
            due = max(0, len(ended) - self._parallel + 1)
            if not all(ended[:due]):
                return False
        else:
            due = ended.index(False) if False in ended else len(ended)
        for number in range(len(self.values), due):
            row = found[number]
            value = value_of(row, self.objective.name) if row else None
            self.values.append(value)
            self._search.tell(number, value)
        return ended.count(False) < self._parallel

    def start(self) -> None:
        """Start the next trial."""
        ctx, definition = self._ctx, self._record["TrainingJobDefinition"]
        number, tuned = len(self._names), self._search.ask()
        name = f"{self._record['_key']}-{number + 1:03d}-{uuid.uuid4().hex[:8]}"
        request = training_job(definition, name, hyperparameters(definition, tuned, self.objective))
        earlier = self._completed() if self._early else []
        curve: list[float] = []
        self._names.append(name)
        self._curves.append(curve)

        def watch(values: training.Values) -> None:
            if self._early and "_objective" not in ctx.app.store.get(ctx, "TrainingJob", name):
                curve[:] = [value for metric, value, _ in values if metric == self.objective.name]
                if step := falls_behind(curve, earlier, self.objective.maximize):
                    del curve[step:]
                    ctx.app.store.update(ctx, "TrainingJob", name, _objective=curve[-1])
                    training.stop_training_job(ctx, {"TrainingJobName": name})

        training.start(
            ctx,
            {**request, "Tags": self._tags},
            watch,
            TuningJobArn=self._record["_arn"],
            _tuned=tuned,
            _definition=definition.get("DefinitionName"),
        )

    def _completed(self) -> list[list[float]]:
        """The curves of the trials that the next one goes by and that completed."""
        done = [row is not None and row["TrainingJobStatus"] == "Completed" for row in self._rows()]
        return [list(self._curves[n]) for n in range(len(self.values)) if done[n]]

    def enough(self) -> bool:
        """Whether no more trials are to be started: the limit, a completion criterion, or nothing but failures."""
        criteria = self._config.get("TuningJobCompletionCriteria", {})
        found = [value for value in self.values if value is not None]
        target = criteria.get("TargetObjectiveMetricValue")
        patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
        return (
            self.all_started
            or (len(self.values) >= ATTEMPTS and not found)
            or (target is not None and any(not self.objective.better(target, value) for value in found))
            or (patience is not None and not_improving(self.values, self.objective) >= patience)
        )

    def stop(self) -> None:
        """Stop the trials that run."""
        _stop(self._ctx, self._rows())

    def failure(self) -> str:
        """Why the tuning job has no result; empty if it has one."""
        trials = [row for row in self._rows() if row]
        if any(value_of(row, self.objective.name) is not None for row in trials):
            return ""
        if any(row["TrainingJobStatus"] == "Completed" for row in trials):
            return (
                f"No objective metrics found after running {len(trials)} training jobs. Please ensure that the custom algorithm is"
                " emitting the objective metric as defined by the regular expression provided."
            )
        return (
            f"No training job succeeded after {len(trials)} attempts. Please take a look at the training job failures to get more"
            " details."
        )


def _stop(ctx: Context, trials: Iterable[Record | None]) -> None:
    for row in trials:
        if row and row["TrainingJobStatus"] not in DONE:
            with contextlib.suppress(AwsError):  # it has ended just now
                training.stop_training_job(ctx, {"TrainingJobName": row["TrainingJobName"]})


def _tune(job: Job) -> None:
    store, record = job.ctx.app.store, job.ctx.app.store.get(job.ctx, KIND, job.name)
    limits = record["HyperParameterTuningJobConfig"]["ResourceLimits"]
    deadline = time.monotonic() + limits.get("MaxRuntimeInSeconds", float("inf"))
    trials = _Trials(job.ctx, record)
    stopped = enough = False
    while not job.ctx.app.stopping.is_set():
        version = store.version
        free = trials.take()
        stopped = stopped or job.stopping or time.monotonic() >= deadline
        enough = enough or trials.enough()
        if stopped or (enough and not trials.all_started):
            trials.stop()
        if (stopped or enough) and not trials.running:
            why = "" if stopped else trials.failure()
            _end(job, "Stopped" if stopped else "Failed" if why else "Completed", why)
            return
        if free and not (stopped or enough):
            trials.start()
            continue
        left = LOOK if stopped else max(0.0, min(LOOK, deadline - time.monotonic()))
        store.wait(version, [record["_arn"], *trials.running], left, job.ctx.app.stopping.is_set)


def _end(job: Job, status: str, reason: str) -> None:
    changes: dict[str, Any] = {"HyperParameterTuningJobStatus": status, "HyperParameterTuningEndTime": now()}
    if reason:
        changes["FailureReason"] = reason
    record = job.ctx.app.store.update(job.ctx, KIND, job.name, **changes)
    state_changed(job.ctx, "HyperParameter Tuning Job", record["_arn"], record)


def failed(job: Job, reason: str) -> None:
    """The tuning job itself broke: its trials are stopped."""
    _stop(job.ctx, rows(job.ctx, job.ctx.app.store.get(job.ctx, KIND, job.name)["_arn"]))
    _end(job, "Failed", reason)
