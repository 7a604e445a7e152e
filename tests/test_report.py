"""The day-end report: what it tells of a day, what it links, and that nothing in it acts or loads."""

from __future__ import annotations

import dataclasses
import datetime as dt
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from fixtures import story

from kit import board as boards
from kit import charts, evidence, journal, report
from kit.cards import DONE
from kit.errors import KitError, UsageError

PLAN = story.plan()
ZONE = PLAN.event.zone
DAY_1, DAY_2 = (dt.datetime(2026, 12, day, 9, tzinfo=ZONE) for day in (1, 2))
REHEARSAL = dt.datetime(2026, 11, 23, 9, tzinfo=ZONE)


def written(home: Path, events: list[journal.Event], day: int = 1, now: dt.datetime | None = None) -> str:
    return report.day(PLAN, events, day, home=home, now=now or DAY_1.replace(hour=17)).read_text(
        encoding="utf-8"
    )


def seen(page: str) -> str:
    """The text of a page as a person sees it, in one line."""

    class Text(html.parser.HTMLParser):
        found = ""
        inside_style = False

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.inside_style = tag == "style"
            self.found += " " if tag in ("td", "th", "dt", "dd", "br", "p", "div", "li") else ""

        def handle_endtag(self, tag: str) -> None:
            self.inside_style = False

        def handle_data(self, data: str) -> None:
            self.found += "" if self.inside_style else data

    text = Text()
    text.feed(page)
    return " ".join(text.found.split())


@pytest.fixture
def told() -> story.Story:
    return story.Story()


# What it tells


def test_the_report_of_a_day_tells_cards_checks_outputs_metrics_and_notes(
    tmp_path: Path, told: story.Story
) -> None:
    told.tell(DAY_1, "claimed", "D1", owner="Platform lead")
    told.tell(DAY_1, "claimed", "D1", owner="Data lead")
    checks = [
        {"check": "Every row has an id", "ok": True, "got": "20,000", "expected": "20,000", "value": 20000}
    ]
    told.complete(
        DAY_1 + dt.timedelta(minutes=42),
        "D1",
        checks=checks,
        seconds=12.34,
        metrics={"auc": 0.81234, "rows": 12345},
        outputs={"raw": "s3://b/k"},
    )
    told.tell(DAY_1 + dt.timedelta(minutes=50), "noted", "D1", "Eve", text="Went well 🎉")
    text = seen(written(tmp_path, told.events))
    assert "Day 1 Tuesday, 1 December 2026" in text
    assert "1 of 9 cards of day 1 is done." in text
    assert (
        "Done D1 · Collect the data Platform lead · Data lead helps · ran 09:42 in 12.3 s · run by hand, so there is no executed copy"
        in text
    )
    assert "✓ yes Every row has an id 20,000 20,000" in text
    assert "auc 0.8123 rows 12,345" in text
    assert "raw s3://b/k" in text
    assert "Went well 🎉 Eve, 09:50" in text
    assert "As of 17:00 Europe/Berlin." in text


def test_a_blocker_has_its_reason_its_unblocker_and_its_event_hours(
    tmp_path: Path, told: story.Story
) -> None:
    told.tell(DAY_1.replace(hour=16), "blocked", "D1", reason="no access", unblocker="Security desk")
    told.tell(DAY_1, "blocked", "F1", reason="no quota")
    told.tell(DAY_1.replace(hour=11, minute=30), "unblocked", "F1")
    first = seen(written(tmp_path, told.events))
    assert "Blocked D1 Collect the data no access Security desk 59 min 16:00 to now" in first
    assert "Solved F1 Update access no quota nobody named 2 h 30 min 09:00 to 11:30" in first
    second = seen(written(tmp_path, told.events, 2, DAY_2.replace(hour=11)))
    assert "Blocked D1 Collect the data no access Security desk 2 h 59 min 1 Dec, 16:00 to now" in second
    assert "no quota" not in second


def test_a_failure_is_told_with_cell_and_message_without_terminal_colours(
    tmp_path: Path, told: story.Story
) -> None:
    told.tell(
        DAY_1,
        "failed",
        "D1",
        run="r",
        copy="",
        cell="check-ids",
        error="CheckFailed",
        message="got \x1b[31m17\x1b[0m",
    )
    text = seen(written(tmp_path, told.events))
    assert "Failed The last run failed at 09:00 in cell check-ids CheckFailed: got 17" in text
    assert "1 failed its last run" in text


