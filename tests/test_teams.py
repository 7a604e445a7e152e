"""Several teams that do the same subtasks: whose card an event moves, what waits for what, and whose things are whose."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures import story
from hypothesis import given, settings
from hypothesis import strategies as st
from small_event import SmallEvent

import kit
from kit import board, journal, paths, recording
from kit import plan as plans
from kit.cards import BLOCKED, DOING, DONE, TODO, Board, Card
from kit.errors import MissingInput, UsageError
from kit.plan import Plan

REPOSITORY = Path(__file__).parent.parent
ALONE = story.plan()
PLAN = dataclasses.replace(
    ALONE,
    teams=("blue", "green"),
    workstreams=tuple(dataclasses.replace(w, shared=w.id == "foundations") for w in ALONE.workstreams),
)
START = dt.datetime(2026, 12, 1, 9, tzinfo=PLAN.event.zone)


class Told(story.Story):
    """A story of teams, whose events come a minute apart."""

    def say(self, type: str, card: str, team: str = "", **data: Any) -> journal.Event:
        at = START + dt.timedelta(minutes=len(self.events))
        event = self.complete(at, card) if type == "completed" else self.tell(at, type, card, **data)
        self.events[-1] = dataclasses.replace(event, team=team)
        return self.events[-1]

    def wall(self, plan: Plan = PLAN) -> Board:
        return board.fold(plan, self.events)

    def card(self, key: str) -> Card:
        return self.wall()[key]


@pytest.fixture
def told() -> Told:
    return Told()


def test_each_team_has_a_card_of_its_own_except_of_what_all_share() -> None:
    keys = [c.key for c in board.fold(PLAN, []).cards]
    assert keys[:5] == ["E1", "F1", "F2", "F3", "D1@blue"]
    assert keys.count("D1@green") == keys.count("O6@blue") == 1
    assert len(keys) == len(set(keys)) == 1 + 3 + 2 * 19


def test_an_event_moves_the_card_of_its_team(told: Told) -> None:
    told.say("started", "D1", "blue")
    told.say("blocked", "D1", "green", reason="no access")
    assert (told.card("D1@blue").state, told.card("D1@green").state) == (DOING, BLOCKED)
    assert len(told.card("D1@blue").history) == 1


def test_what_a_team_does_on_a_shared_card_counts_for_all(told: Told) -> None:
    told.say("completed", "F1", "blue")
    assert told.card("F1").state == DONE
    assert told.card("F2").ready


def test_an_event_of_no_team_or_an_unknown_one_moves_no_teams_card(told: Told) -> None:
    told.say("started", "D1")
    told.say("started", "D1", "red")
    wall = told.wall()
    assert {c.state for c in wall.cards} == {TODO}
    assert wall.unknown == ("D1", "D1@red")


def test_a_card_waits_for_its_own_teams_cards_and_for_shared_ones(told: Told) -> None:
    assert told.card("D1@blue").waits == ("E1",)
    told.say("completed", "E1")
    told.say("completed", "D1", "blue")
    assert (told.card("D2@blue").ready, told.card("D2@green").waits) == (True, ("D1@green",))


def test_a_shared_card_waits_for_every_team(told: Told) -> None:
    told.say("added", "X1", title="Together", workstream="foundations", needs=["D1", "D2@blue"])
    assert told.card("X1").waits == ("D1@blue", "D1@green", "D2@blue")
    told.say("completed", "D1", "green")
    assert told.card("X1").waits == ("D1@blue", "D2@blue")


def test_a_team_adds_cards_for_itself_and_for_all_to_a_shared_workstream(told: Told) -> None:
    for team in ("blue", "green", "blue"):
        told.say("added", "D5-keys", team, title=f"Keys of {team}", workstream="data_engineering")
        told.say("added", "D5-roles", team, title=f"Roles, said {team}", workstream="foundations")
    told.say("started", "D5-keys", "green")
    told.say("started", "D5-roles", "green")
    assert (told.card("D5-keys@blue").state, told.card("D5-keys@green").state) == (TODO, DOING)
    assert (told.card("D5-roles").title, told.card("D5-roles").state) == ("Roles, said blue", DOING)


def test_an_added_card_never_takes_the_id_of_a_planned_one(told: Told) -> None:
    told.say("added", "D1", title="Mine", workstream="data_engineering")
    assert [c.key for c in told.wall().cards if c.id == "D1"] == ["D1@blue", "D1@green"]


def test_the_board_names_cards_by_key_and_asks_back_where_there_are_several(told: Told) -> None:
    wall = told.wall()
    assert wall["D2@green"].label == "D2@green · Process the data"
    assert wall["F1"].key == "F1"
    assert wall.of("blue")["D2"].key == "D2@blue"
    with pytest.raises(UsageError, match="2 cards D2: D2@blue, D2@green") as refused:
        wall["D2"]
    assert "KIT_TEAM=blue" in refused.value.hint
    with pytest.raises(UsageError) as refused:
        wall["D2@gren"]
    assert 'Did you mean "D2@green"?' in refused.value.hint


def test_a_teams_board_has_its_cards_and_the_shared_ones() -> None:
    keys = {c.key for c in board.fold(PLAN, []).of("blue").cards}
    assert {"E1", "F1", "D1@blue"} < keys
    assert not [key for key in keys if key.endswith("@green")]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_without_teams_in_the_plan_the_team_of_an_event_changes_nothing(seed: int) -> None:
    events = story.events(ALONE, seed=seed)
    teams = [dataclasses.replace(e, team="blue" if n % 2 else "") for n, e in enumerate(events)]
    plain, given_teams = board.fold(ALONE, events), board.fold(ALONE, teams)
    assert board.to_json(plain) == board.to_json(given_teams)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_two_teams_are_two_events_side_by_side(seed: int, chance: Any) -> None:
    """Each team's cards stand as if the team were alone, whatever the other does and in whichever order it arrives."""
    alone = {team: story.events(ALONE, seed=seed + n) for n, team in enumerate(PLAN.teams)}
    both = [
        dataclasses.replace(e, team=team, id=f"{e.id}{team}")
        for team, es in alone.items()
        for e in es
        if e.card
    ]
    chance.shuffle(both)
    wall = board.fold(PLAN, both)
    for team, events in alone.items():
        mine = {c.id: c.state for c in board.fold(ALONE, events).cards if c.workstream == "mlops"}
        assert {c.id: c.state for c in wall.cards if c.team == team and c.workstream == "mlops"} == mine


