"""A container without Docker: a folder that stands for /opt/ml, and a command that runs in it under an init of its own.

The command runs on this machine's Python and libraries, whatever image was named. Where the kernel allows own mounts the folder
is bound to /opt/ml, so that code which spells that path works. Elsewhere (macOS, most containers) the path is replaced in what
the server hands over: arguments, variables and the SDK's own driver scripts; code has to take its paths from there, as
SageMaker's documentation asks. `KIT_OPT_ML=replace` forces the second way.
"""

from __future__ import annotations

import codecs
import functools
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["IMAGE", "ML", "Container", "Ending", "Line", "binds_ml", "environment", "scratch"]

ML = "/opt/ml"
IMAGE = Path(__file__).parent / "image"
GRACE = 10.0  # seconds from SIGTERM to SIGKILL; AWS gives 120
BATCH = 0.25  # seconds that output is gathered before it is handed on
LINE = 64 * 1024  # characters; a longer line is cut into several
TAIL = 400  # lines that are kept to explain a failure
PASSED_ON = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "CONDA_PREFIX",
)

Line = tuple[int, str]  # (milliseconds since 1970, text)
_sweeping = threading.Lock()  # or the second of two first containers would remove the first one's folder


@dataclass(frozen=True)
class Ending:
    """How a command ended: its exit code (128 + n for signal n), whether it was told to, whether its time was up, its last lines."""

    code: int
    told: bool
    timed_out: bool
    tail: tuple[str, ...]


def _init(command: Sequence[str], cwd: str, bind: Path | None, descriptors: Sequence[int] = ()) -> list[str]:
    spec = {
        "command": list(command),
        "cwd": cwd,
        "bind": str(bind) if bind else None,
        "grace": GRACE,
        "fds": list(descriptors),
    }
    return [sys.executable, "-I", "-S", str(IMAGE / "init.py"), json.dumps(spec)]


@functools.cache
def _can_bind() -> bool:
    with tempfile.TemporaryDirectory(prefix="kit-probe-") as folder:
        (Path(folder) / "here").touch()
        command = _init(["/bin/sh", "-c", f"test -f {ML}/here"], "/", Path(folder))
        try:
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as probe:
                try:  # patiently: the answer is kept for as long as the server runs
                    return probe.wait(timeout=60) == 0
                except subprocess.TimeoutExpired:
                    probe.kill()
        except OSError:
            pass
    return False


def binds_ml() -> bool:
    """Whether commands see their folder as /opt/ml; the kernel is asked once (about 30 ms)."""
    return os.environ.get("KIT_OPT_ML") != "replace" and sys.platform.startswith("linux") and _can_bind()


def scratch(app: App, name: str) -> Path:
    """A path for a new container's folder; what an earlier server left behind is removed."""
    folder = app.folder / "jobs" / str(os.getpid())
    with _sweeping:
        if not folder.is_dir():
            shutil.rmtree(folder.parent, ignore_errors=True)
            folder.mkdir(parents=True)
    return folder / f"{name}-{uuid.uuid4().hex[:8]}"


