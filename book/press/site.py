"""Build the staged book strictly, check its pages, and put the site in place."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, SoupStrainer

from press import BookError
from press.accessible import mend
from press.inputs import hash_of, measured
from press.pictures import NARROW, dress_pictures
from press.policy import add_policies
from press.preview import add_previews
from press.weight import lighten

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET_BROWSER = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--no-first-run",
)
PROBLEM = re.compile(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b|Error:|Exception")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Jupyter Book has no option for two processes. The module that is missing would parse a
# grammar of addresses for a second, and nothing asks for it.
START = """
import sys
from functools import partial
sys.modules["rfc3987_syntax"] = None
from jupyter_book import sphinx
sphinx.build_sphinx = partial(sphinx.build_sphinx, jobs=2, force_all=True)
from jupyter_book.cli.main import main
main()
"""


def sphinx(stage: Path, around: str) -> Path:
    """Build with every warning an error; return the folder of the pages.

    Pages whose text and numbers are as they were are not read again, and all are
    written, for each shows the others' titles.

    Args:
        stage: The staged tree.
        around: A hash of what pages show beside it; if it is new, all are read.

    Raises:
        BookError: With all warnings, if there is one.
    """
    own = [stage / name for name in ("book/_ext", "_config.yml", "_toc.yml")]
    key, note = hash_of(*own) + around, stage / "_build" / ".around"
    if not note.exists() or note.read_text() != key:
        shutil.rmtree(stage / "_build", ignore_errors=True)
    command = ["-c", START, "build", str(stage), "-W", "-n", "--keep-going"]
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    log = stage / "_build" / "html.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout)
    note.write_text(key)
    if done.returncode:
        # A second, incremental run would not read the pages with warnings again.
        shutil.rmtree(stage / "_build" / ".doctrees", ignore_errors=True)
        text = COLOUR.sub("", done.stdout).replace(f"{stage}/", "")
        lines = text.splitlines()
        found = [line for line in lines if PROBLEM.search(line)]
        found = list(dict.fromkeys(found or lines[-40:]))
        message = ["the strict build found:", *found, f"whole log: {log}"]
        raise BookError("\n".join(message))
    return stage / "_build" / "html"


def pages(site: Path) -> Iterator[Path]:
    """Return the site's pages, without the listings of source code."""
    for path in sorted(site.rglob("*.html")):
        if not {"_modules", "_static"} & set(path.relative_to(site).parts):
            yield path


def images_without_text(site: Path) -> list[str]:
    """Return one line for every image that says nothing to a reader who cannot see it.

    Sphinx puts the file's name where no text was given, so a name counts as none.
    """
    found = []
    for page in pages(site):
        only = SoupStrainer("img")
        soup = BeautifulSoup(page.read_text(), "html.parser", parse_only=only)
        for image in soup.find_all("img"):
            text = str(image.get("alt") or "").strip()
            source = str(image.get("src") or "")
            decorative = image.get("alt") == "" and image.get("role") == "presentation"
            if decorative or (text and text != source and "_images/" not in text):
                continue
            name = page.relative_to(site).as_posix()
            found.append(f"{name}: image {source[-60:]} has no alternative text")
    return found


def build(root: Path, stage: Path, output: Path) -> Path:
    """Build the staged book, check it, and make ``output`` hold the site.

    Args:
        root: The repository.
        stage: The staged tree.
        output: Folder of the finished site; replaced as a whole.

    Raises:
        BookError: If there is a warning or an image without alternative text.
    """
    start = time.perf_counter()
    around = measured(root)
    key = f"{hash_of(stage)}{around}{chromium()}"
    stamp = output / ".built-from"
    if stamp.exists() and stamp.read_text() == key:
        print(f"site: {output} is up to date")
        return output
    built = sphinx(stage, around)
    missing = images_without_text(built)
    if missing:
        hint = "add `image: {alt: ...}` under mystnb, or :alt: to the directive"
        raise BookError("\n".join([*missing, hint]))
    (built / ".nojekyll").touch()
    new = output.with_name(f"{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(built, new, ignore=shutil.ignore_patterns(".buildinfo"))
    # Where no page is out of date, Sphinx does not look at style sheets and scripts.
    static = stage / "book" / "_static"
    if static.is_dir():
        shutil.copytree(static, new / "_static", dirs_exist_ok=True)
    # The page's button leads to its source: to the notebook that runs anywhere.
    sources = new / "_sources" / "chapters"
    for notebook in (stage / "downloads").glob("*.ipynb") if sources.is_dir() else ():
        shutil.copy(notebook, sources / notebook.name)
    dress_pictures(new, pages(new))
    lighten(new, pages(new))
    mend(pages(new))
    shutil.rmtree(new / "_static" / NARROW, ignore_errors=True)
    add_previews(new, pages(new), root / "_build" / "cards")
    add_policies(new)
    (new / ".built-from").write_text(key)
    shutil.rmtree(output, ignore_errors=True)
    new.rename(output)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"site: {output} ({size / 1e6:.1f} MB) built in {seconds:.0f} s")
    return output


def chromium() -> str | None:
    """Return the path of a Chromium, or of the browser in $CHROMIUM; None without."""
    wanted = os.environ.get("CHROMIUM")
    names = (wanted,) if wanted else CHROMIUM_NAMES
    return next((path for name in names if (path := shutil.which(name))), None)
