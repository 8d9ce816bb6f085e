"""What others show of a page that somebody sends them: title, first words, a picture.

A picture is the first drawing of the page, or the cover, on a card of the size that is
asked for. Chromium makes it; without one there are words alone.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from press import site_address

NAME = "Plasticity by Isometry"
CARDS = "_static/cards"
WIDTH, HEIGHT = 1200, 630
MOST = 200  # letters of a description
READ = 150_000  # letters of a page, in which its first drawing is
CARD = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; width: {width}px; height: {height}px; background: #fff;
  display: flex; flex-direction: column; align-items: center;
  justify-content: space-evenly; font-family: sans-serif }}
img {{ width: 1120px; height: 460px; object-fit: contain }}
h1 {{ margin: 0 40px; font-size: 48px }}</style>
<h1>{title}</h1><img src="{image}" alt="">"""


def add_previews(site: Path, pages: Iterator[Path], cache: Path) -> None:
    """Give each page of a site its words and picture for a preview.

    Args:
        site: Its folder.
        pages: Of the site; they are written anew.
        cache: Where pictures are kept between builds.
    """
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda page: _add_preview(site, page, cache), pages):
            pass  # what failed is raised here


def _add_preview(site: Path, page: Path, cache: Path) -> None:
    html = page.read_text(encoding="utf-8")
    start = html.find('<article class="bd-article"')
    beginning = html[start : start + READ] if start >= 0 else ""
    article = BeautifulSoup(beginning, "html.parser").article
    if article is None or article.h1 is None:
        return
    title, words = heading(article), first_words(article)
    image = article.select_one('img[src$=".svg"]')
    drawing = image and page.parent / str(image["src"])
    picture = card(site, drawing, title, cache) if drawing else None
    name = page.relative_to(site).as_posix()
    tags = "\n".join(meta(title, words, name, picture))
    page.write_text(html.replace("</title>", f"</title>\n{tags}", 1), "utf-8")


def heading(article: Tag) -> str:
    """Return a page's title, without the sign of its link."""
    assert article.h1 is not None
    return article.h1.get_text().rstrip("#\N{PILCROW SIGN} \n").strip()


def first_words(article: Tag) -> str:
    """Return the first words of a page, as many as a preview shows."""
    texts = (" ".join(part.get_text().split()) for part in article.select("p"))
    text = next((text for text in texts if len(text) > 20), "")
    if len(text) <= MOST:
        return text
    return text[: MOST - 1].rsplit(" ", 1)[0] + "\N{HORIZONTAL ELLIPSIS}"


def meta(title: str, words: str, page: str, picture: str | None) -> list[str]:
    """Return a page's tags; addresses are whole if that of the site is known."""
    site = site_address()
    graph = {"title": title, "description": words, "type": "article", "site_name": NAME}
    if site:
        graph["url"] = f"{site}/{page}"
    if picture:
        graph["image"] = f"{site}/{picture}" if site else f"{up(page)}{picture}"
        graph |= {"image:width": str(WIDTH), "image:height": str(HEIGHT)}
        graph["image:alt"] = f"The first drawing of {title}"
    tags = [f'<meta name="description" content="{escape(words)}">']
    tags += [
        f'<meta property="og:{name}" content="{escape(text)}">'
        for name, text in graph.items()
    ]
    kind = "summary_large_image" if picture else "summary"
    return [*tags, f'<meta name="twitter:card" content="{kind}">']


def up(page: str) -> str:
    """Return the way from a page to the site's top.

    Example:
        >>> up("chapters/05_adamo.html")
        '../'
    """
    return "../" * page.count("/")


def card(site: Path, drawing: Path, title: str, cache: Path) -> str | None:
    """Return the name of a drawing's card in a site; None if there is no Chromium."""
    from press.site import QUIET_BROWSER, chromium

    browser = chromium()
    if browser is None or not drawing.exists():
        return None
    html = CARD.format(
        width=WIDTH,
        height=HEIGHT,
        title=escape(title),
        image=drawing.resolve().as_uri(),
    )
    known = hashlib.sha256(title.encode() + drawing.read_bytes()).hexdigest()[:16]
    kept = cache / f"{known}.png"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        source = kept.with_suffix(".html")
        source.write_text(html, encoding="utf-8")
        size = f"--window-size={WIDTH},{HEIGHT}"
        out = f"--screenshot={kept}"
        command = [browser, *QUIET_BROWSER, "--hide-scrollbars", size, out]
        quiet = subprocess.DEVNULL
        subprocess.run(
            [*command, source.as_uri()], stdout=quiet, stderr=quiet, timeout=120
        )
        source.unlink()
    if not kept.exists():
        return None
    (site / CARDS).mkdir(parents=True, exist_ok=True)
    shutil.copy(kept, site / CARDS / kept.name)
    return f"{CARDS}/{kept.name}"
