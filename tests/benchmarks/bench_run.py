"""The whole run beside a shell loop of the plain `papermill` command, over the same notebooks on the same local AWS.

Each round runs all of the plan's runbooks once either way, in an event folder where everything was done once before,
so that both find the same state. Prints the seconds of each round, the medians and their ratio.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kit import paths, plan
from kit.local_aws import process


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args(argv).rounds
    cards = plan.load().in_order()
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("papermill", "sagemaker", "moto")
    )
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory(prefix="kit-bench-") as folder:
        os.environ["KIT_HOME"] = folder
        try:
            kit_run()
            seconds: dict[str, list[float]] = {"kit run": [], "papermill loop": []}
            for number in range(1, rounds + 1):
                seconds["kit run"].append(timed(kit_run))
                seconds["papermill loop"].append(timed(lambda: papermill_loop(cards, Path(folder))))
                print(
                    f"round {number}: "
                    + ", ".join(f"{way} {took[-1]:.1f} s" for way, took in seconds.items())
                )
        finally:
            process.down(Path(folder) / "aws")
    ours, loop = (statistics.median(took) for took in seconds.values())
    print(f"medians over {len(cards)} runbooks: kit run {ours:.1f} s, papermill loop {loop:.1f} s")
    print(f"ratio: {ours / loop:.2f}")


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def kit_run() -> None:
    subprocess.run(
        [sys.executable, "-m", "kit", "run", "--force"],
        cwd=paths.root(),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def papermill_loop(cards: Sequence[plan.Subtask], folder: Path) -> None:
    for card in cards:
        notebook = paths.root() / card.notebook
        copy = folder / "plain" / notebook.name
        copy.parent.mkdir(exist_ok=True)
        command = [
            str(Path(sys.executable).parent / "papermill"),
            str(notebook),
            str(copy),
            "--cwd",
            str(notebook.parent),
        ]
        subprocess.run([*command, "--no-progress-bar"], check=True, capture_output=True)


if __name__ == "__main__":
    main()
