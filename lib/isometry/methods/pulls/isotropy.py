"""SPHERE: features are pulled to one variance in all directions, whatever it is."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.messages import refusal
from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import last_layers
from isometry.methods.training import Training

EPS = 1e-8


@dataclass(frozen=True, kw_only=True)
class _SphereSettings(AdamSettings):
    """Settings of SPHERE's penalty.

    Source: arXiv 2605.04712.
    """

    sphere_ratio: float = setting(0.05, "The penalty in units of the loss, >= 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.sphere_ratio
        require(value >= 0, "sphere_ratio", "sphere_ratio >= 0", value)


def anisotropy(features: Tensor) -> Tensor:
    """Return ``||A||_F^2 - tr(A)^2 / D`` of each member, A a Gram matrix of features.

    D times the variance of A's eigenvalues: zero where they are equal, of any size.

    Args:
        features: ``(members, samples, units)``; A is ``Phi^T Phi / samples`` or, where
            there are fewer samples than units, ``Phi Phi^T / samples``, and D its size.

    Returns:
        ``(members,)``, >= 0 up to round-off.

    Source: arXiv 2605.04712.
    """
    samples, units = features.shape[1:]
    matrix = features.mT if units <= samples else features
    gram = torch.bmm(matrix, matrix.mT) / samples
    trace = gram.diagonal(dim1=1, dim2=2).sum(1)
    return gram.square().sum((1, 2)) - trace.square() / gram.shape[1]


def _sphere_penalty(training: Training) -> Tensor:
    """Return the anisotropy of what the heads read, at a share of the loss.

    ``c S`` with ``c = ratio |L| / (S + 1e-8)`` held, so that the penalty is always that
    share of the loss and only its gradient's direction is learned from.

    Source: arXiv 2605.04712; there for the features of a mixture's experts and the
        policy's loss.
    """
    if training.losses is None:
        needed, do = "the step's losses for sphere", "use a benchmark of the library"
        raise ValueError(refusal(needed, "none", do))
    layers = last_layers(training.structure)
    found = torch.stack([anisotropy(training.activations[i]) for i in layers]).sum(0)
    share = training.settings.sphere_ratio * training.losses.abs()
    factor = share / (found.detach() + EPS)
    return factor * found


SPHERE = register(
    Method(
        name="sphere",
        summary="Adam with the last features pulled to isotropy in the loss",
        source="arXiv 2605.04712",
        settings=_SphereSettings(),
        search={"sphere_ratio": (0.05, 0.005, 5e-4)},
        penalty=_sphere_penalty,
        watches=True,
    )
)
