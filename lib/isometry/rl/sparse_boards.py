"""The first layer on boards that are mostly empty, on a CPU.

A board of MinAtar has a few dozen entries that are on among several hundred. Where they
are is listed once; adding up the columns of the weight that they read is then several
times less work than a product with all of it, in both directions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Listed:
    """Where boards are on.

    Attributes:
        starts: int64 ``(boards + 1,)``: where each board's places begin, and the end.
        places: Unsigned integers, the features that are on, board after board.

    Source: ours.
    """

    starts: NDArray[np.int64]
    places: NDArray[np.unsignedinteger]


def listed(boards: Tensor, columns: Tensor | None = None) -> Listed:
    """Return where boards are on.

    Args:
        boards: bool ``(members, n, features)``, on the CPU.
        columns: int64 ``(members, features)``: by which number each feature of a
            member's boards is to be named. None: by its own.

    Source: ours.

    Example:
        >>> found = listed(torch.tensor([[[True, False, True], [False, True, True]]]))
        >>> found.starts.tolist(), found.places.tolist()
        ([0, 2, 4], [0, 2, 1, 2])
    """
    members, count, features = boards.shape
    if columns is None:
        columns = torch.arange(features).expand(members, -1)
    starts = np.empty(members * count + 1, dtype=np.int64)
    number = int(boards.count_nonzero())
    highest = int(columns.max()) if number else 0
    places = np.empty(number, dtype=np.min_scalar_type(highest))
    whole = boards.contiguous(), columns.contiguous()
    list_places(whole[0].numpy(), whole[1].numpy(), starts, places)
    return Listed(starts, places)


@njit(nogil=True)
def list_places(
    boards: NDArray,  # bool (members, n, features)
    columns: NDArray,  # int64 (members, features)
    starts: NDArray,  # int64 (members * n + 1,), overwritten
    places: NDArray,  # (number,), overwritten
) -> None:
    """Write down where boards are on, see :func:`listed`.

    Source: ours.
    """
    found = board = 0
    for member in range(len(boards)):
        for i in range(boards.shape[1]):
            starts[board] = found
            board += 1
            for feature in range(boards.shape[2]):
                if boards[member, i, feature]:
                    places[found] = columns[member, feature]
                    found += 1
    starts[board] = found


@njit(nogil=True)
def add_rows(
    starts: NDArray,  # int64 (boards + 1,)
    places: NDArray,  # (number,)
    rows: NDArray,  # int64 (members, batch), which boards
    table: NDArray,  # (members, features, units)
    bias: NDArray,  # (members, units)
    out: NDArray,  # (members, batch, units), overwritten
) -> None:
    """Write the bias and, added to it, the rows of ``table`` where a board is on.

    Four rows at a time are added in their order: the sum stays in a register.

    Source: definition of a product with zeros and ones.
    """
    units = table.shape[2]
    for member in range(len(rows)):
        for i in range(rows.shape[1]):
            for unit in range(units):
                out[member, i, unit] = bias[member, unit]
            k, end = starts[rows[member, i]], starts[rows[member, i] + 1]
            while k + 4 <= end:
                a, b, c, d = places[k], places[k + 1], places[k + 2], places[k + 3]
                for unit in range(units):
                    out[member, i, unit] = (
                        out[member, i, unit]
                        + table[member, a, unit]
                        + table[member, b, unit]
                        + table[member, c, unit]
                        + table[member, d, unit]
                    )
                k += 4
            while k < end:
                place = places[k]
                for unit in range(units):
                    out[member, i, unit] += table[member, place, unit]
                k += 1


@njit(nogil=True)
def collect_rows(
    starts: NDArray,  # int64 (boards + 1,)
    places: NDArray,  # (number,)
    rows: NDArray,  # int64 (members, batch), which boards
    gradient: NDArray,  # (members, batch, units)
    table: NDArray,  # (members, features, units), overwritten
) -> None:
    """Write into each row of ``table`` the sum over the boards that are on there.

    Source: the transpose of :func:`add_rows`.
    """
    table[:] = 0
    for member in range(len(rows)):
        for i in range(rows.shape[1]):
            for k in range(starts[rows[member, i]], starts[rows[member, i] + 1]):
                place = places[k]
                for unit in range(table.shape[2]):
                    table[member, place, unit] += gradient[member, i, unit]


class _BoardLinear(torch.autograd.Function):
    """A linear layer of every member on boards of zeros and ones."""

    @staticmethod
    def forward(
        context: Any, boards: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        members, batch, context.features = boards.shape
        context.biased = bias is not None
        on, table = listed(boards), weight.mT.contiguous()
        rows = np.arange(members * batch).reshape(members, batch)
        context.on, context.rows = on, rows
        if bias is None:
            bias = weight.new_zeros(weight.shape[:2])
        out = weight.new_empty(members, batch, weight.shape[1])
        add_rows(on.starts, on.places, rows, table.numpy(), bias.numpy(), out.numpy())
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        context: Any, gradient: Tensor
    ) -> tuple[None, Tensor | None, Tensor | None]:
        on, gradient = context.on, gradient.contiguous()
        members, _, units = gradient.shape
        table = gradient.new_empty(members, context.features, units)
        collect_rows(
            on.starts, on.places, context.rows, gradient.numpy(), table.numpy()
        )
        return None, table.mT, gradient.sum(1) if context.biased else None


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
