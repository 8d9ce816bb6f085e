"""Bootstraps of many sets of scores: each has the bits that it has alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isometry.core.bootstraps import bootstrap_each
from isometry.core.statistics import stratified_bootstrap

SCORES = st.one_of(
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-9),
    st.integers(-2, 2).map(float),  # with ties
).map(lambda score: score + 0.0)  # a zero has no sign: which of two ties sorts first?


def draws(count):
    return [np.random.default_rng(seed) for seed in range(count)]


@given(st.integers(1, 21).flatmap(lambda n: st.lists(SCORES, min_size=n, max_size=n)))
def test_each_set_has_the_bits_that_it_has_alone(scores):
    sets = np.stack([np.roll(scores, turn) for turn in range(18)])
    found = bootstrap_each(sets, draws(18), resamples=100)
    for own, one, draw in zip(sets, found, draws(18), strict=True):
        alone = stratified_bootstrap(own, draw, resamples=100)
        np.testing.assert_equal(vars(one), vars(alone))


def test_too_few_generators_are_refused_with_their_number():
    with pytest.raises(ValueError, match="needed a generator for each of 3 sets"):
        bootstrap_each(np.eye(3), draws(2))
