"""Pulls towards a point: L2, L2 Init, and Parseval's towards orthogonal rows.

Each penalty stands as a value, which says what it is, and as its gradient written out,
which training adds to the task's gradient before Adam sees it: all three are coupled.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.matrices import as_matrix
from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import Role, State, acted_on
from isometry.methods.training import Training

STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5)  # the grid of Kumar et al. 2023
PARSEVAL_WIDTH = 64  # the width at which the published strengths count as they are


def squared_norm(tensor: Tensor) -> Tensor:
    """Return the sum of squares of each member, ``(members,)``.

    Args:
        tensor: ``(members, ...)``.

    Source: definition.
    """
    return tensor.square().flatten(1).sum(1)


# --- L2 -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class L2Settings(AdamSettings):
    """Settings of L2 regularisation.

    Source: Kumar et al. 2023.
    """

    l2_strength: float = setting(1e-3, "Factor of half the squared norm, >= 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.l2_strength
        require(value >= 0, "l2_strength", "l2_strength >= 0", value)


def _decayed(training: Training) -> list[str]:
    """Return the names of what L2 pulls to zero: all but a normalisation's own.

    Source: the public code of Kumar et al. 2023 leaves a normalisation out as well.
    """
    return training.structure.named("hidden", "head", "embedding", "vector")


def l2_penalty(training: Training) -> Tensor:
    """Return ``strength / 2 * ||theta||^2`` of each member, biases and head included.

    Args:
        training: Its settings have the strength.

    Returns:
        ``(members,)``.

    Source: Kumar et al. 2023; the factor 1/2 is their code's, not their formula's.
    """
    squares = [squared_norm(training.parameters[name]) for name in _decayed(training)]
    return training.settings.l2_strength / 2 * torch.stack(squares).sum(0)


def l2_gradient_(training: Training) -> None:
    """Add ``strength * theta`` to the gradients.

    Args:
        training: Its settings have the strength.

    Source: the gradient of :func:`l2_penalty`.
    """
    strength = training.settings.l2_strength
    for name in _decayed(training):
        training.gradient(name).add_(training.parameters[name], alpha=strength)


# --- L2 Init --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _L2InitSettings(AdamSettings):
    """Settings of L2 Init.

    Source: Kumar et al. 2023.
    """

    l2_init_strength: float = setting(
        1e-2, "Factor of half the squared distance to the start, >= 0."
    )
    l2_init_vectors: bool = setting(
        True, "Whether biases, gains and offsets are pulled as well.", later=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.l2_init_strength
        require(value >= 0, "l2_init_strength", "l2_init_strength >= 0", value)


VECTORS: tuple[Role, ...] = ("vector", "gain", "offset")


def _anchored(training: Training) -> list[str]:
    """Return the names of what L2 Init pulls: all, or all but vectors.

    Source: Kumar et al. 2023 for all; weights alone as in the code of arXiv 2606.09762
        for reinforcement learning, see ``book/departures.md``.
    """
    vectors = VECTORS if training.settings.l2_init_vectors else ()
    return training.structure.named("hidden", "head", "embedding", *vectors)


def _anchors(training: Training) -> State:
    """Return copies of what is pulled, from before the first step.

    Source: Kumar et al. 2023. One public copy takes those after the first step.
    """
    names = _anchored(training)
    return {name: training.parameters[name].detach().clone() for name in names}


def _l2_init_penalty(training: Training) -> Tensor:
    """Return ``strength / 2 * ||theta - theta_0||^2`` of each member.

    The formula in the paper has no 1/2, the authors' code has one. We follow the code,
    so that a strength counts as in their tables.

    Source: Kumar et al. 2023.
    """
    own, start = training.parameters, training.state
    squares = [squared_norm(own[name] - anchor) for name, anchor in start.items()]
    return training.settings.l2_init_strength / 2 * torch.stack(squares).sum(0)


def _l2_init_gradient_(training: Training) -> None:
    """Add ``strength * (theta - theta_0)`` to the gradients.

    Source: the gradient of :func:`_l2_init_penalty`.
    """
    for name, anchor in training.state.items():
        gap = training.parameters[name] - anchor
        training.gradient(name).add_(gap, alpha=training.settings.l2_init_strength)


# --- Parseval -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _ParsevalSettings(AdamSettings):
    """Settings of Parseval regularisation.

    Source: Chung et al. 2024.
    """

    parseval_strength: float = setting(1e-3, "Factor of the penalty, >= 0.")
    parseval_scale: float = setting(
        2.0, "Target s of W W^T = s I, > 0: the square of the initial gain."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        value, scale = self.parseval_strength, self.parseval_scale
        require(value >= 0, "parseval_strength", "parseval_strength >= 0", value)
        require(scale > 0, "parseval_scale", "parseval_scale > 0", scale)


def _row_deviation(weight: Tensor, scale: float) -> Tensor:
    """Return ``W W^T - s I``, always on the side of the outputs.

    Source: Chung et al. 2024.
    """
    deviation = weight @ weight.mT
    deviation.diagonal(dim1=-2, dim2=-1).sub_(scale)
    return deviation


def _hidden_matrices(training: Training) -> dict[str, Tensor]:
    """Return each hidden weight as a matrix ``(members, out, in)``."""
    names = acted_on(training.structure.named("hidden"), "parseval")
    return {name: as_matrix(training.parameters[name], 1) for name in names}


def _parseval_penalty(training: Training) -> Tensor:
    """Return ``strength * sum_l (64 / width)^2 ||W_l W_l^T - s I||_F^2``, for the loss.

    Hidden layers only. The official code has the factor of the width and s = 2, the
    square of its initial gain; one public copy has neither. For more outputs than
    inputs the penalty has a floor, unlike Eq. 16 of arXiv 2606.09762 on the smaller
    Gram matrix.

    Source: Chung et al., NeurIPS 2024, and their code.
    """
    settings: _ParsevalSettings = training.settings
    terms = []
    for matrix in _hidden_matrices(training).values():
        deviation = _row_deviation(matrix, settings.parseval_scale)
        factor = (PARSEVAL_WIDTH / matrix.shape[-2]) ** 2
        terms.append(factor * squared_norm(deviation))
    return settings.parseval_strength * torch.stack(terms).sum(0)


def _parseval_gradient_(training: Training) -> None:
    """Add ``4 strength (64 / width)^2 (W W^T - s I) W`` to the gradients.

    Source: the gradient of :func:`_parseval_penalty`.
    """
    settings: _ParsevalSettings = training.settings
    for name, matrix in _hidden_matrices(training).items():
        deviation = _row_deviation(matrix, settings.parseval_scale)
        factor = (PARSEVAL_WIDTH / matrix.shape[-2]) ** 2
        rate = 4 * settings.parseval_strength * factor
        gradient = as_matrix(training.gradient(name), 1)
        gradient.baddbmm_(deviation, matrix, alpha=rate)


L2 = register(
    Method(
        name="l2",
        summary="Adam with L2 regularisation in the loss",
        source="Kumar et al. 2023",
        settings=L2Settings(),
        search={"l2_strength": STRENGTHS},
        penalty=l2_penalty,
        penalty_gradient_=l2_gradient_,
    )
)
L2_INIT = register(
    Method(
        name="l2_init",
        summary="Adam with a pull towards the initial parameters in the loss",
        source="Kumar, Marklund & Van Roy 2023, arXiv 2308.11958",
        settings=_L2InitSettings(),
        search={"l2_init_strength": STRENGTHS},
        start=_anchors,
        penalty=_l2_init_penalty,
        penalty_gradient_=_l2_init_gradient_,
    )
)
PARSEVAL = register(
    Method(
        name="parseval",
        summary="Adam with Parseval regularisation of the hidden rows in the loss",
        source="Chung et al., NeurIPS 2024",
        settings=_ParsevalSettings(),
        search={
            "parseval_strength": (1e-2, 1e-3, 1e-4, 1e-5),
            "parseval_scale": (1.0, 2.0),
        },
        penalty=_parseval_penalty,
        penalty_gradient_=_parseval_gradient_,
        to_isometry=True,
    )
)
