"""Minibatches, losses and evaluation of a stack."""

import itertools
import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from isometry.core.seeding import generator
from isometry.core.stacking import member
from isometry.methods import Architecture
from isometry.stream.binding import Hooks
from isometry.supervised import SupervisedSettings, training
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.streams import Task
from isometry.supervised.training import (
    _epoch_order,
    _member_losses,
    batches,
    evaluate,
    stacked_tasks,
    train_task,
)

SEEDS = [4, 9, 2]
SETTINGS = SupervisedSettings(images_per_task=11, batch_size=4, epochs=3)
NETWORK = MLP(
    architecture=Architecture(
        network="mlp",
        width=6,
        depth=2,
        activation="tanh",
        negative_slope=0.01,
        init="default",
        init_gain=1.0,
    ),
    in_features=3,
    num_classes=4,
)


def drawn(*shape):
    return torch.randn(shape, generator=generator(0, "drawn"), dtype=torch.float64)


def task_of(n=11):
    """Return a task whose image i is the row (i, i, i) with label i % 4, stacked."""
    rows = torch.arange(n).repeat(3, 1)
    return Task(inputs=rows[..., None].repeat(1, 1, 3).double(), labels=rows % 4)


def parameters_of(seeds=SEEDS):
    return {
        n: p.double().requires_grad_() for n, p in NETWORK.stacked(list(seeds)).items()
    }


# --- tasks and minibatches ------------------------------------------------------------


def test_stacking_tasks_adds_a_member_axis_and_keeps_what_is_missing_missing():
    single = [Task(inputs=drawn(5, 3) + i, labels=torch.arange(5)) for i in range(3)]
    stacked = stacked_tasks(single, torch.device("cpu"))
    assert stacked.inputs.shape == (3, 5, 3)
    assert torch.equal(stacked.inputs[2], single[2].inputs)
    assert stacked.test_inputs is None
    assert stacked.test_labels is None


def test_every_epoch_is_a_permutation_of_its_own_for_every_seed_and_task():
    orders = {}
    for task, epoch in itertools.product((0, 1), (0, 1)):
        order = _epoch_order(SETTINGS, SEEDS, task, epoch)
        assert order.sort(1).values.tolist() == [list(range(11))] * 3
        for seed, row in zip(SEEDS, order.tolist(), strict=True):
            orders[task, epoch, seed] = tuple(row)
    assert len(set(orders.values())) == len(orders)


def test_without_reshuffling_all_epochs_of_a_task_have_one_order():
    settings = SupervisedSettings(images_per_task=11, batch_size=4, reshuffle=False)
    first = _epoch_order(settings, SEEDS, 0, 0)
    assert torch.equal(first, _epoch_order(settings, SEEDS, 0, 5))
    assert not torch.equal(first, _epoch_order(settings, SEEDS, 1, 0))


@pytest.mark.parametrize("reshuffle", [True, False])
def test_every_epoch_sees_every_image_once_and_keeps_the_last_smaller_batch(reshuffle):
    settings = SupervisedSettings(
        images_per_task=11, batch_size=4, epochs=3, reshuffle=reshuffle
    )
    seen = list(batches(task_of(), settings, SEEDS, 0))
    assert [inputs.shape[1] for inputs, _ in seen] == [4, 4, 3] * 3
    epochs = [seen[:3], seen[3:6], seen[6:]]
    for epoch in epochs:
        images = torch.cat([inputs[..., 0] for inputs, _ in epoch], 1)
        assert images.sort(1).values.tolist() == [list(range(11))] * 3
        labels = torch.cat([labels for _, labels in epoch], 1)
        assert torch.equal(labels, images.long() % 4)
    repeated = all(
        torch.equal(a[0], b[0]) for a, b in zip(epochs[0], epochs[1], strict=True)
    )
    assert repeated is not reshuffle


def test_minibatches_follow_the_epochs_order():
    order = _epoch_order(SETTINGS, SEEDS, 2, 1)
    seen = list(batches(task_of(), SETTINGS, SEEDS, 2))[3:6]
    images = torch.cat([inputs[..., 0] for inputs, _ in seen], 1).long()
    assert torch.equal(images, order)


# --- losses ---------------------------------------------------------------------------


