"""AdamO in the paper's symbols, one equation a line: what the fast form must equal."""

import torch
from torch import Tensor


def _isometry_residual(W: Tensor) -> Tensor:
    """Return ``r = grad_W R_iso(W)`` as Eq. 16 spells it, for one matrix.

    Source: arXiv 2606.09762, Eq. 16.
    """
    d_out, d_in = W.shape
    if d_out >= d_in:
        return 4 * W @ (W.T @ W - torch.eye(d_in, dtype=W.dtype))
    return 4 * (W @ W.T - torch.eye(d_out, dtype=W.dtype)) @ W


def adamo_step(
    theta: Tensor,  # (out, in)
    m: Tensor,  # (out, in)
    v: Tensor,  # (out, in)
    t: int,
    g: Tensor,  # (out, in)
    *,
    eta: float = 1e-3,
    eta_iso: float | None = None,
    lam: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weight and both moments after step ``t = 1, 2, ...``.

    Args:
        theta: The weight before the step.
        m: First moment before the step.
        v: Second moment before the step.
        t: Number of the step, from 1.
        g: Gradient of the task loss only.
        eta: Learning rate.
        eta_iso: Rate of the isometry step; None: eta.
        lam: Isometry strength.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        eps: Added to the denominator.
        weight_decay: Decoupled decay, as in AdamW; the paper uses none.

    Returns:
        ``(theta, m, v)`` after the step.

    Source: arXiv 2606.09762, Eq. 19 and 20; decay: Loshchilov & Hutter 2019.
    """
    eta_iso = eta if eta_iso is None else eta_iso
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    m_hat = m / (1 - beta_1**t)
    v_hat = v / (1 - beta_2**t)
    r = _isometry_residual(theta)
    task_step = eta * m_hat / (torch.sqrt(v_hat) + eps)
    theta = theta - task_step - eta_iso * lam * r - eta * weight_decay * theta
    return theta, m, v