def environment(app: App, region: str, role: str, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of a command: the role's credentials for the local AWS, and `given`; of the server's own, only the locale."""
    from kit.local_aws import client

    home = (
        app.folder / "home"
    )  # shared by all jobs: font and model caches are built once, and no ~/.aws is there
    home.mkdir(parents=True, exist_ok=True)
    session: dict[str, str] = {}  # a model without a role has no credentials
    if role:
        session = app.client("sts", region).assume_role(RoleArn=role, RoleSessionName="SageMaker")[
            "Credentials"
        ]
    threads = max(1, min(4, (os.cpu_count() or 1) // 2))
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        **client.environment(app.url, app.account, region),
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": session.get("AccessKeyId", ""),
        "AWS_SECRET_ACCESS_KEY": session.get("SecretAccessKey", ""),
        "AWS_SESSION_TOKEN": session.get("SessionToken", ""),
        "HOME": str(home),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
        **given,
        "PATH": os.pathsep.join(
            [str(IMAGE / "bin"), str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
        ),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(IMAGE / "site"), given.get("PYTHONPATH", "")])),
    }


class Container:
    """One container of a job or of an endpoint. Use: fill `folder`, `start`, `follow` to the end, take what is in `folder`, `remove`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bound = binds_ml()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._lock = threading.Lock()
        self._alias: Path | None = None
        folder.mkdir(parents=True)
        if not self.bound and re.search(r"[^\w./@+-]", str(folder)):
            # The SDK's shell scripts do not quote their paths: they get one that needs no quotes.
            self._alias = Path(tempfile.mkdtemp(prefix="kit-ml-"))
            (self._alias / "ml").symlink_to(folder, target_is_directory=True)

    @property
    def ml(self) -> str:
        """The folder as the command sees it."""
        return ML if self.bound else str(self._alias / "ml" if self._alias else self.folder)

    def at(self, path: str) -> Path:
        """Where a path of the container lies on this machine. Raises ValueError for one outside of /opt/ml."""
        parts = Path(path).parts
        if parts[:3] != ("/", "opt", "ml") or ".." in parts:
            raise ValueError(f"{path} is not below {ML}")
        return self.folder.joinpath(*parts[3:])

    def seen(self, text: str) -> str:
        """Text for the command: /opt/ml is spelled as it is for the command."""
        return text if self.bound else re.sub(rf"{ML}(?![\w.-])", lambda _: self.ml, text)

    def rewrite(self, files: Iterable[Path]) -> None:
        """Spell /opt/ml in these text files as it is for the command."""
        for file in files if not self.bound else ():
            text = file.read_text(encoding="utf-8", errors="surrogateescape")
            file.write_text(self.seen(text), encoding="utf-8", errors="surrogateescape")

    def start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        cwd: str = ML,
        listener: socket.socket | None = None,
    ) -> None:
        """Run the command; it inherits `listener`. One that was told to stop before is not started."""
        descriptors = [listener.fileno()] if listener else []
        bind = self.folder if self.bound else None
        with self._lock:
            if self._stopping:
                return
            self._process = subprocess.Popen(
                _init([self.seen(word) for word in command], self.seen(cwd), bind, descriptors),
                env={name: self.seen(value) for name, value in variables.items()},
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=descriptors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """The process id of the container's init while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def follow(self, seconds: float | None, take: Callable[[list[Line]], None]) -> Ending:
        """Hand the command's output on in batches until it ended, or was ended after `seconds` (None: no limit)."""
        process = self._process
        if process is None:
            return Ending(143, True, False, ())
        assert process.stdout is not None
        deadline = None if seconds is None else time.monotonic() + seconds
        timed_out, rest, tail = False, "", deque[str](maxlen=TAIL)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        lines: list[Line] = []
        handed = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                limits = [deadline - time.monotonic()] if deadline and not timed_out else []
                limits += [handed + BATCH - time.monotonic()] if lines else []
                ready = selector.select(max(0.0, min(limits)) if limits else None)
                data = process.stdout.read(LINE) if ready else None
                if data:
                    *whole, rest = (rest + decoder.decode(data)).split("\n")
                    if len(rest) >= LINE:
                        whole, rest = [*whole, rest], ""
                    moment = time.time_ns() // 1_000_000
                    lines += [(moment, line.rstrip("\r")) for line in whole]
                    tail.extend(line for _, line in lines[-len(whole) :] if whole)
                if lines and time.monotonic() >= handed + BATCH:
                    take(lines)
                    lines, handed = [], time.monotonic()
                if deadline and not timed_out and time.monotonic() >= deadline:
                    timed_out = True
                    self.stop()
                if data == b"":
                    break
        if rest:
            lines.append((time.time_ns() // 1_000_000, rest))
            tail.append(rest)
        if lines:
            take(lines)
        code = process.wait()
        process.stdout.close()
        if process.stdin:
            process.stdin.close()
        return Ending(code if code >= 0 else 128 - code, self._stopping, timed_out, tuple(tail))

    def stop(self) -> None:
        """Ask the command to end; what still runs after a grace period is killed. Does not wait."""
        with self._lock:
            self._stopping = True
            if self._process and self._process.poll() is None:
                self._process.terminate()

    def kill(self) -> None:
        """End everything in the container now, and wait for it."""
        with self._lock:
            self._stopping = True
            process = self._process
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()  # init ends everything when its parent is gone
            process.wait()

    def remove(self) -> None:
        """Kill what still runs and delete the folder."""
        self.kill()
        if self._process and self._process.stdout:
            self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._alias:
            shutil.rmtree(self._alias, ignore_errors=True)
