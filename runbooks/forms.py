"""A small form for what people say at a ceremony, with the line of code that says the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["Field", "Form"]


@dataclass(frozen=True)
class Field:
    """A column of a form: its name, whether a text goes over several lines, and the choices where there are some."""

    name: str
    lines: int = 1
    choices: Sequence[tuple[str, Any]] = field(default=())
    width: str = "22em"


class Form:
    """Rows of fields. `values` is what stands in them now: by row, then by field.

    `widget` shows it to a person; `code` is the same as an assignment, which a cell or a parameter takes.
    """

    def __init__(
        self,
        rows: Mapping[str, str],
        fields: Sequence[Field],
        values: Mapping[str, Mapping[str, Any]],
        coded: Callable[[Mapping[str, Mapping[str, Any]]], str],
    ) -> None:
        """Make the form.

        Args:
            rows: title by name.
            fields: its columns.
            values: what stands in it at first, by row and field.
            coded: the values as a line of code.
        """
        self.rows, self.fields, self._coded = dict(rows), tuple(fields), coded
        empty = {f.name: f.choices[0][1] if f.choices else "" for f in fields}
        self.values: dict[str, dict[str, Any]] = {
            row: {**empty, **copy.deepcopy(dict(values.get(row, {})))} for row in rows
        }

    @property
    def code(self) -> str:
        """The line of code that says the same."""
        return self._coded(self.values)

    def put(self, row: str, name: str, value: Any) -> None:
        """Fill in a field."""
        self.values[row][name] = value.strip() if isinstance(value, str) else value

    def show(self, by_hand: bool) -> None:
        """Show the form where a person steps through the notebook, and the line of code in any case."""
        if by_hand:
            from IPython.display import display

            display(self.widget())
        else:
            print(self.code)  # noqa: T201 - the output of the notebook's cell

    def widget(self) -> ipywidgets.VBox:
        """The form; what a person types is in `values` at once."""
        import ipywidgets

        told = ipywidgets.HTML()

        def tell() -> None:
            told.value = (
                f"<p>The same in code:</p><pre style='white-space:pre-wrap'>{escape(self.code)}</pre>"
            )

        lines: list[Any] = []
        for row, title in self.rows.items():
            cells: list[Any] = [ipywidgets.HTML(f"<b>{escape(title)}</b>", layout={"width": "11em"})]
            for one in self.fields:
                cell = _cell(ipywidgets, one, self.values[row][one.name])

                def heard(change: Mapping[str, Any], row: str = row, name: str = one.name) -> None:
                    self.put(row, name, change["new"])
                    tell()

                cell.observe(heard, "value")
                cells.append(cell)
            lines.append(ipywidgets.HBox(cells, layout={"flex_flow": "row wrap"}))
        tell()
        return ipywidgets.VBox([*lines, told])


def _cell(ipywidgets: Any, one: Field, value: Any) -> Any:
    layout = {"width": one.width}
    if one.choices:
        return ipywidgets.Dropdown(options=list(one.choices), value=value, tooltip=one.name, layout=layout)
    if one.lines > 1:
        layout["height"] = f"{1.7 * one.lines}em"
        return ipywidgets.Textarea(value=value, placeholder=one.name, layout=layout)
    return ipywidgets.Text(value=value, placeholder=one.name, layout=layout)
