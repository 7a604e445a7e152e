"""What the AWS team writes for its own retro: a file in a folder of its own, `<home>/team/`.

Nothing of it goes into the journal, the documents, the report or the closing package; so messages do not repeat it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from html import unescape
from pathlib import Path
from typing import Any

import yaml

from kit import files
from kit.errors import PlanError, did_you_mean

__all__ = ["FOLDER", "Correction", "Finding", "Notes", "blank", "lacking", "leaks", "read"]

FOLDER = "team"
"""The folder in the event's folder."""

SHOWN = (".jsonl", ".json", ".md", ".html", ".ipynb", ".csv", ".yml", ".txt")
"""Files in which a customer could read it."""

NOT_SHOWN = (FOLDER, "aws", "data")
"""Folders in the event's folder that nobody gets: the team's own, and what the local AWS keeps."""


@dataclass(frozen=True)
class Correction:
    """Something that somebody of the team does until a date (ISO)."""

    do: str = ""
    owner: str = ""
    due: str = ""


@dataclass(frozen=True)
class Finding:
    """A correction of error: what happened, why, five times at most, and what is done so that it cannot happen again."""

    happened: str
    impact: str = ""
    whys: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()


@dataclass(frozen=True)
class Notes:
    """What the team writes: actions that help this event at once, and findings that improve the method.

    `causes` names why something stopped where words do not tell: by a part of them.
    """

    immediate: tuple[Correction, ...] = ()
    findings: tuple[Finding, ...] = ()
    went_well: tuple[str, ...] = ()
    causes: Mapping[str, str] = field(default_factory=dict, hash=False)


BLANK = """\
# The team's notes for its retro. Nobody outside the team reads them: they stay in this folder.
# T1 reads this file; leave out what you do not need.

went_well: []
#  - The rehearsal a week before found the missing quota

# What helps this event at once.
immediate: []
#  - { do: Sit with the data workstream until D2 is done, owner: Ana, due: 2026-12-02 }

# Why something stopped, where the document says "not named yet": a part of the words, and the cause.
causes: {}
#  legal word: decision

# What improves the method. Blameless: what happened, what it cost, why, five times, and what makes it impossible.
findings: []
#  - happened: D2 failed for every team in its first hour
#    impact: four teams waited 40 minutes
#    whys: [the role lacked s3:GetObject, the policy was copied by hand, no test reads it, we test as administrators, it is faster]
#    corrections:
#      - { do: Run the rehearsal with the personas' roles, owner: Ben, due: 2026-12-18 }
"""


def blank(folder: Path) -> Path:
    """The file for the team's notes; made, with an example in comments, where there is none."""
    file = folder / "notes.yml"
    return file if file.exists() else files.replace(file, BLANK)


def read(file: Path) -> Notes:
    """The team's notes.

    Raises:
        PlanError: the file is not YAML, or has a key or a value of another kind. What is written there is not repeated.
    """
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise PlanError(
            f"{file.name}: {error.strerror or error}.", "Correct the parameter `notes`."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise PlanError(
            f"{file.name}{line}: not readable as YAML.", "Compare its indentation and quotes."
        ) from None
    values = _shaped(Notes, raw, "the notes")
    findings = [_shaped(Finding, row, "a finding") for row in _listed(values, "findings")]
    return Notes(
        immediate=_corrections(_listed(values, "immediate")),
        went_well=tuple(map(str, _listed(values, "went_well"))),
        causes=_causes(values.get("causes") or {}),
        findings=tuple(
            Finding(
                happened=str(row.get("happened") or ""),
                impact=str(row.get("impact") or ""),
                whys=tuple(map(str, _listed(row, "whys"))),
                corrections=_corrections(_listed(row, "corrections")),
            )
            for row in findings
        ),
    )


def _corrections(rows: Iterable[Any]) -> tuple[Correction, ...]:
    shaped = (_shaped(Correction, row, "a correction") for row in rows)
    return tuple(Correction(**{key: str(value or "") for key, value in row.items()}) for row in shaped)


def _causes(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict):
        raise PlanError("The team's notes: causes has no keys and values.", "Write: part of the words: quota")
    return {str(part): str(cause) for part, cause in raw.items() if str(part).strip() and cause}


def _listed(values: Mapping[str, Any], name: str) -> list[Any]:
    rows = values.get(name) or []
    if not isinstance(rows, list):
        raise PlanError(f"The team's notes: {name} is no list.", "Begin each line with a dash.")
    return rows


def _shaped(kind: type[Any], raw: Any, what: str) -> dict[str, Any]:
    known = [f.name for f in fields(kind)]
    if not isinstance(raw, dict):
        raise PlanError(f"The team's notes: {what} has no keys and values.", f"Its keys: {', '.join(known)}.")
    for key in raw:
        if key not in known:
            raise PlanError(f"The team's notes: {what} has a key too many.", did_you_mean(str(key), known))
    return dict(raw)


def lacking(notes: Notes) -> int:
    """How many corrections have no owner or no date, and findings no correction or no why: a number, and no words."""
    lacks = 0
    for correction in (*notes.immediate, *(c for f in notes.findings for c in f.corrections)):
        try:
            dt.date.fromisoformat(correction.due)
        except ValueError:
            lacks += 1
            continue
        lacks += not (correction.do.strip() and correction.owner.strip())
    return lacks + sum(not (f.happened and f.whys and f.corrections) for f in notes.findings)


def leaks(notes: Notes, home: Path) -> int:
    """How many files of the event's folder, outside of the team's own, hold something that the team wrote."""
    corrections = (*notes.immediate, *(c for f in notes.findings for c in f.corrections))
    texts = [*notes.went_well, *(c.do for c in corrections)]
    texts += [text for f in notes.findings for text in (f.happened, f.impact, *f.whys)]
    needles = {_words(text) for text in texts if len(text.split()) > 3}
    places = [place for place in home.iterdir() if place.name not in NOT_SHOWN] if needles else []
    files = (file for place in places for file in place.rglob("*") if file.suffix in SHOWN and file.is_file())
    read = (_words(file.read_text(encoding="utf-8", errors="replace")) for file in files)
    return sum(any(needle in content for needle in needles) for content in read)


def _words(text: str) -> str:
    """The text as its words only: however a format escapes or breaks it, they stay."""
    return " ".join(re.findall(r"\w+", unescape(text)))
