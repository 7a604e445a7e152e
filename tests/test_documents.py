"""Documents: text from people stays text, the page loads nothing, links lead to what is there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from ceremony import EVIL, PLAN, Told, documents
from fixtures import story
from hypothesis import given
from hypothesis import strategies as st

from kit import board


class Tags(HTMLParser):
    """The tags of a page and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\u200b", "")


def body(markdown: str, folder: Path = Path()) -> Tags:
    return Tags(documents.page(markdown, folder).partition("<body>")[2])


@pytest.mark.parametrize("place", ["{}", "- {}", "| a |\n|---|\n| {} |", "## {}", "text {}"])
def test_what_people_write_stays_text(place: str) -> None:
    page = body("# Title\n\n" + place.format(documents.plain(EVIL)))
    assert {tag for tag, _ in page.tags} <= {"main", "h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "div"}  # fmt: skip
    assert '<script>alert("x")</script> | [a](javascript:b) **c** &lt; `d`' in page.text


@given(st.text())
def test_no_text_makes_a_tag_a_link_or_a_cell(words: str) -> None:
    page = body(f"| a | b |\n|---|---|\n| {documents.plain(words)} | x |")
    assert [tag for tag, _ in page.tags] == [
        "main",
        "div",
        "table",
        "thead",
        "tr",
        "th",
        "th",
        "tbody",
        "tr",
        "td",
        "td",
    ]


@given(st.text(alphabet="-+=1.) #>x", max_size=8))
def test_a_line_of_its_own_is_a_paragraph(words: str) -> None:
    assert {tag for tag, _ in body(documents.plain(words)).tags} <= {"main", "p"}


def test_text_is_cut_where_asked_and_long_words_may_break() -> None:
    assert documents.plain("one two three", 8) == "one two…"
    assert "\u200b" in documents.plain("s3://bucket/a/very/long/path/that/does/not/end")
    assert "\u200b" not in documents.plain("an ordinary sentence with ordinary words, thirty of them")


def test_the_page_loads_nothing_and_has_its_pictures_inside(tmp_path: Path) -> None:
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    line = documents.picture(tmp_path, "how_it_went", fig, "How it went | really")
    plt.close(fig)
    markdown, html = documents.written(tmp_path, "retro", ["# A day", "", line])
    page = Tags(html.read_text())
    assert markdown.read_text() == f"# A day\n\n{line}\n"
    sources = [a["src"] for tag, a in page.tags if tag == "img"]
    assert len(sources) == 1
    assert str(sources[0]).startswith("data:image/png;base64,")
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]
    assert dict(page.tags)["html"]["lang"] == "en"
    assert "<title>A day</title>" in html.read_text()
    assert "default-src &#x27;none&#x27;" in html.read_text()


def test_a_table_without_a_head_has_headings_in_its_rows() -> None:
    page = body("\n".join(documents.table(["", ""], [["Next", "D2"]])))
    assert [tag for tag, _ in page.tags] == ["main", "div", "table", "tbody", "tr", "th", "td"]
    assert ("th", {"scope": "row"}) in page.tags


def test_done_cards_lead_to_their_executed_runbooks(tmp_path: Path) -> None:
    events = story.events(PLAN, days=1)
    story.executed_copies(tmp_path, events)
    wall = board.fold(PLAN, events)
    done = [card for card in wall.cards if card.run and card.run.copy]
    link = documents.executed(tmp_path, wall.cards)
    _, html = documents.keep(tmp_path, "standup", ["# S", "", *(f"- {link(card)}" for card in wall.cards)])
    linked = [str(a["href"]) for tag, a in Tags(html.read_text()).tags if tag == "a"]
    assert len(linked) == len(done) > 2
    assert [href for href in linked if not (html.parent / href).is_file()] == []


def test_a_card_whose_copy_is_gone_has_no_link(tmp_path: Path) -> None:
    told = Told()
    told.work("D1", "1 09:20", "1 10:20")
    told.say("1 10:21", "executed", "D1", run="", copy="runs/gone.ipynb")
    card = told.wall("1 11:00")["D1"]
    assert documents.executed(tmp_path, [card])(card) == "**D1** Collect the data"


def test_links_of_a_notebook_lead_to_runbooks() -> None:
    card = Told().wall("1 09:00")["D1"]
    assert documents.notebook(card) == "[**D1** Collect the data](../data_engineering/d1.ipynb)"


@pytest.mark.parametrize(("iso", "told"), [("2026-12-02", "2 Dec"), ("soon <b>", r"soon &lt;b\>"), ("", "")])
def test_dates(iso: str, told: str) -> None:
    assert documents.date(iso) == told


def test_lists_say_when_there_is_nothing() -> None:
    assert documents.bullets([], "None.") == ["", "None.", ""]
    assert re.match("- a", documents.bullets(["a"], "None.")[1])
