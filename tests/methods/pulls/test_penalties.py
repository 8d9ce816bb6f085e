"""Pulls towards a point, against sums that are written out member by member."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.lab.run import plan
from isometry.methods import METHODS
from isometry.supervised.trainer import network_of, train

TINY = {
    "data": "digits",
    "tasks": 2,
    "images_per_task": 24,
    "batch_size": 8,
    "width": 6,
    "depth": 2,
}


def by_member(toy_, penalty):
    """Return the penalty of each member's arrays, as a tensor."""
    arrays = toy_.copy()
    values = [
        penalty({name: a[i] for name, a in arrays.items()}, i)
        for i in range(len(toy_.seeds))
    ]
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("normalised", [False, True])
def test_l2_is_half_the_strength_times_the_squared_norm_without_the_norms_own(
    toy, normalised
):
    own = toy("l2", normalised, l2_strength=0.3)

    def expected(arrays, i):
        kept = [a for name, a in arrays.items() if name[-1] not in "go"]
        return 0.15 * sum((a**2).sum() for a in kept)

    assert_close(own.penalty().detach(), by_member(own, expected))


def test_l2_is_adams_own_coupled_weight_decay(toy):
    own, trusted = toy("l2", l2_strength=0.3), toy("adam")
    adam = torch.optim.Adam(trusted.parameters.values(), lr=1e-2, weight_decay=0.3)
    for step in range(5):
        for name, gradient in own.draw("task", step).items():
            own.parameters[name].grad = gradient.clone()
            trusted.parameters[name].grad = gradient.clone()
        own.add_gradient()
        own.optimizer.step()
        adam.step()
    for name, tensor in trusted.parameters.items():
        assert_close(own.parameters[name], tensor)


@pytest.mark.parametrize("normalised", [False, True])
def test_l2_init_is_half_the_strength_times_the_squared_distance_of_all(
    toy, normalised
):
    own = toy("l2_init", normalised, l2_init_strength=0.3)
    start = own.copy()
    assert_close(own.penalty().detach(), torch.zeros(3, dtype=torch.float64))
    for step in range(3):
        own.adam_step(step)

    def expected(arrays, i):
        gaps = [arrays[name] - start[name][i] for name in arrays]
        return 0.15 * sum((gap**2).sum() for gap in gaps)

    found = own.penalty().detach()
    assert (found > 0).all()
    assert_close(found, by_member(own, expected))


@pytest.mark.parametrize("normalised", [False, True])
def test_l2_init_of_weights_alone_leaves_vectors_out_of_value_and_gradient(
    toy, normalised
):
    own = toy("l2_init", normalised, l2_init_strength=0.3, l2_init_vectors=False)
    start = own.copy()
    own.adam_step(0)

    def expected(arrays, i):
        gaps = [arrays[n] - start[n][i] for n in arrays if n.endswith(".w")]
        return 0.15 * sum((gap**2).sum() for gap in gaps)

    value = own.penalty()
    assert_close(value.detach(), by_member(own, expected))
    names, leaves = list(own.parameters), list(own.parameters.values())
    trusted = torch.autograd.grad(
        value.sum(), leaves, allow_unused=True, materialize_grads=True
    )
    for parameter in leaves:
        parameter.grad = torch.zeros_like(parameter)
    own.add_gradient()
    for name, parameter, gradient in zip(names, leaves, trusted, strict=True):
        assert_close(parameter.grad, gradient)
        assert bool(gradient.any()) is name.endswith(".w"), name


def test_the_anchor_is_the_network_before_the_first_step_of_the_first_task(digits):
    plan_ = plan("permuted_mnist", "l2_init", TINY, "smoke")
    parts = (plan_.benchmark, plan_.method, plan_.method_settings, plan_.settings)
    run = train(*parts, digits, [0, 1])
    network = network_of(*parts[1:], digits)
    assert run.task == 2
    for name, start in network.stacked([0, 1], 0).items():
        assert torch.equal(run.carried[name], start)
        assert (run.parameters[name].detach() - start).abs().max() > 1e-3


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_parseval_holds_rows_of_hidden_layers_with_its_factor_of_the_width(toy, scale):
    own = toy("parseval", parseval_strength=0.3, parseval_scale=scale)

    def expected(arrays, i):
        total = 0.0
        for name in ("h0.w", "h1.w"):
            out = len(arrays[name])
            gap = arrays[name] @ arrays[name].T - scale * np.eye(out)
            total += (64 / out) ** 2 * (gap**2).sum()
        return 0.3 * total

    assert_close(own.penalty().detach(), by_member(own, expected))


