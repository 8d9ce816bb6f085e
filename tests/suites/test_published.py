"""Published values: what is read, and the rule by which ours agree with them."""

import math

import pytest
from scipy import stats

from isometry.core.statistics import Interval
from isometry.suites.published import read_published, verdict
from isometry.suites.suite import Measure

ACCURACY = Measure(name="all", metric="online_accuracy")
ERROR = Measure(name="error", metric="squared_error")
NAN = math.nan


def around(centre, half=NAN):
    return Interval(centre, centre - half, centre + half, 0.95, 5)


@pytest.mark.parametrize(
    ("ours", "theirs", "measure", "expected"),
    [
        # within the tolerance, whatever the intervals
        (around(0.80, 0.001), around(0.809, 0.001), ACCURACY, "agree"),
        (around(0.80), around(0.809), ACCURACY, "agree"),
        (around(2.00, 0.001), around(2.09, 0.001), ERROR, "agree"),
        # beyond it, intervals that overlap or do not
        (around(0.80, 0.02), around(0.83, 0.02), ACCURACY, "agree"),
        (around(0.80, 0.01), around(0.83, 0.01), ACCURACY, "differ"),
        (around(0.83, 0.01), around(0.80, 0.01), ACCURACY, "differ"),
        (around(2.00, 0.1), around(2.20, 0.11), ERROR, "agree"),
        (around(2.00, 0.01), around(2.20, 0.01), ERROR, "differ"),
        # points
        (around(0.80), around(0.83), ACCURACY, "differ"),
        (around(0.80, 0.02), around(0.815), ACCURACY, "agree"),
        (around(0.80), around(0.815, 0.02), ACCURACY, "agree"),
        # an interval that agrees with nearly everything
        (around(0.80, 0.06), around(0.84, 0.01), ACCURACY, "undecided"),
        (around(0.80, 0.01), around(0.84, 0.06), ACCURACY, "undecided"),
        (around(2.00, 0.6), around(2.20, 0.01), ERROR, "undecided"),
        # diverged
        (around(math.inf), around(2.20, 0.1), ERROR, "differ"),
        (around(NAN), around(2.20, 0.1), ERROR, "differ"),
    ],
)
def test_ours_agree_within_a_tolerance_or_by_narrow_intervals_that_overlap(
    ours, theirs, measure, expected
):
    assert verdict(ours, theirs, measure) == expected


def write(folder, text):
    (folder / "published.toml").write_text(text)


VALUE = '[small.Adam.all]\nvalue = 0.5\nsource = "Somebody, table 1"\n'


def test_a_value_without_a_spread_is_a_point(folder):
    write(folder, VALUE)
    ((key, found),) = read_published().items()
    assert key == ("small", "Adam", "all")
    assert found.interval.estimate == 0.5
    assert math.isnan(found.interval.low)
    assert (found.source, str(found)) == ("Somebody, table 1", "0.500")


@pytest.mark.parametrize(
    ("means", "half"),
    [
        ("95 % interval", 0.02),
        ("standard error", 0.02 * stats.t.interval(0.95, 3)[1]),
        ("standard deviation", 0.02 * stats.t.interval(0.95, 3)[1] / 2),
    ],
)
def test_every_spread_is_made_into_an_interval_of_95_percent(folder, means, half):
    write(folder, f'{VALUE}plus_minus = 0.02\nmeans = "{means}"\nseeds = 4\n')
    interval = read_published()["small", "Adam", "all"].interval
    assert interval.low == pytest.approx(0.5 - half)
    assert interval.high == pytest.approx(0.5 + half)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VALUE.replace("small", "smal"), "unknown suite 'smal'; did you mean 'small'"),
        (
            VALUE.replace("Adam", "Adm"),
            "unknown row of suite small 'Adm'; did you mean",
        ),
        (
            VALUE.replace(".all", ".al"),
            "unknown measure of suite small 'al'; did you m",
        ),
        (
            VALUE.replace("0.5", "50.0"),
            "finite number for the value of small, Adam, all",
        ),
        (
            VALUE.replace("0.5", "nan"),
            "finite number for the value of small, Adam, all",
        ),
        (VALUE.replace("0.5", "'x'"), "needed a number for value, found x"),
        (
            VALUE.replace("value", "vale"),
            "unknown key of the value of small, Adam, all",
        ),
        (
            VALUE.replace('source = "Somebody, table 1"', ""),
            "needed source in the value",
        ),
        (
            f"{VALUE}plus_minus = 0.1",
            "needed means of 95 % interval, standard error, st",
        ),
        (
            f'{VALUE}plus_minus = 0.1\nmeans = "standard error"',
            "needed seeds >= 2 for the value of small, Adam, all, whose spread is a s",
        ),
        ("[small.Adam]\nall = 0.5", "needed a table for the value of small, Adam, all"),
        ("[small", "needed a file of values in TOML at "),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line(folder, text, message):
    write(folder, text)
    with pytest.raises((KeyError, ValueError)) as refused:
        read_published()
    assert message in refused.value.args[0]
    assert "\n" not in refused.value.args[0]


def test_the_packages_own_values_can_be_read():
    assert isinstance(read_published(), dict)


def test_a_reduction_has_no_published_values_of_its_own(folder):
    write(folder, VALUE.replace("small", "small-reduced"))
    with pytest.raises(KeyError, match="unknown suite 'small-reduced'"):
        read_published()
