"""The board on S3, for people whose machines share no folder: the same commands, against the local AWS and real boto3."""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner
from small_event import SmallEvent

from kit import aws, board, cli, journal, page, report, share
from kit import plan as plans
from kit.errors import JournalError
from kit.journal_s3 import Bucket
from kit.local_aws import process

PLAN = plans.load()
CHECKS = [{"check": "It holds", "ok": True, "got": "1", "expected": "1"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An event folder whose local AWS serves this module."""
    folder = tmp_path_factory.mktemp("home")
    process.up(folder / "aws")
    yield folder
    process.down(folder / "aws")


@pytest.fixture
def where(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a board that is not there yet."""
    address = f"s3://board-{journal.ulid(dt.datetime.now(dt.UTC)).lower()}/event/board"
    monkeypatch.setenv("KIT_HOME", str(home))
    monkeypatch.setenv("KIT_BOARD", address)
    monkeypatch.setenv("KIT_USER", "ann")
    return address


@pytest.fixture
def connected(where: str, home: Path) -> str:
    """The same, in a process that talks to the local AWS."""
    aws.connect(PLAN, "local", home)
    return where


def kit(*arguments: str) -> str:
    result = CliRunner().invoke(cli.cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def objects(where: str) -> dict[str, bytes]:
    """What lies in the board's bucket, by key."""
    import boto3

    found = boto3.session.Session().resource("s3").Bucket(where.removeprefix("s3://").partition("/")[0])
    return {item.key: item.get()["Body"].read() for item in found.objects.all()}


def refusal(call: Callable[[], object]) -> JournalError:
    with pytest.raises(JournalError) as refused:
        call()
    assert len(str(refused.value).splitlines()) == 2
    return refused.value


# Commands


def test_commands_work_on_a_board_in_s3_and_leave_its_files_beside_the_journal(
    where: str, home: Path
) -> None:
    assert "0 of" in kit("board", "show")  # an empty board, in a bucket that nobody made yet
    assert "D2 · Process the data: To do, ann" in kit("board", "claim", "D2")
    kit("board", "start", "D2")
    assert "Blocked" in kit("board", "block", "D2", "no quota", "--unblocker", "bo")
    assert "no quota, bo can help" in kit("board", "show")
    kit("board", "unblock", "D2")
    kit("board", "note", "D2", "goes on")
    kit("board", "add", "Ask the owner", "--workstream", "mlops", "--id", "Q7")
    kit("board", "review", "Q7", "a mail")
    assert "Done" in kit("board", "accept", "Q7")
    assert json.loads(kit("board", "export", "--format", "json"))["counts"]["Doing"] == 1
    assert "reads well" in kit("board", "problems")
    assert "1 of" in kit("status")
    found = objects(where)
    journals = [key for key in found if key.endswith(".jsonl")]
    assert journals
    assert all(key.startswith("event/board/ann.") for key in journals)
    for name in ("board.json", "board.md"):
        assert found[f"event/board/{name}"] == (home / "board" / name).read_bytes()
    assert json.loads(found["event/board/board.json"])["counts"]["Done"] == 1
    assert not (home / "board" / "journal").exists()


def test_a_runbook_that_is_run_leaves_its_evidence_on_a_board_in_s3(
    small_event: SmallEvent, where: str, home: Path, tmp_path: Path
) -> None:
    small_event.add("A1", complete='rb.complete(outputs={"n": 1}, metrics={"auc": 0.8})')
    small_event.add("A2", 'assert rb.take("A1.n") == 1', needs=("A1",))
    said = kit("run")
    assert "2/2" in said
    assert "2 of 2 cards done" in kit("board", "show")
    assert "done before" in kit("run")  # it resumes from what is in the bucket
    plan = plans.load()
    seen = page.Reader(plan, journal.here())
    assert seen.look()
    assert seen.board
    assert seen.board["A2"].state == "Done"
    html = report.day(plan, journal.here().snapshot(), 1, home=home)
    assert "Card A2" in html.read_text(encoding="utf-8")
    assert {key.split(".")[-1] for key in objects(where)} == {"jsonl", "json", "md", "ipynb"}
    elsewhere = tmp_path / "of somebody else"
    assert share.fetch(journal.here(), elsewhere, journal.here().snapshot()) == []
    html = report.day(plan, journal.here().snapshot(), 1, home=elsewhere)
    assert sorted(f.name for f in (html.parent / "notebooks").iterdir()) == ["A1.html", "A2.html"]
    made = [event.data for event in journal.here().snapshot() if event.type == "made"]
    assert made == [], "the board's own bucket is nothing that a runbook made"


def test_a_board_in_the_events_account_needs_its_bucket_and_then_works(
    connected: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on AWS: nothing is made by itself."""
    bucket = connected.removeprefix("s3://").partition("/")[0]
    for asked in (["show"], ["claim", "D2"]):
        result = CliRunner().invoke(cli.cli, ["board", *asked, "--target", "aws"])
        assert isinstance(result.exception, JournalError)
        assert result.exception.exit_code == 4
        assert f"there is no bucket {bucket}." in result.exception.message
        assert f"aws s3 mb s3://{bucket} --region us-east-1" in result.exception.hint
    import boto3

    boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
    assert "To do, ann" in kit("board", "claim", "D2", "--target", "aws")
    assert "ann" in kit("board", "show", "--target", "aws")
    assert "ann" not in kit("board", "show")  # a rehearsal in the same bucket is another board


def test_a_rehearsals_board_never_goes_to_aws(where: str) -> None:
    """A process that did not connect to the local AWS would send it to whatever its credentials open."""
    os.environ.pop("AWS_ENDPOINT_URL", None)
    error = refusal(journal.here)
    assert "is in the local AWS" in error.message


# Reading


class Calls:
    """The requests that a journal's store sends, and how many bytes came back."""

    def __init__(self, book: journal.Journal) -> None:
        self.made: list[str] = []
        self.bytes = 0
        store = book.store
        assert isinstance(store, Bucket)
        store.client.meta.events.register("before-call.s3", self._call)
        store.client.meta.events.register("after-call.s3", self._answer)

    def _call(self, model: Any, **_: Any) -> None:
        self.made.append(model.name)

    def _answer(self, http_response: Any, **_: Any) -> None:
        self.bytes += int(http_response.headers.get("content-length", 0))


def test_a_reader_asks_for_what_is_new_and_no_more(connected: str) -> None:
    writers = [journal.open(connected, f"w{n}", local=True) for n in range(12)]
    for book in writers:
        for k in range(20):
            book.append("noted", "D2", text=f"note {k} " + "x" * 200)
    reader = journal.open(connected, "reader")
    _, cursor = reader.changed_since()
    calls = Calls(reader)
    assert reader.changed_since(cursor) == ([], cursor)
    assert calls.made == ["ListObjectsV2"]
    calls.made.clear()
    calls.bytes = 0
    event = writers[3].append("noted", "D2", text="new")
    assert reader.changed_since(cursor)[0] == [event]
    assert calls.made == ["ListObjectsV2", "GetObject"]
    listing = 12 * 600
    assert calls.bytes < listing + 600, "the whole object was fetched, not its end"


def test_an_object_that_became_shorter_is_read_whole(connected: str) -> None:
    ann = journal.open(connected, "ann", local=True)
    first, _ = ann.append("noted", text="1"), ann.append("noted", text="2")
    reader = journal.open(connected, "reader")
    _, cursor = reader.changed_since()
    import boto3

    [item] = boto3.session.Session().resource("s3").Bucket(connected.split("/")[2]).objects.all()
    item.put(Body=item.get()["Body"].read().splitlines(keepends=True)[0])
    assert reader.changed_since(cursor)[0] == [first]


# Many


def test_forty_writers_at_once_lose_nothing_and_leave_the_whole_board(connected: str, tmp_path: Path) -> None:
    failures: list[BaseException] = []
    begin = threading.Barrier(40)

    def work(n: int) -> None:
        try:
            book = journal.open(connected, f"w{n}", local=True)
            begin.wait(240)
            for k in range(5):
                book.append("noted", "D2", text=f"{n}:{k}")
            book.append("claimed", "D2", owner=f"w{n}")
            board.refresh(PLAN, book, tmp_path / str(n))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    told = journal.open(connected, "reader").snapshot()
    assert {e.data["text"] for e in told if e.type == "noted"} == {
        f"{n}:{k}" for n in range(40) for k in range(5)
    }
    found = objects(connected)
    assert sum(key.endswith(".jsonl") for key in found) == 40
    [card] = [c for c in json.loads(found["event/board/board.json"])["cards"] if c["id"] == "D2"]
    assert len(card["notes"]) == 200, "the board beside the journal is stale"
    first = min((e for e in told if e.type == "claimed"), key=lambda e: (e.ts, e.id))
    assert card["owner"] == first.who
    assert len(card["helpers"]) == 39


@pytest.mark.stress
def test_writers_on_s3_under_kills_lose_nothing_acknowledged(connected: str) -> None:
    import boto3
    from test_journal import hammer

    boto3.session.Session().client("s3").create_bucket(Bucket=connected.split("/")[2])
    acknowledged, killed = hammer(connected, writers=12, seconds=15, least=(50, 10))
    assert acknowledged > 50
    assert killed > 10


# Refusals


def test_who_has_no_rights_is_told_which_are_needed(connected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    journal.open(connected, "ann", local=True).append("noted", text="before")
    bucket = connected.split("/")[2]
    iam = boto3.session.Session().client("iam")
    iam.create_user(UserName="guest")
    rights = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.put_user_policy(UserName="guest", PolicyName="looks", PolicyDocument=document)
    key = iam.create_access_key(UserName="guest")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    guest = journal.open(connected, "guest")
    for call, operation in ((guest.snapshot, "GetObject"), (lambda: guest.append("noted"), "PutObject")):
        error = refusal(call)
        assert error.message == f"The journal {connected}: S3 refuses {operation}: no permission."
        assert "s3:PutObject on event/board/*" in error.hint


class Answering(BaseHTTPRequestHandler):
    """Answers every request with one error, in S3's form."""

    status, code, region = 400, "", ""

    def _answer(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>No.</Message></Error>".encode()
        self.send_response(self.status)
        if self.region:
            self.send_header("x-amz-bucket-region", self.region)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = _answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "code", "region", "message", "hint"),
    [
        (301, "PermanentRedirect", "eu-west-1", "is not in us-east-1, but in eu-west-1.", "AWS_DEFAULT_REGION=eu-west-1"),
        (400, "IllegalLocationConstraintException", "eu-west-1", "is not in us-east-1, but in eu-west-1.", "AWS_DEFAULT_REGION=eu-west-1"),
        (400, "AuthorizationHeaderMalformed", "", "the bucket is not in us-east-1", "AWS_DEFAULT_REGION"),
        (403, "RequestTimeTooSkewed", "", "this machine's clock is wrong", "Set the clock"),
        (400, "ExpiredToken", "", "does not know who you are", "Log in again"),
        (403, "InvalidAccessKeyId", "", "does not know who you are", "Log in again"),
        (400, "SomethingElse", "", "SomethingElse", "Check the bucket's name"),
    ],
)  # fmt: skip
def test_what_s3_refuses_is_two_lines(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, region: str, message: str, hint: str
) -> None:
    handler = type("This", (Answering,), {"status": status, "code": code, "region": region})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    try:
        book = journal.open("s3://somewhere/board", "ann")
        for call in (book.snapshot, lambda: book.append("noted")):
            error = refusal(call)
            assert message in error.message
            assert hint in error.hint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_no_credentials_and_no_network_are_two_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "Check the bucket's name" in refusal(journal.open("s3://somewhere/board", "ann").snapshot).hint
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    error = refusal(journal.open("s3://somewhere/board", "ann").snapshot)
    assert "AWS does not know who you are (NoCredentialsError)" in error.message


def test_the_page_goes_on_when_s3_does_not_answer(connected: str) -> None:
    book = journal.open(connected, "ann", local=True)
    book.append("noted", "D2", text="hello")
    reader = page.Reader(PLAN, book)
    assert reader.look()
    assert isinstance(book.store, Bucket)

    def cut(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://s3")

    book.store.client.meta.events.register("before-send.s3", cut)
    shown = reader.look()
    assert shown
    assert "Could not connect" in shown.trouble
