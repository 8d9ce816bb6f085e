"""Gradient descent on deep linear networks, in closed form and over stacks.

The loss is ``1/2 ||X P^T - Y||_F^2`` with ``P = W_L ... W_1`` throughout, a sum and not
a mean, so that the outputs move by ``-K (f - y)`` with the kernel of this package.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.linear.chains import (
    check_chain,
    end_to_end,
    unchecked_prefixes,
    unchecked_suffixes,
)


def half_squared_error(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
    targets: Tensor,  # (..., n, d_L)
) -> Tensor:
    """Return ``1/2 ||X P^T - Y||_F^2``.

    Args:
        weights: A chain.
        inputs: ``(n, d_0)``.
        targets: ``(..., n, d_L)``.

    Returns:
        ``(...)``, squared units of the targets.

    Source: definition.

    Example:
        >>> half_squared_error([torch.eye(2)], torch.eye(2), torch.zeros(2, 2)).item()
        1.0
    """
    error = inputs @ end_to_end(weights).mT - targets
    return error.square().sum((-2, -1)) / 2


def loss_gradients(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
    targets: Tensor,  # (..., n, d_L)
) -> list[Tensor]:
    """Return the gradient of :func:`half_squared_error` for every weight, closed form.

    Args:
        weights: A chain of L weights.
        inputs: ``(n, d_0)``.
        targets: ``(..., n, d_L)``.

    Returns:
        L gradients in the weights' shapes: ``S_l^T (X P^T - Y)^T X P_{l-1}^T``.

    Source: chain rule.

    Example:
        >>> loss_gradients([torch.eye(1)] * 2, torch.eye(1), torch.zeros(1, 1))
        [tensor([[1.]]), tensor([[1.]])]
    """
    check_chain(weights)
    return descent(weights, inputs, targets)[1]


def descent(
    weights: Sequence[Tensor], inputs: Tensor, targets: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Return loss and gradients for weights that were checked before.

    Source: chain rule, ours.
    """
    before, after = unchecked_prefixes(weights), unchecked_suffixes(weights)
    error = inputs @ (weights[-1] @ before[-1]).mT - targets
    on_product = error.mT @ inputs
    gradients = [s.mT @ on_product @ p.mT for s, p in zip(after, before, strict=True)]
    return error.square().sum((-2, -1)) / 2, gradients


def gradient_descent(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
    targets: Tensor,  # (..., n, d_L)
    lr: Tensor | float,  # (...)
    steps: int,
) -> tuple[list[Tensor], Tensor]:
    """Take plain gradient steps on a stack of networks and record the loss.

    The loss of a member that diverged is infinite from there on; the others go on.

    Args:
        weights: A chain of L weights ``(..., d_l, d_{l-1})``; not changed.
        inputs: ``(n, d_0)``.
        targets: ``(..., n, d_L)``.
        lr: Step size, one for all or one per member.
        steps: How many steps, 0 or more.

    Returns:
        The weights after the last step, and the losses ``(steps + 1, ...)``.

    Raises:
        ValueError: If the weights are no chain or ``steps`` is negative.

    Source: definition.

    Example:
        >>> one = torch.ones(1, 1)
        >>> gradient_descent([one, one], one, 0 * one, 0.5, 1)[1].tolist()
        [0.5, 0.03125]
    """
    check_chain(weights)
    if steps < 0:
        raise ValueError(refusal("steps >= 0", steps, "pass a number of steps"))
    rate = torch.as_tensor(lr, dtype=weights[0].dtype)[..., None, None]
    weights = [weight.detach().clone() for weight in weights]
    losses = []
    for _ in range(steps):
        loss, gradients = descent(weights, inputs, targets)
        losses.append(loss)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= rate * gradient
    losses.append(descent(weights, inputs, targets)[0])
    return weights, torch.nan_to_num(torch.stack(losses), nan=torch.inf)


def learning_time(
    losses: Tensor,  # (steps + 1, ...)
    fraction: float = 0.01,
) -> Tensor:
    """Return after how many steps the loss is at most a fraction of what it was.

    Args:
        losses: ``(steps + 1, ...)``, the achievable loss being zero.
        fraction: Between 0 and 1.

    Returns:
        ``(...)``, steps; infinite where the fraction is not reached.

    Raises:
        ValueError: If the fraction is not between 0 and 1.

    Source: ours; the budget that reaches a plasticity of ``1 - fraction``.

    Example:
        >>> learning_time(torch.tensor([4.0, 2.0, 0.5]), 0.5).item()
        1.0
    """
    if not 0 < fraction < 1:
        raise ValueError(refusal("0 < fraction < 1", fraction, "pass e.g. 0.01"))
    reached = losses <= fraction * losses[0]
    first = reached.int().argmax(0).to(losses.dtype)
    return torch.where(reached.any(0), first, torch.inf)
