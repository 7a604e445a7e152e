"""The shared board file, measured: appends per second and the 99th percentile with 1, 8 and 40 writers, and what
40 writers lose when they are killed at random. Beside it, the plain alternative: one JSON file behind a file lock,
read, changed, synced and renamed at each event.

Run with `make bench`, or `python tests/benchmarks/bench_board.py [seconds per round] [rounds]`. Every writer appends as
fast as it can, which is far more than an event does: what counts is the ranking and that nothing acknowledged is lost.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import multiprocessing
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kit import board, files, journal, plan

CONTEXT = multiprocessing.get_context("fork")
SLOTS = 4_000  # writers that one round may start, one after the other
NOTE = "What a builder writes on a card in the middle of the day, in one or two sentences. " * 2

Append = Callable[[int, int], object]


def journal_writer(folder: Path, who: int) -> Append:
    """The kit's journal."""
    book = journal.open(folder, f"writer-{who}")
    return lambda writer, count: book.append("noted", "D2", text=NOTE, mark=f"{writer}:{count}")


def locked_writer(folder: Path, who: int) -> Append:
    """One JSON file with everything in it, behind `filelock`."""
    import filelock

    file, lock = folder / "board.json", filelock.FileLock(folder / "board.lock", poll_interval=0.05)

    def append(writer: int, count: int) -> None:
        with lock:
            events = json.loads(file.read_text()) if file.exists() else []
            events.append(
                {"id": journal.ulid(dt.datetime.now(dt.UTC)), "who": who, "type": "noted", "card": "D2"}
            )
            events[-1] |= {
                "ts": dt.datetime.now(dt.UTC).isoformat(),
                "text": NOTE,
                "mark": f"{writer}:{count}",
            }
            part = file.with_name(f"part-{os.getpid()}")
            with part.open("w") as stream:
                json.dump(events, stream)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(file)

    return append


def journal_marks(folder: Path) -> set[str]:
    """What a reader of the journal finds."""
    return {e.data["mark"] for e in journal.open(folder, "reader").snapshot()}


def locked_marks(folder: Path) -> set[str]:
    """What a reader of the locked file finds."""
    file = folder / "board.json"
    return {e["mark"] for e in json.loads(file.read_text())} if file.exists() else set()


STORES = {
    "journal, a file per writer": (journal_writer, journal_marks),
    "one JSON file, filelock": (locked_writer, locked_marks),
}


class Round(NamedTuple):
    """What one round gave: events per second, 99th percentile in ms, kills, acknowledged events and how many are lost."""

    rate: float
    p99: float
    kills: int
    acknowledged: int
    lost: int


def _work(store: str, folder: Path, writer: int, phase: Any, counts: Any, times: Any) -> None:
    append = STORES[store][0](folder, writer)
    while phase.value == 0:
        time.sleep(0.001)
    while phase.value == 1:
        began = time.perf_counter()
        append(writer, counts[writer])
        counts[writer] += 1  # acknowledged; this memory outlives the process
        times.append_time(time.perf_counter() - began)


class Times:
    """Durations from many processes, as counts per power of 1.05 of a microsecond."""

    def __init__(self) -> None:
        self.bins = CONTEXT.Array("q", 500)

    def append_time(self, seconds: float) -> None:
        """Count one duration."""
        place, micro = 0, max(seconds * 1e6, 1.0)
        while micro > 1.0 and place < 499:
            micro, place = micro / 1.05, place + 1
        with self.bins.get_lock():
            self.bins[place] += 1

    def percentile(self, share: float) -> float:
        """The duration in ms that this share of all is not above, to 5 %."""
        total, seen = sum(self.bins), 0
        for place, count in enumerate(self.bins):
            seen += count
            if total and seen >= share * total:
                return float(1.05**place / 1000)
        return float("nan")


