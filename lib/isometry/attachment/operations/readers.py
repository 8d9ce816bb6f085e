"""Operations with weights: products, convolutions, norms, and recurrent layers."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from isometry.attachment.operations.rules import WEIGHT, mixed, rule, unclear
from isometry.attachment.tracing import Call, Trace
from isometry.attachment.values import (
    Axis,
    Data,
    Expression,
    Held,
    Made,
    Norm,
    Reading,
    Segment,
    Units,
    Value,
    joined,
)
from isometry.attachment.wiring import View

# --- what a weight reads, and what it returns -----------------------------------------


def _blocks(trace: Trace, held: Held, axis: Axis, column: Axis) -> list[Segment] | str:
    """Return the weights that a range of rows of a parameter falls into, or why not."""
    raw = axis.raw - len(held.member)
    found = []
    for source in trace.sources.get(held.name, ()):
        view = source.view
        if view.member != held.member:
            continue
        if view.size is not None and view.axis != raw:
            return "its matrices lie side by side"
        transposed = axis.raw > column.raw
        if source.called and view.transposed != transposed:
            return "it is used in both directions"
        if view.transposed != transposed:
            source.view = replace(view, transposed=transposed)
        start = source.view.start if view.size is not None else 0
        low = max(start, axis.start)
        high = min(start + source.units, axis.start + axis.size)
        if low < high:
            found.append(Segment(source, low - start, high - low))
    return found or "its members act at once, or it is no weight by itself"


def _read(
    call: Call,
    seen: Value,  # of the tensor that is read
    fits: bool,  # whether its units lie along the dimension that is summed over
    held: Held,
    column: Axis | None,
    row: Axis | None,
    out: Tensor,
    dim: int,
) -> Value:
    """Let a weight read a tensor, and return its own units, along ``dim``."""
    trace = call.trace
    if column is None or row is None:
        return unclear(call, f"{held.name} acts on them in a way that is not known")
    blocks = _blocks(trace, held, row, column)
    if isinstance(blocks, str):
        trace.used_otherwise(held, call.name)
        if isinstance(seen, Units):
            seen.refuse(f"{held.name} reads its units, and {blocks}")
        return joined([seen, Data((held.name.removesuffix(".weight"),))])
    readers = [b.source for b in blocks if b.source is not None]
    first = readers[0].short
    for reader in readers:
        trace.use(held, WEIGHT)
        if not isinstance(seen, Units):
            reader.columns.append((column.start, column.size, None))
    if isinstance(seen, Units):
        if not fits or seen.before > 1:
            seen.refuse(f"{first} does not read each of its units in one place")
            for reader in readers:
                reader.columns.append((column.start, column.size, None))
        else:
            _note_readings(seen, blocks, column)
    made = Expression(kind=WEIGHT, samples=out.numel() // max(1, out.shape[dim]))
    passed = 0
    for block in blocks:
        if block.source is not None:
            made.rows[block.source] = passed - block.start
            block.source.called.append(made)
        passed += block.size
    return Units(dim=dim, segments=tuple(blocks), expression=made)


def _note_readings(seen: Units, blocks: list[Segment], column: Axis) -> None:
    """Remember which columns of which weights read which units."""
    start = column.start
    for segment in seen.segments:
        size = segment.size * seen.after
        for block in blocks:
            reader = block.source
            if reader is None:
                continue
            reader.columns.append((start, size, segment.source))
            if segment.source is None:
                continue
            if not block.whole:
                segment.source.refuse(f"only a part of {reader.short} reads its units")
            if not segment.whole:
                why = f"{reader.short} reads only a part of its units"
                segment.source.refuse(why)
            if not segment.active:
                why = f"no nonlinearity stands between it and {reader.short}"
                segment.source.refuse(why)
            segment.source.readings.append(Reading(reader, start, size, segment))
        start += size


def _product(call: Call, left: Tensor, right: Tensor, out: Tensor) -> Value:
    """A product of two matrices, or of stacks of them; one may be a weight."""
    one, other = call.of(left), call.of(right)
    if isinstance(other, Held) and not isinstance(one, Held):
        column, row = other.axes[-2:] if right.ndim > 1 else (other.axes[0], None)
        fits = isinstance(one, Units) and one.dim == left.ndim - 1
        weight, seen, dim = other, one, out.ndim - 1
    elif isinstance(one, Held) and not isinstance(other, Held):
        row, column = one.axes[-2:] if left.ndim > 1 else (None, one.axes[0])
        at = max(0, right.ndim - 2)
        fits = isinstance(other, Units) and other.dim == at
        weight, seen, dim = one, other, max(0, out.ndim - (1 if right.ndim == 1 else 2))
    else:
        return unclear(call, _no_weight(one, other))
    if any(axis is not None for axis in weight.axes[:-2]):
        column = None
    return _read(call, seen, fits, weight, column, row, out, dim)


def _no_weight(*values: Value) -> str:
    """Return why a product or convolution is none of units with a weight."""
    made = next((v.names[0] for v in values if isinstance(v, Made)), None)
    if made is not None:
        return f"what reads its units is made from {made}, and no weight itself"
    return "its units are multiplied by what is no weight"


@rule("mm", "bmm", "mv", "matmul", "dot")
def _multiply(call: Call) -> Value:
    """A product."""
    return _product(call, call.args[0], call.args[1], call.out)


@rule("addmm", "baddbmm", "addmv")
def _multiply_add(call: Call) -> Value:
    """A product, and a bias added."""
    bias = call.of(call.args[0])
    found = _product(call, call.args[1], call.args[2], call.out)
    plain = all(call.kwargs.get(key, 1) == 1 for key in ("alpha", "beta"))
    if isinstance(bias, Units):
        bias.refuse(f"its units are added to those of {call.name}")
        return joined([bias, found])
    if isinstance(bias, Data) and isinstance(found, Units):
        return found.refuse("its units are added to other data")
    if isinstance(bias, Held) and isinstance(found, Units):
        _add_bias(call.trace, found, bias, plain)
    return found


def _add_bias(trace: Trace, units: Units, held: Held, plain: bool = True) -> None:
    """Remember the vector that is added to what a weight returns."""
    if plain and [axis is not None for axis in held.axes] == [True]:
        units.expression.bias = held
    else:
        trace.use(held, "bias")


@rule("convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution")
def _convolve(call: Call) -> Value:
    """A convolution, transposed or not."""
    seen, weight = call.of(call.args[0]), call.of(call.args[1])
    transposed, groups = call.argument(6), call.argument(8)
    given = call.args[0]
    if not isinstance(weight, Held):
        return unclear(call, _no_weight(weight))
    name = weight.name.removesuffix(".weight")
    if groups != 1:
        for source in call.trace.sources.get(weight.name, ()):
            source.refuse("it is a convolution in groups")
        call.trace.used_otherwise(weight, "a convolution in groups")
        if isinstance(seen, Units):
            seen.refuse(f"{name} reads its units in groups")
        return Data((name,))
    first, second = weight.axes[:2]
    row, column = (second, first) if transposed else (first, second)
    kernel = weight.axes[2:]
    shape = call.args[1].shape[2:]
    if any(a is not None and a.size != s for a, s in zip(kernel, shape, strict=True)):
        row = None
    dim = call.out.ndim - len(shape) - 1
    fits = isinstance(seen, Units) and seen.dim == given.ndim - len(shape) - 1
    fits = fits and isinstance(seen, Units) and seen.after == 1
    found = _read(call, seen, fits, weight, column, row, call.out, dim)
    bias = call.of(call.args[2]) if call.args[2] is not None else None
    if isinstance(bias, Held) and isinstance(found, Units):
        _add_bias(call.trace, found, bias)
    elif bias is not None:
        return unclear(call, "a bias that is no parameter is added to its units")
    return found


@rule("mkldnn_rnn_layer")
def _recurrent(call: Call) -> Any:
    """A layer of an LSTM: its input weights read, its units are gates."""
    seen, out = call.of(call.args[0]), call.out[0]
    fits = isinstance(seen, Units) and seen.dim == call.args[0].ndim - 1
    weight, own = call.of(call.args[1]), call.of(call.args[2])
    if not isinstance(weight, Held) or not isinstance(own, Held):
        return [unclear(call)] * len(call.out)
    row, column = weight.axes
    found = _read(call, seen, fits, weight, column, row, out, out.ndim - 1)
    bias = call.of(call.args[3])
    if isinstance(found, Units):
        found.refuse(GATES)
        if isinstance(bias, Held):
            _add_bias(call.trace, found, bias)
    for source in call.trace.sources.get(own.name, ()):
        source.refuse(GATES)
    for held in (own, call.of(call.args[4])):
        if isinstance(held, Held):
            call.trace.used_otherwise(held, "a recurrent layer")
    for start in call.args[5:7]:
        value = call.of(start)
        if isinstance(value, Units):
            value.refuse("its units are the first state of a recurrent layer")
    return [Data((weight.name,))] * len(call.out)


GATES = "its units are the gates of a recurrent layer"


# --- norms ----------------------------------------------------------------------------


def _normed(
    call: Call, units: Value, dim: int | None, gain: Any, offset: Any, path: str | None
) -> Value:
    """Return units after a norm with one entry a unit; ``dim`` is where it has them."""
    held = [call.of(gain), call.of(offset)]
    for vector in held:
        if isinstance(vector, Held):
            names = units.names if isinstance(units, Units) else ()
            call.trace.use(vector, ("norm", *names))
    if not isinstance(units, Units):
        return _normed_data(call, units)
    name = call.trace.inside or call.name
    if units.active:
        return units.refuse(f"{name} normalises them after their nonlinearity")
    if dim != units.dim or units.after > 1 or units.before > 1:
        return units.refuse(f"{name} has not one entry for each of its units")
    if len(units.segments) > 1 or not units.segments[0].whole:
        return units.refuse("it is normalised together with other layers")
    if any(v is not None and not isinstance(v, Held) for v in held):
        return units.refuse(f"the gain of {name} is no parameter")
    views = [as_vector(v) if isinstance(v, Held) else None for v in held]
    segment = units.segments[0]
    norm = Norm(views[0], views[1], path)
    segment = replace(segment, norms=(*segment.norms, norm))
    made = Expression(
        parents=(units.expression,),
        kind=call.name,
        samples=units.expression.samples,
    )
    return replace(units, segments=(segment,), expression=made)


def _aside(seen: Value) -> Value:
    """Return what is known of the statistics that a norm returns as well."""
    return seen.aside() if isinstance(seen, Units) else joined([seen])


def _normed_data(call: Call, seen: Value) -> Value:
    """Return what follows from a norm of something else than units."""
    return joined([seen]) if isinstance(seen, Data) else mixed(call)


def as_vector(held: Held) -> View | None:
    """Return a vector of the model as a view, or None if it is no vector.

    Args:
        held: What is known of it.
    """
    axes = [axis for axis in held.axes if axis is not None]
    if len(axes) != 1 or held.member:
        return None
    return View(parameter=held.name, start=axes[0].start, size=axes[0].size)


@rule(
    "native_batch_norm",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "_batch_norm_with_update",
)
def _batch_norm(call: Call) -> list[Value]:
    """One mean and variance a unit, over samples and places."""
    running = call.argument(3)
    path = None
    if isinstance(running, Tensor):
        path = call.trace.buffers.get(running.untyped_storage()._cdata)
    seen = call.of(call.args[0])
    found = _normed(call, seen, 1, call.argument(1), call.argument(2), path)
    return [found, *[_aside(seen)] * (len(call.out) - 1)]


@rule("native_layer_norm", "_fused_rms_norm")
def _layer_norm(call: Call) -> list[Value]:
    """One mean and variance a sample, over units."""
    given = call.args[0]
    alone = len(call.args[1]) == 1
    offset = call.argument(3) if call.name == "native_layer_norm" else None
    dim = given.ndim - 1 if alone else None
    seen = call.of(given)
    found = _normed(call, seen, dim, call.argument(2), offset, None)
    return [found, *[_aside(seen)] * (len(call.out) - 1)]


@rule("native_group_norm")
def _group_norm(call: Call) -> list[Value]:
    """One mean and variance a sample and group of units."""
    seen = call.of(call.args[0])
    found = _normed(call, seen, 1, call.argument(1), call.argument(2), None)
    return [found, *[_aside(seen)] * (len(call.out) - 1)]
