"""GroupSort and MaxMin: activations that only permute, so that they keep every norm."""

from typing import Any

import torch
from torch import Tensor, nn

from isometry.core.messages import refusal

# Below this many units on a CPU, one torch.sort costs less than many small calls.
SMALL = 4096


def _check_group_size(group_size: int) -> None:
    if isinstance(group_size, bool) or not isinstance(group_size, int):
        raise TypeError(refusal("an int as group_size", group_size, "pass e.g. 2"))
    if group_size < 1:
        raise ValueError(refusal("group_size >= 1", group_size, "pass e.g. 2"))


def _exchange(pairs: Tensor, swap: Tensor) -> Tensor:
    """Exchange the two entries of each pair ``(..., 2)`` where ``swap`` is one.

    ``torch.lerp`` is exact at the weights 0 and 1, and vectorised, which
    ``torch.where`` is not.
    """
    first, second = pairs[..., 0], pairs[..., 1]
    exchanged = torch.empty_like(pairs)
    exchanged[..., 0] = torch.lerp(first, second, swap)
    exchanged[..., 1] = torch.lerp(second, first, swap)
    return exchanged


class _SortPairs(torch.autograd.Function):
    """Sort pairs ``(..., 2)``; the derivative applies the same permutation again.

    ``torch.minimum`` and ``torch.maximum`` would halve the gradient at a tie, which is
    singular, and their own backward pass costs five times as much.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(pairs: Tensor) -> tuple[Tensor, Tensor]:
        first, second = pairs[..., 0], pairs[..., 1]
        ordered = torch.empty_like(pairs)
        ordered[..., 0] = torch.minimum(first, second)
        ordered[..., 1] = torch.maximum(first, second)
        return ordered, (first > second).to(pairs.dtype)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]
    ) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _exchange(gradients[0], ctx.saved_tensors[0])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> tuple[Tensor, None]:
        return _exchange(tangents[0], ctx.saved_tensors[0]), None


def group_sort(x: Tensor, group_size: int = 2, dim: int = -1) -> Tensor:
    """Sort each group of adjacent units in ascending order.

    The result is a permutation of the input, so its Jacobian is a permutation matrix
    wherever the order of the units is locally constant, that is almost everywhere.
    Where two units of a group tie, the order is kept as it is (a stable sort), and the
    gradient is the one of the identity: still a permutation, still an isometry. A NaN
    stays within its group.

    Args:
        x: ``(...)`` with the units along ``dim``: ``dim=-1`` for ``(batch, units)``,
            ``dim=1`` for feature maps ``(batch, channels, height, width)``.
        group_size: Units per group, at least 1; 2 is MaxMin, the number of units
            sorts them all.
        dim: The dimension of the units.

    Returns:
        The shape and dtype of ``x``.

    Raises:
        TypeError: If ``group_size`` is not an int.
        ValueError: If it is below 1 or does not divide the number of units.
        IndexError: If ``x`` has no dimension ``dim``.

    Source: Anil, Lucas & Grosse, ICML 2019, Sec. 4.1; arXiv 2606.09762, Sec. 3, with
    groups of two and the output order (min, max).

    Example:
        >>> group_sort(torch.tensor([3.0, 1.0, 2.0, 5.0])).tolist()
        [1.0, 3.0, 2.0, 5.0]
    """
    _check_group_size(group_size)
    if not -x.ndim <= dim < x.ndim:
        raise IndexError(
            refusal(f"dim of a {x.ndim}-dimensional tensor", dim, "pass another dim")
        )
    dim %= x.ndim
    units = x.shape[dim]
    if units % group_size:
        raise ValueError(
            refusal(
                f"a number of units divisible by group_size {group_size}",
                f"{units} units in dim {dim} of shape {tuple(x.shape)}",
                "change the width or the group size",
            )
        )
    groups = x.unflatten(dim, (units // group_size, group_size))
    if group_size == 2 and torch.compiler.is_compiling():
        # The compiler fuses this into one kernel, and cannot trace a custom jvp.
        first, second = groups.unbind(dim + 1)
        swap = first > second
        low, high = torch.where(swap, second, first), torch.where(swap, first, second)
        ordered = torch.stack((low, high), dim + 1)
    elif group_size == 2 and (x.is_cuda or x.numel() >= SMALL):
        ordered = _SortPairs.apply(groups.movedim(dim + 1, -1))[0].movedim(-1, dim + 1)
    else:
        ordered = torch.sort(groups, dim=dim + 1, stable=True).values
    return ordered.flatten(dim, dim + 1)


class GroupSort(nn.Module):
    """Sort each group of adjacent units in ascending order, see :func:`group_sort`.

    Args:
        group_size: Units per group, at least 1.
        dim: The dimension of the units; 1 for ``(batch, channels, height, width)``.

    Raises:
        TypeError: If ``group_size`` is not an int.
        ValueError: If it is below 1; in the forward pass, if it does not divide the
            number of units.

    Source: Anil, Lucas & Grosse, ICML 2019, Sec. 4.1.

    Example:
        >>> GroupSort(3)(torch.tensor([[3.0, 1.0, 2.0]])).tolist()
        [[1.0, 2.0, 3.0]]
    """

    def __init__(self, group_size: int = 2, dim: int = -1):
        super().__init__()
        _check_group_size(group_size)
        self.group_size = group_size
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with every group sorted; same shape."""
        return group_sort(x, self.group_size, self.dim)

    def extra_repr(self) -> str:
        """Return the arguments, for ``print(model)``."""
        return f"group_size={self.group_size}, dim={self.dim}"


def MaxMin(dim: int = -1) -> GroupSort:  # noqa: N802 - reads as the layer it makes
    """Return ``GroupSort(2)``: each pair of units becomes (minimum, maximum).

    Args:
        dim: The dimension of the units; 1 for ``(batch, channels, height, width)``.

    Source: Anil, Lucas & Grosse, ICML 2019, Sec. 4.1; arXiv 2606.09762, Sec. 3.

    Example:
        >>> MaxMin()(torch.tensor([[2.0, -1.0]])).tolist()
        [[-1.0, 2.0]]
    """
    return GroupSort(2, dim)
