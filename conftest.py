"""A pytest run never writes to the event's own folder, also one that names a workstream's folder only."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
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
def event_folder(tmp_path: Path) -> Iterator[Path]:
    """A private KIT_HOME for each test, nobody's AWS keys, and afterwards the process as it was before.

    A connection to a local AWS points the whole process at it, and boto3 keeps its first session: the next test
    must find neither.
    """
    before = dict(os.environ)
    home = tmp_path / "event"
    for name in ("KIT_BOARD", "KIT_PLAN"):
        os.environ.pop(name, None)
    os.environ |= {
        "KIT_HOME": str(home),
        "AWS_ACCESS_KEY_ID": "of-a-test",
        "AWS_SECRET_ACCESS_KEY": "of-a-test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    yield home
    os.environ.clear()
    os.environ |= before
    if "boto3" in sys.modules:
        sys.modules["boto3"].DEFAULT_SESSION = None
