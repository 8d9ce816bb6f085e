"""DASH: the cosines part by part, and the running mean of a pass's gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods.switches.shrinking import _shrunk


def drawn(*shape):
    return torch.randn(shape, generator=generator(0, "dash", *shape)).double()


def cosine(one, other):
    return (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())


@pytest.mark.parametrize("shape", [(5,), (5, 4), (4, 3, 2, 2)])
def test_each_part_is_multiplied_by_its_clamped_cosine(shape):
    """A part is a whole bias, a unit's row, or one kernel of one channel."""
    weight, pull = drawn(2, *shape), drawn(2, *shape).flip(0)
    found = _shrunk(weight, pull, 0.2)
    parts = [()] if len(shape) == 1 else np.ndindex(*shape[: max(1, len(shape) - 2)])
    for i in range(2):
        for part in parts:
            one, other = weight[i][part].numpy(), pull[i][part].numpy()
            factor = min(max(cosine(one, other), 0.2), 1)
            assert_close(found[i][part], weight[i][part] * factor)


def test_what_points_along_stays_and_what_points_back_keeps_the_least():
    weight = drawn(2, 5, 4)
    assert_close(_shrunk(weight, 3 * weight, 0.1), weight)
    assert_close(_shrunk(weight, -weight, 0.1), 0.1 * weight)
    assert (_shrunk(torch.zeros_like(weight), weight, 0.1) == 0).all()


def minibatches(count=3):
    for step in range(count):
        inputs = drawn(3, 6, 3) + step
        yield inputs, (inputs.sum(2) > step).long()


def test_it_shrinks_once_by_the_running_mean_of_a_pass(toy):
    own = toy("dash", dash_average=0.4, dash_least=0.1)
    mean = dict.fromkeys(own.parameters, 0.0)
    for inputs, targets in minibatches():
        for parameter in own.parameters.values():
            parameter.grad = None
        logits, _ = own.structure.function(own.parameters, inputs)
        for i in range(3):
            functional.cross_entropy(logits[i], targets[i]).backward(retain_graph=True)
        for name, parameter in own.parameters.items():
            mean[name] = 0.6 * mean[name] - 0.4 * parameter.grad
    expected = {
        name: _shrunk(parameter.detach(), mean[name], 0.1)
        for name, parameter in own.parameters.items()
    }
    own.switch(batches=minibatches)
    for name, tensor in expected.items():
        assert_close(own.parameters[name].detach(), tensor)
        assert own.parameters[name].requires_grad


def test_without_the_network_as_a_function_it_is_refused_in_one_line(toy):
    own = toy("dash")
    structure = replace(own.structure, function=None)
    with pytest.raises(ValueError, match="needed the network as a function for dash"):
        own.switch(structure=structure, batches=minibatches)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dash_average": 0.0}, "needed 0 < dash_average <= 1, found 0"),
        ({"dash_least": 1.5}, "needed 0 <= dash_least <= 1, found 1.5"),
    ],
)
def test_a_setting_out_of_range_is_refused(toy, change, message):
    with pytest.raises(ValueError, match=message):
        toy("dash", **change)
