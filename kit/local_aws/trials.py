"""What the training jobs of a tuning job tell: objective values, summaries, counters, the best one, which one falls behind.

Sources: the shapes of ListTrainingJobsForHyperParameterTuningJob; "Stop training jobs early" of the SageMaker developer guide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from kit.local_aws.training import DONE

if TYPE_CHECKING:
    from kit.local_aws.store import Context, Record

__all__ = ["Objective", "counters", "falls_behind", "not_improving", "rows", "summary", "value_of"]

EARLIER = (
    3  # jobs that have to have completed before one is stopped early; AWS does not say how many it waits for
)
GAIN = 0.01  # share of the best value from which on a job improves on it (TuningJobCompletionDetails)


@dataclass(frozen=True)
class Objective:
    """The metric that a tuning job goes by, and in which direction."""

    name: str
    maximize: bool

    @classmethod
    def of(cls, tuning: Mapping[str, Any]) -> Objective:
        """That of a tuning job's record or request."""
        given = tuning["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
        return cls(given["MetricName"], given["Type"] == "Maximize")

    @property
    def type(self) -> str:
        """AWS's word for the direction."""
        return "Maximize" if self.maximize else "Minimize"

    def better(self, value: float, other: float) -> bool:
        """Whether the value is better than the other."""
        return value > other if self.maximize else value < other

    def best(self, trials: Iterable[Record]) -> Record | None:
        """The training job that completed with the best value, the first one of equals; None where none did."""
        done = [row for row in trials if row["TrainingJobStatus"] == "Completed"]
        ranked = [(value, row) for row in done if (value := value_of(row, self.name)) is not None]
        if not ranked:
            return None
        extreme = (max if self.maximize else min)(value for value, _ in ranked)
        return next(row for value, row in ranked if value == extreme)


def rows(ctx: Context, tuning_arn: str) -> list[Record]:
    """The training jobs that a tuning job started, oldest first."""
    return [row for row in ctx.app.store.rows(ctx, "TrainingJob") if row.get("TuningJobArn") == tuning_arn]


def value_of(row: Mapping[str, Any], metric: str) -> float | None:
    """The metric's last value of a training job that has ended, or the one for which it was stopped early; None without one."""
    if row["TrainingJobStatus"] not in DONE:
        return None
    held = {item["MetricName"]: item["Value"] for item in row.get("FinalMetricDataList", [])}
    value = row.get("_objective", held.get(metric))
    return None if value is None else float(value)


def summary(row: Record, objective: Objective, tuning: str) -> Record:
    """A HyperParameterTrainingJobSummary of a training job."""
    value = value_of(row, objective.name)
    ended = row["TrainingJobStatus"] in DONE
    found = {name: row[name] for name in row if name in ("TrainingStartTime", "TrainingEndTime")}
    found |= {"FailureReason": row["FailureReason"]} if row.get("FailureReason") else {}
    if value is not None:
        found["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "Type": objective.type,
            "MetricName": objective.name,
            "Value": value,
        }
    return {
        **found,
        "TrainingJobDefinitionName": row.get("_definition"),
        "TrainingJobName": row["TrainingJobName"],
        "TrainingJobArn": row["_arn"],
        "TuningJobName": tuning,
        "CreationTime": row["CreationTime"],
        "TrainingJobStatus": row["TrainingJobStatus"],
        "TunedHyperParameters": row["_tuned"],
        "ObjectiveStatus": "Pending" if not ended else "Failed" if value is None else "Succeeded",
    }


def counters(trials: Iterable[Record], objective: Objective) -> dict[str, dict[str, int]]:
    """TrainingJobStatusCounters and ObjectiveStatusCounters of training jobs."""
    statuses = dict.fromkeys(("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0)
    found = dict.fromkeys(("Succeeded", "Pending", "Failed"), 0)
    for row in trials:
        status = row["TrainingJobStatus"]
        if status == "Failed":
            internal = row.get("FailureReason", "").startswith("InternalServerError")
            status = "RetryableError" if internal else "NonRetryableError"
        statuses[status if status in statuses else "InProgress"] += 1
        found[summary(row, objective, "")["ObjectiveStatus"]] += 1
    return {"TrainingJobStatusCounters": statuses, "ObjectiveStatusCounters": found}


def falls_behind(
    values: Sequence[float], earlier: Iterable[Sequence[float]], maximize: bool, least: int = EARLIER
) -> int | None:
    """From which step on (from 1) a job is not worth going on with; None if it is.

    The median rule: its value is worse than the median of the earlier jobs' running averages up to the same step. A step counts
    where at least `least` earlier jobs came to it.
    """
    others = list(earlier)
    for step, value in enumerate(values, start=1):
        averages = [fmean(one[:step]) for one in others if len(one) >= step]
        if len(averages) < least:
            return None
        middle = median(averages)
        if value < middle if maximize else value > middle:
            return step
    return None


def not_improving(values: Iterable[float | None], objective: Objective) -> int:
    """How many of the last jobs, in their order, did not improve on the best one before them by one percent."""
    best: float | None = None
    count = 0
    for value in values:
        if value is not None and best is None:
            best, count = value, 0
        elif value is not None and best is not None and objective.better(value, best):
            count = 0 if abs(value - best) >= GAIN * abs(best) else count + 1
            best = value
        else:
            count += 1
    return count
