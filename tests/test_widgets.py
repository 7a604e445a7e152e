"""The board in a notebook, its buttons pressed without a browser: what they journal, what they say, what they refuse."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from small_event import SmallEvent

import kit
from kit import journal, widgets
from kit.errors import UsageError


@pytest.fixture
def event(small_event: SmallEvent) -> SmallEvent:
    small_event.add("A")
    small_event.add("B", workstream="foundations")
    return small_event


@pytest.fixture
def view(event: SmallEvent) -> Iterator[widgets.BoardView]:
    made = kit.widgets.board()
    yield made
    made.close()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What IPython would show."""
    import IPython.display

    class Handle:
        def update(self, thing: Any) -> None:
            found.append(thing)

    found: list[Any] = []
    monkeypatch.setattr(
        IPython.display, "display", lambda thing, display_id=False: found.append(thing) or Handle()
    )
    monkeypatch.setattr(widgets, "_shown", None)
    return found


@pytest.fixture
def controls(view: widgets.BoardView, shown: list[Any]) -> widgets._Controls:
    view._ipython_display_()
    assert view._controls is not None
    return view._controls


def told(*types: str) -> list[dict[str, Any]]:
    return [{"card": e.card, **e.data} for e in journal.here().snapshot() if e.type in types]


def test_importing_kit_imports_no_widgets() -> None:
    code = "import sys, kit; assert 'kit.widgets' not in sys.modules; kit.widgets; assert 'ipywidgets' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_button_does_what_its_line_of_code_says(controls: widgets._Controls) -> None:
    controls.card.value = "A"
    fields = controls.fields
    fields["claim"]["owner"].value = "ann"
    fields["block"]["reason"].value = 'no "quota"'
    fields["block"]["unblocker"].value = "desk"
    fields["note"]["text"].value = "it's late"
    lines = {verb: code.value for verb, code in controls.codes.items()}
    import html

    codes = {v: html.unescape(c.removeprefix("<code>").removesuffix("</code>")) for v, c in lines.items()}
    assert codes["start"] == 'kit.widgets.board().start("A")'
    assert codes["claim"] == 'kit.widgets.board().claim("A", owner="ann")'
    assert codes["block"] == """kit.widgets.board().block("A", 'no "quota"', "desk")"""
    for verb in ("start", "claim", "block", "note", "unblock"):
        controls.buttons[verb].click()
        assert controls.told.value.startswith("✓ A · Card A: "), controls.told.value
    pressed = [(e.type, e.card, dict(e.data)) for e in journal.here().snapshot()]
    for verb in ("start", "claim", "block", "note", "unblock"):
        eval(codes[verb], {"kit": kit})
    written = [(e.type, e.card, dict(e.data)) for e in journal.here().snapshot()][len(pressed) :]
    assert written == pressed
    assert [type for type, _, _ in pressed] == ["started", "claimed", "blocked", "noted", "unblocked"]


def test_a_click_moves_the_card_in_the_table(controls: widgets._Controls) -> None:
    assert "◐ Doing 0" in controls.table.value
    controls.card.value = "B"
    controls.buttons["start"].click()
    assert "◐ Doing 1" in controls.table.value
    assert "◐ B · Card B (Doing)" in dict(controls.card.options)
    assert controls.told.value == "✓ B · Card B: Doing"


def test_a_block_needs_a_reason_and_somebody_who_can_help(
    view: widgets.BoardView, controls: widgets._Controls
) -> None:
    button, fields = controls.buttons["block"], controls.fields["block"]
    assert button.disabled
    fields["reason"].value = "no quota"
    assert button.disabled
    fields["unblocker"].value = "  "
    assert button.disabled
    fields["unblocker"].value = "desk"
    assert not button.disabled
    for reason, unblocker in (("", "desk"), ("no quota", " ")):
        with pytest.raises(UsageError, match="a reason and somebody"):
            view.block("A", reason, unblocker)
    assert told("blocked") == []


def test_buttons_that_make_no_sense_cannot_be_pressed(controls: widgets._Controls) -> None:
    controls.card.value = "A"
    assert {verb for verb, button in controls.buttons.items() if not button.disabled} == {"start", "claim"}
    controls.view.block("A", "no quota", "desk")
    assert {verb for verb, button in controls.buttons.items() if not button.disabled} == {"claim", "unblock"}


def test_what_is_refused_is_said_in_two_lines_and_what_was_typed_stays(controls: widgets._Controls) -> None:
    controls.card.value = "A"
    controls.view.block("A", "no <quota>", "desk")
    controls.press("start")
    assert controls.told.value == "<b>✗ A is blocked: no &lt;quota&gt;</b><br>Unblock it first."
    controls.fields["note"]["text"].value = "kept"
    controls.view._wall.journal.append = refuse  # type: ignore[method-assign]
    controls.press("note")
    assert "the disk is full" in controls.told.value
    assert controls.fields["note"]["text"].value == "kept"


