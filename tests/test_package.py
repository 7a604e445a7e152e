"""The closing package: what is in it, that it is as its manifest says, that nothing private is in it, that links work."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from jobs import load
from small_event import SmallEvent

from kit import board, daily, journal, paths, plan
from kit.cards import Board

close_out, package = load("runbooks", "close_out", "package")
AT = "2026-12-03T17:00:00+00:00"


@pytest.fixture
def wall(small_event: SmallEvent, event_folder: Path) -> Board:
    """An event with a document, a report that links to an executed runbook, attachments, and the team's own folder."""
    small_event.add("A")
    small_event.add("B")
    executed = json.loads((small_event.root / "mlops" / "a_test.ipynb").read_text())
    copy = event_folder / "runs" / "r" / "a.ipynb"
    copy.parent.mkdir(parents=True)
    copy.write_text(json.dumps(executed))
    files = {
        "documents/charter.html": f'<a href="../reports/day-1.html">report</a> made in {event_folder}/x',
        "documents/charter.md": "[report](../reports/day-1.html)",
        "documents/team_retro.md": "what the team thinks",
        "reports/day-1.html": '<a href="notebooks/A.html">A</a><a href="../attachments/A/note.txt">n</a>',
        "attachments/A/note.txt": "attached",
        "team/notes.yml": "what the team thinks",
        "reports/notebooks/T1.html": "what the team thinks",
    }
    for name, text in files.items():
        (event_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (event_folder / name).write_text(text)
    book = journal.here()
    book.append("started", "A")
    checks = [{"check": "It holds", "ok": True, "got": "1", "expected": "1"}]
    book.append("completed", "A", run="r", notebook="mlops/a_test.ipynb", sha256="0" * 64, seconds=1.0, checks=checks,
        outputs={}, metrics={}, attachments=[{"title": "note", "path": "attachments/A/note.txt"}])  # fmt: skip
    book.append("executed", "A", run="r", copy="runs/r/a.ipynb", seconds=1.0, ok=True)
    book.append("attached", "B", title="notes", path="team/notes.yml")
    return board.fold(plan.load(), book.snapshot())


def made(wall: Board, home: Path) -> Path:
    machine = package.machine_paths(home, paths.root())
    zipped: Path = package.build(
        home, "An Event!", wall, machine, AT, lambda names: f"<p>{len(names)} files</p>"
    )
    return zipped


def read(zipped: Path) -> dict[str, str]:
    with zipfile.ZipFile(zipped) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


def changed(zipped: Path, **texts: str | None) -> Path:
    """The zip with files changed, added or (None) taken out, by name with `__` for `/` and `_dot_` for `.`."""
    held = read(zipped)
    for name, text in texts.items():
        held[name.replace("__", "/").replace("_dot_", ".")] = text or ""
        if text is None:
            del held[name.replace("__", "/").replace("_dot_", ".")]
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, content in held.items():
            archive.writestr(f"an-event/{name}", content)
    return zipped


def test_the_package_holds_all_but_what_is_the_teams_own(wall: Board, event_folder: Path) -> None:
    zipped = made(wall, event_folder)
    held = read(zipped)
    assert zipped == event_folder / "closing" / "an-event.zip"
    assert {
        "index.html", "manifest.json", "SHA256SUMS", "documents/charter.html", "documents/charter.md",
        "reports/day-1.html", "reports/notebooks/A.html", "attachments/A/note.txt", "board/board.json",
        "board/board.md", "board/cards.csv", "board/moves.csv", "board/open_cards_jira.csv",
    } == set(held)  # fmt: skip
    assert "what the team thinks" not in str(held)
    assert str(event_folder) not in str(held)
    assert "(event)/x" in held["documents/charter.html"]
    assert package.lacking(zipped, event_folder, wall_without_team(wall), 1) == []
    assert package.verified(zipped) == []
    assert package.private(zipped, package.machine_paths(event_folder, paths.root())) == []
    assert package.facts(zipped)["executed runbook"] == 1


def wall_without_team(wall: Board) -> Board:
    import dataclasses

    cards = tuple(dataclasses.replace(c, attachments=()) if c.id == "B" else c for c in wall.cards)
    return dataclasses.replace(wall, cards=cards)


def test_the_board_links_to_pages_of_the_package(wall: Board, event_folder: Path) -> None:
    held = read(made(wall, event_folder))
    assert "(../reports/notebooks/A.html)" in held["board/board.md"]
    assert "runs/r" not in held["board/board.md"]


def test_open_work_is_for_jira_and_the_agenda_is_not(wall: Board, event_folder: Path) -> None:
    jira = read(made(wall, event_folder))["board/open_cards_jira.csv"]
    assert "Card B" in jira
    assert "Card A" not in jira, "it is done"


def test_the_same_event_makes_the_same_zip(wall: Board, event_folder: Path) -> None:
    first = made(wall, event_folder).read_bytes()
    assert made(wall, event_folder).read_bytes() == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"documents__charter_dot_md": "other"}, "documents/charter.md: changed or lost"),
        ({"documents__charter_dot_md": None}, "documents/charter.md: changed or lost"),
        ({"documents__new_dot_md": "more"}, "documents/new.md: not in the manifest"),
        ({"SHA256SUMS": ""}, "index.html: not as in SHA256SUMS"),
        ({"manifest_dot_json": None}, "the zip cannot be read: 'manifest.json'"),
    ],
)
def test_a_zip_that_was_changed_is_told(
    wall: Board, event_folder: Path, change: dict[str, str | None], said: str
) -> None:
    assert said in package.verified(changed(made(wall, event_folder), **change))


