"""The chapters as text: one form, short cells, no number typed by hand."""

import ast
import asyncio
import re
import runpy

import pytest

pytest.importorskip("jupytext", reason="needs the extra book")

import jupytext
from press import ROOT, chapter_files
from press.fold import BOOKKEEPING
from press.text import normalised
from traitlets.config import Config

LINES, COLUMNS = 15, 79
# Figures whose captions only say how to read them.
STATES_NOTHING = {"fig-permuted"}
OFF_THE_PAGE = 30, 88  # of a cell that no page shows
HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""
CHAPTERS = chapter_files(ROOT)
chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)

# What may hold digits: mathematics, code, roles, links, citations, directives' options,
# comments. `<!-- measured elsewhere: why -->` in a paragraph allows its numbers.
HOLDS_NO_PROSE = [
    re.compile(pattern, re.S | re.M)
    for pattern in (
        r"<!-- measured elsewhere: .*? -->[^\n]*(?:\n[^\n]+)*",
        r"^(`{3,})\{(?:math|code-cell|code-block|claim|figure|image)\}.*?^\1\s*$",
        r"^(`{3,})\w*\n.*?^\1\s*$",
        r"^ *(`{3,})\{dropdown\}.*?^ *\1\s*$",
        r"^ *`{3,}.*$",
        r"\$\$.*?\$\$",
        r"\$[^$]*\$",
        r"\{[\w:-]+\}`[^`]*`",
        r"`[^`]*`",
        r"\]\([^)]*\)",
        r"^:[\w-]+:.*$",
        r"arXiv:? ?\d{4}\.\d{4,5}",
        r"<[^>]*>",
    )
]
# A result has a decimal point, a percent sign, a power of ten or the word "times".
RESULT = re.compile(
    r"(?<![\w.])(?:\d+\.\d+(?!\.\d)|\d+(?:\.\d+)?\s?(?:%|percent\b|times\b)"
    r"|\d+(?:\.\d+)?e[-+]?\d+)"
)
# Places in other texts, versions, and the level that every interval has.
NO_RESULT = re.compile(
    r"(?:Eq\.|Equation|Sec\.|Section|Fig\.|Figure|Table|Python|torch|NumPy|version)"
    r"\s*\(?\d[\d.]*|\b95\s?%"
)


def hand_typed(prose):
    """Return the numbers in ``prose`` that look like results."""
    for pattern in HOLDS_NO_PROSE:
        prose = pattern.sub(" ", prose)
    return RESULT.findall(NO_RESULT.sub(" ", prose))


def cells_of(path, kind):
    return [c for c in jupytext.read(path).cells if c.cell_type == kind]


def body(source):
    """Return the code of a cell without Jupyter's own commands."""
    return "\n".join(
        line for line in source.splitlines() if not line.startswith(("%", "!"))
    )


@chapter
def test_a_round_trip_through_a_notebook_changes_nothing(path):
    text = path.read_text()
    assert normalised(text, path) == text, "run: make format"


@pytest.mark.filterwarnings("ignore:Overriding existing pre_save_hook")  # by itself
@pytest.mark.parametrize("hooked", [True, False])
def test_a_save_in_jupyterlab_changes_nothing(hooked, tmp_path, monkeypatch):
    text = CHAPTERS[0].read_text()
    (tmp_path / "chapters").mkdir()
    (tmp_path / "jupytext.toml").write_text((ROOT / "jupytext.toml").read_text())
    file = tmp_path / "chapters" / "01.md"
    file.write_text(text)
    monkeypatch.setattr("press.text.ROOT", tmp_path)
    config = Config()
    if hooked:
        runpy.run_path(
            str(ROOT / "book/lab_config.py"),
            init_globals={"get_config": lambda: config},
        )
    manager = jupytext.AsyncTextFileContentsManager
    server = manager(root_dir=str(tmp_path), config=config)
    model = asyncio.run(server.get("chapters/01.md", type="notebook"))
    kernel = ("python3", "Python 3 (ipykernel)", "python")
    keys = ("name", "display_name", "language")
    model["content"]["metadata"]["kernelspec"] = dict(zip(keys, kernel, strict=True))
    for cell in model["content"]["cells"]:
        cell["metadata"]["trusted"] = True
    asyncio.run(server.save(model, "chapters/01.md"))
    assert "trusted" not in file.read_text()
    assert (file.read_text() == text) is hooked
    assert normalised(file.read_text(), CHAPTERS[0]) == text


def test_normalising_twice_is_normalising_once():
    text = HEADER + (
        "\n# Title\n```{code-cell} ipython3\n---\nmystnb:\n  figure:\n    caption: |\n"
        "      Two lines\n      of text.\n---\n1 + 1\n```\n"
    )
    once = normalised(text, CHAPTERS[0])
    assert "caption: Two lines of text." in once
    assert normalised(once, CHAPTERS[0]) == once


