from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import checks
from kit.checks import Expected, above, at_least, at_most, below, between, checked, contains, near, one_of


def test_the_line_shows_got_and_expected() -> None:
    assert checked("No overlap", 0, 0).line == "✓ No overlap · got 0, expected 0"
    assert checked("Good", 0.8123, at_least(0.7)).line == "✓ Good · got 0.81, expected at least 0.7"
    assert checked("Good", 0.6, at_least(0.7)).line == "✗ Good · got 0.60, expected at least 0.7"


@pytest.mark.parametrize(
    ("got", "expected", "ok"),
    [
        (1, 1, True),
        (1, 2, False),
        ("a", "a", True),
        (True, True, True),
        ({"a", "b"}, {"b", "a"}, True),
        (0.7, at_least(0.7), True),
        (math.nan, at_least(0.0), False),
        (math.nan, at_most(0.0), False),
        (0.7, above(0.7), False),
        (0.7, below(0.7), False),
        (0.7, at_most(0.7), True),
        (5, between(5, 6), True),
        (7, between(5, 6), False),
        (["a", "b", "c"], contains("a", "c"), True),
        (["a", "b"], contains("a", "c"), False),
        ("Denied", one_of("Denied", "Refused"), True),
        (1.01, near(1, 0.02), True),
        (1.1, near(1, 0.02), False),
        (math.nan, math.nan, False),
    ],
)
def test_holds_only_when_it_should(got: Any, expected: Any, ok: bool) -> None:
    assert checked("x", got, expected).ok is ok


def test_a_numpy_scalar_counts_as_its_value() -> None:
    check = checked("x", np.int64(3), 3)
    assert check.ok
    assert (check.got, check.value) == ("3", 3.0)
    assert checked("x", np.bool_(True), True).got == "yes"


def test_the_exact_number_is_kept_beside_the_rounded_text() -> None:
    check = checked("x", 0.81234, at_least(0.5))
    assert check.got == "0.81"
    assert check.as_data()["value"] == 0.81234


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (20000, "20,000"),
        (True, "yes"),
        (None, "nothing"),
        ([], "none"),
        ({"b", "a"}, "a, b"),
        (list(range(9)), "0, 1, 2, 3, 4, 5 and 3 more"),
        ({"a": 1}, "a: 1"),
        ("two\nlines", "two lines"),
        ("x" * 200, "x" * 79 + "…"),
    ],
)
def test_shown_is_short_and_plain(value: Any, text: str) -> None:
    assert checks.shown(value) == text


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=9)
)
def test_shown_never_breaks_the_line(value: Any) -> None:
    assert "\n" not in checks.shown(value)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_opposite_expectations_disagree(got: float, bound: float) -> None:
    def holds(expected: Expected) -> bool:
        return checked("x", got, expected).ok

    assert holds(at_least(bound)) is not holds(below(bound))
    assert holds(at_most(bound)) is not holds(above(bound))
