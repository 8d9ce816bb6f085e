"""A page's policy lets its own scripts run, and nothing that comes later."""

import re

import pytest
from bs4 import BeautifulSoup
from press.policy import add_policies, digest, policy

HTML = """<!doctype html><html><head><meta charset="utf-8"><title>A page</title>
<script>window.own = "é < 1 && ran";</script>
<script type="application/json">{"a": 1}</script>
<script src="_static/file.js"></script></head>
<body style="color: red">
<button onclick="window.pressed = &quot;yes&quot;">Press</button>
%s</body></html>"""
INJECT = """(text) => {
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
}"""


@pytest.fixture
def made(tmp_path):
    """Return a function that makes a site of one page, and its policy by names."""

    def make(body=""):
        (tmp_path / "_static" / "explorables").mkdir(parents=True)
        (tmp_path / "_static" / "file.js").write_text("window.file = true;")
        worker = "new Worker(URL.createObjectURL(new Blob(['postMessage(7)'])))"
        (tmp_path / "_static" / "explorables" / "work.js").write_text(
            f"{worker}.onmessage = (found) => {{ window.worked = found.data; }};"
        )
        page = tmp_path / "page.html"
        page.write_text(HTML % body)
        add_policies(tmp_path)
        return page, rules(page)

    return make


def rules(page):
    """Return the policy of a page: what each directive allows."""
    soup = BeautifulSoup(page.read_text(), "html.parser")
    (tag,) = soup.select('meta[http-equiv="Content-Security-Policy"]')
    assert not tag.find_previous(["script", "link", "style"])
    parts = (part.split() for part in tag["content"].split(";"))
    return {name: allowed for name, *allowed in parts}


def test_a_policy_names_the_scripts_of_the_page_and_no_data(made):
    _, found = made()
    assert found["script-src"] == [
        "'self'",
        "'unsafe-hashes'",
        *sorted(
            [
                digest('window.own = "é < 1 && ran";'),
                digest('window.pressed = "yes"'),
            ]
        ),
    ]
    assert found["default-src"] == ["'self'"]
    assert "worker-src" not in found


def test_a_page_that_only_leads_elsewhere_has_a_policy_too(tmp_path):
    page = tmp_path / "index.html"
    page.write_text('<meta http-equiv="Refresh" content="0; url=book/intro.html" />')
    add_policies(tmp_path)
    soup = BeautifulSoup(page.read_text(), "html.parser")
    assert soup.meta["http-equiv"] == "Content-Security-Policy"
    assert soup.select_one("[http-equiv=Refresh]")


@pytest.mark.site
def test_every_page_of_the_site_has_the_policy_of_what_stands_in_it(site):
    listed = [
        page
        for page in sorted(site.rglob("*.html"))
        if "_static" not in page.relative_to(site).parts
    ]
    assert len(listed) > 20
    for page in listed:
        found = rules(page)
        allowed = {word for words in found.values() for word in words}
        assert not [word for word in allowed if re.search(r"://|[*]", word)], page
        assert "'unsafe-eval'" not in allowed, page
        assert "'unsafe-inline'" not in found["script-src"], page
        written = "; ".join(" ".join([name, *words]) for name, words in found.items())
        assert written == policy(page), page


@pytest.mark.browser
def test_a_browser_runs_what_was_in_the_page_and_not_what_is_put_there(made, browser):
    page, found = made('<script src="_static/explorables/work.js"></script>')
    assert found["worker-src"] == ["blob:"]
    context = browser.new_context()
    opened, said = context.new_page(), []
    opened.on("console", lambda message: said.append(message.text))
    opened.goto(page.as_uri(), wait_until="load")
    opened.get_by_role("button").click()
    for _ in range(100):
        if opened.evaluate("window.worked"):
            break
        opened.wait_for_timeout(50)
    names = ["own", "file", "pressed", "worked"]
    values = [opened.evaluate(f"window.{name}") for name in names]
    assert values == ["é < 1 && ran", True, "yes", 7]
    assert said == []
    opened.evaluate(INJECT, "window.injected = true")
    assert opened.evaluate("window.injected") is None
    assert "Content Security Policy" in said[0]
    context.close()
