"""How far a drift can lead a layer away from the path of the isometry step alone.

Two layers start alike. One is moved by the isometry step, the other by the same step
and by a drift of at most ``drift`` in Frobenius norm each time. Near isometry the step
neither drives them apart nor together, and their distance grows no faster than the
drift adds up. Chapter 5 proves what is computed here.
"""

import math

import torch
from torch import Tensor

from isometry.adamo.flow import check_at_least_zero
from isometry.core.messages import refusal


def parting_factor(
    smallest: float, largest: float, apart: float, rate: float, *, near: bool = True
) -> float:
    """Return by what factor one isometry step can drive two layers further apart.

    With W one of them, D the difference, c = 1 + 4 rate, S = sigma_max(W) + |D| and
    m = max(0, sigma_min(W)^2 - |D|^2 / 8), the square of the factor is at most
    ``c^2 - 8 rate m (c - 6 rate S^2)``: c where nothing is known of the smallest
    singular value, and about one at isometry.

    Args:
        smallest: The smallest singular value of W, of min(out, in); zeros count.
        largest: Its largest singular value.
        apart: |D|_F.
        rate: eta_iso * lambda, > 0.
        near: Use the smallest singular value; without it the factor is c.

    Returns:
        Dimensionless, at most c; infinite where 6 rate S^2 > c, where nothing is shown.

    Example:
        >>> round(parting_factor(1.0, 1.0, 0.0, 0.01), 4)
        1.0016
    """
    most = 1 + 4 * rate
    room = most - 6 * rate * (largest + apart) ** 2
    if not room >= 0:
        return math.inf
    convex = max(0.0, smallest**2 - apart**2 / 8) if near else 0.0
    return math.sqrt(most**2 - 8 * rate * convex * room)


def parting_bound(
    sigma: Tensor,  # (d,)
    rate: float,
    drift: float,
    steps: int,
    *,
    near: bool = True,
) -> Tensor:
    """Return how far drift can have led a layer from the path without it.

    Args:
        sigma: All singular values at the start, ``(d,)`` with d = min(out, in).
        rate: eta_iso * lambda, > 0.
        drift: Bound on the Frobenius norm of what else moves the layer, a step.
        steps: How many, >= 0.
        near: Use that the smallest singular value nears one. Without it this is
            Gronwall's ``drift ((1 + 4 rate)^k - 1) / (4 rate)``.

    Returns:
        ``(steps + 1,)``, float64; infinite from where singular values may be so large
        that nothing is shown.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bound = parting_bound(torch.ones(3), 0.01, 1e-4, 100)
        >>> round(bound[-1].item(), 4)
        0.0109
    """
    check_at_least_zero(rate=rate, drift=drift, steps=steps)
    if rate == 0 or sigma.ndim != 1 or sigma.numel() == 0:
        found = f"rate {rate}, singular values {tuple(sigma.shape)}"
        raise ValueError(refusal("rate > 0 and sigma (d,)", found, "pass one layer"))
    values, apart, bound = sigma.double(), 0.0, [0.0]
    for _ in range(steps):
        low, high = float(values.abs().min()), float(values.abs().max())
        factor = parting_factor(low, high, apart, rate, near=near)
        apart = apart * factor + drift if factor < math.inf else math.inf
        bound.append(apart)
        values = values * (1 + 4 * rate * (1 - values.square()))
    return torch.tensor(bound, dtype=torch.float64)


def _linear_parting(smallest: float, rate: float, drift: float, time: float) -> float:
    """Return ``1.5 drift time / min(1, sigma_min)``, where the flow allows that bound.

    It bounds the distance of chapter 5's continuous flow as long as ``rate drift^2
    time^3 <= min(1, sigma_min)^2``; beyond, nothing is promised.

    Example:
        >>> round(_linear_parting(0.5, 0.01, 1e-3, 100), 3)
        0.3
    """
    check_at_least_zero(smallest=smallest, rate=rate, drift=drift, time=time)
    if drift * time == 0:
        return 0.0
    low = min(1.0, smallest)
    if low == 0 or rate * drift**2 * time**3 > low**2:
        return math.inf
    return 1.5 * drift * time / low
