"""Plasticity by Isometry: keep neural networks plastic by dynamical isometry.

The names that most users want; everything else is in the rooms, see ``book/api.md``.
"""

from importlib.metadata import PackageNotFoundError, version

from isometry.adamo import AdamO
from isometry.diagnostics import diagnose
from isometry.maxmin import GroupSort, MaxMin
from isometry.ntk import empirical_ntk

try:
    __version__ = version("plasticity-by-isometry")
except PackageNotFoundError:  # the source tree without an installation
    __version__ = "unknown"

__all__ = [
    "AdamO",
    "GroupSort",
    "MaxMin",
    "__version__",
    "diagnose",
    "empirical_ntk",
]
