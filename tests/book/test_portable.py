"""Notebooks that run anywhere: nothing of the build is left in them, and they run."""

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections import defaultdict
from dataclasses import replace
from functools import partial
from io import BytesIO

import pytest

pytest.importorskip("jupytext", reason="needs the extra book")

import nbformat
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from press import ROOT, BookError, chapter_files, site_address
from press import portable as press_portable
from press.execute import read_chapter
from press.plain import Book, address_of, book_of, labels, plain
from press.portable import archive_name, portable, results_archive
from press.stage import dress

from isometry_book.chapter import begin
from isometry_book.measured import fetch_results

LEFT = re.compile(r"\{[\w:-]+\}`|^ *(?:`{3,}|:{3,})\{|<!--|\]\(\.\./|\[\]\(", re.M)
SENTENCE = re.compile(r"needed the book's results, found .+; load this notebook anew")
FACTS = {
    "profile": "smoke",
    "data": "MNIST",
    "seconds": 12.3,
    "device": "CPU",
    "commit": "1a2b3c4",
} | dict.fromkeys(("python", "torch", "numpy", "isometry"), "1")
BOOK = Book(
    numbers={"05_a": {"gain": 0.25}},
    claims=[],
    labels={"flow": "(5.1)", "fig-a": "Fig. 5.1", "thm-a": "Theorem 5.1"},
    cited={},
    quizzes={},
    titles={"05_a": "AdamO", "06_b": "Streams"},
    macros={"tr": r"\operatorname{tr}", "norm": [r"\lVert #1 \rVert", 1]},
)


class AnyNumber(float):
    """A number that every format suits."""

    def __format__(self, form):
        return "0"


class AnyNumbers(dict):
    def __missing__(self, key):
        return defaultdict(AnyNumber)


@pytest.fixture(scope="module")
def chapters():
    """All chapters as text, and what their roles refer to, without a run."""
    from isometry_book.claims.claim import CLAIMS

    notebooks = {path.stem: read_chapter(path, ROOT) for path in chapter_files(ROOT)}
    claims = []
    for key in CLAIMS.names():
        one = CLAIMS.get(key)
        names = ("key", "title", "text", "source", "chapter", "criterion")
        row = {name: getattr(one, name) for name in names}
        empty = {"verdict": "partly", "reason": "", "gap": "", "outside": []}
        claims.append(row | empty)
    titles = dict.fromkeys(notebooks, "Title")
    return notebooks, book_of(ROOT, notebooks, AnyNumbers(), claims, titles, "")


@pytest.mark.parametrize("path", chapter_files(ROOT), ids=lambda path: path.stem)
def test_no_role_and_no_directive_is_left_in_a_chapter(path, chapters):
    notebooks, book = chapters
    page = dress(notebooks[path.stem], FACTS)
    notebook = portable(page, path.stem, FACTS, book, b"")
    nbformat.validate(notebook)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert LEFT.findall(text) == []
    macros = "|".join(book.macros)
    assert re.findall(rf"\\(?:{macros})(?![A-Za-z])", text) == []
    figures = [c for c in page.cells if "figure" in c.metadata.get("mystnb", {})]
    assert len(re.findall(r"^\*\*Fig\. \d\.\d+\.\*\* \S", text, re.M)) == len(figures)


PLAIN = {
    "It gains {number}`05_a.gain:.1%`.": "It gains 25.0%.",
    "By {eq}`flow` and {numref}`fig-a`.": "By (5.1) and Fig. 5.1.",
    "{term}`critics <critic>`, {set}`words <a:b=1>`": "critics, words",
    "{doc}`/chapters/06_b`, [](05_a.ipynb#x)": "Streams, [AdamO](05_a.ipynb#x)",
    "$$\nx\n$$ (flow)": "$$\nx\n\\tag{5.1}\n$$",
    r"$\tr A + \norm{x_{1}} \trace$": (
        r"$\operatorname{tr} A + \lVert x_{1} \rVert \trace$"
    ),
    "```{admonition} In short\n:class: tip\n\nYes.\n```": "**In short.** Yes.",
    "```{prf:theorem} Return\n:label: thm-a\n\nLet.\n```": (
        "**Theorem 5.1** (*Return*). Let."
    ),
    "   ````{dropdown} Why?\n   ```python\n   x\n   ```\n   ````": (
        "   <details><summary>Why?</summary>\n\n   ```python\n   x\n   ```\n\n"
        "   </details>"
    ),
    "[page](../book/findings.md#a)": "page",
    "<!-- measured elsewhere: x -->\nA.": "A.",
}


@pytest.mark.parametrize(("text", "shown"), PLAIN.items())
def test_what_the_build_would_resolve_is_text(text, shown):
    assert plain(text, "05_a", BOOK) == shown