def test_a_damaged_zip_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK")
    assert package.verified(tmp_path / "x.zip")[0].startswith("the zip cannot be read")


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "Q" * 16,
        "aws_secret_access_key = " + "a" * 40,
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=00",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        'password: "hunter2hunter2"',
        "/somewhere/of/mine/x",
    ],
)
def test_what_nobody_else_should_read_is_found(wall: Board, event_folder: Path, text: str) -> None:
    (event_folder / "attachments" / "A" / "note.txt").write_text(text)
    found = package.private(made(wall, event_folder), ["/somewhere/of/mine"])
    assert [line.partition(":")[0] for line in found] == ["attachments/A/note.txt"]


def test_a_file_of_another_kind_with_a_folder_of_this_machine_is_found(
    wall: Board, event_folder: Path
) -> None:
    """Texts are cleaned; what cannot be cleaned fails the check."""
    (event_folder / "documents" / "model.bin").write_bytes(b"\x00" + str(event_folder).encode())
    machine = package.machine_paths(event_folder, paths.root())
    assert any(
        line.startswith("documents/model.bin") for line in package.private(made(wall, event_folder), machine)
    )


def test_what_is_not_there_and_links_to_nothing_are_told(wall: Board, event_folder: Path) -> None:
    (event_folder / "documents" / "charter.md").write_text(
        "[x](../team/notes.yml) [y](https://example.com) [z](#a)"
    )
    zipped = made(wall, event_folder)
    lacking = package.lacking(zipped, event_folder, wall_without_team(wall), 2)
    assert lacking == ["reports/day-2.html", "documents/charter.md: link to ../team/notes.yml"]
    (event_folder / "runs" / "r" / "a.ipynb").unlink()
    (event_folder / "reports" / "notebooks" / "A.html").unlink()
    lacking = package.lacking(made(wall, event_folder), event_folder, wall_without_team(wall), 1)
    assert "executed runbook of A" in lacking
    assert "reports/day-1.html: link to notebooks/A.html" in lacking
    assert package.lacking(zipped, event_folder, wall, 1), (
        "the team's file is attached to B: the board is not the public one"
    )


def test_the_board_of_the_package_is_the_public_one() -> None:
    assert daily.TEAM_RETRO == "team_retro"
    assert package.slug("An Event!") == "an-event"