def test_parseval_has_a_floor_where_a_layer_expands_and_none_where_it_does_not(toy):
    own = toy("parseval", parseval_strength=1.0, parseval_scale=2.0)
    with torch.no_grad():
        for name in ("h0.w", "h1.w"):
            weight = own.parameters[name]
            u, _, v = torch.linalg.svd(weight, full_matrices=False)
            weight.copy_(2**0.5 * u @ v)
    # The first layer has 3 inputs and 5 outputs: 2^2 (5 - 3) stays.
    floor = (64 / 5) ** 2 * 2.0**2 * (5 - 3)
    found = own.penalty().detach()
    assert_close(found, torch.full((3,), floor, dtype=torch.float64))


REFUSALS = [
    ("l2", {"l2_strength": -1}, "needed l2_strength >= 0, found -1.0"),
    ("l2", {"eps": 0}, "needed eps > 0"),
    ("l2_init", {"l2_init_strength": -1}, "needed l2_init_strength >= 0"),
    ("parseval", {"parseval_strength": -1}, "needed parseval_strength >= 0"),
    ("parseval", {"parseval_scale": 0}, "needed parseval_scale > 0"),
    ("spectral", {"spectral_strength": -1}, "needed spectral_strength >= 0"),
    ("spectral_norm", {"spectral_norm_strength": -1}, "needed spectral_norm_strength"),
    ("nap", {"nap_every": 0}, "needed nap_every >= 1, found 0"),
    ("newton_schulz", {"projection_every": 0}, "needed projection_every >= 1"),
    ("newton_schulz", {"projection_iterations": 0}, "needed projection_iterations"),
    ("weight_clipping", {"clip": 0}, "needed clip > 0"),
    ("shrink_perturb", {"shrink": 1.5}, "needed 0 <= shrink <= 1"),
    ("shrink_perturb", {"perturb": -1}, "needed perturb >= 0"),
    ("shrink_perturb", {"perturb_every": 0}, "needed perturb_every >= 1"),
    ("redo", {"redo_threshold": -1}, "needed redo_threshold >= 0"),
    ("redo", {"redo_every": 0}, "needed redo_every >= 1"),
    ("redo", {"redo_window": 0}, "needed redo_window >= 1"),
    ("cbp", {"replacement_rate": 2}, "needed 0 <= replacement_rate <= 1"),
    ("cbp", {"maturity": -1}, "needed maturity >= 0"),
    ("cbp", {"utility_decay": 1}, "needed 0 <= utility_decay < 1"),
    ("cbp", {"cbp_utility": "none"}, "unknown value for cbp_utility 'none'"),
    ("snr", {"snr_rejection": 0}, "needed 0 < snr_rejection < 1"),
    ("snr", {"snr_least": 0}, "needed snr_least >= 1"),
    ("snr", {"snr_most": 5}, r"needed snr_most >= snr_least \(100\), found 5"),
    ("snr", {"snr_every": 0}, "needed snr_every >= 1"),
    ("muon", {"muon_lr": 0}, "needed muon_lr > 0"),
    ("muon", {"muon_momentum": 1}, "needed 0 <= muon_momentum < 1"),
    ("crelu", {"crelu_size": "quarter"}, "unknown value for crelu_size 'quarter'"),
    ("leaky_relu", {"leak": 2}, "needed 0 <= leak <= 1"),
]


@pytest.mark.parametrize(("method", "values", "message"), REFUSALS)
def test_settings_out_of_range_are_refused(toy, method, values, message):
    with pytest.raises(ValueError, match=message):
        toy(method, **values)


def test_every_new_setting_is_refused_somewhere():
    refused = {(method, key) for method, values, _ in REFUSALS for key in values}
    free = {("weight_clipping", "clip_head"), ("nap", "nap_affine")}
    free |= {("l2_init", "l2_init_vectors"), ("cbp", "cbp_compensation")}
    for method in {method for method, *_ in REFUSALS}:
        own = dataclasses.fields(METHODS.get(method).settings)
        for key in {f.name for f in own} - {"beta1", "beta2", "eps"}:
            assert (method, key) in refused | free
