"""The rules in the papers' symbols against autograd, torch's optimisers and FADE."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from isometry.core.seeding import generator
from isometry.methods.method import AdamSettings
from isometry.methods.pulls import adaptive_decay
from isometry.methods.structure import Layer, Structure
from isometry.methods.training import Training
from isometry.tracking.learner import LinearRule, NetworkRule
from isometry.tracking.reference import (
    LinearState,
    features,
    linear_start,
    linear_step,
    network_start,
    network_step,
    outputs,
)

DOUBLE = torch.float64


def drawn(*shape, label):
    return torch.randn(*shape, generator=generator(0, label), dtype=DOUBLE)


def network(inputs=5, width=7, outs=3):
    return {
        "hidden.weight": drawn(width, inputs, label="w"),
        "hidden.bias": drawn(width, label="b"),
        "head.weight": drawn(outs, width, label="v"),
        "head.bias": drawn(outs, label="c"),
    }


# --- the linear unit -----------------------------------------------------------------

RULES = {
    "fade": LinearRule(rate=0.1, decay=0.2, decay_theta=0.05),
    "idbd": LinearRule(rate=0.1, rate_theta=0.05),
    "idbd_decay": LinearRule(rate=0.1, rate_theta=0.05, decay=0.1),
    "fade_idbd": LinearRule(rate=0.1, decay=0.2, rate_theta=0.03, decay_theta=0.05),
    "coupled": LinearRule(rate=0.2, decay=0.3, decay_theta=0.05, coupled=True),
    "both_coupled": LinearRule(
        rate=0.2, decay=0.3, rate_theta=0.03, decay_theta=0.05, coupled=True
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_trace_is_the_derivative_of_a_lone_weight_by_its_logarithm(name):
    # With one input nothing is left out, and with a theta of zero the logarithms are
    # the same in every step: the whole history is differentiated.
    rule = replace(RULES[name], rate_theta=0.0, decay_theta=0.0)
    start = linear_start(rule, 1)
    beta, gamma = (t.clone().requires_grad_() for t in (start.beta, start.gamma))
    state = replace(start, beta=beta, gamma=gamma)
    plain = linear_start(rule, 1)
    for x, y in zip(drawn(8, 1, label="x"), drawn(8, label="y"), strict=True):
        assert x.square() * rule.rate + rule.decay < 1  # no trace is cut off
        state, _ = linear_step(state, x, y, rule)
        plain, _ = linear_step(plain, x, y, rule)
    by = torch.autograd.grad(state.w.sum(), [beta, gamma], allow_unused=True)
    torch.testing.assert_close(by[0], plain.h_beta)
    if rule.decay > 0:
        torch.testing.assert_close(by[1], plain.h_gamma)


@pytest.mark.parametrize("name", RULES)
def test_logarithms_descend_half_the_squared_error_of_the_next_example(name):
    rule = RULES[name]
    still = replace(rule, rate_theta=0.0, decay_theta=0.0)
    start = replace(linear_start(rule, 1), w=torch.tensor([0.7], dtype=DOUBLE))
    beta, gamma = (t.clone().requires_grad_() for t in (start.beta, start.gamma))
    x, y = drawn(2, 1, label="x").clamp(-1, 1), drawn(2, label="y")
    watched, _ = linear_step(replace(start, beta=beta, gamma=gamma), x[0], y[0], still)
    loss = (y[1] - watched.w @ x[1]).square() / 2
    by_beta, by_gamma = torch.autograd.grad(loss, [beta, gamma])
    first, _ = linear_step(start, x[0], y[0], still)
    after, _ = linear_step(first, x[1], y[1], rule)
    assert by_beta.abs() > 1e-3
    torch.testing.assert_close(after.beta - start.beta, -rule.rate_theta * by_beta)
    if rule.decay_theta > 0:
        assert by_gamma.abs() > 1e-3
        moved = after.gamma - start.gamma
        torch.testing.assert_close(moved, -rule.decay_theta * by_gamma)


def test_idbd_is_suttons_update():
    theta, w = 0.05, drawn(4, label="start")
    rule = LinearRule(rate=0.05, rate_theta=theta)
    state = replace(linear_start(rule, 4), w=w, h_beta=drawn(4, label="h"))
    x, y = drawn(4, label="x"), drawn(1, label="y")[0]
    after, delta = linear_step(state, x, y, rule)
    for i in range(4):
        beta = state.beta[i] + theta * delta * x[i] * state.h_beta[i]
        alpha = beta.exp()
        torch.testing.assert_close(after.beta[i], beta)
        torch.testing.assert_close(after.w[i], w[i] + alpha * delta * x[i])
        kept = max(1 - alpha * x[i] ** 2, 0)
        trace = state.h_beta[i] * kept + alpha * delta * x[i]
        torch.testing.assert_close(after.h_beta[i], trace)


def test_without_learning_it_is_torchs_sgd():
    rule = LinearRule(rate=0.05, decay=0.01)
    unit = torch.zeros(4, dtype=DOUBLE, requires_grad=True)
    sgd = torch.optim.SGD([unit], lr=0.05, weight_decay=0.01 / 0.05)
    state = linear_start(rule, 4)
    for x, y in zip(drawn(50, 4, label="x"), drawn(50, label="y"), strict=True):
        state, delta = linear_step(state, x, y, rule)
        sgd.zero_grad()
        loss = (y - unit @ x).square() / 2
        loss.backward()
        sgd.step()
        torch.testing.assert_close(delta.square() / 2, loss.detach())
    torch.testing.assert_close(state.w, unit.detach())


def test_bounds_hold_decays_and_traces():
    rule = LinearRule(rate=0.9, decay=0.5, decay_theta=1e3)
    state = LinearState(*(drawn(6, label=str(i)) for i in range(5)))
    state = replace(state, gamma=-state.gamma.abs())
    for x, y in zip(3 * drawn(20, 6, label="x"), drawn(20, label="y"), strict=True):
        state, _ = linear_step(state, x, y, rule)
        assert state.gamma.min() >= -15
        assert state.gamma.max() <= 0
    assert {-15.0, 0.0} <= set(state.gamma.tolist())


# --- the network ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sgd", "sgd_decay", "adam", "adamw"])
def test_a_network_learns_as_under_torchs_optimisers(kind):
    lr, decay = 0.02, 0.1 if kind in ("sgd_decay", "adamw") else 0.0
    adam = AdamSettings() if kind.startswith("adam") else None
    rule = NetworkRule(lr=lr, adam=adam, decay=lr * decay)
    parameters = network()
    own = {k: v.clone().requires_grad_() for k, v in parameters.items()}
    maker = torch.optim.AdamW if adam else torch.optim.SGD
    optimizer = maker(own.values(), lr=lr, weight_decay=decay)
    state = network_start(rule, parameters)
    for x, y in zip(drawn(40, 5, label="x"), drawn(40, 3, label="y"), strict=True):
        state, errors = network_step(state, x, y, rule)
        optimizer.zero_grad()
        loss = 0.5 * (outputs(own, x) - y).square().sum()
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(errors.square().sum() / 2, loss.detach())
    for name, value in own.items():
        torch.testing.assert_close(state.p[name], value.detach())


def test_a_decay_of_the_head_is_of_the_head_alone():
    rule = NetworkRule(lr=1e-12, head_decay=0.25)
    before = network()
    after, _ = network_step(
        network_start(rule, before), drawn(5, label="x"), drawn(3, label="y"), rule
    )
    for name, value in before.items():
        kept = 0.75 if name.startswith("head") else 1.0
        torch.testing.assert_close(after.p[name], kept * value, atol=1e-9, rtol=0)


@pytest.mark.parametrize("adam", [None, AdamSettings()])
def test_a_heads_logarithm_descends_the_loss_of_the_next_example(adam):
    # One step back, where the trace is the whole derivative: gamma moves the weight
    # alone, and the gradient was taken before the decay.
    rule = NetworkRule(lr=0.1, adam=adam, head_decay=0.2, head_theta=0.3)
    state = network_start(rule, network())
    x, y = drawn(2, 5, label="x"), drawn(2, 3, label="y")
    names = "head.weight", "head.bias"
    gamma = {name: state.gamma[name].clone().requires_grad_() for name in names}
    watched, _ = network_step(replace(state, gamma=gamma), x[0], y[0], rule)
    loss = (y[1] - outputs(watched.p, x[1])).square().sum() / 2
    by = torch.autograd.grad(loss, list(gamma.values()))
    first, _ = network_step(state, x[0], y[0], rule)
    second, _ = network_step(first, x[1], y[1], rule)
    for name, slope in zip(names, by, strict=True):
        assert slope.abs().max() > 0.01
        moved = second.gamma[name] - state.gamma[name]
        inside = (second.gamma[name] > -15) & (second.gamma[name] < 0)
        assert inside.any()
        torch.testing.assert_close(moved[inside], -0.3 * slope[inside])


def test_a_heads_trace_is_the_derivative_of_the_weight_over_many_steps():
    # A lone weight under SGD whose feature stays: the hidden layer is large, and its
    # weights stand still to a part in a million.
    rule = NetworkRule(lr=1e-3, head_decay=0.2, head_theta=0.0)
    own = {
        "hidden.weight": torch.full((1, 1), 20.0, dtype=DOUBLE),
        "hidden.bias": torch.zeros(1, dtype=DOUBLE),
        "head.weight": torch.full((1, 1), 1e-4, dtype=DOUBLE),
        "head.bias": torch.zeros(1, dtype=DOUBLE),
    }
    state = network_start(rule, own)
    gamma = state.gamma["head.weight"].clone().requires_grad_()
    watched = replace(state, gamma={**state.gamma, "head.weight": gamma})
    x, y = torch.ones(1, dtype=DOUBLE), torch.full((1,), 0.1, dtype=DOUBLE)
    for _ in range(6):
        watched, _ = network_step(watched, x, y, rule)
        state, _ = network_step(state, x, y, rule)
    (by,) = torch.autograd.grad(watched.p["head.weight"].sum(), gamma)
    assert by.abs() > 1e-4
    torch.testing.assert_close(by, state.h["head.weight"], rtol=1e-2, atol=0)


# --- FADE as it is registered --------------------------------------------------------


@pytest.mark.parametrize("base", ["sgd", "adam"])
def test_the_head_learns_its_decays_as_the_registered_method_does(base):
    theta, lr = 0.5, 0.02
    adam = AdamSettings() if base == "adam" else None
    rule = NetworkRule(lr=lr, adam=adam, head_decay=0.05, head_theta=theta)
    state = network_start(rule, network())
    structure = Structure(
        roles={"head.weight": "head"},
        layers=(Layer(weight="hidden.weight", outgoing=("head.weight",)),),
        heads=(Layer(weight="head.weight"),),
        activation="relu",
        spread={},
        fresh=lambda *_: {},
    )
    examples = zip(drawn(6, 5, label="x"), drawn(6, 3, label="y"), strict=True)
    for step, (x, y) in enumerate(examples):
        before, (state, errors) = state, network_step(state, x, y, rule)
        weight = before.p["head.weight"].clone()[None].requires_grad_()
        seen = features(before.p, x)
        weight.grad = -(errors[:, None] * seen)[None]
        carried = {
            "logarithm": before.gamma["head.weight"].clone()[None],
            "trace": before.h["head.weight"].clone()[None],
            "weight": torch.zeros_like(weight),
        }
        training = Training(
            structure=structure,
            parameters={"head.weight": weight},
            seeds=[0],
            settings=SimpleNamespace(fade_rate=theta),
            lr=lr,
            state=carried,
            optimizer=torch.optim.Adam([weight], lr=lr),
        )
        with torch.no_grad():
            adaptive_decay._decay_step(training)
        logarithm = carried["logarithm"][0]
        torch.testing.assert_close(state.gamma["head.weight"], logarithm)
        decay, old = logarithm.exp(), before.p["head.weight"]
        torch.testing.assert_close(weight[0].detach(), (1 - decay) * old)
        if adam:
            second = state.v["head.weight"][None]
            memory = {"exp_avg_sq": second, "step": torch.tensor(step + 1.0)}
            training.optimizer.state[weight] = memory
        rates = adaptive_decay._rates(training, "head.weight")
        kept = (1 - decay - rates * seen**2).clamp(min=0)
        trace = carried["trace"][0] * kept - decay * old
        trace = trace if trace.ndim == 2 else trace[0]
        torch.testing.assert_close(state.h["head.weight"], trace.squeeze(0))
    assert state.gamma["head.weight"].std() > 0.01
