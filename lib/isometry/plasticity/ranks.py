"""Ranks of features: four numbers that the literature calls by similar names."""

import torch
from torch import Tensor

from isometry.core.matrices import effective_rank, singular_values
from isometry.core.messages import refusal
from isometry.plasticity.units import check_activations


def _check_spectrum(values: Tensor) -> None:
    """Refuse what is not a non-empty spectrum of finite, non-negative numbers."""
    sound = values.ndim > 0 and values.shape[-1] > 0
    if not sound or not bool((torch.isfinite(values) & (values >= 0)).all()):
        raise ValueError(
            refusal(
                "finite, non-negative singular values of shape (..., k)",
                str(tuple(values.shape)),
                "pass what core.matrices.singular_values returns",
            )
        )


def stable_rank(singular_values: Tensor) -> Tensor:
    """Return ``||A||_F^2 / ||A||_2^2``, the sum of squares over the largest square.

    Args:
        singular_values: ``(..., k)``.

    Returns:
        ``(...)``, between 1 and k; 0 for a zero matrix.

    Raises:
        ValueError: If the values are empty, negative or not finite.

    Source: Rudelson & Vershynin 2007.

    Example:
        >>> stable_rank(torch.tensor([2.0, 1.0, 1.0])).item()
        1.5
    """
    _check_spectrum(singular_values)
    largest = singular_values.amax(-1, keepdim=True)
    mantissa = torch.frexp(largest).mantissa
    # A power of two near the largest value: no digit changes, and no square is too
    # large or too small to be told from its neighbours.
    scale = torch.where(largest > 0, largest / (2 * mantissa), torch.ones_like(largest))
    squares = (singular_values / scale).square()
    highest = squares.amax(-1)
    return squares.sum(-1) / torch.where(highest > 0, highest, 1)


def srank(singular_values: Tensor, delta: float = 0.01) -> Tensor:
    """Return the fewest singular values whose sum is ``1 - delta`` of the whole sum.

    Some code calls this the stable rank or the effective rank; it is neither.

    Args:
        singular_values: ``(..., k)``, any order.
        delta: The share that may be missed, between 0 and 1.

    Returns:
        ``(...)``, int64, between 1 and k; 0 for a zero matrix.

    Raises:
        ValueError: If the values or delta are out of range.

    Source: Kumar et al. 2021, "Implicit under-parameterization" (delta = 0.01).

    Example:
        >>> srank(torch.tensor([98.0, 1.5, 0.5])).item()
        2
    """
    _check_spectrum(singular_values)
    if not 0 < delta < 1:
        raise ValueError(refusal("0 < delta < 1", delta, "pass e.g. 0.01"))
    ordered = singular_values.double().sort(-1, descending=True).values
    total = ordered.sum(-1, keepdim=True)
    below = (ordered.cumsum(-1) < (1 - delta) * total).sum(-1) + 1
    return torch.where(total.squeeze(-1) > 0, below, torch.zeros_like(below))


def threshold_rank(singular_values: Tensor, relative: float = 0.01) -> Tensor:
    """Return how many singular values exceed ``relative`` times the largest one.

    Args:
        singular_values: ``(..., k)``.
        relative: The threshold, between 0 and 1.

    Returns:
        ``(...)``, int64.

    Raises:
        ValueError: If the values or the threshold are out of range.

    Source: the numerical rank; Lyle et al. 2022 use an absolute threshold instead.

    Example:
        >>> threshold_rank(torch.tensor([1.0, 0.5, 0.001])).item()
        2
    """
    _check_spectrum(singular_values)
    if not 0 <= relative < 1:
        raise ValueError(refusal("0 <= relative < 1", relative, "pass e.g. 0.01"))
    largest = singular_values.amax(-1, keepdim=True)
    return (singular_values > relative * largest).sum(-1)


def feature_effective_rank(activations: Tensor, centred: bool = True) -> Tensor:
    """Return the effective rank of a layer's features.

    Without centring, the mean activation of ReLU features dominates and the rank is
    that of one direction and its noise.

    Args:
        activations: ``(..., inputs, units)``.
        centred: Whether each unit's mean over the inputs is removed first.

    Returns:
        ``(...)``, between 0 (constant features) and min(inputs, units).

    Raises:
        ValueError: If the shape is another or a number is not finite.

    Source: Roy & Vetterli 2007 on the features' singular values.
    """
    check_activations(activations)
    if centred:
        activations = activations - activations.mean(-2, keepdim=True)
    return effective_rank(singular_values(activations))
