"""What training jobs tell a tuning job: which one falls behind, which is best, how many did not improve."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.trials import Objective, counters, falls_behind, not_improving

CURVES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("values", "earlier", "step"),
    [
        ([5.0, 4.0], [[3.0, 2.0], [4.0, 3.0], [6.0, 1.0]], 1),  # 5 is worse than the median of 3, 4, 6
        ([4.0, 3.9], [[3.0, 2.0], [4.0, 3.0], [6.0, 1.0]], 2),  # 3.9 is worse than that of 2.5, 3.5, 3.5
        ([4.0, 3.5], [[3.0, 2.0], [4.0, 3.0], [6.0, 1.0]], None),  # as good is not worse
        ([9.0], [[1.0], [1.0]], None),  # two are too few
        ([1.0, 9.0], [[1.0], [1.0], [1.0, 1.0]], None),  # only one came to the second step
        ([], [[1.0], [1.0], [1.0]], None),
    ],
)
def test_a_job_falls_behind_where_it_is_worse_than_the_median_of_running_averages(
    values: list[float], earlier: list[list[float]], step: int | None
) -> None:
    assert falls_behind(values, earlier, maximize=False) == step
    turned = [[-value for value in curve] for curve in earlier]
    assert falls_behind([-value for value in values], turned, maximize=True) == step


@given(st.lists(CURVES, max_size=6), CURVES, st.booleans())
def test_more_values_do_not_change_where_a_job_fell_behind(
    earlier: list[list[float]], values: list[float], maximize: bool
) -> None:
    steps = {falls_behind(values[: n + 1], earlier, maximize) for n in range(len(values))}
    assert len(steps - {None}) <= 1


def row(status: str, value: float | None = None, **more: Any) -> dict[str, Any]:
    metrics = [] if value is None else [{"MetricName": "auc", "Value": value}]
    own = {"_arn": "a", "_tuned": {}, "TrainingJobName": "t", "CreationTime": 0}
    return {"TrainingJobStatus": status, "FinalMetricDataList": metrics, **own, **more}


def test_the_best_job_is_one_that_completed_the_first_of_equals() -> None:
    up, down = Objective("auc", True), Objective("auc", False)
    trials = [
        row("Completed", 0.7, TrainingJobName="first"),
        row("Completed", 0.7, TrainingJobName="second"),
        row("Stopped", 0.9),
        row("Failed"),
        row("Completed"),
        row("InProgress"),
        row("Completed", 0.6, TrainingJobName="least"),
    ]
    best, worst = up.best(trials), down.best(trials)
    assert best is not None
    assert worst is not None
    assert (best["TrainingJobName"], worst["TrainingJobName"]) == ("first", "least")
    assert up.best(trials[2:6]) is None


def test_jobs_are_counted_by_what_became_of_them() -> None:
    trials = [
        row("Completed", 0.5),
        row("Completed"),
        row("InProgress", 0.5),
        row("Stopping"),
        row("Stopped", 0.5),
        row("Failed", FailureReason="AlgorithmError: no"),
        row("Failed", FailureReason="InternalServerError: no"),
    ]
    assert counters(trials, Objective("auc", True)) == {
        "TrainingJobStatusCounters": {
            "Completed": 2,
            "InProgress": 2,
            "RetryableError": 1,
            "NonRetryableError": 1,
            "Stopped": 1,
        },
        "ObjectiveStatusCounters": {"Succeeded": 2, "Pending": 2, "Failed": 3},
    }


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([], 0),
        ([0.5], 0),
        ([0.5, 0.504, 0.508], 2),  # less than one percent each
        ([0.5, 0.504, 0.6], 0),
        ([0.5, None, 0.4], 2),
        ([None, None], 2),
        ([None, 0.5], 0),
    ],
)
def test_jobs_since_the_last_gain_of_a_percent_are_counted(values: list[float | None], count: int) -> None:
    assert not_improving(values, Objective("auc", True)) == count
