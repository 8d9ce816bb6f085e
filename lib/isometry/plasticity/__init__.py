"""The measure of plasticity, dormant, dead and cloned units, ranks (chapter 1)."""

from isometry.core.matrices import effective_rank
from isometry.plasticity.budget import (
    Budget,
    Measurement,
    measure_plasticity,
    trained,
    training_flops,
)
from isometry.plasticity.measure import plasticity, removed_fraction
from isometry.plasticity.ranks import (
    feature_effective_rank,
    srank,
    stable_rank,
    threshold_rank,
)
from isometry.plasticity.units import (
    cloned_fraction,
    dead_fraction,
    dormancy_scores,
    dormant_fraction,
    duplicate_fraction,
)

__all__ = [
    "Budget",
    "Measurement",
    "cloned_fraction",
    "dead_fraction",
    "dormancy_scores",
    "dormant_fraction",
    "duplicate_fraction",
    "effective_rank",
    "feature_effective_rank",
    "measure_plasticity",
    "plasticity",
    "removed_fraction",
    "srank",
    "stable_rank",
    "threshold_rank",
    "trained",
    "training_flops",
]
