"""The nonlinearities against their formulas, and AID's two laws against each other."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import isometry
from isometry.core.seeding import generator
from isometry.lab.run import plan
from isometry.methods import METHODS, Architecture
from isometry.methods.activations import AID, activate
from isometry.supervised.trainer import train

POINTS = (-100.0, -3.0, -0.4, 0.0, 0.2, 5.0, 100.0)
PLAIN = Architecture(
    network="mlp",
    width=9,
    depth=2,
    activation="relu",
    negative_slope=0.01,
    init="orthogonal",
    init_gain=1.0,
)


def built(name, **settings):
    method = METHODS.get(name)
    return method.architecture(PLAIN, type(method.settings)(**settings))


def test_smooth_leaky_is_its_formula():
    own = built("smooth_leaky", smooth_leak=0.3)
    found = activate(torch.tensor(POINTS).double(), own)
    for x, value in zip(torch.tensor(POINTS).double().tolist(), found, strict=True):
        z = 5 * x / 3
        sigmoid = 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))
        assert value.item() == pytest.approx(0.3 * x + 0.7 * x * sigmoid, rel=1e-12)


def test_smooth_leaky_has_the_slopes_a_and_one_far_out_and_finite_ones_between():
    inputs = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4]).requires_grad_()
    activate(inputs, built("smooth_leaky", smooth_leak=0.3)).sum().backward()
    assert_close(inputs.grad, torch.tensor([0.3, 0.3, 0.65, 1.0, 1.0]))


def test_sine_is_numpys_and_its_slope_is_the_cosine():
    own = replace(PLAIN, activation="sine")
    inputs = torch.tensor(POINTS).double().requires_grad_()
    found = activate(inputs, own)
    points = np.array(POINTS)
    assert_close(found.detach(), torch.from_numpy(np.sin(points)))
    (slopes,) = torch.autograd.grad(found.sum(), inputs)
    assert_close(slopes, torch.from_numpy(np.cos(points)))


@pytest.mark.parametrize("dim", [-1, 2])
def test_fourier_features_have_norm_one_a_unit_and_half_the_units(dim):
    own = built("fourier")
    assert (own.activation, own.units) == ("fourier", "half")
    shape = (2, 3, 4, 5, 6)
    inputs = torch.randn(shape, generator=generator(0, "f"))
    sine, cosine = activate(inputs, own, dim).split(inputs.shape[dim], dim)
    assert_close(sine, torch.from_numpy(np.sin(inputs.numpy())))
    assert_close(sine.square() + cosine.square(), torch.ones(shape))


@pytest.mark.parametrize("p", [0.0, 0.9, 1.0])
def test_aid_keeps_one_interval_and_its_mean_is_what_is_measured(p):
    own, many = built("aid", aid_p=p), 40_000
    inputs = torch.tensor([-2.0, 0.0, 3.0]).expand(2, many, 3)
    found = activate(inputs, own, draws=[generator(i, "aid") for i in range(2)])
    for column, x in enumerate((-2.0, 0.0, 3.0)):
        assert set(found[..., column].unique().tolist()) <= {0.0, x}
    error = 5 * math.sqrt(p * (1 - p) / many)
    expected = activate(inputs[:, 0], own)
    assert_close(expected[0], torch.tensor([-2 * (1 - p), 0, 3 * p]))
    assert ((found.mean(1) - expected).abs() <= 3 * error + 1e-5).all()
    assert p in (0, 1) or not torch.equal(found[0], found[1])


def test_aid_with_p_one_is_relu_and_a_half_is_linear():
    inputs = torch.randn(3, 5, generator=generator(0, "x"))
    assert torch.equal(activate(inputs, built("aid", aid_p=1.0)), inputs.relu())
    assert_close(activate(inputs, built("aid", aid_p=0.5)), inputs / 2)


def test_aid_as_a_module_draws_in_training_alone():
    module, inputs = AID(0.5), torch.ones(1000)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert set(module(inputs).tolist()) == {0.0, 1.0}
    assert torch.equal(module.eval()(inputs), inputs / 2)


@pytest.mark.parametrize("network", ["mlp", "cnn", "transformer"])
def test_aid_draws_anew_in_every_step_of_every_network(digits, network):
    small = {"data": "digits", "tasks": 2, "images_per_task": 12, "batch_size": 4}
    small |= {"epochs": 1, "width": 16, "depth": 2, "network": network}
    ends = []
    for p in (0.6, 1.0):
        way = plan("permuted_mnist", "aid", {**small, "aid_p": p}, "smoke")
        parts = (way.benchmark, way.method, way.method_settings, way.settings)
        ends.append(train(*parts, digits, [0]).parameters)
    relu = plan("permuted_mnist", "adam", small, "smoke")
    parts = (relu.benchmark, relu.method, relu.method_settings, relu.settings)
    plain = train(*parts, digits, [0]).parameters
    for key, tensor in plain.items():
        assert not torch.equal(ends[0][key], tensor)
        assert_close(ends[1][key], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "key"), [("smooth_leaky", "smooth_leak"), ("aid", "aid_p")]
)
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_setting_out_of_range_is_refused(name, key, value):
    with pytest.raises(ValueError, match=f"needed 0 <= {key} <= 1, found {value}"):
        built(name, **{key: value})


def test_on_a_model_that_is_there_it_draws_while_that_one_trains():
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2)
    )
    inputs = torch.ones(2, 3)
    isometry.attach(model, None, "aid", lr=1e-3, inputs=inputs)
    with torch.random.fork_rng():
        assert not torch.equal(model(inputs), model(inputs))
    assert torch.equal(model.eval()(inputs), model(inputs))


@pytest.mark.parametrize(("name", "kind"), [("crelu", "CReLU"), ("fourier", "Fourier")])
def test_what_doubles_outputs_is_refused_on_a_model_that_is_there(name, kind):
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    )
    with pytest.raises(ValueError, match=rf"there; use .*{kind} when"):
        isometry.attach(model, None, name, lr=1e-3, inputs=torch.ones(2, 3))
