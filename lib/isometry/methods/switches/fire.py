"""FIRE: between two tasks, weights go to their nearest isometry."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.maxmin import newton_schulz
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.training import Training
from isometry.weights.rules import QUERY_KEY_VALUE

# What makes queries or keys, by its name in torch, timm, transformers and what grew
# from them ...
ALONE = frozenset(
    [
        "query",
        "query_proj",
        "q_proj",
        "q_proj_weight",
        "to_q",
        "q_lin",
        "q_attn",
        "key",
        "key_proj",
        "k_proj",
        "k_proj_weight",
        "to_k",
        "k_lin",
    ]
)
# ... and where a name alone would not tell, the first two of those that stand together;
# [i] is a part of a weight that packs several matrices.
TOGETHER: tuple[tuple[str, ...], ...] = (
    *(("q", "k"), ("q", "kv[0]"), ("to_q", "to_kv[0]"), ("q_attn", "c_attn[0]")),
    *(
        (f"{name}[0]", f"{name}[1]", f"{name}[2]")
        for name in ("in_proj_weight", *QUERY_KEY_VALUE)
    ),
)


@dataclass(frozen=True, kw_only=True)
class _FIRESettings(AdamSettings):
    """Settings of FIRE.

    Source: Han et al. 2026.
    """

    fire_iterations: int = setting(10, "Newton-Schulz iterations, >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.fire_iterations
        require(value >= 1, "fire_iterations", "fire_iterations >= 1", value)


def _reinitialised(
    weight: Tensor,  # (..., out, in, *kernel)
    iterations: int,
) -> Tensor:
    """Return what FIRE makes of weights: polar factors, nearly, at one scale.

    ``X = W / ||W||_F``, some steps ``X <- 1.5 X - 0.5 X X^T X``, and ``W <- sqrt(out /
    in) / (k_h k_w) X``; a kernel goes place by place. After the division a square
    weight has tiny singular values, and ten steps do not take them to one: of 512 x 512
    Gaussian weights half stay below 0.99. A zero weight stays zero. Where there are
    more inputs than outputs the scale is below one, so that the result is an isometry
    for square weights alone.

    Source: Han et al., ICLR 2026, arXiv 2602.08040; no code was used.
    """
    kernel = weight.ndim == 5
    matrix = weight.flatten(3).movedim(3, 1) if kernel else weight
    norm = torch.linalg.matrix_norm(matrix, keepdim=True)
    nearest = newton_schulz(matrix / norm.where(norm > 0, 1.0), iterations)
    out, fan_in = matrix.shape[-2:]
    places = prod(weight.shape[3:]) if kernel else 1
    scaled = nearest * (sqrt(out / fan_in) / places)
    return scaled.movedim(1, 3).view_as(weight) if kernel else scaled


def _attention(names: Iterable[str]) -> list[str]:
    """Return those of some weights that make the queries and keys of a transformer.

    Args:
        names: Of weights, as :func:`isometry.attach` reports them.

    Example:
        >>> _attention(["0.query.weight", "0.key.weight", "0.value.weight"])
        ['0.query.weight', '0.key.weight']
        >>> _attention(["mha.in_proj_weight[0]", "q.weight"])
        []
    """
    by_parent: dict[str, dict[str, str]] = {}
    for name in names:
        parent, _, key = name.rpartition(".")
        if key.startswith("weight"):
            parent, _, layer = parent.rpartition(".")
            key = layer + key.removeprefix("weight")
        by_parent.setdefault(parent, {})[key] = name
    found = []
    for own in by_parent.values():
        known = ALONE.union(*(form[:2] for form in TOGETHER if own.keys() >= set(form)))
        found += [name for key, name in own.items() if key in known]
    return found


def _reinitialise(training: Training) -> None:
    """Put hidden and head weights at their nearest isometries; the optimiser forgets.

    Biases and normalisations stay. Of a transformer only queries and keys are touched,
    where they have one of the names in :data:`ALONE` or :data:`TOGETHER`.

    Source: Han et al., ICLR 2026, arXiv 2602.08040.
    """
    names = training.structure.named("hidden", "head")
    for name in _attention(names) or names:
        weight = training.parameters[name]
        weight.copy_(_reinitialised(weight, training.settings.fire_iterations))
    training.optimizer.state.clear()


FIRE = register(
    Method(
        name="fire",
        summary="Adam, weights put at their nearest isometry at every new task",
        source="Han et al., ICLR 2026, arXiv 2602.08040",
        settings=_FIRESettings(),
        search={"fire_iterations": (5, 10, 20)},
        before_task=_reinitialise,
        to_isometry=True,
    )
)
