"""Data engineering by the number of rows: seconds and peak memory of D1 (its runbook) and of the jobs of D2 and D3.

Each is a process of its own on the generated table, and what it peaks at is what the kernel counted. Beside each, in the same
run, the same work as one writes it with pandas and scikit-learn (`plain_rows.py`), up to the rows that it is asked to take.
"growth" is the exponent between two sizes, of processor seconds and of memory: 1 is linear, 2 quadratic; "ratio" is ours over
the plain one's. Processor seconds of D1 are without those of the local AWS, which is a process of its own.

`make bench` takes small sizes. The whole: python tests/benchmarks/bench_rows.py --full
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "data_engineering" / "jobs"
PLAIN = Path(__file__).with_name("plain_rows.py")
SMALL = (1_000, 20_000, 100_000)
FULL = (1_000, 20_000, 100_000, 1_000_000, 5_000_000)
STEPS = ("D1", "D2", "D3")
SPLITS = ("train", "validation", "test")
UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes of a unit of ru_maxrss."""
WIDE = (8, 8, 8, 7, 8, 8, 8, 8, 8, 7, 6, 6)
"""The width of each column of the table after the first two."""


class Cost(NamedTuple):
    """What a process took: seconds, processor seconds with its children's, and the most bytes that it or one of them held."""

    seconds: float
    processor: float
    memory: int


def measured(command: Sequence[str | Path], log: Path, **settings: str) -> Cost:
    """Runs a command to its end; raises SystemExit with the tail of its log if it fails.

    This process stays small on purpose: a new process counts what its parent held when it was made.
    """
    began = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(map(str, command))[:200]} failed ({process.returncode}):\n{tail}")
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * UNIT)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SMALL))
    parser.add_argument("--full", action="store_const", dest="rows", const=list(FULL), help="to 5,000,000")
    parser.add_argument(
        "--plain", type=int, default=1_000_000, help="the most rows that pandas is asked to take"
    )
    parser.add_argument(
        "--plain-d3", type=int, default=20_000, help="the same for D3, which judges on all rows"
    )
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    chosen = parser.parse_args(argv)
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("duckdb", "pandas", "pandera", "scikit-learn")
    )
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    print(" " * 16 + f"{'ours':^39}{'plain':^24}{'ratio':^21}")
    names = ["s", "cpu s", "growth", "MB", "growth", "s", "cpu s", "MB", "s", "cpu s", "MB", "load"]
    print(
        f"{'step':<6}{'rows':>10}"
        + "".join(f"{name:>{wide}}" for name, wide in zip(names, WIDE, strict=True))
    )
    before: dict[str, tuple[int, Cost]] = {}
    for rows in sorted(chosen.rows):
        with tempfile.TemporaryDirectory(prefix="kit-bench-", dir=os.environ.get("BENCH_FOLDER")) as name:
            folder = Path(name)
            measured([sys.executable, PLAIN, "make", folder, str(rows)], folder / "log")
            for step in STEPS:
                if step in chosen.steps or (step == "D2" and "D3" in chosen.steps):
                    ours = OURS[step](folder)
                    taken = rows <= (chosen.plain_d3 if step == "D3" else chosen.plain)
                    plain = measured([sys.executable, PLAIN, step, folder], folder / "log") if taken else None
                    print(line(step, rows, ours, plain, before.get(step)), flush=True)
                    before[step] = rows, ours


def line(step: str, rows: int, ours: Cost, plain: Cost | None, before: tuple[int, Cost] | None) -> str:
    """One row of the table."""
    growth = ["-", "-"]
    if before:
        times = math.log(rows / before[0])
        growth = [
            f"{math.log(now / then) / times:.2f}" for now, then in zip(ours[1:], before[1][1:], strict=True)
        ]
    told = [f"{ours.seconds:.1f}", f"{ours.processor:.1f}", growth[0], f"{ours.memory / 1e6:.0f}", growth[1]]
    if plain:
        told += [f"{plain.seconds:.1f}", f"{plain.processor:.1f}", f"{plain.memory / 1e6:.0f}"]
        told += [f"{mine / other:.2f}" for mine, other in zip(ours, plain, strict=True)]
    told += ["-"] * (len(WIDE) - 1 - len(told)) + [f"{os.getloadavg()[0]:.1f}"]
    return f"{step:<6}{rows:>10,}" + "".join(f"{one:>{wide}}" for one, wide in zip(told, WIDE, strict=True))


def d1(folder: Path) -> Cost:
    """The runbook, on a local AWS in which F1 is done. Its time is that from the kernel's start to its end."""
    settings = {"KIT_HOME": str(folder / "home"), "KIT_PLAN": str(folder / "plan.yml")}
    try:
        measured([sys.executable, "-m", "kit", "run", "E1", "F1"], folder / "log", **settings)
        return measured([sys.executable, "-m", "kit", "run", "--only", "D1"], folder / "log", **settings)
    finally:
        measured([sys.executable, "-m", "kit", "local", "down"], folder / "log", **settings)


def d2(folder: Path) -> Cost:
    """The prepare job with the arguments of its runbook, contract and comparison included."""
    places = [f"--{name}={folder / name}" for name in (*SPLITS, "report")]
    pieces = json.loads((folder / "arguments.json").read_text(encoding="utf-8"))
    more = ["--input", folder / "raw", "--contract", folder / "contract.json", "--compare", "yes"]
    return measured(
        [sys.executable, JOBS / "prepare" / "script.py", "--plan", *pieces, *more, *places], folder / "log"
    )


def d3(folder: Path) -> Cost:
    """The features job on what D2's has made."""
    places = [f"--{name}={folder / name}" for name in SPLITS]
    places += [f"--features-{name}={folder / 'features' / name}" for name in SPLITS]
    places += [f"--{name}={folder / 'features' / name}" for name in ("transformer", "report")]
    (folder / "features").mkdir()
    return measured(
        [sys.executable, JOBS / "features" / "script.py", f"--schema={folder / 'report'}", *places],
        folder / "log",
    )


OURS = {"D1": d1, "D2": d2, "D3": d3}


if __name__ == "__main__":
    main()
