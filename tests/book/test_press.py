"""The press on tiny books: what must fail fails, and says where."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="needs the extra book")

import nbformat
from bs4 import BeautifulSoup
from press import BookError
from press import site as press_site
from press import stage as press_stage
from press.cli import main
from press.execute import LONG, execute, last_seconds, read_chapter
from press.freshness import data_at_hand, fresh, stamp
from press.inputs import hash_of, kept
from press.site import images_without_text
from press.stage import (
    BANNER,
    NUMBERS,
    dress,
    linked,
    numbers_of,
    refuse_noise,
    stage,
    write,
)

HEADER = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

A question?

```{code-cell} ipython3
:tags: [parameters]

profile = "laptop"
```
"""
BEGIN = """
```{code-cell} ipython3
from isometry_book.chapter import begin

chapter = begin(profile)
chapter.publish(answer=0.5)
```
"""
FACTS = {
    "profile": "smoke",
    "data": "MNIST",
    "seconds": 1.0,
    "device": "CPU",
    "python": "3",
    "torch": "2",
    "numpy": "2",
    "isometry": "0",
    "commit": "1a2b3c4",
}
NOTHING = {"claims": [], "suites": [], "covers": {}}
QUIZ = """\
[[01_a]]
ask = "Is one one?"
right = ["Yes", "It is."]
wrong = [["No", "It is."]]
"""
CONFIG = """\
title: A tiny book
only_build_toc_files: true
execute: {execute_notebooks: "off"}
sphinx:
  local_extensions: {book_pages: book/_ext, explore: book/_ext, side_by_side: book/_ext}
  config: {nb_ipywidgets_js: {}}
"""


