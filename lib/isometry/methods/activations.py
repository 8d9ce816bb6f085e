"""What stacked networks are made of, as functions and as modules."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from isometry.core.messages import unknown
from isometry.core.stacking import Parameters
from isometry.maxmin import MaxMin, group_sort
from isometry.methods.linearity import AdaLin, with_share
from isometry.methods.structure import ACTIVATIONS, Architecture

NORMALISATION_EPS = 1e-5  # added to the variance, torch's own
SHARPNESS = 5 / 3  # c / p of the smooth leaky ReLU


class CReLU(nn.Module):
    """``[relu(x), relu(-x)]`` along the dimension of the units, as a module.

    Args:
        dim: The dimension of the units; 1 for ``(batch, channels, height, width)``.

    Source: Shang et al. 2016.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, inputs: Tensor) -> Tensor:
        """Return twice as many units, ``(..., 2 * units)`` for ``(..., units)``."""
        return torch.cat([inputs.relu(), (-inputs).relu()], self.dim)


class SmoothLeaky(nn.Module):
    """``a x + (1 - a) x sigmoid(5 x / 3)``: a leaky ReLU without a corner, as a module.

    Args:
        slope: a, far below zero.

    Source: Lillo & Cheney 2026, arXiv 2509.22562, with their p = 3 and c = 5.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the same shape."""
        return _smooth_leaky(inputs, self.slope)


class Fourier(nn.Module):
    """``[sin x, cos x]`` along the dimension of the units, as a module.

    Args:
        dim: The dimension of the units; 1 for ``(batch, channels, height, width)``.

    Source: Lewandowski et al. 2025, arXiv 2410.20634.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, inputs: Tensor) -> Tensor:
        """Return twice as many units, ``(..., 2 * units)`` for ``(..., units)``."""
        return torch.cat([inputs.sin(), inputs.cos()], self.dim)


class Sine(nn.Module):
    """``sin x``, as a module.

    Source: definition.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the same shape."""
        return inputs.sin()


class AID(nn.Module):
    """Interval-wise dropout: what lies above or below zero is kept, never both.

    In training each entry is ``max(x, 0)`` with probability ``1 - slope`` and ``min(x,
    0)`` else, by torch's global generator; in evaluation it is the mean of both.

    Args:
        slope: Probability of the part below zero, in [0, 1]; its slope in evaluation.

    Source: Park et al., ICML 2025, arXiv 2502.01342.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the same shape."""
        if not self.training:
            return _mean_interval(inputs, self.slope)
        return _one_interval(inputs, torch.rand_like(inputs) >= self.slope)


def _smooth_leaky(inputs: Tensor, slope: float) -> Tensor:
    """Return ``a x + (1 - a) x sigmoid(c x / p)``.

    The sigmoid as a tanh, whose rounding does not depend on where an entry lies.
    """
    sigmoid = 0.5 + 0.5 * torch.tanh(SHARPNESS / 2 * inputs)
    return inputs * (slope + (1 - slope) * sigmoid)


def _mean_interval(inputs: Tensor, slope: float) -> Tensor:
    """Return ``(1 - slope) x`` above zero and ``slope x`` below."""
    return (1 - slope) * functional.relu(inputs) - slope * functional.relu(-inputs)


def _one_interval(inputs: Tensor, above: Tensor) -> Tensor:
    """Return the part above zero where ``above`` says so, elsewhere that below."""
    return torch.where(above, functional.relu(inputs), -functional.relu(-inputs))


def _drawn(inputs: Tensor, slope: float, draws: list[torch.Generator]) -> Tensor:
    """Return where the part above zero is kept, each member's by its own draw."""
    shape = inputs.shape[1:]
    kept = [torch.rand(shape, generator=draw) >= slope for draw in draws]
    return torch.stack(kept).to(inputs.device)


# (negative slope, dimension of the units) -> module
ACTIVATION_MODULES: dict[str, Callable[[float, int], nn.Module]] = {
    "relu": lambda slope, dim: nn.ReLU(),
    "leaky_relu": lambda slope, dim: nn.LeakyReLU(slope),
    "tanh": lambda slope, dim: nn.Tanh(),
    "gelu": lambda slope, dim: nn.GELU(),
    "maxmin": lambda slope, dim: MaxMin(dim),
    "crelu": lambda slope, dim: CReLU(dim),
    "identity": lambda slope, dim: nn.Identity(),
    "sine": lambda slope, dim: Sine(),
    "smooth_leaky": lambda slope, dim: SmoothLeaky(slope),
    "fourier": lambda slope, dim: Fourier(dim),
    "aid": lambda slope, dim: AID(slope).eval(),
}


