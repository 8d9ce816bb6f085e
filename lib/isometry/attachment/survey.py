"""A model's weights before it runs: each matrix by itself, and what each is."""

from collections.abc import Iterable, Sequence
from itertools import product

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from isometry.attachment.values import Source
from isometry.attachment.wiring import View
from isometry.core.messages import refusal, unknown
from isometry.methods import Role
from isometry.weights import Weight, find_head, matches, weights_of

READ = ("matrix", "kernel", "packed matrices", "grouped kernel", "unknown", "adapter")
# Classes whose weights are (in, out, ...); the pass finds out what others do.
TRANSPOSED = ("Conv1D", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")


def known_weights(model: nn.Module) -> list[Weight]:
    """Return a model's parameters.

    Args:
        model: Any module.

    Raises:
        ValueError: If it has none, or others than plain ones with a shape.
    """
    weights = weights_of(model)
    if not weights:
        raise ValueError(refusal("a model with parameters", "none", "pass the network"))
    lazy = [weight.name for weight in weights if is_lazy(weight.place.weight)]
    if lazy:
        needed = "parameters that have a shape"
        raise ValueError(
            refusal(needed, f"{lazy[0]}, a lazy one", "call the model once")
        )
    for weight in weights:
        kind = type(weight.place.weight.data)
        if kind is not torch.Tensor:
            found = f"{weight.name}, of {kind.__name__}"
            do = "attach before the model is sharded or quantised"
            raise ValueError(refusal("plain parameters", found, do))
    return weights


def named_heads(
    model: nn.Module, weights: Sequence[Weight], head: str | Iterable[str] | None
) -> frozenset[str]:
    """Return the names of the parameters of the heads, as far as names say it.

    Args:
        model: The network.
        weights: Of this model.
        head: Parts of names; None: those in use.

    Raises:
        ValueError: If a part matches no parameter.
    """
    if head is None:
        return find_head(model, list(weights)).names
    names = [name for weight in weights for name in weight.names]
    found: set[str] = set()
    for part in (head,) if isinstance(head, str) else tuple(head):
        hit = {name for name in names if matches(name, part)}
        if not hit:
            known = {own for name in names for own in name.split(".")}
            raise ValueError(unknown("part of a parameter's name", part, known))
        found |= hit
    return frozenset(found)


def sources_of(weights: Iterable[Weight]) -> dict[str, list[Source]]:
    """Return the matrices and kernels of each parameter, by the parameter's name.

    Args:
        weights: Of the model.
    """
    return {
        weight.names[0]: _split(weight)
        for weight in weights
        if weight.place.weight.ndim > 1 and (_tabled(weight) or _reads(weight))
    }


def _reads(weight: Weight) -> bool:
    """Return whether a parameter may be one that reads units."""
    return weight.operator.kind in READ


def _tabled(weight: Weight) -> bool:
    """Return whether a parameter is a table of a layer, which a head may share."""
    return isinstance(weight.place.module, nn.Embedding | nn.EmbeddingBag)


def _split(weight: Weight) -> list[Source]:
    """Return the matrices of one parameter."""
    name, operator = weight.names[0], weight.operator
    shape = tuple(weight.place.weight.shape)
    kinds = [kind.__name__ for kind in type(weight.place.module).__mro__]
    transposed = any(kind in TRANSPOSED for kind in kinds)
    if operator.why:
        view = View(parameter=name, transposed=transposed)
        return [Source(name=name, view=view, shape=shape, refused=operator.why)]
    inner = shape[operator.members :]
    length = inner[operator.axis]
    parts = operator.parts
    if isinstance(parts, int):
        parts = (length // parts,) * parts
    found = []
    for member in product(*map(range, shape[: operator.members])):
        start = 0
        for number, size in enumerate(parts):
            whole = len(parts) == 1
            own = list(inner)
            own[operator.axis] = size
            tags = (*member, *(() if whole else (number,)))
            found.append(
                Source(
                    name=name + "".join(f"[{tag}]" for tag in tags),
                    view=View(
                        parameter=name,
                        member=member,
                        axis=operator.axis,
                        start=start,
                        size=None if whole else size,
                        transposed=transposed or (not whole and operator.axis == 1),
                    ),
                    shape=tuple(own),
                )
            )
            start += size
    return found


def role_of(weight: Weight, heads: frozenset[str]) -> Role:
    """Return what a parameter is in the network.

    Args:
        weight: The parameter.
        heads: Names of the parameters of the heads.
    """
    operator, place = weight.operator, weight.place
    if not place.weight.requires_grad:
        return "spared"
    if operator.kind == "gain":
        return "offset" if place.key == "bias" else "gain"
    if operator.kind == "vector":
        return "vector" if "bias" in place.key else "spared"
    if operator.kind in ("matrix", "kernel", "packed matrices", "table"):
        if heads.intersection(weight.names):
            return "head"
        if not operator.why:
            return "hidden"
        return "embedding" if _tabled(weight) else "spared"
    return "spared"
