"""The measure of plasticity, dormant and dead units, ranks (chapter 1)."""

from isometry.core.matrices import effective_rank
from isometry.plasticity.measure import plasticity, removed_fraction
from isometry.plasticity.units import dead_fraction, dormancy_scores, dormant_fraction

__all__ = [
    "dead_fraction",
    "dormancy_scores",
    "dormant_fraction",
    "effective_rank",
    "plasticity",
    "removed_fraction",
]
