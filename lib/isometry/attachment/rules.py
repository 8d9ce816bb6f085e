"""What each operation does to units; one without a rule makes them unclear."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

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
    Data,
    Expression,
    Held,
    Made,
    Segment,
    Units,
    Value,
    joined,
    those_of,
)

Rule = Callable[[Call], Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of operations of torch.

    Args:
        *names: As in ``torch.ops.aten``, without a final underscore.
    """

    def keep(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return keep


def follow(call: Call) -> Any:
    """Return what is known of an operation's outputs, one value or a list of them.

    Args:
        call: The operation.
    """
    values = [value for value in call.values.values() if value is not None]
    own = RULES.get(call.name)
    if own is not None and any(isinstance(v, Units | Held) for v in values):
        return own(call)
    if not values or _fresh(call):
        return None
    return unclear(call)


def _fresh(call: Call) -> bool:
    """Return whether what was in the first argument does not matter."""
    if not (call.name in LIKE or (call.name in FILLING and call.op._schema.is_mutable)):
        return False
    first = call.args[0]
    return all(v is None for key, v in call.values.items() if key != id(first))


def unclear(call: Call, why: str | None = None) -> Value:
    """Refuse all units in an operation, and return what is known of its outputs.

    Args:
        call: The operation.
        why: The reason; without one, that there is no rule.
    """
    for units in call.units:
        units.refuse(why or f"it is not known what {call.name} does to its units")
    return mixed(call)


def mixed(call: Call) -> Value:
    """Return what follows from an operation that reads no units, and mark its weights.

    Args:
        call: The operation.
    """
    values = [value for value in call.values.values() if value is not None]
    held = [value for value in values if isinstance(value, Held)]
    for value in held:
        call.trace.used_otherwise(value, call.name)
    if any(isinstance(value, Data | Units) for value in values):
        return joined(values)
    names = [n for v in values if isinstance(v, Made) for n in v.names]
    return Made((*(v.name for v in held), *names)) if values else None


# fmt: off
LIKE = (
    "empty_like", "zeros_like", "ones_like", "rand_like", "randn_like", "full_like",
    "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided",
)
# fmt: on
FILLING = ("zero", "fill", "normal", "uniform", "bernoulli")  # in place


# --- entries that only move -----------------------------------------------------------


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
        return replace(value, dim=value.dim + new)
    if isinstance(value, Held):
        same = [*(None,) * new]
        for axis, old, size in zip(
            value.axes, given.shape, out.shape[new:], strict=True
        ):
            same.append(axis if old == size else None)
        return replace(value, axes=tuple(same))
    return value


def _ranged(call: Call, dim: int, start: int, size: int) -> Value:
    """Return what is known of a range of entries along a dimension."""
    value = call.of(call.args[0])
    if isinstance(value, Units) and dim == value.dim:
        kept = cut(value, start, size)
        return kept or value.refuse(f"{call.name} cuts through its units")
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
    return _ranged(call, dim, start, call.out.shape[dim])


@rule("split", "split_with_sizes", "unsafe_split", "chunk", "unsafe_chunk")
def _split(call: Call) -> list[Value]:
    """Ranges of entries along one dimension."""
    dim = call.argument(2, 0) % call.args[0].ndim
    found, start = [], 0
    for out in call.out:
        found.append(_ranged(call, dim, start, out.shape[dim]))
        start += out.shape[dim]
    return found


@rule("select", "unbind")
def _select(call: Call) -> Any:
    """One entry along a dimension, or all of them one by one."""
    given = call.args[0]
    value = call.of(given)
    dim = (call.args[1] if len(call.args) > 1 else 0) % given.ndim
    one = call.name == "select"
    indices = [call.args[2]] if one else list(range(given.shape[dim]))
    found: list[Value] = []
    for index in indices:
        part: Value = value
        if isinstance(value, Units):
            if dim == value.dim:
                part = value.refuse(f"{call.name} takes its units apart")
            else:
                part = replace(value, dim=value.dim - (dim < value.dim))
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
    return replace(value, dim=value.dim + shift)


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
    same = [(_identity(u), [bool(s.active) for s in u.segments]) for u in units]
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


def _identity(units: Units) -> Any:
    """Return what must agree for units to be the same ones, calls apart."""
    return tuple((s.source, s.start, s.size) for s in units.segments)


# --- functions of each unit by itself -------------------------------------------------

# Of one argument that may be a tensor of units; any number of constants beside it.
# fmt: off
NONLINEAR = (
    "relu", "relu6", "leaky_relu", "_prelu_kernel", "prelu", "rrelu_with_noise",
    "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "hardtanh", "hardswish",
    "hardsigmoid", "tanh", "sigmoid", "log_sigmoid_forward", "threshold", "softshrink",
    "hardshrink", "clamp", "clamp_min", "clamp_max", "abs", "pow", "square", "sqrt",
    "rsqrt", "reciprocal", "exp", "exp2", "expm1", "log", "log1p", "log2", "sin", "cos",
    "sinh", "cosh", "atan", "asinh", "erf", "sign", "sgn", "floor", "round", "gt", "lt",
    "ge", "le", "eq", "ne", "logical_not", "bitwise_not", "where", "maximum", "minimum",
)
# fmt: on
WEIGHT = "weight"  # kind of the expression that a weight's outputs are
LINEAR = ("add", "sub", "rsub", "mul", "div", "neg")
SAID = {"add": "added to", "sub": "added to", "mul": "multiplied by"}
SAID |= {"div": "multiplied by", "rsub": "added to"}


@rule(*NONLINEAR, *LINEAR)
def _each_unit(call: Call) -> Any:
    """A function of each entry, or of corresponding entries of the same units."""
    tensors = [t for t in call.args if isinstance(t, Tensor)]
    units = {id(t): u for t in tensors if isinstance(u := call.of(t), Units)}
    if not units:
        return mixed(call)
    out = call.out[0] if isinstance(call.out, tuple | list) else call.out
    aligned = []
    for tensor in tensors:
        own = units.get(id(tensor))
        if own is not None:
            dim = own.dim + out.ndim - tensor.ndim
            if out.shape[dim] != tensor.shape[own.dim]:
                return unclear(call, f"its unit is repeated by {call.name}")
            aligned.append(replace(own, dim=dim))
    first = aligned[0]
    others = [call.of(t) for t in tensors if id(t) not in units]
    alike = all(
        (_identity(u), u.dim, u.before, u.after)
        == (_identity(first), first.dim, first.before, first.after)
        for u in aligned
    )
    if not alike or any(isinstance(value, Data) for value in others):
        return _refused_together(call, list(units.values()), others)
    found = _applied(call, aligned, out, others)
    return [found] + [None] * (len(call.out) - 1) if out is not call.out else found


def _refused_together(call: Call, units: list[Units], others: list[Value]) -> Value:
    """Refuse units that meet others in one operation, naming these."""
    done = SAID.get(call.name, f"joined by {call.name} with")
    for own in units:
        rest = [name for name in joined([*units, *others]).of if name not in own.names]
        alone = not rest and len(units) > 1
        own.refuse(f"its units are {done} {'one another' if alone else those_of(rest)}")
    return mixed(call)


def _applied(call: Call, units: list[Units], out: Tensor, others: list[Value]) -> Value:
    """Return the units after a function that acts on each by itself."""
    first = units[0]
    bias = None
    if call.name == "add" and len(units) == 1:
        bias = _note_bias(call, first, out)
    for value in others:
        if isinstance(value, Held) and value is not bias:
            call.trace.use(value, call.name)
    again = not any(isinstance(t, Tensor) and call.of(t) is None for t in call.args)
    again = again and not any(isinstance(v, Held | Made) for v in others)
    parents = [u.expression for u in units]
    samples = out.numel() // max(1, first.size)
    made = next_expression(call, parents, again=again, samples=samples)
    masked = call.name in ("mul", "div") and len(units) == 1 and bool(others)
    masked = masked and all(value is None for value in others)
    linear = call.name in LINEAR and (len(units) == 1 or call.name in ("add", "sub"))
    linear = linear and (call.name != "div" or isinstance(call.of(call.args[0]), Units))
    if masked or (linear and not any(u.active for u in units)):
        return replace(first, expression=made)
    segments = [replace(segment, active=(made,)) for segment in first.segments]
    return replace(first, segments=tuple(segments), expression=made)


def _note_bias(call: Call, units: Units, out: Tensor) -> Held | None:
    """Remember a vector that is added to what a weight returned, and return it."""
    made = units.expression
    if made.kind != WEIGHT or (units.before, units.after) != (1, 1):
        return None
    for tensor in call.args[:2]:
        held = call.of(tensor)
        if isinstance(held, Held) and call.kwargs.get("alpha", 1) == 1:
            dims = [dim for dim, axis in enumerate(held.axes) if axis is not None]
            if dims == [units.dim - out.ndim + tensor.ndim]:
                made.bias = held
                return held
    return None


@rule("masked_fill")
def _masked(call: Call) -> Value:
    """Zeros where a mask says so; the mask knows no units."""
    value, mask = call.of(call.args[0]), call.of(call.args[1])
    fill = call.args[2]
    zero = fill == 0 if not isinstance(fill, Tensor) else bool((fill == 0).all())
    if not isinstance(value, Units) or isinstance(mask, Units) or not zero:
        return unclear(call)
    if call.out.shape != call.args[0].shape:
        return unclear(call)
    return _carried(call, value, call.out, value.dim)


def _carried(
    call: Call, units: Units, out: Tensor, dim: int, *, again: bool = False
) -> Units:
    """Return units after an operation that keeps zeros and knows no other units."""
    samples = out.numel() // max(1, units.size)
    made = next_expression(call, [units.expression], again=again, samples=samples)
    return replace(units, dim=dim, expression=made)


# --- over places ----------------------------------------------------------------------


POOLS = {
    "max_pool2d_with_indices": 2,
    "max_pool3d_with_indices": 3,
    "avg_pool1d": 1,
    "avg_pool2d": 2,
    "avg_pool3d": 3,
    "_adaptive_avg_pool2d": 2,
    "_adaptive_avg_pool3d": 3,
    "adaptive_avg_pool1d": 1,
    "adaptive_max_pool2d": 2,
    "adaptive_max_pool3d": 3,
    "fractional_max_pool2d": 2,
    "upsample_nearest1d": 1,
    "upsample_nearest2d": 2,
    "upsample_nearest3d": 3,
    "upsample_linear1d": 1,
    "upsample_bilinear2d": 2,
    "upsample_trilinear3d": 3,
    "upsample_bicubic2d": 2,
    "_upsample_nearest_exact2d": 2,
    "_upsample_bilinear2d_aa": 2,
    "reflection_pad1d": 1,
    "reflection_pad2d": 2,
    "replication_pad1d": 1,
    "replication_pad2d": 2,
}


@rule(*POOLS)
def _pool(call: Call) -> Any:
    """The places of each unit's map pooled, or more of them made."""
    given = call.args[0]
    value = call.of(given)
    several = isinstance(call.out, tuple | list)
    out = call.out[0] if several else call.out
    found: Value
    if not isinstance(value, Units):
        return mixed(call)
    if value.dim >= given.ndim - POOLS[call.name] or value.after != 1:
        found = value.refuse(f"{call.name} pools over its units")
    else:
        again = not value.active and "upsample" not in call.name
        found = _carried(call, value, out, value.dim, again=again)
        found.expression.layout = given.ndim, value.dim
    return [found, *[None] * (len(call.out) - 1)] if several else found


REDUCTIONS = ("mean", "amax", "amin", "max", "min", "sum")


@rule(*REDUCTIONS)
def _reduce(call: Call) -> Any:
    """Mean, greatest or sum over places."""
    given = call.args[0]
    value = call.of(given)
    several = isinstance(call.out, tuple | list)
    out = call.out[0] if several else call.out
    if not isinstance(value, Units):
        return mixed(call)
    dims = call.argument(1)
    if dims is None or dims == [] or isinstance(dims, Tensor):
        return unclear(call, f"{call.name} is taken over its units")
    dims = {d % given.ndim for d in ([dims] if isinstance(dims, int) else dims)}
    if value.dim in dims or value.before > 1:
        return unclear(call, f"{call.name} is taken over its units")
    dim = (
        value.dim
        if out.ndim == given.ndim
        else value.dim - sum(d < value.dim for d in dims)
    )
    found: Value = _carried(call, value, out, dim)
    if call.name == "sum" and value.active:
        found = value.refuse("its activations are summed over places")
    return [found, *[None] * (len(call.out) - 1)] if several else found


@rule("_softmax", "_log_softmax", "softmax", "log_softmax")
def _softmax(call: Call) -> Value:
    """Over units, where a model gives probabilities: the end of their way."""
    value = call.of(call.args[0])
    if not isinstance(value, Units) or call.args[1] % call.out.ndim != value.dim:
        return unclear(call)
    call.trace.last += value.sources
    return value.refuse("a softmax is taken over its units")


@rule("embedding", "_embedding_bag")
def _embedding(call: Call) -> Any:
    """Rows of a table."""
    table = call.of(call.args[0])
    mixed(call)
    name = table.name.removesuffix(".weight") if isinstance(table, Held) else ""
    found = Data((name,)) if name else unclear(call)
    return [found] * len(call.out) if isinstance(call.out, tuple) else found
