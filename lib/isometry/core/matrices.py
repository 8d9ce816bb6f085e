"""Weights as matrices, their smaller Gram matrix, and summaries of a spectrum.

Convention of the whole project: a weight is ``(..., out, in)``, as in PyTorch. Leading
dimensions are members of a stack, and every function works on each member by itself.
"""

import torch
from torch import Tensor

from isometry.core.messages import refusal

LONG, PIECE = 2**17, 2**14  # terms of a sum: from which on it is split, and into what


def check_matrix(weight: Tensor, name: str = "weight") -> None:
    """Refuse what is not a floating-point tensor of at least two dimensions.

    Args:
        weight: The tensor to look at.
        name: What to call it in the message.

    Raises:
        TypeError: If it is no floating-point tensor.
        ValueError: If it has fewer than two dimensions or one of them is empty.
    """
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        found = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(
            refusal(f"a floating-point tensor as {name}", str(found), "convert it")
        )
    if weight.ndim < 2 or 0 in weight.shape:
        raise ValueError(
            refusal(
                f"a non-empty {name} of shape (..., out, in)",
                str(tuple(weight.shape)),
                "reshape it, or leave vectors out",
            )
        )


def as_matrix(
    weight: Tensor,  # (*members, out, in) or (*members, out, in, k, ...)
    member_dims: int = 0,
) -> Tensor:
    """Return a weight as ``(*members, out, in)``: a convolution kernel is flattened.

    A kernel ``(out, in, k, k)`` is the matrix ``(out, in * k * k)``; a view, never a
    copy, wherever the strides allow it.

    Args:
        weight: The weight, with ``member_dims`` leading dimensions of a stack.
        member_dims: How many leading dimensions count members, 0 or more.

    Raises:
        TypeError: If the weight is not a floating-point tensor.
        ValueError: If fewer than two dimensions remain after the member dimensions.

    Source: arXiv 2606.09762, Eq. 16 is stated for matrices; the reshape of kernels is
    our choice, the common one.

    Example:
        >>> as_matrix(torch.zeros(8, 3, 5, 5)).shape
        torch.Size([8, 75])
    """
    check_matrix(weight)
    if weight.ndim - member_dims < 2:
        raise ValueError(
            refusal(
                f"a weight of at least {member_dims + 2} dimensions",
                str(tuple(weight.shape)),
                "lower member_dims, or leave this parameter out",
            )
        )
    return weight.flatten(start_dim=member_dims + 1)


def smaller_gram(weight: Tensor) -> Tensor:
    """Return the smaller Gram matrix, ``W^T W`` if out >= in, else ``W W^T``.

    Args:
        weight: ``(..., out, in)``.

    Returns:
        ``(..., d, d)`` with d = min(out, in).

    Source: arXiv 2606.09762, Eq. 16.

    Example:
        >>> smaller_gram(torch.ones(3, 2)).tolist()
        [[3.0, 3.0], [3.0, 3.0]]
    """
    check_matrix(weight)
    if weight.shape[-2] >= weight.shape[-1]:
        return weight.mT @ weight
    return weight @ weight.mT


def long_product(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """Return ``left @ right.mT``, summed in pieces where rows are long.

    In single precision a product of two rows of millions of numbers may be off by 1e-3
    of itself, as libraries add them up one by one; in pieces it is right to 1e-5.
    Shorter rows give the bits of the plain product.

    Args:
        left: ``(a, n)``.
        right: ``(b, n)``, of the same type.
        out: Where the product goes, or None.

    Returns:
        ``(a, b)``.

    Source: ours.
    """
    if left.shape[1] <= LONG:
        return torch.mm(left, right.mT, out=out)
    found = left.new_empty(len(left), len(right)) if out is None else out
    found.zero_()
    for one, other in zip(left.split(PIECE, 1), right.split(PIECE, 1), strict=True):
        found.addmm_(one, other.mT)
    return found


def singular_values(weight: Tensor) -> Tensor:
    """Return the singular values in descending order, computed in at least float32.

    Args:
        weight: ``(..., out, in)``.

    Returns:
        ``(..., min(out, in))``.

    Source: definition.

    Example:
        >>> singular_values(torch.diag(torch.tensor([1.0, 3.0]))).tolist()
        [3.0, 1.0]
    """
    check_matrix(weight)
    if weight.dtype in (torch.float16, torch.bfloat16):
        weight = weight.float()
    return torch.linalg.svdvals(weight)


def singular_values_by_gram(weight: Tensor) -> Tensor:
    """Return what :func:`singular_values` does, faster in single precision on a CPU.

    There they are roots of the eigenvalues of the smaller Gram matrix in float64, off
    by at most about 1e-8 of the largest; a decomposition in float32 is off by 1e-6.
    All others are decomposed.

    Args:
        weight: ``(..., out, in)``.

    Returns:
        ``(..., min(out, in))``, of the weight's dtype, at least float32.

    Source: definition.

    Example:
        >>> singular_values_by_gram(torch.diag(torch.tensor([1.0, 3.0]))).tolist()
        [3.0, 1.0]
    """
    check_matrix(weight)
    if weight.dtype == torch.float64 or weight.device.type != "cpu":
        return singular_values(weight)
    found = [  # one at a time: the copy in float64 stays small
        torch.linalg.eigvalsh(smaller_gram(matrix.double())).clamp_(min=0).sqrt_()
        for matrix in weight.reshape(-1, *weight.shape[-2:])
    ]
    return torch.stack(found).flip(-1).float().view(*weight.shape[:-2], -1)


def effective_rank(singular_values: Tensor) -> Tensor:
    """Return ``exp(H(p))`` with ``p = sigma / sum(sigma)``: how many directions count.

    Args:
        singular_values: ``(..., k)``, non-negative; eigenvalues of a positive
            semi-definite matrix may be passed as well.

    Returns:
        ``(...)``, dimensionless, between 1 and k; 0 where all values are zero.

    Raises:
        ValueError: If the values are empty, negative or not finite.

    Source: Roy & Vetterli, EUSIPCO 2007.

    Example:
        >>> effective_rank(torch.ones(5)).item()
        5.0
    """
    values = singular_values
    if values.shape[-1:] == (0,) or values.ndim == 0:
        raise ValueError(
            refusal("at least one value", str(tuple(values.shape)), "pass (..., k)")
        )
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        raise ValueError(
            refusal(
                "finite, non-negative values",
                f"minimum {values.min().item():.3g}",
                "pass singular values, or clamp rounding errors at 0",
            )
        )
    total = values.sum(-1, keepdim=True)
    share = values / torch.where(total > 0, total, torch.ones_like(total))
    entropy = -torch.special.xlogy(share, share).sum(-1)
    return torch.where(total.squeeze(-1) > 0, entropy.exp(), torch.zeros_like(entropy))
