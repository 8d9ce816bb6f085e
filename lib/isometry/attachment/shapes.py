"""Operations that only move entries: what they do to units and to parameters."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from torch import Tensor

from isometry.attachment.values import Axis, Held, Segment, Units

Shape = Sequence[int]


def reshaped(units: Units, old: Shape, new: Shape) -> Units | None:
    """Return where units lie after a view with other dimensions, or None.

    Args:
        units: Before.
        old: Shape before.
        new: Shape after, of as many entries in the same order.

    Example:
        >>> from isometry.attachment.values import Expression
        >>> units = Units(1, (Segment(None, 0, 3),), Expression())
        >>> reshaped(units, (2, 3, 4), (2, 12)).after
        4
        >>> reshaped(units, (2, 6), (2, 3, 2)) is None
        True
    """
    outer = prod(old[: units.dim]) * units.before
    inner = prod(old[units.dim + 1 :]) * units.after
    found = []
    for dim, size in enumerate(new):
        outside, inside = prod(new[:dim]), prod(new[dim + 1 :])
        if outside == 0 or inside == 0 or outer % outside or inner % inside:
            continue
        before, after = outer // outside, inner // inside
        if before * units.size * after == size:
            found.append(replace(units, dim=dim, before=before, after=after))
    # A single unit fits everywhere; the plainest place is the right one.
    return min(found, key=lambda u: u.before * u.after, default=None)


def cut(units: Units, start: int, size: int) -> Units | None:
    """Return a range of entries along the units' dimension, or None: no whole units.

    Args:
        units: Before.
        start: First entry.
        size: How many.
    """
    if start == 0 and size == units.before * units.size * units.after:
        return units
    if units.before > 1 or start % units.after or size % units.after:
        return None
    first, last = start // units.after, (start + size) // units.after
    found, passed = [], 0
    for segment in units.segments:
        low, high = max(first, passed), min(last, passed + segment.size)
        if low < high:
            own = segment.start + low - passed
            found.append(replace(segment, start=own, size=high - low))
        passed += segment.size
    return replace(units, segments=tuple(found)) if found else None


def merged(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return segments with neighbours that follow one another in one layer as one.

    Args:
        segments: In order.
    """
    found: list[Segment] = []
    for segment in segments:
        last = found[-1] if found else None
        if (
            last is not None
            and segment.source is last.source
            and segment.start == last.start + last.size
            and (segment.active, segment.norms) == (last.active, last.norms)
        ):
            found[-1] = replace(last, size=last.size + segment.size)
        else:
            found.append(segment)
    return tuple(found)


def whole(name: str, parameter: Tensor) -> Held:
    """Return a parameter as a view of itself.

    Args:
        name: Of the parameter.
        parameter: It.
    """
    shape = parameter.shape
    return Held(name, tuple(Axis(raw, 0, size) for raw, size in enumerate(shape)))


def reshaped_parameter(held: Held, old: Shape, new: Shape) -> Held | None:
    """Return a parameter's view with dimensions of size one put in or left out.

    Args:
        held: Before.
        old: Shape before.
        new: Shape after.
    """
    kept = [axis for axis, size in zip(held.axes, old, strict=True) if size != 1]
    if [size for size in old if size != 1] != [size for size in new if size != 1]:
        return None
    left = iter(kept)
    return replace(held, axes=tuple(next(left) if s != 1 else None for s in new))


def selected(held: Held, dim: int, index: int) -> Held | None:
    """Return one of a parameter's leading members, or None if it is no such.

    Args:
        held: Before.
        dim: Which dimension of the view.
        index: Which entry of it.
    """
    axis = held.axes[dim]
    rest = held.axes[:dim] + held.axes[dim + 1 :]
    if axis is None:
        return replace(held, axes=rest)
    if axis.raw != len(held.member):
        return None
    return replace(held, axes=rest, member=(*held.member, axis.start + index))
