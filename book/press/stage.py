"""Lay out what Sphinx reads: configuration, pages, executed chapters, their numbers.

Files are rewritten only when their content changes, so that Sphinx can tell.
"""

import html
import json
import re
import shutil
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from press import (
    BookError,
    chapter_files,
    repository,
    run_folder,
    site_address,
    stage_folder,
)
from press.fold import fold
from press.inputs import everything, hash_of, kept, measured
from press.pictures import NARROW, staged
from press.plain import Book, book_of
from press.portable import FOLDER, archive_name, portable, results_archive

BANNER = "application/vnd.isometry.banner+json"
NUMBERS = "application/vnd.isometry.numbers+json"
STATEMENTS = "application/vnd.isometry.statements+json"
FOR_THE_PRESS = {BANNER, NUMBERS, STATEMENTS}
CHAPTER_LINK = re.compile(r"(\]\((?:\.\./chapters/)?\d\d_\w+)\.md([)#])")
NOT_PAGES = {"press", "build.py", "lock.py", "lab-settings.json", "lab_config.py"}


def take(notebook: NotebookNode, mime: str) -> list[dict[str, Any]]:
    """Return the data of all outputs of type ``mime``, in order."""
    return [
        output["data"][mime]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if mime in output.get("data", {})
    ]


def numbers_of(notebook: NotebookNode, chapter: str) -> dict[str, Any]:
    """Return what a chapter published; BookError if a key has two values."""
    numbers: dict[str, Any] = {}
    for published in take(notebook, NUMBERS):
        for key, value in published.items():
            if numbers.get(key, value) != value:
                raise BookError(
                    f"{chapter} publishes {key} twice: {numbers[key]} and {value}"
                )
            numbers[key] = value
    return numbers


def facts_of(notebook: NotebookNode, chapter: str) -> dict[str, Any]:
    """Return a chapter's banner, with its seconds and its number of code cells."""
    banners = take(notebook, BANNER)
    if not banners:
        raise BookError(f"{chapter} never calls begin(profile, ...)")
    run = notebook.metadata.get("papermill", {})
    return {
        **banners[0],
        "seconds": round(float(run.get("duration") or 0.0), 1),
        "cells": sum(cell.cell_type == "code" for cell in notebook.cells),
        "title": title_of(notebook, chapter),
    }


def title_of(notebook: NotebookNode, chapter: str) -> str:
    """Return a chapter's first heading; BookError if it does not open with one."""
    first = notebook.cells[0].source.lstrip() if notebook.cells else ""
    lines = [line for line in first.splitlines() if line.startswith("# ")]
    if not lines:
        raise BookError(f"{chapter} must open with a '# Title'")
    return lines[0][2:].strip()


def refuse_noise(notebook: NotebookNode, chapter: str) -> None:
    """BookError if a message on standard error would end on the page."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                text = output.text.strip()
                raise BookError(
                    f"{chapter}: cell {index} writes to standard error, which would "
                    f"stand on the page:\n    {text[:600]}"
                )


def banner_html(facts: dict[str, Any]) -> str:
    """Return the line under a chapter's title: how and when it was executed."""
    shown = {
        "profile": facts["profile"],
        "data": facts["data"],
        "took": f"{facts['seconds']:.0f} s",
        "on": facts["device"],
        "with": f"Python {facts['python']}, torch {facts['torch']}, "
        f"NumPy {facts['numpy']}, isometry {facts['isometry']}",
        "commit": facts["commit"],
    }
    items = "\n".join(
        f"<div><dt>{name}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in shown.items()
    )
    return f'<dl class="run-banner" aria-label="How this page ran">\n{items}\n</dl>'


