"""The closing package: one folder and one zip with the final version of everything, a manifest and checksums.

Layout as in the event's folder (`documents/`, `reports/`, `board/`, `attachments/`), so that links between the files work.
What the AWS team writes for itself (`team/`, its own retro) is never copied.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from kit import board, daily, evidence, files
from kit.cards import DONE, Board, Card
from kit.plan import EVENT

__all__ = [
    "MANIFEST",
    "OPEN_CARDS",
    "SUMS",
    "boards",
    "broken_links",
    "build",
    "executed",
    "facts",
    "lacking",
    "machine_paths",
    "open_work",
    "private",
    "slug",
    "verified",
]  # fmt: skip

MANIFEST, SUMS, OPEN_CARDS = "manifest.json", "SHA256SUMS", "open_cards_jira.csv"
TEXT = (".html", ".md", ".json", ".csv", ".txt", ".yml", ".yaml", ".svg", ".py", ".log")
OWN = {
    "reports/notebooks": "executed runbook",
    "reports": "report",
    "documents": "document",
    "board": "board",
}
SECRETS = {
    "a key of AWS": rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])",
    "a secret of AWS": rb"(?i)aws_?(?:secret_access_key|session_token)[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{16,}",
    "a signed link": rb"X-Amz-(?:Signature|Security-Token)=",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password": rb"(?i)\b(?:password|passwd)[\"']?\s*[=:]\s*[\"'][^\"'\s]{6,}[\"']",
}


def slug(name: str) -> str:
    """The event's name as a folder: `machine-learning-eba`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "event"


def machine_paths(home: Path, root: Path) -> dict[str, str]:
    """Folders of this machine, the longest first, and what stands for each in the package."""
    known = {
        str(home): "(event)",
        str(root): "(kit)",
        sys.prefix: "(python)",
        f"{Path.home()}/": "(home)/",
        f"{tempfile.gettempdir().rstrip('/')}/": "(temporary)/",
        f"/home/{getpass.getuser()}/": "(home)/",
    }
    return {path: known[path] for path in sorted(known, key=len, reverse=True) if len(path) > 3}


def executed(home: Path, wall: Board) -> dict[str, str]:
    """The executed runbooks as HTML beside the reports, made where they are not there yet: file names by executed copy."""
    copies, titles = {}, {}
    for card in wall.cards:
        if card.run and card.run.copy:
            copies[card.key], titles[card.key] = card.run.copy, f"{card.label}, executed"
        if card.failed and card.failed.copy:  # named as the report names it
            failed = f"{card.key}-failed"
            copies[failed], titles[failed] = card.failed.copy, f"{card.label}, failed run"
    made = evidence.pages(home, copies, titles) if copies else {}
    return {copies[key]: page.href for key, page in made.items() if page.href}


def open_work(wall: Board) -> tuple[Card, ...]:
    """The cards that are not done, without the event's own agenda: what somebody has to take with them."""
    return tuple(c for c in wall.cards if c.state != DONE and not (c.workstream == EVENT and c.notebook))


def boards(wall: Board, pages: Mapping[str, str]) -> dict[str, str]:
    """The board's files: whole as JSON, Markdown and CSV, its moves, and the cards that are open for Jira.

    `pages`: executed runbooks as HTML, by their copies; other copies are not in the package, and not linked.
    """

    def linked(found: re.Match[str]) -> str:
        page = pages.get(unquote(found[2]))
        return f"[{found[1]}](../reports/{page})" if page else found[1]

    return {
        "board.json": board.to_json(wall),
        "board.md": re.sub(r"\[([^\]]*)\]\(\.\./(runs/[^)]*)\)", linked, board.to_markdown(wall)),
        "cards.csv": board.to_csv(wall),
        "moves.csv": board.to_transitions_csv(wall),
        OPEN_CARDS: board.to_jira_csv(replace(wall, cards=open_work(wall))),
    }


