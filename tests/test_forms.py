"""The small form: what a person types is in its values, and the code says the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from ceremony import EVIL, forms
from jobs import ROOT

FIELDS = (
    forms.Field("title"),
    forms.Field("size", choices=[("none", 0), ("one", 1)]),
    forms.Field("more", lines=3),
)


def made() -> Any:
    return forms.Form(
        {"a": "Row <b>a</b>", "b": "b"}, FIELDS, {"a": {"title": "x"}}, lambda v: f"rows = {v!r}"
    )


def test_values_begin_as_given_or_empty() -> None:
    assert made().values == {
        "a": {"title": "x", "size": 0, "more": ""},
        "b": {"title": "", "size": 0, "more": ""},
    }


def test_what_is_typed_is_in_the_values_and_in_the_code() -> None:
    form = made()
    widget = form.widget()
    first, second, told = widget.children
    first.children[1].value = " typed "
    second.children[2].value = 1
    second.children[3].value = "one\ntwo"
    assert form.values["a"]["title"] == "typed"
    assert form.values["b"] == {"title": "", "size": 1, "more": "one\ntwo"}
    assert "typed" in told.value


def test_what_people_type_is_text_in_the_form() -> None:
    form = made()
    widget = form.widget()
    form.put("a", "title", EVIL)
    widget.children[1].children[1].value = "again"  # tells the code anew
    assert "<script>" not in widget.children[-1].value
    assert "Row &lt;b&gt;a" in widget.children[0].children[0].value


def test_an_unattended_run_shows_the_code_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    made().show(by_hand=False)
    assert capsys.readouterr().out.startswith("rows = {'a'")
    assert shown == []
    made().show(by_hand=True)
    assert len(shown) == 1


def test_widgets_are_imported_when_a_form_is_shown_only() -> None:
    code = "import sys, forms; sys.exit('ipywidgets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "runbooks", check=False).returncode == 0
