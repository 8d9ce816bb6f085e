"""Penalties on the largest singular value, by one power iteration a step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.matrices import as_matrix
from isometry.core.seeding import generator
from isometry.core.settings import require, setting
from isometry.core.stacking import Parameters
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.penalties import squared_norm
from isometry.methods.structure import Roles, State, Structure, per_member

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


def weights_of(roles: Roles) -> list[str]:
    """Return the names of all weights, the head's included.

    Args:
        roles: What each parameter is.

    Source: both papers sum over all layers.
    """
    return [name for name, role in roles.items() if role in ("hidden", "head")]


def _power_vectors(
    structure: Structure,
    parameters: Parameters,
    seeds: list[int],
    settings: AdamSettings,
) -> State:
    """Return a random unit vector ``(members, out)`` for each weight.

    Source: Miyato et al. 2018; the vector is carried from step to step.
    """
    state = {}
    for name in weights_of(structure.roles):
        out = parameters[name].shape[1]
        draws = [generator(seed, "method", "power", name) for seed in seeds]
        drawn = torch.stack([torch.randn(out, generator=draw) for draw in draws])
        unit = drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)
        state[name] = unit.to(parameters[name])
    return state


def images(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return ``W v`` of each member, ``(members, out)``.

    Args:
        matrix: ``(members, out, in)``.
        vector: ``(members, in)``.

    Source: ours; as a row times W^T, whose rounding does not depend on the stack's
        size, unlike that of W times a column.
    """
    return torch.bmm(vector.unsqueeze(1), matrix.mT).squeeze(1)


@torch.no_grad()
def _power_step_(matrix: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Take one power iteration; ``left`` moves, the rest is returned.

    Source: Yoshida & Miyato 2017, Algorithm 1.
    """
    right = images(matrix.mT, left)
    length = torch.linalg.vector_norm(right, dim=1, keepdim=True)
    right.div_(length.where(length > 0, 1.0))
    found = images(matrix, right)
    sigma = torch.linalg.vector_norm(found, dim=1, keepdim=True)
    left.copy_((found / sigma).where(sigma > 0, left))
    return sigma.squeeze(1), right


def largest(parameters: Parameters, name: str, state: State) -> Tensor:
    """Return each member's sigma_max of a weight, ``(members,)``, differentiable.

    Args:
        parameters: name -> ``(members, ...)``.
        name: Which weight.
        state: The carried vectors, which take one step.

    Source: Yoshida & Miyato 2017: sigma = u^T W v with u and v held.
    """
    matrix, left = as_matrix(parameters[name], 1), state[name]
    _, right = _power_step_(matrix.detach(), left)
    return (left.clone() * images(matrix, right)).sum(1)


def _add_outer_(parameter: Tensor, factor: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``factor * u v^T`` of each member to a gradient."""
    gradient = as_matrix(parameter.grad, 1)  # type: ignore[arg-type]
    gradient.addcmul_((left * factor.unsqueeze(1)).unsqueeze(2), right.unsqueeze(1))


def _spectral_norm_penalty(
    parameters: Parameters, roles: Roles, settings: _SpectralNormSettings, state: State
) -> Tensor:
    """Return ``strength / 2 * sum_l sigma_max(W_l)^2`` of each member, head included.

    Source: Yoshida & Miyato 2017; a kernel is the matrix (out, in * k * k).
    """
    squares = [largest(parameters, name, state).square() for name in weights_of(roles)]
    return settings.spectral_norm_strength / 2 * torch.stack(squares).sum(0)


def _spectral_norm_gradient_(
    parameters: Parameters, roles: Roles, settings: _SpectralNormSettings, state: State
) -> None:
    """Add ``strength * sigma u v^T`` to the gradients.

    Source: the gradient of :func:`_spectral_norm_penalty`.
    """
    for name in weights_of(roles):
        sigma, right = _power_step_(as_matrix(parameters[name], 1), state[name])
        factor = settings.spectral_norm_strength * sigma
        _add_outer_(parameters[name], factor, state[name], right)


def _spectral_penalty(
    parameters: Parameters, roles: Roles, settings: _SpectralSettings, state: State
) -> Tensor:
    """Return ``strength * sum_l (sigma_max(W_l)^k - 1)^2 + ||b_l||^(2k)``, k = 2.

    Offsets count as biases, and a normalisation's gain is pulled to one by its squared
    distance. There is no official code. One public copy has the target 2, a plain
    squared bias and ten iterations from a fixed vector; the code of arXiv 2606.09762
    has hidden layers only and no biases.

    Source: Lewandowski et al., ICLR 2025, arXiv 2406.06811.
    """
    terms = [
        (largest(parameters, name, state) ** EXPONENT - 1).square()
        for name in weights_of(roles)
    ]
    for name, role in roles.items():
        if role in ("vector", "offset"):
            terms.append(squared_norm(parameters[name]) ** EXPONENT)
        elif role == "gain":
            terms.append(squared_norm(parameters[name] - 1))
    return settings.spectral_strength * torch.stack(terms).sum(0)


def _spectral_gradient_(
    parameters: Parameters, roles: Roles, settings: _SpectralSettings, state: State
) -> None:
    """Add the gradient of :func:`_spectral_penalty` to the gradients.

    ``2 k (sigma^k - 1) sigma^(k-1) u v^T`` for a weight, ``2 k ||b||^(2k-2) b`` for a
    bias, ``2 (g - 1)`` for a gain, all times the strength.

    Source: the gradient of :func:`_spectral_penalty`.
    """
    k, strength = EXPONENT, settings.spectral_strength
    for name, role in roles.items():
        parameter = parameters[name]
        if role in ("hidden", "head"):
            sigma, right = _power_step_(as_matrix(parameter, 1), state[name])
            factor = 2 * k * strength * (sigma**k - 1) * sigma ** (k - 1)
            _add_outer_(parameter, factor, state[name], right)
        elif role == "gain":
            parameter.grad.add_(parameter - 1, alpha=2 * strength)  # type: ignore[union-attr]
        elif role in ("vector", "offset"):
            factor = 2 * k * strength * squared_norm(parameter) ** (k - 1)
            parameter.grad.add_(per_member(factor, parameter) * parameter)  # type: ignore[union-attr]


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
