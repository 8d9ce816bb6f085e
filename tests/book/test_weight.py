"""What is left out of a site's scripts and styles is what nothing uses."""

import re

import pytest
from press.weight import (
    SEARCH,
    lighten,
    only_styles,
    plain_classes,
    without_cells,
    without_spans,
)


@pytest.mark.parametrize(
    ("css", "left"),
    [
        (".worn{a:b}.bare{a:b}", ".worn{a:b}"),
        (".worn .bare,.worn p{a:b}", ".worn p{a:b}"),
        ("@media (max-width:9px){.bare{a:b}.worn{a:b}}p{}", None),
        ("@media print{.bare{a:b}}p{a:b}", "p{a:b}"),
        ("@keyframes x{0%{a:b}to{a:c}}", "@keyframes x{0%{a:b}to{a:c}}"),
        ("@font-face{src:url(a)}", "@font-face{src:url(a)}"),
        ('@charset "utf-8";.bare{a:b}p{a:b}', '@charset "utf-8";p{a:b}'),
        (
            ":is(.bare,.worn) b,p:not(.bare){a:b}",
            ":is(.bare,.worn) b,p:not(.bare){a:b}",
        ),
        ('p:after{content:"}"}.bare{a:b}', 'p:after{content:"}"}'),
        ("@font-face{font-family:Font Awesome\\ 6 Free;src:url(a)}p{a:b}", "p{a:b}"),
        (".bs-tooltip-end{a:b}", ".bs-tooltip-end{a:b}"),
        ("/* .worn{ */.bare{a:b}p{a:.5}", "p{a:.5}"),
    ],
)
def test_rules_stay_for_what_is_worn_and_for_what_has_no_class(css, left):
    if left is None:
        left = "@media (max-width:9px){.worn{a:b}}p{}"
    assert only_styles(css, {"worn"}) == left


def test_a_site_keeps_the_icons_and_styles_of_its_pages_and_one_search(tmp_path):
    static = tmp_path / "_static"
    (static / "scripts").mkdir(parents=True)
    (static / "styles").mkdir()
    icon = '{}:[5,5,[],"f1","M0"],'
    icons = "x={" + icon.format("sun") + icon.format("bed") + "}"
    (static / "scripts" / "fontawesome.js").write_text(icons)
    (static / "scripts" / "other.js").write_text("toggle('made')")
    css = ".shown{a:b}.made{a:b}.bare{a:b}"
    (static / "styles" / "pydata-sphinx-theme.css").write_text(css)
    index = '<script src="../searchindex.js"></script>'
    for name in ("a.html", "search.html"):
        text = f'{index}<i class="shown fa-sun"></i>'
        (tmp_path / name).write_text(text)
    lighten(tmp_path, iter(sorted(tmp_path.glob("*.html"))))
    assert "bed" not in (static / "scripts" / "fontawesome.js").read_text()
    assert "sun" in (static / "scripts" / "fontawesome.js").read_text()
    sheet = (static / "styles" / "pydata-sphinx-theme.css").read_text()
    assert sheet == ".shown{a:b}.made{a:b}"
    assert not SEARCH.search((tmp_path / "a.html").read_text())
    assert SEARCH.search((tmp_path / "search.html").read_text())


def test_cells_of_tables_keep_the_names_that_a_rule_uses():
    page = (
        "<style>#T_a_row0_col1, #T_a_row1_col1 {color:red}</style>"
        '<table id="T_a"><td id="T_a_row0_col0" class="data"><td id="T_a_row0_col1">'
        '<th id="T_a_level0_row1"><td id="T_a_row1_col1"><a id="row0_col0">'
    )
    left = without_cells(page)
    assert re.findall('id="([^"]*)"', left) == [
        "T_a",
        "T_a_row0_col1",
        "T_a_row1_col1",
        "row0_col0",
    ]
    assert without_cells(left) == left


def test_cells_of_tables_have_no_classes_of_pandas():
    page = (
        '<td class="data row0 col1" >1</td><th id="T_a_level0_row0" '
        'class="row_heading level0 row0" >x</th><th class="blank level0" >&nbsp;</th>'
        '<th class="row_heading level0 row1" rowspan="2">y</th>'
        '<td class="data own">2</td><p class="data row0 col1">3</p>'
    )
    assert without_cells(page) == (
        '<td>1</td><th>x</th><th>&nbsp;</th><th rowspan="2">y</th>'
        '<td class="data own">2</td><p class="data row0 col1">3</p>'
    )


def test_spans_of_code_stay_that_look_otherwise_in_one_theme():
    css = "\n".join(
        f'html[data-theme="{theme}"] .highlight{name} {{ {style} }}'
        for theme, around in (("light", "#080808"), ("dark", "#F8F8F2"))
        for name, style in (
            ("", f"background: red; color: {around}"),
            (" .n", f"color: {around}"),
            (" .o", "color: #080808"),
            (" .k", "color: #00F"),
            (" .ge", f"color: {around}; font-style: italic"),
        )
    )
    assert plain_classes(css) == {"n"}
    page = "".join(f'<span class="{c}">{c}</span>' for c in ("n", "o", "k", "ge", "x"))
    assert without_spans(page, {"n"}) == "n" + page.removeprefix(
        '<span class="n">n</span>'
    )