def dress(notebook: NotebookNode, facts: dict[str, Any]) -> NotebookNode:
    """Return the notebook as the page and the download show it.

    The injected parameters are hidden, code is folded, what varies between two equal
    runs is stripped, outputs meant for the press are removed, and the banner stands
    under the title. The state of widgets goes: they live in a running notebook.
    """
    notebook = nbformat.from_dict(notebook)
    for name in ("papermill", "widgets"):
        notebook.metadata.pop(name, None)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source)
        tags = cell.metadata.get("tags", [])
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if not FOR_THE_PRESS & set(output.get("data", {}))
            ]
            fold(cell)
    first = notebook.cells[0]
    head, _, rest = first.source.lstrip().partition("\n")
    while not head.splitlines()[-1].startswith("# "):
        line, _, rest = rest.partition("\n")
        head += "\n" + line
    first.source = head
    banner = nbformat.v4.new_markdown_cell(banner_html(facts))
    banner["id"] = f"{first['id']}-banner"
    notebook.cells.insert(1, banner)
    if rest.strip():
        after = nbformat.v4.new_markdown_cell(rest.strip("\n"))
        after["id"] = f"{first['id']}-rest"
        notebook.cells.insert(2, after)
    return notebook


def linked(text: str) -> str:
    """Return Markdown whose links to text chapters lead to the executed ones.

    Example:
        >>> linked("see [it](../chapters/05_adamo.md#strength)")
        'see [it](../chapters/05_adamo.ipynb#strength)'
    """
    return CHAPTER_LINK.sub(r"\1.ipynb\2", text)


def claims(root: Path) -> list[dict[str, Any]]:
    """Return all claims with their verdicts, in the order of the registry."""
    if not _has("isometry_book.claims.claim"):
        return []
    from isometry_book.claims.claim import CLAIMS
    from isometry_book.claims.verdicts import first_verdicts, judge_all
    from isometry_book.style import worded

    verdicts = judge_all(root / "results")
    before = first_verdicts(verdicts, root / "results")
    rows = []
    for key in CLAIMS.names():
        claim = CLAIMS.get(key)
        fields = ("key", "title", "text", "source", "chapter", "criterion", "shared")
        row = {name: getattr(claim, name) for name in (*fields, "changed")}
        row["outside"] = [asdict(one) for one in claim.outside]
        row |= asdict(verdicts[key])
        row |= {name: worded(row[name]) for name in ("criterion", "reason", "gap")}
        old = before.get(key)
        row["said"] = claim.said.get(row["verdict"], "")
        row["before"] = old and {name: worded(text) for name, text in old.items()}
        rows.append(row)
    return rows


def suites(root: Path) -> list[dict[str, Any]]:
    """Return where all rows of all suites stand, beside what was published."""
    if not _has("isometry.suites.suite"):
        return []
    from isometry.suites.published import read_published
    from isometry.suites.standing import described
    from isometry.suites.suite import all_suites

    values = read_published()
    return [described(suite, root / "results", values) for suite in all_suites()]


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def covers() -> dict[str, str]:
    """Return the figure of the start page, drawn by the library, wide and narrow."""
    if not _has("isometry_book.cover"):
        return {}
    from io import StringIO

    from isometry_book.cover import cover
    from isometry_book.narrow import WIDTH

    names: dict[str, dict[str, float]] = {"book/cover.svg": {}}
    names[f"book/_static/{NARROW}/cover.svg"] = {"width": WIDTH}
    drawn = {}
    for name, size in names.items():
        file = StringIO()
        cover(**size).savefig(file, format="svg", metadata={"Date": None})
        drawn[name] = file.getvalue()
    return drawn


