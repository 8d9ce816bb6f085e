"""The written step against autograd and torch's optimisers, bit for bit."""

import copy

import pytest
import torch
from isometry.core.seeding import generator
from isometry.methods import Architecture
from isometry.supervised import training
from isometry.supervised.networks import MLP
from isometry.supervised.training import recorded_pass, train_task
from isometry.supervised.written_step import (
    BACKWARD,
    bare_step,
    is_written,
    written_pass,
)
from torch.testing import assert_close

SEEDS = [4, 9, 2]


def mlp(activation="relu", **changes):
    architecture = {
        "network": "mlp",
        "width": 6,
        "depth": 2,
        "activation": activation,
        "negative_slope": 0.1,
        "init": "default",
        "init_gain": 1.0,
    }
    return MLP(
        architecture=Architecture(**{**architecture, **changes}),
        in_features=5,
        num_classes=4,
    )


def leaves(network, dtype=torch.float32):
    stacked = network.stacked(SEEDS)
    return {n: p.to(dtype).requires_grad_() for n, p in stacked.items()}


def minibatch(size=7, step=0, dtype=torch.float32):
    draw = generator(0, "minibatch", step)
    inputs = torch.randn(3, size, 5, generator=draw).to(dtype)
    return inputs, torch.randint(4, (3, size), generator=draw)


def by_autograd(network, parameters):
    optimizer = torch.optim.SGD(parameters.values())
    return recorded_pass(network, parameters, optimizer, None, True)


# --- the gradient ---------------------------------------------------------------------


@pytest.mark.parametrize("activation", sorted(BACKWARD))
@pytest.mark.parametrize("changes", [{}, {"hidden_bias": False}, {"depth": 1}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_written_pass_is_autograds_bit_for_bit(activation, changes, dtype):
    network = mlp(activation, **changes)
    own, other = leaves(network, dtype), leaves(network, dtype)
    one_pass, trusted = written_pass(network, own), by_autograd(network, other)
    for step, size in enumerate((7, 7, 3)):  # the last minibatch may be smaller
        batch = minibatch(size, step, dtype)
        with torch.no_grad():
            found = one_pass(*batch)
        expected = trusted(*batch)
        for ours, theirs in zip(found[:2], expected[:2], strict=True):
            assert torch.equal(ours, theirs)
        for ours, theirs in zip(found[2], expected[2], strict=True):
            assert torch.equal(ours, theirs)
        for name, parameter in own.items():
            assert (parameter.grad != 0).any()
            assert torch.equal(parameter.grad, other[name].grad), name


def test_gradients_keep_their_memory():
    network = mlp()
    own = leaves(network)
    one_pass = written_pass(network, own)
    places = {name: p.grad.data_ptr() for name, p in own.items()}
    with torch.no_grad():
        one_pass(*minibatch())
    assert places == {name: p.grad.data_ptr() for name, p in own.items()}


@pytest.mark.parametrize(
    ("network", "written"),
    [
        (mlp(), True),
        (mlp("tanh"), True),
        (mlp("gelu"), False),
        (mlp("maxmin"), False),
        (mlp("crelu"), False),
        (mlp(normalisation="layer"), False),
        (mlp("leaky_relu"), True),
        (mlp("leaky_relu", negative_slope=0.0), False),
        (torch.nn.Linear(2, 2), False),
    ],
)
def test_what_it_does_not_know_is_left_to_autograd(network, written):
    assert is_written(network, {}) is written


# --- Adam -----------------------------------------------------------------------------


def optimizer_of(kind, parameters, **changes):
    keywords = {"lr": 1e-2, "betas": (0.8, 0.99), "eps": 1e-6, "fused": True}
    return kind(parameters, **{**keywords, **changes})


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_bare_step_is_the_optimisers_own_and_leaves_its_state(kind, weight_decay):
    own = list(leaves(mlp()).values())
    other = copy.deepcopy(own)
    ours = optimizer_of(kind, own, weight_decay=weight_decay)
    theirs = optimizer_of(kind, other, weight_decay=weight_decay)
    step = None
    for count in range(5):
        for i, (p, q) in enumerate(zip(own, other, strict=True)):
            gradient = torch.randn(p.shape, generator=generator(count, "gradient", i))
            if p.grad is None:
                p.grad = torch.empty_like(p)
            p.grad.copy_(gradient)
            q.grad = gradient
        theirs.step()
        if step is None:
            ours.step()
            step = bare_step(ours)
        else:
            with torch.no_grad():
                step()
    for p, q in zip(own, other, strict=True):
        assert torch.equal(p, q)
        for key, memory in theirs.state[q].items():
            assert torch.equal(ours.state[p][key], memory)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (torch.optim.Adam, {"fused": False}),
        (torch.optim.Adam, {"fused": None}),
        (torch.optim.Adam, {"amsgrad": True}),
        (torch.optim.Adam, {"maximize": True}),
        (torch.optim.Adam, {"lr": torch.tensor(0.1)}),
    ],
    ids=str,
)
def test_another_mode_has_no_bare_step(kind, changes):
    own = list(leaves(mlp()).values())
    optimizer = optimizer_of(kind, own, **changes)
    assert bare_step(optimizer) is None, "no state yet"
    for p in own:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert bare_step(optimizer) is None


def test_an_optimiser_with_hooks_of_another_class_or_without_gradients_has_none():
    own = list(leaves(mlp()).values())
    for p in own:
        p.grad = torch.ones_like(p)
    optimizer = optimizer_of(torch.optim.Adam, own)
    optimizer.step()
    assert bare_step(optimizer) is not None
    own[0].grad = None
    assert bare_step(optimizer) is None
    own[0].grad = torch.ones_like(own[0])
    hook = optimizer.register_step_post_hook(lambda *_: None)
    assert bare_step(optimizer) is None
    hook.remove()
    assert bare_step(optimizer) is not None
    assert bare_step(torch.optim.SGD(own)) is None


# --- both in the loop -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("watch", [True, False])
def test_training_is_the_same_with_and_without_it(monkeypatch, kind, watch):
    runs = []
    for known in (True, False):
        network, watched = mlp(), []
        if not known:
            monkeypatch.setattr(training, "is_written", lambda *_: False)
        parameters = leaves(network)
        optimizer = optimizer_of(kind, parameters.values())

        def halve(parameters=parameters):
            for p in parameters.values():
                p.grad.mul_(0.5)

        seen = train_task(
            network,
            parameters,
            optimizer,
            None,
            (minibatch(7 if step % 3 else 4, step) for step in range(9)),
            9,
            add_gradient=torch.no_grad()(halve),
            after_step=lambda step, h, kept=watched: kept.append(h),
            watch=watch,
        )
        runs.append((seen, parameters, watched, optimizer.state_dict()["state"]))
    (seen, own, watched, state), (expected, other, theirs, kept) = runs
    assert_close(seen, expected, rtol=0, atol=0)
    assert_close(own, other, rtol=0, atol=0)
    assert_close(state, kept, rtol=0, atol=0)
    assert len(watched) == 9
    assert all((h is not None) is watch for h in watched)
    if watch:
        assert_close(watched, theirs, rtol=0, atol=0)
