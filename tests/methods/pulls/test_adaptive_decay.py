"""FADE against its rule, written with loops, under SGD and under Adam."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from isometry.core.seeding import generator
from isometry.methods.method import adam
from isometry.methods.optimisers.gradient_descent import sgd


def minibatch(step, size=2):
    draw = generator(6, "images", step)
    return torch.randn(3, size, 3, generator=draw).double()


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def stepped(own, step):
    """Take one step of everything; return features, gradient and weight before it."""
    before = own.copy()
    _, seen = own.structure.function(own.parameters, minibatch(step))
    for name, gradient in own.draw("gradient", step).items():
        own.parameters[name].grad = gradient
    gradient = own.parameters["out.w"].grad.numpy().copy()
    own.before()
    own.optimizer.step()
    own.after(step, [h.detach() for h in seen])
    return seen[1].detach().numpy(), gradient, before


@pytest.mark.parametrize("base", [sgd, adam])
def test_it_is_the_rule_weight_by_weight(toy, base):
    theta, start, lr, beta2 = 0.7, -1.0, 1e-2, 0.999
    own = toy("fade", fade_rate=theta, fade_start=start)
    own.optimizer = base(own.training)
    own.training = replace(own.training, optimizer=own.optimizer)
    gamma, trace = np.full((3, 2, 4), start), np.zeros((3, 2, 4))
    square = np.zeros((3, 2, 4))
    for step in range(5):
        features, gradient, before = stepped(own, step)
        square = beta2 * square + (1 - beta2) * gradient**2
        for i, k, j in np.ndindex(3, 2, 4):
            weight, bias = before["out.w"][i], before["out.b"][i]
            gamma[i, k, j] -= theta * gradient[i, k, j] * trace[i, k, j]
            gamma[i, k, j] = min(max(gamma[i, k, j], -15), 0)
            decay = math.exp(gamma[i, k, j])
            curvature = 0.0
            for x in features[i]:
                p = softmax(weight @ x + bias)[k]
                curvature += p * (1 - p) * x[j] ** 2 / len(features[i])
            rate = lr
            if base is adam:
                mean = square[i, k, j] / (1 - beta2 ** (step + 1))
                rate = lr / (math.sqrt(mean) + 1e-8)
            kept = max(1 - decay - rate * curvature, 0)
            trace[i, k, j] = trace[i, k, j] * kept - decay * weight[k, j]
        np.testing.assert_allclose(own.state["logarithm"].numpy(), gamma, rtol=1e-9)
        np.testing.assert_allclose(own.state["trace"].numpy(), trace, rtol=1e-9)
        if base is sgd:
            expected = (1 - np.exp(gamma)) * before["out.w"] - lr * gradient
            np.testing.assert_allclose(own.copy()["out.w"], expected, rtol=1e-9)
    assert np.ptp(gamma) > 0.1


def test_without_a_rate_it_is_a_fixed_decay_of_the_head(toy):
    own = toy("fade", fade_rate=0.0, fade_start=math.log(0.1))
    other = toy("head_decay", head_decay=0.1)
    for step in range(3):
        stepped(own, step)
        for name, gradient in other.draw("gradient", step).items():
            other.parameters[name].grad = gradient
        other.before()
        other.optimizer.step()
    for name, array in own.copy().items():
        np.testing.assert_allclose(array, other.copy()[name], rtol=1e-12)


@pytest.mark.parametrize("count", [0, 2])
def test_a_network_without_the_one_head_is_refused_in_one_line(toy, count):
    own = toy("fade")
    structure = replace(own.structure, heads=own.structure.heads * count)
    with pytest.raises(ValueError, match="needed one head that reads the last") as e:
        own.method.start(replace(own.training, structure=structure))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fade_rate": -1.0}, "needed fade_rate >= 0, found -1"),
        ({"fade_start": 0.5}, "needed -15 <= fade_start <= 0, found 0.5"),
        ({"fade_start": -16.0}, "needed -15 <= fade_start <= 0, found -16"),
    ],
)
def test_a_setting_out_of_range_is_refused(toy, change, message):
    with pytest.raises(ValueError, match=message):
        toy("fade", **change)
