"""The book's press is no package of the library: make it importable for its tests."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))
STATIC = (ROOT / "book" / "_static").as_uri()
PAGE = f"""<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">
<title>Explorables</title><link rel="stylesheet" href="{STATIC}/book.css"><body>"""


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


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; skipped where there is none."""
    from press.site import QUIET_BROWSER, chromium

    path = chromium()
    if path is None:
        message = "needed Chromium for the browser tests; install it or set $CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    flags = [flag for flag in QUIET_BROWSER if not flag.startswith("--headless")]
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=path, args=flags)
        yield running
        running.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Return a function that opens HTML of explorables, and fails on any error."""
    contexts, wrong = [], []

    def opens(html, address="", before="", **options):
        file = tmp_path / "page.html"
        file.write_text(PAGE + html.replace("../_static", STATIC))
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.add_init_script(before)
        page.goto(file.as_uri() + address, wait_until="load")
        return page

    yield opens
    for context in contexts:
        context.close()
    assert wrong == []
