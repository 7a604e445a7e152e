"""The journal: what is acknowledged is kept, what is broken is told, and readers never fail."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import journal
from kit.errors import JournalError

# Python 3.12 warns of forks where threads run, as in a worker of pytest-xdist; children here only append.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CONTEXT = multiprocessing.get_context("fork")
NOON = dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
happenings = st.lists(
    st.fixed_dictionaries(
        {"type": st.text(max_size=10), "card": st.text(max_size=5), "data": st.dictionaries(st.text("abc", min_size=1, max_size=3), json_values, max_size=3)}
    ),
    max_size=8,
)  # fmt: skip
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def text_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.glob("*.jsonl")))


def only_file(folder: Path) -> Path:
    [file] = folder.glob("*.jsonl")
    return file


# What is written is what is read


def test_an_event_is_read_as_it_was_returned(tmp_path: Path) -> None:
    board = journal.open(tmp_path / "a" / "b", "Équipe modèle")
    event = board.append(
        "noted", "D2", team="blue", account="012345678901", text="naïve 🎉 <script>\n\u2028 end"
    )
    assert board.snapshot() == [event]
    assert event.who == "Équipe modèle"
    assert event.data["text"] == "naïve 🎉 <script>\n\u2028 end"
    assert (event.card, event.team, event.target, event.account, event.seq) == (
        "D2",
        "blue",
        "local",
        "012345678901",
        1,
    )
    assert event.ts.tzinfo is dt.UTC


def test_a_file_is_named_after_its_writer(tmp_path: Path) -> None:
    journal.open(tmp_path, "../Pair 7").append("noted")
    person, host, rest = only_file(tmp_path).name.split(".", 2)
    assert person == "Pair-7"
    assert host
    assert rest.endswith(".jsonl")
    assert len(rest) == 26 + len(".jsonl")


def test_each_line_is_one_json_object_with_the_schema(tmp_path: Path) -> None:
    journal.open(tmp_path, "ann").append("blocked", "D2", reason="no access", unblocker="bo")
    line = json.loads(only_file(tmp_path).read_text())
    assert list(line) == [
        "v",
        "id",
        "ts",
        "seq",
        "who",
        "host",
        "type",
        "card",
        "team",
        "target",
        "account",
        "data",
    ]
    assert line["v"] == 1
    assert line["ts"].endswith("Z")
    assert line["data"] == {"reason": "no access", "unblocker": "bo"}


@quick
@given(happenings)
def test_any_sequence_of_events_round_trips(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        board = journal.open(folder, "ann")
        written = [board.append(e["type"], e["card"], **e["data"]) for e in events]
        assert board.snapshot() == written
        assert board.problems() == []
        assert [e.seq for e in written] == list(range(1, len(written) + 1))
        assert [dict(e.data) for e in written] == [_without_surrogates(e["data"]) for e in events]


def _without_surrogates(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def test_values_of_numpy_paths_and_times_become_json(tmp_path: Path) -> None:
    import numpy as np

    event = journal.open(tmp_path, "ann").append(
        "completed",
        metrics={"auc": np.float64(0.9), "rows": np.int64(7), "small": np.float32(0.5), "ok": np.bool_(True)},
        odd=[float("nan"), float("inf"), np.float64("nan")],
        path=Path("runs/D2.ipynb"),
        at=NOON,
        tags={"b", "a"},
    )
    assert event.data["metrics"] == {"auc": 0.9, "rows": 7, "small": 0.5, "ok": True}
    assert event.data["odd"] == ["nan", "inf", "nan"]
    assert event.data["path"] == "runs/D2.ipynb"
    assert event.data["at"] == "2026-12-01T12:00:00+00:00"
    assert event.data["tags"] == ["a", "b"]


def test_a_value_that_is_no_json_is_refused_and_not_written(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    with pytest.raises(JournalError, match='"noted" holds a object') as refused:
        board.append("noted", text=object())
    assert refused.value.hint
    assert board.snapshot() == []


# Merging and cursors


@quick
@given(st.permutations(range(12)), st.integers(1, 5))
def test_the_order_is_the_same_however_files_are_split(tmp_path: Path, order: list[int], files: int) -> None:
    with (
        tempfile.TemporaryDirectory(dir=tmp_path) as source,
        tempfile.TemporaryDirectory(dir=tmp_path) as split,
    ):
        board = journal.open(source, "ann")
        written = [board.append("noted", text=str(n)) for n in range(12)]
        lines = text_of(Path(source)).splitlines(keepends=True)
        for place, n in enumerate(order):
            with (Path(split) / f"{place % files}.jsonl").open("ab") as file:
                file.write(lines[n])
        assert journal.open(split, "bo").snapshot() == written


def test_an_event_in_two_files_counts_once(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    written = [board.append("noted", text="x"), board.append("noted", text="y")]
    file = only_file(tmp_path)
    shutil.copy(file, file.with_name(f"{file.stem} (conflicted copy).jsonl"))
    assert board.snapshot() == written


def test_a_cursor_gives_only_what_is_new(tmp_path: Path) -> None:
    ann, bo = journal.open(tmp_path, "ann"), journal.open(tmp_path, "bo")
    first = ann.append("noted", text="1")
    events, cursor = bo.changed_since()
    assert events == [first]
    assert bo.changed_since(cursor)[0] == []
    second, third = bo.append("noted", text="2"), ann.append("noted", text="3")
    events, later = ann.changed_since(cursor)
    assert events == [second, third]
    assert ann.changed_since(later)[0] == []
    assert ann.changed_since(cursor)[0] == [second, third]


def test_a_line_still_being_written_comes_with_a_later_call(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    event = board.append("noted", text="hello")
    file = only_file(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:20])
    events, cursor = board.changed_since()
    assert events == []
    file.write_bytes(whole)
    assert board.changed_since(cursor)[0] == [event]


def test_a_file_that_became_shorter_is_read_again(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    first, _ = board.append("noted", text="1"), board.append("noted", text="2")
    _, cursor = board.changed_since()
    file = only_file(tmp_path)
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    assert board.changed_since(cursor)[0] == [first]


def test_times_of_one_writer_never_run_backwards(tmp_path: Path) -> None:
    times = iter([NOON, NOON, NOON - dt.timedelta(hours=1), NOON, NOON + dt.timedelta(seconds=1)])
    board = journal.open(tmp_path, "ann", clock=lambda: next(times))
    written = [board.append("noted", text=str(n)) for n in range(4)]
    assert board.snapshot() == written
    assert written[-1].ts == NOON + dt.timedelta(seconds=1)


def test_an_hour_between_two_clocks_loses_nothing(tmp_path: Path) -> None:
    late = journal.open(tmp_path, "late", clock=lambda: NOON + dt.timedelta(hours=1))
    right = journal.open(tmp_path, "right", clock=lambda: NOON)
    written = [journal.append("noted", text=str(n)) for n in range(5) for journal in (late, right)]
    assert {e.id for e in right.snapshot()} == {e.id for e in written}
    assert right.problems() == []


# Broken files


@quick
@given(st.data())
def test_any_truncation_loses_at_most_the_last_line(tmp_path: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        board = journal.open(folder, "ann")
        written = [board.append("noted", text="é" * n) for n in range(4)]
        file = only_file(Path(folder))
        whole = file.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        file.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert board.snapshot() == written[:kept]
        assert len(board.problems()) == (0 if cut == 0 or whole[cut - 1 : cut] == b"\n" else 1)
        healed = board.append("noted", text="after")
        whole_lines = set(whole.splitlines()) & set(whole[:cut].split(b"\n"))  # one may lack but its newline
        assert board.snapshot() == [*written[: len(whole_lines)], healed]


@quick
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_foreign_lines_are_told_and_never_raise(tmp_path: Path, lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        board = journal.open(folder, "ann")
        event = board.append("noted", text="mine")
        (Path(folder) / "foreign.jsonl").write_bytes(b"\n".join(lines))
        assert board.snapshot() == [event]
        told = [line for line in b"\n".join(lines).split(b"\n")[:-1] if line.strip()]
        tail = b"\n".join(lines).rpartition(b"\n")[2]
        assert len(board.problems()) == len(told) + bool(tail)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"v": 2}, "newer kit"),
        ({"v": True}, "no event"),
        ({"v": None}, "no event"),
        ({"id": None}, '"id" is'),
        ({"seq": "1"}, '"seq" is'),
        ({"seq": True}, '"seq" is'),
        ({"data": []}, '"data" is'),
        ({"ts": "yesterday"}, "no time"),
        ({"ts": "2026-12-01T09:00:00"}, "no time with a time zone"),
        ({"ts": "0001-01-01T00:00:00+14:00"}, "no time"),
    ],
)
def test_a_problem_names_file_line_and_what(tmp_path: Path, change: dict[str, Any], what: str) -> None:
    board = journal.open(tmp_path, "ann")
    event = board.append("noted", text="mine")
    raw = json.loads(only_file(tmp_path).read_text())
    (tmp_path / "other.jsonl").write_text(f"\n{json.dumps(raw | change)}\n")
    assert board.snapshot() == [event]
    [problem] = board.problems()
    assert problem.startswith("other.jsonl line 2: ")
    assert what in problem


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b"9" * 10_000, b"null", b'{"v":1}', b"\xff\xfe", b'{"v":1,"id":"x"}']
)
def test_nonsense_lines_are_problems(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(line + b"\n")
    board = journal.open(tmp_path, "ann")
    assert board.snapshot() == []
    assert len(board.problems()) == 1


def test_a_line_of_a_newer_kit_is_kept_in_its_file(tmp_path: Path) -> None:
    newer = b'{"v":7,"anything":{"new":true}}\n'
    (tmp_path / "newer.jsonl").write_bytes(newer)
    board = journal.open(tmp_path, "ann")
    board.append("noted")
    assert (tmp_path / "newer.jsonl").read_bytes() == newer
    assert board.problems() == [
        "newer.jsonl line 1: written by a newer kit (version 7, this one reads 1); update the kit to see it"
    ]


def test_a_lone_surrogate_reaches_no_reader(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    assert board.append("noted", text="a\ud800b").data["text"] == "a?b"
    raw = json.loads(only_file(tmp_path).read_text()) | {"id": "other", "data": {"text": "c\ud800d"}}
    (tmp_path / "other.jsonl").write_text(json.dumps(raw) + "\n")
    assert {e.data["text"] for e in board.snapshot()} == {"a?b", "c?d"}


# Places that cannot be written


def as_nobody(work: Callable[[], None]) -> None:
    """Run `work` in a child that is not root, so that permissions count. The child must not raise."""

    def dropped() -> None:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        work()

    child = CONTEXT.Process(target=dropped)
    child.start()
    child.join(240)
    assert child.exitcode == 0


def test_a_missing_folder_is_an_empty_journal(tmp_path: Path) -> None:
    board = journal.open(tmp_path / "not" / "there", "ann")
    assert board.snapshot() == []
    assert board.problems() == []
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("below", ["", "board"])
def test_a_path_that_is_a_file_is_told(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    board = journal.open(tmp_path / "file" / below, "ann")
    for call in (board.snapshot, board.changed_since, lambda: board.append("noted")):
        with pytest.raises(JournalError, match="is, or lies under, a file") as refused:
            call()
        assert len(str(refused.value).splitlines()) == 2


def test_a_read_only_folder_is_told_and_can_still_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: its parents are closed to others
        where = Path(folder) / "journal"
        Path(folder).chmod(0o755)
        event = journal.open(where, "ann").append("noted", text="before")
        where.chmod(0o555)

        def work() -> None:
            board = journal.open(where, "bo")
            with pytest.raises(JournalError, match="is closed to") as refused:
                board.append("noted", text="after")
            assert len(str(refused.value).splitlines()) == 2
            assert board.snapshot() == [event]

        as_nobody(work)
        where.chmod(0o755)
        assert journal.open(where, "ann").snapshot() == [event]


def test_a_file_that_is_closed_to_the_reader_is_a_problem() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        ann, bo = journal.open(folder, "ann"), journal.open(folder, "bo")
        event, _ = ann.append("noted"), bo.append("noted")
        [closed] = Path(folder).glob("bo.*.jsonl")
        closed.chmod(0)

        def work() -> None:
            assert ann.snapshot() == [event]
            assert ann.problems() == [f"{closed.name}: cannot be read (Permission denied)"]

        as_nobody(work)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    event = board.append("noted", text="before")
    file = only_file(tmp_path)
    kept = file.rename(tmp_path / "kept.jsonl")
    file.symlink_to("/dev/full")
    with pytest.raises(JournalError, match="the disk is full") as refused:
        board.append("noted", text="after")
    assert refused.value.hint == "Free some space, then repeat. Nothing recorded before is lost."
    file.unlink()
    kept.rename(file)
    assert board.snapshot() == [event]
    assert board.append("noted", text="later").seq == 2


def test_a_line_that_fitted_only_in_part_is_taken_back(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    event = board.append("noted", text="before")
    size = only_file(tmp_path).stat().st_size

    def work() -> None:
        # The same writer's file grows to the limit, within one line: the kernel writes a part of it.
        board._writer.pid = os.getpid()
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
        with pytest.raises(JournalError, match="the disk is full"):
            board.append("noted", text="x" * 1000)

    child = CONTEXT.Process(target=work)
    child.start()
    child.join(240)
    assert child.exitcode == 0
    assert only_file(tmp_path).stat().st_size == size
    assert board.snapshot() == [event]
    assert board.problems() == []


# Many at once


def test_a_forked_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    board.append("noted", text="parent")
    child = CONTEXT.Process(target=board.append, args=("noted",), kwargs={"text": "child"})
    child.start()
    child.join(240)
    assert child.exitcode == 0
    board.append("noted", text="parent again")
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert [(e.data["text"], e.seq) for e in board.snapshot()] == [
        ("parent", 1),
        ("child", 1),
        ("parent again", 2),
    ]


def test_a_child_forked_while_a_thread_appends_does_not_hang(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    with board._writer.lock:  # as a thread would hold it at the moment of the fork
        child = CONTEXT.Process(target=board.append, args=("noted",))
        child.start()
        child.join(240)
    assert child.exitcode == 0


def test_threads_share_one_file(tmp_path: Path) -> None:
    board = journal.open(tmp_path, "ann")
    threads = [threading.Thread(target=lambda: [board.append("noted") for _ in range(25)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert only_file(tmp_path)
    assert [e.seq for e in board.snapshot()] == list(range(1, 201))


def _write(where: str, number: int, acknowledged: Any, size: int, pause: float) -> None:
    """Append until killed; count what was acknowledged in memory that outlives this process."""
    board = journal.open(where, f"writer-{number}")
    while True:
        board.append("noted", text=f"{number}:{acknowledged[number]}", filler="x" * size)
        acknowledged[number] += 1
        time.sleep(pause)


def hammer(
    where: str, writers: int, seconds: float, least: tuple[int, int], pause: float = 0.0
) -> tuple[int, int]:
    """Writers under random SIGKILL, each replaced at once: (acknowledged, killed). `pause` is seconds between appends.

    It goes on beyond `seconds` until both are more than `least`: a busy machine takes longer to get so far.
    """
    import random

    chance = random.Random(7)
    acknowledged = CONTEXT.Array("q", 100_000, lock=False)
    started: list[Any] = []

    def start() -> Any:
        process = CONTEXT.Process(
            target=_write, args=(where, len(started), acknowledged, chance.choice([0, 0, 0, 9_000]), pause)
        )
        started.append(process)
        process.start()
        return process

    alive = [start() for _ in range(writers)]
    killed = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or sum(acknowledged) <= least[0] or killed <= least[1]:
        time.sleep(chance.uniform(0, 1.4 / writers))  # a writer lives 0.7 s on average
        victim = chance.randrange(writers)
        alive[victim].kill()
        alive[victim].join()
        assert alive[victim].exitcode == -signal.SIGKILL
        killed += 1
        alive[victim] = start()
    for process in alive:
        process.kill()
        process.join()
    expected = {f"{n}:{k}" for n in range(len(started)) for k in range(acknowledged[n])}
    found = {e.data["text"] for e in journal.open(where, "reader").snapshot()}
    assert expected <= found, f"{len(expected - found)} acknowledged events are lost"
    assert len(found - expected) <= len(started)  # written, then killed before the acknowledgement
    return len(expected), killed


def test_eight_writers_under_kills_lose_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged, killed = hammer(str(tmp_path), writers=8, seconds=2, least=(100, 5))
    assert acknowledged > 100
    assert killed > 5


@pytest.mark.stress
@pytest.mark.parametrize(
    ("writers", "pause"), [(40, 0.0), (200, 0.1)]
)  # 200 at full speed leave no time to kill
def test_many_writers_under_kills_lose_nothing_acknowledged(
    tmp_path: Path, writers: int, pause: float
) -> None:
    acknowledged, killed = hammer(str(tmp_path), writers, seconds=8, least=(1000, 40), pause=pause)
    assert acknowledged > 1000
    assert killed > 40


# Where


def test_here_follows_kit_home_and_kit_board(
    tmp_path: Path, event_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(journal.here()) == f"<Journal {event_folder}/board/journal>"
    monkeypatch.setenv("KIT_BOARD", str(tmp_path / "shared"))
    monkeypatch.setenv("KIT_USER", "Ann")
    assert journal.here().append("noted").who == "Ann"
    assert only_file(tmp_path / "shared").name.startswith("Ann.")


def test_ulids_sort_by_time_and_differ() -> None:
    ids = [journal.ulid(NOON + dt.timedelta(milliseconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert {len(id) for id in ids} == {26}
    assert len({journal.ulid(NOON) for _ in range(100)}) == 100
    # The specification's example of a time: 01ARZ3NDEK is 2016-07-30T23:54:10.259Z.
    assert journal.ulid(dt.datetime(2016, 7, 30, 23, 54, 10, 259_000, dt.UTC)).startswith("01ARZ3NDEK")


# On S3


@pytest.fixture(scope="module", params=["moto", "the local AWS"])
def s3_environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a process whose S3 is moto's own server, or the local AWS."""
    if request.param == "moto":
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        yield {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "eu-west-1", **keys}
        server.stop()
    else:
        from kit.local_aws import client, process

        folder = tmp_path_factory.mktemp("aws")
        running = process.up(folder)
        yield client.environment(running.url, running.account, "eu-west-1")
        process.down(folder)


