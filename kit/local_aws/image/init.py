"""A container's first process: it binds /opt/ml, runs the command, and leaves nothing behind.

Run as `python -I -S init.py SPEC` where SPEC is JSON: {"command": [..], "cwd": str, "bind": folder or null, "grace": seconds,
"fds": [descriptors that only the command keeps]}. Its environment is the command's. Its standard input is a pipe whose other
end the server holds: when the server is gone, however it went, the pipe closes and everything started here is killed.
SIGTERM asks the command to end and kills it after `grace` seconds. It exits with the command's code, 128 + n for signal n,
125 when /opt/ml cannot be bound, 127 when the command does not exist. The standard library only: it must start in no time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

LINUX = sys.platform.startswith("linux")
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    given = kind.encode() if kind else None
    if _libc().mount(source.encode(), target.encode(), given, flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


def _own_mounts() -> None:
    """Give this process mounts of its own: as root directly, else in a user namespace where it keeps its user."""
    libc, user, group = _libc(), os.getuid(), os.getgid()
    if user == 0 and libc.unshare(CLONE_NEWNS) == 0:
        pass
    elif libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - pathlib would double the start-up time
                file.write(text)
    else:
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)


def bind(folder: str) -> None:
    """Make `folder` this process's /opt/ml; everything else in /opt stays. Raises OSError where the kernel does not allow it."""
    _own_mounts()
    if not os.path.isdir("/opt/ml"):  # noqa: PTH112
        # /opt is not ours to write to: put a memory file system over it, with all it held, and one folder more.
        source = os.open(folder, os.O_RDONLY)  # it may itself lie below /opt
        old = os.open("/opt", os.O_RDONLY)
        entries = list(os.scandir(old))
        _mount("none", "/opt", "tmpfs", 0)
        for entry in entries:
            inside = f"/opt/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.name, dir_fd=old), inside)  # noqa: PTH211
                continue
            if entry.is_dir():
                os.mkdir(inside)  # noqa: PTH102
            else:
                os.close(os.open(inside, os.O_CREAT))
            _mount(f"/proc/self/fd/{old}/{entry.name}", inside, None, MS_BIND | MS_REC)
        os.mkdir("/opt/ml")  # noqa: PTH102
        os.close(old)
        folder = f"/proc/self/fd/{source}"
    _mount(folder, "/opt/ml", None, MS_BIND | MS_REC)


def _run(spec: dict[str, Any], parent: int) -> None:
    """In the forked child: become the command."""
    os.setsid()
    if LINUX:
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(137)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        os.chdir(spec["cwd"])
        os.execvp(spec["command"][0], spec["command"])
    except OSError as problem:
        os.write(2, f"{spec['command'][0]}: {problem.strerror}\n".encode())
    os._exit(127)


def _kill(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _kill_the_rest() -> None:
    """Kill what left the command's process group; as the subreaper, every orphan below becomes a child of this process."""
    while True:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
                children = [int(word) for word in file.read().split()]
        except OSError:
            return
        if not children:
            return
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def _watch(command: int, grace: float, wake: int) -> int:
    """The command's exit code, once it ended by itself or was ended."""
    deadline = None
    watched = [0, wake]
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if deadline is not None and time.monotonic() >= deadline:
            _kill(command, signal.SIGKILL)
            deadline = None
        if 0 in ready and not os.read(0, 64):
            _kill(command, signal.SIGKILL)  # the server is gone
            watched = [wake]
        if wake in ready and signal.SIGTERM in os.read(wake, 64):
            _kill(command, signal.SIGTERM)
            deadline = time.monotonic() + grace
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == command:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code
                if pid == 0:
                    break


def main() -> int:
    """Run the command of the specification in the first argument; returns its exit code."""
    spec = json.loads(sys.argv[1])
    if spec["bind"]:
        try:
            bind(spec["bind"])
        except OSError as problem:
            os.write(2, f"/opt/ml cannot be bound: {problem}\n".encode())
            return 125
    if LINUX:
        _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the server's to handle
    me = os.getpid()
    begun, beginning = os.pipe()  # closed by the command's exec
    command = os.fork()
    if command == 0:
        _run(spec, me)
    for descriptor in (*spec["fds"], beginning):
        os.close(descriptor)
    os.read(begun, 1)  # before that the command has no process group of its own that could be signalled
    code = _watch(command, spec["grace"], wake)
    _kill(command, signal.SIGKILL)
    _kill_the_rest()
    return code


if __name__ == "__main__":
    sys.exit(main())
