"""Executions of a SageMaker pipeline as tables and pictures: steps with their states, jobs, times and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JOBS = {  # a step's metadata: what describes its job, and what that calls name, beginning and end
    "ProcessingJob": ("describe_processing_job", "ProcessingJobName", "CreationTime", "ProcessingEndTime"),
    "TrainingJob": ("describe_training_job", "TrainingJobName", "CreationTime", "TrainingEndTime"),
    "TransformJob": ("describe_transform_job", "TransformJobName", "CreationTime", "TransformEndTime"),
}


@dataclass(frozen=True)
class Step:
    """One step of an execution. job: the name of its job, if it has one, with the seconds that this took, whoever ran it.

    cached: the step took the outputs of an earlier execution. began, ended: of the step itself.
    """

    name: str
    state: str
    began: datetime
    ended: datetime
    cached: bool
    reason: str
    job: str = ""
    job_seconds: float = 0.0
    made: str = ""

    @property
    def seconds(self) -> float:
        """How long the step took."""
        return (self.ended - self.began).total_seconds()


def steps(sm: Any, execution: str) -> list[Step]:
    """The steps of an execution that is over, in the order in which they began. `sm` is a SageMaker client of boto3."""
    pages = sm.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=execution, SortOrder="Ascending"
    )
    return [_step(sm, one) for page in pages for one in page["PipelineExecutionSteps"]]


def _step(sm: Any, one: dict[str, Any]) -> Step:
    metadata = one.get("Metadata", {})
    made = next((held["Arn"] for held in metadata.values() if "Arn" in held), "")
    job, seconds = "", 0.0
    for kind in metadata.keys() & JOBS.keys():
        describe, name, began, ended = JOBS[kind]
        job = made.rpartition("/")[2]
        found = getattr(sm, describe)(**{name: job})
        seconds = (found.get(ended, found[began]) - found[began]).total_seconds()
    return Step(
        name=one["StepName"],
        state=one["StepStatus"],
        began=one["StartTime"],
        ended=one.get("EndTime", one["StartTime"]),
        cached="CacheHitResult" in one,
        reason=one.get("FailureReason", ""),
        job=job,
        job_seconds=seconds,
        made=made,
    )


def chart(ax: Axes, steps: Sequence[Step], title: str, seconds: float | None = None) -> None:
    """Draws a bar for each step over the seconds since the execution began; those from the cache as what they saved.

    seconds: how long the axis is; by default as long as the execution took.
    """
    start = min(step.began for step in steps)
    whole = seconds or max((step.ended - start).total_seconds() for step in steps)
    told = set()
    for row, step in enumerate(steps):
        colour, word = _look(step)
        left, width = (step.began - start).total_seconds(), max(step.seconds, 0.004 * whole)
        said = f"saved {step.job_seconds:.1f} s" if step.cached else f"{step.seconds:.1f} s"
        ax.barh(row, width, left=left, color=colour, label=None if word in told else word)
        ax.text(left + width, row, f" {said}", va="center", fontsize=8)
        told.add(word)
    ax.set_yticks(range(len(steps)), [step.name for step in steps])
    ax.set(title=title, xlim=(0, 1.15 * whole))
    ax.invert_yaxis()
    ax.legend(fontsize=8, loc="upper right")


def _look(step: Step) -> tuple[str, str]:
    """A step's colour, and what it means."""
    if step.state == "Failed":
        return "tab:red", "failed"
    return ("tab:orange", "from the cache") if step.cached else ("tab:blue", "run")
