"""Adam's first-order kernel: brute force, special cases, and a step of Adam itself."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap
from torch.testing import assert_close

from isometry.ntk import empirical_ntk, ntk_matrix
from isometry.ntk.preconditioned import preconditioned_ntk

DOUBLE = torch.float64


def normal(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=DOUBLE, generator=draw)


def perceptron(*sizes, activation=nn.Tanh, seed=0):
    """Return a perceptron in float64 with drawn parameters, biases too."""
    layers = []
    for fan_in, out in pairwise(sizes):
        layers += [nn.Linear(fan_in, out), activation()]
    model = nn.Sequential(*layers[:-1]).double()
    for index, parameter in enumerate(model.parameters()):
        parameter.data = normal(*parameter.shape, seed=100 * seed + index) / 2
    return model


def drawn_scales(model, seed=50):
    named = enumerate(model.named_parameters(), start=seed)
    return {name: normal(*p.shape, seed=index).exp() for index, (name, p) in named}


def brute_force(model, inputs, scales):
    """Return J D J^T as a matrix, from the explicit Jacobian."""
    values = {name: p.detach() for name, p in model.named_parameters()}

    def outputs(values, one):
        return functional_call(model, values, (one[None],))[0]

    rows = vmap(jacrev(outputs), in_dims=(None, 0))(values, inputs)
    flat = torch.cat([rows[name].flatten(2) for name in values], 2).flatten(0, 1)
    diagonal = torch.cat([scales[name].flatten() for name in values])
    return flat @ torch.diag(diagonal) @ flat.mT


@pytest.mark.parametrize("sizes", [(5, 20, 3), (4, 7, 6, 1), (3, 2)])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_the_preconditioned_kernel_is_brute_force(sizes, activation):
    model, inputs = perceptron(*sizes, activation=activation), normal(6, sizes[0])
    scales = drawn_scales(model)
    found = ntk_matrix(preconditioned_ntk(model, inputs, scales))
    assert_close(found, brute_force(model, inputs, scales))


def test_scales_of_one_give_the_kernel_itself():
    model, inputs = perceptron(5, 20, 3), normal(6, 5)
    ones = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    found = preconditioned_ntk(model, inputs, ones)
    assert_close(found, empirical_ntk(model, inputs))


def test_other_layers_than_linear_ones_go_by_the_jacobian():
    layers = (nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 2))
    model, inputs = nn.Sequential(*layers).double(), normal(3, 4)
    scales = drawn_scales(model)
    found = ntk_matrix(preconditioned_ntk(model, inputs, scales))
    assert_close(found, brute_force(model, inputs, scales))


def test_frozen_parameters_add_nothing():
    model, inputs = perceptron(5, 8, 3), normal(4, 5)
    scales = drawn_scales(model)
    none = {n: s if n.startswith("2") else 0 * s for n, s in scales.items()}
    expected = brute_force(model, inputs, none)
    model[0].requires_grad_(False)
    assert_close(ntk_matrix(preconditioned_ntk(model, inputs, scales)), expected)


def test_a_step_of_adam_moves_the_outputs_by_its_kernel():
    """With beta1 = 0 the step is -lr D g, and g = J^T r for the squared error."""
    model, inputs, targets = perceptron(5, 20, 3), normal(6, 5), normal(6, 3, seed=9)
    lr, beta2, eps = 1e-7, 0.99, 1e-8
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.0, beta2), eps=eps)
    for _ in range(3):  # so that the second moment is not this gradient alone
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        residual = (model(inputs) - targets).detach()
        optimizer.zero_grad()
        ((model(inputs) - targets).square().sum() / 2).backward()
        optimizer.step()
    change = (model(inputs) - targets).detach() - residual
    scales = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state[parameter]
        v_hat = state["exp_avg_sq"] / (1 - beta2 ** state["step"])
        scales[name] = 1 / (v_hat.sqrt() + eps)
    model.load_state_dict(before)
    matrix = ntk_matrix(preconditioned_ntk(model, inputs, scales))
    # The rest is of second order in lr: 1e-7 of the change, times the curvature.
    assert_close(change.flatten() / lr, -matrix @ residual.flatten(), rtol=1e-4, atol=0)


def test_scales_that_do_not_fit_are_refused():
    model, inputs = perceptron(5, 4, 3), normal(2, 5)
    scales = drawn_scales(model)
    for wrong in (torch.ones(2, dtype=DOUBLE), -scales["0.weight"]):
        with pytest.raises(ValueError, match=r"0\.weight"):
            preconditioned_ntk(model, inputs, {**scales, "0.weight": wrong})
    del scales["2.bias"]
    with pytest.raises(ValueError, match="found none"):
        preconditioned_ntk(model, inputs, scales)