def test_a_members_loss_is_torchs_mean_cross_entropy():
    logits, labels = drawn(3, 5, 4), torch.arange(15).reshape(3, 5) % 4
    found = _member_losses(logits, labels)
    expected = [functional.cross_entropy(logits[i], labels[i]) for i in range(3)]
    assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("chunk", [1, 3, 11, 100])
def test_evaluation_in_chunks_is_evaluation_at_once(monkeypatch, chunk):
    monkeypatch.setitem(training.EVALUATION_CHUNK, "mlp", chunk)
    task, parameters = task_of(), parameters_of()
    loss, accuracy = evaluate(NETWORK, parameters, task.inputs, task.labels)
    assert loss.dtype == accuracy.dtype == torch.float64
    for i in range(3):
        logits = NETWORK.forward(
            {n: p[None] for n, p in member(parameters, i).items()},
            task.inputs[i : i + 1],
        )[0]
        assert_close(loss[i], functional.cross_entropy(logits, task.labels[i]))
        hits = (logits.argmax(-1) == task.labels[i]).double().mean()
        assert_close(accuracy[i], hits)


def test_a_loss_that_is_not_a_number_counts_as_infinite():
    task, parameters = task_of(), parameters_of()
    sound, _ = evaluate(NETWORK, parameters, task.inputs, task.labels)
    with torch.no_grad():
        parameters["head.bias"][1] = math.nan
    loss, accuracy = evaluate(NETWORK, parameters, task.inputs, task.labels)
    assert loss.tolist() == [sound[0].item(), math.inf, sound[2].item()]
    assert accuracy.isfinite().all()


# --- training -------------------------------------------------------------------------


def trained(penalty=None, seeds=SEEDS, lr=0.1):
    parameters = parameters_of(seeds)
    optimizer = torch.optim.SGD(parameters.values(), lr=lr)
    seen = list(batches(task_of(), SETTINGS, SEEDS, 0))
    hooks = (
        None if penalty is None else Hooks(penalty=lambda *step: penalty(parameters))
    )
    losses, accuracies = train_task(
        NETWORK, parameters, optimizer, hooks, iter(seen), len(seen)
    )
    return parameters, seen, losses, accuracies


def test_what_is_recorded_is_what_each_step_saw_before_its_update():
    _, seen, losses, accuracies = trained(lr=0.0)  # the network stays as it is
    parameters = parameters_of()
    assert losses.shape == accuracies.shape == (9, 3)
    for step, (inputs, labels) in enumerate(seen):
        logits = NETWORK.forward(parameters, inputs)
        # recorded in float32
        expected = _member_losses(logits, labels).detach()
        assert_close(losses[step].double(), expected, rtol=1e-6, atol=1e-6)
        hits = (logits.argmax(-1) == labels).double().mean(1)
        assert_close(accuracies[step].double(), hits, rtol=1e-6, atol=1e-6)
    moved = trained(lr=0.1)
    assert_close(moved[2][0], losses[0])
    assert (moved[2][1] != losses[1]).all()


def test_a_step_is_gradient_descent_on_the_members_own_loss():
    parameters, seen, _, _ = trained()
    for i in range(3):
        own = {n: p[i : i + 1].detach() for n, p in parameters_of().items()}
        for inputs, labels in seen:
            leaves = {n: p.clone().requires_grad_() for n, p in own.items()}
            logits = NETWORK.forward(leaves, inputs[i : i + 1])
            loss = functional.cross_entropy(logits[0], labels[i])
            gradients = torch.autograd.grad(loss, list(leaves.values()))
            own = {
                n: p - 0.1 * g for (n, p), g in zip(own.items(), gradients, strict=True)
            }
        for name, tensor in own.items():
            assert_close(parameters[name][i].detach(), tensor[0])


def test_a_penalty_moves_its_own_member_and_is_not_in_the_recorded_loss():
    def only_first(parameters):
        size = parameters["hidden.0.weight"].square().sum((1, 2))
        return size * torch.tensor([1.0, 0.0, 0.0])

    plain, _, losses, _ = trained()
    pulled, _, recorded, _ = trained(only_first)
    assert_close(recorded[0], losses[0])
    for name in plain:
        assert torch.equal(plain[name][1:], pulled[name][1:])
    assert not torch.equal(plain["hidden.0.weight"][0], pulled["hidden.0.weight"][0])
