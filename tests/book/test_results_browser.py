"""The results browser in Chromium: it sorts, filters, says how a number was made."""

import csv
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import pytest

from isometry_book.c6_benchmark import browser as explorable
from isometry_book.c6_benchmark.streams_tables import loaded_streams, numbers

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def streams():
    return loaded_streams(RESULTS)


@pytest.fixture(scope="module")
def html(streams):
    return explorable.results_browser(streams)


def rows(page):
    cells = page.locator("tbody tr").all()
    return [(row.locator("th").inner_text(), row.inner_text()) for row in cells]


@pytest.mark.browser
def test_it_sorts_by_the_number_that_is_chosen(opened, html, streams):
    page = opened(html)
    page.locator('[data-control="stream"]').select_option("permuted_mnist")
    for what in ("level", "slope"):
        page.locator('[data-control="number"]').select_option(what)
        table = numbers(streams["permuted_mnist"], what)
        shown = rows(page)
        assert len(shown) == len(table)
        first = table.iloc[0]
        assert f"{abs(first['mean']):.3f}" in shown[0][1]
        drawn = page.locator("tbody svg").all()
        assert len(drawn) == len(table)


@pytest.mark.browser
def test_a_family_alone_and_the_command_of_a_run(opened, html):
    page = opened(html)
    page.locator('[data-control="stream"]').select_option("permuted_mnist")
    page.locator('[data-control="family"]').select_option("pulls to isometry")
    names = [name for name, _ in rows(page)]
    assert "AdamO" in names
    assert "Adam" not in names
    page.locator("tbody button", has_text="Newton").focus()
    page.keyboard.press("Enter")
    command = page.inner_text("[data-command]")
    assert command.startswith("isometry run permuted_mnist --method newton_schulz")


@pytest.mark.browser
def test_the_address_holds_the_view_and_the_table_can_be_taken_away(
    opened, html, streams
):
    page = opened(html, address="#results:stream=permuted_mnist,number=slope")
    assert page.locator('[data-control="number"]').input_value() == "slope"
    link = page.locator("[data-csv]").get_attribute("href")
    table = list(csv.DictReader(StringIO(unquote(link.split(",", 1)[1]))))
    rows = [
        (name, row, what, values)
        for name, one in streams.items()
        if len(one.runs) > 1
        for row in explorable.stream_rows(one)
        for what, values in row["numbers"].items()
    ]
    for line, (name, row, what, values) in zip(table, rows, strict=True):
        assert (line["stream"], line["number"]) == (name, what)
        assert [float(line[key]) for key in ("mean", "low", "high")] == values
        assert all(line[key] == row[key] for key in ("method", "family", "command"))
        assert int(line["seeds"]) == row["seeds"]
        assert line["command"].startswith(f"isometry run {name.split()[0]} ")


@pytest.mark.browser
def test_it_fits_a_phone_and_stands_without_a_script(opened, html):
    page = opened(html, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    still = opened(html, java_script_enabled=False)
    assert rows(still) != []
    assert not still.locator('[data-control="stream"]').is_visible()
