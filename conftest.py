"""Every pytest run, also one that names a workstream's folder only, writes to an event folder of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Before collection: nbval's kernels inherit this environment. Each xdist worker has its own folder.
    os.environ["KIT_HOME"] = tempfile.mkdtemp(prefix="kit-test-")
    os.environ.pop("KIT_BOARD", None)
    os.environ.pop("KIT_PLAN", None)


@pytest.fixture(autouse=True)
def event_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private KIT_HOME for each test."""
    home = tmp_path / "event"
    monkeypatch.setenv("KIT_HOME", str(home))
    return home
