"""The written step against autograd, bit for bit."""

import pytest
import torch
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.methods import Architecture
from isometry.stream.binding import Hooks
from isometry.supervised import training
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.training import _recorded_pass, train_task
from isometry.supervised.written_step import BACKWARD, is_written, written_pass

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
    return _recorded_pass(network, parameters, optimizer, Hooks(watch=True), "float32")


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


# --- both in the loop -----------------------------------------------------------------


def optimizer_of(kind, parameters, **changes):
    keywords = {"lr": 1e-2, "betas": (0.8, 0.99), "eps": 1e-6, "fused": True}
    return kind(parameters, **{**keywords, **changes})


def sgd(parameters, **changes):
    return torch.optim.SGD(parameters, lr=1e-2, momentum=0.8)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, sgd])
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
            Hooks(
                add_gradient=torch.no_grad()(halve),
                after_step=lambda step, h, _, kept=watched: kept.append(h),
                watch=watch,
            ),
            (minibatch(7 if step % 3 else 4, step) for step in range(9)),
            9,
        )
        runs.append((seen, parameters, watched, optimizer.state_dict()["state"]))
    (seen, own, watched, state), (expected, other, theirs, kept) = runs
    assert_close(seen, expected, rtol=0, atol=0)
    assert_close(own, other, rtol=0, atol=0)
    assert_close(state, kept, rtol=0, atol=0)
    assert len(watched) == 9
    assert all(len(h) == 2 * watch for h in watched)
    if watch:
        assert_close(watched, theirs, rtol=0, atol=0)