def test_a_day_on_which_all_is_done_says_so(told: story.Story) -> None:
    for card in PLAN.cards:
        if card.day == 1:
            told.complete(DAY_1, card.id)
    told.tell(DAY_1, "accepted", "O2")
    assert report.content(PLAN, told.events, 1, DAY_1).headline == "All 9 cards of day 1 are done."


def test_without_events_it_says_that_nothing_was_recorded(tmp_path: Path) -> None:
    text = seen(written(tmp_path, []))
    assert "Nothing has been recorded yet." in text
    assert "0 of 9 cards of day 1 are done." in text


def test_a_day_that_the_event_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no day 4"):
        report.day(PLAN, [], 4, home=tmp_path)


# What belongs to which day


def test_what_happened_on_a_date_of_the_event_belongs_to_that_day(told: story.Story) -> None:
    told.tell(DAY_1, "started", "D1")
    told.complete(DAY_2, "D1")
    told.tell(DAY_2, "noted", text="on day two")
    first = report.content(PLAN, told.events, 1, DAY_2.replace(hour=17))
    second = report.content(PLAN, told.events, 2, DAY_2.replace(hour=17))
    assert first.board["D1"].state == "Doing"
    assert first.at == DAY_1.replace(hour=17)
    assert second.board["D1"].state == DONE
    assert "D1" in [c.id for c in second.cards]
    assert (first.notes, [n.text for n in second.notes]) == ((), ["on day two"])
    assert "D1" not in [c.id for c in report.content(PLAN, told.events, 3, DAY_2.replace(day=3)).cards]


def test_cards_of_earlier_days_stay_until_they_are_done(told: story.Story) -> None:
    told.complete(DAY_1, "E1")
    second = report.content(PLAN, told.events, 2, DAY_2)
    assert "D1" in [c.id for c in second.cards]
    assert "E1" not in [c.id for c in second.cards]
    assert "8 of earlier days are still open." in second.headline


def test_a_rehearsal_belongs_to_its_cards_days(tmp_path: Path, told: story.Story) -> None:
    for card in PLAN.in_order():
        told.complete(REHEARSAL, card.id)
    told.tell(REHEARSAL, "accepted", "O2")
    first, third = (report.content(PLAN, told.events, n, REHEARSAL) for n in (1, 3))
    assert {c.id for c in first.board.cards if c.state == DONE} == {c.id for c in PLAN.cards if c.day == 1}
    assert all(c.state == DONE for c in third.board.cards)
    assert {c.id for c in third.cards} == {c.id for c in PLAN.cards if c.day == 3}
    assert first.rehearsed == "23 November 2026"
    assert "Rehearsed on 23 November 2026, on the local AWS." in seen(
        written(tmp_path, told.events, 1, REHEARSAL)
    )


def test_the_place_is_named(told: story.Story) -> None:
    told.complete(DAY_1, "D1")
    events = [dataclasses.replace(e, target="aws") for e in told.events]
    assert report.content(PLAN, events, 1, DAY_1).places == "in AWS account 123456789012"


# The evidence beside it


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


# Safe to open


def test_what_people_write_stays_text(tmp_path: Path, told: story.Story) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    told.tell(DAY_1, "added", "X<1>", who=evil, title=evil, workstream="mlops", day=1, criteria=[evil])
    for card in ("X<1>", "D1"):
        told.tell(DAY_1, "claimed", card, evil, owner=evil)
        told.tell(DAY_1, "noted", card, evil, text=evil)
        told.tell(DAY_1, "noted", "", evil, text=evil)
        told.tell(DAY_1, "attached", card, evil, title=evil, path=evil)
        told.tell(DAY_1, "failed", card, evil, cell=evil, error=evil, message=evil)
        told.complete(
            DAY_1,
            card,
            evil,
            checks=[{"check": evil, "ok": True, "got": evil, "expected": evil}],
            outputs={evil: evil},
            metrics={evil: 1},
        )
        told.tell(DAY_1, "blocked", card, evil, reason=evil, unblocker=evil)
    page = written(tmp_path, told.events)
    assert "<script" not in page
    assert "<img" not in page
    assert evil in seen(page).replace("  ", " ")


