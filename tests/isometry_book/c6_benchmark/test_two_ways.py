"""What a level goes with over methods, and the rule that was written before it."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from isometry_book.c6_benchmark import two_ways
from isometry_book.c6_benchmark.two_ways import EXPECTED, FIRST_LOOK, way_of, ways
from isometry_book.evidence.streams import HELD, Stream

METHODS = 24
OTHER = {"dormant": "Gram deviation", "Gram deviation": "dormant"}


def table(level_of, seed=0):
    """Return a table of methods whose level is made from the two measures."""
    draw = np.random.default_rng(seed)
    gram, dormant, noise = draw.random((3, METHODS))
    names = [f"method {n}" for n in range(METHODS)]
    level = level_of(gram, dormant, noise)
    columns = {"level": level, "Gram deviation": gram, "dormant": dormant}
    return pd.DataFrame(columns, index=names)


def test_correlations_are_those_of_scipy_with_equal_values_as_well():
    rows = table(lambda gram, dormant, noise: np.round(noise - dormant, 1))
    rows["dormant"] = rows["dormant"].round(1)
    way = way_of(rows, "dormant")
    expected = spearmanr(rows["level"], rows["dormant"]).statistic
    other = spearmanr(rows["level"], rows["Gram deviation"]).statistic
    assert way.expected.estimate == pytest.approx(expected)
    assert way.other.estimate == pytest.approx(other)
    assert way.apart.estimate == pytest.approx(expected - other)
    assert way.expected.low < expected < way.expected.high


@pytest.mark.parametrize("name", OTHER)
def test_the_answer_is_yes_where_the_level_falls_with_what_is_expected(name):
    def falls(gram, dormant, noise):
        return 0.2 * noise - (gram if name == "Gram deviation" else dormant)

    assert way_of(table(falls), name).answer == "yes"
    assert way_of(table(falls), OTHER[name]).answer == "no"


def test_the_answer_is_no_where_the_level_rises_with_what_is_expected():
    rows = table(lambda gram, dormant, noise: dormant + 0.2 * noise)
    assert way_of(rows, "dormant").answer == "no"


def test_noise_decides_nothing_nor_do_two_measures_that_are_alike():
    rows = table(lambda gram, dormant, noise: noise)
    assert way_of(rows, "dormant").answer == "undecided"
    rows = table(lambda gram, dormant, noise: 0.2 * noise - dormant)
    rows["Gram deviation"] = rows["dormant"]
    way = way_of(rows, "dormant")
    assert way.expected.high < 0
    assert way.answer == "undecided", "either might be it"


def test_a_method_without_a_measure_is_left_out():
    rows = table(lambda gram, dormant, noise: noise)
    rows.loc["method 3", "dormant"] = None
    assert way_of(rows, "dormant").table.index.tolist() == [
        name for name in rows.index if name != "method 3"
    ]


def test_only_methods_that_both_streams_have_and_nobody_has_seen_are_asked(monkeypatch):
    first, second = EXPECTED
    methods = {
        first: [*FIRST_LOOK, "fire", "upgd", "fade", "dash"],
        second: ["adam", "upgd", "fire", "aid", "fade", f"fade{HELD}"],
    }
    streams = {
        name: Stream(name, {key: {} for key in own}, None, pd.DataFrame())
        for name, own in methods.items()
    }
    asked = {}

    def shown(stream, methods):
        asked[stream.name] = methods
        return table(lambda gram, dormant, noise: noise)

    monkeypatch.setattr(two_ways, "beside_level", shown)
    assert list(ways(streams)) == [first, second]
    assert asked == {name: ["fade", "fire", "upgd"] for name in EXPECTED}
