"""What the steps after the chapters are made of, as hashes; with the same none is done.

A chapter runs again for what it reached (:mod:`press.freshness`). The steps behind it
take seconds and read much, so whole folders count for them.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from press import ROOT, repository, run_folder, site_address
from press.freshness import ELSEWHERE, PASSING

TEXT = ("book", "chapters", "_config.yml", "_toc.yml")
MEASURED = ("results", "sweeps", "benchmarks/reports")
MADE = {"__pycache__", "_build"}  # folders that do not count
PACKAGES = ("isometry", "isometry_book")


def hash_of(*places: Path) -> str:
    """Return a hash of files and folders: of all names and contents in them.

    Args:
        places: One that is missing counts as an empty folder.
    """
    total = hashlib.sha256()
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            name = path.relative_to(place.parent)
            passes = MADE & {*name.parts} or path.suffix in PASSING
            if path.is_file() and not passes:
                content = path.read_bytes()
                total.update(f"\n{name.as_posix()}\n{len(content)}\n".encode())
                total.update(content)
    return total.hexdigest()


def code() -> str:
    """Return a hash of what makes the pages: the press, the packages, the lock."""
    found = [spec.origin for name in PACKAGES if (spec := find_spec(name))]
    packages = [Path(origin).parent for origin in found if origin]
    own = ROOT / "book"
    files = [ROOT / name for name in ("pyproject.toml", "requirements.lock")]
    around = (sys.version, repository(), site_address(), os.environ.get(ELSEWHERE))
    return hash_of(own / "press", own / "_ext", *files, *packages) + repr(around)


def measured(root: Path) -> str:
    """Return a hash of what was measured and planned, and of what reads it."""
    return hash_of(*(root / name for name in MEASURED)) + code()


def everything(root: Path, profile: str) -> str:
    """Return a hash of all that the pages are made of.

    Args:
        root: The repository.
        profile: Whose executed chapters.
    """
    runs = sorted(run_folder(root, profile).glob("*.ipynb"))
    text = [root / name for name in TEXT]
    return hash_of(*text, *runs, *(run.with_suffix(".key") for run in runs)) + measured(
        root
    )


def kept(file: Path, key: str, make: Callable[[], Any]) -> Any:
    """Return what was made under a key, or make it and keep it.

    Args:
        file: Where it is kept, as JSON.
        key: Of all that it is made of.
        make: Makes it, of what JSON knows.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["key"] == key:
            return found["made"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or half of one
        pass
    text = json.dumps({"key": key, "made": make()})
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}.partial")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
    return json.loads(text)["made"]
