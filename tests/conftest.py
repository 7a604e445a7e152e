"""Fixtures for all tests; `pythonpath` in pyproject.toml makes this folder importable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from small_event import SmallEvent

# How long an example takes says how busy the machine is, and nothing about the property.
settings.register_profile("kit", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kit")


@pytest.fixture
def small_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event_folder: Path) -> Iterator[SmallEvent]:
    """An empty small event; the process works in it, and its local AWS ends with the test."""
    root = tmp_path / "clone"
    root.mkdir()
    monkeypatch.chdir(root)
    yield SmallEvent(root)
    from kit.local_aws import process

    process.down(event_folder / "aws")
