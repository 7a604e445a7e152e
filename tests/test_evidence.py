"""Executed runbooks as pages beside the report: they neither act nor load, and what is missing is told."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import nbformat
import pytest
from fixtures import story
from fixtures.reading import seen

from kit import board as boards
from kit import evidence, journal, report
from kit.cards import DONE

PLAN = story.plan()
ZONE = PLAN.event.zone
DAY_1, DAY_2 = (dt.datetime(2026, 12, day, 9, tzinfo=ZONE) for day in (1, 2))
REHEARSAL = dt.datetime(2026, 11, 23, 9, tzinfo=ZONE)


def written(home: Path, events: list[journal.Event], day: int = 1, now: dt.datetime | None = None) -> str:
    return report.day(PLAN, events, day, home=home, now=now or DAY_1.replace(hour=17)).read_text(
        encoding="utf-8"
    )


@pytest.fixture
def told() -> story.Story:
    return story.Story()


def test_executed_runbooks_lie_beside_it_as_html(tmp_path: Path) -> None:
    events = story.events(PLAN, days=1)
    story.executed_copies(tmp_path, events)
    page = written(tmp_path, events)
    links = [link for link in re.findall(r'href="([^"#]+)"', page) if not link.startswith("#")]
    done = [c for c in boards.fold(PLAN, events).cards if c.state == DONE]
    assert len(done) > 3
    for card in done:
        assert f"notebooks/{card.id}.html" in links
    for link in links:
        assert (tmp_path / "reports" / link).is_file()
    executed = (tmp_path / "reports" / "notebooks" / f"{done[0].id}.html").read_text()
    assert f"<title>{done[0].label}, executed</title>" in executed
    assert "✓ No row is in two splits" in executed
    assert re.search(r"<h1[^>]*>[A-Z0-9]+ · As it ran", executed)
    assert "<th>month</th>" in executed


def test_an_executed_page_neither_acts_nor_loads(tmp_path: Path) -> None:
    events = story.events(PLAN, days=1)
    story.executed_copies(tmp_path, events)
    written(tmp_path, events)
    pages = list((tmp_path / "reports" / "notebooks").glob("*.html"))
    assert pages
    for page in pages:
        text = page.read_text()
        assert "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
        assert "<script" not in text
        assert not re.search(r'(src|href)="(?!data:|#)', text)
        assert "Left out: a part that needs a script to show." in text
        assert "Left out: an image that is not in the notebook." in text


@pytest.mark.parametrize(
    "markup",
    [
        "<SCRIPT>alert(1)</SCRIPT >",
        "<script src=http://e.com/x.js>",
        "<scr<script>ipt>alert(1)</script>",
        '<meta http-equiv="refresh" content="0;url=http://e.com">',
        '<iframe src="http://e.com"></iframe>',
        '<img src="http://e.com/x.png">',
        "<img\nsrc=http://e.com/x.png>",
        '<link rel="stylesheet" href="http://e.com/x.css">',
        "<base href=http://e.com>",
    ],
)
def test_markup_of_runbooks_is_made_inert(markup: str) -> None:
    assert not re.search(r"<(script|meta|iframe|img|link|base)\b", evidence.inert(markup), re.IGNORECASE)


def test_links_that_would_lead_nowhere_become_text() -> None:
    links = '<a href="d1.ipynb">D1</a> <a class="x" href="../runbooks/plan.yml">the <b>plan</b></a> <a href="javascript:alert(1)">x</a>'
    assert evidence.inert(links) == "D1 the <b>plan</b> x"
    kept = '<a href="#part">here</a> <a href="https://docs.aws.amazon.com/">AWS</a>'
    assert evidence.inert(kept) == kept


def test_tables_and_embedded_figures_of_runbooks_stay(tmp_path: Path) -> None:
    table = '<table class="dataframe"><tr><th>a</th></tr></table><style scoped>td {color: red}</style>'
    figure = '<img alt="a" src="data:image/png;base64,AA==">'
    assert evidence.inert(table + figure) == table + figure


def test_an_executed_copy_that_is_gone_is_told(tmp_path: Path, told: story.Story) -> None:
    told.complete(DAY_1, "D1", run="r1")
    told.tell(DAY_1, "executed", "D1", run="r1", copy="runs/r1/D1.ipynb")
    text = seen(written(tmp_path, told.events))
    assert "Missing: the executed copy runs/r1/D1.ipynb is gone." in text
    assert json.loads((tmp_path / "reports" / "day-1.json").read_text())["missing"] == [
        "D1: the executed copy runs/r1/D1.ipynb is gone"
    ]


def test_a_page_outlives_its_executed_copy(tmp_path: Path, told: story.Story) -> None:
    told.complete(DAY_1, "D1", run="r1")
    told.tell(DAY_1, "executed", "D1", run="r1", copy="runs/r1/D1.ipynb")
    story.executed_copies(tmp_path, told.events)
    written(tmp_path, told.events)
    (tmp_path / "runs" / "r1" / "D1.ipynb").unlink()
    page = written(tmp_path, told.events)
    assert "kept only as HTML: the executed copy runs/r1/D1.ipynb is gone" in seen(page)
    assert 'href="notebooks/D1.html"' in page


def test_an_executed_page_is_made_again_only_for_another_copy(tmp_path: Path, told: story.Story) -> None:
    told.complete(DAY_1, "D1", run="r1")
    told.tell(DAY_1, "executed", "D1", run="r1", copy="runs/r1/D1.ipynb")
    story.executed_copies(tmp_path, told.events)
    page = tmp_path / "reports" / "notebooks" / "D1.html"
    written(tmp_path, told.events)
    first = page.stat().st_ino
    written(tmp_path, told.events)
    assert page.stat().st_ino == first
    copy = tmp_path / "runs" / "r1" / "D1.ipynb"
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells[0].source = "# D1 · Another run"
    nbformat.write(notebook, copy)
    written(tmp_path, told.events)
    assert "Another run" in page.read_text()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no json",
        "[]",
        '{"cells": 1}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}',
    ],
)
def test_an_executed_copy_that_cannot_be_read_is_told(
    tmp_path: Path, told: story.Story, content: str
) -> None:
    told.complete(DAY_1, "D1", run="r1")
    told.tell(DAY_1, "executed", "D1", run="r1", copy="runs/D1.ipynb")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "D1.ipynb").write_text(content)
    assert "Missing: the executed copy runs/D1.ipynb cannot be read" in seen(written(tmp_path, told.events))


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "runs/../../x"])
def test_a_path_that_leads_out_of_the_events_folder_is_not_followed(
    tmp_path: Path, told: story.Story, path: str
) -> None:
    told.complete(DAY_1, "D1", run="r1", attachments=[{"title": "A file", "path": path}])
    told.tell(DAY_1, "executed", "D1", run="r1", copy=path)
    page = written(tmp_path / "home", told.events)
    assert seen(page).count(f"{path} lies outside of the event's folder") == 2
    assert not re.search(r'href="[^"]*(passwd|/x)"', page)


def test_attachments_are_linked_or_said_to_be_gone(tmp_path: Path, told: story.Story) -> None:
    file = tmp_path / "attachments" / "D1" / "a plot #1.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    told.tell(DAY_1, "attached", "D1", title="The plot", path="attachments/D1/a plot #1.png", sha256="0")
    told.tell(DAY_1, "attached", "D1", title="Another", path="attachments/D1/none.png", sha256="0")
    page = written(tmp_path, told.events)
    assert '<a href="../attachments/D1/a%20plot%20%231.png">The plot</a>' in page
    assert "Another Missing: attachments/D1/none.png is gone." in seen(page)
