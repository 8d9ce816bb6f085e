"""Interquartile means, bootstrap intervals and their true coverage."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from isometry.core.statistics import (
    Interval,
    as_scores,
    interquartile_mean,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
    t_interval,
)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- the interquartile mean -----------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([5.0], 5.0),
        ([1.0, 3.0], 2.0),
        ([0.0, 1.0, 100.0], 101 / 3),  # fewer than four: nothing is cut off
        ([0.0, 1.0, 3.0, 100.0], 2.0),  # one off each end
        ([100.0, 3.0, 1.0, 0.0], 2.0),  # in any order
        ([-9.0, 1.0, 2.0, 3.0, 99.0], 2.0),  # int(5 / 4) = 1
        ([-9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 99.0], 3.0),  # int(7 / 4) = 1
        ([-9.0, -8.0, 1.0, 2.0, 3.0, 6.0, 98.0, 99.0], 3.0),  # two off each end
    ],
)
def test_interquartile_mean_by_hand(scores, expected):
    assert interquartile_mean(scores).item() == pytest.approx(expected, rel=1e-14)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=25))
def test_interquartile_mean_is_scipys_trimmed_mean(scores):
    middle = np.sort(scores)[len(scores) // 4 : len(scores) - len(scores) // 4]
    found = interquartile_mean(scores).item()
    assert found == pytest.approx(scipy.stats.trim_mean(scores, 0.25), abs=1e-9)
    assert found == pytest.approx(middle.mean(), abs=1e-9)


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=12),
    st.floats(0.1, 10),
    st.floats(-10, 10),
)
def test_interquartile_mean_moves_and_stretches_with_its_scores(scores, factor, shift):
    scores = np.array(scores)
    expected = factor * interquartile_mean(scores) + shift
    found = interquartile_mean(factor * scores + shift)
    assert found == pytest.approx(expected, abs=1e-9)
    assert scores.min() - 1e-9 <= interquartile_mean(scores) <= scores.max() + 1e-9


def test_interquartile_mean_works_along_the_last_axis():
    scores = rng().normal(size=(3, 4, 9))
    found = interquartile_mean(scores)
    assert found.shape == (3, 4)
    assert found[1, 2] == pytest.approx(interquartile_mean(scores[1, 2]).item())


# --- the bootstrap --------------------------------------------------------------------


def mean(x):
    return x.mean(-1)


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_is_scipys_percentile_bootstrap(statistic, level):
    scores = rng(3).exponential(size=15)
    resamples = 10_000
    found = stratified_bootstrap(scores, rng(1), statistic, level, resamples)
    trusted = scipy.stats.bootstrap(
        (scores,),
        lambda x, axis: statistic(np.moveaxis(x, axis, -1)),
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        random_state=rng(2),
    )
    # Monte-Carlo error of an estimated quantile, sqrt(p (1 - p) / n) / density, with
    # the density of a normal distribution; both sides have it, and four of them.
    tail = (1 - level) / 2
    density = scipy.stats.norm.pdf(scipy.stats.norm.ppf(tail))
    spread = trusted.bootstrap_distribution.std()
    error = 4 * math.sqrt(2 * tail * (1 - tail) / resamples) / density * spread
    assert found.low == pytest.approx(trusted.confidence_interval.low, abs=error)
    assert found.high == pytest.approx(trusted.confidence_interval.high, abs=error)
    assert found.estimate == pytest.approx(statistic(scores).item(), rel=1e-14)
    assert (found.level, found.num_seeds) == (level, 15)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_students_interval_is_scipys(count, level):
    scores = rng(count).normal(size=count)
    found = t_interval(scores, level)
    mean, error = scores.mean(), scipy.stats.sem(scores)
    ends = scipy.stats.t.interval(level, count - 1, loc=mean, scale=error)
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-12)
    assert (found.estimate, found.num_seeds) == (pytest.approx(mean), count)


def test_students_interval_covers_the_mean_of_three_normal_scores_as_it_says():
    scores = rng().normal(size=(4000, 3))
    found = [t_interval(row) for row in scores]
    share = np.mean([one.low <= 0 <= one.high for one in found])
    assert share == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_students_interval_has_no_ends_after_one_seed():
    found = t_interval([0.8])
    assert found.estimate == 0.8
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_students_interval_refuses_what_has_none():
    with pytest.raises(ValueError, match="needed finite scores, found 1 that are not"):
        t_interval([1.0, math.inf])
    with pytest.raises(ValueError, match="needed 0 < level < 1, found 95"):
        t_interval([1.0, 2.0], 95)


def test_equal_scores_have_an_interval_of_no_width():
    found = stratified_bootstrap([2.0, 2.0, 2.0], rng())
    assert (found.estimate, found.low, found.high) == (2.0, 2.0, 2.0)


def test_one_seed_has_no_interval_and_says_so():
    found = (
        stratified_bootstrap([0.7], rng()),
        stratified_bootstrap([[0.6], [0.8]], rng()),  # one a stratum
        paired_difference([0.9], [0.2], rng()),
        *performance_profile([0.7], [0.5, 0.9], rng()),
    )
    assert [one.estimate for one in found] == pytest.approx([0.7, 0.7, 0.7, 1, 0])
    for one in found:
        assert math.isnan(one.low)
        assert math.isnan(one.high)
        assert one.num_seeds == 1
    assert str(found[0]) == "0.700 (one seed)"


def test_seeds_are_resampled_within_their_stratum():
    # Two games of very different scale, no spread within a game: however the seeds are
    # resampled within the games, the mean stays. Pooled over games it would not.
    found = stratified_bootstrap([[0.0] * 8, [100.0] * 8], rng(), mean)
    assert (found.low, found.estimate, found.high) == (50.0, 50.0, 50.0)


def test_a_strata_interval_is_narrower_than_a_pooled_one():
    scores = np.stack([rng(0).normal(0, 1, 10), rng(1).normal(50, 1, 10)])
    stratified = stratified_bootstrap(scores, rng(2), mean)
    pooled = stratified_bootstrap(scores.ravel(), rng(2), mean)
    assert stratified.estimate == pytest.approx(pooled.estimate)
    assert stratified.high - stratified.low < 0.1 * (pooled.high - pooled.low)
    # Standard error of the mean of two means of ten: closed form, +-20 % for 2000
    # resamples and the percentile form.
    error = math.sqrt(scores.var(1).sum() / 10) / 2
    assert stratified.high - stratified.low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_the_statistic_sees_all_strata_together():
    scores = [[0.0, 1.0], [3.0, 100.0]]
    found = stratified_bootstrap(scores, rng())
    assert found.estimate == 2.0  # the middle two of all four, not a mean of means
    assert found.num_seeds == 2


def test_the_order_of_seeds_does_not_matter_for_the_estimate_nor_much_for_the_ends():
    scores = rng(0).normal(size=20)
    first = stratified_bootstrap(scores, rng(1), resamples=10_000)
    second = stratified_bootstrap(scores[::-1], rng(1), resamples=10_000)
    assert first.estimate == pytest.approx(second.estimate, rel=1e-12)
    assert first.low == pytest.approx(second.low, abs=0.05)
    assert first.high == pytest.approx(second.high, abs=0.05)


def test_the_same_generator_gives_the_same_interval_and_another_another():
    scores = rng(0).normal(size=8)
    first, second = (stratified_bootstrap(scores, rng(5)) for _ in range(2))
    assert first == second
    assert stratified_bootstrap(scores, rng(6)).low != first.low


def test_a_wider_level_gives_a_wider_interval():
    scores = rng(0).normal(size=12)
    narrow = stratified_bootstrap(scores, rng(1), level=0.5)
    wide = stratified_bootstrap(scores, rng(1), level=0.99)
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


# --- coverage -------------------------------------------------------------------------

LOG = math.log
# E[x | q25 < x < q75] of the standard exponential: -2 * integral of ln v, 1/4 to 3/4.
EXPONENTIAL_IQM = 2 * (0.5 - 0.75 * LOG(0.75) + 0.25 * LOG(0.25))
COVERAGE_REPETITIONS = 300


def coverage(kind, num_seeds, repetitions):
    """Return how often a nominal 95 % interval contains the truth."""
    draw = rng(20260609)
    truth = 0.0
    if kind == "skewed":
        # Three seeds are averaged, so that their truth is the mean.
        truth = EXPONENTIAL_IQM if num_seeds >= 4 else 1.0
    hits = 0
    for _ in range(repetitions):
        scores = {"normal": draw.normal, "skewed": draw.exponential}[kind](
            size=num_seeds
        )
        found = stratified_bootstrap(scores, draw, resamples=300)
        hits += found.low <= truth <= found.high
    return hits / repetitions


# What the docstring of stratified_bootstrap states, for a nominal 95 %.
STATED = {
    ("normal", 3): 0.75,
    ("skewed", 3): 0.70,
    ("normal", 5): 0.90,
    ("skewed", 5): 0.89,
    ("normal", 20): 0.95,
    ("skewed", 20): 0.94,
}


@pytest.mark.parametrize(("kind", "num_seeds"), STATED)
def test_intervals_cover_the_truth_as_often_as_stated(kind, num_seeds):
    stated = STATED[kind, num_seeds]
    found = coverage(kind, num_seeds, COVERAGE_REPETITIONS)
    # Three standard errors of a binomial share; the statement is rounded to 0.01.
    error = math.sqrt(stated * (1 - stated) / COVERAGE_REPETITIONS)
    assert found == pytest.approx(stated, abs=3 * error + 0.005)
    if num_seeds <= 5:
        assert found < 0.95 - error, "too few seeds: the interval must be too narrow"


def test_three_seeds_cover_three_times_in_four_because_ends_are_extremes():
    # The interval of three normal scores misses when all three lie on one side: 1/4.
    assert STATED["normal", 3] == 1 - 2 * 0.5**3


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "num_seeds"), STATED)
def test_intervals_cover_the_truth_as_often_as_stated_in_many_repetitions(
    kind, num_seeds
):
    stated = STATED[kind, num_seeds]
    found = coverage(kind, num_seeds, 4000)
    error = math.sqrt(stated * (1 - stated) / 4000)
    assert found == pytest.approx(stated, abs=3 * error + 0.005)


# --- comparisons ----------------------------------------------------------------------


def test_a_paired_difference_is_the_interval_of_the_differences():
    scores, baseline = rng(0).normal(size=9), rng(1).normal(size=9)
    found = paired_difference(scores, baseline, rng(2))
    assert found == stratified_bootstrap(scores - baseline, rng(2))


def test_pairing_removes_what_the_seeds_share():
    shared = 10 * rng(0).normal(size=10)
    better = shared + 1 + 0.1 * rng(1).normal(size=10)
    found = paired_difference(better, shared, rng(2))
    assert found.estimate == pytest.approx(1, abs=0.1)
    assert found.low > 0.8


def test_a_paired_difference_changes_its_sign_with_its_sides():
    scores, baseline = rng(0).normal(size=9), rng(1).normal(size=9)
    there = paired_difference(scores, baseline, rng(2))
    back = paired_difference(baseline, scores, rng(2))
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.low == pytest.approx(-back.high)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
def test_probability_of_improvement_is_mann_whitneys_u_over_all_pairs(first, second):
    found = probability_of_improvement(first, second)
    u = scipy.stats.mannwhitneyu(first, second, method="asymptotic").statistic
    assert found == pytest.approx(u / (len(first) * len(second)))
    assert found + probability_of_improvement(second, first) == pytest.approx(1)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1.0),
        ([0.0], [1.0, 2.0], 0.0),
        ([1.0], [1.0], 0.5),
        ([1.0, 2.0], [0.0, 1.0], 0.875),
    ],
)
def test_probability_of_improvement_by_hand(first, second, expected):
    assert probability_of_improvement(first, second) == expected


def test_an_interval_reads_as_estimate_and_ends():
    interval = Interval(0.12345, 0.1, 0.2, 0.95, 8)
    assert str(interval) == "0.123 [0.100, 0.200]"


ONE = [1.0, 2.0]
REFUSALS = [
    (lambda: as_scores([]), "needed scores of shape"),
    (lambda: as_scores(np.ones((2, 2, 2))), r"found \(2, 2, 2\)"),
    (lambda: as_scores([1.0, math.nan, math.inf]), "finite scores, found 2 that are n"),
    (lambda: stratified_bootstrap([math.nan], rng()), "needed finite scores"),
    (lambda: stratified_bootstrap(ONE, rng(), level=1.0), "needed 0 < level < 1"),
    (lambda: stratified_bootstrap(ONE, rng(), level=0.0), "needed 0 < level < 1"),
    (lambda: stratified_bootstrap(ONE, rng(), level=95), "0 < level < 1, found 95"),
    (lambda: stratified_bootstrap(ONE, rng(), resamples=99), "needed resamples >= 100"),
    (lambda: paired_difference(ONE, [1.0], rng()), "found 2 and 1 scores; run the mis"),
    (lambda: probability_of_improvement([], ONE), "needed scores of shape"),
    (lambda: probability_of_improvement([math.nan], ONE), "needed finite scores"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS)
def test_scores_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- performance profiles -------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 99))
def test_a_profile_is_the_fraction_of_scores_above_and_falls(scores, seed):
    thresholds = np.linspace(0, 1, 5)
    found = performance_profile(scores, thresholds, rng(seed), resamples=100)
    direct = 1 - scipy.stats.ecdf(scores).cdf.evaluate(thresholds)
    np.testing.assert_allclose([p.estimate for p in found], direct, atol=1e-12)
    for values in ([p.low for p in found], [p.high for p in found]):
        assert values == sorted(values, reverse=True), "all thresholds share resamples"


def test_a_profiles_interval_is_the_binomial_one():
    scores = np.arange(40.0)
    (found,) = performance_profile(scores, [29.5], rng(), resamples=20_000)
    low, high = scipy.stats.binom(40, 0.25).ppf([0.025, 0.975]) / 40
    # The bootstrap of a fraction is binomial; one step of 1/40 for the discreteness.
    assert found.low == pytest.approx(low, abs=0.026)
    assert found.high == pytest.approx(high, abs=0.026)


def test_strata_count_alike_in_a_profile():
    scores = [[0.0, 1.0], [1.0, 1.0]]
    (found,) = performance_profile(scores, [0.5], rng())
    assert found.estimate == 0.75
    assert found.low == 0.5, "the second stratum stays above"
