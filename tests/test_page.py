"""The room's screen over real sockets: one reader for all viewers, nothing but text from people, and an end at once."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures import story
from small_event import SmallEvent

from kit import evidence, journal, page
from kit import plan as plans
from kit.errors import JournalError, UsageError

PLAN = story.plan()
VIEWERS = 60


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 12, 2, 11, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> journal.Journal:
    return journal.open(tmp_path / "journal", "ann", clock=clock)


@pytest.fixture
def reader(book: journal.Journal, clock: Clock) -> page.Reader:
    return page.Reader(PLAN, book, clock=clock)


@contextlib.contextmanager
def served(reader: page.Reader) -> Iterator[int]:
    """The page in a thread of this process; yields its port."""
    import uvicorn

    app = page.application(reader)
    listening = page.bound("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        with contextlib.suppress(AttributeError):
            app.state.feed.close()
        thread.join(60)
        listening.close()


def got(port: int, path: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a GET."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body


class Viewer:
    """One browser's stream, over a socket of its own."""

    async def open(self, port: int, path: str = "/events") -> Viewer:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
        self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return self

    async def events(self) -> AsyncIterator[tuple[str, Any]]:
        name = ""
        async for raw in self.reader:
            line = raw.decode().rstrip("\r\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                yield name, json.loads(line[6:])

    async def board(self, word: str = "") -> str:
        """The next picture with this word in it."""
        async for name, data in self.events():
            if name == "board" and word in data["html"]:
                return str(data["html"])
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self.writer.close()


def seen(reader: page.Reader) -> str:
    """The screen, which must have changed since the last look."""
    shown = reader.look()
    assert shown is not None
    return page.drawn(shown)


# What is on it


def test_it_changes_for_an_event_and_for_each_minute_and_else_not(
    reader: page.Reader, book: journal.Journal, clock: Clock
) -> None:
    assert "Start training" not in seen(reader)
    assert reader.look() is None
    book.append("started", "M1")
    assert "Start training" in seen(reader)
    assert reader.look() is None
    clock.now += dt.timedelta(minutes=1)
    assert "12:01" in seen(reader)
    assert reader.look() is None


def test_events_of_another_target_change_nothing(
    reader: page.Reader, book: journal.Journal, clock: Clock
) -> None:
    reader.look()
    clock.now += dt.timedelta(hours=20)
    book.append("started", "M1", target="aws")
    clock.now -= dt.timedelta(hours=20)
    assert reader.look() is None


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\" onload='x"]
)
def test_what_people_write_stays_text(reader: page.Reader, book: journal.Journal, text: str) -> None:
    book.append("added", "X1", title=text, workstream="mlops", day=1)
    book.append("claimed", "X1", owner=text)
    book.append("blocked", "X1", reason=text, unblocker=text)
    book.append("added", text, title="t", workstream="mlops", day=1)
    html = seen(reader)
    assert "X1" in html
    assert "<script" not in html
    assert "<img" not in html
    assert "onload='" not in html


def test_a_replay_is_shown_at_its_own_time(reader: page.Reader, book: journal.Journal, clock: Clock) -> None:
    clock.now += dt.timedelta(hours=20)
    book.append("started", "M1")
    clock.now += dt.timedelta(hours=1)
    book.append("started", "D1")
    clock.now -= dt.timedelta(hours=21)
    html = seen(reader)
    assert "Thu 3 December" in html
    assert "</span>09:00</p>" in html


def test_one_wrong_clock_does_not_move_the_wall_s(
    reader: page.Reader, book: journal.Journal, clock: Clock
) -> None:
    book.append("started", "D1")
    clock.now += dt.timedelta(minutes=30, seconds=1)
    right = clock.now
    clock.now += dt.timedelta(hours=24)
    book.append("started", "M1")
    clock.now = right
    html = seen(reader)
    assert "Wed 2 December" in html
    assert "30 min" in html
    assert "24 h" not in html


def test_a_plan_that_changes_is_followed_and_a_broken_one_is_told(
    tmp_path: Path, book: journal.Journal, clock: Clock, small_event: SmallEvent
) -> None:
    small_event.add("A")
    plan = plans.load()
    reader = page.Reader(plan, book, clock=clock)
    assert "</strong> of 1 done" in seen(reader)
    small_event.add("B")
    _touch(plan.file, 1)
    assert "<b>B</b>" in seen(reader)
    good = plan.file.read_text()
    plan.file.write_text(good.replace("day: 1", "day: 7"))
    _touch(plan.file, 2)
    html = seen(reader)
    assert "day: 7 is not in the event" in html
    assert "<b>B</b>" in html
    assert reader.look() is None
    plan.file.write_text(good)
    _touch(plan.file, 3)
    assert "day: 7" not in seen(reader)