@pytest.fixture
def tiny(tmp_path, root):
    """A book of one chapter and one page."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "book").mkdir()
    shutil.copytree(root / "book" / "_ext", tmp_path / "book" / "_ext")
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters: [{file: chapters/01_a}]\n"
    )
    (tmp_path / "book" / "intro.md").write_text("# Start\n\nHello.\n")
    (tmp_path / "chapters" / "01_a.md").write_text(HEADER + BEGIN)
    return tmp_path


def press(root, step, book):
    """Run the press in a process of its own, as people do."""
    command = [str(root / "book" / "build.py"), step, "--root", str(book)]
    return subprocess.run(
        [sys.executable, *command, "--profile", "smoke"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def notebook_of(*outputs, source="1"):
    title = nbformat.v4.new_markdown_cell("# Title\n\nText.")
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs))
    return nbformat.v4.new_notebook(cells=[title, cell])


def shown(data):
    return nbformat.v4.new_output("display_data", data=data)


def published(**numbers):
    return shown({NUMBERS: numbers})


def test_a_failing_cell_fails_the_build_and_is_named(tiny, root):
    bad = "\n```{code-cell} ipython3\nwidth = 3\nassert width > 4, 'too narrow'\n```\n"
    (tiny / "chapters" / "01_a.md").write_text(HEADER + BEGIN + bad)
    done = press(root, "all", tiny)
    assert done.returncode == 1
    said = done.stderr
    assert "01_a.md: code cell 4 failed with AssertionError: too narrow" in said
    assert "> assert width > 4" in said
    kept = tiny / "_run" / "smoke" / "chapters" / "01_a.ipynb"
    cells = nbformat.read(kept, as_version=4).cells
    assert any(cell.get("execution_count") == 3 for cell in cells)
    with pytest.raises(BookError, match=r"01_a\.md has not run to its end"):
        stage(tiny, "smoke")


@pytest.fixture
def executed(tiny):
    """A tiny book whose chapter counts as executed, without the time it takes."""
    folder = tiny / "_run" / "smoke" / "chapters"
    folder.mkdir(parents=True)
    notebook = read_chapter(tiny / "chapters" / "01_a.md", tiny)
    keys = ("profile", "data", "device", "python", "torch", "numpy", "isometry")
    banner = {BANNER: dict.fromkeys((*keys, "commit"), "none")}
    notebook.cells[-1].outputs = [shown(banner), published(answer=0.5)]
    nbformat.write(notebook, folder / "01_a.ipynb")
    (folder / "01_a.key").write_text("x")
    (tiny / "book" / "dot.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'
    )
    return tiny


def build_pages(book, text):
    (book / "book" / "intro.md").write_text(f"# Start\n\n{text}\n")
    output = ["--output", str(book / "site")]
    return main(["html", "--root", str(book), "--profile", "smoke", *output])


HOLES = {
    "{number}`01_a.answr`": "unknown number '01_a.answr'; known there: answer",
    "{number}`02_b.answer`": "unknown number '02_b.answer'; known there: 01_a",
    "{number}`01_a.answer:d`": "'01_a.answer' = 0.5 has no format 'd'",
    "[there](nowhere.md)": "nowhere.md",
    "{ref}`no-such-label`": "no-such-label",
    "{py:func}`isometry.nothing`": "isometry.nothing",
    "```{claim} no-such-claim\n```": "unknown claim 'no-such-claim'",
    "{set}`words <depth=2>`": "needed words <explorable:key=value,...>",
    "```{explorable} nothing\n```": "needed an explorable of train-it",
}


def test_every_hole_in_a_page_is_an_error_of_the_build(executed, capfd):
    assert build_pages(executed, "\n\n".join(HOLES)) == 1
    said = capfd.readouterr().err
    assert [hole for hole, message in HOLES.items() if message not in said] == []
    assert not (executed / "site").exists()


def test_one_unknown_number_is_enough_and_a_mended_page_builds(executed, capfd):
    assert build_pages(executed, "{number}`01_a.answr`") == 1
    assert build_pages(executed, "A half is {number}`01_a.answer:.2f`.") == 0
    assert "A half is" in (executed / "site" / "book" / "intro.html").read_text()
    assert ">0.50</span>" in (executed / "site" / "book" / "intro.html").read_text()
    capfd.readouterr()
    assert build_pages(executed, "A half is {number}`01_a.answer:.2f`.") == 0
    assert "is up to date" in capfd.readouterr().out


def test_a_claim_shows_what_others_measured_and_where(executed):
    assert build_pages(executed, "```{claim} strength\n```") == 0
    page = (executed / "site" / "book" / "intro.html").read_text()
    assert page.count("Elsewhere.") == 1
    assert "224.69 to 224.67" in page
    assert "issue 1560" in page


def test_an_image_that_says_nothing_fails_the_build(executed, capfd):
    assert build_pages(executed, "```{figure} dot.svg\nA dot.\n```") == 1
    said = capfd.readouterr().err
    assert "book/intro.html: image ../_images/dot.svg has no alternative text" in said


@pytest.mark.parametrize(
    ("image", "fails"),
    [
        ('<img src="a.svg">', True),
        ('<img src="a.svg" alt="">', True),
        ('<img src="a.svg" alt="  ">', True),
        ('<img src="../_images/a.svg" alt="../_images/a.svg">', True),
        ('<img src="a.svg" alt="A falling curve">', False),
        ('<img src="a.svg" alt="" role="presentation">', False),
    ],
)
def test_an_image_needs_words_or_to_be_decoration(tmp_path, image, fails):
    (tmp_path / "a.html").write_text(f"<html><body>{image}</body></html>")
    assert bool(images_without_text(tmp_path)) == fails


REACHING = """
```{code-cell} ipython3
from pathlib import Path

import near

near.later()
files = list(Path("../results/read").glob("*.parquet"))
assert [file.read_text() for file in files] == ["1"]
assert not list(Path("../results/missing").glob("*.parquet"))
```

