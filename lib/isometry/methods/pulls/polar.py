"""PAPO: the gradient's polar factor is added to the gradient."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isometry.core.matrices import as_matrix
from isometry.core.settings import require, setting
from isometry.methods.method import AdamSettings, Method, register
from isometry.methods.structure import acted_on
from isometry.methods.training import Training

# The Polar Express: the best odd quintics for singular values from 1e-3 on, one a step,
# from the second on made safe for numbers that are a little too large.
EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845749493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)
SAFETY = 1.01  # the Frobenius norm is taken for larger than it is


@dataclass(frozen=True, kw_only=True)
class _PolarSettings(AdamSettings):
    """Settings of PAPO.

    Source: a poster at ICML 2026; its strength is not known to us.
    """

    polar_strength: float = setting(1e-2, "Factor of the polar factor, >= 0.")

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.polar_strength
        require(value >= 0, "polar_strength", "polar_strength >= 0", value)


def polar_factor(matrix: Tensor) -> Tensor:
    """Return the polar factor of each matrix: its singular vectors, all values one.

    By eight steps ``X <- a X + b X X^T X + c (X X^T)^2 X``. Singular values below about
    a thousandth of the Frobenius norm stay below one. A zero matrix stays zero.

    Args:
        matrix: ``(members, out, in)``.

    Source: Amsel et al. 2025, arXiv 2505.16932.
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    found = matrix.mT if tall else matrix
    norm = torch.linalg.vector_norm(found.flatten(1), dim=1).view(-1, 1, 1)
    found = found / (SAFETY * norm).where(norm > 0, 1.0)
    for a, b, c in EXPRESS:
        gram = torch.bmm(found, found.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        found = torch.baddbmm(found, polynomial, found, beta=a)
    return found.mT if tall else found


def _add_polar(training: Training) -> None:
    """Add ``strength * polar(G)`` to the gradient of every hidden weight.

    The optimiser sees the sum: the gradient is kept, where Muon replaces it. A kernel
    is the matrix (out, in * k * k).

    Source: PAPO, ICML 2026, by its abstract; which weights it takes is not known to us.
    """
    for name in acted_on(training.structure.named("hidden"), "papo"):
        gradient = as_matrix(training.gradient(name), 1)
        gradient.add_(polar_factor(gradient), alpha=training.settings.polar_strength)


PAPO = register(
    Method(
        name="papo",
        summary="Adam with the polar factor of each hidden gradient added to it",
        source="PAPO, ICML 2026 (by its abstract)",
        settings=_PolarSettings(),
        search={"polar_strength": (1.0, 1e-1, 1e-2, 1e-3)},
        before_step=_add_polar,
    )
)
