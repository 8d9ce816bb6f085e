"""When the isometry step brings a dead ReLU unit back, and when it never can.

A unit is dead if no input of a set makes its pre-activation ``w_i . x + b_i`` positive.
The task then gives no gradient to the row ``w_i`` and the bias ``b_i``. The isometry
step still moves the row, together with all others, towards the nearest isometry
``Q = U V^T`` of the layer ``W = U diag(sigma) V^T``. Whether the unit fires again is
decided by the row ``q_i`` of that limit. Chapter 5 proves what is computed here.
"""

import math

import torch
from torch import Tensor

from isometry.adamo.flow import check_at_least_zero
from isometry.adamo.parting import parting_factor
from isometry.core.messages import refusal

LONGEST = 100_000  # steps that a bound looks ahead unless asked otherwise


def _check_layer(weight: Tensor, bias: Tensor, inputs: Tensor) -> None:
    """Refuse shapes that are not one layer and its inputs."""
    shapes = f"{tuple(weight.shape)}, {tuple(bias.shape)}, {tuple(inputs.shape)}"
    fits = weight.ndim == inputs.ndim == 2 and bias.shape == weight.shape[:1]
    if not fits or inputs.shape[1] != weight.shape[1] or 0 in inputs.shape:
        needed = "weight (out, in), bias (out,) and inputs (n, in)"
        raise ValueError(refusal(needed, shapes, "pass one layer and what it sees"))
    if not all(bool(torch.isfinite(t).all()) for t in (weight, bias, inputs)):
        raise ValueError(
            refusal("finite numbers", "NaN or infinity", "look for divergence")
        )


