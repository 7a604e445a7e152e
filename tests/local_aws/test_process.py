from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from boto3.session import Session
from ports import quiet_port

from kit.errors import LocalAwsError
from kit.local_aws import client, process

UP = "import sys; from pathlib import Path; from kit.local_aws import process; print(process.up(Path(sys.argv[1])).pid)"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A state folder; the server that a test starts in it ends with the test."""
    state = tmp_path / "event" / "aws"
    yield state
    process.down(state)


def until(holds: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_up_starts_a_server_that_answers_and_down_ends_it(folder: Path) -> None:
    assert process.status(folder) is None
    server = process.up(folder)
    assert server.url.startswith("http://127.0.0.1:")
    assert len(server.account) == 12
    assert server.account.isdigit()
    assert client.ask(server.url, "status")["account"] == server.account
    assert process.status(folder) == server
    assert process.up(folder) == server
    assert json.loads((folder / "server.json").read_text())["pid"] == server.pid
    assert "answers at" in (folder / "server.log").read_text()
    assert process.down(folder)
    assert until(lambda: not alive(server.pid))
    assert process.status(folder) is None
    assert not (folder / "server.json").exists()
    assert not process.down(folder)


def test_a_state_belongs_to_an_account_and_an_empty_one_is_a_new_account(folder: Path) -> None:
    first = process.up(folder)
    process.down(folder)
    assert process.up(folder).account == first.account
    process.down(folder)
    shutil.rmtree(folder / "state")
    assert process.up(folder).account != first.account


def test_the_server_is_nobodys_child(folder: Path) -> None:
    server = process.up(folder)
    with pytest.raises(ChildProcessError):
        os.waitpid(server.pid, os.WNOHANG)
    assert os.getsid(server.pid) != os.getsid(0)


def test_it_outlives_who_started_it(folder: Path) -> None:
    started = subprocess.run(
        [sys.executable, "-c", UP, str(folder)], capture_output=True, text=True, check=True
    )
    server = process.status(folder)
    assert server is not None
    assert server.pid == int(started.stdout)


def test_many_who_ask_at_once_get_the_same_server(folder: Path) -> None:
    command = [sys.executable, "-c", UP, str(folder)]
    asking = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    with ThreadPoolExecutor(4) as pool:
        here = {server.pid for server in pool.map(process.up, [folder] * 4)}
    there = {int(one.communicate(timeout=200)[0]) for one in asking}
    assert len(here | there) == 1


def test_what_a_killed_server_left_is_healed(folder: Path) -> None:
    first = process.up(folder)
    os.kill(first.pid, signal.SIGKILL)
    assert until(lambda: process.status(folder) is None)
    assert (folder / "server.json").exists()
    second = process.up(folder)
    assert second.pid != first.pid
    assert client.ask(second.url, "status")["pid"] == second.pid


def test_a_file_that_names_another_process_or_nothing_is_not_believed(folder: Path) -> None:
    folder.mkdir(parents=True)
    for text in (json.dumps({"url": "http://127.0.0.1:9", "pid": os.getpid()}), "", "[]", "{"):
        (folder / "server.json").write_text(text)
        assert process.status(folder) is None
        assert not process.down(folder)
    assert process.up(folder).account


def test_a_busy_port_is_told_in_two_lines(folder: Path) -> None:
    port = quiet_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(LocalAwsError) as caught:
        process.up(folder, port)
    assert f"port {port} cannot be used" in caught.value.message
    assert "free one" in caught.value.hint
    assert len(str(caught.value).splitlines()) == 2
    server = process.up(folder, port)
    assert server.url == f"http://127.0.0.1:{port}"
    with pytest.raises(LocalAwsError, match=f"runs on port {port} already"):
        process.up(folder, port + 1)


def test_a_folder_that_cannot_be_used_is_told_in_two_lines(tmp_path: Path) -> None:
    (tmp_path / "event").write_text("a file")
    with pytest.raises(LocalAwsError) as caught:
        process.up(tmp_path / "event" / "aws")
    assert "cannot use the folder" in caught.value.message
    assert len(str(caught.value).splitlines()) == 2


def test_a_server_that_does_not_come_up_leaves_the_end_of_its_log_in_the_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = folder.parent / "broken"
    broken.mkdir(parents=True)
    (broken / "sitecustomize.py").write_text("raise SystemExit('this Python is broken')")
    monkeypatch.setattr(
        process, "_environment", lambda: {"PYTHONPATH": str(broken), "PATH": os.environ["PATH"]}
    )
    with pytest.raises(LocalAwsError) as caught:
        process.up(folder)
    assert "this Python is broken" in caught.value.message
    assert str(folder / "server.log") in caught.value.hint


def test_a_server_ends_when_its_folder_is_deleted(folder: Path) -> None:
    server = process.up(folder)
    shutil.rmtree(folder, ignore_errors=True)  # as it ends, the server deletes a file or two of its own there
    assert until(lambda: not alive(server.pid))
    assert process.up(folder).pid != server.pid


def test_a_server_ends_when_another_one_took_its_folder(folder: Path) -> None:
    first = process.up(folder)
    folder.rename(folder.with_name("moved"))
    second = process.up(folder)
    assert until(lambda: not alive(first.pid))
    assert process.status(folder) == second


def test_a_server_that_hangs_is_not_taken_for_a_dead_one_and_can_be_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = process.up(folder)
    os.kill(server.pid, signal.SIGSTOP)
    monkeypatch.setattr(process, "START_SECONDS", 0.3)
    monkeypatch.setattr(process, "STOP_SECONDS", 0.3)
    with pytest.raises(LocalAwsError, match="does not answer"):
        process.up(folder)
    assert process.down(folder)
    assert until(lambda: not alive(server.pid))


def test_who_waits_is_let_go_when_the_server_ends(folder: Path) -> None:
    server = process.up(folder)
    ended: list[object] = []

    def wait() -> None:
        try:
            ended.append(client.ask(server.url, "wait", {"timeout": 60}, timeout=90))
        except OSError as error:
            ended.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.2)  # the request is on its way
    process.down(folder)
    waiter.join(30)
    assert not waiter.is_alive()
    assert len(ended) == 1


def test_the_callers_aws_settings_do_not_reach_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    assert process.up(folder).account != "999999999999"
    assert not any(name.startswith(process.UNWANTED) for name in process._environment())


# One line: the API's pattern for an entry point has no line breaks.
SLEEPER = (
    "import os, pathlib, sys, time; file = pathlib.Path(sys.argv[1]); "
    "file.with_suffix('.new').write_text(str(os.getpid())); file.with_suffix('.new').rename(file); time.sleep(600)"
)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_server_runs_ends_with_it_however_it_ends(
    folder: Path, tmp_path: Path, how: signal.Signals
) -> None:
    server = process.up(folder)
    session = Session(client.KEY, "local", region_name="us-east-1")
    api = {name: session.client(name, endpoint_url=server.url) for name in ("iam", "sagemaker")}
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    role = api["iam"].create_role(RoleName="r", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    written = tmp_path / "pid"
    api["sagemaker"].create_processing_job(
        ProcessingJobName="sleeper",
        RoleArn=role,
        AppSpecification={
            "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
            "ContainerEntrypoint": ["python3", "-c", SLEEPER, str(written)],
        },
        ProcessingResources={
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
    )
    assert until(written.exists), api["sagemaker"].describe_processing_job(ProcessingJobName="sleeper")
    assert client.ask(server.url, "status")["jobs"] == 1
    children = _descendants(server.pid)
    assert children
    os.kill(server.pid, how)
    assert until(lambda: not alive(server.pid))
    assert until(lambda: not any(alive(pid) for pid in children))


def _descendants(pid: int) -> set[int]:
    """The processes below a process, from `ps`, which Linux and macOS both have."""
    listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in pairs if parent in new}
        found |= new
    return found