def _touch(file: Path, time: int) -> None:
    """A stamp unlike those before: a file system may give two writes in a row the same."""
    stamp = file.stat().st_mtime_ns + time * 1_000_000
    os.utime(file, ns=(stamp, stamp))


def test_a_journal_that_cannot_be_read_is_told_and_what_was_there_stays(
    reader: page.Reader, book: journal.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.append("started", "M1")
    reader.look()

    def refuse(cursor: object) -> None:
        raise JournalError("The bucket is gone.", "Make it again.")

    with monkeypatch.context() as patch:
        patch.setattr(book, "changed_since", refuse)
        html = seen(reader)
        assert "The bucket is gone." in html
        assert "Start training" in html
        assert reader.look() is None
    assert "The bucket is gone." not in seen(reader)


def test_a_journal_that_cannot_be_read_at_all_ends_it_with_two_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"lies under, a file|Not a directory"):
        page.application(page.Reader(PLAN, journal.open(tmp_path / "file" / "journal")))


def test_it_follows_a_journal_on_s3(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto import mock_aws

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="wall")
        book = journal.open("s3://wall/board", "ann", clock=clock)
        reader = page.Reader(PLAN, journal.open("s3://wall/board", "wall"), clock=clock)
        assert reader.period == page.PERIOD_S3
        assert "Start training" not in seen(reader)
        book.append("started", "M1")
        assert "Start training" in seen(reader)


# Served


