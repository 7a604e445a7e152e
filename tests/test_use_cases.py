"""The ranking of use cases, and the file that it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jobs import load

from kit.errors import PlanError

(cases,) = load("data_engineering", "use_cases")
FILE = Path(__file__).parents[1] / "data_engineering" / "use_cases.yml"
SMALL = {
    "criteria": {"fast": {"asks": "?", "weight": 3}, "shared": {"asks": "?", "weight": 1}},
    "use_cases": {
        "slow": {"why": "", "scores": {"fast": 0, "shared": 5}},
        "quick": {"why": "", "scores": {"fast": 5, "shared": 1}},
    },
    "verdicts": {"leave it": 0, "build": 65},
}


def written(tmp_path: Path, change: Any = None) -> Path:
    found = yaml.safe_load(yaml.safe_dump(SMALL))
    if change:
        change(found)
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump(found))
    return file


def test_use_cases_are_ranked_by_their_weighted_share_of_what_is_possible(tmp_path: Path) -> None:
    table = cases.ranked(*cases.read(written(tmp_path)))
    assert table["total"].round(6).to_dict() == {"quick": 80.0, "slow": 25.0}
    assert list(table.index) == ["quick", "slow"]
    assert table["verdict"].to_dict() == {"quick": "build", "slow": "leave it"}
    assert table.loc["quick", ["fast", "shared"]].to_list() == [75.0, 5.0]


def test_a_weight_that_turns_the_order_is_told(tmp_path: Path) -> None:
    def close(found: dict[str, Any]) -> None:
        found["use_cases"]["slow"]["scores"]["fast"] = 3
        found["criteria"]["fast"]["weight"] = 2.5

    read = cases.read(written(tmp_path, close))
    assert cases.ranked(*read).index[0] == "quick"
    assert cases.steady(*read) == {
        "fast doubled": True,
        "fast halved": False,
        "shared doubled": False,
        "shared halved": True,
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["use_cases"]["slow"]["scores"].pop("fast"), "slow › fast: the score is None"),
        (lambda f: f["use_cases"]["slow"]["scores"].update(fast=6), "slow › fast: the score is 6"),
        (lambda f: f["use_cases"]["slow"]["scores"].update(fast="high"), "the score is high"),
        (lambda f: f["use_cases"]["slow"]["scores"].update(fast=True), "the score is True"),
        (lambda f: f["use_cases"]["slow"]["scores"].update(fats=1), 'there is no criterion "fats"'),
        (lambda f: f["criteria"]["fast"].update(weight=0), "fast: the weight is 0"),
        (lambda f: f.pop("verdicts"), "cannot be read"),
        (lambda f: f.update(use_cases=[]), "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        cases.read(written(tmp_path, change))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        cases.read(tmp_path / "cases.yml")


def test_this_events_use_cases_can_be_ranked_and_drawn() -> None:
    from matplotlib.figure import Figure

    criteria, scores, verdicts = cases.read(FILE)
    table = cases.ranked(criteria, scores, verdicts)
    assert set(table["verdict"]) == set(verdicts), "the file shows each verdict"
    ax = Figure().subplots()
    cases.draw(ax, table, verdicts)
    assert [text.get_text().partition(" · ")[2] for text in ax.texts] == table["verdict"].to_list()[::-1]
    assert [
        label.get_text() for label in ax.get_legend_handles_labels()[1] if hasattr(label, "get_text")
    ] == []
    assert ax.get_legend_handles_labels()[1] == list(criteria)