def configuration(root: Path) -> str:
    """Return ``_config.yml``, with buttons if the repository's address is known."""
    text = (root / "_config.yml").read_text()
    url = repository()
    if not url:
        return text
    config = yaml.safe_load(text)
    # The executed notebooks live on a branch of their own: launch links end there.
    config["repository"] = {"url": url, "branch": "notebooks", "path_to_book": ""}
    config["sphinx"]["config"]["book_repository"] = url
    config["launch_buttons"] = {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    }
    return str(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def judged(root: Path) -> dict[str, Any]:
    """Return what the results say, for the stage: claims, suites, and the cover."""
    return {"claims": claims(root), "suites": suites(root), "covers": covers()}


def lay_out(root: Path, profile: str) -> Path:
    """Lay out ``_stage/<profile>`` from the executed chapters and return it.

    Raises:
        BookError: If a chapter was not executed, has no banner, or publishes one key
            with two values.
    """
    target = stage_folder(root, profile)
    files: dict[str, str | bytes | Path] = {
        "_config.yml": configuration(root),
        "_toc.yml": root / "_toc.yml",
    }
    for folder in ("book", "chapters"):
        for source in sorted((root / folder).rglob("*")):
            name = source.relative_to(root)
            if source.is_dir() or skipped(name):
                continue
            page = source.suffix == ".md"
            files[name.as_posix()] = linked(source.read_text()) if page else source
    numbers: dict[str, dict[str, Any]] = {}
    status: dict[str, dict[str, Any]] = {}
    statements: dict[str, list[dict[str, Any]]] = {}
    pages: dict[str, NotebookNode] = {}
    for path in chapter_files(root):
        done = run_folder(root, profile) / f"{path.stem}.ipynb"
        if not done.with_suffix(".key").exists():
            raise BookError(f"{path.name} has not run to its end; run `make book`")
        notebook = nbformat.read(done, as_version=4)
        refuse_noise(notebook, path.stem)
        status[path.stem] = facts_of(notebook, path.stem)
        numbers[path.stem] = numbers_of(notebook, path.stem)
        statements[path.stem] = take(notebook, STATEMENTS)
        files |= staged(notebook)
        page = pages[path.stem] = dress(notebook, status[path.stem])
        files[f"chapters/{path.stem}.ipynb"] = nbformat.writes(page) + "\n"
    found = kept(root / "_run" / "judged.json", measured(root), lambda: judged(root))
    for name, value in (
        ("numbers.json", numbers),
        ("status.json", status),
        ("statements.json", statements),
        ("claims.json", found["claims"]),
        ("suites.json", found["suites"]),
    ):
        files[name] = json.dumps(value, indent=1, sort_keys=False) + "\n"
    files |= found["covers"]
    titles = {name: facts["title"] for name, facts in status.items()}
    book = book_of(root, pages, numbers, found["claims"], titles, site_address())
    write(target, files | downloads(root, pages, status, book))
    return target


def stage(root: Path, profile: str) -> Path:
    """Make ``_stage/<profile>`` what Sphinx reads, if it is not, and return it.

    Raises:
        BookError: As :func:`lay_out`.
    """
    target = stage_folder(root, profile)
    note = target.with_name(f"{profile}.key")
    key = everything(root, profile)
    if not note.exists() or note.read_text() != key + hash_of(target):
        note.unlink(missing_ok=True)
        lay_out(root, profile)
        note.write_text(key + hash_of(target))
    return target


def downloads(
    root: Path,
    pages: dict[str, NotebookNode],
    status: dict[str, dict[str, Any]],
    book: Book,
) -> dict[str, str | bytes]:
    """Return the notebooks that run anywhere, and the results that they fetch."""
    results = root / "results"
    archive = results_archive(results) if results.is_dir() else None
    files: dict[str, str | bytes] = {}
    if archive is not None:
        files[f"{FOLDER}/{archive_name(archive)}"] = archive
    for name, page in pages.items():
        notebook = portable(page, name, status[name], book, archive)
        files[f"{FOLDER}/{name}.ipynb"] = nbformat.writes(notebook) + "\n"
    return files


def skipped(name: Path) -> bool:
    """Return whether a file of ``book/`` or ``chapters/`` is not part of the site."""
    if name.parts[0] == "chapters":
        return name.suffix in {".md", ".ipynb"} or ".ipynb_checkpoints" in name.parts
    return "__pycache__" in name.parts or name.parts[1] in NOT_PAGES


def write(target: Path, files: dict[str, str | bytes | Path]) -> None:
    """Make ``target`` hold exactly ``files``; leave alone what is equal already."""
    for name, source in files.items():
        path = target / name
        new = source.encode() if isinstance(source, str) else source
        new = new.read_bytes() if isinstance(new, Path) else new
        if not path.exists() or path.read_bytes() != new:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(new)
    for path in sorted(target.rglob("*"), reverse=True):
        name = path.relative_to(target)
        if name.parts[0] == "_build" or "__pycache__" in name.parts:
            continue
        if path.is_file() and name.as_posix() not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path)
