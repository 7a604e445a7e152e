"""The PDF: which Chromium prints, and what is said where none does."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from kit import paths, pdf
from kit.cli import cli
from kit.errors import KitError


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "day-1.html"
    file.write_text("<!DOCTYPE html><title>x</title>", encoding="utf-8")
    return file


def stand_in(folder: Path, script: str) -> str:
    program = folder / "chromium"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def test_without_a_chromium_it_says_so_in_two_lines(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(pdf, "MAC", ())
    monkeypatch.delenv(pdf.BROWSER, raising=False)
    assert pdf.browser() == ""
    with pytest.raises(KitError, match="No Chromium is found") as refused:
        pdf.printed(page)
    assert len(str(refused.value).splitlines()) == 2
    assert not page.with_suffix(".pdf").exists()


def test_a_named_browser_is_taken_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = stand_in(tmp_path, "true")
    monkeypatch.setenv(pdf.BROWSER, program)
    assert pdf.browser() == program
    monkeypatch.setenv(pdf.BROWSER, str(tmp_path / "none"))
    assert pdf.browser() == ""


def test_what_the_browser_prints_lies_beside_the_page(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'for a in "$@"; do case $a in --print-to-pdf=*) echo "%PDF $*" > "${a#*=}";; esac; done'
    monkeypatch.setenv(pdf.BROWSER, stand_in(tmp_path, script))
    made = pdf.printed(page)
    assert made == page.with_suffix(".pdf")
    told = made.read_text()
    assert told.startswith("%PDF")
    assert told.rstrip().endswith(page.as_uri())
    assert "--no-pdf-header-footer" in told


def test_a_browser_that_does_not_print_is_told(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(pdf.BROWSER, stand_in(tmp_path, "echo it is broken >&2; exit 1"))
    with pytest.raises(KitError, match="it is broken") as refused:
        pdf.printed(page)
    assert len(str(refused.value).splitlines()) == 2


def test_a_browser_that_hangs_is_ended(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "SECONDS", 0.2)
    monkeypatch.setenv(pdf.BROWSER, stand_in(tmp_path, "exec sleep 600"))
    with pytest.raises(KitError, match="took longer than"):
        pdf.printed(page)


def test_the_command_prints_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.HOME if hasattr(paths, "HOME") else "KIT_HOME", str(tmp_path / "event"))
    script = 'for a in "$@"; do case $a in --print-to-pdf=*) echo "%PDF" > "${a#*=}";; esac; done'
    monkeypatch.setenv(pdf.BROWSER, stand_in(tmp_path, script))
    done = CliRunner().invoke(cli, ["report", "--day", "1", "--pdf"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "event" / "reports" / "day-1.pdf").is_file()
    assert f"PDF:    {tmp_path / 'event' / 'reports' / 'day-1.pdf'}" in done.output
