"""AdaLin: a learned share of its input goes round a nonlinearity that is flat."""

from math import cos, erf, exp, pi, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from isometry.core.messages import refusal

GATED = ("relu", "leaky_relu", "tanh", "gelu", "identity", "sine")
# The steepest slope of GELU, ``Phi(x) + x phi(x)`` at ``x = sqrt(2)``.
STEEPEST_GELU = 0.5 * (1 + erf(1)) + exp(-1) / sqrt(pi)
aten = torch.ops.aten


def check_gated(activation: str) -> None:
    """Refuse AdaLin on a nonlinearity without a slope of its own at each input.

    Args:
        activation: One of :data:`isometry.methods.structure.ACTIVATIONS`.

    Raises:
        ValueError: If it pairs units, has two outputs or is drawn.
    """
    if activation not in (*GATED, "any"):
        needed = f"an activation of {', '.join(GATED)} for adalin"
        raise ValueError(refusal(needed, activation, "change activation"))


def gate(inputs: Tensor, activation: str, negative_slope: float) -> Tensor:
    """Return ``cos(pi / 2 |phi'(x)| / L)``: one where phi is flat, zero where steepest.

    L is the steepest slope of phi: 1 but for GELU.

    Args:
        inputs: x, of any shape.
        activation: phi, one of :data:`GATED`.
        negative_slope: Of ``leaky_relu``, in [0, 1].

    Returns:
        The same shape, without a history.

    Source: Razavi Rohani et al. 2025, arXiv 2505.09486.
    """
    x = inputs.detach()
    match activation:
        case "relu":
            return (x <= 0).to(x)
        case "leaky_relu":
            return cos(pi / 2 * negative_slope) * (x <= 0).to(x)
        case "tanh":  # the cosine of a right angle less y^2 of it
            return (pi / 2 * aten.tanh(x).square()).sin()
        case "gelu":
            density = (-x.square() / 2).exp() / sqrt(2 * pi)
            slope = 0.5 * (1 + torch.erf(x / sqrt(2))) + x * density
            return (pi / 2 / STEEPEST_GELU * slope.abs()).cos()
        case "sine":
            return (pi / 2 * x.cos().abs()).cos()
        case _:
            return torch.zeros_like(x)


class AdaLin(nn.Module):
    """``phi(x) + alpha x sg[cos(pi / 2 |phi'(x)| / L)]``, one learned alpha a unit.

    With ReLU it is PReLU.

    Args:
        activation: phi, one of :data:`GATED`.
        units: How many alphas there are.
        start: Of each alpha.
        dim: The dimension of the units; 1 for ``(batch, channels, height, width)``.
        negative_slope: Of ``leaky_relu``.

    Raises:
        ValueError: If phi is another activation.

    Source: Razavi Rohani et al. 2025, arXiv 2505.09486.

    Example:
        >>> AdaLin("relu", 2, start=0.5)(torch.tensor([[-2.0, 3.0]])).tolist()
        [[-1.0, 3.0]]
    """

    def __init__(
        self,
        activation: str,
        units: int,
        *,
        start: float = 0.0,
        dim: int = -1,
        negative_slope: float = 0.01,
    ) -> None:
        super().__init__()
        check_gated(activation)
        self.activation, self.dim = activation, dim
        self.negative_slope = negative_slope
        self.alpha = nn.Parameter(torch.full((units,), float(start)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the same shape."""
        if self.activation == "relu":  # as one call, by which diagnostics see it
            if self.dim == -1 and inputs.ndim > 2:
                flat = functional.prelu(inputs.flatten(0, -2), self.alpha)
                return flat.view_as(inputs)
            return functional.prelu(inputs, self.alpha)
        shape = [1] * inputs.ndim
        shape[self.dim] = -1
        share = self.alpha.view(shape) * gate(
            inputs, self.activation, self.negative_slope
        )
        return _plain(inputs, self.activation, self.negative_slope) + share * inputs


def _plain(inputs: Tensor, activation: str, negative_slope: float) -> Tensor:
    """Return phi(x), called so that diagnostics do not take it for the whole."""
    match activation:
        case "leaky_relu":
            return aten.leaky_relu(inputs, negative_slope)
        case "tanh":
            return aten.tanh(inputs)
        case "gelu":
            return aten.gelu(inputs)
        case "sine":
            return inputs.sin()
        case _:
            return inputs


def with_share(
    inputs: Tensor,  # (members, ...)
    outputs: Tensor,
    alpha: Tensor,  # (members, units)
    activation: str,
    negative_slope: float,
    dim: int,
) -> Tensor:
    """Return a stack's activations with each unit's share of its input.

    Args:
        inputs: Pre-activations.
        outputs: phi of them.
        alpha: Of each unit.
        activation: phi.
        negative_slope: Of ``leaky_relu``.
        dim: The dimension of the units.

    Source: Razavi Rohani et al. 2025, arXiv 2505.09486.
    """
    shape = [len(alpha), *[1] * (inputs.ndim - 1)]
    shape[dim] = -1
    share = alpha.view(shape) * gate(inputs, activation, negative_slope)
    return torch.addcmul(outputs, share, inputs)
