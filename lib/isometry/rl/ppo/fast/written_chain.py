"""The layers of actor or critic forward and back, without autograd, on a CPU.

Everything is written into buffers that stay, in place where it can be, so that a
minibatch finds its numbers in the cache.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from isometry.core.code_cache import kept_on_disk
from isometry.core.stacking import Parameters
from isometry.methods.structure import Architecture
from isometry.rl.actor_critic import ActorCritic, Part
from isometry.rl.sparse_boards import Listed, add_rows, collect_rows

aten = torch.ops.aten
WRITTEN = ("relu", "leaky_relu", "tanh", "maxmin", "identity")


# One pass in place, where torch's form (isometry.maxmin) makes three new tensors. The
# way back needs to know which pairs changed places, not what they were.
@kept_on_disk
@njit(nogil=True)
def _sort_pairs(hidden: NDArray, swapped: NDArray[np.bool_]) -> None:
    """Sort pairs ``(n, 2)`` in place and write down which were exchanged, ``(n,)``.

    Source: :func:`isometry.maxmin.group_sort`.
    """
    for i in range(len(hidden)):
        low, high = hidden[i]
        swapped[i] = low > high
        hidden[i, 0] = high if low > high else low
        hidden[i, 1] = low if low > high else high


@kept_on_disk
@njit(nogil=True)
def _exchange_pairs(gradient: NDArray, swapped: NDArray[np.bool_]) -> None:
    """Exchange pairs ``(n, 2)`` in place, as :func:`_sort_pairs` did.

    Source: :func:`isometry.maxmin.group_sort`.
    """
    for i in range(len(gradient)):
        low, high = gradient[i]
        gradient[i, 0] = high if swapped[i] else low
        gradient[i, 1] = low if swapped[i] else high


def _activate_(hidden: Tensor, swapped: Tensor, architecture: Architecture) -> None:
    """Apply a nonlinearity in place.

    Source: :func:`isometry.methods.activations.activate`.
    """
    match architecture.activation:
        case "relu":
            hidden.relu_()
        case "leaky_relu":
            functional.leaky_relu_(hidden, architecture.negative_slope)
        case "tanh":
            hidden.tanh_()
        case "maxmin":
            _sort_pairs(hidden.view(-1, 2).numpy(), swapped.numpy())


def _differentiate_(
    gradient: Tensor, output: Tensor, swapped: Tensor, architecture: Architecture
) -> None:
    """Turn the gradient at a nonlinearity's output into that at its input, in place.

    Source: the chain rule.
    """
    # All of these can be told from the output alone, so that pre-activations need no
    # memory; an activation for which that is not so is not in WRITTEN.
    match architecture.activation:
        case "relu":
            aten.threshold_backward(gradient, output, 0, grad_input=gradient)
        case "leaky_relu":
            slope = architecture.negative_slope
            aten.leaky_relu_backward(gradient, output, slope, True, grad_input=gradient)
        case "tanh":
            aten.tanh_backward(gradient, output, grad_input=gradient)
        case "maxmin":
            _exchange_pairs(gradient.view(-1, 2).numpy(), swapped.numpy())


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """The layers of actor or critic, and the buffers of a minibatch.

    Attributes:
        architecture: Names the nonlinearity.
        weights: ``(members, out, in)``, the head's last.
        biases: ``(members, out)`` each; of a layer without, None.
        weight_gradients: Of the weights.
        bias_gradients: Of the biases.
        table: ``(members, features, units)``: the first weight or its gradient, turned.
        hidden: Activations ``(members, batch, units)``.
        swapped: bool, which pairs of these MaxMin exchanged.
        output: ``(members, batch, outputs)``.
        by_output: The loss's gradient there.
        by_hidden: Two gradients ``(members, batch, units)``, used in turn.
    """

    architecture: Architecture
    weights: list[Tensor]
    biases: list[Tensor | None]
    weight_gradients: list[Tensor]
    bias_gradients: list[Tensor | None]
    table: Tensor
    hidden: list[Tensor]
    swapped: list[Tensor]
    output: Tensor
    by_output: Tensor
    by_hidden: list[Tensor]


def chain_of(
    network: ActorCritic,
    parameters: Parameters,
    part: Part,
    batch: int,
    *,
    learns: bool = True,
) -> Chain:
    """Return actor or critic, ready to take minibatches.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``, with gradients, which are overwritten.
        part: Which one.
        batch: Samples of a member's minibatch.
        learns: Whether it also goes back; else there need be no gradients.
    """
    depth = network.architecture.depth
    names = [*(f"hidden.{part}.{i}" for i in range(depth)), f"head.{part}"]
    weights = [parameters[f"{name}.weight"] for name in names]
    biases = [parameters.get(f"{name}.bias") for name in names]
    members, units, features = weights[0].shape
    size, new = (members, batch, units), weights[0].new_empty
    output = new(members, batch, weights[-1].shape[1])
    # Only MaxMin remembers pairs; for the others one buffer stands for all layers.
    pairs = [torch.empty(members * batch * units // 2, dtype=torch.bool)] * depth
    if network.architecture.activation == "maxmin":
        pairs = [torch.empty_like(pair) for pair in pairs]
    return Chain(
        architecture=network.architecture,
        weights=[w.detach() for w in weights],
        biases=[None if b is None else b.detach() for b in biases],
        weight_gradients=[w.grad for w in weights] if learns else [],  # type: ignore[misc]
        bias_gradients=[b if b is None else b.grad for b in biases] if learns else [],
        table=new(members, features, units),
        hidden=[new(size) for _ in range(depth)],
        swapped=pairs,
        output=output,
        by_output=torch.empty_like(output),
        by_hidden=[new(size), new(size)] if learns else [],
    )


def is_known(network: ActorCritic, parameters: Parameters) -> bool:
    """Return whether :func:`forward_` knows how to run a network.

    It knows perceptrons without normalisation or learned shares, with activations of
    :data:`WRITTEN`, on a CPU.

    Args:
        network: Actor and critic.
        parameters: name -> ``(members, ...)``.
    """
    own = network.architecture
    return (
        network.shared is None
        and own.normalisation == "none"
        and own.alpha is None
        and own.activation in WRITTEN
        and all(p.device.type == "cpu" for p in parameters.values())
    )


def turn_(chain: Chain) -> None:
    """Write down the first weight as :func:`forward_` reads it.

    Args:
        chain: Its table is overwritten.
    """
    # Features first: the columns that a board adds up are then rows, each in one piece.
    chain.table.copy_(chain.weights[0].mT)


def forward_(chain: Chain, on: Listed, rows: NDArray[np.int64]) -> None:
    """Write a chain's activations and output.

    Args:
        chain: Its buffers are overwritten; after :func:`turn_`.
        on: Where boards are on, as the first weight's columns count them.
        rows: ``(members, batch)``, which boards.

    Source: definition.
    """
    bias = chain.biases[0]
    if bias is None:
        bias = chain.table.new_zeros(chain.table[:, 0].shape)
    add_rows(on, rows, chain.table, bias, chain.hidden[0])
    for layer, read in enumerate(chain.hidden):
        _activate_(read, chain.swapped[layer], chain.architecture)
        out = (*chain.hidden, chain.output)[layer + 1]
        weight, bias = chain.weights[layer + 1], chain.biases[layer + 1]
        if bias is None:
            torch.bmm(read, weight.mT, out=out)
        else:
            torch.baddbmm(bias.unsqueeze(1), read, weight.mT, out=out)


def backward_(chain: Chain, on: Listed, rows: NDArray[np.int64]) -> None:
    """Write the gradients of a chain's parameters, from that by its output.

    Args:
        chain: As :func:`forward_` left it.
        on: Where boards are on.
        rows: ``(members, batch)``, which boards.

    Source: the chain rule.
    """
    gradient = chain.by_output
    for layer in reversed(range(len(chain.weights))):
        to_bias = chain.bias_gradients[layer]
        if to_bias is not None:
            torch.sum(gradient, 1, out=to_bias)
        if layer == 0:  # nothing goes back into the boards
            collect_rows(on, rows, gradient, chain.table)
            chain.weight_gradients[0].copy_(chain.table.mT)
            return
        # Two buffers in turn: one is read while the other is written.
        read, following = chain.hidden[layer - 1], chain.by_hidden[layer % 2]
        torch.bmm(gradient.mT, read, out=chain.weight_gradients[layer])
        torch.bmm(gradient, chain.weights[layer], out=following)
        swapped = chain.swapped[layer - 1]
        _differentiate_(following, read, swapped, chain.architecture)
        gradient = following