@pytest.mark.parametrize(
    "hole",
    [
        "{number}`05_a.no`",
        "{eq}`no`",
        "{shout}`x`",
        "```{video} x\n```",
        "```{claim} a",
    ],
)
def test_a_hole_is_an_error_that_names_the_chapter(hole):
    with pytest.raises(BookError, match="05_a"):
        plain(hole, "05_a", BOOK)


def test_people_are_cited_as_on_the_page_with_a_link(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_config.yml").write_text("{}")
    (tmp_path / "book/references.bib").write_text(
        '@misc{a, author={M{\\"u}ller, B. and Roe, C. and Poe, D.}, year={2020},'
        " title={T}, eprint={1}, archiveprefix={arXiv}}\n"
        "@misc{b, author={Roe, C. and Poe, D.}, year={2021}, title={T}}"
    )
    book = book_of(tmp_path, {}, {}, [], {}, "")
    text = plain("{cite:t}`a`; {cite:p}`a,b`", "05_a", book)
    link = "(https://arxiv.org/abs/1)"
    linked = f"[Müller et al., 2020]{link}"
    assert text == f"[Müller et al. (2020)]{link}; [{linked}; Roe and Poe, 2021]"


def test_every_entry_of_the_bibliography_has_one_link(chapters):
    _, book = chapters
    for key, entry in book.cited.items():
        found = {"doi", "eprint", "url"} & set(entry.fields)
        assert len(found) == 1, key
        assert re.match(r"https://[\w.-]+/\S+$", address_of(entry)), key
        assert "arXiv" not in entry.fields.get("note", ""), key
        if "eprint" in entry.fields:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields["eprint"])
        if "doi" in entry.fields:
            assert re.match(r"10\.\d{4}/\S", entry.fields["doi"])


@pytest.mark.site
def test_every_entry_of_the_bibliography_page_is_linked(site, chapters):
    html = (site / "book" / "bibliography.html").read_text()
    page = BeautifulSoup(html, "html.parser")
    entries = page.select("div.citation-list div.citation, dl.citation dd")
    assert len(entries) == len(chapters[1].cited)
    assert [e.get_text()[:60] for e in entries if not e.select("a[href^=https]")] == []


def test_figures_equations_and_theorems_are_counted_in_each_chapter():
    text = "$$\nx\n$$ (a)\n\n```{prf:lemma} L\n:label: c\n\n```\n\n$$\nx\n$$ (b)"
    drawn = new_code_cell(metadata={"mystnb": {"figure": {"name": "fig"}}})
    cells = [new_markdown_cell(text), drawn]
    assert labels({"03_x": new_notebook(cells=cells)}) == {
        "a": "(3.1)",
        "c": "Lemma 3.1",
        "b": "(3.2)",
        "fig": "Fig. 3.1",
    }


def test_a_notebook_has_one_cell_of_parameters_and_says_how_it_ran(monkeypatch):
    monkeypatch.setenv("BOOK_REPOSITORY", "https://github.com/owner/name/")
    cells = [
        new_markdown_cell("# Title\n\nText."),
        new_code_cell('profile = "laptop"', metadata={"tags": ["parameters"]}),
        new_code_cell("profile = 1", metadata={"tags": ["injected-parameters"]}),
        new_code_cell("import torch"),
    ]
    page = dress(new_notebook(cells=cells), FACTS)
    notebook = portable(page, "05_a", FACTS, BOOK, b"all results")
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", "markdown", "code", "markdown", "code", "code"]
    ran, setup, _, parameters, imports = notebook.cells[1:]
    assert "profile smoke, MNIST, on CPU, in 12 s; commit 1a2b3c4" in ran.source
    assert parameters.source == 'profile = "smoke"'
    assert parameters.metadata == {"tags": ["parameters"]}
    assert imports.metadata == {"jupyter": {"source_hidden": True}}
    address = "https://github.com/owner/name/releases/download/book"
    assert f'release = "{address}"' in setup.source
    digest = hashlib.sha256(b"all results").hexdigest()
    assert digest in setup.source
    assert f"results-{digest[:12]}.zip" in setup.source


def test_a_picture_that_moves_on_the_page_says_where(monkeypatch):
    html = {"text/html": '<div class="explorable" data-explorable="a">'}
    output = nbformat.v4.new_output("display_data", data=html)
    cells = [new_markdown_cell("# T"), new_code_cell("show()", outputs=[output])]
    page = dress(new_notebook(cells=cells), FACTS)
    for pages, where in (
        ("", "the book's page"),
        ("https://e.org", "[the book's page]"),
    ):
        notebook = portable(page, "05_a", FACTS, replace(BOOK, pages=pages), None)
        text = notebook.cells[-1].source
        assert text.startswith(f"*This is a still; on {where}")
        assert ("https://e.org/chapters/05_a.html" in text) == bool(pages)