def build(
    home: Path,
    event: str,
    wall: Board,
    paths: Mapping[str, str],
    at: str,
    index: Callable[[dict[str, str]], str],
) -> Path:
    """Make `home/closing/<event>/` and the zip beside it anew, from what is in the event's folder now; the zip.

    Args:
        home: the event's folder.
        event: the event's name.
        wall: the board without what is the team's own, as `kit.daily` has it.
        paths: folders of this machine, and what stands for them.
        at: when, as ISO 8601.
        index: makes the start page (HTML) of the files: title ("" for none) by name.
    """
    folder = home / "closing" / slug(event)
    shutil.rmtree(folder, ignore_errors=True)
    for source, name in _sources(home, wall):
        _copied(source, folder / name, paths)
    for name, text in boards(wall, executed(home, wall)).items():
        files.replace(folder / "board" / name, _plain(text, paths))
    titles = {name: _title(name, data) for name, data in _contents(folder)}
    files.replace(folder / "index.html", _plain(index(titles), paths))
    listed = [
        {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "what": _what(name)}
        for name, data in _contents(folder)
    ]
    manifest = {"event": event, "made": at, "files": listed}
    files.replace(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in _contents(folder))
    files.replace(folder / SUMS, sums)
    return _zipped(folder)


def _sources(home: Path, wall: Board) -> Iterator[tuple[Path, str]]:
    """What is copied, and as what: documents, reports with the executed runbooks, attachments of the board's cards."""
    pages = set(executed(home, wall).values())
    for file in sorted((home / "documents").rglob("*")):
        if daily.TEAM_RETRO not in file.name:
            yield file, f"documents/{file.relative_to(home / 'documents').as_posix()}"
    for file in sorted((home / "reports").rglob("*")):
        name = file.relative_to(home / "reports").as_posix()
        if not name.startswith("notebooks/") or name in pages:
            yield file, f"reports/{name}"
    for card in wall.cards:
        for attached in card.attachments:
            file = (home / attached.path).resolve()
            inside = file.is_relative_to(home.resolve()) and not attached.path.startswith(
                ("team/", "closing/")
            )
            if inside and file.is_file():
                yield file, attached.path


def _copied(source: Path, target: Path, paths: Mapping[str, str]) -> None:
    if not source.is_file() or source.name.startswith("."):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix in TEXT:
        target.write_text(
            _plain(source.read_text(encoding="utf-8", errors="replace"), paths), encoding="utf-8"
        )
    else:
        shutil.copyfile(source, target)


def _plain(text: str, paths: Mapping[str, str]) -> str:
    """The text without folders of this machine."""
    for path, instead in paths.items():
        text = text.replace(path, instead)
    return text


