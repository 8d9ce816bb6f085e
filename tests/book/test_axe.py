"""What axe-core finds in the built pages: nothing serious, nothing critical."""

from importlib.resources import files
from itertools import product

import pytest
from press.site import pages

pytest.importorskip("axe_playwright_python", reason="needs the extra test")

pytestmark = [pytest.mark.site, pytest.mark.browser]

SCHEMES, WIDTHS = ("light", "dark"), (360, 1440)
VARIANTS = list(product(SCHEMES, WIDTHS))
# One page of each kind, each in one variant; all pages in all of them by `-m slow`.
LOOKED_AT = {
    "book/intro.html": ("light", 360),
    "book/bibliography.html": ("dark", 1440),
    "book/claims.html": ("light", 1440),
    "chapters/04_maxmin_networks.html": ("dark", 360),
    "chapters/05_adamo.html": ("light", 360),
    "chapters/06_supervised_benchmark.html": ("dark", 1440),
    "_modules/isometry/weights/table.html": ("dark", 1440),
}
# Colours change softly, also from the first scheme to the reader's.
STILL = "() => Promise.allSettled(document.getAnimations().map(a => a.finished))"
RUN = """axe.run(document, {resultTypes: ["violations"]}).then(found =>
  found.violations.filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`))"""


@pytest.fixture(scope="session")
def faults(site, browser):
    """Return a function that opens a page and returns what is wrong with it."""
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()

    def found(name, scheme, width):
        size = {"width": width, "height": 800}
        # The pages' own policy forbids foreign scripts, this one among them.
        context = browser.new_context(
            color_scheme=scheme, viewport=size, bypass_csp=True
        )
        page = context.new_page()
        page.set_default_timeout(300_000)
        page.goto((site / name).as_uri())
        page.evaluate("() => window.MathJax?.startup?.promise")
        page.evaluate(STILL)
        page.evaluate(axe)
        said = page.evaluate(RUN)
        context.close()
        return said

    return found


@pytest.mark.parametrize(("name", "variant"), LOOKED_AT.items())
def test_nothing_serious_is_wrong_with_a_page_of_each_kind(faults, name, variant):
    assert faults(name, *variant) == []


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_serious_is_wrong_with_any_page(site, faults, variant):
    names = [page.relative_to(site).as_posix() for page in pages(site)]
    names.remove("index.html")  # leads on at once
    found = {name: faults(name, *variant) for name in names}
    assert {name: said for name, said in found.items() if said} == {}