# Runbooks of teams


@pytest.fixture
def two_teams(small_event: SmallEvent) -> SmallEvent:
    """F is shared; A keeps something in S3 and hands it over to B."""
    small_event.raw["teams"] = ["blue", "green"]
    small_event.raw["workstreams"][1]["shared"] = True
    make = 's3 = rb.session.client("s3")\ns3.create_bucket(Bucket=rb.bucket)'
    keep = (
        'import time\n\ns3 = rb.session.client("s3")\n'
        's3.put_object(Bucket=rb.bucket, Key=rb.key("x"), Body=rb.team.encode())\n'
        'time.sleep(1)\nkept = s3.get_object(Bucket=rb.bucket, Key=rb.key("x"))["Body"].read().decode()'
    )
    handed = (
        'rb.complete({"kept": kept, "uri": rb.uri("x"), "name": rb.name("job"), "own": rb.own("eba-models")})'
    )
    small_event.add("F", make, workstream="foundations")
    small_event.add("A", keep, needs=("F",), complete=handed)
    take = 'found = {name: rb.take(f"A.{name}") for name in ("kept", "uri", "name", "own")}'
    small_event.add("B", take, needs=("A",), complete="rb.complete(found)")
    return small_event


def kit_for(team: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kit", *arguments],
        env={**os.environ, "KIT_TEAM": team},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*commands: subprocess.Popen[str]) -> list[str]:
    """What each of the commands said; all went well."""
    told = [command.communicate(timeout=240) for command in commands]
    assert [command.returncode for command in commands] == [0] * len(commands), told
    return [out for out, _ in told]


def test_two_teams_run_the_same_runbooks_at_the_same_time(two_teams: SmallEvent) -> None:
    ended(kit_for("blue", "run", "F"))
    [*both] = ended(kit_for("blue", "run", "A", "B"), kit_for("green", "run", "A", "B"))
    assert all("A · Card A" in out for out in both)
    wall = board.fold(plans.load(), journal.here().snapshot())
    assert {c.key: c.state for c in wall.cards} == dict.fromkeys(
        ("F", "A@blue", "A@green", "B@blue", "B@green"), DONE
    )
    for team in ("blue", "green"):
        outputs = wall[f"B@{team}"].outputs
        assert (outputs["kept"], outputs["own"]) == (team, f"eba-models-{team}")
        assert outputs["uri"].endswith(f"/eba/a/{team}/x")
        assert outputs["name"].startswith(f"eba-a-job-{team}-")
        proof = wall[f"A@{team}"].run
        assert proof is not None
        assert (paths.home() / proof.copy).is_file()


def test_a_teams_run_goes_on_from_what_is_shared_and_skips_what_is_its_own(two_teams: SmallEvent) -> None:
    ended(kit_for("blue", "run"))
    [out] = ended(kit_for("green", "run"))
    assert [line.split("  ")[-1] for line in out.splitlines() if "F · Card F" in line] == ["done before"]
    assert "done before" not in next(line for line in out.splitlines() if "A · Card A" in line)


