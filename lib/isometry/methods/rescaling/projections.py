"""What is put right after a step: Normalize-and-Project, Newton-Schulz, clipping."""

from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from isometry.adamo.arithmetic import applied
from isometry.core.matrices import as_matrix, smaller_gram
from isometry.core.settings import require, setting
from isometry.maxmin import CONVERGENCE_LIMIT, newton_schulz
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import Architecture, State, acted_on, per_member
from isometry.methods.training import Training

# --- Normalize-and-Project ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _NaPSettings(AdamSettings):
    """Settings of Normalize-and-Project.

    Source: Lyle et al. 2024.
    """

    nap_every: int = setting(1, "Project after every k-th step, k >= 1.")
    nap_affine: bool = setting(
        True, "Whether the added LayerNorms have a gain and an offset.", later=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        every = self.nap_every
        require(every >= 1, "nap_every", "nap_every >= 1", every)


def _nap_network(architecture: Architecture, settings: Any) -> Architecture:
    """Return the architecture with LayerNorm before each nonlinearity and no biases.

    The normalisation's offset makes a hidden layer's bias redundant. Without gain and
    offset, hidden layers learn nothing but their weights. A transformer's own
    normalisations stay as they are.

    Source: Lyle et al. 2024, arXiv 2407.01800; without gain and offset as in the
        authors' public code for reinforcement learning, see ``book/departures.md``.
    """
    kind = "layer" if settings.nap_affine else "bare_layer"
    return replace(architecture, normalisation=kind, hidden_bias=False)


def _member_norm(tensor: Tensor) -> Tensor:
    """Return the Frobenius norm of each member, ``(members,)``.

    Source: definition.
    """
    return torch.linalg.vector_norm(tensor.flatten(1), dim=1)


def _initial_norms(training: Training) -> State:
    """Return the norm of each hidden weight before the first step, ``(members,)``.

    Source: Lyle et al. 2024, arXiv 2407.01800.
    """
    hidden = training.structure.named("hidden")
    return {name: _member_norm(training.parameters[name].detach()) for name in hidden}


def _nap_step(training: Training) -> None:
    """Rescale hidden weights to their initial norms, and each pair of gain and offset.

    ``W <- ||W_0||_F W / ||W||_F``, and ``(g, b) <- sqrt(d) (g, b) / ||(g, b)||`` for d
    units, jointly, where there are such. The head is left alone, and so are the
    normalisations that a transformer has in any case. There is no official code; a
    public copy projects without any normalisation and takes the head along, which is
    another method.

    Source: Lyle et al. 2024, arXiv 2407.01800.
    """
    if (training.step + 1) % training.settings.nap_every:
        return
    parameters = training.parameters
    for name, norm in training.state.items():
        weight = parameters[name]
        found = _member_norm(weight)
        factor = norm / found.where(found > 0, norm)
        weight.mul_(per_member(factor, weight))
    for layer in training.structure.layers:
        if layer.gain is not None and layer.offset is not None:
            gain, offset = parameters[layer.gain], parameters[layer.offset]
            length = _member_norm(torch.cat([gain, offset], 1))
            size = torch.full_like(length, sqrt(gain.shape[1]))
            factor = (size / length.where(length > 0, size)).unsqueeze(1)
            gain.mul_(factor)
            offset.mul_(factor)


# --- Newton-Schulz --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _ProjectionSettings(AdamSettings):
    """Settings of the Newton-Schulz projection.

    Source: ours; those of arXiv 2606.09762 are not known.
    """

    projection_every: int = setting(1, "Project after every k-th step, k >= 1.")
    projection_iterations: int = setting(1, "Newton-Schulz iterations each time, >= 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("projection_every", "projection_iterations"):
            value = getattr(self, key)
            require(value >= 1, key, f"{key} >= 1", value)


def _largest_eigenvalue_bound(matrix: Tensor) -> Tensor:
    """Return ``(tr A^p)^(1/p)``, at least the largest eigenvalue and at most twice it.

    No decomposition: A is squared until d^(1/p) <= 2. Squares are kept at norm one, so
    that none of them overflows.

    Args:
        matrix: ``(..., d, d)``, symmetric, no eigenvalue below zero.

    Source: definition; ``tr A^p`` is the sum of the p-th powers of d eigenvalues.

    Example:
        >>> _largest_eigenvalue_bound(torch.diag(torch.tensor([3.0, 4.0])))
        tensor(5.)
    """
    exponent = 1  # A^exponent is ``power``, times e to what ``size`` says
    power, norm = matrix, torch.linalg.matrix_norm(matrix)
    size = norm.log()
    while matrix.shape[-1] > 4**exponent:
        power = power / norm[..., None, None]
        power, exponent = power @ power, 2 * exponent
        norm = torch.linalg.matrix_norm(power)
        size = 2 * size + norm.log()
    return (size / exponent).exp()


def _first_iteration(matrix: Tensor) -> Tensor:
    """Return ``1.5 X - 0.5 X X^T X`` for X = W, or W divided so that it converges.

    Near isometry nothing more is needed to know that it does: ``sigma_max^2`` is at
    most ``1 + ||Gram - I||_F`` and ``||W||_F^2``. Where both are 3 or more a closer
    bound decides, and divides. It is at most twice ``sigma_max^2``, and no iteration
    leaves one above 1: singular values that have been divided grow to one undisturbed.
    """
    gram = smaller_gram(matrix)
    limit = CONVERGENCE_LIMIT**2
    square = gram.diagonal(dim1=-2, dim2=-1).sum(-1)  # ||W||_F^2
    deviation = gram.clone()
    deviation.diagonal(dim1=-2, dim2=-1).sub_(1)
    bound = 1 + torch.linalg.vector_norm(deviation, dim=(-2, -1))
    scale = torch.ones_like(square)
    beyond = torch.minimum(bound, square) >= limit
    if beyond.any():
        bound = _largest_eigenvalue_bound(gram)
        scale = bound.sqrt().where(beyond & (bound >= limit), scale)
    polynomial = gram.mul_(per_member(-0.5 / scale**3, gram))
    polynomial.diagonal(dim1=-2, dim2=-1).add_((1.5 / scale).unsqueeze(1))
    return applied(matrix, polynomial)


def _projection_step(training: Training) -> None:
    """Take hidden weights towards the nearest semi-orthogonal matrix, heads not.

    One iteration ``W <- 1.5 W - 0.5 W W^T W`` makes a deviation e of a singular value
    from one into 1.5 e^2, so after every step one is enough; a rarer projection needs
    more. Period, iterations and activation of the paper's own are not known.

    Source: arXiv 2606.09762, Sec. 6 (its baseline NS); Bjorck & Bowie 1971.
    """
    settings = training.settings
    if (training.step + 1) % settings.projection_every:
        return
    for name in acted_on(training.structure.named("hidden"), "newton_schulz"):
        weight = training.parameters[name]
        first = _first_iteration(as_matrix(weight, 1))
        projected = newton_schulz(first, settings.projection_iterations - 1)
        weight.copy_(projected.view_as(weight))


# --- weight clipping ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _ClippingSettings(AdamSettings):
    """Settings of weight clipping.

    Source: Elsayed et al. 2024.
    """

    clip: float = setting(1.0, "kappa: the bound in units of the initial one, > 0.")
    clip_head: bool = setting(True, "Whether the head is clipped as well.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clip > 0, "clip", "clip > 0", self.clip)


def _clipping_step(training: Training) -> None:
    """Clamp weights and biases to ``+- kappa s_l``, s_l the bound of a fresh draw.

    ``s_l`` is ``1 / sqrt(fan_in)`` under torch's initialisation, as published; else
    the bound of the uniform law with the variance of the initialisation. A bias has
    its weight's bound. The public code takes every vector for a bias, so that it
    clamps the gains of a normalisation, which start at one; gains and offsets are
    left alone here.

    Source: Elsayed et al. 2024.
    """
    structure, settings = training.structure, training.settings
    heads = structure.heads if settings.clip_head else ()
    layers = structure.layers + structure.inner + heads
    for layer in layers:
        bound = settings.clip * sqrt(3) * structure.spread[layer.weight]
        for name in (layer.weight, layer.bias):
            if name is not None:
                training.parameters[name].clamp_(-bound, bound)


NAP = register(
    Method(
        name="nap",
        summary="Adam with LayerNorm and hidden weights held at their initial norm",
        source="Lyle et al., NeurIPS 2024, arXiv 2407.01800",
        settings=_NaPSettings(),
        search={"nap_every": (1, 1000)},
        architecture=_nap_network,
        start=_initial_norms,
        after_step=_nap_step,
    )
)
NEWTON_SCHULZ = register(
    Method(
        name="newton_schulz",
        summary="Adam with hidden weights projected to semi-orthogonal ones",
        source="arXiv 2606.09762, Sec. 6; Bjorck & Bowie 1971",
        settings=_ProjectionSettings(),
        search={"projection_every": (1, 10, 100), "projection_iterations": (1, 5)},
        after_step=_projection_step,
        to_isometry=True,
    )
)
WEIGHT_CLIPPING = register(
    Method(
        name="weight_clipping",
        summary="Adam with weights clamped to a bound after each step",
        source="Elsayed et al. 2024",
        settings=_ClippingSettings(),
        search={"clip": (1.0, 2.0, 3.0, 4.0, 5.0), "clip_head": (False, True)},
        after_step=_clipping_step,
    )
)
