"""Where the drift of a task and the pull to isometry balance, for small deviations.

A deviation x = sigma - 1 drifts and is pulled back, ``x' = v - 8 rate x``. The drift v
is constant within a task of c steps and independent, of mean zero and standard
deviation ``drift``, from task to task. One task is a constant drift; tasks of one step
are a random walk. Chapter 5 derives what is computed here.
"""

import math

import torch
from torch import Tensor

from isometry.adamo.flow import check_at_least_zero
from isometry.core.messages import refusal


def _stationary_deviation(drift: float, rate: float, task_steps: float) -> float:
    """Return the root mean square of sigma - 1 at the end of a task, after many tasks.

    ``drift / (8 rate) sqrt(tanh(4 rate c))``: drift / (8 rate) for tasks longer than
    the relaxation time 1 / (8 rate), ``drift sqrt(c / (16 rate))`` for shorter ones.
    The Gram deviation of d such values is about 2 sqrt(d) times as large.

    Example:
        >>> round(_stationary_deviation(1e-4, 1e-3, math.inf), 6)
        0.0125
    """
    check_at_least_zero(drift=drift, rate=rate)
    if rate == 0 or not task_steps > 0:
        found = f"rate {rate}, task_steps {task_steps}"
        raise ValueError(refusal("rate > 0 and task_steps > 0", found, "pass others"))
    return drift / (8 * rate) * math.sqrt(math.tanh(4 * rate * task_steps))


def kept_share(pull: Tensor, tasks: Tensor | float) -> Tensor:
    """Return the deviation after some tasks over that of the same drift without a pull.

    With q = p / N it is ``(1 - e^-q) / q sqrt((1 - e^-2p) / (N (1 - e^-2q)))``, from
    isometry at the start: one at p = 0, and about sqrt(N) / p for a strong pull.

    Args:
        pull: p = 8 rate T, ``(...)``, >= 0.
        tasks: N, >= 1; infinite is a random walk. A tensor broadcasts against ``pull``.

    Returns:
        Broadcast shape, float64, in (0, 1].

    Raises:
        ValueError: If a pull is negative or there is less than one task.

    Example:
        >>> kept_share(torch.tensor([0.0, 1.0, 10.0]), 1)
        tensor([1.0000, 0.6321, 0.1000], dtype=torch.float64)
    """
    p, count = torch.as_tensor(pull).double(), torch.as_tensor(tasks).double()
    if not bool((p >= 0).all()) or not bool((count >= 1).all()):
        needed = "pull >= 0 and at least one task"
        raise ValueError(
            refusal(needed, f"{p.min():g}, {count.min():g}", "see p = 8rT")
        )
    p, count = torch.broadcast_tensors(p.clamp(min=1e-9), count)
    walk = -torch.expm1(-2 * p) / (2 * p)
    q = p / count  # 0 for a random walk
    within = torch.where(q > 0, torch.tanh(q / 2) / (q / 2), torch.ones_like(q))
    return (walk * within).sqrt()
