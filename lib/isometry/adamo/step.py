"""One isometry step, in place: what AdamO and the wrapper of other optimisers share.

Where the time goes decides the form. On an accelerator and in stacks of small matrices
it is the number of calls, so all matrices of one shape are moved in one batch. On a CPU
it is the arithmetic, so one matrix is moved at a time, and of its symmetric Gram matrix
little more than one half is computed. Both are the same step.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from isometry.adamo.arithmetic import LOW_PRECISION, applied, deviation_matrix
from isometry.core.matrices import as_matrix

LARGE = 192  # smaller side from which a member of a stack is moved by itself
STRIP = 128  # rows or columns of a large matrix that are computed at a time
BLOCK_SIZE = 32_768  # entries of a small one; both bound the memory of a step
LONGEST = 2.0  # 4 rate (sigma^2 - 1) up to here cannot make a singular value grow
SHORTENED = 0.5  # and this one at most halves it
CHANGE = 0.1  # of a singular value above one, in a piece of an amortised step


def isometry_step_(
    weight: Tensor,  # (*members, out, in, ...)
    rate: float | Tensor,
    *,
    member_dims: int = 0,
    taken: Tensor | None = None,
    pieces: int = 1,
) -> Tensor:
    """Move a weight in place by ``-rate * grad R_iso``, each member by itself.

    The step is Eq. 20 to the letter wherever ``4 rate ||Gram - I||_F <= 2``. There no
    singular value above one can grow, because ``sigma_max^2 - 1 <= ||Gram - I||_F``
    (see :func:`max_stable_rate`). A member beyond that bound gets the shorter step
    ``4 rate = 1 / (2 ||Gram - I||_F)``, which at most halves a singular value. So the
    step cannot diverge, and the test never waits for an accelerator.

    The Gram matrix of a half-precision weight is computed in float32. No memory is
    kept after the step.

    Args:
        weight: The weight, changed in place; a kernel is the matrix (out, in * k * k).
        rate: eta_iso * lambda (* k), dimensionless, >= 0; a tensor stays on its device.
        member_dims: Number of leading member dimensions.
        taken: 0-dim tensor, 1 to take the step and 0 not to, decided on the device.
        pieces: Into how many steps at most the way is divided, one after the other. A
            member with large singular values gets as many as it needs for none of them
            to change by more than about a tenth in one; near isometry that is one step.
            Above 1 an accelerator is waited for.

    Returns:
        The weight.

    Raises:
        TypeError: If the weight is not a floating-point tensor.
        ValueError: If it is no matrix after the member dimensions.

    Source: arXiv 2606.09762, last term of Eq. 20; the bound on the rate is ours.

    Example:
        >>> isometry_step_(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), 1 / 32).tolist()
        [[1.25, 0.0], [0.0, 1.0]]
    """
    isometry_steps_([weight], rate, member_dims=member_dims, taken=taken, pieces=pieces)
    return weight


@torch.no_grad()
def isometry_steps_(
    weights: Iterable[Tensor],  # each (*members, out, in, ...)
    rate: float | Tensor,
    *,
    member_dims: int = 0,
    taken: Tensor | None = None,
    pieces: int = 1,
) -> None:
    """Move several weights at once; see :func:`isometry_step_`.

    Args:
        weights: Changed in place.
        rate: As in :func:`isometry_step_`.
        member_dims: As in :func:`isometry_step_`.
        taken: As in :func:`isometry_step_`.
        pieces: As in :func:`isometry_step_`.

    Raises:
        TypeError: If a weight is not a floating-point tensor.
        ValueError: If one is no matrix after the member dimensions.
    """
    on_host = taken is None and isinstance(rate, int | float)
    on_host = on_host and not torch.compiler.is_compiling()
    alike: dict[tuple[torch.Size, torch.dtype, torch.device], list[Tensor]] = {}
    with torch.autocast("cpu", enabled=False):
        for weight in weights:
            matrix = as_matrix(weight, member_dims)
            if on_host and _one_by_one(matrix, weight, member_dims):
                for member in matrix.flatten(0, -3) if member_dims else (matrix,):
                    rest, left = float(rate), pieces
                    while left > 0:
                        rest, left = _matrix_step_(member, rest, left)
            else:
                key = (matrix.shape[-2:], weight.dtype, weight.device)
                alike.setdefault(key, []).append(weight)
    for (shape, _, device), members in alike.items():
        with torch.autocast(device.type, enabled=False):
            if pieces == 1:
                _batched_step_(members, shape, rate, taken)
            else:
                _batched_steps_(members, shape, rate, taken, pieces)


def isometry_change(
    weight: Tensor,  # (*members, out, in, ...)
    rate: float | Tensor,
    *,
    member_dims: int = 0,
) -> Tensor:
    """Return what :func:`isometry_step_` takes from a weight, as a function of it.

    Args:
        weight: The weight; gradients go through it.
        rate: As in :func:`isometry_step_`; gradients go through it too.
        member_dims: As in :func:`isometry_step_`.

    Returns:
        The weight's shape.

    Raises:
        TypeError: If the weight is not a floating-point tensor.
        ValueError: If it is no matrix after the member dimensions.

    Source: arXiv 2606.09762, last term of Eq. 20; the bound on the rate is ours.

    Example:
        >>> isometry_change(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), 1 / 32).tolist()
        [[0.75, 0.0], [0.0, 0.0]]
    """
    matrix = as_matrix(weight, member_dims)
    deviation = deviation_matrix(matrix)
    norm = torch.linalg.vector_norm(deviation, dim=(-2, -1), keepdim=True)
    literal = norm.detach() * (4 * rate) <= LONGEST
    # The branch that is not taken would divide by zero, and its gradient be NaN.
    shortened = SHORTENED / torch.where(literal, torch.ones_like(norm), norm)
    factor = torch.where(literal, 4 * rate, shortened)
    change = applied(matrix.to(deviation.dtype), deviation * factor)
    return change.to(weight.dtype).reshape(weight.shape)


def _one_by_one(matrix: Tensor, weight: Tensor, member_dims: int) -> bool:
    """Return whether a weight's matrices are moved one at a time, on the CPU.

    Only where a change of the matrix is one of the weight, in full precision.
    """
    if weight.device.type != "cpu" or weight.dtype in LOW_PRECISION:
        return False
    if member_dims and (not weight.is_contiguous() or min(matrix.shape[-2:]) < LARGE):
        return False
    return matrix.data_ptr() == weight.data_ptr()


def _largest_excess(
    norm: Tensor,  # (...)
    trace: Tensor,  # (...)
    size: int,
) -> Tensor:
    """Return an upper bound of the largest eigenvalue of a symmetric matrix.

    ``m + sqrt((d - 1) (|A|_F^2 / d - m^2))`` with m the mean of the d eigenvalues. For
    A = Gram - I it bounds ``sigma_max^2 - 1``, with no decomposition.

    Source: Wolkowicz & Styan, Linear Algebra and its Applications 29, 1980.

    Example:
        >>> _largest_excess(torch.tensor(3.0), torch.tensor(3.0), 2)
        tensor(3.)
    """
    mean = trace / size
    return mean + ((norm**2 / size - mean**2) * (size - 1)).clamp(min=0).sqrt()


def _matrix_step_(matrix: Tensor, rate: float, left: int = 1) -> tuple[float, int]:
    """Move one matrix ``(out, in)`` in place, a block of rows or columns at a time.

    Of the rate a piece is taken if ``left``, the number of pieces, is above one.
    Returns the rate and the number of pieces that remain.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.mT if tall else matrix  # (d, n) with d <= n, a view
    d, n = wide.shape
    deviation = _half_gram_(wide, wide.new_empty(d, d))
    deviation.diagonal().sub_(1)
    length = torch.linalg.vector_norm(deviation)
    norm, rest = float(length), 0.0
    if left > 1:
        excess = float(_largest_excess(length, deviation.trace(), d))
        wanted = 4 * rate * excess / CHANGE
        number = max(1, math.ceil(wanted)) if wanted < left else left
        rest, left = rate - rate / number, left if number > 1 else 1
        rate /= number
    alpha = 4 * rate if norm * (4 * rate) <= LONGEST else SHORTENED / norm
    if d * n <= BLOCK_SIZE:
        matrix.sub_(matrix @ deviation if tall else deviation @ matrix, alpha=alpha)
        return rest, left - 1
    for block in wide.split(max(STRIP, BLOCK_SIZE // d), dim=1):
        if tall:  # transposed, so that the product is written along the rows
            block.mT.sub_(block.mT @ deviation, alpha=alpha)
        else:
            block.sub_(deviation @ block, alpha=alpha)
    return rest, left - 1


def _batched_step_(
    weights: list[Tensor],
    shape: torch.Size,  # (out, in) of each matrix
    rate: float | Tensor,
    taken: Tensor | None,
    left: Tensor | None = None,  # pieces of each member, (members, 1, 1)
) -> Tensor | float:
    """Move all members of all weights of one shape in one batch.

    Of the rate a piece is taken if the number of pieces is given. Returns the rate that
    remains, of each member.
    """
    parts = [weight.reshape(-1, *shape) for weight in weights]
    stack = parts[0] if len(parts) == 1 else torch.cat(parts)  # (members, out, in)
    deviation = deviation_matrix(stack)
    norm = torch.linalg.vector_norm(deviation, dim=(-2, -1), keepdim=True)
    rest: Tensor | float = 0.0
    if left is not None:
        trace = deviation.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
        excess = _largest_excess(norm, trace, deviation.shape[-1])
        number = torch.ceil(4 * rate * excess / CHANGE).minimum(left).clamp(min=1)
        rest = torch.where(number > 1, rate - rate / number, 0.0)
        rate = rate / number
    factor = torch.where(norm * (4 * rate) <= LONGEST, 4 * rate, SHORTENED / norm)
    deviation.mul_(factor if taken is None else factor * taken)
    change = applied(stack.to(deviation.dtype), deviation)
    sizes = [len(part) for part in parts]
    for weight, part in zip(weights, change.split(sizes), strict=True):
        weight.sub_(part.view(weight.shape))
    return rest


def _batched_steps_(
    weights: list[Tensor],
    shape: torch.Size,
    rate: float | Tensor,
    taken: Tensor | None,
    pieces: int,
) -> None:
    """Go the way of one batched step in at most some pieces, as each member needs."""
    members = sum(weight.numel() for weight in weights) // shape.numel()
    left = torch.full((members, 1, 1), float(pieces), device=weights[0].device)
    rest: Tensor | float = left.new_zeros(left.shape) + rate
    for _ in range(pieces):
        rest = _batched_step_(weights, shape, rest, taken, left)
        if not bool((torch.as_tensor(rest) > 0).any()):
            return
        left -= 1


def _half_gram_(wide: Tensor, out: Tensor) -> Tensor:
    """Write ``A A^T`` into ``out``, strip by strip, each entry beside it once.

    The work is (1 + 1/s) / 2 of a full product for s strips of 128 rows.

    Example:
        >>> _half_gram_(torch.ones(2, 3), torch.empty(2, 2)).tolist()
        [[3.0, 3.0], [3.0, 3.0]]
    """
    d = wide.shape[0]
    if d <= STRIP:
        return torch.mm(wide, wide.mT, out=out)
    for start in range(0, d, STRIP):
        end = min(d, start + STRIP)
        torch.mm(wide[start:end], wide[start:].mT, out=out[start:end, start:])
        out[end:, start:end].copy_(out[start:end, end:].mT)
    return out
