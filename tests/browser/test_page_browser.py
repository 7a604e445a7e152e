"""The room's screen in a real browser: it follows the journal, survives a restart, fits the wall; axe finds nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures import story
from test_page import strip

from kit import journal, page, paths
from kit import plan as plans

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NOW = dt.datetime(2026, 12, 2, 13, 31, tzinfo=dt.UTC)  # 14:31 in Berlin
STANDUP = plans.Subtask("S2p", "Standup", "runbooks/standup.ipynb", 2, 15, at="16:00", workstream=plans.EVENT)
PLAN = dataclasses.replace(story.plan(), ceremonies=(STANDUP,))

pytestmark = pytest.mark.browser


class Served:
    """The page in a thread; can be stopped and started again at the same port."""

    def __init__(self, plan: plans.Plan, folder: Path, port: int) -> None:
        self.plan, self.folder, self.port = plan, folder, port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        import uvicorn

        reader = page.Reader(self.plan, journal.open(self.folder), clock=lambda: NOW)
        self.app = page.application(reader)
        self.listening = page.bound("127.0.0.1", self.port)
        config = uvicorn.Config(self.app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.listening],))
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        with contextlib.suppress(AttributeError):
            self.app.state.feed.close()
        self.thread.join(60)
        self.listening.close()


class Room:
    """A journal in the middle of day 2, and who writes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tell(
        self, ago: float, type: str, card: str = "", who: str = "ann", team: str = "", **data: Any
    ) -> None:
        at = NOW - dt.timedelta(minutes=ago)
        journal.open(self.folder, who, clock=lambda: at).append(type, card, team=team, **data)

    def done(self, ago: float, card: str, team: str = "") -> None:
        checks = [{"check": "it holds", "ok": True, "got": "1", "expected": "1"}]
        self.tell(ago, "completed", card, team=team, run="r", sha256="a" * 64, seconds=3.0, checks=checks)


def midday(room: Room) -> None:
    """Day 1 is done but for a card, day 2 in full swing: blocked, failed, ageing, in review, text that is not meant well."""
    for n, card in enumerate(c for c in PLAN.subtasks if c.day == 1 and c.id not in ("M3", "O2")):
        room.tell(1500 - 30 * n, "started", card.id)
        room.done(1480 - 30 * n, card.id)
    room.done(1200, "O2")
    for card, owner, ago in (
        ("D3", "Ngozi", 170),
        ("M4", "Équipe modèle", 55),
        ("M5", "観測 pair", 25),
        ("O3", "Ann", 240),
    ):
        room.tell(ago, "claimed", card, owner=owner)
        room.tell(ago, "started", card)
    room.tell(54, "claimed", "M4", "bob", owner="bob")
    room.done(30, "D3")
    room.tell(200, "started", "M3")
    room.tell(
        193,
        "blocked",
        "M3",
        reason="No quota for ml.m5.2xlarge in this region",
        unblocker="Service quotas team",
    )
    room.tell(
        41,
        "blocked",
        "O3",
        reason="The role may not pass to SageMaker: iam:PassRole is denied <b>x</b>",
        unblocker="Security desk",
    )
    room.tell(20, "failed", "M5", run="r", cell="check", error="CheckFailed", message="17 rows in two splits")
    room.tell(
        90,
        "added",
        "X1",
        title="<script>alert('text')</script> & the owner's consent",
        workstream="data_engineering",
        day=2,
        minutes=30,
    )
    room.tell(1, "started", "X1", "Data lead")
    room.tell(
        1,
        "blocked",
        "X1",
        "Data lead",
        reason="The owner of the table is on leave until Monday",
        unblocker="",
    )


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "journal")


@pytest.fixture
def wall(room: Room, port: int) -> Iterator[Served]:
    midday(room)
    served = Served(PLAN, room.folder, port)
    served.start()
    yield served
    served.stop()


# The server sends the board at once to whoever opens the page: what is looked at before that is replaced meanwhile.
FOLLOWS = """addEventListener("DOMContentLoaded", () =>
    new MutationObserver(() => { window.follows = true; }).observe(document.getElementById("board"), {childList: true}));"""


@pytest.fixture
def opened(context: Any) -> Iterator[Any]:
    """Opens an address as `opened(url, width, height, scheme)`; it must ask for nothing elsewhere and go wrong nowhere."""
    pages: list[Any] = []
    asked: list[str] = []
    wrong: list[str] = []

    def open_page(url: str, width: int = 1920, height: int = 1080, scheme: str = "light") -> Any:
        found = context(color_scheme=scheme, viewport={"width": width, "height": height}).new_page()
        pages.append(found)
        found.on("request", lambda request: asked.append(request.url))
        found.on("pageerror", lambda error: wrong.append(str(error)))
        found.on("dialog", lambda dialog: wrong.append(dialog.message))
        found.on("console", lambda message: wrong.append(message.text))
        found.add_init_script(FOLLOWS)
        found.goto(url)
        found.wait_for_function("() => window.follows")
        return found

    yield open_page
    for found in pages:
        found.close()
    assert asked
    assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []
    # A server that was stopped is missed, and so is what an address without a slash leads to.
    assert [text for text in wrong if "Failed to load resource" not in text] == []


def violations(found: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    told = Axe().run(found, options={"runOnly": RULES}).response["violations"]
    return [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:120]}" for v in told]


