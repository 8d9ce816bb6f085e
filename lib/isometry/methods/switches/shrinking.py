"""DASH: before a new task, weights shrink by how little they point where it pulls."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from isometry.core.settings import require, setting
from isometry.core.stacking import Parameters
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import function_of
from isometry.methods.training import Batch, Training


@dataclass(frozen=True, kw_only=True)
class _DASHSettings(AdamSettings):
    """Settings of direction-aware shrinking.

    Source: Shin et al. 2024.
    """

    dash_average: float = setting(0.3, "alpha: weight of a new gradient, in (0, 1].")
    dash_least: float = setting(0.05, "lambda: least factor of a weight, in [0, 1].")

    def __post_init__(self) -> None:
        super().__post_init__()
        average, least = self.dash_average, self.dash_least
        require(0 < average <= 1, "dash_average", "0 < dash_average <= 1", average)
        require(0 <= least <= 1, "dash_least", "0 <= dash_least <= 1", least)


def _descent(training: Training, names: list[str]) -> Parameters:
    """Return a running mean of the negative gradients of the cross-entropy, by name."""
    function = function_of(training.structure, "dash")
    found = {name: torch.zeros_like(training.parameters[name]) for name in names}
    leaves = {n: p.detach().requires_grad_() for n, p in training.parameters.items()}
    own = [leaves[name] for name in names]
    batches: Iterator[Batch] = training.batches()  # type: ignore[misc]
    for inputs, targets in batches:
        with torch.enable_grad():
            logits, _ = function(leaves, inputs)
            flat = logits.flatten(0, 1), targets.flatten()  # type: ignore[union-attr]
            losses = functional.cross_entropy(*flat, reduction="none")
            total = losses.view(len(logits), -1).mean(1).sum()
            gradients = torch.autograd.grad(total, own)
        for mean, gradient in zip(found.values(), gradients, strict=True):
            mean.lerp_(-gradient, training.settings.dash_average)
    return found


def _shrunk(weight: Tensor, direction: Tensor, least: float) -> Tensor:
    """Return a parameter times the cosines of its parts with where they are pulled.

    A part is a unit's incoming weights; of a convolution, each kernel of a channel; a
    bias as a whole. No factor is less than ``least``, nor more than one.
    """
    from_axis = {2: 1, 3: 2}.get(weight.ndim, 3)
    parts, pulls = weight.flatten(from_axis), direction.flatten(from_axis)
    cosine = functional.cosine_similarity(parts, pulls, -1).clamp(least, 1)
    return weight * cosine.view(*cosine.shape, *[1] * (weight.ndim - cosine.ndim))


def _shrink(training: Training) -> None:
    """Shrink all weights and biases once, by the gradients of a pass over the new task.

    ``G <- (1 - alpha) G - alpha g`` over the pass's minibatches, the weights standing
    still, then ``w <- w clamp(cos(w, G), lambda, 1)`` part by part. Normalisations and
    embeddings are left alone.

    Source: Shin et al., NeurIPS 2024: whether they shrink once a pass or once a
        minibatch is not clear to us; once a minibatch would leave next to nothing.
    """
    names = training.structure.named("hidden", "head", "vector")
    for name, direction in _descent(training, names).items():
        weight = training.parameters[name]
        weight.copy_(_shrunk(weight, direction, training.settings.dash_least))


DASH = register(
    Method(
        name="dash",
        summary="Adam, weights shrunk at a new task unless they point its way",
        source="Shin et al., NeurIPS 2024",
        settings=_DASHSettings(),
        search={"dash_average": (0.1, 0.3), "dash_least": (0.05, 0.1, 0.3, 0.8)},
        before_task=_shrink,
        not_for_games="a new game has no loss before it is played",
    )
)
