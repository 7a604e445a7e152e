"""`pip` as jobs see it: what is asked for is compared with what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.local_aws.containers import IMAGE
from kit.local_aws.image.site.pip import unmet, wanted

PANDAS = metadata.version("pandas")


def pip(
    folder: Path, *arguments: str, command: tuple[str, ...] = (sys.executable, "-m", "pip")
) -> tuple[int, str]:
    """The exit code and output of pip in a job."""
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={
            "PATH": os.pathsep.join(
                [str(IMAGE / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
            ),
            "PYTHONPATH": str(IMAGE / "site"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_what_is_there_is_satisfied(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("numpy>=1\n")
    (tmp_path / "requirements.txt").write_text(
        f"# what the job needs\npandas=={PANDAS}  # exact\n\nScikit_Learn>1,\\\n  <9\n-r more.txt\n--index-url https://x/simple\n"
        'no-such-package; python_version < "3"\n'
    )
    code, said = pip(tmp_path, "install", "-q", "-r", "requirements.txt")
    assert code == 0, said
    assert said.count("Requirement already satisfied") == 4


@pytest.mark.parametrize("command", [(sys.executable, "-m", "pip"), ("pip",), ("pip3",)])
def test_what_is_missing_or_of_another_version_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "requirements.txt").write_text("pandas<2\nno-such-package==1.0\nnumpy\n")
    code, said = pip(tmp_path, "install", "-r", "requirements.txt", command=command)
    assert code == 1
    assert said == (
        f"ERROR: requirements.txt wants pandas<2 (found {PANDAS}), no-such-package==1.0 (not installed)."
        " Requirements are checked here, not installed: install them beside the kit, or change them.\n"
    )


def test_nothing_is_installed_or_removed(tmp_path: Path) -> None:
    assert pip(tmp_path, "install", "no-such-package", "--target", "lib")[0] == 1
    assert pip(tmp_path, "install", "git+https://example.com/x.git")[0] == 1
    assert pip(tmp_path, "install", "-e", ".")[0] == 1
    assert pip(tmp_path, "install", "-r", "none.txt")[1].startswith("ERROR: Could not open requirements file")
    assert pip(tmp_path, "uninstall", "--yes", "pandas")[0] == 0
    assert f"pandas=={PANDAS}\n" in pip(tmp_path, "freeze")[1]
    assert pip(tmp_path, "download", "pandas")[0] == 1
    assert list(tmp_path.iterdir()) == []


@given(
    st.lists(
        st.tuples(st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True), st.sampled_from(["", "==1.0", ">=2,<3", "~=1.4"])),
        max_size=8,
    )
)  # fmt: skip
def test_every_line_of_a_file_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]]
) -> None:
    file = tmp_path_factory.mktemp("pip") / "requirements.txt"
    file.write_text("".join(f"{name}{rule}  # why\n\n" for name, rule in lines), encoding="utf-8")
    assert wanted(["-r", str(file)]) == [("requirements.txt", name + rule) for name, rule in lines]


@pytest.mark.parametrize(
    ("requirement", "found"),
    [
        ("pandas", ""),
        ("PANDAS>=1", ""),
        ("pandas[parquet]", ""),
        ("pandas>=99", PANDAS),
        ("no-such-package", "not installed"),
        ("./wheel.whl", "no package name and version: it cannot be checked"),
    ],
)
def test_a_requirement_is_met_or_says_what_is_there(requirement: str, found: str) -> None:
    assert unmet(requirement) == found
