"""Python runs this at the start of every interpreter of a job: its AWS calls go to the local AWS, and nowhere else."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def _install() -> None:
    url = os.environ.get("AWS_ENDPOINT_URL")
    if not url:
        return
    sys.path.insert(0, str(Path(__file__).parents[4]))  # a job may run where the kit is not installed
    try:
        from kit.local_aws.client import install
    finally:
        del sys.path[0]
    install(url)


_install()
