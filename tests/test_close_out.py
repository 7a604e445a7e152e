"""The close-out: criteria with missing figures, re-scoping in writing, acceptance, the document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jobs import load
from small_event import SmallEvent

from kit import board, journal, plan
from kit.errors import UsageError

charter, close_out = load("runbooks", "charter", "close_out")


def result(name: str, value: float | None) -> Any:
    one = charter.Criterion(name=name, figure="M5.auc", at_least=0.8)
    return charter.Result(one, value, None if value is None else value >= 0.8)


RESULTS = [result("good", 0.9), result("bad", 0.7123456), result("unknown", None)]


def test_a_criterion_holds_is_missed_or_is_missing() -> None:
    rows = close_out.criteria(RESULTS, {"bad": "the data were late"})
    assert [(row["recorded"], row["result"]) for row in rows] == [
        ("0.9", "holds"),
        ("0.7123", "missed, re-scoped: the data were late"),
        ("missing", "missing"),
    ]


def test_what_is_not_met_has_to_be_rescoped_in_writing() -> None:
    assert close_out.unmet(RESULTS, {}) == ["bad", "unknown"]
    assert close_out.unmet(RESULTS, {"bad": "why", "unknown": " "}) == ["unknown"]
    with pytest.raises(UsageError, match='no criterion "bat"'):
        close_out.unmet(RESULTS, {"bat": "why"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("Ada", "acepted", ""), "no verdict"),
        (("", "accepted", ""), "Nobody says"),
        (("Ada", "accepted with conditions", ""), "conditions are not said"),
    ],
)
def test_an_acceptance_that_says_too_little_is_refused(given: tuple[str, str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        close_out.acceptance(*given)


def test_the_form_says_the_same_in_code() -> None:
    form = close_out.form(close_out.acceptance(" Ada ", "accepted"))
    form.put("acceptance", "conditions", "it's ours")
    assert form.code == "accepted_by, verdict, conditions = 'Ada', 'accepted', \"it's ours\""
    assert close_out.acceptance(**form.values["acceptance"])["conditions"] == "it's ours"


def test_the_document_tells_all_and_texts_stay_texts(small_event: SmallEvent) -> None:
    small_event.add("A")
    journal.here().append("blocked", "A", reason="<script>no quota</script>", unblocker="")
    wall = board.fold(plan.load(), journal.here().snapshot())
    agreed = charter.read(Path(__file__).parent.parent / "runbooks" / "charter.yml")
    accepted = close_out.acceptance("<b>Ada</b>", "accepted with conditions", "by | Monday")
    lines = close_out.document(agreed, RESULTS, {}, accepted, {"Who?": "*We*"}, [], wall)
    text = "\n".join(lines)
    assert "1 of 3 criteria hold" in text
    assert "Accepted with conditions" in text
    assert "A · Card A" in text
    assert "\\*We\\*" in text
    assert "<script>" not in text
    assert "<b>" not in text
    assert "by \\| Monday" in text
    names = ["index.html", "documents/a.html", "documents/a.md", "documents/b.md", "reports/day-1.html",
        "reports/notebooks/A.html", "reports/notebooks/A-failed.html", "attachments/A/x y.csv"]  # fmt: skip
    titles = dict.fromkeys(names, "") | {"documents/a.html": "The <first> one"}
    page = "\n".join(close_out.index(wall, titles, accepted))
    assert "[The &lt;first" in page
    for link in (
        "(documents/a.html)",
        "(documents/b.md)",
        "(reports/notebooks/A-failed.html)",
        "(attachments/A/x%20y.csv)",
    ):
        assert link in page
    assert "(documents/a.md)" not in page, "it is there as HTML"
