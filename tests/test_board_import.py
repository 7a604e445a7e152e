"""The import of a CSV plan: what is read, what is refused and why, and that the same file can come again."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime as dt
import io
from typing import Any

import pytest
from fixtures import story
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import board, board_import, journal
from kit.cards import Board
from kit.errors import UsageError

PLAN = story.plan()
TEAMS = dataclasses.replace(PLAN, teams=("blue", "green"))
START = dt.datetime(2026, 12, 1, 9, tzinfo=PLAN.event.zone)
HEAD = "id,title,workstream,day,minutes,needs,owner,due,criteria"


def read(
    text: str | bytes, wall: Board | None = None, **more: Any
) -> tuple[list[board_import.Row], int, list[str]]:
    content = text if isinstance(text, bytes) else text.encode()
    return board_import.read(content, PLAN, wall or board.fold(PLAN, []), **more)


def added(rows: list[board_import.Row]) -> list[journal.Event]:
    told = story.Story()
    for row in rows:
        event = told.tell(START, "added", row.id, **row.data)
        told.events[-1] = dataclasses.replace(event, team=row.team)
    return told.events


def problems(*lines: str) -> list[str]:
    return read("\n".join([HEAD, *lines]))[2]


def test_a_row_becomes_a_card_with_all_it_says() -> None:
    text = f'{HEAD}\nX1,"Order, then ask for quota",MLOps,2,45,"D1, O1",Ann,2026-12-02,"It is granted; it shows"\n'
    [row], there, wrong = read(text)
    assert (there, wrong) == (0, [])
    card = board.fold(PLAN, added([row]))["X1"]
    assert (card.title, card.workstream, card.day, card.minutes) == (
        "Order, then ask for quota",
        "mlops",
        2,
        45,
    )
    assert (card.needs, card.owner, card.due) == (("D1", "O1"), "Ann", "2026-12-02")
    assert (card.criteria, card.source) == (("It is granted", "it shows"), "import")


def test_only_three_columns_are_needed() -> None:
    [row], _, wrong = read("Title,ID,Workstream\nAsk,X1,event\n")
    assert wrong == []
    assert (row.data["day"], row.data["minutes"], row.data["workstream"]) == (1, 60, "event")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_spreadsheets_of_all_countries_are_read(delimiter: str, ending: str) -> None:
    text = ending.join(["\ufeff" + HEAD, "", "X1,Ask,mlops,1,30,D1,,,", ""]).replace(",", delimiter)
    [row], _, wrong = read(text)
    assert (row.line, row.id, wrong) == (3, "X1", [])


def test_every_bad_row_is_named_with_its_line_and_reason() -> None:
    found = problems(
        "X1,Fine,mlops,1,30,,,,",
        ",No id,mlops,1,30,,,,",
        "X 2,,mlop,9,-5,,,2.12.2026,",
        "X1,Again,mlops,1,30,,,,",
        "X3,Needs,mlops,1,30,D11 X1,,,",
        'X4,"two\nlines",mlops,1,30,,,,',
        "X5,More,mlops,1,30,,,,,surplus",
        "D1,Collect the data,data_engineering,2,45,,,,",
    )
    assert found == [
        "line 3: no id.",
        'line 4: day "9" is no number from 1 to 3.',
        'line 4: due "2.12.2026" is no date such as 2026-12-03.',
        'line 4: minutes "-5" is no number from 0 to 100000.',
        "line 4: no title.",
        'line 4: the id "X 2" is not of letters, digits, dots, dashes (at most 100).',
        'line 4: there is no workstream "mlop". Did you mean "mlops"?',
        "line 5: the id X1 is also on line 2.",
        'line 6: needs "D11", which is no card. Did you mean "D1"?',
        "line 9: 10 cells, but 9 columns. Quote text with commas.",
        "line 10: D1 is on the board already, with another day, needs.",
    ]


def test_needs_in_a_circle_are_refused() -> None:
    [circle] = problems("X1,A,mlops,1,30,X2,,,", "X2,B,mlops,1,30,X1,,,")
    assert circle.startswith("The needs go in a circle: X")


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "empty", "id,title"),
        (b"\n\n", "empty", "id,title"),
        (b"id,titel,workstream\n", 'no column "titel"', 'Did you mean "title"?'),
        (b"id,title\n", "workstream is missing", "id,title"),
        (b"id,id,title,workstream\n", "twice", "Remove"),
        (
            "id,title,workstream\nX,Ärger,mlops".encode("latin-1"),
            "Line 2 of the file is not UTF-8",
            "CSV UTF-8",
        ),
    ],
)
def test_what_is_no_such_file_is_refused_in_two_lines(content: bytes, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        read(content)
    assert hint in refused.value.hint


def test_a_torn_quote_is_named_by_its_line() -> None:
    found = problems("X1,Fine,mlops,1,30,,,,", 'X2,"torn,mlops,1,30,,,,')
    assert len(found) == 1
    assert found[0].startswith("line 3: no CSV (")


def test_the_same_file_again_adds_nothing_and_a_changed_row_is_refused() -> None:
    text = f"{HEAD}\nX1,Ask,mlops,2,30,D1,Ann,2026-12-02,granted\n"
    first, _, _ = read(text)
    events = added(first)
    events.append(dataclasses.replace(events[0], id="z", type="claimed", data={"owner": "bo"}))
    wall = board.fold(PLAN, events)
    assert read(text, wall) == ([], 1, [])
    [wrong] = read(text.replace("Ask", "Demand").replace("2026-12-02", "2026-12-03"), wall)[2]
    assert wrong == "line 2: X1 is on the board already, with another title, due date."


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(0, 10_000))
def test_an_exported_board_is_there_already(days: int, seed: int) -> None:
    wall = board.fold(PLAN, story.events(PLAN, days=days, seed=seed))
    assert read(board.to_csv(wall), wall) == ([], len(wall.cards), [])


def test_an_export_tells_of_who_claimed_a_card_and_guards_formulas_and_comes_back() -> None:
    told = story.Story()
    told.tell(START, "added", "X1", title="=1+1", workstream="mlops", criteria=["-1 or less", "@home"])
    told.tell(START, "claimed", "X1", owner="bo")
    wall = board.fold(PLAN, told.events)
    table = board.to_csv(wall)
    assert read(table, wall) == ([], len(wall.cards), [])
    [row], _, _ = read(table)
    assert (row.data["title"], row.data["owner"]) == ("=1+1", "bo")


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(TEXT, TEXT, st.integers(1, 3), st.integers(1, 999), st.sampled_from([",", ";", "\t"]))
def test_what_a_spreadsheet_writes_comes_out_as_it_was(
    title: str, owner: str, day: int, minutes: int, delimiter: str
) -> None:
    title, owner = " ".join(f"T {title}".split()), " ".join(owner.split())
    owner = owner.lstrip("'")
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(
        [
            ["id", "title", "workstream", "day", "minutes", "owner"],
            ["X1", title, "mlops", day, minutes, owner],
        ]
    )
    [row], _, wrong = read(out.getvalue())
    assert wrong == []
    assert (row.data["title"], row.data["owner"], row.data["day"], row.data["minutes"]) == (
        title,
        owner,
        day,
        minutes,
    )


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: f"{HEAD}\n{t}".encode()))
def test_no_content_breaks_it(content: bytes) -> None:
    with contextlib.suppress(UsageError):
        _, _, wrong = read(content)
        assert all(problem.startswith(("line ", "The needs")) for problem in wrong)


# Teams


def test_a_column_or_the_environment_says_whose_cards_they_are() -> None:
    wall = board.fold(TEAMS, [])
    text = "id,title,workstream,team\nX1,A,mlops,green\nX1,A,mlops,\nX2,B,event,green\nX3,C,mlops,red\n"
    new, _, wrong = board_import.read(text.encode(), TEAMS, wall, "blue")
    assert [row.key for row in new] == ["X1@green", "X1@blue", "X2"]
    assert wrong == ['line 5: there is no team "red". Known: blue, green.']
    [wrong_here] = read(text.replace("\nX1,A,mlops,\nX2,B,event,green\nX3,C,mlops,red", ""))[2]
    assert wrong_here == 'line 2: there is no team "green". The plan has none.'


def test_a_planned_card_of_teams_is_there_already() -> None:
    wall = board.fold(TEAMS, [])
    assert board_import.read(board.to_csv(wall).encode(), TEAMS, wall) == ([], len(wall.cards), [])
    [s] = [s for s in TEAMS.cards if s.id == "D1"]
    text = f"id,title,workstream,day,minutes,needs\nD1,{s.title},{s.workstream},{s.day},{s.minutes},E1\n"
    assert board_import.read(text.encode(), TEAMS, wall) == ([], 1, [])
