"""One isometry step, in place: what AdamO and the wrapper of other optimisers share."""

import torch
from torch import Tensor

from isometry.adamo.arithmetic import applied, deviation_matrix
from isometry.core.matrices import as_matrix


def has_matrix(parameter: Tensor, member_dims: int = 0) -> bool:
    """Return whether a parameter is a real weight, not a vector, in each member.

    Args:
        parameter: Any parameter.
        member_dims: Number of leading member dimensions.

    Source: ours; biases and gains are left alone, a kernel counts as a matrix.

    Example:
        >>> has_matrix(torch.ones(8, 3)), has_matrix(torch.ones(8, 3), member_dims=1)
        (True, False)
    """
    enough = parameter.ndim >= member_dims + 2 and parameter.numel() > 0
    return enough and parameter.is_floating_point()


@torch.no_grad()
def isometry_step_(
    weight: Tensor,  # (*members, out, in, ...)
    rate: float | Tensor,
    *,
    member_dims: int = 0,
    taken: Tensor | None = None,
) -> Tensor:
    """Move a weight in place by ``-rate * grad R_iso``, each member by itself.

    The step is Eq. 20 to the letter wherever ``4 rate ||Gram - I||_F <= 2``. There no
    singular value above one can grow, because ``sigma_max^2 - 1 <= ||Gram - I||_F``
    (see :func:`max_stable_rate`). A member beyond that bound gets the shorter step
    ``4 rate = 1 / (2 ||Gram - I||_F)``, which at most halves a singular value. So the
    step cannot diverge, and the test never waits for the device.

    The Gram matrix of a half-precision weight is computed in float32. No memory is
    kept after the step.

    Args:
        weight: The weight, changed in place; a kernel is the matrix (out, in * k * k).
        rate: eta_iso * lambda (* k), dimensionless, >= 0; a tensor stays on its device.
        member_dims: Number of leading member dimensions.
        taken: 0-dim tensor, 1 to take the step and 0 not to, decided on the device.

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
    with torch.autocast(weight.device.type, enabled=False):
        matrix = as_matrix(weight, member_dims)
        deviation = deviation_matrix(matrix)
        norm = torch.linalg.vector_norm(deviation, dim=(-2, -1), keepdim=True)
        factor = torch.where(norm * (4 * rate) <= 2, 4 * rate, 0.5 / norm)
        if taken is not None:
            factor = factor * taken
        change = applied(matrix.to(deviation.dtype), deviation.mul_(factor))
        return weight.sub_(change.view(weight.shape))
