"""Penalties on the largest singular value, by one power iteration a step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.matrices import as_matrix
from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.pulls.penalties import squared_norm
from isometry.methods.structure import State, per_member
from isometry.methods.training import Training

EXPONENT = 2  # k of Lewandowski et al. 2025


@dataclass(frozen=True, kw_only=True)
class _SpectralNormSettings(AdamSettings):
    """Settings of spectral-norm regularisation.

    Source: Yoshida & Miyato 2017.
    """

    spectral_norm_strength: float = setting(
        1e-2, "Factor of half the squared largest singular values, >= 0."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        key, value = "spectral_norm_strength", self.spectral_norm_strength
        require(value >= 0, key, f"{key} >= 0", value)


@dataclass(frozen=True, kw_only=True)
class _SpectralSettings(AdamSettings):
    """Settings of spectral regularisation.

    Source: Lewandowski et al. 2025.
    """

    spectral_strength: float = setting(1e-3, "Factor of the penalty, >= 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.spectral_strength
        require(value >= 0, "spectral_strength", "spectral_strength >= 0", value)


def _weights_of(training: Training) -> list[str]:
    """Return the names of all weights, the head's included.

    Source: both papers sum over all layers.
    """
    return training.structure.named("hidden", "head")


def _power_vectors(training: Training) -> State:
    """Return a random unit vector ``(members, out)`` for each weight.

    Source: Miyato et al. 2018; the vector is carried from step to step.
    """
    state = {}
    for name in _weights_of(training):
        weight, draws = training.parameters[name], training.generators("power", name)
        sizes = weight.shape[1]
        drawn = torch.stack([torch.randn(sizes, generator=draw) for draw in draws])
        unit = drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)
        state[name] = unit.to(weight)
    return state


def _images(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return ``W v`` of each member, ``(members, out)``."""
    # A row times W^T: unlike W times a column, its rounding does not depend on how many
    # members there are.
    return torch.bmm(vector.unsqueeze(1), matrix.mT).squeeze(1)


@torch.no_grad()
def _power_step_(matrix: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Take one power iteration; ``left`` moves, the rest is returned.

    Source: Yoshida & Miyato 2017, Algorithm 1.
    """
    right = _images(matrix.mT, left)
    length = torch.linalg.vector_norm(right, dim=1, keepdim=True)
    right.div_(length.where(length > 0, 1.0))
    found = _images(matrix, right)
    sigma = torch.linalg.vector_norm(found, dim=1, keepdim=True)
    left.copy_((found / sigma).where(sigma > 0, left))
    return sigma.squeeze(1), right


def _largest(training: Training, name: str) -> Tensor:
    """Return each member's sigma_max of a weight, ``(members,)``, differentiable.

    Source: Yoshida & Miyato 2017: sigma = u^T W v with u and v held.
    """
    matrix, left = as_matrix(training.parameters[name], 1), training.state[name]
    _, right = _power_step_(matrix.detach(), left)
    return (left.clone() * _images(matrix, right)).sum(1)


def _add_outer_(gradient: Tensor, factor: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``factor * u v^T`` of each member to a gradient."""
    scaled = (left * factor.unsqueeze(1)).unsqueeze(2)
    as_matrix(gradient, 1).addcmul_(scaled, right.unsqueeze(1))


def _spectral_norm_penalty(training: Training) -> Tensor:
    """Return ``strength / 2 * sum_l sigma_max(W_l)^2`` of each member, head included.

    Source: Yoshida & Miyato 2017; a kernel is the matrix (out, in * k * k).
    """
    squares = [_largest(training, name).square() for name in _weights_of(training)]
    return training.settings.spectral_norm_strength / 2 * torch.stack(squares).sum(0)


def _spectral_norm_gradient_(training: Training) -> None:
    """Add ``strength * sigma u v^T`` to the gradients.

    Source: the gradient of :func:`_spectral_norm_penalty`.
    """
    for name in _weights_of(training):
        left = training.state[name]
        sigma, right = _power_step_(as_matrix(training.parameters[name], 1), left)
        factor = training.settings.spectral_norm_strength * sigma
        _add_outer_(training.gradient(name), factor, left, right)


def _spectral_penalty(training: Training) -> Tensor:
    """Return ``strength * sum_l (sigma_max(W_l)^k - 1)^2 + ||b_l||^(2k)``, k = 2.

    Offsets count as biases, and a normalisation's gain is pulled to one by its squared
    distance. There is no official code. One public copy has the target 2, a plain
    squared bias and ten iterations from a fixed vector; the code of arXiv 2606.09762
    has hidden layers only and no biases.

    Source: Lewandowski et al., ICLR 2025, arXiv 2406.06811.
    """
    parameters = training.parameters
    terms = [
        (_largest(training, name) ** EXPONENT - 1).square()
        for name in _weights_of(training)
    ]
    for name, role in training.roles.items():
        if role in ("vector", "offset"):
            terms.append(squared_norm(parameters[name]) ** EXPONENT)
        elif role == "gain":
            terms.append(squared_norm(parameters[name] - 1))
    return training.settings.spectral_strength * torch.stack(terms).sum(0)


def _spectral_gradient_(training: Training) -> None:
    """Add the gradient of :func:`_spectral_penalty` to the gradients.

    ``2 k (sigma^k - 1) sigma^(k-1) u v^T`` for a weight, ``2 k ||b||^(2k-2) b`` for a
    bias, ``2 (g - 1)`` for a gain, all times the strength.

    Source: the gradient of :func:`_spectral_penalty`.
    """
    k, strength = EXPONENT, training.settings.spectral_strength
    for name, role in training.roles.items():
        parameter, gradient = training.parameters[name], training.gradient(name)
        if role in ("hidden", "head"):
            left = training.state[name]
            sigma, right = _power_step_(as_matrix(parameter, 1), left)
            factor = 2 * k * strength * (sigma**k - 1) * sigma ** (k - 1)
            _add_outer_(gradient, factor, left, right)
        elif role == "gain":
            gradient.add_(parameter - 1, alpha=2 * strength)
        elif role in ("vector", "offset"):
            factor = 2 * k * strength * squared_norm(parameter) ** (k - 1)
            gradient.add_(per_member(factor, parameter) * parameter)


SPECTRAL_NORM = register(
    Method(
        name="spectral_norm",
        summary="Adam with a penalty on the largest singular values in the loss",
        source="Yoshida & Miyato 2017",
        settings=_SpectralNormSettings(),
        search={"spectral_norm_strength": (1e-1, 1e-2, 1e-3, 1e-4)},
        start=_power_vectors,
        penalty=_spectral_norm_penalty,
        penalty_gradient_=_spectral_norm_gradient_,
    )
)
SPECTRAL = register(
    Method(
        name="spectral",
        summary="Adam with the largest singular values pulled to one in the loss",
        source="Lewandowski et al., ICLR 2025, arXiv 2406.06811",
        settings=_SpectralSettings(),
        search={"spectral_strength": (1e-2, 1e-3, 1e-4, 1e-5)},
        start=_power_vectors,
        penalty=_spectral_penalty,
        penalty_gradient_=_spectral_gradient_,
    )
)
