"""The board: what events make of cards, and the forms in which it is handed on."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import json
import multiprocessing
import random
from pathlib import Path
from typing import Any

import pytest
from fixtures import story
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import board, journal
from kit.cards import BLOCKED, DOING, DONE, REVIEW, STATES, TODO, Board, Card
from kit.errors import JournalError, UsageError

# Python 3.12 warns of forks where threads run, as in a worker of pytest-xdist; children here only append.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

PLAN = story.plan()
START = dt.datetime(2026, 12, 1, 9, tzinfo=PLAN.event.zone)


class Told(story.Story):
    """A story whose events come a minute apart."""

    def say(self, type: str, card: str = "D1", who: str = "ann", **data: Any) -> journal.Event:
        return self.tell(START + dt.timedelta(minutes=len(self.events)), type, card, who, **data)

    def prove(self, card: str = "D1", **more: Any) -> journal.Event:
        return self.complete(START + dt.timedelta(minutes=len(self.events)), card, **more)

    def card(self, id: str = "D1") -> Card:
        return board.fold(PLAN, self.events)[id]


@pytest.fixture
def told() -> Told:
    return Told()


# Nothing in, everything out


def test_without_events_every_card_of_the_plan_is_to_do() -> None:
    wall = board.fold(PLAN, [])
    assert [c.id for c in wall.cards] == [s.id for s in PLAN.cards]
    assert {c.state for c in wall.cards} == {TODO}
    assert wall.counts() == {TODO: 23, DOING: 0, BLOCKED: 0, REVIEW: 0, DONE: 0}
    assert [c.id for c in wall.cards if c.ready] == ["E1"]
    assert wall.at is None


def test_asking_for_a_card_that_is_not_there_names_the_closest() -> None:
    with pytest.raises(UsageError, match='no card "D11"') as refused:
        board.fold(PLAN, [])["D11"]
    assert 'Did you mean "D1"?' in refused.value.hint


# How cards move


def test_a_card_starts_and_is_done_by_evidence(told: Told) -> None:
    told.say("started", run="r1")
    assert told.card().state == DOING
    done = told.prove(
        run="r1",
        seconds=12.5,
        sha256="abc",
        outputs={"raw": "s3://b/k", "rows": 7},
        metrics={"auc": 0.8, "bad": "x"},
    )
    told.say("executed", run="r1", copy="runs/r1/d1.ipynb", seconds=14.0)
    card = told.card()
    assert card.state == DONE
    assert card.since == done.ts
    assert card.run is not None
    assert (card.run.sha256, card.run.seconds, card.run.copy) == ("abc", 12.5, "runs/r1/d1.ipynb")
    assert (card.outputs, card.metrics) == ({"raw": "s3://b/k", "rows": 7}, {"auc": 0.8})
    assert [c.ok for c in card.checks] == [True, True, True]
    assert [(m.before, m.after) for m in card.moves] == [(TODO, DOING), (DOING, DONE)]


@pytest.mark.parametrize(
    "lack",
    [
        {"checks": []},
        {"checks": None},
        {"sha256": ""},
        {"checks": [{"check": "A", "ok": False, "got": "1", "expected": "0"}]},
        {"checks": [{"check": "A", "ok": "yes", "got": "0", "expected": "0"}]},
        {"checks": [{"check": "A", "ok": True}, "nonsense"]},
    ],
)
def test_a_completion_without_full_evidence_moves_nothing(told: Told, lack: dict[str, Any]) -> None:
    told.say("started")
    told.prove(**lack)
    card = told.card()
    assert card.state == DOING
    assert card.run is None
    assert len(card.history) == 2


def test_a_failure_is_shown_until_the_next_success_and_reopens_a_done_card(told: Told) -> None:
    told.prove(run="r1")
    told.say("started", run="r2")
    assert told.card().state == DONE
    told.say("checked", check="A", ok=False, got="17", expected="0")
    told.say("failed", run="r2", copy="runs/r2/d1.ipynb", cell="check-a", error="CheckFailed", message="no")
    card = told.card()
    assert card.state == DOING
    assert card.failed is not None
    assert (card.failed.cell, card.failed.error, card.failed.message) == ("check-a", "CheckFailed", "no")
    assert [(c.name, c.ok) for c in card.checks] == [("A", False)]
    told.prove(run="r3")
    assert (told.card().state, told.card().failed) == (DONE, None)


def test_a_check_that_ran_again_counts_once_with_its_last_outcome(told: Told) -> None:
    told.say("started")
    told.say("checked", check="A", ok=False, got="17", expected="0", value=17)
    told.say("checked", check="A", ok=True, got="0", expected="0", value=0)
    [check] = told.card().checks
    assert (check.ok, check.got, check.value) == (True, "0", 0)


def test_a_block_keeps_its_reason_until_it_ends_and_remembers_the_column(told: Told) -> None:
    told.say("started")
    blocked = told.say("blocked", reason="no access", unblocker="Security desk")
    told.say("started", run="r2")
    told.say("failed", run="r2", error="E", message="m")
    told.say("blocked", reason="no quota", unblocker="")
    card = told.card()
    assert (card.state, card.reason, card.unblocker, card.since) == (
        BLOCKED,
        "no access; no quota",
        "Security desk",
        blocked.ts,
    )
    told.say("unblocked", note="both solved")
    card = told.card()
    assert (card.state, card.reason, card.unblocker) == (DOING, "", "")
    assert [m.reason for m in card.moves if m.after == BLOCKED] == ["no access; no quota"]


def test_a_card_blocked_before_it_started_goes_back_to_do(told: Told) -> None:
    told.say("blocked", reason="no laptop")
    told.say("unblocked")
    assert told.card().state == TODO


def test_a_block_without_a_reason_says_so(told: Told) -> None:
    told.say("blocked", reason="  ")
    assert told.card().reason == "no reason was given"


def test_completion_ends_a_block(told: Told) -> None:
    told.say("blocked", reason="no access")
    told.prove()
    assert (told.card().state, told.card().reason) == (DONE, "")


def test_the_first_claim_owns_and_later_ones_help_however_they_arrive(told: Told) -> None:
    told.say("claimed", who="bo", owner="bo")
    told.say("claimed", who="ann", owner="ann")
    told.say("claimed", who="bo", owner="bo")
    told.say("claimed", who="cy")
    assert (told.card().owner, told.card().helpers) == ("bo", ("ann", "cy"))
    told.events.reverse()
    assert (told.card().owner, told.card().helpers) == ("bo", ("ann", "cy"))
    assert "bo (ann, cy help)" in board.text(board.fold(PLAN, told.events))


def test_a_planned_review_goes_from_completion_through_review_to_done(told: Told) -> None:
    assert PLAN["O2"].review
    told.say("accepted", "O2", evidence="too early")
    told.prove("O2")
    assert told.card("O2").state == REVIEW
    told.say("accepted", "O2", "eve", evidence="seen together")
    assert (told.card("O2").state, told.card("O2").evidence) == (DONE, "seen together")


def test_a_card_without_a_runbook_is_done_by_a_review_with_evidence(told: Told) -> None:
    told.say(
        "added",
        "X1",
        id="X1",
        title="Talk to the owner",
        workstream="mlops",
        day=2,
        minutes=30,
        needs=["D1"],
        criteria=["Agreed"],
    )
    told.say("review", "X1", evidence=" ")
    assert told.card("X1").state == TODO
    told.say("review", "X1", evidence="mail of 2 December")
    card = told.card("X1")
    assert (card.state, card.evidence, card.criteria, card.needs, card.ready) == (
        REVIEW,
        "mail of 2 December",
        ("Agreed",),
        ("D1",),
        False,
    )
    told.say("accepted", "X1")
    assert (told.card("X1").state, told.card("X1").evidence) == (DONE, "mail of 2 December")


def test_a_card_with_a_runbook_cannot_be_reviewed_into_done(told: Told) -> None:
    told.say("review", evidence="trust me")
    told.say("accepted")
    assert told.card().state == TODO


def test_a_card_that_is_planned_for_ages_does_not_take_the_board_down(told: Told) -> None:
    told.say("added", "X1", title="Ages", workstream="mlops", minutes=1.44e12)
    told.say("started", "X1")
    assert told.card("X1").minutes == 0
    assert "Ages" in board.text(board.fold(PLAN, told.events))


def test_the_first_added_card_of_an_id_counts_and_the_plan_before_all(told: Told) -> None:
    told.say("noted", "X1", text="written on a host whose clock is behind")
    told.say(
        "added",
        "X1",
        title="First",
        workstream="nowhere",
        day="soon",
        minutes=-5,
        needs="D1",
        criteria=[1, {}],
    )
    told.say("added", "X1", title="Second", workstream="mlops")
    told.say("added", "D1", title="Another D1", workstream="mlops")
    card = told.card("X1")
    assert (card.title, card.workstream, card.day, card.minutes, card.needs, card.criteria) == (
        "First",
        "event",
        1,
        0,
        (),
        ("1",),
    )
    assert [note.text for note in card.notes] == ["written on a host whose clock is behind"]
    assert told.card("D1").title == "Collect the data"


def test_notes_attachments_and_skips_stay_with_the_card(told: Told) -> None:
    told.say("noted", text="hello", who="bo")
    told.say("attached", title="A plot", path="attachments/D1/plot.png", sha256="1")
    told.say("attached", title="A better plot", path="attachments/D1/plot.png", sha256="2")
    told.say("skipped", run="r", reason="needs F1, which failed")
    told.say("noted", "", text="for everybody")
    card = told.card()
    assert [(n.who, n.text) for n in card.notes] == [("bo", "hello")]
    assert [(a.title, a.sha256) for a in card.attachments] == [("A better plot", "2")]
    assert card.skipped == "needs F1, which failed"
    assert [n.text for n in board.fold(PLAN, told.events).notes] == ["for everybody"]
    told.say("started")
    assert told.card().skipped == ""


def test_a_card_is_ready_when_all_it_needs_is_done(told: Told) -> None:
    assert not told.card("D2").ready
    told.prove("D1")
    assert told.card("D2").ready
    told.say("failed", "D1", error="E", message="m")
    assert not told.card("D2").ready


def test_only_events_of_the_target_count_where_one_is_named(told: Told) -> None:
    told.prove("D1")
    aws = [dataclasses.replace(e, target="aws") for e in told.events]
    assert board.fold(PLAN, aws, target="local")["D1"].state == TODO
    assert board.fold(PLAN, aws, target="aws")["D1"].state == DONE
    assert board.fold(PLAN, aws)["D1"].state == DONE


def test_events_of_no_card_are_told(told: Told) -> None:
    told.say("noted", "Q9", text="?")
    wall = board.fold(PLAN, told.events)
    assert wall.unknown == ("Q9",)
    assert "neither in the plan nor added: Q9" in board.text(wall)
    assert "neither in the plan nor added: Q9" in board.to_markdown(wall)


def test_age_counts_the_events_working_hours(told: Told) -> None:
    told.tell(START.replace(hour=16), "started", "D1")
    wall = board.fold(PLAN, told.events, now=START.replace(day=2, hour=10))
    assert wall.age(wall["D1"]) == dt.timedelta(hours=2) - dt.timedelta(microseconds=1)
    assert wall.age(wall["D2"]) is None


# Whatever comes

TYPES = [
    "started",
    "checked",
    "completed",
    "executed",
    "failed",
    "blocked",
    "unblocked",
    "claimed",
    "noted",
    "attached",
]
TYPES += ["added", "review", "accepted", "made", "removed", "skipped", "unheard-of"]
KEYS = [
    "run",
    "notebook",
    "sha256",
    "seconds",
    "checks",
    "outputs",
    "metrics",
    "attachments",
    "reason",
    "unblocker",
    "owner",
]
KEYS += [
    "text",
    "evidence",
    "id",
    "title",
    "workstream",
    "day",
    "minutes",
    "needs",
    "criteria",
    "check",
    "ok",
    "path",
    "copy",
]
CHECKS = [{"check": "A", "ok": True, "got": "0", "expected": "0"}]
nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["s3://x", "mlops", "D1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["check", "ok", "path"]) | st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
sensible = st.fixed_dictionaries(
    {},
    optional={"sha256": st.just("abc"), "checks": st.just(CHECKS), "reason": st.sampled_from(["r1", "r2"]), "evidence": st.just("seen"), "owner": st.sampled_from(["ann", "bo"])},
)  # fmt: skip
any_event = st.builds(
    journal.Event,
    id=st.integers(0, 30).map(str),
    ts=st.integers(0, 10_000).map(lambda m: START + dt.timedelta(minutes=m)),
    seq=st.just(1),
    who=st.sampled_from(["ann", "bo"]),
    host=st.just("h"),
    type=st.sampled_from(TYPES),
    card=st.sampled_from(["", "D1", "D2", "O2", "X1", "X2"]),
    data=sensible | st.dictionaries(st.sampled_from(KEYS), nonsense, max_size=5),
)
any_events = st.lists(any_event, max_size=25)
thorough = settings(max_examples=150, deadline=None)


@thorough
@given(any_events)
def test_no_sequence_of_events_makes_it_raise(events: list[journal.Event]) -> None:
    wall = board.fold(PLAN, events)
    assert {c.state for c in wall.cards} <= set(STATES)
    board.text(wall).encode("utf-8", "replace")
    board.to_markdown(wall)
    for table in (board.to_csv(wall), board.to_jira_csv(wall)):
        assert len(list(csv.reader(io.StringIO(table)))) == len(wall.cards) + 1
    moves = sum(len(c.moves) for c in wall.cards)
    assert len(list(csv.reader(io.StringIO(board.to_transitions_csv(wall))))) == moves + 1
    json.loads(board.to_json(wall), parse_constant=pytest.fail)


@thorough
@given(any_events, st.randoms(use_true_random=False))
def test_the_order_of_arrival_and_repeated_delivery_do_not_matter(
    events: list[journal.Event], chance: random.Random
) -> None:
    wall = board.fold(PLAN, events)
    shuffled = events + events[: len(events) // 2]
    chance.shuffle(shuffled)
    assert _told(board.fold(PLAN, shuffled)) == _told(wall)


def _told(wall: Board) -> str:
    return repr(wall)  # not ==, because nan is not equal to itself


@thorough
@given(any_events)
def test_done_is_only_by_evidence_and_blocked_only_by_a_block(events: list[journal.Event]) -> None:
    for card in board.fold(PLAN, events).cards:
        if card.state == DONE:
            proven = (
                card.run is not None and card.run.sha256 and card.checks and all(c.ok for c in card.checks)
            )
            assert proven or (card.evidence and not card.notebook)
        for move in card.moves:
            assert (move.after == BLOCKED) == bool(move.reason)
        blocks = [e for e in card.history if e.type == "blocked"]
        ends = [e for e in card.history if e.type in ("unblocked", "completed")]
        if blocks and (not ends or max(blocks, key=_place) is max(blocks + ends, key=_place)):
            assert card.state == BLOCKED
            assert card.reason
        if card.moves:
            assert card.moves[0].before == TODO
            assert card.moves[-1].after == card.state
            assert all(a.after == b.before for a, b in zip(card.moves, card.moves[1:], strict=False))


def _place(event: journal.Event) -> tuple[dt.datetime, str]:
    return event.ts, event.id


# Forms


@pytest.fixture(scope="module")
def wall() -> Board:
    return board.fold(PLAN, story.events(PLAN))


def test_text_has_a_line_per_card_with_its_state_in_words(wall: Board) -> None:
    lines = board.text(wall).splitlines()
    for card in wall.cards:
        [line] = [x for x in lines if f"  {card.id} " in x]
        assert card.state in line
        assert card.title in line
    assert lines[0].startswith(
        f"Machine learning EBA · {wall.counts()[DONE]} of {len(wall.cards)} cards done"
    )


def test_text_carries_no_control_characters_to_the_terminal(told: Told) -> None:
    told.say("added", "X\x1b[31m", title="\x1b]0;owned\x07 title", workstream="mlops")
    told.say("blocked", "D1", reason="\x1b[2J wiped", unblocker="\x07")
    assert board.text(board.fold(PLAN, told.events)).replace("\n", "").isprintable()


def test_json_holds_every_card_with_its_moves(wall: Board) -> None:
    raw = json.loads(board.to_json(wall))
    assert raw["counts"] == wall.counts()
    assert [c["id"] for c in raw["cards"]] == [c.id for c in wall.cards]
    done = next(c for c in raw["cards"] if c["state"] == DONE)
    assert done["run"]["sha256"]
    assert done["moves"][-1]["after"] == DONE
    assert dt.datetime.fromisoformat(done["since"]).tzinfo
    assert "history" not in done


def test_csv_has_a_row_per_card_and_transitions_a_row_per_move(wall: Board, told: Told) -> None:
    rows = list(csv.DictReader(io.StringIO(board.to_csv(wall))))
    assert [(r["id"], r["state"]) for r in rows] == [(c.id, c.state) for c in wall.cards]
    told.say("started")
    told.say("blocked", reason="no access", unblocker="Security desk")
    told.tell(START + dt.timedelta(hours=3, minutes=1), "unblocked", "D1")
    rows = list(csv.DictReader(io.StringIO(board.to_transitions_csv(board.fold(PLAN, told.events)))))
    assert [(r["id"], r["from"], r["to"], r["hours_in_from"], r["reason"]) for r in rows] == [
        ("D1", TODO, DOING, "", ""),
        ("D1", DOING, BLOCKED, "0.02", "no access"),
        ("D1", BLOCKED, DOING, "3.0", ""),
    ]


def test_jira_csv_has_a_summary_for_every_card(wall: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(board.to_jira_csv(wall))))
    assert len(rows) == len(wall.cards)
    assert all(r["Summary"] and r["Issue Type"] == "Task" for r in rows)
    assert {r["Status"] for r in rows} <= {"To Do", "In Progress", "Blocked", "In Review", "Done"}


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1"])
def test_no_cell_of_a_csv_is_a_formula(told: Told, start: str) -> None:
    told.say("added", "X1", title=start, workstream="mlops", criteria=[start])
    told.say("blocked", "X1", who=start, reason=start, unblocker=start)
    told.say("claimed", "X1", owner=start)
    wall = board.fold(PLAN, told.events)
    for table in (board.to_csv(wall), board.to_transitions_csv(wall), board.to_jira_csv(wall)):
        cells = [cell for row in csv.reader(io.StringIO(table)) for cell in row]
        assert not [cell for cell in cells if cell.strip()[:1] in tuple("=+-@")]
        assert [cell for cell in cells if cell.startswith("'")]


def test_markdown_renders_as_tables_and_nothing_people_wrote_becomes_markup(told: Told) -> None:
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    evil = "a | b\n# c <script>alert(1)</script> **bold** [x](javascript:alert(1)) ![i](http://e.com/i.png) `code`"
    told.say("added", "X1", title=evil, workstream="mlops")
    told.say("blocked", "X1", reason=evil, unblocker=evil)
    told.say("noted", "X1", who=evil, text=evil)
    markdown = board.to_markdown(board.fold(PLAN, told.events))
    html = markdown2html_mistune(markdown)
    for tag in ("<script", '<a href="javascript', "<img", "<code", '<h1 id="c'):
        assert tag not in html
    assert html.count("<table>") == 1 + 5  # the overview, and one per workstream and the event
    row = next(line for line in markdown.splitlines() if line.startswith("| **X1**"))
    assert row.replace("\\|", "").count("|") == 7
    assert "■ Blocked" in row


def test_markdown_links_the_executed_copy_from_the_boards_folder(told: Told) -> None:
    told.prove("D1", run="r 1")
    told.say("executed", run="r 1", copy="runs/r 1/d1.ipynb")
    assert "[executed copy](../runs/r%201/d1.ipynb)" in board.to_markdown(board.fold(PLAN, told.events))


# Age, limits and dates


def limited(told: Told, now: str) -> Board:
    lanes = tuple(dataclasses.replace(w, wip=1 if w.id == "mlops" else 0) for w in PLAN.workstreams)
    at = dt.datetime.fromisoformat(now).replace(tzinfo=PLAN.event.zone)
    return board.fold(dataclasses.replace(PLAN, workstreams=lanes), told.events, now=at)


def test_ageing_cards_limits_and_due_dates_are_shown(told: Told) -> None:
    told.say("started", "O1")
    told.say("started", "O2")
    told.say("added", "X1", title="Ask", workstream="event", owner="Ann", due="2026-12-01")
    wall = limited(told, "2026-12-02T09:30:01")
    assert "\nMLOps\n  2 in Doing, the limit is 1\n" in board.text(wall)
    assert "ageing: 8 h 30 min under way" in board.text(wall)
    assert "Ann · was due 1 December · ready" in board.text(wall)
    assert "due 1 December" in board.text(limited(told, "2026-12-01T16:00"))
    assert "was due" not in board.text(limited(told, "2026-12-01T23:30"))
    markdown = board.to_markdown(wall)
    assert "\n▲ 2 in Doing, the limit is 1\n" in markdown
    assert "ageing: 8 h 30 min under way" in markdown
    cards = {c["id"]: c for c in json.loads(board.to_json(wall))["cards"]}
    assert (cards["O1"]["ageing"], cards["X1"]["ageing"], cards["X1"]["due"]) == (True, False, "2026-12-01")
    rows = {r["id"]: r for r in csv.DictReader(io.StringIO(board.to_csv(wall)))}
    assert (rows["O1"]["ageing"], rows["O1"]["hours_under_way"], rows["X1"]["due"]) == (
        "yes",
        "8.5",
        "2026-12-01",
    )
    jira = list(csv.DictReader(io.StringIO(board.to_jira_csv(wall))))
    assert [r["Due Date"] for r in jira if r["Assignee"] == "Ann"] == ["2026-12-01"]


def test_a_card_is_shown_as_skipped_until_what_it_needs_is_done(told: Told) -> None:
    told.say("skipped", "D1", run="r", reason="needs E1")
    assert "skipped: needs E1 · waits for E1" in board.text(board.fold(PLAN, told.events))
    told.prove("E1")
    assert "skipped" not in board.text(board.fold(PLAN, told.events))


@pytest.mark.parametrize("due", ["tomorrow", 7, None, "2026-13-01", ["2026-12-01"]])
def test_a_due_date_that_is_none_is_left_out(told: Told, due: Any) -> None:
    told.say("added", "X1", title="Ask", workstream="mlops", due=due)
    assert told.card("X1").due == ""


def test_the_owner_of_an_added_card_owns_it_and_who_claims_it_helps(told: Told) -> None:
    told.say("added", "X1", title="Ask", workstream="mlops", owner=" Ann ")
    told.say("claimed", "X1", owner="Ann")
    told.say("claimed", "X1", owner="bo")
    assert (told.card("X1").owner, told.card("X1").helpers) == ("Ann", ("bo",))


def test_the_flow_as_csv_has_a_row_per_step(wall: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(board.to_flow_csv(wall))))
    assert rows[0]["at"] == "2026-12-01T09:00:00+01:00"
    last = {state: int(rows[-1][state.lower().replace(" ", "_")]) for state in STATES}
    assert last == wall.counts()
    assert int(rows[-1]["cards"]) == len(wall.cards)


# Files


def test_refresh_writes_both_files_and_returns_the_board(tmp_path: Path) -> None:
    book = journal.open(tmp_path / "journal", "ann")
    book.append("started", "D1")
    wall = board.refresh(PLAN, book, tmp_path / "board")
    assert wall["D1"].state == DOING
    assert sorted(f.name for f in (tmp_path / "board").iterdir()) == ["board.json", "board.md"]
    assert json.loads((tmp_path / "board" / "board.json").read_text())["counts"][DOING] == 1
    assert "◐ Doing" in (tmp_path / "board" / "board.md").read_text()


def test_refresh_looks_again_for_what_was_recorded_while_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, other = journal.open(tmp_path / "journal", "ann"), journal.open(tmp_path / "journal", "bo")
    book.append("started", "D1")
    late = iter(["D2", "D3"])
    replace = Path.replace

    def replace_while_somebody_records(self: Path, target: Path) -> Path:
        if card := next(late, ""):
            other.append("started", card)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_while_somebody_records)
    wall = board.refresh(PLAN, book, tmp_path / "board")
    assert {c.id for c in wall.cards if c.state == DOING} == {"D1", "D2", "D3"}
    assert json.loads((tmp_path / "board" / "board.json").read_text())["counts"][DOING] == 3


def _record(folder: Path, n: int) -> None:
    book = journal.open(folder / "journal", f"w{n}")
    for card in PLAN.cards[n::4]:
        book.append("started", card.id)
        board.refresh(PLAN, book, folder / "board")


def test_after_writers_at_once_the_file_holds_everything(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_record, args=(tmp_path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(240)
        assert writer.exitcode == 0
    assert json.loads((tmp_path / "board" / "board.json").read_text())["counts"][DOING] == len(PLAN.cards)
    assert sorted(f.name for f in (tmp_path / "board").iterdir()) == ["board.json", "board.md"]


def test_a_folder_that_cannot_be_written_is_two_lines(tmp_path: Path) -> None:
    book = journal.open(tmp_path / "journal", "ann")
    event = book.append("started", "D1")
    (tmp_path / "board").write_text("a file")
    with pytest.raises(JournalError, match="cannot be written") as refused:
        board.refresh(PLAN, book, tmp_path / "board")
    assert len(str(refused.value).splitlines()) == 2
    assert book.snapshot() == [event]
