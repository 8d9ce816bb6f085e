"""AdaLin: PReLU for ReLU, and elsewhere its formula by autograd."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

import isometry
from isometry.core.seeding import generator
from isometry.methods import get
from isometry.methods.activations import activate
from isometry.methods.combine import ANY
from isometry.methods.linearity import GATED, STEEPEST_GELU, AdaLin, gate

LEAK = 0.3
PHI = {
    "relu": functional.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, LEAK),
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "identity": lambda x: x,
    "sine": torch.sin,
}
every_kind = pytest.mark.parametrize("kind", GATED)


def drawn(*shape):
    return torch.randn(shape, generator=generator(2), dtype=torch.float64)


def slope_of(kind, x):
    """Return phi'(x) by autograd."""
    leaf = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(PHI[kind](leaf).sum(), leaf)
    return slope


def written(kind, x, alpha):
    """Return the published formula, with a gate that has no history."""
    steepest = STEEPEST_GELU if kind == "gelu" else 1.0
    open_ = (torch.pi / 2 * slope_of(kind, x).abs() / steepest).cos()
    return PHI[kind](x) + alpha * x * open_


def of(kind, alpha, dim=-1):
    module = AdaLin(kind, len(alpha), dim=dim, negative_slope=LEAK).double()
    module.load_state_dict({"alpha": alpha})
    return module


@every_kind
def test_it_is_the_formula_and_so_are_its_gradients(kind):
    x, alpha = drawn(7, 4).requires_grad_(), drawn(4)
    module, weight = of(kind, alpha), alpha.clone().requires_grad_()
    outputs, wanted = module(x), written(kind, x, weight)
    assert_close(outputs, wanted)
    found = torch.autograd.grad(outputs.square().sum(), [x, module.alpha])
    hand = torch.autograd.grad(wanted.square().sum(), [x, weight])
    assert_close(found, hand)


@every_kind
@pytest.mark.parametrize("dim", [-1, 2])
def test_a_stack_is_the_module_of_each_member(kind, dim):
    shape = (3, 5, 4) if dim == -1 else (3, 5, 4, 2, 2)
    x, alpha = drawn(*shape), drawn(3, 4)
    architecture = replace(ANY, activation=kind, negative_slope=LEAK, alpha=0.0)
    stacked = activate(x, architecture, dim, alpha=alpha)
    for i in range(3):
        module = of(kind, alpha[i], -1 if dim == -1 else 1)
        assert_close(stacked[i], module(x[i]))


def test_with_relu_it_is_prelu():
    x = torch.cat([drawn(6, 4), torch.zeros(1, 4)]).requires_grad_()
    alpha = drawn(1, 4).requires_grad_()
    architecture = replace(ANY, activation="relu", alpha=0.0)
    stacked = activate(x[None], architecture, alpha=alpha)[0]
    wanted = functional.prelu(x, alpha[0])
    assert torch.equal(stacked, wanted)
    weights = drawn(7, 4)
    found = torch.autograd.grad((stacked * weights).sum(), [x, alpha])
    hand = torch.autograd.grad((wanted * weights).sum(), [x, alpha])
    assert_close(found, hand, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", ["relu", "leaky_relu"])
def test_gradients_are_those_of_finite_differences_where_the_gate_is_constant(kind):
    x, alpha = drawn(1, 5, 4).requires_grad_(), drawn(1, 4).requires_grad_()
    architecture = replace(ANY, activation=kind, negative_slope=LEAK, alpha=0.0)
    torch.autograd.gradcheck(
        lambda x, alpha: activate(x, architecture, alpha=alpha), (x, alpha)
    )


@every_kind
def test_the_gate_is_shut_where_phi_is_steepest_and_never_negative(kind):
    x = torch.linspace(-6, 6, 120_001, dtype=torch.float64)
    slope = slope_of(kind, x).abs()
    steepest = STEEPEST_GELU if kind == "gelu" else 1.0
    assert float(slope.max()) == pytest.approx(steepest, abs=1e-8)
    found = gate(x, kind, LEAK)
    assert float(found[slope.argmax()]) == pytest.approx(0, abs=1e-4)
    assert float(found.min()) >= -1e-12


@pytest.mark.parametrize("kind", ["relu", "tanh", "gelu"])
def test_attach_puts_it_round_every_nonlinearity_and_changes_nothing_at_first(kind):
    act = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}[kind]
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        act(),
        nn.Flatten(),
        nn.Linear(16, 6),
        act(),
        nn.Linear(6, 2),
    )
    x = torch.randn(5, 1, 4, 4)
    before = model(x)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    plastic = isometry.attach(model, sgd, "adalin+l2_init", inputs=x)
    assert_close(model(x), before)
    assert [type(model[i]).__name__ for i in (1, 4)] == ["AdaLin"] * 2
    (model(x).square().mean() + plastic.penalty()).backward()
    sgd.step()
    plastic.step()
    for i, units in ((1, 4), (4, 6)):
        assert model[i].alpha.shape == (units,)
        assert model[i].alpha.abs().max() > 0
    left = [row for row in plastic.report().parameters if row.role == "spared"]
    assert [row.name for row in left] == ["1.alpha", "4.alpha"]


def of_network(activation):
    method = get("adalin")
    method.architecture(replace(ANY, activation=activation), method.settings)


def attached(act):
    model = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 2))
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    isometry.attach(model, sgd, "adalin", inputs=torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AdaLin("maxmin", 2), "for adalin, found maxmin; change activation"),
        (lambda: of_network("maxmin"), "for adalin, found maxmin; change activation"),
        (lambda: get("adalin+fourier"), "adalin has no gate for fourier"),
        (lambda: attached(nn.Sigmoid()), "for adalin, found Sigmoid"),
        (lambda: attached(nn.GELU("tanh")), "for adalin, found an approximate GELU"),
    ],
)
def test_what_has_no_gate_is_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
