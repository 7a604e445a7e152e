"""Executed runbooks as HTML beside the report: one self-contained file each, with no script and no request."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kit import files

__all__ = ["TEMPLATES", "Page", "inert", "inside", "pages"]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """A link to an executed runbook as HTML, relative to the reports' folder; and what is wrong with it, if anything."""

    href: str = ""
    problem: str = ""


def inside(home: Path, path: str) -> Path | None:
    """The file that a journalled path means, if it lies in `home`; None for one that leads out of it."""
    try:
        file = (home / path).resolve()
        file.exists()
    except (OSError, ValueError):  # no path at all: a null byte, a name that is too long
        return None
    return file if path and file.is_relative_to(home.resolve()) else None


def pages(home: Path, copies: Mapping[str, str], titles: Mapping[str, str]) -> dict[str, Page]:
    """Convert the executed copies to `home/reports/notebooks/<name>.html`; those that are there already are kept.

    Args:
        home: the event's folder, which the copies' paths are relative to.
        copies: the executed copy by name, such as {"D2": "runs/…/d2_process_data-D2.ipynb"}.
        titles: the title of each page by the same name.
    """
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    template = (TEMPLATES / "notebook" / "index.html.j2").read_text(encoding="utf-8")
    style = hashlib.sha256((css + template).encode()).hexdigest()[:12]
    exporter: Any = None
    found = {}
    for name, copy in copies.items():
        html = home / "reports" / "notebooks" / f"{_word(name)}.html"
        href = f"notebooks/{quote(html.name)}"
        source = inside(home, copy)
        if source is None:
            found[name] = Page(problem=f"{copy} lies outside of the event's folder")
            continue
        if not source.is_file():
            kept = f"kept only as HTML: the executed copy {copy} is gone"
            gone = f"the executed copy {copy} is gone"
            found[name] = Page(href, kept) if _made_from(html).startswith(f"{copy} ") else Page(problem=gone)
            continue
        mark = f"{copy} {source.stat().st_mtime_ns} {style}"
        if _made_from(html) != mark:
            exporter = exporter or _exporter()
            try:
                page = _html(exporter, source, {"css": css, "mark": mark, "title": titles[name]})
            except Exception as error:  # whatever a damaged copy does to a converter, the report is written
                about = " ".join(str(error).split())[:120]
                found[name] = Page(problem=f"the executed copy {copy} cannot be read ({about})")
                continue
            files.replace(html, page)
        found[name] = Page(href)
    return found


def inert(markup: str) -> str:
    """HTML that a runbook made, without what acts or loads by itself.

    The page's content security policy forbids scripts and every request already. This takes scripts out, so that
    their source is not in the way, and shows elements that a policy does not cover (a refresh) as text.
    """
    markup, scripts = re.subn(r"<script\b.*?</script\s*>", "", markup, flags=re.DOTALL | re.IGNORECASE)
    markup = re.sub(
        r"<(?=/?(?:script|meta|base|link|iframe|object|embed|form)\b)", "&lt;", markup, flags=re.IGNORECASE
    )
    elsewhere = '<span class="count">Left out: an image that is not in the notebook.</span>'
    markup = re.sub(r"<img\b(?![^>]*\ssrc=.?data:)[^>]*>", elsewhere, markup, flags=re.IGNORECASE)
    # The page lies elsewhere than the notebook did: links to files of the repository would lead nowhere.
    markup = re.sub(
        r"<a\b[^>]*\shref=[\"'](?!#|https?:|mailto:)[^>]*>(.*?)</a>",
        r"\1",
        markup,
        flags=re.DOTALL | re.IGNORECASE,
    )
    left_out = '<p class="count">Left out: a part that needs a script to show.</p>'
    return markup + left_out if scripts else markup


def _word(name: str) -> str:
    """The name as a file name: letters, digits and dashes; a name that is changed by this keeps a mark of its own."""
    word = re.sub(r"[^A-Za-z0-9-]+", "-", name)
    return word if word == name else f"{word}-{zlib.crc32(name.encode('utf-8', 'replace')):08x}"


def _made_from(html: Path) -> str:
    """The mark of the copy that an existing page was made from; empty if there is no page."""
    try:
        with html.open(encoding="utf-8", errors="replace") as file:
            found = re.search(r'<meta name="made-from" content="([^"]*)">', file.read(2000))
    except OSError:
        return ""
    return unescape(found.group(1)) if found else ""


def _exporter() -> Any:
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="notebook", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_filter("inert", inert)
    return exporter


def _html(exporter: Any, source: Path, facts: Mapping[str, str]) -> str:
    import nbformat

    notebook = nbformat.read(source, as_version=4)
    page = {name: escape(fact) if name != "css" else fact for name, fact in facts.items()}
    html = str(exporter.from_notebook_node(notebook, resources={"page": page})[0])
    return html.replace("<head>", f'<head>\n<meta name="made-from" content="{page["mark"]}">', 1)
