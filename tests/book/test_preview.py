"""What others show of a page, and the links to where the book is kept."""

import runpy
import struct
from types import SimpleNamespace

import pytest

pytest.importorskip("bs4", reason="needs the extra book")

from bs4 import BeautifulSoup
from press import ROOT, chapter_files
from press.preview import MOST, add_previews, card
from press.site import pages

ADDRESS = "https://github.com/owner/name"
PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>T</title></head><body>
<p>Skip to content, which is not the page's own.</p><article class="bd-article">
<h1>5. AdamO<a class="headerlink" href="#a">#</a></h1><p>Short.</p>
<p>Can "one" pull &amp; keep isometry?</p><p>Later.</p>
<img src="../_images/a.svg" alt="x"></article></body></html>"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A site of one page, and a function that reads its tags."""
    (tmp_path / "chapters").mkdir()
    page = tmp_path / "chapters" / "05_a.html"
    page.write_text(PAGE)
    monkeypatch.setattr("press.preview.card", lambda *_: "_static/cards/1.png")

    def read():
        add_previews(tmp_path, pages(tmp_path), tmp_path / "cache")
        found = BeautifulSoup(page.read_text(), "html.parser").select("meta[content]")
        return {tag.get("name") or tag["property"]: tag["content"] for tag in found}

    return page, read


def test_a_page_says_what_it_is(made, monkeypatch):
    monkeypatch.setenv("BOOK_REPOSITORY", ADDRESS)
    page, read = made
    tags = read()
    assert tags["og:title"] == "5. AdamO"
    words = 'Can "one" pull & keep isometry?'
    assert tags["description"] == tags["og:description"] == words
    site = "https://owner.github.io/name"
    assert tags["og:url"] == f"{site}/chapters/05_a.html"
    assert tags["og:image"] == f"{site}/_static/cards/1.png"
    assert tags["twitter:card"] == "summary_large_image"
    assert page.read_text().index("charset") < page.read_text().index("og:title")


def test_without_an_address_a_picture_is_named_from_the_page(made, monkeypatch):
    monkeypatch.setattr("press.repository", lambda: "")
    tags = made[1]()
    assert tags["og:image"] == "../_static/cards/1.png"
    assert "og:url" not in tags


def test_long_words_end_at_a_word(made):
    page, read = made
    page.write_text(PAGE.replace("isometry?", "word " * 100))
    words = read()["description"]
    assert len(words) <= MOST
    assert words.endswith(" word…")


def test_without_chromium_a_page_has_words_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("press.site.chromium", lambda: None)
    drawing = tmp_path / "a.svg"
    drawing.write_text("<svg/>")
    assert card(tmp_path, drawing, "T", tmp_path / "cache") is None


class App:
    def __init__(self, address):
        self.config = SimpleNamespace(book_repository=address)


def menu(address, doctree=True):
    add_links = runpy.run_path(str(ROOT / "book/_ext/home_links.py"))["add_links"]
    context = {"header_buttons": [], "title": "AdamO & co"}
    add_links(App(address), "chapters/05_adamo", "page.html", context, doctree)
    return context["header_buttons"]


def test_a_page_leads_to_its_text_the_issues_and_a_discussion():
    (group,) = menu(ADDRESS)
    links = {button["text"]: button["url"] for button in group["buttons"]}
    assert links["Repository"] == ADDRESS
    assert links["Edit this page"] == f"{ADDRESS}/edit/main/chapters/05_adamo.md"
    assert (ROOT / "chapters/05_adamo.md").exists()
    asked = f"{ADDRESS}/issues/new?title=AdamO%20%26%20co%20%28chapters/05_adamo%29"
    assert links["Report a mistake"] == asked
    assert links["Discuss"] == f"{ADDRESS}/discussions"


def test_pages_without_a_text_or_an_address_have_no_menu():
    assert menu("") == []
    assert menu(ADDRESS, doctree=None) == []


@pytest.mark.site
def test_every_page_has_words_for_a_preview_and_every_chapter_a_picture(site):
    for page in pages(site):
        soup = BeautifulSoup(page.read_text(), "html.parser")
        if soup.select_one("article.bd-article h1") is None:
            continue
        described = soup.select_one('meta[name="description"]')
        assert described, page
        assert soup.select_one('meta[property="og:title"]')["content"]
    for chapter in chapter_files(ROOT):
        page = site / "chapters" / f"{chapter.stem}.html"
        soup = BeautifulSoup(page.read_text(), "html.parser")
        address = soup.select_one('meta[property="og:image"]')["content"]
        (picture,) = (site / "_static/cards").glob(address.split("/")[-1])
        png = picture.read_bytes()
        assert struct.unpack(">II", png[16:24]) == (1200, 630)
