"""The callers, the planted slow model and the reading of captures that M6 uses."""

from __future__ import annotations

import importlib
import io
import json
import sys
import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from jobs import load

(trials,) = load("model_engineering", "endpoint_trials")


def test_callers_ask_until_the_block_ends_and_note_what_failed() -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        if number == 1:
            raise ConnectionError("gone")

    with trials.Callers(ask, at_once=2, pause=0.0) as callers:
        while len(callers.calls) < 20 or not any(call.failure for call in callers.calls):
            time.sleep(0.001)
        assert callers.seconds > 0
    count = len(asked)
    for caller in (0, 1):  # each has numbers of its own, none twice
        mine = [number for number in asked if number % 2 == caller]
        assert mine == list(range(caller, caller + 2 * len(mine), 2))
    assert [call.failure for call in callers.calls if call.failure] == ["ConnectionError: gone"]
    assert all(call.milliseconds >= 0 and call.at >= 0 for call in callers.calls)
    time.sleep(0.02)
    assert len(asked) == count == len(callers.calls)


def test_a_call_is_measured_from_its_own_beginning() -> None:
    began = time.perf_counter()
    time.sleep(0.02)
    call = trials.timed(lambda _: time.sleep(0.03), 0, began)
    whole = 1000 * (time.perf_counter() - began)
    assert call.at >= 0.02
    assert 30 <= call.milliseconds <= whole - 1000 * call.at
    assert call.failure == ""


def archive(folder: Path, script: str) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(script)
    (folder / "model.txt").write_text("trees")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as packed:
        for name in ("code", "model.txt"):
            packed.add(folder / name, name)
    return folder / "model.tar.gz"


def test_a_slowed_model_predicts_the_same_and_takes_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = archive(
        tmp_path / "given", '"""A model."""\n\n\ndef predict_fn(data, model):\n    return data + 1\n'
    )
    slow = trials.slowed(given, tmp_path / "slow.tar.gz", 0.1)
    with tarfile.open(slow) as packed:
        assert sorted(packed.getnames()) == ["code", "code/inference.py", "model.txt"]
        packed.extractall(tmp_path / "slow", filter="data")
    monkeypatch.syspath_prepend(str(tmp_path / "slow" / "code"))
    monkeypatch.delitem(sys.modules, "inference", raising=False)
    inference = importlib.import_module("inference")
    monkeypatch.delitem(sys.modules, "inference")
    began = time.perf_counter()
    assert inference.predict_fn(1, None) == 2
    assert time.perf_counter() - began >= 0.1


class Store:
    """As much of S3 as `captured` asks."""

    def __init__(self, objects: dict[str, tuple[datetime, str]]) -> None:
        self.objects = objects

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        found = [
            {"Key": key, "LastModified": at}
            for key, (at, _) in sorted(self.objects.items())
            if key.startswith(Prefix)
        ]
        return [{"Contents": found[:1]}, {"Contents": found[1:]}, {}]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[Key][1].encode())}


def test_captured_lines_are_those_of_the_prefix_since_then() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    line = "\n".join(json.dumps({"n": n}) for n in (1, 2)) + "\n"
    store = Store(
        {
            "capture/a/new.jsonl": (now, line),
            "capture/a/old.jsonl": (now - timedelta(hours=1), json.dumps({"n": 0})),
            "capture/a/z.jsonl": (now, json.dumps({"n": 3})),
            "captured-elsewhere/x.jsonl": (now, json.dumps({"n": 9})),
        }
    )
    assert [row["n"] for row in trials.captured(store, "s3://b/capture/", now)] == [1, 2, 3]


def test_the_picture_shows_each_call_the_limit_and_the_moments() -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    calls = [trials.Call(0.1, 10.0), trials.Call(0.2, 900.0), trials.Call(0.3, 5.0, "ModelError: x")]
    trials.draw(ax, calls, 500, [(0.2, "canary")])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["2 requests answered", "1 requests failed", "alarm: 500 ms on average"]
    assert [text.get_text() for text in ax.texts] == ["canary"]
    assert sorted(len(one.get_offsets()) for one in ax.collections) == [1, 2]
    plt.close(fig)
