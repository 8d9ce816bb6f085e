"""Where the activations of a layer can be seen: a module's output, or near it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isometry.attachment.tracing import Sight
from isometry.attachment.values import Expression, Source, Units
from isometry.attachment.wiring import Point


class _Slot(NamedTuple):
    """The result of a step; 0 is what the steps start from."""

    number: int


@dataclass(frozen=True)
class Again:
    """The operations between a module's output and the activations, once more.

    Attributes:
        steps: Name of an operation in ``torch.ops``, its arguments and keywords.
    """

    steps: tuple[tuple[str, tuple[Any, ...], tuple[tuple[str, Any], ...]], ...]

    def __call__(self, output: Tensor) -> Tensor:
        """Return the activations, of the same dimensions.

        Args:
            output: Of the module.
        """
        found: list[Tensor] = [output]
        for name, arguments, keywords in self.steps:
            given = [found[a.number] if isinstance(a, _Slot) else a for a in arguments]
            result = attrgetter(name)(torch.ops)(*given, **dict(keywords))
            found.append(result[0] if isinstance(result, tuple) else result)
        return found[-1]


def _again(goal: Expression, base: Expression, place: tuple[int, int]) -> Again | None:
    """Return how a tensor is computed from another, or None: not from it alone.

    Args:
        goal: The tensor.
        base: What to start from.
        place: Number of dimensions of the base, and which one has the units.
    """
    slots = {base: 0}
    steps: list[Any] = []

    def reach(made: Expression) -> bool:
        if made in slots:
            return True
        if made.op is None or made.number < base.number:
            return False
        if made.layout not in (None, place) or not all(map(reach, made.parents)):
            return False
        arguments = tuple(
            _Slot(slots[a]) if isinstance(a, Expression) else _plain(a)
            for a in made.arguments
        )
        steps.append((str(made.op), arguments, tuple(made.keywords.items())))
        slots[made] = len(steps)
        return True

    return Again(tuple(steps)) if reach(goal) else None


def _plain(argument: Any) -> Any:
    """Return an argument that can be compared."""
    return tuple(argument) if isinstance(argument, list) else argument


def _own(sights: Sequence[Sight], source: Source) -> list[tuple[Sight, Units]]:
    """Return what a module showed of a layer, or nothing if it showed others too."""
    found = []
    for sight in sights:
        value = sight.value
        if not isinstance(value, Units) or sight.same:
            return []
        plain = (value.before, value.after) == (1, 1)
        alone = len(value.segments) == 1 and value.segments[0].whole
        if not plain or not alone or value.segments[0].source is not source:
            return []
        found.append((sight, value))
    return found


def point_of(
    source: Source,
    actives: Sequence[Expression],
    sights: Mapping[str, Sequence[Sight]],
) -> Point | None:
    """Return where the activations of a layer can be seen, or None: nowhere.

    Args:
        source: The layer.
        actives: Its activations, one a call.
        sights: What each module returned, by its path.
    """
    best: tuple[Any, Point] | None = None
    for path, calls in sights.items():
        own = _own(calls, source)
        if len(own) != len(actives):
            continue
        places = {(sight.ndim, value.dim) for sight, value in own}
        if len(places) > 1:
            continue
        place = places.pop()
        ways = []
        for active in actives:
            found = [_again(active, value.expression, place) for _, value in own]
            ways.append([way for way in found if way is not None])
        if any(len(way) != 1 for way in ways) or len({way[0] for way in ways}) > 1:
            continue
        way = ways[0][0]
        rank = len(way.steps), own[0][0].number
        ndim, dim = place
        if best is None or rank < best[0]:
            point = Point(
                module=path,
                dim=-1 if dim == ndim - 1 else dim,
                function=way if way.steps else None,
            )
            best = rank, point
    return best[1] if best else None