def _contents(folder: Path) -> list[tuple[str, bytes]]:
    return [
        (file.relative_to(folder).as_posix(), file.read_bytes())
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def _what(name: str) -> str:
    return next(
        (what for start, what in OWN.items() if name.startswith(f"{start}/")),
        "attachment" if "/" in name else "index",
    )


def _title(name: str, data: bytes) -> str:
    """What a page or a Markdown document is called; "" for other files."""
    pattern = {".html": rb"<title>([^<]+)</title>", ".md": rb"^# (.+)$"}.get(PurePosixPath(name).suffix)
    found = re.search(pattern, data, re.MULTILINE) if pattern else None
    return " ".join(unescape(found[1].decode("utf-8", "replace")).split()) if found else ""


def _zipped(folder: Path) -> Path:
    """The folder as a zip beside it; the same files make the same zip."""
    target = folder.with_suffix(".zip")
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _contents(folder):
            archive.writestr(
                zipfile.ZipInfo(f"{folder.name}/{name}", (2000, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED
            )
    part.replace(target)
    return target


# What is in the zip, read from the zip itself


def _read(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def verified(package: Path) -> list[str]:
    """What in the zip is not as its manifest and checksums say; nothing where all is."""
    try:
        held = _read(package)
        listed = {row["path"]: row["sha256"] for row in json.loads(held[MANIFEST])["files"]}
        lines = [line.partition("  ") for line in held[SUMS].decode().splitlines()]
        summed = {name: sha for sha, _, name in lines}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        return [f"the zip cannot be read: {error}"]
    found = {name: hashlib.sha256(data).hexdigest() for name, data in held.items() if name != SUMS}
    wrong = [f"{name}: changed or lost" for name, sha in listed.items() if found.get(name) != sha]
    wrong += [
        f"{name}: not as in {SUMS}"
        for name in found.keys() | summed.keys()
        if found.get(name) != summed.get(name)
    ]
    wrong += [f"{name}: not in the manifest" for name in found.keys() - listed.keys() - {MANIFEST}]
    return sorted(wrong)


def lacking(package: Path, home: Path, wall: Board, days: int) -> list[str]:
    """What should be in the zip and is not: documents, reports, executed runbooks, attachments, and what links lead to."""
    held = _read(package)
    wanted = {name for file, name in _sources(home, wall) if file.is_file() and not file.name.startswith(".")}
    wanted |= {f"reports/day-{day}.html" for day in range(1, days + 1)}
    wanted |= {f"board/{name}" for name in boards(wall, {})}
    wanted |= {f"reports/{page}" for page in executed(home, wall).values()}
    wanted |= {a.path for card in wall.cards for a in card.attachments}
    unread = [c.key for c in wall.cards if c.run and c.run.copy and c.run.copy not in executed(home, wall)]
    return (
        sorted(wanted - held.keys()) + [f"executed runbook of {key}" for key in unread] + broken_links(held)
    )


def broken_links(held: Mapping[str, bytes]) -> list[str]:
    """Links within the package that lead to no file of it."""
    broken = []
    for name, data in held.items():
        if not name.endswith((".html", ".md")):
            continue
        text = data.decode("utf-8", "replace")
        pattern = r"\s(?:href|src)=[\"']([^\"'#]+)" if name.endswith(".html") else r"\]\(([^)#\s]+)"
        for link in re.findall(pattern, text):
            parts = urlsplit(unescape(link))
            if parts.scheme or parts.netloc or not parts.path:
                continue
            target = _joined(PurePosixPath(name).parent, unquote(parts.path))
            if target not in held:
                broken.append(f"{name}: link to {unquote(parts.path)}")
    return broken


def _joined(folder: PurePosixPath, path: str) -> str:
    steps: list[str] = list(folder.parts)
    for step in PurePosixPath(path).parts:
        if step == ".." and steps and steps[-1] != "..":
            steps.pop()
        elif step != ".":
            steps.append(step)
    return "/".join(steps)


def private(package: Path, paths: Iterable[str], names: Iterable[str] = ()) -> list[str]:
    """What nobody else should read: folders of this machine, keys and the like, the team's own files. Each with its file.

    Args:
        package: the zip.
        paths: folders of this machine.
        names: other words that must not be in it.
    """
    words = [*paths, *names]
    found = []
    for name, data in _read(package).items():
        if name.startswith("team/") or daily.TEAM_RETRO in PurePosixPath(name).name:
            found.append(f"{name}: the AWS team's own")
        found += [f"{name}: {word}" for word in words if word.encode() in data]
        found += [f"{name}: {what}" for what, pattern in SECRETS.items() if re.search(pattern, data)]
    return sorted(found)


def facts(package: Path) -> dict[str, Any]:
    """How many files of which sort, and how large the zip is."""
    rows = json.loads(_read(package)[MANIFEST])["files"]
    sorts = sorted({row["what"] for row in rows})
    return {what: sum(row["what"] == what for row in rows) for what in sorts} | {
        "MB": round(package.stat().st_size / 1e6, 1)
    }
