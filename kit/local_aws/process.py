"""The local AWS as a process: one per state folder, started detached, found again through the folder.

`server.lock` is locked by the server as long as it lives, however it ends, and holds its process id; `server.json` is written when
it answers; `server.log` is what it has to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import filelock

from kit.errors import LocalAwsError
from kit.local_aws import client

__all__ = ["Server", "down", "status", "up"]

START_SECONDS = 60.0
STOP_SECONDS = 10.0
TAIL = 5  # lines of server.log in an error
UNWANTED = ("AWS_", "MOTO_", "SAGEMAKER_")  # variables of the caller that must not reach the server


@dataclass(frozen=True)
class Server:
    """A local AWS that answers: where, which process, and the account number that it minted for its state."""

    url: str
    pid: int
    account: str
    folder: Path
    started: datetime


def up(folder: Path, port: int = 0) -> Server:
    """The local AWS of the folder, started if none runs; with several callers at once it is started once.

    `port` 0 takes a free one. Raises LocalAwsError if it does not come up, if the port is in use, or if it runs on another port.
    """
    with _clear(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        server = status(folder)
        if server is None:
            with filelock.FileLock(folder / "up.lock", timeout=2 * START_SECONDS):
                server = status(folder) or _start(folder, port)
    if port and urlsplit(server.url).port != port:
        raise LocalAwsError(
            f"The local AWS of {folder} runs on port {urlsplit(server.url).port} already.",
            "Leave out the port, or stop it with `kit local down` first.",
        )
    return server


def status(folder: Path) -> Server | None:
    """The local AWS of the folder if it runs. Raises LocalAwsError if it runs but does not answer."""
    known = _read(folder / "server.json")
    pid = _holder(folder)
    if pid is None or known is None or known.get("pid") != pid:
        return None
    try:
        said = client.ask(known["url"], "status", timeout=START_SECONDS)
    except OSError as error:
        # A process that ends closes its sockets and lets go of its lock one after the other.
        if _within(STOP_SECONDS, lambda: _holder(folder) != pid):
            return None
        raise LocalAwsError(
            f"The local AWS at {known['url']} (process {pid}) does not answer: {error}",
            f"Read {folder / 'server.log'}; `kit local down` ends it.",
        ) from None
    return Server(
        known["url"], pid, said["account"], folder.resolve(), datetime.fromisoformat(said["started"])
    )


def down(folder: Path) -> bool:
    """Ends the local AWS of the folder and everything that it runs; False if none runs."""
    pid = _holder(folder)
    for sent in (signal.SIGTERM, signal.SIGKILL) if pid else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or 0, sent)
        if _within(STOP_SECONDS, lambda: _holder(folder) != pid):
            break
    if _holder(folder) is None:
        (folder / "server.json").unlink(missing_ok=True)
    return pid is not None


def _hold(folder: Path) -> int | None:
    """A file descriptor that holds the folder's lock, or None if a server keeps it."""
    held = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    # A server that ends lets go of it in time, and so does who only looks.
    if _within(STOP_SECONDS, lambda: _locked(held, fcntl.LOCK_EX)):
        return held
    os.close(held)
    return None


def _holder(folder: Path) -> int | None:
    """The process id of the living server of the folder."""
    try:
        looking = os.open(folder / "server.lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        if _locked(looking, fcntl.LOCK_SH):
            return None
        text = os.read(looking, 32).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(looking)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether it holds by then; there is no event for the end of a process that is not a child."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _start(folder: Path, port: int) -> Server:
    lock = _hold(folder)
    if lock is None:
        raise LocalAwsError(
            f"A local AWS holds {folder}, but it does not answer.",
            f"Read {folder / 'server.log'}; `kit local down` ends it.",
        )
    (folder / "server.json").unlink(missing_ok=True)
    log = folder / "server.log"
    reading, writing = os.pipe()
    try:
        with log.open("ab") as output:
            # The process forks once more and leaves: the server is nobody's child, and nobody's zombie when it ends.
            subprocess.run(
                [sys.executable, "-m", "kit.local_aws", str(folder), str(port), str(lock), str(writing)],
                env=_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock, writing),
                start_new_session=True,
                check=False,
            )
        os.close(lock)
        os.close(writing)
        said = _read_line(reading)
    finally:
        os.close(reading)
    server = status(folder) if said == {"ready": True} else None
    if server is None:
        raise LocalAwsError(
            f"The local AWS of {folder} did not come up: {said.get('message') or _tail(log)}",
            said.get("hint") or f"Its log is {log}.",
        )
    return server


def _environment() -> dict[str, str]:
    package = Path(__file__).resolve().parents[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}
    path = os.pathsep.join(filter(None, [str(package), kept.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def _read_line(descriptor: int) -> dict[str, Any]:
    """What the server says through the pipe; nothing if it ended, or took too long."""
    text = b""
    deadline = time.monotonic() + START_SECONDS
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 4096) if ready else b""
        if not chunk:
            return {}
        text += chunk
    said: dict[str, Any] = json.loads(text)
    return said


def _read(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log"
    return " | ".join(line.strip() for line in lines[-TAIL:]) or "its log is empty"


@contextlib.contextmanager
def _clear(folder: Path) -> Iterator[None]:
    """The system's errors, said so that one can do something."""
    try:
        yield
    except filelock.Timeout:
        raise LocalAwsError(
            f"Another process has been starting the local AWS of {folder} for two minutes.",
            f"Read {folder / 'server.log'}; `kit local down` ends it.",
        ) from None
    except OSError as error:
        raise LocalAwsError(
            f"The local AWS cannot use the folder {folder}: {error.strerror or error}.",
            "Give KIT_HOME a folder on a local disk that you may write to.",
        ) from None
