"""Dormant and dead units, held by counting them one by one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.plasticity import dead_fraction, dormancy_scores, dormant_fraction
from isometry.plasticity.units import relative_activity

sizes = st.tuples(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 7), st.integers(0, 1000)
)


def activations_of(size):
    """Return rectified activations; whole units and single entries are silent."""
    *shape, seed = size
    draw = generator(seed, "activations")
    active = torch.randn(shape, generator=draw, dtype=torch.float64).relu()
    alive = torch.rand(shape[0], 1, shape[-1], generator=draw) > 0.4
    return active * alive


def brute_scores(layer):
    """Definition 3.1, unit by unit: layer ``(inputs, units)`` as lists."""
    size = [
        sum(abs(row[j]) for row in layer) / len(layer) for j in range(len(layer[0]))
    ]
    mean = sum(size) / len(size)
    return [s / mean if mean > 0 else 0.0 for s in size]


@given(sizes, st.sampled_from([0.0, 0.025, 0.1, 0.5, 1.0]))
def test_dormant_units_are_those_that_counting_finds(size, threshold):
    activations = activations_of(size)
    found = dormant_fraction(activations, threshold)
    assert found.shape == (size[0],)
    for i, layer in enumerate(activations.tolist()):
        scores = brute_scores(layer)
        assert_close(dormancy_scores(activations)[i], torch.tensor(scores).double())
        # A score at the threshold to rounding may fall on either side.
        if all(abs(score - threshold) > 1e-9 or score == 0 for score in scores):
            share = sum(score <= threshold for score in scores) / len(scores)
            assert found[i].item() == pytest.approx(share)


@given(sizes)
def test_dead_units_are_those_that_counting_finds(size):
    activations = activations_of(size)
    found = dead_fraction(activations)
    for i, layer in enumerate(activations.tolist()):
        units = range(len(layer[0]))
        dead = sum(all(row[j] == 0 for row in layer) for j in units)
        assert found[i].item() == pytest.approx(dead / len(units))


@given(sizes)
def test_dead_units_are_the_dormant_units_at_threshold_zero(size):
    activations = activations_of(size)
    assert_close(dead_fraction(activations), dormant_fraction(activations, 0.0))


@given(sizes)
def test_dormancy_scores_have_mean_one_unless_the_layer_is_silent(size):
    activations = activations_of(size)
    mean = dormancy_scores(activations).mean(-1)
    silent = (activations == 0).flatten(1).all(1)
    assert_close(mean, (~silent).double())


def test_a_layer_that_is_not_a_number_has_no_dormant_unit():
    activity = torch.tensor([[0.0, math.nan], [0.0, 3.0]])
    dormant = relative_activity(activity) <= 0.1
    assert dormant.tolist() == [[False, False], [True, False]]


def test_dormancy_does_not_see_the_scale_of_a_layer():
    activations = activations_of((2, 5, 6, 3))
    assert_close(dormancy_scores(1e-6 * activations), dormancy_scores(activations))


def test_a_sign_does_not_matter_for_dormancy():
    activations = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    assert dormancy_scores(activations).tolist() == [1.0, 1.0]


def test_every_unit_of_a_silent_layer_is_dormant_and_dead():
    silent = torch.zeros(4, 3)
    assert dormant_fraction(silent).item() == dead_fraction(silent).item() == 1.0


def test_a_unit_that_is_small_but_not_silent_is_dormant_and_not_dead():
    activations = torch.tensor([[1.0, 1e-3], [1.0, 0.0]])
    assert dormant_fraction(activations).item() == 0.5
    assert dead_fraction(activations).item() == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dormancy_scores(torch.ones(3)), r"\(..., inputs, units\), found \(3,"),
        (lambda: dead_fraction(torch.ones(3, 0)), r"found \(3, 0\); flatten a conv"),
        (lambda: dead_fraction(torch.full((2, 2), math.nan)), "needed finite activat"),
        (lambda: dormant_fraction(torch.full((2, 2), math.inf)), "look for divergence"),
        (
            lambda: dormant_fraction(torch.ones(2, 2), -0.1),
            "threshold >= 0, found -0.1",
        ),
        (lambda: dormant_fraction(torch.ones(2, 2), math.nan), "needed threshold >= 0"),
    ],
)
def test_what_are_no_activations_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