def test_the_page_holds_all_it_needs(tmp_path: Path) -> None:
    events = story.events(PLAN)
    page = written(tmp_path, events, 3, DAY_2.replace(day=3))
    assert "Content-Security-Policy" in page
    assert not re.search(r"(src=|@import|url\()", page)
    for link in re.findall(r'href="([^"]*)"', page):
        assert link.startswith(("#", "notebooks/", "../attachments/"))
    html.parser.HTMLParser().feed(page)


def test_the_data_beside_it_says_the_same(tmp_path: Path) -> None:
    events = story.events(PLAN, days=1)
    page = seen(written(tmp_path, events))
    raw = json.loads((tmp_path / "reports" / "day-1.json").read_text(), parse_constant=pytest.fail)
    assert raw["headline"] in page
    assert raw["day"] == 1
    assert {c["id"] for c in raw["cards"]} >= {s.id for s in PLAN.cards if s.day == 1}
    assert raw["burn_up"][-1]["done"] == raw["counts"][DONE]


def test_a_folder_that_cannot_be_written_is_two_lines(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(KitError, match="cannot be written") as refused:
        report.day(PLAN, [], 1, home=tmp_path)
    assert len(str(refused.value).splitlines()) == 2


# The burn-up chart


def points(chart: charts.BurnUp | None) -> list[tuple[int, int]]:
    assert chart
    return [(p.scope, p.done) for p in chart.rows]


def test_the_burn_up_counts_cards_done_added_and_reopened(told: story.Story) -> None:
    told.complete(DAY_1, "D1")
    told.tell(DAY_1.replace(hour=10), "added", "X1", title="More", workstream="mlops")
    told.complete(DAY_1.replace(hour=11), "D2")
    told.tell(DAY_1.replace(hour=12), "failed", "D1", error="E", message="m")
    chart = charts.burn_up(boards.fold(PLAN, told.events), PLAN.cards)
    assert points(chart) == [(23, 0), (23, 1), (24, 1), (24, 2), (24, 1)]
    assert chart is not None
    assert chart.title == "1 of 24 cards done"
    assert [t.text for t in chart.x_ticks] == ["Day 1", "Day 2", "Day 3"]


def test_the_burn_up_of_a_rehearsal_runs_over_plain_time(told: story.Story) -> None:
    told.tell(REHEARSAL, "started", "D1")
    told.complete(REHEARSAL + dt.timedelta(minutes=10), "D1")
    chart = charts.burn_up(boards.fold(PLAN, told.events), PLAN.cards)
    assert chart is not None
    assert [t.text for t in chart.x_ticks] == ["09:00", "09:05", "09:10"]
    assert chart.planned == ""


def test_the_chart_stays_in_its_box_and_its_labels_apart() -> None:
    for days in (1, 2, 3):
        chart = charts.burn_up(boards.fold(PLAN, story.events(PLAN, days=days)), PLAN.cards)
        assert chart is not None
        numbers = [
            float(n) for path in (chart.done, chart.scope, chart.planned) for n in re.findall(r"[\d.]+", path)
        ]
        assert 0 <= min(numbers) <= max(numbers) <= charts.WIDTH
        assert chart.done_label.at - chart.scope_label.at >= charts.LABEL


def test_the_labels_of_lines_that_meet_stand_apart(told: story.Story) -> None:
    for card in PLAN.cards:
        told.complete(DAY_1, card.id)
    told.tell(DAY_1, "accepted", "O2")
    chart = charts.burn_up(boards.fold(PLAN, told.events), PLAN.cards)
    assert chart is not None
    assert chart.title == "23 of 23 cards done"
    assert chart.done_label.at - chart.scope_label.at >= charts.LABEL


def test_there_is_no_chart_before_anything_moved() -> None:
    assert charts.burn_up(boards.fold(PLAN, []), PLAN.cards) is None


def test_ten_thousand_events_make_one_page(tmp_path: Path) -> None:
    events = story.events(PLAN, at_least=10_000)
    assert len(events) >= 10_000
    page = written(tmp_path, events, 3, DAY_2.replace(day=3, hour=17))
    assert seen(page).count("· ran ") > 3
