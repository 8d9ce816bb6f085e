"""The first layer on boards that are mostly empty, on a CPU.

A board of MinAtar has a few dozen entries that are on among several hundred. Adding up
the columns of the weight that these read is several times less work than a product with
all of it, in both directions.
"""

from typing import Any

import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor


@njit(nogil=True)
def add_rows(
    boards: NDArray,  # bool (n, features)
    table: NDArray,  # (features, units)
    out: NDArray,  # (n, units), changed
    places: NDArray,  # int64 (features,), overwritten
) -> None:
    """Add to each row of ``out`` the rows of ``table`` where its board is on.

    Source: definition of a product with zeros and ones.
    """
    for i in range(len(boards)):
        count = 0
        for feature in range(boards.shape[1]):
            places[count] = feature
            count += boards[i, feature]
        for k in range(count):
            row = places[k]
            for unit in range(table.shape[1]):
                out[i, unit] += table[row, unit]


@njit(nogil=True)
def collect_rows(
    boards: NDArray,  # bool (n, features)
    rows: NDArray,  # (n, units)
    table: NDArray,  # (features, units), changed
    places: NDArray,  # int64 (features,), overwritten
) -> None:
    """Add each row to the rows of ``table`` where its board is on.

    Source: the transpose of :func:`add_rows`.
    """
    for i in range(len(boards)):
        count = 0
        for feature in range(boards.shape[1]):
            places[count] = feature
            count += boards[i, feature]
        for k in range(count):
            row = places[k]
            for unit in range(table.shape[1]):
                table[row, unit] += rows[i, unit]


class _BoardLinear(torch.autograd.Function):
    """A linear layer of every member on boards of zeros and ones."""

    @staticmethod
    def forward(
        context: Any, boards: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        context.save_for_backward(boards)
        context.biased = bias is not None
        tables = weight.mT.contiguous()
        members, batch, features = boards.shape
        out = weight.new_zeros(members, batch, weight.shape[1])
        if bias is not None:
            out += bias.unsqueeze(1)
        places = torch.empty(features + 1, dtype=torch.int64).numpy()
        for i in range(members):
            own = boards[i].contiguous().numpy()
            add_rows(own, tables[i].numpy(), out[i].numpy(), places)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        context: Any, gradient: Tensor
    ) -> tuple[None, Tensor | None, Tensor | None]:
        (boards,) = context.saved_tensors
        members, _, features = boards.shape
        gradient = gradient.contiguous()
        tables = gradient.new_zeros(members, features, gradient.shape[-1])
        places = torch.empty(features + 1, dtype=torch.int64).numpy()
        for i in range(members):
            own = boards[i].contiguous().numpy()
            collect_rows(own, gradient[i].numpy(), tables[i].numpy(), places)
        return None, tables.mT, gradient.sum(1) if context.biased else None


def board_linear(
    boards: Tensor,  # bool (members, batch, features)
    weight: Tensor,  # (members, units, features)
    bias: Tensor | None = None,  # (members, units)
) -> Tensor:
    """Return ``boards @ weight^T + bias`` for every member by itself, on a CPU.

    Args:
        boards: Of each member.
        weight: Of each member.
        bias: Of each member, or none.

    Returns:
        ``(members, batch, units)``; differentiable once by weight and bias.

    Source: ours.

    Example:
        >>> boards = torch.tensor([[[True, False, True]]])
        >>> board_linear(boards, torch.tensor([[[1.0, 2.0, 3.0]]])).tolist()
        [[[4.0]]]
    """
    return _BoardLinear.apply(boards, weight, bias)
