"""Batches of one image under plain gradient descent, by compiled code.

Where a minibatch is one image, a step's arithmetic takes a few microseconds and the
calls around it hundreds. A member goes through many steps at once here, by itself, so
that its weights stay in the cache. Sums are taken in another order than torch takes
them, so that numbers differ from the ordinary step's by rounding; they do not depend on
how many members there are. Without numba (the extra ``rl``) every step is ordinary.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeGuard

import torch
from torch import Tensor

from isometry.core.bare_step import descent_rate
from isometry.core.stacking import Parameters
from isometry.methods.structure import Architecture
from isometry.stream.binding import Hooks
from isometry.supervised.networks.mlp import MLP
from isometry.supervised.written_step import is_written

CHUNK = 1000  # images for which a member's weights are at least laid out once
Stream = Iterator[tuple[Tensor, Tensor]]
Steps = tuple[Tensor, Tensor]  # loss and accuracy before each, (steps, members)
# (parameters, optimizer, minibatches, steps): the ordinary steps.
Train = Callable[[Parameters, torch.optim.Optimizer, Stream, int], Steps]


@cache
def _compiled() -> Callable[..., int] | None:
    """Return :func:`isometry.supervised.online_kernel.descend`, None without numba."""
    try:
        from isometry.supervised.online_kernel import descend
    except ImportError:
        return None
    return descend


def _slope(architecture: Architecture) -> float | None:
    """Return a piecewise linear nonlinearity's slope below zero; None for others."""
    slopes = {"relu": 0.0, "identity": 1.0, "leaky_relu": architecture.negative_slope}
    return slopes.get(architecture.activation)


def _names(network: MLP) -> list[str]:
    """Return the layers' names, from the inputs to the logits."""
    return [*(f"hidden.{i}" for i in range(network.architecture.depth)), "head"]


def is_online(
    network: Any,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    hooks: Hooks,
) -> TypeGuard[MLP]:
    """Return whether :func:`train_online` knows a network, optimiser and method.

    It knows perceptrons of :func:`isometry.supervised.written_step.is_written` that are
    linear on both sides of zero, SGD without momentum, and methods that do nothing in a
    step.

    Args:
        network: Of any kind.
        parameters: name -> ``(members, ...)``.
        optimizer: Of any kind.
        hooks: Where the method intervenes.
    """
    if (
        not hooks.idle
        or not is_written(network, parameters)
        or _slope(network.architecture) is None
    ):
        return False
    kinds = {p.dtype for p in parameters.values()}
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
        return False
    if descent_rate(optimizer) is None or _compiled() is None:
        return False
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    own = {f"{name}.{kind}" for name in _names(network) for kind in ("weight", "bias")}
    return own == set(parameters) and held == {id(p) for p in parameters.values()}


def train_online(
    network: MLP,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    stream: Stream,
    steps: int,
    ordinary: Train,
) -> Steps:
    """Train on one image after another and return what each step saw before its update.

    Where a member's numbers are not finite, or not far from that, its steps up to the
    end of the chunk are ordinary ones, so that it diverges as ever.

    Args:
        network: One for which :func:`is_online` holds.
        parameters: Leaf tensors that the optimiser holds.
        optimizer: Plain SGD.
        stream: Images ``(members, n, features)``, of which each is a minibatch of a
            member, and labels.
        steps: How many there are.
        ordinary: Takes ordinary steps.

    Returns:
        Loss in nats and accuracy, 0 or 1, each ``(steps, members)``.
    """
    members = next(iter(parameters.values())).shape[0]
    losses, hits = torch.empty(steps, members), torch.empty(steps, members)
    start = 0
    for inputs, labels in _in_chunks(stream):
        part = slice(start, start + labels.shape[1])
        start = part.stop
        for member in range(members):
            one = slice(member, member + 1)
            own = {name: p.detach()[one] for name, p in parameters.items()}
            seen = _one_member(
                network, own, optimizer, inputs[one], labels[one], ordinary
            )
            losses[part, one], hits[part, one] = seen
    return losses, hits


def _in_chunks(stream: Stream) -> Stream:
    """Yield at least so many images at once, those of small pieces side by side."""
    pieces, count = [], 0
    for piece in stream:
        pieces.append(piece)
        count += piece[1].shape[1]
        if count >= CHUNK:
            yield _joined(pieces)
            pieces, count = [], 0
    if pieces:
        yield _joined(pieces)


def _joined(pieces: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return pieces of a stream as one."""
    if len(pieces) == 1:
        return pieces[0]
    inputs, labels = zip(*pieces, strict=True)
    return torch.cat(inputs, 1), torch.cat(labels, 1)


def _one_member(
    network: MLP,
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,  # (1, steps, features)
    labels: Tensor,  # (1, steps)
    ordinary: Train,
) -> Steps:
    """Take the steps of a stack of one member, whose parameters share its memory."""
    names, steps = _names(network), labels.shape[1]
    weights = [parameters[f"{name}.weight"][0].mT for name in names]
    biases = [parameters[f"{name}.bias"][0] for name in names]
    layers = [p for pair in zip(weights, biases, strict=True) for p in pair]
    flat = torch.cat([p.flatten() for p in layers])
    sizes = torch.tensor([inputs.shape[2], *(len(b) for b in biases)])
    number = flat.numpy().dtype.type
    losses, hits = flat.new_empty(steps), torch.empty(steps, dtype=torch.bool)
    images = inputs[0].to(flat.dtype).contiguous().numpy(), labels[0].numpy()
    numbers = number(_slope(network.architecture)), number(descent_rate(optimizer))
    descend = _compiled()
    assert descend is not None
    out = losses.numpy(), hits.numpy()
    done = descend(*images, flat.numpy(), sizes.numpy(), *numbers, *out)
    for p, values in zip(layers, flat.split([p.numel() for p in layers]), strict=True):
        p.copy_(values.view(p.shape))
    accuracies = hits.float()
    if done < steps:
        leaves = {name: p.requires_grad_() for name, p in parameters.items()}
        descent = torch.optim.SGD(leaves.values(), lr=optimizer.param_groups[0]["lr"])
        rest = (kind[:, done:].split(1, 1) for kind in (inputs, labels))
        found = ordinary(leaves, descent, zip(*rest, strict=True), steps - done)
        losses[done:], accuracies[done:] = (values[:, 0] for values in found)
    return losses.unsqueeze(1), accuracies.unsqueeze(1)
