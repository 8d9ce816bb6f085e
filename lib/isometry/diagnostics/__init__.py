"""One look at a network's health: ``diagnose`` and what it returns."""

from isometry.diagnostics.health import diagnose
from isometry.diagnostics.records import (
    ActivationHealth,
    JacobianSpectrum,
    Ranks,
    Spread,
    WeightSpectrum,
)
from isometry.diagnostics.report import Diagnostics

__all__ = [
    "ActivationHealth",
    "Diagnostics",
    "JacobianSpectrum",
    "Ranks",
    "Spread",
    "WeightSpectrum",
    "diagnose",
]
