"""The exact neural tangent kernel of a deep linear network, for any weights (Eq. 9)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from isometry.core.matrices import singular_values
from isometry.core.messages import refusal
from isometry.linear.chains import check_chain, prefix_products, suffix_products


def layer_grams(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
    other: Tensor | None = None,  # (n2, d_0)
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the forward and the backward Gram matrix of every layer.

    Layer l contributes ``F_l kron B_l`` to the kernel, with
    ``F_l = (X P_{l-1}^T)(X' P_{l-1}^T)^T`` of what the layer receives and
    ``B_l = S_l S_l^T`` of what carries its output on.

    Args:
        weights: A chain of L weights ``(..., d_l, d_{l-1})``.
        inputs: ``(n, d_0)``, one example a row.
        other: ``(n2, d_0)``; None for ``inputs``.

    Returns:
        L forward Grams ``(..., n, n2)`` and L backward Grams ``(..., d_L, d_L)``.

    Raises:
        TypeError: If a tensor is not floating-point.
        ValueError: If the weights are no chain or the inputs do not fit it.

    Source: arXiv 2606.09762, Eq. 7-9.

    Example:
        >>> forward, backward = layer_grams([torch.eye(2), torch.eye(2)], torch.eye(2))
        >>> len(forward), backward[0].tolist()
        (2, [[1.0, 0.0], [0.0, 1.0]])
    """
    check_chain(weights)
    second = inputs if other is None else other
    for name, batch in (("inputs", inputs), ("other", second)):
        if not batch.is_floating_point():
            raise TypeError(
                refusal(f"floating-point {name}", str(batch.dtype), "convert them")
            )
        if batch.ndim != 2 or len(batch) == 0 or batch.shape[1] != weights[0].shape[-1]:
            raise ValueError(
                refusal(
                    f"{name} of shape (n, {weights[0].shape[-1]}) with n >= 1",
                    str(tuple(batch.shape)),
                    "flatten each example to a row",
                )
            )
    forward = [
        (inputs @ product.mT) @ (second @ product.mT).mT
        for product in prefix_products(weights)
    ]
    backward = [product @ product.mT for product in suffix_products(weights)]
    return forward, backward


def deep_linear_ntk(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
    other: Tensor | None = None,  # (n2, d_0)
) -> Tensor:
    """Return the empirical NTK of ``f(x) = W_L ... W_1 x`` exactly, without autograd.

    ``K[i, j, a, b] = sum_l <P_{l-1} x_i, P_{l-1} x'_j> <S_l^T e_a, S_l^T e_b>``. With
    orthogonal square layers every term is the same, and the matrix of the kernel is
    ``L (X X^T kron I)``.

    Args:
        weights: A chain of L weights ``(..., d_l, d_{l-1})``, any widths.
        inputs: ``(n, d_0)``, one example a row.
        other: ``(n2, d_0)``; None for ``inputs``.

    Returns:
        ``(..., n, n2, d_L, d_L)``, as :func:`isometry.ntk.empirical_ntk` lays it out.

    Raises:
        TypeError: If a tensor is not floating-point.
        ValueError: If the weights are no chain or the inputs do not fit it.

    Source: arXiv 2606.09762, Eq. 9 (orthogonal layers), Eq. 7-8 (any).

    Example:
        >>> kernel = deep_linear_ntk([torch.eye(2)] * 3, torch.eye(2))
        >>> kernel_matrix(kernel).diagonal().tolist()
        [3.0, 3.0, 3.0, 3.0]
    """
    forward, backward = layer_grams(weights, inputs, other)
    return sum(
        f[..., :, :, None, None] * b[..., None, None, :, :]
        for f, b in zip(forward, backward, strict=True)
    )  # type: ignore[return-value]


def kernel_matrix(
    kernel: Tensor,  # (..., n, n2, m, m)
) -> Tensor:
    """Return the kernel as a matrix whose rows are (example, output) pairs.

    Args:
        kernel: ``(..., n, n2, m, m)``.

    Returns:
        ``(..., n m, n2 m)``, the layout of a Kronecker product with the outputs last.

    Source: notation.

    Example:
        >>> kernel_matrix(torch.zeros(3, 3, 2, 2)).shape
        torch.Size([6, 6])
    """
    swapped = kernel.transpose(-3, -2)
    return swapped.flatten(-2, -1).flatten(-3, -2)


def kernel_eigenvalues(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
) -> Tensor:
    """Return the eigenvalues of the kernel in descending order, none below zero.

    Args:
        weights: A chain.
        inputs: ``(n, d_0)``.

    Returns:
        ``(..., n d_L)``; rounding errors below zero are set to zero.

    Source: definition.

    Example:
        >>> kernel_eigenvalues([torch.eye(2)] * 3, torch.eye(2)).tolist()
        [3.0, 3.0, 3.0, 3.0]
    """
    matrix = kernel_matrix(deep_linear_ntk(weights, inputs))
    return torch.linalg.eigvalsh(matrix).flip(-1).clamp(min=0)


def condition_number(
    eigenvalues: Tensor,  # (..., k)
) -> Tensor:
    """Return the largest over the smallest eigenvalue, infinite for a singular matrix.

    Args:
        eigenvalues: ``(..., k)``, none negative, in any order.

    Returns:
        ``(...)``, dimensionless, at least 1.

    Source: arXiv 2606.09762, Sec. 2.

    Example:
        >>> condition_number(torch.tensor([8.0, 2.0])).item()
        4.0
    """
    largest, smallest = eigenvalues.amax(-1), eigenvalues.amin(-1)
    floor = torch.finfo(eigenvalues.dtype).eps * eigenvalues.shape[-1] * largest
    return torch.where(smallest > floor, largest / smallest, torch.inf)


def condition_number_bound(
    weights: Sequence[Tensor],
    inputs: Tensor,  # (n, d_0)
) -> Tensor:
    """Return a bound on the kernel's condition number from the layers' spectra alone.

    With a_l and b_l the smallest and largest singular value of a square layer,
    ``kappa(K) <= kappa(X X^T) sum_l prod_{k != l} b_k^2 / sum_l prod_{k != l} a_k^2``.
    Orthogonal layers make it an equality.

    Args:
        weights: A chain of square layers.
        inputs: ``(n, d_0)``.

    Returns:
        ``(...)``, dimensionless; infinite where a bound of zero divides.

    Raises:
        ValueError: If a layer is not square.

    Source: ours; the proof is in chapter 3.

    Example:
        >>> condition_number_bound([torch.eye(2)] * 3, torch.eye(2)).item()
        1.0
    """
    check_chain(weights)
    for layer, weight in enumerate(weights, start=1):
        if weight.shape[-1] != weight.shape[-2]:
            found = f"W_{layer} of shape {tuple(weight.shape)}"
            raise ValueError(refusal("square layers", found, "use kernel_eigenvalues"))
    values = torch.stack([singular_values(weight) for weight in weights])
    smallest, largest = values[..., -1].square(), values[..., 0].square()
    gram = torch.linalg.eigvalsh(inputs @ inputs.mT).clamp(min=0)
    ratio = _sum_of_products_without_one(largest) / _sum_of_products_without_one(
        smallest
    )
    return condition_number(gram) * ratio


def _sum_of_products_without_one(factors: Tensor) -> Tensor:
    """Return ``sum_l prod_{k != l} factors[k]`` over the first dimension."""
    ones = torch.ones_like(factors[:1])
    before = torch.cat([ones, factors[:-1]]).cumprod(0)
    after = torch.cat([ones, factors.flip(0)[:-1]]).cumprod(0).flip(0)
    return (before * after).sum(0)
