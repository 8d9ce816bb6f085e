"""The rules of operations, by name; one without a rule makes units unclear."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from isometry.attachment.tracing import Call, next_expression
from isometry.attachment.values import Data, Drawn, Held, Made, Units, Value, joined

Rule = Callable[[Call], Any]
RULES: dict[str, Rule] = {}
WEIGHT = "weight"  # kind of the expression that a weight's outputs are


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
    told = [value for value in values if isinstance(value, Data) and value.told]
    if told and call.name in MOVING:
        return told[0]
    for value in told:
        value.refuse()
    own = RULES.get(call.name)
    if own is not None and any(isinstance(v, Units | Held) for v in values):
        return own(call)
    if not values or _fresh(call):
        return Drawn() if call.name in RANDOM else None
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
    if held or names:
        return Made((*(v.name for v in held), *names))
    return Drawn() if values else None


# fmt: off
LIKE = (
    "empty_like", "zeros_like", "ones_like", "rand_like", "randn_like", "full_like",
    "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided",
)
# fmt: on
# Uses of a tensor that only hand it on.
MOVING = ("view", "squeeze", "unsqueeze", "detach", "alias", "clone", "_to_copy", "t")
FILLING = ("zero", "fill", "normal", "uniform", "bernoulli")  # in place
RANDOM = ("normal", "uniform", "bernoulli", "rand", "rand_like", "randn", "randn_like")


def carried(
    call: Call, units: Units, out: Tensor, dim: int, *, again: bool = False
) -> Units:
    """Return units after an operation that keeps zeros and knows no other units."""
    samples = out.numel() // max(1, units.size)
    made = next_expression(call, [units.expression], again=again, samples=samples)
    return replace(units, dim=dim, expression=made)


def identity(units: Units) -> Any:
    """Return what must agree for units to be the same ones, calls apart."""
    return tuple((s.source, s.start, s.size) for s in units.segments)
