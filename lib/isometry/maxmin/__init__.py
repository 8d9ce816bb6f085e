"""MaxMin networks, isometric almost everywhere (chapter 4)."""

from isometry.maxmin.networks import (
    isometric_mlp,
    jacobian_singular_values,
    orthogonal_linear,
)
from isometry.maxmin.projection import CONVERGENCE_LIMIT, newton_schulz
from isometry.maxmin.sorting import GroupSort, MaxMin, group_sort

__all__ = [
    "CONVERGENCE_LIMIT",
    "GroupSort",
    "MaxMin",
    "group_sort",
    "isometric_mlp",
    "jacobian_singular_values",
    "newton_schulz",
    "orthogonal_linear",
]