@pytest.mark.parametrize(
    ("team", "message", "hint"),
    [("", "A is done by each team: blue, green.", "KIT_TEAM=blue"), ("blu", 'no team "blu"', '"blue"')],
)
def test_whose_card_it_is_must_be_said(
    two_teams: SmallEvent, monkeypatch: pytest.MonkeyPatch, team: str, message: str, hint: str
) -> None:
    monkeypatch.setenv("KIT_TEAM", team)
    with pytest.raises(UsageError, match=message) as refused:
        kit.runbook("A")
    assert hint in refused.value.hint
    ran = kit_for(team, "run", "A")
    _, error = ran.communicate(timeout=240)
    assert (ran.returncode, len(error.splitlines())) == (2, 2)
    assert journal.here().snapshot() == []


def test_a_team_that_the_plan_does_not_have_is_refused(
    small_event: SmallEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_event.add("A")
    monkeypatch.setenv("KIT_TEAM", "blue")
    with pytest.raises(UsageError, match='no team "blue"') as refused:
        kit.runbook("A")
    assert "unset KIT_TEAM" in refused.value.hint


def test_attachments_and_tags_of_teams_do_not_meet(
    two_teams: SmallEvent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for team in ("blue", "green"):
        monkeypatch.setenv("KIT_TEAM", team)
        rb = kit.runbook("A")
        (tmp_path / "plot.txt").write_text(team)
        rb.check("It holds", 1, 1)
        rb.complete(attachments=[tmp_path / "plot.txt"])
        assert {"Key": "eba:team", "Value": team} in rb.tags
        assert len(rb.name("x" * 90)) <= 63
    wall = board.fold(plans.load(), journal.here().snapshot())
    for team in ("blue", "green"):
        [attached] = wall[f"A@{team}"].attachments
        assert (paths.home() / attached.path).read_text() == team


def test_fixed_names_and_documents_are_one_for_each_team(
    two_teams: SmallEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_TEAM", "blue")
    rb = kit.runbook("A")
    assert (rb.own("eba-models"), rb.own("eba_data")) == ("eba-models-blue", "eba_data_blue")
    assert rb.own(rb.own("eba-models")) == "eba-models-blue"  # a cell may run again
    assert (rb.key(), rb.key("x", "y")) == ("eba/a/blue", "eba/a/blue/x/y")
    assert rb.documents == paths.home() / "documents" / "blue"
    shared = kit.runbook("F")
    assert (shared.own("eba-models"), shared.key("x")) == ("eba-models", "eba/f/x")
    assert shared.documents == paths.home() / "documents"


def test_what_is_handed_over_is_the_teams_own(two_teams: SmallEvent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_TEAM", "blue")
    rb = kit.runbook("A")
    rb.check("It holds", 1, 1)
    rb.complete({"kept": 1})
    plan, events = plans.load(), journal.here().snapshot()
    assert recording.handed_over(plan, events, "A.kept", "local", rb.account, "blue") == 1
    assert recording.handed_over(plan, events, "A.kept", "local", rb.account) == 1  # to a shared card
    with pytest.raises(MissingInput, match="not done yet by green"):
        recording.handed_over(plan, events, "A.kept", "local", rb.account, "green")


# The shipped runbooks: fixed names and places are the team's own

SHIPPED = plans.load(REPOSITORY / "runbooks" / "plan.yml").subtasks
SHARED_PLACES = "|".join(
    (
        r"rb\.own\(",
        r"rb\.name\(",
        "base_transform_job_name=",
        "Namespace=",
        "default_bucket_prefix=",
        "job_that_made",
    )
)  # names that AWS makes unique, and what all teams may share


@pytest.mark.parametrize("card", SHIPPED, ids=lambda card: card.id)
def test_a_runbook_keeps_what_it_makes_apart_for_each_team(card: plans.Subtask) -> None:
    """Names from `rb.name` or `rb.own`, keys from `rb.key` or `rb.uri`, documents in `rb.documents`."""
    if card.workstream == "foundations":
        pytest.skip("done once for all teams")
    cells = json.loads((REPOSITORY / card.notebook).read_text(encoding="utf-8"))["cells"]
    code = {c["id"]: "".join(c["source"]) for c in cells if c["cell_type"] == "code"}
    named = re.findall(r'^(\w+): str = "eba[-_]', code.pop("parameters"), re.MULTILINE)
    lines = [line for text in code.values() for line in text.splitlines()]
    fixed = [x for x in lines if re.search(r'"eba[-_/]', x) and not re.search(SHARED_PLACES, x)]
    assert not fixed, "rb.own() keeps names apart, rb.key() places"
    assert not [x for x in lines if re.search(r'rb\.home / "documents"', x)], "use rb.documents"
    for name in named:
        assert any(re.search(rf"rb\.own\({name}\)", line) for line in lines), f"use rb.own({name})"
