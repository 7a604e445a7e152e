"""The system's Chromium for the browser tests, one for each file; and a port that stays a test's own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 120_000  # milliseconds: a busy machine is no failure


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Without a Chromium, tests here say what to do instead of failing."""
    if not CHROMIUM:
        pytest.skip("no Chromium here: apt-get install chromium, then run again")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser of a file. Not of the session: while it is there, nothing else in the process can run an event loop."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    """Opens a window of its own, as `context(**what Browser.new_context takes)`, which waits patiently."""
    opened: list[Any] = []

    def open_context(**options: Any) -> Any:
        opened.append(chromium.new_context(**options))
        opened[-1].set_default_timeout(PATIENCE)
        return opened[-1]

    yield open_context
    for one in opened:
        one.close()


@pytest.fixture
def port() -> Iterator[int]:
    """A port for a server that is started later, or again: bound here, though nobody listens, the system gives it to nobody else."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers set it: they can bind it too
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
