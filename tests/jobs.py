"""Loads a job's script as SageMaker runs it: with its own folder on the path, and away from other jobs' modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def load(job: str, *modules: str) -> list[ModuleType]:
    """The modules of the job in the folder `job`, such as "data_engineering/jobs/prepare"."""
    folder = ROOT / job
    siblings = {p.stem for p in folder.glob("*.py")}
    before = {name: sys.modules.pop(name) for name in siblings if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        return [importlib.import_module(name) for name in modules]
    finally:
        sys.path.remove(str(folder))
        for name in siblings:
            sys.modules.pop(name, None)
        sys.modules.update(before)
