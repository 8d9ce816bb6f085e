"""Partial resets against the rule, unit by unit, with numpy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.resets.continuous import _share_of

LAYERS = {"h0": "h1.w", "h1": "out.w"}


def share(utility, rate=0.015, threshold=1.0):
    return rate * min(2 / (1 + math.exp(16 * (utility - threshold))), 1)


@pytest.mark.parametrize("utility", [0.0, 0.9, 1.0, 1.1, 3.0])
def test_the_share_is_the_largest_up_to_the_threshold_and_falls_beyond(utility):
    found = _share_of(torch.tensor(utility, dtype=torch.float64), 0.015, 1.0)
    assert found.item() == pytest.approx(share(utility), rel=1e-12)
    assert (found.item() == 0.015) is (utility <= 1)


def test_the_share_of_a_huge_utility_is_zero():
    assert _share_of(torch.tensor([1e6, torch.inf]), 0.5, 1.0).tolist() == [0, 0]


def test_two_steps_are_the_rule_unit_by_unit(toy):
    own = toy("cpr", cpr_every=2, cpr_rate=0.5)
    expected = own.copy()
    utility = {layer: np.ones((3, n)) for layer, n in (("h0", 5), ("h1", 4))}
    for step in (0, 1):
        for name, gradient in own.draw("gradient", step).items():
            own.parameters[name].grad = gradient
        for layer, seen in utility.items():
            size = abs(own.parameters[f"{layer}.w"].grad.numpy()).mean(2)
            seen[:] = 0.99 * seen + 0.01 * size / size.mean(1, keepdims=True)
        own.after(step)
    for i, seed in enumerate(own.seeds):
        for layer, seen in utility.items():
            weight, read = expected[f"{layer}.w"][i], expected[LAYERS[layer]][i]
            bound = math.sqrt(6 / weight.shape[1])
            draw = generator(seed, "method", "cpr", 1, f"{layer}.w")
            drawn = torch.empty(weight.shape).uniform_(-bound, bound, generator=draw)
            for unit, u in enumerate(seen[i]):
                r = share(u, 0.5)
                weight[unit] = (1 - r) * weight[unit] + r * drawn[unit].numpy()
                read[:, unit] *= 1 - r
    for name, array in expected.items():
        assert_close(own.parameters[name].detach(), torch.tensor(array))
    assert (own.state["utility"] == 1).all()


def test_the_optimiser_remembers_and_biases_stay(toy):
    own = toy("cpr", cpr_every=1, cpr_rate=1.0)
    own.adam_step(0)
    memory = own.optimizer.state[own.parameters["h0.w"]]["exp_avg"].clone()
    before = own.copy()
    own.after(0)
    assert torch.equal(own.optimizer.state[own.parameters["h0.w"]]["exp_avg"], memory)
    for name, array in own.copy().items():
        assert np.array_equal(array, before[name]) is name.endswith(".b")


def test_a_layer_without_a_gradient_is_as_useful_as_its_mean(toy):
    own = toy("cpr", cpr_every=5)
    for parameter in own.parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    own.after(0)
    assert_close(own.state["utility"], torch.ones_like(own.state["utility"]))


def test_units_that_share_outputs_cannot_be_judged(toy, structures):
    own = toy("cpr")
    paired = replace(own.training, structure=structures.of(activation="crelu"))
    with pytest.raises(ValueError, match="needed one output a unit for cpr"):
        own.method.start(paired)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpr_rate": 1.5}, "needed 0 <= cpr_rate <= 1, found 1.5"),
        ({"cpr_threshold": -1.0}, "needed cpr_threshold >= 0, found -1.0"),
        ({"cpr_every": 0}, "needed cpr_every >= 1, found 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(toy, change, message):
    with pytest.raises(ValueError, match=message):
        toy("cpr", **change)
