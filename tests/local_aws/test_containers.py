"""Commands under the container contract: /opt/ml in both ways, output, exit codes, time limits, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from endpoints import gone
from hearing import soon

from kit.local_aws import containers
from kit.local_aws.containers import Container, Ending, binds_ml

CAN_BIND = binds_ml()
BASE = {"PATH": os.environ["PATH"]}


@pytest.fixture(params=["bound", "replaced"])
def container(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Container]:
    """A container, once with /opt/ml bound and once with the path replaced."""
    if request.param == "bound" and not CAN_BIND:
        pytest.skip("this machine's kernel allows no own mounts")
    if request.param == "replaced":
        monkeypatch.setenv("KIT_OPT_ML", "replace")
    made = Container(tmp_path / "job")
    yield made
    made.remove()


def run(
    container: Container, *command: str, seconds: float | None = 120, variables: dict[str, str] | None = None
) -> tuple[Ending, list[str]]:
    """How the command ended, and the lines it printed."""
    lines: list[str] = []
    container.start(command, {**BASE, **(variables or {})})
    ending = container.follow(seconds, lambda batch: lines.extend(text for _, text in batch))
    return ending, lines


def python(container: Container, code: str, *arguments: str) -> tuple[Ending, list[str]]:
    return run(container, sys.executable, "-c", code, *arguments)


def timed(container: Container, code: str) -> tuple[Ending, list[str]]:
    """How Python ended whose half second began when it had printed "on", which it does after `code`; it would sleep on."""
    lines: list[str] = []
    waits = (
        f"import sys, time\n{code}\nprint('on', flush=True)\nopen(sys.argv[1], 'w').close()\ntime.sleep(240)"
    )
    container.start([sys.executable, "-c", waits, "/opt/ml/begun"], BASE)
    assert soon((container.folder / "begun").exists)
    ending = container.follow(0.5, lambda batch: lines.extend(text for _, text in batch))
    return ending, lines


def test_the_folder_is_opt_ml_in_arguments_and_variables(container: Container) -> None:
    (container.folder / "word").write_text("hello")
    code = "import os,sys; print(open(sys.argv[1]).read(), open(os.environ['WHERE'] + '/word').read()); open(sys.argv[2],'w').write('made')"
    lines: list[str] = []
    container.start([sys.executable, "-c", code, "/opt/ml/word", "/opt/ml/out"], {**BASE, "WHERE": "/opt/ml"})
    ending = container.follow(120, lambda batch: lines.extend(text for _, text in batch))
    assert (ending.code, lines) == (0, ["hello hello"])
    assert (container.folder / "out").read_text() == "made"
    assert not Path("/opt/ml/word").exists()


@pytest.mark.skipif(not CAN_BIND, reason="this machine's kernel allows no own mounts")
def test_a_bound_container_sees_opt_ml_spelled_in_code_and_all_else_in_opt(tmp_path: Path) -> None:
    container = Container(tmp_path / "job")
    (container.folder / "word").write_text("hello")
    _, lines = python(
        container, "import os; print(open('/opt/' + 'ml/word').read(), sorted(os.listdir('/opt')))"
    )
    beside = {p.name for p in Path("/opt").iterdir()} if Path("/opt").is_dir() else set()
    assert lines == [f"hello {sorted(beside | {'ml'})}"]
    container.remove()


def test_only_the_path_itself_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_OPT_ML", "replace")
    container = Container(tmp_path / "job")
    text = "/opt/ml /opt/ml/model '/opt/ml' /opt/mlflow /opt/ml-data /opt/ml.txt"
    ml = str(tmp_path / "job")
    assert container.seen(text) == f"{ml} {ml}/model '{ml}' /opt/mlflow /opt/ml-data /opt/ml.txt"


def test_a_folder_with_spaces_works_in_shell_scripts_that_do_not_quote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_OPT_ML", "replace")
    container = Container(tmp_path / "Jane's own Mac" / "job")
    script = container.folder / "run.sh"
    script.write_text("cd /opt/ml/data && cat /opt/ml/data/word && pwd")
    (container.folder / "data").mkdir()
    (container.folder / "data/word").write_text("hello\n")
    container.rewrite([script])
    ending, lines = run(container, "/bin/sh", "/opt/ml/run.sh")
    assert (ending.code, lines[0]) == (0, "hello")
    container.remove()
    assert not Path(lines[1]).exists()


def test_a_path_outside_of_opt_ml_has_no_place(container: Container) -> None:
    assert container.at("/opt/ml/processing/in") == container.folder / "processing" / "in"
    for path in ("/tmp/x", "/opt/ml/../x", "relative", "/opt/mlflow"):
        with pytest.raises(ValueError, match="not below"):
            container.at(path)


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_the_exit_code_is_the_commands_own(container: Container, script: str, code: int) -> None:
    assert run(container, "/bin/sh", "-c", script)[0].code == code


def test_a_command_that_does_not_exist_ends_with_127_and_says_so(container: Container) -> None:
    ending, lines = run(container, "no-such-command")
    assert (ending.code, lines) == (127, ["no-such-command: No such file or directory"])


def test_output_arrives_while_the_command_runs_and_the_last_line_needs_no_end(container: Container) -> None:
    code = "import sys; print('first', flush=True); sys.stdin.read(); sys.stderr.write('second\\n'); sys.stdout.write('dritte ä')"
    batches: list[list[str]] = []
    container.start([sys.executable, "-c", code], BASE)
    container.follow(120, lambda batch: batches.append([text for _, text in batch]))
    assert [text for batch in batches for text in batch] == ["first", "second", "dritte ä"]


def test_long_lines_are_cut_and_characters_are_not(container: Container) -> None:
    size = 200_001
    _, lines = python(container, f"print('ä' * {size}); print('end')")
    assert "".join(lines[:-1]) == "ä" * size
    assert lines[-1] == "end"
    assert max(map(len, lines)) <= 2 * containers.LINE


def test_a_hundred_thousand_lines_are_all_handed_on(container: Container) -> None:
    _, lines = python(container, "for i in range(100_000): print(i)")
    assert lines == [str(i) for i in range(100_000)]


def test_a_command_whose_time_is_up_is_ended(container: Container) -> None:
    began = time.monotonic()
    ending, lines = timed(container, "")
    assert (ending.timed_out, ending.told, ending.code, lines) == (True, True, 143, ["on"])
    assert time.monotonic() - began < 120


def test_a_command_that_ignores_the_signal_is_killed_after_the_grace(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "GRACE", 0.3)
    assert timed(container, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")[0].code == 137


def test_a_command_may_clean_up_when_it_is_stopped(container: Container) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(7)))\n"
        "print('ready', flush=True)\ntime.sleep(240)"
    )
    seen: list[str] = []

    def take(batch: list[containers.Line]) -> None:
        seen.extend(text for _, text in batch)
        if "ready" in seen:
            container.stop()

    container.start([sys.executable, "-c", code], BASE)
    ending = container.follow(120, take)
    assert (ending.code, ending.told, seen) == (7, True, ["ready", "saved"])


def test_one_that_was_stopped_before_is_not_started(container: Container) -> None:
    container.stop()
    ending, lines = run(container, "/bin/sh", "-c", "echo never")
    assert (ending.code, ending.told, lines, container.pid) == (143, True, [], None)


# Starts two processes, one of which leaves the command's process group: on Linux that one ends with the command as well.
FAMILY = """
import subprocess, sys
for apart in (False, True) if sys.platform == "linux" else (False,):
    print(subprocess.Popen(["sleep", "240"], start_new_session=apart).pid, flush=True)