def test_sixty_viewers_are_served_by_one_reader(
    reader: page.Reader, book: journal.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sees the board, and then an event, within seconds also on a busy machine; what changes is drawn once for all."""
    draws = []
    monkeypatch.setattr(page, "drawn", lambda shown, draw=page.drawn: draws.append(shown) or draw(shown))

    async def watch(port: int) -> tuple[list[float], list[float]]:
        async def first() -> tuple[Viewer, float]:
            began = time.monotonic()
            viewer = await Viewer().open(port)
            assert "</table>" in await viewer.board()
            return viewer, time.monotonic() - began

        opened = await asyncio.gather(*(first() for _ in range(VIEWERS)))
        assert len(draws) == 1
        began = time.monotonic()
        book.append("blocked", "M1", reason="no quota", unblocker="desk")

        async def update(viewer: Viewer) -> float:
            await viewer.board("no quota")
            return time.monotonic() - began

        updates = await asyncio.gather(*(update(viewer) for viewer, _ in opened))
        assert len(draws) == 2
        for viewer, _ in opened:
            viewer.close()
        return [seconds for _, seconds in opened], updates

    with served(reader) as port:
        paints, updates = asyncio.run(asyncio.wait_for(watch(port), 240))
    print(
        f"{VIEWERS} viewers: first data after {max(paints) * 1000:.0f} ms at most, an event after {max(updates) * 1000:.0f} ms"
    )
    assert max(paints) < 6
    assert max(updates) < page.PERIOD + 6


def test_a_viewer_that_takes_nothing_gets_the_newest_picture_only() -> None:
    async def watch() -> list[str]:
        feed = page.Feed("picture 0")
        stream = feed.frames("build")
        seen = [(await anext(stream)).decode(), (await anext(stream)).decode()]
        for n in range(1, 101):
            feed.put(f"picture {n}")
        await asyncio.sleep(0)
        seen.append((await anext(stream)).decode())
        feed.close()
        seen += [frame.decode() async for frame in stream]
        return seen

    retry, first, newest = asyncio.run(watch())
    assert retry == "retry: 1000\n\n"
    assert first == 'event: board\ndata: {"build": "build", "html": "picture 0"}\n\n'
    assert "picture 100" in newest


def test_a_quiet_board_still_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "BEAT", 0.01)

    async def watch() -> bytes:
        stream = page.Feed("board").frames("build")
        return [await anext(stream) for _ in range(4)][-1]

    assert asyncio.run(watch()) == b"event: beat\ndata: {}\n\n"


def test_a_lost_beat_is_three_beats() -> None:
    script = (evidence.TEMPLATES / "wall.js").read_text()
    assert f"const QUIET = {3 * page.BEAT * 1000:.0f};" in script


def test_every_answer_forbids_everything_but_its_own(reader: page.Reader) -> None:
    with served(reader) as port:
        for path in ("/", "/wall.css", "/wall.js"):
            status, headers, _ = got(port, path)
            assert status == 200
            policy = headers["content-security-policy"]
            assert re.match(
                r"default-src 'none'; script-src 'self' 'sha256-[^']+'; style-src 'self'; ", policy
            )
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
        assert got(port, "/board.json")[0] == 404


def test_it_cannot_be_written_to(reader: page.Reader) -> None:
    import http.client

    with served(reader) as port:
        for method in ("POST", "PUT", "DELETE"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(method, "/")
            assert connection.getresponse().status == 405
            connection.close()


def test_no_address_leaves_the_page_or_its_folder(reader: page.Reader) -> None:
    """Behind a proxy the page lies under a prefix that it does not know: each address is relative."""
    with served(reader) as port:
        html, script, style = (got(port, path)[2] for path in ("/", "/wall.js", "/wall.css"))
    addresses = re.findall(r'(?:href|src)="([^"]*)"', html) + re.findall(r'EventSource\("([^"]*)"\)', script)
    assert sorted(re.sub(r"\?.*", "", a) for a in addresses) == ["data:,", "events", "wall.css", "wall.js"]
    assert "url(" not in style
    assert "fetch(" not in script


async def strip(port: int, prefix: str) -> asyncio.Server:
    """A proxy that takes `prefix` off the path and passes the rest on, as jupyter-server-proxy does."""

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(f"GET {prefix}".encode()):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            behind, onward = await asyncio.open_connection("127.0.0.1", port)
            path = head.split(b" ")[1].removeprefix(prefix.encode()) or b"/"
            rest = head.split(b"\r\n", 1)[1].replace(b"keep-alive", b"close")
            onward.write(b"GET " + path + b" HTTP/1.1\r\n" + rest)
            while data := await behind.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    return await asyncio.start_server(passed, "127.0.0.1", 0)


def test_it_streams_through_a_proxy_that_strips_a_prefix(reader: page.Reader, book: journal.Journal) -> None:
    async def watch(port: int) -> str:
        async with await strip(port, "/lab/proxy/8765") as proxy:
            viewer = await Viewer().open(proxy.sockets[0].getsockname()[1], "/lab/proxy/8765/events")
            assert "text/event-stream" in viewer.head
            await viewer.board()
            book.append("started", "M1")
            html = await viewer.board("Start training")
            viewer.close()
            return html

    with served(reader) as port:
        assert "Start training" in asyncio.run(asyncio.wait_for(watch(port), 240))


# The command


def kit_page(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kit", "page", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_though_viewers_are_connected(small_event: SmallEvent, how: signal.Signals) -> None:
    small_event.add("A")
    process = kit_page("--port", "0")
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends\)", told)[0])

        async def watch() -> tuple[float, list[bytes]]:
            viewers = [await Viewer().open(port) for _ in range(5)]
            for viewer in viewers:
                await viewer.board("<b>A</b>")
            began = time.monotonic()
            process.send_signal(how)
            left = await asyncio.gather(*(viewer.reader.read() for viewer in viewers))
            for viewer in viewers:
                viewer.close()
            await asyncio.to_thread(process.wait, 60)
            return time.monotonic() - began, left

        seconds, _ = asyncio.run(asyncio.wait_for(watch(), 240))
        assert seconds < 10  # 0.2 where nothing else runs
        assert process.returncode == (0 if how is signal.SIGINT else -how)
        out, err = process.communicate()
        assert err == ""
        assert out == ("Stopped.\n" if how is signal.SIGINT else "")
    finally:
        process.kill()
        process.communicate()


def test_a_busy_port_is_said_in_two_lines(small_event: SmallEvent) -> None:
    small_event.add("A")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = kit_page("--port", str(port))
        out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 2
    assert f"Port {port} on 127.0.0.1 is taken" in lines[0]
    assert f"kit page --port {port + 1}" in lines[1]


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cannot listen at 192\.0\.2\.1"):
        page.bound("192.0.2.1", 0)


def test_it_listens_on_the_loopback_only_unless_asked() -> None:
    from kit.cli import page_command

    defaults = {option.name: option.default for option in page_command.params}
    assert defaults["host"] == "127.0.0.1"
    with page.bound("127.0.0.1", 0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
