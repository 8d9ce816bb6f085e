"""Operations that only move entries: views, orders, ranges, and rows of tensors."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from isometry.attachment.operations.rules import carried, identity, mixed, rule, unclear
from isometry.attachment.shapes import (
    cut,
    merged,
    reshaped,
    reshaped_parameter,
    selected,
)
from isometry.attachment.tracing import Call, next_expression
from isometry.attachment.values import (
    Axis,
    Expression,
    Held,
    Segment,
    Units,
    Value,
    joined,
    those_of,
)


@rule("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten")
def _reshape(call: Call) -> Value:
    """The same entries in the same order, with other dimensions."""
    given, out = call.args[0], call.out
    value = call.of(given)
    if out.dtype != given.dtype:
        return unclear(call)
    if isinstance(value, Units):
        shape = "x".join(map(str, out.shape))
        why = f"a view of shape {shape} splits its units up, as heads or pairs do"
        return reshaped(value, given.shape, out.shape) or value.refuse(why)
    if isinstance(value, Held):
        kept = reshaped_parameter(value, given.shape, out.shape)
        return kept or mixed(call)
    return value


@rule("detach", "alias", "clone", "contiguous", "_to_copy", "lift_fresh", "to")
def _same(call: Call) -> Value:
    """The same entries; in another type, perhaps."""
    return call.of(call.args[0])


@rule("copy")
def _copy(call: Call) -> Value:
    """The entries of another tensor."""
    source = call.args[1]
    value = call.of(source)
    if isinstance(value, Units) and source.shape != call.out.shape:
        return value.refuse("copies of its units are repeated")
    return value


def _moved(value: Units | Held, order: list[int]) -> Value:
    """Return what is known after dimensions were put in an order."""
    if isinstance(value, Units):
        return replace(value, dim=order.index(value.dim))
    return replace(value, axes=tuple(value.axes[dim] for dim in order))


@rule("permute", "transpose", "t")
def _permute(call: Call) -> Value:
    """Dimensions in another order."""
    given = call.args[0]
    order = list(range(given.ndim))
    if call.name == "permute":
        order = [dim % given.ndim for dim in call.args[1]]
    elif call.name == "transpose" or given.ndim == 2:
        one, other = call.args[1:3] if call.name == "transpose" else (0, 1)
        order[one], order[other] = order[other], order[one]
    value = call.of(given)
    return _moved(value, order) if isinstance(value, Units | Held) else value


@rule("expand")
def _expand(call: Call) -> Value:
    """Dimensions of size one repeated, and new ones in front."""
    given, out = call.args[0], call.out
    value, new = call.of(given), call.out.ndim - call.args[0].ndim
    if isinstance(value, Units):
        if out.shape[value.dim + new] != given.shape[value.dim]:
            return value.refuse("its unit is repeated by expand")
        return _at_places(call, value, out, value.dim + new)
    if isinstance(value, Held):
        same = [*(None,) * new]
        for axis, old, size in zip(
            value.axes, given.shape, out.shape[new:], strict=True
        ):
            same.append(axis if old == size else None)
        return replace(value, axes=tuple(same))
    return value


def _at_places(call: Call, units: Units, out: Tensor, dim: int) -> Units:
    """Return units of which other places were kept than before, or all of them."""
    if out.numel() == call.args[0].numel():
        return replace(units, dim=dim)
    return carried(call, units, out, dim)


def _ranged(call: Call, out: Tensor, dim: int, start: int) -> Value:
    """Return what is known of a range of entries along a dimension."""
    value, size = call.of(call.args[0]), out.shape[dim]
    if isinstance(value, Units) and dim == value.dim:
        kept = cut(value, start, size)
        return kept or value.refuse(f"{call.name} cuts through its units")
    if isinstance(value, Units):
        return _at_places(call, value, out, value.dim)
    axis = value.axes[dim] if isinstance(value, Held) else None
    if isinstance(value, Held) and axis is not None:
        axes = list(value.axes)
        axes[dim] = Axis(axis.raw, axis.start + start, size)
        return replace(value, axes=tuple(axes))
    return value


@rule("slice", "narrow")
def _slice(call: Call) -> Value:
    """A range of entries along one dimension."""
    given = call.args[0]
    if call.name == "narrow":
        dim, start, step = call.args[1] % given.ndim, call.args[2], 1
    else:
        dim = call.argument(1, 0) % given.ndim
        start, step = call.argument(2) or 0, call.argument(4, 1)
    value, length = call.of(given), given.shape[dim]
    own = value.dim == dim if isinstance(value, Units) else isinstance(value, Held)
    if step != 1 and own:
        return unclear(call, "a slice with steps leaves units out")
    start = max(0, start + length) if start < 0 else start
    return _ranged(call, call.out, dim, start)


@rule("split", "split_with_sizes", "unsafe_split", "chunk", "unsafe_chunk")
def _split(call: Call) -> list[Value]:
    """Ranges of entries along one dimension."""
    dim = call.argument(2, 0) % call.args[0].ndim
    found, start = [], 0
    for out in call.out:
        found.append(_ranged(call, out, dim, start))
        start += out.shape[dim]
    return found


@rule("select", "unbind")
def _select(call: Call) -> Any:
    """One entry along a dimension, or all of them one by one."""
    given = call.args[0]
    value = call.of(given)
    dim = (call.args[1] if len(call.args) > 1 else 0) % given.ndim
    one = call.name == "select"
    outs = [call.out] if one else call.out
    indices = [call.args[2]] if one else range(given.shape[dim])
    found: list[Value] = []
    for index, out in zip(indices, outs, strict=True):
        part: Value = value
        if isinstance(value, Units):
            if dim == value.dim:
                part = value.refuse(f"{call.name} takes its units apart")
            else:
                part = _at_places(call, value, out, value.dim - (dim < value.dim))
        elif isinstance(value, Held):
            part = selected(value, dim, index % given.shape[dim]) or mixed(call)
        found.append(part)
    return found


@rule("index", "index_select", "flip", "roll", "repeat", "constant_pad_nd")
def _places(call: Call) -> Value:
    """Places of a map or samples of a batch chosen anew, or zeros around them."""
    given = call.args[0]
    value = call.of(given)
    others = [t for t in call.values.values() if isinstance(t, Units)]
    if not isinstance(value, Units) or len(others) != 1:
        return unclear(call)
    dims = _touched(call, given)
    shift = call.out.ndim - given.ndim
    if dims is None or value.dim in dims:
        return value.refuse(f"{call.name} rearranges its units")
    if call.name == "constant_pad_nd" and call.argument(2, 0) != 0:
        return value.refuse("its map is padded with other than zeros")
    return carried(call, value, call.out, value.dim + shift)


def _touched(call: Call, given: Tensor) -> set[int] | None:
    """Return the dimensions whose entries are chosen anew, or None: unclear."""
    if call.name == "index":
        indices = call.args[1]
        chosen = [dim for dim, index in enumerate(indices) if index is not None]
        plain = [index for index in indices if index is not None]
        # Several indices, or a mask, change the number of dimensions before the units.
        if len(plain) != 1 or plain[0].ndim != 1:
            return None
        return set(chosen)
    if call.name == "index_select":
        return {call.args[1] % given.ndim}
    if call.name == "flip":
        return {dim % given.ndim for dim in call.args[1]}
    if call.name == "roll":
        dims = call.argument(2, ())
        return {dim % given.ndim for dim in dims} if dims else None
    if call.name == "repeat":
        times = list(call.args[1])[call.out.ndim - given.ndim :]
        return {dim for dim, count in enumerate(times) if count != 1}
    pads = call.args[1]
    ends = [(pads[i], pads[i + 1]) for i in range(0, len(pads), 2)]
    return {given.ndim - 1 - i for i, pair in enumerate(ends) if pair != (0, 0)}


@rule("cat", "stack")
def _cat(call: Call) -> Value:
    """Units beside units, or places after places."""
    tensors = [t for t in call.args[0] if t.numel() or t.ndim > 1]
    values = [call.of(t) for t in tensors]
    units = [v for v in values if isinstance(v, Units)]
    if not units:
        return mixed(call)
    dim = call.argument(1, 0) % call.out.ndim
    if call.name == "stack":
        units = [replace(u, dim=u.dim + (dim <= u.dim)) for u in units]
    first = units[0]
    place = (first.dim, first.before, first.after)
    alike = all((u.dim, u.before, u.after) == place for u in units)
    samples = call.out.numel() // max(1, call.out.shape[first.dim])
    parents = [u.expression for u in units]
    made = next_expression(call, parents, again=False, samples=samples)
    if call.name == "cat" and dim == first.dim and alike and first.before == 1:
        segments: list[Segment] = []
        for tensor, value in zip(tensors, values, strict=True):
            size, rest = divmod(tensor.shape[dim], first.after)
            if rest:
                return unclear(call, "cat puts other data beside its units")
            beside = (Segment(None, 0, size),)
            segments += value.segments if isinstance(value, Units) else beside
        return replace(first, segments=merged(segments), expression=made)
    same = [(identity(u), [bool(s.active) for s in u.segments]) for u in units]
    if len(units) < len(values) or not alike or any(s != same[0] for s in same):
        for part in units:
            others = joined(v for v in values if v is not part).of
            part.refuse(f"{call.name} puts its units in a row with {those_of(others)}")
        return mixed(call)
    joint = [
        replace(one, active=_all(u.segments[i].active for u in units))
        for i, one in enumerate(first.segments)
    ]
    return replace(first, segments=tuple(joint), expression=made)


def _all(groups: Any) -> tuple[Expression, ...]:
    """Return the expressions of several groups, each once."""
    return tuple(dict.fromkeys(e for group in groups for e in group))
