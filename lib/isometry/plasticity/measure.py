"""The measure of plasticity: the share of the removable loss that a budget removes."""

import torch
from torch import Tensor

from isometry.core.messages import refusal

Loss = Tensor | float


def removed_fraction(
    initial_loss: Loss,  # (...)
    final_loss: Loss,  # (...)
    achievable_loss: Loss,  # (...)
) -> Tensor:
    """Return the fraction of the excess achievable loss removed, task by task.

    ``(initial - final) / (initial - achievable)``: 1 when the best achievable loss is
    reached, 0 when nothing was learned, negative when training made it worse. Above 1
    means that ``achievable_loss`` was an estimate and training beat it. A final loss
    that is not finite (training diverged) counts as 0: nothing was removed.

    Args:
        initial_loss: Loss at the start of the task, in the loss's unit.
        final_loss: Loss after the budget is spent.
        achievable_loss: The best achievable loss of the task, or a lower bound of it.

    Returns:
        ``(...)``, float64, dimensionless, at most 1 if the bound is true.

    Raises:
        ValueError: If a task starts at or below its achievable loss, or a loss is NaN
            or infinite where that has no meaning.

    Source: arXiv 2606.09762, Sec. 2; symbols ours.

    Example:
        >>> removed_fraction(2.0, 0.5, 0.0).item()
        0.75
    """
    start, end, best = (
        torch.as_tensor(x, dtype=torch.float64)
        for x in (initial_loss, final_loss, achievable_loss)
    )
    if not bool(torch.isfinite(best).all()):
        raise ValueError(
            refusal("a finite achievable_loss", str(best.tolist()), "estimate it again")
        )
    # A network that diverged in an earlier task starts this one without a finite loss.
    started = torch.isfinite(start)
    excess = torch.where(started, start - best, torch.ones_like(start))
    if bool((excess <= 0).any()):
        raise ValueError(
            refusal(
                "initial_loss > achievable_loss in every task",
                f"smallest excess {excess.min().item():.3g}",
                "leave such tasks out: there is nothing to remove",
            )
        )
    removed = torch.where(started & torch.isfinite(end), start - end, 0.0 * excess)
    return removed / excess


def plasticity(
    initial_loss: Loss,  # (..., tasks)
    final_loss: Loss,  # (..., tasks)
    achievable_loss: Loss,  # (..., tasks) or a number
) -> Tensor:
    """Return plasticity: the mean over tasks of the fraction of excess loss removed.

    Args:
        initial_loss: Loss at the start of each task.
        final_loss: Loss after the budget, the same budget for every task.
        achievable_loss: The best achievable loss of each task.

    Returns:
        ``(...)``, float64, dimensionless.

    Raises:
        ValueError: As :func:`removed_fraction`, or if there is no task.

    Source: arXiv 2606.09762, Sec. 2: the expectation over tasks is taken as a mean.

    Example:
        >>> plasticity(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 0.0]), 0.0).item()
        0.75
    """
    fractions = removed_fraction(initial_loss, final_loss, achievable_loss)
    if fractions.ndim == 0:
        return fractions
    if fractions.shape[-1] == 0:
        raise ValueError(refusal("at least one task", 0, "pass (..., tasks)"))
    return fractions.mean(-1)
