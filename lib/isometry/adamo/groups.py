"""Which parameters of a model get the isometry step."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from isometry.adamo.step import has_matrix
from isometry.core.messages import refusal, unknown

SPARED_MODULES = (
    nn.Embedding,
    nn.EmbeddingBag,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.modules.batchnorm._NormBase,  # batch and instance norms of every dimension
)
HEAD = "head"


def _is_head(name: str, excluded: str) -> bool:
    """Return whether a part of a dotted name is the excluded one, as in lm_head."""
    parts = name.split(".")
    path = excluded.split(".")
    runs = (parts[i : i + len(path)] for i in range(len(parts)))
    if any(run == path for run in runs):
        return True
    return len(path) == 1 and any(part.endswith(f"_{excluded}") for part in parts)


def param_groups(
    model: nn.Module,
    exclude: Sequence[str] = (HEAD,),
    *,
    isometry_dims: int = 0,
) -> list[dict[str, Any]]:
    """Return two groups for :class:`AdamO`: weights to pull to isometry, and the rest.

    The rest, with strength 0, are vectors, embeddings, norms, kernels of grouped
    convolutions (flattened they are not the operator) and everything that ``exclude``
    names. A weight that is shared with one of these is spared as well. Parameters that
    need no gradient are in neither group.

    Args:
        model: The network.
        exclude: Parts of dotted names to spare: ``"head"`` spares ``head.weight``,
            ``model.head.0.weight`` and ``lm_head.weight``; ``"blocks.3"`` a block.
        isometry_dims: Number of leading member dimensions of a stacked network.

    Returns:
        ``[{"params": weights}, {"params": rest, "isometry_strength": 0.0}]``, without a
        group that would be empty.

    Raises:
        ValueError: If a name matches nothing (a missing ``"head"`` is accepted), or if
            no parameter needs a gradient.

    Source: heads and embeddings: the authors exclude them in reinforcement learning and
        in language models; grouped convolutions: ours.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
        >>> [len(g["params"]) for g in param_groups(model, exclude=("2",))]
        [1, 5]
    """
    if isinstance(exclude, str):
        exclude = (exclude,)
    named = list(model.named_parameters(remove_duplicate=False))
    for excluded in exclude:
        if excluded != HEAD and not any(_is_head(name, excluded) for name, _ in named):
            parts = {part for name, _ in named for part in name.split(".")}
            raise ValueError(unknown("part of a parameter's name", excluded, parts))
    spared = {id(p) for n, p in named if any(_is_head(n, e) for e in exclude)}
    for module in model.modules():
        grouped = getattr(module, "groups", 1) != 1
        if isinstance(module, SPARED_MODULES) or grouped:
            spared |= {id(p) for p in module.parameters(recurse=False)}
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ValueError(
            refusal("a parameter that needs a gradient", "none", "unfreeze a layer")
        )
    chosen = {
        id(p) for p in trained if has_matrix(p, isometry_dims) and id(p) not in spared
    }
    weights = {
        "params": [p for p in trained if id(p) in chosen],
        "isometry_dims": isometry_dims,
    }
    rest = {
        "params": [p for p in trained if id(p) not in chosen],
        "isometry_strength": 0.0,
        "isometry_dims": isometry_dims,
    }
    return [group for group in (weights, rest) if group["params"]]
