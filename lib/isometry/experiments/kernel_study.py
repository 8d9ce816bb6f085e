"""The experiments of chapter 2: kernels of networks with known weights."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from isometry.core.messages import unknown
from isometry.core.seeding import generator
from isometry.maxmin import MaxMin

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "maxmin": MaxMin,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
}
INITS = ("orthogonal", "gaussian")


def network(
    sizes: list[int],  # inputs, hidden layers, outputs
    activation: str = "relu",
    init: str = "orthogonal",
    *,
    seed: int,
    gain: float = 1.0,
    bias_scale: float | None = 0.0,
) -> nn.Sequential:
    """Return a float64 MLP whose hidden weights are orthogonal or Gaussian.

    Args:
        sizes: Units of every layer, from the inputs to the outputs.
        activation: A key of ``ACTIVATIONS``.
        init: ``"orthogonal"``: all singular values are ``gain``; ``"gaussian"``:
            entries of variance ``gain^2 / in``, so that a row has norm ``gain``.
        seed: Of the weights.
        gain: Factor on the hidden layers; the last layer has gain 1.
        bias_scale: Standard deviation of the biases; None for no biases.

    Raises:
        KeyError: If activation or init is not known.

    Source: ours.

    Example:
        >>> weight = network([6, 6, 2], seed=0)[0].weight
        >>> torch.allclose(weight @ weight.T, torch.eye(6, dtype=torch.float64))
        True
    """
    if activation not in ACTIVATIONS:
        raise KeyError(unknown("activation", activation, ACTIVATIONS))
    if init not in INITS:
        raise KeyError(unknown("init", init, INITS))
    layers: list[nn.Module] = []
    last = len(sizes) - 2
    for index, (fan_in, out) in enumerate(pairwise(sizes)):
        draw = generator(seed, "kernel_study", init, index)
        bias = bias_scale is not None
        layer = nn.Linear(fan_in, out, bias=bias, dtype=torch.float64)
        scale = 1.0 if index == last else gain
        if init == "orthogonal":
            nn.init.orthogonal_(layer.weight, scale, generator=draw)
        else:
            nn.init.normal_(layer.weight, 0, scale / fan_in**0.5, generator=draw)
        if bias_scale is not None:
            nn.init.normal_(layer.bias, 0, bias_scale, generator=draw)
        layers += [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def white_inputs(count: int, features: int, seed: int = 0) -> Tensor:
    """Return inputs ``(count, features)`` with orthonormal rows, float64.

    Args:
        count: At most ``features``.
        features: Length of an input.
        seed: Of the rotation.

    Source: the isotropic input prior of arXiv 2606.09762, Sec. 2.3.

    Example:
        >>> X = white_inputs(3, 5)
        >>> torch.allclose(X @ X.T, torch.eye(3, dtype=torch.float64))
        True
    """
    rows = torch.empty(count, features, dtype=torch.float64)
    draw = generator(seed, "kernel_study", "white inputs")
    return nn.init.orthogonal_(rows, generator=draw)
