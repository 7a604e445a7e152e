"""The report as PDF, printed by a Chromium that is found on this machine. Nothing else of the kit needs one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kit.errors import KitError

__all__ = ["BROWSER", "browser", "printed"]

BROWSER = "KIT_CHROMIUM"
"""The environment variable that names the browser to print with, where it is not found by itself."""

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
SECONDS = 120


def browser() -> str:
    """The program to print with; "" if there is none."""
    named = os.environ.get(BROWSER, "")
    found = (shutil.which(name) for name in ([named] if named else [*NAMES, *MAC]))
    return next((path for path in found if path), "")


def printed(page: Path) -> Path:
    """Print an HTML file to a PDF of the same name beside it, tagged and with an outline; the PDF's path.

    Raises:
        KitError: no Chromium is found, or it did not print.
    """
    program = browser()
    if not program:
        raise KitError(
            "No Chromium is found to print the PDF with; the HTML report is written.",
            f"Install one (apt-get install chromium), or set {BROWSER} to one, or print the report in your browser.",
        )
    pdf = page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory(prefix="kit-pdf-") as profile:
        new = Path(profile) / "page.pdf"
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            f"--user-data-dir={profile}",
            f"--print-to-pdf={new}",
            page.resolve().as_uri(),
        ]
        if sys.platform == "linux" and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium does not start as root with it
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            told = done.stderr
        except subprocess.TimeoutExpired:
            told = f"it took longer than {SECONDS} s"
        except OSError as error:
            told = str(error)
        if not new.is_file():
            last = next((line for line in reversed(told.splitlines()) if line.strip()), "it said nothing")
            raise KitError(
                f"{program} did not print the report: {last[:200]}.",
                f"Print {page} in a browser, or set {BROWSER} to another Chromium.",
            )
        try:
            shutil.move(new, pdf)
        except OSError as error:
            raise KitError(
                f"The PDF {pdf} cannot be written: {error.strerror or error}.",
                "Close or remove it, then write it again.",
            ) from None
    return pdf
