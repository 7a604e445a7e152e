"""A pytest run never writes to the event's own folder, also one that names a workstream's folder only."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

MADE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the run an event folder of its own where KIT_HOME names none; nbval's kernels inherit it."""
    if "KIT_HOME" not in os.environ:
        config.stash[MADE] = Path(tempfile.mkdtemp(prefix="kit-test-"))
        os.environ["KIT_HOME"] = str(config.stash[MADE])


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the run's own folder holds."""
    if folder := config.stash.get(MADE, None):
        from kit.local_aws import process

        process.down(folder / "aws")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def event_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private KIT_HOME for each test."""
    home = tmp_path / "event"
    monkeypatch.setenv("KIT_HOME", str(home))
    monkeypatch.delenv("KIT_BOARD", raising=False)
    monkeypatch.delenv("KIT_PLAN", raising=False)
    return home
