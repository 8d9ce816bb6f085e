"""Replacing units: what ReDo, continual backprop and self-normalised resets share."""

from math import sqrt

import torch
from torch import Tensor

from isometry.core.seeding import generator
from isometry.methods.structure import Layer
from isometry.methods.training import Training

# What optimisers call a former or a mean value of a parameter: TRAC, D-Adaptation and
# Prodigy, schedule-free ones, Lookahead, torch's ASGD. Zero would be a place to go to.
ANCHORS = frozenset(("reference", "ref", "p0", "z", "slow_params", "slow_buffer", "ax"))


def widths(training: Training) -> list[int]:
    """Return the number of units of each hidden layer.

    Args:
        training: The stack.
    """
    layers = training.structure.layers
    return [training.parameters[layer.weight].shape[1] for layer in layers]


def replace_units_(
    training: Training,
    index: int,
    chosen: Tensor,  # (members, units), boolean
    mean: Tensor | None = None,  # (members, units)
    *,
    labels: tuple[str | int, ...],
) -> None:
    """Make some units of a hidden layer new: in, out, and in the optimiser's memory.

    * Incoming weights are drawn anew, uniformly with the variance of the network's own
      initialisation (for torch's own, that is its law); bias and offset become 0, a
      gain 1.
    * Outgoing weights become 0. With ``mean`` given, what the unit added on average
      goes to the biases it fed first.
    * Every entry of the optimiser's state that belongs to one of these becomes 0:
      Adam's two moments, SGD's momentum, and counters that an optimiser keeps entry by
      entry. A former or mean value that it holds the parameter to becomes the new one.
      One counter for a whole parameter stays; without momentum SGD has nothing to
      forget.

    Args:
        training: The stack, changed in place.
        index: Which hidden layer.
        chosen: Which units; each member's draws depend on its seed and ``labels``.
        mean: Each unit's mean activation, or None.
        labels: Whose draw this is, and at which step.

    Source: ours; the parts are those of Sokar et al. 2023 and Dohare et al. 2024.
    """
    layer, parameters = training.structure.layers[index], training.parameters
    _draw_incoming_(training, layer, chosen, labels)
    for name in layer.vectors():
        parameters[name].masked_fill_(chosen, float(name == layer.gain))
    for name in layer.outgoing:
        weight = by_unit(parameters[name], chosen.shape[1])
        bias = training.structure.bias_of(name)
        if mean is not None and bias is not None:
            fed = torch.einsum("mouk,mu->mo", weight, mean * chosen)
            parameters[bias].add_(fed)
        weight.masked_fill_(chosen[:, None, :, None], 0)
    _forget_(training, layer, chosen)
    if training.replaced is not None:
        training.replaced(index, chosen)


def by_unit(weight: Tensor, units: int) -> Tensor:
    """Return an outgoing weight as a view ``(members, out, units, entries of a unit)``.

    Args:
        weight: ``(members, out, in, ...)``, contiguous.
        units: Of the layer that it reads.

    Source: ours; a convolution's channel feeds neighbouring entries.
    """
    return weight.view(*weight.shape[:2], units, -1)


def _draw_incoming_(
    training: Training, layer: Layer, chosen: Tensor, labels: tuple[str | int, ...]
) -> None:
    """Draw the incoming weights of chosen units anew."""
    weight = training.parameters[layer.weight]
    bound = sqrt(3) * training.structure.spread[layer.weight]
    for member in chosen.any(1).nonzero().flatten().tolist():
        rows = chosen[member].nonzero().flatten()
        seed = training.seeds[member]
        draw = generator(seed, "method", *labels, layer.weight)
        drawn = torch.empty(len(rows), *weight.shape[2:])
        drawn.uniform_(-bound, bound, generator=draw)
        weight[member, rows] = drawn.to(weight)


def _forget_(training: Training, layer: Layer, chosen: Tensor) -> None:
    """Set what the optimiser remembers of chosen units to zero, or to what is new.

    Source: Sokar et al. 2023, their code; some copies keep Adam's moments.
    """
    state, parameters = training.optimizer.state, training.parameters
    for name in (layer.weight, *layer.vectors(), *layer.outgoing):
        parameter, read = parameters[name], name in layer.outgoing
        values = by_unit(parameter, chosen.shape[1]) if read else parameter
        if read:
            units = chosen[:, None, :, None]
        else:
            units = chosen.view(*chosen.shape, *[1] * (parameter.ndim - 2))
        for key, memory in state.get(parameter, {}).items():
            if memory.shape != parameter.shape:
                continue
            lies = by_unit(memory, chosen.shape[1]) if read else memory
            if key in ANCHORS:
                lies.copy_(torch.where(units, values, lies))
            else:
                lies.masked_fill_(units, 0)
