"""What M6 tries on an endpoint: callers who ask all the time, a model that is planted slow, what was captured, a picture of it all."""

from __future__ import annotations

import json
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = ["Call", "Callers", "captured", "draw", "slowed", "timed"]

PAUSE = 0.05  # seconds between two requests of a caller


@dataclass(frozen=True)
class Call:
    """One request: when it began (seconds after the first one could), how long it took (milliseconds), why it failed ("": it did not)."""

    at: float
    milliseconds: float
    failure: str = ""


def timed(ask: Callable[[int], Any], number: int, since: float) -> Call:
    """One call of `ask(number)`; what it raises is its failure. `since`: the time.perf_counter() that counts as zero."""
    began, failure = time.perf_counter(), ""
    try:
        ask(number)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    return Call(began - since, 1000 * (time.perf_counter() - began), failure)


class Callers:
    """Callers who ask one after the other, each all the time, while the `with` block runs: `with Callers(ask, 4) as callers: ...`.

    `ask(number)` sends request `number` and raises where it is not answered. `calls` holds them in the order in which they ended.
    """

    def __init__(self, ask: Callable[[int], Any], at_once: int, pause: float = PAUSE) -> None:
        self.calls: list[Call] = []
        self._ask, self._at_once, self._pause = ask, at_once, pause
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(at_once)
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the first request could begin: the clock of `Call.at`."""
        return time.perf_counter() - self._since

    def __enter__(self) -> Callers:
        self._since = time.perf_counter()
        for caller in range(self._at_once):
            self._pool.submit(self._run, caller)
        return self

    def _run(self, number: int) -> None:
        while not self._done.is_set():
            self.calls.append(timed(self._ask, number, self._since))
            number += self._at_once
            self._done.wait(self._pause)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._pool.shutdown()


SLOW = '''

import time as _time

_predict = predict_fn


def predict_fn(data, model):
    """Planted: the same predictions, late."""
    _time.sleep({seconds})
    return _predict(data, model)
'''


def slowed(archive: Path, target: Path, seconds: float) -> Path:
    """A copy of a model archive whose predictions are the same and take that much longer: `target`, a tar.gz."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        script = Path(folder, "code", "inference.py")
        script.write_text(script.read_text(encoding="utf-8") + SLOW.format(seconds=seconds), encoding="utf-8")
        with tarfile.open(target, "w:gz") as packed:
            for path in sorted(Path(folder).iterdir()):
                packed.add(path, path.name)
    return target


def captured(s3: Any, uri: str, since: datetime) -> list[dict[str, Any]]:
    """The lines that data capture wrote below an s3:// URI from then on, in the order of their objects' names.

    Format of a line: SageMaker Developer Guide, "Capture data from real-time endpoint".
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix.rstrip("/") + "/")
    keys = [one["Key"] for page in pages for one in page.get("Contents", []) if one["LastModified"] >= since]
    lines: list[dict[str, Any]] = []
    for key in keys:
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        lines += [json.loads(line) for line in text.splitlines()]
    return lines


def draw(ax: Any, calls: Sequence[Call], limit: float, marks: Sequence[tuple[float, str]] = ()) -> None:
    """Latency over time, one dot a request; failed requests as crosses, the limit (milliseconds) dashed, moments (seconds) marked."""
    for kept, style, label in (
        ([c for c in calls if not c.failure], {"marker": ".", "color": "tab:blue"}, "answered"),
        ([c for c in calls if c.failure], {"marker": "x", "color": "tab:red"}, "failed"),
    ):
        if kept:
            ax.scatter(
                [c.at for c in kept],
                [c.milliseconds for c in kept],
                s=14,
                label=f"{len(kept)} requests {label}",
                **style,
            )
    ax.axhline(limit, color="tab:orange", linestyle="--", label=f"alarm: {limit:g} ms on average")
    for at, text in marks:
        ax.axvline(at, color="grey", linewidth=1)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "right"}
        ax.annotate(text, (at, 1), xytext=(-4, -14), **place)
    ax.set(yscale="log", xlabel="seconds since the update began", ylabel="latency seen by the caller, ms")
    ax.set_ylim(top=5 * max(limit, *(call.milliseconds for call in calls)))
    ax.legend(loc="center right")
