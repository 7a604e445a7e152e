from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import frame
from kit.errors import RunbookError, UsageError
from kit.frame import Parameter

PARAMETERS = """\
target: str = "local"  # where the calls go
rows: int = 100  # rows to write
share: float = 0.2  # of the rows
balance: bool = True  # whether
columns: list[str] = ["a"]  # which
"""


def notebook(
    path: Path, *, text: str = "# D1 · Title\n\n**Done when**\n\n- it holds\n- so\n  does this\n", **cell: Any
) -> Path:
    parameters = {"cell_type": "code", "source": PARAMETERS, "metadata": {"tags": ["parameters"]}, **cell}
    cells = [{"cell_type": "markdown", "source": text, "metadata": {}}, parameters]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def test_reads_title_bullets_and_parameters(tmp_path: Path) -> None:
    read = frame.read(notebook(tmp_path / "a.ipynb"))
    assert read.title == "D1 · Title"
    assert read.done_when == ("it holds", "so does this")
    assert read.parameters[1] == Parameter("rows", "int", 100, "rows to write")


def test_the_hash_is_of_sources_not_of_outputs(tmp_path: Path) -> None:
    one = frame.read(notebook(tmp_path / "a.ipynb", outputs=[], execution_count=None))
    two = frame.read(notebook(tmp_path / "b.ipynb", outputs=["x"], execution_count=7))
    other = frame.read(notebook(tmp_path / "c.ipynb", source=PARAMETERS + "more: int = 1  # x\n"))
    assert one.sha256 == two.sha256 != other.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {}}, "no cells tagged `parameters`"),
        ({"source": "rows = 1"}, "has no type"),
        ({"source": "rows: int = 1 + 1j * x"}, "computes its default"),
        ({"text": "no title"}, "has no title"),
        ({"text": "# T\n\nno bullets"}, "Done when"),
    ],
)
def test_a_broken_frame_says_what_is_missing(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunbookError, match=r"a\.ipynb") as caught:
        frame.read(notebook(tmp_path / "a.ipynb", **change))
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": 3}', "no json"])
def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RunbookError, match="not a notebook"):
        frame.read(path)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rows", " 200 ", 200),
        ("share", "0.5", 0.5),
        ("share", "1", 1.0),
        ("balance", "false", False),
        ("target", " aws ", "aws"),
        ("columns", "['a', 'b']", ["a", "b"]),
    ],
)
def test_texts_are_read_as_the_parameter_s_type(tmp_path: Path, name: str, text: str, value: Any) -> None:
    read = frame.read(notebook(tmp_path / "a.ipynb"))
    assert frame.values(read, {name: text}, "D1") == {name: value}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows", "many"),
        ("rows", "1.5"),
        ("rows", "True"),
        ("share", "x"),
        ("balance", "maybe"),
        ("columns", "a, b"),
    ],
)
def test_a_value_of_another_type_is_refused(tmp_path: Path, name: str, text: str) -> None:
    read = frame.read(notebook(tmp_path / "a.ipynb"))
    with pytest.raises(UsageError, match=f"{name} is ") as caught:
        frame.values(read, {name: text}, "D1")
    assert "default" in caught.value.hint


def test_an_unknown_name_is_answered_with_the_closest(tmp_path: Path) -> None:
    read = frame.read(notebook(tmp_path / "a.ipynb"))
    with pytest.raises(UsageError) as caught:
        frame.values(read, {"row": "1"}, "D1")
    assert caught.value.hint == 'Did you mean "rows"?'


@given(st.integers())
def test_integers_survive_the_command_line(value: int) -> None:
    assert frame.typed(Parameter("n", "int", 0, ""), str(value), "D1") == value


@given(st.text())
def test_any_text_is_a_string(value: str) -> None:
    assert frame.typed(Parameter("s", "str", "", ""), value, "D1") == value.strip()
