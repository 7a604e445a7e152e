"""The form of a runbook's parameters, its fields filled and its buttons pressed without a browser."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from small_event import SmallEvent

import kit
from kit import journal, widgets
from kit.errors import UsageError
from kit.parameters import Form

PARAMETERS = 'name: str = "x y"  # a word\nrate: float = 0.5  # a share\ndeep: bool = True  # or not\nwords: list = []  # some\n'


@pytest.fixture
def form(small_event: SmallEvent) -> Form:
    small_event.add("A", "print('ran', rows)", parameters=PARAMETERS)
    small_event.raw["subtasks"][0]["parameters"] = {"rows": 7}
    small_event.save()
    return kit.widgets.parameters("A")


@pytest.fixture
def fields(form: Form, monkeypatch: pytest.MonkeyPatch) -> widgets.Fields:
    import IPython.display

    monkeypatch.setattr(IPython.display, "display", lambda thing: None)
    form._ipython_display_()
    assert form._widgets is not None
    return form._widgets


def test_it_begins_with_the_plan_and_the_notebook(form: Form) -> None:
    assert form.values == {
        "rows": 7,
        "name": "x y",
        "rate": 0.5,
        "deep": True,
        "words": [],
        "target": "local",
    }
    assert form.line == "kit run A"


def test_what_is_changed_is_in_the_values_and_in_the_line(fields: widgets.Fields) -> None:
    fields.fields["rows"].value = "12"
    fields.fields["name"].value = "it's; rm -rf"
    fields.fields["deep"].value = False
    fields.fields["words"].value = "['a', 'b']"
    form = fields.form
    assert form.values == {
        "rows": 12,
        "name": "it's; rm -rf",
        "rate": 0.5,
        "deep": False,
        "words": ["a", "b"],
        "target": "local",
    }
    assert form.command == [
        *("kit", "run", "A", "-p", "rows", "12", "-p", "name", "it's; rm -rf"),
        *("-p", "deep", "False", "-p", "words", "['a', 'b']"),
    ]
    fields.target.value = "aws"
    fields.force.value = True
    assert form.line.startswith("kit run A --target aws --force -p rows 12 -p name '")


def test_the_line_means_the_same_to_the_command(fields: widgets.Fields) -> None:
    from kit import plan, run

    fields.fields["rows"].value = "-12"
    fields.fields["rate"].value = "1"
    words = fields.form.command[3:]
    given = {words[n + 1]: words[n + 2] for n in range(0, len(words), 3)}
    the_plan = plan.load()
    typed = run.parameters(the_plan, [the_plan["A"]], given, "local")["A"]
    assert {**fields.form.values, **typed} == fields.form.values
    assert typed["rows"] == -12


@pytest.mark.parametrize(
    ("name", "text"), [("rows", "many"), ("rows", "1.5"), ("rate", "<b>"), ("words", "3")]
)
def test_a_wrong_value_is_said_beside_its_field_and_cannot_be_run(
    fields: widgets.Fields, name: str, text: str
) -> None:
    fields.fields[name].value = text
    assert f"A: {name} is " in fields.problems[name].value
    assert "<b>'" not in fields.problems[name].value
    assert [n for n, problem in fields.problems.items() if problem.value] == [name]
    assert fields.run.disabled
    with pytest.raises(UsageError, match=f"{name} is"):
        fields.form.values  # noqa: B018
    with pytest.raises(UsageError, match=f"{name} is"):
        fields.form.run()
    assert journal.here().snapshot() == []
    fields.fields[name].value = fields.form.defaults[name]
    assert not fields.run.disabled
    assert not fields.problems[name].value


def test_a_parameter_that_does_not_exist_is_refused(form: Form) -> None:
    with pytest.raises(UsageError, match='A has no parameter "row"') as refused:
        form.put("row", "1")
    assert refused.value.hint == 'Did you mean "rows"?'
    with pytest.raises(UsageError, match='no card "Z"'):
        kit.widgets.parameters("Z")


def test_the_button_runs_it_with_what_was_filled_in(fields: widgets.Fields) -> None:
    fields.fields["rows"].value = "12"
    fields.run.click()
    thread = fields.thread
    assert thread is not None
    thread.join(240)
    assert "✓ 1/1  A · Card A" in fields.output.value
    assert fields.printed[-1] == "Done."
    assert not fields.run.disabled
    assert fields.stop.disabled
    assert [e.type for e in journal.here().snapshot()] == ["started", "checked", "completed", "executed"]
    (copy,) = (fields.form.frame.path.parent.parent.parent / "event" / "runs").glob("*/*.ipynb")
    assert "ran 12" in copy.read_text()


def test_a_run_that_fails_says_so(fields: widgets.Fields, small_event: SmallEvent) -> None:
    small_event.raw["subtasks"][0]["needs"] = ["B"]
    small_event.add("B")
    fields.run.click()
    assert fields.thread is not None
    fields.thread.join(240)
    assert "A needs B, which is not done." in fields.output.value
    assert fields.printed[-1] == "It ended with exit code 2."


def test_without_ipywidgets_there_is_the_table(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    shown: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    form.put("name", "<i>")
    form._ipython_display_()
    (still,) = shown
    assert "&lt;i&gt;" in still.data
    assert "<code>kit run A -p name &#x27;&lt;i&gt;&#x27;</code>" in still.data
