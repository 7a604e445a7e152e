"""The golden requests of every runbook against AWS's service models and the rules beside them; and what makes them golden."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import golden
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import paths, plan, requests

PLAN = plan.load(paths.root() / "runbooks" / "plan.yml")
CARDS = sorted(golden.cards(PLAN))


@pytest.mark.parametrize("card", CARDS)
def test_every_request_of_a_runbook_holds_against_the_models(card: str) -> None:
    assert (golden.FOLDER / f"{card}.json").is_file(), f"{card} has no golden requests: make golden"
    found = golden.load(card)
    broken = [
        f"{service}.{action}: {problem}"
        for service, action, params in golden.all_of(found)
        for problem in golden.wrong(service, action, params)
    ]
    assert not broken


def test_no_file_is_left_of_a_runbook_that_there_is_no_more() -> None:
    left = {file.stem for file in golden.FOLDER.glob("*.json")} - {*CARDS, "X0"}
    assert not left


def test_golden_requests_hold_nothing_of_a_machine_or_a_run() -> None:
    for file in golden.FOLDER.glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        assert golden.plain(found) == found, file.name


volatile = st.one_of(
    st.text("0123456789abcdef-.:/TZ ", max_size=15),
    st.integers(min_value=0, max_value=10**13).map(str),
    st.from_regex(r"[0-9a-f]{6,14}", fullmatch=True),
    st.from_regex(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", fullmatch=True),
    st.from_regex(r"202\d(-[0-3]\d){5}(-\d{3})?", fullmatch=True),
    st.uuids().map(str),
    st.from_regex(r"202\d-[01]\d-[0-3]\dT\d\d:\d\d:\d\d(\.\d+)?Z?", fullmatch=True),
    st.floats().map(str),
    st.sampled_from(["127.0.0.1:4", "/", "eba-", "arn:aws:x:", "-001-", "ssoins-", "x" * 2990]),
    st.sampled_from([str(paths.root()), tempfile.gettempdir()]),
)
values = st.recursive(
    st.lists(volatile, max_size=6).map("".join) | st.integers() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Key", "StartTime", "Timestamp", "Range"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=1000, deadline=None)
@given(values)
def test_what_was_made_plain_is_plain(value: Any) -> None:
    once = golden.plain(value)
    assert golden.plain(once) == once


def test_a_digest_is_no_account() -> None:
    plain = golden.plain("eba/d1/raw/1f2e3d4c5b6a of 750510229520")
    assert plain == f"eba/d1/raw/{'0' * 12} of {golden.ACCOUNT}"


def test_a_digest_of_digits_is_one_too() -> None:
    job = golden.plain("pipelines-750510229520-watch-6499228828")
    assert job == f"pipelines-{'0' * 12}-watch-{'0' * 10}"
    assert golden.plain("eba-features-1764547200") == "eba-features-1796083200", "a time is none"
    assert golden.plain("o4/20261123T153345Z.json") == "o4/20261201T000000Z.json"


def test_when_something_was_captured_or_received_is_not_kept() -> None:
    captured = "AllTraffic/2026/11/23/12/40-52-627-0f0e0d0c-1111-4222-8333-444455556666.jsonl"
    assert (
        golden.plain(captured)
        == f"AllTraffic/2026/12/01/00/00-00-000-{'0' * 8}-0000-0000-0000-{'0' * 12}.jsonl"
    )
    assert golden.plain({"ReceiptHandle": "vxcpx"}) == {"ReceiptHandle": requests.CUT}


def test_of_cards_that_share_a_notebook_the_first_has_the_golden_requests() -> None:
    notebooks = [paths.root() / card.notebook for card in PLAN.in_order()]
    found = golden.cards(PLAN)
    assert list(found.values()) == list(dict.fromkeys(notebooks))
    assert len(found) < len(notebooks)
    assert not {"S1p", "S2a", "R2"} & set(found)
    for card, notebook in found.items():
        if notebooks.count(notebook) > 1:
            parameters = next(
                c for c in json.loads(notebook.read_text())["cells"] if c.get("id") == "parameters"
            )
            assert f'card: str = "{card}"' in "".join(parameters["source"]), "it runs as its default card"


def test_who_asks_nothing_has_no_golden_requests(tmp_path: Path) -> None:
    assert golden.made(tmp_path / "F9.jsonl") == {}


def request_of_training() -> dict[str, Any]:
    for card in CARDS:
        for service, action, params in golden.all_of(golden.load(card)):
            if (service, action) == ("sagemaker", "CreateTrainingJob"):
                return copy.deepcopy(params)
    raise AssertionError("no runbook trains")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"TrainingJobName": "under_score"}, "regular expression"),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTime"),
        ({"Unheard": 1}, "Unheard"),
        ({"RoleArn": 5}, "RoleArn"),
    ],
)
def test_a_wrong_request_is_told(change: dict[str, Any], said: str) -> None:
    request = request_of_training()
    assert golden.wrong("sagemaker", "CreateTrainingJob", request) == []
    assert said in " ".join(golden.wrong("sagemaker", "CreateTrainingJob", request | change))


def test_an_action_that_there_is_not_is_told() -> None:
    assert golden.wrong("sagemaker", "TrainSomething", {})


def logged(folder: Path, *sent: dict[str, Any]) -> Path:
    file = folder / "F9.jsonl"
    lines = [{"service": "s3", "action": "PutObject", "own": True, "code": ""} | one for one in sent]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def test_the_same_request_in_another_run_is_the_same(tmp_path: Path) -> None:
    runs = [
        {"params": {"Bucket": "eba-750510229520-us-east-1", "Key": "eba/f9/20261123-115500-1f2e3d/a"}},
        {"params": {"Bucket": "eba-111122223333-us-east-1", "Key": "eba/f9/20270102-031500-9a8b7c/a"}},
    ]
    first, second = (golden.made(logged(tmp_path, run)) for run in runs)
    assert first == second


def test_another_action_field_or_right_is_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "FOLDER", tmp_path / "golden")
    place = {"Bucket": "eba-111122223333-us-east-1", "Key": "eba/f9/a"}
    kept = golden.made(logged(tmp_path, {"params": place}))
    golden.write("F9", kept)
    assert golden.load("F9") == kept
    assert golden.news("F9", kept) == []
    changes: list[tuple[dict[str, Any], str]] = [
        ({"action": "DeleteObject", "params": place}, "F9: s3.DeleteObject is new (own)"),
        ({"params": place, "own": False}, "F9: s3.PutObject is new (others)"),
        ({"params": place | {"ServerSideEncryption": "aws:kms"}}, "+ServerSideEncryption"),
        ({"params": place | {"Key": "eba/d1/a"}}, "asks for s3:PutObject"),
    ]
    for sent, said in changes:
        [news] = golden.news("F9", golden.made(logged(tmp_path, sent)))
        assert said in news


def test_a_runbook_without_golden_requests_is_all_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "FOLDER", tmp_path / "golden")
    sent = {"params": {"Bucket": "eba-111122223333-us-east-1", "Key": "eba/f9/a"}}
    assert golden.news("F9", golden.made(logged(tmp_path, sent))) == ["F9: s3.PutObject is new (own)"]
