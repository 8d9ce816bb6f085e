"""MaxMin networks, isometric almost everywhere (chapter 4)."""

from isometry.maxmin.convolution import (
    convolution_singular_values,
    orthogonal_kernel,
)
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
    "convolution_singular_values",
    "group_sort",
    "isometric_mlp",
    "jacobian_singular_values",
    "newton_schulz",
    "orthogonal_kernel",
    "orthogonal_linear",
]
