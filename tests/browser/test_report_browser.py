"""The day-end report in a real browser: it asks for nothing, axe finds nothing, it prints, nothing in it acts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures import story

from kit import demo, paths, pdf, report
from kit import plan as plans

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PLAN = story.plan()

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the reports of three days and their executed runbooks; one executed copy is gone."""
    home = tmp_path_factory.mktemp("event")
    events = story.events(PLAN)
    story.executed_copies(home, events)
    gone = next(e for e in events if e.type == "executed")
    (home / gone.data["copy"]).unlink()
    for day in (1, 2, 3):
        report.day(PLAN, events, day, home=home, now=dt.datetime(2026, 12, day, 16, tzinfo=dt.UTC))
    return home / "reports"


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a simulated event, full of what people do and say: one team, eight teams, nothing, one card."""
    plan = plans.load(paths.root() / "runbooks" / "plan.yml")
    teams = dataclasses.replace(plan, teams=tuple(f"team{n}" for n in range(1, 9)))
    one = dataclasses.replace(plan.subtasks[0], needs=())
    alone = dataclasses.replace(plan, ceremonies=(), subtasks=(one,))
    told = story.Story()
    told.complete(dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC), one.id)
    events = {
        "one-team": (plan, demo.events(plan, 1, demo.people(plan, 40))),
        "eight-teams": (teams, demo.events(teams, 1, demo.people(teams, 80))),
        "nothing": (plan, []),
        "one-card": (alone, told.events),
    }
    found = {}
    for name, (the_plan, happened) in events.items():
        home = tmp_path_factory.mktemp(name)
        day = 1 if name == "one-card" else 2
        now = dt.datetime.combine(the_plan.event.dates[day - 1], dt.time(17, 0), the_plan.event.zone)
        found[name] = report.day(the_plan, happened, day, home=home, now=now)
    return found


@pytest.fixture
def opened(context: Any) -> Iterator[Any]:
    """Opens a file as `opened(file, scheme, width)`; afterwards, it must have asked for nothing but the file."""
    pages = []
    asked: list[str] = []
    wrong: list[str] = []

    def open_page(file: Path, scheme: str = "light", width: int = 1200) -> Any:
        page = context(color_scheme=scheme, viewport={"width": width, "height": 900}).new_page()
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on("console", lambda message: wrong.append(message.text))
        page.goto(file.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert [url for url in asked if not url.startswith("file://")] == []
    assert wrong == []


def violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    return [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:120]}" for v in found]


def kept(page: Any, name: str) -> None:
    """Keep a screenshot to look at, in the ignored event folder of the repository."""
    folder = paths.root() / "event" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_axe_finds_nothing_in_the_report(opened: Any, reports: Path, scheme: str, width: int) -> None:
    page = opened(reports / "day-3.html", scheme, width)
    page.get_by_text("The burn-up as a table").click()
    page.get_by_text("The cumulative flow as a table").click()
    assert page.get_by_role("columnheader", name="Cards", exact=True).is_visible()
    assert page.get_by_role("region", name="The cumulative flow as a table").is_visible()
    assert violations(page) == []
    kept(page, f"report-day-3-{scheme}-{width}")


@pytest.mark.parametrize("name", ["one-team", "eight-teams", "nothing", "one-card"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_in_a_living_event(
    opened: Any, living: dict[str, Path], name: str, scheme: str, width: int
) -> None:
    page = opened(living[name], scheme, width)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    kept(page, f"report-{name}-{scheme}-{width}")


@pytest.mark.parametrize("name", ["one-team", "eight-teams"])
def test_every_link_within_the_report_leads_to_its_place(
    opened: Any, living: dict[str, Path], name: str
) -> None:
    page = opened(living[name])
    lost = """() => [...document.querySelectorAll('a[href^="#"]')].map(a => decodeURIComponent(a.hash.slice(1)))
        .filter(id => !document.getElementById(id))"""
    assert page.evaluate(lost) == []
    assert page.evaluate(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    ) == page.evaluate("document.querySelectorAll('[id]').length")


def test_on_a_phone_a_cell_says_what_it_is(opened: Any, living: dict[str, Path]) -> None:
    page = opened(living["one-team"], width=390)
    cell = page.locator(".blockers td[data-label='Who can help']").first
    assert cell.evaluate("e => getComputedStyle(e, '::before').content") == '"Who can help: "'
    assert page.locator(".blockers tbody td").nth(2).bounding_box()["width"] > 300


def test_kit_prints_the_pdf(living: dict[str, Path]) -> None:
    made = pdf.printed(living["one-team"])
    content = made.read_bytes()
    assert content.startswith(b"%PDF")
    assert 6 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 20
    for mark in (rb"/MarkInfo", rb"/StructTreeRoot", rb"/Outlines"):
        assert mark in content


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_executed_runbooks(opened: Any, reports: Path, scheme: str) -> None:
    pages = sorted((reports / "notebooks").glob("*.html"))
    failed = [page for page in pages if "failed" in page.name]
    for file in (pages[0], failed[0]):
        page = opened(file, scheme)
        assert violations(page) == []
    kept(page, f"executed-{scheme}")


def test_the_report_fits_a_phone(opened: Any, reports: Path) -> None:
    page = opened(reports / "day-1.html", width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_link_opens_the_executed_runbook(opened: Any, reports: Path) -> None:
    page = opened(reports / "day-1.html")
    page.get_by_role("link", name=re.compile("^Executed runbook")).first.click()
    page.wait_for_url("**/notebooks/*.html")
    assert page.get_by_role("heading", level=1).count() == 1
    assert "executed" in page.title()


def test_a_card_of_the_board_leads_to_its_place(opened: Any, reports: Path) -> None:
    page = opened(reports / "day-1.html")
    page.get_by_role("region", name="The board").get_by_role("link").last.click()
    page.wait_for_url(re.compile("#."))
    target = page.url.rpartition("#")[2]
    assert target
    assert page.locator(f"article[id='{target}']").is_visible()


def test_it_prints_on_a_few_pages_without_its_closed_parts(opened: Any, reports: Path) -> None:
    page = opened(reports / "day-3.html")
    pdf = page.pdf(prefer_css_page_size=True, tagged=True, outline=True)
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 6
    page.emulate_media(media="print")
    assert not page.get_by_text("The burn-up as a table").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
