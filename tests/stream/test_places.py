"""What a method's places get within a step, in which order, and only where asked."""

from dataclasses import replace

import pytest
import torch

from isometry.methods import Method, Structure
from isometry.stream.binding import Bound
from isometry.stream.run import Run

STRUCTURE = Structure(
    roles={"w": "hidden"}, layers=(), heads=(), activation="relu", spread={}, fresh=dict
)
PLACES = ("penalty_gradient_", "before_step", "after_step")


def bound(structure=STRUCTURE, **places):
    """Return a run of two members and what a trainer gets for a method."""
    method = Method(name="noted", summary="", source="", **places)
    own = {"method": method, "settings": method.settings, "structure": structure}
    run = Run(seeds=[0, 1], steps=7)
    run.parameters = {"w": torch.ones(2, 3, 4, requires_grad=True)}
    return run, Bound(**own, lr=0.1).hooks(run, torch.optim.SGD([torch.ones(1)]))


def test_what_is_not_there_is_not_called():
    _, hooks = bound()
    assert hooks.penalty is hooks.add_gradient is hooks.after_step is hooks.see is None
    assert hooks.measured is hooks.offset is hooks.draws is None


def test_before_a_step_comes_the_penaltys_gradient_and_then_what_else_is_done():
    seen = []
    acts = {
        name: lambda training, name=name: seen.append(
            (name, training.step, training.optimizer is not None)
        )
        for name in PLACES
    }
    _, hooks = bound(penalty=lambda training: torch.zeros(2), **acts)
    assert hooks.penalty is None, "its gradient stands for it"
    hooks.add_gradient()
    hooks.act(3, [])
    steps = (7, 7, 10)
    assert seen == [(n, step, True) for n, step in zip(PLACES, steps, strict=True)]


@pytest.mark.parametrize("reads", [False, True])
def test_a_method_that_reads_gets_the_steps_inputs(reads):
    found = []

    def penalty(training):
        found.append(training)
        return torch.zeros(2)

    _, hooks = bound(penalty=penalty, after_step=found.append, reads=reads)
    inputs, targets = torch.ones(2, 5, 6), torch.ones(2, 5)
    assert (hooks.see is not None) is reads
    if reads:
        hooks.see(inputs, targets)
    losses, maps = torch.ones(2), torch.ones(2, 5, 3, 2, 2)
    hooks.penalty([maps], losses)
    hooks.act(0, [maps])
    for training in found:
        assert training.inputs is (inputs if reads else None)
        assert training.targets is (targets if reads else None)
        assert training.activations == (), "it does not watch"
    assert found[0].losses is losses


def test_a_penalty_that_watches_gets_places_as_samples_with_their_history():
    found = []
    _, hooks = bound(
        penalty=lambda training: found.append(training) or torch.zeros(2), watches=True
    )
    maps = torch.ones(2, 5, 3, 2, 2, requires_grad=True)
    hooks.penalty([maps * 1], None)
    (hidden,) = found[0].activations
    assert hidden.shape == (2, 20, 3)
    assert hidden.requires_grad


def test_a_network_that_is_drawn_gets_draws_of_its_own_at_every_step():
    _, hooks = bound(replace(STRUCTURE, activation="aid"))
    drawn = [[torch.rand(3, generator=d) for d in hooks.draws(step)] for step in (0, 1)]
    rows = [row for step in drawn for row in step]
    assert not any(torch.equal(rows[i], rows[j]) for i in range(4) for j in range(i))
    again = [torch.rand(3, generator=d) for d in hooks.draws(1)]
    assert all(torch.equal(a, b) for a, b in zip(again, drawn[1], strict=True))
