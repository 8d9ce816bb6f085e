"""Training and evaluating a stack on one task."""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.bare_step import bare_step
from isometry.core.precision import Precision, half_products
from isometry.core.seeding import generator
from isometry.core.stacking import Parameters
from isometry.stream.binding import Hooks
from isometry.supervised.blending import rows_before
from isometry.supervised.in_turn import takes_turns, train_in_turn
from isometry.supervised.networks.kinds import Network
from isometry.supervised.online import is_online, train_online
from isometry.supervised.settings import SupervisedSettings
from isometry.supervised.streams import Task
from isometry.supervised.written_step import Pass, is_written, written_pass

# Images at a time; bounds memory, does not change results. Maps have many places.
EVALUATION_CHUNK = {"mlp": 4096, "cnn": 256, "transformer": 256}


def stacked_tasks(tasks: list[Task], device: torch.device) -> Task:
    """Return one task whose tensors have a leading member axis.

    Args:
        tasks: One task a member.
        device: Where the stack lives.
    """

    def stacked(name: str) -> Tensor | None:
        tensors = [getattr(task, name) for task in tasks]
        return None if tensors[0] is None else torch.stack(tensors).to(device)

    names = [field.name for field in fields(Task)]
    return Task(**{name: stacked(name) for name in names})  # type: ignore[arg-type]


def _member_losses(
    logits: Tensor,  # (members, batch, classes)
    labels: Tensor,  # (members, batch)
) -> Tensor:
    """Return the mean cross-entropy of each member, ``(members,)``, in nats.

    Source: definition.
    """
    losses = functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none"
    )
    return losses.view_as(labels).mean(1)


def _with_offset(
    logits: Tensor,
    inputs: Tensor,
    offset: Callable[[Tensor], Tensor | None] | None,
) -> Tensor:
    """Return the logits, and what is added to them where something is."""
    added = None if offset is None else offset(inputs)
    return logits if added is None else logits + added


