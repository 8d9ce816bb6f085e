import pandas as pd

from isometry_book.evidence.short_table import short_table


def test_a_row_has_the_methods_words_and_each_interval_below_its_number():
    row = {"method": "adamo(isometry_strength=0.3)"}
    for key, value in (("first", 0.5), ("last", 0.25), ("difference", None)):
        row |= {key: value, f"{key}_low": 0.1, f"{key}_high": 0.75}
    html = short_table(pd.DataFrame([row]), "one").to_html()
    assert "AdamO, isometry strength 0.3" in html
    assert "0.500<br><small>[0.100, 0.750]</small>" in html
    assert "0.250<br>" in html
    assert html.count("<br>") == 2  # Adam has no difference to itself
    assert 'id="T_one"' in html
