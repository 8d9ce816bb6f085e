"""A layer's Jacobian: from the input of a linear map to the activation behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isometry.diagnostics.recording import Map

# Entries of all inputs' Jacobians of one layer, times their smaller side: beyond that
# fewer inputs are used. About a second on one core.
MOST_WORK = 2**31
JACOBIAN_SECONDS = 6e-11  # about, of one core, for one of these


@dataclass(frozen=True)
class Link:
    """A linear map and what it was called with.

    Attributes:
        name: Of the weight.
        source: A copy of the input, in the graph.
        convolution: Whether it is one.
        node: Of the graph, at the map's output; None outside the graph.
        shape: Of that output.
        again: The map itself.
    """

    name: str
    source: Tensor
    convolution: bool
    node: Any = None
    shape: torch.Size = torch.Size()
    again: Map | None = None


def ends(link: Link, output: Tensor) -> tuple[Tensor, int, tuple[int, ...]]:
    """Return a layer's outputs ``(n, rows)``, its columns, and at which place.

    Args:
        link: The linear map.
        output: Of the activation, ``(n, ...)``.
    """
    source, target = link.source, output
    place: tuple[int, ...] = ()
    sequence = source.ndim > 2 and not link.convolution
    if sequence and target.shape[:-1] == source.shape[:-1]:
        place = tuple(size // 2 for size in source.shape[1:-1])
        for position in place:
            target = target.select(1, position)
    columns = source.shape[-1] if place else source[0].numel()
    return target.flatten(1), columns, place


def affordable(link: Link, output: Tensor, most: int) -> int | str:
    """Return for how many inputs a layer's Jacobian is taken, or why for none.

    Args:
        link: The linear map.
        output: Of the activation, ``(n, ...)``.
        most: Entries of one input's Jacobian.
    """
    target, columns, _ = ends(link, output)
    rows = target.shape[1]
    if rows * columns > most:
        size = f"{rows} x {columns}"
        return f"it has {size} entries for each input; raise max_layer_entries"
    if len(target) != len(link.source):
        return "it does not keep the inputs apart"
    return max(1, MOST_WORK // (rows * columns * min(rows, columns)))


def layer_seconds(rows: int, columns: int, inputs: int, most: int) -> float:
    """Return about how many seconds of one core a layer's Jacobians take.

    Args:
        rows: Outputs of the layer for one input of the model.
        columns: Inputs of it.
        inputs: Of the model, that Jacobians are taken at, at most.
        most: Entries of one input's Jacobian beyond which it is left out.

    Example:
        >>> layer_seconds(10, 10, 1, 99)
        0.0
    """
    if rows * columns > most:
        return 0.0
    work = rows * columns * min(rows, columns)
    return JACOBIAN_SECONDS * work * min(inputs, max(1, MOST_WORK // work))


def diagonal(link: Link, target: Tensor, place: tuple[int, ...]) -> Tensor | None:
    """Return the derivative of each output by its own entry of what a map said.

    Args:
        link: The linear map.
        target: The layer's outputs, ``(n, m)``.
        place: From :func:`ends`.

    Returns:
        ``(n, m)``; None if an output hangs on another entry as well: then for random v
        the product of v with all derivatives is not v times these.
    """
    edge = torch.autograd.graph.GradientEdge(link.node, 0)
    ones = torch.ones_like(target)
    draw = torch.Generator("cpu").manual_seed(0)
    some = 0.5 + torch.rand(target.shape, generator=draw, device="cpu").to(target)
    found = []
    for weights in (ones, some):
        (given,) = torch.autograd.grad(
            target, edge, weights, retain_graph=True, allow_unused=True
        )
        if given is None or given.shape != link.shape:
            return None
        found.append(given)
    slopes, mixed = (at(given.flatten(1), link.shape[1:], place) for given in found)
    if slopes.shape != target.shape:
        return None
    apart = (mixed - some * slopes).abs().max()
    rounding = 32 * torch.finfo(target.dtype).eps * slopes.abs().max()
    return slopes if bool(apart <= rounding) else None


def own_jacobian(link: Link, place: tuple[int, ...], rows: int) -> Tensor:
    """Return a linear map's Jacobian, ``(rows, columns)``, from one backward pass.

    The map is called with so many copies of an input as it has rows: a convolution's
    backward pass through a batch is several times faster than one that vmap makes.

    Args:
        link: The linear map.
        place: From :func:`ends`.
        rows: Of the Jacobian.
    """
    assert link.again is not None
    one = at(link.source[:1].detach().flatten(1), link.source.shape[1:], place)
    one = one if place else one.view(1, *link.source.shape[1:])
    inputs = one.expand(rows, *one.shape[1:]).contiguous().requires_grad_()
    said = link.again(inputs).flatten(1)
    each = torch.eye(rows, dtype=said.dtype, device=said.device)
    (found,) = torch.autograd.grad(said, inputs, each)
    return found.flatten(1)


def at(values: Tensor, shape: Sequence[int], place: tuple[int, ...]) -> Tensor:
    """Return what a last dimension, of a shape if unflattened, has at a place.

    Args:
        values: ``(..., entries)``.
        shape: Of the entries.
        place: From :func:`ends`; empty: all of them.

    Example:
        >>> at(torch.arange(6.0), (3, 2), (1,)).tolist()
        [2.0, 3.0]
    """
    if not place:
        return values
    whole = values.unflatten(-1, tuple(shape))
    for position in place:
        whole = whole.select(values.ndim - 1, position)
    return whole