```{code-cell} ipython3
assert Path("../benchmarks/costs.json").read_text() == "{}"
assert near.__name__ == "near"
```
"""
REACHED = {
    "chapters/near.py": "def later():\n    import lazy\n\n    lazy.VALUE\n",
    "chapters/lazy.py": "VALUE = 1\n",
    "chapters/far.py": "VALUE = 1\n",
    "results/read/a.parquet": "1",
    "results/other/b.parquet": "1",
    "benchmarks/costs.json": "{}",
    "benchmarks/other.json": "{}",
}


@pytest.fixture(scope="module")
def once(tmp_path_factory, root):
    """A chapter that was executed and reached some files, not others."""
    book = tmp_path_factory.mktemp("reaching")
    files = {"chapters/01_a.md": HEADER + REACHING, **REACHED}
    for name, text in files.items():
        (book / name).parent.mkdir(parents=True, exist_ok=True)
        (book / name).write_text(text)
    assert press(root, "execute", book).returncode == 0
    return book


@pytest.fixture
def reaching(once, tmp_path):
    """A copy of that book, to be edited."""
    return shutil.copytree(once, tmp_path / "book")


def is_fresh(book, profile="smoke", data=None):
    data = data_at_hand() if data is None else data
    return fresh(book / "chapters" / "01_a.md", book, profile, data)


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("chapters/01_a.md", False),
        ("chapters/near.py", False),
        ("chapters/lazy.py", False),  # imported inside a function
        ("chapters/far.py", True),
        ("results/read/a.parquet", False),
        ("results/read/new.parquet", False),  # a new file in a folder that was read
        ("results/read/new.lock", True),
        ("results/missing/new.parquet", False),  # a new folder may be looked for
        ("results/other/b.parquet", True),
        ("results/other/new.parquet", True),
        ("benchmarks/costs.json", False),
        ("benchmarks/other.json", True),
        ("book/intro.md", True),
        ("requirements.lock", False),
    ],
)
def test_an_edit_makes_stale_what_reached_it_and_nothing_else(reaching, name, stays):
    assert is_fresh(reaching)
    (reaching / name).parent.mkdir(exist_ok=True)
    (reaching / name).write_text("# edited\n")
    assert is_fresh(reaching) == stays


@pytest.mark.parametrize(
    "name", ["chapters/lazy.py", "results/read/a.parquet", "benchmarks/costs.json"]
)
def test_a_file_that_is_gone_makes_stale_what_reached_it(reaching, name):
    (reaching / name).unlink()
    assert not is_fresh(reaching)


def test_other_sizes_data_and_results_make_a_chapter_stale(reaching, monkeypatch):
    assert is_fresh(reaching)
    assert not is_fresh(reaching, profile="laptop")
    assert not is_fresh(reaching, data="other")
    monkeypatch.setenv("ISOMETRY_RESULTS", "elsewhere")
    assert not is_fresh(reaching)


@pytest.mark.parametrize("text", [None, "", "{", "{}"])
def test_a_chapter_without_a_record_of_what_it_reached_runs_again(reaching, text):
    record = reaching / "_run" / "smoke" / "chapters" / "01_a.reached.json"
    record.unlink()
    if text is not None:
        record.write_text(text)
    assert not is_fresh(reaching)


def test_the_longest_chapters_start_first_also_where_none_has_run(tmp_path):
    folder = tmp_path / "_run" / "smoke" / "chapters"
    folder.mkdir(parents=True)
    run = nbformat.v4.new_notebook(metadata={"papermill": {"duration": 7.5}})
    nbformat.write(run, folder / "01_a.ipynb")
    names = ("01_a", "02_b", *LONG)
    seconds = [last_seconds(tmp_path, "smoke", Path(f"{name}.md")) for name in names]
    assert seconds == [7.5, 0.0, math.inf, math.inf]


@pytest.mark.parametrize("chapter", LONG)
def test_chapters_that_are_known_to_be_long_are_there(root, chapter):
    assert (root / "chapters" / f"{chapter}.md").exists()


def test_what_changed_while_a_chapter_ran_makes_it_stale(reaching):
    path = reaching / "chapters" / "01_a.md"
    now = (reaching / "chapters" / "lazy.py").stat().st_mtime
    stamp(path, reaching, "smoke", "x", started=now + 1)
    assert is_fresh(reaching, data="x")
    stamp(path, reaching, "smoke", "x", started=now - 1)
    assert not is_fresh(reaching, data="x")


def test_an_unchanged_chapter_is_not_run_again(reaching, capsys):
    execute(reaching, "smoke")
    assert "0 of 1 chapters changed" in capsys.readouterr().out


def test_what_notes_the_reach_leaves_no_trace_in_the_notebook(reaching):
    done = reaching / "_run" / "smoke" / "chapters" / "01_a.ipynb"
    code = [c for c in nbformat.read(done, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert [cell.outputs for cell in code] == [[], [], [], []]


def test_a_chapter_reaches_the_modules_of_our_packages_wherever_they_lie(tiny, root):
    assert press(root, "execute", tiny).returncode == 0
    record = tiny / "_run" / "smoke" / "chapters" / "01_a.reached.json"
    files = json.loads(record.read_text())["files"]
    assert str(root / "lib" / "isometry_book" / "chapter.py") in files
    assert not any("site-packages" in file for file in files)
    assert not any("isometry/rl" in file for file in files)


def test_a_page_hides_the_parameters_and_strips_what_varies():
    notebook = notebook_of(published(a=1), shown({"text/plain": "kept"}))
    cell = notebook.cells[1]
    cell.metadata.update(tags=["injected-parameters"], papermill={}, execution={})
    notebook.metadata["papermill"] = {"duration": 1.0}
    page = dress(notebook, FACTS)
    assert "papermill" not in page.metadata
    assert page.cells[0].source == "# Title"
    assert '<dl class="run-banner"' in page.cells[1].source
    assert page.cells[2].source == "Text."
    assert page.cells[3].metadata == {"tags": ["injected-parameters", "remove-cell"]}
    assert page.cells[3].outputs == [shown({"text/plain": "kept"})]


@pytest.mark.parametrize(
    ("source", "tags", "outputs", "seen"),
    [
        ("chapter.publish(a=1)", [], [], ["remove-input"]),
        ("runs = train()", [], [], ["remove-input"]),
        ("x = 1\nassert x", [], [], ["remove-input"]),
        ('chapter.check("fig-a", "it falls", True)', [], [], ["remove-input"]),
        ("import torch", [], [], ["hide-input"]),
        ("assert x\nx", [], [shown({"text/plain": "1"})], ["hide-input"]),
        ("assert x", ["show"], [], ["show"]),
        ("slider()", ["remove-cell"], [], ["remove-cell"]),
    ],
)
def test_a_page_folds_code_and_leaves_out_bookkeeping(source, tags, outputs, seen):
    notebook = notebook_of(published(a=1))
    notebook.cells[1].source = source
    notebook.cells[1].metadata.update(tags=tags)
    notebook.cells[1].outputs = [*outputs, published(a=1)]
    notebook.metadata["widgets"] = {"state": {}}
    page = dress(notebook, FACTS)
    assert "widgets" not in page.metadata
    assert page.cells[3].metadata["tags"] == seen


def test_the_banner_shows_text_and_never_markup():
    page = dress(notebook_of(), FACTS | {"device": "<b>CPU</b>"})
    assert "&lt;b&gt;CPU&lt;/b&gt;" in page.cells[1].source


def test_a_key_has_one_value():
    assert numbers_of(notebook_of(published(a=1), published(a=1, b=2)), "01") == {
        "a": 1,
        "b": 2,
    }
    with pytest.raises(BookError, match="01 publishes a twice: 1 and 2"):
        numbers_of(notebook_of(published(a=1), published(a=2)), "01")


def test_a_warning_on_a_page_is_refused():
    noise = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: x")
    with pytest.raises(BookError, match="UserWarning: x"):
        refuse_noise(notebook_of(noise), "01")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](05_adamo.md)", "[a](05_adamo.ipynb)"),
        ("[a](../chapters/05_adamo.md#b)", "[a](../chapters/05_adamo.ipynb#b)"),
        ("[a](use-adamo.md)", "[a](use-adamo.md)"),
        ("[a](../chapters/05_adamo)", "[a](../chapters/05_adamo)"),
    ],
)
def test_links_to_text_chapters_lead_to_the_executed_ones(text, expected):
    assert linked(text) == expected


def test_staging_leaves_equal_files_alone_and_removes_old_ones(tmp_path):
    write(tmp_path, {"a.txt": "1", "old/b.txt": "2"})
    before = (tmp_path / "a.txt").stat().st_mtime_ns
    write(tmp_path, {"a.txt": "1", "c.txt": "3"})
    assert (tmp_path / "a.txt").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "c.txt"]


def test_a_chapter_without_a_title_or_begin_is_refused(executed):
    path = executed / "_run" / "smoke" / "chapters" / "01_a.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = []
    nbformat.write(notebook, path)
    with pytest.raises(BookError, match="01_a never calls begin"):
        stage(executed, "smoke")
    notebook.cells[-1].outputs = [shown({BANNER: {}})]
    notebook.cells[0].source = "No title"
    nbformat.write(notebook, path)
    with pytest.raises(BookError, match="must open with a '# Title'"):
        stage(executed, "smoke")


def test_a_changed_style_sheet_reaches_the_site_though_no_page_changed(
    tmp_path, monkeypatch
):
    stage, built = tmp_path / "stage", tmp_path / "built"
    sheet = stage / "book" / "_static" / "book.css"
    for path, text in ((sheet, "new"), (built / "_static" / "book.css", "old")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.setattr(press_site, "sphinx", lambda *_: built)
    site = press_site.build(tmp_path, stage, tmp_path / "site")
    assert (site / "_static" / "book.css").read_text() == "new"


def test_the_data_at_hand_are_those_that_the_library_would_take(monkeypatch, tmp_path):
    from isometry.supervised.data import resolve

    assert data_at_hand() == resolve("auto", download=False)
    monkeypatch.setenv("ISOMETRY_DATA", str(tmp_path))
    assert data_at_hand() == resolve("auto", download=False) == "digits"


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("a/b.txt", False),
        ("a/new.txt", False),
        ("a/__pycache__/b.pyc", True),
        ("_build/b.txt", True),
        ("a/b.lock", True),
    ],
)
def test_a_folder_has_another_hash_for_each_change_in_it(tmp_path, name, stays):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.txt").write_text("1")
    before = hash_of(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("2")
    assert (hash_of(tmp_path) == before) == stays
    (tmp_path / name).unlink()
    (tmp_path / "a/b.txt").write_text("1")
    assert hash_of(tmp_path) == before
    (tmp_path / "a/b.txt").rename(tmp_path / "a/c.txt")
    assert hash_of(tmp_path) != before


def test_what_is_kept_is_made_once_for_a_key_and_again_if_it_is_broken(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"rows": (1, 2)}

    file = tmp_path / "new" / "kept.json"
    for key, times in (("a", 1), ("a", 1), ("b", 2), ("a", 3)):
        assert kept(file, key, make) == {"rows": [1, 2]}
        assert len(made) == times
    file.write_text(file.read_text()[:-3])
    assert kept(file, "a", make) == {"rows": [1, 2]}
    assert len(made) == 4


@pytest.mark.parametrize(
    "name",
    [
        "_config.yml",
        "_toc.yml",
        "book/intro.md",
        "book/_ext/explore.py",
        "chapters/new.svg",
        "results/new.json",
        "sweeps/new.toml",
        "_run/smoke/chapters/01_a.ipynb",
        "_stage/smoke/book/intro.md",
        "_stage/smoke/new.md",
    ],
)
def test_an_unchanged_book_is_not_staged_again_and_a_changed_one_is(
    executed, monkeypatch, name
):
    monkeypatch.setattr(press_stage, "judged", lambda _: NOTHING)
    stage(executed, "smoke")
    laid_out = []
    monkeypatch.setattr(press_stage, "lay_out", lambda *given: laid_out.append(given))
    stage(executed, "smoke")
    assert laid_out == []
    (executed / name).parent.mkdir(exist_ok=True)
    with (executed / name).open("a") as file:
        file.write("\n")
    stage(executed, "smoke")
    assert laid_out == [(executed, "smoke")]


def test_a_chapter_that_failed_is_not_staged_though_nothing_else_changed(
    executed, monkeypatch
):
    monkeypatch.setattr(press_stage, "judged", lambda _: NOTHING)
    stage(executed, "smoke")
    (executed / "_run/smoke/chapters/01_a.key").unlink()
    with pytest.raises(BookError, match=r"01_a\.md has not run to its end"):
        stage(executed, "smoke")


def test_a_book_that_was_edited_is_built_like_a_new_one(executed, tmp_path, root):
    (executed / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\n"
        "chapters: [{file: chapters/01_a}, {file: book/more}, {file: book/calm}]\n"
    )
    (executed / "book/quizzes.toml").write_text(QUIZ)
    (executed / "book/calm.md").write_text("# Calm\n\nIts contents name the others.\n")
    page = executed / "book/more.md"
    page.write_text("# More\n\n(there)=\n## There\n\nNo number.\n")
    done = executed / "_run/smoke/chapters/01_a.ipynb"
    notebook = nbformat.read(done, as_version=4)
    asks = nbformat.v4.new_markdown_cell("```{quiz}\n```", id="01_a-quiz")
    notebook.cells.append(asks)
    nbformat.write(notebook, done)
    words = "{ref}`there`, {number}`01_a.answer:.1f`, [](more.md)"
    assert build_pages(executed, words) == 0
    seen = {}
    for file, old, new in (
        (page, "# More\n", "# Less\n"),
        (page, "## There", "## Here"),
        (executed / "book/quizzes.toml", "Is one one?", "Is two two?"),
        (done, '"answer": 0.5', '"answer": 0.7'),
    ):
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
    for name in ("edited", "new"):
        assert build_pages(executed, words) == 0
        site = executed / "site"
        # A style sheet that myst-nb writes late has a version at the second writing.
        seen[name] = {
            str(path.relative_to(site)): re.sub(r"\?v=\w+", "", path.read_text())
            for path in site.rglob("*.html")
        }
        shutil.rmtree(executed / "_stage")
        shutil.rmtree(site)
    assert seen["edited"] == seen["new"]
    start = seen["edited"]["book/intro.html"]
    assert "Less" in start
    assert "Here" in start
    assert ">0.7</span>" in start
    assert "Is two two?" in seen["edited"]["chapters/01_a.html"]


def test_pages_lead_to_colab_binder_and_their_text_once_the_address_is_known(
    executed, monkeypatch
):
    monkeypatch.setenv("BOOK_REPOSITORY", "https://github.com/owner/name")
    assert main(["stage", "--root", str(executed), "--profile", "smoke"]) == 0
    assert build_pages(executed, "Hello.") == 0
    html = (executed / "site" / "chapters" / "01_a.html").read_text()
    found = {
        str(link["href"])
        for link in BeautifulSoup(html, "html.parser").select("a[href]")
    }
    name, notebook = "owner/name", "notebooks/chapters/01_a.ipynb"
    assert {
        f"https://colab.research.google.com/github/{name}/blob/{notebook}",
        f"https://github.com/{name}/edit/main/chapters/01_a.md",
        f"https://github.com/{name}/discussions",
        f"https://github.com/{name}",
    } <= found
    binder = [link for link in found if link.startswith("https://mybinder.org/v2/gh/")]
    assert [f"{name}/notebooks?" in link for link in binder] == [True]
    assert not any("notebooks" in link and "/edit/" in link for link in found)
