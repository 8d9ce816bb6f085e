"""Chapter 5: how hidden ReLU units are killed, and counted."""

import torch
from torch import Tensor

from isometry.core.messages import unknown
from isometry.core.stacking import Parameters
from isometry.supervised.networks.mlp import MLP

KILLS = ("direction", "bias", "strong_bias")
BEYOND = 1.05  # how far a bias is pushed below what kills the unit


def _layer_inputs(network: MLP, parameters: Parameters, inputs: Tensor) -> list[Tensor]:
    """Return what every hidden layer sees, each ``(members, n, in)``."""
    with torch.no_grad():
        return [inputs, *network.hidden_activations(parameters, inputs)[:-1]]


def killed(
    network: MLP, parameters: Parameters, inputs: Tensor, kill: str
) -> Parameters:
    """Return a copy in which the first half of every hidden layer's units is dead.

    ``direction``: every entry of the unit's row is made negative and its bias zero; no
    input is negative, so the unit is silent. ``bias``: the bias is pushed to just below
    what the unit's strongest input needs. ``strong_bias``: just below what a row of
    length max(1, its own) could reach on the longest input.

    Args:
        network: With ReLU, on inputs that are not negative.
        parameters: name -> ``(members, ...)``.
        inputs: ``(members, n, features)``.
        kill: One of :data:`KILLS`.

    Raises:
        KeyError: If there is no such way.

    Source: ours; the ways are those of the claim on revival.
    """
    if kill not in KILLS:
        raise KeyError(unknown("way to kill", kill, KILLS))
    copy = {name: p.detach().clone() for name, p in parameters.items()}
    half = network.architecture.width // 2
    unharmed = _layer_inputs(network, parameters, inputs)
    for layer in range(network.architecture.depth):
        weight = copy[f"hidden.{layer}.weight"][:, :half]
        bias = copy[f"hidden.{layer}.bias"][:, :half]
        if kill == "direction":
            weight.abs_().neg_()
            bias.zero_()
        elif kill == "bias":
            seen = _layer_inputs(network, copy, inputs)[layer]  # lower ones are killed
            bias.copy_(-BEYOND * (seen @ weight.mT).amax(1).clamp(min=0))
        else:
            longest = unharmed[layer].norm(dim=-1).amax(1, keepdim=True)
            bias.copy_(-BEYOND * weight.norm(dim=-1).clamp(min=1) * longest)
    return {name: p.requires_grad_() for name, p in copy.items()}


def firing(network: MLP, parameters: Parameters, inputs: Tensor) -> Tensor:
    """Return which of the killed units fire on some input, ``(members, layers, half)``.

    Args:
        network: The network.
        parameters: name -> ``(members, ...)``.
        inputs: ``(members, n, features)``.

    Source: definition.
    """
    half = network.architecture.width // 2
    with torch.no_grad():
        hidden = network.hidden_activations(parameters, inputs)
    return torch.stack([(h[..., :half] > 0).any(1) for h in hidden], dim=1)
