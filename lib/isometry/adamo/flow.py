"""What the isometry step does to one singular value: rates, times and limits.

The step ``W <- W - rate * grad R_iso(W)`` keeps the singular vectors and sends every
singular value through the same cubic,

    sigma <- sigma - 4 rate sigma (sigma^2 - 1),    rate = eta_iso * lambda.

Its small-rate limit is ``sigma' = -4 rate sigma (sigma^2 - 1)`` with one step as the
unit of time. Near one the distance decays as ``exp(-8 rate t)``.
"""

import math

import torch
from torch import Tensor

from isometry.core.messages import refusal

TOLERANCE = 0.01  # of isometry_every="auto", as a share of the deviation
LONGEST_PERIOD = 100


def check_at_least_zero(**values: float) -> None:
    """Refuse a value that is not a finite number >= 0.

    Args:
        **values: The numbers by name.

    Raises:
        ValueError: If one of them is negative, infinite or no number.
    """
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            raise ValueError(
                refusal(f"a finite {name} >= 0", value, f"pass another {name}")
            )


def relaxation_steps(isometry_strength: float, isometry_lr: float) -> float:
    """Return after how many steps a deviation from isometry has shrunk by 1/e.

    ``1 / (8 eta_iso lambda)``, for singular values near one. The dimensionless pull of
    a run is its number of steps divided by this time.

    Args:
        isometry_strength: lambda of Eq. 16 and 20, >= 0.
        isometry_lr: eta_iso, >= 0.

    Returns:
        Optimiser steps; infinite if one of the two is zero.

    Raises:
        ValueError: If one of them is negative or not finite.

    Source: ours, the linearisation of Eq. 20 at sigma = 1.

    Example:
        >>> round(relaxation_steps(1e-3, 1e-4))
        1250000
    """
    check_at_least_zero(isometry_strength=isometry_strength, isometry_lr=isometry_lr)
    pull = 8 * isometry_lr * isometry_strength
    return 1 / pull if pull > 0 else math.inf


def strength_for_relaxation(steps: float, isometry_lr: float) -> float:
    """Return the strength lambda whose relaxation time is ``steps``.

    Args:
        steps: Wanted relaxation time, optimiser steps, > 0.
        isometry_lr: eta_iso, > 0.

    Raises:
        ValueError: If one of them is not a finite positive number.

    Source: ours, the inverse of :func:`relaxation_steps`.

    Example:
        >>> round(strength_for_relaxation(1000, 1e-4), 12)
        1.25
    """
    check_at_least_zero(steps=steps, isometry_lr=isometry_lr)
    if steps == 0 or isometry_lr == 0:
        raise ValueError(
            refusal(
                "steps > 0 and isometry_lr > 0",
                f"steps {steps}, isometry_lr {isometry_lr}",
                "ask for a time of at least one step",
            )
        )
    return 1 / (8 * isometry_lr * steps)


def amortised_error(share: float) -> float:
    """Return how far repeated long steps come from the flow, for small deviations.

    One step multiplies a deviation by ``1 - x``, x = 8 rate k, where the flow has
    ``exp(-x)``. With ``a = -ln(1 - x) / x`` the largest difference after n steps,
    ``exp(-n x) - exp(-a n x)``, over all real n >= 0 is ``(a - 1) a^(-a / (a - 1))``,
    at ``n x = ln a / (a - 1)``. It is ``x / (2 e)`` for small x, and always more.

    Args:
        share: x, what a step takes away of a small deviation; 0 <= x < 1.

    Returns:
        The error as a share of the deviation at the start, a tight upper bound.

    Raises:
        ValueError: If the share is not in [0, 1).

    Example:
        >>> round(amortised_error(0.5), 3), round(0.5 / (2 * math.e), 3)
        (0.12, 0.092)
    """
    check_at_least_zero(share=share)
    if share >= 1:
        raise ValueError(refusal("share < 1", share, "take shorter steps"))
    if share < 1e-8:  # a - 1 drowns in rounding; the next order is share^2
        return share / (2 * math.e)
    a = -math.log1p(-share) / share
    return (a - 1) * a ** (-a / (a - 1))


