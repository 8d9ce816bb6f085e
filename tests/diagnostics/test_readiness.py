"""Optimization readiness: closed forms, all minibatches, and what the kernel says."""

import math
from itertools import combinations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.diagnostics import optimization_readiness
from isometry.lab.plans import plan
from isometry.ntk import empirical_ntk, ntk_matrix
from isometry.ntk.preconditioned import preconditioned_ntk
from isometry.supervised.data.sets import load
from isometry.supervised.networks.mlp import as_module
from isometry.supervised.streams import scaled
from isometry.supervised.trainer import network_of

pytestmark = pytest.mark.usefixtures("double")


def half_square(outputs, targets):
    """Return the mean over observations of half the squared error."""
    return (outputs - targets).square().flatten(1).sum(1).mean() / 2


def draw(label="minibatches"):
    return generator(0, label)


def regression(count=6, features=3):
    """Return a linear model, inputs and targets."""
    model = nn.Linear(features, 1, bias=False)
    values = generator(0, "regression")
    model.weight.data = torch.randn(1, features, generator=values)
    inputs = torch.randn(count, features, generator=values)
    return model, inputs, torch.randn(count, 1, generator=values)


def perceptron():
    layers = [nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)]
    model = nn.Sequential(*layers)
    for name, parameter in model.named_parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator(0, name))
    return model


def classification(count=9):
    values = generator(0, "classification")
    labels = torch.randint(3, (count,), generator=values)
    return perceptron(), torch.randn(count, 5, generator=values), labels


def test_both_factors_are_those_of_linear_regression_in_closed_form():
    model, inputs, targets = regression()
    found = optimization_readiness(
        model, inputs, targets, loss=half_square, generator=draw(), batches=4_000
    )
    residual = inputs @ model.weight.detach().mT - targets
    rows = residual * inputs  # gradients of single observations
    count, size = len(rows), 4
    whole = rows.mean(0).square().sum()
    # A mean of `size` of `count` without replacement, by the finite population.
    spread = rows.square().sum(1).mean() - whole
    noisy = whole + spread / size * (count - size) / (count - 1)
    level = residual.square().mean() / 2
    assert found.loss == pytest.approx(level.item())
    assert found.gradient_norm == pytest.approx(whole.sqrt().item())
    assert found.relative_decrease == pytest.approx((whole / level).item())
    # 4,000 minibatches
    assert found.batch_agreement == pytest.approx((whole / noisy).item(), rel=0.05)
    product = found.relative_decrease * found.batch_agreement
    assert found.readiness == pytest.approx(product)


def test_drawn_minibatches_approach_the_mean_over_all_of_them():
    model, inputs, labels = classification()

    def square(index):
        value = functional.cross_entropy(model(inputs[index]), labels[index])
        gradients = torch.autograd.grad(value, list(model.parameters()))
        return sum(g.square().sum() for g in gradients).item(), value.item()

    every = [square(list(chosen)) for chosen in combinations(range(len(inputs)), 4)]
    assert len(every) == math.comb(9, 4)
    exact = sum(one for one, _ in every) / len(every)
    whole, level = square(list(range(len(inputs))))
    found = optimization_readiness(
        model, inputs, labels, generator=draw(), batches=4_000
    )
    assert found.readiness == pytest.approx(whole / level * whole / exact, rel=0.05)
    assert whole / exact < 1, "Jensen: the expectation is exact"


def test_the_second_factor_is_one_without_gradient_noise():
    model, inputs, targets = regression(1)
    same = inputs.expand(8, -1), targets.expand(8, -1)
    for data in (same, regression()[1:]):
        size = 4 if data is same else len(data[0])
        found = optimization_readiness(
            model, *data, loss=half_square, generator=draw(), batch_size=size
        )
        assert found.batch_agreement == pytest.approx(1)
        assert found.readiness == pytest.approx(found.relative_decrease)


def test_few_minibatches_may_agree_more_than_all_of_them():
    model, inputs, targets = regression(60)
    settings = {"loss": half_square, "batch_size": 30, "batches": 1}
    one = [
        optimization_readiness(
            model, inputs, targets, generator=draw(str(i)), **settings
        ).batch_agreement
        for i in range(20)
    ]
    assert min(one) < 1 < max(one)


