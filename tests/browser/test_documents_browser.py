"""The documents of the ceremonies in a real browser: they ask for nothing, axe finds nothing, and they fit on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from ceremony import (
    EVIL,
    actions,
    charter,
    decisions,
    documents,
    moments,
    pictures,
    retros,
    standups,
    team_notes,
    team_retros,
)

from kit import demo, paths
from kit import plan as plans

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NAMES = ["charter", "standup", "retro", "team_retro", "nothing"]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents of day 2 of a simulated event, and the retro of one in which nothing happened."""
    home = tmp_path_factory.mktemp("event")
    plan = plans.load(paths.root() / "runbooks" / "plan.yml")
    told = demo.events(plan, 1, demo.people(plan, 40))
    wall, events = moments.seen(plan, told, "local", moments.moment(plan.event, "2026-12-02 15:00"))
    agreed = charter.read(paths.root() / "runbooks" / "charter.yml")
    results = charter.evaluated(agreed, wall, "classification")
    documents.keep(home, "charter", charter.document(agreed, results, wall, plan.data, {}))
    words = standups.words(plan, {"mlops": EVIL}, {"mlops": "Who?"}, {"mlops": 3})
    lanes = standups.lanes(wall, 2, moments.BEGINNING, {}, words)
    waiting = decisions.waiting(events, wall, 2)
    lines = standups.document(wall, lanes, waiting, 2, "pm", moments.BEGINNING, documents.label)
    documents.keep(home, "standup", lines)
    for name, of in (("retro", events), ("nothing", [])):
        board, _ = moments.seen(plan, of, "local", wall.at)
        evening = moments.until(plan, of, board, 2)
        fig, axes = plt.subplots(1, 2, figsize=(12, 6), layout="constrained")
        pictures.timeline(axes[0], evening, retros.moved(evening, 2), *retros.window(evening, 2))
        pictures.burn_up(axes[1], evening, 2)
        shot = documents.picture(home / "documents", name, fig, "The day")
        plt.close(fig)
        action = actions.Action("Ask", "Ana", "2026-12-03")
        lines = retros.document(evening, 2, retros.story(evening, 2), {"liked": [EVIL]}, [], [action], [shot])
        documents.keep(home, name, lines)
    found = team_retros.defects(wall), team_retros.timings(wall), team_retros.hindrances(wall)
    documents.keep(home, "team_retro", team_retros.document(wall, team_notes.Notes(), *found, ""))
    return home / "documents"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_a_document_is_readable_and_asks_for_nothing(
    context: Any, written: Path, name: str, scheme: str, width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    asked: list[str] = []
    wrong: list[str] = []
    page = context(color_scheme=scheme, viewport={"width": width, "height": 900}).new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.goto((written / f"{name}.html").as_uri())
    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    folder = paths.root() / "event" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"document-{name}-{scheme}-{width}.png", full_page=True)
    too_wide = page.evaluate("document.documentElement.scrollWidth") > width
    page.close()
    assert [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found] == []
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
    assert wrong == []
    assert not too_wide