@pytest.mark.parametrize(
    ("repository", "site"),
    [
        ("https://github.com/owner/name", "https://owner.github.io/name"),
        ("https://example.org/x", ""),
        ("", ""),
    ],
)
def test_pages_lie_where_github_puts_them(monkeypatch, repository, site):
    monkeypatch.setattr("press.repository", lambda: repository)
    assert site_address() == site


def results_at(folder):
    (folder / "results" / "a").mkdir(parents=True)
    (folder / "results" / "a" / "b.json").write_text("{}")
    return results_archive(folder / "results")


def test_equal_results_make_equal_archives(tmp_path):
    archive = results_at(tmp_path / "one")
    os.utime(tmp_path / "one/results/a/b.json", (0, 0))
    (tmp_path / "one/results/a.lock").touch()
    assert results_archive(tmp_path / "one/results") == archive
    assert zipfile.ZipFile(BytesIO(archive)).namelist() == ["results/a/b.json"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def served(tmp_path):
    """Return the address of a folder that this machine serves, and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """An empty folder, far from any clone, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("isometry_book.measured.__file__", "/nowhere/measured.py")
    monkeypatch.setenv("ISOMETRY_RESULTS", "")  # undone at the end, whatever sets it
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")


def test_results_are_fetched_once_and_checked(tmp_path, served, alone):
    address, folder = served
    archive = results_at(tmp_path)
    (folder / "r.zip").write_bytes(archive)
    digest = hashlib.sha256(archive).hexdigest()
    with pytest.raises(FileNotFoundError, match="run the notebook's first cell"):
        begin("smoke").results  # noqa: B018
    found = fetch_results(f"{address}/r.zip", digest)
    assert (found / "a" / "b.json").read_text() == "{}"
    assert begin("smoke").results == found
    (folder / "r.zip").unlink()
    os.environ["ISOMETRY_RESULTS"] = ""
    assert fetch_results(f"{address}/r.zip", digest) == found


@pytest.mark.parametrize("content", [None, b"another file"])
def test_results_that_cannot_be_had_are_one_sentence(served, alone, content):
    address, folder = served
    if content:
        (folder / "r.zip").write_bytes(content)
    for where in (f"{address}/r.zip", "/r.zip"):
        with pytest.raises(OSError, match="needed the book's") as error:
            fetch_results(where, "0" * 64)
        assert SENTENCE.match(str(error.value))
        assert "\n" not in str(error.value)


def test_a_clone_s_results_are_taken_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "_toc.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert fetch_results("nowhere", "0" * 64) == tmp_path / "results"


@pytest.mark.site
def test_downloads_name_equations_and_figures_as_the_pages_do(site):
    for path in chapter_files(ROOT):
        notebook = nbformat.read(
            site / "_sources/chapters" / f"{path.stem}.ipynb", as_version=4
        )
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        assert LEFT.findall(text) == []
        html = (site / "chapters" / f"{path.stem}.html").read_text()
        page = BeautifulSoup(html, "html.parser")
        captions = page.select("figure .caption-number")
        assert captions
        for number in captions:
            assert f"**{number.get_text().strip()}.**" in text
        for theorem in page.select("div.proof .caption-number"):
            assert f"**{theorem.get_text().strip()}**" in text
        tags = set(re.findall(r"\\tag\{([\d.]+)\}", text))
        assert tags == {
            found.get_text().strip("()¶# ") for found in page.select("span.eqno")
        }


@pytest.mark.slow
def test_a_notebook_runs_from_an_empty_folder_with_the_wheel_alone(
    tmp_path, served, monkeypatch, chapters
):
    """The second chapter, whose results are fetched; a kernel that sees no clone."""
    from nbclient import NotebookClient

    address, folder = served
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps"]
    tree = tmp_path / "tree"
    for name in ("lib", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        tree.mkdir(exist_ok=True)
        copy(source, tree / name)
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(tree)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    archive = results_archive(ROOT / "results")
    (folder / archive_name(archive)).write_bytes(archive)
    monkeypatch.setattr(press_portable, "release", lambda: address)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    notebooks, book = chapters
    name = "02_neural_tangent_kernel"
    page = dress(notebooks[name], FACTS)
    notebook = portable(page, name, FACTS, book, archive)
    where = new_code_cell("import isometry_book; print(isometry_book.__file__)")
    notebook.cells.append(where)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path / "empty")}},
    )
    client.execute()
    assert str(tmp_path / "installed") in json.dumps(notebook.cells[-1].outputs)
