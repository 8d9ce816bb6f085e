"""Data that a page's script reads stay data, whatever stands in them."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

import isometry_book
from isometry_book.controls import data_script


class Script(HTMLParser):
    """Collects what stands inside scripts, and every tag that opens."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize(
    "label",
    [
        "</script><img src=x onerror=alert(1)>",
        "<!-- <script>",
        "</ScRiPt >",
        "a\u2028b\u2029c",
        "]]>",
        "é < 1 & \" ' \\",
    ],
)
def test_a_label_that_looks_like_a_tag_stays_a_label(label):
    data = {"label": label, label: [1, 0.5, None]}
    html = data_script(data)
    page = Script()
    page.feed(html)
    assert page.tags == ["script"]
    assert json.loads(page.text) == data
    assert html.isascii()
    assert html.count("<") == 2  # the element's own


def test_a_number_that_json_does_not_have_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        data_script([float("nan")])


def test_no_other_file_writes_such_an_element():
    tag = '<script type="application/json">'
    package = Path(isometry_book.__file__).parent
    writing = [p.name for p in package.rglob("*.py") if tag in p.read_text("utf-8")]
    assert writing == ["controls.py"]
