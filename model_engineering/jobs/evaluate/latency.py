"""How long a model takes for one row, by its own code in a process of its own.

    python latency.py ARCHIVE ROWS COUNT

Prints JSON: p50_ms and p99_ms of COUNT single rows, after as many to warm up as ten in a hundred. Without network and serving.
"""

from __future__ import annotations

import importlib
import json
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import score


def timed(folder: Path, rows: Path, count: int) -> dict[str, float]:
    """Milliseconds for one row each: the median, and the 99th percentile."""
    sys.path.insert(0, str(folder / "code"))
    inference = importlib.import_module("inference")
    model = inference.model_fn(str(folder))
    table = score.table(rows)
    took = []
    for n in range(count + count // 10):
        row = table.iloc[[n % len(table)]]
        begin = time.perf_counter()
        inference.scores(model, row)
        took.append(1000 * (time.perf_counter() - begin))
    p50, p99 = np.quantile(took[count // 10 :], [0.5, 0.99])
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


if __name__ == "__main__":
    archive, rows, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        print(json.dumps(timed(Path(scratch), rows, count)))