def kept(found: Any, name: str) -> None:
    """Keep a screenshot to look at, in the ignored event folder of the repository."""
    folder = paths.root() / "event" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    found.screenshot(path=folder / f"{name}.png")


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened: Any, wall: Served, scheme: str, width: int, height: int) -> None:
    found = opened(wall.url, width, height, scheme)
    found.get_by_text("Service quotas team").wait_for()
    assert violations(found) == []
    kept(found, f"page-{scheme}-{width}")


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (3840, 2160)])
def test_the_whole_board_is_on_the_wall_in_large_type(
    opened: Any, wall: Served, width: int, height: int
) -> None:
    found = opened(wall.url, width, height)
    found.get_by_text("Service quotas team").wait_for()
    size = found.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size[0] <= width
    assert size[1] <= height
    reason = found.evaluate("parseFloat(getComputedStyle(document.querySelector('.reason')).fontSize)")
    assert reason > height / 48, "a reason is read from the back row"


def test_a_phone_need_not_scroll_sideways(opened: Any, wall: Served) -> None:
    found = opened(wall.url, 390, 844)
    assert found.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_follows_the_journal_and_the_type_follows_the_board(opened: Any, wall: Served, room: Room) -> None:
    found = opened(wall.url, 1280, 800)
    found.locator("th.blocked", has_text="3").wait_for()
    before = found.evaluate("parseFloat(document.documentElement.style.fontSize)")
    for n in range(4):
        room.tell(0.5, "blocked", "D4", reason=f"Another reason, the {n + 1}.", unblocker="desk")
        room.tell(
            0.5,
            "blocked",
            f"F{n}" if n else "D5",
            reason="Nobody has the key to the cabinet of the data owner",
        )
    found.locator("th.blocked", has_text="8").wait_for()
    found.get_by_text("Another reason, the 4.").wait_for()
    assert found.evaluate("parseFloat(document.documentElement.style.fontSize)") < before
    assert found.evaluate("document.documentElement.scrollHeight") <= 800
    kept(found, "page-many-blocked-1280")


def test_status_is_a_word_and_a_shape_on_every_card(opened: Any, wall: Served) -> None:
    found = opened(wall.url)
    found.get_by_text("Service quotas team").wait_for()
    for state in ("To do", "Doing", "Blocked", "Review", "Done"):
        head = found.get_by_role("columnheader", name=state)
        assert head.locator("svg").count() == 1
    shapes = {
        state: found.locator(f"td.{state} li:has(> svg, > .name > svg) svg.{state}").first.inner_html()
        for state in ("todo", "doing", "blocked", "review", "done")
    }
    assert len(set(shapes.values())) == 5


def test_it_says_that_contact_is_lost_and_finds_it_again(opened: Any, wall: Served, room: Room) -> None:
    found = opened(wall.url)
    found.locator("th.blocked", has_text="3").wait_for()
    wall.stop()
    found.get_by_role("alert").filter(has_text="No contact with the board since 14:31:").wait_for()
    assert violations(found) == []
    kept(found, "page-lost-1920")
    room.tell(0.2, "unblocked", "X1")
    wall.start()
    found.locator("th.blocked", has_text="2").wait_for()
    assert not found.locator("#contact").is_visible()
    assert "lost" not in found.locator("body").evaluate("e => e.className")


def test_a_server_of_another_version_is_loaded_anew(
    opened: Any, wall: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(wall.url)
    build = found.locator("html").get_attribute("data-build")
    wall.stop()
    parts = page.PARTS
    monkeypatch.setattr(page, "PARTS", (*parts, "board_table.html.j2"))
    wall.start()
    found.wait_for_function("old => document.documentElement.dataset.build !== old", arg=build)
    found.get_by_text("Service quotas team").wait_for()


async def cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize("address", ["/jupyterlab/default/proxy/8765", "/jupyterlab/default/proxy/8765/"])
def test_it_follows_behind_a_proxy_that_strips_a_prefix(
    opened: Any, wall: Served, room: Room, address: str
) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        making = asyncio.run_coroutine_threadsafe(strip(wall.port, address.rstrip("/")), loop)
        proxy = making.result(60)
        found = opened(f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}{address}")
        found.locator("th.blocked", has_text="3").wait_for()
        room.tell(0.2, "unblocked", "X1")
        found.locator("th.blocked", has_text="2").wait_for()
        assert found.url.endswith("/proxy/8765/")
        assert found.locator("header").evaluate("e => getComputedStyle(e).display") == "flex"
    finally:
        asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


def test_several_teams_share_the_wall(opened: Any, room: Room, port: int) -> None:
    teams = dataclasses.replace(PLAN, teams=("blue", "green", "red", "gold"))
    for n, team in enumerate(teams.teams):
        for m, card in enumerate(PLAN.subtasks):
            if m % 5 < 3 - n % 2 and card.day == 1:
                room.tell(300 - 5 * m - n, "started", card.id, team=team)
                if m % 3 or n == 2:
                    room.done(200 - 5 * m - n, card.id, team=team)
    room.tell(60, "blocked", "D1", team="green", reason="The stream has no key", unblocker="Platform lead")
    served = Served(teams, room.folder, port)
    served.start()
    try:
        found = opened(served.url)
        blocked = found.locator(".tile.blocked")
        blocked.get_by_text("green", exact=True).wait_for()
        assert violations(found) == []
        assert found.evaluate("document.documentElement.scrollHeight") <= 1080
        kept(found, "page-teams-1920")
    finally:
        served.stop()
