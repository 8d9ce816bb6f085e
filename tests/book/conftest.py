"""The book's press is no package of the library: make it importable for its tests."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def site():
    """The built site: $BOOK_SITE, else _build/html; skipped where there is none."""
    folder = ROOT / os.environ.get("BOOK_SITE", "_build/html")
    if not (folder / "index.html").exists():
        message = f"needed a built book in {folder}; run: make book"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