@chapter
def test_every_chapter_has_the_same_header_and_one_title(path):
    text = path.read_text()
    assert text.startswith(HEADER)
    headings = [
        line
        for cell in cells_of(path, "markdown")
        for line in re.sub(r"^```.*?^```", "", cell.source, flags=re.S | re.M).split(
            "\n"
        )
        if line.startswith("# ")
    ]
    assert len(headings) == 1


@chapter
def test_the_first_cell_holds_the_profile_and_the_second_begins(path):
    first, second, *_ = cells_of(path, "code")
    assert first.metadata.get("tags") == ["parameters"]
    assert first.source == 'profile = "laptop"'
    assert re.search(r"^chapter = begin\(profile\b", second.source, re.M)


@chapter
def test_cells_are_short_and_fit_on_paper(path):
    for cell in cells_of(path, "code"):
        lines = cell.source.splitlines()
        words = ("import ", "from ", *BOOKKEEPING)
        unseen = any(word in cell.source for word in words) and not (
            "mystnb" in cell.metadata or "show" in cell.metadata.get("tags", [])
        )
        most, widest = OFF_THE_PAGE if unseen else (LINES, COLUMNS)
        assert len(lines) <= most, cell.source
        assert max(map(len, lines), default=0) <= widest, cell.source


@chapter
def test_cells_call_the_library_and_define_no_class_and_no_training_loop(path):
    for cell in cells_of(path, "code"):
        nodes = list(ast.walk(ast.parse(body(cell.source))))
        assert not any(isinstance(node, ast.ClassDef) for node in nodes), cell.source
        loops = [node for node in nodes if isinstance(node, ast.For | ast.While)]
        called = {
            node.attr
            for loop in loops
            for node in ast.walk(loop)
            if isinstance(node, ast.Attribute)
        }
        assert not called & {"backward", "zero_grad", "step"}, cell.source


@chapter
def test_no_cell_names_a_path_of_its_own_machine(path):
    for cell in cells_of(path, "code"):
        assert not re.search(r"""["'](?:/|~|\.\./)""", cell.source), cell.source


@chapter
def test_every_figure_has_a_caption_and_words_for_those_who_cannot_see_it(path):
    for cell in cells_of(path, "code"):
        shown = cell.metadata.get("mystnb", {})
        if "figure" in shown:
            assert shown["figure"].get("caption", "").strip(), cell.source
            assert shown["figure"].get("name", "").startswith("fig-"), cell.source
            assert len(shown.get("image", {}).get("alt", "")) > 20, cell.source


@chapter
def test_what_a_caption_states_is_checked(path):
    cells = cells_of(path, "code")
    shown = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in cells]
    names = {figure["name"] for figure in shown if figure}
    code = "\n".join(cell.source for cell in cells)
    checked = {name for name in names if f'"{name}"' in code}
    assert names - checked == STATES_NOTHING & names, "chapter.check, or list it above"


@chapter
def test_the_numbers_of_a_chapter_come_from_its_run(path):
    texts = [cell.source for cell in cells_of(path, "markdown")]
    for cell in cells_of(path, "code"):
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        texts.append(figure.get("caption", ""))
    hint = "publish it, or set it as mathematics or code if it is a setting"
    assert hand_typed("\n\n".join(texts)) == [], hint


@chapter
def test_every_chapter_has_the_same_parts_in_the_same_order(path):
    text = path.read_text()
    assert "```{claim} " in text
    assert "```{chapter-claims}" in text
    parts = (
        "```{admonition} In short",
        "*You need:*",
        "## What would change our mind",
        "## What to take away",
        "## Check yourself",
        "```{quiz}",
        "## Exercises",
        "## Sources",
    )
    places = [re.search(rf"^{re.escape(part)}", text, re.M) for part in parts]
    assert None not in places, dict(zip(parts, places, strict=True))
    assert (found := [p.start() for p in places if p]) == sorted(found)


@pytest.mark.parametrize(
    ("prose", "numbers"),
    [
        ("The accuracy is 0.93.", ["0.93"]),
        ("It falls by 12 %.", ["12 %"]),
        ("AdamO is 3 times as slow.", ["3 times"]),
        ("The deviation is 1e-7.", ["1e-7"]),
        ("Four layers of 512 units, 8 seeds.", []),
        ("The accuracy is {number}`01_plasticity.a:.2f`.", []),
        ("With $\\lambda = 0.1$ and `lr=0.001`.", []),
        ("The penalty (Eq. 16) and Sec. 4.1 of the paper.", []),
        ("See arXiv 2606.09762.", []),
        ("The band is the 95 % interval.", []),
        ("<!-- measured elsewhere: the paper's own -->\nIt costs 4.5 % memory.", []),
        ("One line.\n\n<!-- measured elsewhere: x -->\n4.5 %\n\nNot 0.5.", ["0.5"]),
    ],
)
def test_what_counts_as_a_number_typed_by_hand(prose, numbers):
    assert hand_typed(prose) == numbers
