"""Plasticity is the share of the removable loss that a budget removes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from isometry.plasticity import plasticity, removed_fraction

inf, nan = math.inf, math.nan


@pytest.mark.parametrize(
    ("initial", "final", "achievable", "expected"),
    [
        (2.0, 2.0, 0.0, 0.0),  # nothing learned
        (2.0, 0.0, 0.0, 1.0),  # all there was to learn
        (2.0, 0.5, 0.0, 0.75),
        (2.0, 1.5, 1.0, 0.5),  # the unachievable part does not count
        (2.0, 3.0, 0.0, -0.5),  # made worse
        (2.0, 0.5, 1.0, 1.5),  # better than the estimate of what is achievable
        (-1.0, -2.0, -3.0, 0.5),  # losses may be negative, as for a likelihood
        (2.0, nan, 0.0, 0.0),  # diverged: nothing was removed
        (2.0, inf, 0.0, 0.0),
        (nan, nan, 0.0, 0.0),  # had diverged before
        (inf, 1.0, 0.0, 0.0),
    ],
)
def test_removed_fraction_by_hand(initial, final, achievable, expected):
    assert removed_fraction(initial, final, achievable).item() == expected


losses = st.floats(0.1, 50)


@given(losses, losses, st.floats(-5, 5), st.floats(0.1, 10), st.floats(-3, 3))
def test_removed_fraction_does_not_see_unit_or_origin_of_the_loss(
    excess, removed, achievable, factor, shift
):
    initial = achievable + excess
    final = initial - removed
    found = removed_fraction(initial, final, achievable)
    assert found.item() == pytest.approx(removed / excess, rel=1e-6)
    rescaled = [factor * x + shift for x in (initial, final, achievable)]
    assert removed_fraction(*rescaled).item() == pytest.approx(found.item(), rel=1e-6)


def test_removed_fraction_is_taken_task_by_task_in_double_precision():
    initial = torch.tensor([[2.0, 4.0], [1.0, 3.0]])
    final = torch.tensor([[1.0, 1.0], [1.0, nan]])
    found = removed_fraction(initial, final, 0.0)
    assert found.dtype == torch.float64
    assert_close(found, torch.tensor([[0.5, 0.75], [0.0, 0.0]]).double())


def test_plasticity_is_the_mean_over_tasks_not_a_ratio_of_means():
    initial = torch.tensor([1.0, 100.0])
    final = torch.tensor([0.0, 100.0])
    assert plasticity(initial, final, 0.0).item() == 0.5


def test_every_task_may_have_its_own_achievable_loss():
    found = plasticity(
        torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.5]), torch.tensor([0.0, 1.0])
    )
    assert found.item() == 0.5


def test_plasticity_keeps_the_leading_dimensions():
    initial = torch.full((3, 2, 5), 2.0)
    final = torch.linspace(0, 2, 30).reshape(3, 2, 5)
    found = plasticity(initial, final, 0.0)
    assert found.shape == (3, 2)
    assert_close(found, (1 - final.double() / 2).mean(-1))


def test_plasticity_of_one_task_is_its_removed_fraction():
    assert plasticity(2.0, 0.5, 0.0).item() == removed_fraction(2.0, 0.5, 0.0).item()


def test_a_diverged_task_pulls_plasticity_down_instead_of_vanishing():
    final = torch.tensor([0.0, nan, 0.0, 0.0])
    assert plasticity(torch.full((4,), 2.0), final, 0.0).item() == 0.75


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.5, 1.0), "needed initial_loss > achievable_loss in every task, found"),
        ((1.0, 0.5, 2.0), "smallest excess -1; leave such tasks out"),
        ((torch.tensor([2.0, 1.0]), 0.0, 1.0), "smallest excess 0"),
        ((1.0, 0.5, nan), r"needed a finite achievable_loss, found nan"),
        ((1.0, 0.5, -inf), "needed a finite achievable_loss"),
    ],
)
def test_losses_without_meaning_are_refused(arguments, message):
    for measure in (removed_fraction, plasticity):
        with pytest.raises(ValueError, match=message):
            measure(*arguments)


def test_no_task_is_refused():
    with pytest.raises(ValueError, match="needed at least one task, found 0"):
        plasticity(torch.zeros(3, 0), torch.zeros(3, 0), 0.0)
