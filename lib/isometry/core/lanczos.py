"""Lanczos' recurrence: a symmetric matrix that is known by its products alone."""

from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]  # a symmetric matrix times a vector (d,)


def lanczos(
    product: Product,
    start: Tensor,  # (d,)
    steps: int,
) -> tuple[Tensor, Tensor, float]:
    """Return Lanczos' nodes and weights of a symmetric matrix, seen from a start.

    Every new vector is made orthogonal to all before it, twice, so that no eigenvalue
    comes twice by rounding. Where the vectors run out, so do the nodes.

    Args:
        product: The matrix times a vector.
        start: Not zero; d vectors span everything.
        steps: Products at most, >= 1.

    Returns:
        Nodes and weights ``(k,)`` with k <= steps, float64, on the CPU: for a function
        f, ``sum_i weights_i f(nodes_i)`` is ``v^T f(A) v`` with the unit vector v along
        the start; exactly for polynomials of degree below ``2 k``. And the length of
        what is left for a next vector; 0 where there is none, and all is exact.

    Source: Lanczos 1950; Golub & Welsch 1969.

    Example:
        >>> nodes, weights, left = lanczos(lambda v: 2 * v, torch.eye(3)[0], 3)
        >>> nodes.tolist(), weights.tolist(), left
        ([2.0], [1.0], 0.0)
    """
    steps = min(steps, len(start))
    basis = start.new_empty(steps, len(start))
    basis[0] = start / start.norm()
    diagonal: list[float] = []
    beside: list[float] = []
    rounding = 10 * torch.finfo(start.dtype).eps * len(start) ** 0.5
    for step in range(1, steps + 1):
        before = basis[:step]
        new = product(before[-1])
        diagonal.append(float(before[-1] @ new))
        for _ in range(2):
            new = new - before.T @ (before @ new)
        length = float(new.norm())
        if length <= rounding * max(map(abs, diagonal + beside)):
            length = 0.0
        if step == steps or not length:
            break
        beside.append(length)
        basis[step] = new / length
    off = torch.tensor(beside, dtype=torch.float64)
    matrix = torch.tensor(diagonal, dtype=torch.float64).diag()
    matrix = matrix + off.diag(1) + off.diag(-1)
    nodes, vectors = torch.linalg.eigh(matrix)
    return nodes, vectors[0].square(), length


def mass_beyond(nodes: Tensor, weights: Tensor, eps: float) -> tuple[float, float]:
    """Return the weight of the nodes outside ``[-eps, eps]``, and how wrong it may be.

    Args:
        nodes: ``(k,)`` of :func:`lanczos`, ascending.
        weights: ``(k,)``, theirs.
        eps: The threshold, >= 0.

    Returns:
        The mass that the quadrature puts outside, and a bound on its distance from that
        of the matrix: the weights of the nodes next to the thresholds.

    Source: the inequalities of Chebyshev, Markov and Stieltjes, see Szego 1939, Sec.
        3.41.

    Example:
        >>> nodes, weights = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([2, 1, 1]) / 4
        >>> mass_beyond(nodes, weights, 1.5)
        (0.25, 0.75)
    """
    first = int((nodes < -eps).sum())
    last = int((nodes <= eps).sum())  # of those inside, and one
    outside = weights[max(0, first - 1) : first].sum() + weights[last : last + 1].sum()
    inside = weights[first:last]
    nearest = inside[:1].sum() + inside[1:][-1:].sum()
    mass = weights[:first].sum() + weights[last:].sum()
    return float(mass), float(max(outside, nearest))
