"""The first layer on boards that hardly differ from each other, on a CPU.

A board of MinAtar has a few dozen entries that are on among several hundred, and most
of them are those of other boards too, as the bricks of Breakout are. Where a board
differs from the usual one is listed once; adding up the columns of the weight that
these places read is then many times less work than a product with all of it, in both
directions.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isometry.core.code_cache import kept_on_disk
from isometry.core.extras import extra

with extra("rl"):
    import numpy as np
    from numba import njit
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Listed:
    """Where boards differ from what most boards of their member show.

    Attributes:
        starts: int64 ``(2 * boards + 1,)``: where each board's places begin that are on
            and mostly off, where those that are off and mostly on; and the end.
        places: Unsigned integers, the features that differ, board after board.
        usual_starts: int64 ``(members + 1,)``: the same for the features that most of a
            member's boards have on.
        usual_places: These features, member after member.
    """

    starts: NDArray[np.int64]
    places: NDArray[np.unsignedinteger]
    usual_starts: NDArray[np.int64]
    usual_places: NDArray[np.unsignedinteger]


def listed(boards: Tensor, columns: Tensor | None = None) -> Listed:
    """Return where boards differ from the usual one.

    Args:
        boards: bool ``(members, n, features)``, on the CPU.
        columns: int64 ``(members, features)``: by which number each feature of a
            member's boards is to be named. None: by its own.

    Example:
        >>> boards = torch.tensor([[[1, 0, 1], [0, 1, 1], [0, 1, 0]]]).bool()
        >>> found = listed(boards)
        >>> found.usual_places.tolist()
        [1, 2]
        >>> found.starts.tolist(), found.places.tolist()
        ([0, 1, 2, 2, 2, 2, 3], [0, 1, 2])
    """
    members, count, features = boards.shape
    if columns is None:
        columns = torch.arange(features).expand(members, -1)
    names = columns.contiguous().numpy()
    shown = boards.contiguous().view(torch.uint8).numpy()
    usual = np.empty((members, features), dtype=np.uint8)
    number = _usual_boards(shown, usual)
    # Two bytes a place where they do: the list is what every pass over it reads.
    kind = np.min_scalar_type(int(names.max()))
    usual_starts = np.append(0, usual.sum(1, dtype=np.int64).cumsum())
    found = Listed(
        starts=np.empty(2 * members * count + 1, dtype=np.int64),
        places=np.empty(number, dtype=kind),
        usual_starts=usual_starts,
        usual_places=names[usual.astype(np.bool_)].astype(kind),
    )
    # Many entries are compared at a time: as many as divide a board, at most eight.
    size = int(np.gcd(features, 8))
    one, other = (array.view(f"u{size}") for array in (shown, usual))
    _list_places(one, other, shown, usual, names, found.starts, found.places)
    return found


@kept_on_disk
@njit(nogil=True)
def _usual_boards(shown: NDArray, usual: NDArray) -> int:
    """Write what most boards show; return in how many places boards differ from it."""
    members, boards, features = shown.shape
    on, number = np.empty(features, dtype=np.int32), 0
    for member in range(members):
        on[:] = 0
        for i in range(boards):
            for feature in range(features):
                on[feature] += shown[member, i, feature]
        for feature in range(features):
            usual[member, feature] = 2 * on[feature] > boards
            number += min(on[feature], boards - on[feature])
    return number


@kept_on_disk
@njit(nogil=True)
def _list_places(
    words: NDArray,  # shown, several entries in one integer
    usual_words: NDArray,  # usual, likewise
    shown: NDArray,  # uint8 (members, n, features)
    usual: NDArray,  # uint8 (members, features)
    columns: NDArray,  # int64 (members, features)
    starts: NDArray,  # int64 (2 * members * n + 1,), overwritten
    places: NDArray,  # (number,), overwritten
) -> None:
    """Write down where boards differ from the usual one, see :func:`listed`."""
    members, boards, features = shown.shape
    size, missing = features // words.shape[2], np.empty(features, dtype=np.int64)
    found = at = 0
    for member in range(members):
        for i in range(boards):
            starts[at], off = found, 0
            for word in range(words.shape[2]):
                if words[member, i, word] == usual_words[member, word]:
                    continue
                for feature in range(word * size, (word + 1) * size):
                    if shown[member, i, feature] > usual[member, feature]:
                        places[found] = columns[member, feature]
                        found += 1
                    elif shown[member, i, feature] < usual[member, feature]:
                        missing[off] = columns[member, feature]
                        off += 1
            starts[at + 1] = found
            for k in range(off):
                places[found + k] = missing[k]
            found += off
            at += 2
    starts[at] = found


def add_rows(
    on: Listed,
    rows: NDArray[np.int64],  # (members, batch), which boards
    table: Tensor,  # (members, features, units)
    bias: Tensor,  # (members, units)
    out: Tensor,  # (members, batch, units), overwritten
) -> None:
    """Write the bias and, added to it, the rows of ``table`` where a board is on.

    Source: definition of a product with zeros and ones.
    """
    own = on.starts, on.places, on.usual_starts, on.usual_places
    _add_rows(*own, rows, table.numpy(), bias.numpy(), out.numpy())


@kept_on_disk
@njit(nogil=True)
def _add_rows(
    starts: NDArray,
    places: NDArray,
    usual_starts: NDArray,
    usual_places: NDArray,
    rows: NDArray,
    table: NDArray,
    bias: NDArray,
    out: NDArray,
) -> None:
    """Start from the usual board's sum; add what is more, take away what is less.

    Entries are named whole: a view of a row would cost more than the row's sum.
    """
    units = table.shape[2]
    for member in range(len(rows)):
        usual = bias[member].copy()
        for k in range(usual_starts[member], usual_starts[member + 1]):
            place = usual_places[k]
            for unit in range(units):
                usual[unit] += table[member, place, unit]
        for i in range(rows.shape[1]):
            at = 2 * rows[member, i]
            for unit in range(units):
                out[member, i, unit] = usual[unit]
            k, less = starts[at], starts[at + 1]
            while k + 4 <= less:  # four at a time: the sum stays in a register
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
            for rest in range(k, less):
                place = places[rest]
                for unit in range(units):
                    out[member, i, unit] += table[member, place, unit]
            for k in range(less, starts[at + 2]):
                place = places[k]
                for unit in range(units):
                    out[member, i, unit] -= table[member, place, unit]


def collect_rows(
    on: Listed,
    rows: NDArray[np.int64],  # (members, batch), which boards
    gradient: Tensor,  # (members, batch, units)
    table: Tensor,  # (members, features, units), overwritten
) -> None:
    """Write into each row of ``table`` the sum over the boards that are on there.

    Source: the transpose of :func:`add_rows`.
    """
    own = on.starts, on.places, on.usual_starts, on.usual_places
    _collect_rows(*own, rows, gradient.numpy(), table.numpy())


@kept_on_disk
@njit(nogil=True)
def _collect_rows(
    starts: NDArray,
    places: NDArray,
    usual_starts: NDArray,
    usual_places: NDArray,
    rows: NDArray,
    gradient: NDArray,
    table: NDArray,
) -> None:
    """Collect where boards differ, and the sum of all where the usual board is on."""
    table[:] = 0
    units = table.shape[2]
    total = np.empty(units, dtype=table.dtype)
    for member in range(len(rows)):
        total[:] = 0
        for i in range(rows.shape[1]):
            at = 2 * rows[member, i]
            for unit in range(units):
                total[unit] += gradient[member, i, unit]
            for k in range(starts[at], starts[at + 1]):
                place = places[k]
                for unit in range(units):
                    table[member, place, unit] += gradient[member, i, unit]
            for k in range(starts[at + 1], starts[at + 2]):
                place = places[k]
                for unit in range(units):
                    table[member, place, unit] -= gradient[member, i, unit]
        for k in range(usual_starts[member], usual_starts[member + 1]):
            place = usual_places[k]
            for unit in range(units):
                table[member, place, unit] += total[unit]


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
        add_rows(on, rows, table, bias, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        context: Any, gradient: Tensor
    ) -> tuple[None, Tensor | None, Tensor | None]:
        on, gradient = context.on, gradient.contiguous()
        members, _, units = gradient.shape
        table = gradient.new_empty(members, context.features, units)
        collect_rows(on, context.rows, gradient, table)
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

    Example:
        >>> boards = torch.tensor([[[True, False, True]]])
        >>> board_linear(boards, torch.tensor([[[1.0, 2.0, 3.0]]])).tolist()
        [[[4.0]]]
    """
    return _BoardLinear.apply(boards, weight, bias)
