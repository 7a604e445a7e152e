"""`pip` as jobs see it: `install` checks that what is asked for is there, and installs nothing.

Jobs run on the kit's own libraries, whatever image they name. A requirements.txt is therefore compared with these: a missing
package or another version ends the job with one line that says which package, what was wanted and what was found.
"""

# ruff: noqa: T201 - what a container prints is its log

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

__all__ = ["main", "unmet", "wanted"]

__version__ = "0"

# The options of `pip install` that take a value, so that the value is not taken for a package.
VALUED = (
    "-i --index-url --extra-index-url -f --find-links -t --target --prefix --root --src --platform --python-version"
    " --implementation --abi --upgrade-strategy --config-settings --no-binary --only-binary --progress-bar --cache-dir"
    " --trusted-host --proxy --timeout --retries --log --cert --client-cert --root-user-action --report -c --constraint"
    " --exists-action"
)
NOT_INSTALLED = "not installed"


def _lines(file: Path) -> Iterator[str]:
    """The logical lines of a requirements file, without comments; what `-r` names is read in its place."""
    text = re.sub(r"\\\r?\n", " ", file.read_text(encoding="utf-8-sig"))
    for line in text.splitlines():
        bare = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if not bare:
            continue
        if named := re.match(r"(?:-r|--requirement)[ =]?\s*(\S+)", bare):
            yield from _lines(file.parent / named[1])
        elif not bare.startswith("-") or bare.startswith(("-e", "--editable")):
            yield re.split(r"\s+--\w", bare)[0]  # without --hash=...


def wanted(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """(where it is asked for, requirement) for the arguments of `pip install`; raises OSError when a file is not there."""
    found: list[tuple[str, str]] = []
    rest = iter(arguments)
    for word in rest:
        name, _, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in ("-r", "--requirement") or re.match(r"-r.", word):
            file = Path(value or (word[2:] if re.match(r"-r.", word) else next(rest, "")))
            found += [(file.name, line) for line in _lines(file)]
        elif name in ("-e", "--editable"):
            found.append(("pip install", f"-e {value or next(rest, '')}"))
        elif name in VALUED.split():
            value or next(rest, "")
        elif not word.startswith("-"):
            found.append(("pip install", word))
    return found


def unmet(requirement: str) -> str:
    """What stands in place of `requirement`: empty when it is met, else the version found or why there is none."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        asked = Requirement(requirement)
    except InvalidRequirement:
        return "no package name and version: it cannot be checked"
    if asked.marker and not asked.marker.evaluate():
        return ""
    try:
        found = metadata.version(asked.name)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED
    if asked.url:
        return f"{found}, and a URL cannot be checked"
    return "" if asked.specifier.contains(found, prereleases=True) else found


def _install(arguments: Sequence[str]) -> int:
    try:
        asked = wanted(arguments)
    except OSError as problem:
        return _fail(f"Could not open requirements file: {problem.strerror}: {problem.filename}")
    missed: dict[str, list[str]] = {}
    for where, requirement in asked:
        if found := unmet(requirement):
            has = found if found == NOT_INSTALLED else f"found {found}"
            missed.setdefault(where, []).append(f"{requirement} ({has})")
    if missed:
        said = "; ".join(f"{where} wants {', '.join(what)}" for where, what in missed.items())
        return _fail(
            f"{said}. Requirements are checked here, not installed: install them beside the kit, or change them."
        )
    for _, requirement in asked:
        print(f"Requirement already satisfied: {requirement}")
    return 0


def _fail(message: str) -> int:
    print(f"ERROR: {message}", flush=True)
    return 1


def main(arguments: Sequence[str]) -> int:
    """Run `pip` with these arguments; returns its exit code."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    if verb == "install":
        return _install(arguments[list(arguments).index("install") + 1 :])
    if verb == "uninstall":
        print("Nothing is uninstalled: jobs share the kit's own packages.")
        return 0
    if verb in ("list", "freeze"):
        for package in sorted({f"{d.name}=={d.version}" for d in metadata.distributions()}, key=str.lower):
            print(package)
        return 0
    if "--version" in arguments:
        print(f"pip {__version__} from {os.path.dirname(__file__)} (checks, installs nothing)")  # noqa: PTH120
        return 0
    return _fail(
        f"pip {shlex.join(arguments)}: only install, uninstall, list and freeze are known to jobs here."
    )
