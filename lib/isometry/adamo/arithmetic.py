"""The Gram-deviation penalty and its gradient, in closed form and without an SVD.

Everything works on ``(..., out, in)``: leading dimensions are members, each by itself.
In singular values the penalty is ``sum_i (sigma_i^2 - 1)^2``, so it is zero exactly
where every singular value is one.
"""

import torch
from torch import Tensor

from isometry.core.matrices import smaller_gram

LOW_PRECISION = (torch.float16, torch.bfloat16)


def deviation_matrix(weight: Tensor) -> Tensor:
    """Return the smaller Gram matrix minus the identity, in at least float32.

    Args:
        weight: ``(..., out, in)``.

    Returns:
        ``(..., d, d)`` with d = min(out, in), symmetric; eigenvalues ``sigma^2 - 1``.

    Raises:
        TypeError: If the weight is not a floating-point tensor.
        ValueError: If it has fewer than two dimensions or one of them is empty.

    Source: arXiv 2606.09762, Eq. 16.

    Example:
        >>> deviation_matrix(torch.diag(torch.tensor([1.0, 2.0]))).tolist()
        [[0.0, 0.0], [0.0, 3.0]]
    """
    if isinstance(weight, Tensor) and weight.dtype in LOW_PRECISION:
        weight = weight.float()
    deviation = smaller_gram(weight)
    deviation.diagonal(dim1=-2, dim2=-1).sub_(1)
    return deviation


def gram_deviation(weight: Tensor) -> Tensor:
    """Return how far a weight is from an isometry: ``||Gram - I||_F``.

    Args:
        weight: ``(..., out, in)``.

    Returns:
        ``(...)``, dimensionless, >= 0, in at least float32; a distance, not squared.

    Raises:
        TypeError: If the weight is not a floating-point tensor.
        ValueError: If it has fewer than two dimensions or one of them is empty.

    Source: arXiv 2606.09762, the norm in Eq. 16.

    Example:
        >>> gram_deviation(torch.diag(torch.tensor([1.0, 2.0]))).item()
        3.0
    """
    return torch.linalg.vector_norm(deviation_matrix(weight), dim=(-2, -1))


def isometry_penalty(weight: Tensor) -> Tensor:
    """Return ``R_iso(W) = ||Gram - I||_F^2`` of the smaller Gram matrix.

    No factor 1/2, no division by the width, target gain one.

    Args:
        weight: ``(..., out, in)``.

    Returns:
        ``(...)``, dimensionless, >= 0; differentiable.

    Raises:
        TypeError: If the weight is not a floating-point tensor.
        ValueError: If it has fewer than two dimensions or one of them is empty.

    Source: arXiv 2606.09762, Eq. 16.

    Example:
        >>> isometry_penalty(torch.diag(torch.tensor([1.0, 2.0]))).item()
        9.0
    """
    return deviation_matrix(weight).square().sum((-2, -1))


def isometry_gradient(weight: Tensor) -> Tensor:
    """Return the gradient of :func:`isometry_penalty`, two matrix products and no SVD.

    ``4 W (W^T W - I)`` for out >= in, else ``4 (W W^T - I) W``. It has the singular
    vectors of W, and the singular values ``4 sigma (sigma^2 - 1)``.

    Args:
        weight: ``(..., out, in)``.

    Returns:
        ``(..., out, in)`` in the weight's dtype.

    Raises:
        TypeError: If the weight is not a floating-point tensor.
        ValueError: If it has fewer than two dimensions or one of them is empty.

    Source: arXiv 2606.09762, Eq. 16, differentiated.

    Example:
        >>> isometry_gradient(torch.diag(torch.tensor([1.0, 2.0]))).tolist()
        [[0.0, 0.0], [0.0, 24.0]]
    """
    scaled = deviation_matrix(weight).mul_(4)
    matrix = weight.to(scaled.dtype)
    return applied(matrix, scaled).to(weight.dtype)


def applied(matrix: Tensor, gram_side: Tensor) -> Tensor:
    """Return the product of a matrix with a square one on its smaller side.

    Args:
        matrix: ``(..., out, in)``.
        gram_side: ``(..., d, d)`` with d = min(out, in).

    Returns:
        ``(..., out, in)``.
    """
    if matrix.shape[-2] >= matrix.shape[-1]:
        return matrix @ gram_side
    return gram_side @ matrix
