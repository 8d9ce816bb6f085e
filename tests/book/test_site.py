"""The built site, as a reader's browser sees it: offline, quiet, whole."""

import io
import json
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from press.site import images_without_text, pages

pytestmark = pytest.mark.site

LARGEST_ZIP = 25e6  # bytes
PHONE = {"width": 390, "height": 844}
HARMLESS = ("strict mode: use allowUnionTypes",)  # the widgets' schema, a warning


def soup_of(page):
    return BeautifulSoup(page.read_text(), "html.parser")


@pytest.fixture(scope="session")
def soups(site):
    found = {page: soup_of(page) for page in pages(site)}
    # The start page is a redirect to the first page of the book.
    return {page: soup for page, soup in found.items() if page != site / "index.html"}


def test_the_start_page_leads_to_the_introduction(site):
    refresh = soup_of(site / "index.html").select_one("meta[http-equiv=Refresh i]")
    assert refresh["content"].endswith("url=book/intro.html")


def test_every_image_says_what_it_shows(site):
    assert images_without_text(site) == []


def test_every_internal_link_and_anchor_leads_somewhere(site, soups):
    targets = {
        page: {tag["id"] for tag in s.select("[id]")} for page, s in soups.items()
    }
    broken = []
    for page, soup in soups.items():
        for link in soup.select("a[href]"):
            url = urlsplit(link["href"])
            if url.scheme or url.netloc:
                continue
            path = page if not url.path else (page.parent / unquote(url.path)).resolve()
            anchors = targets.get(path) if url.fragment else None
            lost = anchors is not None and unquote(url.fragment) not in anchors
            if lost or not path.is_file():
                broken.append(f"{page.relative_to(site)}: {link['href']}")
    assert broken == []


def test_no_page_names_another_host_for_what_it_loads(site, soups):
    loaded = []
    for page, soup in soups.items():
        tags = soup.select("script[src], img[src], iframe[src], source[src]")
        urls = [tag["src"] for tag in tags]
        links = soup.select("link[href]:not([rel=canonical])")
        urls += [tag["href"] for tag in links]
        loaded += [
            f"{page.relative_to(site)}: {url}"
            for url in urls
            if urlsplit(url).netloc or urlsplit(url).scheme in {"http", "https"}
        ]
    assert loaded == []


def test_every_page_has_a_language_a_title_and_one_main_heading(soups):
    for page, soup in soups.items():
        if page.name in {"search.html", "genindex.html", "py-modindex.html"}:
            continue
        assert soup.html.get("lang"), page
        assert soup.title.string.strip(), page
        assert len(soup.select("article h1")) == 1, page


def test_every_chapter_offers_its_executed_notebook(site):
    chapters = sorted((site / "chapters").glob("*.html"))
    assert len(chapters) == 7
    for chapter in chapters:
        source = site / "_sources" / "chapters" / f"{chapter.stem}.ipynb"
        assert f"_sources/chapters/{source.name}" in chapter.read_text(), chapter
        cells = json.loads(source.read_text())["cells"]
        assert any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_every_chapter_says_how_it_ran(site):
    for chapter in sorted((site / "chapters").glob("*.html")):
        banner = soup_of(chapter).select_one("dl.run-banner")
        terms = [term.text for term in banner.select("dt")]
        assert terms == ["profile", "data", "took", "on", "with", "commit"], chapter


def test_the_zipped_site_is_small_enough_to_send(site):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in site.rglob("*"):
            archive.write(path, path.relative_to(site))
    assert file.tell() < LARGEST_ZIP


@pytest.fixture(scope="session")
def served(site):
    """The site on a free port of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def watch(page, base):
    """Return the list to which everything that goes wrong on ``page`` is added."""
    wrong = []

    def note_request(request):
        if not request.url.startswith((base, "data:", "blob:")):
            wrong.append(f"request to {request.url}")

    def note_response(response):
        if response.status >= 400:
            wrong.append(f"{response.status} for {response.url}")

    def note_message(message):
        known = any(text in message.text for text in HARMLESS)
        if message.type == "error" and not known:
            wrong.append(f"console: {message.text}")

    page.on("request", note_request)
    page.on("response", note_response)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("console", note_message)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    return wrong


@pytest.mark.browser
@pytest.mark.parametrize("way", ["file", "http"])
def test_every_page_opens_without_a_complaint_or_another_host(
    site, soups, browser, served, way
):
    base = served if way == "http" else site.as_uri() + "/"
    context = browser.new_context()
    page = context.new_page()
    wrong = watch(page, base)
    complaints = {}
    for path, soup in soups.items():
        name = path.relative_to(site).as_posix()
        page.goto(base + name, wait_until="load")
        page.wait_for_function("document.readyState === 'complete'")
        maths = soup.select("article .math")
        if maths:
            page.wait_for_selector("mjx-container", state="attached", timeout=20_000)
        if soup.select('script[type="application/vnd.jupyter.widget-view+json"]'):
            page.wait_for_selector(".jupyter-widgets", timeout=20_000)
        page.wait_for_timeout(100)
        if wrong:
            complaints[name] = sorted(set(wrong))
            wrong.clear()
    context.close()
    assert complaints == {}


@pytest.mark.browser
def test_no_page_is_wider_than_a_phone(site, soups, browser):
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    wide = {}
    for path in soups:
        page.goto(path.as_uri(), wait_until="load")
        # Before it is typeset, a formula is one long word.
        page.evaluate("window.MathJax?.startup?.promise")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            wide[path.relative_to(site).as_posix()] = width
    context.close()
    assert wide == {}


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colour_scheme_follows_the_reader(site, browser, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((site / "book" / "intro.html").as_uri(), wait_until="load")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    context.close()


@pytest.mark.browser
def test_the_widgets_of_chapter_five_are_alive(site, browser):
    chapter = site / "chapters" / "05_adamo.html"
    if "vnd.jupyter.widget-view" not in chapter.read_text():
        pytest.skip("chapter 5 shows no widget in this edition")
    context = browser.new_context()
    page = context.new_page()
    page.goto(chapter.as_uri(), wait_until="load")
    page.wait_for_selector(".jupyter-widgets", timeout=20_000)
    handle = page.locator(".jupyter-widgets .noUi-handle").first
    before = handle.get_attribute("aria-valuetext")
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([handle, before]) => handle.getAttribute('aria-valuetext') !== before",
        arg=[handle.element_handle(), before],
        timeout=5000,
    )
    context.close()


@pytest.mark.browser
def test_search_finds_the_optimiser_without_a_network(site, browser):
    context = browser.new_context()
    page = context.new_page()
    page.goto((site / "search.html").as_uri() + "?q=isometry", wait_until="load")
    page.wait_for_selector("#search-results li", timeout=20_000)
    context.close()
