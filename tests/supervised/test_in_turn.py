"""Members in turn against the stack, bit for bit."""

import pytest
import torch

from isometry.core.seeding import generator
from isometry.methods import Architecture
from isometry.stream.binding import Hooks
from isometry.supervised import in_turn, training
from isometry.supervised.in_turn import takes_turns
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.training import train_task

STEPS = 9
NETWORK = MLP(
    architecture=Architecture(
        network="mlp",
        width=16,
        depth=2,
        activation="relu",
        negative_slope=0.1,
        init="default",
        init_gain=1.0,
    ),
    in_features=8,
    num_classes=10,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(in_turn, "LARGE", 1)
    monkeypatch.setattr(in_turn, "BLOCK", 3)


def minibatches(members, first=0):
    for step in range(first, first + STEPS):
        draw = generator(0, "minibatch", step)
        size = 7 if step < STEPS - 1 else 2  # the last one is smaller
        inputs = torch.randn(members, size, 8, generator=draw)
        yield inputs, torch.randint(10, (members, size), generator=draw)


def trained(kind, members, monkeypatch=None, tasks=2, **settings):
    """Return all that training leaves; in a stack where a monkeypatch is given."""
    if monkeypatch is not None:
        monkeypatch.setattr(training, "takes_turns", lambda *args: False)
    own = NETWORK.stacked(list(range(members)))
    own = {name: p.requires_grad_() for name, p in own.items()}
    optimizer = kind(own.values(), lr=3e-3, **settings)
    left = []
    for task in range(tasks):
        stream = minibatches(members, first=100 * task)
        left += train_task(NETWORK, own, optimizer, None, stream, STEPS)
    left += [p.detach() for p in own.values()]
    for p in own.values():
        left += optimizer.state[p].values()
    return left


@pytest.mark.parametrize("members", [2, 5, 8])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.Adam, {"fused": True}),
        (torch.optim.Adam, {"fused": True, "betas": (0.0, 0.9), "weight_decay": 0.1}),
        (torch.optim.AdamW, {"fused": True, "weight_decay": 0.3}),
        (torch.optim.Adam, {}),  # goes on in a stack
        (torch.optim.SGD, {}),
    ],
    ids=str,
)
def test_members_in_turn_are_the_stack_bit_for_bit(
    kind, settings, members, monkeypatch
):
    turns = trained(kind, members, **settings)
    stack = trained(kind, members, monkeypatch, **settings)
    assert len(turns) == len(stack)
    assert all(torch.equal(a, b) for a, b in zip(turns, stack, strict=True))


def test_they_take_turns(monkeypatch):
    seen = []
    whole = in_turn._one_member

    def noted(network, held, block, member):
        seen.append((member, len(block)))
        return whole(network, held, block, member)

    monkeypatch.setattr(in_turn, "_one_member", noted)
    trained(torch.optim.Adam, 2, tasks=1, fused=True)
    assert seen == [(0, 3), (1, 3), (0, 3), (1, 3), (0, 2), (1, 2)]


def test_small_members_and_methods_that_act_in_a_step_stay_a_stack(monkeypatch):
    own = NETWORK.stacked([0, 1])
    assert takes_turns(NETWORK, own, Hooks())
    assert not takes_turns(NETWORK, NETWORK.stacked([0]), Hooks())
    assert not takes_turns(NETWORK, own, Hooks(after_step=lambda *args: None))
    assert not takes_turns(NETWORK, own, Hooks(see=lambda *args: None))
    monkeypatch.setattr(in_turn, "LARGE", 8 * 16 + 16 * 16 + 16 * 10 + 1)
    assert not takes_turns(NETWORK, own, Hooks())