def activate(
    inputs: Tensor,
    architecture: Architecture,
    dim: int = -1,
    draws: list[torch.Generator] | None = None,
    alpha: Tensor | None = None,
) -> Tensor:
    """Return the activation of a hidden layer.

    Args:
        inputs: Pre-activations, ``(..., units)``, or with the units along ``dim``; with
            draws, ``(members, ...)``.
        architecture: Names the activation.
        dim: The dimension of the units.
        draws: In training, one generator a member for an activation that is drawn. None
            gives its mean, as do all others with draws or without.
        alpha: ``(members, units)``, each unit's learned share, where there is one.

    Returns:
        The same shape; where a unit has two outputs twice as many.

    Raises:
        KeyError: If the activation is not known.

    Source: definitions; MaxMin: Anil et al. 2019; CReLU: Shang et al. 2016; the classes
        above.
    """
    if alpha is not None:
        kind, slope = architecture.activation, architecture.negative_slope
        outputs = activate(inputs, architecture, dim)
        return with_share(inputs, outputs, alpha, kind, slope, dim)
    match architecture.activation:
        case "relu":
            return functional.relu(inputs)
        case "leaky_relu":
            return functional.leaky_relu(inputs, architecture.negative_slope)
        case "tanh":
            return torch.tanh(inputs)
        case "gelu":
            return functional.gelu(inputs)
        case "maxmin":
            return group_sort(inputs, 2, dim)
        case "crelu":
            return torch.cat([functional.relu(inputs), functional.relu(-inputs)], dim)
        case "identity":
            return inputs
        case "sine":
            return inputs.sin()
        case "smooth_leaky":
            return _smooth_leaky(inputs, architecture.negative_slope)
        case "fourier":
            return torch.cat([inputs.sin(), inputs.cos()], dim)
        case "aid":
            slope = architecture.negative_slope
            if draws is None:
                return _mean_interval(inputs, slope)
            return _one_interval(inputs, _drawn(inputs, slope, draws))
        case name:
            raise KeyError(unknown("activation", name, ACTIVATIONS))


def normalise(
    inputs: Tensor,  # (members, batch, units)
    gain: Tensor | None,  # (members, units)
    offset: Tensor | None,  # (members, units)
) -> Tensor:
    """Return LayerNorm of every sample by itself, with each member's gain and offset.

    Args:
        inputs: Pre-activations.
        gain: Factor of each unit, or None, with the offset: neither.
        offset: Added to each unit.

    Returns:
        ``(members, batch, units)``.

    Source: Ba, Kiros & Hinton 2016.
    """
    units = inputs.shape[-1]
    standard = functional.layer_norm(inputs, (units,), eps=NORMALISATION_EPS)
    if gain is None or offset is None:
        return standard
    return torch.addcmul(offset.unsqueeze(1), standard, gain.unsqueeze(1))


def as_samples(hidden: Tensor) -> Tensor:
    """Return activations with every place of an image as a sample of its own.

    Args:
        hidden: ``(members, samples, units)``, or maps ``(members, batch, channels,
            height, width)``: a channel is a unit.

    Returns:
        ``(members, samples, units)``.

    Source: Dohare et al. 2024 and Sokar et al. 2023.
    """
    if hidden.ndim == 3:
        return hidden
    return hidden.movedim(2, -1).flatten(1, 3)


def activation_module(
    own: Parameters, name: str, architecture: Architecture, dim: int = -1
) -> nn.Module:
    """Return a layer's nonlinearity as a module.

    Args:
        own: One member's parameters.
        name: Of the layer.
        architecture: Names the activation.
        dim: The dimension of the units.
    """
    kind, slope = architecture.activation, architecture.negative_slope
    if f"{name}.alpha" not in own:
        return ACTIVATION_MODULES[kind](slope, dim)
    alpha = own[f"{name}.alpha"]
    module = AdaLin(kind, len(alpha), dim=dim, negative_slope=slope)
    module.to(alpha).load_state_dict({"alpha": alpha})
    return module


def linear_module(own: Parameters, name: str) -> nn.Linear:
    """Return a linear layer as a module; torch's global generator stays as it is.

    Args:
        own: One member's parameters.
        name: Of the layer.
    """
    weight, bias = own[f"{name}.weight"], own.get(f"{name}.bias")
    out, fan_in = weight.shape
    linear = nn.utils.skip_init(
        nn.Linear, fan_in, out, bias=bias is not None, device=weight.device
    )
    linear.load_state_dict(
        {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    )
    return linear


def norm_module(own: Parameters, name: str) -> nn.LayerNorm:
    """Return a LayerNorm as a module, with gain and offset where the layer has them.

    Args:
        own: One member's parameters.
        name: Of the layer.
    """
    if f"{name}.gain" not in own:
        units = len(own[f"{name}.weight"])
        return nn.LayerNorm(units, NORMALISATION_EPS, elementwise_affine=False)
    gain, offset = own[f"{name}.gain"], own[f"{name}.offset"]
    norm = nn.LayerNorm(len(gain), eps=NORMALISATION_EPS, device=gain.device)
    norm.load_state_dict({"weight": gain, "bias": offset})
    return norm
