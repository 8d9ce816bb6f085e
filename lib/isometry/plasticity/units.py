"""Dormant and dead units of a layer, from its activations."""

import torch
from torch import Tensor

from isometry.core.messages import refusal


def check_activations(activations: Tensor) -> None:
    """Refuse activations that are not finite numbers of shape (..., inputs, units).

    Args:
        activations: What to look at.

    Raises:
        ValueError: If the shape is another or a number is not finite.
    """
    if activations.ndim < 2 or 0 in activations.shape:
        raise ValueError(
            refusal(
                "activations of shape (..., inputs, units)",
                str(tuple(activations.shape)),
                "flatten a convolution's places into the inputs",
            )
        )
    if not bool(torch.isfinite(activations).all()):
        raise ValueError(
            refusal("finite activations", "NaN or infinity", "look for divergence")
        )


def relative_activity(activity: Tensor) -> Tensor:
    """Return each unit's activity over the layer's mean of it: the dormancy score.

    Args:
        activity: Mean or sum of absolute activations, ``(..., units)``.

    Returns:
        ``(..., units)``, dimensionless, mean 1 over the units; all zero for a layer
        that is silent altogether, NaN for one with a NaN in it.

    Source: Sokar et al. 2023, Definition 3.1.
    """
    mean = activity.mean(-1, keepdim=True)
    return activity / mean.where(mean != 0, 1.0)


def dormancy_scores(activations: Tensor) -> Tensor:
    """Return each unit's mean absolute activation over the layer's mean of it.

    Args:
        activations: ``(..., inputs, units)``, after the activation function.

    Returns:
        ``(..., units)``, dimensionless, mean 1 over the units; all zero for a layer
        that is silent altogether.

    Raises:
        ValueError: If the shape is another or a number is not finite.

    Source: Sokar et al. 2023, Definition 3.1.
    """
    check_activations(activations)
    return relative_activity(activations.abs().mean(-2))


def dormant_fraction(activations: Tensor, threshold: float = 0.1) -> Tensor:
    """Return the fraction of units whose dormancy score is at most ``threshold``.

    Args:
        activations: ``(..., inputs, units)``, after the activation function.
        threshold: tau, >= 0; Sokar et al. use 0.1 and 0.025, and 0 for silent units.

    Returns:
        ``(...)``, between 0 and 1.

    Raises:
        ValueError: If the activations or the threshold are out of range.

    Source: Sokar et al. 2023, Definition 3.2.

    Example:
        >>> dormant_fraction(torch.tensor([[1.0, 0.0], [1.0, 0.0]])).item()
        0.5
    """
    if not threshold >= 0:
        raise ValueError(refusal("threshold >= 0", threshold, "pass e.g. 0.1"))
    return (dormancy_scores(activations) <= threshold).double().mean(-1)


def dead_fraction(activations: Tensor) -> Tensor:
    """Return the fraction of units that are zero on every input.

    Args:
        activations: ``(..., inputs, units)``, after a ReLU.

    Returns:
        ``(...)``, between 0 and 1.

    Raises:
        ValueError: If the shape is another or a number is not finite.

    Source: the strict form of dormancy, threshold 0; Lu et al. 2020.

    Example:
        >>> dead_fraction(torch.tensor([[1.0, 0.0], [0.5, 0.0]])).item()
        0.5
    """
    check_activations(activations)
    return (activations == 0).all(-2).double().mean(-1)