@pytest.fixture
def bucket(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    import boto3

    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    name = f"board-{journal.ulid(dt.datetime.now(dt.UTC)).lower()}"
    session = boto3.session.Session()
    session.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return session.resource("s3").Bucket(name)


def test_the_three_calls_work_on_s3(bucket: Any) -> None:
    where = f"s3://{bucket.name}/event/board"
    ann, bo = journal.open(where, "ann"), journal.open(where, "bo")
    assert ann.snapshot() == []
    first, second = ann.append("noted", "D2", text="é"), bo.append("noted", text="2")
    events, cursor = ann.changed_since()
    assert events == [first, second] == bo.snapshot()
    assert ann.changed_since(cursor)[0] == []
    third = ann.append("noted", text="3")
    assert bo.changed_since(cursor)[0] == [third]
    assert bo.problems() == []
    keys = [o.key for o in bucket.objects.all()]
    assert len(keys) == 2
    assert all(key.startswith("event/board/") and key.endswith(".jsonl") for key in keys)


def test_an_own_object_changed_by_another_hand_is_read_again(bucket: Any) -> None:
    board = journal.open(f"s3://{bucket.name}", "ann")
    first = board.append("noted", text="1")
    [item] = bucket.objects.all()
    mine = item.get()["Body"].read()
    item.put(Body=mine + mine.replace(first.id.encode(), b"another").rstrip(b"\n"))  # and its tail is torn
    second = board.append("noted", text="2")
    assert {e.id for e in board.snapshot()} == {first.id, "another", second.id}
    assert board.problems() == []


def test_an_own_object_that_was_deleted_comes_back_whole(bucket: Any) -> None:
    board = journal.open(f"s3://{bucket.name}/board", "ann")
    first = board.append("noted", text="1")
    bucket.objects.all().delete()
    assert board.snapshot() == []
    second = board.append("noted", text="2")
    assert board.snapshot() == [first, second]


def test_a_put_whose_answer_was_lost_is_recorded_once(bucket: Any) -> None:
    board = journal.open(f"s3://{bucket.name}/board", "ann")
    first = board.append("noted", text="1")
    put = board.store.client.put_object  # type: ignore[attr-defined]

    def twice(**asked: Any) -> Any:  # as botocore repeats a request that timed out after it had arrived
        put(**asked)
        return put(**asked)

    board.store.client.put_object = twice  # type: ignore[attr-defined]
    second = board.append("noted", text="2")
    board.store.client.put_object = put  # type: ignore[attr-defined]
    third = board.append("noted", text="3")
    assert board.snapshot() == [first, second, third]
    [item] = bucket.objects.all()
    assert item.get()["Body"].read().count(b"\n") == 3


@pytest.mark.parametrize("where", ["s3://no-such-bucket-here/x", "s3://"])
def test_a_bucket_that_is_not_there_is_two_lines(bucket: Any, where: str) -> None:
    with pytest.raises(JournalError) as refused:
        journal.open(where, "ann").append("noted")
    assert where in refused.value.message
    assert refused.value.hint


def test_writers_at_once_on_s3_lose_nothing(bucket: Any) -> None:
    where = f"s3://{bucket.name}/board"

    def write(n: int) -> None:
        board = journal.open(where, f"w{n}")
        for k in range(10):
            board.append("noted", text=f"{n}:{k}")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {e.data["text"] for e in journal.open(where, "reader").snapshot()} == {
        f"{n}:{k}" for n in range(6) for k in range(10)
    }