@torch.no_grad()
def evaluate(
    network: Network,
    parameters: Parameters,
    inputs: Tensor,
    labels: Tensor,
    offset: Callable[[Tensor], Tensor | None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return loss and accuracy of each member on its own images.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        inputs: ``(members, n, features)``.
        labels: ``(members, n)``.
        offset: ``(inputs) -> what is added to the logits``, see :class:`Hooks`.

    Returns:
        Mean cross-entropy in nats and accuracy in [0, 1], each ``(members,)``, float64.
        A loss that is not a number counts as infinite.
    """
    members, n = labels.shape
    loss = torch.zeros(members, dtype=torch.float64, device=labels.device)
    correct = torch.zeros_like(loss)
    chunk = EVALUATION_CHUNK[network.architecture.network]
    for start in range(0, n, chunk):
        part = slice(start, start + chunk)
        logits = network.forward(parameters, inputs[:, part])
        logits = _with_offset(logits, inputs[:, part], offset)
        size = logits.shape[1]
        loss += _member_losses(logits, labels[:, part]).double() * size
        correct += (logits.argmax(-1) == labels[:, part]).sum(1)
    loss = torch.where(loss.isnan(), math.inf, loss)
    return loss / n, correct / n


def _epoch_order(
    settings: SupervisedSettings, seeds: list[int], task: int, epoch: int
) -> Tensor:
    """Return each member's order of images in an epoch, ``(members, images)``."""
    labels = ("order", task, epoch if settings.reshuffle else 0)
    images = settings.images_per_task
    return torch.stack(
        [torch.randperm(images, generator=generator(seed, *labels)) for seed in seeds]
    )


def passes(
    task: Task, settings: SupervisedSettings, seeds: list[int], index: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images of each epoch in order, ``(members, n, features)``, and labels.

    Where a task blends with the one before, some images come as that one had them, the
    fewer the later the step.

    Args:
        task: The stacked task.
        settings: Epochs and batch size.
        seeds: One a member.
        index: The task's number.
    """
    device, before = task.labels.device, task.previous_inputs
    members = torch.arange(len(seeds), device=device).unsqueeze(1)
    again = True  # whether the images are to be put in order again
    for epoch in range(settings.epochs):
        old = None if before is None else rows_before(settings, seeds, index, epoch)
        if again or settings.reshuffle:
            order = _epoch_order(settings, seeds, index, epoch).to(device)
            inputs, labels = task.inputs[members, order], task.labels[members, order]
        if before is not None and old is not None:
            old = old.to(device)
            inputs[old] = before[members.expand_as(order)[old], order[old]]
        again = old is not None
        yield inputs, labels


def minibatches(
    stream: Iterator[tuple[Tensor, Tensor]], size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield minibatches ``(members, batch, features)`` and labels, pass by pass.

    A last, smaller batch of a pass is kept, so that every epoch sees every image.

    Args:
        stream: As :func:`passes` gives it.
        size: Images in a minibatch.
    """
    for inputs, labels in stream:
        yield from zip(inputs.split(size, 1), labels.split(size, 1), strict=True)


def batches(
    task: Task, settings: SupervisedSettings, seeds: list[int], index: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the minibatches of a task, those of :func:`passes` in turn.

    Args:
        task: The stacked task.
        settings: Epochs and batch size.
        seeds: One a member.
        index: The task's number.
    """
    return minibatches(passes(task, settings, seeds, index), settings.batch_size)


def _recorded_pass(
    network: Network,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    hooks: Hooks,
    precision: Precision,
) -> Callable[[Tensor, Tensor], Pass]:
    """Return a function that passes a minibatch forward and back, by autograd."""
    steps = count()

    def one_pass(inputs: Tensor, labels: Tensor) -> Pass:
        draws = None if hooks.draws is None else hooks.draws(next(steps))
        with half_products(inputs.device, precision):
            logits, activations = network.watched(parameters, inputs, draws)
            logits = _with_offset(logits, inputs, hooks.offset)
        if logits.dtype == torch.bfloat16:
            logits = logits.float()
        loss = _member_losses(logits, labels)
        objective = loss
        if hooks.penalty is not None:
            objective = loss + hooks.penalty(activations, loss.detach())
        if not hooks.watch:
            activations = []
        hooks.look(activations)
        optimizer.zero_grad(set_to_none=True)
        objective.sum().backward()
        return logits.detach(), loss.detach(), activations

    return one_pass


def train_task(
    network: Network,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    hooks: Hooks | None,
    stream: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    *,
    precision: Precision = "float32",
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Train on the minibatches and return what each step saw before its update.

    With ``batch_size=1`` steps are those of :mod:`isometry.supervised.online` where it
    knows network, optimiser and method; large members are trained one after the other,
    see :mod:`isometry.supervised.in_turn`.

    Args:
        network: The network.
        parameters: Leaf tensors that the optimiser holds.
        optimizer: Takes the step.
        hooks: Where a method intervenes, if one does.
        stream: Minibatches, or what holds several.
        steps: How many minibatches there are.
        precision: Of the network's products.
        batch_size: Images of a minibatch; None: the stream has them one by one.

    Returns:
        Loss in nats and accuracy in [0, 1], each ``(steps, members)``.
    """
    ordinary = partial(_train, network, hooks or Hooks(), precision)
    single = batch_size == 1 and precision == "float32"
    if single and is_online(network, parameters, optimizer, hooks or Hooks()):
        return train_online(network, parameters, optimizer, stream, steps, ordinary)
    if batch_size is not None:
        stream = minibatches(stream, batch_size)
    if precision == "float32" and takes_turns(network, parameters, hooks or Hooks()):
        return train_in_turn(network, parameters, optimizer, stream, steps, ordinary)
    return ordinary(parameters, optimizer, stream, steps)


def _train(
    network: Network,
    hooks: Hooks,
    precision: Precision,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    stream: Iterator[tuple[Tensor, Tensor]],
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Take ordinary steps and return what each saw, see :func:`train_task`."""
    some = next(iter(parameters.values()))
    losses = torch.empty(steps, some.shape[0], device=some.device)
    hits = []  # counted at the end: a kernel costs more between two large ones
    written = False
    plain = precision != "bfloat16" and hooks.penalty is None
    plain = plain and hooks.offset is None and not hooks.watch_gradients
    if plain and is_written(network, parameters):
        one_pass, written = written_pass(network, parameters), True
    else:
        one_pass = _recorded_pass(network, parameters, optimizer, hooks, precision)
    update: Callable[[], Any] = optimizer.step
    with torch.set_grad_enabled(not written):
        for step, (inputs, labels) in enumerate(stream):
            if hooks.see is not None:
                hooks.see(inputs, labels)
            logits, loss, activations = one_pass(inputs, labels)
            if hooks.add_gradient is not None:
                hooks.add_gradient()
            update()
            if written and step == 0:
                update = bare_step(optimizer) or optimizer.step
            losses[step] = loss
            hits.append(logits.argmax(-1) == labels)
            hooks.act(step, activations)
    return losses, torch.stack([hit.float().mean(1) for hit in hits])
