"""Drawings on the pages: their forms, their print, and how they open large."""

import hashlib
import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from press.pictures import NARROW_MIME, PHONE, dress_pictures, staged

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="{}pt" height="72pt">{}</svg>'
PAGE = '<html><body><img alt="A curve" src="../_images/a.svg" /></body></html>'
ROOM = 328  # pixels that a drawing has on a telephone of 360
LEAST = 9  # pixels of print there
# Drawings that are no figures of matplotlib's: pictures of digits, without print.
WITHOUT_PRINT = {"permuted_mnist"}


@pytest.fixture
def small_site(tmp_path):
    """A site of one page with one drawing that has a narrow form."""
    for name, width in (("_images", 720), ("_static/narrow", 270)):
        (tmp_path / name).mkdir(parents=True)
        line = '<path style="stroke: #0072b2"/>'
        (tmp_path / name / "a.svg").write_text(SVG.format(width, line))
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "a.html").write_text(PAGE)
    return tmp_path


def test_a_drawing_has_a_form_for_each_page_and_a_link(small_site):
    page = small_site / "book" / "a.html"
    dress_pictures(small_site, iter([page]))
    soup = BeautifulSoup(page.read_text(), "html.parser")
    light, dark = soup.select("picture")
    assert [light["class"], dark["class"]] == [["for-light"], ["for-dark"]]
    assert [tag["alt"] for tag in soup.select("img")] == ["A curve"] * 2
    sources = [tag["srcset"] for tag in soup.select("source")]
    assert sources == ["../_images/a-narrow.svg", "../_images/a-narrow-dark.svg"]
    assert {tag["media"] for tag in soup.select("source")} == {PHONE}
    assert light.img["width"] == "960"  # pixels, 96 of an inch
    assert soup.select_one("a.enlarge")["href"] == "../_images/a.svg"
    for tag in soup.select("img[src], a[href]"):
        name = tag.get("src") or tag.get("href")
        assert (page.parent / name).exists()
    assert "#56b4e9" in (small_site / "_images" / "a-dark.svg").read_text()


def test_a_drawing_without_a_narrow_form_may_be_moved_about(small_site):
    page = small_site / "book" / "a.html"
    (small_site / "_static" / "narrow" / "a.svg").unlink()
    dress_pictures(small_site, iter([page]))
    assert "scrolls" in page.read_text()
    assert "<source" not in page.read_text()


def test_narrow_forms_are_staged_under_the_name_of_the_wide_and_leave_the_notebook():
    cell = nbformat.v4.new_code_cell("draw()")
    data = {"image/svg+xml": "<svg>\nwide</svg>", NARROW_MIME: "<svg>narrow</svg>"}
    cell.outputs = [nbformat.v4.new_output("display_data", data)]
    found = dict(staged(nbformat.v4.new_notebook(cells=[cell])))
    name = hashlib.sha256(b"<svg>\nwide</svg>").hexdigest()
    assert found == {f"book/_static/narrow/{name}.svg": "<svg>narrow</svg>"}
    assert list(cell.outputs[0].data) == ["image/svg+xml"]


def least_print(svg):
    """Return the pixels of a drawing's smallest words on a telephone, None without."""
    text = svg.read_text()
    points = [100 * float(scale) for scale in re.findall(r"scale\(([\d.]+) -", text)]
    width = re.search(r'<svg[^>]*?\bwidth="([\d.]+)pt', text)
    return min(points) * ROOM / float(width[1]) if points and width else None


def forms(site, kind):
    return [svg for svg in (site / "_images").glob("*.svg") if svg.stem.endswith(kind)]


@pytest.mark.site
def test_every_figure_has_a_narrow_form_whose_print_a_telephone_can_show(site):
    shown = {svg.stem.removesuffix("-narrow") for svg in forms(site, "-narrow")}
    wide = {
        svg.stem: svg
        for svg in (site / "_images").glob("*.svg")
        if not svg.stem.endswith(("-narrow", "-dark"))
    }
    small = {
        name: size
        for name, svg in wide.items()
        if name not in shown and (size := least_print(svg)) and size < LEAST
    }
    assert set(small) <= WITHOUT_PRINT
    tiny = {
        svg.stem: round(size, 1)
        for svg in forms(site, "-narrow")
        if (size := least_print(svg)) is not None and size < LEAST - 0.1
    }
    assert tiny == {}


@pytest.mark.site
@pytest.mark.browser
def test_the_page_shows_the_form_of_its_scheme_and_width_and_opens_it_large(
    site, browser
):
    chapter = (site / "chapters" / "06_supervised_benchmark.html").as_uri()
    for scheme, width in (("light", 1280), ("dark", 360)):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        page = context.new_page()
        page.goto(chapter, wait_until="load")
        picture = page.locator("figure .book-picture").first
        picture.scroll_into_view_if_needed()
        image = picture.locator(f".for-{scheme} img")
        image.wait_for(state="visible")
        other = {"light": "dark", "dark": "light"}[scheme]
        assert picture.locator(f".for-{other} img").is_hidden()
        page.wait_for_function("image => image.complete", arg=image.element_handle())
        name = image.evaluate("image => image.currentSrc")
        assert ("-narrow" in name, "-dark" in name) == (width == 360, scheme == "dark")
        link = picture.locator("a.enlarge")
        link.focus()
        page.keyboard.press("Enter")
        dialog = page.locator("dialog.enlarged[open]")
        dialog.wait_for()
        assert "enlarged" in dialog.get_attribute("aria-label")
        assert ("-dark" in dialog.locator("img").get_attribute("src")) == (
            scheme == "dark"
        )
        page.keyboard.press("Escape")
        assert page.locator("dialog.enlarged[open]").count() == 0
        image.click()
        dialog.wait_for()
        context.close()
