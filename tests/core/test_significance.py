"""Exact p, families of tests, ranks over streams, and what few seeds can find."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from isometry.core.significance import (
    _least_p,
    by_seed,
    friedman,
    holm,
    nemenyi_distance,
    sign_flip_p,
    smallest_effect,
)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- signs flipped --------------------------------------------------------------------


def brute_force_p(whole):
    """Return the share of patterns at least as extreme, in whole numbers."""
    observed = abs(sum(whole))
    patterns = list(itertools.product([-1, 1], repeat=len(whole)))
    sums = [abs(sum(s * d for s, d in zip(p, whole, strict=True))) for p in patterns]
    return Fraction(sum(one >= observed for one in sums), len(patterns))


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([3.0], 1.0),
        ([1.0, 2.0], 0.5),
        ([1.0, -1.0], 1.0),
        ([0.0, 0.0, 0.0], 1.0),
        ([1.0, 2.0, 4.0], 0.25),
        ([-1.0, 2.0, 4.0], 0.5),  # 5 or more in size: 7, 5, -5, -7 of eight
        ([1.0, 1.0, 1.0, -1.0], 0.625),  # 2 or 4 heads of four, or as many tails
    ],
)
def test_p_of_flipped_signs_by_hand(differences, expected):
    assert sign_flip_p(differences) == expected


@given(st.lists(st.integers(-12, 12), min_size=1, max_size=9), st.booleans())
def test_p_is_that_of_whole_numbers_though_scores_are_rounded(whole, shifted):
    # Accuracies are counts over a size that no binary fraction holds: equal sums of
    # differences then differ in their last digits and are still ties.
    scores = np.array(whole) / 7777
    if shifted:
        scores = (np.array(whole) + 5000) / 7777 - 5000 / 7777
    assert sign_flip_p(scores) == brute_force_p(whole)


@pytest.mark.parametrize("num_seeds", [2, 5, 8, 11])
def test_p_is_scipys_where_nothing_ties(num_seeds):
    differences = rng(num_seeds).normal(0.4, 1, num_seeds)
    trusted = scipy.stats.permutation_test(
        (differences,),
        lambda x, axis: x.mean(axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip_p(differences) == pytest.approx(trusted.pvalue, rel=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(0.01, 100))
def test_p_knows_no_unit_and_no_side_and_has_a_least_value(differences, factor):
    found = sign_flip_p(differences)
    assert sign_flip_p(-np.array(differences)) == found
    assert _least_p(len(differences)) <= found <= 1
    if all(abs(one) > 1e-6 for one in differences):
        assert sign_flip_p(factor * np.array(differences)) == found
        assert sign_flip_p(np.abs(differences)) == _least_p(len(differences))


@pytest.mark.parametrize("num_seeds", [6, 8])
def test_p_is_at_most_the_level_that_often_where_noise_is_symmetric(num_seeds):
    repetitions = 2000
    draw = rng(20260609)
    # Heavy tails, and a spread of its own for every seed: only symmetry is needed.
    spreads = np.linspace(0.2, 3, num_seeds)
    noise = spreads * draw.standard_t(3, (repetitions, num_seeds))
    found = np.array([sign_flip_p(one) for one in noise])
    step = _least_p(num_seeds)
    for level in (step, 0.05, 0.1, 0.25, 0.5, 0.9):
        share = math.floor(level / step) * step  # p takes multiples of its least value
        error = math.sqrt(share * (1 - share) / repetitions)
        assert (found <= level).mean() == pytest.approx(share, abs=3.5 * error)


def test_many_seeds_draw_their_patterns():
    differences = rng(1).normal(0.4, 1, 24)
    found = sign_flip_p(differences, rng(2))
    # The exact p from two halves: all sums of 12 signs beside all of the other 12.
    sums = [np.zeros(1), np.zeros(1)]
    for place, size in enumerate(differences):
        half = sums[place % 2]
        sums[place % 2] = np.concatenate([half + size, half - size])
    first, second = sums[0], np.sort(sums[1])
    observed = differences.sum() - 1e-9
    above = len(second) - np.searchsorted(second, observed - first)
    exact = 2 * above.sum() / 2**24
    error = math.sqrt(exact * (1 - exact) / 100_000)
    assert found == pytest.approx(exact, abs=4 * error)
    assert sign_flip_p(differences, rng(2)) == found
    assert sign_flip_p(np.ones(60), rng(2)) == pytest.approx(1e-5)  # the observed one


# --- families of comparisons ----------------------------------------------------------


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.6, 0.7, 0.01], [1.0, 1.0, 0.03]),
        ([0.01, 0.011, 0.9], [0.03, 0.03, 0.9]),  # never smaller than a smaller p's
        ([0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_holms_p_by_hand(p_values, expected):
    assert holm(p_values) == pytest.approx(expected, rel=1e-14)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from([0.05, 0.3]))
def test_holm_rejects_what_stepping_down_rejects(p_values, level):
    adjusted = holm(p_values)
    left = sorted(p_values)
    rejected = []
    while left and left[0] * len(left) <= level:
        rejected.append(left.pop(0))
    assert sorted(np.array(p_values)[adjusted <= level]) == rejected
    assert (adjusted >= p_values).all()


# --- ranks over streams ---------------------------------------------------------------

# Area under the curve of four forms of C4.5 on 14 data sets. The paper ranks the last
# two of the voting data apart, which are equal when rounded.
# Source: Demsar, JMLR 7, 2006, Table 6.
C45 = [
    [0.763, 0.768, 0.771, 0.798],
    [0.599, 0.591, 0.590, 0.569],
    [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898],
    [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685],
    [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000],
    [0.940, 0.962, 0.965, 0.962],
    [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.97501, 0.975],
    [0.957, 0.978, 0.946, 0.970],
]


def test_friedman_is_demsars_example_but_for_its_ties():
    found = friedman(C45)
    assert found.mean_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    # The paper's 9.28 is not corrected for the one tie of four and the three of two.
    correction = 1 - (60 + 3 * 6) / (14 * 4 * 15)
    assert found.chi_square * correction == pytest.approx(9.28, abs=0.01)
    assert found.chi_square_p == pytest.approx(scipy.stats.chi2.sf(found.chi_square, 3))


def test_iman_davenports_statistic_is_the_analysis_of_variance_of_ranks():
    ranks = scipy.stats.rankdata(-np.array(C45), axis=1)
    streams, methods = ranks.shape
    between = streams * ((ranks.mean(0) - ranks.mean()) ** 2).sum() / (methods - 1)
    rest = ranks - ranks.mean(0) - ranks.mean(1, keepdims=True) + ranks.mean()
    within = (rest**2).sum() / ((methods - 1) * (streams - 1))
    found = friedman(C45)
    assert found.f == pytest.approx(between / within, rel=1e-10)
    assert found.f_p == pytest.approx(scipy.stats.f.sf(between / within, 3, 39))


def test_streams_that_agree_leave_no_chance_and_ties_leave_nothing_else():
    agreed = friedman([[0.1, 0.2, 0.9], [1.0, 3.0, 4.0], [5.0, 6.0, 7.0]])
    assert agreed.mean_ranks.tolist() == [3.0, 2.0, 1.0]
    assert (agreed.chi_square, agreed.f, agreed.f_p) == (6.0, math.inf, 0.0)
    for streams, methods in itertools.product(range(2, 9), range(3, 9)):
        found = friedman(np.tile(np.arange(methods), (streams, 1)))
        assert (found.f, found.f_p) == (math.inf, 0.0), "whatever the rounding"
    tied = friedman(np.ones((3, 4)))
    assert tied.mean_ranks.tolist() == [2.5] * 4
    assert (tied.chi_square_p, tied.f, tied.f_p) == (1.0, 0.0, 1.0)


def test_friedmans_p_is_as_often_below_the_level():
    repetitions = 500
    scores = rng(3).normal(size=(repetitions, 5, 6))
    found = np.array([friedman(one).f_p for one in scores])
    for level in (0.1, 0.3, 0.6):
        # Three standard errors of a share, and 0.02 because ranks take few values.
        error = 3 * math.sqrt(level * (1 - level) / repetitions) + 0.02
        assert (found <= level).mean() == pytest.approx(level, abs=error)


# Source: Demsar, JMLR 7, 2006, Table 5(a), 2 to 10 classifiers.
TABLE = {
    0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
    0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
}


@pytest.mark.parametrize("level", TABLE)
def test_nemenyis_distance_has_demsars_quantiles(level):
    for methods, quantile in enumerate(TABLE[level], start=2):
        spread = math.sqrt(methods * (methods + 1) / 6)
        found = nemenyi_distance(methods, 1, level) / spread
        assert found == pytest.approx(quantile, abs=1.1e-3)  # the table is rounded


def test_nemenyis_distance_shrinks_with_streams():
    assert nemenyi_distance(4, 14) == pytest.approx(1.25, abs=0.005)  # Demsar's example
    assert nemenyi_distance(23, 4) == pytest.approx(17.34, abs=0.005)
    assert nemenyi_distance(5, 4) == pytest.approx(nemenyi_distance(5, 1) / 2)


# --- the smallest effect that would be found ------------------------------------------


@pytest.mark.parametrize(
    ("num_seeds", "power", "level", "expected"),
    [
        # Cohen 1988 and calculators of power: d = 0.5 needs 34 pairs for 80 %, 44 for
        # 90 %, and d = 0.8 needs 15 for 80 %; one pair fewer does not do.
        (34, 0.8, 0.05, (0.49, 0.5)),
        (44, 0.9, 0.05, (0.49, 0.5)),
        (15, 0.8, 0.05, (0.77, 0.8)),
        (33, 0.8, 0.05, (0.5, 0.51)),
        (14, 0.8, 0.05, (0.8, 0.82)),
        (8, 0.8, 0.05, (1.155, 1.165)),
        # Many seeds: the normal quantiles, 1.95996 + 0.84162.
        (10**6, 0.8, 0.05, (2.8015e-3, 2.8017e-3)),
    ],
)
def test_the_smallest_effect_is_that_of_calculators(num_seeds, power, level, expected):
    low, high = expected
    assert low < smallest_effect(1.0, num_seeds, power, level) <= high


@pytest.mark.parametrize("num_seeds", [2, 3, 8])
@pytest.mark.parametrize(("power", "level"), [(0.8, 0.05), (0.5, 0.01), (0.06, 0.05)])
def test_the_smallest_effect_is_found_as_often_as_it_says(num_seeds, power, level):
    effect = smallest_effect(2.0, num_seeds, power, level)
    repetitions = 20_000
    drawn = rng(5).normal(effect, 2.0, (repetitions, num_seeds))
    found = scipy.stats.ttest_1samp(drawn, 0, axis=1).pvalue < level
    error = math.sqrt(power * (1 - power) / repetitions)
    assert found.mean() == pytest.approx(power, abs=3.5 * error)


@pytest.mark.parametrize("num_seeds", [2, 4, 20, 1000])
@pytest.mark.parametrize("level", [0.05, 1e-4])
def test_the_smallest_effect_falls_with_seeds_and_grows_with_power(num_seeds, level):
    effects = [smallest_effect(1.0, num_seeds, p, level) for p in (0.2, 0.8, 0.99)]
    assert effects == sorted(effects)
    assert effects[1] > smallest_effect(1.0, num_seeds + 1, 0.8, level)
    assert smallest_effect(0.0, num_seeds, 0.8, level) == 0


# --- refusals -------------------------------------------------------------------------

ONES = np.ones(3)
REFUSALS = [
    (
        lambda: by_seed([1.0], 2),
        r"needed 2 seeds or more in one row, found shape \(1, 1",
    ),
    (lambda: by_seed(np.ones((2, 3)), 1), "in one row, found shape"),
    (lambda: sign_flip_p([math.nan]), "needed finite scores"),
    (lambda: sign_flip_p(np.ones(21)), "a generator beyond 20 seeds, found 21 seeds"),
    (lambda: holm([]), "needed scores of shape"),
    (lambda: holm([0.5, 1.1]), "needed 0 <= p <= 1, found"),
    (lambda: holm([-0.1]), "needed 0 <= p <= 1, found"),
    (lambda: friedman(ONES), "2 streams and 3 methods or more, found 1 and 3"),
    (lambda: friedman(np.ones((3, 2))), "found 3 and 2; compare two with sign_flip_p"),
    (lambda: nemenyi_distance(1, 3), "needed 2 methods and 1 stream or more, found 1"),
    (lambda: nemenyi_distance(3, 0), "found 3 and 0"),
    (lambda: nemenyi_distance(3, 3, 5), "needed 0 < level < 1, found 5"),
    (lambda: smallest_effect(1.0, 1), "needed 2 seeds or more, found 1"),
    (lambda: smallest_effect(-1.0, 3), "needed 0 <= spread < inf, found -1.0"),
    (lambda: smallest_effect(math.nan, 3), "needed 0 <= spread < inf, found nan"),
    (
        lambda: smallest_effect(1.0, 3, 0.05, 0.05),
        "0 < level < power < 1, found 0.05 a",
    ),
    (lambda: smallest_effect(1.0, 3, 1.0), "needed 0 < level < power < 1"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS)
def test_what_cannot_be_tested_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
