"""Measuring plasticity trains copies and leaves the network as it was."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.plasticity import Budget, measure_plasticity
from isometry.plasticity.budget import _task_loss, trained, training_flops

BATCH = 4


def network(seed=0, dropout=0.0):
    layers = [nn.Linear(6, 5), nn.ReLU(), nn.Dropout(dropout), nn.Linear(5, 3)]
    draw = generator(seed, "network")
    for layer in (layers[0], layers[3]):
        nn.init.orthogonal_(layer.weight, generator=draw)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers).double()


def task(seed, count=12):
    draw = generator(seed, "task")
    inputs = torch.randn(count, 6, generator=draw, dtype=torch.float64)
    return inputs, torch.randint(3, (count,), generator=draw)


def measured(model, tasks, budget, **options):
    options = {"batch_size": BATCH, "generator": generator(0, "orders")} | options
    return measure_plasticity(model, tasks, budget, **options)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(7), 7),
        (Budget(7.9), 7),  # only whole steps
        (Budget(30, "samples"), 7),
        (Budget(3, "samples"), 0),
        (Budget(7000, "flops"), 7),
        (Budget(999, "flops"), 0),
    ],
)
def test_a_budget_pays_for_whole_steps(budget, steps):
    assert budget.steps(batch_size=BATCH, flops_a_step=1000) == steps


def test_floating_point_operations_are_two_a_multiplication_and_three_passes():
    """The first layer needs no gradient of its inputs: two passes, not three."""
    inputs, targets = task(0, BATCH)
    expected = 2 * BATCH * (2 * 6 * 5 + 3 * 5 * 3)
    assert training_flops(network(), inputs, targets) == expected


def test_measurement_is_the_definition_carried_out_by_hand():
    tasks, lr = [task(1), task(2)], 0.1
    model = network()
    sgd = torch.optim.SGD
    found = measured(
        model, tasks, Budget(5), optimizer=lambda p: sgd(p, lr=lr), batch_size=12
    )
    fractions = []
    for inputs, targets in tasks:  # one batch is the whole task: no order to draw
        learner = copy.deepcopy(model)
        losses = []
        for _ in range(6):
            loss = functional.cross_entropy(learner(inputs), targets)
            losses.append(loss.item())
            grads = torch.autograd.grad(loss, list(learner.parameters()))
            with torch.no_grad():
                for p, g in zip(learner.parameters(), grads, strict=True):
                    p -= lr * g
        fractions.append((losses[0] - losses[-1]) / losses[0])
    assert_close(found.fractions, torch.tensor(fractions).double(), rtol=1e-6, atol=0)
    assert found.plasticity == pytest.approx(sum(fractions) / 2, rel=1e-6)
    assert found.steps == 5


def test_every_unit_of_the_budget_that_pays_for_the_same_steps_finds_the_same():
    model, tasks = network(), [task(1)]
    flops = training_flops(model, tasks[0][0][:BATCH], tasks[0][1][:BATCH])
    found = [
        measured(model, tasks, Budget(6 * amount, unit)).plasticity
        for amount, unit in ((1, "steps"), (BATCH, "samples"), (flops, "flops"))
    ]
    assert found[0] == found[1] == found[2]


def test_the_network_its_mode_and_its_gradients_stay_as_they_were():
    model = network(dropout=0.5)
    model.train()
    model[0].eval()
    model[3].weight.grad = torch.ones_like(model[3].weight)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    _task_loss(model, task(1), functional.cross_entropy)
    assert torch.equal(torch.random.get_rng_state(), state)
    measured(model, [task(1)], Budget(3))
    assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert [m.training for m in model] == [False, True, True, True]
    assert model[0].weight.grad is None
    assert_close(model[3].weight.grad, torch.ones_like(model[3].weight))


def test_a_pass_over_the_task_sees_every_input_once():
    """With a linear loss, steps of one pass add up to the full gradient."""
    inputs, targets = task(3)
    model = nn.Linear(6, 1, bias=False).double()
    sgd = torch.optim.SGD

    def linear_loss(outputs, targets):
        return outputs.mean()

    learned = trained(
        model,
        (inputs, targets),
        len(inputs) // BATCH,
        generator(5, "order"),
        batch_size=BATCH,
        optimizer=lambda p: sgd(p, lr=1.0),
        loss=linear_loss,
    )
    moved = model.weight - learned.weight
    assert_close(moved, inputs.sum(0, keepdim=True) / BATCH)


def test_same_generator_same_measurement():
    model, tasks = network(), [task(1), task(2)]
    first, second = (measured(model, tasks, Budget(9)) for _ in range(2))
    other = measured(model, tasks, Budget(9), generator=generator(1, "orders"))
    assert first.plasticity == second.plasticity != other.plasticity


def test_more_steps_on_a_separable_task_remove_more():
    few, many = (measured(network(), [task(1)], Budget(n)).plasticity for n in (5, 500))
    assert 0 < few < many < 1


def test_a_network_that_diverges_has_removed_nothing():
    sgd = torch.optim.SGD
    found = measured(
        network(), [task(1)], Budget(50), optimizer=lambda p: sgd(p, lr=1e300)
    )
    assert found.plasticity == 0.0


def test_a_known_achievable_loss_enters_task_by_task():
    model, tasks = network(), [task(1), task(2)]
    zero = measured(model, tasks, Budget(5))
    best = [0.3, 0.1]
    found = measured(model, tasks, Budget(5), achievable_loss=best)
    excess = zero.initial_loss - torch.tensor(best)
    expected = (zero.initial_loss - zero.final_loss) / excess
    assert_close(found.fractions, expected.double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Budget(0), ValueError, "needed amount > 0, found 0; give some"),
        (lambda: Budget(-3, "flops"), ValueError, "needed amount > 0, found -3"),
        (lambda: Budget(math.nan), ValueError, "needed amount > 0, found nan"),
        (lambda: Budget(5, "epochs"), KeyError, "unknown unit 'epochs'"),
        (lambda: measured(network(), [], Budget(1)), ValueError, "at least one task"),
        (
            lambda: measured(network(), [task(0)], Budget(1), batch_size=13),
            ValueError,
            "needed 1 <= batch_size <= 12, the smallest task, found 13",
        ),
        (
            lambda: measured(network(), [task(0)], Budget(1), batch_size=0),
            ValueError,
            "found 0; change batch_size",
        ),
        (
            lambda: measured(network(), [task(0)], Budget(3, "samples")),
            ValueError,
            r"needed a budget for one step \(4 samples, \d+ flops\)",
        ),
        (
            lambda: measured(network(), [task(0)], Budget(1), achievable_loss=100.0),
            ValueError,
            "needed initial_loss > achievable_loss in every task",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
