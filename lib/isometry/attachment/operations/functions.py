"""Functions of each entry by itself: nonlinearities, sums, products, biases."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from isometry.attachment.operations.rules import WEIGHT, identity, mixed, rule, unclear
from isometry.attachment.tracing import Call, next_expression
from isometry.attachment.values import (
    Data,
    Drawn,
    Held,
    Units,
    Value,
    joined,
    those_of,
)

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
    if len(call.values) > len({id(t) for t in tensors}):  # others, by keyword
        return unclear(call)
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
        (identity(u), u.dim, u.before, u.after)
        == (identity(first), first.dim, first.before, first.after)
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
    parents = [u.expression for u in units]
    samples = out.numel() // max(1, first.size)
    made = next_expression(call, parents, again=not others, samples=samples)
    masked = call.name in ("mul", "div") and len(units) == 1 and bool(others)
    masked = masked and all(isinstance(value, Drawn) for value in others)
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
