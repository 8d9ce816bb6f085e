"""The input prior: how isotropic a batch of inputs is, and what whitening changes."""

import torch
from torch import Tensor

from isometry.core.messages import refusal


def gram_eigenvalues(
    inputs: Tensor,  # (n, d)
) -> Tensor:
    """Return the eigenvalues of ``X X^T / d`` in descending order, none below zero.

    Args:
        inputs: ``(n, d)``, one example a row.

    Returns:
        ``(n,)``; for entries of variance one, their mean is one.

    Raises:
        ValueError: If there is no example.

    Source: definition; arXiv 2606.09762, Sec. 2.3 leans on their isotropy.

    Example:
        >>> gram_eigenvalues(torch.eye(2)).tolist()
        [0.5, 0.5]
    """
    if inputs.ndim != 2 or 0 in inputs.shape:
        raise ValueError(
            refusal(
                "inputs (n, d), not empty", str(tuple(inputs.shape)), "flatten them"
            )
        )
    gram = inputs @ inputs.mT / inputs.shape[1]
    return torch.linalg.eigvalsh(gram).flip(-1).clamp(min=0)


def isotropic_condition_number(num_inputs: int, dimension: int) -> float:
    """Return the condition number of ``X X^T`` for many independent Gaussian entries.

    The edges of the Marchenko-Pastur law with ratio r = n / d < 1 give
    ``((1 + sqrt r) / (1 - sqrt r))^2``: isotropic inputs are only near-isotropic in a
    batch, the better the higher their dimension.

    Args:
        num_inputs: How many examples n, at least 1.
        dimension: Their dimension d, above n.

    Returns:
        Dimensionless, above 1.

    Raises:
        ValueError: If not 1 <= n < d: with n > d the matrix is singular.

    Source: Marchenko & Pastur, Math. USSR Sbornik 1967.

    Example:
        >>> isotropic_condition_number(1, 4)
        9.0
    """
    if not 1 <= num_inputs < dimension:
        raise ValueError(
            refusal(
                "1 <= number of inputs < dimension",
                f"{num_inputs} inputs in {dimension} dimensions",
                "take fewer inputs: beyond, the Gram matrix is singular",
            )
        )
    root = (num_inputs / dimension) ** 0.5
    return ((1 + root) / (1 - root)) ** 2


def whiten(
    inputs: Tensor,  # (n, d)
    reference: Tensor,  # (N, d)
    tolerance: float = 1e-6,
) -> Tensor:
    """Return the inputs in the coordinates in which the reference has covariance I.

    The inputs are centred by the reference's mean, turned to its principal axes and
    divided by the standard deviation along each. Axes with next to no variance, such
    as pixels that are always dark, are dropped, so the dimension may shrink.

    Args:
        inputs: ``(n, d)``, one example a row.
        reference: ``(N, d)``, the data whose mean and covariance are used.
        tolerance: Axes whose variance is below this share of the largest are dropped.

    Returns:
        ``(n, k)`` with k the number of axes kept, times an orthogonal change of basis.

    Raises:
        ValueError: If the shapes do not fit, or the reference has no variance.

    Source: principal component analysis.

    Example:
        >>> data = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> torch.cov(whiten(data, data).T, correction=0).round().abs().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    fits = inputs.ndim == reference.ndim == 2 and inputs.shape[1] == reference.shape[1]
    if not fits or 0 in reference.shape:
        raise ValueError(
            refusal(
                "inputs (n, d) and reference (N, d)",
                f"{tuple(inputs.shape)} and {tuple(reference.shape)}",
                "flatten both the same way",
            )
        )
    mean = reference.mean(0)
    centred = reference - mean
    variances, axes = torch.linalg.eigh(centred.mT @ centred / len(reference))
    kept = variances > tolerance * variances[-1]
    if not bool(kept.any()):
        raise ValueError(
            refusal("a reference that varies", "constant rows", "add rows")
        )
    return (inputs - mean) @ axes[:, kept] / variances[kept].sqrt()
