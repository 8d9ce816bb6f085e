"""The networks of chapter 2: known weights, and gates apart from weights."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from isometry.core.messages import unknown
from isometry.core.seeding import derived_seed, generator
from isometry.core.stacking import Parameters
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
    """Return a float64 MLP whose weights are orthogonal or Gaussian.

    Args:
        sizes: Units of every layer, from the inputs to the outputs.
        activation: A key of ``ACTIVATIONS``.
        init: ``"orthogonal"``: all singular values are ``gain``; ``"gaussian"``:
            entries of variance ``gain^2 / in``, so that a row has norm ``gain``.
        seed: Of the weights.
        gain: Factor on every layer; with ReLU, sqrt(2) keeps the size of signals on
            the way forth and back.
        bias_scale: Standard deviation of the biases; None for no biases.

    Raises:
        KeyError: If activation or init is not known.

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
    for index, (fan_in, out) in enumerate(pairwise(sizes)):
        draw = generator(seed, "kernel", init, index)
        bias = bias_scale is not None
        layer = nn.Linear(fan_in, out, bias=bias, dtype=torch.float64)
        if init == "orthogonal":
            nn.init.orthogonal_(layer.weight, gain, generator=draw)
        else:
            nn.init.normal_(layer.weight, 0, gain / fan_in**0.5, generator=draw)
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
    draw = generator(seed, "kernel", "white inputs")
    return nn.init.orthogonal_(rows, generator=draw)


def perceptron(parameters: Parameters, activation: str) -> nn.Sequential:
    """Return one member of a trained stack as a float64 network.

    Args:
        parameters: ``hidden.0.weight``, ``hidden.0.bias``, ..., ``head.weight``,
            ``head.bias``; ``(out, in)`` and ``(out,)``.
        activation: A key of ``ACTIVATIONS``.
    """
    names = [name[: -len(".weight")] for name in parameters if "weight" in name]
    layers: list[nn.Module] = []
    for name in names:
        weight = parameters[f"{name}.weight"].detach().double()
        layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        layer.weight = nn.Parameter(weight)
        layer.bias = nn.Parameter(parameters[f"{name}.bias"].detach().double())
        layers += [layer, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """Return a network's linear layers in their order.

    Args:
        model: Any module.
    """
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


@torch.no_grad()
def gates(model: nn.Sequential, inputs: Tensor) -> Tensor:
    """Return the diagonals of D_l(x) of a ReLU network, layer after layer.

    Args:
        model: Linear layers with ReLU between them.
        inputs: ``(n, features)``.

    Returns:
        ``(n, sum of hidden widths)``, 1 where a unit is open and 0 where it is closed.

    Source: arXiv 2606.09762, Sec. 4.1 (the matrices D_l).
    """
    found, hidden = [], inputs
    for layer in linear_layers(model)[:-1]:
        before = layer(hidden)
        found.append((before > 0).to(inputs))
        hidden = torch.relu(before)
    return torch.cat(found, dim=1)


class Gated(nn.Module):
    """A ReLU network whose gates come from outside: the weights' part of it alone.

    ``h_l = D_l (W_l h_{l-1} + b_l)`` with D_l given. With its own gates it computes
    what the ReLU network does, and has the same kernel.

    Source: ours; it takes apart what arXiv 2606.09762, Sec. 4.1, multiplies.
    """

    def __init__(self, model: nn.Sequential):
        """Take the linear layers of ``model`` as they are."""
        super().__init__()
        self.layers = nn.ModuleList(linear_layers(model))
        self.widths = [layer.out_features for layer in linear_layers(model)[:-1]]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of inputs joined with their gates.

        Args:
            inputs: ``(n, features + sum of hidden widths)``.
        """
        features = inputs.shape[1] - sum(self.widths)
        hidden, *opened = inputs.split([features, *self.widths], dim=1)
        for layer, diagonal in zip(self.layers, opened, strict=False):
            hidden = diagonal * layer(hidden)
        return self.layers[-1](hidden)


class _ResidualBlock(nn.Module):
    """``h + W_2 relu(W_1 norm(h))``.

    Source: the pre-norm residual block; He et al. 2016.
    """

    def __init__(self, width: int):
        """Make a block of one width."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(n, width)`` for ``(n, width)``."""
        return inputs + self.second(torch.relu(self.first(self.norm(inputs))))


def sample_networks(seed: int) -> dict[str, tuple[nn.Sequential, tuple[int, ...]]]:
    """Return one random network of every supported kind, with the shape of its inputs.

    Args:
        seed: Of all weights.

    Example:
        >>> sorted(sample_networks(0))
        ['convolutions', 'linear', 'maxmin', 'norms', 'relu', 'residual']
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "kernel", "sample networks"))
        convolutions = nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1),
            nn.GroupNorm(2, 4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 2, groups=2, bias=False),
            nn.BatchNorm2d(6),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(54, 3),
        )
        return {
            "linear": (nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 3)), (6,)),
            "relu": (
                nn.Sequential(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3)),
                (6,),
            ),
            "maxmin": (
                nn.Sequential(nn.Linear(6, 8), MaxMin(), nn.Linear(8, 3)),
                (6,),
            ),
            "residual": (nn.Sequential(_ResidualBlock(6), nn.Linear(6, 3)), (6,)),
            "norms": (
                nn.Sequential(
                    nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3)
                ),
                (6,),
            ),
            "convolutions": (convolutions, (2, 8, 8)),
        }
