"""Soft weight rescaling: weights are drawn to the length that they began with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import Layer, State, Structure, per_member
from isometry.methods.training import Training


@dataclass(frozen=True, kw_only=True)
class _SoftRescalingSettings(AdamSettings):
    """Settings of soft weight rescaling.

    Source: Oh et al. 2025.
    """

    soft_rescaling: float = setting(1e-3, "Share of the way taken a step, in [0, 1].")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.soft_rescaling
        require(0 <= value <= 1, "soft_rescaling", "0 <= soft_rescaling <= 1", value)


def _layers_of(structure: Structure) -> list[Layer]:
    """Return all layers, each after those that it reads; what is spared is left out."""
    found = [*structure.layers, *structure.inner, *structure.heads]
    return [layer for layer in found if structure.roles[layer.weight] != "spared"]


def _norm(weight: Tensor) -> Tensor:
    """Return the Frobenius norm of each member, ``(members,)``."""
    return torch.linalg.vector_norm(weight.flatten(1), dim=1)


def _initial_norms(training: Training) -> State:
    """Return the norm of each layer's weight before the first step, ``(members,)``.

    Source: Oh et al. 2025.
    """
    own, layers = training.parameters, _layers_of(training.structure)
    return {layer.weight: _norm(own[layer.weight].detach()) for layer in layers}


def _soft_rescaling_step(training: Training) -> None:
    """Scale every layer's weight towards its initial norm, and its bias to fit.

    ``c = (l ||W_0|| + (1 - l) ||W||) / ||W||``, ``W <- c W``, and a bias by the product
    of the factors up to its layer, so that a network with ReLU is scaled as a whole.
    Behind a normalisation, whose gain and offset stay, that product begins anew.
    Embeddings are left alone.

    Source: Oh et al., ICML 2025, arXiv 2507.04683.
    """
    parameters, share = training.parameters, training.settings.soft_rescaling
    passed: dict[str, Tensor] = {}  # the product of the factors before a weight
    for layer in _layers_of(training.structure):
        weight = parameters[layer.weight]
        start, norm = training.state[layer.weight], _norm(weight)
        factor = torch.where(norm > 0, 1 - share + share * start / norm, 1.0)
        weight.mul_(per_member(factor, weight))
        whole = factor * passed.get(layer.weight, torch.ones_like(factor))
        if layer.bias is not None:
            parameters[layer.bias].mul_(whole.unsqueeze(1))
        if layer.gain is None:
            passed |= dict.fromkeys(layer.outgoing, whole)


SOFT_RESCALING = register(
    Method(
        name="soft_rescaling",
        summary="Adam with every layer drawn to its initial norm, biases to fit",
        source="Oh et al., ICML 2025, arXiv 2507.04683",
        settings=_SoftRescalingSettings(),
        search={"soft_rescaling": (1.0, 1e-1, 1e-2, 1e-3, 1e-4)},
        start=_initial_norms,
        after_step=_soft_rescaling_step,
    )
)
