"""Chains that separate what is easily confused: the product, the layers, the kernel."""

import torch
from torch import Tensor

from isometry.core.messages import refusal


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
