"""Dormant, dead, duplicate and cloned units of a layer."""

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


# --- units that say the same --------------------------------------------------------

LEAST_TOLERANCE = 1e-6  # of a sine: below it, rounding decides
CHUNK_ENTRIES = 2**22  # of all pairs of units that are looked at at a time


def _rows_at_a_time(units: int) -> int:
    """Return how many units are compared with all others at a time."""
    return max(1, CHUNK_ENTRIES // units)


def _repeated_fraction(same: Tensor) -> Tensor:
    """Return which share is not the first of its group; ``same`` is symmetric.

    A group is all units that lead to each other over pairs that are the same.
    """
    units = same.shape[-1]
    own = torch.arange(units, device=same.device).expand(same.shape[:-1])
    same = same | torch.eye(units, dtype=torch.bool, device=same.device)
    group, before = own, own + 1
    while not torch.equal(group, before):  # the lowest number spreads over each group
        before = group
        lowest = [
            torch.where(part, group.unsqueeze(-2), units).amin(-1)
            for part in same.split(_rows_at_a_time(units), dim=-2)
        ]
        group = torch.cat(lowest, dim=-1)
    return (group != own).double().mean(-1)


def duplicate_fraction(activations: Tensor, tolerance: float = 0.1) -> Tensor:
    """Return the fraction of units whose activations only repeat another unit's.

    Two units are duplicates if their activations over the inputs are multiples of each
    other, of either sign, up to an angle; of a group of duplicates all but one count.
    Silent units have no direction and are no duplicates: :func:`dead_fraction` counts
    them. Duplicates say the same now. That they must go on doing so is another matter,
    see :func:`cloned_fraction`.

    Args:
        activations: ``(..., inputs, units)``, after the activation function.
        tolerance: Largest sine of the angle between two duplicates, between 1e-6 and 1.

    Returns:
        ``(...)``, from 0 to below 1.

    Raises:
        ValueError: If the activations or the tolerance are out of range.

    Source: after the cloned units of Joudaki et al. 2026; definition and tolerance
        ours.

    Example:
        >>> duplicate_fraction(torch.tensor([[1.0, 2.0, 0.0], [3.0, 6.0, 1.0]])).item()
        0.33...
    """
    check_activations(activations)
    if not LEAST_TOLERANCE <= tolerance < 1:
        needed = f"{LEAST_TOLERANCE:g} <= tolerance < 1"
        raise ValueError(refusal(needed, tolerance, "pass e.g. 0.1"))
    columns = activations.double()
    largest = columns.abs().amax(-2, keepdim=True)
    columns = columns / largest.where(largest > 0, 1.0)  # no square is lost
    length = columns.norm(dim=-2, keepdim=True)
    columns = columns / length.where(length > 0, 1.0)
    least = 1 - tolerance**2
    parts = columns.mT.split(_rows_at_a_time(columns.shape[-1]), dim=-2)
    same = [(part @ columns).square() >= least for part in parts]
    return _repeated_fraction(torch.cat(same, dim=-2))


def cloned_fraction(
    incoming: Tensor,  # (..., units, in)
    outgoing: Tensor,  # (..., out, units)
    tolerance: float = 0.0,
) -> Tensor:
    """Return the fraction of units that are clones of another: all but one of a group.

    Two units are clones if all that leads into them is equal, and all that leads out of
    them. Then their gradients are equal whatever the task is, so gradient descent, Adam
    and every optimiser that treats equal entries with equal gradients and equal state
    equally never tell them apart again. Equal activations alone do not do that: the
    columns may differ, and with them the gradients of the rows.

    Args:
        incoming: The rows that lead into the units, biases and all other parameters of
            the unit appended; a kernel ``(units, in, k, k)`` flattened.
        outgoing: The columns that lead out of them, of all maps that read the units.
        tolerance: How far two units may differ, in rows and in columns each, relative
            to the longest row and the longest column; 0: equal to the last bit.

    Returns:
        ``(...)``, from 0 to below 1.

    Raises:
        ValueError: If the shapes do not fit, a number is not finite, or the tolerance
            is out of range.

    Source: the symmetric case of the manifolds of cloned units in Joudaki et al. 2026.

    Example:
        >>> rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]])
        >>> cloned_fraction(rows, torch.tensor([[3.0, 3.0, 3.0]])).item()
        0.33...
    """
    if not 0 <= tolerance < 1:
        raise ValueError(refusal("0 <= tolerance < 1", tolerance, "pass e.g. 0.01"))
    sides = incoming, outgoing.mT if outgoing.ndim > 1 else outgoing
    flat = min(side.ndim for side in sides) < 2
    if flat or sides[0].shape[:-1] != sides[1].shape[:-1]:
        found = f"{tuple(incoming.shape)} and {tuple(outgoing.shape)}"
        needed = "incoming (..., units, in) and outgoing (..., out, units)"
        raise ValueError(refusal(needed, found, "pass both of the same units"))
    same = torch.ones((), dtype=torch.bool, device=incoming.device)
    for side in sides:
        check_activations(side)
        rows = side.double()
        exact = "donot_use_mm_for_euclid_dist"  # equal rows are at no distance
        apart = torch.cdist(rows, rows, compute_mode=exact)
        longest = rows.norm(dim=-1).amax(-1)[..., None, None]
        same = same & (apart <= tolerance * longest)
    return _repeated_fraction(same)
