"""The server's entry point: `python -m kit.local_aws FOLDER PORT LOCK READY`, run by `process.up` and not by hand.

LOCK and READY are file descriptors: the folder's lock, held as long as this process lives, and a pipe for one line of JSON when the
server answers or cannot.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

STOP_SECONDS = 5.0
WATCH_SECONDS = 1.0
log = logging.getLogger("kit.local_aws")


def main(folder: Path, port: int, lock: int, ready: int) -> None:
    """Serves until SIGTERM, or until the folder no longer names this process as its server."""
    began = time.perf_counter()
    for descriptor in (lock, ready):
        os.set_inheritable(descriptor, False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("botocore", "boto3", "urllib3", "werkzeug", "moto", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    last = (
        folder / "port"
    )  # the one that an earlier server of this folder had: who still asks there finds this one
    try:
        _bind(listener, [port] if port else [*_last(last), 0])
    except OSError as error:
        hint = "Leave out the port to take a free one, or stop what uses it."
        return _say(ready, {"message": f"port {port} cannot be used ({error.strerror})", "hint": hint})
    last.write_text(str(listener.getsockname()[1]), encoding="utf-8")
    listener.listen(128)
    fresh = str(secrets.randbelow(9 * 10**11) + 10**11)  # the account's number, if there is no state yet
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # web pages have no business here

    from werkzeug.serving import make_server

    from kit.local_aws import client, restart, schedules
    from kit.local_aws.front import App
    from kit.local_aws.gateway import make_user
    from kit.local_aws.state import State

    state = State(folder / "state", fresh)
    account = state.account
    if state.before:
        log.warning("the state of another version (%s) is put aside: this begins empty", state.before)
    app = App(folder, account)
    known = app.keep(state)
    if not known:
        make_user(account, "builder", client.KEY)
        app.backend("iam").create_account_alias(client.ALIAS)
        app.keeper.tick()
    app.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_handler(), fd=listener.fileno())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    files = client.settings(folder)
    files["sdk"].write_text(client.SDK_CONFIG, encoding="utf-8")
    files["config"].write_text("[default]\n", encoding="utf-8")
    files["credentials"].write_text("", encoding="utf-8")
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    threading.Thread(target=server.serve_forever, name="serve", daemon=True).start()
    schedules.start(app)
    app.background("restart", restart.resume, app)
    file = folder / "server.json"
    _write(file, {"url": app.url, "pid": os.getpid(), "account": account, "started": app.started.isoformat()})
    log.info("account %s answers at %s after %.2f s", account, app.url, time.perf_counter() - began)
    _say(ready, {"ready": True})
    written = file.stat().st_ino
    while not stop.wait(WATCH_SECONDS):
        # The folder is the server's reason to live. There is no portable event for its end, and a stat costs microseconds.
        try:
            if file.stat().st_ino != written:
                break
        except OSError:
            break
    log.info("stopping")
    ending = threading.Thread(target=app.stop, daemon=True)
    ending.start()
    ending.join(STOP_SECONDS)
    with contextlib.suppress(OSError, sqlite3.Error):  # the folder may be gone, which is why this ends
        app.keeper.close()
    try:
        if file.stat().st_ino == written:
            file.unlink()
    except OSError:
        pass
    logging.shutdown()
    os._exit(0)  # threads that still answer or wait do not keep the process


def _last(file: Path) -> list[int]:
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [int(text)] if text.isdigit() else []


def _bind(listener: socket.socket, ports: list[int]) -> None:
    """Take the first port that is free. Raises OSError if none is."""
    for number in ports:
        try:
            return listener.bind(("127.0.0.1", number))
        except OSError:
            if number == ports[-1]:
                raise


def _handler() -> Any:
    """How the server speaks HTTP: 1.1 with kept connections, S3 metadata names as they were sent, no log line per request."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = (
            True  # head and body are two writes; together they would wait for an acknowledgement
        )

        def log_request(self, *_: Any, **__: Any) -> None:
            """Nothing: /_local/calls has the last requests."""

    return Handler


def _say(ready: int, what: dict[str, object]) -> None:
    os.write(ready, json.dumps(what).encode() + b"\n")
    os.close(ready)


def _write(file: Path, value: dict[str, object]) -> None:
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(file)


if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5]))