def test_a_small_step_removes_the_share_that_the_first_factor_says():
    model, inputs, labels = classification()
    found = optimization_readiness(model, inputs, labels, generator=draw())
    lr = 1e-6
    before = functional.cross_entropy(model(inputs), labels)
    gradients = torch.autograd.grad(before, list(model.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter -= lr * gradient
        after = functional.cross_entropy(model(inputs), labels)
    share = ((before - after) / before).item()
    # second order in the rate
    assert share == pytest.approx(lr * found.relative_decrease, rel=1e-3)


@pytest.mark.parametrize("scaled", [False, True], ids=["descent", "scaled"])
def test_the_first_factor_is_the_kernel_along_the_task(scaled):
    model, inputs, _ = classification()
    targets = torch.randn(len(inputs), 3, generator=draw("targets"))
    scales = {
        name: torch.rand(p.shape, generator=draw(name)) + 0.1
        for name, p in model.named_parameters()
    }
    found = optimization_readiness(
        model,
        inputs,
        targets,
        loss=half_square,
        generator=draw(),
        scales=scales if scaled else None,
    )
    if scaled:
        kernel = preconditioned_ntk(model, inputs, scales)
    else:
        kernel = empirical_ntk(model, inputs)
    residual = (model(inputs) - targets).detach().flatten()
    along = residual @ ntk_matrix(kernel) @ residual / residual.square().sum()
    # L is a mean over n: 1/n of the loss of which the kernel speaks
    expected = 2 * along.item() / len(inputs)
    assert found.relative_decrease == pytest.approx(expected)


def test_it_has_the_unit_of_an_inverse_learning_rate():
    model, inputs, targets = regression()
    settings = {"loss": half_square, "generator": draw()}
    one = optimization_readiness(model, inputs, targets, **settings)

    def larger(outputs, wanted):
        return 5 * half_square(outputs, wanted)

    settings = {"loss": larger, "generator": draw()}
    other = optimization_readiness(model, inputs, targets, **settings)
    assert other.readiness == pytest.approx(5 * one.readiness)
    assert other.batch_agreement == pytest.approx(one.batch_agreement)
    # Parameters in a unit ten times as large: w = 10 u.
    model.weight.data /= 10
    settings = {"loss": half_square, "generator": draw()}
    other = optimization_readiness(model, 10 * inputs, targets, **settings)
    assert other.readiness == pytest.approx(100 * one.readiness)


def test_observations_beyond_one_chunk_count_alike(monkeypatch):
    model, inputs, labels = classification()
    expected = optimization_readiness(model, inputs, labels, generator=draw())
    monkeypatch.setattr("isometry.diagnostics.readiness.CHUNK", 4)
    found = optimization_readiness(model, inputs, labels, generator=draw())
    assert_close(vars(found), vars(expected))


def test_frozen_parameters_take_no_part_and_nothing_is_changed():
    model, inputs, labels = classification()
    model[0].requires_grad_(False)
    model.train()
    before = {name: v.clone() for name, v in model.state_dict().items()}
    found = optimization_readiness(model, inputs, labels, generator=draw())
    head = nn.Sequential(model[2])
    hidden = model[1](model[0](inputs)).detach()
    alone = optimization_readiness(head, hidden, labels, generator=draw())
    assert_close(vars(found), vars(alone))
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert_close(model.state_dict(), before)


def test_a_learned_task_at_a_minimum_has_no_readiness():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    inputs, targets = torch.ones(4, 1), torch.tensor([[1.0], [-1.0]] * 2)
    found = optimization_readiness(
        model, inputs, targets, loss=half_square, generator=draw(), batch_size=4
    )
    assert found.readiness == found.relative_decrease == 0
    assert found.batch_agreement == 1, "no gradient, no noise"


class Pair(nn.Module):
    """Two inputs and a dictionary as output, beside dropout and a norm."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(5, 4), nn.Linear(2, 4)
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, first, second):
        return {"logits": self.drop(self.norm(self.one(first) + self.two(second)))}


def test_any_module_with_any_inputs_is_looked_at_in_evaluation_mode():
    values = generator(0, "pair")
    inputs = (
        torch.randn(9, 5, generator=values),
        torch.randn(9, 2, generator=values),
    )
    labels = torch.randint(4, (9,), generator=values)
    pick = {"outputs": lambda said: said["logits"]}
    model = Pair().train()
    found = [
        optimization_readiness(model, inputs, labels, generator=draw(), **pick)
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0].readiness > 0


def test_a_member_of_a_stack_has_the_readiness_of_its_network():
    planned = plan("random_label_mnist", "adam", {"data": "digits"}, "smoke")
    pixels = scaled(load("digits"), planned.settings.input_scaling)
    method = planned.method, planned.method_settings
    network = network_of(*method, planned.settings, pixels)
    parameters = network.stacked([0, 1], 0)
    inputs = pixels.test_inputs[:12].double().flatten(1)
    labels = pixels.test_labels[:12]
    stacked = {n: p.detach().double() for n, p in parameters.items()}
    for value in stacked.values():
        value.requires_grad_()
    said = network.forward(stacked, inputs.expand(2, -1, -1))
    losses = [functional.cross_entropy(one, labels) for one in said]
    gradients = torch.autograd.grad(sum(losses), list(stacked.values()))
    for index, level in enumerate(losses):
        module = as_module(network, parameters, index).double()
        found = optimization_readiness(module, inputs, labels, generator=draw())
        square = sum(g[index].square().sum() for g in gradients).item()
        assert found.relative_decrease == pytest.approx(square / level.item())


def refusals():
    model, inputs, labels = classification()
    settings = {"generator": draw()}
    frozen = perceptron().requires_grad_(False)

    def at(**changes):
        given = {"model": model, "inputs": inputs, "targets": labels, **settings}
        return lambda: optimization_readiness(**{**given, **changes})

    def summed(outputs, wanted):
        return functional.cross_entropy(outputs, wanted, reduction="sum")

    def each(outputs, wanted):
        return functional.cross_entropy(outputs, wanted, reduction="none")

    return [
        (at(model="model"), TypeError, "a torch module, found str"),
        (at(inputs=inputs.float()), TypeError, "dtype torch.float64"),
        (at(targets=labels[:3]), ValueError, "9 targets, one for each input, found 3"),
        (at(batches=0), ValueError, "a whole batches >= 1"),
        (at(batch_size=0), ValueError, "a whole batch_size >= 1"),
        (at(batch_size=10), ValueError, "1 <= batch_size <= 9"),
        (at(loss=summed), ValueError, "the mean over observations"),
        (at(loss=each), ValueError, "a loss that is a scalar"),
        (at(loss=lambda o, t: o.mean() * torch.nan), ValueError, "a finite loss"),
        (at(loss=lambda o, t: o.mean() * 0 - 1), ValueError, "a loss above 0"),
        (at(model=frozen), ValueError, "requires a gradient"),
        (at(scales={}), ValueError, r"scales of shape \(7, 5\)"),
    ]


@pytest.mark.parametrize("number", range(12))
def test_what_has_no_readiness_is_refused_in_one_line(number):
    call, error, message = refusals()[number]
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
