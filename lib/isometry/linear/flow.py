"""Gradient flow of deep linear networks: all layers, the product alone, one mode.

Time is in units of the learning rate: t = steps times lr as lr goes to zero.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from isometry.core.extras import extra
from isometry.core.messages import refusal
from isometry.linear.chains import check_chain, end_to_end
from isometry.linear.descent import descent

with extra("bench"):
    import numpy as np
    from numpy.typing import ArrayLike
    from scipy.integrate import solve_ivp

# Integration tolerances: errors stay far below what the comparisons resolve (1e-6).
RELATIVE, ABSOLUTE = 1e-10, 1e-12


def gradient_flow(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
    targets: Tensor,  # (n, d_L)
    times: Sequence[float],
) -> Tensor:
    """Integrate ``dW_l/dt = -dLoss/dW_l`` over all layers and return the products.

    Args:
        weights: A chain of L weights without stack dimensions, float64.
        inputs: ``(n, d_0)``.
        targets: ``(n, d_L)``.
        times: When to look, ascending, the first at 0 or later; learning-rate units.

    Returns:
        ``(len(times), d_L, d_0)``, the end-to-end matrix at every time.

    Raises:
        ValueError: If the times do not ascend from 0, or the integration fails.

    Source: Saxe, McClelland & Ganguli, ICLR 2014.

    Example:
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> flow = gradient_flow([one, one], one, 2 * one, [0.0, 9.0])
        >>> [round(value, 6) for value in flow.flatten().tolist()]
        [1.0, 2.0]
    """
    check_chain(weights)
    shapes = [weight.shape for weight in weights]
    sizes = [weight.numel() for weight in weights]

    def chain(flat: np.ndarray) -> list[Tensor]:
        parts = torch.from_numpy(flat).to(weights[0]).split(sizes)
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def velocity(_: float, flat: np.ndarray) -> np.ndarray:
        gradients = descent(chain(flat), inputs, targets)[1]
        return -torch.cat([gradient.flatten() for gradient in gradients]).numpy()

    start = torch.cat([weight.detach().flatten() for weight in weights]).numpy()
    return torch.stack(
        [end_to_end(chain(flat)) for flat in _solve(velocity, start, times)]
    )


def end_to_end_flow(
    start: Tensor,  # (d_L, d_0)
    depth: int,
    inputs: Tensor,  # (n, d_0)
    targets: Tensor,  # (n, d_L)
    times: Sequence[float],
) -> Tensor:
    """Integrate the flow of the product alone, which balanced layers obey exactly.

    Layers are balanced if ``W_{l+1}^T W_{l+1} = W_l W_l^T``; orthogonal ones are, and
    the flow keeps them so. With ``P = U diag(s) V^T`` the flow of the product is
    ``dP/dt = -U (c * (U^T G V)) V^T``, where G is the gradient with respect to P and
    ``c_ij = sum_l s_i^(2 (l-1) / L) s_j^(2 (L-l) / L)`` are the kernel's eigenvalues
    on whitened inputs: depth speeds up the modes that are large already.

    Args:
        start: The product at time 0, square and invertible, float64.
        depth: Number of layers L, at least 1.
        inputs: ``(n, d_0)``.
        targets: ``(n, d_L)``.
        times: When to look, ascending from 0.

    Returns:
        ``(len(times), d_L, d_0)``.

    Raises:
        ValueError: If the depth is below 1, the start is not square, the times do not
            ascend, or the integration fails.

    Source: Arora, Cohen & Hazan, ICML 2018, Theorem 1; the form in singular vectors
    as in Arora, Cohen, Hu & Luo, NeurIPS 2019.

    Example:
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> end_to_end_flow(one, 2, one, 2 * one, [9.0]).round(decimals=6).item()
        2.0
    """
    _check_depth(depth)
    if start.ndim != 2 or start.shape[0] != start.shape[1]:
        raise ValueError(
            refusal("a square start", str(tuple(start.shape)), "pass (d, d)")
        )
    powers = torch.arange(depth, dtype=start.dtype) / depth

    def velocity(_: float, flat: np.ndarray) -> np.ndarray:
        product = torch.from_numpy(flat).view(start.shape)
        left, values, right = torch.linalg.svd(product)
        gradient = (inputs @ product.mT - targets).mT @ inputs
        forward = values[:, None] ** (2 * powers)
        speeds = forward @ forward.flip(-1).mT
        modes = speeds * (left.mT @ gradient @ right.mT)
        return -(left @ modes @ right).flatten().numpy()

    flat = _solve(velocity, start.detach().flatten().numpy(), times)
    return torch.from_numpy(np.asarray(flat)).view(-1, *start.shape)


def mode_flow(start: float, target: float, depth: int, times: ArrayLike) -> np.ndarray:
    """Return how one singular value of a balanced network approaches its target.

    On whitened inputs, modes that are aligned with the task do not mix, and each obeys
    ``da/dt = L a^(2 - 2/L) (target - a)``. One and two layers have closed forms:
    ``target + (a_0 - target) e^(-t)`` and the sigmoid
    ``target e^u / (e^u - 1 + target / a_0)`` with ``u = 2 target t``.

    Args:
        start: a_0 > 0.
        target: The singular value to learn, above 0.
        depth: Number of layers L, at least 1.
        times: When to look, ascending, from 0; learning-rate units.

    Returns:
        One value per time.

    Raises:
        ValueError: If start or target are not positive, the depth is below 1, or the
            times do not ascend from 0.

    Source: Saxe, McClelland & Ganguli, ICLR 2014.

    Example:
        >>> mode_flow(1.0, 2.0, 2, [0.0, 9.0]).round(6).tolist()
        [1.0, 2.0]
    """
    _check_depth(depth)
    if not (start > 0 and target > 0):
        do = "take the sign into the singular vectors"
        raise ValueError(refusal("start > 0 and target > 0", (start, target), do))
    moments = _check_times(times)
    if depth == 1:
        return target + (start - target) * np.exp(-moments)
    if depth == 2:
        # Divided by e^u, so that late times do not overflow.
        decay = np.exp(-2 * target * moments)
        return target / (1 - decay + decay * target / start)

    def velocity(_: float, a: np.ndarray) -> np.ndarray:
        return depth * a ** (2 - 2 / depth) * (target - a)

    return np.concatenate(_solve(velocity, np.array([start]), moments))


def _check_depth(depth: int) -> None:
    if depth < 1:
        raise ValueError(refusal("depth >= 1", depth, "count the layers"))


def _check_times(times: ArrayLike) -> np.ndarray:
    moments = np.asarray(times, dtype=float)
    ascending = moments.ndim == 1 and moments.size and (np.diff(moments) > 0).all()
    if not ascending or not moments[0] >= 0:
        raise ValueError(
            refusal("times that ascend from 0 or later", times, "sort them")
        )
    return moments


def _solve(
    velocity: Callable[[float, np.ndarray], np.ndarray],
    start: np.ndarray,
    times: ArrayLike,
) -> list[np.ndarray]:
    """Return the state at every time, by an explicit Runge-Kutta method of order 8."""
    moments = _check_times(times)
    solution = solve_ivp(
        velocity,
        (0.0, moments[-1] or 1.0),
        start,
        method="DOP853",
        t_eval=moments,
        rtol=RELATIVE,
        atol=ABSOLUTE,
    )
    if not solution.success:
        raise ValueError(
            refusal("a flow that can be integrated", solution.message, "end it earlier")
        )
    return list(solution.y.T)
