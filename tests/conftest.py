"""Fixtures for all tests; `pythonpath` in pyproject.toml makes this folder importable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_event import SmallEvent


@pytest.fixture
def small_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event_folder: Path) -> Iterator[SmallEvent]:
    """An empty small event; the process works in it, and its local AWS ends with the test."""
    root = tmp_path / "clone"
    root.mkdir()
    monkeypatch.chdir(root)
    yield SmallEvent(root)
    from kit.local_aws import process

    process.down(event_folder / "aws")
