from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.event_input import MISSING, at_path, input_of, parameters

EVENT: dict[str, Any] = {
    "id": "1",
    "time": "2026-03-01T10:00:00Z",
    "source": "aws.sagemaker",
    "resources": ["arn:a"],
    "detail": {"name": 'say "yes"', "number": 3, "deep": {"list": [1, {"x": "y"}]}},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", EVENT),
        ("$.detail.number", 3),
        ("$.resources[0]", "arn:a"),
        ("$.detail.deep.list[1].x", "y"),
        ("$.detail['name']", 'say "yes"'),
        ("$.detail.none", MISSING),
        ("$.resources[1]", MISSING),
        ("$.source.name", MISSING),
    ],
)
def test_a_path_finds_what_lies_there(path: str, found: Any) -> None:
    assert at_path(EVENT, path) is found or at_path(EVENT, path) == found


@pytest.mark.parametrize("path", ["detail", "$..x", "$.detail[?(@.x)]"])
def test_another_form_of_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a JSON path"):
        at_path(EVENT, path)


def template(text: str, **paths: str) -> dict[str, Any]:
    return {"InputTransformer": {"InputTemplate": text, "InputPathsMap": paths}}


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ({}, json.dumps(EVENT)),
        ({"Input": '{"a": 1}'}, '{"a": 1}'),
        ({"InputPath": "$.detail.deep"}, '{"list": [1, {"x": "y"}]}'),
        (template('{"n": <n>, "what": "is <name>!"}', n="$.detail.number", name="$.detail.name"), '{"n": 3, "what": "is say \\"yes\\"!"}'),
        (template('{"name": <name>, "list": <list>}', name="$.detail.name", list="$.resources"), '{"name": "say \\"yes\\"", "list": ["arn:a"]}'),
        (template('"<name> has <n>"', n="$.detail.number", name="$.source"), '"aws.sagemaker has 3"'),
        (template('"one"\n"two <n>"', n="$.detail.number"), "one\ntwo 3"),
        (template('{"none": "<none>", "other": <none>}', none="$.detail.none"), '{"none": "", "other": ""}'),
        (template('"<aws.events.rule-name>: <unknown>"'), '"rule: <unknown>"'),
    ],
)  # fmt: skip
def test_a_target_is_sent_what_it_asks_for(target: dict[str, Any], sent: str) -> None:
    assert input_of(target, EVENT, "rule") == sent


def test_the_whole_event_can_stand_in_a_template() -> None:
    sent = json.loads(
        input_of(
            template('{"all": <aws.events.event.json>, "arn": "<aws.events.rule-arn>"}'),
            EVENT,
            "rule",
            "arn:r",
        )
    )
    assert sent == {"all": EVENT, "arn": "arn:r"}


@given(st.text(), st.text())
def test_any_text_of_an_event_leaves_the_template_json(one: str, two: str) -> None:
    event = {"detail": {"one": one, "two": two}}
    sent = input_of(
        template('{"bare": <one>, "quoted": "<two> and <one>"}', one="$.detail.one", two="$.detail.two"),
        event,
    )
    assert json.loads(sent) == {"bare": one, "quoted": f"{two} and {one}"}


def test_parameters_of_a_pipeline_come_from_the_event_or_are_as_they_are() -> None:
    listed = [
        {"Name": "N", "Value": "$.detail.number"},
        {"Name": "Fixed", "Value": "x"},
        {"Name": "A", "Value": "$.resources[0]"},
    ]
    assert parameters(listed, EVENT) == [
        {"Name": "N", "Value": "3"},
        {"Name": "Fixed", "Value": "x"},
        {"Name": "A", "Value": "arn:a"},
    ]
    with pytest.raises(ValueError, match=r"nothing at \$\.detail\.none for parameter N"):
        parameters([{"Name": "N", "Value": "$.detail.none"}], EVENT)