def amortised_every(
    isometry_strength: float, isometry_lr: float, tolerance: float = TOLERANCE
) -> int:
    """Return the largest k for which every k-th step, k times as long, is as good.

    The error near isometry is :func:`amortised_error` of x = 8 rate k. Far from one a
    single long step errs more: at tolerance 0.01, singular values that start between
    0.1 and 1.5 stay within 0.01 of the flow at all times, those up to 2 within 0.04,
    and one of 8 overshoots by more than its deviation. ``isometry_every="auto"``
    therefore divides the step into pieces where singular values are large; then every
    start stays within 0.04 of its deviation at the start. Between two steps the task
    moves the weights without a pull; a steady deviation then swings by the share x.

    Args:
        isometry_strength: lambda, >= 0.
        isometry_lr: eta_iso, >= 0.
        tolerance: Largest error, as a share of the deviation at the start, > 0.

    Returns:
        k from 1 to 100; beyond 100 there is nothing left to save.

    Raises:
        ValueError: If one of them is negative or not finite, or the tolerance is 0.

    Example:
        >>> amortised_every(isometry_strength=1.25, isometry_lr=1e-4)
        53
    """
    check_at_least_zero(tolerance=tolerance)
    if tolerance == 0:
        raise ValueError(refusal("tolerance > 0", tolerance, "pass e.g. 0.01"))
    steps = relaxation_steps(isometry_strength, isometry_lr)
    every = int(max(1, min(LONGEST_PERIOD, 2 * math.e * tolerance * steps)))
    while every > 1 and (every >= steps or amortised_error(every / steps) > tolerance):
        every -= 1
    return every


def singular_value_flow(
    sigma: Tensor,  # (...)
    rate: float,
    steps: float | Tensor,
) -> Tensor:
    """Return where ``sigma' = -4 rate sigma (sigma^2 - 1)`` is after some steps.

    With u = sigma^2 the flow is logistic, hence
    ``sigma(t) = sigma / sqrt(sigma^2 + (1 - sigma^2) exp(-8 rate t))``. Zero stays
    zero; every other value goes to one.

    Args:
        sigma: Singular values at the start, ``(...)``, >= 0.
        rate: eta_iso * lambda per step, >= 0.
        steps: Time in optimiser steps, >= 0; a tensor broadcasts against ``sigma``.

    Returns:
        Broadcast shape of ``sigma`` and ``steps``.

    Raises:
        ValueError: If a value is negative or not finite.

    Source: ours, closed form of the gradient flow of Eq. 16.

    Example:
        >>> singular_value_flow(torch.tensor([0.0, 0.5, 2.0]), 1e-2, 1000).tolist()
        [0.0, 1.0, 1.0]
    """
    check_at_least_zero(rate=rate)
    time = torch.as_tensor(steps, dtype=sigma.dtype, device=sigma.device)
    for name, values in (("sigma", sigma), ("steps", time)):
        if not bool((torch.isfinite(values) & (values >= 0)).all()):
            raise ValueError(
                refusal(
                    f"finite {name} >= 0",
                    f"minimum {values.min().item():.3g}",
                    f"pass another {name}",
                )
            )
    square = sigma.square()
    remaining = torch.exp(-8 * rate * time)
    moved = sigma / torch.sqrt(square + (1 - square) * remaining)
    return torch.where(sigma > 0, moved, torch.zeros_like(moved))


def max_stable_rate(sigma_max: float, *, monotone: bool = False) -> float:
    """Return the largest rate of the explicit step for singular values up to a bound.

    Let a = 4 rate, so that one step is ``sigma -> |sigma (1 + a - a sigma^2)|``.

    * A value above one shrinks in the next step exactly if a (sigma^2 - 1) < 2;
      above that limit it grows without bound.
    * The fixed point 1 attracts its neighbours exactly if a < 1 (its multiplier is
      1 - 2 a). This is ``8 rate < 2``.

    Below both limits, ``rate < min(1/4, 1 / (2 (sigma_max^2 - 1)))``, every singular
    value in (0, sigma_max] stays bounded and all but a countable set of exceptions
    (those that hit zero exactly) converge to one, possibly by way of a change of sign,
    which is again an isometry. With ``monotone=True`` the bound is
    ``1 / (4 s (s + 1))``, s = max(1, sigma_max): then every singular value moves
    towards one in every step and never crosses it.

    At rate 1/8 the step is the Newton-Schulz iteration ``1.5 W - 0.5 W W^T W``.

    Args:
        sigma_max: Largest singular value, > 0.
        monotone: Ask for steps that never cross one.

    Returns:
        The limit of ``eta_iso * lambda * isometry_every``, dimensionless.

    Raises:
        ValueError: If ``sigma_max`` is not a finite positive number.

    Source: ours; the second limit by Singer's theorem on cubic maps of negative
        Schwarzian derivative.

    Example:
        >>> max_stable_rate(1.0), max_stable_rate(3.0)
        (0.25, 0.0625)
    """
    check_at_least_zero(sigma_max=sigma_max)
    if sigma_max == 0:
        raise ValueError(
            refusal("sigma_max > 0", sigma_max, "pass the largest singular value")
        )
    bound = max(1.0, float(sigma_max))
    if monotone:
        return 1 / (4 * bound * (bound + 1))
    return min(0.25, 1 / (2 * (bound**2 - 1))) if bound > 1 else 0.25
