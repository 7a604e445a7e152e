"""What tests of jobs share: the generated table's two problems, and a job's script loaded as SageMaker runs it.

A script has its own folder on the path, and is kept away from other jobs' modules.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from kit import plan

ROOT = Path(__file__).resolve().parent.parent

CHURN = plan.Data(
    target="churned",
    id="customer_id",
    time="month",
    sensitive=("age_band",),
    leave_out=("next_month_spend",),
    missing={"*": ("unknown",)},
)
SPEND = plan.Data(
    target="next_month_spend",
    problem="regression",
    id="customer_id",
    time="month",
    leave_out=("churned", "cancellation_fee"),
    missing={"*": ("unknown",)},
)


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
