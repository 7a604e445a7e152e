from __future__ import annotations

import json
import re

import pytest

from kit.local_aws.log_patterns import pattern, value_of

LINE = json.dumps(
    {
        "eventName": "AssumeRole",
        "n": 5,
        "ok": True,
        "none": None,
        "who": {"arn": "arn:aws:iam::1:role/Eba[x]"},
        "list": [{"a": "b"}],
    }
)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ('{ $.eventName = "AssumeRole" }', True),
        ("{ $.eventName = Assume* }", True),
        ('{ $.eventName != "AssumeRole" }', False),
        ('{ $.missing != "AssumeRole" }', False),
        ('{ ($.eventName = "AssumeRole") && (($.who.arn = "x") || ($.who.arn = "*role/Eba[x]*")) }', True),
        ('{ $.eventName = "AssumeRole" && $.n > 5 || $.n <= 5 }', True),
        ("{ $.n >= 5 && $.n < 6 && $.n != 7 }", True),
        ('{ $.n = "5" }', True),
        ("{ $.eventName > 3 }", False),
        ("{ $.ok IS TRUE && $.none IS NULL }", True),
        ("{ $.ok IS FALSE }", False),
        ("{ $.missing NOT EXISTS && $.n EXISTS }", True),
        ("{ $.list[0].a = b }", True),
        ('AssumeRole "role/Eba"', True),
        ("AssumeRole -Eba", False),
        ("?Nothing ?AssumeRole", True),
        ("Nothing", False),
        ("", True),
    ],
)
def test_a_line_matches(text: str, matches: bool) -> None:
    assert pattern(text)(LINE) is matches


def test_a_line_that_is_no_json_matches_no_pattern_of_json() -> None:
    assert not pattern("{ $.n NOT EXISTS }")("plain text")


@pytest.mark.parametrize(
    "text",
    ["[ip, user]", "{ $.a = ", "{ a = 1 }", "{ ($.a = 1 }", "{ $.a ~ 1 }", "{ $.a > b }", "{ $.a = 1 } x"],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.compile("")):
        pattern(text)


def test_a_match_counts_a_number_or_what_the_line_has() -> None:
    assert (
        value_of("1", LINE),
        value_of("$.n", LINE),
        value_of("$.who", LINE),
        value_of("$.missing", LINE),
    ) == (1.0, 5.0, None, None)
