"""The demonstration on disk: a journal with one file per writer, the files that its events name, board and reports.

The folder is the demonstration's own. A list of what it wrote lies in it, and only that is ever removed again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import board, files, hours, journal, report
from kit import plan as plans
from kit.demo.words import TEAMS
from kit.demo.world import NOTHING_RAN, attachment, people
from kit.errors import KitError, UsageError

__all__ = ["LIST", "Folder", "cast", "plan_text"]

LIST = "demo.json"


class Folder:
    """The folder of a demonstration, emptied of the one before."""

    def __init__(self, path: Path, home: Path) -> None:
        """Take the folder.

        Args:
            path: where the demonstration goes.
            home: the event's own folder, which it must not be.

        Raises:
            UsageError: it is the event's own folder, or holds a journal that no demonstration wrote.
            KitError: it cannot be written.
        """
        self.path = path
        self.names: set[str] = set()
        before = self._before()
        journals = [
            file.relative_to(path).as_posix() for file in (path / "board" / "journal").glob("*.jsonl")
        ]
        real = sorted(set(journals) - before)
        if real or path.resolve() == home.resolve():
            what = f"it holds a journal of real work ({real[0]})" if real else "it is the event's own folder"
            raise UsageError(
                f"The demonstration is not written to {path}: {what}.",
                "Give it a folder of its own: kit demo --into FOLDER",
            )
        try:
            for name in before:
                (path / name).unlink(missing_ok=True)
            self._list()
        except OSError as error:
            raise self._refused(error) from None

    def tell(self, events: Sequence[journal.Event]) -> None:
        """Append the events, each to its writer's file, and write the files that they name.

        Raises:
            KitError: the folder cannot be written.
        """
        lines: dict[str, bytes] = {}
        texts: dict[str, str] = {}
        for event in events:
            name = self._file(event)
            lines[name] = lines.get(name, b"") + journal.line(event)
            texts |= _named(event)
        try:
            self._list(*lines, *texts)
            for name, text in texts.items():
                files.replace(self.path / name, text)
            for name, content in lines.items():
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                with (self.path / name).open("ab") as file:
                    file.write(content)
        except OSError as error:
            raise self._refused(error) from None

    def show(self, plan: plans.Plan, events: Sequence[journal.Event], now: dt.datetime) -> None:
        """Write the board's files as they are at `now`."""
        self._list("board/board.json", "board/board.md")
        board.write(self.path / "board", board.fold(plan, events, now=now))

    def reports(self, plan: plans.Plan, events: Sequence[journal.Event], now: dt.datetime) -> list[Path]:
        """Write the report of each day that has begun, as they are at `now`; the pages."""
        days = [day for day in range(1, len(plan.event.dates) + 1) if hours.bounds(plan.event, day)[0] <= now]
        pages = [report.day(plan, events, day, home=self.path, now=now) for day in days]
        made = (self.path / "reports").rglob("*")
        self._list(*(file.relative_to(self.path).as_posix() for file in made if file.is_file()))
        return pages

    def put(self, name: str, text: str) -> Path:
        """Write one file, by its name in the folder."""
        try:
            self._list(name)
            return files.replace(self.path / name, text)
        except OSError as error:
            raise self._refused(error) from None

    def _before(self) -> set[str]:
        """What an earlier demonstration wrote here."""
        try:
            names = json.loads((self.path / LIST).read_text(encoding="utf-8"))["files"]
            inside = self.path.resolve()
            return {name for name in names if (self.path / name).resolve().is_relative_to(inside)}
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def _list(self, *names: str) -> None:
        """Note what is about to be written: also one that is killed leaves nothing that the next does not know."""
        if not self.names or not self.names.issuperset(names):
            self.names |= {LIST, *names}
            told = {
                "about": "What kit demo wrote here. The next one removes it.",
                "files": sorted(self.names),
            }
            files.replace(self.path / LIST, json.dumps(told, indent=1) + "\n")

    def _file(self, event: journal.Event) -> str:
        """The writer's file, named as the journal names them; told apart by its machine."""
        word = re.sub(r"[^A-Za-z0-9]+", "-", event.who).strip("-")
        return f"board/journal/{word}.{event.host}.jsonl"

    def _refused(self, error: OSError) -> KitError:
        return KitError(
            f"The demonstration in {self.path} cannot be written: {error.strerror or error}.",
            "Mend the folder, or give another: kit demo --into FOLDER",
        )


def cast(plan: plans.Plan, number: int, teams: int = 0) -> plans.Plan:
    """The plan with the demonstration's people in its workstreams, and with that many teams (0: as it is).

    Raises:
        UsageError: more teams than there are names for.
    """
    if teams > len(TEAMS):
        raise UsageError(
            f"The demonstration has no {teams} teams.", f"At most {len(TEAMS)}: {', '.join(TEAMS)}."
        )
    plan = dataclasses.replace(plan, teams=TEAMS[:teams] if teams else plan.teams)
    crew = people(plan, number)
    lanes = []
    for lane in plan.workstreams:
        names = tuple(person.name for person in crew if person.lane == lane.id)
        lanes.append(dataclasses.replace(lane, lead=names[0] if names else "", people=names))
    return dataclasses.replace(plan, workstreams=tuple(lanes))


def plan_text(plan: plans.Plan) -> str:
    """The plan as YAML, for commands that look at the demonstration by `KIT_PLAN`."""
    import yaml

    raw = {name: value for name, value in _raw(plan).items() if name != "file"}
    if source := plan.data.source:
        raw["data"]["source"] = str((plan.file.parent / Path(source).expanduser()).resolve())
    text = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=110)
    return f"# The plan of the demonstration: the event's own, with people and teams.\n{text}"


def _raw(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _raw(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _raw(item) for key, item in value.items()}
    return [_raw(item) for item in value] if isinstance(value, tuple) else value


def _named(event: journal.Event) -> dict[str, str]:
    """The files that an event names, with what is in them."""
    attached: Iterable[Mapping[str, Any]] = event.data.get("attachments", ())
    texts = {item["path"]: attachment(event.card) for item in attached}
    if event.type == "attached":
        texts[event.data["path"]] = attachment(event.card)
    if copy := event.data.get("copy"):
        texts[copy] = _executed(event)
    return texts


def _executed(event: journal.Event) -> str:
    """A notebook in the place of the executed copy, which says that nothing was executed."""
    data = event.data
    text = f"# {event.card}: a run of the demonstration\n\n{NOTHING_RAN}\n"
    output: dict[str, Any] = {"output_type": "stream", "name": "stdout", "text": f"{NOTHING_RAN}\n"}
    if event.type == "failed":
        lines = [f"{data['error']}: {data['message']}"]
        output = {
            "output_type": "error",
            "ename": data["error"],
            "evalue": data["message"],
            "traceback": lines,
        }
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": text},
        {
            "cell_type": "code",
            "id": data.get("cell") or "record",
            "metadata": {},
            "source": "...",
            "outputs": [output],
            "execution_count": 1,
        },
    ]
    metadata = {"language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"
