"""Which parameters of a model get the isometry step."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from isometry.adamo.pull import TABLE, Entry
from isometry.core.messages import refusal, unknown
from isometry.weights import Weight, find_head, matches, weights_of
from isometry.weights.head import HEAD


def param_groups(
    model: nn.Module,
    exclude: Sequence[str] = (HEAD,),
    *,
    isometry_dims: int = 0,
) -> list[dict[str, Any]]:
    """Return two groups for :class:`AdamO`: weights to pull to isometry, and the rest.

    What each parameter is, the registry of :mod:`isometry.weights` says: a matrix, a
    kernel, or several matrices, each of which is pulled by itself. The rest, with
    strength 0, are vectors, embeddings, norms, tokens, kernels of grouped convolutions
    (flattened they are not the operator), what a parametrisation makes a weight from,
    everything whose operator is not known, and everything that ``exclude`` names. A
    weight that is shared with one of these is spared as well. Parameters that need no
    gradient are in neither group. ``AdamO(groups).describe()`` lists them all.

    Args:
        model: The network; lazy layers join when they have a shape.
        exclude: Parts of dotted names to spare: ``"head"`` spares ``head.weight``,
            ``model.head.0.weight`` and ``lm_head.weight``; ``"blocks.3"`` a block. If
            nothing is called head, it stands for what has another usual name of one,
            such as ``fc`` or ``classifier``; see :func:`isometry.weights.find_head`.
        isometry_dims: Number of leading member dimensions of a stacked network.

    Returns:
        ``[{"params": weights}, {"params": rest, "isometry_strength": 0.0}]``, with the
        parameters' names, without a group that would be empty.

    Raises:
        ValueError: If a name matches nothing, if no parameter needs a gradient, or if
            the weights are flattened by FSDP1.

    Warns:
        UserWarning: If no name says what the head is and a linear layer could be it; if
            nothing is pulled because no operator is known.

    Source: heads and embeddings: the authors exclude them in reinforcement learning and
        in language models; all else: ours.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
        >>> [len(g["params"]) for g in param_groups(model, exclude=("2",))]
        [1, 5]
    """
    _check_whole(model)
    found = _spared(model, weights_of(model, isometry_dims), exclude)
    trained = [weight for weight in found if weight.place.weight.requires_grad]
    if not trained:
        raise ValueError(
            refusal("a parameter that needs a gradient", "none", "unfreeze a layer")
        )
    weights = [weight for weight in trained if not weight.operator.why]
    rest = [weight for weight in trained if weight.operator.why]
    unclear = [w.name for w in rest if w.operator.kind == "unknown"]
    if unclear and not weights:
        warnings.warn(
            refusal(
                "a weight whose operator is known",
                f"none, and {', '.join(unclear)}",
                "set parameter.isometry = True on matrices, or register their module",
            ),
            stacklevel=2,
        )
    groups = [_group(weights, isometry_dims)] if weights else []
    if rest:
        groups.append({**_group(rest, isometry_dims), "isometry_strength": 0.0})
    return groups


def mark(
    model: nn.Module,
    exclude: Sequence[str] = (HEAD,),
    *,
    isometry_dims: int = 0,
) -> nn.Module:
    """Write on every parameter what :func:`param_groups` decides, and return the model.

    For frameworks that build the groups themselves and hand over bare parameters: the
    attribute ``isometry`` is False on what is spared, and says how several matrices lie
    in one. AdamO and :func:`with_isometry` read it. A deep copy of a model loses it.

    Args:
        model: As in :func:`param_groups`.
        exclude: As there.
        isometry_dims: As there.

    Raises:
        ValueError: As there.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
        >>> model = mark(model, exclude=("1",))
        >>> hasattr(model[0].weight, "isometry"), model[1].weight.isometry
        (False, False)
    """
    for weight in _spared(model, weights_of(model, isometry_dims), exclude):
        if weight.operator.why:
            weight.place.weight.isometry = False  # type: ignore[attr-defined]
        else:
            _mark_layout(weight)
    return model


def _mark_layout(weight: Weight) -> None:
    """Write on a parameter how several matrices lie in it."""
    found = weight.operator
    if found.parts != 1 or found.members:
        layout = {"members": found.members, "parts": found.parts, "axis": found.axis}
        weight.place.weight.isometry = layout  # type: ignore[attr-defined]


def _group(weights: list[Weight], isometry_dims: int) -> dict[str, Any]:
    """Return a group of parameters, with their names and what they are."""
    for weight in weights:
        # ZeroRedundancyOptimizer deals the parameters of a group to processes, and what
        # the group says of each of them does not follow.
        if not weight.operator.why:
            _mark_layout(weight)
    return {
        "params": [weight.place.weight for weight in weights],
        "param_names": [weight.names[0] for weight in weights],
        "isometry_dims": isometry_dims,
        TABLE: [tuple(Entry.of(weight.operator, weight.index)) for weight in weights],
    }


def _spared(
    model: nn.Module, weights: list[Weight], exclude: Sequence[str]
) -> list[Weight]:
    """Return the weights with what ``exclude`` names among the spared ones."""
    exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    names = [name for weight in weights for name in weight.names]
    spared = dict.fromkeys(_excluded(names, set(exclude) - {HEAD}), "excluded")
    if HEAD in exclude:
        head = find_head(model, weights)
        spared |= dict.fromkeys(head.names, "the head")
        _warn_of_missing_head(weights, head.candidate, spared)
    found = []
    for weight in weights:
        why = next((spared[n] for n in weight.names if n in spared), "")
        if why and not weight.operator.why:
            weight = replace(weight, operator=replace(weight.operator, why=why))
        found.append(weight)
    return found


def _excluded(names: Iterable[str], exclude: Iterable[str]) -> set[str]:
    """Return the names that are excluded; refuse a name that matches nothing."""
    names = list(names)
    found = set()
    for excluded in sorted(exclude):
        hit = {name for name in names if matches(name, excluded)}
        if not hit:
            parts = {part for name in names for part in name.split(".")}
            raise ValueError(unknown("part of a parameter's name", excluded, parts))
        found |= hit
    return found


def _warn_of_missing_head(
    weights: list[Weight], candidate: str | None, spared: dict[str, str]
) -> None:
    """Say which linear layer is the last, if no name says which is the head."""
    if "the head" in spared.values() or not candidate:
        return
    name = f"{candidate}.weight"
    for weight in weights:
        trained = weight.place.weight.requires_grad and not weight.operator.why
        if name in weight.names and trained and name not in spared:
            warnings.warn(
                refusal(
                    "a layer that is called head",
                    f"none; {candidate!r} is the last linear layer and is pulled",
                    f"pass exclude=({candidate!r},) to spare it, or exclude=() if it "
                    "is meant",
                ),
                stacklevel=4,
            )


def _check_whole(model: nn.Module) -> None:
    """Refuse a model whose weights FSDP1 has flattened."""
    for module in model.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise ValueError(
                refusal(
                    "weights that keep their shape",
                    "FullyShardedDataParallel, which flattens them",
                    "use torch.distributed.fsdp.fully_shard",
                )
            )