def dead_units(weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    """Return which units fire on no input at all.

    Args:
        weight: ``(out, in)``.
        bias: ``(out,)``.
        inputs: ``(n, in)``.

    Returns:
        ``(out,)``, bool.

    Raises:
        ValueError: If the shapes do not fit, or a number is not finite.

    Source: definition.

    Example:
        >>> one = torch.ones(1, 1)
        >>> dead_units(-one, torch.zeros(1), one).tolist()
        [True]
    """
    _check_layer(weight, bias, inputs)
    return (inputs @ weight.mT + bias <= 0).all(0)


def _thin_svd(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, sigma and V^T in float64, of the positive singular values only.

    Source: definition.
    """
    left, sigma, right = torch.linalg.svd(weight.double(), full_matrices=False)
    rounding = max(weight.shape) * torch.finfo(weight.dtype).eps
    kept = sigma > rounding * sigma[0]
    return left[:, kept], sigma[kept], right[kept]


def _isometric_limit(weight: Tensor) -> Tensor:
    """Return ``Q = U V^T``: where the isometry step alone takes a layer.

    Source: Eq. 16's flow keeps the singular vectors; Q is the polar factor.

    Example:
        >>> _isometric_limit(torch.tensor([[0.5, 0.0], [0.0, -3.0]])).tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """
    left, _, right = _thin_svd(weight)
    return left @ right


def revival_margin(weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    """Return how clearly each unit fires at the limit: ``max_x (q_i . x + b_i) / |x|``.

    Left alone with the isometry step, a dead unit with a positive margin comes back and
    stays; one with a negative margin ends dead.

    Args:
        weight: ``(out, in)``.
        bias: ``(out,)``.
        inputs: ``(n, in)``; inputs of length zero are left out, and one must remain.

    Returns:
        ``(out,)``, float64, dimensionless.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, or all inputs are
            zero.

    Source: ours, chapter 5.
    """
    _check_layer(weight, bias, inputs)
    lengths = inputs.double().norm(dim=1)
    if not bool((lengths > 0).any()):
        raise ValueError(refusal("an input that is not zero", "none", "pass others"))
    seen = inputs.double()[lengths > 0]
    values = seen @ _isometric_limit(weight).mT + bias.double()
    return (values / lengths[lengths > 0].unsqueeze(1)).amax(0)


def revival_time(weight: Tensor, bias: Tensor, inputs: Tensor, rate: float) -> Tensor:
    """Return until when each unit fires under the flow of the isometry step alone.

    With ``g = margin / |q_i|`` and the extreme singular values of the layer, the
    closed form of chapter 5. A unit that is not dead may fire earlier; none later.

    Args:
        weight: ``(out, in)``.
        bias: ``(out,)``.
        inputs: ``(n, in)``.
        rate: eta_iso * lambda, > 0.

    Returns:
        ``(out,)``, optimiser steps, not whole; infinite where the margin is not
        positive.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, the rate is not
            positive, or all inputs are zero.

    Source: ours, chapter 5.
    """
    _check_rate(rate)
    margin = revival_margin(weight, bias, inputs)
    left, sigma, _ = _thin_svd(weight)
    gap = margin.clamp(min=0) / left.norm(dim=1)  # |q_i| is the length of U's row
    square = torch.stack([sigma.amin(), sigma.amax()]).square().unsqueeze(1)
    # Left over of the way to one, as a share of what may be left over.
    low = (1 - square[0]) / square[0] / ((1 - gap).clamp(min=0).pow(-2) - 1)
    high = (square[1] - 1) / square[1] / (1 - (1 + gap).pow(-2))
    needed = torch.maximum(low, high).clamp(min=1).log() / (8 * rate)
    return torch.where(margin > 0, needed, math.inf)


def revival_steps(
    weight: Tensor,  # (out, in)
    bias: Tensor,  # (out,)
    inputs: Tensor,  # (n, in)
    rate: float,
    *,
    drift: float = 0.0,
    longest: int = LONGEST,
    near: bool = True,
) -> Tensor:
    """Return within how many isometry steps each dead unit fires again.

    The steps are ``W <- W - rate grad R_iso(W) + E``. As long as unit i is dead, its
    bias rests, and E, which holds what the task does to the other rows (and what is
    left of Adam's moments), has a Frobenius norm of at most ``drift`` in each step. The
    inputs are fixed: a first layer, or one whose lower layers rest.

    Unit i fires no later than at the first k with

        |w_i(k) - q_i| + parting_k < margin_i,

    where w_i(k) is the row after k steps without drift, which follows from the SVD, and
    parting_k how far the drift can have led the layer away, from
    :func:`isometry.adamo.parting.parting_bound`: about ``drift k`` once the smallest
    singular value is near one, and at most ``drift ((1 + 4 rate)^k - 1) / (4 rate)``.
    With drift, the bound also needs 6 rate S^2 <= 1 + 4 rate for the largest singular
    value S that can have occurred in each step.

    Args:
        weight: Of the layer.
        bias: Of the layer.
        inputs: What the layer sees.
        rate: eta_iso * lambda, > 0.
        drift: Bound on ``|E|_F`` in each step, >= 0.
        longest: How many steps to look ahead, >= 1.
        near: As in :func:`isometry.adamo.parting.parting_bound`; False is Gronwall's.

    Returns:
        ``(out,)``, float64, whole numbers; infinite where the condition does not hold
        within ``longest`` steps. Says nothing of units that are not dead.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, the rate is not
            positive, the drift is negative, or all inputs are zero.

    Source: ours, chapter 5.

    Example:
        >>> weight = torch.tensor([[1.0, 0.0], [-0.9, 0.3]])
        >>> inputs = torch.tensor([[0.6, 0.8]])
        >>> dead_units(weight, torch.zeros(2), inputs).tolist()
        [False, True]
        >>> revival_steps(weight, torch.zeros(2), inputs, 1e-2)[1].item()
        29.0
    """
    _check_rate(rate)
    check_at_least_zero(drift=drift)
    margin = revival_margin(weight, bias, inputs)
    left, sigma, _ = _thin_svd(weight)
    steps = torch.full_like(margin, math.inf)
    apart, full = 0.0, len(sigma) == min(weight.shape)
    for step in range(longest + 1):
        distance = (left.square() @ (sigma - 1).square()).sqrt()
        met = (distance + apart < margin) & steps.isinf()
        steps[met] = float(step)
        open_ones = margin[steps.isinf()]
        if not bool((open_ones > apart).any()) or not bool(sigma.isfinite().all()):
            break
        if drift > 0:
            low = float(sigma.abs().min()) if full else 0.0
            high = float(sigma.abs().max())
            factor = parting_factor(low, high, apart, rate, near=near)
            if math.isinf(factor):
                break
            apart = apart * factor + drift
        sigma = sigma * (1 + 4 * rate * (1 - sigma.square()))
    return steps


def never_fires(weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    """Return which dead units the isometry step can never revive.

    While a unit is dead its row keeps ``|w_i| <= max(1, |w_i| at the start)``, whatever
    the other rows do. So a bias below minus that bound times the longest input is out
    of reach. For finite steps this needs rate <= 1/8 and 6 rate sigma_max^2
    <= 1 + 4 rate throughout.

    Args:
        weight: ``(out, in)``.
        bias: ``(out,)``.
        inputs: ``(n, in)``, all that the layer will see.

    Returns:
        ``(out,)``, bool; False says nothing.

    Raises:
        ValueError: If the shapes do not fit, or a number is not finite.

    Source: ours, chapter 5.

    Example:
        >>> one = torch.ones(1, 1)
        >>> never_fires(-one, torch.tensor([-1.5]), one).tolist()
        [True]
    """
    _check_layer(weight, bias, inputs)
    reach = weight.norm(dim=1).clamp(min=1) * inputs.norm(dim=1).amax()
    return bias + reach <= 0


def _check_rate(rate: float) -> None:
    """Refuse a rate that is not a finite positive number."""
    check_at_least_zero(rate=rate)
    if rate == 0:
        raise ValueError(refusal("rate > 0", rate, "without a pull nothing moves"))
