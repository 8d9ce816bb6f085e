"""What a parameter does to its input: the matrices that it holds, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from isometry.core.messages import refusal, unknown

Parts = int | tuple[int, ...]
LAYOUT = ("members", "parts", "axis")


@dataclass(frozen=True, kw_only=True)
class Operator:
    """What a parameter is, and how the matrices of its operator lie in it.

    Args:
        kind: ``matrix``, ``kernel``, ``packed matrices``, ``grouped kernel``,
            ``table``, ``gain``, ``vector``, ``token``, ``scale``, ``decay``,
            ``parametrised``, ``adapter`` or ``unknown``.
        why: Why its singular values are not those of an operator; empty where they are.
        members: Leading dimensions that count members, such as experts.
        parts: Into how many equal matrices it falls, or the size of each.
        axis: Along which axis after the members they lie: 0 rows, 1 columns.

    Example:
        >>> [part.shape[0] for part in Operator(kind="packed matrices", parts=3).split(
        ...     torch.zeros(6, 2))]
        [2, 2, 2]
    """

    kind: str
    why: str = ""
    members: int = 0
    parts: Parts = 1
    axis: int = 0

    def split(self, weight: Tensor) -> list[Tensor]:
        """Return views of a weight, each ``(*members, out, in, ...)``, one a matrix.

        Args:
            weight: ``(*members, out, in, ...)``, with all matrices in it.
        """
        return split(weight, self.members, self.parts, self.axis)


def split(weight: Tensor, members: int, parts: Parts, axis: int) -> list[Tensor]:
    """Return the matrices of a weight as views; see :class:`Operator`.

    Args:
        weight: ``(*members, out, in, ...)``.
        members: Number of leading member dimensions.
        parts: Number of equal parts, or their sizes.
        axis: 0 for blocks of rows, 1 for blocks of columns.

    Raises:
        ValueError: If the parts do not add up to the weight.

    Example:
        >>> [part.shape for part in split(torch.zeros(2, 5), 0, (1, 4), 1)]
        [torch.Size([2, 1]), torch.Size([2, 4])]
    """
    if parts == 1:
        return [weight]
    size = weight.shape[members + axis]
    whole = sum(parts) == size if isinstance(parts, tuple) else size % parts == 0
    if not whole:
        raise ValueError(
            refusal(
                f"{parts} parts along axis {axis}",
                f"a weight of shape {tuple(weight.shape)}",
                "give sizes that add up",
            )
        )
    sizes = list(parts) if isinstance(parts, tuple) else size // parts
    return list(torch.split(weight, sizes, dim=members + axis))


def has_matrix(parameter: Tensor, member_dims: int = 0) -> bool:
    """Return whether a parameter is a real weight, not a vector, in each member.

    Args:
        parameter: Any parameter that is not lazy.
        member_dims: Number of leading member dimensions.

    Source: ours; biases and gains are left alone, a kernel counts as a matrix.

    Example:
        >>> has_matrix(torch.ones(8, 3)), has_matrix(torch.ones(8, 3), member_dims=1)
        (True, False)
    """
    enough = parameter.ndim >= member_dims + 2 and parameter.numel() > 0
    return enough and parameter.is_floating_point()


def by_shape(parameter: Tensor, member_dims: int = 0) -> Operator:
    """Return the operator of a parameter of which only the shape is known.

    Args:
        parameter: Any parameter.
        member_dims: Number of leading member dimensions.

    Example:
        >>> by_shape(torch.ones(8, 3, 5, 5)).kind, by_shape(torch.ones(8)).kind
        ('kernel', 'vector')
    """
    if is_lazy(parameter):
        return Operator(kind="matrix")
    if not parameter.is_floating_point():
        return Operator(kind="unknown", why="not real numbers")
    if parameter.numel() == 0:
        return Operator(kind="matrix", why="no entries")
    dims = parameter.ndim - member_dims
    if dims < 2:
        return Operator(kind="vector", why="a vector")
    return Operator(kind="matrix" if dims == 2 else "kernel")


def marked(parameter: Tensor, member_dims: int = 0) -> Operator | None:
    """Return what a parameter says of itself by its attribute ``isometry``.

    ``False`` spares it, ``True`` takes it by its shape, and keywords of
    :class:`Operator`, such as ``{"parts": 3}``, say how its matrices lie in it. Plain
    values, so that models are saved as before.

    Args:
        parameter: Any parameter.
        member_dims: Number of leading member dimensions.

    Returns:
        The operator, or None without the attribute.

    Raises:
        ValueError: If the attribute is something else.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(2, 2))
        >>> weight.isometry = False
        >>> marked(weight).why
        'its attribute isometry is False'
    """
    mark: Any = getattr(parameter, "isometry", None)
    if mark is None or mark is True:
        return None if mark is None else by_shape(parameter, member_dims)
    if mark is False:
        kind = by_shape(parameter, member_dims).kind
        return Operator(kind=kind, why="its attribute isometry is False")
    if not isinstance(mark, Mapping):
        raise ValueError(
            refusal(
                "isometry True, False or keywords of its layout as attribute",
                mark,
                "set e.g. parameter.isometry = {'parts': 3}",
            )
        )
    for key in mark:
        if key not in LAYOUT:
            raise ValueError(unknown("keyword of a layout", key, LAYOUT))
    operator = Operator(kind="packed matrices", **mark)
    if not is_lazy(parameter):
        split(parameter, member_dims + operator.members, operator.parts, operator.axis)
    return operator
