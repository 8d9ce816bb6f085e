"""When a group of parameters is pulled, and how far: what optimisers share."""

from typing import Any

import torch
from torch import Tensor

from isometry.adamo.flow import amortised_every
from isometry.adamo.step import has_matrix

# Keys of a group: four settings, and two counters that belong to its state.
ISOMETRY_KEYS = (
    "isometry_strength",
    "isometry_lr",
    "isometry_every",
    "isometry_dims",
    "isometry_count",
    "isometry_due",
)


def isometry_defaults(
    isometry_strength: float,
    isometry_lr: float | Tensor | None,
    isometry_every: int | str,
) -> dict[str, Any]:
    """Return what a group has under :data:`ISOMETRY_KEYS` unless it says otherwise.

    Args:
        isometry_strength: lambda.
        isometry_lr: eta_iso, or None to follow lr.
        isometry_every: k, or ``"auto"``.
    """
    values = (isometry_strength, isometry_lr, isometry_every, 0, 0, 0.0)
    return dict(zip(ISOMETRY_KEYS, values, strict=True))


def pieces_of(group: dict[str, Any], period: int) -> int:
    """Return into how many pieces at most a step that is due may be divided.

    With ``"auto"`` as many as steps have gone by: then the work never exceeds that of
    a step every time, and weights far from isometry come as near to its result. A whole
    number is one long step, as asked for.

    Args:
        group: A complete group.
        period: From :func:`rate_due`.
    """
    return period if group["isometry_every"] == "auto" else 1


def rate_due(group: dict[str, Any], *, in_graph: bool) -> tuple[float | Tensor, int]:
    """Count one step and return the rate that is due now, and the period.

    Args:
        group: A complete group; its counters are advanced, unless in a graph.
        in_graph: Whether Python's branches are being frozen: then the rate of a k-th
            step is returned every time, and the caller decides on the device.

    Returns:
        ``(rate, k)``; the rate is 0.0 where no step is due.

    Source: ours. With ``"auto"`` the rates of the steps between are added up, so that
        a schedule is followed exactly. In a graph, where waiting saves no work, it is a
        step every time.
    """
    chosen = group["isometry_lr"]
    lr = group["lr"] if chosen is None else chosen
    strength, every = group["isometry_strength"], group["isometry_every"]
    if every == "auto":
        if in_graph:
            return lr * strength, 1
        period = amortised_every(strength, float(lr))
        group["isometry_count"] += 1
        group["isometry_due"] += lr * strength
        if group["isometry_count"] < period:
            return 0.0, period
        due = group["isometry_due"]
        group["isometry_count"], group["isometry_due"] = 0, 0.0
        return due, period
    if every > 1 and not in_graph:
        group["isometry_count"] += 1
        if group["isometry_count"] % every:
            return 0.0, every
    return lr * strength * every, every


def pulled(group: dict[str, Any]) -> list[Tensor]:
    """Return the weights of a group that this step concerns.

    Those are the matrices that have a gradient which is not sparse: a parameter that
    the optimiser leaves alone is left alone.

    Args:
        group: A complete group.
    """
    return [
        weight
        for weight in group["params"]
        if weight.grad is not None
        and not weight.grad.is_sparse
        and has_matrix(weight, group["isometry_dims"])
    ]


def in_graph(group: dict[str, Any]) -> bool:
    """Return whether Python's branches are being frozen into a graph.

    Args:
        group: Says whether it may be captured.
    """
    if torch.compiler.is_compiling():
        return True
    if not group.get("capturable", False) or not torch.cuda.is_available():
        return False
    return torch.cuda.is_current_stream_capturing()
