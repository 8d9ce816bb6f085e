"""Operations over places: pools, means, masks, and what ends a model."""

from typing import Any

from torch import Tensor

from isometry.attachment.operations.rules import carried, mixed, rule, unclear
from isometry.attachment.tracing import Call
from isometry.attachment.values import Data, Drawn, Held, Units, Value


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
    return carried(call, value, call.out, value.dim)


@rule("native_dropout")
def _drop(call: Call) -> list[Value]:
    """Some entries zero, the others larger."""
    value = call.of(call.args[0])
    out = call.out[0]
    found = carried(call, value, out, value.dim) if isinstance(value, Units) else value
    return [found, Drawn()]


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
        found = carried(call, value, out, value.dim, again=again)
        found.expression.layout = given.ndim, value.dim
    return [found, *[value.aside()] * (len(call.out) - 1)] if several else found


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
    found: Value = carried(call, value, out, dim)
    if call.name == "sum" and value.active:
        found = value.refuse("its activations are summed over places")
    return [found, *[value.aside()] * (len(call.out) - 1)] if several else found


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
