"""Newton-Schulz: pull every singular value of a weight to one, without an SVD."""

import math

import torch
from torch import Tensor

from isometry.core.matrices import check_matrix, singular_values
from isometry.core.messages import refusal

# The cubic map f(s) = 1.5 s - 0.5 s^3 has f(sqrt 3) = 0: beyond, the sign is lost.
CONVERGENCE_LIMIT = math.sqrt(3)


def newton_schulz(
    weight: Tensor,  # (..., out, in)
    iterations: int = 5,
    *,
    safe_scaling: bool = False,
) -> Tensor:
    """Iterate ``W <- 1.5 W - 0.5 W W^T W`` towards the nearest semi-orthogonal matrix.

    Singular vectors stay; each singular value follows f(s) = 1.5 s - 0.5 s^3:

    * 0 < s < sqrt 3 converges to 1, from below after one step, and quadratically near
      1: the error e becomes 1.5 e^2. A small s grows by 1.5 a step, so a matrix with
      smallest singular value s needs about ln(1/s) / ln 1.5 steps before that.
    * s = 0 stays 0: a rank that is lost is not brought back.
    * sqrt 3 < s < sqrt 5 changes sign, so what it reaches is not the nearest
      semi-orthogonal matrix; s >= sqrt 5 does not converge, and beyond it diverges.

    Products are taken on the side of the smaller Gram matrix. Half-precision weights
    are iterated in float32 and returned in their own dtype.

    Args:
        weight: ``(..., out, in)``; leading dimensions are members of a stack.
        iterations: How many steps, 0 or more.
        safe_scaling: Divide a member whose largest singular value is sqrt 3 or more
            by that value first, which puts it inside the region. Costs one
            decomposition of the weight; the others are left as they are.

    Returns:
        The shape and dtype of ``weight``.

    Raises:
        TypeError: If the weight is no floating-point tensor.
        ValueError: If it is no matrix, or ``iterations`` is no integer of at least 0.

    Source: Bjorck & Bowie, SIAM J. Numer. Anal. 1971, order one with beta = 1/2. The
    number of steps and the scaling are our choice; the paper's are not known.

    Example:
        >>> weight = torch.diag(torch.tensor([0.9, 1.2]))
        >>> torch.allclose(newton_schulz(weight, 4), torch.eye(2))
        True
    """
    check_matrix(weight)
    if isinstance(iterations, bool) or not isinstance(iterations, int):
        raise TypeError(refusal("an int as iterations", iterations, "pass e.g. 5"))
    if iterations < 0:
        raise ValueError(refusal("iterations >= 0", iterations, "pass e.g. 5"))
    dtype = weight.dtype
    result = weight.float() if dtype in (torch.float16, torch.bfloat16) else weight
    if safe_scaling:
        largest = singular_values(result)[..., :1, None]
        result = result / largest.where(
            largest >= CONVERGENCE_LIMIT, torch.ones_like(largest)
        )
    tall = weight.shape[-2] >= weight.shape[-1]
    for _ in range(iterations):
        gram = result.mT @ result if tall else result @ result.mT
        cubic = result @ gram if tall else gram @ result
        result = 1.5 * result - 0.5 * cubic
    return result.to(dtype)
