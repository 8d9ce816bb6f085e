"""Pages on a telephone, by ear, and their weight: what comes before reading."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from press.accessible import mended
from press.site import pages

PHONE = {"width": 390, "height": 844}
HEAVIEST = 1_050_000  # bytes of styles, scripts and fonts, without text and pictures
LONGEST = 350_000  # bytes of a page's own text
LISTINGS = {"api.html", "genindex.html"}  # name all of the library
READABLE = 4.5  # WCAG AA


def test_the_themes_slips_are_mended():
    page = (
        '<th class="blank level0" >&nbsp;</th><th class="col0">Adam</th>'
        '<div role="list"><div role="doc-biblioentry">A</div></div>'
        '<button class="btn search-button-field" title="Search" aria-label="Search">'
        '<i class="theme-switch fa-sun" data-mode="light" title="Light"></i>'
        "<dl>\n<dd><em>a</em>,</dd>\n<dd>b</dd>\n</dl>"
    )
    assert mended(page) == (
        '<td class="blank level0" ></td><th class="col0">Adam</th>'
        '<div role="list"><div role="listitem">A</div></div>'
        '<button class="btn search-button-field" title="Search">'
        '<i class="theme-switch fa-sun" data-mode="light"></i>'
        '<ul class="sig-parts">\n<li><em>a</em>,</li>\n<li>b</li>\n</ul>'
    )


@pytest.fixture(scope="session")
def shown(site):
    """All pages of the site but the redirect, by name."""
    found = {page.relative_to(site).as_posix(): page for page in pages(site)}
    found.pop("index.html")
    return found


@pytest.mark.site
def test_who_hears_a_page_is_told_what_stands_there(shown):
    wrong = []
    for name, page in shown.items():
        soup = BeautifulSoup(page.read_text(), "html.parser")
        heads = soup.select("article th:not(:has([data-axis]))")  # a script's
        wrong += [f"{name}: {th}" for th in heads if not th.get_text(strip=True)]
        for part in soup.select("[role=list]"):
            kinds = {tag.get("role") for tag in part.find_all(recursive=False)}
            wrong += [f"{name}: {kinds} in a list"] if kinds - {"listitem"} else []
        for part in soup.select("button[aria-label], a[aria-label]"):
            words = " ".join(part.get_text(" ").split()).lower()
            if words not in part["aria-label"].lower():
                wrong.append(f"{name}: {part['aria-label']!r} is written {words!r}")
    assert wrong == []


CUT = """() => {
  const kinds = "table, mjx-container[display='true'], .cell_output pre";
  const wide = `.bd-article :is(${kinds})`;
  const scroller = (part) => {
    for (let box = part; box && !box.matches(".bd-article"); box = box.parentElement)
      if (/auto|scroll/.test(getComputedStyle(box).overflowX)) return box;
  };
  const told = (box) => {
    const hint = box?.nextElementSibling;
    return hint?.matches(".scroll-hint") && !hint.hidden && box.tabIndex === 0;
  };
  return [...document.querySelectorAll(wide)].filter((part) => {
    if (!part.offsetParent) return false;
    const box = scroller(part);
    const beyond = part.getBoundingClientRect().right > innerWidth + 1;
    return (box ? box.scrollWidth > box.clientWidth + 1 : beyond) && !told(box);
  }).map((part) => part.textContent.trim().slice(0, 60));
}"""


@pytest.mark.site
@pytest.mark.browser
def test_no_table_and_no_formula_is_cut_on_a_telephone_without_saying_so(
    shown, browser
):
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    cut = {}
    for name, path in shown.items():
        if name.endswith(tuple(LISTINGS)):
            continue
        page.goto(path.as_uri(), wait_until="load")
        page.evaluate("window.MathJax?.startup?.promise")
        page.evaluate("document.fonts.ready.then(() => true)")
        page.wait_for_timeout(100)
        if found := page.evaluate(CUT):
            cut[name] = found
        assert page.locator("mjx-merror").count() == 0, name
    context.close()
    assert cut == {}


CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const curve = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = parts(colour).map((part) => curve(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const ground = (part) => {
    for (let box = part; box; box = box.parentElement) {
      const colour = getComputedStyle(box).backgroundColor;
      const [, , , alpha = 1] = parts(colour);
      if (alpha === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const small = "div.proof a:not(.headerlink), figcaption, p.scroll-hint, .verdict";
  return [...document.querySelectorAll(small)]
    .map((part) => {
      const [one, other] = [light(getComputedStyle(part).color), light(ground(part))];
      return [Math.max(one, other) / Math.min(one, other), part.className];
    });
}"""


@pytest.mark.site
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_words_and_links_on_tints_can_be_read(site, browser, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    for chapter in ("02_neural_tangent_kernel", "05_adamo"):
        page.goto((site / "chapters" / f"{chapter}.html").as_uri(), wait_until="load")
        found = page.evaluate(CONTRAST)
        assert len(found) > 10
        assert [one for one in found if one[0] < READABLE] == []
    context.close()


@pytest.mark.site
@pytest.mark.browser
def test_a_page_is_light_before_its_pictures(site, shown, browser):
    context = browser.new_context()
    page = context.new_page()
    loaded = []
    page.on("requestfinished", lambda request: loaded.append(request))
    heavy = {}
    for name, path in shown.items():
        loaded.clear()
        page.goto(path.as_uri(), wait_until="load")
        page.evaluate("window.MathJax?.startup?.promise")
        page.wait_for_timeout(50)
        files = {
            unquote(urlsplit(one.url).path)
            for one in loaded
            if one.url.startswith("file:") and one.resource_type != "image"
        }
        files.discard(str(path))
        if not name.endswith(tuple(LISTINGS)):
            assert path.stat().st_size < LONGEST, name
        size = sum(Path(file).stat().st_size for file in files)
        if size > HEAVIEST:
            heavy[name] = size
    context.close()
    assert heavy == {}
