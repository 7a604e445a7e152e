"""The widgets in JupyterLab itself: a click reaches the journal, other people's work appears, a saved notebook still shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_event import METADATA, SmallEvent

from kit import journal, paths

REPOSITORY = Path(__file__).parent.parent.parent
NEWS = "@jupyterlab/apputils-extension:announcements"  # a dialog over everything
READY = """() => {
    const lab = window.jupyterapp, context = lab?.shell.currentWidget?.sessionContext;
    const kernel = context?.isReady && context.session?.kernel;
    return kernel?.connectionStatus === "connected" && kernel.status === "idle"
        && lab.commands.hasCommand("notebook:run-all-cells");
}"""  # what the indicator shows is "idle" before there is a kernel; then nothing would be run

pytestmark = pytest.mark.browser


def notebook(path: Path, *cells: str) -> None:
    raw = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "source": cell, "outputs": [], "execution_count": None}
        for n, cell in enumerate(cells)
    ]  # fmt: skip
    path.write_text(json.dumps({"cells": raw, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def lab(small_event: SmallEvent, tmp_path: Path, port: int) -> Iterator[str]:
    """JupyterLab in the small event; yields its address."""
    small_event.add("A")
    small_event.add("B", workstream="foundations")
    notebook(
        small_event.root / "board.ipynb", "import kit\n\nkit.widgets.board()", "kit.widgets.parameters('A')"
    )
    settings = tmp_path / "jupyter" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(json.dumps({"disabledExtensions": {NEWS: True}}))
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONPATH": str(REPOSITORY),
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--port={port}",
        "--ServerApp.port_retries=0",
    ]
    command += [
        "--IdentityProvider.token=",
        "--expose-app-in-browser",
        f"--ServerApp.root_dir={small_event.root}",
    ]
    command += ["--allow-root"]
    server = subprocess.Popen(
        command,
        env=environment,
        cwd=small_event.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line)
        if "is running at" in line:
            break
    else:
        pytest.fail("JupyterLab did not start:\n" + "".join(said[-20:]))
    rest = threading.Thread(target=server.stderr.read, daemon=True)  # else the pipe fills
    rest.start()
    yield f"http://127.0.0.1:{port}/lab/tree/board.ipynb"
    server.terminate()
    try:
        server.wait(20)  # now and then it does not end while it starts a kernel
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    rest.join(10)


@pytest.fixture
def opened(lab: str, context: Any) -> Iterator[Any]:
    """The notebook, open and its kernel ready; nothing may be asked of another machine, nothing go wrong in the page."""
    asked: list[str] = []
    wrong: list[str] = []
    found = context(viewport={"width": 1440, "height": 1000}).new_page()
    found.on("request", lambda request: asked.append(request.url))
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.goto(lab)
    found.wait_for_function(READY)
    yield found
    found.close()
    own = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    assert asked
    assert [url for url in asked if not url.startswith(own)] == []
    assert wrong == []


def command(found: Any, name: str) -> None:
    found.evaluate("name => window.jupyterapp.commands.execute(name)", name)


def kept(found: Any, name: str) -> None:
    """Keep a screenshot to look at, in the ignored event folder of the repository."""
    folder = REPOSITORY / "event" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    found.screenshot(path=folder / f"{name}.png")


def test_a_click_in_jupyterlab_reaches_the_journal(opened: Any, small_event: SmallEvent) -> None:
    command(opened, "notebook:run-all-cells")
    start = opened.get_by_role("button", name="Start", exact=True)
    start.wait_for()
    opened.get_by_text('kit.widgets.board().start("A")').wait_for()
    start.click()
    opened.get_by_text("✓ A · Card A: Doing").wait_for()
    assert [(e.type, e.card) for e in journal.here().snapshot()] == [("started", "A")]

    block = opened.get_by_role("button", name="Block", exact=True)
    assert block.is_disabled()
    opened.get_by_placeholder("why it cannot go on").fill("no <b>quota</b>")
    opened.get_by_placeholder("who can help").fill("desk")
    block.and_(opened.locator(":enabled")).click()
    opened.get_by_text("✓ A · Card A: Blocked").wait_for()
    opened.locator("table").get_by_text("no <b>quota</b>").first.wait_for()
    assert dict(journal.here().snapshot()[-1].data) == {"reason": "no <b>quota</b>", "unblocker": "desk"}

    journal.open(paths.home() / "board" / "journal", "somebody else").append("started", "B")
    opened.get_by_role("columnheader", name="◐ Doing 1").filter(visible=True).wait_for()
    kept(opened, "widgets-board")

    # Run again: one board follows, and the one before is gone.
    command(opened, "notebook:run-all-cells")
    opened.wait_for_function("document.querySelectorAll('.jp-Cell').length === 2")
    opened.get_by_role("button", name="Unblock", exact=True).and_(opened.locator(":enabled")).click()
    opened.get_by_text("✓ A · Card A: Doing").wait_for()
    assert opened.get_by_role("button", name="Start", exact=True).count() == 1

    # The form beside it
    rows = opened.get_by_role("textbox", name="rows")
    rows.fill("many")
    rows.press("Tab")
    opened.get_by_text("✗ A: rows is int, not 'many'.").wait_for()
    opened.get_by_role("button", name="Run", exact=True).and_(opened.locator(":disabled")).wait_for()
    rows.fill("12")
    rows.press("Tab")
    opened.get_by_text("kit run A -p rows 12").wait_for()
    kept(opened, "widgets-parameters")

    # Saved and opened without its kernel, there is the table that stands still
    command(opened, "docmanager:save")
    saved = small_event.root / "board.ipynb"
    opened.wait_for_function("!window.jupyterapp.shell.currentWidget.model.dirty")
    tables = [
        o for o in json.loads(saved.read_text())["cells"][0]["outputs"] if "text/html" in o.get("data", {})
    ]
    assert "<b>B</b> Card B" in "".join(tables[0]["data"]["text/html"])
    assert not any("application/vnd.jupyter.widget-view+json" in o["data"] for o in tables)
    opened.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    opened.reload()
    still = opened.locator("div[class^=kit-board] table")
    still.wait_for()
    assert still.get_by_text("Card B").is_visible()
    kept(opened, "widgets-saved")
