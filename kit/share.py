"""Files that events name (executed copies, attachments) between homes that only share a board on S3.

Whoever records an event has its files; `send` puts them beside the journal. Whoever writes a report or the closing
package calls `fetch` first. On a board in a folder both do nothing: there, home is shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kit import evidence, files, journal, paths, raw
from kit.errors import JournalError

__all__ = ["fetch", "named", "send"]

FOLDER = "files/"


def named(event: journal.Event) -> tuple[str, ...]:
    """The files that an event names, relative to the home of whoever recorded it."""
    data = event.data
    told = [data.get("copy"), data.get("path") if event.type == "attached" else None]
    told += [raw.mapping(item).get("path") for item in raw.listed(data.get("attachments"))]
    return tuple(path for item in told if (path := raw.text(item)))


def send(book: journal.Journal, home: Path) -> None:
    """Put the files of what this process recorded since the last call beside the journal.

    Raises:
        JournalError: S3 refuses; the events themselves are recorded.
    """
    for event in book.recorded():
        for path in named(event) if book.apart else ():
            file = evidence.inside(home, path)
            if file and file.is_file():
                book.store.publish(FOLDER + path, file.read_bytes())


def fetch(book: journal.Journal, home: Path, events: Iterable[journal.Event]) -> list[str]:
    """Bring what others' events name into `home`, where it is missing or older; a line for each that nobody sent.

    Raises:
        JournalError: S3 refuses, or `home` cannot be written.
    """
    lacking = {}
    latest = {path: event for event in events for path in named(event)} if book.apart else {}
    for path, event in latest.items():
        file = evidence.inside(home, path)
        mine = (event.who, event.host) == (book.who, paths.host())
        if not file or (file.exists() and (mine or file.stat().st_mtime >= event.ts.timestamp())):
            continue
        content = book.store.fetch(FOLDER + path)
        if content is None:
            lacking[path] = f"{path} of {event.who} was not sent."
            continue
        try:
            files.replace(file, content)
        except OSError as error:
            raise JournalError(
                f"{file} cannot be written: {error.strerror or error}.", "Mend the folder, then repeat."
            ) from None
    return [line for path, line in lacking.items() if not (home / path).exists()]
