"""The room's screen: what it shows of a board, and the web page that follows the journal. Read-only.

One thread reads the journal and draws the board once; every viewer is sent the same bytes as a server-sent event. All
addresses are relative, so that the page also works behind a proxy that strips a prefix (jupyter-server-proxy).
`kit.picture` says what is on it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import datetime as dt
import errno
import functools
import hashlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from kit import board, evidence, picture
from kit import plan as plans
from kit.cards import Board
from kit.errors import KitError, UsageError
from kit.journal import Cursor, Event, Journal

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Feed", "Reader", "application", "bound", "drawn", "serve"]

PORT = 8765
PARTS = ("page.css", "wall.css", "wall.js", "wall.html.j2", "wall_board.html.j2")
PERIOD, PERIOD_S3 = 0.25, 2.0  # seconds between two looks at the journal
BEAT = (
    5.0  # seconds of quiet after which viewers are told that there is still contact; wall.js waits for three
)
AHEAD = dt.timedelta(
    hours=2
)  # a journal whose every event lies so far ahead is a replay, and its time counts

# A proxy may show the page at an address without the slash at its end, which relative addresses need.
SLASH = 'location.pathname.endsWith("/")||location.replace(location.pathname+"/")'
DIGEST = base64.b64encode(hashlib.sha256(SLASH.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; script-src 'self' 'sha256-{DIGEST}'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Feed:
    """What viewers see now, and a bell that rings when it changes. Only `put` and `close` may be called from other threads."""

    def __init__(self, html: str) -> None:
        self.html, self.number, self.open = html, 1, True
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()

    def put(self, html: str) -> None:
        """Show this from now on."""
        self._soon(self._ring, html)

    def close(self) -> None:
        """End every viewer's stream."""
        self._soon(self._ring, None)

    def _soon(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it every stream
            self._loop.call_soon_threadsafe(function, *arguments)

    def _ring(self, html: str | None) -> None:
        if html is None:
            self.open = False
        else:
            self.html, self.number = html, self.number + 1
        self._bell.set()
        self._bell = asyncio.Event()

    async def frames(self, build: str) -> AsyncIterator[bytes]:
        """The stream of one viewer: the newest picture at once and whenever it changes; else a beat now and then.

        A viewer that is slow to take them misses pictures, never the newest one, and holds no others in memory.
        """
        yield b"retry: 1000\n\n"
        seen = 0
        while self.open:
            if self.number != seen:
                seen = self.number
                yield _frame("board", {"build": build, "html": self.html})
                continue
            try:
                await asyncio.wait_for(self._bell.wait(), BEAT)
            except TimeoutError:
                yield _frame("beat", {})


def _frame(name: str, data: Any) -> bytes:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class Reader:
    """Follows the journal by its cursor and the plan by its file; tells what is to be seen when that has changed.

    With `team`, it shows the cards of this team and those that all share.
    """

    def __init__(
        self,
        plan: plans.Plan,
        journal: Journal,
        *,
        target: str = "local",
        team: str = "",
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.plan, self.journal, self.target, self.team, self.clock = plan, journal, target, team, clock
        self.board: Board | None = None  # as folded last
        self._stamp, self._broken = _stamp(plan), ""
        self._events: list[Event] = []
        self._cursor: Cursor | None = None
        self._seen: tuple[Any, ...] = ()
        self._picture: picture.Picture | None = None
        self._shown: picture.Picture | None = None

    def look(self) -> picture.Picture | None:
        """What is to be seen, if any of it has changed since the last look: by an event, the plan or the minute.

        Raises:
            KitError: the first look cannot read the journal. Later ones show what was there before, and say so.
        """
        now, trouble = self.clock(), ""
        try:
            self._follow_plan()
            news, self._cursor = self.journal.changed_since(self._cursor)
            self._events += (e for e in news if e.target == self.target)
            if self._events and min(e.ts for e in self._events) > now + AHEAD:
                now = max(e.ts for e in self._events)
            seen = (len(self._events), self._stamp, now.replace(second=0, microsecond=0))
            if seen != self._seen:
                wall = board.fold(self.plan, self._events, target=self.target, now=now)
                self.board = wall.of(self.team) if self.team else wall
                self._picture, self._seen = picture.of(self.plan, self.board, now), seen
        except Exception as error:  # S3 says no in many ways; the page goes on with what it has, and says so
            if self._picture is None:
                raise
            trouble = error.message if isinstance(error, KitError) else f"{type(error).__name__}: {error}"
        assert self._picture is not None
        shown = dataclasses.replace(self._picture, trouble=trouble or self._broken)
        if shown == self._shown:
            return None
        self._shown = shown
        return shown

    def _follow_plan(self) -> None:
        stamp = _stamp(self.plan)
        if stamp != self._stamp:
            self._stamp, self._broken = stamp, ""
            try:
                self.plan = plans.load(self.plan.file)
            except KitError as error:  # until it is mended, the plan as it was
                self._broken = error.message

    @property
    def period(self) -> float:
        """Seconds between two looks."""
        return PERIOD_S3 if str(self.journal.store).startswith("s3://") else PERIOD

    def follow(self, feed: Feed, stop: threading.Event) -> None:
        """Look and show, until `stop`; at most half of the time is spent on it."""
        took = 0.0
        while not stop.wait(max(self.period, took)):
            began = time.monotonic()
            shown = self.look()
            if shown is not None:
                feed.put(drawn(shown))
            took = time.monotonic() - began


def _stamp(plan: plans.Plan) -> int:
    try:
        return plan.file.stat().st_mtime_ns
    except OSError:
        return 0


def drawn(shown: picture.Picture, template: str = "wall_board.html.j2", **more: Any) -> str:
    """The picture as HTML, by one of the templates."""
    html: str = _environment().get_template(template).render(picture=shown, **more)
    return html


@functools.cache
def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(evidence.TEMPLATES),
        autoescape=True,  # whatever people write stays text
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def application(reader: Reader) -> Starlette:
    """The page as an ASGI application: `/`, `/events`, `/wall.css`, `/wall.js`. `app.state.feed` is its feed while it runs."""
    from markupsafe import Markup
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, Response, StreamingResponse
    from starlette.routing import Route

    parts = {name: (evidence.TEMPLATES / name).read_text(encoding="utf-8") for name in PARTS}
    style, script = parts["page.css"] + parts["wall.css"], parts["wall.js"]
    shell = _environment().get_template("wall.html.j2")
    build = hashlib.sha256("".join(parts.values()).encode()).hexdigest()[
        :12
    ]  # viewers of another version reload

    shown = reader.look()
    first = drawn(shown) if shown else ""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.feed = Feed(first)
        stop = threading.Event()
        # A daemon: a look that hangs (S3 out of reach) must not keep Ctrl-C waiting.
        threading.Thread(target=reader.follow, args=(app.state.feed, stop), daemon=True).start()
        yield
        stop.set()

    async def page(request: Request) -> Response:
        html = shell.render(board=Markup(request.app.state.feed.html), build=build, slash=Markup(SLASH))
        return HTMLResponse(html, headers=HEADERS)

    async def events(request: Request) -> Response:
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(
            request.app.state.feed.frames(build), media_type="text/event-stream", headers=headers
        )

    async def css(request: Request) -> Response:
        return Response(style, media_type="text/css", headers=HEADERS)

    async def js(request: Request) -> Response:
        return Response(script, media_type="text/javascript", headers=HEADERS)

    routes = [Route("/", page), Route("/events", events), Route("/wall.css", css), Route("/wall.js", js)]
    return Starlette(routes=routes, lifespan=lifespan)


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError where there can be none, and says what to do."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"Port {port} on {host} is taken: perhaps the page runs already.",
                f"Look at http://{host}:{port}/, or take another: kit page --port {port + 1}",
            ) from None
        raise UsageError(
            f"The page cannot listen at {host}, port {port}: {error.strerror or error}.",
            "Take an address of this machine and a port above 1023; without --host it is 127.0.0.1.",
        ) from None


def serve(reader: Reader, listening: socket.socket) -> None:
    """Serve the page until Ctrl-C (or SIGTERM), which ends it at once, whoever is looking."""
    import uvicorn

    app = application(reader)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            app.state.feed.close()  # else it would wait for the viewers to leave
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=1,  # for a viewer that takes nothing any more
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listening])
