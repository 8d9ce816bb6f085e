"""Generalised advantage estimation, and what counts as the next state's value."""

import torch
from torch import Tensor

from isometry.core.messages import refusal


def next_values(
    values: Tensor,  # (..., steps + 1, games)
    terminated: Tensor,  # (..., steps, games), bool
    truncated: Tensor,  # (..., steps, games), bool
    final_values: Tensor | None = None,  # (..., steps, games)
) -> Tensor:
    """Return the value of what follows each step.

    It is zero after a game's own end. Where a game is cut at the limit of steps it is
    the value of its last observation, if that is given, and zero otherwise.

    Args:
        values: Of each observation, in units of return.
        terminated: The game's own end.
        truncated: The limit of steps.
        final_values: Values of last observations; read where ``truncated``.

    Returns:
        ``(..., steps, games)``.

    Source: Pardo et al., ICML 2018, for the difference between the two ends.
    """
    found = values[..., 1:, :].masked_fill(terminated | truncated, 0.0)
    if final_values is not None:
        found = torch.where(truncated, final_values, found)
    return found


def generalised_advantages(
    rewards: Tensor,  # (..., steps, games)
    values: Tensor,  # (..., steps, games)
    following: Tensor,  # (..., steps, games)
    ended: Tensor,  # (..., steps, games), bool
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Return the advantage estimate of every step, ``(..., steps, games)``.

    ``A_t = delta_t + gamma lambda A_(t+1)`` with ``delta_t = r_t + gamma V_(t+1) -
    V_t``, where A is zero beyond an episode's end and beyond the last step.

    Args:
        rewards: Of each step.
        values: Of the observation before each step.
        following: Of what follows it, see :func:`next_values`.
        ended: Whether the step was an episode's last.
        discount: gamma, in [0, 1].
        gae_lambda: lambda, in [0, 1].

    Raises:
        ValueError: If the shapes differ.

    Source: Schulman et al., ICLR 2016, Eq. 16.

    Example:
        >>> ones = torch.ones(3, 1)
        >>> ended = torch.tensor([[False], [True], [False]])
        >>> found = generalised_advantages(ones, 0 * ones, 0 * ones, ended, 0.5, 1.0)
        >>> found.flatten().tolist()
        [1.5, 1.0, 1.0]
    """
    for other in (values, following, ended):
        if other.shape != rewards.shape:
            needed = f"one number a reward, shape {tuple(rewards.shape)}"
            do = "leave out the last value"
            raise ValueError(refusal(needed, str(tuple(other.shape)), do))
    found = rewards + discount * following - values
    goes_on = discount * gae_lambda * ended.logical_not()
    running = torch.zeros_like(found[..., 0, :])
    for step in range(found.shape[-2] - 1, -1, -1):
        running = found[..., step, :].addcmul_(goes_on[..., step, :], running)
    return found
