"""Chapter 5: what each known method controls of a spectrum, by its force alone.

A force is a function of the layers of a network that returns them one step later, with
no task. All forces start from the same drifted networks and act at the same pace: near
its goal, a deviation shrinks by 1/e in :data:`RELAXATION` steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from isometry.adamo import isometry_gradient
from isometry.core.matrices import smaller_gram
from isometry.core.messages import unknown
from isometry.core.seeding import generator
from isometry.plasticity import dormancy_scores
from isometry_book.c5_adamo.drifted_network import Drifted

RELAXATION = 20  # steps
DORMANT = 0.1  # threshold of ReDo's score
Weights = tuple[Tensor, ...]  # one (seeds, out, in) a layer, the head last
Force = Callable[[Weights, Drifted], Weights]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One method's regularising force.

    Attributes:
        force: Returns the weights one step later.
        controls: What of the spectrum it controls, as a table prints it.
        source: Where the force comes from.

    Source: arXiv 2606.09762, Sec. 5; each its own source.
    """

    force: Force
    controls: str
    source: str


def _matrix_force(step: Callable[[Tensor, Tensor], Tensor]) -> Force:
    """Return the force that moves every layer by itself."""

    def force(weights: Weights, start: Drifted) -> Weights:
        pairs = zip(weights, start.initial, strict=True)
        return tuple(step(weight, initial) for weight, initial in pairs)

    return force


def _gram_step(weight: Tensor, initial: Tensor) -> Tensor:
    """Return ``W - rate grad R_iso(W)``: AdamO without a task.

    Source: arXiv 2606.09762, Eq. 16 and 20.
    """
    return weight - isometry_gradient(weight) / (8 * RELAXATION)


def _parseval_step(weight: Tensor, initial: Tensor) -> Tensor:
    """Return a step of the gradient of ``|W W^T - I|_F^2``, always out x out.

    Source: Chung et al., NeurIPS 2024.
    """
    identity = torch.eye(weight.shape[-2], dtype=weight.dtype)
    gradient = 4 * (weight @ weight.mT - identity) @ weight
    return weight - gradient / (8 * RELAXATION)


def _projected_step(weight: Tensor, initial: Tensor) -> Tensor:
    """Return the weight with the Frobenius norm that it had at initialisation.

    Source: NaP, Lyle et al. 2024, without its normalisation layers.
    """
    norms = (torch.linalg.matrix_norm(w, keepdim=True) for w in (initial, weight))
    wanted, found = norms
    return weight * (wanted / found)


def _top_pair(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest singular value and the matrix ``u v^T`` that belongs to it.

    Source: definition, by the smaller Gram matrix; in training, power iteration.
    """
    squares, vectors = torch.linalg.eigh(smaller_gram(weight))  # ascending
    sigma, vector = squares[..., -1:, None].sqrt(), vectors[..., -1:]
    if weight.shape[-2] >= weight.shape[-1]:
        return sigma, weight @ vector @ vector.mT / sigma
    return sigma, vector @ (vector.mT @ weight) / sigma


def _spectral_norm_step(weight: Tensor, initial: Tensor) -> Tensor:
    """Return a step of the gradient of ``sigma_max^2 / 2``.

    Source: Yoshida & Miyato 2017.
    """
    sigma, direction = _top_pair(weight)
    return weight - sigma * direction / RELAXATION


def _spectral_step(weight: Tensor, initial: Tensor) -> Tensor:
    """Return a step of the gradient of ``(sigma_max^2 - 1)^2``.

    Source: Lewandowski et al., ICLR 2025, k = 2; AdamO's authors compare with it.
    """
    sigma, direction = _top_pair(weight)
    return weight - 4 * sigma * (sigma.square() - 1) * direction / (8 * RELAXATION)


def _decay_step(weight: Tensor, initial: Tensor) -> Tensor:
    """Return the weight a little shorter.

    Source: weight decay, as in Loshchilov & Hutter 2019.
    """
    return weight * (1 - 1 / RELAXATION)


def _l2_init_step(weight: Tensor, initial: Tensor) -> Tensor:
    """Return the weight a little closer to what it was at initialisation.

    Source: Kumar et al. 2023.
    """
    return weight - (weight - initial) / RELAXATION


def _layernorm_force(weights: Weights, start: Drifted) -> Weights:
    """Return the weights as they are: LayerNorm acts on activations.

    Source: Ba et al. 2016.
    """
    return weights


def _redo_force(weights: Weights, start: Drifted) -> Weights:
    """Return the layers after dormant units got new incoming and no outgoing weights.

    Biases are taken as zero, those of the units that are left included, so that the
    weights alone decide.

    Source: Sokar et al. 2023, Algorithm 1.
    """
    moved = [weight.clone() for weight in weights]
    hidden = start.inputs
    for layer in range(len(weights) - 1):
        hidden = torch.relu(hidden @ weights[layer].mT)
        dormant = dormancy_scores(hidden) <= DORMANT  # (seeds, units)
        units = dormant.shape[1]
        draw = generator(0, "recycled", layer)
        new = start.initial[layer][:, torch.randperm(units, generator=draw)]
        moved[layer][dormant] = new[dormant]
        moved[layer + 1].mT[dormant] = 0.0
    return tuple(moved)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "adamo": Measure(
            force=_matrix_force(_gram_step),
            controls="every singular value: to one",
            source="Rosseau et al. 2026",
        ),
        "parseval": Measure(
            force=_matrix_force(_parseval_step),
            controls="every singular value: the same force",
            source="Chung et al. 2024",
        ),
        "nap": Measure(
            force=_matrix_force(_projected_step),
            controls="the mean square: to that of the start",
            source="Lyle et al. 2024",
        ),
        "spectral": Measure(
            force=_matrix_force(_spectral_step),
            controls="the maximum: to one, and so all above one, in turn",
            source="Lewandowski et al. 2025",
        ),
        "spectral_norm": Measure(
            force=_matrix_force(_spectral_norm_step),
            controls="the maximum: towards zero, in the end with all others",
            source="Yoshida & Miyato 2017",
        ),
        "l2": Measure(
            force=_matrix_force(_decay_step),
            controls="the mean square: to zero, all ratios kept",
            source="weight decay",
        ),
        "l2_init": Measure(
            force=_matrix_force(_l2_init_step),
            controls="every singular value, and every direction: to the start",
            source="Kumar et al. 2023",
        ),
        "layernorm": Measure(
            force=_layernorm_force,
            controls="nothing; the mean square of pre-activations instead",
            source="Ba et al. 2016",
        ),
        "redo": Measure(
            force=_redo_force,
            controls="nothing; the share of dormant units instead",
            source="Sokar et al. 2023",
        ),
    }
)


def measure(name: str) -> Measure:
    """Return the measure of that name; KeyError names the nearest known one.

    Args:
        name: A key of :data:`MEASURES`.
    """
    if name not in MEASURES:
        raise KeyError(unknown("measure", name, MEASURES))
    return MEASURES[name]


def evolve(start: Drifted, name: str, times: Sequence[int]) -> list[Weights]:
    """Return the weights under one force alone, at some times.

    Args:
        start: Drifted networks.
        name: A key of :data:`MEASURES`.
        times: Steps, ascending, from 0.

    Raises:
        KeyError: If the measure is not known.
    """
    force = measure(name).force
    weights, found, done = start.weights, [], 0
    for time in times:
        for _ in range(time - done):
            weights = force(weights, start)
        done = time
        found.append(weights)
    return found
