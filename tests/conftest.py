"""Fixtures for all tests; `pythonpath` in pyproject.toml makes this folder importable."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from small_event import SmallEvent

# How long an example takes says how busy the machine is, and nothing about the property. The same examples are tried each
# time, so that a change fails by what it changed; `make stress` searches for new ones.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("kit", patient, derandomize=True)
settings.register_profile("search", patient)
settings.load_profile("kit")

# A shell without job control starts what runs in the background deaf to Ctrl-C, and its children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def small_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event_folder: Path) -> Iterator[SmallEvent]:
    """An empty small event; the process works in it, and its local AWS ends with the test."""
    root = tmp_path / "clone"
    root.mkdir()
    monkeypatch.chdir(root)
    yield SmallEvent(root)
    from kit.local_aws import process

    process.down(event_folder / "aws")
