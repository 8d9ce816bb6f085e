"""Notebooks that run anywhere: chapters as plain Markdown and code.

A portable notebook installs the package, fetches the book's measured results, and has
one cell of parameters. Both come from one release, whose address follows from that of
the repository; without one the notebook says what is missing.
"""

import hashlib
import shutil
import subprocess
import sys
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from press import ROOT, repository, stage_folder
from press.freshness import PASSING
from press.plain import Book, plain

FOLDER = "downloads"
EXTRAS = "bench,plot,rl"
DATED = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file can name
SETUP = """\
# What this notebook needs: the package, and the measured results of the book.
release = "{release}"

from importlib.util import find_spec

if find_spec("isometry_book") is None:
    if not release:
        raise ImportError("needed the package plasticity-by-isometry, found none; "
                          "install it with [{extras}] from a clone of the repository")
    %pip install -q "plasticity-by-isometry[{extras}] @ {{release}}/{wheel}"
"""
FETCH = """
from isometry_book.measured import fetch_results

fetch_results(f"{{release}}/{file}",
              "{sha256}")
"""


def release() -> str:
    """Return the address of what the published notebooks need; "" if not known."""
    url = repository()
    return f"{url}/releases/download/book" if url else ""


def results_archive(results: Path) -> bytes:
    """Return a folder of results as a zip file, the same bytes for the same files.

    Args:
        results: Of the repository.
    """
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(results.rglob("*")):
            if path.is_dir() or path.suffix in PASSING:
                continue
            name = path.relative_to(results).as_posix()
            entry = zipfile.ZipInfo(f"results/{name}", DATED)
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def archive_name(content: bytes) -> str:
    """Return the archive's file name, which differs with what is in it."""
    return f"results-{hashlib.sha256(content).hexdigest()[:12]}.zip"


def setup_cell(archive: bytes | None) -> NotebookNode:
    """Return the cell that installs the package and fetches results."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheel = f"plasticity_by_isometry-{project['version']}-py3-none-any.whl"
    source = SETUP.format(release=release(), extras=EXTRAS, wheel=wheel)
    if archive is not None:
        digest = hashlib.sha256(archive).hexdigest()
        source += FETCH.format(file=archive_name(archive), sha256=digest)
    return new_code_cell(source.rstrip("\n"), id="setup")


def portable(
    page: NotebookNode,
    chapter: str,
    facts: dict[str, Any],
    book: Book,
    archive: bytes | None,
) -> NotebookNode:
    """Return a chapter as a notebook that needs nothing of the book's build.

    Args:
        page: The executed chapter as the site shows it, see :func:`press.stage.dress`.
        chapter: Its file name without its end.
        facts: How it ran.
        book: What its roles refer to.
        archive: The results; None if there are none.
    """
    ran = (
        f"*Ran with profile {facts['profile']}, {facts['data']}, on {facts['device']}, "
    )
    ran += f"in {facts['seconds']:.0f} s; commit {facts['commit']}.*"
    out = nbformat.from_dict(page)
    cells, out.cells = out.cells, []
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "injected-parameters" in tags:
            continue
        if cell.id.endswith("-banner"):
            cell.source = ran
            out.cells += [cell, setup_cell(archive)]
            continue
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source, chapter, book).strip("\n")
        kept: dict[str, Any] = {}
        if "parameters" in tags:
            cell.source = f'profile = "{facts["profile"]}"'
            kept = {"tags": ["parameters"]}
        elif {"hide-input", "remove-input"} & set(tags):
            kept = {"jupyter": {"source_hidden": True}}
        cell.metadata = nbformat.from_dict(kept)
        if cell.source:
            out.cells.append(cell)
        if moves(cell):
            page_of = f"{book.pages}/chapters/{chapter}.html" if book.pages else ""
            where = f"[the book's page]({page_of})" if page_of else "the book's page"
            text = f"*This is a still; on {where} it has controls.*"
            out.cells.append(new_markdown_cell(text, id=f"{cell.id}-still"))
        if figure:
            words = plain(figure["caption"], chapter, book)
            text = f"**{book.labels[figure['name']]}.** {words}"
            out.cells.append(new_markdown_cell(text, id=f"{cell.id}-caption"))
    return out


def moves(cell: NotebookNode) -> bool:
    """Return whether a cell shows what needs the site's scripts."""
    return any(
        "data-explorable=" in "".join(output.get("data", {}).get("text/html", ""))
        for output in cell.get("outputs", [])
    )


def write_notebooks(root: Path, profile: str, out: Path) -> None:
    """Write what a release has: portable notebooks, the results, and the wheel.

    Args:
        root: The repository, staged.
        profile: Whose outputs to take.
        out: Folder for the files; others in it stay.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted((stage_folder(root, profile) / FOLDER).iterdir()):
        shutil.copy(path, out / path.name)
        print(f"{out.name}/{path.name}")
    options = ["-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out)]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True
    )
