"""The page of our numbers beside theirs: made from the results, nothing typed in."""

import copy
import json
import re
import shutil

import nbformat
import pytest
from bs4 import BeautifulSoup
from press import stage as press_stage
from press.cli import main
from press.execute import read_chapter
from press.stage import suites

pytest.importorskip("jupytext", reason="needs the extra book")

CONFIG = """\
title: A tiny book
only_build_toc_files: true
execute: {execute_notebooks: "off"}
bibtex_bibfiles: [book/references.bib]
sphinx:
  local_extensions: {book_pages: book/_ext}
  config: {nb_ipywidgets_js: {}}
"""
TOC = """\
format: jb-book
root: book/numbers
chapters: [{file: chapters/01_a}, {file: book/bibliography}]
"""
CHAPTER = """\
---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A chapter

```{code-cell} ipython3
1
```
"""


def number(name, ours, theirs=None, verdict=""):
    source = theirs and "Invented, table 1"
    return {
        "name": name,
        "ours": ours,
        "theirs": theirs,
        "source": source,
        "verdict": verdict,
    }


def row(label, *numbers, **changes):
    return {
        "label": label,
        "of": "",
        "why": "",
        "note": "",
        "benchmark": "permuted_mnist",
        "method": "adam",
        "settings": "lr=0.001",
        "seeds": "3 of 3",
        "numbers": list(numbers),
        "core_seconds": "1,234",
        "devices": ["A processor, 1 thread"],
        **changes,
    }


EMPTY = row("Nobody", number("mean", "not run yet"), seeds="0 of 3", core_seconds="")
BLIND = {
    "name": "table_one",
    "title": "Table one",
    "source": "kumar2023maintaining",
    "box": "A box.",
    "notes": ["Something is open."],
    "reduced": "",
    "settings": "tasks=80",
    "rows": [
        row("First", number("mean", "0.800 [0.790, 0.810]"), note="Ours is this."),
        {**EMPTY, "devices": []},
    ],
}
THEIRS = "0.801 [0.791, 0.811]"
FILLED = copy.deepcopy(BLIND)
FILLED["rows"] = [
    row("First", number("mean", "0.800 [0.790, 0.810]", THEIRS, "agree")),
    row("Second", number("mean", "0.500 [0.490, 0.510]", THEIRS, "differ")),
    row(
        "one thing less",
        number("mean", "0.790 [0.780, 0.800]", THEIRS, "agree"),
        of="Second",
        why="Is it this?",
    ),
]
SMALLER = {
    **copy.deepcopy(FILLED),
    "name": "table_one-reduced",
    "reduced": "Ten tasks.",
}
SMALLER["rows"] = [row("First", number("mean", "0.7 (one seed)", THEIRS, "smaller"))]


@pytest.fixture
def page_of(tmp_path, root, monkeypatch):
    """Return what builds a tiny book with the page, and returns the page."""
    shutil.copytree(root / "book" / "_ext", tmp_path / "book" / "_ext")
    for name in ("numbers.md", "bibliography.md", "references.bib"):
        shutil.copy(root / "book" / name, tmp_path / "book" / name)
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "01_a.md").write_text(CHAPTER)
    folder = tmp_path / "_run" / "smoke" / "chapters"
    folder.mkdir(parents=True)
    notebook = read_chapter(tmp_path / "chapters" / "01_a.md", tmp_path)
    keys = ("profile", "data", "device", "python", "torch", "numpy", "isometry")
    banner = {press_stage.BANNER: dict.fromkeys((*keys, "commit"), "none")}
    shown = nbformat.v4.new_output("display_data", data=banner)
    notebook.cells[-1].outputs = [shown]
    nbformat.write(notebook, folder / "01_a.ipynb")
    (folder / "01_a.key").write_text("x")

    def built(found):
        monkeypatch.setattr(press_stage, "suites", lambda _: found)
        output = ["--output", str(tmp_path / "site")]
        arguments = ["html", "--root", str(tmp_path), "--profile", "smoke", *output]
        assert main(arguments) == 0
        text = (tmp_path / "site" / "book" / "numbers.html").read_text()
        return BeautifulSoup(text, "html.parser").select_one("article")

    return built


def cells(table):
    return [
        [" ".join(cell.get_text(" ").split()) for cell in line.select("th, td")]
        for line in table.select("tr")
    ]


def test_before_values_are_filled_in_the_page_shows_ours_and_says_so(page_of):
    page = page_of([BLIND])
    (table,) = page.select("table.suite-table")
    head, first, nobody = cells(table)
    assert head == ["Row", "Method and its settings", "Seeds", "mean", "Core-seconds"]
    settings = "adam on permuted_mnist with lr=0.001"
    assert first == ["First", settings, "3 of 3", "0.800 [0.790, 0.810]", "1,234"]
    assert nobody == ["Nobody", settings, "0 of 3", "not run yet", ""]
    text = " ".join(page.get_text(" ").split())
    assert "No published value stands here yet." in text
    assert "Settings of Kumar" in text
    assert "All rows: tasks=80" in text
    for note in ("Something is open.", "First : Ours is this.", "Ran on: A processor"):
        assert note in text
    assert "No row has been run with one thing changed yet." in text
    assert not page.select(".verdict")


def test_filled_values_bring_both_verdicts_and_the_changes(page_of):
    page = page_of([FILLED, SMALLER])
    own, smaller, changes = page.select("table.suite-table")
    assert cells(own)[0][3:5] == ["mean", "published"]
    assert [line[4] for line in cells(own)[1:]] == [
        f"{THEIRS} agree",
        f"{THEIRS} differ",
    ]
    assert [line[0] for line in cells(own)[1:]] == ["First", "Second"]
    assert cells(smaller)[1][3:5] == ["0.7 (one seed)", f"{THEIRS} smaller"]
    assert cells(changes)[1] == [
        "Table one: Second",
        "one thing less",
        "Is it this?",
        "mean",
        "0.500 [0.490, 0.510]",
        "0.790 [0.780, 0.800]",
        THEIRS,
    ]
    text = " ".join(page.get_text(" ").split())
    assert "Published values known: 2 of 2." in text
    assert "Of our numbers 1 agree, 1 differ, 0 undecided." in text
    assert "Smaller than published. Ten tasks." in text
    titles = [title.get_text().rstrip("#") for title in page.select("section > h2")]
    assert titles == ["Table one", "Table one, reduced", "Where we differ, and why"]


def test_what_the_press_hands_over_is_where_all_suites_stand(root):
    from isometry.suites.suite import names

    found = json.loads(json.dumps(suites(root)))
    assert [suite["name"] for suite in found] == list(names())
    for suite in found:
        assert suite["rows"]
        for one in suite["rows"]:
            assert bool(one["core_seconds"]) != one["seeds"].startswith("0 of")


def test_no_number_is_typed_on_the_page_but_the_rules(root):
    text = (root / "book" / "numbers.md").read_text()
    assert re.findall(r"\d+\.\d+", text) == []
    assert sorted(set(re.findall(r"\d+ %", text))) == ["5 %", "95 %"]