def one_round(store: str, writers: int, seconds: float, kill: bool, seed: int = 7) -> Round:
    """Writers at full speed for some seconds; with `kill`, each is killed after 0.7 s on average and replaced."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        folder, times = Path(name), Untimed() if kill else Times()
        # Without locks, which a killed writer would hold for ever: 0 is wait, 1 write, 2 end.
        phase = CONTEXT.Value("b", 0, lock=False)
        counts = CONTEXT.Array("q", SLOTS, lock=False)
        started: list[Any] = []

        def start() -> Any:
            process = CONTEXT.Process(
                target=_work, args=(store, folder, len(started), phase, counts, times), daemon=True
            )
            process.start()
            started.append(process)
            return process

        alive = [start() for _ in range(writers)]
        phase.value = 1
        began, kills = time.monotonic(), 0
        while kill and time.monotonic() - began < seconds and len(started) < SLOTS:
            time.sleep(chance.uniform(0, 1.4 / writers))
            victim = chance.randrange(writers)
            alive[victim].kill()
            alive[victim].join()
            alive[victim] = start()
            kills += 1
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        elapsed = time.monotonic() - began
        phase.value = 2
        for process in alive:
            process.join(120)
            process.kill()
        expected = {f"{w}:{n}" for w in range(len(started)) for n in range(counts[w])}
        lost = len(expected - STORES[store][1](folder))
        return Round(len(expected) / elapsed, times.percentile(0.99), kills, len(expected), lost)


class Untimed:
    """Stands where nothing is timed: a killed writer might hold the lock of `Times`."""

    def append_time(self, seconds: float) -> None:
        """Nothing."""

    def percentile(self, share: float) -> float:
        """Not a number."""
        return float("nan")


def machine() -> str:
    """The machine and the versions, in one line each."""
    model = next(
        (x.partition(":")[2].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")),
        platform.machine(),
    )
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("filelock", "eba-ml-lab-kit")
    )
    folder = os.environ.get("BENCH_FOLDER") or tempfile.gettempdir()
    return f"{model}, {os.cpu_count()} cores, {platform.platform()}\nPython {platform.python_version()}, {versions}; in {folder}"


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []


def folding(events: int, rounds: int) -> str:
    """Seconds to read, fold and write the board of that many events."""
    the_plan = plan.load()
    with tempfile.TemporaryDirectory() as name:
        book, ids = journal.open(Path(name) / "journal", "ann"), [c.id for c in the_plan.cards]
        first = book.append("noted", ids[0], text=NOTE)
        line = next((Path(name) / "journal").iterdir()).read_text()
        copies = (
            line.replace(first.id, journal.ulid(first.ts)).replace(
                f'"card":"{ids[0]}"', f'"card":"{ids[n % len(ids)]}"'
            )
            for n in range(events)
        )
        files.replace(Path(name) / "journal" / "many.jsonl", "".join(copies))
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            board.refresh(the_plan, book, Path(name) / "board")
            took.append(time.perf_counter() - began)
    return f"Read, fold and write the board of {events:,} events: median {statistics.median(took):.2f} s of {rounds}"


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("seconds", nargs="?", type=float, default=3.0, help="per round")
    arguments.add_argument("rounds", nargs="?", type=int, default=3, help="of which the medians are printed")
    given = arguments.parse_args()
    print(machine())
    print(f"\nMedians of {given.rounds} rounds of {given.seconds:g} s; every writer as fast as it can\n")
    print(
        f"{'store':<28}{'writers':>8}{'events/s':>10}{'p99 ms':>9}{'kills':>7}{'acknowledged':>14}{'lost':>6}"
    )
    lost_by_journal = 0
    for store in STORES:
        for writers, kill in ((1, False), (8, False), (40, False), (40, True)):
            found = [one_round(store, writers, given.seconds, kill, seed) for seed in range(given.rounds)]
            rate, p99 = (statistics.median(getattr(r, what) for r in found) for what in ("rate", "p99"))
            kills, acknowledged, lost = (
                sum(getattr(r, what) for r in found) for what in ("kills", "acknowledged", "lost")
            )
            shown = f"{p99:9.1f}" if p99 == p99 else f"{'-':>9}"
            print(
                f"{store:<28}{writers:>8}{rate:>10,.0f}{shown}{kills:>7}{acknowledged:>14,}{lost:>6}",
                flush=True,
            )
            lost_by_journal += lost if store.startswith("journal") else 0
    print(f"\n{folding(10_000, given.rounds)}")
    if lost_by_journal:
        raise SystemExit(f"The journal lost {lost_by_journal} acknowledged events.")


if __name__ == "__main__":
    main()
