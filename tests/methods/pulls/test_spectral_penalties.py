"""Penalties on the largest singular value, and the power iteration they carry along."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

WEIGHTS = ("h0.w", "h1.w", "out.w")


def power_step(weight, u):
    """Return sigma and u after one iteration, of one matrix, with numpy."""
    v = weight.T @ u
    v /= np.linalg.norm(v)
    u = weight @ v
    return np.linalg.norm(u), u / np.linalg.norm(u)


def vectors_of(toy_):
    return {name: u.numpy().copy() for name, u in toy_.state.items()}


def test_vectors_are_unit_one_a_weight_and_each_seeds_own(toy):
    own, alone = toy("spectral"), toy("spectral", seeds=(8,))
    assert tuple(own.state) == WEIGHTS
    for name, u in own.state.items():
        assert u.shape == own.parameters[name].shape[:2]
        assert_close(torch.linalg.vector_norm(u, dim=1), torch.ones(3).double())
        assert torch.equal(u[1], alone.state[name][0])
        assert not torch.equal(u[0], u[1])


def test_one_call_is_one_power_iteration_from_the_carried_vector(toy):
    own = toy("spectral_norm", spectral_norm_strength=0.3)
    before, arrays = vectors_of(own), own.copy()
    penalty = own.penalty().detach()
    for i in range(3):
        total = 0.0
        for name in WEIGHTS:
            sigma, u = power_step(arrays[name][i], before[name][i])
            total += 0.15 * sigma**2
            assert_close(own.state[name][i], torch.from_numpy(u))
        assert penalty[i].item() == pytest.approx(total, rel=1e-12)


def test_carried_on_it_becomes_the_largest_singular_value(toy):
    own = toy("spectral_norm", spectral_norm_strength=2.0)
    for _ in range(300):
        penalty = own.penalty().detach()
    largest = [torch.linalg.svdvals(own.parameters[n].detach())[:, 0] for n in WEIGHTS]
    assert_close(penalty, torch.stack(largest).square().sum(0))


@pytest.mark.parametrize("normalised", [False, True])
def test_spectral_pulls_sigma_to_one_biases_to_zero_and_gains_to_one(toy, normalised):
    own = toy("spectral", normalised, spectral_strength=0.3)
    for _ in range(300):
        own.penalty()
    arrays, penalty = own.copy(), own.penalty().detach()
    for i in range(3):
        total = 0.0
        for name, array in arrays.items():
            if name[-1] == "w":
                total += (np.linalg.svd(array[i])[1][0] ** 2 - 1) ** 2
            elif name[-1] == "g":
                total += ((array[i] - 1) ** 2).sum()
            else:
                total += (array[i] ** 2).sum() ** 2  # k = 2: the fourth power
        assert penalty[i].item() == pytest.approx(0.3 * total, rel=1e-9)


def test_the_gradient_is_sigma_times_the_outer_product_of_the_vectors(toy):
    own = toy("spectral_norm", spectral_norm_strength=1.0)
    for _ in range(300):
        own.penalty()
    for parameter in own.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    own.add_gradient()
    for name, parameter in own.parameters.items():
        if name in WEIGHTS:
            u, s, v = torch.linalg.svd(parameter.detach(), full_matrices=False)
            top = s[:, :1, None] * u[:, :, :1] @ v[:, :1]
            assert_close(parameter.grad, top)
        else:
            assert (parameter.grad == 0).all()


def test_a_weight_that_is_zero_keeps_its_vector_for_better_times(toy):
    own = toy("spectral_norm")
    before = vectors_of(own)["h0.w"]
    with torch.no_grad():
        own.parameters["h0.w"].zero_()
    assert own.penalty().isfinite().all()
    assert_close(own.state["h0.w"], torch.from_numpy(before))
