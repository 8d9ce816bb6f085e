"""How evenly a kernel treats the directions of output space."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.matrices import check_matrix, effective_rank
from isometry.core.messages import refusal


@dataclass(frozen=True)
class Conditioning:
    """The spectrum of a kernel matrix and its summaries, all in float64.

    Attributes:
        condition_number: Largest over smallest eigenvalue, dimensionless, >= 1. The
            smallest is taken as no less than ``floor``, so that rounding cannot decide;
            infinite for a zero matrix.
        robust_condition_number: Largest eigenvalue over the 5th percentile, with the
            same floor; it does not hang on the one smallest eigenvalue.
        effective_rank: exp of the entropy of the eigenvalues' shares, between 1 and N.
        trace: Sum of the eigenvalues, in squared output units per unit of parameter.
        eigenvalues: ``(N,)``, ascending, as computed (rounding may leave tiny
            negative ones).
        floor: ``N * eps * largest eigenvalue`` with eps of the matrix's own dtype: what
            lies below cannot be told from zero.

    Source: arXiv 2606.09762, Sec. 2 (condition number); the robust form and the floor
    are ours; Roy & Vetterli, EUSIPCO 2007 (effective rank).
    """

    condition_number: float
    robust_condition_number: float
    effective_rank: float
    trace: float
    eigenvalues: Tensor
    floor: float


def conditioning(matrix: Tensor) -> Conditioning:
    """Return the spectrum of a symmetric positive semi-definite matrix, summarised.

    Args:
        matrix: ``(N, N)``, e.g. :func:`isometry.ntk.ntk_matrix` of a kernel.

    Raises:
        TypeError: If it is not a floating-point tensor.
        ValueError: If it is not one square, finite, symmetric matrix without negative
            eigenvalues.

    Source: arXiv 2606.09762, Sec. 2; see :class:`Conditioning`.

    Example:
        >>> summary = conditioning(torch.diag(torch.tensor([4.0, 2.0, 2.0])))
        >>> summary.condition_number, summary.trace
        (2.0, 8.0)
    """
    check_matrix(matrix, "matrix")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            refusal(
                "one square matrix (N, N)",
                str(tuple(matrix.shape)),
                "pass ntk_matrix(kernel) of a kernel without `other`",
            )
        )
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError(
            refusal("a finite matrix", "NaN or infinity", "check the network's weights")
        )
    resolution = torch.finfo(matrix.dtype).eps * len(matrix)
    exact = matrix.detach().double()
    scale = float(exact.abs().max())
    asymmetry = float((exact - exact.mT).abs().max())
    if asymmetry > 100 * resolution * scale:
        raise ValueError(
            refusal(
                "a symmetric matrix",
                f"an asymmetry of {asymmetry:.2e} at a scale of {scale:.2e}",
                "pass the kernel of one set of inputs with itself",
            )
        )
    eigenvalues = torch.linalg.eigvalsh((exact + exact.mT) / 2)
    largest = float(eigenvalues[-1])
    floor = resolution * max(largest, 0.0)
    if float(eigenvalues[0]) < -100 * resolution * scale:
        raise ValueError(
            refusal(
                "a positive semi-definite matrix",
                f"an eigenvalue of {float(eigenvalues[0]):.3g}",
                "pass a kernel, not a difference of kernels",
            )
        )
    smallest = max(float(eigenvalues[0]), floor)
    low = max(float(torch.quantile(eigenvalues, 0.05)), floor)
    return Conditioning(
        condition_number=largest / smallest if smallest > 0 else float("inf"),
        robust_condition_number=largest / low if low > 0 else float("inf"),
        effective_rank=float(effective_rank(eigenvalues.clamp_min(0))),
        trace=float(eigenvalues.sum()),
        eigenvalues=eigenvalues,
        floor=floor,
    )