"""


def test_what_the_command_started_ends_with_it(container: Container) -> None:
    ending, lines = python(container, FAMILY)
    assert ending.code == 0
    assert lines
    assert gone([int(line) for line in lines])


def test_removing_a_container_ends_it_and_takes_its_folder(container: Container) -> None:
    container.start(["/bin/sh", "-c", "sleep 240"], BASE)
    init = psutil.Process(container.pid)
    container.remove()
    assert not init.is_running()
    assert not container.folder.exists()


HOLDER = """
import os, sys
from pathlib import Path
from kit.local_aws.containers import Container
container = Container(Path(sys.argv[1]))
container.start([sys.executable, "-c", sys.argv[2]], {"PATH": os.environ["PATH"]})
container.follow(240, lambda batch: print(container.pid, *(text for _, text in batch), flush=True))
"""


@pytest.mark.parametrize("mode", ["bind", "replace"])
def test_nothing_is_left_when_the_server_is_killed(tmp_path: Path, mode: str) -> None:
    environment = {**os.environ, "KIT_OPT_ML": mode}
    script = FAMILY + "import time; time.sleep(240)"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "job"), script],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        assert server.stdout is not None
        init = psutil.Process(int(server.stdout.readline().split()[0]))
        family = [init.pid, *(child.pid for child in init.children(recursive=True))]
        assert len(family) >= 3
        server.kill()
    assert gone(family)


def test_the_variables_of_the_server_do_not_reach_the_command(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_SECRET", "x")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    _, lines = python(container, "import os, json; print(json.dumps(sorted(os.environ)))")
    assert set(json.loads(lines[0])) <= {"PATH", "PWD", "LC_CTYPE", "SHLVL", "_"}
