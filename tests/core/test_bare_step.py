"""Bare steps against the optimisers' own, bit for bit."""

import copy

import pytest
import torch

from isometry.core.bare_step import bare_step
from isometry.core.seeding import generator


def leaves():
    """Weights and a bias of a stack of three, as an optimiser holds them."""
    sizes = ((3, 6, 5), (3, 6), (3, 4, 6))
    return [
        torch.randn(size, generator=generator(i, "leaf")).requires_grad_()
        for i, size in enumerate(sizes)
    ]


def optimizer_of(kind, parameters, **changes):
    keywords = {"lr": 1e-2, "betas": (0.8, 0.99), "eps": 1e-6, "fused": True}
    return kind(parameters, **{**keywords, **changes})


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_bare_step_is_the_optimisers_own_and_leaves_its_state(kind, weight_decay):
    own = leaves()
    other = copy.deepcopy(own)
    ours = optimizer_of(kind, own, weight_decay=weight_decay)
    theirs = optimizer_of(kind, other, weight_decay=weight_decay)
    step = None
    for count in range(5):
        for optimizer in (ours, theirs):
            optimizer.param_groups[0]["lr"] *= 0.9
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
    own = leaves()
    optimizer = optimizer_of(kind, own, **changes)
    assert bare_step(optimizer) is None, "no state yet"
    for p in own:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert bare_step(optimizer) is None


def test_an_optimiser_with_hooks_of_another_class_or_without_gradients_has_none():
    own = leaves()
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
    other = torch.optim.Adagrad(own)
    other.step()
    assert bare_step(other) is None


# --- SGD ------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_bare_step_of_sgd_is_torchs_and_leaves_its_momentum(momentum):
    own = leaves()
    other = copy.deepcopy(own)
    ours = torch.optim.SGD(own, lr=0.1, momentum=momentum)
    theirs = torch.optim.SGD(other, lr=0.1, momentum=momentum)
    step = None
    for count in range(5):
        for optimizer in (ours, theirs):
            optimizer.param_groups[0]["lr"] *= 0.9
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
        for p in own:  # what a method does to the optimiser's memory is seen
            for memory in ours.state.get(p, {}).values():
                memory[1].zero_()
        for q in other:
            for memory in theirs.state.get(q, {}).values():
                memory[1].zero_()
    for p, q in zip(own, other, strict=True):
        assert torch.equal(p, q)
        assert set(ours.state.get(p, {})) == (
            {"momentum_buffer"} if momentum else set()
        )
        if momentum:
            memory = ours.state[p]["momentum_buffer"]
            assert torch.equal(memory, theirs.state[q]["momentum_buffer"])


@pytest.mark.parametrize(
    "changes",
    [
        {"fused": True},
        {"nesterov": True},
        {"maximize": True},
        {"dampening": 0.1},
        {"weight_decay": 0.1},
        {"lr": torch.tensor(0.1)},
    ],
    ids=str,
)
def test_another_mode_of_sgd_has_no_bare_step(changes):
    own = leaves()
    optimizer = torch.optim.SGD(own, **{"lr": 0.1, "momentum": 0.9, **changes})
    assert bare_step(optimizer) is None, "no gradients yet"
    for p in own:
        p.grad = torch.ones_like(p)
    assert bare_step(optimizer) is None, "no momentum yet"
    optimizer.step()
    assert bare_step(optimizer) is None
