"""The book's press: text chapters in, executed notebooks and a strict site out.

``execute`` runs the chapters, ``stage`` lays out what Sphinx reads, ``site`` builds and
checks the pages. ``book/build.py`` is the command line.
"""

import os
import sys
import tomllib
from pathlib import Path

# jsonschema, which nbformat imports, would parse a grammar of addresses with it, for a
# second or two, and nothing here asks for that.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("smoke", "laptop", "paper")


class BookError(Exception):
    """The book cannot be made; the message says where and why."""


def repository() -> str:
    """Return the repository's address: BOOK_REPOSITORY, else what pyproject.toml says.

    An empty text if it is not known.
    """
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    known = os.environ.get("BOOK_REPOSITORY") or tools["isometry"]["repository"]
    return str(known).rstrip("/")


def site_address() -> str:
    """Return where the pages of the repository are published; "" if not known.

    ``$BOOK_SITE_ADDRESS``, else the address that GitHub gives them.
    """
    if named := os.environ.get("BOOK_SITE_ADDRESS"):
        return named.rstrip("/")
    host, _, name = repository().removeprefix("https://github.com/").partition("/")
    return f"https://{host}.github.io/{name}" if name and ":" not in host else ""


def run_folder(root: Path, profile: str) -> Path:
    """Return the folder of the executed notebooks."""
    return root / "_run" / profile / "chapters"


def stage_folder(root: Path, profile: str) -> Path:
    """Return the folder that Sphinx reads."""
    return root / "_stage" / profile


def chapter_files(root: Path) -> list[Path]:
    """Return the chapters' text notebooks in reading order; BookError if none."""
    found = sorted((root / "chapters").glob("*.md"))
    if not found:
        raise BookError(f"needed chapters/*.md in {root}, found none")
    return found
