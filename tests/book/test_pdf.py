"""The bound book: what is in it, where links lead, and on which page things are."""

import subprocess

import pytest

pytest.importorskip("bs4", reason="needs the extra book")

from bs4 import BeautifulSoup
from press import ROOT, stage_folder
from press import pdf as press_pdf
from press.bound import bound
from press.pdf import LOOK, PAPERS, cover, numbered, page_numbers, print_page, sheets
from press.site import chromium

HEAD = (
    '<link rel="stylesheet" href="../_static/book.css"><script src="../_static/a.js">'
    '</script><script src="../_static/mathjax/m.js"></script>'
)
INTRO = """<h1>Start</h1><section id="s"><section id="how"><h2>How</h2>
<p><a href="../chapters/01_a.html#idea">there</a> <a href="api.html#x">library</a>
<a href="../chapters/01_a.html">chapter</a> <a href="https://e.org/">out</a></p>
</section></section>"""
CHAPTER = """<section id="a"><h1>1. First<a class="headerlink" href="#a">#</a></h1>
<section id="idea"><h2>1.1. Idea</h2><a href="#idea">here</a>
<div class="cell tag_hide-input"><details class="hide above-input">
<summary>Show</summary><pre>secret = 1</pre></details>
<img src="../_images/a.svg" loading="lazy" alt="x"></div>
<div class="cell"><div class="cell_input"><pre>shown = 1</pre></div></div>
<details class="sd-dropdown"><summary>
<span class="sd-summary-text">Proof</span></summary><p>Because.</p></details>
<div class="explorable"><div class="explorable-controls">
<button>Run</button></div><svg></svg><script src="x.js"></script></div>
<ol class="quiz"><li><p>What?</p>
<details class="wrong"><summary><p>This.</p></summary><p>No. Not so.</p></details>
<details class="right"><summary><p>That.</p></summary><p>Right. So.</p></details>
</li></ol><ol><li>One</li><li>Two <details class="sd-dropdown"><summary>
<span class="sd-summary-text">Solution</span></summary>
<p>Forty-two.</p></details></li></ol></section></section>"""
TOC = """format: jb-book
root: book/intro
parts:
  - caption: Why
    chapters: [{file: chapters/01_a}, {file: book/api}]
"""


@pytest.fixture
def book(tmp_path):
    """A site of three pages, bound."""
    for name, body in (("book/intro", INTRO), ("chapters/01_a", CHAPTER)):
        page = tmp_path / f"{name}.html"
        page.parent.mkdir(exist_ok=True)
        article = f'<article class="bd-article">{body}</article>'
        page.write_text(f"<html><head>{HEAD}</head><body>{article}</body></html>")
    (tmp_path / "_toc.yml").write_text(TOC)
    html, marks = bound(tmp_path, tmp_path, "Book", ["People"], "p { color: red }")
    return BeautifulSoup(html, "html.parser"), marks


def test_links_lead_to_their_place_in_the_bound_book(book):
    soup, _ = book
    links = {a.get_text(): a["href"] for a in soup.select(".page a")}
    assert links == {
        "there": "#chapters-01_a--idea",
        "chapter": "#chapters-01_a",
        "out": "https://e.org/",
        "here": "#chapters-01_a--idea",
    }
    assert "library" in soup.get_text()  # a page that is left out
    marks = {part["id"] for part in soup.select("[id]")}
    inside = [a["href"][1:] for a in soup.select('a[href^="#"]')]
    assert [mark for mark in inside if mark not in marks] == []


def test_print_shows_what_a_page_opens_and_leaves_out_what_draws(book):
    soup, _ = book
    text = soup.get_text()
    assert "shown = 1" in text
    assert "secret" not in text
    assert "Run" not in text
    assert soup.select_one(".explorable svg")
    assert soup.select_one("details.sd-dropdown[open]").p.get_text() == "Because."
    assert soup.img["src"] == "_images/a.svg"
    scripts = [script.get("src") for script in soup.select("script")]
    assert scripts == ["_static/mathjax/m.js", None]
    assert soup.link["href"] == "_static/book.css"


def test_answers_stand_at_the_end(book):
    soup, _ = book
    first, last = soup.select(".page")[1:]
    assert "Forty-two" not in first.get_text()
    assert "(b) That." in " ".join(first.get_text().split())
    assert "Right. So." not in first.get_text()
    said = " ".join(last.get_text(" ").split())
    assert said == "Answers 1. First Exercise 2. Forty-two. Question 1: b. Right. So."


def test_the_contents_name_titles_sections_and_pages(book):
    soup, marks = book
    lines = [
        line.a.get_text()
        for line in soup.select(".listing li a")
        for line in [line.parent]
    ]
    assert lines == ["Start", "How", "1. First", "1.1. Idea", "Answers"]
    assert len(marks) == len(lines)
    shown = numbered(str(soup), {mark: 10 + i for i, mark in enumerate(marks)})
    pages = BeautifulSoup(shown, "html.parser").select(".listing li span")
    assert [int(page.get_text()) for page in pages] == [10, 11, 12, 13, 14]
    assert '@page pchapters-01_a { @top-right { content: "1. First"' in str(soup)


def test_the_cover_names_people_and_a_date():
    title, people, when, _ = cover(ROOT)
    assert title == "Plasticity by Isometry"
    assert people == "The Plasticity by Isometry contributors"
    assert "version 0.1.0" in when
    assert any(year in when for year in ("2025", "2026", "2027"))


@pytest.mark.browser
@pytest.mark.parametrize(("paper", "width"), [("a4", "594.9"), ("letter", "612")])
def test_pages_of_marks_are_read_from_what_chromium_prints(tmp_path, paper, width):
    path = chromium()
    if path is None:
        pytest.skip("needs Chromium")
    look = LOOK.read_text().replace("PAPER", PAPERS[paper])
    parts = "".join(
        f'<div class="page" id="part--{i}"><h1>Part {i}</h1></div>' for i in range(20)
    )
    links = "".join(f'<a href="#part--{i}">x</a>' for i in range(20))
    page, out = tmp_path / "a.html", tmp_path / "a.pdf"
    page.write_text(f"<!doctype html><style>{look}</style>{links}{parts}")
    print_page(path, page, out)
    found = page_numbers(out.read_bytes())
    assert found == found | {f"part--{i}": i + 2 for i in range(20)}
    assert f"/MediaBox [0 0 {width}" in out.read_bytes().decode("latin-1")


@pytest.mark.slow
@pytest.mark.site
def test_the_book_has_fewer_than_230_pages(site, tmp_path, monkeypatch):
    if chromium() is None:
        pytest.skip("needs Chromium")
    monkeypatch.setattr(press_pdf, "build", lambda *_: site)
    stage = stage_folder(ROOT, "smoke")
    out = press_pdf.pdf(ROOT, stage, tmp_path / "book.pdf")
    (site / "print.html").unlink()
    content = out.read_bytes()
    assert 150 < len(sheets(content.decode("latin-1"))) < 230
    numbers = page_numbers(content)
    assert numbers["chapters-05_adamo"] < numbers["chapters-06_supervised_benchmark"]
    assert (
        subprocess.run(["head", "-c4", str(out)], capture_output=True).stdout == b"%PDF"
    )
