"""Chains that separate what is easily confused: the product, the layers, the kernel."""

import torch
from torch import Tensor

from isometry.core.messages import refusal

# Squared diagonals of isotropic chains whose product is a scaled isometry.
ISOTROPIC_SQUARES: dict[int, list[list[float]]] = {
    4: [[2, 1], [1, 2], [1, 2], [2, 1]],
    5: [[6, 4], [8, 6], [3, 12], [8, 6], [6, 4]],
    6: [[4, 2], [2, 4], [4, 2], [2, 4], [1, 2], [2, 1]],
    7: [[2, 4], [3, 2], [8, 3], [3, 12], [8, 3], [3, 2], [2, 4]],
}


def hidden_anisotropy(
    rotation: Tensor,  # (d, d), orthogonal
    condition: float,
) -> list[Tensor]:
    """Return two layers whose product is ``rotation`` while neither is an isometry.

    ``W_1 = A`` and ``W_2 = Q A^{-1}`` with A diagonal, its entries spaced evenly in
    logarithm from ``condition^(-1/2)`` to ``condition^(1/2)``. On whitened inputs the
    kernel's eigenvalues are ``a_i^2 + a_j^{-2}``, so that its condition number is
    ``condition^2`` although the network is an exact isometry.

    Args:
        rotation: The orthogonal end-to-end matrix Q.
        condition: The condition number of A, at least 1.

    Returns:
        ``[W_1, W_2]``.

    Raises:
        ValueError: If the rotation is not square or the condition below 1.

    Source: ours, for the claim of arXiv 2606.09762, Sec. 2.

    Example:
        >>> first, second = hidden_anisotropy(torch.eye(2), 4.0)
        >>> first.diagonal().tolist(), (second @ first).tolist()
        ([0.5, 2.0], [[1.0, 0.0], [0.0, 1.0]])
    """
    if rotation.ndim != 2 or rotation.shape[0] != rotation.shape[1]:
        raise ValueError(
            refusal("a square rotation", str(tuple(rotation.shape)), "pass (d, d)")
        )
    if not condition >= 1:
        raise ValueError(refusal("condition >= 1", condition, "pass e.g. 4.0"))
    exponents = torch.linspace(-0.5, 0.5, len(rotation), dtype=rotation.dtype)
    scales = condition ** exponents.to(rotation.device)
    return [torch.diag(scales), rotation / scales]


def isotropic_without_isometry(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return four 2x2 layers, none an isometry, whose kernel is isotropic all the same.

    Their squared singular values are (2, 1), (1/2, 2), (2, 7/2) and (5, 2). For every
    pair of an input direction i and an output direction a, the four layer terms add up
    to 32, so the kernel's matrix is ``32 (X X^T kron I)`` for all inputs. The product
    of the layers, diag(sqrt 10, sqrt 14), is no isometry either. No such chain of two
    or three square layers exists; chapter 3 has the proof.

    Args:
        dtype: Type of the weights.

    Returns:
        ``[W_1, W_2, W_3, W_4]``.

    Source: ours, found by solving the four equations over small rational numbers.

    Example:
        >>> from isometry.linear import kernel_eigenvalues
        >>> inputs = torch.eye(2, dtype=torch.float64)
        >>> values = kernel_eigenvalues(isotropic_without_isometry(), inputs)
        >>> [round(value, 9) for value in values.tolist()]
        [32.0, 32.0, 32.0, 32.0]
    """
    squares = [[2.0, 1.0], [0.5, 2.0], [2.0, 3.5], [5.0, 2.0]]
    return [torch.diag(torch.tensor(row, dtype=dtype).sqrt()) for row in squares]


def isotropic_chain(depth: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return 2x2 layers, none a scaled isometry, whose kernel is isotropic.

    There is such a chain for every depth from four on. Those of four to seven layers
    are written down by their squared entries; the product of each is a scaled isometry,
    so that chains set one behind the other are isotropic again: chapter 3.

    Args:
        depth: Number of layers, >= 4.
        dtype: Type of the weights.

    Returns:
        ``[W_1, ..., W_depth]``, diagonal.

    Raises:
        ValueError: If there are fewer than four layers; then no such chain exists.

    Example:
        >>> [layer.diagonal().square().round().tolist() for layer in isotropic_chain(4)]
        [[2.0, 1.0], [1.0, 2.0], [1.0, 2.0], [2.0, 1.0]]
    """
    if depth < 4:
        raise ValueError(
            refusal("depth >= 4", depth, "with fewer layers, all are scaled isometries")
        )
    whole, rest = divmod(depth - 4, 4)
    squares = [*ISOTROPIC_SQUARES[4 + rest], *(whole * ISOTROPIC_SQUARES[4])]
    return [torch.diag(torch.tensor(row, dtype=dtype).sqrt()) for row in squares]
