"""Documents of the ceremonies: Markdown in which text from people stays text, and the same as one HTML file that loads nothing."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kit import evidence, files
from kit.cards import Board, Card
from kit.report import CONTENT_POLICY

if TYPE_CHECKING:
    from IPython.display import Markdown
    from matplotlib.figure import Figure

__all__ = [
    "Link",
    "bullets",
    "clock",
    "date",
    "executed",
    "keep",
    "label",
    "notebook",
    "page",
    "picture",
    "plain",
    "shown",
    "table",
]

STYLE = """
body { max-width: 60rem; }
h1 { font-size: 1.9rem; margin-bottom: .3rem; }
h2 { font-size: 1.3rem; margin: 2rem 0 .4rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.05rem; margin: 1.2rem 0 .3rem; }
p, ul, ol { margin: .4rem 0; }
table { width: 100%; margin: .6rem 0 1rem; font-size: .94rem; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; overflow-wrap: break-word; }
th { background: var(--fill); white-space: nowrap; }
th[scope=row] { width: 9.5rem; font-weight: 400; }
.wide { overflow-x: auto; }
@media (max-width: 40rem) { body { padding: 1.5rem 1rem; } .wide table:has(thead) { min-width: 34rem; } th[scope=row] { width: 6.5rem; white-space: normal; } }
img { max-width: 100%; background: #ffffff; }
h2, h3, tr, img { break-inside: avoid; }
h2, h3 { break-after: avoid; }
"""


def plain(words: Any, most: int = 0) -> str:
    """Text from people on one line, inert in Markdown: no tag, link, list, table cell or emphasis comes out of it.

    Args:
        words: what they wrote; anything that is no text is shown as text.
        most: the most characters to keep; 0 for all.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    line = f"{line[: most - 1].rstrip()}…" if 0 < most < len(line) else line
    line = re.sub(
        r"\S{25,}", lambda long: re.sub(r"[/_.:,=-](?=\w)|[^\s/_.:,=-]{30}", "\\g<0>\u200b", long[0]), line
    )
    line = re.sub(r"([\\`*_{}\[\]<>|#~$&!])", r"\\\1", line).replace(r"\&", "&amp;").replace(r"\<", "&lt;")
    return re.sub(r"^([-+=](?!\d)|\d+(?=[.)](?:\s|$)))", r"&#8203;\1", line)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; its cells are Markdown already (`plain` what people wrote)."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return ["", *lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def bullets(items: Iterable[str], none: str = "") -> list[str]:
    """The lines of a list, or the line that says there is nothing; items are Markdown already."""
    lines = [f"- {item}" for item in items]
    return ["", *(lines or ([none] if none else [])), ""]


Link = Callable[[Card, bool], str]
"""How a document shows a card: whole, or in short by its key."""


def label(card: Card, short: bool = False) -> str:
    """`**D2** Process the data`, or in short `**D2**`, inert."""
    return f"**{plain(card.key)}**" if short else f"**{plain(card.key)}** {plain(card.title, 80)}"


def executed(home: Path, cards: Iterable[Card]) -> Link:
    """How a document shows cards: with a link to the executed runbook, which is put beside the reports as HTML."""
    proven = {card.key: card for card in cards if card.run and card.run.copy}
    copies = {key: card.run.copy for key, card in proven.items() if card.run}
    titles = {key: f"{card.label}, executed" for key, card in proven.items()}
    made = evidence.pages(home, copies, titles) if copies else {}
    pages = {key: page.href for key, page in made.items() if page.href}

    def link(card: Card, short: bool = False) -> str:
        words = label(card, short)
        return f"[{words}](../reports/{pages[card.key]})" if card.key in pages else words

    return link


def notebook(card: Card, short: bool = False) -> str:
    """A card with a link from a notebook in `runbooks/` to its runbook, where it has one."""
    words = label(card, short)
    return f"[{words}](../{quote(card.notebook)})" if card.notebook else words


def date(iso: str) -> str:
    """`2 Dec` of an ISO date; what is none as it is, inert."""
    try:
        return f"{dt.date.fromisoformat(iso):%-d %b}"
    except ValueError:
        return plain(iso)


def clock(board: Board, at: dt.datetime) -> str:
    """`10:42` of the event's time zone, with the date where it is not that of the board's moment."""
    local, now = at.astimezone(board.event.zone), (board.at or at).astimezone(board.event.zone)
    return f"{local:%H:%M}" if local.date() == now.date() else f"{local:%-d %b %H:%M}"


def picture(folder: Path, name: str, fig: Figure, alt: str) -> str:
    """Save a figure as `<name>.png` in the folder; the Markdown line that shows it there."""
    folder.mkdir(parents=True, exist_ok=True)
    fig.savefig(folder / f"{name}.png", dpi=110)
    return f"![{plain(alt)}]({quote(name)}.png)"


def keep(home: Path, name: str, lines: Iterable[str]) -> tuple[Path, Path]:
    """Write a document as `<name>.md` and `<name>.html` into `home/documents`; both paths. The first line is its title."""
    return written(home / "documents", name, lines)


def written(folder: Path, name: str, lines: Iterable[str]) -> tuple[Path, Path]:
    """Write a document into any folder, as Markdown and as HTML."""
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
    markdown = files.replace(folder / f"{name}.md", text)
    return markdown, files.replace(folder / f"{name}.html", page(text, folder))


def page(markdown: str, folder: Path) -> str:
    """The Markdown as one HTML page that loads nothing; pictures of the folder are inside."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    body = re.sub(r'<a class="anchor-link"[^>]*>.*?</a>', "", markdown2html_mistune(markdown))
    body = re.sub(r'(<img src=")([^":]+\.png)"', lambda m: f'{m[1]}{_inlined(folder / m[2])}"', body)
    body = body.replace("<th>", '<th scope="col">')
    body = re.sub(
        r"<table>\s*<thead>\s*<tr>\s*(?:<th[^>]*></th>\s*)+</tr>\s*</thead>(.*?)</table>",
        _rows,
        body,
        flags=re.DOTALL,
    )
    number = itertools.count(1)
    region = '<div class="wide" tabindex="0" role="region" aria-label="Table {}"><table>'
    body = re.sub("<table>", lambda _: region.format(next(number)), body).replace(
        "</table>", "</table></div>"
    )
    title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL)
    named = re.sub(r"<[^>]+>", "", title[1]) if title else "Document"
    css = (evidence.TEMPLATES / "page.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(CONTENT_POLICY)}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{named}</title>\n'
        f"<style>\n{css}{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def shown(lines: Iterable[str]) -> Markdown:
    """The Markdown for a notebook's output."""
    from IPython.display import Markdown

    return Markdown("\n".join(lines))


def _rows(table: re.Match[str]) -> str:
    """A table without a head: each row begins with what it is about."""
    body = re.sub(r"<tr>\s*<td>(.*?)</td>", r'<tr><th scope="row">\1</th>', table[1], flags=re.DOTALL)
    return f"<table>{body}</table>"


def _inlined(file: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
