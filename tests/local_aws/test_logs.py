"""What is read from a job's lines: the reason of its failure, and its metrics."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.containers import Ending
from kit.local_aws.logs import REASON, Metrics, error_line, failure_reason

DRIVER = [
    "++ handle_error",
    "Command failed with exit code 1. Traceback: Traceback (most recent call last):",
    "subprocess.CalledProcessError: Command '['python3', 'train.py']' returned non-zero exit status 1.",
    "An error occurred with exit code 1",
]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["Traceback (most recent call last):", '  File "x.py"', "KeyError: 'age'", *DRIVER], "KeyError: 'age'"),
        (
            [
                "Traceback (most recent call last):",
                "KeyError: 1",
                "",
                "During handling of the above exception, another exception occurred:",
                "",
                "Traceback (most recent call last):",
                "  File",
                "kit.Refused: no such table",
                "the second line of its message",
                *DRIVER,
            ],
            "kit.Refused: no such table",
        ),
        (["rows: 10", "the table is empty", *DRIVER], "the table is empty"),
        (["ERROR: requirements.txt wants x==1", "Traceback (most recent call last):", "  File", DRIVER[2]], "ERROR: requirements.txt wants x==1"),
        (["run.sh: line 3: nope: command not found", "done"], "run.sh: line 3: nope: command not found"),
        (["++ echo 'Running Basic Script driver'", "Running Basic Script driver"], ""),
        (["0 errors", "Error rate: 3 %", "finished"], "Error rate: 3 %"),
        ([], ""),
    ],
)  # fmt: skip
def test_the_scripts_own_last_error_is_found(lines: list[str], said: str) -> None:
    assert error_line(lines) == said


@pytest.mark.parametrize(
    ("ending", "told", "reason"),
    [
        (Ending(1, False, False, ("ValueError: no",)), "", "AlgorithmError: ValueError: no, exit code: 1"),
        (Ending(2, False, False, ("bye",)), "told", "AlgorithmError: bye\ntold, exit code: 2"),
        (Ending(2, False, False, ("ValueError: no",)), "ValueError: no\n", "AlgorithmError: ValueError: no, exit code: 2"),
        (Ending(1, False, False, ()), "", "AlgorithmError: Please check the logs, exit code: 1"),
        (
            Ending(137, False, False, ()),
            "",
            "AlgorithmError: The process was killed; it may have needed more memory than there is., exit code: 137",
        ),
    ],
)  # fmt: skip
def test_a_reason_has_the_error_what_was_told_and_the_code(ending: Ending, told: str, reason: str) -> None:
    assert failure_reason(ending, told) == reason


@given(st.lists(st.text()), st.text(), st.integers(1, 255))
def test_a_reason_fits_and_keeps_the_exit_code(lines: list[str], told: str, code: int) -> None:
    reason = failure_reason(Ending(code, False, False, tuple(lines)), told)
    assert len(reason) <= REASON
    assert reason.startswith("AlgorithmError: ")
    assert reason.endswith(f", exit code: {code}")


def test_metrics_are_the_first_group_of_every_match_that_is_a_finite_number() -> None:
    found = Metrics(
        [
            {"Name": "auc", "Regex": r"auc=([0-9.]+);"},
            {"Name": "loss", "Regex": r"loss: (\S+)"},
            {"Name": "none", "Regex": "auc"},
        ]
    )
    found.read(
        [
            (1_000, "auc=0.5; auc=0.75; loss: 1e-3"),
            (2_000, "loss: nan-ish auc=0.9;"),
            (3_000, "auc=.; loss: nan"),
        ]
    )
    first, second = datetime.fromtimestamp(1, UTC), datetime.fromtimestamp(2, UTC)
    assert found.values == [
        ("auc", 0.5, first),
        ("auc", 0.75, first),
        ("loss", 0.001, first),
        ("auc", 0.9, second),
    ]
    assert found.final() == [
        {"MetricName": "auc", "Value": 0.9, "Timestamp": second},
        {"MetricName": "loss", "Value": 0.001, "Timestamp": first},
    ]


def test_a_pattern_that_backtracks_forever_costs_a_second_not_the_job() -> None:
    found = Metrics([{"Name": "slow", "Regex": r"(a+)+$"}, {"Name": "auc", "Regex": r"auc=([0-9.]+)"}])
    found.read([(0, "a" * 40 + "! auc=1")])
    assert [name for name, _, _ in found.values] == ["auc"]
