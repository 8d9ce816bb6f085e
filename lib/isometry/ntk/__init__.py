"""The empirical neural tangent kernel and its conditioning (chapter 2)."""

from isometry.ntk.kernel import empirical_ntk, layer_kernels, ntk_matrix
from isometry.ntk.spectrum import Conditioning, conditioning

__all__ = [
    "Conditioning",
    "conditioning",
    "empirical_ntk",
    "layer_kernels",
    "ntk_matrix",
]
