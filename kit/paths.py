"""Where things are: the repository, the plan, and the one folder that everything is written to."""

from __future__ import annotations

import getpass
import os
import re
import socket
from pathlib import Path

from kit.errors import PlanError

__all__ = ["home", "host", "person", "plan_file", "root", "team"]


def root() -> Path:
    """The repository: the nearest folder upwards with `runbooks/plan.yml`, else the one this package lies in."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "runbooks" / "plan.yml").is_file():
            return folder
    package = Path(__file__).resolve().parent.parent
    if (package / "runbooks" / "plan.yml").is_file():
        return package
    raise PlanError(
        f"No runbooks/plan.yml in {here} or above it.",
        "Run from inside a clone of the kit, or set KIT_PLAN to a plan file.",
    )


def plan_file() -> Path:
    """The plan: `KIT_PLAN` where it is set, else `runbooks/plan.yml`."""
    named = os.environ.get("KIT_PLAN", "")
    return Path(named).expanduser().resolve() if named else root() / "runbooks" / "plan.yml"


def home(target: str = "local") -> Path:
    """The event's folder: `KIT_HOME` where it is set, else `event/` (rehearsals) or `event-aws/` beside the plan's root."""
    named = os.environ.get("KIT_HOME", "")
    if named:
        return Path(named).expanduser().resolve()
    return root() / ("event" if target == "local" else "event-aws")


def _word(text: str) -> str:
    """The text as one file-name word: letters, digits and dashes; never empty."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "someone"


def person() -> str:
    """Who writes: `KIT_USER` where it is set (shared Studio images all log in under one name), else the login name."""
    named = os.environ.get("KIT_USER", "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid-{os.getuid()}"


def team() -> str:
    """The team that this process works for: `KIT_TEAM`; "" where it is not set."""
    return os.environ.get("KIT_TEAM", "").strip()


def host() -> str:
    """This machine's short name, as one word."""
    return _word(socket.gethostname().split(".")[0])
