"""PAPO: the polar factor against an SVD, and what is added to the gradients."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.pulls.polar import polar_factor


def drawn(*shape):
    return torch.randn(shape, generator=generator(0, "polar", *shape)).double()


def polar(matrix):
    """Return the polar factor by numpy's SVD."""
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    return torch.from_numpy(u @ v)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (6, 6), (1, 5), (5, 1)])
def test_it_is_the_polar_factor(shape):
    matrix = 1e-3 * drawn(2, *shape)
    for i in range(2):
        # what eight steps leave of a singular value's distance to one
        error = {"rtol": 0, "atol": 1e-6}
        assert_close(polar_factor(matrix)[i], polar(matrix[i].numpy()), **error)


@pytest.mark.parametrize("size", [1.0, 1e-1, 1e-2, 2e-3])
def test_singular_values_down_to_a_thousandth_of_the_norm_are_one(size):
    values = torch.tensor([1.0, size]).double()
    found = torch.linalg.svdvals(polar_factor(torch.diag(values)[None]))
    assert_close(found, torch.ones_like(found), rtol=0, atol=1e-6)


def test_it_is_scale_free_and_zero_stays_zero():
    matrix = drawn(2, 4, 3)
    assert_close(polar_factor(matrix), polar_factor(1e5 * matrix))
    matrix[0] = 0
    found = polar_factor(matrix)
    assert (found[0] == 0).all()
    assert found[1].isfinite().all()


def test_it_is_added_to_the_gradients_of_hidden_weights_alone(toy):
    own = toy("papo", polar_strength=0.3)
    before = own.draw("gradient")
    for name, gradient in before.items():
        own.parameters[name].grad = gradient.clone()
    own.before()
    for name, gradient in before.items():
        found = own.parameters[name].grad
        if name not in ("h0.w", "h1.w"):
            assert torch.equal(found, gradient)
            continue
        for i in range(3):
            expected = gradient[i] + 0.3 * polar(gradient[i].numpy())
            assert_close(found[i], expected, rtol=0, atol=1e-6)


def test_a_negative_strength_is_refused(toy):
    with pytest.raises(ValueError, match="needed polar_strength >= 0, found -1"):
        toy("papo", polar_strength=-1.0)
