"""Where one method stands against another, on one stream and over several."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from isometry.core.paired import Comparison, compare, over_streams
from isometry.core.significance import smallest_effect
from isometry.core.statistics import Interval, paired_difference


def rng(seed=0):
    return np.random.default_rng(seed)


def standing(low, high, margin):
    interval = Interval((low + high) / 2, low, high, 0.95, 8)
    return Comparison(interval, 0.0, 0.5, 0.1, margin).standing


# --- one stream -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.02, "above"),
        (0.0, 0.02, "within"),  # an end on the border proves nothing
        (-0.005, 0.02, "within"),
        (-0.009, -0.001, "within"),  # a loss, and one that does not matter
        (-0.01, 0.02, "open"),
        (-0.02, 0.02, "open"),
        (-0.02, -0.01, "open"),
        (-0.02, -0.011, "below"),
        (0.0, 0.0, "within"),
        (-0.01, -0.01, "open"),
    ],
)
def test_standing_is_where_the_interval_lies(low, high, expected):
    assert standing(low, high, margin=0.01) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, "above"),
        (-0.1, 0.1, "open"),
        (0.0, 0.1, "open"),
        (-0.2, -0.1, "below"),
    ],
)
def test_without_a_margin_nothing_is_within(low, high, expected):
    assert standing(low, high, margin=0.0) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 0.5), st.floats(0, 0.5))
def test_standing_never_gets_worse_as_all_scores_rise(low, width, margin, rise):
    order = ["below", "open", "within", "above"]
    before = standing(low, low + width, margin)
    after = standing(low + rise, low + rise + width, margin)
    assert order.index(before) <= order.index(after)


@pytest.mark.parametrize(
    ("shift", "spread", "expected"),
    [
        (1.0, 0.5, "above"),
        (0.0, 0.1, "within"),
        (0.0, 2.0, "open"),
        (-2.0, 0.5, "below"),
    ],
)
def test_every_standing_comes_of_scores(shift, spread, expected):
    shared = 10 * rng(0).normal(size=8)
    first = shared + shift + spread * rng(1).normal(size=8)
    assert compare(first, shared, rng(2), margin=0.5).standing == expected


def test_a_comparison_is_made_of_its_parts():
    first, second = rng(0).normal(0.3, 1, 9), rng(1).normal(size=9)
    found = compare(first, second, rng(2), margin=0.1)
    differences = first - second
    assert found.interval == paired_difference(first, second, rng(2))
    assert found.mean == pytest.approx(differences.mean(), rel=1e-14)
    assert found.smallest_effect == smallest_effect(differences.std(ddof=1), 9)
    assert (found.num_seeds, found.margin) == (9, 0.1)
    assert found.p == compare(second, first, rng(2), margin=0.1).p


def test_equal_scores_are_within_any_margin_and_no_evidence():
    found = compare([0.5, 0.7], [0.5, 0.7], rng(), margin=0.01)
    assert (found.standing, found.p, found.smallest_effect) == ("within", 1.0, 0.0)


def test_many_seeds_are_compared_by_drawn_patterns():
    found = compare(rng(0).normal(1, 1, 40), np.zeros(40), rng(1), margin=0.1)
    assert found.p < 0.001
    assert str(found).endswith("p < 0.001")


def test_a_comparison_reads_as_interval_and_p():
    interval = Interval(0.0234, 0.0111, 0.0311, 0.95, 8)
    assert str(Comparison(interval, 0.02, 1 / 128, 0.02, 0.01)) == (
        "0.023 [0.011, 0.031], p 0.008"
    )


# --- several streams ------------------------------------------------------------------

# Cases of tuberculosis and others, vaccinated and not, in 13 trials of BCG.
# Source: Colditz et al., JAMA 271, 1994; as in R's metadat, dat.bcg.
TRIALS = [
    (4, 119, 11, 128),
    (6, 300, 29, 274),
    (3, 228, 11, 209),
    (62, 13536, 248, 12619),
    (33, 5036, 47, 5761),
    (180, 1361, 372, 1079),
    (8, 2537, 10, 619),
    (505, 87886, 499, 87892),
    (29, 7470, 45, 7232),
    (17, 1699, 65, 1600),
    (186, 50448, 141, 27197),
    (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
]


def test_the_variance_between_streams_is_that_of_trials_of_bcg():
    sick, well, others_sick, others_well = np.array(TRIALS, dtype=float).T
    treated, others = sick + well, others_sick + others_well
    ratios = np.log(sick / treated) - np.log(others_sick / others)
    errors = np.sqrt(1 / sick - 1 / treated + 1 / others_sick - 1 / others)
    # Two seeds a standard error to each side have this standard error.
    pairs = [(r - e, r + e) for r, e in zip(ratios, errors, strict=True)]
    found = over_streams(pairs, margin=0.1)
    # Viechtbauer's metafor, method "HE", prints 0.3286 for these data.
    assert found.between**2 == pytest.approx(0.3286, abs=5e-5)
    assert (found.num_streams, found.interval.num_seeds) == (13, 2)


def test_over_streams_is_its_formulae_in_plain_loops():
    streams = [[0.1, 0.4, 0.1], [0.5, 0.9], [-0.1, 0.3, 0.3, 0.1]]
    found = over_streams(streams, margin=0.2, level=0.9)
    means = [0.2, 0.7, 0.15]
    errors = [0.03 / 3, 0.08 / 2, 0.11 / 3 / 4]  # squared, of the means
    mean = 1.05 / 3
    variance = sum((m - mean) ** 2 for m in means) / 2
    between = variance - sum(errors) / 3
    error = math.sqrt(variance / 3)
    reach = 2.9199856 * error  # the 95th percentile of a t of two degrees
    spread = math.sqrt(variance + variance / 3)
    assert found.between == pytest.approx(math.sqrt(between))
    assert found.interval.estimate == pytest.approx(mean)
    assert found.interval.low == pytest.approx(mean - reach)
    assert found.interval.high == pytest.approx(mean + reach)
    # The distribution function of a t of two degrees in closed form.
    above, not_below = ((mean - m) / spread for m in (0.2, -0.2))
    for t, chance in (
        (above, "probability_above"),
        (not_below, "probability_not_below"),
    ):
        expected = 0.5 + t / (2 * math.sqrt(2 + t * t))
        assert getattr(found, chance) == pytest.approx(expected)


def test_the_interval_over_streams_is_scipys_for_their_means():
    drawn = rng(0).normal(size=(6, 8))
    found = over_streams(drawn, margin=0.1)
    trusted = scipy.stats.ttest_1samp(drawn.mean(1), 0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(trusted))


@pytest.mark.parametrize(
    ("between", "spreads"),
    [(0.0, [1, 1]), (1.0, [1, 1]), (0.35, [0.3, 2])],
    ids=["one difference", "each its own", "noise differs, too"],
)
def test_the_interval_covers_the_mean_and_a_new_stream_as_often_as_it_says(
    between, spreads
):
    draw, repetitions = rng(20260609), 2000
    size = np.tile(np.linspace(*spreads, 6), (repetitions, 1))
    size = np.column_stack([size, draw.permuted(size, axis=1)[:, 0]])  # and a new one
    truth = 0.3 + between * draw.normal(size=(repetitions, 7))
    drawn = truth[..., None] + size[..., None] * draw.normal(size=(repetitions, 7, 8))
    covered, within, variances = 0, 0, []
    for *streams, new in drawn:
        seen = new.mean()
        found = over_streams(streams, margin=abs(seen))
        covered += found.interval.low <= 0.3 <= found.interval.high
        above = found.probability_above if seen > 0 else found.probability_not_below
        within += 0.025 <= above <= 0.975
        variances.append(found.between**2)
    assert 0.93 <= covered / repetitions <= 0.97
    assert 0.93 <= within / repetitions <= 0.97
    if between == 1:
        # Four standard errors: of a variance from six, of 1 and an eighth of noise.
        error = 4 * 1.125 * math.sqrt(2 / 5 / repetitions)
        assert np.mean(variances) == pytest.approx(1, abs=error)


def test_streams_of_one_mean_leave_no_doubt():
    found = over_streams([[0.1, 0.3], [0.2, 0.2, 0.2]], margin=0.1)
    assert (found.between, found.interval.num_seeds) == (0.0, 2)
    assert found.interval.low == pytest.approx(0.2)
    assert (found.probability_not_below, found.probability_above) == (
        1.0,
        pytest.approx(1),
    )
    none = over_streams([[0.0, 0.0], [0.0, 0.0]], margin=0.0)
    assert (none.probability_not_below, none.probability_above) == (0.0, 0.0)


TWO = [0.1, 0.2]
REFUSALS = [
    (lambda: compare([1.0], [0.5], rng(), 0.1), "needed 2 seeds or more in one row"),
    (
        lambda: compare(TWO, [0.1, 0.2, 0.3], rng(), 0.1),
        "found 2 and 3 scores; run the",
    ),
    (lambda: compare([TWO, TWO], TWO, rng(), 0.1), r"one row, found shape \(2, 2\)"),
    (lambda: compare(TWO, [0.1, math.nan], rng(), 0.1), "needed finite scores"),
    (lambda: compare(TWO, TWO, rng(), -0.1), "needed 0 <= margin < inf, found -0.1"),
    (
        lambda: over_streams([TWO], 0.1),
        "needed 2 streams or more, found 1; use compare",
    ),
    (lambda: over_streams([], 0.1), "needed 2 streams or more, found 0"),
    (lambda: over_streams([TWO, [0.1]], 0.1), "needed 2 seeds or more in one row"),
    (lambda: over_streams([TWO, TWO], math.nan), "0 <= margin < inf, found nan"),
    (lambda: over_streams([TWO, TWO], 0.1, 95), "needed 0 < level < 1, found 95"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS)
def test_what_cannot_be_compared_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
