"""The paths of batch transform's filters: what they take from a record, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.jsonpath import PathError, parse

RECORD = {"id": 7, "a b": {"x": [1, 2, 3]}, "features": {"one": 1, "two": {"deep": [10, 20, 30, 40]}}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$", RECORD),
        ("$.id", 7),
        ("$['a b'].x", [1, 2, 3]),
        ("$.features.two.deep[1:3]", [20, 30]),
        ("$.features.two.deep[-1]", 40),
        ("$.features.two.deep[0,2]", [10, 30]),
        ("$.features.two.deep[0,2:]", [10, 30, 40]),
        ("$['id','features']", {"id": 7, "features": RECORD["features"]}),
        ("$.features.['one','two']", RECORD["features"]),
        ('$["id"]', 7),
        ("$.features.*", [1, {"deep": [10, 20, 30, 40]}]),
        ("$['a b'].x[*]", [1, 2, 3]),
        ("$.features.two.deep[5:]", []),
    ],
)
def test_a_path_takes_its_part_of_a_record(text: str, found: Any) -> None:
    assert parse(text).of(RECORD) == found


@pytest.mark.parametrize(
    "text", ["", "id", "$id", "$..id", "$.a[?(@.b > 1)]", "$[a]", "$.a[", "$['a',1]", "$[1:2:3]", "$.a b"]
)
def test_what_the_operators_do_not_cover_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        parse(text)


@pytest.mark.parametrize(
    "text", ["$.nobody", "$[0]", "$.id.x", "$.features.two.deep[4]", "$.id[*]", "$['id','nobody']"]
)
def test_a_path_that_leads_nowhere_says_so(text: str) -> None:
    with pytest.raises(PathError):
        parse(text).of(RECORD)


@given(st.lists(st.integers(), max_size=6), st.integers(-8, 8), st.integers(-8, 8))
def test_slices_are_those_of_python(values: list[int], start: int, end: int) -> None:
    assert parse(f"$[{start}:{end}]").of(values) == values[start:end]


def test_only_paths_by_place_fit_a_row_of_csv() -> None:
    assert [parse(text).by_place for text in ("$", "$[1:]", "$[*]", "$.a", "$['a','b']")] == [
        True,
        True,
        True,
        False,
        False,
    ]
