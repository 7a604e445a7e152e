"""The day-end report as a page: what it tells, and that nothing in it acts or loads."""

from __future__ import annotations

import datetime as dt
import html.parser
import json
import re
from pathlib import Path

import pytest
from fixtures import story
from fixtures.reading import seen

from kit import journal, report
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


def test_without_events_it_says_that_nothing_was_recorded(tmp_path: Path) -> None:
    text = seen(written(tmp_path, []))
    assert "Nothing has been recorded yet." in text
    assert "0 of 9 cards of day 1 are done." in text


def test_a_day_that_the_event_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no day 4"):
        report.day(PLAN, [], 4, home=tmp_path)


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


def test_ten_thousand_events_make_one_page(tmp_path: Path) -> None:
    events = story.events(PLAN, at_least=10_000)
    assert len(events) >= 10_000
    page = written(tmp_path, events, 3, DAY_2.replace(day=3, hour=17))
    assert seen(page).count("· ran ") > 3
