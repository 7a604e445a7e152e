"""Executed copies and attachments, between two homes that share only a board on S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from kit import board as boards
from kit import journal, share
from kit import plan as plans

PLAN = plans.load()
WHERE = "s3://shared/event/board"


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        import boto3

        boto3.session.Session().client("s3").create_bucket(Bucket="shared")
        yield


def put(home: Path, path: str, text: str) -> None:
    (home / path).parent.mkdir(parents=True, exist_ok=True)
    (home / path).write_text(text)


def record(home: Path, who: str, type: str, **data: object) -> None:
    book = journal.open(WHERE, who)
    book.append(type, "D2", **data)
    boards.refresh(PLAN, book, home / "board")


def bring(home: Path, who: str) -> list[str]:
    book = journal.open(WHERE, who)
    return share.fetch(book, home, book.snapshot())


def test_whoever_writes_the_report_has_what_others_ran_and_attached(tmp_path: Path) -> None:
    ann, bo = tmp_path / "ann", tmp_path / "bo"
    for path in ("runs/r1/d2.ipynb", "attachments/D2/plot.png", "attachments/D2/log.jsonl"):
        put(ann, path, path)
    record(ann, "ann", "executed", run="r1", copy="runs/r1/d2.ipynb")
    record(ann, "ann", "completed", attachments=[{"title": "Plot", "path": "attachments/D2/plot.png"}])
    record(ann, "ann", "attached", path="attachments/D2/log.jsonl")
    assert bring(bo, "bo") == []
    found = sorted(f.relative_to(bo).as_posix() for f in bo.rglob("*") if f.is_file())
    assert found == ["attachments/D2/log.jsonl", "attachments/D2/plot.png", "runs/r1/d2.ipynb"]
    assert all((bo / path).read_text() == path for path in found)
    reader = journal.open(WHERE, "bo")
    assert len(reader.snapshot()) == 3, "an attached .jsonl is no writer's file"
    assert reader.problems() == []


def test_a_file_that_changed_is_brought_again_and_ones_own_is_kept(tmp_path: Path) -> None:
    ann, bo = tmp_path / "ann", tmp_path / "bo"
    put(ann, "attachments/D2/plan.md", "first")
    record(ann, "ann", "attached", path="attachments/D2/plan.md")
    bring(bo, "bo")
    put(ann, "attachments/D2/plan.md", "second")
    record(ann, "ann", "attached", path="attachments/D2/plan.md")
    os.utime(bo / "attachments/D2/plan.md", (1, 1))
    bring(bo, "bo")
    assert (bo / "attachments/D2/plan.md").read_text() == "second"
    put(ann, "attachments/D2/plan.md", "third, not recorded yet")
    os.utime(ann / "attachments/D2/plan.md", (1, 1))
    bring(ann, "ann")
    assert (ann / "attachments/D2/plan.md").read_text() == "third, not recorded yet"


def test_a_path_that_leads_out_of_home_is_neither_sent_nor_written(tmp_path: Path) -> None:
    ann, bo = tmp_path / "ann", tmp_path / "bo"
    put(tmp_path, "secret.txt", "secret")
    record(ann, "ann", "attached", path="../secret.txt")
    record(ann, "ann", "attached", path=str(tmp_path / "secret.txt"))
    import boto3

    keys = [o.key for o in boto3.session.Session().resource("s3").Bucket("shared").objects.all()]
    assert not any("secret" in key for key in keys)
    assert bring(bo, "bo") == []
    assert not (bo / "secret.txt").exists()


def test_what_nobody_sent_is_said(tmp_path: Path) -> None:
    record(tmp_path / "ann", "ann", "executed", run="r1", copy="runs/r1/gone.ipynb")
    assert bring(tmp_path / "bo", "bo") == ["runs/r1/gone.ipynb of ann was not sent."]


def test_in_a_shared_folder_nothing_is_copied(tmp_path: Path) -> None:
    book = journal.open(tmp_path / "journal", "ann")
    put(tmp_path, "a.md", "a")
    book.append("attached", "D2", path="a.md")
    share.send(book, tmp_path)
    assert share.fetch(journal.open(tmp_path / "journal", "bo"), tmp_path / "bo", book.snapshot()) == []
    assert not (tmp_path / "bo").exists()


@pytest.mark.parametrize(
    "data", [{"copy": 7}, {"attachments": "x"}, {"attachments": [None, {"path": []}]}, {"path": "x"}]
)
def test_data_that_makes_no_sense_names_no_files_that_are_there(
    tmp_path: Path, data: dict[str, object]
) -> None:
    record(tmp_path / "ann", "ann", "noted", **data)
    assert not list((tmp_path / "bo").rglob("*"))
    bring(tmp_path / "bo", "bo")
    assert not list((tmp_path / "bo").rglob("*"))