def refuse(*_: object, **__: object) -> None:
    from kit.errors import JournalError

    raise JournalError("The journal cannot grow: the disk is full.", "Free some space.")


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("start", ["AA"], 'no card "AA"'),
        ("unblock", ["A"], "not blocked"),
        ("note", ["A", " "], "note is empty"),
    ],
)
def test_nonsense_in_code_is_refused(
    view: widgets.BoardView, verb: str, arguments: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        getattr(view, verb)(*arguments)
    assert journal.here().snapshot() == []


def test_it_shows_one_workstream(event: SmallEvent, shown: list[Any]) -> None:
    view = kit.widgets.board(workstream="foundations")
    assert [card.key for card in view.cards] == ["B"]
    view._ipython_display_()
    assert view._controls is not None
    assert "<b>A</b>" not in view._controls.table.value
    view._controls.lane.value = ""
    assert "<b>A</b>" in view._controls.table.value
    assert [key for _, key in view._controls.card.options] == ["A", "B"]
    view.close()
    with pytest.raises(UsageError, match="no workstream"):
        kit.widgets.board(workstream="nothing")


def test_what_people_write_stays_text(controls: widgets._Controls) -> None:
    evil = "<script>alert(1)</script>"
    controls.view.claim("A", evil)
    controls.view.block("A", evil, evil)
    controls.fields["note"]["text"].value = evil
    controls.view.refresh()
    for value in (controls.table.value, controls.codes["note"].value, controls.told.value):
        assert "<script" not in value
    assert "&lt;script&gt;" in controls.table.value


def test_typing_and_choosing_outlive_a_refresh(controls: widgets._Controls) -> None:
    controls.card.value = "B"
    controls.fields["block"]["reason"].value = "half a sen"
    journal.here().append("started", "B")
    controls.view.refresh()
    assert (controls.card.value, controls.fields["block"]["reason"].value) == ("B", "half a sen")
    assert "◐ Doing 1" in controls.table.value


def followers() -> int:
    return sum("_follow" in thread.name for thread in threading.enumerate())


def test_it_refreshes_by_itself_once_however_often_the_cell_is_run(
    event: SmallEvent, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widgets, "PERIOD", 0.01)

    async def notebook() -> None:
        before = followers()
        views = [kit.widgets.board() for _ in range(3)]
        for view in views:
            view._ipython_display_()
        assert views[0]._controls is None
        controls = views[2]._controls
        assert controls is not None
        journal.here().append("started", "A")
        await until(lambda: "◐ Doing 1" in controls.table.value)
        await until(lambda: followers() == before + 1)
        views[2].close()
        await until(lambda: followers() == before)
        views[2]._ipython_display_()
        assert followers() == before + 1
        views[2].close()

    async def until(holds: Any) -> None:
        end = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    asyncio.run(notebook())


def test_the_loop_ends_with_its_kernel_and_says_nothing(event: SmallEvent) -> None:
    code = """
import asyncio, kit, IPython.display
from kit import widgets, journal
widgets.PERIOD = 0.001
IPython.display.display = lambda thing, display_id=False: None
async def notebook():
    kit.widgets.board()._ipython_display_()
    for _ in range(3):
        journal.here().append("started", "A")
        await asyncio.sleep(0.01)
asyncio.run(notebook())
journal.here().append("noted", "A", text="after the loop")
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_still_table_stands_in_for_the_widgets(view: widgets.BoardView, shown: list[Any]) -> None:
    view._ipython_display_()
    still, living = shown
    name = still.data.split('"')[1]
    assert "<b>A</b> Card A" in still.data
    assert f".{name} {{ display: none }}" in living.children[1].value, "the widgets hide it while they live"
    view.start("A")
    view.close()
    assert "◐ Doing 1" in shown[2].data, "and what was seen last stays"


def test_without_ipywidgets_there_is_the_table(
    view: widgets.BoardView, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    view._ipython_display_()
    (still,) = shown
    assert "<b>A</b> Card A" in still.data
    assert view.start("A") == "A · Card A: Doing"


def test_a_team_sees_and_moves_its_own_cards(
    event: SmallEvent, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    event.raw["teams"] = ["blue", "green"]
    event.save()
    with pytest.raises(UsageError, match="2 cards A"):
        kit.widgets.board().start("A")
    assert kit.widgets.board().start("A@green") == "A@green · Card A: Doing"
    monkeypatch.setenv("KIT_TEAM", "blue")
    view = kit.widgets.board()
    assert [card.key for card in view.cards] == ["A@blue", "B@blue"]
    assert view.start("A") == "A@blue · Card A: Doing"
    assert [(e.card, e.team) for e in journal.here().snapshot()] == [("A", "green"), ("A", "blue")]
